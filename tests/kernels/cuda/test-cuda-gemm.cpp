/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-emulator.h"

#include <glib.h>

#include "gemm.cu"

/* The products with mma.sync against sums in double.  Inputs are bf16 already and sums are fp32, so of the result only the
 * last rounding is left: 2^-9 / sqrt (3) = 1.1e-3 relative L2 for a bf16 result, held to 3e-3; fp32 to 2e-6, a few last bits
 * of sums of 100 to 1000. */
#define BF16_TOLERANCE 3e-3
#define F32_TOLERANCE 2e-6

/* The Hopper kernels have a program of their own (cuda-check-gemm.cu): nothing of theirs runs here. */
bool cuda_gemm_hopper_takes (const CudaCard *, const CudaGemm *, CudaKernelChoice) { return false; }
int cuda_gemm_hopper (const CudaCard *, CudaStream, const CudaGemm *) { g_assert_not_reached (); }

static GRand *rng;

static std::vector<cuda_bf16>
random_matrix (int64_t rows, int64_t cols, int64_t ld)
{
  std::vector<cuda_bf16> a (rows * ld, 0x7fc0);         /* NaN between the rows: nobody reads there */

  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < cols; c++)
      a[r * ld + c] = float_to_bf16 ((float)g_rand_double_range (rng, -1, 1));
  return a;
}

/* Of y [m, n], whose rows are LDY apart and which began as 0xff; columns past n must have stayed so. */
template <class T>
static void
compare (const std::vector<T> &y, int64_t ldy, const std::vector<double> &expected, int64_t m, int64_t n, double tolerance)
{
  double error = 0, norm = 0;

  for (int64_t r = 0; r < m; r++)
    {
      for (int64_t c = 0; c < n; c++)
        {
          double v = sizeof (T) == 4 ? (double)y[r * ldy + c] : (double)bf16_to_float ((cuda_bf16)y[r * ldy + c]);
          double e = expected[r * n + c];
          g_assert_true (isfinite (v));
          error += (v - e) * (v - e);
          norm += e * e;
        }
      for (int64_t c = n * sizeof (T); c < (int64_t)(ldy * sizeof (T)); c++)
        g_assert_cmphex (((const guint8 *)&y[r * ldy])[c], ==, 0xff);
    }
  g_assert_cmpfloat (sqrt (error / norm), <, tolerance);
}

template <class T>
static void
check_strides (int (*launch) (const CudaGemm *), int64_t m, int64_t n, int64_t k, int64_t ldx, int64_t ldw, int64_t ldy, bool has_bias)
{
  std::vector<cuda_bf16> x = random_matrix (m, k, ldx), w = random_matrix (n, k, ldw);
  std::vector<float> bias (n);
  std::vector<double> expected (m * n);

  for (float &b : bias)
    b = has_bias ? (float)g_rand_double_range (rng, -2, 2) : 0;
  for (int64_t r = 0; r < m; r++)
    for (int64_t c = 0; c < n; c++)
      {
        double sum = bias[c];
        for (int64_t i = 0; i < k; i++)
          sum += (double)bf16_to_float (x[r * ldx + i]) * bf16_to_float (w[c * ldw + i]);
        expected[r * n + c] = sum;
      }

  emu_each_order ([&] {
    std::vector<T> y (m * ldy);
    CudaGemm g = { y.data (), sizeof (T) == 4, x.data (), w.data (), has_bias ? bias.data () : NULL, ldy, ldx, ldw, m, n, k };
    memset ((void *)y.data (), 0xff, y.size () * sizeof (T));
    g_assert_cmpint (launch (&g), ==, 0);
    compare (y, ldy, expected, m, n, sizeof (T) == 4 ? F32_TOLERANCE : BF16_TOLERANCE);
  });
}

template <class T>
static void
check_gemm (int (*launch) (const CudaGemm *), int64_t m, int64_t n, int64_t k, int64_t extra, bool has_bias)
{
  check_strides<T> (launch, m, n, k, k + 16 * extra, k + 8 * extra, sizeof (T) == 4 ? n + extra : (n + 7) / 8 * 8 + 8 * extra,
                    has_bias);
}

