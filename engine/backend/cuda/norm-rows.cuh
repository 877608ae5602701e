/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cuda-rows.cuh"

/* Norms over rows: a row is in the registers of one block, so it is read once and written once.  A thread holds V pieces
 * of 8 neighbouring columns, thread t pieces t, t + blockDim.x ...  Statistics are fp32 in a fixed order: lanes, then warps.
 *
 * The vectors (weights, scales, gates) are twice the bytes of a row of bf16 and the same for all rows.  A kernel that HOLDS
 * (one piece a thread) keeps their products in registers for the several rows that a block takes, and has the next row on its
 * way while it sums this one; the others take one row a block.  Wider rows and rows that cannot be read in pieces of 16 bytes take the kernels with _any_, which
 * read a row up to three times. */

constexpr int NORM_MAX_THREADS = 512, NORM_ANY_THREADS = 256;
constexpr int64_t NORM_MAX_COLS = NORM_MAX_THREADS * 8 * 4;

/* How a norm is launched: V pieces a thread, THREADS, BLOCKS that take the rows in turns. */
typedef struct
{
  int v, threads;
  int64_t blocks;
} NormShape;

/* So many rows for a block of the largest matrices: more save reads of vectors, fewer balance better. */
constexpr int NORM_ROWS_PER_BLOCK = 4, NORM_MIN_BLOCKS = 1056;

static inline NormShape
norm_shape (int64_t rows, int64_t cols)
{
  int64_t n_pieces = cols / 8, turns = rows / NORM_MIN_BLOCKS;
  NormShape shape;

  shape.v = n_pieces <= NORM_MAX_THREADS ? 1 : n_pieces <= 2 * NORM_MAX_THREADS ? 2 : 4;
  shape.threads = (int)(((n_pieces + shape.v - 1) / shape.v + 31) / 32 * 32);
  turns = shape.v > 1 || turns < 1 ? 1 : turns < NORM_ROWS_PER_BLOCK ? turns : NORM_ROWS_PER_BLOCK;
  shape.blocks = (rows + turns - 1) / turns;
  return shape;
}

/* --- x += gate * rms (y) * w; h = rms (x) * w_next * scale_next --- */

template <int V, bool HOLDS>
__global__ void __launch_bounds__ (NORM_MAX_THREADS, HOLDS ? 2 : V == 1 ? 3 : 1)
resid_norm_kernel (CudaResidNorm a)
{
  __shared__ float sums[2][32];
  const int n_pieces = (int)(a.cols / 8);
  const float per_col = 1.0f / (float)a.cols;
  uint4 x_next[V], y_next[V];
  float gate[HOLDS ? 8 : 1], scale[HOLDS ? 8 : 1];
  int64_t row = blockIdx.x;
  bool is_mine[V];

#pragma unroll
  for (int v = 0; v < V; v++)
    {
      int piece = threadIdx.x + v * blockDim.x;

      is_mine[v] = piece < n_pieces;
      x_next[v] = y_next[v] = make_uint4 (0, 0, 0, 0);
      if (is_mine[v])
        {
          x_next[v] = load16_once (a.x + row * a.ldx + piece * 8);
          y_next[v] = load16_once (a.y + row * a.ldy + piece * 8);
        }
    }
  if constexpr (HOLDS)
    if (is_mine[0])
      {
        load_factors<8> (gate, a.w, a.gate, threadIdx.x * 8);
        if (a.h)
          load_factors<8> (scale, a.w_next, a.scale_next, threadIdx.x * 8);
      }

  for (; row < a.rows; row += gridDim.x)
    {
      float x[V][8], sum = 0, factor;
      uint4 x_now[V], y_now[V];                /* packed while the block sums: half the registers */

#pragma unroll
      for (int v = 0; v < V; v++)
        {
          float y[8];

          x_now[v] = x_next[v];
          y_now[v] = y_next[v];
          unpack_bf16x8 (y, y_now[v]);
#pragma unroll
          for (int i = 0; i < 8; i++)
            sum += y[i] * y[i];
        }
      if constexpr (HOLDS)
        if (is_mine[0] && row + gridDim.x < a.rows)
          {
            x_next[0] = load16_once (a.x + (row + gridDim.x) * a.ldx + threadIdx.x * 8);
            y_next[0] = load16_once (a.y + (row + gridDim.x) * a.ldy + threadIdx.x * 8);
          }

      factor = rsqrtf (block_sum (sum, sums[0]) * per_col + a.eps);
      check_factor (a.broken, factor);
      sum = 0;
#pragma unroll
      for (int v = 0; v < V; v++)
        {
          int64_t at = (int64_t)(threadIdx.x + v * blockDim.x) * 8;
          float y[8];

          if (!is_mine[v])
            continue;
          unpack_bf16x8 (x[v], x_now[v]);
          unpack_bf16x8 (y, y_now[v]);
          if constexpr (!HOLDS)
            {
              float g[8];

              load_factors<8> (g, a.w, a.gate, at);
#pragma unroll
              for (int i = 0; i < 8; i++)
                x[v][i] += y[i] * factor * g[i];
            }
          else
#pragma unroll
            for (int i = 0; i < 8; i++)
              x[v][i] += y[i] * factor * gate[i];
          store16 (a.x + row * a.ldx + at, pack_bf16x8 (x[v]));
#pragma unroll
          for (int i = 0; i < 8; i++)
            sum += x[v][i] * x[v][i];
        }
      if (!a.h)
        {
          if constexpr (!HOLDS)
            return;
          block_barrier ();                    /* sums[0] is written again in the next turn */
          continue;
        }

      factor = rsqrtf (block_sum (sum, sums[1]) * per_col + a.eps);
      check_factor (a.broken, factor);
#pragma unroll
      for (int v = 0; v < V; v++)
        {
          int64_t at = (int64_t)(threadIdx.x + v * blockDim.x) * 8;

          if (!is_mine[v])
            continue;
          if constexpr (!HOLDS)
            {
              float s[8];

              load_factors<8> (s, a.w_next, a.scale_next, at);
#pragma unroll
              for (int i = 0; i < 8; i++)
                x[v][i] *= factor * s[i];
            }
          else
#pragma unroll
            for (int i = 0; i < 8; i++)
              x[v][i] *= factor * scale[i];
          store16 (a.h + row * a.ldh + at, pack_bf16x8 (x[v]));
        }
      if constexpr (!HOLDS)
        return;
    }
}

