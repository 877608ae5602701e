/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-picture.h"

G_BEGIN_DECLS

/* What the desktop is told of our work.  All of it is best effort: a desktop without the service in question is no error. */

/* In a Flatpak: the user's files are reached through portals only. */
gboolean zis_desktop_is_sandboxed (void);

/* The computer does not suspend by itself while one of the OWNERs (any object) is at work; an owner that is freed is not.
 * REASON, translated, is what the desktop shows if somebody asks for it. */
void zis_desktop_keep_awake (GObject *owner, gboolean is_working, const char *reason);

/* Sends NOTIFICATION under ID with a small PICTURE on it (NULL: without).  The pixels may have to be read, so it goes out a moment
 * later; the application stays as long. */
void zis_desktop_notify (const char *id, GNotification *notification, ZisPicture *picture);

G_END_DECLS
