/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_RECIPE (zis_recipe_get_type ())
G_DECLARE_FINAL_TYPE (ZisRecipe, zis_recipe, ZIS, RECIPE, GObject)

/* What the panels edit: a ZieRequest as an object whose properties widgets bind to. */
ZisRecipe *zis_recipe_new (void);

/* Between sessions.  A size of 0 in the settings means: the model's own. */
void zis_recipe_load (ZisRecipe *self, GSettings *settings);
void zis_recipe_save (ZisRecipe *self, GSettings *settings);

/* Takes over what REQUEST says; the seed becomes locked, since restoring a recipe means wanting its picture. */
void zis_recipe_set_request (ZisRecipe *self, const ZieRequest *request);
/* Fills REQUEST (initialised here; clear it with zie_request_clear()). */
void zis_recipe_get_request (ZisRecipe *self, ZieRequest *request);

/* Makes size, steps and guidance fit MODEL: a size it cannot make becomes its default, what it has no use for is
 * switched off.  RESET takes all of the model's defaults, and no LoRA: they belong to one model. */
void zis_recipe_adapt (ZisRecipe *self, const ZieModelInfo *info, gboolean reset);

const char *zis_recipe_get_prompt (ZisRecipe *self);
void zis_recipe_set_prompt (ZisRecipe *self, const char *prompt);
int zis_recipe_get_width (ZisRecipe *self);
int zis_recipe_get_height (ZisRecipe *self);
void zis_recipe_set_size (ZisRecipe *self, int width, int height);
guint64 zis_recipe_get_seed (ZisRecipe *self);
void zis_recipe_set_seed (ZisRecipe *self, guint64 seed);
gboolean zis_recipe_get_seed_locked (ZisRecipe *self);
int zis_recipe_get_steps (ZisRecipe *self);
ZieSampler zis_recipe_get_sampler (ZisRecipe *self);
/* Files (or names) and strengths: a(sd).  Borrowed. */
GVariant *zis_recipe_get_loras (ZisRecipe *self);
/* A new seed from the system's random numbers, small enough to be read aloud. */
void zis_recipe_roll_seed (ZisRecipe *self);

G_END_DECLS
