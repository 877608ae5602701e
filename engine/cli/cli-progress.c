/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli-progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "cli-bar.h"
#include "cli-i18n.h"

/* How stages compare where the plan does not say. */
static const double default_weights[ZIE_N_STAGES] = { 0.05, 0.01, 0.84, 0.10 };

const char *
cli_progress_stage_words (ZieStage stage)
{
  switch (stage)
    {
    case ZIE_STAGE_TEXT:
      return _("Reading the prompt");
    case ZIE_STAGE_REFINE:
      return _("Preparing");
    case ZIE_STAGE_SAMPLE:
      return _("Painting");
    case ZIE_STAGE_DECODE:
      return _("Developing");
    case ZIE_N_STAGES:
      break;
    }

  g_assert_not_reached ();
}

void
cli_progress_init (CliProgress *self, guint n_pictures, gboolean is_silent)
{
  *self = (CliProgress) { .n_pictures = n_pictures, .is_silent = is_silent, .is_bar = cli_bar_is_possible () };
  memcpy (self->weights, default_weights, sizeof self->weights);
}

static void
begin_picture (CliProgress *self)
{
  self->start_us = g_get_monotonic_time ();
  self->stage = ZIE_STAGE_TEXT;
  self->stage_fraction = self->fraction = 0;
  self->step = self->n_steps = 0;
}

void
cli_progress_begin_job (CliProgress *self, const ZiePlan *plan, int n_images)
{
  double sum = 0, seconds[ZIE_N_STAGES];

  for (int i = 0; i < ZIE_N_STAGES; i++)
    sum += seconds[i] = zie_plan_get_stage (plan, i)->seconds / n_images;
  if (sum > 0)
    memcpy (self->weights, seconds, sizeof seconds);

  begin_picture (self);
}

static double
weighted_fraction (const CliProgress *self)
{
  double sum = 0, done = 0;

  for (int i = 0; i < ZIE_N_STAGES; i++)
    {
      sum += self->weights[i];
      if (i < (int)self->stage)
        done += self->weights[i];
    }

  return (done + self->weights[self->stage] * self->stage_fraction) / sum;
}

double
cli_progress_seconds_left (const CliProgress *self, double elapsed)
{
  if (self->fraction < 0.05 || elapsed < 0.2)
    return -1;

  return elapsed * (1 - self->fraction) / self->fraction;
}

static char *
words_before_bar (const CliProgress *self)
{
  GString *words = g_string_new (NULL);

  if (self->n_pictures > 1)
    g_string_append_printf (words, "%u/%u  ", MIN (self->n_done + 1, self->n_pictures), self->n_pictures);

  g_string_append (words, cli_progress_stage_words (self->stage));
  if (self->stage == ZIE_STAGE_SAMPLE && self->n_steps > 0)
    {
      g_string_append (words, "  ");
      g_string_append_printf (words, _("step %d of %d"), MIN (self->step + 1, self->n_steps), self->n_steps);
    }

  return g_string_free (words, FALSE);
}

static char *
words_after_bar (const CliProgress *self)
{
  double elapsed = (double)(g_get_monotonic_time () - self->start_us) / G_USEC_PER_SEC;
  double left = cli_progress_seconds_left (self, elapsed);
  int seconds = (int)ceil (left), percent = (int)(self->fraction * 100);

  if (left < 0)
    return g_strdup_printf ("%3d %%", percent);
  if (seconds >= 3600)
    return g_strdup_printf (_("%3d %%  %d:%02d:%02d left"), percent, seconds / 3600, seconds / 60 % 60, seconds % 60);

  return g_strdup_printf (_("%3d %%  %d:%02d left"), percent, seconds / 60, seconds % 60);
}

void
cli_progress_tick (CliProgress *self)
{
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;

  if (self->is_silent || !self->is_bar || self->start_us == 0)
    return;

  before = words_before_bar (self);
  after = words_after_bar (self);
  cli_bar_draw (before, self->fraction, after);
  self->is_drawn = TRUE;
}

void
cli_progress_clear (CliProgress *self)
{
  if (self->is_drawn)
    cli_bar_clear ();
  self->is_drawn = FALSE;
}

/* Where there is no terminal: each stage once, each step, no repetitions. */
static void
print_line (const CliProgress *self, const ZieEvent *event, gboolean is_new_stage)
{
  g_autofree char *number = self->n_pictures > 1 ? g_strdup_printf ("%u/%u: ", self->n_done + 1, self->n_pictures) : g_strdup ("");

  if (event->type == ZIE_EVENT_STEP)
    g_printerr (_("%sstep %d of %d, %.2f s\n"), number, self->step, self->n_steps, event->step.seconds);
  else if (is_new_stage)
    g_printerr ("%s%s\n", number, cli_progress_stage_words (self->stage));
}

void
cli_progress_add_event (CliProgress *self, const ZieEvent *event)
{
  ZieStage old_stage = self->stage;
  gboolean is_first = self->fraction == 0 && self->stage_fraction == 0;

  switch (event->type)
    {
    case ZIE_EVENT_STAGE:
      self->stage = event->stage.stage;
      self->stage_fraction = event->stage.fraction;
      break;
    case ZIE_EVENT_STEP:
      self->stage = ZIE_STAGE_SAMPLE;
      self->step = event->step.index;
      self->n_steps = event->step.total;
      self->stage_fraction = (double)self->step / MAX (self->n_steps, 1);
      break;
    case ZIE_EVENT_TILE:                         /* the layers before it have told more of the stage */
      if (self->stage != ZIE_STAGE_DECODE)
        self->stage_fraction = 0;
      self->stage = ZIE_STAGE_DECODE;
      self->stage_fraction = MAX (self->stage_fraction, (double)(event->tile.index + 1) / MAX (event->tile.total, 1));
      break;
    case ZIE_EVENT_IMAGE:
      self->n_done++;
      begin_picture (self);
      return;
    case ZIE_EVENT_STARTED:
    case ZIE_EVENT_PREVIEW:
    case ZIE_EVENT_PLAN:
    case ZIE_EVENT_REDO:
    case ZIE_EVENT_FINISHED:
      return;
    }

  self->fraction = MAX (self->fraction, weighted_fraction (self));
  if (self->is_silent)
    return;
  if (self->is_bar)
    cli_progress_tick (self);
  else
    print_line (self, event, is_first || self->stage != old_stage);
}
