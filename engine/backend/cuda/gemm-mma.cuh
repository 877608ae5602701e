/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "gemm-tile.cuh"

/* y = x w^T + bias for every card from 8.0 on.  A block computes BM x BN of y; BM + BN rows of K_BYTES bytes of K pass
 * through a ring of STAGES in shared memory, copied by cp.async.  A warp holds (BM / WARPS_M) x (BN / WARPS_N) sums. */
template <int BM_, int BN_, int WARPS_M_, int WARPS_N_, int K_BYTES_, int STAGES_, int BLOCKS_>
struct GemmTile
{
  static constexpr int BM = BM_, BN = BN_, WARPS_M = WARPS_M_, WARPS_N = WARPS_N_, K_BYTES = K_BYTES_, STAGES = STAGES_;
  static constexpr int BLOCKS = BLOCKS_;                               /* an SM should hold */
  static constexpr int THREADS = WARPS_M * WARPS_N * 32;
  static constexpr int STAGE_SIZE = (BM + BN) * K_BYTES;
  static constexpr int SMEM = STAGES * STAGE_SIZE;
  static constexpr int M16 = BM / WARPS_M / 16, N8 = BN / WARPS_N / 8;   /* of a warp */
};

typedef GemmTile<128, 256, 2, 4, 64, 4, 1> GemmTileWide;
typedef GemmTile<128, 128, 2, 2, 64, 4, 2> GemmTileSquare;
typedef GemmTile<64, 128, 2, 2, 64, 4, 2> GemmTileLow;
typedef GemmTile<64, 32, 2, 2, 128, 4, 3> GemmTileSmall;               /* few rows: many blocks, each with much in flight */

/* The block's tile: groups of 8 row tiles walk along the columns together, so that what they read stays in L2. */
DEVICE void
gemm_pick_tile (int64_t m, int64_t n, int bm, int bn, int64_t *row0, int *col0)
{
  int tiles_m = (int)((m + bm - 1) / bm), tiles_n = (int)((n + bn - 1) / bn);
  int t = blockIdx.x, group = t / (8 * tiles_n), first = group * 8, rows = min (8, tiles_m - first);

  t -= group * 8 * tiles_n;
  *row0 = (int64_t)(first + t % rows) * bm;
  *col0 = t / rows * bn;
}

