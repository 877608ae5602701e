/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-recipe"

#include "zis-recipe.h"

/* Seeds of the die: nine digits are enough variety and can still be told to somebody. */
#define MAX_ROLLED_SEED 1000000000u

struct _ZisRecipe
{
  GObject parent_instance;

  char *prompt;              /* owned */
  char *negative_prompt;     /* owned */
  int width, height;
  int steps;
  int n_images;
  double guidance;
  guint64 seed;
  gboolean seed_locked;
  guint noise;               /* ZieNoise */
  guint sampler;             /* ZieSampler */
  GVariant *loras;           /* owned: a(sd), files and strengths */
};

enum
{
  PROP_0,
  PROP_PROMPT,
  PROP_NEGATIVE_PROMPT,
  PROP_WIDTH,
  PROP_HEIGHT,
  PROP_STEPS,
  PROP_N_IMAGES,
  PROP_GUIDANCE,
  PROP_SEED,
  PROP_SEED_LOCKED,
  PROP_NOISE,
  PROP_SAMPLER,
  PROP_LORAS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (ZisRecipe, zis_recipe, G_TYPE_OBJECT)

static void
set_string (ZisRecipe *self, char **field, const char *value, guint property)
{
  if (g_strcmp0 (*field, value) == 0)
    return;

  g_free (*field);
  *field = g_strdup (value ? value : "");
  g_object_notify_by_pspec (G_OBJECT (self), properties[property]);
}

static void
set_int (ZisRecipe *self, int *field, int value, guint property)
{
  if (*field == value)
    return;

  *field = value;
  g_object_notify_by_pspec (G_OBJECT (self), properties[property]);
}

static void
set_loras (ZisRecipe *self, GVariant *loras)
{
  g_autoptr(GVariant) value = g_variant_ref_sink (loras ? loras : g_variant_new ("a(sd)", NULL));

  if (g_variant_equal (value, self->loras))
    return;

  g_variant_unref (self->loras);
  self->loras = g_steal_pointer (&value);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_LORAS]);
}

