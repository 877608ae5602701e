/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-tokenizer-file"

#include "zie-tokenizer-private.h"

#include <string.h>

#include "zie-json.h"
#include "zie-map.h"

/* The older form of a tokenizer, three files in a folder: vocab.json has the tokens, merges.txt a pair a line in their order, and
 * tokenizer_config.json (or, older still, added_tokens.json) the tokens that are never split. */

#define NORMAL_FORM "Qwen2Tokenizer"          /* of which the pre-tokenizer is a part */

/* One line of merges.txt, without its end.  What is wrong with it: static words, NULL: nothing. */
static const char *
read_merge (ZieBpe *bpe, const char *line, gsize length, GString *pair)
{
  guint32 left, right;
  gsize split;

  g_string_truncate (pair, 0);
  g_string_append_len (pair, line, (gssize)length);
  if (memchr (line, 0, length) != NULL || !g_utf8_validate_len (line, length, NULL))
    return "is not UTF-8 text";
  switch (zie_tokenizer_to_bytes (pair, &split))
    {
    case ZIE_ALPHABET_FOREIGN:
      return "has a character that stands for no byte";
    case ZIE_ALPHABET_EMPTY:
      return "is not two tokens with a space between";
    case ZIE_ALPHABET_FINE:
      break;
    }
  if (!zie_bpe_find (bpe, (const guint8 *)pair->str, split, &left) ||
      !zie_bpe_find (bpe, (const guint8 *)pair->str + split, pair->len - split, &right))
    return "merges what is not in vocab.json";
  return zie_bpe_add_merge (bpe, left, right) ? NULL : "merges to what is not in vocab.json";
}

static gboolean
read_merges (const char *path, ZieBpe *bpe, GError **error)
{
  g_autoptr(ZieMap) file = zie_map_new (path, error);
  g_autoptr(GString) pair = g_string_new (NULL);
  const char *at, *end;

  if (file == NULL)
    return FALSE;
  at = (const char *)zie_map_get_data (file);
  end = at != NULL ? at + MIN (zie_map_get_size (file), ZIE_TOKENIZER_MAX_SIZE) : at;
  for (guint number = 1; at < end; number++)
    {
      const char *stop = memchr (at, '\n', (gsize)(end - at)), *problem;
      gsize length = (gsize)((stop != NULL ? stop : end) - at);

      if (length > 0 && at[length - 1] == '\r')
        length--;
      if (length > 0 && !(number == 1 && length >= 9 && memcmp (at, "#version:", 9) == 0) &&
          (problem = read_merge (bpe, at, length, pair)) != NULL)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: line %u %s; the file is damaged or incomplete, or of another "
                       "tokenizer than vocab.json beside it", path, number, problem);
          return FALSE;
        }
      at = stop != NULL ? stop + 1 : end;
    }
  return TRUE;
}

/* An id in a member's name; -1: it is none. */
static gint64
parse_id (const char *text)
{
  guint64 id;

  return g_ascii_string_to_unsigned (text, 10, 0, ZIE_BPE_MAX_ID, &id, NULL) ? (gint64)id : -1;
}

/* added_tokens_decoder of tokenizer_config.json: {"151643": {"content": …, flags}, …}. */
static gboolean
read_decoder (const char *path, JsonObject *config, GArray *added, GError **error)
{
  JsonNode *node = json_object_get_member (config, "added_tokens_decoder");
  g_autoptr(GList) names = NULL;
  JsonObject *decoder;

  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: added_tokens_decoder: expected an object of ids and tokens", path);
      return FALSE;
    }
  decoder = json_node_get_object (node);
  names = json_object_get_members (decoder);
  for (const GList *l = names; l != NULL; l = l->next)
    {
      g_autofree char *where = g_strdup_printf ("%s: added_tokens_decoder.%.20s", path, (const char *)l->data);
      gint64 id = parse_id (l->data);
      ZieAddedToken token;

      if (id < 0)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: is no id, expected 0 to %d", where, ZIE_BPE_MAX_ID);
          return FALSE;
        }
      if (!zie_tokenizer_read_added (json_object_get_member (decoder, l->data), where, &token, error))
        return FALSE;
      token.id = (guint32)id;
      g_array_append_val (added, token);
    }
  return TRUE;
}

/* added_tokens.json: {"<|im_start|>": 151644, …}. */
static gboolean
read_added_tokens (const char *path, JsonObject *object, GArray *added, GError **error)
{
  g_autoptr(GList) names = json_object_get_members (object);

  for (const GList *l = names; l != NULL; l = l->next)
    {
      ZieAddedToken token;
      gint64 id;

      if (!zie_tokenizer_check_added (l->data, path, error)
          || !zie_json_get_int (object, path, l->data, NULL, 0, ZIE_BPE_MAX_ID, &id, error))
        return FALSE;
      token = (ZieAddedToken) { g_strdup (l->data), strlen (l->data), (guint32)id };
      g_array_append_val (added, token);
    }
  return TRUE;
}

/* The class decides how words are split and that text is normalised; where it is not named, the tokens that prompts need say enough. */
static gboolean
check_class (const char *path, JsonObject *config, GError **error)
{
  const char *name;

  if (!zie_json_get_string (config, path, "tokenizer_class", NORMAL_FORM, &name, error))
    return FALSE;
  if (g_str_has_prefix (name, NORMAL_FORM))      /* …Fast, too */
    return TRUE;
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED, "%s: tokenizer_class is %.60s, expected %s, which is the only one supported",
               path, name, NORMAL_FORM);
  return FALSE;
}

static gboolean
read_added (const char *folder, GArray *added, GError **error)
{
  g_autofree char *config = g_build_filename (folder, "tokenizer_config.json", NULL), *tokens = g_build_filename (folder, "added_tokens.json", NULL);
  gboolean has_config = g_file_test (config, G_FILE_TEST_EXISTS), is_read;
  JsonObject *object = NULL;

  if (has_config)
    {
      if (!(object = zie_json_load_object (config, error)))
        return FALSE;
      is_read = check_class (config, object, error);
      if (!is_read || json_object_has_member (object, "added_tokens_decoder"))
        {
          is_read = is_read && read_decoder (config, object, added, error);
          json_object_unref (object);
          return is_read;
        }
      json_object_unref (object);
    }
  if (!g_file_test (tokens, G_FILE_TEST_EXISTS))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
                   "%s: neither a tokenizer_config.json with added_tokens_decoder nor an added_tokens.json lies beside vocab.json; "
                   "fetch one of them, or tokenizer.json, which has everything", folder);
      return FALSE;
    }
  if (!(object = zie_json_load_object (tokens, error)))
    return FALSE;
  is_read = read_added_tokens (tokens, object, added, error);
  json_object_unref (object);
  return is_read;
}

gboolean
zie_tokenizer_read_vocab_files (const char *path, const char *text, gsize length, ZieBpe *bpe, GArray *added, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path), *merges = g_build_filename (folder, "merges.txt", NULL);
  ZieJsonReader reader;

  zie_json_reader_init (&reader, text, length);
  zie_tokenizer_read_vocab (&reader, bpe);
  if (!zie_json_reader_end (&reader))
    return zie_tokenizer_set_problem (path, "", &reader, error);
  return read_merges (merges, bpe, error) && read_added (folder, added, error) && zie_tokenizer_check_bytes (path, bpe, error);
}
