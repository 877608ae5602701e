/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_QUEUE_ROW (zis_queue_row_get_type ())
G_DECLARE_FINAL_TYPE (ZisQueueRow, zis_queue_row, ZIS, QUEUE_ROW, GtkListBoxRow)

/* One job of the queue: what and how far; moved by drag, by buttons or by Alt+Up/Down, removed by Delete. */
GtkWidget *zis_queue_row_new (ZisSession *session, ZisJob *job);

G_END_DECLS
