/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <adwaita.h>

#include "zis-models.h"
#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_MODELS_PAGE (zis_models_page_get_type ())
G_DECLARE_FINAL_TYPE (ZisModelsPage, zis_models_page, ZIS, MODELS_PAGE, AdwPreferencesPage)

/* What models are here, which one is used, and what can be fetched. */
AdwPreferencesPage *zis_models_page_new (ZisModels *models, GSettings *settings);

G_END_DECLS
