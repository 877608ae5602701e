/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-lora.h"

/* One layer's addition: TARGET is the data of the weight that it stands beside. */
typedef struct
{
  const guint8 *target;        /* borrowed from the transformer's file */
  ZieWeight a, b;              /* [rank, in], [out, rank] */
  float scale;                 /* alpha / rank */
  int block;                   /* in the weights */
} ZieLoraEntry;

struct _ZieLora
{
  ZieWeightFile *file;         /* owned */
  ZieWeights *weights;         /* owned; a block for each of the transformer's that it changes */
  GArray *entries;             /* of ZieLoraEntry, owned */
  GPtrArray *unmatched;        /* owned, NULL-terminated */
  guint n_unmatched, n_layers;
  gint64 max_rank;
  gboolean has_text_encoder;
};
