/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-broken"

/* Never a broken picture: values that are numbers in f32 and none in bf16, planted in each stage, cost a second computation of that
 * stage; values that are none anywhere are an error with the layer's name. */

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <zie/zie.h>

#include "tiny-model.h"
#include "zie-pipeline.h"
#include "zie-run-private.h"

/* Less than the largest f32, more than what rounds to the largest bf16; and what makes a moderate number of it. */
#define HUGE_F32 3.402e38f
#define TINY_F32 1e-37f
#define SIDE 32

typedef struct
{
  ZieThreads *threads;
  ZieModel *model;
  ZieRequest request;
  GPtrArray *planted;                /* memory of weights */
  const char *cut_file;              /* becomes empty … */
  int cut_after;                     /* … when so many steps are done */
  ZieBackendKind kind;

  /* What was seen. */
  guint redo;                        /* bits of stages */
  char *reason;
  GBytes *pixels;
  guint recipe_redone, n_images, n_down;
  guint64 planned;                   /* by the last smaller plan */
  ZieReport *report;
  ZiePipelineCache cache;
} Fixture;

static const char *folder;

static void
on_event (gpointer data, ZieEvent *event)
{
  Fixture *f = data;

  if (event->type == ZIE_EVENT_REDO)
    {
      f->redo |= 1u << event->redo.stage;
      g_free (f->reason);
      f->reason = g_strdup (event->redo.reason);
    }
  if (event->type == ZIE_EVENT_STEP && f->cut_file != NULL && event->step.index == f->cut_after)
    g_assert_cmpint (truncate (f->cut_file, 0), ==, 0);
  if (f->report != NULL)
    zie_report_add_event (f->report, event);
  if (event->type == ZIE_EVENT_IMAGE)
    {
      g_clear_pointer (&f->pixels, g_bytes_unref);
      f->pixels = g_bytes_ref (zie_image_get_pixels (event->image.image));
      f->recipe_redone = event->image.recipe->redone;
      f->n_images++;
      g_assert_cmpuint (event->image.n_steps, ==, (guint)f->request.n_steps);
      for (guint i = 0; i < event->image.n_steps; i++)
        g_assert_cmpfloat (event->image.step_seconds[i], >, 0);
    }
  zie_event_free (event);
}

static void
fixture_init_with (Fixture *f, const char *path, ZieCompute compute)
{
  g_autoptr(GError) error = NULL;

  *f = (Fixture) { .threads = zie_threads_new (2, FALSE), .planted = g_ptr_array_new_with_free_func (g_free), .kind = ZIE_BACKEND_CPU };
  f->model = zie_model_open (path, &error);
  g_assert_no_error (error);
  zie_request_init (&f->request);
  zie_model_init_request (f->model, &f->request);
  g_free (f->request.prompt);
  f->request.prompt = g_strdup ("a sentence of more than sixteen ids");
  f->request.width = f->request.height = SIDE;
  f->request.n_steps = 2;
  f->request.compute = compute;
}

static void
fixture_init (Fixture *f, ZieCompute compute)
{
  fixture_init_with (f, folder, compute);
}

static void
fixture_clear (Fixture *f)
{
  zie_request_clear (&f->request);
  zie_model_unref (f->model);
  zie_threads_free (f->threads);
  g_ptr_array_unref (f->planted);
  g_clear_pointer (&f->pixels, g_bytes_unref);
  g_free (f->reason);
  zie_report_free (f->report);
  if (f->cache.free != NULL)
    f->cache.free (f->cache.data);
}

static gboolean
run (Fixture *f, GError **error)
{
  g_autoptr(ZieBackend) backend = zie_backend_open (f->kind, 0, f->threads, NULL);
  ZieArenaStore arena = { 0 }, host_arena = { .is_host = TRUE };
  const ZieDevice device = { .kind = f->kind, .n_threads = zie_threads_get_n (f->threads) };
  g_autoptr(ZiePlan) plan = zie_plan_new (f->model, &device, &f->request, NULL, NULL);
  ZiePipeline pipeline = { .backend = backend, .model = f->model, .plan = plan, .request = &f->request, .emit = on_event,
                           .emit_data = f, .arena = &arena, .host_arena = &host_arena, .cache = &f->cache };
  gboolean result;

  g_clear_pointer (&f->report, zie_report_free);
  f->report = zie_report_new (f->model, &f->request, plan);
  f->redo = f->recipe_redone = f->n_images = 0;
  result = zie_pipeline_run (&pipeline, error);
  zie_arena_store_release (&arena);
  zie_arena_store_release (&host_arena);
  return result;
}

