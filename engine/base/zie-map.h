/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-error.h>

/* A file mapped for reading, which may become shorter or lose its drive while it is read: a copy in its place, an unplugged disk, a
 * network that went.  The system answers such a read with SIGBUS, which ends a program.  Here what is missing reads as zeros from then
 * on, and the map says that it is lost: whoever computes with it looks before the result goes out.
 *
 * The first map installs a handler of SIGBUS, once a process; what is no map of ours goes to the handler of before. */
typedef struct _ZieMap ZieMap;

/* The whole file PATH; errors as zie_file_open()'s, and FAILED.  Any thread, as all that follows. */
ZieMap *zie_map_new (const char *path, GError **error);
void zie_map_free (ZieMap *self);
const guint8 *zie_map_get_data (const ZieMap *self);     /* NULL: the file is empty */
gsize zie_map_get_size (const ZieMap *self);

/* FALSE, FILE_LOST that names the file: some of it was missing when it was read. */
gboolean zie_map_check (const ZieMap *self, GError **error);
/* FLAG (or NULL: none) becomes 1, atomically, as soon as SELF is lost; at once if it is.  It must outlive SELF. */
void zie_map_set_flag (ZieMap *self, gint *flag);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieMap, zie_map_free)
