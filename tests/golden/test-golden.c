/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-golden"

/* Our networks, stage by stage and block by block, against what diffusers and transformers computed on the same weights
 * (make-golden.py); then whole jobs through the engine.  ZIE_BACKEND chooses the backend; --small leaves out what takes plain
 * loops minutes. */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <glib/gstdio.h>
#include <zie/zie.h>

#include "golden.h"
#include "zie-backend.h"
#include "zie-dump.h"

/* Against the float64 record.  Sums of a few hundred products in fp32 are within 1e-6; the reference's own float32 run is 1.1e-6
 * off at most.  The bound is 20 times that: sums in another order pass; a dropped token, a wrong position or a missing norm
 * gives 1e-2 and more. */
#define F32_TOLERANCE 2e-5

/* A wrong eps (1e-6 for 1e-5) moves a stage by about 5e-6 only, so that where nothing else is known to differ the bound is
 * this many times the reference's own error. */
#define F32_OWN_ERRORS 4.0

/* Ours may not be farther from float64 than what the reference's bf16 run already accepts.  A quarter on top, because the two
 * errors are single draws of a random size.  The same on a card, whose activations are bf16 like the reference's: ours are
 * rounded in fewer places (a norm, its gate and the sum that it goes to are one op, statistics and modulation are fp32). */
#define BF16_OWN_ERRORS 1.25

/* Whole jobs, float32 against float32 through up to nine steps: both carry their own rounding, and a step's error is amplified by
 * the steps after it; correct runs were seen to differ by 3e-6. */
#define WHOLE_TOLERANCE 2e-5

typedef struct
{
  const Golden *golden;
  JsonObject *run;
  const char *name;          /* of the run */
  ZieCompute compute;
} Case;

static ZieThreads *threads;
static ZieBackend *backend;
static gboolean is_small;    /* set once, from the command line */

/* ---- running one stage ------------------------------------------------------------------------------------------------- */

/* On a device with memory of its own: all weights of the model stay there.  What is there already does. */
static void
place_weights (const ZieModel *model)
{
  const ZieWeights *const networks[] = { model->text_encoder.weights, model->transformer.weights, model->vae.weights };
  g_autoptr(GArray) places = g_array_new (FALSE, FALSE, sizeof (ZieBlockPlace));
  g_autoptr(GError) error = NULL;

  if (backend->funcs->place == NULL)
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (networks); i++)
    for (guint b = 0; b < zie_weights_get_n_blocks (networks[i]); b++)
      {
        ZieBlockPlace place = { .block = zie_weights_get_block (networks[i], (int)b), .is_resident = TRUE };

        for (guint w = 0; w < place.block->n_weights; w++)
          place.size += backend->funcs->weight_size (&place.block->weights[w]);
        if (place.size > 0)
          g_array_append_val (places, place);
      }
  backend->funcs->place (backend, &(ZieWeightPlaces) { .places = (ZieBlockPlace *)(gpointer)places->data, .n_places = places->len },
                         &error);
  g_assert_no_error (error);
}

/* A network that stopped by itself: what the device says of it. */
static void
assert_done (gboolean is_done)
{
  g_autoptr(GError) error = NULL;

  if (!is_done && backend->funcs->check != NULL)
    backend->funcs->check (backend, &error);
  g_assert_no_error (error);
  g_assert_true (is_done);
}

typedef void (*StageFunc) (const Case *c, ZieOpCtx *ctx, gpointer data);

