/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-backend.h"
#include "zie-op-shape.h"

/* The reference backend is the specification of every op in zie-ops.h: plain loops over f32 activations, sums in
 * double, one rounding at the end.  With ctx->compute BF16 both sides of a product (linear, attention's q k^T and its v,
 * convolutions) are rounded to bf16 first, and the sum stays double.  Other backends are checked against it. */

static inline float *
ref_row (const ZieTensor *t, gint64 row)
{
  return zie_tensor_f32 (t) + row * t->stride;
}

/* One element of a vector. */
static inline float
ref_weight_at (const ZieWeight *w, gint64 col)
{
  gint64 block = zie_dtype_block (w->dtype);
  float values[ZIE_DTYPE_MAX_BLOCK];

  zie_dtype_to_f32 (w->dtype, values, w->data + zie_dtype_row_size (w->dtype, col / block * block), block);
  return values[col % block] * zie_weight_scale (w, 0);
}

/* A factor of a product as CTX wants it. */
static inline float
ref_operand (const ZieOpCtx *ctx, float v)
{
  return ctx->compute == ZIE_COMPUTE_BF16 ? zie_bf16_to_f32 (zie_f32_to_bf16 (v)) : v;
}

double ref_silu (double x);

/* FUNC for every item on the threads of CTX, until cancelled; which thread takes an item changes nothing. */
void ref_run (ZieOpCtx *ctx, gint64 n_items, ZieThreadsFunc func, gpointer data);

/* Bytes of scratch, for the four ops that take some. */
gsize ref_linear_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape);
gsize ref_attention_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape);
gsize ref_conv_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape);
gsize ref_group_norm_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape);

void ref_upload (ZieOpCtx *ctx, ZieTensor *dst, const void *host);
void ref_download (ZieOpCtx *ctx, void *host, const ZieTensor *src);
void ref_download_rgb8 (ZieOpCtx *ctx, guint8 *rgb, ZieRgb8Check *check, const ZieTensor *rows);
void ref_store_rows (ZieOpCtx *ctx, void *host, const ZieTensor *src);
void ref_load_rows (ZieOpCtx *ctx, ZieTensor *dst, const void *host);
void ref_linear (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b);
void ref_gather (ZieOpCtx *ctx, ZieTensor *y, const ZieWeight *table, const gint32 *ids);
void ref_rms_norm (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieTensor *scale, float eps);
void ref_gated_norm_add (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y, const ZieWeight *w, const ZieTensor *gate, float eps);
void ref_layer_norm (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, float eps);
void ref_qk_norm_rope (ZieOpCtx *ctx, ZieTensor *x, const ZieWeight *w, const ZieTensor *cos, const ZieTensor *sin,
                       int heads, ZieRope rope, float eps);
void ref_attention (ZieOpCtx *ctx, ZieTensor *o, const ZieTensor *q, const ZieTensor *k, const ZieTensor *v,
                    int heads, int kv_heads, float scale, gboolean causal);
void ref_swiglu (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *gate, const ZieTensor *up);
void ref_add (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y);
void ref_unary (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, ZieUnary kind);
void ref_copy (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x);
void ref_fill_rows (ZieOpCtx *ctx, ZieTensor *y, const ZieWeight *row);
void ref_patchify (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *latent, int channels, int h, int w);
void ref_unpatchify (ZieOpCtx *ctx, ZieTensor *latent, const ZieTensor *x, int channels, int h, int w);
void ref_planes_to_pixels (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, float scale, float shift);
void ref_pixels_to_planes (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, float scale, float shift);
void ref_group_norm_add (ZieOpCtx *ctx, void *sums, const ZieTensor *x, gint64 row0, gint64 height, int groups);
void ref_group_norm_finish (ZieOpCtx *ctx, ZieTensor *scale, ZieTensor *shift, void *sums, gint64 height, gint64 width,
                            const ZieWeight *gamma, const ZieWeight *beta, int groups, float eps);
void ref_affine (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, const ZieTensor *shift);
void ref_conv2d (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieConv *conv, const ZieConvArgs *args);
