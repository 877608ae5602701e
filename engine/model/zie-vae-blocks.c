/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-vae-private.h"

#include <math.h>

#define NARROW_SCRATCH ((gsize)16 << 20)

ZieVaeField
zie_vae_walk_take_field (ZieVaeWalk *walk, const ZieOpCtx *ctx, gboolean is_host, int slot, gsize offset, gint64 h, gint64 w,
                         gint64 channels, gsize *end)
{
  ZieVaeRoom *room = &walk->rooms[is_host];
  gsize size = (gsize)(h * w) * zie_dtype_row_size (ctx->act, channels);
  gsize past = zie_arena_align (offset + size);
  guint8 *at;

  room->used[slot] = past;
  if (!room->is_sized)
    room->need = MAX (room->need, room->used[0] + room->used[1]);
  g_assert (room->used[0] + room->used[1] <= room->need);
  at = slot == 0 ? room->base + offset : room->base + room->need - past;
  if (end != NULL)
    *end = past;
  return (ZieVaeField) { { at, ctx->act, h * w, channels, channels, h, w }, is_host };
}

ZieTensor
zie_vae_walk_take (ZieVaeWalk *walk, const ZieOpCtx *ctx, int slot, gsize offset, gint64 h, gint64 w, gint64 channels, gsize *end)
{
  return zie_vae_walk_take_field (walk, ctx, FALSE, slot, offset, h, w, channels, end).t;
}

gboolean
zie_vae_walk_run (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, ZieVaeWalkFunc func, gpointer data)
{
  ZieOps counting_ops;
  ZieArena counting_arena;
  ZieTally tally = { 0 };
  ZieOpCtx counting = *ctx;

  zie_ops_init_counting (&counting_ops, ctx->ops);
  zie_arena_init_counting (&counting_arena);
  counting.ops = &counting_ops;
  counting.arena = &counting_arena;
  counting.tally = &tally;
  counting.cancel = NULL;
  counting.failed = NULL;
  *walk = (ZieVaeWalk) { .rooms = { { .base = counting_arena.base }, { .base = counting_arena.base } } };
  func (self, &counting, walk, data);

  *walk = (ZieVaeWalk) { .rooms = { { .need = walk->rooms[0].need }, { .need = walk->rooms[1].need } } };
  for (int i = 0; i < 2; i++)
    {
      walk->rooms[i].base = zie_arena_alloc (i == 0 ? ctx->arena : ctx->host, walk->rooms[i].need);
      walk->rooms[i].is_sized = TRUE;
    }
  return func (self, ctx, walk, data);
}

void
zie_vae_norm (const ZieVae *self, ZieOpCtx *ctx, const ZieTensor *x, const ZieVaeNorm *norm, ZieTensor *scale, ZieTensor *shift)
{
  *scale = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, 1, x->cols);
  *shift = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, 1, x->cols);
  ctx->ops->group_norm (ctx, scale, shift, x, &norm->gamma, &norm->beta, self->config.groups, ZIE_VAE_GROUP_NORM_EPS);
}

void
zie_vae_conv (ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieConv *conv)
{
  ZieConvArgs args = { .stride = 1 };
  ZieTensor y = zie_vae_walk_take (walk, ctx, 1 - walk->at, 0, walk->x.t.h, walk->x.t.w, conv->out, NULL);

  ctx->ops->conv2d (ctx, &y, &walk->x.t, conv, &args);
  walk->x.t = y;
  walk->at = 1 - walk->at;
  walk->offset = 0;
}

/* Each convolution reads silu (norm (…)) directly; nothing normalised is ever stored. */
static void
norm_conv (const ZieVae *self, ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieVaeNorm *norm, const ZieConv *conv,
           const ZieTensor *residual)
{
  ZieMark mark = zie_arena_mark (ctx->arena);
  ZieTensor scale, shift;
  ZieConvArgs args = { .stride = 1, .gn_scale = &scale, .gn_shift = &shift, .residual = residual };

  zie_vae_norm (self, ctx, x, norm, &scale, &shift);
  ctx->ops->conv2d (ctx, y, x, conv, &args);
  zie_arena_rewind (ctx->arena, mark);
}

/* x becomes its own 1x1 convolution to fewer channels, in place: a stretch of rows at a time through a small scratch, towards the
 * end of x's slot.  What is written ends where rows that are still to be read begin, or before.  So the widest level needs one
 * tensor less. */