/* FUNC twice: on the counting device, then on the real one with exactly the memory that was counted. */
static void
run_stage (const Case *c, StageFunc func, gpointer data)
{
  g_autoptr(GError) error = NULL;
  ZieOps counting;
  ZieTally tally = { 0 };
  ZieArena device, host, counted_device, counted_host;
  ZieOpCtx ctx, counter;
  void *memory, *host_memory;

  zie_backend_init_ctx (backend, &ctx, &device, &host, c->compute, NULL);
  zie_ops_init_counting (&counting, &backend->ops);
  zie_arena_init_counting (&counted_device);
  zie_arena_init_counting (&counted_host);
  counter = ctx;
  counter.ops = &counting;
  counter.arena = &counted_device;
  counter.host = &counted_host;
  counter.tally = &tally;
  func (c, &counter, data);
  g_assert_cmpfloat (tally.flops, >, 0);

  place_weights (c->golden->model);
  memory = backend->funcs->alloc (backend, counted_device.peak, &error);
  g_assert_no_error (error);
  host_memory = g_aligned_alloc (1, counted_host.peak + 1, ZIE_ARENA_ALIGN);
  zie_arena_init (&device, memory, counted_device.peak);
  zie_arena_init (&host, host_memory, counted_host.peak);
  func (c, &ctx, data);
  g_assert_cmpuint (device.peak, ==, counted_device.peak);
  g_assert_cmpuint (host.peak, ==, counted_host.peak);
  if (backend->funcs->check != NULL)
    backend->funcs->check (backend, &error);
  g_assert_no_error (error);
  g_aligned_free (host_memory);
  backend->funcs->free (backend, memory, counted_device.peak);
}

/* ---- comparing --------------------------------------------------------------------------------------------------------- */

static void
check (const Case *c, const char *stage, const GoldenTensor *want, const float *got, double own_f32)
{
  double limit, e = golden_error (want, got);

  if (c->compute == ZIE_COMPUTE_BF16)
    limit = BF16_OWN_ERRORS * want->error_bf16;
  else
    limit = own_f32 > 0 ? MIN (F32_TOLERANCE, own_f32 * want->error_f32) : F32_TOLERANCE;
  g_test_message ("%s %s %s: %.2e of at most %.2e (the reference: f32 %.1e, bf16 %.1e)", c->name, stage, zie_compute_name (c->compute), e,
                  limit, want->error_f32, want->error_bf16);
  if (!(e <= limit))
    {
      g_test_message ("%s %s %s is wrong", c->golden->name, c->name, stage);
      g_test_fail ();
    }
}

/* Every tensor of the dump at PATH that the record has under PREFIX; how many. */
static int
check_dump (const Case *c, const char *path, const char *prefix, double own_f32)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieWeightFile) dump = zie_weight_file_open (path, &error);
  int n = 0;

  g_assert_no_error (error);
  for (guint i = 0; i < zie_weight_file_get_n (dump); i++)
    {
      const ZieTensorInfo *info = zie_weight_file_get (dump, i);
      GoldenTensor want;

      if (!golden_find (c->golden, &want, "%s/%s/%s", c->name, prefix, info->name) || info->dtype != ZIE_DTYPE_F32)
        continue;
      g_assert_cmpint (info->n_dims, ==, want.n_dims);
      for (int d = 0; d < want.n_dims; d++)
        g_assert_cmpint (info->dims[d], ==, want.dims[d]);
      check (c, info->name, &want, (const float *)(gconstpointer)info->data, own_f32);
      n++;
    }
  return n;
}

static char *
begin_dump (void)
{
  g_autoptr(GError) error = NULL;
  char *path;
  int fd = g_file_open_tmp ("zimage-golden-XXXXXX.safetensors", &path, &error);

  g_assert_no_error (error);
  g_close (fd, NULL);
  zie_dump_begin (path, &error);
  g_assert_no_error (error);
  return path;
}

static void
end_dump (void)
{
  g_autoptr(GError) error = NULL;

  zie_dump_end (&error);
  g_assert_no_error (error);
}

static gboolean
has_blocks (const Case *c)
{
  return json_object_get_boolean_member (c->run, "blocks");
}

static int
get_int (const Case *c, const char *key)
{
  return (int)json_object_get_int_member (c->run, key);
}

static double
get_double_or (const Case *c, const char *key, double fallback)
{
  return json_object_has_member (c->run, key) ? json_object_get_double_member (c->run, key) : fallback;
}

/* The record's token ids; borrowed. */
static const gint32 *
get_ids (const Case *c, guint *n)
{
  g_autofree char *name = g_strdup_printf ("%s/whole/ids", c->name);
  const ZieTensorInfo *info = zie_weight_file_lookup (c->golden->record, name);

  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_I32);
  *n = (guint)info->dims[0];
  return (const gint32 *)(gconstpointer)info->data;
}

