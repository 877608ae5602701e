/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-types.h>

G_BEGIN_DECLS

/* What may be used, in bytes; 0 = what is free. */
typedef struct
{
  guint64 vram, ram;
} ZieBudget;

typedef enum
{
  ZIE_PLACEMENT_MAPPED,      /* weights are read from the mapped file */
  ZIE_PLACEMENT_RESIDENT,    /* weights stay in the device's memory */
  ZIE_PLACEMENT_STREAMED,
} ZiePlacement;

typedef struct
{
  ZiePlacement placement;
  guint64 weights;           /* bytes of weights the stage reads */
  guint64 arena;             /* high-water mark of the job's arena, to the byte */
  guint64 vram_peak, ram_peak;
  guint64 bytes_streamed;
  guint64 bytes_spilled;     /* activations between the card and host memory, both ways, over the whole job */
  double flops;
  double seconds;            /* expected */
} ZieStagePlan;

/* How the decode is cut. */
typedef enum
{
  ZIE_DECODE_CUT_WHOLE,
  ZIE_DECODE_CUT_BANDS,      /* of rows: to need less memory, or where it takes long so that the picture comes bit by bit */
  ZIE_DECODE_CUT_TILES,      /* as the request asks, whatever memory there is */
} ZieDecodeCut;

/* Pure and quick (< 1 ms): nothing is allocated on the device, no weight is read.  Every number of the plan comes
 * from running the networks' own code against a counting backend, so plan and execution cannot differ.
 * Errors: OUT_OF_HOST_MEMORY / OUT_OF_DEVICE_MEMORY when it does not fit, naming the largest sizes that would. */
ZIE_API ZiePlan *zie_plan_new (ZieModel *model, const ZieDevice *device, const ZieRequest *request,
                               const ZieBudget *budget, GError **error);
ZIE_API ZiePlan *zie_plan_ref (ZiePlan *self);
ZIE_API void zie_plan_unref (ZiePlan *self);
ZIE_API const ZieStagePlan *zie_plan_get_stage (const ZiePlan *self, ZieStage stage);
ZIE_API guint64 zie_plan_get_arena_size (const ZiePlan *self);   /* the one arena of the job */
ZIE_API guint64 zie_plan_get_vram_peak (const ZiePlan *self);
ZIE_API guint64 zie_plan_get_ram_peak (const ZiePlan *self);     /* anonymous memory, arena included */
ZIE_API double zie_plan_get_seconds (const ZiePlan *self);       /* of the whole request, all images */
ZIE_API int zie_plan_get_n_bands (const ZiePlan *self);          /* in which the decode gives the picture, cut or not; or its tiles */
ZIE_API ZieDecodeCut zie_plan_get_decode_cut (const ZiePlan *self);
/* How the decode is cut: "whole", "bands of 64 rows", "bands of 128 rows, spilled from level 3: 4.3 GB", "tiles of 512 pixels that
 * share 64".  Free with g_free(). */
ZIE_API char *zie_plan_describe_decode (const ZiePlan *self);
ZIE_API char *zie_plan_to_json (const ZiePlan *self);
ZIE_API char *zie_plan_to_text (const ZiePlan *self);            /* a table for people */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZiePlan, zie_plan_unref)

G_END_DECLS
