/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-download.h"

G_BEGIN_DECLS

#define ZIS_TYPE_MODELS (zis_models_get_type ())
G_DECLARE_FINAL_TYPE (ZisModels, zis_models, ZIS, MODELS, GObject)

/* The models that can be fetched; one object in the program.  Signal:
 *   "installed" (ZisDownload)    it was fetched or repaired and can be used */
ZisModels *zis_models_new (GSettings *settings);

/* Why there is no catalogue; NULL: there is one. */
const GError *zis_models_get_error (ZisModels *self);
guint zis_models_get_n (ZisModels *self);
/* Borrowed; the recommended one first. */
ZisDownload *zis_models_get (ZisModels *self, guint index);
/* Where models are kept. */
const char *zis_models_get_folder (ZisModels *self);
/* Looks at the folder again. */
void zis_models_refresh (ZisModels *self);

G_END_DECLS
