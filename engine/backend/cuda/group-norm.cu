/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-rows.cuh"

/* GroupNorm over [pixels, channels] as one multiply-add a channel, in two kernels.  The first reads x once, at the speed of
 * the memory: the pixels are cut into as many parts as keep any card busy, and each block finds mean and sum of squared
 * deviations of its part.  The second has a block a group and joins the parts in fp64.
 *
 * Parts follow from the picture's size alone, and whole chunks of rows are whole parts: so a picture may come in bands of
 * chunks.  Everything is added in an order that depends on the size alone, so results repeat bit by bit.  Squares are of
 * deviations from a value that the thread itself saw (the mean of its first pixel), never of the values: activations of 1000
 * with a spread of 1 lose nothing.
 *
 * A unit is what one set of statistics is kept for: a group may be several units, never the other way.  A thread reads W
 * channels at once and keeps A units of them: A = 1 where a group is whole pieces of 8, 2 where it is 4 channels, else one a
 * channel.  W = 1 for channels that are not whole pieces of 8. */

constexpr int STATS_THREADS = 256, STATS_UNROLL = 4;
constexpr int64_t STATS_MAX_PARTS = 2048, STATS_PART_BYTES = 32 * 1024;

typedef struct
{
  int w, units_per_piece, n_units, n_pieces;   /* pieces of W channels */
  int width, n_across;                         /* pieces of a block, and blocks beside each other */
  int64_t pixels, per_chunk, per_part;         /* of the picture, of a chunk of rows, of a part; the last of each may have fewer */
  int parts_per_chunk, n_parts;
} StatsShape;

/* As zie_group_norm_step(). */
static int64_t
chunk_rows (int64_t height)
{
  int64_t step = 1;

  while (height / step >= 256)
    step *= 2;
  return step;
}

static StatsShape
stats_shape (int64_t height, int64_t width, int channels, int groups)
{
  int per_group = groups > 0 ? channels / groups : 1;
  int64_t step = chunk_rows (height), n_chunks = (height + step - 1) / step, parts, most;
  StatsShape s;

  s.w = channels % 8 == 0 ? 8 : 1;
  s.units_per_piece = s.w == 1 || per_group % 8 == 0 ? 1 : per_group % 4 == 0 ? 2 : 8;
  s.n_pieces = channels / s.w;
  s.n_units = s.n_pieces * s.units_per_piece;
  s.width = s.n_pieces < STATS_THREADS ? s.n_pieces : STATS_THREADS;
  s.n_across = (s.n_pieces + s.width - 1) / s.width;

  s.pixels = height * width;
  s.per_chunk = step * width;
  parts = s.per_chunk * channels * 2 / STATS_PART_BYTES;
  most = n_chunks > 0 ? STATS_MAX_PARTS / n_chunks : 1;
  parts = parts > most ? most : parts;
  parts = parts < 1 ? 1 : parts;
  s.per_part = (s.per_chunk + parts - 1) / parts;
  s.parts_per_chunk = s.per_part > 0 ? (int)((s.per_chunk + s.per_part - 1) / s.per_part) : 0;
  s.n_parts = (int)n_chunks * s.parts_per_chunk;
  return s;
}

/* Pixels [*first, return) of the picture are part I; none at the end of a short last chunk. */
static DEVICE int64_t
part_range (const StatsShape &s, int i, int64_t *first)
{
  int64_t chunk = i / s.parts_per_chunk * s.per_chunk, end = min (chunk + s.per_chunk, s.pixels);

  *first = min (chunk + i % s.parts_per_chunk * s.per_part, end);
  return min (*first + s.per_part, end);
}

/* Units are at most the channels. */
size_t
zie_cuda_group_norm_scratch (int64_t height, int64_t width, int channels)
{
  return (size_t)stats_shape (height, width, channels, 0).n_parts * (size_t)channels * sizeof (float2);
}

