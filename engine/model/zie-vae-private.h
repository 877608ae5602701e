/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-vae.h"

#define ZIE_VAE_GROUP_NORM_EPS 1e-6f

/* A whole activation; in host memory it is worked on a band at a time. */
typedef struct
{
  ZieTensor t;
  gboolean is_host;
} ZieVaeField;

/* Memory that activations share, from both ends: slot 0 grows upwards, slot 1 downwards.  Sized by a counting walk through the
 * same layers, before the real one. */
typedef struct
{
  guint8 *base;               /* in the counting walk an address that is never touched */
  gboolean is_sized;          /* not the counting walk */
  gsize need;                 /* bytes */
  gsize used[2];              /* from each end */
} ZieVaeRoom;

/* The activation on its way through the network.  It lives in one of the two slots; a layer writes to the other one and may
 * then move the activation there. */
typedef struct
{
  ZieVaeField x;
  int at;                     /* slot of x … */
  gsize offset;               /* … and how far from the slot's end it begins */
  ZieVaeRoom rooms[2];        /* of the device, of the host */
} ZieVaeWalk;

/* [h, w, channels] at OFFSET bytes from the end of SLOT; *END receives the offset behind it.  What lies further in that slot is
 * forgotten. */
ZieTensor zie_vae_walk_take (ZieVaeWalk *walk, const ZieOpCtx *ctx, int slot, gsize offset, gint64 h, gint64 w, gint64 channels,
                             gsize *end);
/* The same in host memory where IS_HOST. */
ZieVaeField zie_vae_walk_take_field (ZieVaeWalk *walk, const ZieOpCtx *ctx, gboolean is_host, int slot, gsize offset, gint64 h,
                                     gint64 w, gint64 channels, gsize *end);

/* Layers over the whole activation, on the device. */
void zie_vae_conv (ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieConv *conv);               /* x = conv (x), stride 1 */
void zie_vae_res (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieVaeRes *res);
void zie_vae_attention (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieVaeAttention *attention);
void zie_vae_up (ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieConv *conv);
void zie_vae_down (ZieOpCtx *ctx, ZieVaeWalk *walk, const ZieConv *conv);

/* GroupNorm of the whole of X as scale and shift a channel, in the arena. */
void zie_vae_norm (const ZieVae *self, ZieOpCtx *ctx, const ZieTensor *x, const ZieVaeNorm *norm, ZieTensor *scale, ZieTensor *shift);

/* Runs WALK_FUNC twice: counting, then with slots of the size that it needed, in the arena until the caller rewinds. */
typedef gboolean (*ZieVaeWalkFunc) (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, gpointer data);
gboolean zie_vae_walk_run (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, ZieVaeWalkFunc func, gpointer data);

/* h = conv1 (silu (norm1 (x))), a residual block's first half. */
void zie_vae_res_half (const ZieVae *self, ZieOpCtx *ctx, const ZieTensor *x, const ZieVaeRes *res, ZieTensor *h);

/* --- zie-vae-bands.c --- */

/* What the end of a decode starts from: the last activation, or with RES the last block's input and its res_half. */
typedef struct
{
  ZieVaeField x, h;
  const ZieVaeRes *res;       /* NULL: x is the last activation */
  void *sums;                 /* of GroupNorm over x, in the arena; NULL: not counted yet, or with RES */
} ZieVaeEnd;

/* Level I of the decoder with the Up before it, in bands of ROWS; where PLACE says so, activations are in host memory.  IS_LAST:
 * END receives what the level ends with, the last block halved where HALVE_LAST.  Sums stay in the arena.  FALSE: cancelled. */
typedef struct
{
  gint64 rows;
  ZieVaePlace place;
  gboolean halve_last;
  void (*progress) (gpointer data);   /* after each block; may be NULL */
  gpointer data;
} ZieVaeBandsArgs;
gboolean zie_vae_level_in_bands (const ZieVae *self, ZieOpCtx *ctx, ZieVaeWalk *walk, int i, const ZieVaeBandsArgs *args, ZieVaeEnd *end);

/* The last norm and convolution in bands of ROWS; each is handed out before the next is computed. */
gboolean zie_vae_emit (const ZieVae *self, ZieOpCtx *ctx, const ZieVaeEnd *end, gint64 rows, const ZieVaeSink *sink);
