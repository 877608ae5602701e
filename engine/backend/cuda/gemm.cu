/* SPDX-License-Identifier: Apache-2.0 */
#include "gemm-mma.cuh"
#include "gemm-private.h"

/* y[m, n] = sum x[m, k] w[n, k] + bias[n] in fp32, for any sizes and strides.  A warp computes one column of ROWS rows: it
 * reads a row of w once for all of them, the rows of x from L1. */
enum { ROWS_AT_ONCE = 8, ROWS_WARPS = 4 };

template <bool Y_F32, bool X_F32, bool W_F32>
__global__ void __launch_bounds__ (ROWS_WARPS * 32)
linear_rows_kernel (void *y, int64_t ldy, const void *x, int64_t ldx, const void *w, int64_t ldw, const float *bias, int64_t m,
                    int64_t n, int64_t k)
{
  const int lane = threadIdx.x & 31;
  const int64_t col = (int64_t)blockIdx.y * ROWS_WARPS + threadIdx.x / 32, row0 = (int64_t)blockIdx.x * ROWS_AT_ONCE;
  const int rows = (int)min ((int64_t)ROWS_AT_ONCE, m - row0);
  float sum[ROWS_AT_ONCE] = {};

  if (col >= n)
    return;
  for (int64_t i = lane; i < k; i += 32)
    {
      float v = load_value<W_F32> (w, col * ldw + i);
#pragma unroll
      for (int r = 0; r < ROWS_AT_ONCE; r++)
        if (r < rows)
          sum[r] = fmaf (load_value<X_F32> (x, (row0 + r) * ldx + i), v, sum[r]);
    }

  float bias_of_col = bias ? bias[col] : 0;
#pragma unroll
  for (int r = 0; r < ROWS_AT_ONCE; r++)
    {
      float total = warp_sum (sum[r]);
      if (lane == 0 && r < rows)
        store_value<Y_F32> (y, (row0 + r) * ldy + col, total + bias_of_col);
    }
}

static dim3
rows_grid (int64_t m, int64_t n)
{
  return dim3 ((unsigned)((m + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE), (unsigned)((n + ROWS_WARPS - 1) / ROWS_WARPS));
}

extern "C" int
zie_cuda_linear_small (CudaStream stream, float *y, int64_t ldy, const float *x, int64_t ldx, const void *w, int w_is_f32,
                       const float *bias, int64_t m, int64_t n, int64_t k)
{
  return launch_kernel (w_is_f32 ? linear_rows_kernel<true, true, true> : linear_rows_kernel<true, true, false>, rows_grid (m, n),
                        ROWS_WARPS * 32, 0, stream, y, ldy, x, ldx, w, k, bias, m, n, k);
}

/* The tiles copy pieces of 8 numbers and store pairs.  What does not come so (a feed-forward of 682, as small models have
 * it) is computed the plain way. */
static bool
is_regular (const CudaGemm *g)
{
  return g->k % 8 == 0 && g->ldx % 8 == 0 && g->ldw % 8 == 0 && (uintptr_t)g->x % 16 == 0 && (uintptr_t)g->w % 16 == 0
         && (g->y_is_f32 || (g->n % 2 == 0 && g->ldy % 2 == 0 && (uintptr_t)g->y % 4 == 0));
}

static int
gemm_irregular (CudaStream stream, const CudaGemm *g)
{
  return launch_kernel (g->y_is_f32 ? linear_rows_kernel<true, false, false> : linear_rows_kernel<false, false, false>,
                        rows_grid (g->m, g->n), ROWS_WARPS * 32, 0, stream, g->y, g->ldy, g->x, g->ldx, g->w, g->ldw, g->bias, g->m,
                        g->n, g->k);
}

template <class Tile>
static int
launch_mma (CudaStream stream, const CudaGemm *g)
{
  int64_t tiles = ((g->m + Tile::BM - 1) / Tile::BM) * ((g->n + Tile::BN - 1) / Tile::BN);

  return launch_kernel (g->y_is_f32 ? gemm_mma_kernel<Tile, true> : gemm_mma_kernel<Tile, false>, dim3 ((unsigned)tiles),
                        Tile::THREADS, Tile::SMEM, stream, *g);
}

/* How long it takes, up to a factor: rounds of all SMs over the tiles, each as long as its sums and some for its ends.
 * RATE: what the tile reaches when there is enough to do, of the best. */
template <class Tile>
static double
estimate (const CudaCard *card, const CudaGemm *g, double rate)
{
  double tiles = (double)((g->m + Tile::BM - 1) / Tile::BM) * (double)((g->n + Tile::BN - 1) / Tile::BN);
  double rounds = ceil (tiles / card->n_sms);

  return rounds * Tile::BM * Tile::BN / rate;
}

static int
gemm_mma (const CudaCard *card, CudaStream stream, const CudaGemm *g)
{
  typedef int (*Launch) (CudaStream, const CudaGemm *);
  const struct
  {
    double time;
    Launch launch;
  } tiles[] = {
    { estimate<GemmTileWide> (card, g, 1), launch_mma<GemmTileWide> },
    { estimate<GemmTileSquare> (card, g, 0.95), launch_mma<GemmTileSquare> },
    { estimate<GemmTileLow> (card, g, 0.8), launch_mma<GemmTileLow> },
    { estimate<GemmTileSmall> (card, g, 0.4), launch_mma<GemmTileSmall> },
  };
  int best = 0;

  for (int i = 1; i < 4; i++)
    if (tiles[i].time < tiles[best].time)
      best = i;
  return tiles[best].launch (stream, g);
}

extern "C" int
zie_cuda_gemm (const CudaCard *card, CudaStream stream, const CudaGemm *g, CudaKernelChoice choice)
{
  if (g->m <= 0 || g->n <= 0)
    return 0;
  if (!is_regular (g))
    return gemm_irregular (stream, g);
  if (choice != CUDA_KERNEL_MMA && cuda_gemm_hopper_takes (card, g, choice))
    return cuda_gemm_hopper (card, stream, g);
  return gemm_mma (card, stream, g);
}
