/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-vae-private.h"

#include <math.h>

#define GROUP_NORM_EPS 1e-6f
#define NARROW_SCRATCH ((gsize)16 << 20)

ZieTensor
zie_vae_walk_take (ZieVaeWalk *walk, const ZieOpCtx *ctx, int slot, gsize offset, gint64 h, gint64 w, gint64 channels, gsize *end)
{
  gsize size = (gsize)(h * w) * zie_dtype_row_size (ctx->act, channels);
  gsize past = (offset + size + ZIE_ARENA_ALIGN - 1) & ~(gsize)(ZIE_ARENA_ALIGN - 1);

  if (walk->slot[slot] == NULL)
    walk->need[slot] = MAX (walk->need[slot], past);
  else
    g_assert (past <= walk->need[slot]);
  if (end != NULL)
    *end = past;
  return (ZieTensor) { walk->slot[slot] ? walk->slot[slot] + offset : NULL, ctx->act, h * w, channels, channels, h, w };
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
  *walk = (ZieVaeWalk) { 0 };
  func (self, &counting, walk, data);

  *walk = (ZieVaeWalk) { .need = { walk->need[0], walk->need[1] } };
  for (int i = 0; i < 2; i++)
    walk->slot[i] = zie_arena_alloc (ctx->arena, walk->need[i]);
  return func (self, ctx, walk, data);
}

void
zie_vae_norm (const ZieVae *self, ZieOpCtx *ctx, const ZieTensor *x, const ZieVaeNorm *norm, ZieTensor *scale, ZieTensor *shift)
{
  *scale = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, 1, x->cols);
  *shift = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, 1, x->cols);
  ctx->ops->group_norm (ctx, scale, shift, x, &norm->gamma, &norm->beta, self->config.groups, GROUP_NORM_EPS);
}

void
zie_vae_conv (ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieConv *conv)
{
  ZieConvArgs args = { .stride = 1 };
  ZieTensor y = zie_vae_walk_take (walk, ctx, 1 - walk->at, 0, walk->x.h, walk->x.w, conv->out, NULL);

  ctx->ops->conv2d (ctx, &y, &walk->x, conv, &args);
  walk->x = y;
  walk->at = 1 - walk->at;
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

/* x becomes its own 1x1 convolution to fewer channels, in place: a stretch of rows at a time through a small scratch, whose
 * result ends where the rows that are still to be read begin, or before.  So the widest level needs one tensor less. */
static void
narrow (ZieOpCtx *ctx, ZieTensor *x, const ZieConv *conv)
{
  ZieMark mark = zie_arena_mark (ctx->arena);
  gsize row = (gsize)x->w * zie_dtype_row_size (ctx->act, conv->out);
  gint64 step = CLAMP ((gint64)(NARROW_SCRATCH / row), 1, x->h);
  ZieTensor scratch = zie_tensor_new_image (ctx->arena, ctx->act, step, x->w, conv->out);
  ZieTensor y = { x->data, ctx->act, x->rows, conv->out, conv->out, x->h, x->w };

  for (gint64 r = 0; r < x->h; r += step)
    {
      ZieConvArgs args = { .stride = 1, .row0 = r };
      ZieTensor from = scratch, to;

      from.h = MIN (step, x->h - r);
      from.rows = from.h * x->w;
      ctx->ops->conv2d (ctx, &from, x, conv, &args);
      to = zie_tensor_rows (&y, r * x->w, from.rows);
      ctx->ops->copy (ctx, &to, &from);
    }
  *x = y;
  zie_arena_rewind (ctx->arena, mark);
}

void
zie_vae_res (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieVaeRes *res)
{
  int other = 1 - walk->at;
  gsize behind_h;
  ZieTensor h = zie_vae_walk_take (walk, ctx, other, 0, walk->x.h, walk->x.w, res->conv1.out, &behind_h);

  norm_conv (self, ctx, &h, &walk->x, &res->norm1, &res->conv1, NULL);
  if (!res->has_shortcut)
    {
      norm_conv (self, ctx, &walk->x, &h, &res->norm2, &res->conv2, &walk->x);     /* over the input, pixel by pixel */
    }
  else if (res->shortcut.out <= res->shortcut.in)
    {
      narrow (ctx, &walk->x, &res->shortcut);
      norm_conv (self, ctx, &walk->x, &h, &res->norm2, &res->conv2, &walk->x);
    }
  else
    {
      ZieConvArgs plain = { .stride = 1 };
      ZieTensor y = zie_vae_walk_take (walk, ctx, other, behind_h, walk->x.h, walk->x.w, res->shortcut.out, NULL);

      ctx->ops->conv2d (ctx, &y, &walk->x, &res->shortcut, &plain);
      norm_conv (self, ctx, &y, &h, &res->norm2, &res->conv2, &y);
      walk->x = y;
      walk->at = other;
    }
}

/* One head over all pixels: x += out (softmax (q k^T / sqrt (c)) v). */
void
zie_vae_attention (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieVaeAttention *attention)
{
  const ZieOps *ops = ctx->ops;
  ZieMark mark = zie_arena_mark (ctx->arena);
  int other = 1 - walk->at;
  gint64 height = walk->x.h, width = walk->x.w, c = walk->x.cols;
  ZieTensor scale, shift, n, q, k, v;
  gsize end = 0;

  n = zie_vae_walk_take (walk, ctx, other, end, height, width, c, &end);
  q = zie_vae_walk_take (walk, ctx, other, end, height, width, c, &end);
  k = zie_vae_walk_take (walk, ctx, other, end, height, width, c, &end);
  v = zie_vae_walk_take (walk, ctx, other, end, height, width, c, &end);

  zie_vae_norm (self, ctx, &walk->x, &attention->norm, &scale, &shift);
  ops->affine (ctx, &n, &walk->x, &scale, &shift);
  ops->linear (ctx, &q, &n, &attention->q, &attention->q_bias);
  ops->linear (ctx, &k, &n, &attention->k, &attention->k_bias);
  ops->linear (ctx, &v, &n, &attention->v, &attention->v_bias);
  ops->attention (ctx, &n, &q, &k, &v, 1, 1, 1.0f / sqrtf ((float)c), FALSE);
  ops->linear (ctx, &q, &n, &attention->out, &attention->out_bias);
  ops->add (ctx, &walk->x, &q);
  zie_arena_rewind (ctx->arena, mark);
}

void
zie_vae_up (ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieConv *conv)
{
  ZieConvArgs args = { .stride = 1, .upsample = TRUE };
  ZieTensor y = zie_vae_walk_take (walk, ctx, 1 - walk->at, 0, 2 * walk->x.h, 2 * walk->x.w, conv->out, NULL);

  ctx->ops->conv2d (ctx, &y, &walk->x, conv, &args);
  walk->x = y;
  walk->at = 1 - walk->at;
}

void
zie_vae_down (ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieConv *conv)
{
  ZieConvArgs args = { .stride = 2 };
  ZieTensor y = zie_vae_walk_take (walk, ctx, 1 - walk->at, 0, walk->x.h / 2, walk->x.w / 2, conv->out, NULL);

  ctx->ops->conv2d (ctx, &y, &walk->x, conv, &args);
  walk->x = y;
  walk->at = 1 - walk->at;
}
