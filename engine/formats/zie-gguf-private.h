/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <string.h>

#include "zie-gguf.h"

/* What zie-gguf.c, which opens and checks, and zie-gguf-meta.c, which looks keys up, share. */
typedef enum
{
  ZIE_GGUF_U8, ZIE_GGUF_I8, ZIE_GGUF_U16, ZIE_GGUF_I16, ZIE_GGUF_U32, ZIE_GGUF_I32, ZIE_GGUF_F32, ZIE_GGUF_BOOL, ZIE_GGUF_STRING, ZIE_GGUF_ARRAY,
  ZIE_GGUF_U64, ZIE_GGUF_I64, ZIE_GGUF_F64, ZIE_GGUF_N_TYPES
} ZieGgufType;

/* Of one value in bytes; 0: it has no size of its own. */
extern const guint8 zie_gguf_type_sizes[ZIE_GGUF_N_TYPES];

typedef struct
{
  const char *key;               /* in the strings */
  ZieGgufType type;
  const guint8 *value;           /* in the mapping, checked to its end */
} ZieGgufMeta;

struct _ZieGguf
{
  ZieMap *map;              /* owned */
  char *path;                    /* owned */
  GStringChunk *strings;         /* owned: keys, names, names of unknown types */
  GArray *metadata;              /* owned: ZieGgufMeta by key */
  GArray *tensors;               /* owned: ZieTensorInfo by place in the file */
};

/* A walk through the header.  After the first mistake everything reads as zero and PROBLEM stays. */
typedef struct
{
  const guint8 *start, *at, *end;
  const char *problem;           /* static words */
} ZieGgufWalk;

/* Past a value of TYPE, checked to its end. */
void zie_gguf_skip_value (ZieGgufWalk *walk, guint32 type, guint nesting);

/* NULL: there is no such key. */
const ZieGgufMeta *zie_gguf_find_meta (const ZieGguf *self, const char *key);

static inline guint32
zie_gguf_peek_u32 (const guint8 *p)
{
  guint32 v;

  memcpy (&v, p, 4);
  return GUINT32_FROM_LE (v);
}

static inline guint64
zie_gguf_peek_u64 (const guint8 *p)
{
  guint64 v;

  memcpy (&v, p, 8);
  return GUINT64_FROM_LE (v);
}
