/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <adwaita.h>

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_WINDOW (zis_window_get_type ())
G_DECLARE_FINAL_TYPE (ZisWindow, zis_window, ZIS, WINDOW, AdwApplicationWindow)

ZisWindow *zis_window_new (ZisApplication *application, GSettings *settings);

/* Shows a picture file and offers its recipe. */
void zis_window_open_file (ZisWindow *self, GFile *file);

ZisSession *zis_window_get_session (ZisWindow *self);

G_END_DECLS
