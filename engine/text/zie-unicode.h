/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* What the tokenizer must know of Unicode, in the versions of the reference and not in the one of the GLib at hand. */
typedef enum
{
  ZIE_CHAR_OTHER,           /* marks, punctuation, symbols, controls, unassigned */
  ZIE_CHAR_LETTER,          /* \p{L} */
  ZIE_CHAR_NUMBER,          /* \p{N} */
  ZIE_CHAR_SPACE,           /* \s without the two below */
  ZIE_CHAR_NEWLINE,         /* CR or LF, which are \s too */
} ZieCharClass;

ZieCharClass zie_unicode_class (gunichar c);

/* Appends TEXT (LENGTH bytes, NULs allowed) to OUT as code points.  Bytes that are not UTF-8 become U+FFFD, one for each
 * maximal part of a sequence, as in browsers and in Python's errors="replace". */
void zie_unicode_from_utf8 (GArray *out, const char *text, gsize length);

/* Writes C (a scalar value) to OUT and returns the number of bytes, 1 to 4. */
gsize zie_unicode_to_utf8 (gunichar c, guint8 out[4]);

/* Brings TEXT (gunichar) into normal form C, in place.  Time is n log n in the worst case, whatever the text. */
void zie_unicode_nfc (GArray *text);