/* FALSE, and the test skipped, where the backend cannot compute as the case asks or would take minutes. */
static gboolean
can_run (const Case *c, gboolean whole)
{
  gboolean is_quick = has_blocks (c) || get_int (c, "n_steps") == 1;

  if (c->compute == ZIE_COMPUTE_F32 && backend->act != ZIE_DTYPE_F32)
    g_test_skip ("this backend does not compute in f32");
  else if (is_small && (!is_quick || (whole && c->compute != ZIE_COMPUTE_F32)))
    g_test_skip ("--small: plain loops would take minutes; the smaller runs cover them");
  else
    return TRUE;
  return FALSE;
}

/* ---- stages ------------------------------------------------------------------------------------------------------------ */

static void
test_tokens (gconstpointer data)
{
  const Case *c = data;
  guint n_want, n_got;
  const gint32 *want = get_ids (c, &n_want);
  g_autofree gint32 *got = zie_model_tokenize (c->golden->model, json_object_get_string_member (c->run, "prompt"), TRUE, &n_got);

  g_assert_cmpmem (got, n_got * sizeof *got, want, n_want * sizeof *want);
}

static void
run_text (const Case *c, ZieOpCtx *ctx, gpointer data)
{
  guint n;
  const gint32 *ids = get_ids (c, &n);
  const ZieQwen3 *net = &c->golden->model->text_encoder;
  ZieTensor embeds = zie_tensor_new (ctx->arena, ctx->act, n, net->config.dim);

  assert_done (zie_qwen3_forward (net, ctx, ids, n, &embeds));
  ctx->ops->download (ctx, data, &embeds);
}

static void
test_text (gconstpointer data)
{
  const Case *c = data;
  g_autofree char *path = NULL;
  g_autofree float *embeds = NULL;
  GoldenTensor want;
  int n;

  if (!can_run (c, FALSE))
    return;
  golden_get (c->golden, &want, "%s/stage/text.embeds", c->name);
  embeds = g_new (float, want.n);
  path = begin_dump ();
  run_stage (c, run_text, embeds);
  end_dump ();
  check (c, "text.embeds", &want, embeds, F32_OWN_ERRORS);
  n = check_dump (c, path, "stage", F32_OWN_ERRORS);
  g_assert_cmpint (n, ==, has_blocks (c) ? c->golden->model->text_encoder.config.n_layers : 0);
  g_remove (path);
}

/* The first and the last step of the run, as two steps of one schedule. */
typedef struct
{
  int n_steps, steps[2];
  GoldenTensor in[2], out[2], embeds;
  float *got[2];
} Transformer;

static void
run_transformer (const Case *c, ZieOpCtx *ctx, gpointer data)
{
  Transformer *t = data;
  const ZieDit *net = &c->golden->model->transformer;
  int h = get_int (c, "height") / ZIE_VAE_SCALE, w = get_int (c, "width") / ZIE_VAE_SCALE;
  ZieTensor embeds = zie_tensor_new (ctx->arena, ctx->act, t->embeds.dims[0], t->embeds.dims[1]);
  ZieTensor latent = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, net->config.in_channels, (gint64)h * w);
  ZieTensor out = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, net->config.in_channels, (gint64)h * w);
  ZieDitModulation modulation;
  ZieDitPrompt prompt;
  float tin[2];

  for (int i = 0; i < t->n_steps; i++)
    {
      GoldenTensor time;
      golden_get (c->golden, &time, "%s/feed/step%d.t", c->name, t->steps[i]);
      tin[i] = time.values[0];
    }
  ctx->ops->upload (ctx, &embeds, t->embeds.values);
  zie_dit_prepare_prompt (net, ctx, &embeds, h, w, &prompt);
  zie_dit_prepare_modulation (net, ctx, tin, t->n_steps, &modulation);
  for (int i = 0; i < t->n_steps; i++)
    {
      ctx->ops->upload (ctx, &latent, t->in[i].values);
      assert_done (zie_dit_forward (net, ctx, &prompt, &modulation, i, &latent, &out));
      ctx->ops->download (ctx, t->got[i], &out);
    }
}

