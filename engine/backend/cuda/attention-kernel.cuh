/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cuda-intrinsics.h"

/* Flash attention on mma.sync, for every card from compute capability 8.0 on.
 *
 * A block computes WARPS * 16 * M_TILES query rows of one head and walks over all keys in blocks of BN; a warp
 * owns 16 * M_TILES rows, so that the K and V fragments it loads from shared memory serve M_TILES products each.
 * Scores, softmax and output stay in registers; Q waits in shared memory, K and V come by cp.async, with STAGES =
 * 2 a block of keys ahead and one barrier a block, with 1 just in time and two barriers (less memory: more blocks
 * an SM).  Each element of Q is read once, of K and V once a block of rows.
 *
 * Softmax in base 2 with fp32 statistics.  The maximum that a row's exponents are relative to is raised only when
 * it would be more than 2^8 too low: probabilities up to 256 cost bf16 and fp32 nothing, and the accumulators are
 * hardly ever rescaled.  D is d rounded up to 64 or 128: columns from d on are zeros in shared memory. */

typedef struct
{
  cuda_bf16 *o;
  const cuda_bf16 *q, *k, *v;
  int64_t ldo, ldq, ldk, ldv;
  int m, n, d, group;          /* GROUP heads share a kv head */
  float scale;                 /* with log2 e in it */
} AttentionArgs;

/* Byte offset of a 16-byte chunk in a tile with rows of D bf16: rows of ldmatrix fall in different banks. */
template <int D>
DEVICE int
attention_offset (int row, int chunk)
{
  return row * (2 * D) + ((chunk ^ (row & 7)) << 4);
}

/* Starts the copy of rows row0 ... row0 + ROWS - 1 of x[n_rows, d] to a tile; zeros outside. */
template <int D, int ROWS, int THREADS>
DEVICE void
attention_load (uint32_t tile, const cuda_bf16 *x, int64_t ld, int row0, int n_rows, int d)
{
  constexpr int CHUNKS = D / 8, STEP = THREADS / CHUNKS;
  static_assert (ROWS % STEP == 0 && STEP % 8 == 0, "whole passes, each of whole groups of eight rows");
  int chunk = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS;
  const cuda_bf16 *src = x + (int64_t)(row0 + row) * ld + chunk * 8;
  uint32_t dst = tile + attention_offset<D> (row, chunk);
  bool is_column = chunk * 8 < d;

#pragma unroll
  for (int i = 0; i < ROWS / STEP; i++)
    {
      bool valid = is_column && row0 + row + i * STEP < n_rows;
      cp_async16 (dst + i * STEP * 2 * D, src, valid);
      src += STEP * ld;
    }
}

template <int D, int WARPS, int M_TILES, int BN, int STAGES>
constexpr int
attention_smem (void)
{
  return 2 * D * (WARPS * 16 * M_TILES + 2 * STAGES * BN);
}

