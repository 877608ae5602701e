/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-formats"

/* The keys and values of a GGUF file that has been opened, and so checked. */

#include "zie-gguf-private.h"

#include <string.h>

#include "zie-json.h"

const ZieGgufMeta *
zie_gguf_find_meta (const ZieGguf *self, const char *key)
{
  guint low = 0, high = self->metadata->len;

  while (low < high)
    {
      guint middle = low + (high - low) / 2;
      const ZieGgufMeta *meta = &g_array_index (self->metadata, ZieGgufMeta, middle);
      int order = strcmp (key, meta->key);

      if (order == 0)
        return meta;
      if (order < 0)
        high = middle;
      else
        low = middle + 1;
    }

  return NULL;
}

static void
append_float (GString *text, double value)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append (text, g_ascii_formatd (buffer, sizeof buffer, "%.9g", value));
}

/* Appends a value that zie_gguf_skip_value() has checked, in a header that ends at END; returns what follows it. */
static const guint8 *
append_value (GString *text, ZieGgufType type, const guint8 *p, const guint8 *end, gboolean is_quoted)
{
  ZieGgufWalk walk = { .start = p, .at = p, .end = end };
  guint64 count, v64 = 0;
  guint32 item, v32 = 0;
  guint16 v16 = 0;
  float f;
  double d;

  if (type < ZIE_GGUF_N_TYPES && zie_gguf_type_sizes[type] == 2)
    memcpy (&v16, p, 2);
  else if (type < ZIE_GGUF_N_TYPES && zie_gguf_type_sizes[type] == 4)
    v32 = zie_gguf_peek_u32 (p);
  else if (type < ZIE_GGUF_N_TYPES && zie_gguf_type_sizes[type] == 8)
    v64 = zie_gguf_peek_u64 (p);
  v16 = GUINT16_FROM_LE (v16);

  switch (type)
    {
    case ZIE_GGUF_U8:
      g_string_append_printf (text, "%u", p[0]);
      break;
    case ZIE_GGUF_I8:
      g_string_append_printf (text, "%d", (gint8)p[0]);
      break;
    case ZIE_GGUF_U16:
      g_string_append_printf (text, "%u", v16);
      break;
    case ZIE_GGUF_I16:
      g_string_append_printf (text, "%d", (gint16)v16);
      break;
    case ZIE_GGUF_U32:
      g_string_append_printf (text, "%u", v32);
      break;
    case ZIE_GGUF_I32:
      g_string_append_printf (text, "%d", (gint32)v32);
      break;
    case ZIE_GGUF_F32:
      memcpy (&f, &v32, 4);
      append_float (text, f);
      break;
    case ZIE_GGUF_BOOL:
      g_string_append (text, p[0] ? "true" : "false");
      break;
    case ZIE_GGUF_U64:
      g_string_append_printf (text, "%" G_GUINT64_FORMAT, v64);
      break;
    case ZIE_GGUF_I64:
      g_string_append_printf (text, "%" G_GINT64_FORMAT, (gint64)v64);
      break;
    case ZIE_GGUF_F64:
      memcpy (&d, &v64, 8);
      append_float (text, d);
      break;
    case ZIE_GGUF_STRING:
      {
        guint64 length = zie_gguf_peek_u64 (p);
        g_autofree char *valid = g_utf8_make_valid ((const char *)p + 8, (gssize)length);

        if (is_quoted)
          zie_json_append_string (text, valid);
        else
          g_string_append (text, valid);
        return p + 8 + length;
      }
    case ZIE_GGUF_ARRAY:
      zie_gguf_skip_value (&walk, ZIE_GGUF_ARRAY, 0);
      item = zie_gguf_peek_u32 (p);
      count = zie_gguf_peek_u64 (p + 4);
      p += 12;
      g_string_append_c (text, '[');
      for (guint64 i = 0; i < count; i++)
        {
          if (i > 0)
            g_string_append (text, ", ");
          if (i == ZIE_GGUF_META_ITEMS)
            {
              g_string_append (text, "…");
              break;
            }
          p = append_value (text, (ZieGgufType)item, p, end, TRUE);
        }
      g_string_append_c (text, ']');
      return walk.at;
    case ZIE_GGUF_N_TYPES:
    default:
      g_assert_not_reached ();
    }

  return p + zie_gguf_type_sizes[type];
}

char *
zie_gguf_get_meta (const ZieGguf *self, const char *key)
{
  const ZieGgufMeta *meta = zie_gguf_find_meta (self, key);
  GString *text;

  if (meta == NULL)
    return NULL;

  text = g_string_new (NULL);
  append_value (text, meta->type, meta->value,
                zie_map_get_data (self->map) + zie_map_get_size (self->map), FALSE);
  return g_string_free (text, FALSE);
}

/* The items of an array of TYPE under KEY; NULL: it is no such thing. */
static const guint8 *
find_array (const ZieGguf *self, const char *key, ZieGgufType type, guint64 *n)
{
  const ZieGgufMeta *meta = zie_gguf_find_meta (self, key);

  if (meta == NULL || meta->type != ZIE_GGUF_ARRAY || zie_gguf_peek_u32 (meta->value) != type)
    return NULL;
  *n = zie_gguf_peek_u64 (meta->value + 4);
  return meta->value + 12;
}

gboolean
zie_gguf_get_strings (const ZieGguf *self, const char *key, ZieGgufStrings *strings)
{
  strings->at = find_array (self, key, ZIE_GGUF_STRING, &strings->n);
  return strings->at != NULL;
}

const char *
zie_gguf_next_string (ZieGgufStrings *strings, gsize *length)
{
  const char *text;

  if (strings->n == 0)
    return NULL;
  *length = (gsize)zie_gguf_peek_u64 (strings->at);
  text = (const char *)strings->at + 8;
  strings->at += 8 + *length;
  strings->n--;
  return text;
}

const guint8 *
zie_gguf_get_int32s (const ZieGguf *self, const char *key, guint64 *n)
{
  return find_array (self, key, ZIE_GGUF_I32, n);
}