/* Any width and distance: y is read three times, x too, and a thread only reads again what it alone writes. */
static __global__ void __launch_bounds__ (NORM_ANY_THREADS)
resid_norm_any_kernel (CudaResidNorm a)
{
  __shared__ float sums[2][32];
  const float per_col = 1.0f / (float)a.cols;
  cuda_bf16 *x = a.x + blockIdx.x * a.ldx;
  const cuda_bf16 *y = a.y + blockIdx.x * a.ldy;
  float sum = 0, factor, next = 0;

  for (int64_t i = threadIdx.x; i < a.cols; i += blockDim.x)
    sum += bf16_to_float (y[i]) * bf16_to_float (y[i]);
  factor = rsqrtf (block_sum (sum, sums[0]) * per_col + a.eps);
  check_factor (a.broken, factor);

  if (a.h)
    {
      sum = 0;
      for (int64_t i = threadIdx.x; i < a.cols; i += blockDim.x)
        {
          float g, v;

          load_factors<1> (&g, a.w, a.gate, i);
          v = bf16_to_float (x[i]) + bf16_to_float (y[i]) * factor * g;
          sum += v * v;
        }
      next = rsqrtf (block_sum (sum, sums[1]) * per_col + a.eps);
      check_factor (a.broken, next);
    }
  for (int64_t i = threadIdx.x; i < a.cols; i += blockDim.x)
    {
      float g, v;

      load_factors<1> (&g, a.w, a.gate, i);
      v = bf16_to_float (x[i]) + bf16_to_float (y[i]) * factor * g;
      x[i] = float_to_bf16 (v);
      if (a.h)
        {
          load_factors<1> (&g, a.w_next, a.scale_next, i);
          a.h[blockIdx.x * a.ldh + i] = float_to_bf16 (v * next * g);
        }
    }
}

/* --- y = x * rsqrt (mean (x^2) + eps) * w * scale; IS_LAYER: (x - mean) * rsqrt (var + eps) * scale --- */

typedef struct
{
  cuda_bf16 *y;
  const cuda_bf16 *x;
  int64_t ldy, ldx, rows, cols;
  const float *w, *scale;
  float eps;
  CudaBroken broken;
} NormArgs;

