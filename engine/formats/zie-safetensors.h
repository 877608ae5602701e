/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-map.h"
#include "zie-weight-file.h"

/* One safetensors file (spec 1.3), mapped.  Immutable after opening: any thread. */
typedef struct _ZieSafetensors ZieSafetensors;

/* Maps the file and checks its whole header: every name, type, shape and byte range; reads no tensor's data.  Types
 * not known to us are listed as ZIE_DTYPE_OTHER.  Errors: FILE_NOT_FOUND, FILE_CORRUPT, FAILED (system). */
ZieSafetensors *zie_safetensors_open (const char *path, GError **error);
void zie_safetensors_free (ZieSafetensors *self);
ZieMap *zie_safetensors_get_map (ZieSafetensors *self);      /* borrowed */
guint zie_safetensors_get_n (const ZieSafetensors *self);
const ZieTensorInfo *zie_safetensors_get (const ZieSafetensors *self, guint index);      /* in the order of the data */
const char *zie_safetensors_get_meta (const ZieSafetensors *self, const char *key);      /* of __metadata__; or NULL */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieSafetensors, zie_safetensors_free)
