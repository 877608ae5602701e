/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "replay"

/* Computes a record of tests/peers/dump_reference.py again, for tests/peers/compare_reference.py:
 *
 *   replay MODEL RECORD OUT [--device auto|cuda[:N]|cpu|ref] [--dtype f32|bf16] [--threads N] [--feed]
 *
 * The token ids, the noise and the model's time of each step are the record's; so is, with --feed, what each stage starts from:
 * the embeddings and the latent before every step, so that no error is carried from one to the next.  OUT receives tensors of
 * the record's names, those of every block among them.  The request goes through the engine as any other. */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <zie/zie.h>

#include "zie-dump.h"
#include "zie-model-private.h"
#include "zie-plan-private.h"
#include "zie-run-private.h"
#include "zie-schedule.h"
#include "zie-weight-file.h"

typedef struct
{
  ZieWeightFile *file;       /* owned */
  int n_steps, h, w;         /* latent */
  ZieFeed feed;              /* points into FILE and to what follows */
  float *tin;                /* owned, as the array below */
  const float **latents;
} Record;

/* The engine's run function has no argument of its own. */
static const ZieFeed *the_feed;

static char *device_name, *dtype_name;
static int n_threads;
static gboolean is_fed;

static const GOptionEntry entries[] = {
  { "device", 0, 0, G_OPTION_ARG_STRING, &device_name, "auto, cuda, cuda:N, cpu or ref", "DEVICE" },
  { "dtype", 0, 0, G_OPTION_ARG_STRING, &dtype_name, "f32 (the default) or bf16", "TYPE" },
  { "threads", 0, 0, G_OPTION_ARG_INT, &n_threads, "threads; 0 = one a core", "N" },
  { "feed", 0, 0, G_OPTION_ARG_NONE, &is_fed, "start each stage from the record", NULL },
  { 0 },
};

static const ZieTensorInfo *
lookup (const Record *self, const char *name, ZieDtype dtype, GError **error)
{
  const ZieTensorInfo *info = zie_weight_file_lookup (self->file, name);

  if (info == NULL || info->dtype != dtype)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_TENSOR_MISSING, "%s: %s \"%s\", expected one of type %s",
                   zie_weight_file_get_path (self->file), info == NULL ? "there is no tensor" : "of another type is", name,
                   zie_dtype_name (dtype));
      return NULL;
    }
  return info;
}

static const float *
step_values (const Record *self, int step, const char *what, gsize n, GError **error)
{
  g_autofree char *name = g_strdup_printf ("step%d.%s", step, what);
  const ZieTensorInfo *info = lookup (self, name, ZIE_DTYPE_F32, error);

  if (info == NULL)
    return NULL;
  if (info->size != n * sizeof (float))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: \"%s\" has %" G_GSIZE_FORMAT " values, expected %" G_GSIZE_FORMAT,
                   zie_weight_file_get_path (self->file), name, info->size / sizeof (float), n);
      return NULL;
    }
  return (const float *)(gconstpointer)info->data;
}

/* The record's time may differ from ours by its last bit (a GPU divides by multiplying); more is another schedule. */
static gboolean
check_schedule (const Record *self, double shift, GError **error)
{
  g_autofree float *sigmas = g_new (float, (gsize)self->n_steps + 1), *tin = g_new (float, (gsize)self->n_steps);

  zie_schedule_flow_match (self->n_steps, shift, sigmas, tin);
  for (int i = 0; i < self->n_steps; i++)
    if (fabsf (tin[i] - self->tin[i]) > 1e-6f)
      {
        g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: step %d has the time %g, but the model's schedule says %g",
                     zie_weight_file_get_path (self->file), i, (double)self->tin[i], (double)tin[i]);
        return FALSE;
      }
  return TRUE;
}

static gboolean
record_open (Record *self, const char *path, const ZieModel *model, GError **error)
{
  const ZieTensorInfo *ids, *noise, *sigmas, *embeds;
  gsize n_latent;

  if (!(self->file = zie_weight_file_open (path, error))
      || !(ids = lookup (self, "ids", ZIE_DTYPE_I32, error)) || !(noise = lookup (self, "noise", ZIE_DTYPE_F32, error))
      || !(sigmas = lookup (self, "sigmas", ZIE_DTYPE_F32, error)) || !(embeds = lookup (self, "text.embeds", ZIE_DTYPE_F32, error)))
    return FALSE;

  self->n_steps = (int)(sigmas->size / sizeof (float)) - 1;
  if (noise->n_dims != 4 || noise->dims[1] != model->vae.config.latent_channels || self->n_steps < 1 || ids->size == 0
      || embeds->size / sizeof (float) != ids->size / sizeof (gint32) * (gsize)model->text_encoder.config.dim)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: its ids, noise, sigmas and embeddings are not of one run of this model",
                   path);
      return FALSE;
    }
  for (gsize i = 0; i < ids->size / sizeof (gint32); i++)
    {
      gint32 id;
      memcpy (&id, ids->data + i * sizeof id, sizeof id);
      if (id < 0 || id >= model->text_encoder.config.vocab_size)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: the id %d is beyond the model's table of %d", path, id,
                       model->text_encoder.config.vocab_size);
          return FALSE;
        }
    }

  self->h = (int)noise->dims[2];
  self->w = (int)noise->dims[3];
  n_latent = noise->size / sizeof (float);
  self->tin = g_new (float, (gsize)self->n_steps);
  self->latents = g_new0 (const float *, (gsize)self->n_steps);
  for (int i = 0; i < self->n_steps; i++)
    {
      const float *t = step_values (self, i, "t", 1, error);

      if (t == NULL || !(self->latents[i] = step_values (self, i, "in", n_latent, error)))
        return FALSE;
      self->tin[i] = *t;
    }
  if (!check_schedule (self, model->info.shift, error))
    return FALSE;

  self->feed = (ZieFeed) {
    .ids = (const gint32 *)(gconstpointer)ids->data, .n_ids = (guint)(ids->size / sizeof (gint32)),
    .noise = (const float *)(gconstpointer)noise->data, .tin = self->tin,
    .embeds = is_fed ? (const float *)(gconstpointer)embeds->data : NULL, .latents = is_fed ? self->latents : NULL,
  };
  return TRUE;
}

