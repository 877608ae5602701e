/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli.h"

#include <errno.h>
#include <string.h>

#include <glib/gstdio.h>

#include "config.h"
#include "cli-cancel.h"
#include "cli-i18n.h"
#include "cli-options.h"
#include "cli-output.h"
#include "cli-progress.h"
#include "cli-report.h"

#define TICK_US 200000
#define MAX_REPORT_SIZE (64 << 10)
#define MAX_PREVIEW_SIDE 1024    /* 512, or the latent of a picture above 4096 pixels */

/* One prompt's job. */
typedef struct
{
  ZieRequest request;        /* owned */
  ZiePlan *plan;             /* owned */
  ZieJob *job;               /* owned; NULL before it is submitted */
  ZieReport *report;         /* owned; NULL where none is asked for */
  guint first_index;         /* number of its first picture */
} Task;

typedef struct
{
  CliRequestOptions options;
  char *prompt, *prompts_file, *output_name, *preview_dir, *report_file;
  gboolean is_json, is_verbose;

  CliCancel *cancel;         /* borrowed: lives as long as the program */
  CliReport report;
  CliProgress progress;
  CliOutput output;
  ZieModel *model;           /* owned */
  ZieEngine *engine;         /* owned */
  GPtrArray *tasks;          /* owned; of Task, in the order of their jobs */
  guint n_pictures;
} Generate;

static void
task_free (gpointer data)
{
  Task *self = data;

  zie_request_clear (&self->request);
  g_clear_pointer (&self->plan, zie_plan_unref);
  g_clear_pointer (&self->job, zie_job_unref);
  g_clear_pointer (&self->report, zie_report_free);
  g_free (self);
}

static void
generate_clear (Generate *self)
{
  /* The engine first: its jobs end with it. */
  g_clear_pointer (&self->engine, zie_engine_unref);
  g_clear_pointer (&self->tasks, g_ptr_array_unref);
  g_clear_pointer (&self->model, zie_model_unref);
  cli_output_clear (&self->output);
  cli_report_clear (&self->report);
  cli_request_options_clear (&self->options);
  g_clear_pointer (&self->prompt, g_free);
  g_clear_pointer (&self->prompts_file, g_free);
  g_clear_pointer (&self->output_name, g_free);
  g_clear_pointer (&self->preview_dir, g_free);
  g_clear_pointer (&self->report_file, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Generate, generate_clear)

static gboolean
parse_options (Generate *self, int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = {
    { "prompt", 'p', 0, G_OPTION_ARG_FILENAME, &self->prompt, N_("what to paint; “-” reads it from standard input"), N_("TEXT") },
    { "prompts-file", 0, 0, G_OPTION_ARG_FILENAME, &self->prompts_file, N_("a prompt on every line; “-” is standard input"), N_("FILE") },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &self->output_name,
      N_("PNG to write or replace, or a folder (default: a name from prompt and seed, here)"), N_("FILE") },
    { "preview-dir", 0, 0, G_OPTION_ARG_FILENAME, &self->preview_dir, N_("save a small preview of each step in this folder"), N_("DIR") },
    { "report", 0, 0, G_OPTION_ARG_FILENAME, &self->report_file, N_("write what was planned and what it took as a text"), N_("FILE") },
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &self->is_verbose, N_("say more: the plan, memory and time of each step"), NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &self->is_json, N_("one JSON object a line on standard output, no progress"), NULL },
    { NULL }
  };
  GOptionContext *context = g_option_context_new (NULL);
  char **rest = NULL;
  const GOptionEntry remaining[] = {
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &rest, NULL, NULL },
    { NULL }
  };
  gboolean is_parsed;

  g_option_context_set_summary (context, _("Paints a picture from a sentence and prints the file's name."));
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  cli_request_options_add (&self->options, context);
  g_option_context_add_main_entries (context, remaining, NULL);
  is_parsed = cli_parse (context, argc, argv, error);

  if (is_parsed && rest != NULL)
    {
      g_autofree char *shown = g_utf8_make_valid (rest[0], -1);

      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, _("“%s” is not understood; a prompt goes in quotes after --prompt"), shown);
      is_parsed = FALSE;
    }
  else if (is_parsed && (self->prompt == NULL) == (self->prompts_file == NULL))
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
                   self->prompt == NULL ? _("what shall be painted? Give --prompt TEXT or --prompts-file FILE")
                                        : _("give either --prompt or --prompts-file, not both"));
      is_parsed = FALSE;
    }

  g_strfreev (rest);
  return is_parsed;
}

