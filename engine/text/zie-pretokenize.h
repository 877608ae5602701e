/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* The regular expression whose matches the scanner below returns, as it stands in a tokenizer.json. */
#define ZIE_PRETOKENIZE_REGEX \
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" \
  "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Where the word that begins at AT (< N) ends: Qwen's splitting rules (spec 2.2).  TEXT is in normal form C. */
gsize zie_pretokenize_next (const gunichar *text, gsize n, gsize at);
