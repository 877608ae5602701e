/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-emulator.h"

#include "group-norm.cu"

#include "test-cuda-elementwise.h"

typedef struct
{
  int64_t height, width;
  int channels, groups;
  double mean, spread;                   /* each channel has a mean of its own around MEAN */
  double outlier;                        /* the very first element, 0 = as the others */
} GroupCase;

static const GroupCase cases[] = {
  { 50, 30, 128, 32, 0, 1, 0 },            /* groups of 4: two units a piece; several parts */
  { 9, 37, 256, 32, 0.5, 2, 0 },           /* of 8 */
  { 300, 1, 512, 32, 0, 1, 0 },             /* of 16: two pieces */
  { 700, 1, 96, 32, 0, 1, 0 },              /* of 3: a unit a channel; pieces that do not fill a block */
  { 10, 5, 32, 32, 0, 1, 0 },
  { 1, 100, 64, 32, 0, 1, 0 },
  { 5, 1, 2064, 1, 0, 1, 0 },               /* more pieces than threads */
  { 3, 3, 300, 4, 0, 1, 0 },                /* channels that are no pieces of 8 */
  { 1, 1, 128, 32, 0, 1, 0 },
  { 1, 2000, 128, 32, 1000, 4, 0 },         /* squares of values would lose the spread */
  { 600, 5, 128, 32, 1000, 30, -40000 },   /* … and so would squares of deviations from a bad first guess */
  { 521, 3, 64, 32, 0, 1, 0 },           /* chunks of two and more rows; the last one short */
  { 300, 1, 256, 32, 3, 0, 0 },             /* one value: eps decides */
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

/* In bands of ROWS rows, 0 = in one, from the last to the first. */
static void
run_group_norm (const GroupCase &c, int64_t rows, std::vector<float> &scale, std::vector<float> &shift, Matrix<cuda_bf16> &x,
                const std::vector<float> &gamma, const std::vector<float> &beta)
{
  std::vector<guint8> sums (zie_cuda_group_norm_scratch (c.height, c.width, c.channels), 0xff);

  if (rows == 0)
    rows = c.height;
  for (int64_t row = (c.height - 1) / rows * rows; row >= 0; row -= rows)
    g_assert_cmpint (zie_cuda_group_norm_add (NULL, sums.data (), x.data () + row * c.width * c.channels, row, MIN (rows, c.height - row),
                                              c.height, c.width, c.channels, c.groups), ==, 0);
  g_assert_cmpint (zie_cuda_group_norm_finish (NULL, scale.data (), shift.data (), sums.data (), c.height, c.width, c.channels,
                                               gamma.data (), beta.data (), c.groups, 1e-6f, {}), ==, 0);
}

static void
test_group_norm (void)
{
  for (const GroupCase &c : cases)
    {
      int64_t pixels = c.height * c.width;
      Matrix<cuda_bf16> x (pixels, c.channels);
      std::vector<float> gamma = random_vector (c.channels, 1, 0.3), beta = random_vector (c.channels, 0, 0.5), before, before_shift;
      Factors expected;

      for (int64_t i = 0; i < c.channels; i++)
        {
          double mean = c.mean + (c.outlier ? 0 : c.spread * random_normal ());

          for (int64_t r = 0; r < pixels; r++)
            x.data ()[r * c.channels + i] = float_to_bf16 ((float)(mean + c.spread * random_normal ()));
        }
      if (c.outlier)
        x.data ()[0] = float_to_bf16 ((float)c.outlier);
      expected = reference (x, c.groups, gamma, beta, 1e-6);
      emu_each_order ([&] {
        for (int64_t rows : { (int64_t)0, 5 * chunk_rows (c.height) })
          {
            std::vector<float> scale (c.channels, NAN), shift (c.channels, NAN);

            run_group_norm (c, rows, scale, shift, x, gamma, beta);
            compare_factors (scale, shift, expected, c.mean);
            if (!before.empty ())                  /* whatever order blocks and warps run in, and however the picture is cut */
              g_assert_true (before == scale && before_shift == shift);
            before = scale;
            before_shift = shift;
          }
      });
    }
}

/* What depends on the shape alone: no card is asked, and a picture of 2048 x 2048 stays small. */
static void
test_scratch (void)
{
  StatsShape s = stats_shape (1024, 1024, 128, 32);

  g_assert_cmpint (s.n_parts, ==, 2048);
  g_assert_cmpint (s.n_units, ==, 32);
  g_assert_cmpuint (zie_cuda_group_norm_scratch (1024, 1024, 128), ==, 2048 * 128 * 8);
  g_assert_cmpuint (zie_cuda_group_norm_scratch (2048, 2048, 512), <=, 8 << 20);
  g_assert_cmpuint (zie_cuda_group_norm_scratch (8192, 8192, 128), <=, 2 << 20);
  g_assert_cmpuint (zie_cuda_group_norm_scratch (1, 1, 128), ==, 128 * 8);
  for (int channels : { 24, 96, 100, 128, 256, 512, 2064 })
    for (int64_t height : { 1, 77, 255, 256, 1040, 4100 })
      for (int64_t width : { 1, 16, 921 })
        {
          int64_t next = 0, first;

          s = stats_shape (height, width, channels, 4);
          g_assert_cmpint (s.n_parts, <=, STATS_MAX_PARTS);
          for (int i = 0; i < s.n_parts; i++)
            {
              int64_t end = part_range (s, i, &first);

              g_assert_cmpint (first, ==, next);
              next = end;
            }
          g_assert_cmpint (next, ==, height * width);
          g_assert_cmpuint (s.n_parts * s.n_units * sizeof (float2), <=, zie_cuda_group_norm_scratch (height, width, channels));
        }
}

static void
test_refused (void)
{
  cuda_bf16 x[64] = { 0 };
  float f[64] = { 0 };

  g_assert_cmpint (zie_cuda_group_norm_add (NULL, f, x, 0, 1, 1, 1, 48, 32), ==, CUDA_BAD_VALUE);
  g_assert_cmpint (zie_cuda_group_norm_add (NULL, f, x, 0, 1, 1, 1, 48, 0), ==, CUDA_BAD_VALUE);
  g_assert_cmpint (zie_cuda_group_norm_finish (NULL, f, f, f, 1, 1, 48, f, f, 32, 1e-6f, {}), ==, CUDA_BAD_VALUE);
  g_assert_cmpint (zie_cuda_group_norm_add (NULL, f, x, 1, 2, 512, 1, 48, 16), ==, CUDA_BAD_VALUE);    /* within a chunk */
  g_assert_cmpint (zie_cuda_group_norm_add (NULL, f, x, 2, 3, 512, 1, 48, 16), ==, CUDA_BAD_VALUE);
  g_assert_cmpint (zie_cuda_group_norm_add (NULL, f, x, 511, 2, 512, 1, 48, 16), ==, CUDA_BAD_VALUE);
  g_assert_cmpint (zie_cuda_group_norm_add (NULL, f, x, 0, 0, 1, 1, 48, 32), ==, 0);
}

template <int SILU>
static void
test_affine (void)
{
  for (const GroupCase &c : cases)
    for (int64_t offset : { 0, 1 })
      {
        int64_t pixels = c.height * c.width;
        Matrix<cuda_bf16> x (pixels, c.channels, 0, offset);
        std::vector<float> scale = random_vector (c.channels, 0, 1), shift = random_vector (c.channels, 0, 1);
        std::vector<double> expected;

        if (offset && pixels > 100)
          continue;
        x.fill ();
        for (int64_t r = 0; r < pixels; r++)
          for (int64_t i = 0; i < c.channels; i++)
            {
              double v = x.at (r, i) * scale[i] + shift[i];

              expected.push_back (SILU ? v / (1 + exp (-v)) : v);
            }
        emu_each_order ([&] {
          Matrix<cuda_bf16> y (pixels, c.channels, 0, offset), in_place = x;

          g_assert_cmpint (zie_cuda_affine (NULL, y.data (), x.data (), scale.data (), shift.data (), pixels, c.channels, SILU), ==, 0);
          compare (y, expected);
          g_assert_cmpint (zie_cuda_affine (NULL, in_place.data (), in_place.data (), scale.data (), shift.data (), pixels, c.channels, SILU), ==, 0);
          compare (in_place, expected);
        });
      }
}

/* A number that is none, in any group and part, is noted. */
static void
test_noted (void)
{
  enum { HEIGHT = 40, WIDTH = 30, CHANNELS = 64 };
  Matrix<cuda_bf16> x (HEIGHT * WIDTH, CHANNELS);
  std::vector<float> sums (zie_cuda_group_norm_scratch (HEIGHT, WIDTH, CHANNELS) / 4 + 1), f (CHANNELS), ones (CHANNELS, 1);

  for (float value : { 1.0f, INFINITY, NAN })
    for (int64_t at : { (int64_t)0, (int64_t)HEIGHT * WIDTH * CHANNELS - 1 })
      {
        int first = 0;

        x.fill ();
        x.data ()[at] = float_to_bf16 (value);
        g_assert_cmpint (zie_cuda_group_norm_add (NULL, sums.data (), x.data (), 0, HEIGHT, HEIGHT, WIDTH, CHANNELS, 32), ==, 0);
        g_assert_cmpint (zie_cuda_group_norm_finish (NULL, f.data (), f.data (), sums.data (), HEIGHT, WIDTH, CHANNELS, ones.data (),
                                                     ones.data (), 32, 1e-6f, { &first, 5 }), ==, 0);
        g_assert_cmpint (first, ==, value == 1.0f ? 0 : 5);
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  rng = g_rand_new_with_seed (7);
  g_test_add_func ("/cuda-group-norm/noted", test_noted);
  g_test_add_func ("/cuda-group-norm/statistics", test_group_norm);
  g_test_add_func ("/cuda-group-norm/scratch", test_scratch);
  g_test_add_func ("/cuda-group-norm/refused", test_refused);
  g_test_add_func ("/cuda-group-norm/affine", test_affine<0>);
  g_test_add_func ("/cuda-group-norm/affine-silu", test_affine<1>);
  return run_tests ();
}
