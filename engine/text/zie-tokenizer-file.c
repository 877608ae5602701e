/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-tokenizer-file"

#include "zie-tokenizer-file.h"

#include <string.h>
#include <zlib.h>

#include "zie-file.h"
#include "zie-map.h"
#include "zie-json-reader.h"
#include "zie-json.h"
#include "zie-pretokenize.h"
#include "zie-tokenizer-private.h"

/* The file is one JSON object of 11 MB, nearly all of it the vocabulary (an object of 150,000 numbers) and the merges (an
 * array of as many pairs).  A tree of those takes json-glib half a second and 100 MB, so the two are read in passing, and
 * json-glib gets the few settings around them. */

/* Where the large parts stand (NULL: not there), and the file without them. */
typedef struct
{
  const char *vocab, *merges;     /* borrowed from the file */
  GString *rest;                  /* owned */
} Parts;

/* Reads the object at hand and copies it to parts->rest, except for the values of "vocab" and "merges" of "model". */
static void
split_object (ZieJsonReader *reader, gboolean is_model, Parts *parts)
{
  g_autoptr(GString) key = g_string_new (NULL);
  const char *separator = "{";

  zie_json_reader_enter (reader, '{');
  while (zie_json_reader_next (reader, '}') && zie_json_reader_key (reader, key))
    {
      const char **large = NULL, *from;

      if (is_model && g_str_equal (key->str, "vocab"))
        large = &parts->vocab;
      else if (is_model && g_str_equal (key->str, "merges"))
        large = &parts->merges;

      if (large != NULL)
        {
          if (*large != NULL)
            zie_json_reader_fail (reader, "model has its vocab or merges twice");
          *large = reader->at;
          zie_json_reader_skip (reader);
          continue;
        }

      g_string_append (parts->rest, separator);
      separator = ",";
      zie_json_append_string (parts->rest, key->str);
      g_string_append_c (parts->rest, ':');

      from = reader->at;
      if (!is_model && g_str_equal (key->str, "model") && zie_json_reader_peek (reader) == '{')
        split_object (reader, TRUE, parts);
      else if (zie_json_reader_skip (reader))
        g_string_append_len (parts->rest, from, reader->at - from);
    }

  g_string_append (parts->rest, *separator == '{' ? "{}" : "}");
}

/* The byte that C stands for in the vocabulary's alphabet, or -1. */
static gint
alphabet_byte (gunichar c)
{
  if ((c >= 33 && c <= 126) || (c >= 161 && c <= 172) || (c >= 174 && c <= 255))
    return (gint)c;
  if (c >= 256 && c <= 288)               /* 0 to 32 */
    return (gint)c - 256;
  if (c >= 289 && c <= 322)               /* 127 to 160 */
    return (gint)c - 289 + 127;
  return c == 323 ? 173 : -1;
}

ZieAlphabet
zie_tokenizer_to_bytes (GString *token, gsize *split)
{
  gsize n = 0;

  if (split != NULL)
    *split = 0;
  for (const char *at = token->str; *at != '\0';)
    {
      gunichar c = g_utf8_get_char (at);
      gint byte = alphabet_byte (c);

      at = g_utf8_next_char (at);
      if (c == ' ' && split != NULL && *split == 0 && n > 0)
        *split = n;
      else if (byte < 0)
        return ZIE_ALPHABET_FOREIGN;
      else
        token->str[n++] = (char)byte;     /* always behind AT */
    }

  token->len = n;
  return n == 0 || (split != NULL && (*split == 0 || *split == n)) ? ZIE_ALPHABET_EMPTY : ZIE_ALPHABET_FINE;
}

/* Reads a string (or a member's name) in the byte alphabet as the bytes it stands for. */
static gboolean
read_token (ZieJsonReader *reader, gboolean is_key, GString *token, gsize *split)
{
  if (!(is_key ? zie_json_reader_key (reader, token) : zie_json_reader_string (reader, token)))
    return FALSE;

  switch (zie_tokenizer_to_bytes (token, split))
    {
    case ZIE_ALPHABET_FOREIGN:
      return zie_json_reader_fail (reader, "before this, a character that stands for no byte");
    case ZIE_ALPHABET_EMPTY:
      return zie_json_reader_fail (reader, split == NULL ? "before this, an empty token" :
                                                           "before this, not two tokens with a space between");
    case ZIE_ALPHABET_FINE:
      break;
    }
  return TRUE;
}

