/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-rows.cuh"

/* What changes order: patches, planes and pixels, transposes; and the softmax of attention as two products. */

/* --- patches of 2 x 2 --- */

/* Element (TOKEN, AT) of the tokens, channel fastest: its place in the latent [channels, h, w]. */
DEVICE int64_t
patch_place (int64_t token, uint32_t at, int channels, int h, int w)
{
  int64_t py = at / channels / 2, px = at / channels % 2;
  int64_t y = token / (w / 2) * 2 + py, x = token % (w / 2) * 2 + px;

  return ((int64_t)(at % channels) * h + y) * w + x;
}

struct Patchify
{
  typedef float Data;
  cuda_bf16 *y;
  const float *latent;
  int64_t ldy;
  int channels, h, w;

  DEVICE void
  load (int64_t token, uint32_t at, Data *data) const
  {
    *data = latent[patch_place (token, at, channels, h, w)];
  }

  DEVICE void
  store (int64_t token, uint32_t at, const Data *data) const
  {
    y[token * ldy + at] = float_to_bf16 (*data);
  }
};

int
zie_cuda_patchify (CudaStream stream, cuda_bf16 *y, int64_t ldy, const float *latent, int channels, int h, int w)
{
  return launch_map (stream, Patchify { y, latent, ldy, channels, h, w }, (int64_t)(h / 2) * (w / 2), 4 * (int64_t)channels);
}

template <class T>
struct Unpatchify
{
  typedef float Data;
  float *latent;
  const T *x;
  int64_t ldx;
  int channels, h, w;

  DEVICE void
  load (int64_t token, uint32_t at, Data *data) const
  {
    load_values<1> (data, x + token * ldx + at);
  }

  DEVICE void
  store (int64_t token, uint32_t at, const Data *data) const
  {
    latent[patch_place (token, at, channels, h, w)] = *data;
  }
};

int
zie_cuda_unpatchify (CudaStream stream, float *latent, const void *x, int x_is_f32, int64_t ldx, int channels, int h, int w)
{
  int64_t rows = (int64_t)(h / 2) * (w / 2), cols = 4 * (int64_t)channels;

  if (x_is_f32)
    return launch_map (stream, Unpatchify<float> { latent, (const float *)x, ldx, channels, h, w }, rows, cols);
  return launch_map (stream, Unpatchify<cuda_bf16> { latent, (const cuda_bf16 *)x, ldx, channels, h, w }, rows, cols);
}

/* --- planes [channels, pixels] and pixels [pixels, channels] --- */

constexpr int PLANES_THREADS = 256;

/* A thread has a pixel: neighbours read neighbouring places of each plane, and write what lies together. */
template <class T>
__global__ void __launch_bounds__ (PLANES_THREADS)
planes_to_pixels_kernel (T *y, const float *x, int64_t n_pixels, int channels, float scale, float shift)
{
  int64_t pixel = (int64_t)blockIdx.x * PLANES_THREADS + threadIdx.x;

  if (pixel >= n_pixels)
    return;
  for (int c = 0; c < channels; c++)
    {
      float v = x[c * n_pixels + pixel] * scale + shift;

      store_values<1> (y + pixel * channels + c, &v);
    }
}

int
zie_cuda_planes_to_pixels (CudaStream stream, void *y, int y_is_f32, const float *x, int64_t n_pixels, int channels, float scale,
                           float shift)
{
  dim3 grid ((unsigned)((n_pixels + PLANES_THREADS - 1) / PLANES_THREADS));

  if (y_is_f32)
    return launch_kernel (planes_to_pixels_kernel<float>, grid, PLANES_THREADS, 0, stream, (float *)y, x, n_pixels, channels,
                          scale, shift);
  return launch_kernel (planes_to_pixels_kernel<cuda_bf16>, grid, PLANES_THREADS, 0, stream, (cuda_bf16 *)y, x, n_pixels,
                        channels, scale, shift);
}

template <class T>
__global__ void __launch_bounds__ (PLANES_THREADS)
pixels_to_planes_kernel (float *y, const T *x, int64_t n_pixels, int channels, float scale, float shift)
{
  int64_t pixel = (int64_t)blockIdx.x * PLANES_THREADS + threadIdx.x;

  if (pixel >= n_pixels)
    return;
  for (int c = 0; c < channels; c++)
    {
      float v;

      load_values<1> (&v, x + pixel * channels + c);
      y[c * n_pixels + pixel] = v * scale + shift;
    }
}

