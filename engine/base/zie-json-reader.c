/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include "zie-json-reader.h"

#include <string.h>

void
zie_json_reader_init (ZieJsonReader *self, const char *text, gsize length)
{
  const char *bad;

  *self = (ZieJsonReader) { .start = text, .at = text, .end = text + length };
  if (length > 0 && !g_utf8_validate_len (text, length, &bad))
    {
      self->at = bad;
      zie_json_reader_fail (self, "bytes that are not UTF-8 text");
    }
}

gboolean
zie_json_reader_fail (ZieJsonReader *self, const char *problem)
{
  if (self->problem == NULL)
    self->problem = problem;
  return FALSE;
}

gsize
zie_json_reader_offset (const ZieJsonReader *self)
{
  return (gsize)(self->at - self->start);
}

static void
skip_blanks (ZieJsonReader *self)
{
  while (self->at < self->end && (*self->at == ' ' || *self->at == '\n' || *self->at == '\r' || *self->at == '\t'))
    self->at++;
}

/* Skips blanks and one character C. */
static gboolean
take (ZieJsonReader *self, char c, const char *problem)
{
  if (self->problem != NULL)
    return FALSE;

  skip_blanks (self);
  if (self->at == self->end || *self->at != c)
    return zie_json_reader_fail (self, self->at == self->end ? "the text ends early" : problem);

  self->at++;
  return TRUE;
}

char
zie_json_reader_peek (ZieJsonReader *self)
{
  if (self->problem != NULL)
    return '\0';

  skip_blanks (self);
  if (self->at == self->end)
    return '\0';
  return g_ascii_isdigit (*self->at) || *self->at == '-' ? '0' : *self->at;
}

gboolean
zie_json_reader_enter (ZieJsonReader *self, char open)
{
  if (!take (self, open, open == '{' ? "expected an object {…}" : "expected an array […]"))
    return FALSE;
  if (self->depth == ZIE_JSON_MAX_DEPTH)
    return zie_json_reader_fail (self, "nested too deep");

  self->depth++;
  self->is_fresh = TRUE;
  return TRUE;
}

gboolean
zie_json_reader_next (ZieJsonReader *self, char close)
{
  if (self->problem != NULL)
    return FALSE;

  skip_blanks (self);
  if (self->at < self->end && *self->at == close)
    {
      self->at++;
      self->depth--;
      self->is_fresh = FALSE;
      return FALSE;
    }
  if (!self->is_fresh && !take (self, ',', close == '}' ? "expected , or }" : "expected , or ]"))
    return FALSE;

  self->is_fresh = FALSE;
  return TRUE;
}

static int
read_hex4 (ZieJsonReader *self)
{
  int value = 0;

  if (self->end - self->at < 4)
    return -1;
  for (int i = 0; i < 4; i++)
    {
      int digit = g_ascii_xdigit_value (self->at[i]);

      if (digit < 0)
        return -1;
      value = value << 4 | digit;
    }

  self->at += 4;
  return value;
}

