/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <glib-unix.h>
#include <zie-hub.h>

#include "config.h"
#include "cli-bar.h"
#include "cli-i18n.h"
#include "cli-json.h"
#include "cli-options.h"

#define MAX_PARALLEL 16

/* What fetch and repair have in common, as typed. */
typedef struct
{
  char *source, *endpoint, *to, *parallel;
  gboolean is_json, discards;
  GStrv rest;
} FetchOptions;

/* One fetch while it runs. */
typedef struct
{
  ZieFetch *fetch;
  GMainLoop *loop;
  gboolean is_json, is_bar, is_interrupted;
  int last_percent;          /* of the lines where there is no bar */
  ZieFetchState last_state;
  char *last_message;        /* owned */
} Watch;

static void
fetch_options_clear (FetchOptions *self)
{
  g_free (self->source);
  g_free (self->endpoint);
  g_free (self->to);
  g_free (self->parallel);
  g_strfreev (self->rest);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FetchOptions, fetch_options_clear)

static const char *
state_words (ZieFetchState state)
{
  switch (state)
    {
    case ZIE_FETCH_CHECKING:
      return _("Checking");
    case ZIE_FETCH_ASKING:
      return _("Asking the server");
    case ZIE_FETCH_WAITING:
      return _("Waiting");
    default:
      return _("Fetching");
    }
}

static char *
progress_words (const ZieFetchProgress *progress)
{
  g_autofree char *have = cli_format_size (progress->n_bytes), *total = cli_format_size (progress->n_total);
  GString *words = g_string_new (NULL);

  g_string_append_printf (words, _("%s of %s"), have, total);
  if (progress->bytes_per_second > 0)
    {
      g_autofree char *speed = cli_format_size ((guint64)progress->bytes_per_second);

      g_string_append (words, "  ");
      g_string_append_printf (words, _("%s/s"), speed);
    }
  if (progress->seconds_left >= 0 && progress->seconds_left < 360000)
    {
      int seconds = (int)ceil (progress->seconds_left);

      g_string_append (words, "  ");
      if (seconds >= 3600)
        g_string_append_printf (words, _("%d:%02d:%02d left"), seconds / 3600, seconds / 60 % 60, seconds % 60);
      else
        g_string_append_printf (words, _("%d:%02d left"), seconds / 60, seconds % 60);
    }
  return g_string_free (words, FALSE);
}

static void
print_json_event (const ZieFetchProgress *progress)
{
  g_auto(CliJson) json;

  cli_json_init (&json);
  cli_json_open (&json, NULL, '{');
  cli_json_string (&json, "event", "progress");
  cli_json_string (&json, "state", zie_fetch_state_name (progress->state));
  cli_json_uint (&json, "bytes", progress->n_bytes);
  cli_json_uint (&json, "total", progress->n_total);
  cli_json_double (&json, "bytes_per_second", progress->bytes_per_second);
  cli_json_double (&json, "seconds_left", progress->seconds_left >= 0 ? progress->seconds_left : NAN);
  cli_json_uint (&json, "files_done", progress->n_files_done);
  cli_json_uint (&json, "files", progress->n_files);
  cli_json_string (&json, "message", *progress->message != '\0' ? progress->message : NULL);
  cli_json_close (&json, '}');
  cli_json_print (&json);
}

/* Where there is no terminal: each state once, and every tenth. */
static void
print_line (Watch *self, const ZieFetchProgress *progress, double fraction)
{
  int percent = (int)(fraction * 10) * 10;
  g_autofree char *words = NULL;

  if (progress->state == self->last_state && percent == self->last_percent)
    return;
  self->last_state = progress->state;
  self->last_percent = percent;
  words = progress_words (progress);
  g_printerr ("%s: %d %%  %s\n", state_words (progress->state), percent, words);
}