/* W becomes f32, with VALUE in column COL of every row, or in each STEP-th column from there. */
static void
plant (Fixture *f, ZieWeight *w, gint64 col, gint64 n_cols, float value)
{
  float *numbers = g_new (float, (gsize)(w->rows * w->cols));

  for (gint64 r = 0; r < w->rows; r++)
    {
      zie_weight_row_to_f32 (w, r, numbers + r * w->cols);
      for (gint64 c = col; c < col + n_cols; c++)
        numbers[r * w->cols + c] = value;
    }
  w->data = (const guint8 *)numbers;
  w->dtype = ZIE_DTYPE_F32;
  w->scales = NULL;
  g_ptr_array_add (f->planted, numbers);
}

/* A channel whose norm makes it tiny and whose product makes it moderate again. */
static void
plant_pair (Fixture *f, ZieWeight *norm, ZieWeight *matrix, gint64 taps)
{
  plant (f, norm, 5, 1, TINY_F32);
  plant (f, matrix, 5 * taps, taps, HUGE_F32);
}

static void
plant_stage (Fixture *f, ZieStage stage, gboolean is_nan)
{
  ZieQwen3Layer *layer = &f->model->text_encoder.layers[1];
  ZieDitBlock *refiner = &f->model->transformer.context_refiner[0], *block = &f->model->transformer.layers[1];
  ZieVaeRes *res = &f->model->vae.decoder.levels[0].res[0];

  if (is_nan)
    plant (f, stage == ZIE_STAGE_TEXT ? &layer->v : stage == ZIE_STAGE_REFINE ? &refiner->w1 : stage == ZIE_STAGE_SAMPLE ? &block->w1
           : &res->conv1.weight, 5, 1, NAN);
  else if (stage == ZIE_STAGE_TEXT)
    plant_pair (f, &layer->norm, &layer->v, 1);
  else if (stage == ZIE_STAGE_REFINE)
    plant_pair (f, &refiner->ffn_norm1, &refiner->w1, 1);
  else if (stage == ZIE_STAGE_SAMPLE)
    plant_pair (f, &block->ffn_norm1, &block->w1, 1);
  else
    {
      plant (f, &res->norm1.beta, 5, 1, 0);
      plant_pair (f, &res->norm1.gamma, &res->conv1.weight, 9);
    }
}

static const char *const places[] = { "layer 2 of the text encoder", "block 1 of the transformer's context refiner",
                                      "layer 2 of the transformer", "up block 1 of the VAE decoder" };

/* How far two pictures are apart, in levels of 255. */
static double
difference (GBytes *a, GBytes *b)
{
  const guint8 *p = g_bytes_get_data (a, NULL), *q = g_bytes_get_data (b, NULL);
  double sum = 0;

  g_assert_cmpuint (g_bytes_get_size (a), ==, g_bytes_get_size (b));
  for (gsize i = 0; i < g_bytes_get_size (a); i++)
    sum += abs (p[i] - q[i]);
  return sum / (double)g_bytes_get_size (a);
}

