/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli-options.h"

#include <math.h>
#include <string.h>

#include "config.h"
#include "cli-i18n.h"

#define MAX_THREADS 1024

/* Sizes for every model that can make them; a model's own presets come first and win. */
static const ZiePreset common_presets[] = {
  { "square-512", 512, 512 },
  { "square-768", 768, 768 },
  { "square-1024", 1024, 1024 },
  { "square-1536", 1536, 1536 },
  { "square-2048", 2048, 2048 },
  { "landscape-1280x720", 1280, 720 },
  { "portrait-720x1280", 720, 1280 },
};

void
cli_request_options_add (CliRequestOptions *self, GOptionContext *context)
{
  const GOptionEntry entries[] = {
    { "preset", 0, 0, G_OPTION_ARG_FILENAME, &self->preset, N_("size by name: square-768, landscape-1280x720 …"), N_("NAME") },
    { "width", 0, 0, G_OPTION_ARG_FILENAME, &self->width, N_("width in pixels, a multiple of 16; with --height"), "N" },
    { "height", 0, 0, G_OPTION_ARG_FILENAME, &self->height, N_("height in pixels, a multiple of 16; with --width"), "N" },
    { "seed", 's', 0, G_OPTION_ARG_FILENAME, &self->seed, N_("the same seed gives the same picture (default: random)"), "N" },
    { "batch", 'n', 0, G_OPTION_ARG_FILENAME, &self->batch, N_("pictures of each prompt, with seed, seed + 1, …"), "N" },
    { "steps", 0, 0, G_OPTION_ARG_FILENAME, &self->steps, N_("steps, each one pass through the network"), "N" },
    { "guidance", 0, 0, G_OPTION_ARG_FILENAME, &self->guidance, N_("how strongly to follow the prompt; 0 = off"), "G" },
    { "negative", 0, 0, G_OPTION_ARG_FILENAME, &self->negative, N_("what to avoid; needs --guidance above 0"), N_("TEXT") },
    { "cfg-truncation", 0, 0, G_OPTION_ARG_FILENAME, &self->cfg_truncation,
      N_("no guidance once 1 - sigma exceeds T; 1 = never"), "T" },
    { "cfg-normalization", 0, 0, G_OPTION_ARG_FILENAME, &self->cfg_normalization,
      N_("longest guided velocity, in lengths of the unguided; 0 = off"), "R" },
    { "shift", 0, 0, G_OPTION_ARG_FILENAME, &self->shift, N_("shift of the schedule (default: the model's)"), "S" },
    { "sampler", 0, 0, G_OPTION_ARG_FILENAME, &self->sampler, N_("how to step; euler is what Turbo is made for"),
      "euler|heun|dpmpp-2m|dpmpp-2m-sde|res-multistep" },
    { "noise", 0, 0, G_OPTION_ARG_FILENAME, &self->noise, N_("torch's generator to follow: cpu or cuda"), "cpu|cuda" },
    { "init-image", 0, 0, G_OPTION_ARG_FILENAME, &self->init_image, N_("start from this PNG"), N_("FILE") },
    { "strength", 0, 0, G_OPTION_ARG_FILENAME, &self->strength, N_("how far to leave --init-image, 0 to 1"), "X" },
    { "mask", 0, 0, G_OPTION_ARG_FILENAME, &self->mask, N_("repaint only where this PNG is white; needs --init-image"), N_("FILE") },
    { "lora", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->loras, N_("add a LoRA, with a strength other than 1 after a colon; may be repeated"),
      N_("FILE[:STRENGTH]") },
    { "decode", 0, 0, G_OPTION_ARG_FILENAME, &self->decode, N_("to pixels as in one piece, or in tiles that are blended, as scripts do"),
      "exact|blend" },
    { "tile-size", 0, 0, G_OPTION_ARG_FILENAME, &self->tile_size, N_("a tile's side for --decode blend (default: by the picture's size)"), "N" },
    { "tile-overlap", 0, 0, G_OPTION_ARG_FILENAME, &self->tile_overlap, N_("pixels that tiles share (default: an eighth of a tile)"), "N" },
    { "truncate", 0, 0, G_OPTION_ARG_NONE, &self->truncate, N_("cut a prompt that is too long instead of refusing it"), NULL },
    { "device", 'd', 0, G_OPTION_ARG_FILENAME, &self->device, N_("where to compute (see “zimage devices”)"), "auto|cuda[:N]|cpu|ref" },
    { "dtype", 0, 0, G_OPTION_ARG_FILENAME, &self->dtype, N_("arithmetic of the large products"), "auto|bf16|f32" },
    { "threads", 0, 0, G_OPTION_ARG_FILENAME, &self->threads, N_("threads to compute with (default: one a core)"), "N" },
    { "ram-budget", 0, 0, G_OPTION_ARG_FILENAME, &self->ram_budget, N_("use at most so much memory, such as 6G"), N_("SIZE") },
    { "vram-budget", 0, 0, G_OPTION_ARG_FILENAME, &self->vram_budget, N_("use at most so much graphics memory"), N_("SIZE") },
    { NULL }
  };

  cli_model_options_add (&self->model, context, TRUE);
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
}

