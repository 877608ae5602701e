/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ops"

#include "zie-ops.h"

#include "zie-op-shape.h"

char *
zie_op_place_to_text (gint rank)
{
  static const struct { const char *before, *after; } names[ZIE_N_PLACES] = {
    [ZIE_PLACE_NOWHERE] = { "the network", NULL },
    [ZIE_PLACE_TEXT_EMBEDS] = { "the text encoder's embeddings", NULL },
    [ZIE_PLACE_TEXT_LAYER] = { "layer", "of the text encoder" },
    [ZIE_PLACE_VAE_ENCODER] = { "block", "of the VAE encoder" },
    [ZIE_PLACE_CAPTION] = { "the transformer's caption embedder", NULL },
    [ZIE_PLACE_CONTEXT_REFINER] = { "block", "of the transformer's context refiner" },
    [ZIE_PLACE_NOISE_REFINER] = { "block", "of the transformer's noise refiner" },
    [ZIE_PLACE_LAYER] = { "layer", "of the transformer" },
    [ZIE_PLACE_FINAL_LAYER] = { "the transformer's final layer", NULL },
    [ZIE_PLACE_VAE_MIDDLE] = { "part", "of the VAE decoder's middle" },
    [ZIE_PLACE_VAE_UP] = { "up block", "of the VAE decoder" },
    [ZIE_PLACE_VAE_OUT] = { "the VAE decoder's last norm", NULL },
  };
  gint code = G_MAXINT - rank, place = code >> 16, index = code & 0xffff;

  if (rank <= 0 || place >= ZIE_N_PLACES)
    place = ZIE_PLACE_NOWHERE;
  if (names[place].after == NULL)
    return g_strdup (names[place].before);
  return g_strdup_printf ("%s %d %s", names[place].before, index + 1, names[place].after);
}

double
zie_op_weight_bytes (const ZieOpShape *shape)
{
  if (shape->kind != ZIE_OP_LINEAR && shape->kind != ZIE_OP_CONV)
    return 0;
  return (double)shape->n * (double)zie_dtype_row_size (shape->weight, shape->k);
}

void
zie_op_cost (const ZieOpShape *shape, ZieDtype act, double *flops, double *bytes)
{
  double m = (double)shape->m, n = (double)shape->n, k = (double)shape->k;
  double heads = (double)shape->heads, kv_heads = (double)shape->kv_heads;
  double pairs, in_pixels, numbers = 0;

  *flops = 0;
  switch (shape->kind)
    {
    case ZIE_OP_LINEAR:
      *flops = 2 * m * n * k;
      numbers = m * k + m * n;
      break;

    case ZIE_OP_ATTENTION:
      pairs = shape->causal ? m * (m + 1) / 2 : m * n;
      *flops = 4 * pairs * k * heads;
      numbers = 2 * m * k * heads + 2 * n * k * kv_heads;
      break;

    case ZIE_OP_CONV:
      in_pixels = shape->upsample ? m / 4 : m * (double)(shape->stride * shape->stride);
      *flops = 2 * m * n * k;
      numbers = in_pixels * (double)shape->channels + m * n * (shape->has_residual ? 2 : 1);
      break;

    case ZIE_OP_GROUP_NORM:
    case ZIE_OP_GROUP_PART:
    case ZIE_OP_RGB8:
    case ZIE_OP_MOVE:
      numbers = m * n;
      break;

    case ZIE_OP_ELEMENTWISE:
      numbers = m * n * k;
      break;
    }
  *bytes = numbers * (double)zie_dtype_row_size (act, 1) + zie_op_weight_bytes (shape);
}

static void
composed_linear_stacked (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *const *w, guint n)
{
  gint64 at = 0;

  for (guint i = 0; i < n; i++)
    {
      ZieTensor part = zie_tensor_cols (y, at, w[i]->rows);

      ctx->ops->linear (ctx, &part, x, w[i], NULL);
      at += w[i]->rows;
    }
  g_assert (at == y->cols);
}

static void
composed_gated_norm_add_norm (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y, const ZieWeight *w, const ZieTensor *gate,
                              ZieTensor *h, const ZieWeight *w_next, const ZieTensor *scale, float eps)
{
  ctx->ops->gated_norm_add (ctx, x, y, w, gate, eps);
  ctx->ops->rms_norm (ctx, h, x, w_next, scale, eps);
}

