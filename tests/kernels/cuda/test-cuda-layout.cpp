/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-emulator.h"

#include "layout.cu"

#include "test-cuda-elementwise.h"

/* Place of element AT of TOKEN in the planes of a latent, as in the reference backend. */
static int64_t
place_in_latent (int64_t token, int64_t at, int channels, int h, int w)
{
  int64_t y = token / (w / 2) * 2 + at / channels / 2, x = token % (w / 2) * 2 + at / channels % 2;

  return (at % channels * h + y) * w + x;
}

typedef struct { int channels, h, w; } LatentCase;

static const LatentCase latent_cases[] = { { 16, 6, 10 }, { 4, 2, 2 }, { 3, 8, 4 } };

template <class T>
static void
test_patches (void)
{
  for (const LatentCase &c : latent_cases)
    {
      int64_t tokens = c.h / 2 * (c.w / 2), cols = 4 * c.channels, n = (int64_t)c.channels * c.h * c.w;
      Matrix<float> latent (c.channels, c.h * c.w), back (c.channels, c.h * c.w);
      Matrix<cuda_bf16> y (tokens, cols, cols + 8);
      Matrix<T> x (tokens, cols, cols + 8);
      std::vector<double> in_tokens (n), in_planes (n);

      latent.fill ();
      x.fill ();
      for (int64_t t = 0; t < tokens; t++)
        for (int64_t i = 0; i < cols; i++)
          {
            int64_t place = place_in_latent (t, i, c.channels, c.h, c.w);

            in_tokens[t * cols + i] = latent.data ()[place];
            in_planes[place] = x.at (t, i);
          }
      g_assert_cmpint (zie_cuda_patchify (NULL, y.data (), y.ld, latent.data (), c.channels, c.h, c.w), ==, 0);
      compare_exactly (y, in_tokens);
      g_assert_cmpint (zie_cuda_unpatchify (NULL, back.data (), x.data (), sizeof (T) == 4, x.ld, c.channels, c.h, c.w), ==, 0);
      compare_exactly (back, in_planes);
    }
}

template <class T>
static void
test_planes (void)
{
  static const LatentCase cases[] = { { 16, 9, 30 }, { 3, 20, 20 }, { 1, 1, 5 } };

  for (const LatentCase &c : cases)
    {
      int64_t n = c.h * c.w;
      Matrix<float> planes (c.channels, n), planes_out (c.channels, n);
      Matrix<T> pixels (n, c.channels), pixels_out (n, c.channels);
      float scale = 1 / 0.3611f, shift = 0.1159f;
      std::vector<double> to_pixels, to_planes;

      planes.fill ();
      pixels.fill ();
      for (int64_t p = 0; p < n; p++)
        for (int64_t i = 0; i < c.channels; i++)
          to_pixels.push_back (planes.at (i, p) * (double)scale + (double)shift);
      for (int64_t i = 0; i < c.channels; i++)
        for (int64_t p = 0; p < n; p++)
          to_planes.push_back (pixels.at (p, i) * (double)scale + (double)shift);
      g_assert_cmpint (zie_cuda_planes_to_pixels (NULL, pixels_out.data (), sizeof (T) == 4, planes.data (), n, c.channels, scale, shift), ==, 0);
      compare (pixels_out, to_pixels);
      g_assert_cmpint (zie_cuda_pixels_to_planes (NULL, planes_out.data (), pixels.data (), sizeof (T) == 4, n, c.channels, scale, shift), ==, 0);
      compare (planes_out, to_planes);
    }
}

/* As zie_rgb8_from_rows() in double, where each step is exact or rounded as there. */
static guint8
to_byte (float x)
{
  float y = 0.5f * x + 0.5f;

  y = y > 0 ? y : 0;
  y = y < 1 ? y : 1;
  return (guint8)nearbyint ((float)(255.0 * y));
}

static void
test_rgb8 (void)
{
  for (int64_t n : { 1, 2, 5, 1023, 1024, 1025, 5000 })
    for (int broken : { 0, 3 })
      {
        Matrix<float> x (n, 3);
        std::vector<guint8> expected;
        CudaRgb8Found want = { 0, { 0, 0, 0 }, { 0, 0, 0 } };

        x.fill ();
        for (int64_t i = 0; i < 3 * n && i < 255; i++)             /* halves, and both sides of them */
          x.data ()[i] = nextafterf (((float)i + 0.5f) / 127.5f - 1, (float)(i % 3 - 1) * 9);
        for (int i = 0; i < broken && i < n; i++)
          x.data ()[3 * n - 1 - 2 * i] = i == 0 ? NAN : i == 1 ? INFINITY : -INFINITY;
        for (int64_t i = 0; i < 3 * n; i++)
          {
            guint8 byte = to_byte (x.data ()[i]);

            expected.push_back (byte);
            want.n_not_finite += !std::isfinite (x.data ()[i]);
            want.most[i % 3] = MAX (want.most[i % 3], byte);
            want.inverted_least[i % 3] = MAX (want.inverted_least[i % 3], 255u - byte);
          }
        emu_each_order ([&] {
          std::vector<guint8> rgb (3 * n + 8, 0xa5);
          CudaRgb8Found found = { 0, { 0, 0, 0 }, { 0, 0, 0 } };

          g_assert_cmpint (zie_cuda_rows_to_rgb8 (NULL, rgb.data (), &found, x.data (), n), ==, 0);
          g_assert_cmpmem (rgb.data (), 3 * n, expected.data (), 3 * n);
          for (int64_t i = 3 * n; i < 3 * n + 8; i++)
            g_assert_cmpint (rgb[i], ==, 0xa5);
          g_assert_cmpmem (&found, sizeof found, &want, sizeof want);
        });
      }
}

