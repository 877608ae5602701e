/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-emulator.h"

#include "group-norm.cu"

#include "test-cuda-elementwise.h"

typedef struct
{
  int64_t pixels;
  int channels, groups;
  double mean, spread;                   /* each channel has a mean of its own around MEAN */
  double outlier;                        /* the very first element, 0 = as the others */
} GroupCase;

static const GroupCase cases[] = {
  { 1500, 128, 32, 0, 1, 0 },            /* groups of 4: two units a piece; several parts */
  { 333, 256, 32, 0.5, 2, 0 },           /* of 8 */
  { 300, 512, 32, 0, 1, 0 },             /* of 16: two pieces */
  { 700, 96, 32, 0, 1, 0 },              /* of 3: a unit a channel; pieces that do not fill a block */
  { 50, 32, 32, 0, 1, 0 },
  { 100, 64, 32, 0, 1, 0 },
  { 5, 2064, 1, 0, 1, 0 },               /* more pieces than threads */
  { 9, 300, 4, 0, 1, 0 },                /* channels that are no pieces of 8 */
  { 1, 128, 32, 0, 1, 0 },
  { 2000, 128, 32, 1000, 4, 0 },         /* squares of values would lose the spread */
  { 3000, 128, 32, 1000, 30, -40000 },   /* … and so would squares of deviations from a bad first guess */
  { 300, 256, 32, 3, 0, 0 },             /* one value: eps decides */
};

typedef struct { std::vector<double> scale, shift; } Factors;

static Factors
reference (const Matrix<cuda_bf16> &x, int groups, const std::vector<float> &gamma, const std::vector<float> &beta, double eps)
{
  int64_t per_group = x.cols / groups;
  Factors f;

  for (int g = 0; g < groups; g++)
    {
      double mean = 0, var = 0, n = (double)(x.rows * per_group);

      for (int64_t r = 0; r < x.rows; r++)
        for (int64_t c = 0; c < per_group; c++)
          mean += x.at (r, g * per_group + c);
      mean /= n;
      for (int64_t r = 0; r < x.rows; r++)
        for (int64_t c = 0; c < per_group; c++)
          var += (x.at (r, g * per_group + c) - mean) * (x.at (r, g * per_group + c) - mean);
      for (int64_t c = g * per_group; c < (g + 1) * per_group; c++)
        {
          f.scale.push_back (gamma[c] / sqrt (var / n + eps));
          f.shift.push_back (beta[c] - mean * f.scale.back ());
        }
    }
  return f;
}

/* Statistics are fp32 sums of a few hundred deviations, joined in fp64: 2e-6 of scale; shift is mean * scale, so what matters
 * is the mean against the spread. */
static void
compare_factors (const std::vector<float> &scale, const std::vector<float> &shift, const Factors &f, double mean)
{
  for (size_t i = 0; i < f.scale.size (); i++)
    {
      g_assert_cmpfloat (fabs (scale[i] - f.scale[i]), <=, 4e-6 * fabs (f.scale[i]));
      g_assert_cmpfloat (fabs (shift[i] - f.shift[i]), <=, 4e-6 * (1 + fabs (f.shift[i]) + fabs (mean * f.scale[i])));
    }
}

static void
test_group_norm (void)
{
  for (const GroupCase &c : cases)
    {
      Matrix<cuda_bf16> x (c.pixels, c.channels);
      std::vector<float> gamma = random_vector (c.channels, 1, 0.3), beta = random_vector (c.channels, 0, 0.5), before;
      Factors expected;

      for (int64_t i = 0; i < c.channels; i++)
        {
          double mean = c.mean + (c.outlier ? 0 : c.spread * random_normal ());

          for (int64_t r = 0; r < c.pixels; r++)
            x.data ()[r * c.channels + i] = float_to_bf16 ((float)(mean + c.spread * random_normal ()));
        }
      if (c.outlier)
        x.data ()[0] = float_to_bf16 ((float)c.outlier);
      expected = reference (x, c.groups, gamma, beta, 1e-6);
      emu_each_order ([&] {
        std::vector<float> scale (c.channels, NAN), shift (c.channels, NAN);
        std::vector<guint8> scratch (zie_cuda_group_norm_scratch (c.pixels, c.channels), 0xff);

        g_assert_cmpint (zie_cuda_group_norm (NULL, scale.data (), shift.data (), x.data (), c.pixels, c.channels, gamma.data (),
                                              beta.data (), c.groups, 1e-6f, scratch.data ()), ==, 0);
        compare_factors (scale, shift, expected, c.mean);
        if (!before.empty ())
          g_assert_true (before == scale);             /* whatever order blocks and warps run in */
        before = scale;
      });
    }
}

