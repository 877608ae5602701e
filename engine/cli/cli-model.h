/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli.h"

/* Which model, as typed. */
typedef struct
{
  char *path;                              /* NULL: the demo model, unless parts are named */
  char *parts[ZIE_N_MODEL_PARTS], *tokenizer;
} CliModelOptions;

/* Adds --transformer, --text-encoder, --vae, --tokenizer, and --model where WITH_MODEL; SELF, zeroed, must outlive CONTEXT. */
void cli_model_options_add (CliModelOptions *self, GOptionContext *context, gboolean with_model);
void cli_model_options_clear (CliModelOptions *self);

/* Opens it. */
ZieModel *cli_model_options_open (const CliModelOptions *self, GError **error);
/* What is there, whole or not. */
ZieModelCandidate *cli_model_options_examine (const CliModelOptions *self, GError **error);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CliModelOptions, cli_model_options_clear)