template <int V, bool HOLDS, bool IS_LAYER>
__global__ void __launch_bounds__ (NORM_MAX_THREADS, HOLDS ? 2 : V == 1 ? 3 : 1)
norm_kernel (NormArgs a)
{
  __shared__ float sums[2][2][32];
  const int n_pieces = (int)(a.cols / 8);
  const float per_col = 1.0f / (float)a.cols;
  uint4 next[V];
  float scale[HOLDS ? 8 : 1];
  int64_t row = blockIdx.x;
  bool is_mine[V];

#pragma unroll
  for (int v = 0; v < V; v++)
    {
      int piece = threadIdx.x + v * blockDim.x;

      is_mine[v] = piece < n_pieces;
      next[v] = make_uint4 (0, 0, 0, 0);
      if (is_mine[v])
        next[v] = load16_once (a.x + row * a.ldx + piece * 8);
    }
  if constexpr (HOLDS)
    if (is_mine[0])
      load_factors<8> (scale, a.w, a.scale, threadIdx.x * 8);

  for (int turn = 0; row < a.rows; row += gridDim.x, turn ^= 1)
    {
      float x[V][8], sum = 0, factor;

#pragma unroll
      for (int v = 0; v < V; v++)
        unpack_bf16x8 (x[v], next[v]);
      if constexpr (HOLDS)
        if (is_mine[0] && row + gridDim.x < a.rows)
          next[0] = load16_once (a.x + (row + gridDim.x) * a.ldx + threadIdx.x * 8);

      if constexpr (IS_LAYER)
        {
          float mean;

#pragma unroll
          for (int v = 0; v < V; v++)
#pragma unroll
            for (int i = 0; i < 8; i++)
              sum += x[v][i];
          mean = block_sum (sum, sums[turn][1]) * per_col;
#pragma unroll
          for (int v = 0; v < V; v++)
            if (is_mine[v])
#pragma unroll
              for (int i = 0; i < 8; i++)
                x[v][i] -= mean;
          sum = 0;
        }
#pragma unroll
      for (int v = 0; v < V; v++)
#pragma unroll
        for (int i = 0; i < 8; i++)
          sum += x[v][i] * x[v][i];
      factor = rsqrtf (block_sum (sum, sums[turn][0]) * per_col + a.eps);
      check_factor (a.broken, factor);

#pragma unroll
      for (int v = 0; v < V; v++)
        {
          int64_t at = (int64_t)(threadIdx.x + v * blockDim.x) * 8;

          if (!is_mine[v])
            continue;
          if constexpr (!HOLDS)
            {
              float s[8];

              load_factors<8> (s, a.w, a.scale, at);
#pragma unroll
              for (int i = 0; i < 8; i++)
                x[v][i] *= factor * s[i];
            }
          else
#pragma unroll
            for (int i = 0; i < 8; i++)
              x[v][i] *= factor * scale[i];
          store16 (a.y + row * a.ldy + at, pack_bf16x8 (x[v]));
        }
      if constexpr (!HOLDS)
        return;
    }
}

template <bool IS_LAYER>
__global__ void __launch_bounds__ (NORM_ANY_THREADS)
norm_any_kernel (NormArgs a)
{
  __shared__ float sums[2][32];
  const float per_col = 1.0f / (float)a.cols;
  const cuda_bf16 *x = a.x + blockIdx.x * a.ldx;
  float mean = 0, sum = 0, factor;

  if constexpr (IS_LAYER)
    {
      for (int64_t i = threadIdx.x; i < a.cols; i += blockDim.x)
        mean += bf16_to_float (x[i]);
      mean = block_sum (mean, sums[1]) * per_col;
    }
  for (int64_t i = threadIdx.x; i < a.cols; i += blockDim.x)
    {
      float v = bf16_to_float (x[i]) - mean;

      sum += v * v;
    }
  factor = rsqrtf (block_sum (sum, sums[0]) * per_col + a.eps);
  check_factor (a.broken, factor);
  for (int64_t i = threadIdx.x; i < a.cols; i += blockDim.x)
    {
      float s;

      load_factors<1> (&s, a.w, a.scale, i);
      a.y[blockIdx.x * a.ldy + i] = float_to_bf16 ((bf16_to_float (x[i]) - mean) * factor * s);
    }
}

template <bool IS_LAYER>
static int
launch_norm (CudaStream stream, const NormArgs &a)
{
  NormShape s = norm_shape (a.rows, a.cols);

  if (a.rows <= 0 || a.cols <= 0)
    return CUDA_OK;
  if (a.cols % 8 || a.cols > NORM_MAX_COLS || !is_row_aligned (a.x, a.ldx, false) || !is_row_aligned (a.y, a.ldy, false)
      || !are_vectors_aligned (a.w, a.scale))
    return launch_kernel (norm_any_kernel<IS_LAYER>, dim3 ((unsigned)a.rows), NORM_ANY_THREADS, 0, stream, a);
  return launch_kernel (s.blocks < a.rows ? norm_kernel<1, true, IS_LAYER>
                        : s.v == 1        ? norm_kernel<1, false, IS_LAYER>
                        : s.v == 2        ? norm_kernel<2, false, IS_LAYER>
                                          : norm_kernel<4, false, IS_LAYER>,
                        dim3 ((unsigned)s.blocks), s.threads, 0, stream, a);
}
