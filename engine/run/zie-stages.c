/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-run"

#include "zie-stages.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include <zie/zie-error.h>
#include <zie/zie-image.h>

#include "zie-dump.h"
#include "zie-noise.h"
#include "zie-picture.h"
#include "zie-schedule.h"

static gboolean
is_counting (const ZieStages *self)
{
  return self->ctx->tally != NULL;
}

static gsize
latent_size (const ZieStages *self)
{
  return (gsize)self->model->vae.config.latent_channels * (gsize)self->h * (gsize)self->w;
}

static gboolean
cancelled (GError **error)
{
  g_set_error_literal (error, ZIE_ERROR, ZIE_ERROR_CANCELLED, "the job was cancelled");
  return FALSE;
}

static void
progress (const ZieStages *self, ZieStage stage, double fraction)
{
  if (self->sink.progress != NULL && !is_counting (self))
    self->sink.progress (self->sink.data, stage, fraction, 0, 0);
}

static float *
host_floats (const ZieStages *self, gsize n)
{
  return zie_arena_alloc (self->ctx->host, n * sizeof (float));
}

/* From here on what breaks has to do with this stage. */
static void
begin_stage (ZieStages *self)
{
  g_atomic_int_set (&self->broken, 0);
  self->ctx->place = 0;
}

static gboolean
are_finite (const float *numbers, gsize n)
{
  gboolean are = TRUE;

  for (gsize i = 0; i < n; i++)
    are &= fabsf (numbers[i]) <= FLT_MAX;
  return are;
}

static gboolean
is_broken (const ZieStages *self)
{
  return g_atomic_int_get (&self->broken) != 0;
}

/* Names the place whose norm saw it first, or WHAT where none did. */
static gboolean
broken (const ZieStages *self, const char *what, GError **error)
{
  g_autofree char *place = is_broken (self) ? zie_op_place_to_text (g_atomic_int_get (&self->broken)) : NULL;

  g_set_error (error, ZIE_ERROR, ZIE_ERROR_BROKEN_PICTURE,
               "the picture broke in %s: numbers came out that are not finite; the model's files may be damaged", place ? place : what);
  return FALSE;
}

/* FALSE: a norm saw numbers that are not finite, or some of the N that came back as the result are none. */
static gboolean
check_numbers (const ZieStages *self, const char *what, const float *numbers, gsize n, GError **error)
{
  return is_counting (self) || (!is_broken (self) && are_finite (numbers, n)) || broken (self, what, error);
}

void
zie_stages_init (ZieStages *self, ZieModel *model, const ZieRequest *request, ZieOpCtx *ctx, const ZieFeed *feed,
                 const ZieStageSink *sink)
{
  const char *texts[ZIE_N_PROMPTS] = { request->prompt, request->negative_prompt ? request->negative_prompt : "" };

  *self = (ZieStages) { .model = model, .request = request, .ctx = ctx, .feed = feed, .h = request->height / ZIE_VAE_SCALE,
                        .w = request->width / ZIE_VAE_SCALE };
  ctx->broken = &self->broken;
  if (sink != NULL)
    self->sink = *sink;
  zie_vae_cut_init (&self->cut, ctx->ops);
  self->n_prompts = request->guidance > 0 ? 2 : 1;
  for (int p = 0; p < self->n_prompts; p++)
    {
      if (p == ZIE_POSITIVE && feed != NULL && feed->ids != NULL)
        {
          self->ids[p] = g_memdup2 (feed->ids, feed->n_ids * sizeof (gint32));
          self->n_ids[p] = feed->n_ids;
        }
      else
        self->ids[p] = zie_model_encode_prompt (model, texts[p], p == ZIE_NEGATIVE || request->truncate_prompt, &self->n_ids[p]);
      self->embeds[p] = host_floats (self, (gsize)self->n_ids[p] * (gsize)model->text_encoder.config.dim);
    }

  if (request->n_loras > 0)
    self->loras = zie_lora_set_new ();
  for (guint i = 0; i < request->n_loras; i++)
    {
      const ZieLora *lora = zie_model_get_lora (model, request->loras[i].file, NULL);

      if (lora != NULL)                        /* they were loaded when the request was checked */
        zie_lora_set_add (self->loras, lora, (float)request->loras[i].strength);
    }

  if (request->init_image != NULL)
    self->first_step = zie_schedule_first_step (request->n_steps, request->strength);
  self->sigmas = host_floats (self, (gsize)request->n_steps + 1);
  self->tin = host_floats (self, (gsize)request->n_steps);
  self->x = host_floats (self, latent_size (self));
  if (request->init_image != NULL)
    self->clean = host_floats (self, latent_size (self));
  if (request->init_image != NULL && request->mask != NULL)
    self->mask = host_floats (self, latent_size (self));
}

