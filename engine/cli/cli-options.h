/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli-model.h"

/* What generate, plan and bench have in common, as typed: raw bytes, since GLib would convert from the locale's
 * charset and a prompt is UTF-8 whatever the locale says. */
typedef struct
{
  CliModelOptions model;
  char *device, *dtype, *threads;
  char *width, *height, *preset;
  char *steps, *guidance, *cfg_truncation, *cfg_normalization, *shift, *sampler;
  char *negative, *seed, *noise, *batch;
  char *init_image, *mask, *strength;
  char *decode, *tile_size, *tile_overlap;
  char **loras;
  char *ram_budget, *vram_budget;
  gboolean truncate;
} CliRequestOptions;

/* Adds the options to CONTEXT; SELF, zeroed, is filled when it parses and must outlive it. */
void cli_request_options_add (CliRequestOptions *self, GOptionContext *context);
void cli_request_options_clear (CliRequestOptions *self);

/* Fills REQUEST, initialised before, from the model's defaults and the options; the prompt is left to the caller.
 * Without --seed a random one is taken. */
gboolean cli_request_options_apply (const CliRequestOptions *self, ZieModel *model, ZieRequest *request, GError **error);
gboolean cli_request_options_get_engine (const CliRequestOptions *self, ZieEngineOptions *options, GError **error);
gboolean cli_request_options_get_budget (const CliRequestOptions *self, ZieBudget *budget, GError **error);

/* A whole number of [MIN, MAX]; the message names OPTION. */
gboolean cli_parse_int (const char *option, const char *text, int min, int max, int *out, GError **error);

/* Ids and sizes of the presets that MODEL can make, the model's own first: one text for messages and help. */
char *cli_list_presets (const ZieModelInfo *info);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CliRequestOptions, cli_request_options_clear)
