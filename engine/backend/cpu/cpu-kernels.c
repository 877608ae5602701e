/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

/* Compiled once for each level, with the level's compiler flags and ZIE_CPU_LEVEL = plain, avx2 or avx512. */

#include "cpu-kernels.h"

#include "cpu-vec.h"

#define ZIE_DEQUANT_HALF(p) vf_f16_one (p)
#include "zie-dequant.h"

#define W VF_WIDTH
#define NR (2 * W)

/* ---- products ---- */

/* A block of M rows and one or two vectors of columns stays in registers over the whole sum: M * 2 accumulators, two
 * vectors of weights, one broadcast.  M is a constant in each of these functions, so they are made by macros. */
#define ROWS_1(X) X (0)
#define ROWS_2(X) ROWS_1 (X) X (1)
#define ROWS_3(X) ROWS_2 (X) X (2)
#define ROWS_4(X) ROWS_3 (X) X (3)
#define ROWS_5(X) ROWS_4 (X) X (4)
#define ROWS_6(X) ROWS_5 (X) X (5)
#define ROWS_7(X) ROWS_6 (X) X (6)
#define ROWS_8(X) ROWS_7 (X) X (7)
#define ROWS_9(X) ROWS_8 (X) X (8)
#define ROWS_10(X) ROWS_9 (X) X (9)
#define ROWS_11(X) ROWS_10 (X) X (10)
#define ROWS_12(X) ROWS_11 (X) X (11)
#define ROWS_13(X) ROWS_12 (X) X (12)
#define ROWS_14(X) ROWS_13 (X) X (13)

VF_INLINE vf
finish (const ZieCpuTile *t, vf v, gint64 i, gint64 j)
{
  gint64 n = t->n - j;
  gboolean whole = n >= W;

  if (t->bias != NULL)
    v = vf_add (v, vf_load (t->bias + j));
  if (t->residual != NULL)
    v = vf_add (v, whole ? vf_load (t->residual + i * t->ldr + j) : vf_load_n (t->residual + i * t->ldr + j, n));
  if (t->accumulate)
    v = vf_add (v, whole ? vf_load (t->c + i * t->ldc + j) : vf_load_n (t->c + i * t->ldc + j, n));
  return v;
}

VF_INLINE void
keep (const ZieCpuTile *t, vf v, gint64 i, gint64 j)
{
  v = finish (t, v, i, j);
  if (t->n - j >= W)
    vf_store (t->c + i * t->ldc + j, v);
  else
    vf_store_n (t->c + i * t->ldc + j, v, t->n - j);
}

#define ZERO_1(i) vf c##i = vf_zero ();
#define STEP_1(i) c##i = vf_fma (vf_set1 (a[(i) * lda]), b0, c##i);
#define KEEP_1(i) keep (t, c##i, row + (i), 0);
#define ZERO_2(i) vf c##i = vf_zero (), d##i = vf_zero ();
#define STEP_2(i) { vf s = vf_set1 (a[(i) * lda]); c##i = vf_fma (s, b0, c##i); d##i = vf_fma (s, b1, d##i); }
#define KEEP_2(i) keep (t, c##i, row + (i), 0); keep (t, d##i, row + (i), W);

#define DEFINE_TILE(M) \
  static void \
  tile_##M##_1 (const ZieCpuTile *t, gint64 row) \
  { \
    const gint64 lda = t->lda; \
    const float *b = t->b; \
    ROWS_##M (ZERO_1) \
    for (gint64 tap = 0; tap < t->n_taps; tap++) \
      { \
        const float *a = t->a + row * lda + t->taps[tap]; \
        for (gint64 k = 0; k < t->n_k; k++, a++, b += NR) \
          { \
            vf b0 = vf_load (b); \
            ROWS_##M (STEP_1) \
          } \
      } \
    ROWS_##M (KEEP_1) \
  } \
  static void \
  tile_##M##_2 (const ZieCpuTile *t, gint64 row) \
  { \
    const gint64 lda = t->lda; \
    const float *b = t->b; \
    ROWS_##M (ZERO_2) \
    for (gint64 tap = 0; tap < t->n_taps; tap++) \
      { \
        const float *a = t->a + row * lda + t->taps[tap]; \
        for (gint64 k = 0; k < t->n_k; k++, a++, b += NR) \
          { \
            vf b0 = vf_load (b), b1 = vf_load (b + W); \
            ROWS_##M (STEP_2) \
          } \
      } \
    ROWS_##M (KEEP_2) \
  }

