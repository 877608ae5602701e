/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-dump-op.h"
#include "zie-vae-private.h"

typedef struct
{
  const ZieTensor *latent;
  int h, w;
  const ZieVaeCut *cut;
  const ZieVaeSink *sink;
  const ZieOpCtx *ctx;
  int layer, n_layers;
  ZieVaeEnd end;
} Decode;

void
zie_vae_cut_init (ZieVaeCut *cut, const ZieOps *ops)
{
  *cut = (ZieVaeCut) { .band_rows = ops->band_rows };
}

gboolean
zie_vae_cut_spills (const ZieVaeCut *cut)
{
  for (int i = 0; i < ZIE_VAE_LEVELS; i++)
    if (cut->places[i] >= ZIE_VAE_SPILL_X)
      return TRUE;
  return FALSE;
}

int
zie_vae_cut_get_n_bands (const ZieVaeCut *cut, int picture_height)
{
  gint64 rows = MAX (cut->band_rows, zie_group_norm_step (picture_height));

  return (int)((picture_height + rows - 1) / rows);
}

static void
report (gpointer data)
{
  Decode *decode = data;

  decode->layer++;
  if (decode->ctx->tally == NULL && decode->sink->progress != NULL)
    decode->sink->progress (decode->sink->data, decode->layer, decode->n_layers);
}

static void
middle (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, Decode *decode)
{
  const ZieVaeHalf *net = &self->decoder;

  walk->x.t = zie_vae_walk_take (walk, ctx, walk->at, 0, decode->h, decode->w, self->config.latent_channels, NULL);
  ctx->ops->planes_to_pixels (ctx, &walk->x.t, decode->latent, 1.0f / self->config.scaling_factor, self->config.shift_factor);
  zie_dump_op (ctx, &walk->x.t, "vae.in");
  zie_op_enter (ctx, ZIE_PLACE_VAE_MIDDLE, 0);
  zie_vae_conv (ctx, walk, &net->conv_in);
  zie_vae_res (self, ctx, walk, &net->mid[0]);
  report (decode);
  zie_op_enter (ctx, ZIE_PLACE_VAE_MIDDLE, 1);
  if (self->config.mid_attention && !zie_op_cancelled (ctx))
    zie_vae_attention (self, ctx, walk, &net->attention);
  report (decode);
  zie_op_enter (ctx, ZIE_PLACE_VAE_MIDDLE, 2);
  zie_vae_res (self, ctx, walk, &net->mid[1]);
  report (decode);
  zie_dump_op (ctx, &walk->x.t, "vae.mid");
}

/* Level I as one piece.  The Up behind it is left to the next level where that is not. */
static void
level_in_one (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, int i, Decode *decode)
{
  const ZieVaeLevel *level = &self->decoder.levels[i];
  gboolean halve_last = i == ZIE_VAE_LEVELS - 1 && decode->cut->halve_last;

  for (int j = 0; j < level->n_res - halve_last && !zie_op_cancelled (ctx); j++)
    {
      zie_vae_res (self, ctx, walk, &level->res[j]);
      report (decode);
    }
  if (halve_last && !zie_op_cancelled (ctx))
    {
      const ZieVaeRes *res = &level->res[level->n_res - 1];
      ZieTensor h = zie_vae_walk_take (walk, ctx, 1 - walk->at, 0, walk->x.t.h, walk->x.t.w, res->conv1.out, NULL);

      g_assert (!res->has_shortcut);
      zie_vae_res_half (self, ctx, &walk->x.t, res, &h);
      decode->end = (ZieVaeEnd) { walk->x, { h, FALSE }, res, NULL };
    }
  if (level->has_resample && decode->cut->places[i + 1] == ZIE_VAE_WHOLE && !zie_op_cancelled (ctx))
    {
      zie_vae_up (ctx, walk, &level->resample);
      report (decode);
    }
}

/* conv_in, mid, the four levels: latent to what the picture is made of. */
static gboolean
trunk (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, gpointer data)
{
  Decode *decode = data;
  const ZieVaeHalf *net = &self->decoder;

  decode->ctx = ctx;
  decode->layer = 0;
  decode->n_layers = 3;
  for (int i = 0; i < ZIE_VAE_LEVELS; i++)
    decode->n_layers += net->levels[i].n_res + net->levels[i].has_resample;

  middle (self, ctx, walk, decode);
  decode->end = (ZieVaeEnd) { 0 };
  for (int i = 0; i < ZIE_VAE_LEVELS && !zie_op_cancelled (ctx); i++)
    {
      ZieVaeBandsArgs args = { decode->cut->band_rows, decode->cut->places[i], decode->cut->halve_last, report, decode };

      zie_op_enter (ctx, ZIE_PLACE_VAE_UP, i);
      if (args.place == ZIE_VAE_WHOLE)
        level_in_one (self, ctx, walk, i, decode);
      else
        {
          report (decode);                       /* the Up, which is done with the first block */
          zie_vae_level_in_bands (self, ctx, walk, i, &args, &decode->end);
        }
      if (!walk->x.is_host && (i + 1 == ZIE_VAE_LEVELS || decode->cut->places[i + 1] == ZIE_VAE_WHOLE) && decode->end.res == NULL)
        zie_dump_op (ctx, &walk->x.t, "vae.up.%d", i);
    }
  if (decode->end.x.t.h == 0)
    decode->end.x = walk->x;
  return !zie_op_cancelled (ctx);
}

gboolean
zie_vae_decode (const ZieVae *self, ZieOpCtx *ctx, const ZieTensor *latent, int h, int w, const ZieVaeCut *cut, const ZieVaeSink *sink)
{
  ZieMark mark = zie_arena_mark (ctx->arena), host_mark = zie_arena_mark (ctx->host);
  ZieVaeCut one_piece;
  Decode decode = { latent, h, w, cut ? cut : &one_piece, sink };
  ZieVaeWalk walk;
  gboolean done;

  zie_vae_cut_init (&one_piece, ctx->ops);
  g_assert (decode.cut->places[0] == ZIE_VAE_WHOLE);
  zie_weights_acquire (self->weights, ctx, self->decoder.block);
  done = zie_vae_walk_run (self, ctx, &walk, trunk, &decode)
         && zie_vae_emit (self, ctx, &decode.end, decode.cut->band_rows, sink);
  zie_weights_release (self->weights, ctx, self->decoder.block);
  zie_arena_rewind (ctx->arena, mark);
  zie_arena_rewind (ctx->host, host_mark);
  return done;
}
