/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-vae-private.h"

#include "zie-op-shape.h"

/* The decoder's large levels in bands of rows.  A band is computed from rows of its input and one row more above and below; at
 * the picture's top and bottom there is none, so the convolution's zeros are where they are in one piece.  GroupNorm's
 * statistics of an activation are noted as its bands are made, so that it is read once less.  Every number is computed by the
 * same sum as in one piece. */

typedef struct
{
  gint64 height, rows;
  gint64 n, index;               /* bands in all; the current one, -1 before the first */
  gint64 from, n_rows;           /* of the current band */
  ZieTally first, second;        /* counted before the second band, and with it */
} Bands;

static Bands
bands_of (gint64 height, gint64 rows)
{
  rows = MAX (rows, zie_group_norm_step (height));
  return (Bands) { .height = height, .rows = rows, .n = (height + rows - 1) / rows, .index = -1 };
}

/* All bands but the first and the last do the same: where only counted, one stands for them. */
static void
count_for_others (Bands *self, ZieTally *tally)
{
  double others = (double)(self->n - 3);

  if (self->index == 0)
    self->first = *tally;
  if (self->index != 1 || self->n <= 3)
    return;
  tally->flops += (tally->flops - self->first.flops) * others;
  tally->bytes += (tally->bytes - self->first.bytes) * others;
  tally->moved_bytes += (tally->moved_bytes - self->first.moved_bytes) * others;
  self->index = self->n - 2;
}

static gboolean
next_band (Bands *self, ZieOpCtx *ctx)
{
  if (ctx->tally != NULL)
    count_for_others (self, ctx->tally);
  if (++self->index >= self->n || zie_op_cancelled (ctx))
    return FALSE;
  self->from = self->index * self->rows;
  self->n_rows = MIN (self->rows, self->height - self->from);
  return TRUE;
}

/* --- rows of an activation --- */

static ZieTensor
rows_of (const ZieVaeField *field, gint64 from, gint64 n)
{
  ZieTensor rows = zie_tensor_rows (&field->t, from * field->t.w, n * field->t.w);

  rows.h = n;
  rows.w = field->t.w;
  return rows;
}

/* Rows to read: where they are, or a copy in the arena. */
static ZieTensor
load (ZieOpCtx *ctx, const ZieVaeField *field, gint64 from, gint64 n)
{
  ZieTensor there = rows_of (field, from, n), here;

  if (!field->is_host)
    return there;
  here = zie_tensor_new_image (ctx->arena, there.dtype, n, there.w, there.cols);
  ctx->ops->load_rows (ctx, &here, there.data);
  return here;
}

/* Rows to write: where they are, or in the arena, to be stored. */
static ZieTensor
room_for (ZieOpCtx *ctx, const ZieVaeField *field, gint64 from, gint64 n)
{
  if (!field->is_host)
    return rows_of (field, from, n);
  return zie_tensor_new_image (ctx->arena, field->t.dtype, n, field->t.w, field->t.cols);
}

static void
store (ZieOpCtx *ctx, const ZieVaeField *field, gint64 from, const ZieTensor *rows)
{
  if (field->is_host)
    ctx->ops->store_rows (ctx, rows_of (field, from, rows->h).data, rows);
}

/* y = rows [from, from + y->h) of the convolution of X. */
static void
conv_rows (ZieOpCtx *ctx, ZieTensor *y, const ZieVaeField *x, gint64 from, const ZieConv *conv, const ZieConvArgs *args)
{
  ZieMark mark = zie_arena_mark (ctx->arena);
  gint64 top = MAX (from - conv->ksize / 2, 0), end = MIN (from + y->h + conv->ksize / 2, x->t.h);
  ZieTensor in = load (ctx, x, top, end - top);
  ZieConvArgs band = *args;

  band.row0 = from - top;
  ctx->ops->conv2d (ctx, y, &in, conv, &band);
  zie_arena_rewind (ctx->arena, mark);
}

/* The same of X enlarged. */
static void
up_rows (ZieOpCtx *ctx, ZieTensor *y, const ZieVaeField *x, gint64 from, const ZieConv *conv)
{
  ZieMark mark = zie_arena_mark (ctx->arena);
  gint64 top = MAX (from - 1, 0) / 2, end = MIN ((from + y->h) / 2 + 1, x->t.h);
  ZieTensor in = load (ctx, x, top, end - top);
  ZieConvArgs band = { .stride = 1, .upsample = TRUE, .row0 = from - 2 * top };

  ctx->ops->conv2d (ctx, y, &in, conv, &band);
  zie_arena_rewind (ctx->arena, mark);
}