DEFINE_TILE (1)
DEFINE_TILE (2)
DEFINE_TILE (3)
DEFINE_TILE (4)
#if VF_WIDTH >= 8
DEFINE_TILE (5)
DEFINE_TILE (6)
#endif
#if VF_WIDTH >= 16
DEFINE_TILE (7)
DEFINE_TILE (8)
DEFINE_TILE (9)
DEFINE_TILE (10)
DEFINE_TILE (11)
DEFINE_TILE (12)
DEFINE_TILE (13)
DEFINE_TILE (14)
#endif

typedef void (*TileFunc) (const ZieCpuTile *t, gint64 row);

static const TileFunc tile_funcs[][2] = {
  { tile_1_1, tile_1_2 }, { tile_2_1, tile_2_2 }, { tile_3_1, tile_3_2 }, { tile_4_1, tile_4_2 },
#if VF_WIDTH >= 8
  { tile_5_1, tile_5_2 }, { tile_6_1, tile_6_2 },
#endif
#if VF_WIDTH >= 16
  { tile_7_1, tile_7_2 }, { tile_8_1, tile_8_2 }, { tile_9_1, tile_9_2 }, { tile_10_1, tile_10_2 },
  { tile_11_1, tile_11_2 }, { tile_12_1, tile_12_2 }, { tile_13_1, tile_13_2 }, { tile_14_1, tile_14_2 },
#endif
};

#define MR ((gint64)G_N_ELEMENTS (tile_funcs))

static void
tile (const ZieCpuTile *t)
{
  int two = t->n > W;
  /* Rows whose distance is a multiple of 2 KiB fall into two sets of a first cache of 8 ways: no more rows than ways. */
  gint64 highest = t->lda % 512 == 0 ? MIN (MR, 7) : MR;
  gint64 n_strips = (t->m + highest - 1) / highest;

  /* strips of equal height: a last one of a row or two would leave the units waiting for each other */
  for (gint64 i = 0, row = 0; i < n_strips; i++)
    {
      gint64 next = (i + 1) * t->m / n_strips;
      tile_funcs[next - row - 1][two] (t, row);
      row = next;
    }
}

static void
dots (const ZieCpuTile *t)
{
  gint64 n_b = t->n_taps * t->n_k, whole = t->n_k - t->n_k % W;

  for (gint64 i = 0; i < t->m; i++)
    {
      vf s0 = vf_zero (), s1 = vf_zero (), s2 = vf_zero (), s3 = vf_zero ();
      float sums[4];

      for (gint64 tap = 0; tap < t->n_taps; tap++)
        {
          const float *a = t->a + i * t->lda + t->taps[tap], *b = t->b + tap * t->n_k;

          for (gint64 k = 0; k < t->n_k; k += W)
            {
              gint64 n = t->n_k - k;
              vf x = k < whole ? vf_load (a + k) : vf_load_n (a + k, n);

              s0 = vf_fma (x, k < whole ? vf_load (b + k) : vf_load_n (b + k, n), s0);
              if (t->n > 1)
                s1 = vf_fma (x, k < whole ? vf_load (b + n_b + k) : vf_load_n (b + n_b + k, n), s1);
              if (t->n > 2)
                s2 = vf_fma (x, k < whole ? vf_load (b + 2 * n_b + k) : vf_load_n (b + 2 * n_b + k, n), s2);
              if (t->n > 3)
                s3 = vf_fma (x, k < whole ? vf_load (b + 3 * n_b + k) : vf_load_n (b + 3 * n_b + k, n), s3);
            }
        }

      sums[0] = vf_sum (s0);
      sums[1] = vf_sum (s1);
      sums[2] = vf_sum (s2);
      sums[3] = vf_sum (s3);
      for (gint64 j = 0; j < t->n; j++)
        t->c[i * t->ldc + j] = sums[j] + (t->bias != NULL ? t->bias[j] : 0.0f)
                               + (t->residual != NULL ? t->residual[i * t->ldr + j] : 0.0f);
    }
}

/* ---- stored numbers ---- */