void
zie_stages_clear (ZieStages *self)
{
  for (int p = 0; p < ZIE_N_PROMPTS; p++)
    g_clear_pointer (&self->ids[p], g_free);
  self->ctx->loras = NULL;
  self->ctx->broken = NULL;
  g_clear_pointer (&self->loras, zie_lora_set_free);
}

gboolean
zie_stages_text (ZieStages *self, GError **error)
{
  int dim = self->model->text_encoder.config.dim;

  begin_stage (self);
  for (int p = 0; p < self->n_prompts; p++)
    {
      ZieMark mark = zie_arena_mark (self->ctx->arena);
      ZieTensor embeds;

      if (self->have_embeds[p])
        continue;
      embeds = zie_tensor_new (self->ctx->arena, self->ctx->act, self->n_ids[p], dim);
      if (!zie_qwen3_forward (&self->model->text_encoder, self->ctx, self->ids[p], self->n_ids[p], &embeds))
        return cancelled (error);
      self->ctx->ops->download (self->ctx, self->embeds[p], &embeds);
      zie_arena_rewind (self->ctx->arena, mark);
      if (zie_op_cancelled (self->ctx))          /* then nothing may have come, and it is not for the cache */
        return cancelled (error);
      if (!check_numbers (self, "the text encoder's last layer", self->embeds[p], (gsize)self->n_ids[p] * (gsize)dim, error))
        return FALSE;
      progress (self, ZIE_STAGE_TEXT, (double)(p + 1) / self->n_prompts);
    }

  if (!is_counting (self))
    {
      if (zie_dump_is_on ())                     /* what was computed here, also where a replay goes on with its own */
        zie_dump_tensor ("text.embeds", self->embeds[ZIE_POSITIVE], (gint64[]) { self->n_ids[ZIE_POSITIVE], dim }, 2);
      if (self->feed != NULL && self->feed->embeds != NULL)
        memcpy (self->embeds[ZIE_POSITIVE], self->feed->embeds, (gsize)self->n_ids[ZIE_POSITIVE] * (gsize)dim * sizeof (float));
    }
  return TRUE;
}

/* The picture to start from, through the encoder: the posterior's mean in model space. */
static gboolean
encode_init_image (ZieStages *self, GError **error)
{
  ZieOpCtx *ctx = self->ctx;
  const ZieVaeConfig *config = &self->model->vae.config;
  ZieMark mark = zie_arena_mark (ctx->arena), host_mark = zie_arena_mark (ctx->host);
  gint64 pixels = (gint64)self->request->width * self->request->height, n = (gint64)self->h * self->w;
  float *host = host_floats (self, 3 * (gsize)pixels);
  ZieTensor picture = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, 3, pixels);
  ZieTensor mean = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, config->latent_channels, n);
  ZieTensor logvar = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, config->latent_channels, n);

  if (!is_counting (self))
    zie_picture_to_planes (self->request->init_image, self->request->width, self->request->height, host);
  ctx->ops->upload (ctx, &picture, host);
  if (!zie_vae_encode (&self->model->vae, ctx, &picture, self->h, self->w, &mean, &logvar))
    return cancelled (error);
  ctx->ops->download (ctx, self->clean, &mean);
  if (zie_op_cancelled (ctx))
    return cancelled (error);
  if (!check_numbers (self, "the VAE encoder", self->clean, latent_size (self), error))
    return FALSE;
  if (!is_counting (self))
    for (gsize i = 0; i < latent_size (self); i++)
      self->clean[i] = (self->clean[i] - config->shift_factor) * config->scaling_factor;
  if (self->mask != NULL && !is_counting (self))
    zie_picture_to_mask (self->request->mask, self->h, self->w, config->latent_channels, self->mask);

  zie_arena_rewind (ctx->arena, mark);
  zie_arena_rewind (ctx->host, host_mark);
  return TRUE;
}

