/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cuda-intrinsics.h"

/* What the products and the convolutions with mma.sync share: tiles in shared memory and the way out of the registers. */

/* Byte offset of 16-byte piece PIECE of row ROW in a tile with rows of 128 or 64 bytes, laid out so that eight rows' reads
 * of one piece (ldmatrix) meet in no bank. */
template <int ROW_BYTES>
DEVICE uint32_t
tile_offset (int row, int piece)
{
  static_assert (ROW_BYTES == 64 || ROW_BYTES == 128, "rows of 64 or 128 bytes");
  if (ROW_BYTES == 128)
    return (uint32_t)(row * 128 + ((piece ^ (row & 7)) << 4));
  return (uint32_t)((row >> 1) * 128 + ((((row & 1) << 2 | piece) ^ (row >> 1 & 7)) << 4));
}

/* Transposes 4 x 4 words held by four neighbouring lanes: afterwards v[i] is what lane i of the four had in v[own number]. */
DEVICE void
quad_transpose (uint32_t v[4])
{
  int lane = threadIdx.x & 3;

#pragma unroll
  for (int bit = 1; bit <= 2; bit <<= 1)
    {
      bool upper = lane & bit;
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (!(i & bit))
          {
            uint32_t got = warp_shuffle_xor (upper ? v[i] : v[i | bit], bit);
            if (upper)
              v[i] = got;
            else
              v[i | bit] = got;
          }
    }
}

/* One value of a matrix of either type. */
template <bool F32>
DEVICE float
load_value (const void *p, int64_t at)
{
  return F32 ? ((const float *)p)[at] : bf16_to_float (((const cuda_bf16 *)p)[at]);
}

template <bool F32>
DEVICE void
store_value (void *p, int64_t at, float v)
{
  if (F32)
    ((float *)p)[at] = v;
  else
    ((cuda_bf16 *)p)[at] = float_to_bf16 (v);
}

/* Stores, of one row of a warp's tile, what this lane and the three others of its quad hold: N8 accumulators of 8 columns,
 * acc[j][pair], acc[j][pair + 1] the columns 8j + 2 (lane & 3) and the next one.  ROW: the row in y, COL: the column of the
 * first of them, LIMIT: columns of y.  Each lane of a warp calls, IS_ROW or not (a row past the end stores nothing).
 * ALIGNED: y and its rows are 16-byte aligned, 8 for f32. */
template <int N8, bool F32>
DEVICE void
store_row (void *y, int64_t row, int col, int limit, const float (*acc)[4], int pair, bool is_row, bool aligned)
{
  int t = threadIdx.x & 3;

  if (!F32 && N8 % 4 == 0)
    {
#pragma unroll
      for (int j = 0; j < N8; j += 4)
        {
          uint32_t v[4];
          int at = col + 8 * (j + t);
#pragma unroll
          for (int i = 0; i < 4; i++)
            v[i] = pack_bf16x2 (acc[(j + i) % N8][pair], acc[(j + i) % N8][pair + 1]);
          quad_transpose (v);
          if (!is_row || at >= limit)
            continue;
          cuda_bf16 *p = (cuda_bf16 *)y + row + at;
          if (aligned && at + 8 <= limit)
            store16 (p, make_uint4 (v[0], v[1], v[2], v[3]));
          else
#pragma unroll
            for (int i = 0; i < 8; i++)
              if (at + i < limit)
                p[i] = (cuda_bf16)(v[i / 2] >> (i % 2 * 16));
        }
      return;
    }

  if (!is_row)
    return;
#pragma unroll
  for (int j = 0; j < N8; j++)
    {
      int at = col + 8 * j + 2 * t;
      if (aligned && at + 2 <= limit)
        {
          if (F32)
            *(float2 *)((float *)y + row + at) = make_float2 (acc[j][pair], acc[j][pair + 1]);
          else
            *(uint32_t *)((cuda_bf16 *)y + row + at) = pack_bf16x2 (acc[j][pair], acc[j][pair + 1]);
        }
      else
        for (int i = 0; i < 2; i++)
          if (at + i < limit)
            store_value<F32> (y, row + at + i, acc[j][pair + i]);
    }
}
