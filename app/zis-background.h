/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Asks, in a sandbox, that work may go on without a window; elsewhere nobody has to be asked, and DONE is not called.  DONE is
 * called with FALSE where the user does not want it, unless CANCELLABLE was cancelled before.  REASON is translated. */
typedef void (*ZisBackgroundFunc) (gboolean is_allowed, gpointer user_data);
void zis_background_ask (const char *reason, GCancellable *cancellable, ZisBackgroundFunc done, gpointer user_data);

G_END_DECLS
