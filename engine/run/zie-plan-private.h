/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-device.h>
#include <zie/zie-plan.h>

#include "zie-placement.h"
#include "zie-stages.h"

/* One way to decode, and what the job is with it. */
typedef struct
{
  ZieVaeCut cut;
  ZieStagePlan stage;        /* as counted, before weights are placed */
  gsize device, host;        /* the decode's high-water marks */
} ZieDecodePlan;

struct _ZiePlan
{
  gint ref_count;            /* atomic */
  ZieDevice device;
  ZieCompute compute;        /* F32 or BF16 */
  ZieStagePlan stages[ZIE_N_STAGES];
  gsize device_arena, host_arena;      /* bytes; on the CPU both come from one block */
  gboolean has_device_memory;
  ZieBudget budget;          /* as asked for: a plan that has to step down keeps to it */
  ZieWeightPlaces weights;   /* of a device with memory of its own; places owned */
  GArray *uses;              /* of ZieBlockUse, owned; then */
  ZieDecodePlan decode;      /* the chosen one */
  gboolean has_tiles;        /* the decode is not exact; then */
  ZieVaeTiles tiles;
  gsize device_before, host_before;    /* high-water marks of the other stages */
  double seconds_counted[ZIE_N_STAGES];
  guint64 ram_peak, vram_peak;
  double seconds, lock_seconds;        /* of all; of that, before the first stage, to lock memory of the host */
  int width, height, n_steps, n_images;
};

/* Ways to decode a picture of HEIGHT in less memory than in one piece, the quicker ones first; with SPILL also by way of host
 * memory.  Returns how many. */
#define ZIE_MAX_DECODE_CUTS 8
guint zie_decode_cuts (ZieVaeCut cuts[ZIE_MAX_DECODE_CUTS], int height, gboolean spill);

/* "mapped", "resident", "streamed"; static. */
const char *zie_placement_name (ZiePlacement placement);

/* As zie_plan_new() for a replay's ids. */
ZiePlan *zie_plan_new_for_feed (ZieModel *model, const ZieDevice *device, const ZieRequest *request, const ZieBudget *budget,
                                const ZieFeed *feed, GError **error);

/* Whether what the plan needs of the host's memory is there on DEVICE now; copies of weights are made as far as there is room. */
gboolean zie_plan_fits_host (const ZiePlan *self, const ZieDevice *device);