static void
test_transformer (gconstpointer data)
{
  const Case *c = data;
  const ZieDitConfig *config = &c->golden->model->transformer.config;
  g_autofree char *path = NULL;
  int last = get_int (c, "n_steps") - 1, n;
  Transformer t = { .n_steps = last > 0 ? 2 : 1, .steps = { 0, last } };

  if (!can_run (c, FALSE))
    return;
  golden_get (c->golden, &t.embeds, "%s/feed/text.embeds", c->name);
  for (int i = 0; i < t.n_steps; i++)
    {
      golden_get (c->golden, &t.in[i], "%s/feed/step%d.in", c->name, t.steps[i]);
      golden_get (c->golden, &t.out[i], "%s/stage/step%d.out", c->name, t.steps[i]);
      g_assert_cmpuint (t.in[i].stride, ==, 1);
      t.got[i] = g_new (float, t.out[i].n);
    }

  path = begin_dump ();
  run_stage (c, run_transformer, &t);
  end_dump ();
  /* Late steps: the time embedding's angles reach hundreds of radians, where correct fp32 programs differ by 1e-5. */
  for (int i = 0; i < t.n_steps; i++)
    check (c, i == 0 ? "first step" : "last step", &t.out[i], t.got[i], i == 0 ? F32_OWN_ERRORS : 0);
  n = check_dump (c, path, "stage", F32_OWN_ERRORS);
  g_assert_cmpint (n, ==, has_blocks (c) ? 1 + 2 * config->n_refiner_layers + config->n_layers : 0);
  g_remove (path);
  g_free (t.got[0]);
  g_free (t.got[1]);
}

typedef struct
{
  const Case *c;
  ZieOpCtx *ctx;
  float *latent;             /* in model space */
  float *planes;             /* [3, H, W] */
  gint64 h, w;
  const ZieVaeCut *cut;      /* NULL: in one piece */
} Decode;

static gboolean
on_band (gpointer data, int index, int n_bands, gint64 y, const ZieTensor *rows)
{
  Decode *d = data;
  g_autofree float *host = g_new (float, (gsize)(rows->rows * 3));

  d->ctx->ops->download (d->ctx, host, rows);
  for (gint64 i = 0; i < rows->rows; i++)
    for (gint64 k = 0; k < 3; k++)
      d->planes[k * d->h * d->w + y * d->w + i] = host[3 * i + k];
  return TRUE;
}

static void
run_decode (const Case *c, ZieOpCtx *ctx, gpointer data)
{
  Decode *d = data;
  const ZieVae *net = &c->golden->model->vae;
  int h = (int)d->h / ZIE_VAE_SCALE, w = (int)d->w / ZIE_VAE_SCALE;
  ZieVaeSink sink = { NULL, on_band, d };
  ZieTensor latent = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, net->config.latent_channels, (gint64)h * w);

  d->ctx = ctx;
  ctx->ops->upload (ctx, &latent, d->latent);
  assert_done (zie_vae_decode (net, ctx, &latent, h, w, d->cut, &sink));
}

/* Cut in every way it is the same picture: its bytes on the CPU, where an element's sum has one order; on a card, whose kernels
 * may take another shape for a band, within 1 of 255. */
static void
check_cuts (const Case *c, const Decode *whole, gsize n)
{
  static const ZieVaeCut cuts[] = {
    { { ZIE_VAE_WHOLE, ZIE_VAE_WHOLE, ZIE_VAE_WHOLE, ZIE_VAE_BANDS }, 16, TRUE },
    { { ZIE_VAE_WHOLE, ZIE_VAE_WHOLE, ZIE_VAE_BANDS, ZIE_VAE_SPILL_X }, 32, FALSE },
    { { ZIE_VAE_WHOLE, ZIE_VAE_SPILL_X, ZIE_VAE_SPILL, ZIE_VAE_SPILL }, 16, TRUE },
  };
  gboolean is_exact = backend->act == ZIE_DTYPE_F32;
  g_autofree float *planes = g_new0 (float, n);

  for (guint i = 0; i < G_N_ELEMENTS (cuts); i++)
    {
      Decode d = *whole;
      double worst = 0;

      d.planes = planes;
      d.cut = &cuts[i];
      run_stage (c, run_decode, &d);
      for (gsize k = 0; k < n; k++)
        worst = MAX (worst, fabs ((double)planes[k] - (double)whole->planes[k]));
      g_test_message ("cut %u: at most %g from the picture in one piece", i, worst);
      g_assert_cmpfloat (worst, <=, is_exact ? 0 : 2 / 255.0);
    }
}

