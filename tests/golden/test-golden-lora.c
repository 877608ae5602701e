/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-golden-lora"

/* LoRAs beside the weights against the reference with LoRAs merged into them (make-lora.py), and against what diffusers and PEFT make
 * of the same files (make-lora-peft.py); and files that are refused.
 * ZIE_BACKEND chooses the backend. */

#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include "golden.h"
#include "zie-backend.h"
#include "zie-lora.h"
#include "zie-placement.h"

#define F32_OWN_ERRORS 4.0
#define BF16_OWN_ERRORS 1.25

static ZieThreads *threads;
static ZieBackend *backend;
static Golden *golden;

/* Records, the files that each was made with, its runs. */
static const struct
{
  const char *record, *files[4], *runs[6];
} sources[] = {
  { "lora.safetensors", { "lora-a.safetensors", "lora-b.safetensors" }, { "a", "a-minus", "b", "both" } },
  { "lora-diffusers.safetensors",
    { "lora-peft.safetensors", "lora-kohya.safetensors", "lora-comfy.safetensors" },
    { "peft", "kohya", "comfy", "two", "three" } },
};
static ZieWeightFile *records[G_N_ELEMENTS (sources)];

typedef struct
{
  guint source, run;
} Case;

static ZieLora *
open_lora (const char *name)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, name, NULL);
  g_autoptr(GError) error = NULL;
  ZieLora *lora = zie_lora_open (path, &golden->model->transformer, &error);

  g_assert_no_error (error);
  return lora;
}

static const float *
get (const ZieWeightFile *record, const char *name, const char *what, gsize *n)
{
  g_autofree char *full = g_strconcat (name, what, NULL);
  const ZieTensorInfo *info = zie_weight_file_lookup (record, full);

  g_assert_nonnull (info);
  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_F32);
  *n = info->size / 4;
  return (const float *)(gconstpointer)info->data;
}

/* The first step of the run "small" with LORAS. */
static void
forward (ZieOpCtx *ctx, ZieLoraSet *loras, float *got)
{
  const ZieDit *net = &golden->model->transformer;
  GoldenTensor in, t, text;
  ZieTensor embeds, latent, out;
  ZieDitModulation modulation;
  ZieDitPrompt prompt;
  int h = 48 / 8, w = 80 / 8;

  golden_get (golden, &in, "small/feed/step0.in");
  golden_get (golden, &t, "small/feed/step0.t");
  golden_get (golden, &text, "small/feed/text.embeds");
  zie_lora_set_begin (loras, ctx);
  embeds = zie_tensor_new (ctx->arena, ctx->act, text.dims[0], text.dims[1]);
  latent = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, net->config.in_channels, (gint64)h * w);
  out = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, net->config.in_channels, (gint64)h * w);
  ctx->ops->upload (ctx, &embeds, text.values);
  zie_dit_prepare_prompt (net, ctx, &embeds, h, w, &prompt);
  zie_dit_prepare_modulation (net, ctx, t.values, 1, &modulation);
  ctx->ops->upload (ctx, &latent, in.values);
  g_assert_true (zie_dit_forward (net, ctx, &prompt, &modulation, 0, &latent, &out));
  ctx->ops->download (ctx, got, &out);
  ctx->loras = NULL;
}

/* Counted first, then with exactly that memory. */
static gboolean
run (ZieCompute compute, ZieLoraSet *loras, float *got)
{
  g_autoptr(GError) error = NULL;
  ZieOps counting;
  ZieTally tally = { 0 };
  ZieArena device, host, counted_device, counted_host;
  ZieOpCtx ctx, counter;
  void *memory, *host_memory;

  zie_backend_init_ctx (backend, &ctx, &device, &host, compute, NULL);
  if (ctx.compute != compute)
    return FALSE;
  zie_ops_init_counting (&counting, &backend->ops);
  zie_arena_init_counting (&counted_device);
  zie_arena_init_counting (&counted_host);
  counter = ctx;
  counter.ops = &counting;
  counter.arena = &counted_device;
  counter.host = &counted_host;
  counter.tally = &tally;
  forward (&counter, loras, got);

  memory = backend->funcs->alloc (backend, counted_device.peak, &error);
  g_assert_no_error (error);
  host_memory = g_aligned_alloc (1, counted_host.peak + 1, ZIE_ARENA_ALIGN);
  zie_arena_init (&device, memory, counted_device.peak);
  zie_arena_init (&host, host_memory, counted_host.peak);
  forward (&ctx, loras, got);
  g_assert_cmpuint (device.peak, ==, counted_device.peak);
  g_aligned_free (host_memory);
  backend->funcs->free (backend, memory, counted_device.peak);
  return TRUE;
}

