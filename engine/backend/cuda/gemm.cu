/* SPDX-License-Identifier: Apache-2.0 */
#include "gemm-mma.cuh"
#include "gemm-private.h"

/* y[m, n] = sum x[m, k] w[n, k] + bias[n] in fp32.  A warp computes one column of ROWS rows: it reads a row of w once for
 * all of them, the rows of x from L1. */
enum { SMALL_ROWS = 8, SMALL_WARPS = 4 };

template <bool W_F32>
__global__ void __launch_bounds__ (SMALL_WARPS * 32)
linear_small_kernel (float *y, int64_t ldy, const float *x, int64_t ldx, const void *w, const float *bias, int64_t m, int64_t n,
                     int64_t k)
{
  const int lane = threadIdx.x & 31;
  const int64_t col = (int64_t)blockIdx.x * SMALL_WARPS + threadIdx.x / 32, row0 = (int64_t)blockIdx.y * SMALL_ROWS;
  const int rows = (int)min ((int64_t)SMALL_ROWS, m - row0);
  float sum[SMALL_ROWS] = {};

  if (col >= n)
    return;
  x += row0 * ldx;
  for (int64_t i = lane; i < k; i += 32)
    {
      float v = load_value<W_F32> (w, col * k + i);
#pragma unroll
      for (int r = 0; r < SMALL_ROWS; r++)
        if (r < rows)
          sum[r] = fmaf (x[r * ldx + i], v, sum[r]);
    }

  float bias_of_col = bias ? bias[col] : 0;
#pragma unroll
  for (int r = 0; r < SMALL_ROWS; r++)
    {
      float total = warp_sum (sum[r]);
      if (lane == 0 && r < rows)
        y[(row0 + r) * ldy + col] = total + bias_of_col;
    }
}

extern "C" int
zie_cuda_linear_small (CudaStream stream, float *y, int64_t ldy, const float *x, int64_t ldx, const void *w, int w_is_f32,
                       const float *bias, int64_t m, int64_t n, int64_t k)
{
  dim3 grid ((unsigned)((n + SMALL_WARPS - 1) / SMALL_WARPS), (unsigned)((m + SMALL_ROWS - 1) / SMALL_ROWS));

  return launch_kernel (w_is_f32 ? linear_small_kernel<true> : linear_small_kernel<false>, grid, SMALL_WARPS * 32, 0, stream, y, ldy,
                        x, ldx, w, bias, m, n, k);
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
  if (choice != CUDA_KERNEL_MMA && cuda_gemm_hopper_takes (card, g, choice))
    return cuda_gemm_hopper (card, stream, g);
  return gemm_mma (card, stream, g);
}
