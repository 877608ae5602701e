/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-dit.h"

/* Low-rank additions to a transformer's linear layers (spec 9.1): y += strength * alpha / rank * (x A^T) B^T, computed beside
 * each layer, so that the weights stay as they are stored and a change costs nothing. */
typedef struct _ZieLora ZieLora;

/* Reads the LoRA at PATH (diffusers', PEFT's, ComfyUI's, kohya's or LyCORIS' names) and binds it to the layers of DIT, which
 * must outlive it.  Immutable afterwards: any thread.
 * Errors: FILE_NOT_FOUND, FILE_CORRUPT (pairs that are not whole), MODEL_UNSUPPORTED (other kinds of adapters, other sizes,
 * nothing that fits), FAILED. */
ZieLora *zie_lora_open (const char *path, const ZieDit *dit, GError **error);
void zie_lora_free (ZieLora *self);
gboolean zie_lora_is_one (const ZieWeightFile *file); /* whether FILE looks like a LoRA, for whatever model */
const char *zie_lora_get_path (const ZieLora *self);
ZieWeightFile *zie_lora_get_file (ZieLora *self);            /* borrowed */
guint zie_lora_get_n_layers (const ZieLora *self);           /* that it changes */
/* Names of tensors that belong to nothing here, at most a few, and how many there are; text encoders' are not among them. */
const char *const *zie_lora_get_unmatched (const ZieLora *self, guint *n);
gboolean zie_lora_has_text_encoder (const ZieLora *self);    /* it holds tensors for one, which are left out */
const ZieWeights *zie_lora_get_weights (const ZieLora *self);

/* The LoRAs of one job with their strengths. */
ZieLoraSet *zie_lora_set_new (void);
void zie_lora_set_free (ZieLoraSet *self);
void zie_lora_set_add (ZieLoraSet *self, const ZieLora *lora, float strength);

/* Puts the factors into CTX->arena, where they stay, and lets CTX use SELF from now on.  Once a job, before the first forward. */
void zie_lora_set_begin (ZieLoraSet *self, ZieOpCtx *ctx);

/* y += what the LoRAs of CTX add to the layer of W at x; nothing where there are none. */
void zie_lora_apply (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w);

/* ctx->ops->linear and linear_stacked with that. */
void zie_lora_linear (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b);
void zie_lora_linear_stacked (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *const *w, guint n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieLora, zie_lora_free)