void
zie_tokenizer_read_vocab (ZieJsonReader *reader, ZieBpe *bpe)
{
  g_autoptr(GString) token = g_string_new (NULL);

  zie_json_reader_enter (reader, '{');
  while (zie_json_reader_next (reader, '}'))
    {
      guint64 id;

      if (!read_token (reader, TRUE, token, NULL) || !zie_json_reader_u64 (reader, &id))
        return;

      if (id > ZIE_BPE_MAX_ID)
        zie_json_reader_fail (reader, "an id too large for any vocabulary");
      else if (!zie_bpe_add_token (bpe, (const guint8 *)token->str, token->len, (guint32)id))
        zie_json_reader_fail (reader, "a token or an id that was there before");
    }
}

/* Reads one merge, ["left", "right"] or "left right". */
static gboolean
read_merge (ZieJsonReader *reader, const ZieBpe *bpe, GString *token, guint32 *left, guint32 *right)
{
  gsize split;
  gboolean is_known;

  if (zie_json_reader_peek (reader) == '[')
    {
      zie_json_reader_enter (reader, '[');
      if (!zie_json_reader_next (reader, ']') || !read_token (reader, FALSE, token, NULL))
        return zie_json_reader_fail (reader, "expected a pair of tokens");
      is_known = zie_bpe_find (bpe, (const guint8 *)token->str, token->len, left);
      if (!zie_json_reader_next (reader, ']') || !read_token (reader, FALSE, token, NULL))
        return zie_json_reader_fail (reader, "expected a pair of tokens");
      is_known = zie_bpe_find (bpe, (const guint8 *)token->str, token->len, right) && is_known;
      if (zie_json_reader_next (reader, ']'))
        return zie_json_reader_fail (reader, "expected a pair of tokens");
    }
  else
    {
      if (!read_token (reader, FALSE, token, &split))
        return FALSE;
      is_known = zie_bpe_find (bpe, (const guint8 *)token->str, split, left) &&
                 zie_bpe_find (bpe, (const guint8 *)token->str + split, token->len - split, right);
    }

  return reader->problem == NULL &&
         (is_known || zie_json_reader_fail (reader, "before this, a merge of what is not in model.vocab"));
}

static void
read_merges (ZieJsonReader *reader, ZieBpe *bpe)
{
  g_autoptr(GString) token = g_string_new (NULL);

  zie_json_reader_enter (reader, '[');
  while (zie_json_reader_next (reader, ']'))
    {
      guint32 left, right;

      if (!read_merge (reader, bpe, token, &left, &right))
        return;
      if (!zie_bpe_add_merge (bpe, left, right))
        zie_json_reader_fail (reader, "before this, a merge whose result is not in model.vocab");
    }
}

/* The node at a dotted path (a number is an index), or NULL where there is none or it is null. */
static JsonNode *
find_node (JsonNode *root, const char *path)
{
  g_auto(GStrv) steps = g_strsplit (path, ".", -1);
  JsonNode *node = root;

  for (guint i = 0; steps[i] != NULL && node != NULL; i++)
    {
      if (JSON_NODE_HOLDS_OBJECT (node))
        node = json_object_get_member (json_node_get_object (node), steps[i]);
      else if (JSON_NODE_HOLDS_ARRAY (node))
        {
          JsonArray *array = json_node_get_array (node);
          guint64 index = g_ascii_strtoull (steps[i], NULL, 10);

          node = index < json_array_get_length (array) ? json_array_get_element (array, (guint)index) : NULL;
        }
      else
        node = NULL;
    }

  return node == NULL || JSON_NODE_HOLDS_NULL (node) ? NULL : node;
}

/* What decides ids, and what it must be: JSON texts, "" = absent or null. */
static const struct
{
  const char *path;
  const char *values[3];
} settings[] = {
  { "model.type",                                       { "\"BPE\"" } },
  { "model.byte_fallback",                              { "false", "" } },
  { "model.ignore_merges",                              { "false", "" } },
  { "model.unk_token",                                  { "" } },
  { "model.dropout",                                    { "", "0.0", "0" } },
  { "model.continuing_subword_prefix",                  { "", "\"\"" } },
  { "model.end_of_word_suffix",                         { "", "\"\"" } },
  { "normalizer.type",                                  { "\"NFC\"" } },
  { "pre_tokenizer.type",                               { "\"Sequence\"" } },
  { "pre_tokenizer.pretokenizers.0.type",               { "\"Split\"" } },
  { "pre_tokenizer.pretokenizers.0.behavior",           { "\"Isolated\"" } },
  { "pre_tokenizer.pretokenizers.0.invert",             { "false", "" } },
  { "pre_tokenizer.pretokenizers.1.type",               { "\"ByteLevel\"" } },
  { "pre_tokenizer.pretokenizers.1.add_prefix_space",   { "false" } },
  { "pre_tokenizer.pretokenizers.1.use_regex",          { "false" } },
  { "pre_tokenizer.pretokenizers.2",                    { "" } },
  { "post_processor.type",                              { "", "\"ByteLevel\"" } },
};