VF_INLINE vf
load_q8_0 (const guint8 *row, gint64 k)
{
  const guint8 *block = row + k / ZIE_Q8_0_BLOCK * ZIE_Q8_0_BLOCK_SIZE;
  return vf_mul (vf_set1 (vf_f16_one (block)), vf_load_i8 (block + 2 + k % ZIE_Q8_0_BLOCK));
}

VF_INLINE gint64
element_size (ZieDtype dtype)
{
  return dtype == ZIE_DTYPE_F32 ? 4 : dtype == ZIE_DTYPE_F8_E4M3 || dtype == ZIE_DTYPE_F8_E5M2 ? 1 : 2;
}

/* Elements [k, k + W) of a row. */
VF_INLINE vf
load_row (ZieDtype dtype, const guint8 *row, gint64 k)
{
  if (dtype == ZIE_DTYPE_Q8_0)
    return load_q8_0 (row, k);
  return vf_load_dtype (dtype, row + k * element_size (dtype));
}

/* Elements [k, k + n), n < W, of a row, which ends there; never of a block type. */
VF_INLINE vf
load_row_end (ZieDtype dtype, const guint8 *row, gint64 k, gint64 n)
{
  float part[W] = { 0 };
  zie_dtype_to_f32 (dtype, part, row + k * element_size (dtype), n);
  return vf_load (part);
}

VF_INLINE void
expand_dtype (ZieDtype dtype, float *dst, const guint8 *p, gint64 n)
{
  gint64 k = 0;

  for (; k + W <= n; k += W)
    vf_store (dst + k, load_row (dtype, p, k));
  if (k < n)
    vf_store_n (dst + k, load_row_end (dtype, p, k, n - k), n - k);
}

static void
expand (ZieDtype dtype, float *dst, const guint8 *p, gint64 n)
{
  switch (dtype)
    {
    case ZIE_DTYPE_F32:
      memcpy (dst, p, (gsize)n * 4);
      break;
    case ZIE_DTYPE_BF16:
      expand_dtype (ZIE_DTYPE_BF16, dst, p, n);
      break;
    case ZIE_DTYPE_F16:
      expand_dtype (ZIE_DTYPE_F16, dst, p, n);
      break;
    case ZIE_DTYPE_Q8_0:
      expand_dtype (ZIE_DTYPE_Q8_0, dst, p, n);
      break;
    case ZIE_DTYPE_F8_E4M3:
      expand_dtype (ZIE_DTYPE_F8_E4M3, dst, p, n);
      break;
    case ZIE_DTYPE_F8_E5M2:
      expand_dtype (ZIE_DTYPE_F8_E5M2, dst, p, n);
      break;
    default:
      if (!zie_dequant (dtype, dst, p, n))
        g_assert_not_reached ();
    }
}

VF_INLINE float
row_scale (const ZieCpuRows *rows, gint64 i)
{
  float scale = 1.0f;
  if (rows->scales != NULL)
    memcpy (&scale, rows->scales + rows->scale_step * (gsize)i, 4);
  return scale;
}

/* Line K of a packed panel. */
VF_INLINE float *
packed_line (float *dst, gint64 k, gint64 taps, gint64 n_in)
{
  return dst + (taps == 1 ? k : k % taps * n_in + k / taps) * NR;
}

/* Bytes to fetch ahead in each row: 32 rows at once are more streams than processors follow by themselves. */
#define AHEAD 256

VF_INLINE void
pack_dtype (ZieDtype dtype, float *dst, const ZieCpuRows *rows, gint64 k0, gint64 n_k, gint64 taps, gboolean round)
{
  gint64 n_in = n_k / taps;

  for (gint64 k = 0; k < n_k; k += W)
    {
      gint64 n = MIN (W, n_k - k);

      for (gint64 j = 0; j < NR; j += W)
        {
          vf r[W];

          for (gint64 i = 0; i < W; i++)
            {
              const guint8 *row = rows->data + rows->row_size * (gsize)(j + i);

              __builtin_prefetch (row + (k0 + k) * (dtype == ZIE_DTYPE_Q8_0 ? 1 : element_size (dtype)) + AHEAD);
              if (j + i >= rows->n_rows)
                r[i] = vf_zero ();
              else if (n == W)
                r[i] = load_row (dtype, row, k0 + k);
              else
                r[i] = load_row_end (dtype, row, k0 + k, n);
              if (j + i < rows->n_rows && rows->scales != NULL)
                r[i] = vf_mul (r[i], vf_set1 (row_scale (rows, j + i)));
            }
          vf_transpose (r);
          if (round)
            for (gint64 i = 0; i < W; i++)
              r[i] = vf_round_bf16 (r[i]);
          for (gint64 i = 0; i < n; i++)
            vf_store (packed_line (dst, k + i, taps, n_in) + j, r[i]);
        }
    }
}

