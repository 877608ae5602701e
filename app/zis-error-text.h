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

/* What was being done: the same error of a file means something else for a model and for a picture. */
typedef enum
{
  ZIS_ERROR_IN_WORK,         /* opening the model, making a picture */
  ZIS_ERROR_IN_PARTS,        /* the same with parts picked by hand: if the model cannot be opened, they are the first to go */
  ZIS_ERROR_IN_OPENING,      /* a file of a picture */
  ZIS_ERROR_IN_SAVING,       /* a picture, where the user said */
  ZIS_ERROR_IN_KEEPING,      /* a picture, into the folder of all */
  ZIS_ERROR_IN_BIN,          /* putting a picture there */
  ZIS_ERROR_IN_DESKTOP,      /* asking for a file dialog or a file manager */
} ZisErrorContext;

/* What ERROR means to a person.  Cancelled is no failure and must not come here. */
void zis_error_text_init (ZisErrorText *self, const GError *error, ZisErrorContext context);
void zis_error_text_clear (ZisErrorText *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ZisErrorText, zis_error_text_clear)

G_END_DECLS