/* y = rows of the block's result from its input and h. */
static void
finish_rows (ZieOpCtx *ctx, ZieTensor *y, const ZieVaeField *x, const ZieVaeField *h, gint64 from, const ZieVaeRes *res,
             const ZieTensor *scale, const ZieTensor *shift)
{
  ZieMark mark = zie_arena_mark (ctx->arena);
  ZieTensor residual = load (ctx, x, from, y->h);
  ZieConvArgs args = { .stride = 1, .gn_scale = scale, .gn_shift = shift, .residual = &residual };

  conv_rows (ctx, y, h, from, &res->conv2, &args);
  zie_arena_rewind (ctx->arena, mark);
}

/* --- a level --- */

typedef struct
{
  const ZieVae *self;
  ZieOpCtx *ctx;
  gint64 rows;
  ZieVaeField low, x, h;         /* what the Up before the level reads; a block's input; what is between its convolutions */
  void *x_sums, *h_sums;
} Level;

static void *
new_sums (const ZieVae *self, ZieOpCtx *ctx, gint64 height, gint64 width, gint64 channels)
{
  ZieOpShape shape = zie_op_shape_group_norm (height, width, channels, self->config.groups);
  return zie_op_scratch (ctx, &shape);
}

/* Scale and shift of an activation whose SUMS are complete, in the arena. */
static void
finish_norm (const ZieVae *self, ZieOpCtx *ctx, void *sums, const ZieTensor *whole, const ZieVaeNorm *norm, ZieTensor *scale,
             ZieTensor *shift)
{
  *scale = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, 1, norm->gamma.cols);
  *shift = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, 1, norm->gamma.cols);
  ctx->ops->group_norm_finish (ctx, scale, shift, sums, whole->h, whole->w, &norm->gamma, &norm->beta, self->config.groups,
                               ZIE_VAE_GROUP_NORM_EPS);
}

static void
note (const Level *l, void *sums, const ZieTensor *rows, gint64 from)
{
  l->ctx->ops->group_norm_add (l->ctx, sums, rows, from, l->x.t.h, l->self->config.groups);
}

/* The first block's first half, and its input as far as the second half needs it: x = shortcut (up (low)).  The enlarged
 * activation is computed twice, for its statistics and then for what is read of it, and never stored. */
static void
enter (const Level *l, const ZieConv *up, const ZieVaeRes *res)
{
  ZieOpCtx *ctx = l->ctx;
  ZieMark mark = zie_arena_mark (ctx->arena), band_mark;
  gint64 height = l->x.t.h, width = l->x.t.w;
  Bands bands = bands_of (height, l->rows);
  ZieTensor scale, shift, wide;

  band_mark = zie_arena_mark (ctx->arena);
  while (next_band (&bands, ctx))
    {
      wide = zie_tensor_new_image (ctx->arena, ctx->act, bands.n_rows, width, up->out);
      up_rows (ctx, &wide, &l->low, bands.from, up);
      note (l, l->x_sums, &wide, bands.from);
      zie_arena_rewind (ctx->arena, band_mark);
    }

  finish_norm (l->self, ctx, l->x_sums, &l->x.t, &res->norm1, &scale, &shift);
  band_mark = zie_arena_mark (ctx->arena);
  bands = bands_of (height, l->rows);
  while (next_band (&bands, ctx))
    {
      gint64 top = MAX (bands.from - 1, 0), end = MIN (bands.from + bands.n_rows + 1, height);
      ZieConvArgs plain = { .stride = 1, .row0 = bands.from - top };
      ZieConvArgs normed = { .stride = 1, .row0 = plain.row0, .gn_scale = &scale, .gn_shift = &shift };
      ZieVaeField band = { .is_host = FALSE };
      ZieTensor x, h;

      band.t = zie_tensor_new_image (ctx->arena, ctx->act, end - top, width, up->out);
      up_rows (ctx, &band.t, &l->low, top, up);
      h = room_for (ctx, &l->h, bands.from, bands.n_rows);
      ctx->ops->conv2d (ctx, &h, &band.t, &res->conv1, &normed);
      note (l, l->h_sums, &h, bands.from);
      store (ctx, &l->h, bands.from, &h);

      if (res->has_shortcut)
        {
          x = room_for (ctx, &l->x, bands.from, bands.n_rows);
          ctx->ops->conv2d (ctx, &x, &band.t, &res->shortcut, &plain);
        }
      else
        {
          x = rows_of (&band, plain.row0, bands.n_rows);
          if (!l->x.is_host)
            {
              ZieTensor to = rows_of (&l->x, bands.from, bands.n_rows);
              ctx->ops->copy (ctx, &to, &x);
            }
        }
      store (ctx, &l->x, bands.from, &x);
      zie_arena_rewind (ctx->arena, band_mark);
    }
  zie_arena_rewind (ctx->arena, mark);
}