/* Waits for what the stage launched, so that what broke in it is known before the next one builds on it. */
static gboolean
check_refined (ZieStages *self, GError **error)
{
  ZieMark host_mark = zie_arena_mark (self->ctx->host);
  gsize n = (gsize)self->modulation.final.cols;
  ZieTensor row = zie_tensor_rows (&self->modulation.final, 0, 1);
  float *host = host_floats (self, n);
  gboolean are_good;

  self->ctx->ops->download (self->ctx, host, &row);
  are_good = zie_op_cancelled (self->ctx) ? cancelled (error)
                                          : check_numbers (self, "the transformer's modulation", host, n, error);
  zie_arena_rewind (self->ctx->host, host_mark);
  return are_good;
}

gboolean
zie_stages_refine (ZieStages *self, GError **error)
{
  const ZieRequest *request = self->request;
  ZieOpCtx *ctx = self->ctx;
  int dim = self->model->text_encoder.config.dim;

  begin_stage (self);
  if (!is_counting (self))
    {
      double shift = request->shift > 0 ? request->shift : self->model->info.shift;
      zie_schedule_flow_match (request->n_steps, shift, self->sigmas, self->tin);
      if (self->feed != NULL && self->feed->tin != NULL)
        memcpy (self->tin, self->feed->tin, (gsize)request->n_steps * sizeof (float));
    }

  if (self->loras != NULL)
    zie_lora_set_begin (self->loras, ctx);
  if (self->clean != NULL && !encode_init_image (self, error))
    return FALSE;

  for (int p = 0; p < self->n_prompts; p++)
    {
      ZieTensor embeds = zie_tensor_new (ctx->arena, ctx->act, self->n_ids[p], dim);
      ctx->ops->upload (ctx, &embeds, self->embeds[p]);
      zie_dit_prepare_prompt (&self->model->transformer, ctx, &embeds, self->h, self->w, &self->prompts[p]);
      if (zie_op_cancelled (ctx))
        return cancelled (error);
    }
  progress (self, ZIE_STAGE_REFINE, 0.5);
  zie_dit_prepare_modulation (&self->model->transformer, ctx, self->tin, request->n_steps, &self->modulation);
  if (zie_op_cancelled (ctx))
    return cancelled (error);
  if (!check_refined (self, error))
    return FALSE;
  progress (self, ZIE_STAGE_REFINE, 1.0);
  return TRUE;
}

/* One run of the sampler; what its callbacks see. */
typedef struct
{
  ZieStages *stages;
  ZieTensor latent, out;         /* [channels, h * w] f32 on the device */
  guint64 seed;
  guint64 n_drawn, cuda_offset;  /* where the generator stands */
  GError *error;                 /* of a network that gave numbers that are not finite */
} Sampling;

static void
dump_latent (const ZieStages *self, const char *format, int step, gboolean with_batch, const float *data)
{
  g_autofree char *name = NULL;
  gint64 c = self->model->vae.config.latent_channels;

  if (!zie_dump_is_on () || is_counting (self))
    return;
  name = g_strdup_printf ("step%d.%s", step, format);
  if (with_batch)
    zie_dump_tensor (name, data, (gint64[]) { 1, c, self->h, self->w }, 4);
  else
    zie_dump_tensor (name, data, (gint64[]) { c, 1, self->h, self->w }, 4);
}

