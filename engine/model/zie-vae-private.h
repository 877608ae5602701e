/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-vae.h"

/* The activation on its way through the network.  It lives in one of two slots; a layer writes to the other one and
 * may then move the activation there.  Slots are sized by a counting walk through the same layers, before the real one. */
typedef struct
{
  ZieTensor x;
  int at;                     /* slot of x */
  guint8 *slot[2];            /* NULL in the counting walk */
  gsize need[2];              /* bytes */
} ZieVaeWalk;

/* [h, w, channels] at OFFSET bytes into SLOT; *END receives the offset behind it. */
ZieTensor zie_vae_walk_take (ZieVaeWalk *walk, const ZieOpCtx *ctx, int slot, gsize offset, gint64 h, gint64 w, gint64 channels,
                             gsize *end);

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