int
zie_cuda_pixels_to_planes (CudaStream stream, float *y, const void *x, int x_is_f32, int64_t n_pixels, int channels, float scale,
                           float shift)
{
  dim3 grid ((unsigned)((n_pixels + PLANES_THREADS - 1) / PLANES_THREADS));

  if (x_is_f32)
    return launch_kernel (pixels_to_planes_kernel<float>, grid, PLANES_THREADS, 0, stream, y, (const float *)x, n_pixels,
                          channels, scale, shift);
  return launch_kernel (pixels_to_planes_kernel<cuda_bf16>, grid, PLANES_THREADS, 0, stream, y, (const cuda_bf16 *)x, n_pixels,
                        channels, scale, shift);
}

/* --- pixels to bytes --- */

constexpr int RGB8_THREADS = 256, RGB8_PIXELS = 4;

/* A thread has four pixels: 48 bytes in, 12 out.  What a block saw meets in shared memory, what all saw in FOUND: counts and
 * extremes of integers, the same in any order. */
__global__ void __launch_bounds__ (RGB8_THREADS)
rows_to_rgb8_kernel (uint8_t *rgb, CudaRgb8Found *found, const float *x, int64_t n_pixels)
{
  __shared__ uint32_t seen[7];                   /* not finite, most of each channel, 255 - least */
  const int64_t first = ((int64_t)blockIdx.x * RGB8_THREADS + threadIdx.x) * RGB8_PIXELS;
  const int n = (int)(first >= n_pixels ? 0 : min ((int64_t)RGB8_PIXELS, n_pixels - first)) * 3;
  uint32_t byte[3 * RGB8_PIXELS], mine[7] = { 0, 0, 0, 0, 0, 0, 0 };
  float v[3 * RGB8_PIXELS];

  if (threadIdx.x < 7)
    seen[threadIdx.x] = 0;
  block_barrier ();

  if (n == 3 * RGB8_PIXELS)
    {
#pragma unroll
      for (int i = 0; i < 3; i++)
        {
          uint4 data = load16_once (x + 3 * first + 4 * i);

          v[4 * i] = uint_as_float (data.x), v[4 * i + 1] = uint_as_float (data.y);
          v[4 * i + 2] = uint_as_float (data.z), v[4 * i + 3] = uint_as_float (data.w);
        }
    }
  else
#pragma unroll
    for (int i = 0; i < 3 * RGB8_PIXELS; i++)
      v[i] = i < n ? x[3 * first + i] : 0;

#pragma unroll
  for (int i = 0; i < 3 * RGB8_PIXELS; i++)
    {
      float y = 0.5f * v[i] + 0.5f;

      y = y > 0 ? y : 0;                         /* NaN too */
      y = y < 1 ? y : 1;
      byte[i] = (uint32_t)rintf (255 * y);       /* the product is rounded first, so nothing can be contracted */
      if (i < n)
        {
          mine[0] += (float_as_uint (v[i]) & 0x7f800000u) == 0x7f800000u;
          mine[1 + i % 3] = max (mine[1 + i % 3], byte[i]);
          mine[4 + i % 3] = max (mine[4 + i % 3], 255 - byte[i]);
        }
    }
  if (n == 3 * RGB8_PIXELS)
    {
      uint32_t *to = (uint32_t *)(rgb + 3 * first);

#pragma unroll
      for (int i = 0; i < 3; i++)
        to[i] = byte[4 * i] | byte[4 * i + 1] << 8 | byte[4 * i + 2] << 16 | byte[4 * i + 3] << 24;
    }
  else
#pragma unroll
    for (int i = 0; i < 3 * RGB8_PIXELS; i++)
      if (i < n)
        rgb[3 * first + i] = (uint8_t)byte[i];

#pragma unroll
  for (int k = 0; k < 7; k++)
    {
#pragma unroll
      for (int mask = 16; mask; mask >>= 1)
        {
          uint32_t other = warp_shuffle_xor (mine[k], mask);

          mine[k] = k == 0 ? mine[k] + other : max (mine[k], other);
        }
      if (threadIdx.x % 32 == 0)
        {
          if (k == 0)
            atomicAdd (&seen[0], mine[0]);
          else
            atomicMax (&seen[k], mine[k]);
        }
    }
  block_barrier ();
  if (threadIdx.x == 0 && seen[0] > 0)
    atomicAdd (&found->n_not_finite, seen[0]);
  if (threadIdx.x >= 1 && threadIdx.x < 4)
    atomicMax (&found->most[threadIdx.x - 1], seen[threadIdx.x]);
  if (threadIdx.x >= 4 && threadIdx.x < 7)
    atomicMax (&found->inverted_least[threadIdx.x - 4], seen[threadIdx.x]);
}

