/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-backend.h"
#include "zie-model-private.h"

/* One candidate for the device's memory. */
typedef struct
{
  const ZieWeightBlock *block;
  ZieStage stage;
  gsize size;                /* bytes on the device */
  double uses;               /* times a job needs it */
} ZieBlockUse;

/* The blocks that REQUEST needs, in the order of use; sizes by FUNCS.  N_PASSES: through the network for one picture and one prompt.
 * Array of ZieBlockUse, transfer full. */
GArray *zie_placement_list (ZieModel *model, const ZieRequest *request, const ZieBackendFuncs *funcs, int n_passes);

/* Which of USES stay on a device with AVAILABLE bytes for weights: all if they fit, else those that save the most copies,
 * spread evenly, so that copies and computing interleave; the rest passes through two slots.  Sets OUT (its places are
 * owned by the caller: g_free()) and adds up what is copied per stage over the whole job.  FALSE: not even the slots and
 * what is too small to stream fit; *NEEDED then says what would do. */
gboolean zie_placement_choose (const GArray *uses, guint64 available, ZieWeightPlaces *out, guint64 streamed[ZIE_N_STAGES],
                               guint64 *needed);