static void
on_fetch_changed (ZieFetch *fetch, gpointer user_data)
{
  Watch *self = user_data;
  ZieFetchProgress progress;
  double fraction;

  zie_fetch_get_progress (fetch, &progress);
  fraction = progress.n_total > 0 ? CLAMP ((double)progress.n_bytes / (double)progress.n_total, 0, 1) : 0;
  if (progress.state >= ZIE_FETCH_DONE)
    {
      if (self->is_bar)
        cli_bar_clear ();
      g_main_loop_quit (self->loop);
      return;
    }

  if (*progress.message != '\0' && g_strcmp0 (progress.message, self->last_message) != 0)
    {
      g_free (self->last_message);
      self->last_message = g_strdup (progress.message);
      if (self->is_bar)
        cli_bar_clear ();
      if (!self->is_json)
        g_printerr (_("zimage: %s; trying again\n"), progress.message);
    }
  if (self->is_json)
    print_json_event (&progress);
  else if (self->is_bar)
    {
      g_autofree char *words = progress_words (&progress);
      cli_bar_draw (state_words (progress.state), fraction, words);
    }
  else
    print_line (self, &progress, fraction);
}

/* The first one ends the fetch in an orderly way, the second the program. */
static gboolean
on_signal (gpointer user_data)
{
  Watch *self = user_data;

  if (self->is_interrupted)
    _exit (CLI_CANCELLED);
  self->is_interrupted = TRUE;
  zie_fetch_cancel (self->fetch);
  return G_SOURCE_CONTINUE;
}

static void
watch_signals (Watch *self)
{
  static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };

  /* Who started us with a signal ignored (nohup, a shell's background job) wants it ignored. */
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      struct sigaction action;

      if (sigaction (numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        g_unix_signal_add (numbers[i], on_signal, self);
    }
}

static void
print_json_result (ZieFetch *fetch, const ZieFetchProgress *progress, const GError *error)
{
  g_auto(CliJson) json;

  cli_json_init (&json);
  cli_json_open (&json, NULL, '{');
  cli_json_string (&json, "event", "result");
  cli_json_string (&json, "status", zie_fetch_state_name (progress->state));
  cli_json_string (&json, "path", progress->state == ZIE_FETCH_DONE ? zie_fetch_get_path (fetch) : NULL);
  cli_json_uint (&json, "bytes_received", zie_fetch_get_n_received (fetch));
  if (error != NULL)
    {
      cli_json_open (&json, "error", '{');
      cli_json_string (&json, "code", cli_error_name (error));
      cli_json_string (&json, "message", error->message);
      cli_json_close (&json, '}');
    }
  cli_json_close (&json, '}');
  cli_json_print (&json);
}

/* Runs FETCH to its end and says how it went. */
static int
watch (Watch *self)
{
  ZieFetchProgress progress;
  GError *error;

  g_main_loop_run (self->loop);
  zie_fetch_get_progress (self->fetch, &progress);
  error = zie_fetch_get_error (self->fetch);
  if (self->is_json)
    print_json_result (self->fetch, &progress, error);

  if (progress.state == ZIE_FETCH_DONE)
    {
      g_autofree char *shown = g_filename_display_name (zie_fetch_get_path (self->fetch));

      if (!self->is_json)
        g_print ("%s\n", shown);
      return CLI_OK;
    }
  if (progress.state == ZIE_FETCH_CANCELLED)
    {
      g_printerr ("zimage: %s\n", _("cancelled; what has arrived stays, and the same command goes on from there"));
      return CLI_CANCELLED;
    }
  return cli_fail (error);
}

static gboolean
get_options (const FetchOptions *self, ZieFetchOptions *options, GError **error)
{
  int n_parallel = 0;

  if (self->source != NULL && !zie_hub_source_from_name (self->source, &options->source))
    {
      g_autofree char *shown = g_utf8_make_valid (self->source, -1);

      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, _("--source must be huggingface or modelscope, not “%s”"), shown);
      return FALSE;
    }
  if (self->parallel != NULL && !cli_parse_int ("parallel", self->parallel, 1, MAX_PARALLEL, &n_parallel, error))
    return FALSE;
  options->endpoint = self->endpoint;
  options->n_parallel = (guint)n_parallel;
  return TRUE;
}

/* Repair is of what is there. */
static gboolean
check_is_there (const ZieHubModel *model, const char *folder, GError **error)
{
  ZieHubState state = zie_hub_examine (model, folder, NULL);
  g_autofree char *shown = g_filename_display_name (folder);

  if (state == ZIE_HUB_THERE || state == ZIE_HUB_BROKEN)
    return TRUE;
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND, _("%s is not in %s; “zimage models fetch %s” fetches it"), model->id, shown, model->id);
  return FALSE;
}