static void
test_decode (gconstpointer data)
{
  const Case *c = data;
  const ZieVaeConfig *config = &c->golden->model->vae.config;
  g_autofree float *latent = NULL, *planes = NULL;
  g_autofree char *path = NULL;
  Decode d = { c, NULL, NULL, NULL, get_int (c, "height"), get_int (c, "width") };
  GoldenTensor in, image;
  int n;

  if (!can_run (c, FALSE))
    return;
  golden_get (c->golden, &in, "%s/feed/vae.in", c->name);
  golden_get (c->golden, &image, "%s/stage/image", c->name);
  g_assert_cmpuint (in.stride, ==, 1);
  d.latent = latent = g_new (float, in.n);
  d.planes = planes = g_new0 (float, image.n);
  for (gsize i = 0; i < in.n; i++)           /* the record begins behind the unscaling */
    latent[i] = (in.values[i] - config->shift_factor) * config->scaling_factor;

  path = begin_dump ();
  run_stage (c, run_decode, &d);
  end_dump ();
  check (c, "image", &image, planes, F32_OWN_ERRORS);
  n = check_dump (c, path, "stage", F32_OWN_ERRORS);
  g_assert_cmpint (n, ==, has_blocks (c) ? 1 + ZIE_VAE_LEVELS : 0);
  g_remove (path);
  if (has_blocks (c))
    check_cuts (c, &d, image.n);
}

typedef struct
{
  GoldenTensor picture, mean, logvar;
  float *got_mean, *got_logvar;
} Encode;

static void
run_encode (const Case *c, ZieOpCtx *ctx, gpointer data)
{
  Encode *e = data;
  const ZieVae *net = &c->golden->model->vae;
  int height = get_int (c, "height"), width = get_int (c, "width"), h = height / ZIE_VAE_SCALE, w = width / ZIE_VAE_SCALE;
  ZieTensor picture = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, 3, (gint64)height * width);
  ZieTensor mean = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, net->config.latent_channels, (gint64)h * w);
  ZieTensor logvar = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, net->config.latent_channels, (gint64)h * w);

  ctx->ops->upload (ctx, &picture, e->picture.values);
  assert_done (zie_vae_encode (net, ctx, &picture, h, w, &mean, &logvar));
  ctx->ops->download (ctx, e->got_mean, &mean);
  ctx->ops->download (ctx, e->got_logvar, &logvar);
}

static void
test_encode (gconstpointer data)
{
  const Case *c = data;
  g_autofree float *got_mean = NULL, *got_logvar = NULL;
  g_autofree char *path = NULL;
  Encode e = { 0 };
  int n;

  if (!can_run (c, FALSE))
    return;
  golden_get (c->golden, &e.picture, "%s/feed/picture", c->name);
  golden_get (c->golden, &e.mean, "%s/stage/vae.mean", c->name);
  golden_get (c->golden, &e.logvar, "%s/stage/vae.logvar", c->name);
  g_assert_cmpuint (e.picture.stride, ==, 1);
  e.got_mean = got_mean = g_new (float, e.mean.n);
  e.got_logvar = got_logvar = g_new (float, e.logvar.n);

  path = begin_dump ();
  run_stage (c, run_encode, &e);
  end_dump ();
  check (c, "mean", &e.mean, got_mean, F32_OWN_ERRORS);
  check (c, "logvar", &e.logvar, got_logvar, F32_OWN_ERRORS);
  n = check_dump (c, path, "stage", F32_OWN_ERRORS);
  g_assert_cmpint (n, ==, ZIE_VAE_LEVELS + 1);
  g_remove (path);
}

/* ---- whole jobs -------------------------------------------------------------------------------------------------------- */

