/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <adwaita.h>

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_MODEL_PARTS (zis_model_parts_get_type ())
G_DECLARE_FINAL_TYPE (ZisModelParts, zis_model_parts, ZIS, MODEL_PARTS, AdwExpanderRow)

/* Files that are picked by hand in place of the model's own parts: the setting "model-parts". */
void zis_model_parts_setup (ZisModelParts *self, GSettings *settings);

gboolean zis_model_parts_are_picked (GSettings *settings);
/* Why the model could not be opened is said of a part that was picked, or at least not of the model that lacks something itself. */
gboolean zis_model_parts_are_to_blame (GSettings *settings, const GError *error);

/* The model at PATH ("" = the demo model) as a whole: no part is picked any more. */
void zis_model_parts_use_model (GSettings *settings, const char *path);

G_END_DECLS