void
cli_request_options_clear (CliRequestOptions *self)
{
  char **strings[] = {
    &self->device, &self->dtype, &self->threads, &self->width, &self->height, &self->preset, &self->steps,
    &self->guidance, &self->cfg_truncation, &self->cfg_normalization, &self->shift, &self->sampler, &self->negative,
    &self->seed, &self->noise, &self->batch, &self->init_image, &self->mask, &self->strength, &self->ram_budget,
    &self->decode, &self->tile_size, &self->tile_overlap,
    &self->vram_budget,
  };

  for (guint i = 0; i < G_N_ELEMENTS (strings); i++)
    g_clear_pointer (strings[i], g_free);
  g_clear_pointer (&self->loras, g_strfreev);
  cli_model_options_clear (&self->model);
}

static void
set_usage_error (GError **error, const char *option, const char *expected, const char *found)
{
  g_autofree char *shown = g_utf8_make_valid (found, -1);

  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, _("--%s expects %s, not “%s”"), option, expected, shown);
}

gboolean
cli_parse_int (const char *option, const char *text, int min, int max, int *out, GError **error)
{
  gint64 value;

  if (!g_ascii_string_to_signed (text, 10, min, max, &value, NULL))
    {
      g_autofree char *expected = max == G_MAXINT
                                    ? g_strdup_printf (_("a whole number of at least %d"), min)
                                    : g_strdup_printf (_("a whole number from %d to %d"), min, max);
      set_usage_error (error, option, expected, text);
      return FALSE;
    }

  *out = (int)value;
  return TRUE;
}

static gboolean
parse_double (const char *option, const char *text, double *out, GError **error)
{
  char *end = NULL;
  double value = g_ascii_strtod (text, &end);

  if (end == text || *end != '\0' || !isfinite (value))
    {
      set_usage_error (error, option, _("a number such as 3 or 0.5"), text);
      return FALSE;
    }

  *out = value;
  return TRUE;
}

static gboolean
parse_seed (const char *text, guint64 *out, GError **error)
{
  if (g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, out, NULL))
    return TRUE;

  set_usage_error (error, "seed", _("a whole number from 0 to 18446744073709551615"), text);
  return FALSE;
}

/* Bytes, or a number with K, M, G or T (powers of 1024), "B" or "iB" allowed after it. */
static gboolean
parse_size (const char *option, const char *text, guint64 *out, GError **error)
{
  static const char units[] = "KMGT";
  char *end = NULL;
  double value = g_ascii_strtod (text, &end);
  const char *unit;
  gboolean is_size = end != text && value >= 0 && value < 1e15;

  if (is_size && *end != '\0' && (unit = strchr (units, g_ascii_toupper (*end))) != NULL)
    {
      value = ldexp (value, 10 * (int)(unit - units + 1));
      end++;
      if (*end == 'i')
        end++;
    }
  if (is_size && (*end == 'B' || *end == 'b'))
    end++;

  if (!is_size || *end != '\0' || value >= 0x1p63)
    {
      set_usage_error (error, option, _("a size such as 6G, 512M or a number of bytes"), text);
      return FALSE;
    }

  *out = (guint64)value;
  return TRUE;
}

static gboolean
fits_model (const ZiePreset *preset, const ZieModelInfo *info)
{
  return MAX (preset->width, preset->height) <= info->max_side;
}

static const ZiePreset *
find_preset (const ZieModelInfo *info, const char *id)
{
  for (guint i = 0; i < info->n_presets; i++)
    if (strcmp (info->presets[i].id, id) == 0)
      return &info->presets[i];

  for (guint i = 0; i < G_N_ELEMENTS (common_presets); i++)
    if (strcmp (common_presets[i].id, id) == 0 && fits_model (&common_presets[i], info))
      return &common_presets[i];

  return NULL;
}

