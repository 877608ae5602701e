/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-tokenizer"

#include "zie-tokenizer.h"

#include <string.h>

#include "zie-bpe.h"
#include "zie-pretokenize.h"
#include "zie-prompt.h"
#include "zie-tokenizer-file.h"
#include "zie-unicode.h"

struct _ZieTokenizer
{
  ZieBpe *bpe;              /* owned */
  GArray *added;            /* owned: ZieAddedToken, sorted by content */
  gboolean begins[256];     /* is this byte the first of any of them */
  guint vocab_size;
};

static void
clear_added_token (gpointer data)
{
  zie_added_token_clear (data);
}

static int
compare_added_tokens (gconstpointer a, gconstpointer b)
{
  return strcmp (((const ZieAddedToken *)a)->content, ((const ZieAddedToken *)b)->content);
}

/* Sorts the added tokens and checks what only shows in all of them together. */
static gboolean
prepare_added_tokens (ZieTokenizer *self, const char *path, GError **error)
{
  static const char *const required[] = { ZIE_PROMPT_START, ZIE_PROMPT_END };
  const ZieAddedToken *added;

  g_array_sort (self->added, compare_added_tokens);
  added = (const ZieAddedToken *)(void *)self->added->data;
  for (guint i = 0; i < self->added->len; i++)
    {
      if (i > 0 && g_str_equal (added[i].content, added[i - 1].content))
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: added_tokens: \"%s\" is there twice", path,
                       added[i].content);
          return FALSE;
        }
      self->begins[(guint8)added[i].content[0]] = TRUE;
      self->vocab_size = MAX (self->vocab_size, added[i].id + 1);
    }

  for (gsize i = 0; i < G_N_ELEMENTS (required); i++)
    {
      ZieAddedToken key = { .content = (char *)required[i] };

      if (!g_array_binary_search (self->added, &key, compare_added_tokens, NULL))
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                       "%s: added_tokens: \"%s\" is missing, and the model's prompts need it", path, required[i]);
          return FALSE;
        }
    }

  return TRUE;
}

ZieTokenizer *
zie_tokenizer_load (const char *path, GError **error)
{
  g_autoptr(ZieTokenizer) self = g_new0 (ZieTokenizer, 1);

  self->bpe = zie_bpe_new ();
  self->added = g_array_new (FALSE, FALSE, sizeof (ZieAddedToken));
  g_array_set_clear_func (self->added, clear_added_token);

  if (!zie_tokenizer_file_read (path, self->bpe, self->added, error))
    return NULL;

  self->vocab_size = zie_bpe_get_vocab_size (self->bpe);
  if (!prepare_added_tokens (self, path, error))
    return NULL;

  g_debug ("loaded path=%s vocab=%u added=%u", path, self->vocab_size, self->added->len);
  return g_steal_pointer (&self);
}

void
zie_tokenizer_free (ZieTokenizer *self)
{
  if (self == NULL)
    return;

  zie_bpe_free (self->bpe);
  g_array_unref (self->added);
  g_free (self);
}

guint
zie_tokenizer_get_vocab_size (const ZieTokenizer *self)
{
  return self->vocab_size;
}

/* The first of added[low..high) whose byte at DEPTH is not below BYTE; all are longer than DEPTH and agree before it. */
static guint
lower_bound (const ZieAddedToken *added, guint low, guint high, gsize depth, guint byte)
{
  while (low < high)
    {
      guint middle = (low + high) / 2;

      if ((guint8)added[middle].content[depth] < byte)
        low = middle + 1;
      else
        high = middle;
    }

  return low;
}

/* The longest added token that TEXT begins with, or NULL.  The sorted list is narrowed byte by byte. */
static const ZieAddedToken *
match_added_token (const ZieTokenizer *self, const char *text, gsize length)
{
  const ZieAddedToken *added = (const ZieAddedToken *)(void *)self->added->data, *best = NULL;
  guint low = 0, high = self->added->len;

  for (gsize depth = 0; low < high; depth++)
    {
      guint byte;

      if (added[low].length == depth)     /* the shortest of them comes first */
        best = &added[low++];
      if (depth == length)
        break;

      byte = (guint8)text[depth];
      low = lower_bound (added, low, high, depth, byte);
      high = lower_bound (added, low, high, depth, byte + 1);
    }

  return best;
}

