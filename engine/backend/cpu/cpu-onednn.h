/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* The one place that knows oneDNN (2.6 and 3.x; without it everything here says no).  We use it for products and
 * convolutions of bf16 numbers with sums in f32, where the processor has instructions for them: AMX tiles above all.
 *
 * Work is divided by us: a product runs on the thread that calls, with scratch of the caller.  Products are kept in a
 * table by their shape, up to a number, the least recently used leaving first.  Any thread. */
typedef struct _ZieDnn ZieDnn;

/* c[m, n] = (accumulate: c +) a[m, k] * b (+ bias[n]).  b is [k, n] or, transposed, [n, k].  Strides in elements. */
typedef struct
{
  gint64 m, n, k;
  gint64 lda, ldb, ldc;
  gboolean b_is_transposed, accumulate, has_bias;
} ZieDnnMatmul;

/* out[out_h, out_w, n_out] = convolution of in[in_h, in_w, n_in], which carries its own padding. */
typedef struct
{
  gint64 in_h, in_w, n_in, out_h, out_w, n_out;
  gint64 ksize, stride;
} ZieDnnConv;

/* Whether oneDNN is there and does bf16 by the processor's own instructions. */
gboolean zie_dnn_has_bf16 (void);
/* … and by AMX tiles. */
gboolean zie_dnn_has_amx (void);
/* "oneDNN 2.6.3", or why not.  Static string. */
const char *zie_dnn_describe (void);

/* The product of that shape, or NULL when oneDNN cannot make it with at most ZIE_DNN_SCRATCH_MAX bytes of scratch; give
 * it back with zie_dnn_release(). */
ZieDnn *zie_dnn_acquire_matmul (const ZieDnnMatmul *shape);
ZieDnn *zie_dnn_acquire_conv (const ZieDnnConv *shape);
void zie_dnn_release (ZieDnn *self);

/* What every product can do with, for plans. */
#define ZIE_DNN_SCRATCH_MAX ((gsize)1 << 20)

/* Convolutions: bytes of the weights as oneDNN wants them, at most zie_dnn_conv_weights_bound(); and making those of outputs
 * [first, first + n) from WEIGHTS [n_out, n_in, ksize, ksize].  FALSE: oneDNN's layout does not come apart there; all outputs
 * at once always works. */
gsize zie_dnn_conv_weights_bound (gint64 n_in, gint64 n_out, gint64 ksize);
gsize zie_dnn_get_weights_size (const ZieDnn *self);
gboolean zie_dnn_pack_weights (const ZieDnn *self, void *packed, const guint16 *weights, gint64 first, gint64 n);

/* Numbers of a and b are bf16.  BIAS: NULL unless the shape has one.  SCRATCH: ZIE_DNN_SCRATCH_MAX bytes, this thread's. */
void zie_dnn_run (const ZieDnn *self, float *c, const guint16 *a, const void *b, const float *bias, void *scratch);