/* Adds the job of PROMPT; WHERE, a line of a file or NULL, begins the message when it is refused. */
static gboolean
add_task (Generate *self, const ZieRequest *base, const char *prompt, const char *where, GError **error)
{
  Task *task = g_new0 (Task, 1);

  zie_request_copy (&task->request, base);
  g_free (task->request.prompt);
  task->request.prompt = g_strdup (prompt);
  task->first_index = self->n_pictures;
  self->n_pictures += (guint)base->n_images;
  g_ptr_array_add (self->tasks, task);

  if (zie_request_validate (&task->request, self->model, error))
    return TRUE;

  if (where != NULL)
    g_prefix_error (error, "%s: ", where);
  return FALSE;
}

static char *
read_text (Generate *self, const char *file, GError **error)
{
  char *text;

  cli_cancel_set_exits (self->cancel, TRUE);
  text = cli_read_text (file, error);
  cli_cancel_set_exits (self->cancel, FALSE);
  return text;
}

/* Every line that is not blank. */
static gboolean
add_tasks_of_file (Generate *self, const ZieRequest *base, GError **error)
{
  g_autofree char *text = read_text (self, self->prompts_file, error);
  g_autofree char *shown = g_filename_display_name (self->prompts_file);
  g_auto(GStrv) lines = NULL;

  if (text == NULL)
    return FALSE;

  lines = g_strsplit (g_str_has_prefix (text, "\xef\xbb\xbf") ? text + 3 : text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autofree char *where = g_strdup_printf (_("%s, line %u"), shown, i + 1);

      if (*g_strstrip (lines[i]) != '\0' && !add_task (self, base, lines[i], where, error))
        return FALSE;
    }

  if (self->tasks->len > 0)
    return TRUE;

  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, _("%s holds no prompt"), shown);
  return FALSE;
}

/* The last line end is the shell's, not the prompt's. */
static gboolean
add_task_of_stdin (Generate *self, const ZieRequest *base, GError **error)
{
  g_autofree char *text = read_text (self, "-", error);
  gsize length;

  if (text == NULL)
    return FALSE;

  for (length = strlen (text); length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'); length--)
    text[length - 1] = '\0';

  return add_task (self, base, text, NULL, error);
}

static gboolean
add_tasks (Generate *self, GError **error)
{
  g_auto(ZieRequest) base;

  zie_request_init (&base);
  if (!cli_request_options_apply (&self->options, self->model, &base, error))
    return FALSE;

  base.preview_every = self->preview_dir != NULL ? 1 : 0;
  if (self->prompts_file != NULL)
    return add_tasks_of_file (self, &base, error);
  if (strcmp (self->prompt, "-") == 0)
    return add_task_of_stdin (self, &base, error);

  return add_task (self, &base, self->prompt, NULL, error);
}

/* Folders that can be written, with room for what is coming. */
static gboolean
check_folders (Generate *self, GError **error)
{
  const ZieRequest *request = &((const Task *)self->tasks->pdata[0])->request;
  gboolean is_numbered = self->prompts_file != NULL || request->n_images > 1;

  if (!cli_output_init (&self->output, self->output_name, is_numbered, error)
      || !cli_check_folder (self->output.folder, cli_png_size_bound (self->n_pictures, request->width, request->height), error))
    return FALSE;

  if (self->report_file != NULL)
    {
      g_autofree char *folder = g_path_get_dirname (self->report_file);

      if (!cli_check_folder (folder, MAX_REPORT_SIZE, error))
        {
          g_prefix_error (error, "--report: ");
          return FALSE;
        }
    }

  if (self->preview_dir == NULL)
    return TRUE;

  if (g_mkdir_with_parents (self->preview_dir, 0777) != 0)
    {
      g_autofree char *shown = g_filename_display_name (self->preview_dir);

      g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE, _("the folder %s cannot be made: %s"), shown, g_strerror (errno));
      return FALSE;
    }

  return cli_check_folder (self->preview_dir,
                           cli_png_size_bound (self->n_pictures * (guint64)request->n_steps,
                                               MIN (request->width, MAX_PREVIEW_SIDE), MIN (request->height, MAX_PREVIEW_SIDE)),
                           error);
}

