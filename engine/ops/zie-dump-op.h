/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-dump.h"
#include "zie-ops.h"

/* Offers T, an activation of a network, to the dump under a printf-like name: one read of a flag while no dump is on.
 * Counting runs offer nothing.
 *
 * Written with the shapes of the reference's records: tokens as [1, rows, cols], a picture as planes [1, C, H, W], the
 * text encoder's states as [rows, cols], and of a tensor with one row a step ("t_embedder") the first. */
#define zie_dump_op(ctx, t, ...) \
  do { if (zie_dump_is_on ()) zie_dump_op_now ((ctx), (t), __VA_ARGS__); } while (0)

void zie_dump_op_now (ZieOpCtx *ctx, const ZieTensor *t, const char *format, ...) G_GNUC_PRINTF (3, 4);