static void
test_run (gconstpointer data)
{
  const Case *c = data;
  const char *name = sources[c->source].runs[c->run], *const *files = sources[c->source].files;
  const ZieWeightFile *record = records[c->source];
  g_autoptr(GPtrArray) opened = g_ptr_array_new_with_free_func ((GDestroyNotify)zie_lora_free);
  ZieLoraSet *loras = zie_lora_set_new ();
  gsize n, n_pair, n_files;
  const float *want = get (record, name, "", &n), *errors = get (record, name, ".errors", &n_pair);
  const float *strengths = get (record, name, ".strengths", &n_files);
  g_autofree float *got = g_new0 (float, n);

  while (n_files-- > 0) /* their order does not matter */
    {
      ZieLora *lora = open_lora (files[n_files]);

      g_ptr_array_add (opened, lora);
      zie_lora_set_add (loras, lora, strengths[n_files]);
    }
  for (int bf16 = 0; bf16 < 2; bf16++)
    {
      double difference = 0, norm = 0, limit = bf16 ? BF16_OWN_ERRORS * errors[1] : F32_OWN_ERRORS * errors[0];

      if (!run (bf16 ? ZIE_COMPUTE_BF16 : ZIE_COMPUTE_F32, loras, got))
        continue;
      for (gsize i = 0; i < n; i++)
        {
          difference += (double)(got[i] - want[i]) * (got[i] - want[i]);
          norm += (double)want[i] * want[i];
        }
      g_test_message ("%s: %.2e of at most %.2e", name, sqrt (difference / norm), limit);
      g_assert_cmpfloat (sqrt (difference / norm), <=, limit);
    }
  zie_lora_set_free (loras);
}

/* Strength 0 is no LoRA at all: the same bits. */
static void
test_zero (void)
{
  g_autoptr(ZieLora) a = open_lora ("lora-a.safetensors");
  ZieLoraSet *none = zie_lora_set_new (), *zero = zie_lora_set_new ();
  gsize n;
  const float *want = get (records[0], "a", "", &n);
  g_autofree float *x = g_new0 (float, n), *y = g_new0 (float, n);

  g_assert_nonnull (want);
  zie_lora_set_add (zero, a, 0);
  g_assert_true (run (ZIE_COMPUTE_F32, none, x));
  g_assert_true (run (ZIE_COMPUTE_F32, zero, y));
  g_assert_cmpmem (x, n * sizeof (float), y, n * sizeof (float));
  zie_lora_set_free (none);
  zie_lora_set_free (zero);
}

static void
run_one (const char *path, gsize n, float *got)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieLora) lora = zie_lora_open (path, &golden->model->transformer, &error);
  ZieLoraSet *loras = zie_lora_set_new ();

  g_assert_no_error (error);
  zie_lora_set_add (loras, lora, 1);
  g_assert_true (run (ZIE_COMPUTE_F32, loras, got));
  zie_lora_set_free (loras);
}

/* PEFT's own folder, of the same adapter that diffusers saved: other names, and the strengths of layers in a file beside. */
static void
test_peft_folder (void)
{
  static const struct
  {
    const char *config, *says;
  } wrong[] = {
    { "{\"alpha_pattern\": {\"to_q(\": 8}}", "\"to_q(\"" },
    { "{\"alpha_pattern\": {\"to_q\": 0}}", "\"to_q\"" },
    { "{\"alpha_pattern\": {\"to_q\": []}}", "\"to_q\"" },
  };
  g_autofree char *source = g_test_build_filename (G_TEST_DIST, "lora-peft.safetensors", NULL),
                  *folder = g_dir_make_tmp ("zie-peft-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "adapter_model.safetensors", NULL),
                  *config = g_build_filename (folder, "adapter_config.json", NULL);
  g_autofree char *data = NULL;
  g_autoptr(GString) header = NULL, all = g_string_new (NULL);
  g_autoptr(GError) error = NULL;
  guint64 header_size;
  gsize size, n;
  const float *want = get (records[1], "peft", "", &n);
  g_autofree float *saved = g_new0 (float, n), *got = g_new0 (float, n);

  g_assert_nonnull (want);
  g_file_get_contents (source, &data, &size, &error);
  g_assert_no_error (error);
  memcpy (&header_size, data, 8);
  header_size = GUINT64_FROM_LE (header_size);
  header = g_string_new_len (data + 8, (gssize)header_size);
  g_string_replace (header, "lora_adapter_metadata", "other", 0);
  g_string_replace (header, "\"transformer.", "\"base_model.model.", 0);
  header_size = GUINT64_TO_LE (header->len);
  g_string_append_len (all, (const char *)&header_size, 8);
  g_string_append_len (all, header->str, (gssize)header->len);
  memcpy (&header_size, data, 8);
  g_string_append_len (all, data + 8 + GUINT64_FROM_LE (header_size),
                       (gssize)(size - 8 - GUINT64_FROM_LE (header_size)));
  g_file_set_contents (path, all->str, (gssize)all->len, &error);
  g_assert_no_error (error);

  run_one (source, n, saved);
  run_one (path, n, got); /* without its configuration it is a LoRA of another strength */
  g_assert_cmpint (memcmp (saved, got, n * sizeof (float)), !=, 0);
  g_file_set_contents (
      config,
      "{\"r\": 4, \"lora_alpha\": 2, \"alpha_pattern\": {\"1\\\\.feed_forward\\\\.w[23]\": 16, \"attention.to_k\": 8, "
      "\"feed_forward.w2\": 99}}",
      -1, &error);
  g_assert_no_error (error);
  run_one (path, n, got);
  g_assert_cmpmem (saved, n * sizeof (float), got, n * sizeof (float));

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      g_file_set_contents (config, wrong[i].config, -1, NULL);
      g_assert_null (zie_lora_open (path, &golden->model->transformer, &error));
      g_test_message ("%s", error->message);
      g_assert_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED);
      g_assert_nonnull (strstr (error->message, wrong[i].says));
      g_clear_error (&error);
    }
  g_remove (path);
  g_remove (config);
  g_rmdir (folder);
}