static void
zis_recipe_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  ZisRecipe *self = ZIS_RECIPE (object);

  switch (prop_id)
    {
    case PROP_PROMPT: g_value_set_string (value, self->prompt); break;
    case PROP_NEGATIVE_PROMPT: g_value_set_string (value, self->negative_prompt); break;
    case PROP_WIDTH: g_value_set_int (value, self->width); break;
    case PROP_HEIGHT: g_value_set_int (value, self->height); break;
    case PROP_STEPS: g_value_set_int (value, self->steps); break;
    case PROP_N_IMAGES: g_value_set_int (value, self->n_images); break;
    case PROP_GUIDANCE: g_value_set_double (value, self->guidance); break;
    case PROP_SEED: g_value_set_uint64 (value, self->seed); break;
    case PROP_SEED_LOCKED: g_value_set_boolean (value, self->seed_locked); break;
    case PROP_NOISE: g_value_set_uint (value, self->noise); break;
    case PROP_SAMPLER: g_value_set_uint (value, self->sampler); break;
    case PROP_LORAS: g_value_set_variant (value, self->loras); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
zis_recipe_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  ZisRecipe *self = ZIS_RECIPE (object);

  switch (prop_id)
    {
    case PROP_PROMPT: set_string (self, &self->prompt, g_value_get_string (value), prop_id); break;
    case PROP_NEGATIVE_PROMPT: set_string (self, &self->negative_prompt, g_value_get_string (value), prop_id); break;
    case PROP_WIDTH: set_int (self, &self->width, g_value_get_int (value), prop_id); break;
    case PROP_HEIGHT: set_int (self, &self->height, g_value_get_int (value), prop_id); break;
    case PROP_STEPS: set_int (self, &self->steps, g_value_get_int (value), prop_id); break;
    case PROP_N_IMAGES: set_int (self, &self->n_images, g_value_get_int (value), prop_id); break;
    case PROP_SEED_LOCKED: set_int (self, &self->seed_locked, g_value_get_boolean (value), prop_id); break;
    case PROP_SEED: zis_recipe_set_seed (self, g_value_get_uint64 (value)); break;
    case PROP_GUIDANCE:
      if (self->guidance != g_value_get_double (value))
        {
          self->guidance = g_value_get_double (value);
          g_object_notify_by_pspec (object, pspec);
        }
      break;
    case PROP_NOISE:
      if (self->noise != g_value_get_uint (value))
        {
          self->noise = g_value_get_uint (value);
          g_object_notify_by_pspec (object, pspec);
        }
      break;
    case PROP_SAMPLER:
      if (self->sampler != g_value_get_uint (value))
        {
          self->sampler = g_value_get_uint (value);
          g_object_notify_by_pspec (object, pspec);
        }
      break;
    case PROP_LORAS: set_loras (self, g_value_get_variant (value)); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
zis_recipe_finalize (GObject *object)
{
  ZisRecipe *self = ZIS_RECIPE (object);

  g_free (self->prompt);
  g_free (self->negative_prompt);
  g_variant_unref (self->loras);

  G_OBJECT_CLASS (zis_recipe_parent_class)->finalize (object);
}

static void
zis_recipe_class_init (ZisRecipeClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = zis_recipe_get_property;
  object_class->set_property = zis_recipe_set_property;
  object_class->finalize = zis_recipe_finalize;

  properties[PROP_PROMPT] = g_param_spec_string ("prompt", NULL, NULL, "", flags);
  properties[PROP_NEGATIVE_PROMPT] = g_param_spec_string ("negative-prompt", NULL, NULL, "", flags);
  properties[PROP_WIDTH] = g_param_spec_int ("width", NULL, NULL, 0, ZIE_SIZE_MAX, 0, flags);
  properties[PROP_HEIGHT] = g_param_spec_int ("height", NULL, NULL, 0, ZIE_SIZE_MAX, 0, flags);
  properties[PROP_STEPS] = g_param_spec_int ("steps", NULL, NULL, 1, 1000, 8, flags);
  properties[PROP_N_IMAGES] = g_param_spec_int ("n-images", NULL, NULL, 1, 1000, 1, flags);
  properties[PROP_GUIDANCE] = g_param_spec_double ("guidance", NULL, NULL, 0, 100, 0, flags);
  properties[PROP_SEED] = g_param_spec_uint64 ("seed", NULL, NULL, 0, G_MAXUINT64, 0, flags);
  properties[PROP_SEED_LOCKED] = g_param_spec_boolean ("seed-locked", NULL, NULL, FALSE, flags);
  properties[PROP_NOISE] = g_param_spec_uint ("noise", NULL, NULL, 0, ZIE_NOISE_CUDA, ZIE_NOISE_CPU, flags);
  properties[PROP_SAMPLER] = g_param_spec_uint ("sampler", NULL, NULL, 0, ZIE_N_SAMPLERS - 1, ZIE_SAMPLER_EULER, flags);
  properties[PROP_LORAS] = g_param_spec_variant ("loras", NULL, NULL, G_VARIANT_TYPE ("a(sd)"), NULL, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
zis_recipe_init (ZisRecipe *self)
{
  self->prompt = g_strdup ("");
  self->negative_prompt = g_strdup ("");
  self->steps = 8;
  self->n_images = 1;
  self->loras = g_variant_ref_sink (g_variant_new ("a(sd)", NULL));
}

ZisRecipe *
zis_recipe_new (void)
{
  return g_object_new (ZIS_TYPE_RECIPE, NULL);
}

void
zis_recipe_load (ZisRecipe *self, GSettings *settings)
{
  g_autofree char *prompt = g_settings_get_string (settings, "prompt");
  g_autofree char *negative = g_settings_get_string (settings, "negative-prompt");
  g_autofree char *noise_name = g_settings_get_string (settings, "noise");
  g_autofree char *sampler_name = g_settings_get_string (settings, "sampler");
  g_autoptr(GVariant) loras = g_settings_get_value (settings, "loras");
  ZieNoise noise = ZIE_NOISE_CPU;
  ZieSampler sampler = ZIE_SAMPLER_EULER;

  zie_noise_from_name (noise_name, &noise);
  zie_sampler_from_name (sampler_name, &sampler);
  g_object_set (self,
                "prompt", prompt,
                "negative-prompt", negative,
                "width", g_settings_get_int (settings, "width"),
                "height", g_settings_get_int (settings, "height"),
                "steps", g_settings_get_int (settings, "steps"),
                "n-images", g_settings_get_int (settings, "n-images"),
                "guidance", g_settings_get_double (settings, "guidance"),
                "seed", g_settings_get_uint64 (settings, "seed"),
                "seed-locked", g_settings_get_boolean (settings, "seed-locked"),
                "noise", (guint) noise,
                "sampler", (guint) sampler,
                "loras", loras,
                NULL);
}

void
zis_recipe_save (ZisRecipe *self, GSettings *settings)
{
  g_settings_set_string (settings, "prompt", self->prompt);
  g_settings_set_string (settings, "negative-prompt", self->negative_prompt);
  g_settings_set_int (settings, "width", self->width);
  g_settings_set_int (settings, "height", self->height);
  g_settings_set_int (settings, "steps", self->steps);
  g_settings_set_int (settings, "n-images", self->n_images);
  g_settings_set_double (settings, "guidance", self->guidance);
  g_settings_set_uint64 (settings, "seed", self->seed);
  g_settings_set_boolean (settings, "seed-locked", self->seed_locked);
  g_settings_set_string (settings, "noise", zie_noise_name (self->noise));
  g_settings_set_string (settings, "sampler", zie_sampler_name (self->sampler));
  g_settings_set_value (settings, "loras", self->loras);
}

void
zis_recipe_set_request (ZisRecipe *self, const ZieRequest *request)
{
  g_auto(GVariantBuilder) loras = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(sd)"));

  for (guint i = 0; i < request->n_loras; i++)
    g_variant_builder_add (&loras, "(sd)", request->loras[i].file, request->loras[i].strength);
  g_object_freeze_notify (G_OBJECT (self));
  g_object_set (self,
                "prompt", request->prompt,
                "negative-prompt", request->negative_prompt ? request->negative_prompt : "",
                "width", request->width,
                "height", request->height,
                "steps", request->n_steps,
                "n-images", MAX (1, request->n_images),
                "guidance", request->guidance,
                "seed", request->seed,
                "seed-locked", TRUE,
                "noise", (guint) request->noise,
                "sampler", (guint) request->sampler,
                "loras", g_variant_builder_end (&loras),
                NULL);
  g_object_thaw_notify (G_OBJECT (self));
}

void
zis_recipe_get_request (ZisRecipe *self, ZieRequest *request)
{
  g_autofree char *prompt = g_strdup (self->prompt);
  GVariantIter loras;
  const char *file;
  double strength;

  zie_request_init (request);
  /* Blank lines around a prompt are an accident of typing; they would cost tokens and change the picture. */
  g_free (request->prompt);
  request->prompt = g_strdup (g_strstrip (prompt));
  request->width = self->width;
  request->height = self->height;
  request->n_steps = self->steps;
  request->n_images = self->n_images;
  request->guidance = self->guidance;
  request->seed = self->seed;
  request->noise = self->noise;
  request->sampler = self->sampler;
  g_variant_iter_init (&loras, self->loras);
  while (g_variant_iter_next (&loras, "(&sd)", &file, &strength))
    zie_request_add_lora (request, file, strength);
  if (self->guidance > 0 && *self->negative_prompt)
    {
      g_free (request->negative_prompt);
      request->negative_prompt = g_strdup (self->negative_prompt);
    }
}

static gboolean
is_size_possible (int width, int height, const ZieModelInfo *info)
{
  int max_side = info->max_side > 0 ? info->max_side : ZIE_SIZE_MAX;

  return width >= ZIE_SIZE_STEP && height >= ZIE_SIZE_STEP && width <= max_side && height <= max_side
         && width % ZIE_SIZE_STEP == 0 && height % ZIE_SIZE_STEP == 0;
}

void
zis_recipe_adapt (ZisRecipe *self, const ZieModelInfo *info, gboolean reset)
{
  g_object_freeze_notify (G_OBJECT (self));

  if (reset || !is_size_possible (self->width, self->height, info))
    zis_recipe_set_size (self, info->default_width, info->default_height);

  if (reset)
    g_object_set (self, "steps", info->default_steps, "guidance", info->default_guidance, "sampler", (guint) ZIE_SAMPLER_EULER,
                  "loras", NULL, NULL);
  else if (info->is_distilled)
    g_object_set (self, "guidance", 0.0, NULL);

  g_object_thaw_notify (G_OBJECT (self));
}

const char *
zis_recipe_get_prompt (ZisRecipe *self)
{
  return self->prompt;
}

void
zis_recipe_set_prompt (ZisRecipe *self, const char *prompt)
{
  set_string (self, &self->prompt, prompt, PROP_PROMPT);
}

int
zis_recipe_get_width (ZisRecipe *self)
{
  return self->width;
}

int
zis_recipe_get_height (ZisRecipe *self)
{
  return self->height;
}

void
zis_recipe_set_size (ZisRecipe *self, int width, int height)
{
  g_object_freeze_notify (G_OBJECT (self));
  set_int (self, &self->width, width, PROP_WIDTH);
  set_int (self, &self->height, height, PROP_HEIGHT);
  g_object_thaw_notify (G_OBJECT (self));
}

guint64
zis_recipe_get_seed (ZisRecipe *self)
{
  return self->seed;
}

void
zis_recipe_set_seed (ZisRecipe *self, guint64 seed)
{
  if (self->seed == seed)
    return;

  self->seed = seed;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_SEED]);
}

gboolean
zis_recipe_get_seed_locked (ZisRecipe *self)
{
  return self->seed_locked;
}

int
zis_recipe_get_steps (ZisRecipe *self)
{
  return self->steps;
}

ZieSampler
zis_recipe_get_sampler (ZisRecipe *self)
{
  return self->sampler;
}

GVariant *
zis_recipe_get_loras (ZisRecipe *self)
{
  return self->loras;
}

void
zis_recipe_roll_seed (ZisRecipe *self)
{
  zis_recipe_set_seed (self, (guint64) g_random_int_range (0, MAX_ROLLED_SEED));
}
