/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ref"

#include "ref-private.h"

void
ref_upload (ZieOpCtx *ctx, ZieTensor *dst, const void *host)
{
  gsize row = zie_dtype_row_size (dst->dtype, dst->cols), stride = zie_dtype_row_size (dst->dtype, dst->stride);

  for (gint64 r = 0; r < dst->rows; r++)
    memcpy (dst->data + (gsize)r * stride, (const guint8 *)host + (gsize)r * row, row);
}

void
ref_download (ZieOpCtx *ctx, void *host, const ZieTensor *src)
{
  gsize row = zie_dtype_row_size (src->dtype, src->cols), stride = zie_dtype_row_size (src->dtype, src->stride);

  for (gint64 r = 0; r < src->rows; r++)
    memcpy ((guint8 *)host + (gsize)r * row, src->data + (gsize)r * stride, row);
}

void
ref_download_rgb8 (ZieOpCtx *ctx, guint8 *rgb, ZieRgb8Check *check, const ZieTensor *rows)
{
  zie_op_shape_rgb8 (rows);
  if (!zie_op_cancelled (ctx))
    zie_rgb8_from_rows (zie_tensor_f32 (rows), (gsize)rows->rows, rgb, check);
}

void
ref_store_rows (ZieOpCtx *ctx, void *host, const ZieTensor *src)
{
  zie_op_shape_move (src);
  if (!zie_op_cancelled (ctx))
    memcpy (host, src->data, (gsize)src->rows * zie_dtype_row_size (src->dtype, src->cols));
}

void
ref_load_rows (ZieOpCtx *ctx, ZieTensor *dst, const void *host)
{
  zie_op_shape_move (dst);
  if (!zie_op_cancelled (ctx))
    memcpy (dst->data, host, (gsize)dst->rows * zie_dtype_row_size (dst->dtype, dst->cols));
}

/* Where number I of token T of a latent H x W lies in its plane; *CHANNEL says which plane. */
static gint64
patch_place (gint64 t, gint64 i, int channels, int w, gint64 *channel)
{
  gint64 py = i / channels / 2, px = i / channels % 2;
  gint64 y = t / (w / 2) * 2 + py, x = t % (w / 2) * 2 + px;

  *channel = i % channels;
  return y * w + x;
}

void
ref_patchify (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *latent, int channels, int h, int w)
{
  gint64 channel, at;

  zie_op_shape_patchify (y, latent, channels, h, w);
  for (gint64 t = 0; t < y->rows && !zie_op_cancelled (ctx); t++)
    for (gint64 i = 0; i < y->cols; i++)
      {
        at = patch_place (t, i, channels, w, &channel);
        ref_row (y, t)[i] = ref_row (latent, channel)[at];
      }
}

void
ref_unpatchify (ZieOpCtx *ctx, ZieTensor *latent, const ZieTensor *x, int channels, int h, int w)
{
  gint64 channel, at;

  zie_op_shape_patchify (x, latent, channels, h, w);
  for (gint64 t = 0; t < x->rows && !zie_op_cancelled (ctx); t++)
    for (gint64 i = 0; i < x->cols; i++)
      {
        at = patch_place (t, i, channels, w, &channel);
        ref_row (latent, channel)[at] = ref_row (x, t)[i];
      }
}

void
ref_planes_to_pixels (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, float scale, float shift)
{
  zie_op_shape_planes (y, x);
  for (gint64 p = 0; p < y->rows && !zie_op_cancelled (ctx); p++)
    for (gint64 c = 0; c < y->cols; c++)
      ref_row (y, p)[c] = (float)((double)ref_row (x, c)[p] * scale + shift);
}

void
ref_pixels_to_planes (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, float scale, float shift)
{
  zie_op_shape_planes (x, y);
  for (gint64 p = 0; p < x->rows && !zie_op_cancelled (ctx); p++)
    for (gint64 c = 0; c < x->cols; c++)
      ref_row (y, c)[p] = (float)((double)ref_row (x, p)[c] * scale + shift);
}
