/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-plan"

#include "zie-placement.h"

#include <zie/zie-request.h>

/* Memory of a device is handed out in pages of this size. */
#define PAGE ((gsize)2 << 20)
/* Less than this is not worth a slot: it stays. */
#define SMALL ((gsize)32 << 20)
#define N_SLOTS 2

static void
add_block (GArray *uses, const ZieBackendFuncs *funcs, const ZieWeights *weights, int index, ZieStage stage, double times)
{
  ZieBlockUse use = { .block = zie_weights_get_block (weights, index), .stage = stage, .uses = times };

  for (guint i = 0; i < use.block->n_weights; i++)
    use.size += funcs->weight_size (&use.block->weights[i]);
  use.size = (use.size + PAGE - 1) & ~(PAGE - 1);
  if (use.size > 0)
    g_array_append_val (uses, use);
}

/* A block has one place, however often the request names its file. */
static gboolean
is_listed_before (const ZieRequest *request, guint lora)
{
  for (guint i = 0; i < lora; i++)
    if (g_str_equal (request->loras[i].file, request->loras[lora].file))
      return TRUE;
  return FALSE;
}

GArray *
zie_placement_list (ZieModel *model, const ZieRequest *request, const ZieBackendFuncs *funcs, int n_passes)
{
  GArray *uses = g_array_new (FALSE, FALSE, sizeof (ZieBlockUse));
  const ZieDit *dit = &model->transformer;
  int n_prompts = request->guidance > 0 ? 2 : 1, first_layer = dit->modulation_block + 1;
  double passes = (double)n_passes * request->n_images * n_prompts;

  for (guint i = 0; i < zie_weights_get_n_blocks (model->text_encoder.weights); i++)
    add_block (uses, funcs, model->text_encoder.weights, (int)i, ZIE_STAGE_TEXT, n_prompts);
  if (request->init_image != NULL && model->vae.has_encoder)
    add_block (uses, funcs, model->vae.weights, model->vae.encoder.block, ZIE_STAGE_REFINE, 1);
  for (int i = 0; i < (int)zie_weights_get_n_blocks (dit->weights); i++)
    {
      gboolean is_step = i >= first_layer || i == dit->embed_block;
      add_block (uses, funcs, dit->weights, i, is_step ? ZIE_STAGE_SAMPLE : ZIE_STAGE_REFINE,
                 is_step ? passes : i == dit->modulation_block ? 1 : n_prompts);
    }
  for (guint l = 0; l < request->n_loras; l++)
    {
      const ZieLora *lora = is_listed_before (request, l) ? NULL : zie_model_get_lora (model, request->loras[l].file, NULL);

      for (guint i = 0; lora != NULL && i < zie_weights_get_n_blocks (zie_lora_get_weights (lora)); i++)
        add_block (uses, funcs, zie_lora_get_weights (lora), (int)i, ZIE_STAGE_SAMPLE, passes);
    }
  add_block (uses, funcs, model->vae.weights, model->vae.decoder.block, ZIE_STAGE_DECODE, request->n_images);
  return uses;
}

/* Of the N blocks of USES that are used USES_EACH times and may be streamed, as many as fit stay, evenly spread. */
static void
keep_some (const GArray *uses, double uses_each, guint64 *available, ZieWeightPlaces *out)
{
  guint n = 0, n_kept = 0, seen = 0;
  guint64 room = *available;

  for (guint i = 0; i < uses->len; i++)
    {
      const ZieBlockUse *use = &g_array_index (uses, ZieBlockUse, i);

      if (out->places[i].is_resident || use->uses != uses_each)
        continue;
      n++;
      if (use->size <= room)
        {
          room -= use->size;
          n_kept++;
        }
    }
  for (guint i = 0; i < uses->len; i++)
    {
      const ZieBlockUse *use = &g_array_index (uses, ZieBlockUse, i);

      if (out->places[i].is_resident || use->uses != uses_each)
        continue;
      /* Bresenham: of each stretch of n / n_kept blocks one stays. */
      if ((seen + 1) * (guint64)n_kept / n > seen * (guint64)n_kept / n && use->size <= *available)
        {
          out->places[i].is_resident = TRUE;
          *available -= use->size;
        }
      seen++;
    }
}

/* The greatest number of uses among what does not stay yet; 0: nothing is left. */
static double
most_used (const GArray *uses, const ZieWeightPlaces *out, double below)
{
  double most = 0;

  for (guint i = 0; i < uses->len; i++)
    {
      double u = g_array_index (uses, ZieBlockUse, i).uses;
      if (!out->places[i].is_resident && u < below)
        most = MAX (most, u);
    }
  return most;
}

gboolean
zie_placement_choose (const GArray *uses, guint64 available, ZieWeightPlaces *out, guint64 streamed[ZIE_N_STAGES], guint64 *needed)
{
  guint64 total = 0, small = 0;
  double below = G_MAXDOUBLE;

  *out = (ZieWeightPlaces) { .places = g_new0 (ZieBlockPlace, uses->len), .n_places = uses->len };
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    streamed[stage] = 0;
  for (guint i = 0; i < uses->len; i++)
    {
      const ZieBlockUse *use = &g_array_index (uses, ZieBlockUse, i);

      out->places[i] = (ZieBlockPlace) { use->block, use->size, FALSE };
      total += use->size;
      if (use->size < SMALL)
        small += use->size;
      else
        out->slot_size = MAX (out->slot_size, use->size);
    }
  *needed = MIN (total, small + N_SLOTS * (guint64)out->slot_size);
  if (available < *needed)
    return FALSE;

  if (total <= available)
    {
      for (guint i = 0; i < uses->len; i++)
        out->places[i].is_resident = TRUE;
      out->slot_size = 0;
      out->resident_size = total;
      return TRUE;
    }

  out->n_slots = N_SLOTS;
  available -= *needed;
  for (guint i = 0; i < uses->len; i++)
    out->places[i].is_resident = out->places[i].size < SMALL;
  while ((below = most_used (uses, out, below)) > 0)
    keep_some (uses, below, &available, out);
  for (guint i = 0; i < uses->len; i++)
    {
      const ZieBlockUse *use = &g_array_index (uses, ZieBlockUse, i);

      if (out->places[i].is_resident)
        out->resident_size += use->size;
      else
        streamed[use->stage] += (guint64)((double)use->size * use->uses);
    }
  return TRUE;
}
