/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-unicode"

#include "zie-unicode.h"

#include <stdlib.h>

#include "zie-unicode-tables.h"

#define REPLACEMENT 0xfffd

static gboolean
in_ranges (const ZieUnicodeRange *ranges, gsize n, gunichar c)
{
  gsize low = 0, high = n;

  while (low < high)
    {
      gsize middle = (low + high) / 2;

      if (c > ranges[middle].last)
        low = middle + 1;
      else
        high = middle;
    }

  return low < n && c >= ranges[low].first;
}

static gboolean
is_space (gunichar c)
{
  switch (c)
    {
    case 0x20: case 0x85: case 0xa0: case 0x1680: case 0x2028: case 0x2029: case 0x202f: case 0x205f: case 0x3000:
      return TRUE;
    default:
      return (c >= 0x09 && c <= 0x0d) || (c >= 0x2000 && c <= 0x200a);
    }
}

ZieCharClass
zie_unicode_class (gunichar c)
{
  if (c == '\n' || c == '\r')
    return ZIE_CHAR_NEWLINE;
  if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
    return ZIE_CHAR_LETTER;
  if (c >= '0' && c <= '9')
    return ZIE_CHAR_NUMBER;
  if (is_space (c))
    return ZIE_CHAR_SPACE;
  if (c < 0x80)
    return ZIE_CHAR_OTHER;
  if (in_ranges (unicode_letters, G_N_ELEMENTS (unicode_letters), c))
    return ZIE_CHAR_LETTER;
  if (in_ranges (unicode_numbers, G_N_ELEMENTS (unicode_numbers), c))
    return ZIE_CHAR_NUMBER;
  return ZIE_CHAR_OTHER;
}

/* One code point from the START of [at, end); *NEXT is where the following one begins. */
static gunichar
decode_one (const guint8 *at, const guint8 *end, const guint8 **next)
{
  guint8 first = *at++;
  guint8 low = 0x80, high = 0xbf;         /* what the second byte may be: no overlong forms, surrogates, or > U+10FFFF */
  guint n_more;
  gunichar c;

  *next = at;

  if (first < 0x80)
    return first;
  if (first < 0xc2 || first > 0xf4)
    return REPLACEMENT;

  n_more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
  c = first & (0x3f >> n_more);

  if (first == 0xe0)
    low = 0xa0;
  else if (first == 0xed)
    high = 0x9f;
  else if (first == 0xf0)
    low = 0x90;
  else if (first == 0xf4)
    high = 0x8f;

  for (; n_more > 0; n_more--)
    {
      if (at == end || *at < low || *at > high)
        return REPLACEMENT;

      c = c << 6 | (*at++ & 0x3f);
      *next = at;
      low = 0x80;
      high = 0xbf;
    }

  return c;
}

void
zie_unicode_from_utf8 (GArray *out, const char *text, gsize length)
{
  const guint8 *at = (const guint8 *)text, *end = at + length;

  while (at < end)
    {
      gunichar c = decode_one (at, end, &at);
      g_array_append_val (out, c);
    }
}

gsize
zie_unicode_to_utf8 (gunichar c, guint8 out[4])
{
  if (c < 0x80)
    {
      out[0] = (guint8)c;
      return 1;
    }
  if (c < 0x800)
    {
      out[0] = (guint8)(0xc0 | c >> 6);
      out[1] = (guint8)(0x80 | (c & 0x3f));
      return 2;
    }
  if (c < 0x10000)
    {
      out[0] = (guint8)(0xe0 | c >> 12);
      out[1] = (guint8)(0x80 | (c >> 6 & 0x3f));
      out[2] = (guint8)(0x80 | (c & 0x3f));
      return 3;
    }
  out[0] = (guint8)(0xf0 | c >> 18);
  out[1] = (guint8)(0x80 | (c >> 12 & 0x3f));
  out[2] = (guint8)(0x80 | (c >> 6 & 0x3f));
  out[3] = (guint8)(0x80 | (c & 0x3f));
  return 4;
}

static guint8
combining_class (gunichar c)
{
  gsize low = 0, high = G_N_ELEMENTS (unicode_marks);

  if (c < 0x300)
    return 0;

  while (low < high)
    {
      gsize middle = (low + high) / 2;

      if (c > unicode_marks[middle].last)
        low = middle + 1;
      else
        high = middle;
    }

  return low < G_N_ELEMENTS (unicode_marks) && c >= unicode_marks[low].first ? unicode_marks[low].combining : 0;
}

