/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cuda-intrinsics.h"

/* What the kernels over rows share: loads and stores of W neighbouring elements as floats, sums over a block, and one
 * kernel that maps a function over a matrix. */

constexpr int CUDA_OK = 0, CUDA_BAD_VALUE = 1;         /* cudaSuccess, cudaErrorInvalidValue */

/* Vectors of W = 8 elements need this of pointers and row distances; else W = 1. */
static inline bool
is_aligned16 (const void *p)
{
  return (uintptr_t)p % 16 == 0;
}

static inline bool
is_row_aligned (const void *p, int64_t ld, bool is_f32)
{
  return is_aligned16 (p) && ld % (is_f32 ? 4 : 8) == 0;
}

/* Vectors of f32 that may be missing. */
static inline bool
are_vectors_aligned (const float *a, const float *b)
{
  return is_aligned16 (a) && is_aligned16 (b);
}

/* --- W elements --- */

template <int W>
DEVICE void
load_values (float *v, const cuda_bf16 *p)
{
  if constexpr (W == 8)
    unpack_bf16x8 (v, load16_once (p));
  else
    v[0] = bf16_to_float (*p);
}

template <int W>
DEVICE void
load_values (float *v, const float *p)
{
  if constexpr (W == 8)
    {
      uint4 a = load16_once (p), b = load16_once (p + 4);

      v[0] = uint_as_float (a.x), v[1] = uint_as_float (a.y), v[2] = uint_as_float (a.z), v[3] = uint_as_float (a.w);
      v[4] = uint_as_float (b.x), v[5] = uint_as_float (b.y), v[6] = uint_as_float (b.z), v[7] = uint_as_float (b.w);
    }
  else
    v[0] = *p;
}

/* Of a vector that every row needs: it shall stay in the caches. */
template <int W>
DEVICE void
load_vector (float *v, const float *p)
{
  if constexpr (W == 8)
    {
      uint4 a = load16_const (p), b = load16_const (p + 4);

      v[0] = uint_as_float (a.x), v[1] = uint_as_float (a.y), v[2] = uint_as_float (a.z), v[3] = uint_as_float (a.w);
      v[4] = uint_as_float (b.x), v[5] = uint_as_float (b.y), v[6] = uint_as_float (b.z), v[7] = uint_as_float (b.w);
    }
  else
    v[0] = __ldg (p);
}

/* a[AT ...] * b[AT ...], either of them missing = 1. */
template <int W>
DEVICE void
load_factors (float *v, const float *a, const float *b, int64_t at)
{
  float w[W];

  if (a)
    load_vector<W> (v, a + at);
  else
#pragma unroll
    for (int i = 0; i < W; i++)
      v[i] = 1;
  if (!b)
    return;
  load_vector<W> (w, b + at);
#pragma unroll
  for (int i = 0; i < W; i++)
    v[i] *= w[i];
}

template <int W>
DEVICE void
store_values (cuda_bf16 *p, const float *v)
{
  if constexpr (W == 8)
    store16 (p, pack_bf16x8 (v));
  else
    *p = float_to_bf16 (v[0]);
}

template <int W>
DEVICE void
store_values (float *p, const float *v)
{
  if constexpr (W == 8)
    {
      store16 (p, make_uint4 (float_as_uint (v[0]), float_as_uint (v[1]), float_as_uint (v[2]), float_as_uint (v[3])));
      store16 (p + 4, make_uint4 (float_as_uint (v[4]), float_as_uint (v[5]), float_as_uint (v[6]), float_as_uint (v[7])));
    }
  else
    *p = v[0];
}

/* W elements as they were read: 8 bf16 stay packed while others are on their way. */
template <int W, class T>
struct Piece
{
  float v[W];
};

template <>
struct Piece<8, cuda_bf16>
{
  uint4 v;
};

template <int W, class T>
DEVICE void
read_piece (Piece<W, T> *piece, const T *p)
{
  if constexpr (W == 8 && sizeof (T) == 2)
    piece->v = load16_once (p);
  else
    load_values<W> (piece->v, p);
}

template <int W, class T>
DEVICE void
open_piece (float *v, const Piece<W, T> *piece)
{
  if constexpr (W == 8 && sizeof (T) == 2)
    unpack_bf16x8 (v, piece->v);
  else
#pragma unroll
    for (int i = 0; i < W; i++)
      v[i] = piece->v[i];
}

/* --- blocks --- */

/* The sum over all threads in each of them, the same bits; one barrier.  MEMORY: 32 numbers of shared memory, free again
 * behind one barrier more. */
template <class T>
DEVICE T
block_sum (T v, T *memory)
{
  int lane = threadIdx.x % 32;

  v = warp_sum (v);
  if (lane == 0)
    memory[threadIdx.x / 32] = v;
  block_barrier ();
  return warp_sum (lane < (int)blockDim.x / 32 ? memory[lane] : T (0));
}

DEVICE float
block_max (float v, float *memory)
{
  int lane = threadIdx.x % 32;

  v = warp_max (v);
  if (lane == 0)
    memory[threadIdx.x / 32] = v;
  block_barrier ();
  return warp_max (lane < (int)blockDim.x / 32 ? memory[lane] : -INFINITY);
}

/* FACTOR: 1 / root of a mean of squares.  Of a row that is not finite, or whose squares are too large to be added, it is NaN or 0. */
DEVICE void
check_factor (CudaBroken broken, float factor)
{
  if (!(factor > 0) && broken.first)
    atomicMax (broken.first, broken.place);
}

/* --- maps --- */

constexpr int MAP_THREADS = 256, MAP_UNROLL = 4;

/* F over pieces of rows: F::Data is what F.load (row, piece) reads and F.store (row, piece, data) uses.  A thread has
 * MAP_UNROLL pieces, all of which it reads before it writes one, so that many reads are under way. */
template <class F>
__global__ void __launch_bounds__ (MAP_THREADS)
map_kernel (F f, int64_t row0, uint32_t total, uint32_t n_pieces)
{
  uint32_t first = blockIdx.x * (uint32_t)(MAP_THREADS * MAP_UNROLL) + threadIdx.x;
  typename F::Data data[MAP_UNROLL];

#pragma unroll
  for (int i = 0; i < MAP_UNROLL; i++)
    {
      uint32_t at = first + i * MAP_THREADS;

      if (at < total)
        f.load (row0 + at / n_pieces, at % n_pieces, &data[i]);
    }
#pragma unroll
  for (int i = 0; i < MAP_UNROLL; i++)
    {
      uint32_t at = first + i * MAP_THREADS;

      if (at < total)
        f.store (row0 + at / n_pieces, at % n_pieces, &data[i]);
    }
}

/* In launches of at most 2^31 pieces. */
template <class F>
static int
launch_map (CudaStream stream, const F &f, int64_t rows, int64_t n_pieces)
{
  const int64_t most = 1ll << 31;
  int64_t step;

  if (rows <= 0 || n_pieces <= 0)
    return CUDA_OK;
  if (n_pieces > most)
    return CUDA_BAD_VALUE;
  step = most / n_pieces;
  for (int64_t row = 0; row < rows; row += step)
    {
      uint32_t total = (uint32_t)((rows - row < step ? rows - row : step) * n_pieces);
      uint32_t per_block = MAP_THREADS * MAP_UNROLL;
      int error = launch_kernel (map_kernel<F>, dim3 ((total - 1) / per_block + 1), MAP_THREADS, 0, stream, f, row, total,
                                 (uint32_t)n_pieces);

      if (error != CUDA_OK)
        return error;
    }
  return CUDA_OK;
}
