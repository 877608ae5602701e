/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-prompt"

#include "zie-prompt.h"

char *
zie_prompt_format (const char *prompt)
{
  return g_strconcat (ZIE_PROMPT_START "user\n", prompt, ZIE_PROMPT_END "\n" ZIE_PROMPT_START "assistant\n", NULL);
}

gint32 *
zie_prompt_encode (const ZieTokenizer *tokenizer, const char *prompt, gboolean truncate, guint *n_ids, GError **error)
{
  g_autofree gint32 *ids = zie_tokenizer_encode_prompt (tokenizer, prompt, n_ids);

  if (*n_ids > ZIE_PROMPT_MAX_IDS && !truncate)
    {
      guint n_template;

      g_free (zie_tokenizer_encode_prompt (tokenizer, "", &n_template));
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_PROMPT_TOO_LONG,
                   "prompt: %u tokens with the %u of the template, expected at most %d: shorten it, or have it cut", *n_ids,
                   n_template, ZIE_PROMPT_MAX_IDS);
      return NULL;
    }

  *n_ids = MIN (*n_ids, ZIE_PROMPT_MAX_IDS);
  return g_steal_pointer (&ids);
}