template <int W, int A>
DEVICE void
add_piece (float *sum, float *squares, const float *pivot, const float *x)
{
  constexpr int U = W / A;

#pragma unroll
  for (int a = 0; a < A; a++)
    {
      float d[U], s = 0, q = 0;

#pragma unroll
      for (int i = 0; i < U; i++)
        {
          d[i] = x[a * U + i] - pivot[a];
          s += d[i];
          q += d[i] * d[i];
        }
      sum[a] += s;
      squares[a] += q;
    }
}

/* Block (x, y): units of its WIDTH pieces over part PART0 + x; X begins with the band's first pixel, SKIPPED of the picture.  Thread t has piece t % width and every so-manieth pixel.  PARTIAL
 * [unit][part]: mean, and sum of squared deviations from it. */
template <int W, int A>
__global__ void __launch_bounds__ (STATS_THREADS)
group_stats_kernel (float2 *partial, const cuda_bf16 *x, int64_t skipped, int part0, int channels, StatsShape s)
{
  constexpr int U = W / A;
  __shared__ float2 found[STATS_THREADS][A];
  const int n_together = STATS_THREADS / s.width;      /* pixels that the block reads at once */
  const int piece = blockIdx.y * s.width + threadIdx.x % s.width, together = threadIdx.x / s.width;
  const int part = part0 + (int)blockIdx.x;
  int64_t first, end = part_range (s, part, &first);
  float pivot[A], sum[A], squares[A];
  int n = 0;

  if (together < n_together && piece < s.n_pieces && first + together < end)
    {
      const int64_t step = (int64_t)n_together * channels;
      const cuda_bf16 *p = x + (first - skipped + together) * channels + (int64_t)piece * W;
      float v[W];

      n = (int)((end - first - together - 1) / n_together) + 1;
      load_values<W> (v, p);
#pragma unroll
      for (int a = 0; a < A; a++)
        {
          pivot[a] = 0;
#pragma unroll
          for (int i = 0; i < U; i++)
            pivot[a] += v[a * U + i];
          pivot[a] *= 1.0f / U;
          sum[a] = squares[a] = 0;
        }

      int i = 0;
      for (; i + STATS_UNROLL <= n; i += STATS_UNROLL, p += STATS_UNROLL * step)
        {
          if constexpr (W == 8)
            {
              uint4 data[STATS_UNROLL];

#pragma unroll
              for (int j = 0; j < STATS_UNROLL; j++)
                data[j] = load16 (p + j * step);
#pragma unroll
              for (int j = 0; j < STATS_UNROLL; j++)
                {
                  unpack_bf16x8 (v, data[j]);
                  add_piece<W, A> (sum, squares, pivot, v);
                }
            }
          else
#pragma unroll
            for (int j = 0; j < STATS_UNROLL; j++)
              {
                load_values<W> (v, p + j * step);
                add_piece<W, A> (sum, squares, pivot, v);
              }
        }
      for (; i < n; i++, p += step)
        {
          load_values<W> (v, p);
          add_piece<W, A> (sum, squares, pivot, v);
        }

#pragma unroll
      for (int a = 0; a < A; a++)
        {
          float mean = sum[a] / (float)(n * U);

          found[threadIdx.x][a] = make_float2 (pivot[a] + mean, fmaxf (squares[a] - sum[a] * mean, 0));
        }
    }
  block_barrier ();

  for (int u = threadIdx.x; u < s.width * A; u += STATS_THREADS)
    {
      const int at = u / A, a = u % A, n_pixels = (int)(end - first);
      float mean0, shift = 0, m2 = 0;

      if ((int)blockIdx.y * s.width + at >= s.n_pieces)
        break;
      /* All means relative to the first one: means may be large and close together. */
      mean0 = n_pixels > 0 ? found[at][a].x : 0;
      for (int j = 1; j < n_together && j < n_pixels; j++)
        shift += (float)((n_pixels - j - 1) / n_together + 1) * (found[j * s.width + at][a].x - mean0);
      shift /= (float)max (n_pixels, 1);
      for (int j = 0; j < n_together && j < n_pixels; j++)
        {
          float d = found[j * s.width + at][a].x - mean0 - shift;

          m2 += found[j * s.width + at][a].y + (float)(((n_pixels - j - 1) / n_together + 1) * U) * (d * d);
        }
      partial[((int64_t)(blockIdx.y * s.width + at) * A + a) * s.n_parts + part] = make_float2 (mean0 + shift, m2);
    }
}