template <class Tile, bool F32>
__global__ void __launch_bounds__ (Tile::THREADS, Tile::BLOCKS)
gemm_mma_kernel (CudaGemm g)
{
  constexpr int BM = Tile::BM, BN = Tile::BN, K_BYTES = Tile::K_BYTES, PIECES = K_BYTES / 16, STEP = K_BYTES / 2;
  constexpr int A_LOADS = BM * PIECES / Tile::THREADS, B_LOADS = BN * PIECES / Tile::THREADS;
  static_assert (A_LOADS * Tile::THREADS == BM * PIECES && B_LOADS * Tile::THREADS == BN * PIECES, "every thread copies as much");
  DYNAMIC_SHARED (smem);
  const uint32_t base = smem_addr (smem);
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int warp_m = warp / Tile::WARPS_N * (BM / Tile::WARPS_M), warp_n = warp % Tile::WARPS_N * (BN / Tile::WARPS_N);
  const int piece = threadIdx.x % PIECES, k = (int)g.k, n_steps = (k + STEP - 1) / STEP;
  const cuda_bf16 *a[A_LOADS], *b[B_LOADS];
  float acc[Tile::M16][Tile::N8][4] = {};
  int64_t row0;
  int col0;

  gemm_pick_tile (g.m, g.n, BM, BN, &row0, &col0);

  /* Rows past the end read the last one; their sums are not stored. */
#pragma unroll
  for (int i = 0; i < A_LOADS; i++)
    {
      int64_t row = row0 + (threadIdx.x + i * Tile::THREADS) / PIECES;
      a[i] = g.x + (row < g.m ? row : g.m - 1) * g.ldx + piece * 8;
    }
#pragma unroll
  for (int i = 0; i < B_LOADS; i++)
    {
      int64_t row = col0 + (threadIdx.x + i * Tile::THREADS) / PIECES;
      b[i] = g.w + (row < g.n ? row : g.n - 1) * g.ldw + piece * 8;
    }

  auto load = [&] (int step) {
    uint32_t to = base + step % Tile::STAGES * Tile::STAGE_SIZE;
    bool inside = step * STEP + piece * 8 < k;
#pragma unroll
    for (int i = 0; i < A_LOADS; i++)
      cp_async16 (to + tile_offset<K_BYTES> ((threadIdx.x + i * Tile::THREADS) / PIECES, piece), a[i] + step * STEP, inside);
    to += BM * K_BYTES;
#pragma unroll
    for (int i = 0; i < B_LOADS; i++)
      cp_async16 (to + tile_offset<K_BYTES> ((threadIdx.x + i * Tile::THREADS) / PIECES, piece), b[i] + step * STEP, inside);
  };

#pragma unroll
  for (int s = 0; s < Tile::STAGES - 1; s++)
    {
      if (s < n_steps)
        load (s);
      cp_async_commit ();
    }

  for (int step = 0; step < n_steps; step++)
    {
      cp_async_wait<Tile::STAGES - 2> ();
      block_barrier ();                        /* the stage is complete, and everyone has left the one before it */
      if (step + Tile::STAGES - 1 < n_steps)
        load (step + Tile::STAGES - 1);
      cp_async_commit ();

      uint32_t sa = base + step % Tile::STAGES * Tile::STAGE_SIZE, sb = sa + BM * K_BYTES;
#pragma unroll
      for (int kk = 0; kk < PIECES; kk += 2)
        {
          uint32_t fa[Tile::M16][4], fb[Tile::N8 / 2][4];
#pragma unroll
          for (int i = 0; i < Tile::M16; i++)
            ldmatrix_x4 (fa[i], sa + tile_offset<K_BYTES> (warp_m + i * 16 + (lane & 15), kk + (lane >> 4)));
#pragma unroll
          for (int j = 0; j < Tile::N8 / 2; j++)
            ldmatrix_x4 (fb[j], sb + tile_offset<K_BYTES> (warp_n + j * 16 + (lane & 7) + (lane >> 4) * 8, kk + (lane >> 3 & 1)));
#pragma unroll
          for (int i = 0; i < Tile::M16; i++)
#pragma unroll
            for (int j = 0; j < Tile::N8 / 2; j++)
              {
                mma_bf16 (acc[i][2 * j], fa[i], fb[j][0], fb[j][1]);
                mma_bf16 (acc[i][2 * j + 1], fa[i], fb[j][2], fb[j][3]);
              }
        }
    }

  const int col = col0 + warp_n, limit = (int)g.n;
  if (g.bias)
#pragma unroll
    for (int j = 0; j < Tile::N8; j++)
#pragma unroll
      for (int e = 0; e < 2; e++)
        {
          int at = col + 8 * j + 2 * (lane & 3) + e;
          float bias = at < limit ? g.bias[at] : 0;
#pragma unroll
          for (int i = 0; i < Tile::M16; i++)
            {
              acc[i][j][e] += bias;
              acc[i][j][2 + e] += bias;
            }
        }

  const bool aligned = F32 ? g.ldy % 2 == 0 : g.ldy % 8 == 0;
#pragma unroll
  for (int i = 0; i < Tile::M16; i++)
#pragma unroll
    for (int half = 0; half < 2; half++)
      {
        int64_t row = row0 + warp_m + i * 16 + half * 8 + (lane >> 2);
        store_row<Tile::N8, F32> (g.y, row * g.ldy, col, limit, acc[i], 2 * half, row < g.m, aligned);
      }
}
