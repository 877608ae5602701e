/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-rows.cuh"

/* Quantised weights to bf16, rounding for rounding as base/zie-dequant.h does it.  Blocks of 18 to 210 bytes fit no vector, so a
 * thread block takes a stretch of whole ones, a multiple of 16 bytes, into shared memory as it lies and expands it from there:
 * every byte is read once and written once, 16 at a time.  What it costs is the memory's bandwidth. */

constexpr int EXPAND_THREADS = 256, EXPAND_PIECE = 8;
/* Numbers that a thread block expands: whole blocks of every type, and 16 bytes of each. */
constexpr int EXPAND_TILE = 8192;

/* Blocks of N numbers in SIZE bytes; 8-bit floats as if they had some. */
template <int N, int SIZE>
struct Block
{
  static constexpr int n = N, size = SIZE;
};

template <CudaStored TYPE> struct Stored;
template <> struct Stored<CUDA_STORED_Q4_0> : Block<32, 18> {};
template <> struct Stored<CUDA_STORED_Q4_1> : Block<32, 20> {};
template <> struct Stored<CUDA_STORED_Q5_0> : Block<32, 22> {};
template <> struct Stored<CUDA_STORED_Q5_1> : Block<32, 24> {};
template <> struct Stored<CUDA_STORED_Q8_0> : Block<32, 34> {};
template <> struct Stored<CUDA_STORED_Q2_K> : Block<256, 84> {};
template <> struct Stored<CUDA_STORED_Q3_K> : Block<256, 110> {};
template <> struct Stored<CUDA_STORED_Q4_K> : Block<256, 144> {};
template <> struct Stored<CUDA_STORED_Q5_K> : Block<256, 176> {};
template <> struct Stored<CUDA_STORED_Q6_K> : Block<256, 210> {};
template <> struct Stored<CUDA_STORED_F8_E4M3> : Block<8, 8> {};
template <> struct Stored<CUDA_STORED_F8_E5M2> : Block<8, 8> {};

/* --- from shared memory, where blocks lie at even addresses --- */

DEVICE uint32_t
half_word (const uint8_t *p)
{
  return *(const uint16_t *)p;
}

DEVICE float
half_at (const uint8_t *p)
{
  return f16_to_float ((uint16_t)half_word (p));
}

DEVICE uint32_t
word_at (const uint8_t *p)
{
  return half_word (p) | half_word (p + 2) << 16;
}

/* Byte I of eight. */
DEVICE uint32_t
byte_of (const uint32_t *w, int i)
{
  return w[i / 4] >> (i % 4 * 8) & 0xff;
}

DEVICE void
load_eight (uint32_t *w, const uint8_t *p)
{
  w[0] = word_at (p);
  w[1] = word_at (p + 4);
}

/* --- numbers [8 piece, 8 piece + 8) of the block at P --- */

/* Blocks of 32: a scale, with IS_SHIFTED a minimum, with FIVE the fifth bits, then 16 bytes whose halves are numbers j, j + 16. */
template <bool IS_SHIFTED, bool FIVE>
DEVICE void
expand_nibbles (float *v, const uint8_t *p, int piece)
{
  constexpr int HEAD = IS_SHIFTED ? 4 : 2;
  float d = half_at (p), m = IS_SHIFTED ? half_at (p + 2) : 0;
  uint32_t fifth = FIVE ? word_at (p + HEAD) >> (8 * piece) : 0, w[2];
  const int shift = piece / 2 * 4, middle = IS_SHIFTED ? 0 : FIVE ? 16 : 8;

  load_eight (w, p + HEAD + (FIVE ? 4 : 0) + piece % 2 * 8);
#pragma unroll
  for (int i = 0; i < 8; i++)
    {
      int q = (int)((byte_of (w, i) >> shift & 15) | (FIVE ? (fifth >> i & 1) << 4 : 0)) - middle;

      v[i] = mul_rn (d, (float)q);
      if (IS_SHIFTED)
        v[i] = add_rn (v[i], m);
    }
}

DEVICE void
expand_q8_0 (float *v, const uint8_t *p, int piece)
{
  float d = half_at (p);
  uint32_t w[2];

  load_eight (w, p + 2 + 8 * piece);
#pragma unroll
  for (int i = 0; i < 8; i++)
    v[i] = mul_rn ((float)(int8_t)byte_of (w, i), d);
}

/* scales[16], qs[64], d, dmin */
DEVICE void
expand_q2_k (float *v, const uint8_t *p, int piece)
{
  const int run = piece / 2, shift = run / 2 % 4 * 2;
  float scale = mul_rn (half_at (p + 80), (float)(p[run] & 15)), low = mul_rn (half_at (p + 82), (float)(p[run] >> 4));
  uint32_t w[2];

  load_eight (w, p + 16 + run / 8 * 32 + run % 2 * 16 + piece % 2 * 8);
#pragma unroll
  for (int i = 0; i < 8; i++)
    v[i] = sub_rn (mul_rn (scale, (float)(byte_of (w, i) >> shift & 3)), low);
}