static void
narrow (ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieConv *conv)
{
  ZieMark mark = zie_arena_mark (ctx->arena);
  ZieTensor *x = &walk->x.t;
  gsize row = (gsize)x->w * zie_dtype_row_size (ctx->act, conv->out);
  gsize wide_row = (gsize)x->w * zie_dtype_row_size (ctx->act, x->cols);
  gint64 step = CLAMP ((gint64)(NARROW_SCRATCH / row), 1, x->h), n_steps = (x->h + step - 1) / step;
  gboolean is_upwards = walk->at == 0 || walk->offset > 0;
  ZieTensor scratch = zie_tensor_new_image (ctx->arena, ctx->act, step, x->w, conv->out);
  ZieTensor y = { x->data, ctx->act, x->rows, conv->out, conv->out, x->h, x->w };

  if (!is_upwards)
    y.data += (gsize)x->h * (wide_row - row);
  for (gint64 i = 0; i < n_steps; i++)
    {
      gint64 r = (is_upwards ? i : n_steps - 1 - i) * step;
      ZieConvArgs args = { .stride = 1, .row0 = r };
      ZieTensor from = scratch, to;

      from.h = MIN (step, x->h - r);
      from.rows = from.h * x->w;
      ctx->ops->conv2d (ctx, &from, x, conv, &args);
      to = zie_tensor_rows (&y, r * x->w, from.rows);
      ctx->ops->copy (ctx, &to, &from);
    }
  *x = y;
  if (walk->offset == 0)
    walk->rooms[0].used[walk->at] = zie_arena_align (row * (gsize)x->h);
  zie_arena_rewind (ctx->arena, mark);
}

void
zie_vae_res_half (const ZieVae *self, ZieOpCtx *ctx, const ZieTensor *x, const ZieVaeRes *res, ZieTensor *h)
{
  norm_conv (self, ctx, h, x, &res->norm1, &res->conv1, NULL);
}

void
zie_vae_res (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieVaeRes *res)
{
  int other = 1 - walk->at;
  gsize behind_h;
  ZieTensor h = zie_vae_walk_take (walk, ctx, other, 0, walk->x.t.h, walk->x.t.w, res->conv1.out, &behind_h);

  zie_vae_res_half (self, ctx, &walk->x.t, res, &h);
  if (!res->has_shortcut)
    {
      norm_conv (self, ctx, &walk->x.t, &h, &res->norm2, &res->conv2, &walk->x.t);     /* over the input, pixel by pixel */
    }
  else if (res->shortcut.out <= res->shortcut.in)
    {
      narrow (ctx, walk, &res->shortcut);
      norm_conv (self, ctx, &walk->x.t, &h, &res->norm2, &res->conv2, &walk->x.t);
    }
  else
    {
      ZieConvArgs plain = { .stride = 1 };
      ZieTensor y = zie_vae_walk_take (walk, ctx, other, behind_h, walk->x.t.h, walk->x.t.w, res->shortcut.out, NULL);

      ctx->ops->conv2d (ctx, &y, &walk->x.t, &res->shortcut, &plain);
      norm_conv (self, ctx, &y, &h, &res->norm2, &res->conv2, &y);
      walk->x.t = y;
      walk->at = other;
      walk->offset = behind_h;
    }
}

/* One head over all pixels: x += out (softmax (q k^T / sqrt (c)) v). */
void
zie_vae_attention (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieVaeAttention *attention)
{
  const ZieOps *ops = ctx->ops;
  ZieMark mark = zie_arena_mark (ctx->arena);
  int other = 1 - walk->at;
  gint64 height = walk->x.t.h, width = walk->x.t.w, c = walk->x.t.cols;
  ZieTensor scale, shift, n, q, k, v;
  gsize end = 0;

  n = zie_vae_walk_take (walk, ctx, other, end, height, width, c, &end);
  q = zie_vae_walk_take (walk, ctx, other, end, height, width, c, &end);
  k = zie_vae_walk_take (walk, ctx, other, end, height, width, c, &end);
  v = zie_vae_walk_take (walk, ctx, other, end, height, width, c, &end);

  zie_vae_norm (self, ctx, &walk->x.t, &attention->norm, &scale, &shift);
  ops->affine (ctx, &n, &walk->x.t, &scale, &shift);
  ops->linear (ctx, &q, &n, &attention->q, &attention->q_bias);
  ops->linear (ctx, &k, &n, &attention->k, &attention->k_bias);
  ops->linear (ctx, &v, &n, &attention->v, &attention->v_bias);
  ops->attention (ctx, &n, &q, &k, &v, 1, 1, 1.0f / sqrtf ((float)c), FALSE);
  ops->linear (ctx, &q, &n, &attention->out, &attention->out_bias);
  ops->add (ctx, &walk->x.t, &q);
  zie_arena_rewind (ctx->arena, mark);
}

void
zie_vae_up (ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieConv *conv)
{
  ZieConvArgs args = { .stride = 1, .upsample = TRUE };
  ZieTensor y = zie_vae_walk_take (walk, ctx, 1 - walk->at, 0, 2 * walk->x.t.h, 2 * walk->x.t.w, conv->out, NULL);

  ctx->ops->conv2d (ctx, &y, &walk->x.t, conv, &args);
  walk->x.t = y;
  walk->at = 1 - walk->at;
  walk->offset = 0;
}

void
zie_vae_down (ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieConv *conv)
{
  ZieConvArgs args = { .stride = 2 };
  ZieTensor y = zie_vae_walk_take (walk, ctx, 1 - walk->at, 0, walk->x.t.h / 2, walk->x.t.w / 2, conv->out, NULL);

  ctx->ops->conv2d (ctx, &y, &walk->x.t, conv, &args);
  walk->x.t = y;
  walk->at = 1 - walk->at;
  walk->offset = 0;
}
