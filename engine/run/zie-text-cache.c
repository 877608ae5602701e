/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-run"

#include "zie-text-cache.h"

#include <string.h>

#define MAX_ENTRIES 4

typedef struct
{
  guint64 model;             /* serial */
  ZieCompute compute;
  gint32 *ids;               /* owned, as embeds */
  guint n_ids;
  float *embeds;
} Entry;

static void
entry_free (gpointer data)
{
  Entry *entry = data;
  g_free (entry->ids);
  g_free (entry->embeds);
  g_free (entry);
}

static gsize
embeds_size (const ZieStages *stages, int p)
{
  return (gsize)stages->n_ids[p] * (gsize)stages->model->text_encoder.config.dim * sizeof (float);
}

static Entry *
find (GPtrArray *entries, const ZieStages *stages, int p)
{
  for (guint i = 0; i < entries->len; i++)
    {
      Entry *e = g_ptr_array_index (entries, i);
      if (e->model == stages->model->serial && e->compute == stages->ctx->compute && e->n_ids == stages->n_ids[p]
          && memcmp (e->ids, stages->ids[p], e->n_ids * sizeof (gint32)) == 0)
        return e;
    }
  return NULL;
}

void
zie_text_cache_fetch (ZiePipelineCache *cache, ZieStages *stages)
{
  if (cache == NULL || cache->data == NULL)
    return;
  for (int p = 0; p < stages->n_prompts; p++)
    {
      const Entry *e = find (cache->data, stages, p);

      if (e == NULL)
        continue;
      memcpy (stages->embeds[p], e->embeds, embeds_size (stages, p));
      stages->have_embeds[p] = TRUE;
    }
}

void
zie_text_cache_store (ZiePipelineCache *cache, const ZieStages *stages)
{
  GPtrArray *entries;

  if (cache == NULL)
    return;
  if (cache->data == NULL)
    {
      cache->data = g_ptr_array_new_with_free_func (entry_free);
      cache->free = (GDestroyNotify)g_ptr_array_unref;
    }
  entries = cache->data;
  for (int p = 0; p < stages->n_prompts; p++)
    if (!stages->have_embeds[p] && stages->feed == NULL)
      {
        Entry *e = g_new0 (Entry, 1);
        *e = (Entry) { stages->model->serial, stages->ctx->compute, g_memdup2 (stages->ids[p], stages->n_ids[p] * sizeof (gint32)),
                       stages->n_ids[p], g_memdup2 (stages->embeds[p], embeds_size (stages, p)) };
        if (entries->len == MAX_ENTRIES)
          g_ptr_array_remove_index (entries, 0);          /* the oldest */
        g_ptr_array_add (entries, e);
      }
}