static gboolean
run_network (gpointer data, int step, float tin, gboolean negative, const float *x, float *out)
{
  Sampling *s = data;
  ZieStages *self = s->stages;
  ZieOpCtx *ctx = self->ctx;

  if (self->feed != NULL && self->feed->latents != NULL && self->feed->latents[step] != NULL)
    x = self->feed->latents[step];
  dump_latent (self, "in", step, FALSE, x);
  if (zie_dump_is_on () && !is_counting (self))
    {
      g_autofree char *name = g_strdup_printf ("step%d.t", step);
      zie_dump_tensor (name, &tin, (gint64[]) { 1 }, 1);
    }

  ctx->ops->upload (ctx, &s->latent, x);
  if (!zie_dit_forward (&self->model->transformer, ctx, &self->prompts[negative ? ZIE_NEGATIVE : ZIE_POSITIVE], &self->modulation, step,
                        &s->latent, &s->out))
    return FALSE;
  ctx->ops->download (ctx, out, &s->out);
  if (zie_op_cancelled (ctx))                    /* then nothing may have come */
    return FALSE;
  if (!check_numbers (self, "the transformer's final layer", out, latent_size (self), &s->error))
    {
      g_prefix_error (&s->error, "step %d of %d: ", step + 1, self->request->n_steps);
      return FALSE;
    }
  dump_latent (self, "out", step, FALSE, out);
  return TRUE;
}

static gboolean
on_step (gpointer data, int step, const float *x, const float *x0)
{
  Sampling *s = data;
  ZieStages *self = s->stages;

  dump_latent (self, "latent", step, TRUE, x);
  if (!check_numbers (self, "the sampler", x, latent_size (self), &s->error))
    return FALSE;
  if (self->sink.step != NULL)
    self->sink.step (self->sink.data, step, x0);
  return !zie_op_cancelled (self->ctx);
}

/* The next tensor of noise of the picture's generator, as torch draws them one after the other. */
static void
draw_noise (gpointer data, float *out)
{
  Sampling *s = data;
  const ZieRequest *request = s->stages->request;
  gsize n = latent_size (s->stages);

  if (request->noise == ZIE_NOISE_CUDA)
    zie_noise_cuda (s->seed, &s->cuda_offset, request->noise_cuda_sms, request->noise_cuda_threads, out, n);
  else
    zie_noise_cpu_after (s->seed, s->n_drawn, out, n);
  s->n_drawn += n;
}

/* x = noise, or the init image at the noise level of the first step that is run. */
static void
start_latent (Sampling *s, float *noise)
{
  const ZieStages *self = s->stages;
  gsize n = latent_size (self);

  draw_noise (s, noise);
  if (self->feed != NULL && self->feed->noise != NULL)
    memcpy (noise, self->feed->noise, n * sizeof (float));

  if (self->clean == NULL)
    memcpy (self->x, noise, n * sizeof (float));
  else
    for (gsize i = 0; i < n; i++)
      self->x[i] = self->sigmas[self->first_step] * noise[i] + (1.0f - self->sigmas[self->first_step]) * self->clean[i];
}