static void
advise (Generate *self)
{
  const Task *first = self->tasks->pdata[0];
  g_autofree char *advice = zie_request_get_advice (&first->request, self->model);

  if (advice != NULL)
    cli_report_warning (&self->report, advice);
}

/* Plans every job before the first is started: what does not fit is refused here. */
static gboolean
plan_tasks (Generate *self, GError **error)
{
  ZieBudget budget;
  ZieDevice device;

  if (!cli_request_options_get_budget (&self->options, &budget, error))
    return FALSE;

  zie_engine_get_device (self->engine, &device);
  for (guint i = 0; i < self->tasks->len; i++)
    {
      Task *task = self->tasks->pdata[i];

      if (!(task->plan = zie_plan_new (self->model, &device, &task->request, &budget, error)))
        return FALSE;
    }

  for (guint i = 0; self->report_file != NULL && i < self->tasks->len; i++)
    {
      Task *task = self->tasks->pdata[i];

      task->report = zie_report_new (self->model, &task->request, task->plan);
    }

  if (self->is_verbose)
    {
      g_autofree char *text = zie_plan_to_text (((Task *)self->tasks->pdata[0])->plan);

      g_printerr (_("model %s, device %s\n%s\n"), zie_model_get_info (self->model)->name, device.name, text);
    }

  return TRUE;
}

static gboolean
submit_tasks (Generate *self, GError **error)
{
  for (guint i = 0; i < self->tasks->len; i++)
    {
      Task *task = self->tasks->pdata[i];

      if (!(task->job = zie_engine_submit (self->engine, self->model, &task->request, task->plan, error)))
        return FALSE;
      cli_cancel_add_job (self->cancel, task->job);
    }

  return TRUE;
}

static Task *
find_task (Generate *self, guint64 job_id)
{
  for (guint i = 0; i < self->tasks->len; i++)
    {
      Task *task = self->tasks->pdata[i];

      if (task->job != NULL && zie_job_get_id (task->job) == job_id)
        return task;
    }

  g_assert_not_reached ();
}

/* Saves the picture that EVENT carries, if it is one to save; *PATH receives where. */
static gboolean
save (Generate *self, const ZieEvent *event, const Task *task, char **path, GError **error)
{
  guint index = task->first_index + (guint)event->image_index;

  if (event->type == ZIE_EVENT_IMAGE)
    {
      *path = cli_output_get_path (&self->output, index, task->request.prompt, event->image.seed);
      event->image.recipe->preview_every = 0;      /* how it was watched is no part of how it was made */
      return zie_image_save_png (event->image.image, *path, event->image.recipe, error);
    }

  if (event->type == ZIE_EVENT_PREVIEW && self->preview_dir != NULL)
    {
      g_autofree char *name = self->n_pictures > 1 ? g_strdup_printf ("%03u_step_%02d.png", index, event->preview.step)
                                                   : g_strdup_printf ("step_%02d.png", event->preview.step);

      *path = g_build_filename (self->preview_dir, name, NULL);
      return zie_image_save_png (event->preview.image, *path, NULL, error);
    }

  return TRUE;
}