/* Rows of blocks too large for a vector: expanded a stretch at a time, then transposed. */
static void
pack_blocks (float *dst, const ZieCpuRows *rows, gint64 k0, gint64 n_k, gint64 taps, gboolean round)
{
  enum { STRETCH = ZIE_DTYPE_MAX_BLOCK, STRIDE = STRETCH + 16 };
  float part[NR * STRIDE];
  gint64 n_in = n_k / taps;

  for (gint64 k = 0; k < n_k; k += STRETCH)
    {
      gint64 n = MIN (STRETCH, n_k - k);

      for (gint64 i = 0; i < rows->n_rows; i++)
        {
          vf scale = vf_set1 (row_scale (rows, i));
          float *row = part + i * STRIDE;

          expand (rows->dtype, row, rows->data + rows->row_size * (gsize)i + zie_dtype_row_size (rows->dtype, k0 + k), n);
          for (gint64 l = 0; l < n; l += W)
            {
              vf v = vf_mul (vf_load (row + l), scale);
              vf_store (row + l, round ? vf_round_bf16 (v) : v);
            }
        }
      for (gint64 l = 0; l < n; l += W)
        for (gint64 j = 0; j < NR; j += W)
          {
            vf r[W];

            for (gint64 i = 0; i < W; i++)
              r[i] = j + i < rows->n_rows ? vf_load (part + (j + i) * STRIDE + l) : vf_zero ();
            vf_transpose (r);
            for (gint64 i = 0; i < W; i++)
              vf_store (packed_line (dst, k + l + i, taps, n_in) + j, r[i]);
          }
    }
}

static void
pack (float *dst, const ZieCpuRows *rows, gint64 k0, gint64 n_k, gint64 taps, gboolean round)
{
  switch (rows->dtype)
    {
    case ZIE_DTYPE_F32:
      pack_dtype (ZIE_DTYPE_F32, dst, rows, k0, n_k, taps, round);
      break;
    case ZIE_DTYPE_BF16:
      pack_dtype (ZIE_DTYPE_BF16, dst, rows, k0, n_k, taps, round && rows->scales != NULL);
      break;
    case ZIE_DTYPE_F16:
      pack_dtype (ZIE_DTYPE_F16, dst, rows, k0, n_k, taps, round);
      break;
    case ZIE_DTYPE_Q8_0:
      pack_dtype (ZIE_DTYPE_Q8_0, dst, rows, k0, n_k, taps, round);
      break;
    case ZIE_DTYPE_F8_E4M3:
      pack_dtype (ZIE_DTYPE_F8_E4M3, dst, rows, k0, n_k, taps, round);
      break;
    case ZIE_DTYPE_F8_E5M2:
      pack_dtype (ZIE_DTYPE_F8_E5M2, dst, rows, k0, n_k, taps, round);
      break;
    default:
      pack_blocks (dst, rows, k0, n_k, taps, round);
    }
}

static void
round_bf16 (float *dst, const float *src, gint64 n)
{
  for (gint64 k = 0; k < n; k += W)
    if (n - k >= W)
      vf_store (dst + k, vf_round_bf16 (vf_load (src + k)));
    else
      vf_store_n (dst + k, vf_round_bf16 (vf_load_n (src + k, n - k)), n - k);
}

static void
to_bf16 (guint16 *dst, const float *src, gint64 n)
{
  gint64 k = 0;

  for (; k + W <= n; k += W)
    vf_store_bf16 (dst + k, vf_load (src + k));
  for (; k < n; k++)
    dst[k] = zie_f32_to_bf16 (src[k]);
}

static void
pack_f32 (float *dst, const float *src, gint64 stride, gint64 n, gint64 n_k)
{
  for (gint64 k = 0; k < n_k; k += W)
    for (gint64 j = 0; j < NR; j += W)
      {
        vf r[W];

        for (gint64 i = 0; i < W; i++)
          {
            const float *row = src + (j + i) * stride + k;

            __builtin_prefetch (row + NR * stride);        /* most often the next panel begins there */
            r[i] = j + i >= n ? vf_zero () : n_k - k >= W ? vf_load (row) : vf_load_n (row, n_k - k);
          }
        vf_transpose (r);
        for (gint64 i = 0; i < MIN (W, n_k - k); i++)
          vf_store (dst + (k + i) * NR + j, r[i]);
      }
}

