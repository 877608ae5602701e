/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-dtype.h"

/* One block of each of ggml's quantised types to f32 (spec 1.5), rounding for rounding as the gguf package does it: a
 * product and a difference are two statements, so that no compiler fuses them.  Included by zie-dtype.c, which is the
 * reference, and once for each level of the CPU by its kernels; the loops are such that compilers make vectors of them. */

#ifndef ZIE_DEQUANT_HALF
#define ZIE_DEQUANT_HALF(p) zie_dequant_half (p)
static inline float
zie_dequant_half (const guint8 *p)
{
  guint16 h;
  memcpy (&h, p, 2);
  return zie_f16_to_f32 (h);
}
#endif

/* d, qs[16] */
static inline void
zie_dequant_q4_0 (float *restrict y, const guint8 *restrict p)
{
  float d = ZIE_DEQUANT_HALF (p);
  const guint8 *q = p + 2;

  for (int j = 0; j < 16; j++)
    {
      y[j] = d * (float)((q[j] & 15) - 8);
      y[j + 16] = d * (float)((q[j] >> 4) - 8);
    }
}

/* d, m, qs[16] */
static inline void
zie_dequant_q4_1 (float *restrict y, const guint8 *restrict p)
{
  float d = ZIE_DEQUANT_HALF (p), m = ZIE_DEQUANT_HALF (p + 2);
  const guint8 *q = p + 4;

  for (int j = 0; j < 16; j++)
    {
      float low = d * (float)(q[j] & 15), high = d * (float)(q[j] >> 4);
      y[j] = low + m;
      y[j + 16] = high + m;
    }
}

/* The fifth bits of element J and J + 16. */
static inline int
zie_dequant_fifth (guint32 qh, int j)
{
  return (int)(qh >> j & 1) << 4;
}

/* d, qh, qs[16] */
static inline void
zie_dequant_q5_0 (float *restrict y, const guint8 *restrict p)
{
  float d = ZIE_DEQUANT_HALF (p);
  const guint8 *q = p + 6;
  guint32 qh;

  memcpy (&qh, p + 2, 4);
  for (int j = 0; j < 16; j++)
    {
      y[j] = d * (float)(((q[j] & 15) | zie_dequant_fifth (qh, j)) - 16);
      y[j + 16] = d * (float)(((q[j] >> 4) | zie_dequant_fifth (qh, j + 16)) - 16);
    }
}

/* d, m, qh, qs[16] */
static inline void
zie_dequant_q5_1 (float *restrict y, const guint8 *restrict p)
{
  float d = ZIE_DEQUANT_HALF (p), m = ZIE_DEQUANT_HALF (p + 2);
  const guint8 *q = p + 8;
  guint32 qh;

  memcpy (&qh, p + 4, 4);
  for (int j = 0; j < 16; j++)
    {
      float low = d * (float)((q[j] & 15) | zie_dequant_fifth (qh, j));
      float high = d * (float)((q[j] >> 4) | zie_dequant_fifth (qh, j + 16));
      y[j] = low + m;
      y[j + 16] = high + m;
    }
}

/* d, i8 qs[32] */
static inline void
zie_dequant_q8_0 (float *restrict y, const guint8 *restrict p)
{
  float d = ZIE_DEQUANT_HALF (p);

  for (int j = 0; j < 32; j++)
    y[j] = (float)(gint8)p[2 + j] * d;
}

/* scales[16], qs[64], d, dmin: sixteen runs of 16, a scale and a minimum of four bits each */
static inline void
zie_dequant_q2_k (float *restrict y, const guint8 *restrict p)
{
  float d = ZIE_DEQUANT_HALF (p + 80), dmin = ZIE_DEQUANT_HALF (p + 82);

  for (int run = 0; run < 16; run++)
    {
      const guint8 *q = p + 16 + run / 8 * 32 + run % 2 * 16;
      float scale = d * (float)(p[run] & 15), low = dmin * (float)(p[run] >> 4);
      int shift = run / 2 % 4 * 2;

      for (int l = 0; l < 16; l++)
        {
          float v = scale * (float)(q[l] >> shift & 3);
          y[16 * run + l] = v - low;
        }
    }
}

