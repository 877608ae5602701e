/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <adwaita.h>

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_MODEL_PARTS (zis_model_parts_get_type ())
G_DECLARE_FINAL_TYPE (ZisModelParts, zis_model_parts, ZIS, MODEL_PARTS, AdwExpanderRow)

/* Files that are picked by hand in place of the model's own parts: the setting "model-parts". */
void zis_model_parts_setup (ZisModelParts *self, GSettings *settings);

/* No part is picked any more: a model was chosen as a whole. */
void zis_model_parts_clear (GSettings *settings);

G_END_DECLS
