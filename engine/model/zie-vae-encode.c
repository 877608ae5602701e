/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-dump-op.h"
#include "zie-vae-private.h"

#define LOGVAR_MIN -30.0f
#define LOGVAR_MAX 20.0f

typedef struct
{
  const ZieTensor *picture;
  int h, w;                 /* of the latent */
} Encode;

static gboolean
trunk (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, gpointer data)
{
  const Encode *encode = data;
  const ZieVaeHalf *net = &self->encoder;

  walk->x.t = zie_vae_walk_take (walk, ctx, walk->at, 0, (gint64)encode->h * ZIE_VAE_SCALE, (gint64)encode->w * ZIE_VAE_SCALE, 3, NULL);
  ctx->ops->planes_to_pixels (ctx, &walk->x.t, encode->picture, 1.0f, 0.0f);
  zie_vae_conv (ctx, walk, &net->conv_in);

  for (int i = 0; i < ZIE_VAE_LEVELS && !zie_op_cancelled (ctx); i++)
    {
      zie_op_enter (ctx, ZIE_PLACE_VAE_ENCODER, i);
      for (int j = 0; j < net->levels[i].n_res && !zie_op_cancelled (ctx); j++)
        zie_vae_res (self, ctx, walk, &net->levels[i].res[j]);
      if (net->levels[i].has_resample)
        zie_vae_down (ctx, walk, &net->levels[i].resample);
      zie_dump_op (ctx, &walk->x.t, "vae.down.%d", i);
    }
  if (zie_op_cancelled (ctx))
    return FALSE;

  zie_op_enter (ctx, ZIE_PLACE_VAE_ENCODER, ZIE_VAE_LEVELS);       /* the middle, and the last norm */
  zie_vae_res (self, ctx, walk, &net->mid[0]);
  if (self->config.mid_attention)
    zie_vae_attention (self, ctx, walk, &net->attention);
  zie_vae_res (self, ctx, walk, &net->mid[1]);
  zie_dump_op (ctx, &walk->x.t, "vae.encoder.mid");
  return !zie_op_cancelled (ctx);
}

/* moments [2 * latent_channels, h * w]: mean, then logvar. */
static void
read_moments (const ZieVae *self, ZieOpCtx *ctx, const ZieTensor *x, ZieTensor *moments)
{
  ZieTensor scale, shift;
  ZieTensor pixels = zie_tensor_new_image (ctx->arena, ZIE_DTYPE_F32, x->h, x->w, 2 * self->config.latent_channels);
  ZieConvArgs args = { .stride = 1, .gn_scale = &scale, .gn_shift = &shift };

  zie_vae_norm (self, ctx, x, &self->encoder.norm_out, &scale, &shift);
  ctx->ops->conv2d (ctx, &pixels, x, &self->encoder.conv_out, &args);
  ctx->ops->pixels_to_planes (ctx, moments, &pixels, 1.0f, 0.0f);
}

gboolean
zie_vae_encode (const ZieVae *self, ZieOpCtx *ctx, const ZieTensor *picture, int h, int w, ZieTensor *mean, ZieTensor *logvar)
{
  Encode encode = { picture, h, w };
  ZieMark mark = zie_arena_mark (ctx->arena), host_mark = zie_arena_mark (ctx->host);
  gint64 channels = self->config.latent_channels, n = (gint64)h * w;
  ZieTensor moments = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, 2 * channels, n);
  ZieTensor half = zie_tensor_rows (&moments, 0, channels), other = zie_tensor_rows (&moments, channels, channels);
  float *host = zie_arena_alloc (ctx->host, (gsize)(channels * n) * sizeof (float));
  ZieVaeWalk walk;
  gboolean done;

  g_assert (self->has_encoder);
  zie_weights_acquire (self->weights, ctx, self->encoder.block);
  done = zie_vae_walk_run (self, ctx, &walk, trunk, &encode);
  if (done)
    {
      read_moments (self, ctx, &walk.x.t, &moments);
      ctx->ops->copy (ctx, mean, &half);
      ctx->ops->download (ctx, host, &other);
      if (!ctx->host->is_counting)
        for (gint64 i = 0; i < channels * n; i++)
          host[i] = CLAMP (host[i], LOGVAR_MIN, LOGVAR_MAX);
      ctx->ops->upload (ctx, logvar, host);
      done = !zie_op_cancelled (ctx);
    }
  zie_weights_release (self->weights, ctx, self->encoder.block);
  zie_arena_rewind (ctx->arena, mark);
  zie_arena_rewind (ctx->host, host_mark);
  return done;
}