/* A later block's first half. */
static void
begin_block (const Level *l, const ZieVaeRes *res)
{
  ZieOpCtx *ctx = l->ctx;
  ZieMark mark = zie_arena_mark (ctx->arena), band_mark;
  Bands bands = bands_of (l->x.t.h, l->rows);
  ZieTensor scale, shift;
  ZieConvArgs args = { .stride = 1, .gn_scale = &scale, .gn_shift = &shift };

  g_assert (!res->has_shortcut);
  finish_norm (l->self, ctx, l->x_sums, &l->x.t, &res->norm1, &scale, &shift);
  band_mark = zie_arena_mark (ctx->arena);
  while (next_band (&bands, ctx))
    {
      ZieTensor h = room_for (ctx, &l->h, bands.from, bands.n_rows);

      conv_rows (ctx, &h, &l->x, bands.from, &res->conv1, &args);
      note (l, l->h_sums, &h, bands.from);
      store (ctx, &l->h, bands.from, &h);
      zie_arena_rewind (ctx->arena, band_mark);
    }
  zie_arena_rewind (ctx->arena, mark);
}

/* A block's second half, over its input: rows of h around a band, but of x only the band itself are read. */
static void
end_block (const Level *l, const ZieVaeRes *res)
{
  ZieOpCtx *ctx = l->ctx;
  ZieMark mark = zie_arena_mark (ctx->arena), band_mark;
  Bands bands = bands_of (l->x.t.h, l->rows);
  ZieTensor scale, shift;

  finish_norm (l->self, ctx, l->h_sums, &l->h.t, &res->norm2, &scale, &shift);
  band_mark = zie_arena_mark (ctx->arena);
  while (next_band (&bands, ctx))
    {
      ZieTensor y = room_for (ctx, &l->x, bands.from, bands.n_rows);

      finish_rows (ctx, &y, &l->x, &l->h, bands.from, res, &scale, &shift);
      note (l, l->x_sums, &y, bands.from);
      store (ctx, &l->x, bands.from, &y);
      zie_arena_rewind (ctx->arena, band_mark);
    }
  zie_arena_rewind (ctx->arena, mark);
}

static gsize
field_size (const ZieVaeField *field)
{
  return zie_arena_align ((gsize)field->t.rows * zie_dtype_row_size (field->t.dtype, field->t.cols));
}

/* Places for x and h beside low. */
static void
take_fields (Level *l, ZieVaeWalk *walk, const ZieVaeRes *res, ZieVaePlace place)
{
  gboolean x_is_host = place >= ZIE_VAE_SPILL_X, h_is_host = place == ZIE_VAE_SPILL;
  gint64 height = 2 * l->low.t.h, width = 2 * l->low.t.w;
  int slot[2];
  gsize end = 0;

  for (int room = 0; room < 2; room++)
    {
      gboolean has_low = l->low.is_host == room;

      slot[room] = has_low ? 1 - walk->at : 0;
      walk->rooms[room].used[slot[room]] = 0;
      if (!has_low)
        walk->rooms[room].used[1] = 0;
      else if (walk->offset == 0)                /* whatever else was there is no more */
        walk->rooms[room].used[walk->at] = field_size (&l->low);
    }
  l->x = zie_vae_walk_take_field (walk, l->ctx, x_is_host, slot[x_is_host], 0, height, width, res->conv2.out, &end);
  l->h = zie_vae_walk_take_field (walk, l->ctx, h_is_host, slot[h_is_host], x_is_host == h_is_host ? end : 0, height, width,
                                  res->conv1.out, NULL);
  walk->x = l->x;
  walk->at = slot[x_is_host];
  walk->offset = 0;
}

gboolean
zie_vae_level_in_bands (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, int i, const ZieVaeBandsArgs *args, ZieVaeEnd *end)
{
  const ZieVaeLevel *level = &self->decoder.levels[i];
  const ZieConv *up = &self->decoder.levels[i - 1].resample;
  Level l = { .self = self, .ctx = ctx, .rows = args->rows, .low = walk->x };
  gboolean is_last = i == ZIE_VAE_LEVELS - 1;

  g_assert (i > 0 && self->decoder.levels[i - 1].has_resample);
  take_fields (&l, walk, &level->res[0], args->place);
  l.x_sums = new_sums (self, ctx, l.x.t.h, l.x.t.w, MAX (up->out, l.x.t.cols));
  l.h_sums = new_sums (self, ctx, l.h.t.h, l.h.t.w, l.h.t.cols);

  for (int j = 0; j < level->n_res && !zie_op_cancelled (ctx); j++)
    {
      if (j == 0)
        enter (&l, up, &level->res[j]);
      else
        begin_block (&l, &level->res[j]);
      if (is_last && args->halve_last && j == level->n_res - 1)
        break;
      end_block (&l, &level->res[j]);
      if (args->progress != NULL)
        args->progress (args->data);
    }

  if (is_last)
    *end = args->halve_last ? (ZieVaeEnd) { l.x, l.h, &level->res[level->n_res - 1], l.h_sums }
                            : (ZieVaeEnd) { .x = l.x, .sums = l.x_sums };
  return !zie_op_cancelled (ctx);
}

