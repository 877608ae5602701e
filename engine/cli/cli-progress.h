/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie.h>

/* How far the work is, on standard error: a bar where that is a terminal, else a line now and then. */
typedef struct
{
  gboolean is_bar, is_silent;
  guint n_pictures;          /* of the whole command */
  guint n_done;
  double weights[ZIE_N_STAGES];    /* expected seconds of each stage of one picture */

  gint64 start_us;           /* of the current picture */
  ZieStage stage;
  double stage_fraction;
  double fraction;           /* of the current picture; never falls */
  int step, n_steps;
  gboolean is_drawn;
} CliProgress;

void cli_progress_init (CliProgress *self, guint n_pictures, gboolean is_silent);
/* The job that runs next: how long its stages are expected to take for each of N_IMAGES pictures. */
void cli_progress_begin_job (CliProgress *self, const ZiePlan *plan, int n_images);
void cli_progress_add_event (CliProgress *self, const ZieEvent *event);
/* Draws again, so that the time left moves; cheap. */
void cli_progress_tick (CliProgress *self);
/* Takes the bar off the screen before something else is printed, or at the end. */
void cli_progress_clear (CliProgress *self);

/* "Painting" …, translated. */
const char *cli_progress_stage_words (ZieStage stage);
/* Seconds left of the current picture; negative = not known yet. */
double cli_progress_seconds_left (const CliProgress *self, double elapsed);