static gsize
any_size (const ZieWeight *weight)
{
  return 1 << 20;
}

/* A file that is named twice has one place on a device for each of its blocks. */
static void
test_twice (void)
{
  const ZieBackendFuncs funcs = { .weight_size = any_size };
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "lora-a.safetensors", NULL);
  guint n_blocks[3];

  for (guint n = 0; n < 3; n++)
    {
      g_auto(ZieRequest) request = { 0 };
      g_autoptr(GArray) uses = NULL;

      zie_request_init (&request);
      for (guint i = 0; i < n; i++)
        zie_request_add_lora (&request, path, 0.5);
      uses = zie_placement_list (golden->model, &request, &funcs, request.n_steps);
      n_blocks[n] = uses->len;
    }
  g_assert_cmpuint (n_blocks[1], >, n_blocks[0]);
  g_assert_cmpuint (n_blocks[2], ==, n_blocks[1]);
}

static void
test_report (void)
{
  g_autoptr(ZieLora) a = open_lora ("lora-a.safetensors"), b = open_lora ("lora-b.safetensors");
  const char *const *names;
  guint n;

  g_assert_cmpuint (zie_lora_get_n_layers (a), ==, 8);
  zie_lora_get_unmatched (a, &n);
  g_assert_cmpuint (n, ==, 0);
  g_assert_false (zie_lora_has_text_encoder (a));

  g_assert_cmpuint (zie_lora_get_n_layers (b), ==, 7);
  names = zie_lora_get_unmatched (b, &n);
  g_assert_cmpuint (n, ==, 1);
  g_assert_cmpstr (names[0], ==, "lora_unet_layers_77_attention_out.lora_down.weight");
  g_assert_null (names[1]);
  g_assert_true (zie_lora_has_text_encoder (b));

  for (int i = 0; i < 3; i++)
    {
      g_autoptr(ZieLora) lora = open_lora (sources[1].files[i]);

      g_assert_cmpuint (zie_lora_get_n_layers (lora), ==, ((const guint[]) { 7, 5, 4 })[i]);
      zie_lora_get_unmatched (lora, &n);
      g_assert_cmpuint (n, ==, 0);
    }
}

/* Files with one thing wrong: tensors as [name, rows, cols] of zeros. */
static const struct
{
  const char *what, *names[2];
  int rows[2], cols[2];
  ZieError code;
  const char *says;
} broken[] = {
  { "half", { "transformer.layers.0.attention.to_q.lora_A.weight" }, { 2 }, { 256 }, ZIE_ERROR_FILE_CORRUPT, "B (up)" },
  { "size", { "layers.0.attention.to_q.lora_A.weight", "layers.0.attention.to_q.lora_B.weight" }, { 2, 256 }, { 128, 2 },
    ZIE_ERROR_MODEL_UNSUPPORTED, "another model" },
  { "rank", { "layers.0.attention.to_q.lora_A.weight", "layers.0.attention.to_q.lora_B.weight" }, { 2, 256 }, { 256, 3 },
    ZIE_ERROR_MODEL_UNSUPPORTED, "another model" },
  { "dora", { "layers.0.attention.to_q.lora_A.weight", "layers.0.attention.to_q.dora_scale" }, { 2, 1 }, { 256, 256 },
    ZIE_ERROR_MODEL_UNSUPPORTED, "DoRA" },
  { "loha", { "layers.0.attention.to_q.hada_w1_a" }, { 2 }, { 256 }, ZIE_ERROR_MODEL_UNSUPPORTED, "LoHa" },
  { "lokr", { "lycoris_layers_0_attention_to_q.lokr_w1" }, { 2 }, { 256 }, ZIE_ERROR_MODEL_UNSUPPORTED, "LoKr" },
  { "flux", { "double_blocks.0.img_attn.qkv.lora_A.weight" }, { 2 }, { 256 }, ZIE_ERROR_MODEL_UNSUPPORTED, "no LoRA for this transformer" },
};

