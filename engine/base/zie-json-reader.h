/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* A strict pull reader of JSON text (RFC 8259) for foreign files: it allocates nothing but the strings asked for, nests
 * ZIE_JSON_MAX_DEPTH deep at most, and stops at the first mistake.  After that every call returns FALSE, so that a
 * caller may look at PROBLEM once, at the end.
 *
 *   zie_json_reader_enter (&r, '{');
 *   while (zie_json_reader_next (&r, '}') && zie_json_reader_key (&r, key))
 *     zie_json_reader_skip (&r);
 *   zie_json_reader_end (&r);
 */
typedef struct
{
  const char *start, *at, *end;      /* borrowed text */
  const char *problem;               /* static words of the first mistake, NULL while there is none */
  guint depth;
  gboolean is_fresh;                 /* just entered: no comma before the next member */
} ZieJsonReader;

#define ZIE_JSON_MAX_DEPTH 64

void zie_json_reader_init (ZieJsonReader *self, const char *text, gsize length);

/* What the next value begins with: { [ " t f n, 0 for a number; NUL at a mistake or the end. */
char zie_json_reader_peek (ZieJsonReader *self);

gboolean zie_json_reader_enter (ZieJsonReader *self, char open);           /* '{' or '[' */
/* TRUE when another member follows; FALSE once CLOSE was read (or at a mistake). */
gboolean zie_json_reader_next (ZieJsonReader *self, char close);
/* A member's name and its colon; KEY is overwritten, NULL = not wanted. */
gboolean zie_json_reader_key (ZieJsonReader *self, GString *key);
gboolean zie_json_reader_string (ZieJsonReader *self, GString *string);    /* likewise; a NUL inside is a mistake */
gboolean zie_json_reader_u64 (ZieJsonReader *self, guint64 *value);        /* digits alone: no sign, fraction, exponent */
gboolean zie_json_reader_skip (ZieJsonReader *self);                       /* any value, its grammar checked */
gboolean zie_json_reader_end (ZieJsonReader *self);                        /* nothing but blanks may follow */

/* Records PROBLEM (static words) unless there is one; returns FALSE. */
gboolean zie_json_reader_fail (ZieJsonReader *self, const char *problem);
gsize zie_json_reader_offset (const ZieJsonReader *self);                  /* bytes from the start */