static void
composed_qk_norm_rope_pair (ZieOpCtx *ctx, ZieTensor *q, ZieTensor *k, const ZieWeight *wq, const ZieWeight *wk, const ZieTensor *cos,
                            const ZieTensor *sin, int heads, int kv_heads, ZieRope rope, float eps)
{
  ctx->ops->qk_norm_rope (ctx, q, wq, cos, sin, heads, rope, eps);
  ctx->ops->qk_norm_rope (ctx, k, wk, cos, sin, kv_heads, rope, eps);
}

/* Tokens have no height: they are a picture one pixel wide. */
static void
composed_group_norm (ZieOpCtx *ctx, ZieTensor *scale, ZieTensor *shift, const ZieTensor *x, const ZieWeight *gamma,
                     const ZieWeight *beta, int groups, float eps)
{
  ZieTensor whole = *x;
  ZieMark mark = zie_arena_mark (ctx->arena);
  ZieOpShape shape;
  void *sums;

  if (x->h == 0)
    {
      whole.h = x->rows;
      whole.w = 1;
    }
  shape = zie_op_shape_group_norm (whole.h, whole.w, whole.cols, groups);
  sums = zie_op_scratch (ctx, &shape);
  ctx->ops->group_norm_add (ctx, sums, &whole, 0, whole.h, groups);
  ctx->ops->group_norm_finish (ctx, scale, shift, sums, whole.h, whole.w, gamma, beta, groups, eps);
  zie_arena_rewind (ctx->arena, mark);
}

void
zie_ops_compose (ZieOps *ops)
{
  if (ops->group_norm == NULL)
    ops->group_norm = composed_group_norm;
  if (ops->linear_stacked == NULL)
    ops->linear_stacked = composed_linear_stacked;
  if (ops->gated_norm_add_norm == NULL)
    ops->gated_norm_add_norm = composed_gated_norm_add_norm;
  if (ops->qk_norm_rope_pair == NULL)
    ops->qk_norm_rope_pair = composed_qk_norm_rope_pair;
}

/* The counting backend: each op says its shape, and count() does the rest. */

static void
count (ZieOpCtx *ctx, ZieOpShape shape)
{
  ZieMark mark = zie_arena_mark (ctx->arena);
  double flops, bytes;

  zie_op_scratch (ctx, &shape);
  zie_arena_rewind (ctx->arena, mark);

  if (ctx->tally == NULL)
    return;
  zie_op_cost (&shape, ctx->act, &flops, &bytes);
  ctx->tally->flops += flops;
  ctx->tally->bytes += bytes;
  ctx->tally->weight_bytes += zie_op_weight_bytes (&shape);
  ctx->tally->n_ops++;
}

static void
count_upload (ZieOpCtx *ctx, ZieTensor *dst, const void *host)
{
  count (ctx, zie_op_shape_elementwise (dst->rows, dst->cols, 2));
}

static void
count_download (ZieOpCtx *ctx, void *host, const ZieTensor *src)
{
  count (ctx, zie_op_shape_elementwise (src->rows, src->cols, 2));
}

static void
count_download_rgb8 (ZieOpCtx *ctx, guint8 *rgb, ZieRgb8Check *check, const ZieTensor *rows)
{
  count (ctx, zie_op_shape_rgb8 (rows));
}

static void
count_move (ZieOpCtx *ctx, const ZieTensor *rows)
{
  zie_op_shape_move (rows);
  if (ctx->tally == NULL)
    return;
  ctx->tally->moved_bytes += (double)rows->rows * (double)zie_dtype_row_size (rows->dtype, rows->cols);
  ctx->tally->n_ops++;
}

static void
count_store_rows (ZieOpCtx *ctx, void *host, const ZieTensor *src)
{
  count_move (ctx, src);
}

static void
count_load_rows (ZieOpCtx *ctx, ZieTensor *dst, const void *host)
{
  count_move (ctx, dst);
}

static void
count_linear (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b)
{
  count (ctx, zie_op_shape_linear (y, x, w, b));
}

/* The parts' cost, and the scratch of the whole: of backends that do it at once. */
static void
count_linear_stacked (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *const *w, guint n)
{
  ZieOpShape shape = zie_op_shape_linear_stacked (y, x, w, n);
  ZieMark mark = zie_arena_mark (ctx->arena);

  zie_op_scratch (ctx, &shape);
  zie_arena_rewind (ctx->arena, mark);
  composed_linear_stacked (ctx, y, x, w, n);
}

static void
count_gather (ZieOpCtx *ctx, ZieTensor *y, const ZieWeight *table, const gint32 *ids)
{
  count (ctx, zie_op_shape_gather (y, table));
}

static void
count_rms_norm (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieTensor *scale, float eps)
{
  count (ctx, zie_op_shape_rms_norm (y, x, w, scale));
}

