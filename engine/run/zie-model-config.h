/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-model.h>

#include "zie-dit.h"
#include "zie-model-places.h"
#include "zie-preview.h"
#include "zie-qwen3.h"
#include "zie-vae.h"

/* All that the JSON files of a diffusers directory say, checked. */
typedef struct
{
  ZieDitConfig transformer;
  ZieQwen3Config text_encoder;
  ZieVaeConfig vae;
  ZiePreview preview;
  ZieModelInfo info;         /* what the model says of itself: name (may be NULL), sizes, steps, shift */
} ZieModelConfig;

/* Reads model_index.json, the scheduler's and the parts' configurations (spec 1.1), each where PLACES has it; parts
 * without a file are left to the caller.  Every key that the engine depends on is checked: what it cannot run is refused
 * here, by file and key.  Errors: FILE_NOT_FOUND, FILE_CORRUPT, MODEL_UNSUPPORTED. */
gboolean zie_model_config_load (ZieModelConfig *config, const ZieModelPlaces *places, GError **error);

/* With all three parts known: checks that they fit each other, and says what the model is and makes.  PRESETS (of
 * ZiePreset) and STRINGS (owning what INFO and PRESETS point to) are the caller's. */
gboolean zie_model_config_finish (ZieModelConfig *config, const ZieModelPlaces *places, GArray *presets, GPtrArray *strings, GError **error);