static void
copy_f32 (float *dst, const float *src, gint64 stride, gint64 n, gint64 n_k)
{
  for (gint64 k = 0; k < n_k; k++, src += stride, dst += NR)
    for (gint64 j = 0; j < NR; j += W)
      {
        __builtin_prefetch (src + 16 * stride + j);
        vf_store (dst + j, n - j >= W ? vf_load (src + j) : n > j ? vf_load_n (src + j, n - j) : vf_zero ());
      }
}

/* ---- softmax ---- */

static void
softmax (const ZieCpuSoftmax *s)
{
  for (gint64 i = 0; i < s->m; i++)
    {
      float *row = s->scores + i * s->stride;
      gint64 n = CLAMP (s->n_seen + i, 0, s->n), k;
      vf top = vf_set1 (-INFINITY), sum = vf_zero (), scale = vf_set1 (s->scale), highest;
      float new_highest;

      for (k = 0; k + W <= n; k += W)
        top = vf_max (top, vf_load (row + k));
      new_highest = vf_highest (top);
      for (; k < n; k++)
        new_highest = MAX (new_highest, row[k]);
      new_highest = MAX (s->highest[i], new_highest * s->scale);

      /* Nothing seen yet in this row: exp (-inf - -inf) is not wanted. */
      if (n == 0)
        {
          s->factor[i] = 1.0f;
          memset (row, 0, (gsize)s->n * sizeof (float));
          continue;
        }

      highest = vf_set1 (-new_highest);
      for (k = 0; k < n; k += W)
        {
          gint64 left = n - k;
          vf p;

          if (left >= W)
            {
              p = vf_exp (vf_fma (vf_load (row + k), scale, highest));
              vf_store (row + k, p);
            }
          else
            {
              float part[W] = { 0 };

              p = vf_exp (vf_fma (vf_load_n (row + k, left), scale, highest));
              vf_store_n (part, p, left);
              p = vf_load (part);
              vf_store_n (row + k, p, left);
            }
          sum = vf_add (sum, p);
        }
      for (k = n; k < s->n; k++)
        row[k] = 0.0f;

      s->factor[i] = expf (s->highest[i] - new_highest);
      s->highest[i] = new_highest;
      s->sum[i] = s->sum[i] * s->factor[i] + vf_sum (sum);
    }
}

/* ---- rows ---- */

/* for k in steps of W: the body with LOAD (p) and STORE (p, v) that take a short end into account */
#define EACH_VECTOR(n, ...) \
  { \
    gint64 k = 0; \
    for (; k + W <= (n); k += W) \
      { \
        const gint64 left = W; \
        __VA_ARGS__ \
      } \
    if (k < (n)) \
      { \
        const gint64 left = (n) - k; \
        __VA_ARGS__ \
      } \
  }
#define LOAD(p) (left == W ? vf_load ((p) + k) : vf_load_n ((p) + k, left))
#define STORE(p, v) { if (left == W) vf_store ((p) + k, v); else vf_store_n ((p) + k, v, left); }

static void
scale_row (float *y, const float *x, float factor, gint64 n)
{
  vf f = vf_set1 (factor);
  EACH_VECTOR (n, STORE (y, vf_mul (f, LOAD (x))))
}

static void
read_pixels (const ZieCpuPixels *p, float *dst, gboolean round)
{
  const float *src = p->src;

  for (gint64 i = 0; i < p->n; i++, src += p->src_stride, dst += p->dst_stride)
    if (p->scale != NULL && round)
      EACH_VECTOR (p->channels, STORE (dst, vf_round_bf16 (vf_silu (vf_fma (LOAD (src), LOAD (p->scale), LOAD (p->shift))))))
    else if (p->scale != NULL)
      EACH_VECTOR (p->channels, STORE (dst, vf_silu (vf_fma (LOAD (src), LOAD (p->scale), LOAD (p->shift)))))
    else if (round)
      EACH_VECTOR (p->channels, STORE (dst, vf_round_bf16 (LOAD (src))))
    else
      EACH_VECTOR (p->channels, STORE (dst, LOAD (src)))
}

