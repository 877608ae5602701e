/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <string.h>

#include <glib.h>

/* Types of stored numbers.  Q8_0: blocks of 32, an IEEE half and 32 int8 (spec 1.5). */
typedef enum
{
  ZIE_DTYPE_F32,
  ZIE_DTYPE_F16,
  ZIE_DTYPE_BF16,
  ZIE_DTYPE_Q8_0,
  ZIE_DTYPE_I32,
  ZIE_DTYPE_U8,
  ZIE_DTYPE_OTHER,       /* known to a file format, not to us: needed tensors of this type are refused by name */
  ZIE_N_DTYPES
} ZieDtype;

#define ZIE_Q8_0_BLOCK 32
#define ZIE_Q8_0_BLOCK_SIZE 34

const char *zie_dtype_name (ZieDtype dtype);                  /* "BF16" */
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

/* Expands N stored elements, possibly unaligned, to f32: the reference dequantisation.  N is whole blocks. */
void zie_dtype_to_f32 (ZieDtype dtype, float *dst, const void *src, gint64 n);
