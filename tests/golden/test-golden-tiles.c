/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-golden-tiles"

/* Decoding in blended tiles against diffusers' tiled_decode (make-tiles.py), and what a job makes of it.  ZIE_BACKEND chooses the
 * backend. */

#include <math.h>
#include <string.h>

#include <zie/zie.h>

#include "golden.h"
#include "zie-backend.h"

/* Of a picture in -1 … 1: both sides sum in f32. */
#define TOLERANCE 2e-4

static ZieThreads *threads;
static ZieBackend *backend;
static Golden *golden;
static JsonObject *record;

typedef struct
{
  ZieOpCtx *ctx;
  float *planes;                 /* [3, height, width] */
  guint8 *times;                 /* each pixel came */
  int width, height, n_tiles;
} Decode;

static gboolean
on_tile (gpointer data, int index, int n_tiles, int x, int y, int width, int height, const float *pixels, int stride)
{
  Decode *d = data;

  g_assert_null (d->ctx->tally);
  g_assert_cmpint (index, ==, d->n_tiles++);
  g_assert_cmpint (index, <, n_tiles);
  g_assert_cmpint (x + width, <=, d->width);
  g_assert_cmpint (y + height, <=, d->height);
  for (int r = 0; r < height; r++)
    for (int c = 0; c < width; c++)
      {
        d->times[(y + r) * d->width + x + c]++;
        for (int k = 0; k < 3; k++)
          d->planes[(k * d->height + y + r) * d->width + x + c] = pixels[3 * (r * stride + c) + k];
      }
  return TRUE;
}

static void
decode (Decode *d, const float *latent, const ZieVaeTiles *tiles)
{
  const ZieVae *vae = &golden->model->vae;
  int h = d->height / ZIE_VAE_SCALE, w = d->width / ZIE_VAE_SCALE;
  ZieVaeTileSink sink = { NULL, on_tile, d };
  ZieOps counting;
  ZieTally tally = { 0 };
  ZieArena counted[2], taken[2];
  ZieOpCtx ctx;
  void *memory[2];

  zie_ops_init_counting (&counting, &backend->ops);
  for (int i = 0; i < 2; i++)
    zie_arena_init_counting (&counted[i]);
  zie_backend_init_ctx (backend, &ctx, &counted[0], &counted[1], ZIE_COMPUTE_F32, NULL);
  ctx.ops = &counting;
  ctx.tally = &tally;
  d->ctx = &ctx;
  g_assert_true (zie_vae_decode_tiles (vae, &ctx, NULL, h, w, tiles, &sink));

  for (int i = 0; i < 2; i++)
    {
      memory[i] = g_aligned_alloc (1, counted[i].peak + 1, ZIE_ARENA_ALIGN);
      memset (memory[i], 0xff, counted[i].peak);
      zie_arena_init (&taken[i], memory[i], counted[i].peak);
    }
  zie_backend_init_ctx (backend, &ctx, &taken[0], &taken[1], ZIE_COMPUTE_F32, NULL);
  g_assert_true (zie_vae_decode_tiles (vae, &ctx, latent, h, w, tiles, &sink));
  for (int i = 0; i < 2; i++)
    {
      g_assert_cmpuint (taken[i].peak, ==, counted[i].peak);
      g_aligned_free (memory[i]);
    }
}

static void
test_as_diffusers (void)
{
  JsonArray *pictures = json_object_get_array_member (record, "pictures");
  int stride = (int)json_object_get_int_member (record, "stride"), channels = golden->model->vae.config.latent_channels;

  for (guint i = 0; i < json_array_get_length (pictures); i++)
    {
      JsonObject *picture = json_array_get_object_element (pictures, i);
      JsonArray *values = json_object_get_array_member (picture, "values");
      int h = (int)json_object_get_int_member (picture, "h"), w = (int)json_object_get_int_member (picture, "w");
      int n = 3 * h * w * ZIE_VAE_SCALE * ZIE_VAE_SCALE;
      g_autofree float *latent = g_new (float, channels * h * w), *planes = g_new (float, n);
      g_autofree guint8 *times = g_new0 (guint8, n / 3);
      Decode d = { .planes = planes, .times = times, .width = w * ZIE_VAE_SCALE, .height = h * ZIE_VAE_SCALE };
      ZieVaeTiles tiles;
      double worst = 0;

      for (guint64 k = 0; k < (guint64)(channels * h * w); k++)
        latent[k] = (float)((double)(guint32)(k * 2654435761u) / 4294967296.0 * 3 - 1.5);
      zie_vae_tiles_init (&tiles, d.width, d.height, (int)json_object_get_int_member (record, "size"),
                          (int)json_object_get_int_member (record, "overlap"));
      decode (&d, latent, &tiles);
      g_assert_cmpint (d.n_tiles, ==, tiles.n_down * tiles.n_across);
      for (int p = 0; p < n / 3; p++)
        g_assert_cmpint (times[p], ==, 1);
      g_assert_cmpint ((int)json_array_get_length (values), ==, (n + stride - 1) / stride);
      for (guint v = 0; v < json_array_get_length (values); v++)
        worst = MAX (worst, fabs (json_array_get_double_element (values, v) - (double)planes[v * (guint)stride]));
      g_test_message ("%d x %d latents in %d tiles: at most %.2g", h, w, d.n_tiles, worst);
      g_assert_cmpfloat (worst, <, TOLERANCE);
    }
}