/* --- the end --- */

/* Statistics of all of FIELD. */
static void
note_all (const ZieVae *self, ZieOpCtx *ctx, void *sums, const ZieVaeField *field, gint64 rows)
{
  ZieMark mark = zie_arena_mark (ctx->arena);
  Bands bands = bands_of (field->t.h, field->is_host ? rows : field->t.h);

  while (next_band (&bands, ctx))
    {
      ZieTensor band = load (ctx, field, bands.from, bands.n_rows);

      ctx->ops->group_norm_add (ctx, sums, &band, bands.from, field->t.h, self->config.groups);
      zie_arena_rewind (ctx->arena, mark);
    }
}

/* Statistics of what the last block would make. */
static void
note_last (const ZieVae *self, ZieOpCtx *ctx, void *sums, const ZieVaeEnd *end, const ZieTensor *scale, const ZieTensor *shift,
           gint64 rows)
{
  ZieMark mark = zie_arena_mark (ctx->arena);
  Bands bands = bands_of (end->x.t.h, rows);

  while (next_band (&bands, ctx))
    {
      ZieTensor y = zie_tensor_new_image (ctx->arena, ctx->act, bands.n_rows, end->x.t.w, end->x.t.cols);

      finish_rows (ctx, &y, &end->x, &end->h, bands.from, end->res, scale, shift);
      ctx->ops->group_norm_add (ctx, sums, &y, bands.from, end->x.t.h, self->config.groups);
      zie_arena_rewind (ctx->arena, mark);
    }
}

gboolean
zie_vae_emit (const ZieVae *self, ZieOpCtx *ctx, const ZieVaeEnd *end, gint64 rows, const ZieVaeSink *sink)
{
  ZieMark mark = zie_arena_mark (ctx->arena), band_mark;
  const ZieConv *conv = &self->decoder.conv_out;
  gint64 height = end->x.t.h, width = end->x.t.w;
  Bands bands = bands_of (height, rows);
  ZieTensor scale, shift, last_scale, last_shift;
  ZieConvArgs args = { .stride = 1, .gn_scale = &scale, .gn_shift = &shift };
  void *sums = end->sums;

  if (end->res != NULL || sums == NULL)
    sums = new_sums (self, ctx, height, width, end->x.t.cols);
  if (end->res != NULL)
    {
      void *h_sums = end->sums;

      if (h_sums == NULL)
        {
          h_sums = new_sums (self, ctx, height, width, end->h.t.cols);
          note_all (self, ctx, h_sums, &end->h, rows);
        }
      finish_norm (self, ctx, h_sums, &end->h.t, &end->res->norm2, &last_scale, &last_shift);
      note_last (self, ctx, sums, end, &last_scale, &last_shift, rows);
    }
  else if (end->sums == NULL)
    note_all (self, ctx, sums, &end->x, rows);
  zie_op_enter (ctx, ZIE_PLACE_VAE_OUT, 0);
  finish_norm (self, ctx, sums, &end->x.t, &self->decoder.norm_out, &scale, &shift);

  band_mark = zie_arena_mark (ctx->arena);
  while (next_band (&bands, ctx))
    {
      ZieTensor picture = zie_tensor_new_image (ctx->arena, ZIE_DTYPE_F32, bands.n_rows, width, 3);
      gboolean go_on;

      if (end->res == NULL)
        conv_rows (ctx, &picture, &end->x, bands.from, conv, &args);
      else
        {
          gint64 top = MAX (bands.from - 1, 0), bottom = MIN (bands.from + bands.n_rows + 1, height);
          ZieTensor y = zie_tensor_new_image (ctx->arena, ctx->act, bottom - top, width, end->x.t.cols);
          ZieConvArgs inside = args;

          finish_rows (ctx, &y, &end->x, &end->h, top, end->res, &last_scale, &last_shift);
          inside.row0 = bands.from - top;
          ctx->ops->conv2d (ctx, &picture, &y, conv, &inside);
        }
      go_on = !zie_op_cancelled (ctx) && sink->band (sink->data, (int)bands.index, (int)bands.n, bands.from, &picture);
      zie_arena_rewind (ctx->arena, band_mark);
      if (!go_on)
        break;
    }
  zie_arena_rewind (ctx->arena, mark);
  return bands.index >= bands.n && !zie_op_cancelled (ctx);
}