static void
count_gated_norm_add (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y, const ZieWeight *w, const ZieTensor *gate, float eps)
{
  count (ctx, zie_op_shape_gated_norm_add (x, y, w, gate));
}

static void
count_layer_norm (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, float eps)
{
  count (ctx, zie_op_shape_layer_norm (y, x, scale));
}

static void
count_qk_norm_rope (ZieOpCtx *ctx, ZieTensor *x, const ZieWeight *w, const ZieTensor *cos, const ZieTensor *sin, int heads,
                    ZieRope rope, float eps)
{
  count (ctx, zie_op_shape_qk_norm_rope (x, w, cos, sin, heads));
}

static void
count_attention (ZieOpCtx *ctx, ZieTensor *o, const ZieTensor *q, const ZieTensor *k, const ZieTensor *v, int heads,
                 int kv_heads, float scale, gboolean causal)
{
  count (ctx, zie_op_shape_attention (o, q, k, v, heads, kv_heads, causal));
}

static void
count_swiglu (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *gate, const ZieTensor *up)
{
  count (ctx, zie_op_shape_swiglu (y, gate, up));
}

static void
count_add (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y)
{
  count (ctx, zie_op_shape_add (x, y));
}

static void
count_unary (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, ZieUnary kind)
{
  count (ctx, zie_op_shape_map (y, x));
}

static void
count_copy (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x)
{
  count (ctx, zie_op_shape_map (y, x));
}

static void
count_fill_rows (ZieOpCtx *ctx, ZieTensor *y, const ZieWeight *row)
{
  count (ctx, zie_op_shape_fill_rows (y, row));
}

static void
count_patchify (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *latent, int channels, int h, int w)
{
  count (ctx, zie_op_shape_patchify (y, latent, channels, h, w));
}

static void
count_unpatchify (ZieOpCtx *ctx, ZieTensor *latent, const ZieTensor *x, int channels, int h, int w)
{
  count (ctx, zie_op_shape_patchify (x, latent, channels, h, w));
}

static void
count_planes_to_pixels (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, float scale, float shift)
{
  count (ctx, zie_op_shape_planes (y, x));
}

static void
count_pixels_to_planes (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, float scale, float shift)
{
  count (ctx, zie_op_shape_planes (x, y));
}

static void
count_group_norm_add (ZieOpCtx *ctx, void *sums, const ZieTensor *x, gint64 row0, gint64 height, int groups)
{
  count (ctx, zie_op_shape_group_norm_add (x, row0, height, groups));
}

static void
count_group_norm_finish (ZieOpCtx *ctx, ZieTensor *scale, ZieTensor *shift, void *sums, gint64 height, gint64 width,
                         const ZieWeight *gamma, const ZieWeight *beta, int groups, float eps)
{
  count (ctx, zie_op_shape_group_norm_finish (scale, shift, gamma, beta, groups));
}

static void
count_affine (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, const ZieTensor *shift)
{
  count (ctx, zie_op_shape_affine (y, x, scale, shift));
}

static void
count_conv2d (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieConv *conv, const ZieConvArgs *args)
{
  count (ctx, zie_op_shape_conv (y, x, conv, args));
}

void
zie_ops_init_counting (ZieOps *ops, const ZieOps *backend)
{
  *ops = (ZieOps) {
    .name = "counting",
    .band_rows = backend->band_rows,
    .scratch = backend->scratch,
    .upload = count_upload,
    .download = count_download,
    .download_rgb8 = count_download_rgb8,
    .store_rows = count_store_rows,
    .load_rows = count_load_rows,
    .linear = count_linear,
    .linear_stacked = backend->linear_stacked == composed_linear_stacked ? NULL : count_linear_stacked,
    .gather = count_gather,
    .rms_norm = count_rms_norm,
    .gated_norm_add = count_gated_norm_add,
    .layer_norm = count_layer_norm,
    .qk_norm_rope = count_qk_norm_rope,
    .attention = count_attention,
    .swiglu = count_swiglu,
    .add = count_add,
    .unary = count_unary,
    .copy = count_copy,
    .fill_rows = count_fill_rows,
    .patchify = count_patchify,
    .unpatchify = count_unpatchify,
    .planes_to_pixels = count_planes_to_pixels,
    .pixels_to_planes = count_pixels_to_planes,
    .group_norm_add = count_group_norm_add,
    .group_norm_finish = count_group_norm_finish,
    .affine = count_affine,
    .conv2d = count_conv2d,
  };
  zie_ops_compose (ops);
}