char *
cli_list_presets (const ZieModelInfo *info)
{
  GString *list = g_string_new (NULL);

  for (guint i = 0; i < info->n_presets; i++)
    g_string_append_printf (list, "%s%s", i > 0 ? ", " : "", info->presets[i].id);

  for (guint i = 0; i < G_N_ELEMENTS (common_presets); i++)
    if (find_preset (info, common_presets[i].id) == &common_presets[i])
      g_string_append_printf (list, "%s%s", list->len > 0 ? ", " : "", common_presets[i].id);

  return g_string_free (list, FALSE);
}

/* The init image's own size, as near as the model makes it: within its largest side, in steps of 16. */
static void
size_from_image (const ZieImage *image, const ZieModelInfo *info, ZieRequest *request)
{
  double width = zie_image_get_width (image), height = zie_image_get_height (image);
  double scale = MIN (1, info->max_side / MAX (width, height));

  request->width = MAX (ZIE_SIZE_STEP, (int)lround (width * scale / ZIE_SIZE_STEP) * ZIE_SIZE_STEP);
  request->height = MAX (ZIE_SIZE_STEP, (int)lround (height * scale / ZIE_SIZE_STEP) * ZIE_SIZE_STEP);
}

static gboolean
apply_size (const CliRequestOptions *self, const ZieModelInfo *info, ZieRequest *request, GError **error)
{
  if (self->preset != NULL && (self->width != NULL || self->height != NULL))
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, _("give either --preset or --width and --height, not both"));
      return FALSE;
    }

  if ((self->width != NULL) != (self->height != NULL))
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, _("--%s needs --%s beside it; or give --preset NAME"),
                   self->width != NULL ? "width" : "height", self->width != NULL ? "height" : "width");
      return FALSE;
    }

  if (self->width != NULL)
    return cli_parse_int ("width", self->width, 1, G_MAXINT, &request->width, error)
           && cli_parse_int ("height", self->height, 1, G_MAXINT, &request->height, error);

  if (self->preset != NULL)
    {
      const ZiePreset *preset = find_preset (info, self->preset);

      if (preset == NULL)
        {
          g_autofree char *list = cli_list_presets (info);
          g_autofree char *shown = g_utf8_make_valid (self->preset, -1);

          g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, _("%s has no preset “%s”; it has %s"), info->name, shown, list);
          return FALSE;
        }
      request->width = preset->width;
      request->height = preset->height;
    }
  else if (request->init_image != NULL)
    size_from_image (request->init_image, info, request);

  return TRUE;
}

static gboolean
apply_images (const CliRequestOptions *self, ZieRequest *request, GError **error)
{
  if (self->init_image == NULL && (self->mask != NULL || self->strength != NULL))
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, _("--%s needs --init-image FILE, the picture to start from"),
                   self->mask != NULL ? "mask" : "strength");
      return FALSE;
    }

  if (self->init_image != NULL && !(request->init_image = zie_image_load_png (self->init_image, error)))
    return FALSE;
  if (self->mask != NULL && !(request->mask = zie_image_load_png (self->mask, error)))
    return FALSE;

  return self->strength == NULL || parse_double ("strength", self->strength, &request->strength, error);
}

/* Options whose values are numbers, by a table: absent ones keep the model's default. */
static gboolean
apply_numbers (const CliRequestOptions *self, ZieRequest *request, GError **error)
{
  const struct { const char *option, *text; double *out; } doubles[] = {
    { "guidance", self->guidance, &request->guidance },
    { "cfg-truncation", self->cfg_truncation, &request->cfg_truncation },
    { "cfg-normalization", self->cfg_normalization, &request->cfg_normalization },
    { "shift", self->shift, &request->shift },
  };
  const struct { const char *option, *text; int *out; } ints[] = {
    { "steps", self->steps, &request->n_steps },
    { "batch", self->batch, &request->n_images },
    { "tile-size", self->tile_size, &request->tile_size },
    { "tile-overlap", self->tile_overlap, &request->tile_overlap },
  };

  for (guint i = 0; i < G_N_ELEMENTS (doubles); i++)
    if (doubles[i].text != NULL && !parse_double (doubles[i].option, doubles[i].text, doubles[i].out, error))
      return FALSE;

  for (guint i = 0; i < G_N_ELEMENTS (ints); i++)
    if (ints[i].text != NULL && !cli_parse_int (ints[i].option, ints[i].text, 1, G_MAXINT, ints[i].out, error))
      return FALSE;

  return self->seed == NULL || parse_seed (self->seed, &request->seed, error);
}

