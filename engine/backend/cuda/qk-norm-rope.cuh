/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cuda-rows.cuh"

/* RMSNorm of each head of q and k, then the rotation, in place: one read and one write.
 *
 * qk_norm_rope_kernel: d a power of two from 16 to 256.  A thread holds pieces of 8 neighbouring elements, d / 8 lanes a
 * head; a block's THREADS are whole heads, so a thread is at the same place of each of its V heads and loads cos, sin and
 * weights once.  A piece never sees whether it is of q or of k but for its address and its weight. */

constexpr int ROPE_V = 4, ROPE_MAX_THREADS = 256;

template <bool IS_HALF>
__global__ void __launch_bounds__ (ROPE_MAX_THREADS)
qk_norm_rope_kernel (CudaQkNormRope a)
{
  const int lanes = a.d / 8;                           /* of one head */
  const int n_q = a.heads * lanes, n_pieces = n_q + a.kv_heads * lanes;
  const int first = blockIdx.y * (blockDim.x * ROPE_V) + threadIdx.x, column = threadIdx.x % lanes * 8;
  const int pair = IS_HALF ? column % (a.d / 2) : column / 2;
  const bool is_upper = column >= a.d / 2;
  const int64_t row = blockIdx.x;
  const float *cos_row = a.cos + row * (a.d / 2) + pair, *sin_row = a.sin + row * (a.d / 2) + pair;
  float cos_v[IS_HALF ? 8 : 4], sin_v[IS_HALF ? 8 : 4];
  uint4 data[ROPE_V];

#pragma unroll
  for (int v = 0; v < ROPE_V; v++)
    {
      int piece = first + v * blockDim.x;

      data[v] = make_uint4 (0, 0, 0, 0);
      if (piece < n_q)
        data[v] = load16_once (a.q + row * a.ldq + piece * 8);
      else if (piece < n_pieces)
        data[v] = load16_once (a.k + row * a.ldk + (piece - n_q) * 8);
    }
#pragma unroll
  for (int i = 0; i < (IS_HALF ? 8 : 4); i += 4)
    {
      uint4 c = load16_const (cos_row + i), s = load16_const (sin_row + i);

      cos_v[i] = uint_as_float (c.x), cos_v[i + 1] = uint_as_float (c.y);
      cos_v[i + 2] = uint_as_float (c.z), cos_v[i + 3] = uint_as_float (c.w);
      sin_v[i] = uint_as_float (s.x), sin_v[i + 1] = uint_as_float (s.y);
      sin_v[i + 2] = uint_as_float (s.z), sin_v[i + 3] = uint_as_float (s.w);
    }

#pragma unroll
  for (int v = 0; v < ROPE_V; v++)
    {
      int piece = first + v * blockDim.x;
      bool is_q = piece < n_q;
      float x[8], w[8], turned[8], sum = 0, factor;

      unpack_bf16x8 (x, data[v]);
#pragma unroll
      for (int i = 0; i < 8; i++)
        sum += x[i] * x[i];
      for (int mask = lanes / 2; mask; mask /= 2)
        sum += warp_shuffle_xor (sum, mask);
      factor = rsqrtf (sum / (float)a.d + a.eps);
      check_factor (a.broken, factor);
      load_factors<8> (w, is_q ? a.wq : a.wk, NULL, column);
#pragma unroll
      for (int i = 0; i < 8; i++)
        x[i] *= factor * w[i];

      if constexpr (IS_HALF)
        {
#pragma unroll
          for (int i = 0; i < 8; i++)
            {
              float other = warp_shuffle_xor (x[i], lanes / 2);

              turned[i] = is_upper ? other * sin_v[i] + x[i] * cos_v[i] : x[i] * cos_v[i] - other * sin_v[i];
            }
        }
      else
        {
#pragma unroll
          for (int i = 0; i < 4; i++)
            {
              turned[2 * i] = x[2 * i] * cos_v[i] - x[2 * i + 1] * sin_v[i];
              turned[2 * i + 1] = x[2 * i] * sin_v[i] + x[2 * i + 1] * cos_v[i];
            }
        }
      if (is_q)
        store16 (a.q + row * a.ldq + piece * 8, pack_bf16x8 (turned));
      else if (piece < n_pieces)
        store16 (a.k + row * a.ldk + (piece - n_q) * 8, pack_bf16x8 (turned));
    }
}

constexpr int ROPE_ANY_THREADS = 128;

/* Any even d: a warp a head, a lane the pairs lane, lane + 32 ..., which it reads twice. */
__global__ void __launch_bounds__ (ROPE_ANY_THREADS)
qk_norm_rope_any_kernel (CudaQkNormRope a)
{
  const int head = blockIdx.y * (ROPE_ANY_THREADS / 32) + threadIdx.x / 32, lane = threadIdx.x % 32, half = a.d / 2;
  const int step = a.half ? half : 1;
  const int64_t row = blockIdx.x;
  const float *w = head < a.heads ? a.wq : a.wk;
  cuda_bf16 *x;
  float sum = 0, factor;

  if (head >= a.heads + a.kv_heads)
    return;
  x = head < a.heads ? a.q + row * a.ldq + head * a.d : a.k + row * a.ldk + (head - a.heads) * a.d;
  for (int i = lane; i < half; i += 32)
    {
      int at = a.half ? i : 2 * i;
      float lo = bf16_to_float (x[at]), hi = bf16_to_float (x[at + step]);

      sum += lo * lo + hi * hi;
    }
  factor = rsqrtf (warp_sum (sum) / (float)a.d + a.eps);
  check_factor (a.broken, factor);
  for (int i = lane; i < half; i += 32)
    {
      int at = a.half ? i : 2 * i;
      float lo = bf16_to_float (x[at]) * factor * (w ? w[at] : 1);
      float hi = bf16_to_float (x[at + step]) * factor * (w ? w[at + step] : 1);
      float c = a.cos[row * half + i], s = a.sin[row * half + i];

      x[at] = float_to_bf16 (lo * c - hi * s);
      x[at + step] = float_to_bf16 (lo * s + hi * c);
    }
}