VF_INLINE void
store_bf16_n (guint16 *p, vf v, gint64 n)
{
  guint16 part[W];

  vf_store_bf16 (part, v);
  memcpy (p, part, (gsize)n * sizeof (guint16));
}

#define STORE_BF16(p, v) { if (left == W) vf_store_bf16 ((p) + k, v); else store_bf16_n ((p) + k, v, left); }

static void
read_pixels_bf16 (const ZieCpuPixels *p, guint16 *dst)
{
  const float *src = p->src;

  for (gint64 i = 0; i < p->n; i++, src += p->src_stride, dst += p->dst_stride)
    if (p->scale != NULL)
      EACH_VECTOR (p->channels, STORE_BF16 (dst, vf_silu (vf_fma (LOAD (src), LOAD (p->scale), LOAD (p->shift)))))
    else
      EACH_VECTOR (p->channels, STORE_BF16 (dst, LOAD (src)))
}

static void
write_pixels (float *y, gint64 y_stride, const float *sums, const float *bias, const float *residual, gint64 residual_stride,
              gint64 channels, gint64 n)
{
  for (gint64 i = 0; i < n; i++, y += y_stride, sums += channels)
    if (residual != NULL)
      EACH_VECTOR (channels, STORE (y, vf_add (vf_add (LOAD (sums), LOAD (bias)), LOAD (residual + i * residual_stride))))
    else
      EACH_VECTOR (channels, STORE (y, vf_add (LOAD (sums), LOAD (bias))))
}

VF_INLINE float
inverse_rms (const float *x, float eps, gint64 n)
{
  vf sum = vf_zero (), more = vf_zero ();
  gint64 k = 0;

  for (; k + 2 * W <= n; k += 2 * W)
    {
      vf a = vf_load (x + k), b = vf_load (x + k + W);
      sum = vf_fma (a, a, sum);
      more = vf_fma (b, b, more);
    }
  for (; k < n; k += W)
    {
      vf a = n - k >= W ? vf_load (x + k) : vf_load_n (x + k, n - k);
      sum = vf_fma (a, a, sum);
    }
  return 1.0f / sqrtf (vf_sum (vf_add (sum, more)) / (float)n + eps);
}

static float
rms_norm (float *y, const float *x, const float *w, const float *scale, float eps, gint64 n)
{
  float factor = inverse_rms (x, eps, n);
  vf r = vf_set1 (factor);

  if (scale != NULL)
    EACH_VECTOR (n, STORE (y, vf_mul (vf_mul (vf_mul (LOAD (x), r), LOAD (w)), LOAD (scale))))
  else
    EACH_VECTOR (n, STORE (y, vf_mul (vf_mul (LOAD (x), r), LOAD (w))))
  return factor;
}

static float
gated_norm_add (float *x, const float *y, const float *w, const float *gate, float eps, gint64 n)
{
  float factor = inverse_rms (y, eps, n);
  vf r = vf_set1 (factor);

  if (gate != NULL)
    EACH_VECTOR (n, STORE (x, vf_fma (vf_mul (vf_mul (LOAD (y), r), LOAD (w)), LOAD (gate), LOAD (x))))
  else
    EACH_VECTOR (n, STORE (x, vf_fma (vf_mul (LOAD (y), r), LOAD (w), LOAD (x))))
  return factor;
}

static float
layer_norm (float *y, const float *x, const float *scale, float eps, gint64 n)
{
  vf sum = vf_zero (), squares = vf_zero (), mean, r;
  float m, factor;

  EACH_VECTOR (n, sum = vf_add (sum, LOAD (x));)
  m = vf_sum (sum) / (float)n;
  mean = vf_set1 (m);
  EACH_VECTOR (n - n % W, vf d = vf_sub (LOAD (x), mean); squares = vf_fma (d, d, squares);)
  m = vf_sum (squares);
  for (gint64 k = n - n % W; k < n; k++)
    m += (x[k] - vf_sum (sum) / (float)n) * (x[k] - vf_sum (sum) / (float)n);
  factor = 1.0f / sqrtf (m / (float)n + eps);
  r = vf_set1 (factor);
  EACH_VECTOR (n, STORE (y, vf_mul (vf_mul (vf_sub (LOAD (x), mean), r), LOAD (scale))))
  return factor;
}