int
zie_cuda_rows_to_rgb8 (CudaStream stream, uint8_t *rgb, CudaRgb8Found *found, const float *x, int64_t n_pixels)
{
  const int64_t per_block = RGB8_THREADS * RGB8_PIXELS;

  if (n_pixels <= 0)
    return CUDA_OK;
  if (!is_aligned16 (x) || (uintptr_t)rgb % 4 != 0 || n_pixels > 1ll << 30)
    return CUDA_BAD_VALUE;
  return launch_kernel (rows_to_rgb8_kernel, dim3 ((unsigned)((n_pixels + per_block - 1) / per_block)), RGB8_THREADS, 0, stream, rgb,
                        found, x, n_pixels);
}

/* --- transpose --- */

constexpr int TILE = 64, TILE_PITCH = TILE / 2 + 1, TILE_THREADS = 256;

/* A block turns 64 x 64 elements: pieces of 8 come in, pieces of 8 leave, 128 bytes of a row by 8 neighbouring threads both
 * times.  Rows of shared memory are 33 words, so that a column lies in different banks.  IS_ALIGNED: 16 bytes at once. */
template <bool IS_ALIGNED>
__global__ void __launch_bounds__ (TILE_THREADS)
transpose_kernel (cuda_bf16 *yt, int64_t ldyt, const cuda_bf16 *x, int64_t ldx, int64_t rows, int64_t cols)
{
  __shared__ uint32_t tile[TILE][TILE_PITCH];
  const int64_t row0 = (int64_t)blockIdx.x * TILE, col0 = (int64_t)blockIdx.y * TILE;

#pragma unroll
  for (int i = 0; i < TILE * TILE / 8 / TILE_THREADS; i++)
    {
      int piece = threadIdx.x + i * TILE_THREADS, r = piece / (TILE / 8), c = piece % (TILE / 8) * 8;
      const cuda_bf16 *from = x + (row0 + r) * ldx + col0 + c;
      uint4 v = make_uint4 (0, 0, 0, 0);

      if (row0 + r < rows && IS_ALIGNED && col0 + c + 8 <= cols)
        v = load16_once (from);
      else if (row0 + r < rows)
        {
          uint32_t e[8];

#pragma unroll
          for (int j = 0; j < 8; j++)
            e[j] = col0 + c + j < cols ? from[j] : 0;
          v = make_uint4 (e[0] | e[1] << 16, e[2] | e[3] << 16, e[4] | e[5] << 16, e[6] | e[7] << 16);
        }
      tile[r][c / 2] = v.x, tile[r][c / 2 + 1] = v.y, tile[r][c / 2 + 2] = v.z, tile[r][c / 2 + 3] = v.w;
    }
  block_barrier ();

#pragma unroll
  for (int i = 0; i < TILE * TILE / 8 / TILE_THREADS; i++)
    {
      int piece = threadIdx.x + i * TILE_THREADS, c = piece / (TILE / 8), r = piece % (TILE / 8) * 8;
      cuda_bf16 *to = yt + (col0 + c) * ldyt + row0 + r;
      uint32_t e[8];

      if (col0 + c >= cols)
        continue;
#pragma unroll
      for (int j = 0; j < 8; j++)
        e[j] = tile[r + j][c / 2] >> (c % 2 * 16) & 0xffff;
      if (IS_ALIGNED && row0 + r + 8 <= rows)
        store16 (to, make_uint4 (e[0] | e[1] << 16, e[2] | e[3] << 16, e[4] | e[5] << 16, e[6] | e[7] << 16));
      else
#pragma unroll
        for (int j = 0; j < 8; j++)
          if (row0 + r + j < rows)
            to[j] = (cuda_bf16)e[j];
    }
}

int
zie_cuda_transpose (CudaStream stream, cuda_bf16 *yt, int64_t ldyt, const cuda_bf16 *x, int64_t ldx, int64_t rows, int64_t cols)
{
  bool is_aligned = is_row_aligned (yt, ldyt, false) && is_row_aligned (x, ldx, false);
  int64_t n_down = (rows + TILE - 1) / TILE, n_across = (cols + TILE - 1) / TILE;

  if (n_across > 65535)
    return CUDA_BAD_VALUE;
  return launch_kernel (is_aligned ? transpose_kernel<true> : transpose_kernel<false>,
                        dim3 ((unsigned)n_down, (unsigned)n_across), TILE_THREADS, 0, stream, yt, ldyt, x, ldx, rows, cols);
}

/* --- softmax --- */

constexpr int SOFTMAX_MAX_THREADS = 512;
constexpr float LOG2_E = 1.4426950408889634f;

typedef struct
{
  cuda_bf16 *p;
  const float *scores;
  int64_t ldp, lds, cols;
  float scale;                           /* times log2 e: exponentials are powers of two */
} Softmax;

