/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <zie/zie.h>

#include "tiny-model.h"

#include "zie-backend.h"
#include "zie-model-private.h"
#include "zie-vae.h"

/* However an exact decode is cut, the picture has the same bytes, takes the memory that was counted, and each band leaves before
 * the next one's last convolution starts. */

typedef struct
{
  char *folder;
  ZieModel *model;
  ZieThreads *threads;
  ZieBackend *backend;
} Fixture;

static void
set_up (Fixture *f, gconstpointer kind)
{
  g_autoptr(GError) error = NULL;

  f->folder = tiny_model_new (5);
  f->model = zie_model_open (f->folder, &error);
  g_assert_no_error (error);
  f->threads = zie_threads_new (2, FALSE);
  f->backend = zie_backend_open ((ZieBackendKind)GPOINTER_TO_INT (kind), 0, f->threads, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *f, gconstpointer kind)
{
  zie_backend_free (f->backend);
  zie_threads_free (f->threads);
  zie_model_unref (f->model);
  tiny_model_remove (f->folder);
}

/* One decode and what came of it. */
typedef struct
{
  ZieOpCtx *ctx;
  float *pixels;                 /* owned, [height * width, 3] */
  gint64 width, rows;            /* rows that have come */
  int n_bands, n_last;           /* bands, and last convolutions, so far */
  int stop_after;                /* bands; 0: never */
  int layer;
} Decode;

static Decode *watched;
static ZieOps plain_ops;

/* The last convolution is the one with three channels. */
static void
watch_conv2d (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieConv *conv, const ZieConvArgs *args)
{
  watched->n_last += conv->out == 3;
  plain_ops.conv2d (ctx, y, x, conv, args);
}

static void
on_layer (gpointer data, int layer, int n_layers)
{
  Decode *d = data;

  g_assert_cmpint (layer, ==, d->layer + 1);
  g_assert_cmpint (layer, <=, n_layers);
  d->layer = layer;
}

static gboolean
on_band (gpointer data, int index, int n_bands, gint64 y, const ZieTensor *rows)
{
  Decode *d = data;

  if (d->ctx->tally != NULL)
    return TRUE;
  g_assert_cmpint (index, ==, d->n_bands++);
  g_assert_cmpint (index, <, n_bands);
  g_assert_cmpint (d->n_last, ==, d->n_bands);
  g_assert_cmpint (y, ==, d->rows);
  d->rows += rows->h;
  d->ctx->ops->download (d->ctx, d->pixels + y * d->width * 3, rows);
  return d->n_bands != d->stop_after;
}

/* FALSE: stopped.  *PEAK: of both arenas, as counted and as taken. */
static gboolean
decode (Fixture *f, ZieCompute compute, int width, int height, const ZieVaeCut *cut, int stop_after, Decode *d, gsize peak[2])
{
  ZieOps counting_ops, watching_ops;
  ZieArena counted[2], taken[2];
  ZieTally tally = { 0 };
  ZieOpCtx ctx;
  ZieVaeSink sink = { on_layer, on_band, d };
  g_autoptr(GRand) rand = g_rand_new_with_seed ((guint32)(width * 10000 + height));
  int h = height / ZIE_VAE_SCALE, w = width / ZIE_VAE_SCALE, channels = f->model->vae.config.latent_channels;
  g_autofree float *values = g_new (float, channels * h * w);
  void *memory[2];
  ZieTensor latent;
  gboolean done;

  *d = (Decode) { .width = width, .stop_after = stop_after, .ctx = &ctx };
  for (int i = 0; i < channels * h * w; i++)
    values[i] = (float)g_rand_double_range (rand, -2, 2);

  zie_ops_init_counting (&counting_ops, &f->backend->ops);
  for (int i = 0; i < 2; i++)
    zie_arena_init_counting (&counted[i]);
  zie_backend_init_ctx (f->backend, &ctx, &counted[0], &counted[1], compute, NULL);
  ctx.ops = &counting_ops;
  ctx.tally = &tally;
  latent = zie_tensor_new (&counted[0], ZIE_DTYPE_F32, channels, (gint64)h * w);
  g_assert_true (zie_vae_decode (&f->model->vae, &ctx, &latent, h, w, cut, &sink));

  for (int i = 0; i < 2; i++)
    {
      memory[i] = g_aligned_alloc (1, MAX (counted[i].peak, 1), ZIE_ARENA_ALIGN);
      memset (memory[i], 0xff, counted[i].peak);                   /* NaN: nothing is read before it is written */
      zie_arena_init (&taken[i], memory[i], counted[i].peak);
    }
  zie_backend_init_ctx (f->backend, &ctx, &taken[0], &taken[1], compute, NULL);
  plain_ops = watching_ops = f->backend->ops;
  watching_ops.conv2d = watch_conv2d;
  ctx.ops = &watching_ops;
  watched = d;
  d->pixels = g_new0 (float, 3 * width * height);
  latent = zie_tensor_new (&taken[0], ZIE_DTYPE_F32, channels, (gint64)h * w);
  ctx.ops->upload (&ctx, &latent, values);
  done = zie_vae_decode (&f->model->vae, &ctx, &latent, h, w, cut, &sink);

  for (int i = 0; i < 2; i++)
    {
      if (done)
        g_assert_cmpuint (taken[i].peak, ==, counted[i].peak);
      peak[i] = taken[i].peak;
      g_aligned_free (memory[i]);
    }
  if (done)
    {
      g_assert_cmpint (d->rows, ==, height);
      g_assert_cmpint (d->n_bands, ==, cut ? zie_vae_cut_get_n_bands (cut, height) : (height + ctx.ops->band_rows - 1) / ctx.ops->band_rows);
    }
  return done;
}

#define W ZIE_VAE_WHOLE
#define B ZIE_VAE_BANDS
#define X ZIE_VAE_SPILL_X
#define S ZIE_VAE_SPILL

static const ZieVaeCut cuts[] = {
  { { W, W, W, W }, 16, FALSE }, { { W, W, W, W }, 16, TRUE }, { { W, W, W, B }, 16, FALSE }, { { W, W, W, B }, 8, TRUE },
  { { W, W, W, X }, 32, TRUE },  { { W, W, W, S }, 8, FALSE }, { { W, W, B, S }, 16, TRUE },  { { W, W, X, S }, 64, FALSE },
  { { W, W, S, X }, 8, TRUE },   { { W, S, S, S }, 8, TRUE },  { { W, B, B, B }, 8, FALSE },  { { W, X, S, B }, 16, FALSE },
};

static void
check_cuts (Fixture *f, ZieCompute compute, int width, int height)
{
  Decode whole, cut;
  gsize peak_whole[2], peak[2];
  gsize size = 3 * sizeof (float) * (gsize)width * (gsize)height;

  g_assert_true (decode (f, compute, width, height, NULL, 0, &whole, peak_whole));
  g_assert_cmpuint (peak_whole[1], ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (cuts); i += f->backend->funcs->kind == ZIE_BACKEND_REF ? 4 : 1)
    {
      gboolean spills = FALSE;

      for (int level = 0; level < ZIE_VAE_LEVELS; level++)
        spills = spills || cuts[i].places[level] >= X;
      g_assert_true (decode (f, compute, width, height, &cuts[i], 0, &cut, peak));
      if (memcmp (cut.pixels, whole.pixels, size) != 0)
        g_error ("cut %u of %d x %d gives another picture", i, width, height);
      g_assert_cmpint (peak[1] > 0, ==, spills);
      g_free (cut.pixels);
    }
  g_free (whole.pixels);
}

static void
test_same_bytes (Fixture *f, gconstpointer kind)
{
  static const struct { int width, height; } sizes[] = { { 16, 16 }, { 48, 16 }, { 16, 48 }, { 80, 112 }, { 16, 272 } };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    if (f->backend->funcs->kind != ZIE_BACKEND_REF || sizes[i].width * sizes[i].height <= 48 * 16)
      check_cuts (f, ZIE_COMPUTE_F32, sizes[i].width, sizes[i].height);
}

/* The same where products are bf16. */
static void
test_same_bytes_bf16 (Fixture *f, gconstpointer kind)
{
  check_cuts (f, ZIE_COMPUTE_BF16, 80, 112);
}

/* What is in host memory is not on the device. */
static void
test_memory (Fixture *f, gconstpointer kind)
{
  static const ZieVaeCut steps[] = {
    { { W, W, W, W }, 8, FALSE }, { { W, W, W, X }, 8, FALSE }, { { W, W, X, S }, 8, FALSE }, { { W, W, S, S }, 8, FALSE },
  };
  gsize last = G_MAXSIZE, peak[2];
  Decode d;

  for (guint i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      g_assert_true (decode (f, ZIE_COMPUTE_F32, 64, 512, &steps[i], 0, &d, peak));
      g_test_message ("cut %u: %" G_GSIZE_FORMAT " KiB on the device, %" G_GSIZE_FORMAT " KiB on the host", i, peak[0] >> 10, peak[1] >> 10);
      g_assert_cmpuint (peak[0], <, last);
      last = peak[0];
      g_free (d.pixels);
    }
}

/* Who is told of a band can stop the decode with it. */
static void
test_stop (Fixture *f, gconstpointer kind)
{
  Decode d;
  gsize peak[2];

  for (guint i = 0; i < G_N_ELEMENTS (cuts); i++)
    if (cuts[i].band_rows <= 16)
      {
        g_assert_false (decode (f, ZIE_COMPUTE_F32, 16, 48, &cuts[i], 2, &d, peak));
        g_assert_cmpint (d.n_bands, ==, 2);
        g_assert_cmpint (d.n_last, ==, 2);
        g_free (d.pixels);
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/decode/same-bytes/ref", Fixture, GINT_TO_POINTER (ZIE_BACKEND_REF), set_up, test_same_bytes, tear_down);
  g_test_add ("/decode/same-bytes/cpu", Fixture, GINT_TO_POINTER (ZIE_BACKEND_CPU), set_up, test_same_bytes, tear_down);
  g_test_add ("/decode/same-bytes/cpu-bf16", Fixture, GINT_TO_POINTER (ZIE_BACKEND_CPU), set_up, test_same_bytes_bf16, tear_down);
  g_test_add ("/decode/memory", Fixture, GINT_TO_POINTER (ZIE_BACKEND_CPU), set_up, test_memory, tear_down);
  g_test_add ("/decode/stop", Fixture, GINT_TO_POINTER (ZIE_BACKEND_CPU), set_up, test_stop, tear_down);
  return g_test_run ();
}
