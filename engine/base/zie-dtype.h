/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <string.h>

#include <glib.h>

/* Types of stored numbers.  The Q types are ggml's, of blocks of 32 or 256 elements (spec 1.5, zie-dequant.h). */
typedef enum
{
  ZIE_DTYPE_F32,
  ZIE_DTYPE_F16,
  ZIE_DTYPE_BF16,
  ZIE_DTYPE_Q8_0,
  ZIE_DTYPE_I32,
  ZIE_DTYPE_U8,
  ZIE_DTYPE_Q4_0,
  ZIE_DTYPE_Q4_1,
  ZIE_DTYPE_Q5_0,
  ZIE_DTYPE_Q5_1,
  ZIE_DTYPE_Q2_K,
  ZIE_DTYPE_Q3_K,
  ZIE_DTYPE_Q4_K,
  ZIE_DTYPE_Q5_K,
  ZIE_DTYPE_Q6_K,
  ZIE_DTYPE_F8_E4M3,     /* no infinities; 0x7f and 0xff are NaN (spec 1.4) */
  ZIE_DTYPE_F8_E5M2,     /* the high byte of an IEEE half */
  ZIE_DTYPE_OTHER,       /* known to a file format, not to us: needed tensors of this type are refused by name */
  ZIE_N_DTYPES
} ZieDtype;

#define ZIE_Q8_0_BLOCK 32
#define ZIE_Q8_0_BLOCK_SIZE 34

#define ZIE_DTYPE_MAX_BLOCK 256

const char *zie_dtype_name (ZieDtype dtype);                  /* "BF16" */
int zie_dtype_block (ZieDtype dtype);                         /* elements: 32 or 256, 1 of plain types */
gsize zie_dtype_block_size (ZieDtype dtype);                  /* bytes */
gboolean zie_dtype_is_weight (ZieDtype dtype);                /* zie_dtype_to_f32() expands it */
gboolean zie_dtype_is_quantised (ZieDtype dtype);             /* a weight of less than 16 bits a number */
/* Bytes of N consecutive elements (a row); N must be whole blocks.  OTHER: 0. */
gsize zie_dtype_row_size (ZieDtype dtype, gint64 n);

/* Scalar conversions; to bf16 rounds to nearest, ties to even, NaN stays NaN. */
static inline float
zie_bf16_to_f32 (guint16 v)
{
  guint32 u = (guint32)v << 16;
  float f;
  memcpy (&f, &u, 4);
  return f;
}

static inline guint16
zie_f32_to_bf16 (float f)
{
  guint32 u;
  memcpy (&u, &f, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u)
    return (guint16)((u >> 16) | 0x40);
  return (guint16)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}

float zie_f16_to_f32 (guint16 v);
guint16 zie_f32_to_f16 (float f);

float zie_f8_e4m3_to_f32 (guint8 v);

/* Expands N stored elements, possibly unaligned, to f32: the reference dequantisation.  N is whole blocks. */
void zie_dtype_to_f32 (ZieDtype dtype, float *dst, const void *src, gint64 n);
