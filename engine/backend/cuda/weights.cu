/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-rows.cuh"

/* Stored numbers to bf16 or f32.  A thread makes 8 numbers; the bytes of a file may lie anywhere, so they are read as aligned
 * words and shifted into place, and no word is read of which nothing is wanted. */

constexpr int Q8_BLOCK = 32, Q8_BLOCK_SIZE = 34;       /* an IEEE half, then 32 int8 */

/* BYTES / 4 words from P. */
template <int BYTES>
DEVICE void
load_bytes (uint32_t *words, const uint8_t *p)
{
  const uintptr_t at = (uintptr_t)p;
  const uint32_t *aligned = (const uint32_t *)(at & ~(uintptr_t)3);
  const int shift = (int)(at & 3) * 8;

  if (BYTES % 16 == 0 && at % 16 == 0)
    {
#pragma unroll
      for (int i = 0; i < BYTES / 4; i += 4)
        {
          uint4 v = load16_once (p + i * 4);

          words[i] = v.x, words[i + 1] = v.y, words[i + 2] = v.z, words[i + 3] = v.w;
        }
      return;
    }
#pragma unroll
  for (int i = 0; i < BYTES / 4; i++)
    words[i] = aligned[i];
  if (shift)
    {
      uint32_t last = aligned[BYTES / 4];

#pragma unroll
      for (int i = 0; i < BYTES / 4; i++)
        words[i] = words[i] >> shift | (i + 1 < BYTES / 4 ? words[i + 1] : last) << (32 - shift);
    }
}

DEVICE uint16_t
load_half (const uint8_t *p)
{
  return (uint16_t)(p[0] | p[1] << 8);
}

/* Number I of STORED, for the end that is no piece of 8. */
template <CudaStored TYPE>
DEVICE float
stored_at (const uint8_t *stored, int64_t i)
{
  if constexpr (TYPE == CUDA_STORED_F32)
    {
      const uint8_t *p = stored + i * 4;

      return uint_as_float (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    }
  else if constexpr (TYPE == CUDA_STORED_F16)
    return f16_to_float (load_half (stored + i * 2));
  else if constexpr (TYPE == CUDA_STORED_BF16)
    return bf16_to_float (load_half (stored + i * 2));
  else
    {
      const uint8_t *block = stored + i / Q8_BLOCK * Q8_BLOCK_SIZE;

      return f16_to_float (load_half (block)) * (float)(int8_t)block[2 + i % Q8_BLOCK];
    }
}

template <CudaStored TYPE>
DEVICE void
load_stored (float *v, const uint8_t *stored, int64_t piece)
{
  if constexpr (TYPE == CUDA_STORED_F32)
    {
      uint32_t w[8];

      load_bytes<32> (w, stored + piece * 32);
#pragma unroll
      for (int i = 0; i < 8; i++)
        v[i] = uint_as_float (w[i]);
    }
  else if constexpr (TYPE == CUDA_STORED_Q8_0)
    {
      const uint8_t *block = stored + piece / (Q8_BLOCK / 8) * Q8_BLOCK_SIZE;
      float scale = f16_to_float (load_half (block));
      uint32_t w[2];

      load_bytes<8> (w, block + 2 + piece % (Q8_BLOCK / 8) * 8);
#pragma unroll
      for (int i = 0; i < 8; i++)
        v[i] = scale * (float)(int8_t)(w[i / 4] >> (i % 4 * 8) & 0xff);
    }
  else
    {
      uint32_t w[4];

      load_bytes<16> (w, stored + piece * 16);
#pragma unroll
      for (int i = 0; i < 8; i++)
        {
          uint16_t h = (uint16_t)(w[i / 2] >> (i % 2 * 16));

          v[i] = TYPE == CUDA_STORED_F16 ? f16_to_float (h) : bf16_to_float (h);
        }
    }
}

/* Y must be aligned to 16 bytes. */
template <class Y, CudaStored TYPE>
struct Expand
{
  typedef struct { float v[8]; } Data;
  Y *y;
  const uint8_t *stored;
  int64_t n;

  DEVICE void
  load (int64_t, uint32_t piece, Data *data) const
  {
    if ((int64_t)piece * 8 + 8 <= n)
      load_stored<TYPE> (data->v, stored, piece);
  }

  DEVICE void
  store (int64_t, uint32_t piece, const Data *data) const
  {
    if ((int64_t)piece * 8 + 8 <= n)
      store_values<8> (y + (int64_t)piece * 8, data->v);
    else
      for (int64_t i = (int64_t)piece * 8; i < n; i++)
        {
          float v = stored_at<TYPE> (stored, i);

          store_values<1> (y + i, &v);
        }
  }
};

template <class Y>
static int
launch_expand (CudaStream stream, Y *y, const uint8_t *stored, CudaStored type, int64_t n)
{
  int64_t n_pieces = (n + 7) / 8;

  switch (type)
    {
    case CUDA_STORED_F32: return launch_map (stream, Expand<Y, CUDA_STORED_F32> { y, stored, n }, 1, n_pieces);
    case CUDA_STORED_F16: return launch_map (stream, Expand<Y, CUDA_STORED_F16> { y, stored, n }, 1, n_pieces);
    case CUDA_STORED_BF16: return launch_map (stream, Expand<Y, CUDA_STORED_BF16> { y, stored, n }, 1, n_pieces);
    case CUDA_STORED_Q8_0: return launch_map (stream, Expand<Y, CUDA_STORED_Q8_0> { y, stored, n }, 1, n_pieces);
    }
  return CUDA_BAD_VALUE;
}

int
zie_cuda_expand (CudaStream stream, void *y, int y_is_f32, const void *stored, CudaStored type, int64_t n)
{
  if (!is_aligned16 (y))
    return CUDA_BAD_VALUE;
  if (y_is_f32)
    return launch_expand<float> (stream, (float *)y, (const uint8_t *)stored, type, n);
  return launch_expand<cuda_bf16> (stream, (cuda_bf16 *)y, (const uint8_t *)stored, type, n);
}