static gboolean
check_settings (const char *path, JsonNode *root, GError **error)
{
  static const char regex_path[] = "pre_tokenizer.pretokenizers.0.pattern.Regex";
  JsonNode *regex = find_node (root, regex_path);

  for (gsize i = 0; i < G_N_ELEMENTS (settings); i++)
    {
      JsonNode *node = find_node (root, settings[i].path);
      g_autofree char *found = node != NULL ? json_to_string (node, FALSE) : g_strdup ("");
      const char *wanted = settings[i].values[0];
      gboolean is_fine = FALSE;

      for (guint k = 0; k < G_N_ELEMENTS (settings[i].values) && settings[i].values[k] != NULL; k++)
        is_fine |= g_str_equal (found, settings[i].values[k]);
      if (is_fine)
        continue;

      g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                   "%s: %s is %.80s, expected %s: not a tokenizer of the Qwen kind, which is the only one supported",
                   path, settings[i].path, *found ? found : "not set", *wanted ? wanted : "nothing");
      return FALSE;
    }

  if (regex == NULL || json_node_get_value_type (regex) != G_TYPE_STRING ||
      !g_str_equal (json_node_get_string (regex), ZIE_PRETOKENIZE_REGEX))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                   "%s: %s is not Qwen's, and no other way of splitting words is supported", path, regex_path);
      return FALSE;
    }

  return TRUE;
}

void
zie_added_token_clear (ZieAddedToken *self)
{
  g_free (self->content);
}

gboolean
zie_tokenizer_check_added (const char *content, const char *where, GError **error)
{
  gsize length = strlen (content);

  if (length > 0 && length <= ZIE_TOKENIZER_MAX_ADDED)
    return TRUE;
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: content has %" G_GSIZE_FORMAT " bytes, expected 1 to %d", where, length,
               ZIE_TOKENIZER_MAX_ADDED);
  return FALSE;
}

gboolean
zie_tokenizer_read_added (JsonNode *node, const char *where, ZieAddedToken *token, GError **error)
{
  static const char *const flags[] = { "single_word", "lstrip", "rstrip", "normalized" };
  static const gboolean no = FALSE;
  JsonObject *object;
  const char *content;

  if (!JSON_NODE_HOLDS_OBJECT (node))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: expected an object", where);
      return FALSE;
    }

  object = json_node_get_object (node);
  for (gsize i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      gboolean flag;

      if (!zie_json_get_bool (object, where, flags[i], &no, &flag, error))
        return FALSE;
      if (flag)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED, "%s: %s is true, expected false as in Qwen's tokenizer",
                       where, flags[i]);
          return FALSE;
        }
    }

  if (!zie_json_get_string (object, where, "content", NULL, &content, error) || !zie_tokenizer_check_added (content, where, error))
    return FALSE;

  *token = (ZieAddedToken) { g_strdup (content), strlen (content), 0 };
  return TRUE;
}

static gboolean
read_added_tokens (const char *path, JsonNode *root, GArray *added, GError **error)
{
  JsonNode *node = find_node (root, "added_tokens");
  JsonArray *array;

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: added_tokens: expected an array of objects", path);
      return FALSE;
    }

  array = json_node_get_array (node);
  for (guint i = 0; i < json_array_get_length (array); i++)
    {
      g_autofree char *where = g_strdup_printf ("%s: added_tokens[%u]", path, i);
      JsonNode *item = json_array_get_element (array, i);
      ZieAddedToken token;
      gint64 id;

      if (!zie_tokenizer_read_added (item, where, &token, error))
        return FALSE;
      if (!zie_json_get_int (json_node_get_object (item), where, "id", NULL, 0, ZIE_BPE_MAX_ID, &id, error))
        {
          zie_added_token_clear (&token);
          return FALSE;
        }
      token.id = (guint32)id;
      g_array_append_val (added, token);
    }

  return TRUE;
}

gboolean
zie_tokenizer_check_bytes (const char *path, const ZieBpe *bpe, GError **error)
{
  for (guint i = 0; i < 256; i++)
    {
      guint8 byte = (guint8)i;
      guint32 id;

      if (!zie_bpe_find (bpe, &byte, 1, &id))
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                       "%s: the vocabulary has no token for the single byte 0x%02x, expected one for each of the 256", path, i);
          return FALSE;
        }
    }

  return TRUE;
}

gboolean
zie_tokenizer_set_problem (const char *path, const char *part, const ZieJsonReader *reader, GError **error)
{
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
               "%s: %sat byte %" G_GSIZE_FORMAT ": %s; the file is damaged or incomplete, fetch it again", path, part,
               zie_json_reader_offset (reader), reader->problem);
  return FALSE;
}

