/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

#include "zie-dtype.h"

/* The inner loops, compiled once for each level of instructions from one source (cpu-kernels.c). */

/* A product of a strip of rows with one packed panel of weights:
 *
 *   c[i][j] = sum over taps t, k of a[i * lda + taps[t] + k] * b[(t * n_k + k) * nr + j]  (+ bias[j] + residual[i][j] + c[i][j])
 *
 * A linear layer has the one tap 0.  A convolution's taps are the places of the kernel's elements in the padded
 * input, its rows the pixels of a line. */
typedef struct
{
  const float *a;
  gint64 lda;                 /* floats from one row to the next */
  const gint64 *taps;         /* [n_taps], floats */
  gint64 n_taps, n_k;
  const float *b;             /* [n_taps * n_k, nr] */
  float *c;
  gint64 ldc;
  gint64 m, n;                /* any m; n <= nr */
  const float *bias;          /* [nr] or NULL */
  const float *residual;      /* or NULL; may be c */
  gint64 ldr;
  gboolean accumulate;
} ZieCpuTile;

/* Rows of a stored weight. */
typedef struct
{
  const guint8 *data;         /* of the first, unaligned */
  ZieDtype dtype;
  gsize row_size;
  gint64 n_rows;
  const guint8 *scales;       /* F32, unaligned, or NULL: of the first row, and SCALE_STEP bytes on of each further one */
  gsize scale_step;
} ZieCpuRows;

/* One block of keys of the streaming softmax. */
typedef struct
{
  float *scores;              /* [m, stride]; becomes exp (scores * scale - highest) */
  gint64 m, n, stride;
  float scale;
  gint64 n_seen;              /* keys that row 0 may see in this block; each further row one more; >= n: all */
  float *highest, *sum;       /* [m], running */
  float *factor;              /* [m], out: what earlier sums shrink by */
} ZieCpuSoftmax;

/* A run of pixels and how they are read. */
typedef struct
{
  const float *src;
  gint64 src_stride, dst_stride;
  gint64 channels, n;
  const float *scale, *shift;  /* [channels] or NULL */
} ZieCpuPixels;

typedef struct
{
  const char *name;           /* "avx2" */
  int width;                  /* floats in a vector */
  int mr, nr;                 /* rows and columns of the product's inner block; nr = 2 * width */

  void (*tile) (const ZieCpuTile *tile);

  /* N elements to f32, P unaligned; whole blocks. */
  void (*expand) (ZieDtype dtype, float *dst, const guint8 *p, gint64 n);
  /* The transpose of elements [k0, k0 + n_k) of n_rows <= nr rows, to dst[n_k][nr]; missing rows are 0.  TAPS > 1: element
   * i * taps + t of a row goes to line t * (n_k / taps) + i, and k0 is 0.  k0 is a multiple of 32 and of the type's block. */
  void (*pack) (float *dst, const ZieCpuRows *rows, gint64 k0, gint64 n_k, gint64 taps, gboolean round_bf16);
  void (*round_bf16) (float *dst, const float *src, gint64 n);
  void (*to_bf16) (guint16 *dst, const float *src, gint64 n);
  /* The transpose of n rows of k floats, n <= nr, to dst[k][nr]; the other way: k rows of n floats to dst[k][nr]. */
  void (*pack_f32) (float *dst, const float *src, gint64 stride, gint64 n, gint64 k);
  void (*copy_f32) (float *dst, const float *src, gint64 stride, gint64 n, gint64 k);

  void (*softmax) (const ZieCpuSoftmax *block);
  void (*scale) (float *y, const float *x, float factor, gint64 n);

  /* Pixels for a convolution: dst = silu (src * scale + shift), or src where SCALE is NULL; as f32, rounded to bf16 or not,
   * or stored as bf16. */
  void (*read_pixels) (const ZieCpuPixels *pixels, float *dst, gboolean round_bf16);
  void (*read_pixels_bf16) (const ZieCpuPixels *pixels, guint16 *dst);
  /* y = sums + bias (+ residual), n pixels */
  void (*write_pixels) (float *y, gint64 y_stride, const float *sums, const float *bias, const float *residual,
                        gint64 residual_stride, gint64 channels, gint64 n);
  /* y[o] = bias[o] + sum of taps as in a tile with M pixels, for at most 4 outputs; b[o][n_taps * n_k] */
  void (*dots) (const ZieCpuTile *tile);

  /* Norms return the factor that they found, as zie_op_check_factor() takes it. */
  float (*rms_norm) (float *y, const float *x, const float *w, const float *scale, float eps, gint64 n);
  float (*gated_norm_add) (float *x, const float *y, const float *w, const float *gate, float eps, gint64 n);
  float (*layer_norm) (float *y, const float *x, const float *scale, float eps, gint64 n);
  float (*rope_interleaved) (float *x, const float *w, const float *cos, const float *sin, float eps, gint64 n);
  float (*rope_half) (float *x, const float *w, const float *cos, const float *sin, float eps, gint64 n);
  void (*swiglu) (float *y, const float *gate, const float *up, gint64 n);
  void (*add) (float *x, const float *y, gint64 n);
  void (*silu) (float *y, const float *x, gint64 n);
  void (*affine) (float *y, const float *x, const float *scale, const float *shift, gint64 n);
  /* sums[0 .. n) = sum of a column over ROWS, sums[n .. 2n) = sum of squares */
  void (*column_sums) (double *sums, const float *x, gint64 stride, gint64 rows, gint64 n);
} ZieCpuKernels;

extern const ZieCpuKernels zie_cpu_kernels_plain;
#ifdef ZIE_CPU_X86
extern const ZieCpuKernels zie_cpu_kernels_avx2;
extern const ZieCpuKernels zie_cpu_kernels_avx512;
#endif