typedef struct { int64_t rows, cols, ldx, ldyt, offset; } TransposeCase;

static void
test_transpose (void)
{
  static const TransposeCase cases[] = {
    { 128, 64, 64, 128, 0 },
    { 72, 136, 144, 80, 0 },             /* tails that are whole pieces */
    { 67, 75, 80, 72, 0 },               /* and that are not */
    { 67, 75, 75, 67, 1 },               /* nothing aligned */
    { 1, 1, 8, 8, 0 },
  };

  for (const TransposeCase &c : cases)
    {
      Matrix<cuda_bf16> x (c.rows, c.cols, c.ldx, c.offset);
      std::vector<double> expected;

      x.fill ();
      for (int64_t i = 0; i < c.cols; i++)
        for (int64_t r = 0; r < c.rows; r++)
          expected.push_back (x.at (r, i));
      emu_each_order ([&] {
        Matrix<cuda_bf16> yt (c.cols, c.rows, c.ldyt, c.offset);

        g_assert_cmpint (zie_cuda_transpose (NULL, yt.data (), yt.ld, x.data (), x.ld, c.rows, c.cols), ==, 0);
        compare_exactly (yt, expected);
      });
    }
}

typedef struct { int64_t rows, cols, lds, ldp; double mean, spread; } SoftmaxCase;

static void
test_softmax (void)
{
  static const SoftmaxCase cases[] = {
    { 3, 64, 64, 64, 0, 10 },
    { 2, 1000, 1008, 1016, 0, 30 },
    { 2, 5000, 5000, 5000, -1000, 20 },  /* two pieces a thread; large scores cancel */
    { 2, 14400, 14400, 14400, 0, 5 },    /* four: 160 x 90 of a latent */
    { 1, 16392, 16392, 16392, 0, 5 },    /* read twice */
    { 3, 77, 77, 77, 0, 10 },            /* by elements */
    { 3, 3, 5, 4, 0, 100 },
  };
  const float scale = 0.0883883f;

  for (const SoftmaxCase &c : cases)
    {
      Matrix<float> scores (c.rows, c.cols, c.lds);
      std::vector<double> expected;

      scores.fill (c.mean, c.spread / scale);
      for (int64_t r = 0; r < c.rows; r++)
        {
          double most = -INFINITY, sum = 0;

          for (int64_t i = 0; i < c.cols; i++)
            most = fmax (most, scores.at (r, i) * (double)scale);
          for (int64_t i = 0; i < c.cols; i++)
            sum += exp (scores.at (r, i) * (double)scale - most);
          for (int64_t i = 0; i < c.cols; i++)
            expected.push_back (exp (scores.at (r, i) * (double)scale - most) / sum);
        }
      emu_each_order ([&] {
        Matrix<cuda_bf16> p (c.rows, c.cols, c.ldp);

        g_assert_cmpint (zie_cuda_softmax_rows (NULL, p.data (), p.ld, scores.data (), scores.ld, c.rows, c.cols, scale), ==, 0);
        compare (p, expected);
      });
    }
}

/* One score above all others by far, and rows that are all alike. */
static void
test_softmax_extremes (void)
{
  for (int64_t cols : { 8, 4104, 16392, 13 })
    {
      Matrix<float> scores (2, cols);
      Matrix<cuda_bf16> p (2, cols);
      std::vector<double> expected (2 * cols, 1.0 / (double)cols);

      for (int64_t i = 0; i < cols; i++)
        {
          scores.data ()[i] = i == cols - 1 ? 1e30f : -1e30f;
          scores.data ()[cols + i] = -3e4f;
          expected[i] = i == cols - 1;
        }
      g_assert_cmpint (zie_cuda_softmax_rows (NULL, p.data (), p.ld, scores.data (), scores.ld, 2, cols, 1), ==, 0);
      compare (p, expected);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  rng = g_rand_new_with_seed (6);
  g_test_add_func ("/cuda-layout/patches/bf16", test_patches<cuda_bf16>);
  g_test_add_func ("/cuda-layout/patches/f32", test_patches<float>);
  g_test_add_func ("/cuda-layout/planes/bf16", test_planes<cuda_bf16>);
  g_test_add_func ("/cuda-layout/planes/f32", test_planes<float>);
  g_test_add_func ("/cuda-layout/rgb8", test_rgb8);
  g_test_add_func ("/cuda-layout/transpose", test_transpose);
  g_test_add_func ("/cuda-layout/softmax", test_softmax);
  g_test_add_func ("/cuda-layout/softmax/extremes", test_softmax_extremes);
  return run_tests ();
}