static int
run (const FetchOptions *self, gboolean repair)
{
  g_autofree char *folder = self->to != NULL ? g_strdup (self->to) : zie_model_get_folder ();
  ZieFetchOptions options = { .folder = folder, .repair = repair };
  Watch state = { .is_json = self->is_json, .is_bar = !self->is_json && cli_bar_is_possible (), .last_percent = -1, .last_state = ZIE_N_FETCH_STATES };
  g_autoptr(ZieCatalogue) models = NULL;
  const ZieHubModel *model;
  GError *error = NULL;
  int status;

  if (!get_options (self, &options, &error) || !cli_check_count (self->rest, 0, 1, NULL, &error)
      || (models = zie_catalogue_load (NULL, &error)) == NULL
      || (model = zie_catalogue_find (models, self->rest != NULL ? self->rest[0] : NULL, &error)) == NULL)
    return cli_fail (error);
  if (self->discards)
    return zie_hub_discard (model, folder, &error) ? CLI_OK : cli_fail (error);
  if (repair && !check_is_there (model, folder, &error))
    return cli_fail (error);

  state.loop = g_main_loop_new (NULL, FALSE);
  if ((state.fetch = zie_fetch_start (model, &options, on_fetch_changed, &state, &error)) == NULL)
    status = cli_fail (error);
  else
    {
      watch_signals (&state);
      if (!self->is_json && !repair)
        {
          g_autofree char *size = cli_format_size (model->n_bytes);
          g_printerr (model->is_size_exact ? _("%s: %s from %s, licence %s\n") : _("%s: about %s from %s, licence %s\n"), model->name, size,
                      zie_hub_source_title (options.source), model->licence);
        }
      status = watch (&state);
    }
  g_clear_pointer (&state.fetch, zie_fetch_unref);
  g_main_loop_unref (state.loop);
  g_free (state.last_message);
  return status;
}

/* Entries of both commands. */
static void
add_entries (GOptionContext *context, FetchOptions *self)
{
  const GOptionEntry entries[] = {
    { "source", 0, 0, G_OPTION_ARG_STRING, &self->source, N_("where from: huggingface (default) or modelscope"), N_("NAME") },
    { "endpoint", 0, 0, G_OPTION_ARG_STRING, &self->endpoint, N_("another server that has the same, such as a mirror"), N_("URL") },
    { "to", 0, 0, G_OPTION_ARG_FILENAME, &self->to, N_("the folder of models, in which the model gets a folder of its own"), N_("FOLDER") },
    { "parallel", 0, 0, G_OPTION_ARG_FILENAME, &self->parallel, N_("so many files side by side, 3 by default"), "N" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &self->is_json, N_("one JSON object a line"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->rest, NULL, NULL },
    { NULL }
  };

  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
}

int
cli_models_fetch (int argc, char **argv)
{
  g_auto(FetchOptions) options = { NULL };
  const GOptionEntry entries[] = {
    { "discard", 0, 0, G_OPTION_ARG_NONE, &options.discards, N_("fetch nothing: remove what a broken-off fetch has left"), NULL },
    { NULL }
  };
  GOptionContext *context = g_option_context_new (_("[NAME]"));
  GError *error = NULL;

  g_option_context_set_summary (context, _("Fetches a model of the catalogue from the network; without a name the recommended one.  What a broken-off "
                                           "fetch has left is gone on with.  Prints the model’s folder."));
  add_entries (context, &options);
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (!cli_parse (context, argc, argv, &error))
    return cli_fail (error);
  return run (&options, FALSE);
}

int
cli_models_repair (int argc, char **argv)
{
  g_auto(FetchOptions) options = { NULL };
  GOptionContext *context = g_option_context_new (_("[NAME]"));
  GError *error = NULL;

  g_option_context_set_summary (context, _("Reads every byte of a model that was fetched, and fetches again what is missing or damaged."));
  add_entries (context, &options);
  if (!cli_parse (context, argc, argv, &error))
    return cli_fail (error);
  return run (&options, TRUE);
}