static void
init_request (const Case *c, ZieRequest *request)
{
  zie_request_init (request);
  g_free (request->prompt);
  request->prompt = g_strdup (json_object_get_string_member (c->run, "prompt"));
  if (json_object_has_member (c->run, "negative_prompt"))
    request->negative_prompt = g_strdup (json_object_get_string_member (c->run, "negative_prompt"));
  request->width = get_int (c, "width");
  request->height = get_int (c, "height");
  request->n_steps = get_int (c, "n_steps");
  request->seed = (guint64)json_object_get_int_member (c->run, "seed");
  request->guidance = get_double_or (c, "guidance", 0);
  request->cfg_normalization = get_double_or (c, "cfg_normalization", 0);
  request->cfg_truncation = get_double_or (c, "cfg_truncation", 1);
  request->compute = c->compute;
}

/* Runs REQUEST through an engine of its own while everything is dumped; the dump's path (transfer full). */
static char *
run_job (const Case *c, const ZieRequest *request)
{
  g_autoptr(GError) error = NULL;
  ZieEngineOptions options = { .backend = ZIE_BACKEND_AUTO };
  g_autoptr(ZieEngine) engine = zie_engine_new (&options, &error);
  g_autoptr(ZieJob) job = NULL;
  char *path = begin_dump ();
  gboolean finished = FALSE;

  g_assert_no_error (error);
  job = zie_engine_submit (engine, c->golden->model, request, NULL, &error);
  g_assert_no_error (error);
  while (!finished)
    {
      g_autoptr(ZieEvent) event = g_async_queue_pop (zie_engine_get_events (engine));
      if (event->type == ZIE_EVENT_FINISHED)
        {
          g_assert_no_error (event->finished.error);
          finished = TRUE;
        }
    }
  end_dump ();
  return path;
}

static void
test_whole (gconstpointer data)
{
  const Case *c = data;
  g_auto(ZieRequest) request = { 0 };
  g_autoptr(ZieWeightFile) dump = NULL;
  g_autofree char *path = NULL;
  GoldenTensor want;
  double worst = 0;

  if (!can_run (c, TRUE))
    return;
  init_request (c, &request);
  path = run_job (c, &request);
  dump = zie_weight_file_open (path, NULL);

  for (int i = 0; i <= request.n_steps; i++)
    {
      g_autofree char *name = i < request.n_steps ? g_strdup_printf ("step%d.latent", i) : g_strdup ("image");
      const ZieTensorInfo *info = zie_weight_file_lookup (dump, name);
      double e, limit;

      g_assert_nonnull (info);
      golden_get (c->golden, &want, "%s/whole/%s", c->name, name);
      g_assert_cmpuint (info->size, ==, want.n * sizeof (float));
      e = golden_error (&want, (const float *)(gconstpointer)info->data);
      limit = c->compute == ZIE_COMPUTE_BF16 ? BF16_OWN_ERRORS * want.error_bf16 : WHOLE_TOLERANCE;
      worst = MAX (worst, e / limit);
      g_test_message ("%s whole %s %s: %.2e of at most %.2e", c->name, name, zie_compute_name (c->compute), e, limit);
    }
  g_assert_cmpfloat (worst, <=, 1);
  g_remove (path);
}

static ZieImage *
picture_of (const GoldenTensor *t, int width, int height)
{
  gsize area = (gsize)width * (gsize)height;
  guint8 *rgb = g_malloc (3 * area);

  for (gsize p = 0; p < area; p++)
    for (gsize k = 0; k < 3; k++)
      rgb[3 * p + k] = (guint8)lround (((double)t->values[k * area + p] + 1) * 127.5);
  return zie_image_new (width, height, 3 * (gsize)width, g_bytes_new_take (rgb, 3 * area));
}

/* What the transformer was given in the first step that was run. */
static const ZieTensorInfo *
first_input (const ZieWeightFile *dump)
{
  for (guint i = 0; i < zie_weight_file_get_n (dump); i++)
    {
      const ZieTensorInfo *info = zie_weight_file_get (dump, i);
      if (g_str_has_prefix (info->name, "step") && g_str_has_suffix (info->name, ".in"))
        return info;
    }
  g_assert_not_reached ();
}