/* What one call of encode works with. */
typedef struct
{
  ZieBpeScratch *scratch;   /* owned, like the others */
  GArray *points;           /* gunichar: a segment in normal form */
  GByteArray *word;
  GArray *ids;              /* gint32 */
} Encoding;

/* Appends the ids of a text without added tokens. */
static void
encode_segment (const ZieTokenizer *self, Encoding *work, const char *text, gsize length)
{
  const gunichar *points;
  gsize n;

  g_array_set_size (work->points, 0);
  zie_unicode_from_utf8 (work->points, text, length);
  zie_unicode_nfc (work->points);

  points = (const gunichar *)(void *)work->points->data;
  n = work->points->len;
  for (gsize at = 0, end; at < n; at = end)
    {
      end = zie_pretokenize_next (points, n, at);
      g_byte_array_set_size (work->word, 0);
      for (gsize i = at; i < end; i++)
        {
          guint8 bytes[4];

          g_byte_array_append (work->word, bytes, (guint)zie_unicode_to_utf8 (points[i], bytes));
        }
      zie_bpe_encode (self->bpe, work->scratch, work->word->data, work->word->len, work->ids);
    }
}

gint32 *
zie_tokenizer_encode (const ZieTokenizer *self, const char *text, gssize length, guint *n_ids)
{
  Encoding work = { zie_bpe_scratch_new (), g_array_new (FALSE, FALSE, sizeof (gunichar)), g_byte_array_new (),
                    g_array_new (TRUE, FALSE, sizeof (gint32)) };
  gsize n = length >= 0 ? (gsize)length : strlen (text);
  gsize segment = 0, at = 0;

  g_assert (n < (gsize)1 << 28);

  while (at < n)
    {
      const ZieAddedToken *token = self->begins[(guint8)text[at]] ? match_added_token (self, text + at, n - at) : NULL;

      if (token == NULL)
        {
          at++;
          continue;
        }

      encode_segment (self, &work, text + segment, at - segment);
      g_array_append_val (work.ids, token->id);
      segment = at += token->length;
    }
  encode_segment (self, &work, text + segment, n - segment);

  zie_bpe_scratch_free (work.scratch);
  g_array_unref (work.points);
  g_byte_array_unref (work.word);
  *n_ids = work.ids->len;
  return (gint32 *)(void *)g_array_free (work.ids, FALSE);
}

gint32 *
zie_tokenizer_encode_prompt (const ZieTokenizer *self, const char *prompt, guint *n_ids)
{
  g_autofree char *text = zie_prompt_format (prompt);

  return zie_tokenizer_encode (self, text, -1, n_ids);
}

char *
zie_tokenizer_decode (const ZieTokenizer *self, const gint32 *ids, guint n_ids)
{
  g_autoptr(GHashTable) added = g_hash_table_new (NULL, NULL);
  g_autoptr(GString) text = g_string_new (NULL);

  for (guint i = 0; i < self->added->len; i++)
    {
      const ZieAddedToken *token = &g_array_index (self->added, ZieAddedToken, i);

      g_hash_table_insert (added, GUINT_TO_POINTER (token->id), token->content);
    }

  for (guint i = 0; i < n_ids; i++)
    {
      gpointer content = g_hash_table_lookup (added, GUINT_TO_POINTER ((guint)ids[i]));
      gsize length;
      const guint8 *bytes;

      if (content != NULL)
        g_string_append (text, content);
      else if ((bytes = zie_bpe_get_token (self->bpe, (guint32)ids[i], &length)) != NULL)
        g_string_append_len (text, (const char *)bytes, (gssize)length);
      else
        g_string_append (text, "\xef\xbf\xbd");
    }

  return g_utf8_make_valid (text->str, (gssize)text->len);
}
