/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-tokenizer-file"

#include "zie-tokenizer-private.h"

#include <string.h>

#include "zie-gguf.h"
#include "zie-tokenizer.h"

/* The tokenizer that lies inside a GGUF file: tokenizer.ggml.tokens in the order of their ids, token_type beside it, and merges
 * as "left right".  Ordinary tokens and merges are in the byte alphabet, added ones are plain text. */

/* llama.cpp's names of a token's kind. */
enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN = 2, TOKEN_CONTROL = 3, TOKEN_USER_DEFINED = 4, TOKEN_UNUSED = 5, TOKEN_BYTE = 6 };

static gboolean
check_setting (const char *path, const ZieGguf *file, const char *key, const char *wanted, GError **error)
{
  g_autofree char *found = zie_gguf_get_meta (file, key);

  if (g_strcmp0 (found, wanted) == 0)
    return TRUE;
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED, "%s: %s is %.60s, expected %s: not a tokenizer of the Qwen kind, which is the "
               "only one supported", path, key, found != NULL ? found : "not set", wanted);
  return FALSE;
}

static gboolean
set_problem (const char *path, const char *key, guint64 index, const char *problem, GError **error)
{
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: %s[%" G_GUINT64_FORMAT "] %s", path, key, index, problem);
  return FALSE;
}

/* TEXT becomes the string's, NUL-terminated.  FALSE: not UTF-8, or with a NUL in it. */
static gboolean
set_text (GString *text, const char *bytes, gsize length)
{
  if (memchr (bytes, 0, length) != NULL || !g_utf8_validate_len (bytes, length, NULL))
    return FALSE;
  g_string_truncate (text, 0);
  g_string_append_len (text, bytes, (gssize)length);
  return TRUE;
}

static gboolean
read_tokens (const char *path, const ZieGguf *file, ZieBpe *bpe, GArray *added, GError **error)
{
  static const char key[] = "tokenizer.ggml.tokens", types_key[] = "tokenizer.ggml.token_type";
  g_autoptr(GString) text = g_string_new (NULL);
  ZieGgufStrings tokens;
  guint64 n_types = 0;
  const guint8 *types = zie_gguf_get_int32s (file, types_key, &n_types);
  const char *token;
  gsize length;

  if (!zie_gguf_get_strings (file, key, &tokens) || tokens.n > ZIE_BPE_MAX_ID)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: %s is not there or no list of at most %d texts", path, key, ZIE_BPE_MAX_ID);
      return FALSE;
    }
  if (types == NULL || n_types != tokens.n)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: %s has %" G_GUINT64_FORMAT " numbers, expected one for each of the %" G_GUINT64_FORMAT " tokens", path,
                   types_key, n_types, tokens.n);
      return FALSE;
    }

  for (guint32 id = 0; (token = zie_gguf_next_string (&tokens, &length)) != NULL; id++)
    {
      guint32 type;

      memcpy (&type, types + (gsize)id * 4, 4);
      type = GUINT32_FROM_LE (type);
      if (type == TOKEN_UNUSED)
        continue;
      if (!set_text (text, token, length))
        return set_problem (path, key, id, "is not UTF-8 text", error);
      if (type == TOKEN_CONTROL || type == TOKEN_USER_DEFINED)
        {
          g_autofree char *where = g_strdup_printf ("%s: %s[%u]", path, key, id);
          ZieAddedToken one;

          if (!zie_tokenizer_check_added (text->str, where, error))
            return FALSE;
          one = (ZieAddedToken) { g_strdup (text->str), text->len, id };
          g_array_append_val (added, one);
          continue;
        }
      if (type != TOKEN_NORMAL)
        return set_problem (path, types_key, id, "is a kind of token that Qwen's tokenizer has not", error);
      if (zie_tokenizer_to_bytes (text, NULL) != ZIE_ALPHABET_FINE)
        return set_problem (path, key, id, "is empty or has a character that stands for no byte", error);
      if (!zie_bpe_add_token (bpe, (const guint8 *)text->str, text->len, id))
        return set_problem (path, key, id, "was there before", error);
    }
  return TRUE;
}

static gboolean
read_merges (const char *path, const ZieGguf *file, ZieBpe *bpe, GError **error)
{
  static const char key[] = "tokenizer.ggml.merges";
  g_autoptr(GString) text = g_string_new (NULL);
  ZieGgufStrings merges;
  const char *merge;
  gsize length;

  if (!zie_gguf_get_strings (file, key, &merges))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: %s is not there or no list of texts", path, key);
      return FALSE;
    }
  for (guint64 i = 0; (merge = zie_gguf_next_string (&merges, &length)) != NULL; i++)
    {
      guint32 left, right;
      gsize split;

      if (!set_text (text, merge, length) || zie_tokenizer_to_bytes (text, &split) != ZIE_ALPHABET_FINE)
        return set_problem (path, key, i, "is not two tokens with a space between", error);
      if (!zie_bpe_find (bpe, (const guint8 *)text->str, split, &left) ||
          !zie_bpe_find (bpe, (const guint8 *)text->str + split, text->len - split, &right) || !zie_bpe_add_merge (bpe, left, right))
        return set_problem (path, key, i, "merges what is not among the tokens, or to what is not", error);
    }
  return TRUE;
}

gboolean
zie_tokenizer_read_gguf (const char *path, ZieBpe *bpe, GArray *added, GError **error)
{
  g_autoptr(ZieGguf) file = zie_gguf_open (path, error);

  return file != NULL && check_setting (path, file, "tokenizer.ggml.model", "gpt2", error)
         && check_setting (path, file, "tokenizer.ggml.pre", "qwen2", error) && read_tokens (path, file, bpe, added, error)
         && read_merges (path, file, bpe, error) && zie_tokenizer_check_bytes (path, bpe, error);
}

gboolean
zie_tokenizer_is_inside (const char *path)
{
  g_autoptr(ZieGguf) file = zie_gguf_open (path, NULL);
  ZieGgufStrings tokens;

  return file != NULL && zie_gguf_get_strings (file, "tokenizer.ggml.tokens", &tokens);
}
