/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include "zie-dtype.h"

#include <math.h>

#include "zie-dequant.h"

static const struct
{
  const char *name;
  int block;           /* elements */
  int block_size;      /* bytes */
  gboolean is_weight;
} dtypes[ZIE_N_DTYPES] = {
  [ZIE_DTYPE_F32] = { "F32", 1, 4, TRUE },
  [ZIE_DTYPE_F16] = { "F16", 1, 2, TRUE },
  [ZIE_DTYPE_BF16] = { "BF16", 1, 2, TRUE },
  [ZIE_DTYPE_I32] = { "I32", 1, 4, FALSE },
  [ZIE_DTYPE_U8] = { "U8", 1, 1, FALSE },
  [ZIE_DTYPE_F8_E4M3] = { "F8_E4M3", 1, 1, TRUE },
  [ZIE_DTYPE_F8_E5M2] = { "F8_E5M2", 1, 1, TRUE },
  [ZIE_DTYPE_OTHER] = { "other", 1, 0, FALSE },
#define ROW(TYPE, name, block, size) [ZIE_DTYPE_##TYPE] = { #TYPE, block, size, TRUE },
  ZIE_DEQUANT_TYPES (ROW)
};

const char *
zie_dtype_name (ZieDtype dtype)
{
  return dtypes[dtype].name;
}

gsize
zie_dtype_row_size (ZieDtype dtype, gint64 n)
{
  g_assert (n % dtypes[dtype].block == 0);
  return (gsize)(n / dtypes[dtype].block) * dtypes[dtype].block_size;
}

int
zie_dtype_block (ZieDtype dtype)
{
  return dtypes[dtype].block;
}

gsize
zie_dtype_block_size (ZieDtype dtype)
{
  return (gsize)dtypes[dtype].block_size;
}

gboolean
zie_dtype_is_weight (ZieDtype dtype)
{
  return dtypes[dtype].is_weight;
}

gboolean
zie_dtype_is_quantised (ZieDtype dtype)
{
  return dtypes[dtype].is_weight && dtypes[dtype].block_size < 2 * dtypes[dtype].block;
}

/* One sign, four exponent and three mantissa bits: those of a half whose exponent counts from eight powers of two lower. */
float
zie_f8_e4m3_to_f32 (guint8 v)
{
  if ((v & 0x7f) == 0x7f)
    return v & 0x80 ? -NAN : NAN;
  return zie_f16_to_f32 ((guint16)((v & 0x80) << 8 | (v & 0x7f) << 7)) * 256.0f;
}

float
zie_f16_to_f32 (guint16 v)
{
  guint32 sign = (guint32)(v & 0x8000) << 16, e = (v >> 10) & 31, m = v & 0x3ff, u;
  float f;

  if (e == 0)
    {
      f = (float)m * 0x1p-24f;
      return sign ? -f : f;
    }
  u = sign | (e == 31 ? 0x7f800000u : (e + 112) << 23) | (m << 13);
  memcpy (&f, &u, 4);
  return f;
}

guint16
zie_f32_to_f16 (float f)
{
  guint32 u, sign, a;
  memcpy (&u, &f, 4);
  sign = (u >> 16) & 0x8000;
  a = u & 0x7fffffff;

  if (a > 0x7f800000)
    return (guint16)(sign | 0x7e00);
  if (a >= 0x477ff000)                       /* rounds to 65536 or more */
    return (guint16)(sign | 0x7c00);
  if (a < 0x38800000)                        /* subnormal half: let the float unit round to a multiple of 2^-24 */
    {
      float b;
      memcpy (&b, &a, 4);
      b += 0x1p-1f;                          /* ulp of [0.5, 1) is 2^-24 */
      memcpy (&a, &b, 4);
      return (guint16)(sign | (a - 0x3f000000));
    }
  return (guint16)(sign | ((a + 0xfff + ((a >> 13) & 1) - 0x38000000) >> 13));
}

void
zie_dtype_to_f32 (ZieDtype dtype, float *dst, const void *src, gint64 n)
{
  const guint8 *p = src;
  guint16 h;

  switch (dtype)
    {
    case ZIE_DTYPE_F32:
      memcpy (dst, src, (gsize)n * 4);
      break;
    case ZIE_DTYPE_F16:
      for (gint64 i = 0; i < n; i++)
        {
          memcpy (&h, p + 2 * i, 2);
          dst[i] = zie_f16_to_f32 (h);
        }
      break;
    case ZIE_DTYPE_BF16:
      for (gint64 i = 0; i < n; i++)
        {
          memcpy (&h, p + 2 * i, 2);
          dst[i] = zie_bf16_to_f32 (h);
        }
      break;
    case ZIE_DTYPE_F8_E4M3:
      for (gint64 i = 0; i < n; i++)
        dst[i] = zie_f8_e4m3_to_f32 (p[i]);
      break;
    case ZIE_DTYPE_F8_E5M2:
      for (gint64 i = 0; i < n; i++)
        dst[i] = zie_f16_to_f32 ((guint16)(p[i] << 8));
      break;
    default:
      g_assert (n % dtypes[dtype].block == 0);
      if (!zie_dequant (dtype, dst, p, n))
        g_assert_not_reached ();
    }
}