template <int D, int WARPS, int M_TILES, int BN, int STAGES, int BLOCKS, bool CAUSAL>
static __global__ void
__launch_bounds__ (WARPS * 32, BLOCKS)
attention_mma_kernel (const AttentionArgs a)
{
  constexpr int WARP_ROWS = 16 * M_TILES, BM = WARPS * WARP_ROWS, THREADS = WARPS * 32, TILE = BN * 2 * D;
  constexpr float RAISE = 8;
  DYNAMIC_SHARED (smem);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int head = blockIdx.y, kv = head / a.group * a.d;
  /* Causal: the longest first, so that the short ones fill the gaps at the end. */
  const int m0 = (CAUSAL ? gridDim.x - 1 - blockIdx.x : blockIdx.x) * BM;
  const uint32_t sq = smem_addr (smem), sk = sq + BM * 2 * D, sv = sk + STAGES * TILE;

  const int n_blocks = ((CAUSAL ? min (a.n, m0 + BM) : a.n) + BN - 1) / BN;

  /* Lane addresses of ldmatrix: rows by immediate offsets, chunks by exclusive or with multiples of 32. */
  const uint32_t q_lane = sq + attention_offset<D> (warp * WARP_ROWS + (lane & 15), lane >> 4);
  const uint32_t k_lane = attention_offset<D> ((lane & 7) + (lane >> 4) * 8, lane >> 3 & 1);
  const uint32_t v_lane = attention_offset<D> (lane & 15, lane >> 4);

  float o[M_TILES][D / 8][4], top[M_TILES][2], sum[M_TILES][2];

#pragma unroll
  for (int t = 0; t < M_TILES; t++)
    {
#pragma unroll
      for (int i = 0; i < D / 8; i++)
        o[t][i][0] = o[t][i][1] = o[t][i][2] = o[t][i][3] = 0;
      top[t][0] = top[t][1] = -INFINITY;
      sum[t][0] = sum[t][1] = 0;
    }

  attention_load<D, BM, THREADS> (sq, a.q + head * a.d, a.ldq, m0, a.m, a.d);
  attention_load<D, BN, THREADS> (sk, a.k + kv, a.ldk, 0, a.n, a.d);
  if (STAGES == 2)
    attention_load<D, BN, THREADS> (sv, a.v + kv, a.ldv, 0, a.n, a.d);
  cp_async_commit ();

  for (int j = 0; j < n_blocks; j++)
    {
      const int n0 = j * BN;
      const uint32_t stage = STAGES == 2 ? (j & 1) * TILE : 0;
      const uint32_t k_addr = sk + stage + k_lane, v_addr = sv + stage + v_lane;
      float s[M_TILES][BN / 8][4];

      cp_async_wait<0> ();
      block_barrier ();
      if (STAGES == 1)
        attention_load<D, BN, THREADS> (sv, a.v + kv, a.ldv, n0, a.n, a.d);
      else if (j + 1 < n_blocks)
        {
          attention_load<D, BN, THREADS> (sk + (stage ^ TILE), a.k + kv, a.ldk, n0 + BN, a.n, a.d);
          attention_load<D, BN, THREADS> (sv + (stage ^ TILE), a.v + kv, a.ldv, n0 + BN, a.n, a.d);
        }
      cp_async_commit ();

      /* s = q k^T */
#pragma unroll
      for (int t = 0; t < M_TILES; t++)
#pragma unroll
        for (int i = 0; i < BN / 8; i++)
          s[t][i][0] = s[t][i][1] = s[t][i][2] = s[t][i][3] = 0;
#pragma unroll
      for (int c = 0; c < D / 16; c++)
        {
          uint32_t fq[M_TILES][4];
#pragma unroll
          for (int t = 0; t < M_TILES; t++)
            ldmatrix_x4 (fq[t], (q_lane ^ (c * 32)) + t * 16 * 2 * D);
#pragma unroll
          for (int i = 0; i < BN / 16; i++)
            {
              uint32_t fk[4];
              ldmatrix_x4 (fk, (k_addr ^ (c * 32)) + i * 16 * 2 * D);
#pragma unroll
              for (int t = 0; t < M_TILES; t++)
                {
                  mma_bf16 (s[t][2 * i], fq[t], fk[0], fk[1]);
                  mma_bf16 (s[t][2 * i + 1], fq[t], fk[2], fk[3]);
                }
            }
        }

      if (STAGES == 1)
        {
          cp_async_wait<0> ();
          block_barrier ();
          if (j + 1 < n_blocks)
            attention_load<D, BN, THREADS> (sk, a.k + kv, a.ldk, n0 + BN, a.n, a.d);
          cp_async_commit ();
        }

      /* Keys past the end, or later than their query (then m == n, and rows that see keys past the end are not
       * stored). */
      if (CAUSAL ? n0 + BN > m0 + warp * WARP_ROWS + 1 : n0 + BN > a.n)
        {
          const int first = n0 + (lane & 3) * 2, last = CAUSAL ? m0 + warp * WARP_ROWS + (lane >> 2) : a.n - 1;
#pragma unroll
          for (int t = 0; t < M_TILES; t++)
#pragma unroll
            for (int i = 0; i < BN / 8; i++)
#pragma unroll
              for (int e = 0; e < 4; e++)
                if (first - last > (CAUSAL ? t * 16 + (e >> 1) * 8 : 0) - i * 8 - (e & 1))
                  s[t][i][e] = -INFINITY;
        }

      /* s = 2^(s - top) */
#pragma unroll
      for (int t = 0; t < M_TILES; t++)
        {
          float factor[2];

#pragma unroll
          for (int r = 0; r < 2; r++)
            {
              float high = s[t][0][2 * r];
#pragma unroll
              for (int i = 0; i < BN / 8; i++)
                high = fmaxf (high, fmaxf (s[t][i][2 * r], s[t][i][2 * r + 1]));
              high = fmaxf (high, warp_shuffle_xor (high, 1));
              high = fmaxf (high, warp_shuffle_xor (high, 2)) * a.scale;
              /* Finite after the first block, in which every row sees key 0. */
              float next = high > top[t][r] + RAISE ? high : top[t][r];
              factor[r] = ex2 (top[t][r] - next);
              top[t][r] = next;

              float part = 0;
#pragma unroll
              for (int i = 0; i < BN / 8; i++)
                {
                  s[t][i][2 * r] = ex2 (fmaf (s[t][i][2 * r], a.scale, -next));
                  s[t][i][2 * r + 1] = ex2 (fmaf (s[t][i][2 * r + 1], a.scale, -next));
                  part += s[t][i][2 * r] + s[t][i][2 * r + 1];
                }
              sum[t][r] = sum[t][r] * factor[r] + part;
            }
          if (warp_any (factor[0] != 1 || factor[1] != 1))
            {
#pragma unroll
              for (int i = 0; i < D / 8; i++)
                {
                  o[t][i][0] *= factor[0], o[t][i][1] *= factor[0];
                  o[t][i][2] *= factor[1], o[t][i][3] *= factor[1];
                }
            }
        }

      /* o += s v: the accumulators of two neighbouring tiles of keys are one left operand. */
#pragma unroll
      for (int c = 0; c < BN / 16; c++)
        {
          uint32_t fp[M_TILES][4];
#pragma unroll
          for (int t = 0; t < M_TILES; t++)
#pragma unroll
            for (int e = 0; e < 4; e++)
              fp[t][e] = pack_bf16x2 (s[t][2 * c + (e >> 1)][(e & 1) * 2], s[t][2 * c + (e >> 1)][(e & 1) * 2 + 1]);
#pragma unroll
          for (int i = 0; i < D / 16; i++)
            {
              uint32_t fv[4];
              ldmatrix_x4_trans (fv, (v_addr ^ (i * 32)) + c * 16 * 2 * D);
#pragma unroll
              for (int t = 0; t < M_TILES; t++)
                {
                  mma_bf16 (o[t][2 * i], fp[t], fv[0], fv[1]);
                  mma_bf16 (o[t][2 * i + 1], fp[t], fv[2], fv[3]);
                }
            }
        }
    }

  /* Through the warp's own rows of Q's tile, so that stores are whole lines. */
  __syncwarp ();
#pragma unroll
  for (int t = 0; t < M_TILES; t++)
#pragma unroll
    for (int r = 0; r < 2; r++)
      {
        float total = sum[t][r];
        total += warp_shuffle_xor (total, 1);
        total += warp_shuffle_xor (total, 2);
        float inverse = 1 / total;
        int row = warp * WARP_ROWS + t * 16 + (lane >> 2) + r * 8;
#pragma unroll
        for (int i = 0; i < D / 8; i++)
          *(uint32_t *)(smem + attention_offset<D> (row, i) + (lane & 3) * 4) =
              pack_bf16x2 (o[t][i][2 * r] * inverse, o[t][i][2 * r + 1] * inverse);
      }
  __syncwarp ();
#pragma unroll
  for (int i = 0; i < WARP_ROWS * (D / 8) / 32; i++)
    {
      int row = warp * WARP_ROWS + (i * 32 + lane) / (D / 8), chunk = lane % (D / 8);
      if (m0 + row < a.m && chunk * 8 < a.d)
        store16 (a.o + (int64_t)(m0 + row) * a.ldo + head * a.d + chunk * 8,
                 load16 (smem + attention_offset<D> (row, chunk)));
    }
}
