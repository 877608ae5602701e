/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-dump-op.h"
#include "zie-vae-private.h"

typedef struct
{
  const ZieTensor *latent;
  int h, w;
  const ZieVaeSink *sink;
} Decode;

int
zie_vae_get_n_bands (const ZieOps *ops, int picture_height)
{
  return (picture_height + ops->band_rows - 1) / ops->band_rows;
}

static void
report (const Decode *decode, const ZieOpCtx *ctx, int *layer, int n_layers)
{
  ++*layer;
  if (ctx->tally == NULL && decode->sink->progress != NULL)
    decode->sink->progress (decode->sink->data, *layer, n_layers);
}

/* conv_in, mid, the four levels: latent to the last activation. */
static gboolean
trunk (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, gpointer data)
{
  const Decode *decode = data;
  const ZieVaeHalf *net = &self->decoder;
  int n_layers = 3, layer = 0;

  for (int i = 0; i < ZIE_VAE_LEVELS; i++)
    n_layers += net->levels[i].n_res + net->levels[i].has_resample;

  walk->x = zie_vae_walk_take (walk, ctx, walk->at, 0, decode->h, decode->w, self->config.latent_channels, NULL);
  ctx->ops->planes_to_pixels (ctx, &walk->x, decode->latent, 1.0f / self->config.scaling_factor, self->config.shift_factor);
  zie_dump_op (ctx, &walk->x, "vae.in");
  zie_op_enter (ctx, ZIE_PLACE_VAE_MIDDLE, 0);
  zie_vae_conv (ctx, walk, &net->conv_in);
  zie_vae_res (self, ctx, walk, &net->mid[0]);
  report (decode, ctx, &layer, n_layers);
  zie_op_enter (ctx, ZIE_PLACE_VAE_MIDDLE, 1);
  if (self->config.mid_attention && !zie_op_cancelled (ctx))
    zie_vae_attention (self, ctx, walk, &net->attention);
  report (decode, ctx, &layer, n_layers);
  zie_op_enter (ctx, ZIE_PLACE_VAE_MIDDLE, 2);
  zie_vae_res (self, ctx, walk, &net->mid[1]);
  report (decode, ctx, &layer, n_layers);
  zie_dump_op (ctx, &walk->x, "vae.mid");

  for (int i = 0; i < ZIE_VAE_LEVELS; i++)
    {
      const ZieVaeLevel *level = &net->levels[i];

      zie_op_enter (ctx, ZIE_PLACE_VAE_UP, i);
      for (int j = 0; j < level->n_res && !zie_op_cancelled (ctx); j++)
        {
          zie_vae_res (self, ctx, walk, &level->res[j]);
          report (decode, ctx, &layer, n_layers);
        }
      if (level->has_resample && !zie_op_cancelled (ctx))
        {
          zie_vae_up (ctx, walk, &level->resample);
          report (decode, ctx, &layer, n_layers);
        }
      if (zie_op_cancelled (ctx))
        return FALSE;
      zie_dump_op (ctx, &walk->x, "vae.up.%d", i);
    }

  return TRUE;
}

/* The last norm and convolution, a band of rows at a time; each band is handed out before the next is computed. */
static gboolean
emit_bands (const ZieVae *self, ZieOpCtx *ctx, const ZieTensor *x, const ZieVaeSink *sink)
{
  int n_bands = zie_vae_get_n_bands (ctx->ops, (int)x->h), band_rows = ctx->ops->band_rows;
  ZieMark mark = zie_arena_mark (ctx->arena);
  ZieTensor scale, shift, rows;
  gboolean go_on = TRUE;

  zie_op_enter (ctx, ZIE_PLACE_VAE_OUT, 0);
  zie_vae_norm (self, ctx, x, &self->decoder.norm_out, &scale, &shift);
  rows = zie_tensor_new_image (ctx->arena, ZIE_DTYPE_F32, MIN (band_rows, x->h), x->w, 3);

  for (int i = 0; i < n_bands && go_on; i++)
    {
      gint64 y = (gint64)i * band_rows, n = MIN (band_rows, x->h - y);
      ZieConvArgs args = { .stride = 1, .gn_scale = &scale, .gn_shift = &shift, .row0 = y };
      ZieTensor band = rows;

      band.h = n;
      band.rows = n * x->w;
      ctx->ops->conv2d (ctx, &band, x, &self->decoder.conv_out, &args);
      go_on = !zie_op_cancelled (ctx) && sink->band (sink->data, i, n_bands, y, &band);
    }

  zie_arena_rewind (ctx->arena, mark);
  return go_on;
}

gboolean
zie_vae_decode (const ZieVae *self, ZieOpCtx *ctx, const ZieTensor *latent, int h, int w, const ZieVaeSink *sink)
{
  Decode decode = { latent, h, w, sink };
  ZieMark mark = zie_arena_mark (ctx->arena);
  ZieVaeWalk walk;
  gboolean done;

  zie_weights_acquire (self->weights, ctx, self->decoder.block);
  done = zie_vae_walk_run (self, ctx, &walk, trunk, &decode) && emit_bands (self, ctx, &walk.x, sink);
  zie_weights_release (self->weights, ctx, self->decoder.block);
  zie_arena_rewind (ctx->arena, mark);
  return done;
}