/* hmask[32], qs[64], scales[12], d */
DEVICE void
expand_q3_k (float *v, const uint8_t *p, int piece)
{
  const int run = piece / 2, shift = run / 2 % 4 * 2, at = run % 2 * 16 + piece % 2 * 8;
  const uint8_t *s = p + 96;
  int low = run < 8 ? s[run] & 15 : s[run - 8] >> 4, high = s[8 + run % 4] >> (run / 4 * 2) & 3;
  float scale = mul_rn (half_at (p + 108), (float)((low | high << 4) - 32));
  uint32_t w[2], mask[2];

  load_eight (w, p + 32 + run / 8 * 32 + at);
  load_eight (mask, p + at);
#pragma unroll
  for (int i = 0; i < 8; i++)
    v[i] = mul_rn (scale, (float)((int)(byte_of (w, i) >> shift & 3) - (int)(~byte_of (mask, i) >> (run / 2) & 1) * 4));
}

/* d, dmin, scales[12], with FIVE qh[32], qs[128] */
template <bool FIVE>
DEVICE void
expand_q45_k (float *v, const uint8_t *p, int piece)
{
  const int run = piece / 4, shift = run % 2 * 4, at = piece % 4 * 8;
  const uint8_t *b = p + 4;
  int scale = run < 4 ? b[run] & 63 : (b[run + 4] & 15) | b[run - 4] >> 6 << 4;
  int low = run < 4 ? b[run + 4] & 63 : b[run + 4] >> 4 | b[run] >> 6 << 4;
  float a = mul_rn (half_at (p), (float)scale), m = mul_rn (half_at (p + 2), (float)low);
  uint32_t w[2], fifth[2] = { 0, 0 };

  load_eight (w, p + (FIVE ? 48 : 16) + run / 2 * 32 + at);
  if (FIVE)
    load_eight (fifth, p + 16 + at);
#pragma unroll
  for (int i = 0; i < 8; i++)
    v[i] = sub_rn (mul_rn (a, (float)((byte_of (w, i) >> shift & 15) | (byte_of (fifth, i) >> run & 1) << 4)), m);
}

/* ql[128], qh[64], i8 scales[16], d */
DEVICE void
expand_q6_k (float *v, const uint8_t *p, int piece)
{
  const int run = piece / 2, half = run / 8, quarter = run / 2 % 4, at = run % 2 * 16 + piece % 2 * 8;
  const int low = quarter / 2 * 4, high = quarter * 2;
  float scale = mul_rn (half_at (p + 208), (float)(int8_t)p[192 + run]);
  uint32_t ql[2], qh[2];

  load_eight (ql, p + 64 * half + quarter % 2 * 32 + at);
  load_eight (qh, p + 128 + 32 * half + at);
#pragma unroll
  for (int i = 0; i < 8; i++)
    v[i] = mul_rn (scale, (float)((int)((byte_of (ql, i) >> low & 15) | (byte_of (qh, i) >> high & 3) << 4) - 32));
}

/* E4M3 is a half whose exponent counts from eight powers of two lower, E5M2 the upper byte of one. */
template <bool IS_E5M2>
DEVICE void
expand_f8 (float *v, const uint8_t *p, int piece)
{
  uint32_t w[2];

  load_eight (w, p + 8 * piece);
#pragma unroll
  for (int i = 0; i < 8; i++)
    {
      uint32_t b = byte_of (w, i);

      if (IS_E5M2)
        v[i] = f16_to_float ((uint16_t)(b << 8));
      else
        v[i] = (b & 0x7f) == 0x7f ? NAN : mul_rn (f16_to_float ((uint16_t)((b & 0x80) << 8 | (b & 0x7f) << 7)), 256.0f);
    }
}

template <CudaStored TYPE>
DEVICE void
expand_piece (float *v, const uint8_t *p, int piece)
{
  switch (TYPE)
    {
    case CUDA_STORED_Q4_0: return expand_nibbles<false, false> (v, p, piece);
    case CUDA_STORED_Q4_1: return expand_nibbles<true, false> (v, p, piece);
    case CUDA_STORED_Q5_0: return expand_nibbles<false, true> (v, p, piece);
    case CUDA_STORED_Q5_1: return expand_nibbles<true, true> (v, p, piece);
    case CUDA_STORED_Q8_0: return expand_q8_0 (v, p, piece);
    case CUDA_STORED_Q2_K: return expand_q2_k (v, p, piece);
    case CUDA_STORED_Q3_K: return expand_q3_k (v, p, piece);
    case CUDA_STORED_Q4_K: return expand_q45_k<false> (v, p, piece);
    case CUDA_STORED_Q5_K: return expand_q45_k<true> (v, p, piece);
    case CUDA_STORED_Q6_K: return expand_q6_k (v, p, piece);
    case CUDA_STORED_F8_E4M3: return expand_f8<false> (v, p, piece);
    case CUDA_STORED_F8_E5M2: return expand_f8<true> (v, p, piece);
    case CUDA_N_STORED: break;
    }
}

