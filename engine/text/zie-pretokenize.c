/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-pretokenize"

#include "zie-pretokenize.h"

#include "zie-unicode.h"

static gboolean
is_letter (gunichar c)
{
  return zie_unicode_class (c) == ZIE_CHAR_LETTER;
}

static gboolean
is_newline (gunichar c)
{
  return c == '\n' || c == '\r';
}

static gboolean
is_space (gunichar c)
{
  ZieCharClass class = zie_unicode_class (c);

  return class == ZIE_CHAR_SPACE || class == ZIE_CHAR_NEWLINE;
}

/* Case folded as far as contractions need it: the long s is an s. */
static gunichar
fold (gunichar c)
{
  return c >= 'A' && c <= 'Z' ? c + 0x20 : c == 0x17f ? 's' : c;
}

/* Code points of the contraction that begins with the apostrophe at AT, or 0. */
static gsize
contraction_length (const gunichar *text, gsize n, gsize at)
{
  gunichar a = at + 1 < n ? fold (text[at + 1]) : 0;
  gunichar b = at + 2 < n ? fold (text[at + 2]) : 0;

  if (a == 's' || a == 't' || a == 'm' || a == 'd')
    return 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
    return 3;
  return 0;
}

/* The end of a run of white space [at, end): see rules 5 to 7 of the specification. */
static gsize
end_of_spaces (const gunichar *text, gsize n, gsize at)
{
  gsize end = at, after_newline = at;

  for (; end < n && is_space (text[end]); end++)
    if (is_newline (text[end]))
      after_newline = end + 1;

  if (after_newline > at)
    return after_newline;
  if (end < n && end - at >= 2)
    return end - 1;                       /* the last one belongs to what follows */
  return end;
}

gsize
zie_pretokenize_next (const gunichar *text, gsize n, gsize at)
{
  ZieCharClass class = zie_unicode_class (text[at]);
  gsize end, length;

  if (text[at] == '\'' && (length = contraction_length (text, n, at)) > 0)
    return at + length;

  if (class == ZIE_CHAR_NUMBER)
    return at + 1;

  end = class == ZIE_CHAR_OTHER || class == ZIE_CHAR_SPACE ? at + 1 : at;
  if (end < n && is_letter (text[end]))
    {
      while (end < n && is_letter (text[end]))
        end++;
      return end;
    }

  end = text[at] == ' ' ? at + 1 : at;
  if (end < n && zie_unicode_class (text[end]) == ZIE_CHAR_OTHER)
    {
      while (end < n && zie_unicode_class (text[end]) == ZIE_CHAR_OTHER)
        end++;
      while (end < n && is_newline (text[end]))
        end++;
      return end;
    }

  return end_of_spaces (text, n, at);
}
