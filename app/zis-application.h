/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <adwaita.h>

#include "zis-models.h"
#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_APPLICATION (zis_application_get_type ())
G_DECLARE_FINAL_TYPE (ZisApplication, zis_application, ZIS, APPLICATION, AdwApplication)

/* One instance, one window; PNG files on the command line are opened in it. */
ZisApplication *zis_application_new (void);
GSettings *zis_application_get_settings (ZisApplication *self);
/* Models that can be fetched; borrowed.  Fetching goes on while no window shows it. */
ZisModels *zis_application_get_models (ZisApplication *self);

/* zis-application-actions.c */
void zis_application_install_actions (ZisApplication *self);

G_END_DECLS