/* Out of range in bf16: the picture is the one of f32, and says how it was made. */
static void
out_of_range (gconstpointer data)
{
  ZieStage stage = GPOINTER_TO_INT (data) & 3;
  guint expected = stage == ZIE_STAGE_REFINE ? 1u << ZIE_STAGE_REFINE | 1u << ZIE_STAGE_SAMPLE : 1u << stage;
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) right = NULL;
  g_autofree char *json = NULL, *text = NULL;
  Fixture f;

  fixture_init (&f, ZIE_COMPUTE_F32);
  f.kind = GPOINTER_TO_INT (data) & 4 ? ZIE_BACKEND_REF : ZIE_BACKEND_CPU;
  plant_stage (&f, stage, FALSE);
  g_assert_true (run (&f, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (f.redo | f.recipe_redone, ==, 0);
  right = g_steal_pointer (&f.pixels);

  f.request.compute = ZIE_COMPUTE_BF16;
  f.request.n_images = f.kind == ZIE_BACKEND_REF ? 1 : 2;
  f.request.seed -= (guint64)f.request.n_images - 1;             /* the last is the one of before */
  g_assert_true (run (&f, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (f.redo, ==, 1u << stage);
  g_assert_cmpuint (f.recipe_redone, ==, expected);
  g_assert_cmpuint (f.n_images, ==, (guint)f.request.n_images);
  g_assert_nonnull (strstr (f.reason, places[stage]));
  g_test_message ("stage %s: %.3f levels from f32; %s", zie_stage_name (stage), difference (right, f.pixels), f.reason);
  g_assert_cmpfloat (difference (right, f.pixels), <, 3);

  /* Embeddings that were computed again are not there for the next job, which would not say how it came by them. */
  if (stage == ZIE_STAGE_TEXT && f.kind == ZIE_BACKEND_CPU)
    {
      g_assert_true (run (&f, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (f.redo, ==, 1u << stage);
    }

  text = zie_report_to_text (f.report);
  g_assert_nonnull (strstr (text, "computed again in f32 on the CPU: "));
  g_assert_nonnull (strstr (text, places[stage]));

  f.request.redone = f.recipe_redone;
  json = zie_request_to_json (&f.request);
  g_assert_nonnull (strstr (json, stage == ZIE_STAGE_TEXT ? "\"redone\": [\"text\"]" : stage == ZIE_STAGE_DECODE ? "\"redone\": [\"decode\"]"
                                                                                       : "\"sample\"]"));
  f.request.redone = 0;
  g_assert_true (zie_request_from_json (&f.request, json, &error));
  g_assert_cmpuint (f.request.redone, ==, expected);
  fixture_clear (&f);
}

/* The picture to start from is encoded in the stage that is shared by all. */
static void
encoder (void)
{
  g_autoptr(GError) error = NULL;
  guint8 *pixels = g_malloc (3 * SIDE * SIDE);
  ZieVaeRes *res;
  Fixture f;

  fixture_init (&f, ZIE_COMPUTE_BF16);
  for (guint i = 0; i < 3 * SIDE * SIDE; i++)
    pixels[i] = (guint8)(i * i);
  f.request.init_image = zie_image_new (SIDE, SIDE, 3 * SIDE, g_bytes_new_take (pixels, 3 * SIDE * SIDE));
  f.request.strength = 1;
  res = &f.model->vae.encoder.levels[1].res[0];
  plant (&f, &res->norm1.beta, 5, 1, 0);
  plant_pair (&f, &res->norm1.gamma, &res->conv1.weight, 9);
  g_assert_true (run (&f, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (f.redo, ==, 1u << ZIE_STAGE_REFINE);
  g_assert_nonnull (strstr (f.reason, "block 2 of the VAE encoder"));
  fixture_clear (&f);
}

/* No number at all: an error that names the layer, after one try in f32 where the first was not in f32. */
static void
not_a_number (gconstpointer data)
{
  ZieStage stage = GPOINTER_TO_INT (data);
  Fixture f;

  fixture_init (&f, ZIE_COMPUTE_F32);
  plant_stage (&f, stage, TRUE);
  for (int i = 0; i < 2; i++)
    {
      g_autoptr(GError) error = NULL;

      f.request.compute = i == 0 ? ZIE_COMPUTE_F32 : ZIE_COMPUTE_BF16;
      g_assert_false (run (&f, &error));
      g_assert_error (error, ZIE_ERROR, ZIE_ERROR_BROKEN_PICTURE);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, places[stage]));
      g_assert_cmpuint (f.redo, ==, i == 0 ? 0 : 1u << stage);
      g_assert_cmpuint (f.n_images, ==, 0);
      g_assert_true (g_str_has_prefix (error->message, "in f32 as in bf16") == (i == 1));
    }
  fixture_clear (&f);
}

/* One colour, whatever it is computed in. */
static void
flat (void)
{
  g_autoptr(GError) error = NULL;
  Fixture f;

  fixture_init (&f, ZIE_COMPUTE_BF16);
  plant (&f, &f.model->vae.decoder.conv_out.weight, 0, f.model->vae.decoder.conv_out.weight.cols, 0);
  g_assert_false (run (&f, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_BROKEN_PICTURE);
  g_assert_nonnull (strstr (error->message, "one colour"));
  g_assert_cmpuint (f.redo, ==, 1u << ZIE_STAGE_DECODE);
  fixture_clear (&f);
}

/* The second computation has to fit beside the first. */
static void
no_memory (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieBackend) backend = NULL;
  g_autoptr(ZiePlan) plan = NULL;
  ZieArenaStore arena = { 0 };
  ZieBudget budget = { 0 };
  ZieDevice device;
  ZiePipeline pipeline;
  Fixture f;

  fixture_init (&f, ZIE_COMPUTE_BF16);
  plant_stage (&f, ZIE_STAGE_DECODE, FALSE);
  device = (ZieDevice) { .kind = ZIE_BACKEND_CPU, .n_threads = 2 };
  backend = zie_backend_open (ZIE_BACKEND_CPU, 0, f.threads, &error);
  plan = zie_plan_new (f.model, &device, &f.request, NULL, &error);
  budget.ram = zie_plan_get_ram_peak (plan) + 4096;
  zie_plan_unref (plan);
  plan = zie_plan_new (f.model, &device, &f.request, &budget, &error);
  g_assert_no_error (error);
  pipeline = (ZiePipeline) { .backend = backend, .model = f.model, .plan = plan, .request = &f.request, .emit = on_event, .emit_data = &f,
                             .arena = &arena, .host_arena = &arena };
  g_assert_false (zie_pipeline_run (&pipeline, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY);
  g_assert_nonnull (strstr (error->message, "the decode stage broke"));
  g_test_message ("%s", error->message);
  zie_arena_store_release (&arena);
  fixture_clear (&f);
}

/* --- memory that is not given --- */

static ZieBackendFuncs failing_funcs;
static const ZieBackendFuncs *real_funcs;
static gint failing_alloc;         /* atomic: calls until the one that fails; from 0 on: it has failed */

static void *
try_alloc (ZieBackend *self, gsize size, GError **error)
{
  if (g_atomic_int_add (&failing_alloc, -1) != 1)
    return real_funcs->alloc (self, size, error);
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY, "no memory for the test");
  return NULL;
}

static guint64 reported_free;        /* what is said to be free now; 0: nothing is said */

static guint64
get_reported (ZieBackend *self)
{
  return reported_free;
}

static ZieBackend *
open_failing (ZieBackendKind kind, int device_index, ZieThreads *threads, GError **error)
{
  ZieBackend *backend = zie_backend_open (ZIE_BACKEND_CPU, 0, threads, error);

  real_funcs = backend->funcs;
  failing_funcs = *real_funcs;
  failing_funcs.alloc = try_alloc;
  failing_funcs.get_free = get_reported;
  backend->funcs = &failing_funcs;
  return backend;
}

static const ZieEngineFuncs failing_engine = { open_failing, zie_pipeline_run, 60 * G_USEC_PER_SEC };

/* The job's error and its picture's checksum. */
static char *
run_on_engine (ZieEngine *engine, Fixture *f, ZiePlan *plan, GError **error)
{
  g_autoptr(ZieJob) job = zie_engine_submit (engine, f->model, &f->request, plan, error);
  g_autofree char *sum = NULL;

  f->n_down = 0;
  g_assert_nonnull (job);
  for (;;)
    {
      g_autoptr(ZieEvent) event = g_async_queue_pop (zie_engine_get_events (engine));

      if (event->type == ZIE_EVENT_PLAN)
        {
          g_assert_true (event->plan.is_host);
          f->n_down++;
          f->planned = zie_plan_get_ram_peak (event->plan.plan);
        }
      if (event->type == ZIE_EVENT_IMAGE)
        sum = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, zie_image_get_pixels (event->image.image));
      if (event->type != ZIE_EVENT_FINISHED)
        continue;
      if (event->finished.error != NULL)
        g_propagate_error (error, g_error_copy (event->finished.error));
      return g_steal_pointer (&sum);
    }
}

/* On the CPU, too: each call for memory of a job that computes a stage again fails once.  Of the job's own, that costs a moment: no plan is
 * a sixteenth smaller, but the memory is back.  Of the second computation's, it ends the job; the next one is as good as the first. */
static void
refused (void)
{
  g_autofree char *right = NULL;
  guint n_errors = 0, last = 3;
  Fixture f;

  fixture_init (&f, ZIE_COMPUTE_BF16);
  plant_stage (&f, ZIE_STAGE_DECODE, FALSE);
  for (guint nth = 0; nth <= last; nth++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(ZieEngine) engine = zie_engine_new_with_funcs (&(ZieEngineOptions) { .n_threads = 2 }, &failing_engine, &error);
      g_autofree char *pixels = NULL, *again = NULL;

      g_assert_no_error (error);
      g_atomic_int_set (&failing_alloc, (gint)nth);
      pixels = run_on_engine (engine, &f, NULL, &error);
      if (pixels == NULL)
        {
          g_assert_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY);
          g_clear_error (&error);
          g_assert_cmpuint (nth, ==, 2);
          n_errors++;
        }
      g_assert_cmpint (g_atomic_int_get (&failing_alloc) <= 0, ==, nth < last);
      if (right == NULL)
        right = g_strdup (pixels);
      g_atomic_int_set (&failing_alloc, 0);
      again = run_on_engine (engine, &f, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (again, ==, right);
    }
  g_assert_cmpuint (n_errors, ==, 1);
  fixture_clear (&f);
}

static ZieEngine *
open_anew (ZieEngine *old, gint failing)
{
  g_autoptr(GError) error = NULL;
  ZieEngine *engine;

  g_clear_pointer (&old, zie_engine_unref);
  g_atomic_int_set (&failing_alloc, failing);
  engine = zie_engine_new_with_funcs (&(ZieEngineOptions) { .n_threads = 2 }, &failing_engine, &error);
  g_assert_no_error (error);
  return engine;
}

/* A model whose decode takes less in bands, as the real one's does: where a smaller plan is possible, memory that is refused, or that went
 * while the job waited, costs the decode its one piece and no job. */
static void
smaller (void)
{
  static const TinyModelShape shape = { .dim = 256, .n_layers = 1, .text_dim = 64, .text_ffn = 96, .text_heads = 4, .text_kv_heads = 2,
                                        .text_head_dim = 32, .n_text_layers = 3, .vae_channels = { 32, 128, 128, 128 }, .vae_layers = 1 };
  char *heavy = g_dir_make_tmp ("zie-heavy-XXXXXX", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieEngine) engine = NULL;
  g_autoptr(ZiePlan) plan = NULL;
  g_autofree char *right = NULL, *pixels = NULL, *later = NULL;
  ZieDevice device;
  Fixture f;

  tiny_model_write_shape (heavy, &shape, 1);
  fixture_init_with (&f, heavy, ZIE_COMPUTE_F32);
  f.request.width = f.request.height = 256;
  f.request.n_steps = 1;
  engine = open_anew (NULL, 0);
  zie_engine_get_device (engine, &device);
  plan = zie_plan_new (f.model, &device, &f.request, NULL, &error);
  g_assert_no_error (error);
  right = run_on_engine (engine, &f, plan, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (f.n_down, ==, 0);

  engine = open_anew (engine, 1);
  pixels = run_on_engine (engine, &f, plan, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (f.n_down, ==, 1);
  g_assert_cmpuint (f.planned, <=, zie_plan_get_ram_peak (plan) / 16 * 15);
  g_assert_cmpstr (pixels, ==, right);

  engine = open_anew (engine, 0);
  reported_free = zie_plan_get_ram_peak (plan) - 1;
  later = run_on_engine (engine, &f, plan, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (f.n_down, ==, 1);
  g_assert_cmpuint (f.planned, <=, reported_free);
  g_assert_cmpstr (later, ==, right);

  engine = open_anew (engine, 0);
  reported_free = 4096;
  g_assert_null (run_on_engine (engine, &f, plan, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY);
  reported_free = 0;
  fixture_clear (&f);
  tiny_model_remove (heavy);
}

/* A drive that is unplugged, a download that replaces a file: the part's file is empty from some moment on.  No crash, no picture made of
 * zeros, and nothing is tried with that model again; opened anew when the file is back, it makes the right one. */
static void
lost_file (gconstpointer data)
{
  static const char *const parts[] = { "text_encoder/model", "transformer/diffusion_pytorch_model", "vae/diffusion_pytorch_model" };
  guint part = GPOINTER_TO_UINT (data) & 3;
  ZieCompute compute = GPOINTER_TO_UINT (data) & 4 ? ZIE_COMPUTE_BF16 : ZIE_COMPUTE_F32;
  char *copy = tiny_model_new (3);
  g_autofree char *path = g_strdup_printf ("%s/%s.safetensors", copy, parts[part]), *bytes = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieEngine) engine = NULL;
  g_autoptr(GBytes) right = NULL;
  gsize size;
  Fixture f;

  g_assert_true (g_file_get_contents (path, &bytes, &size, NULL));
  fixture_init_with (&f, copy, compute);
  g_assert_true (run (&f, &error));
  g_assert_no_error (error);
  right = g_steal_pointer (&f.pixels);
  fixture_clear (&f);

  fixture_init_with (&f, copy, compute);
  f.cut_file = path;
  f.cut_after = (int)part;                       /* the transformer's between two steps, the VAE's before the decode */
  if (part == 0)
    g_assert_cmpint (truncate (path, 0), ==, 0);
  for (int i = 0; i < 2; i++)
    {
      g_assert_false (run (&f, &error));
      g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_LOST);
      g_assert_nonnull (strstr (error->message, path));
      g_assert_cmpuint (f.n_images, ==, 0);
      g_assert_cmpuint (f.redo, ==, 0);
      g_clear_error (&error);
    }
  engine = zie_engine_new (&(ZieEngineOptions) { .backend = ZIE_BACKEND_CPU, .n_threads = 2 }, &error);
  g_assert_no_error (error);
  g_assert_null (zie_engine_submit (engine, f.model, &f.request, NULL, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_LOST);
  g_clear_error (&error);
  fixture_clear (&f);

  g_assert_true (g_file_set_contents (path, bytes, (gssize)size, NULL));
  fixture_init_with (&f, copy, compute);
  g_assert_true (run (&f, &error));
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (f.pixels, right));
  fixture_clear (&f);
  tiny_model_remove (copy);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = tiny_model_new (3);
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    {
      g_autofree char *range = g_strdup_printf ("/broken/out-of-range/%s", zie_stage_name ((ZieStage)stage));
      g_autofree char *nan = g_strdup_printf ("/broken/not-a-number/%s", zie_stage_name ((ZieStage)stage));

      g_test_add_data_func (range, GINT_TO_POINTER (stage), out_of_range);
      g_test_add_data_func (nan, GINT_TO_POINTER (stage), not_a_number);
    }
  g_test_add_data_func ("/broken/out-of-range/text-ref", GINT_TO_POINTER (4 | ZIE_STAGE_TEXT), out_of_range);
  for (guint i = 0; i < 8; i++)
    if ((i & 3) < 3)
      {
        g_autofree char *path = g_strdup_printf ("/broken/lost-file/%s-%s", i & 4 ? "bf16" : "f32",
                                                 (i & 3) == 0 ? "text-encoder" : (i & 3) == 1 ? "transformer" : "vae");

        g_test_add_data_func (path, GUINT_TO_POINTER (i), lost_file);
      }
  g_test_add_func ("/broken/encoder", encoder);
  g_test_add_func ("/broken/flat", flat);
  g_test_add_func ("/broken/no-memory", no_memory);
  g_test_add_func ("/broken/refused", refused);
  g_test_add_func ("/broken/smaller", smaller);
  result = g_test_run ();
  tiny_model_remove ((char *)folder);
  return result;
}
