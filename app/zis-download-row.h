/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <adwaita.h>

#include "zis-download.h"

G_BEGIN_DECLS

#define ZIS_TYPE_DOWNLOAD_ROW (zis_download_row_get_type ())
G_DECLARE_FINAL_TYPE (ZisDownloadRow, zis_download_row, ZIS, DOWNLOAD_ROW, AdwPreferencesRow)

/* A model of the catalogue with what can be done about it.  SETTINGS say which model is in use. */
GtkWidget *zis_download_row_new (ZisDownload *download, GSettings *settings);

G_END_DECLS
