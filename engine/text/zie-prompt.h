/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-tokenizer.h"

/* The chat template around a prompt, and the limit on both together (spec 2.3). */
#define ZIE_PROMPT_START "<|im_start|>"
#define ZIE_PROMPT_END "<|im_end|>"
#define ZIE_PROMPT_MAX_IDS 512

/* PROMPT inside the template (transfer full). */
char *zie_prompt_format (const char *prompt);

/* The ids that the text encoder runs on.  Over ZIE_PROMPT_MAX_IDS they are cut on the right when TRUNCATE says so, the
 * template's tail included, as the reference does; otherwise NULL with PROMPT_TOO_LONG.  Transfer full. */
gint32 *zie_prompt_encode (const ZieTokenizer *tokenizer, const char *prompt, gboolean truncate, guint *n_ids,
                           GError **error);