/* A vocab.json: an object whose first value is a number. */
static gboolean
is_vocab (const char *text, gsize length)
{
  g_autoptr(GString) key = g_string_new (NULL);
  ZieJsonReader reader;
  guint64 id;

  zie_json_reader_init (&reader, text, length);
  zie_json_reader_enter (&reader, '{');
  return zie_json_reader_next (&reader, '}') && zie_json_reader_key (&reader, key) && zie_json_reader_u64 (&reader, &id);
}

static gboolean
read_text (const char *path, const char *text, gsize length, ZieBpe *bpe, GArray *added, GError **error)
{
  g_autoptr(GString) rest = g_string_new (NULL);
  g_autoptr(JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  Parts parts = { NULL, NULL, rest };
  ZieJsonReader reader;
  JsonObject *object;

  if (is_vocab (text, length))
    return zie_tokenizer_read_vocab_files (path, text, length, bpe, added, error);

  zie_json_reader_init (&reader, text, length);
  split_object (&reader, FALSE, &parts);
  if (!zie_json_reader_end (&reader))
    return zie_tokenizer_set_problem (path, "", &reader, error);

  if (!(object = zie_json_parse_object (rest->str, rest->len, path, error)))
    return FALSE;
  json_node_take_object (root, object);

  if (!check_settings (path, root, error) || !read_added_tokens (path, root, added, error))
    return FALSE;

  if (parts.vocab == NULL || parts.merges == NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: model.%s is missing; the file is damaged or incomplete, "
                   "fetch it again", path, parts.vocab == NULL ? "vocab" : "merges");
      return FALSE;
    }

  /* The text is valid JSON, as was seen above: what follows either part is of no interest here. */
  reader.at = parts.vocab;
  zie_tokenizer_read_vocab (&reader, bpe);
  if (reader.problem != NULL)
    return zie_tokenizer_set_problem (path, "model.vocab: ", &reader, error);

  reader.at = parts.merges;
  read_merges (&reader, bpe);
  if (reader.problem != NULL)
    return zie_tokenizer_set_problem (path, "model.merges: ", &reader, error);

  return zie_tokenizer_check_bytes (path, bpe, error);
}

/* The text inside a gzip file; NULL where it is damaged or larger than a tokenizer may be. */
static GByteArray *
unpack (const char *data, gsize size)
{
  g_autoptr(GByteArray) text = g_byte_array_new ();
  z_stream stream = { .next_in = (Bytef *)(gpointer)data, .avail_in = (uInt)size };
  guint8 buffer[65536];
  int status;

  if (inflateInit2 (&stream, 15 + 16) != Z_OK)
    return NULL;
  do
    {
      stream.next_out = buffer;
      stream.avail_out = sizeof buffer;
      status = inflate (&stream, Z_NO_FLUSH);
      g_byte_array_append (text, buffer, (guint)(sizeof buffer - stream.avail_out));
    }
  while (status == Z_OK && text->len <= ZIE_TOKENIZER_MAX_SIZE);
  inflateEnd (&stream);
  return status == Z_STREAM_END ? g_steal_pointer (&text) : NULL;
}

static gboolean
read_file (const char *path, ZieBpe *bpe, GArray *added, GError **error)
{
  g_autoptr(ZieMap) file = zie_map_new (path, error);
  const char *text;
  gsize size;

  if (file == NULL)
    return FALSE;

  size = zie_map_get_size (file);
  if (size >= 4 && memcmp (zie_map_get_data (file), "GGUF", 4) == 0)
    return zie_tokenizer_read_gguf (path, bpe, added, error);
  if (size > ZIE_TOKENIZER_MAX_SIZE)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: has %" G_GSIZE_FORMAT " bytes, expected at most %" G_GSIZE_FORMAT,
                   path, size, ZIE_TOKENIZER_MAX_SIZE);
      return FALSE;
    }

  text = size > 0 ? (const char *)zie_map_get_data (file) : "";
  if (size > 2 && memcmp (text, "\x1f\x8b", 2) == 0)
    {
      g_autoptr(GByteArray) unpacked = unpack (text, size);

      if (unpacked != NULL)
        return read_text (path, (const char *)unpacked->data, unpacked->len, bpe, added, error);
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: the compressed text in it is damaged or larger than %" G_GSIZE_FORMAT
                   " bytes", path, ZIE_TOKENIZER_MAX_SIZE);
      return FALSE;
    }
  return read_text (path, text, size, bpe, added, error);
}

gboolean
zie_tokenizer_file_read (const char *path, ZieBpe *bpe, GArray *added, GError **error)
{
  gboolean is_read = read_file (path, bpe, added, error);

  if (!is_read)
    zie_file_mend_error (error);
  return is_read;
}