template <class Tile>
static void
check_tile (void)
{
  auto launch = [] (const CudaGemm *g) { return launch_mma<Tile> (NULL, g); };

  check_gemm<cuda_bf16> (launch, Tile::BM, Tile::BN, 256, 0, false);
  check_gemm<cuda_bf16> (launch, Tile::BM + 3, Tile::BN + 10, 72, 1, true);      /* tails of rows, columns and K */
  check_gemm<float> (launch, 5, 3, 8, 1, true);                                  /* less than one of anything */
  check_gemm<float> (launch, 2 * Tile::BM - 1, Tile::BN + 1, 40, 2, false);
}

/* More row tiles than one group holds, and a last group of fewer. */
static void
test_groups (void)
{
  check_gemm<cuda_bf16> ([] (const CudaGemm *g) { return launch_mma<GemmTileSmall> (NULL, g); }, 64 * 9 + 1, 96, 16, 0, false);
}

static void
test_choice (void)
{
  auto launch = [] (const CudaGemm *g) {
    CudaCard card = { 80, 4, 163840, 40 << 20, NULL, 0 };
    return zie_cuda_gemm (&card, NULL, g, CUDA_KERNEL_AUTO);
  };

  check_gemm<cuda_bf16> (launch, 17, 64, 64, 0, true);
  check_gemm<cuda_bf16> (launch, 300, 520, 32, 0, true);
  check_gemm<float> (launch, 1, 1, 8, 0, true);
  CudaGemm empty = {};
  g_assert_cmpint (launch (&empty), ==, 0);

  /* What the tiles cannot read in pieces of 16 bytes or store in pairs: a K of 682, strides of 1364 and of 67, odd columns. */
  check_strides<cuda_bf16> (launch, 17, 64, 682, 1364, 682, 64, true);
  check_strides<cuda_bf16> (launch, 9, 33, 64, 64, 64, 33, true);
  check_strides<cuda_bf16> (launch, 3, 10, 64, 64, 67, 11, false);
  check_strides<float> (launch, 8, 5, 13, 13, 15, 7, true);
}

template <class T>
static void
check_small (int64_t m, int64_t n, int64_t k, bool has_bias)
{
  int64_t ldx = k + 3, ldy = n + 1;
  std::vector<float> x (m * ldx), bias (n);
  std::vector<T> w (n * k);
  std::vector<double> expected (m * n);

  for (float &v : x)
    v = (float)g_rand_double_range (rng, -1, 1);
  for (float &v : bias)
    v = has_bias ? (float)g_rand_double_range (rng, -2, 2) : 0;
  for (T &v : w)
    {
      float f = (float)g_rand_double_range (rng, -1, 1);
      v = sizeof (T) == 4 ? (T)f : (T)float_to_bf16 (f);
    }
  for (int64_t r = 0; r < m; r++)
    for (int64_t c = 0; c < n; c++)
      {
        double sum = bias[c];
        for (int64_t i = 0; i < k; i++)
          sum += (double)x[r * ldx + i] * load_value<sizeof (T) == 4> (w.data (), c * k + i);
        expected[r * n + c] = sum;
      }

  emu_each_order ([&] {
    std::vector<float> y (m * ldy);
    memset ((void *)y.data (), 0xff, y.size () * 4);
    g_assert_cmpint (zie_cuda_linear_small (NULL, y.data (), ldy, x.data (), ldx, w.data (), sizeof (T) == 4,
                                            has_bias ? bias.data () : NULL, m, n, k), ==, 0);
    compare (y, ldy, expected, m, n, F32_TOLERANCE);
  });
}

static void
test_small (void)
{
  check_small<cuda_bf16> (8, 96, 256, true);
  check_small<float> (1, 7, 100, true);
  check_small<cuda_bf16> (19, 5, 33, false);
  check_small<float> (256, 6, 16, true);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  rng = g_rand_new_with_seed (4);
  g_test_add_func ("/cuda-gemm/tile/wide", check_tile<GemmTileWide>);
  g_test_add_func ("/cuda-gemm/tile/square", check_tile<GemmTileSquare>);
  g_test_add_func ("/cuda-gemm/tile/low", check_tile<GemmTileLow>);
  g_test_add_func ("/cuda-gemm/tile/small", check_tile<GemmTileSmall>);
  g_test_add_func ("/cuda-gemm/groups", test_groups);
  g_test_add_func ("/cuda-gemm/choice", test_choice);
  g_test_add_func ("/cuda-gemm/few-rows", test_small);
  int result = g_test_run ();
  g_rand_free (rng);
  return result;
}
