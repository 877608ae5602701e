/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <zie-hub.h>

#include "zis-types.h"

G_BEGIN_DECLS

typedef enum
{
  ZIS_DOWNLOAD_ABSENT,
  ZIS_DOWNLOAD_BEGUN,        /* some of it is there */
  ZIS_DOWNLOAD_BROKEN,       /* it is there, with files missing or cut */
  ZIS_DOWNLOAD_THERE,
  ZIS_DOWNLOAD_RUNNING,
  ZIS_DOWNLOAD_PAUSED,
  ZIS_DOWNLOAD_FAILED,       /* zis_download_get_error() */
} ZisDownloadState;

#define ZIS_TYPE_DOWNLOAD (zis_download_get_type ())
G_DECLARE_FINAL_TYPE (ZisDownload, zis_download, ZIS, DOWNLOAD, GObject)

/* One model of the catalogue: whether it is here, and fetching it.  It lives as long as the program, so that a page that
 * shows it may come and go.  Signals:
 *   "changed" ()            anything below
 *   "done" ()               it was fetched or repaired and is all there */
ZisDownload *zis_download_new (const ZieHubModel *model, const char *folder, GSettings *settings);

const ZieHubModel *zis_download_get_model (ZisDownload *self);
/* The folder it is or will be in. */
const char *zis_download_get_path (ZisDownload *self);
ZisDownloadState zis_download_get_state (ZisDownload *self);
/* 0 to 1, of all its bytes. */
double zis_download_get_fraction (ZisDownload *self);
/* "7.0 GB of 20.7 GB · 45 MB/s · 5 minutes left"; NULL where nothing is to be said.  Free with g_free(). */
char *zis_download_get_status (ZisDownload *self);
const GError *zis_download_get_error (ZisDownload *self);

/* Fetches it, or what is missing of it; REPAIR: reads all of it first.  From the source that the settings name. */
void zis_download_start (ZisDownload *self, gboolean repair);
void zis_download_pause (ZisDownload *self);
void zis_download_resume (ZisDownload *self);
/* What has arrived stays. */
void zis_download_cancel (ZisDownload *self);
/* Removes what has arrived of a model that is not all there. */
void zis_download_discard (ZisDownload *self);
/* Looks at the folder again. */
void zis_download_refresh (ZisDownload *self);

G_END_DECLS