/* Numbers of a unit in part I. */
static DEVICE double
part_count (const StatsShape &s, int i, int per_unit)
{
  int64_t first, end = part_range (s, i, &first);

  return (double)(end - first) * per_unit;
}

/* Block g: group g.  PARTIAL of the group is one range, units after each other. */
__global__ void __launch_bounds__ (STATS_THREADS)
group_finish_kernel (float *scale, float *shift, const float2 *partial, const float *gamma, const float *beta, int channels, int groups,
                     float eps, StatsShape s, CudaBroken broken)
{
  __shared__ double memory[2][32];
  const int per_group = channels / groups, n_units = s.n_units / groups, per_unit = per_group / n_units;
  const double count = (double)s.pixels * per_group;
  const float2 *mine = partial + (int64_t)blockIdx.x * n_units * s.n_parts;
  double mean = 0, m2 = 0, factor;

  for (int i = threadIdx.x; i < s.n_parts; i += STATS_THREADS)
    {
      double sum = 0;

      for (int u = 0; u < n_units; u++)
        sum += (double)mine[u * s.n_parts + i].x;
      mean += part_count (s, i, per_unit) * sum;
    }
  mean = block_sum (mean, memory[0]) / count;
  for (int i = threadIdx.x; i < s.n_parts; i += STATS_THREADS)
    {
      double n = part_count (s, i, per_unit);

      for (int u = 0; u < n_units; u++)
        {
          double d = (double)mine[u * s.n_parts + i].x - mean;

          m2 += (double)mine[u * s.n_parts + i].y + n * d * d;
        }
    }
  factor = 1 / sqrt (block_sum (m2, memory[1]) / count + (double)eps);
  check_factor (broken, (float)factor);

  for (int c = threadIdx.x; c < per_group; c += STATS_THREADS)
    {
      int channel = blockIdx.x * per_group + c;
      double f = (gamma ? (double)gamma[channel] : 1) * factor;

      scale[channel] = (float)f;
      shift[channel] = (float)((beta ? (double)beta[channel] : 0) - mean * f);
    }
}

static bool
is_shape_bad (const StatsShape &s, int64_t height, int64_t width, int channels, int groups)
{
  return groups <= 0 || channels % groups || height * width > 1ll << 40 || s.n_across > 65535 || s.per_part * channels > 1ll << 30
         || (int64_t)s.n_parts * s.n_units > 1ll << 30;
}

int
zie_cuda_group_norm_add (CudaStream stream, void *sums, const cuda_bf16 *x, int64_t row0, int64_t rows, int64_t height, int64_t width,
                         int channels, int groups)
{
  StatsShape s = stats_shape (height, width, channels, groups);
  const int64_t step = chunk_rows (height);
  int part0, n_parts;

  if (rows <= 0 || width <= 0 || channels <= 0)
    return CUDA_OK;
  if (is_shape_bad (s, height, width, channels, groups) || (channels % 8 == 0 && !is_aligned16 (x)) || row0 < 0 || row0 % step
      || row0 + rows > height || (row0 + rows < height && rows % step))
    return CUDA_BAD_VALUE;

  part0 = (int)(row0 / step) * s.parts_per_chunk;
  n_parts = (int)((rows + step - 1) / step) * s.parts_per_chunk;
  return launch_kernel (s.w == 1                 ? group_stats_kernel<1, 1>
                        : s.units_per_piece == 1 ? group_stats_kernel<8, 1>
                        : s.units_per_piece == 2 ? group_stats_kernel<8, 2>
                                                 : group_stats_kernel<8, 8>,
                        dim3 ((unsigned)n_parts, (unsigned)s.n_across), STATS_THREADS, 0, stream, (float2 *)sums, x, row0 * width,
                        part0, channels, s);
}