static void
test_broken (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autoptr(GString) header = g_string_new ("{");
  g_autoptr(GByteArray) all = g_byte_array_new ();
  g_autoptr(GError) error = NULL;
  g_autofree char *path = NULL;
  guint64 size, at = 0;
  int fd = g_file_open_tmp ("zie-lora-XXXXXX.safetensors", &path, NULL);

  for (int t = 0; t < 2 && broken[i].names[t] != NULL; t++)
    {
      guint64 bytes = 2 * (guint64)broken[i].rows[t] * (guint64)broken[i].cols[t];

      g_string_append_printf (header, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%d,%d],\"data_offsets\":[%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT "]}",
                              t ? "," : "", broken[i].names[t], broken[i].rows[t], broken[i].cols[t], at, at + bytes);
      at += bytes;
    }
  g_string_append_c (header, '}');
  size = GUINT64_TO_LE (header->len);
  g_byte_array_append (all, (const guint8 *)&size, 8);
  g_byte_array_append (all, (const guint8 *)header->str, (guint)header->len);
  size = all->len;
  g_byte_array_set_size (all, (guint)(size + at));
  memset (all->data + size, 0, at);
  g_close (fd, NULL);
  g_file_set_contents (path, (const char *)all->data, (gssize)all->len, &error);
  g_assert_no_error (error);

  g_assert_null (zie_lora_open (path, &golden->model->transformer, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, ZIE_ERROR, (int)broken[i].code);
  g_assert_nonnull (strstr (error->message, broken[i].says));
  g_assert_nonnull (strstr (error->message, path));
  g_remove (path);
}

int
main (int argc, char **argv)
{
  gboolean is_slow = g_strcmp0 (g_getenv ("ZIE_BACKEND"), "ref") == 0; /* then the last run has to do for its record */
  g_autoptr(GError) error = NULL;
  int rc;

  g_test_init (&argc, &argv, NULL);
  threads = zie_threads_new (0, FALSE);
  backend = zie_backend_open (ZIE_BACKEND_AUTO, 0, threads, &error);
  g_assert_no_error (error);
  golden = golden_open (g_test_get_dir (G_TEST_DIST), "heads128");
  for (guint i = 0; i < G_N_ELEMENTS (sources); i++)
    {
      g_autofree char *path = g_test_build_filename (G_TEST_DIST, sources[i].record, NULL);

      records[i] = zie_weight_file_open (path, &error);
      g_assert_no_error (error);
      for (guint r = 0; r < G_N_ELEMENTS (sources[i].runs) && sources[i].runs[r] != NULL; r++)
        {
          g_autofree char *name = g_strdup_printf ("/lora/%s%s", i == 0 ? "" : "diffusers/", sources[i].runs[r]);
          Case *c;

          if (i > 0 && is_slow && r + 1 < G_N_ELEMENTS (sources[i].runs) && sources[i].runs[r + 1] != NULL)
            continue;
          c = g_new (Case, 1);
          *c = (Case) { i, r };
          g_test_add_data_func_full (name, c, test_run, g_free);
        }
    }
  g_test_add_func ("/lora/zero", test_zero);
  if (!is_slow)
    g_test_add_func ("/lora/peft-folder", test_peft_folder);
  g_test_add_func ("/lora/twice", test_twice);
  g_test_add_func ("/lora/report", test_report);
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++)
    {
      g_autofree char *name = g_strdup_printf ("/lora/broken/%s", broken[i].what);
      g_test_add_data_func (name, GUINT_TO_POINTER (i), test_broken);
    }

  rc = g_test_run ();
  for (guint i = 0; i < G_N_ELEMENTS (records); i++)
    zie_weight_file_free (records[i]);
  golden_free (golden);
  zie_backend_free (backend);
  zie_threads_free (threads);
  return rc;
}