/* What follows a backslash. */
static gboolean
read_escape (ZieJsonReader *self, GString *string)
{
  static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  const char *letter;
  int unit, low;

  if (self->at == self->end)
    return zie_json_reader_fail (self, "the text ends inside a string");

  if (*self->at != 'u')
    {
      if (*self->at == '\0' || (letter = strchr (letters, *self->at)) == NULL)
        return zie_json_reader_fail (self, "unknown escape in a string");
      self->at++;
      if (string != NULL)
        g_string_append_c (string, meanings[letter - letters]);
      return TRUE;
    }

  self->at++;
  unit = read_hex4 (self);
  if (unit >= 0xd800 && unit < 0xdc00)
    {
      if (self->end - self->at < 6 || self->at[0] != '\\' || self->at[1] != 'u')
        return zie_json_reader_fail (self, "half a surrogate pair in a string");
      self->at += 2;
      low = read_hex4 (self);
      if (low < 0xdc00 || low > 0xdfff)
        return zie_json_reader_fail (self, "half a surrogate pair in a string");
      unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
  else if (unit <= 0 || (unit >= 0xdc00 && unit <= 0xdfff))
    return zie_json_reader_fail (self, "bad \\u escape in a string");

  if (string != NULL)
    g_string_append_unichar (string, (gunichar)unit);
  return TRUE;
}

gboolean
zie_json_reader_string (ZieJsonReader *self, GString *string)
{
  if (!take (self, '"', "expected a string"))
    return FALSE;

  if (string != NULL)
    g_string_truncate (string, 0);

  while (self->at < self->end)
    {
      const char *run = self->at;

      while (self->at < self->end && *self->at != '"' && *self->at != '\\' && (guchar)*self->at >= 0x20)
        self->at++;
      if (string != NULL)
        g_string_append_len (string, run, self->at - run);
      if (self->at == self->end)
        break;

      if ((guchar)*self->at < 0x20)
        return zie_json_reader_fail (self, "control character in a string");
      if (*self->at++ == '"')
        return TRUE;
      if (!read_escape (self, string))
        return FALSE;
    }

  return zie_json_reader_fail (self, "the text ends inside a string");
}

gboolean
zie_json_reader_key (ZieJsonReader *self, GString *key)
{
  return zie_json_reader_string (self, key) && take (self, ':', "expected : after a key");
}

gboolean
zie_json_reader_u64 (ZieJsonReader *self, guint64 *value)
{
  const char *first;
  guint64 v = 0;

  if (zie_json_reader_peek (self) == '\0')
    return zie_json_reader_fail (self, "the text ends early");

  for (first = self->at; self->at < self->end && g_ascii_isdigit (*self->at); self->at++)
    if (!g_uint64_checked_mul (&v, v, 10) || !g_uint64_checked_add (&v, v, (guint64)(*self->at - '0')))
      return zie_json_reader_fail (self, "a number of more than 64 bits");

  if (self->at == first || (self->at - first > 1 && *first == '0')
      || (self->at < self->end && (*self->at == '.' || *self->at == 'e' || *self->at == 'E')))
    return zie_json_reader_fail (self, "expected a whole number that is not negative");

  *value = v;
  return TRUE;
}

static gboolean
skip_digits (ZieJsonReader *self)
{
  const char *first = self->at;

  while (self->at < self->end && g_ascii_isdigit (*self->at))
    self->at++;
  return self->at > first;
}

static gboolean
skip_number (ZieJsonReader *self)
{
  gboolean is_right = TRUE;

  if (*self->at == '-')
    self->at++;
  if (self->at < self->end && *self->at == '0')
    self->at++;
  else
    is_right = skip_digits (self);

  if (is_right && self->at < self->end && *self->at == '.')
    {
      self->at++;
      is_right = skip_digits (self);
    }
  if (is_right && self->at < self->end && (*self->at == 'e' || *self->at == 'E'))
    {
      self->at++;
      if (self->at < self->end && (*self->at == '+' || *self->at == '-'))
        self->at++;
      is_right = skip_digits (self);
    }

  return is_right || zie_json_reader_fail (self, "badly written number");
}

static gboolean
skip_word (ZieJsonReader *self, const char *word)
{
  gsize length = strlen (word);

  if ((gsize)(self->end - self->at) < length || memcmp (self->at, word, length) != 0)
    return zie_json_reader_fail (self, "expected a value");

  self->at += length;
  return TRUE;
}

gboolean
zie_json_reader_skip (ZieJsonReader *self)
{
  switch (zie_json_reader_peek (self))
    {
    case '{':
      zie_json_reader_enter (self, '{');
      while (zie_json_reader_next (self, '}') && zie_json_reader_key (self, NULL))
        zie_json_reader_skip (self);
      return self->problem == NULL;
    case '[':
      zie_json_reader_enter (self, '[');
      while (zie_json_reader_next (self, ']'))
        zie_json_reader_skip (self);
      return self->problem == NULL;
    case '"':
      return zie_json_reader_string (self, NULL);
    case '0':
      return skip_number (self);
    case 't':
      return skip_word (self, "true");
    case 'f':
      return skip_word (self, "false");
    case 'n':
      return skip_word (self, "null");
    default:
      return zie_json_reader_fail (self, self->at == self->end ? "the text ends early" : "expected a value");
    }
}

gboolean
zie_json_reader_end (ZieJsonReader *self)
{
  if (self->problem != NULL)
    return FALSE;

  skip_blanks (self);
  return self->at == self->end || zie_json_reader_fail (self, "text after the end");
}