gboolean
zie_stages_sample (ZieStages *self, guint64 seed, GError **error)
{
  const ZieRequest *request = self->request;
  ZieOpCtx *ctx = self->ctx;
  ZieMark mark = zie_arena_mark (ctx->arena), host_mark = zie_arena_mark (ctx->host);
  gint64 channels = self->model->vae.config.latent_channels, area = (gint64)self->h * self->w;
  gsize n = latent_size (self);
  float *noise = host_floats (self, n);
  Sampling s = { .stages = self, .latent = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, channels, area),
                 .out = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, channels, area), .seed = seed };
  const ZieStepper *stepper = zie_stepper_get (request->sampler);
  ZieSamplerRun run = {
    .n_steps = request->n_steps, .sigmas = self->sigmas, .tin = self->tin, .first_step = self->first_step, .n = n,
    .stepper = stepper,
    .guidance = { (float)request->guidance, (float)request->cfg_truncation, (float)request->cfg_normalization },
    .mask = self->mask, .clean = self->clean, .noise = noise,
    .network = run_network, .on_step = on_step, .draw = draw_noise, .data = &s,
    .v = host_floats (self, n), .x0 = host_floats (self, n),
    .v_negative = self->n_prompts > 1 ? host_floats (self, n) : NULL,
    .memory = stepper->n_buffers > 0 ? host_floats (self, (gsize)stepper->n_buffers * n) : NULL,
  };
  gboolean done;

  begin_stage (self);
  if (is_counting (self))                        /* one forward stands for all: the planner multiplies */
    {
      for (int p = 0; p < self->n_prompts; p++)
        run_network (&s, 0, 0, p == ZIE_NEGATIVE, self->x, run.v);
      done = TRUE;
    }
  else
    {
      start_latent (&s, noise);
      done = zie_sampler_run (&run, self->x);
    }

  zie_arena_rewind (ctx->arena, mark);
  zie_arena_rewind (ctx->host, host_mark);
  if (s.error != NULL)
    {
      g_propagate_error (error, s.error);
      return FALSE;
    }
  return done || cancelled (error);
}

typedef struct
{
  ZieStages *stages;
  guint8 *pixels, *bytes;        /* the picture, and a tile of it, in the host arena */
  float *host, *planes;          /* for a dump, or NULL; owned: one band, and [3, H, W] */
  ZieRgb8Check check;
} Decoding;

static void
on_layer (gpointer data, int layer, int n_layers)
{
  Decoding *d = data;
  const ZieStageSink *sink = &d->stages->sink;

  if (sink->progress != NULL)
    sink->progress (sink->data, ZIE_STAGE_DECODE, (double)layer / (n_layers + 1), layer, n_layers);
}

/* The band's numbers before they are clamped. */
static void
keep_planes (const Decoding *d, gint64 y, const ZieTensor *rows)
{
  gsize width = (gsize)d->stages->request->width, height = (gsize)d->stages->request->height;

  d->stages->ctx->ops->download (d->stages->ctx, d->host, rows);
  for (gsize p = 0; p < (gsize)rows->rows; p++)
    for (gsize k = 0; k < 3; k++)
      d->planes[k * width * height + (gsize)y * width + p] = d->host[3 * p + k];
}

static gboolean
on_band (gpointer data, int index, int n_bands, gint64 y, const ZieTensor *rows)
{
  Decoding *d = data;
  ZieStages *self = d->stages;
  guint8 *out = d->pixels == NULL ? NULL : d->pixels + (gsize)y * 3 * (gsize)self->request->width;

  self->ctx->ops->download_rgb8 (self->ctx, out, &d->check, rows);
  if (is_counting (self))
    return TRUE;
  if (d->planes != NULL)
    keep_planes (d, y, rows);
  if (zie_op_cancelled (self->ctx))              /* then nothing may have come */
    return FALSE;
  if (d->check.n_not_finite > 0 || is_broken (self))
    return FALSE;
  if (self->sink.band != NULL)
    self->sink.band (self->sink.data, index, n_bands, 0, (int)y, self->request->width, (int)rows->h, out);
  return TRUE;
}

static gboolean
on_tile (gpointer data, int index, int n_tiles, int x, int y, int width, int height, const float *pixels, int stride)
{
  Decoding *d = data;
  ZieStages *self = d->stages;
  gsize whole = (gsize)self->request->width, area = whole * (gsize)self->request->height;

  for (int r = 0; r < height; r++)
    {
      const float *row = pixels + 3 * (gsize)r * (gsize)stride;
      guint8 *out = d->bytes + 3 * (gsize)r * (gsize)width;
      gsize at = (gsize)(y + r) * whole + (gsize)x;

      zie_rgb8_from_rows (row, (gsize)width, out, &d->check);
      memcpy (d->pixels + 3 * at, out, 3 * (gsize)width);
      for (gsize i = 0; d->planes != NULL && i < 3 * (gsize)width; i++)
        d->planes[i % 3 * area + at + i / 3] = row[i];
    }
  if (d->check.n_not_finite > 0 || is_broken (self))
    return FALSE;
  if (self->sink.band != NULL)
    self->sink.band (self->sink.data, index, n_tiles, x, y, width, height, d->bytes);
  return TRUE;
}