/* A block has a row, all of it in registers: V pieces of 8 columns a thread. */
template <int V>
__global__ void __launch_bounds__ (SOFTMAX_MAX_THREADS)
softmax_rows_kernel (Softmax a)
{
  __shared__ float memory[2][32];
  const float *scores = a.scores + blockIdx.x * a.lds;
  const int n_pieces = (int)(a.cols / 8);
  float x[V][8], most = -INFINITY, sum = 0;

#pragma unroll
  for (int v = 0; v < V; v++)
    {
      int piece = threadIdx.x + v * blockDim.x;

      if (piece < n_pieces)
        load_values<8> (x[v], scores + piece * 8);
      else
#pragma unroll
        for (int i = 0; i < 8; i++)
          x[v][i] = -INFINITY;
    }
#pragma unroll
  for (int v = 0; v < V; v++)
#pragma unroll
    for (int i = 0; i < 8; i++)
      {
        x[v][i] *= a.scale;
        most = fmaxf (most, x[v][i]);
      }
  most = block_max (most, memory[0]);
#pragma unroll
  for (int v = 0; v < V; v++)
#pragma unroll
    for (int i = 0; i < 8; i++)
      {
        x[v][i] = ex2 (x[v][i] - most);
        sum += x[v][i];
      }
  sum = 1 / block_sum (sum, memory[1]);
#pragma unroll
  for (int v = 0; v < V; v++)
    {
      int piece = threadIdx.x + v * blockDim.x;

      if (piece >= n_pieces)
        continue;
#pragma unroll
      for (int i = 0; i < 8; i++)
        x[v][i] *= sum;
      store_values<8> (a.p + blockIdx.x * a.ldp + piece * 8, x[v]);
    }
}

/* Rows of any width: read twice, the second time mostly from the L2 cache.  A thread carries the highest score that it saw
 * and the sum below it. */
template <int W>
__global__ void __launch_bounds__ (SOFTMAX_MAX_THREADS)
softmax_any_kernel (Softmax a)
{
  __shared__ float memory[2][32];
  const float *scores = a.scores + blockIdx.x * a.lds;
  float most = -INFINITY, sum = 0, highest;

  for (int64_t at = (int64_t)threadIdx.x * W; at < a.cols; at += blockDim.x * W)
    {
      float x[W], before = most;

      load_values<W> (x, scores + at);
#pragma unroll
      for (int i = 0; i < W; i++)
        {
          x[i] *= a.scale;
          most = fmaxf (most, x[i]);
        }
      sum *= before == most ? 1 : ex2 (before - most);
#pragma unroll
      for (int i = 0; i < W; i++)
        sum += ex2 (x[i] - most);
    }
  highest = block_max (most, memory[0]);
  sum *= most == -INFINITY ? 0 : ex2 (most - highest);
  sum = 1 / block_sum (sum, memory[1]);

  for (int64_t at = (int64_t)threadIdx.x * W; at < a.cols; at += blockDim.x * W)
    {
      float x[W];

      load_values<W> (x, scores + at);
#pragma unroll
      for (int i = 0; i < W; i++)
        x[i] = ex2 (x[i] * a.scale - highest) * sum;
      store_values<W> (a.p + blockIdx.x * a.ldp + at, x);
    }
}

int
zie_cuda_softmax_rows (CudaStream stream, cuda_bf16 *p, int64_t ldp, const float *scores, int64_t lds, int64_t rows, int64_t cols,
                       float scale)
{
  Softmax a = { p, scores, ldp, lds, cols, scale * LOG2_E };
  bool is_aligned = cols % 8 == 0 && is_row_aligned (p, ldp, false) && is_row_aligned (scores, lds, true);
  int64_t n_pieces = cols / 8;
  int v = n_pieces <= SOFTMAX_MAX_THREADS ? 1 : n_pieces <= 2 * SOFTMAX_MAX_THREADS ? 2 : 4;
  dim3 grid ((unsigned)rows);

  if (rows <= 0 || cols <= 0)
    return CUDA_OK;
  if (!is_aligned)
    return launch_kernel (softmax_any_kernel<1>, grid, SOFTMAX_MAX_THREADS, 0, stream, a);
  if (n_pieces > 4 * SOFTMAX_MAX_THREADS)
    return launch_kernel (softmax_any_kernel<8>, grid, SOFTMAX_MAX_THREADS, 0, stream, a);
  return launch_kernel (v == 1 ? softmax_rows_kernel<1> : v == 2 ? softmax_rows_kernel<2> : softmax_rows_kernel<4>, grid,
                        (int)(((n_pieces + v - 1) / v + 31) / 32 * 32), 0, stream, a);
}
