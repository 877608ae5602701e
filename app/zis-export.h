/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-compat.h"

G_BEGIN_DECLS

/* The kinds of file a picture can be saved as, PNG first.  N is how many this build has. */
const ZisCompatFilter *zis_export_get_filters (guint *n);

/* Whether FILE's name ends like a kind of picture that can be written. */
gboolean zis_export_knows (GFile *file);

/* Writes IMAGE to FILE in the form its name says, else in that of the suffix TYPE (NULL: then the name has to say); PNG carries
 * RECIPE, which may be NULL.  Whole or not at all. */
void zis_export_async (ZieImage *image, const ZieRequest *recipe, GFile *file, const char *type, GCancellable *cancellable,
                       GAsyncReadyCallback callback, gpointer user_data);
gboolean zis_export_finish (GAsyncResult *result, GError **error);

G_END_DECLS
