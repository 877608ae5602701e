/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie.h>

/* What generate says as it goes: JSON lines, or words and a bar. */
typedef struct
{
  gboolean is_json, is_verbose;
  gint64 start_us;
  guint n_pictures, n_saved;

  /* Sums and peaks of all jobs. */
  double stage_seconds[ZIE_N_STAGES];
  guint64 arena_peak, ram_peak, vram_peak;
  GPtrArray *files;          /* owned; of char */
} CliReport;

void cli_report_init (CliReport *self, gboolean is_json, gboolean is_verbose);
void cli_report_clear (CliReport *self);
void cli_report_warning (CliReport *self, const char *message);
/* EVENT as it came, FILE: where its picture was saved, NULL if nowhere; INDEX: number of the picture. */
void cli_report_event (CliReport *self, const ZieEvent *event, guint index, const char *file);
/* The end, ERROR NULL = done: as JSON the result, else one line of figures (errors are told by cli_fail()). */
void cli_report_result (CliReport *self, ZieModel *model, ZieEngine *engine, const GError *error);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CliReport, cli_report_clear)