int
zie_cuda_group_norm_finish (CudaStream stream, float *scale, float *shift, const void *sums, int64_t height, int64_t width, int channels,
                            const float *gamma, const float *beta, int groups, float eps, CudaBroken broken)
{
  StatsShape s = stats_shape (height, width, channels, groups);

  if (height <= 0 || width <= 0 || channels <= 0)
    return CUDA_OK;
  if (is_shape_bad (s, height, width, channels, groups))
    return CUDA_BAD_VALUE;
  return launch_kernel (group_finish_kernel, dim3 ((unsigned)groups), STATS_THREADS, 0, stream, scale, shift, (const float2 *)sums, gamma,
                        beta, channels, groups, eps, s, broken);
}

/* --- y = x * scale + shift --- */

constexpr int AFFINE_THREADS = 256, AFFINE_UNROLL = 4;
constexpr int64_t AFFINE_PART_BYTES = 64 * 1024;

/* Block (x, y) as in group_stats_kernel: a thread stays on its channels, whose factors it loads once. */
template <int W, bool IS_SILU>
__global__ void __launch_bounds__ (AFFINE_THREADS)
affine_kernel (cuda_bf16 *y, const cuda_bf16 *x, const float *scale, const float *shift, int64_t pixels, int channels, int width,
               int64_t per_part)
{
  const int n_together = AFFINE_THREADS / width;
  const int piece = blockIdx.y * width + threadIdx.x % width, together = threadIdx.x / width;
  const int64_t first = blockIdx.x * per_part, end = min (first + per_part, pixels);
  float a[W], b[W];

  if (together >= n_together || piece >= channels / W)
    return;
  load_vector<W> (a, scale + piece * W);
  load_vector<W> (b, shift + piece * W);
  for (int64_t pixel = first + together; pixel < end; pixel += (int64_t)n_together * AFFINE_UNROLL)
    {
      Piece<W, cuda_bf16> data[AFFINE_UNROLL];

#pragma unroll
      for (int j = 0; j < AFFINE_UNROLL; j++)
        if (pixel + (int64_t)j * n_together < end)
          read_piece<W, cuda_bf16> (&data[j], x + (pixel + (int64_t)j * n_together) * channels + (int64_t)piece * W);
#pragma unroll
      for (int j = 0; j < AFFINE_UNROLL; j++)
        {
          float v[W];

          if (pixel + (int64_t)j * n_together >= end)
            break;
          open_piece<W, cuda_bf16> (v, &data[j]);
#pragma unroll
          for (int i = 0; i < W; i++)
            {
              v[i] = v[i] * a[i] + b[i];
              if constexpr (IS_SILU)
                v[i] = fast_silu (v[i]);
            }
          store_values<W> (y + (pixel + (int64_t)j * n_together) * channels + (int64_t)piece * W, v);
        }
    }
}

int
zie_cuda_affine (CudaStream stream, cuda_bf16 *y, const cuda_bf16 *x, const float *scale, const float *shift, int64_t pixels,
                 int channels, int silu)
{
  int w = channels % 8 == 0 && is_aligned16 (x) && is_aligned16 (y) && are_vectors_aligned (scale, shift) ? 8 : 1;
  int n_pieces = channels / w, width = n_pieces < AFFINE_THREADS ? n_pieces : AFFINE_THREADS;
  int64_t per_part;
  dim3 grid;

  if (pixels <= 0 || channels <= 0)
    return CUDA_OK;
  per_part = AFFINE_PART_BYTES / 2 / channels;
  per_part = per_part < AFFINE_THREADS / width ? AFFINE_THREADS / width : per_part;
  grid = dim3 ((unsigned)((pixels + per_part - 1) / per_part), (unsigned)((n_pieces + width - 1) / width));
  return launch_kernel (w == 8 ? (silu ? affine_kernel<8, true> : affine_kernel<8, false>)
                               : (silu ? affine_kernel<1, true> : affine_kernel<1, false>),
                        grid, AFFINE_THREADS, 0, stream, y, x, scale, shift, pixels, channels, width, per_part);
}