static void
test_sizes (void)
{
  static const struct { int width, height, size, overlap, want_size, want_overlap, n_down, n_across; } cases[] = {
    { 768, 512, 0, 0, 384, 48, 2, 3 },   { 1024, 1024, 0, 0, 512, 64, 3, 3 }, { 2048, 1024, 0, 0, 640, 80, 2, 4 },
    { 384, 256, 0, 0, 384, 48, 1, 1 },   { 400, 256, 0, 0, 384, 48, 1, 2 },   { 1024, 1024, 256, 0, 256, 32, 5, 5 },
    { 1024, 1024, 1024, 256, 1024, 256, 1, 1 },  { 1040, 512, 1024, 256, 1024, 256, 1, 2 },  { 512, 512, 0, 1000, 384, 192, 3, 3 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      ZieVaeTiles tiles;

      zie_vae_tiles_init (&tiles, cases[i].width, cases[i].height, cases[i].size, cases[i].overlap);
      g_assert_cmpint (tiles.size, ==, cases[i].want_size);
      g_assert_cmpint (tiles.overlap, ==, cases[i].want_overlap);
      g_assert_cmpint (tiles.n_down, ==, cases[i].n_down);
      g_assert_cmpint (tiles.n_across, ==, cases[i].n_across);
    }
}

/* A whole job: tiles cover the picture and are its pixels, the plan knows their number and the memory. */
static void
test_job (void)
{
  ZieEngineOptions options = { .backend = backend->funcs->kind };
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieEngine) engine = zie_engine_new (&options, &error);
  g_autoptr(ZiePlan) plan = NULL;
  g_autoptr(ZieJob) job = NULL;
  g_autofree guint8 *pixels = g_malloc0 (3 * 112 * 96);
  g_autofree char *words = NULL;
  g_auto(ZieRequest) request = { 0 };
  ZieDevice device;
  gboolean is_finished = FALSE;
  int n_tiles = 0;

  g_assert_no_error (error);
  zie_engine_get_device (engine, &device);
  zie_request_init (&request);
  zie_model_init_request (golden->model, &request);
  g_free (request.prompt);
  request.prompt = g_strdup ("a cat");
  request.width = 112;
  request.height = 96;
  request.n_steps = 1;
  request.preview_every = 0;
  request.decode = ZIE_DECODE_BLEND;
  request.tile_size = 64;
  plan = zie_plan_new (golden->model, &device, &request, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (zie_plan_get_n_bands (plan), ==, 4);
  words = zie_plan_describe_decode (plan);
  g_assert_cmpstr (words, ==, "tiles of 64 pixels that share 8");
  job = zie_engine_submit (engine, golden->model, &request, plan, &error);
  g_assert_no_error (error);

  while (!is_finished)
    {
      g_autoptr(ZieEvent) event = g_async_queue_pop (zie_engine_get_events (engine));

      if (event->type == ZIE_EVENT_TILE)
        {
          const ZieImage *tile = event->tile.image;
          const guint8 *from = g_bytes_get_data (zie_image_get_pixels (tile), NULL);

          g_assert_cmpint (event->tile.index, ==, n_tiles++);
          g_assert_cmpint (event->tile.total, ==, 4);
          for (int y = 0; y < zie_image_get_height (tile); y++)
            memcpy (pixels + 3 * ((event->tile.y + y) * 112 + event->tile.x), from + (gsize)y * zie_image_get_stride (tile),
                    3 * (gsize)zie_image_get_width (tile));
        }
      else if (event->type == ZIE_EVENT_IMAGE)
        {
          g_assert_cmpmem (g_bytes_get_data (zie_image_get_pixels (event->image.image), NULL), 3 * 112 * 96, pixels, 3 * 112 * 96);
          g_assert_cmpint (event->image.recipe->decode, ==, ZIE_DECODE_BLEND);
        }
      else if (event->type == ZIE_EVENT_FINISHED)
        {
          g_assert_no_error (event->finished.error);
          g_assert_cmpuint (event->finished.arena_peak, ==, zie_plan_get_arena_size (plan));
          is_finished = TRUE;
        }
    }
  g_assert_cmpint (n_tiles, ==, 4);
}

int
main (int argc, char **argv)
{
  g_autoptr(JsonParser) parser = json_parser_new ();
  g_autoptr(GError) error = NULL;
  g_autofree char *path = NULL;
  int rc;

  g_test_init (&argc, &argv, NULL);
  threads = zie_threads_new (0, FALSE);
  if (!(backend = zie_backend_open (ZIE_BACKEND_AUTO, 0, threads, &error)))
    g_error ("%s", error->message);
  golden = golden_open (g_test_get_dir (G_TEST_DIST), "heads64");
  path = g_test_build_filename (G_TEST_DIST, "tiles.json", NULL);
  if (!json_parser_load_from_file (parser, path, &error))
    g_error ("%s", error->message);
  record = json_node_get_object (json_parser_get_root (parser));

  g_test_add_func ("/golden-tiles/as-diffusers", test_as_diffusers);
  g_test_add_func ("/golden-tiles/sizes", test_sizes);
  g_test_add_func ("/golden-tiles/job", test_job);
  rc = g_test_run ();

  golden_free (golden);
  zie_backend_free (backend);
  zie_threads_free (threads);
  return rc;
}