static void
record_clear (Record *self)
{
  g_clear_pointer (&self->file, zie_weight_file_free);
  g_clear_pointer (&self->tin, g_free);
  g_clear_pointer (&self->latents, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Record, record_clear)

static gboolean
run_with_feed (ZiePipeline *pipeline, GError **error)
{
  pipeline->feed = the_feed;
  return zie_pipeline_run (pipeline, error);
}

/* Waits for the end, prints times and memory; the job's error, or NULL. */
static GError *
follow (ZieEngine *engine)
{
  GError *failure = NULL;
  gboolean finished = FALSE;

  while (!finished)
    {
      g_autoptr(ZieEvent) event = g_async_queue_pop (zie_engine_get_events (engine));

      switch (event->type)
        {
        case ZIE_EVENT_STEP:
          fprintf (stderr, "step %d of %d: %.2f s\n", event->step.index, event->step.total, event->step.seconds);
          break;
        case ZIE_EVENT_IMAGE:
          for (int i = 0; i < ZIE_N_STAGES; i++)
            fprintf (stderr, "%s %.2f s%s", zie_stage_name ((ZieStage)i), event->image.stage_seconds[i], i + 1 < ZIE_N_STAGES ? ", " : "\n");
          break;
        case ZIE_EVENT_FINISHED:
          fprintf (stderr, "%.2f s, arena %.1f MiB, anonymous memory %.1f MiB at most\n", event->finished.seconds,
                   (double)event->finished.arena_peak / 1048576, (double)event->finished.ram_peak / 1048576);
          failure = event->finished.error ? g_error_copy (event->finished.error) : NULL;
          finished = TRUE;
          break;
        default:
          break;
        }
    }
  return failure;
}

/* What the record holds besides the outputs. */
static void
dump_inputs (const Record *record, ZieCompute compute, const ZieDevice *device)
{
  const char *const names[] = { "noise", "sigmas", "timesteps" };

  zie_dump_note ("dtype", zie_compute_name (compute));
  zie_dump_note ("device", device->name);
  zie_dump_ints ("ids", record->feed.ids, (gint64[]) { record->feed.n_ids }, 1);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      const ZieTensorInfo *info = zie_weight_file_lookup (record->file, names[i]);
      if (info != NULL && info->dtype == ZIE_DTYPE_F32)
        zie_dump_tensor (names[i], (const float *)(gconstpointer)info->data, info->dims, info->n_dims);
    }
}

static gboolean
replay (ZieModel *model, const Record *record, const char *out, const ZieEngineOptions *options, ZieCompute compute, GError **error)
{
  const ZieEngineFuncs funcs = { zie_backend_open, run_with_feed, G_USEC_PER_SEC };
  g_autoptr(ZieEngine) engine = zie_engine_new_with_funcs (options, &funcs, error);
  g_auto(ZieRequest) request = { 0 };
  g_autoptr(ZiePlan) plan = NULL;
  g_autoptr(ZieJob) job = NULL;
  g_autoptr(GError) failure = NULL;
  ZieDevice device;

  if (engine == NULL)
    return FALSE;
  zie_request_init (&request);
  g_free (request.prompt);
  request.prompt = g_strdup ("replay");        /* never encoded: the ids are fed */
  request.width = record->w * ZIE_VAE_SCALE;
  request.height = record->h * ZIE_VAE_SCALE;
  request.n_steps = record->n_steps;
  request.guidance = 0;
  request.compute = compute;
  the_feed = &record->feed;

  zie_engine_get_device (engine, &device);
  if (!(plan = zie_plan_new_for_feed (model, &device, &request, NULL, the_feed, error)) || !zie_dump_begin (out, error))
    return FALSE;
  dump_inputs (record, compute, &device);
  job = zie_engine_enqueue (engine, model, &request, plan);
  if ((failure = follow (engine)) != NULL)
    {
      zie_dump_discard ();
      g_propagate_error (error, g_steal_pointer (&failure));
      return FALSE;
    }
  return zie_dump_end (error);
}

static gboolean
run (char **argv, GError **error)
{
  ZieEngineOptions options = { .backend = ZIE_BACKEND_AUTO, .n_threads = n_threads };
  ZieCompute compute = ZIE_COMPUTE_F32;
  g_autoptr(ZieModel) model = NULL;
  g_auto(Record) record = { 0 };

  if ((device_name != NULL && !zie_device_from_name (device_name, &options.backend, &options.device_index))
      || (dtype_name != NULL && !zie_compute_from_name (dtype_name, &compute)))
    {
      g_set_error_literal (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "no such device or type; see --help");
      return FALSE;
    }
  return (model = zie_model_open_for_feed (argv[1], error)) != NULL && record_open (&record, argv[2], model, error)
         && replay (model, &record, argv[3], &options, compute, error);
}

int
main (int argc, char **argv)
{
  g_autoptr(GOptionContext) context = g_option_context_new ("MODEL RECORD OUT");
  g_autoptr(GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc != 4)
    {
      fprintf (stderr, "replay: %s\n", error ? error->message : "expected MODEL RECORD OUT; see --help");
      return 2;
    }
  if (!run (argv, &error))
    {
      fprintf (stderr, "replay: %s\n", error->message);
      return 1;
    }
  return 0;
}
