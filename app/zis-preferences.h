/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <adwaita.h>

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_PREFERENCES (zis_preferences_get_type ())
G_DECLARE_FINAL_TYPE (ZisPreferences, zis_preferences, ZIS, PREFERENCES, AdwPreferencesPage)

/* The page of the preferences; its rows are bound to the settings and take effect at once. */
AdwPreferencesPage *zis_preferences_new (GSettings *settings, ZisSession *session);

G_END_DECLS
