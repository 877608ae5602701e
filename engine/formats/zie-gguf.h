/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-map.h"
#include "zie-weight-file.h"

/* One GGUF file, version 2 or 3 (spec 1.5), mapped.  Immutable after opening: any thread. */
typedef struct _ZieGguf ZieGguf;

/* Maps the file and checks its whole header: every key, name, type, shape and byte range; reads no tensor's data.
 * Types that zie-dtype.h has are ours; other ggml types are listed as ZIE_DTYPE_OTHER with their name and number.
 * Shapes are reversed to slowest first.
 * Errors: FILE_NOT_FOUND, FILE_CORRUPT, MODEL_UNSUPPORTED (another version, big-endian, split), FAILED (system). */
ZieGguf *zie_gguf_open (const char *path, GError **error);
void zie_gguf_free (ZieGguf *self);
ZieMap *zie_gguf_get_map (ZieGguf *self);      /* borrowed */
guint zie_gguf_get_n (const ZieGguf *self);
const ZieTensorInfo *zie_gguf_get (const ZieGguf *self, guint index);      /* in the order of the data */

/* A metadata value as text: numbers as written in C, strings as they are, arrays as [a, b, …] (the first
 * ZIE_GGUF_META_ITEMS items, strings quoted).  NULL when absent.  Free with g_free(). */
#define ZIE_GGUF_META_ITEMS 64
char *zie_gguf_get_meta (const ZieGguf *self, const char *key);

/* A walk over an array of strings in the metadata; valid as long as the file. */
typedef struct
{
  const guint8 *at;
  guint64 n;             /* that are left */
} ZieGgufStrings;

/* FALSE: KEY is not there, or something else. */
gboolean zie_gguf_get_strings (const ZieGguf *self, const char *key, ZieGgufStrings *strings);
/* The bytes of the next one (borrowed, not ended by NUL, any bytes); NULL: that was all. */
const char *zie_gguf_next_string (ZieGgufStrings *strings, gsize *length);
/* The numbers of an array of int32, little-endian, perhaps unaligned (borrowed); NULL: KEY is not there, or something else. */
const guint8 *zie_gguf_get_int32s (const ZieGguf *self, const char *key, guint64 *n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieGguf, zie_gguf_free)
