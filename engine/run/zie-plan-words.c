/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-plan"

#include "zie-plan-private.h"

#include "zie-json.h"

/* A plan as a table for people and as JSON. */

const char *
zie_placement_name (ZiePlacement placement)
{
  static const char *const names[] = { "mapped", "resident", "streamed" };
  return names[placement];
}

ZieDecodeCut
zie_plan_get_decode_cut (const ZiePlan *self)
{
  const ZieVaeCut *cut = &self->decode.cut;

  if (self->has_tiles)
    return ZIE_DECODE_CUT_TILES;
  for (int i = 0; i < ZIE_VAE_LEVELS; i++)
    if (cut->places[i] != ZIE_VAE_WHOLE)
      return ZIE_DECODE_CUT_BANDS;
  return cut->halve_last ? ZIE_DECODE_CUT_BANDS : ZIE_DECODE_CUT_WHOLE;
}

/* Counted from 0 as the decoder runs them. */
static int
first_spilled_level (const ZieVaeCut *cut)
{
  int level = 0;

  while (level < ZIE_VAE_LEVELS && cut->places[level] < ZIE_VAE_SPILL_X)
    level++;
  return level;
}

char *
zie_plan_describe_decode (const ZiePlan *self)
{
  const ZieVaeCut *cut = &self->decode.cut;

  if (zie_plan_get_decode_cut (self) == ZIE_DECODE_CUT_TILES)
    return g_strdup_printf ("tiles of %d pixels that share %d", self->tiles.size, self->tiles.overlap);
  if (zie_plan_get_decode_cut (self) == ZIE_DECODE_CUT_WHOLE)
    return g_strdup ("whole");
  if (!zie_vae_cut_spills (cut))
    return g_strdup_printf ("bands of %d rows", cut->band_rows);
  return g_strdup_printf ("bands of %d rows, spilled from level %d: %.1f GB", cut->band_rows, first_spilled_level (cut),
                          (double)self->stages[ZIE_STAGE_DECODE].bytes_spilled / 1e9);
}

static void
append_decode (GString *s, const ZiePlan *self)
{
  static const char *const names[] = { "whole", "bands", "input in host memory", "host memory" };
  const ZieVaeCut *cut = &self->decode.cut;
  g_autofree char *words = zie_plan_describe_decode (self);

  g_string_append_printf (s, "{\"cut\":\"%s\",\"band_rows\":%d,\"last_block_twice\":%s,\"spilled\":%" G_GUINT64_FORMAT ",\"levels\":[",
                          words, cut->band_rows, cut->halve_last ? "true" : "false", self->stages[ZIE_STAGE_DECODE].bytes_spilled);
  for (int i = 0; i < ZIE_VAE_LEVELS; i++)
    g_string_append_printf (s, "%s\"%s\"", i ? "," : "", names[cut->places[i]]);
  g_string_append (s, "]}");
}

char *
zie_plan_to_json (const ZiePlan *self)
{
  GString *s = g_string_new (NULL);

  g_string_append_printf (s, "{\"width\":%d,\"height\":%d,\"steps\":%d,\"images\":%d,\"device\":", self->width, self->height,
                          self->n_steps, self->n_images);
  zie_json_append_string (s, self->device.name);
  g_string_append_printf (s, ",\"compute\":\"%s\",\"ram_peak\":%" G_GUINT64_FORMAT ",\"vram_peak\":%" G_GUINT64_FORMAT
                          ",\"arena\":%" G_GUINT64_FORMAT ",\"pinned\":%" G_GUINT64_FORMAT ",\"bands\":%d,\"seconds\":",
                          zie_compute_name (self->compute), self->ram_peak, self->vram_peak, zie_plan_get_arena_size (self),
                          self->weights.pinned_limit, zie_plan_get_n_bands (self));
  zie_json_append_double (s, self->seconds);
  g_string_append (s, ",\"lock_seconds\":");
  zie_json_append_double (s, self->lock_seconds);
  g_string_append (s, ",\"decode\":");
  append_decode (s, self);
  g_string_append (s, ",\"stages\":[");
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    {
      const ZieStagePlan *p = &self->stages[stage];
      g_string_append_printf (s, "%s{\"stage\":\"%s\",\"placement\":\"%s\",\"weights\":%" G_GUINT64_FORMAT ",\"arena\":%" G_GUINT64_FORMAT
                              ",\"ram_peak\":%" G_GUINT64_FORMAT ",\"streamed\":%" G_GUINT64_FORMAT ",\"flops\":", stage ? "," : "", zie_stage_name ((ZieStage)stage),
                              zie_placement_name (p->placement), p->weights, p->arena, p->ram_peak, p->bytes_streamed);
      zie_json_append_double (s, p->flops);
      g_string_append (s, ",\"seconds\":");
      zie_json_append_double (s, p->seconds);
      g_string_append_c (s, '}');
    }
  g_string_append (s, "]}");
  return g_string_free (s, FALSE);
}

char *
zie_plan_to_text (const ZiePlan *self)
{
  GString *s = g_string_new (NULL);
  g_autofree char *ram = g_format_size_full (self->ram_peak, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *arena = g_format_size_full (zie_plan_get_arena_size (self), G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *decode = zie_plan_describe_decode (self);

  g_string_append_printf (s, "%d x %d, %d steps, %d picture%s on %s in %s\n\n", self->width, self->height, self->n_steps, self->n_images,
                          self->n_images == 1 ? "" : "s", self->device.name, zie_compute_name (self->compute));
  g_string_append_printf (s, "%-8s %-9s %12s %12s %12s %10s\n", "stage", "weights", "read", "memory", "TFLOP", "seconds");
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    {
      const ZieStagePlan *p = &self->stages[stage];
      g_autofree char *weights = g_format_size_full (p->weights, G_FORMAT_SIZE_IEC_UNITS);
      g_autofree char *memory = g_format_size_full (p->arena, G_FORMAT_SIZE_IEC_UNITS);
      g_string_append_printf (s, "%-8s %-9s %12s %12s %12.3f %10.2f\n", zie_stage_name ((ZieStage)stage), zie_placement_name (p->placement),
                              weights, memory, p->flops / 1e12, p->seconds);
    }
  g_string_append_printf (s, "\npeak of memory %s (arena %s), about %.1f s\n", ram, arena, self->seconds);
  if (self->lock_seconds > 0)
    g_string_append_printf (s, "of that %.1f s to lock memory of the host, once\n", self->lock_seconds);
  g_string_append_printf (s, "decode: %s; the picture comes in %d piece%s\n", decode, zie_plan_get_n_bands (self),
                          zie_plan_get_n_bands (self) == 1 ? "" : "s");
  if (self->has_device_memory)
    {
      g_autofree char *vram = g_format_size_full (self->vram_peak, G_FORMAT_SIZE_IEC_UNITS);
      g_autofree char *resident = g_format_size_full (self->weights.resident_size, G_FORMAT_SIZE_IEC_UNITS);
      g_autofree char *pinned = g_format_size_full (self->weights.pinned_limit, G_FORMAT_SIZE_IEC_UNITS);
      guint64 streamed = 0;

      for (int stage = 0; stage < ZIE_N_STAGES; stage++)
        streamed += self->stages[stage].bytes_streamed;
      g_string_append_printf (s, "peak on the card %s, %s of it weights that stay, %.1f GB streamed, %s locked for that\n", vram, resident,
                              (double)streamed / 1e9, pinned);
    }
  return g_string_free (s, FALSE);
}