/* What depends on the shape alone: no card is asked, and a picture of 2048 x 2048 stays small. */
static void
test_scratch (void)
{
  StatsShape s = stats_shape (1024 * 1024, 128, 32);

  g_assert_cmpint (s.n_parts, ==, 2048);
  g_assert_cmpint (s.n_units, ==, 32);
  g_assert_cmpuint (zie_cuda_group_norm_scratch (1024 * 1024, 128), ==, 2048 * 128 * 8);
  g_assert_cmpuint (zie_cuda_group_norm_scratch (2048 * 2048, 512), <=, 8 << 20);
  g_assert_cmpuint (zie_cuda_group_norm_scratch (1, 128), ==, 128 * 8);
  for (int channels : { 24, 96, 100, 128, 256, 512, 2064 })
    for (int64_t pixels : { 1, 77, 5000, 921600 })
      {
        s = stats_shape (pixels, channels, 4);
        g_assert_cmpint (s.n_parts * s.per_part, >=, pixels);
        g_assert_cmpint ((s.n_parts - 1) * s.per_part, <, pixels);
        g_assert_cmpuint (s.n_parts * s.n_units * sizeof (float2), <=, zie_cuda_group_norm_scratch (pixels, channels));
      }
}

static void
test_refused (void)
{
  cuda_bf16 x[64] = { 0 };
  float f[64] = { 0 };

  g_assert_cmpint (zie_cuda_group_norm (NULL, f, f, x, 1, 48, f, f, 32, 1e-6f, f), ==, CUDA_BAD_VALUE);
  g_assert_cmpint (zie_cuda_group_norm (NULL, f, f, x, 1, 48, f, f, 0, 1e-6f, f), ==, CUDA_BAD_VALUE);
  g_assert_cmpint (zie_cuda_group_norm (NULL, f, f, x, 0, 48, f, f, 32, 1e-6f, f), ==, 0);
}

template <int SILU>
static void
test_affine (void)
{
  for (const GroupCase &c : cases)
    for (int64_t offset : { 0, 1 })
      {
        Matrix<cuda_bf16> x (c.pixels, c.channels, 0, offset);
        std::vector<float> scale = random_vector (c.channels, 0, 1), shift = random_vector (c.channels, 0, 1);
        std::vector<double> expected;

        if (offset && c.pixels > 100)
          continue;
        x.fill ();
        for (int64_t r = 0; r < c.pixels; r++)
          for (int64_t i = 0; i < c.channels; i++)
            {
              double v = x.at (r, i) * scale[i] + shift[i];

              expected.push_back (SILU ? v / (1 + exp (-v)) : v);
            }
        emu_each_order ([&] {
          Matrix<cuda_bf16> y (c.pixels, c.channels, 0, offset), in_place = x;

          g_assert_cmpint (zie_cuda_affine (NULL, y.data (), x.data (), scale.data (), shift.data (), c.pixels, c.channels, SILU), ==, 0);
          compare (y, expected);
          g_assert_cmpint (zie_cuda_affine (NULL, in_place.data (), in_place.data (), scale.data (), shift.data (), c.pixels, c.channels, SILU), ==, 0);
          compare (in_place, expected);
        });
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  rng = g_rand_new_with_seed (7);
  g_test_add_func ("/cuda-group-norm/statistics", test_group_norm);
  g_test_add_func ("/cuda-group-norm/scratch", test_scratch);
  g_test_add_func ("/cuda-group-norm/refused", test_refused);
  g_test_add_func ("/cuda-group-norm/affine", test_affine<0>);
  g_test_add_func ("/cuda-group-norm/affine-silu", test_affine<1>);
  return run_tests ();
}
