/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-dit.h"

/* The four modulation rows of one block at one step, [1, dim] f32 each. */
typedef struct
{
  ZieTensor scale_attn, gate_attn, scale_ffn, gate_ffn;
} ZieDitMod;

/* x[n, dim] in place, rotary tables [n, head_dim / 2]; MOD NULL: an unmodulated block (context refiner). */
void zie_dit_block_forward (const ZieDit *self, const ZieDitBlock *block, ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *cos,
                            const ZieTensor *sin, const ZieDitMod *mod);

gint64 zie_dit_pad (gint64 n);       /* up to a multiple of 32 */

/* Rotary tables of [image tokens, their padding, caption tokens] (spec 4.4). */
void zie_dit_rope_tables (const ZieDitConfig *config, ZieOpCtx *ctx, ZieDitPrompt *prompt);