/* Where image to image starts and from what latent, for several strengths. */
static void
test_image_to_image (gconstpointer data)
{
  const Case *c = data;
  JsonArray *first_steps = json_object_get_array_member (c->run, "first_steps");
  GoldenTensor picture, want;

  if (!can_run (c, FALSE))
    return;
  golden_get (c->golden, &picture, "%s/feed/picture", c->name);
  for (guint i = 0; i < json_array_get_length (first_steps); i++)
    {
      JsonArray *pair = json_array_get_array_element (first_steps, i);
      g_auto(ZieRequest) request = { 0 };
      g_autoptr(ZieWeightFile) dump = NULL;
      g_autofree char *path = NULL, *name = NULL;
      const ZieTensorInfo *info;
      double e;

      init_request (c, &request);
      request.init_image = picture_of (&picture, request.width, request.height);
      request.strength = json_array_get_double_element (pair, 0);
      if (is_small && request.strength > 0.5)
        continue;                              /* too many steps for plain loops */
      if (!golden_find (c->golden, &want, "%s/stage/img2img.%g", c->name, request.strength))
        continue;                              /* no step would be run */
      path = run_job (c, &request);
      dump = zie_weight_file_open (path, NULL);
      name = g_strdup_printf ("step%d.in", (int)json_array_get_int_element (pair, 1));
      info = first_input (dump);
      g_assert_cmpstr (info->name, ==, name);
      e = golden_error (&want, (const float *)(gconstpointer)info->data);
      g_test_message ("%s image to image at %g: %s %.2e", c->name, request.strength, name, e);
      g_assert_cmpfloat (e, <=, F32_TOLERANCE);
      g_remove (path);
    }
}

/* ---- ------------------------------------------------------------------------------------------------------------------- */

static void
add (GPtrArray *cases, const Golden *golden, JsonObject *run, const char *stage, ZieCompute compute, GTestDataFunc func)
{
  Case *c = g_new (Case, 1);
  g_autofree char *path = NULL;

  *c = (Case) { golden, run, json_object_get_string_member (run, "name"), compute };
  path = g_strdup_printf ("/golden/%s/%s/%s/%s", golden->name, c->name, stage, zie_compute_name (compute));
  g_ptr_array_add (cases, c);
  g_test_add_data_func (path, c, func);
}

static void
add_run (GPtrArray *cases, const Golden *golden, JsonObject *run)
{
  static const ZieCompute computes[] = { ZIE_COMPUTE_F32, ZIE_COMPUTE_BF16 };

  add (cases, golden, run, "tokens", ZIE_COMPUTE_F32, test_tokens);
  for (gsize i = 0; i < G_N_ELEMENTS (computes); i++)
    {
      add (cases, golden, run, "text", computes[i], test_text);
      add (cases, golden, run, "transformer", computes[i], test_transformer);
      add (cases, golden, run, "decode", computes[i], test_decode);
      if (json_object_get_boolean_member (run, "blocks"))
        add (cases, golden, run, "encode", computes[i], test_encode);
      add (cases, golden, run, "whole", computes[i], test_whole);
    }
  if (json_object_get_boolean_member (run, "blocks"))
    add (cases, golden, run, "image-to-image", ZIE_COMPUTE_F32, test_image_to_image);
}

int
main (int argc, char **argv)
{
  static const char *const names[] = { "heads128", "heads64" };
  g_autoptr(GPtrArray) cases = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;
  Golden *goldens[G_N_ELEMENTS (names)];
  int rc;

  g_test_init (&argc, &argv, NULL);
  is_small = argc > 1 && strcmp (argv[1], "--small") == 0;
  threads = zie_threads_new (0, FALSE);
  backend = zie_backend_open (ZIE_BACKEND_AUTO, 0, threads, &error);
  if (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE) && g_strcmp0 (g_getenv ("ZIE_BACKEND"), "cuda") == 0)
    {
      printf ("1..0 # SKIP %s\n", error->message);
      zie_threads_free (threads);
      return 0;
    }
  g_assert_no_error (error);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      goldens[i] = golden_open (g_test_get_dir (G_TEST_DIST), names[i]);
      for (guint r = 0; r < golden_get_n_runs (goldens[i]); r++)
        add_run (cases, goldens[i], golden_get_run (goldens[i], r));
    }

  rc = g_test_run ();
  if (backend->funcs->release != NULL)           /* it may still be loading */
    backend->funcs->release (backend, FALSE);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    golden_free (goldens[i]);
  zie_backend_free (backend);
  zie_threads_free (threads);
  return rc;
}