/* "euler, heun …" */
static char *
list_samplers (void)
{
  GString *names = g_string_new (NULL);

  for (int i = 0; i < ZIE_N_SAMPLERS; i++)
    g_string_append_printf (names, "%s%s", i == 0 ? "" : i == ZIE_N_SAMPLERS - 1 ? _(" or ") : ", ", zie_sampler_name ((ZieSampler)i));
  return g_string_free (names, FALSE);
}

static gboolean
apply_names (const CliRequestOptions *self, ZieRequest *request, GError **error)
{
  if (self->sampler != NULL && !zie_sampler_from_name (self->sampler, &request->sampler))
    {
      g_autofree char *names = list_samplers ();
      set_usage_error (error, "sampler", names, self->sampler);
    }
  else if (self->noise != NULL && !zie_noise_from_name (self->noise, &request->noise))
    set_usage_error (error, "noise", _("cpu or cuda"), self->noise);
  else if (self->decode != NULL && !zie_decode_from_name (self->decode, &request->decode))
    set_usage_error (error, "decode", _("exact or blend"), self->decode);
  else if (request->decode != ZIE_DECODE_BLEND && (self->tile_size != NULL || self->tile_overlap != NULL))
    g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, _("--%s needs --decode blend: an exact decode has no tiles"),
                 self->tile_size != NULL ? "tile-size" : "tile-overlap");
  else if (self->dtype != NULL && !zie_compute_from_name (self->dtype, &request->compute))
    set_usage_error (error, "dtype", _("auto, bf16 or f32"), self->dtype);
  else
    return TRUE;

  return FALSE;
}

/* FILE or FILE:STRENGTH; a colon in a file's own name is no strength. */
static gboolean
apply_loras (const CliRequestOptions *self, ZieRequest *request, GError **error)
{
  for (guint i = 0; self->loras != NULL && self->loras[i] != NULL; i++)
    {
      g_autofree char *file = g_strdup (self->loras[i]);
      char *colon = g_file_test (file, G_FILE_TEST_EXISTS) ? NULL : strrchr (file, ':');
      double strength = 1;

      if (colon != NULL)
        {
          *colon = '\0';
          if (!parse_double ("lora", colon + 1, &strength, error))
            return FALSE;
        }
      zie_request_add_lora (request, file, strength);
    }
  return TRUE;
}

gboolean
cli_request_options_apply (const CliRequestOptions *self, ZieModel *model, ZieRequest *request, GError **error)
{
  const ZieModelInfo *info = zie_model_get_info (model);

  zie_model_init_request (model, request);
  request->seed = g_random_int ();
  request->truncate_prompt = self->truncate;
  g_free (request->model_name);
  request->model_name = g_strdup (info->name);
  g_free (request->negative_prompt);
  request->negative_prompt = g_strdup (self->negative);

  return apply_names (self, request, error) && apply_numbers (self, request, error) && apply_loras (self, request, error)
         && apply_images (self, request, error) && apply_size (self, info, request, error);
}

gboolean
cli_request_options_get_engine (const CliRequestOptions *self, ZieEngineOptions *options, GError **error)
{
  *options = (ZieEngineOptions) { .backend = ZIE_BACKEND_AUTO };

  if (self->device != NULL && !zie_device_from_name (self->device, &options->backend, &options->device_index))
    {
      set_usage_error (error, "device", _("auto, cuda, cuda:1 and so on for one of several cards, cpu or ref"), self->device);
      return FALSE;
    }

  return self->threads == NULL || cli_parse_int ("threads", self->threads, 1, MAX_THREADS, &options->n_threads, error);
}

gboolean
cli_request_options_get_budget (const CliRequestOptions *self, ZieBudget *budget, GError **error)
{
  *budget = (ZieBudget) { 0, 0 };

  return (self->ram_budget == NULL || parse_size ("ram-budget", self->ram_budget, &budget->ram, error))
         && (self->vram_budget == NULL || parse_size ("vram-budget", self->vram_budget, &budget->vram, error));
}