static float
rope_interleaved (float *x, const float *w, const float *cos, const float *sin, float eps, gint64 n)
{
  float r = inverse_rms (x, eps, n);
  vf rv = vf_set1 (r);
  gint64 k = 0;

  for (; k + W <= n; k += W)
    {
      vf v = vf_mul (vf_mul (vf_load (x + k), rv), vf_load (w + k));
      /* even: x c - y s, odd: y c + x s */
      vf_store (x + k, vf_fmaddsub (v, vf_load_twice (cos + k / 2), vf_mul (vf_swap_pairs (v), vf_load_twice (sin + k / 2))));
    }
  for (; k + 1 < n; k += 2)
    {
      float a = x[k] * r * w[k], b = x[k + 1] * r * w[k + 1];
      x[k] = a * cos[k / 2] - b * sin[k / 2];
      x[k + 1] = b * cos[k / 2] + a * sin[k / 2];
    }
  return r;
}

static float
rope_half (float *x, const float *w, const float *cos, const float *sin, float eps, gint64 n)
{
  gint64 h = n / 2;
  float factor = inverse_rms (x, eps, n);
  vf r = vf_set1 (factor);

  EACH_VECTOR (h, {
    vf a = vf_mul (vf_mul (LOAD (x), r), LOAD (w));
    vf b = vf_mul (vf_mul (LOAD (x + h), r), LOAD (w + h));
    vf c = LOAD (cos);
    vf s = LOAD (sin);

    STORE (x, vf_fnma (b, s, vf_mul (a, c)))
    STORE (x + h, vf_fma (a, s, vf_mul (b, c)))
  })
  return factor;
}

static void
swiglu (float *y, const float *gate, const float *up, gint64 n)
{
  EACH_VECTOR (n, STORE (y, vf_mul (vf_silu (LOAD (gate)), LOAD (up))))
}

static void
add (float *x, const float *y, gint64 n)
{
  EACH_VECTOR (n, STORE (x, vf_add (LOAD (x), LOAD (y))))
}

static void
silu (float *y, const float *x, gint64 n)
{
  EACH_VECTOR (n, STORE (y, vf_silu (LOAD (x))))
}

static void
affine (float *y, const float *x, const float *scale, const float *shift, gint64 n)
{
  EACH_VECTOR (n, STORE (y, vf_fma (LOAD (x), LOAD (scale), LOAD (shift))))
}

static void
column_sums (double *sums, const float *x, gint64 stride, gint64 rows, gint64 n)
{
  EACH_VECTOR (n, {
    vd s = vd_zero ();
    vd q = vd_zero ();
    double part[W];

    for (gint64 i = 0; i < rows; i++)
      {
        vd v = vd_from (LOAD (x + i * stride));
        s = vd_add (s, v);
        q = vd_fma (v, v, q);
      }
    vd_store (part, s);
    memcpy (sums + k, part, (gsize)left * sizeof (double));
    vd_store (part, q);
    memcpy (sums + n + k, part, (gsize)left * sizeof (double));
  })
}

#define KERNELS_NAME_(level) zie_cpu_kernels_##level
#define KERNELS_NAME(level) KERNELS_NAME_ (level)
#define STRING_(level) #level
#define STRING(level) STRING_ (level)

const ZieCpuKernels KERNELS_NAME (ZIE_CPU_LEVEL) = {
  .name = STRING (ZIE_CPU_LEVEL),
  .width = W,
  .mr = (int)MR,
  .nr = NR,
  .tile = tile,
  .expand = expand,
  .pack = pack,
  .round_bf16 = round_bf16,
  .to_bf16 = to_bf16,
  .pack_f32 = pack_f32,
  .copy_f32 = copy_f32,
  .softmax = softmax,
  .scale = scale_row,
  .read_pixels = read_pixels,
  .read_pixels_bf16 = read_pixels_bf16,
  .write_pixels = write_pixels,
  .dots = dots,
  .rms_norm = rms_norm,
  .gated_norm_add = gated_norm_add,
  .layer_norm = layer_norm,
  .rope_interleaved = rope_interleaved,
  .rope_half = rope_half,
  .swiglu = swiglu,
  .add = add,
  .silu = silu,
  .affine = affine,
  .column_sums = column_sums,
};