/* GLib's (de)composition is of the Unicode version it was built with.  Composites added after the reference's tables,
 * all of them in scripts of the supplementary plane, are left apart by it, so here too. */
static gboolean
is_younger_composite (gunichar c)
{
  static const gunichar known[] = { 0x1109a, 0x1109c, 0x110ab, 0x1112e, 0x1112f, 0x1134b, 0x1134c, 0x114bb, 0x114bc,
                                    0x114be, 0x115ba, 0x115bb };

  if (c < 0x10000 || c >= 0x1d000)
    return FALSE;

  for (gsize i = 0; i < G_N_ELEMENTS (known); i++)
    if (c == known[i])
      return FALSE;

  return TRUE;
}

static void
append_decomposed (GArray *out, gunichar c)
{
  gunichar a, b;

  if (c < 0xc0 || is_younger_composite (c) || !g_unichar_decompose (c, &a, &b))
    {
      g_array_append_val (out, c);
      return;
    }

  /* At most a few levels: a letter with two marks is a letter with one mark, and one. */
  append_decomposed (out, a);
  if (b != 0)
    append_decomposed (out, b);
}

typedef struct
{
  gunichar c;
  guint32 combining;
  gsize index;              /* keeps qsort stable */
} Mark;

static int
compare_marks (const void *a, const void *b)
{
  const Mark *x = a, *y = b;

  if (x->combining != y->combining)
    return x->combining < y->combining ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

/* Sorts a run of marks by class.  Runs are short in any language; a text made of nothing but marks must not cost n². */
static void
reorder_run (gunichar *run, gsize n)
{
  g_autofree Mark *marks = NULL;
  gboolean is_sorted = TRUE;

  for (gsize i = 1; i < n && is_sorted; i++)
    is_sorted = combining_class (run[i - 1]) <= combining_class (run[i]);
  if (is_sorted)
    return;

  marks = g_new (Mark, n);
  for (gsize i = 0; i < n; i++)
    marks[i] = (Mark) { run[i], combining_class (run[i]), i };
  qsort (marks, n, sizeof *marks, compare_marks);
  for (gsize i = 0; i < n; i++)
    run[i] = marks[i].c;
}

static void
reorder (gunichar *text, gsize n)
{
  for (gsize i = 0, end; i < n; i = end)
    {
      end = i + 1;
      if (combining_class (text[i]) == 0)
        continue;
      while (end < n && combining_class (text[end]) != 0)
        end++;
      reorder_run (text + i, end - i);
    }
}

/* Joins each mark with the last starter where nothing of its class or a higher one stands between them; returns the
 * new length. */
static gsize
compose (gunichar *text, gsize n)
{
  gsize n_out = 0, starter = 0;
  gboolean has_starter = FALSE;
  guint8 last_class = 0;

  for (gsize i = 0; i < n; i++)
    {
      guint8 class = combining_class (text[i]);
      gunichar composite;

      if (has_starter && (n_out == starter + 1 || (last_class != 0 && last_class < class)) &&
          g_unichar_compose (text[starter], text[i], &composite) && !is_younger_composite (composite))
        {
          text[starter] = composite;
          continue;
        }

      if (class == 0)
        {
          starter = n_out;
          has_starter = TRUE;
        }
      last_class = class;
      text[n_out++] = text[i];
    }

  return n_out;
}

/* Code points that are in normal form whatever stands beside them. */
static gboolean
is_inert (gunichar c)
{
  return c < 0x300 || (c >= 0x3400 && c < 0xa000) || (c >= 0x2010 && c < 0x2070);
}

void
zie_unicode_nfc (GArray *text)
{
  const gunichar *c = (const gunichar *)(void *)text->data;
  g_autoptr(GArray) work = NULL;
  gsize n;

  for (n = 0; n < text->len && is_inert (c[n]); n++)
    ;
  if (n == text->len)
    return;

  work = g_array_sized_new (FALSE, FALSE, sizeof (gunichar), text->len);
  for (gsize i = 0; i < text->len; i++)
    append_decomposed (work, c[i]);

  reorder ((gunichar *)(void *)work->data, work->len);
  n = compose ((gunichar *)(void *)work->data, work->len);

  g_array_set_size (text, 0);
  g_array_append_vals (text, work->data, (guint)n);
}