static gboolean
decode_blend (Decoding *d)
{
  ZieStages *self = d->stages;
  const ZieRequest *request = self->request;
  ZieVaeTileSink sink = { on_layer, on_tile, d };
  ZieVaeTiles tiles;

  zie_vae_tiles_init (&tiles, request->width, request->height, request->tile_size, request->tile_overlap);
  d->bytes = zie_arena_alloc (self->ctx->host, 3 * (gsize)MIN (tiles.size, request->width) * (gsize)MIN (tiles.size, request->height));
  return zie_vae_decode_tiles (&self->model->vae, self->ctx, self->x, self->h, self->w, &tiles, &sink);
}

static gboolean
decode_exact (Decoding *d)
{
  ZieStages *self = d->stages;
  ZieOpCtx *ctx = self->ctx;
  ZieVaeSink sink = { on_layer, on_band, d };
  ZieTensor latent = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, self->model->vae.config.latent_channels, (gint64)self->h * self->w);

  ctx->ops->upload (ctx, &latent, self->x);
  return zie_vae_decode (&self->model->vae, ctx, &latent, self->h, self->w, &self->cut, &sink);
}

gboolean
zie_stages_decode (ZieStages *self, guint8 *pixels, GError **error)
{
  ZieOpCtx *ctx = self->ctx;
  ZieMark mark = zie_arena_mark (ctx->arena), host_mark = zie_arena_mark (ctx->host);
  gsize width = (gsize)self->request->width, height = (gsize)self->request->height, rows;
  Decoding d = { .stages = self, .pixels = pixels };
  gboolean done, dump = zie_dump_is_on () && !is_counting (self);

  if (dump)
    {
      rows = MIN ((gsize)MAX (self->cut.band_rows, zie_group_norm_step ((gint64)height)), height);
      d.host = g_new (float, 3 * width * rows);
      d.planes = g_new (float, 3 * width * height);
    }
  begin_stage (self);
  done = self->request->decode == ZIE_DECODE_BLEND ? decode_blend (&d) : decode_exact (&d);
  if (dump && done)
    zie_dump_tensor ("image", d.planes, (gint64[]) { 1, 3, (gint64)height, (gint64)width }, 4);
  g_free (d.host);
  g_free (d.planes);
  zie_arena_rewind (ctx->arena, mark);
  zie_arena_rewind (ctx->host, host_mark);

  if (is_counting (self))
    return TRUE;
  if (d.check.n_not_finite > 0 || is_broken (self))
    return broken (self, "the VAE decoder's last convolution", error);
  if (done && zie_rgb8_check_is_flat (&d.check))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_BROKEN_PICTURE,
                   "every pixel came out in one colour (%d, %d, %d): the model's files may be damaged", d.check.min[0], d.check.min[1],
                   d.check.min[2]);
      return FALSE;
    }
  return done || cancelled (error);
}

gboolean
zie_stages_run (ZieStages *self, ZieStage stage, guint64 seed, guint8 *pixels, GError **error)
{
  switch (stage)
    {
    case ZIE_STAGE_TEXT:
      return zie_stages_text (self, error);
    case ZIE_STAGE_REFINE:
      return zie_stages_refine (self, error);
    case ZIE_STAGE_SAMPLE:
      return zie_stages_sample (self, seed, error);
    case ZIE_STAGE_DECODE:
      return zie_stages_decode (self, pixels, error);
    case ZIE_N_STAGES:
      break;
    }
  g_assert_not_reached ();
}