/* hmask[32], qs[64], scales[12], d: sixteen runs of 16 with scales of six bits; a clear bit of hmask means 4 less */
static inline void
zie_dequant_q3_k (float *restrict y, const guint8 *restrict p)
{
  const guint8 *s = p + 96;
  float d = ZIE_DEQUANT_HALF (p + 108);

  for (int run = 0; run < 16; run++)
    {
      int low = run < 8 ? s[run] & 15 : s[run - 8] >> 4, high = s[8 + run % 4] >> (run / 4 * 2) & 3;
      const guint8 *q = p + 32 + run / 8 * 32 + run % 2 * 16, *mask = p + run % 2 * 16;
      float scale = d * (float)((low | high << 4) - 32);
      int shift = run / 2 % 4 * 2, bit = run / 2;

      for (int l = 0; l < 16; l++)
        y[16 * run + l] = scale * (float)((q[l] >> shift & 3) - ((mask[l] >> bit & 1) ^ 1) * 4);
    }
}

/* The six-bit scale and minimum of run RUN of 32, out of the twelve bytes B. */
static inline void
zie_dequant_scale_min (const guint8 *b, int run, int *scale, int *low)
{
  if (run < 4)
    {
      *scale = b[run] & 63;
      *low = b[run + 4] & 63;
    }
  else
    {
      *scale = (b[run + 4] & 15) | b[run - 4] >> 6 << 4;
      *low = b[run + 4] >> 4 | b[run] >> 6 << 4;
    }
}

/* d, dmin, scales[12], qs[128] */
static inline void
zie_dequant_q4_k (float *restrict y, const guint8 *restrict p)
{
  float d = ZIE_DEQUANT_HALF (p), dmin = ZIE_DEQUANT_HALF (p + 2);

  for (int run = 0; run < 8; run++)
    {
      const guint8 *q = p + 16 + run / 2 * 32;
      int scale, low, shift = run % 2 * 4;
      float a, b;

      zie_dequant_scale_min (p + 4, run, &scale, &low);
      a = d * (float)scale;
      b = dmin * (float)low;
      for (int l = 0; l < 32; l++)
        {
          float v = a * (float)(q[l] >> shift & 15);
          y[32 * run + l] = v - b;
        }
    }
}

/* d, dmin, scales[12], qh[32], qs[128] */
static inline void
zie_dequant_q5_k (float *restrict y, const guint8 *restrict p)
{
  float d = ZIE_DEQUANT_HALF (p), dmin = ZIE_DEQUANT_HALF (p + 2);
  const guint8 *qh = p + 16;

  for (int run = 0; run < 8; run++)
    {
      const guint8 *q = p + 48 + run / 2 * 32;
      int scale, low, shift = run % 2 * 4;
      float a, b;

      zie_dequant_scale_min (p + 4, run, &scale, &low);
      a = d * (float)scale;
      b = dmin * (float)low;
      for (int l = 0; l < 32; l++)
        {
          float v = a * (float)((q[l] >> shift & 15) | (qh[l] >> run & 1) << 4);
          y[32 * run + l] = v - b;
        }
    }
}

/* ql[128], qh[64], i8 scales[16], d */
static inline void
zie_dequant_q6_k (float *restrict y, const guint8 *restrict p)
{
  float d = ZIE_DEQUANT_HALF (p + 208);

  for (int run = 0; run < 16; run++)
    {
      int half = run / 8, quarter = run / 2 % 4, at = run % 2 * 16;
      const guint8 *ql = p + 64 * half + quarter % 2 * 32 + at, *qh = p + 128 + 32 * half + at;
      float scale = d * (float)(gint8)p[192 + run];
      int low = quarter / 2 * 4, high = quarter * 2;

      for (int l = 0; l < 16; l++)
        y[16 * run + l] = scale * (float)(((ql[l] >> low & 15) | (qh[l] >> high & 3) << 4) - 32);
    }
}

/* N elements, whole blocks; FALSE where DTYPE is not one of these types. */
static inline gboolean
zie_dequant (ZieDtype dtype, float *dst, const guint8 *p, gint64 n)
{
#define ZIE_DEQUANT_TYPES(X) \
  X (Q4_0, q4_0, 32, 18) X (Q4_1, q4_1, 32, 20) X (Q5_0, q5_0, 32, 22) X (Q5_1, q5_1, 32, 24) X (Q8_0, q8_0, 32, 34) \
  X (Q2_K, q2_k, 256, 84) X (Q3_K, q3_k, 256, 110) X (Q4_K, q4_k, 256, 144) X (Q5_K, q5_k, 256, 176) X (Q6_K, q6_k, 256, 210)
#define ZIE_DEQUANT_CASE(TYPE, name, block, size) \
  case ZIE_DTYPE_##TYPE: \
    for (gint64 i = 0; i < n; i += (block), p += (size)) \
      zie_dequant_##name (dst + i, p); \
    return TRUE;

  switch (dtype)
    {
    ZIE_DEQUANT_TYPES (ZIE_DEQUANT_CASE)
    default:
      return FALSE;
    }
#undef ZIE_DEQUANT_CASE
}