/* One event; *ERROR keeps the first thing that went wrong, after which all jobs are on their way to an end. */
static void
handle_event (Generate *self, ZieEvent *event, GError **error)
{
  const Task *task = find_task (self, event->job_id);
  g_autoptr(GError) local = NULL;
  g_autofree char *path = NULL;

  if (task->report != NULL)
    zie_report_add_event (task->report, event);
  if (event->type == ZIE_EVENT_STARTED)
    cli_progress_begin_job (&self->progress, task->plan, task->request.n_images);

  if (!save (self, event, task, &path, &local))
    g_clear_pointer (&path, g_free);

  if (self->is_verbose || event->type == ZIE_EVENT_IMAGE || event->type == ZIE_EVENT_PLAN || event->type == ZIE_EVENT_REDO)
    cli_progress_clear (&self->progress);
  cli_report_event (&self->report, event, task->first_index + (guint)event->image_index, path);
  cli_progress_add_event (&self->progress, event);

  if (local == NULL && event->type == ZIE_EVENT_FINISHED)
    local = g_steal_pointer (&event->finished.error);
  if (local == NULL || *error != NULL)
    return;

  cli_cancel_all (self->cancel);
  g_propagate_error (error, g_steal_pointer (&local));
}

static gboolean
follow (Generate *self, GError **error)
{
  GAsyncQueue *events = zie_engine_get_events (self->engine);
  GError *first = NULL;
  guint n_finished = 0;

  while (n_finished < self->tasks->len)
    {
      g_autoptr(ZieEvent) event = g_async_queue_timeout_pop (events, TICK_US);

      if (event == NULL)
        {
          cli_progress_tick (&self->progress);
          continue;
        }
      handle_event (self, event, &first);
      n_finished += event->type == ZIE_EVENT_FINISHED;
    }

  cli_progress_clear (&self->progress);
  if (first == NULL)
    return TRUE;

  g_propagate_error (error, first);
  return FALSE;
}

static gboolean
check_cancelled (Generate *self, GError **error)
{
  if (!cli_cancel_is_set (self->cancel))
    return TRUE;

  g_set_error (error, ZIE_ERROR, ZIE_ERROR_CANCELLED, "cancelled before the start");
  return FALSE;
}

static gboolean
generate (Generate *self, GError **error)
{
  ZieEngineOptions engine_options;

  if (!cli_request_options_get_engine (&self->options, &engine_options, error)
      || !(self->model = cli_model_options_open (&self->options.model, error))
      || !add_tasks (self, error)
      || !check_folders (self, error)
      || !check_cancelled (self, error))
    return FALSE;

  advise (self);
  if (!(self->engine = zie_engine_new (&engine_options, error)) || !plan_tasks (self, error))
    return FALSE;

  cli_progress_init (&self->progress, self->n_pictures, self->is_json || self->is_verbose);
  return submit_tasks (self, error) && follow (self, error);
}

/* Of jobs that failed, too: what is known then is what is wanted.  Without plans, before which a command may fail, there is nothing to set
 * beside anything. */
static void
save_report (Generate *self, GError **error)
{
  g_autoptr(GPtrArray) reports = g_ptr_array_new ();
  GError *local = NULL;

  for (guint i = 0; i < self->tasks->len; i++)
    if (((Task *)self->tasks->pdata[i])->report != NULL)
      g_ptr_array_add (reports, ((Task *)self->tasks->pdata[i])->report);
  if (reports->len == 0 || zie_report_save ((ZieReport *const *)reports->pdata, reports->len, self->report_file, &local))
    return;

  if (*error == NULL)
    g_propagate_error (error, local);
  else
    g_error_free (local);
}

/* What the engine's log says of jobs is said in the user's words here. */
static void
drop_message (const char *domain, GLogLevelFlags level, const char *message, gpointer data)
{
}

int
cli_generate (int argc, char **argv)
{
  static const char *const log_domains[] = { "zie-engine", "zie-run" };
  g_auto(Generate) self = { 0 };
  GError *error = NULL;

  if (!parse_options (&self, argc, argv, &error))
    return cli_fail (error);

  self.tasks = g_ptr_array_new_with_free_func (task_free);
  self.cancel = cli_cancel_start ();
  cli_report_init (&self.report, self.is_json, self.is_verbose);
  for (guint i = 0; !self.is_json && i < G_N_ELEMENTS (log_domains); i++)
    g_log_set_handler (log_domains[i], G_LOG_LEVEL_MESSAGE, drop_message, NULL);

  generate (&self, &error);
  save_report (&self, &error);
  cli_report_result (&self.report, self.model, self.engine, error);
  return error != NULL ? cli_fail (error) : CLI_OK;
}
