/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-request.h>

#include "zie-model-private.h"
#include "zie-lora.h"
#include "zie-sampler.h"

/* A request's stages, each one function, run by the pipeline on a real device and by the planner on the counting one:
 * what is planned is what is executed. */

/* What a replay puts in place of what the request would make; any may be NULL. */
typedef struct
{
  const gint32 *ids;             /* of the prompt, in place of the tokenizer's */
  guint n_ids;
  const float *noise;            /* [channels, h, w] */
  const float *embeds;           /* [n_ids, cap_dim] */
  const float *tin;              /* the model's time, a step */
  const float *const *latents;   /* before each step; entries may be NULL */
} ZieFeed;

/* What a stage tells as it goes; never called while counting.  All may be NULL but DATA. */
typedef struct
{
  void (*progress) (gpointer data, ZieStage stage, double fraction, int layer, int n_layers);   /* as in ZieEvent */
  void (*step) (gpointer data, int step, const float *x0);         /* x0 [channels, h, w], valid during the call */
  /* A finished rectangle of the picture: rows of 3 * width bytes, dense; valid during the call. */
  void (*band) (gpointer data, int index, int n_bands, int x, int y, int width, int height, const guint8 *rgb);
  gpointer data;
} ZieStageSink;

enum { ZIE_POSITIVE, ZIE_NEGATIVE, ZIE_N_PROMPTS };

typedef struct
{
  ZieModel *model;               /* borrowed, as the next three */
  const ZieRequest *request;
  ZieOpCtx *ctx;
  const ZieFeed *feed;           /* or NULL */
  ZieStageSink sink;

  int n_prompts;                 /* 1; 2 with guidance */
  ZieLoraSet *loras;             /* owned, or NULL */
  gint32 *ids[ZIE_N_PROMPTS];    /* owned */
  guint n_ids[ZIE_N_PROMPTS];
  int h, w;                      /* of the latent */
  int first_step;
  ZieVaeCut cut;                 /* of the decode: in one piece; the plan's is put in its place */
  gint broken;                   /* atomic: of ZieOpCtx, since the stage began */

  /* In the host arena. */
  float *embeds[ZIE_N_PROMPTS];  /* [n_ids, cap_dim]; filled by the text stage or beforehand (have_embeds) */
  gboolean have_embeds[ZIE_N_PROMPTS];
  float *sigmas, *tin, *x;       /* n_steps + 1, n_steps, the latent */
  float *clean, *mask;           /* of image to image, inpainting: latents; NULL without */

  /* In the device arena. */
  ZieDitPrompt prompts[ZIE_N_PROMPTS];
  ZieDitModulation modulation;
} ZieStages;

/* Tokenizes and lays out; the arenas of CTX are used from here on. */
void zie_stages_init (ZieStages *self, ZieModel *model, const ZieRequest *request, ZieOpCtx *ctx, const ZieFeed *feed,
                      const ZieStageSink *sink);
void zie_stages_clear (ZieStages *self);

/* Each returns FALSE with CANCELLED or what went wrong; BROKEN_PICTURE, with the place's name: numbers that are not finite. */
gboolean zie_stages_text (ZieStages *self, GError **error);         /* ids to embeds */
gboolean zie_stages_refine (ZieStages *self, GError **error);       /* embeds to prompts, schedule to modulation, init image to latent */
gboolean zie_stages_sample (ZieStages *self, guint64 seed, GError **error);                  /* noise to latent x */
/* x to RGB8 rows of 3 * width in PIXELS (NULL while counting).  BROKEN_PICTURE: NaN, Inf or one flat colour. */
gboolean zie_stages_decode (ZieStages *self, guint8 *pixels, GError **error);
/* One of them by its number; SEED is read by sampling, PIXELS by decoding. */
gboolean zie_stages_run (ZieStages *self, ZieStage stage, guint64 seed, guint8 *pixels, GError **error);