/* A thread block: EXPAND_TILE numbers.  A thread: 16 bytes of the stretch at a time, then 8 numbers at a time. */
template <CudaStored TYPE>
__global__ void __launch_bounds__ (EXPAND_THREADS)
expand_kernel (cuda_bf16 *y, const uint8_t *stored, const float *scales, int64_t n_scales, int64_t cols, int64_t n)
{
  constexpr int BLOCK = Stored<TYPE>::n, BLOCK_SIZE = Stored<TYPE>::size, TILE_SIZE = EXPAND_TILE / BLOCK * BLOCK_SIZE;
  static_assert (EXPAND_TILE % BLOCK == 0 && TILE_SIZE % 16 == 0 && BLOCK % EXPAND_PIECE == 0, "stretches of whole blocks and vectors");
  __shared__ __align__ (16) uint8_t tile[TILE_SIZE];
  const int64_t first = (int64_t)blockIdx.x * EXPAND_TILE;
  const int n_here = (int)(n - first < EXPAND_TILE ? n - first : EXPAND_TILE);
  const int bytes = (n_here + BLOCK - 1) / BLOCK * BLOCK_SIZE;
  const uint8_t *from = stored + (int64_t)blockIdx.x * TILE_SIZE;
  const int64_t row0 = n_scales > 1 ? first / cols : 0;
  const uint32_t at0 = n_scales > 1 ? (uint32_t)(first - row0 * cols) : 0;

  for (int i = (int)threadIdx.x * 16; i < bytes; i += EXPAND_THREADS * 16)
    cp_async16 (smem_addr (tile + i), from + i, true);
  cp_async_commit ();
  cp_async_wait<0> ();
  block_barrier ();

#pragma unroll
  for (int turn = 0; turn < EXPAND_TILE / EXPAND_PIECE / EXPAND_THREADS; turn++)
    {
      int piece = turn * EXPAND_THREADS + (int)threadIdx.x;
      float v[EXPAND_PIECE];

      if (piece * EXPAND_PIECE >= n_here)
        return;
      expand_piece<TYPE> (v, tile + piece / (BLOCK / EXPAND_PIECE) * BLOCK_SIZE, piece % (BLOCK / EXPAND_PIECE));
      if (scales)
        {
          float scale = __ldg (scales + (n_scales > 1 ? row0 + (at0 + (uint32_t)(piece * EXPAND_PIECE)) / (uint32_t)cols : 0));

#pragma unroll
          for (int i = 0; i < EXPAND_PIECE; i++)
            v[i] = mul_rn (v[i], scale);
        }
      store16 (y + first + piece * EXPAND_PIECE, pack_bf16x8 (v));
    }
}

template <CudaStored TYPE>
static int
launch_expand (CudaStream stream, const CudaExpand *a)
{
  int64_t n = a->rows * a->cols, n_tiles = (n + EXPAND_TILE - 1) / EXPAND_TILE;

  if (n_tiles > INT32_MAX || a->cols > INT32_MAX || a->cols % Stored<TYPE>::n)
    return CUDA_BAD_VALUE;
  return launch_kernel (expand_kernel<TYPE>, dim3 ((unsigned)n_tiles), EXPAND_THREADS, 0, stream, a->y, (const uint8_t *)a->stored,
                        a->scales, a->n_scales, a->cols, n);
}

int
zie_cuda_expand (CudaStream stream, const CudaExpand *a)
{
  if (a->rows <= 0 || a->cols <= 0)
    return CUDA_OK;
  if (!is_aligned16 (a->y) || !is_aligned16 (a->stored))
    return CUDA_BAD_VALUE;
  switch (a->type)
    {
    case CUDA_STORED_Q4_0: return launch_expand<CUDA_STORED_Q4_0> (stream, a);
    case CUDA_STORED_Q4_1: return launch_expand<CUDA_STORED_Q4_1> (stream, a);
    case CUDA_STORED_Q5_0: return launch_expand<CUDA_STORED_Q5_0> (stream, a);
    case CUDA_STORED_Q5_1: return launch_expand<CUDA_STORED_Q5_1> (stream, a);
    case CUDA_STORED_Q8_0: return launch_expand<CUDA_STORED_Q8_0> (stream, a);
    case CUDA_STORED_Q2_K: return launch_expand<CUDA_STORED_Q2_K> (stream, a);
    case CUDA_STORED_Q3_K: return launch_expand<CUDA_STORED_Q3_K> (stream, a);
    case CUDA_STORED_Q4_K: return launch_expand<CUDA_STORED_Q4_K> (stream, a);
    case CUDA_STORED_Q5_K: return launch_expand<CUDA_STORED_Q5_K> (stream, a);
    case CUDA_STORED_Q6_K: return launch_expand<CUDA_STORED_Q6_K> (stream, a);
    case CUDA_STORED_F8_E4M3: return launch_expand<CUDA_STORED_F8_E4M3> (stream, a);
    case CUDA_STORED_F8_E5M2: return launch_expand<CUDA_STORED_F8_E5M2> (stream, a);
    case CUDA_N_STORED: break;
    }
  return CUDA_BAD_VALUE;
}
