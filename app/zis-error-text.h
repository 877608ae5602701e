/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

/* A failure as a sentence and a way out. */
typedef struct
{
  const char *title;         /* translated, one short sentence; static */
  char *body;                /* owned: what happened and what can be done */
  const char *button;        /* translated label of the way out, or NULL; static */
  const char *action;        /* detailed action name of the way out, or NULL; static */
} ZisErrorText;

/* What ERROR means to a person.  Cancelled is no failure and must not come here. */
void zis_error_text_init (ZisErrorText *self, const GError *error);
/* The same of a model that was opened with parts picked by hand: if it is the model that cannot be opened, they are the first to go. */
void zis_error_text_init_parts (ZisErrorText *self, const GError *error);
void zis_error_text_clear (ZisErrorText *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ZisErrorText, zis_error_text_clear)

G_END_DECLS
