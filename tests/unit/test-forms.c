/* SPDX-License-Identifier: Apache-2.0 */

/* The tiny model of random numbers in the forms that other programs keep models in: every number that the networks see is
 * the diffusers form's, and what is no model, or half of one, is refused by name. */

#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "test-files.h"
#include "tiny-model.h"
#include "zie-model-places.h"
#include "zie-model-private.h"

/* --- writing ---------------------------------------------------------------------------------------------------------- */

/* A file in the making: safetensors, or GGUF of F32 and BF16. */
typedef struct
{
  GString *header;
  GByteArray *infos, *data, *keys;
  guint n, n_keys;
  gboolean is_gguf;
} Form;

static Form
form_new (gboolean is_gguf)
{
  return (Form) { g_string_new ("{"), g_byte_array_new (), g_byte_array_new (), g_byte_array_new (), 0, 0, is_gguf };
}

static void
put_number (GByteArray *bytes, guint64 value, guint size)
{
  value = GUINT64_TO_LE (value);
  g_byte_array_append (bytes, (const guint8 *)&value, size);
}

static void
form_put (Form *f, const char *name, ZieDtype dtype, int n_dims, const gint64 *dims, const void *data, gsize size)
{
  guint begin;

  while (f->is_gguf && f->data->len % 32 != 0)
    g_byte_array_append (f->data, (const guint8 *)"", 1);
  begin = f->data->len;
  if (f->is_gguf)
    {
      put_number (f->infos, strlen (name), 8);
      g_byte_array_append (f->infos, (const guint8 *)name, (guint)strlen (name));
      put_number (f->infos, (guint64)n_dims, 4);
      for (int i = n_dims - 1; i >= 0; i--)
        put_number (f->infos, (guint64)dims[i], 8);
      put_number (f->infos, dtype == ZIE_DTYPE_F32 ? 0 : 30, 4);
      put_number (f->infos, begin, 8);
    }
  else
    {
      g_string_append_printf (f->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", f->n ? "," : "", name, zie_dtype_name (dtype));
      for (int i = 0; i < n_dims; i++)
        g_string_append_printf (f->header, "%s%" G_GINT64_FORMAT, i ? "," : "", dims[i]);
      g_string_append_printf (f->header, "],\"data_offsets\":[%u,%u]}", begin, begin + (guint)size);
    }
  g_byte_array_append (f->data, data, (guint)size);
  f->n++;
}

/* FOLDER/NAME, its folder made if need be. */
static void
form_write (Form *f, const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL), *parent = g_path_get_dirname (path);
  g_autoptr(GByteArray) all = g_byte_array_new ();
  g_autoptr(GError) error = NULL;

  if (f->is_gguf)
    {
      g_byte_array_append (all, (const guint8 *)"GGUF", 4);
      put_number (all, 3, 4);
      put_number (all, f->n, 8);
      put_number (all, f->n_keys, 8);
      g_byte_array_append (all, f->keys->data, f->keys->len);
      g_byte_array_append (all, f->infos->data, f->infos->len);
      while (all->len % 32 != 0)
        g_byte_array_append (all, (const guint8 *)"", 1);
    }
  else
    {
      g_string_append_c (f->header, '}');
      put_number (all, f->header->len, 8);
      g_byte_array_append (all, (const guint8 *)f->header->str, (guint)f->header->len);
    }
  g_byte_array_append (all, f->data->data, f->data->len);
  g_assert_cmpint (g_mkdir_with_parents (parent, 0700), ==, 0);
  g_file_set_contents (path, (const char *)all->data, (gssize)all->len, &error);
  g_assert_no_error (error);
  g_string_free (f->header, TRUE);
  g_byte_array_unref (f->infos);
  g_byte_array_unref (f->data);
  g_byte_array_unref (f->keys);
}

static void
put_string (GByteArray *bytes, const char *text)
{
  put_number (bytes, strlen (text), 8);
  g_byte_array_append (bytes, (const guint8 *)text, (guint)strlen (text));
}

/* A key of an array of N items of TYPE, which follow. */
static void
form_put_array (Form *f, const char *key, guint type, guint n)
{
  put_string (f->keys, key);
  put_number (f->keys, 9, 4);
  put_number (f->keys, type, 4);
  put_number (f->keys, n, 8);
  f->n_keys++;
}

/* The tiny model's tokenizer, as GGUF files have it inside; of another KIND than gpt2 it is refused. */
static void
form_put_tokenizer (Form *f, const char *kind)
{
  static const char *const settings[][2] = { { "tokenizer.ggml.model", NULL }, { "tokenizer.ggml.pre", "qwen2" } };
  static const char *const added[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>" };
  gunichar extra = 256;

  for (guint i = 0; i < 2; i++, f->n_keys++)
    {
      put_string (f->keys, settings[i][0]);
      put_number (f->keys, 8, 4);
      put_string (f->keys, i == 0 ? kind : settings[i][1]);
    }
  form_put_array (f, "tokenizer.ggml.tokens", 8, 256 + G_N_ELEMENTS (added));
  for (guint b = 0; b < 256; b++)
    {
      gboolean same = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      char letter[8] = "";

      g_unichar_to_utf8 (same ? b : extra++, letter);
      put_string (f->keys, letter);
    }
  for (guint i = 0; i < G_N_ELEMENTS (added); i++)
    put_string (f->keys, added[i]);
  form_put_array (f, "tokenizer.ggml.token_type", 5, 256 + G_N_ELEMENTS (added));
  for (guint i = 0; i < 256 + G_N_ELEMENTS (added); i++)
    put_number (f->keys, i < 256 ? 1 : 3, 4);
  form_put_array (f, "tokenizer.ggml.merges", 8, 0);
}

static ZieWeightFile *
open_part (const char *model, const char *part, const char *stem)
{
  g_autofree char *folder = g_build_filename (model, part, NULL);
  g_autoptr(GError) error = NULL;
  ZieWeightFile *file = zie_weight_file_open_component (folder, stem, &error);

  g_assert_no_error (error);
  return file;
}

/* INFO, of BF16, as DTYPE under NAME. */
static void
put_as (Form *f, const char *name, const ZieTensorInfo *info, ZieDtype dtype)
{
  gsize n = info->size / 2;
  g_autofree float *values = g_new (float, n);

  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_BF16);
  zie_dtype_to_f32 (info->dtype, values, info->data, (gint64)n);
  form_put (f, name, dtype, info->n_dims, info->dims, dtype == ZIE_DTYPE_F32 ? (const void *)values : info->data,
            dtype == ZIE_DTYPE_F32 ? n * 4 : info->size);
}

static char *
replaced (const char *name, const char *const (*words)[2], guint n)
{
  GString *s = g_string_new (name);
  for (guint i = 0; i < n; i++)
    g_string_replace (s, words[i][0], words[i][1], 1);
  return g_string_free (s, FALSE);
}

/* The transformer with q, k and v fused, under the original names. */
static void
put_transformer (Form *f, const char *model, const char *prefix, ZieDtype dtype)
{
  static const char *const words[][2] = { { "all_x_embedder.2-1.", "x_embedder." }, { "all_final_layer.2-1.", "final_layer." },
                                          { "attention.to_out.0.", "attention.out." }, { "attention.norm_q.", "attention.q_norm." },
                                          { "attention.norm_k.", "attention.k_norm." }, { "attention.to_q.", "attention.qkv." } };
  g_autoptr(ZieWeightFile) file = open_part (model, "transformer", "diffusion_pytorch_model");

  for (guint i = 0; i < zie_weight_file_get_n (file); i++)
    {
      const ZieTensorInfo *info = zie_weight_file_get (file, i);
      g_autofree char *plain = replaced (info->name, words, G_N_ELEMENTS (words)), *name = g_strconcat (prefix, plain, NULL);

      if (strstr (info->name, "attention.to_k.") != NULL || strstr (info->name, "attention.to_v.") != NULL)
        continue;
      if (strstr (info->name, "attention.to_q.") != NULL)
        {
          static const char *const letters[] = { "to_k", "to_v" };
          gint64 dims[2] = { 3 * info->dims[0], info->dims[1] };
          g_autoptr(GByteArray) all = g_byte_array_new ();
          ZieTensorInfo fused = *info;

          g_byte_array_append (all, info->data, (guint)info->size);
          for (int k = 0; k < 2; k++)
            {
              g_autofree char *other = replaced (info->name, (const char *const[][2]) { { "to_q", letters[k] } }, 1);
              const ZieTensorInfo *part = zie_weight_file_lookup (file, other);
              g_byte_array_append (all, part->data, (guint)part->size);
            }
          fused.data = all->data;
          fused.size = all->len;
          memcpy (fused.dims, dims, sizeof dims);
          put_as (f, name, &fused, dtype);
          continue;
        }
      put_as (f, name, info, dtype);
    }
}

static void
put_text_encoder (Form *f, const char *model, const char *prefix, gboolean gguf, ZieDtype dtype)
{
  static const char *const words[][2] = {
    { "model.layers.", "blk." }, { "self_attn.q_proj", "attn_q" }, { "self_attn.k_proj", "attn_k" }, { "self_attn.v_proj", "attn_v" },
    { "self_attn.o_proj", "attn_output" }, { "self_attn.q_norm", "attn_q_norm" }, { "self_attn.k_norm", "attn_k_norm" }, { "mlp.gate_proj", "ffn_gate" },
    { "mlp.up_proj", "ffn_up" }, { "mlp.down_proj", "ffn_down" }, { "input_layernorm", "attn_norm" }, { "post_attention_layernorm", "ffn_norm" },
    { "model.embed_tokens", "token_embd" }, { "model.norm", "output_norm" },
  };
  g_autoptr(ZieWeightFile) file = open_part (model, "text_encoder", "model");

  for (guint i = 0; i < zie_weight_file_get_n (file); i++)
    {
      const ZieTensorInfo *info = zie_weight_file_get (file, i);
      g_autofree char *name = gguf ? replaced (info->name, words, G_N_ELEMENTS (words)) : g_strconcat (prefix, info->name, NULL);
      put_as (f, name, info, dtype);
    }
}

/* The original names; the attention's matrices as convolutions of 1 x 1. */
static void
put_vae (Form *f, const char *model, const char *prefix, ZieDtype dtype)
{
  static const char *const words[][2] = {
    { "conv_norm_out", "norm_out" }, { "conv_shortcut", "nin_shortcut" }, { "mid_block.resnets.0", "mid.block_1" },
    { "mid_block.resnets.1", "mid.block_2" }, { "mid_block.attentions.0.group_norm", "mid.attn_1.norm" },
    { "mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out" }, { "mid_block.attentions.0.to_", "mid.attn_1." }, { "down_blocks.", "down." },
    { "up_blocks.0", "up.-3" }, { "up_blocks.1", "up.-2" }, { "up_blocks.2", "up.-1" }, { "up_blocks.3", "up.-0" }, { "up.-", "up." },
    { ".resnets.", ".block." }, { "upsamplers.0.conv", "upsample.conv" }, { "downsamplers.0.conv", "downsample.conv" },
  };
  g_autoptr(ZieWeightFile) file = open_part (model, "vae", "diffusion_pytorch_model");

  for (guint i = 0; i < zie_weight_file_get_n (file); i++)
    {
      ZieTensorInfo info = *zie_weight_file_get (file, i);
      g_autofree char *plain = replaced (info.name, words, G_N_ELEMENTS (words)), *name = g_strconcat (prefix, plain, NULL);

      if (strstr (name, "attn_1") != NULL && info.n_dims == 2)
        {
          info.dims[2] = info.dims[3] = 1;
          info.n_dims = 4;
        }
      put_as (f, name, &info, dtype);
    }
}

/* --- comparing -------------------------------------------------------------------------------------------------------- */

static void
compare_weights (const ZieWeights *a, const ZieWeights *b)
{
  g_assert_cmpuint (zie_weights_get_n_blocks (a), ==, zie_weights_get_n_blocks (b));
  for (guint i = 0; i < zie_weights_get_n_blocks (a); i++)
    {
      const ZieWeightBlock *x = zie_weights_get_block (a, (int)i), *y = zie_weights_get_block (b, (int)i);

      g_assert_cmpuint (x->n_weights, ==, y->n_weights);
      for (guint w = 0; w < x->n_weights; w++)
        {
          g_autofree float *p = g_new (float, (gsize)x->weights[w].cols), *q = g_new (float, (gsize)x->weights[w].cols);

          g_assert_cmpint (x->weights[w].rows, ==, y->weights[w].rows);
          g_assert_cmpint (x->weights[w].cols, ==, y->weights[w].cols);
          for (gint64 r = 0; r < x->weights[w].rows; r++)
            {
              zie_weight_row_to_f32 (&x->weights[w], r, p);
              zie_weight_row_to_f32 (&y->weights[w], r, q);
              g_assert_cmpmem (p, (gsize)x->weights[w].cols * 4, q, (gsize)x->weights[w].cols * 4);
            }
        }
    }
}

static void
compare_models (const ZieModel *a, const ZieModel *b)
{
  g_assert_cmpmem (&a->transformer.config, sizeof a->transformer.config, &b->transformer.config, sizeof b->transformer.config);
  g_assert_cmpmem (&a->text_encoder.config, sizeof a->text_encoder.config, &b->text_encoder.config, sizeof b->text_encoder.config);
  g_assert_cmpmem (&a->vae.config, sizeof a->vae.config, &b->vae.config, sizeof b->vae.config);
  g_assert_cmpint (a->vae.has_encoder, ==, b->vae.has_encoder);
  compare_weights (a->transformer.weights, b->transformer.weights);
  compare_weights (a->text_encoder.weights, b->text_encoder.weights);
  compare_weights (a->vae.weights, b->vae.weights);
}

/* What tests share: the diffusers form, its tokenizer, a folder for others. */
typedef struct
{
  char *reference, *tokenizer, *folder;
  ZieModel *model;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  f->reference = tiny_model_new (3);
  f->tokenizer = g_build_filename (f->reference, "tokenizer", "tokenizer.json", NULL);
  f->folder = g_dir_make_tmp ("zie-forms-XXXXXX", NULL);
  f->model = zie_model_open (f->reference, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  zie_model_unref (f->model);
  g_free (f->tokenizer);
  tiny_model_remove (f->reference);
  tiny_model_remove (f->folder);
}

static void
check_source (const Fixture *f, const ZieModelSource *source, const char *form)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieModel) model = zie_model_open_source (source, &error);

  g_assert_no_error (error);
  compare_models (f->model, model);
  g_assert_nonnull (strstr (zie_model_get_info (model)->form, form));
}

static void
check_refused (const ZieModelSource *source, ZieError code, const char *says)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (zie_model_open_source (source, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, ZIE_ERROR, (int)code);
  g_assert_nonnull (strstr (error->message, says));
}

/* ComfyUI's folders, under names that tell nothing. */
static void
write_comfy (const Fixture *f)
{
  Form t = form_new (FALSE), q = form_new (FALSE), v = form_new (FALSE);

  put_transformer (&t, f->reference, "model.diffusion_model.", ZIE_DTYPE_BF16);
  form_write (&t, f->folder, "diffusion_models/one");
  put_text_encoder (&q, f->reference, "", FALSE, ZIE_DTYPE_BF16);
  form_write (&q, f->folder, "text_encoders/two.bin");
  put_vae (&v, f->reference, "", ZIE_DTYPE_F32);
  form_write (&v, f->folder, "vae/three.safetensors");
}

static void
test_comfy (Fixture *f, gconstpointer data)
{
  g_autofree char *file = g_build_filename (f->folder, "diffusion_models", "one", NULL);

  write_comfy (f);
  check_source (f, &(ZieModelSource) { .path = f->folder, .tokenizer = f->tokenizer }, "single files (ComfyUI)");
  check_source (f, &(ZieModelSource) { .path = file, .tokenizer = f->tokenizer }, "single files (ComfyUI)");
  check_source (f, &(ZieModelSource) { .path = f->reference, .parts = { file } }, "mixed parts");
  /* the parts' own tokenizer is asked for, since this encoder's table is not Qwen3's */
  check_refused (&(ZieModelSource) { .path = f->folder }, ZIE_ERROR_FILE_NOT_FOUND, "--tokenizer");
}

/* ComfyUI's own folder, in which the program has more files than are looked through; elsewhere it is said where looking ended. */
static void
test_many_files (Fixture *f, gconstpointer data)
{
  g_autofree char *inside = f->folder, *root = g_dir_make_tmp ("zie-forms-XXXXXX", NULL),
                  *other = g_build_filename (root, "custom_nodes", NULL);

  f->folder = g_build_filename (root, "models", NULL);
  write_comfy (f);
  g_assert_cmpint (g_mkdir (other, 0700), ==, 0);
  for (guint i = 0; i <= ZIE_MODEL_SCAN_MAX; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/%u.py", other, i);
      g_assert_cmpint (mknod (path, S_IFREG | 0600, 0), ==, 0);
    }
  check_source (f, &(ZieModelSource) { .path = root, .tokenizer = f->tokenizer }, "single files (ComfyUI)");
  check_refused (&(ZieModelSource) { .path = other }, ZIE_ERROR_FILE_NOT_FOUND, "none of the first 2000 files");
  g_free (f->folder);
  f->folder = g_steal_pointer (&inside);
  tiny_model_remove (g_steal_pointer (&root));
}

static void
test_gguf (Fixture *f, gconstpointer data)
{
  Form t = form_new (TRUE), q = form_new (TRUE), v = form_new (FALSE);

  put_transformer (&t, f->reference, "", ZIE_DTYPE_F32);
  form_write (&t, f->folder, "a.gguf");
  put_text_encoder (&q, f->reference, "", TRUE, ZIE_DTYPE_BF16);
  form_write (&q, f->folder, "b.gguf");
  put_vae (&v, f->reference, "first_stage_model.", ZIE_DTYPE_BF16);
  form_write (&v, f->folder, "c.safetensors");
  check_source (f, &(ZieModelSource) { .path = f->folder, .tokenizer = f->tokenizer }, "GGUF");
}

/* The text encoder's own file has the tokenizer, which is used where no other lies with it. */
static void
test_gguf_tokenizer (Fixture *f, gconstpointer data)
{
  g_autofree char *text = g_build_filename (f->folder, "b.gguf", NULL);
  Form t = form_new (TRUE), q = form_new (TRUE), v = form_new (FALSE), other = form_new (TRUE);
  const ZieModelSource source = { .path = f->folder };
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieModel) model = NULL;

  put_transformer (&t, f->reference, "", ZIE_DTYPE_F32);
  form_write (&t, f->folder, "a.gguf");
  put_text_encoder (&q, f->reference, "", TRUE, ZIE_DTYPE_BF16);
  form_put_tokenizer (&q, "gpt2");
  form_write (&q, f->folder, "b.gguf");
  put_vae (&v, f->reference, "first_stage_model.", ZIE_DTYPE_BF16);
  form_write (&v, f->folder, "c.safetensors");
  check_source (f, &source, "GGUF");
  model = zie_model_open_source (&source, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (zie_model_get_info (model)->tokenizer, ==, text);
  g_assert_cmpuint (zie_model_count_tokens (model, "a caf\xc3\xa9"), ==, zie_model_count_tokens (f->model, "a caf\xc3\xa9"));

  put_text_encoder (&other, f->reference, "", TRUE, ZIE_DTYPE_BF16);
  form_put_tokenizer (&other, "llama");
  form_write (&other, f->folder, "b.gguf");
  check_refused (&source, ZIE_ERROR_MODEL_UNSUPPORTED, "tokenizer.ggml.model is llama");
}

static void
test_all_in_one (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->folder, "x.safetensors", NULL);
  Form all = form_new (FALSE);

  put_transformer (&all, f->reference, "model.diffusion_model.", ZIE_DTYPE_BF16);
  put_text_encoder (&all, f->reference, "text_encoders.qwen3_4b.transformer.", FALSE, ZIE_DTYPE_BF16);
  put_vae (&all, f->reference, "vae.", ZIE_DTYPE_BF16);
  form_write (&all, f->folder, "x.safetensors");
  check_source (f, &(ZieModelSource) { .path = path, .tokenizer = f->tokenizer }, "single files");
}

/* refs/main names the snapshot; without it the whole one of several is taken. */
static void
test_hugging_face (Fixture *f, gconstpointer data)
{
  g_autofree char *repository = g_build_filename (f->folder, "models--Someone--Tiny", NULL), *refs = g_build_filename (repository, "refs", NULL);
  g_autofree char *snapshots = g_build_filename (repository, "snapshots", NULL), *good = g_build_filename (snapshots, "bbb", NULL);
  g_autofree char *bad = g_build_filename (snapshots, "aaa", NULL), *reference = g_build_filename (refs, "main", NULL);
  g_autoptr(GError) error = NULL;

  g_mkdir_with_parents (bad, 0700);
  g_mkdir_with_parents (refs, 0700);
  tiny_model_write (good, 3);
  check_source (f, &(ZieModelSource) { .path = repository }, "diffusers directory");
  g_file_set_contents (reference, "bbb\n", -1, &error);
  g_assert_no_error (error);
  check_source (f, &(ZieModelSource) { .path = repository }, "diffusers directory");
  {
    g_autoptr(ZieModelCandidate) found = zie_model_examine (&(ZieModelSource) { .path = repository }, &error);
    g_assert_no_error (error);
    g_assert_cmpstr (found->missing, ==, NULL);
    g_assert_cmpuint (found->n_bytes, >, 1000000);
  }
}

/* 8-bit floats with one scale, with one a row, and what may stand beside them. */
static void
test_scales (Fixture *f, gconstpointer data)
{
  static const gint64 dims[2] = { 4, 6 };
  guint8 codes[24];
  float one = 0.25f, rows[4] = { 0.5f, -1, 3, 0 }, got[6];
  g_autofree char *path = g_build_filename (f->folder, "s.safetensors", NULL);
  g_autoptr(ZieWeights) weights = zie_weights_new ();
  g_autoptr(ZieWeightFile) file = NULL;
  g_autoptr(GError) error = NULL;
  Form form = form_new (FALSE);
  ZieWeight a, b, part;

  for (guint i = 0; i < sizeof codes; i++)
    codes[i] = (guint8)(i * 5 + 1);
  form_put (&form, "a.weight", ZIE_DTYPE_F8_E4M3, 2, dims, codes, sizeof codes);
  form_put (&form, "a.scale_weight", ZIE_DTYPE_F32, 0, dims, &one, 4);
  form_put (&form, "b.weight", ZIE_DTYPE_F8_E4M3, 2, dims, codes, sizeof codes);
  form_put (&form, "b.weight_scale", ZIE_DTYPE_F32, 2, (gint64[]) { 4, 1 }, rows, sizeof rows);
  form_put (&form, "c.weight", ZIE_DTYPE_F8_E4M3, 2, dims, codes, sizeof codes);
  form_put (&form, "c.weight_scale", ZIE_DTYPE_F32, 1, (gint64[]) { 3 }, rows, 12);
  form_write (&form, f->folder, "s.safetensors");
  file = zie_weight_file_open (path, &error);
  g_assert_no_error (error);

  zie_weights_begin_block (weights);
  g_assert_true (zie_weights_bind (weights, file, (const char *[]) { "a.weight", NULL }, 4, 6, &a, &error));
  g_assert_true (zie_weights_bind (weights, file, (const char *[]) { "b.weight", NULL }, 4, 6, &b, &error));
  g_assert_true (zie_weights_bind_rows (weights, file, "b.weight", 2, 2, 4, 6, &part, &error));
  for (gint64 r = 0; r < 4; r++)
    {
      zie_weight_row_to_f32 (&a, r, got);
      for (int i = 0; i < 6; i++)
        g_assert_cmpfloat (got[i], ==, zie_f8_e4m3_to_f32 (codes[r * 6 + i]) * one);
      zie_weight_row_to_f32 (&b, r, got);
      for (int i = 0; i < 6; i++)
        g_assert_cmpfloat (got[i], ==, zie_f8_e4m3_to_f32 (codes[r * 6 + i]) * rows[r]);
      if (r < 2)
        {
          zie_weight_row_to_f32 (&part, r, got);
          for (int i = 0; i < 6; i++)
            g_assert_cmpfloat (got[i], ==, zie_f8_e4m3_to_f32 (codes[(r + 2) * 6 + i]) * rows[r + 2]);
        }
    }
  g_assert_false (zie_weights_bind (weights, file, (const char *[]) { "c.weight", NULL }, 4, 6, &a, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT);
  g_assert_nonnull (strstr (error->message, "c.weight_scale"));
}

/* Half a model, the wrong part, other programs' formats. */
static void
test_refused (Fixture *f, gconstpointer data)
{
  g_autofree char *vae = g_build_filename (f->folder, "vae", "three.safetensors", NULL), *one = g_build_filename (f->folder, "diffusion_models", "one", NULL);
  g_autofree char *junk = g_build_filename (f->folder, "junk.safetensors", NULL), *other = g_build_filename (f->folder, "other.safetensors", NULL);
  g_autofree char *quant = g_build_filename (f->folder, "q", "quant.safetensors", NULL);
  static const char text[] = "{\"format\": \"nvfp4\"}";
  static const gint64 dims[1] = { sizeof text - 1 };
  Form form = form_new (FALSE), q = form_new (FALSE);
  float number = 1;

  write_comfy (f);
  check_refused (&(ZieModelSource) { .path = f->reference, .parts = { vae } }, ZIE_ERROR_MODEL_UNSUPPORTED, "is not the transformer");
  g_remove (vae);
  check_refused (&(ZieModelSource) { .path = one, .tokenizer = f->tokenizer }, ZIE_ERROR_FILE_NOT_FOUND, "the VAE (ae.safetensors) is missing");

  form_put (&form, "double_blocks.0.img_attn.qkv.weight", ZIE_DTYPE_F32, 0, dims, &number, 4);
  form_write (&form, f->folder, "other.safetensors");
  check_refused (&(ZieModelSource) { .path = other }, ZIE_ERROR_MODEL_UNSUPPORTED, "double_blocks.0");
  g_file_set_contents (junk, "not a model", -1, NULL);
  check_refused (&(ZieModelSource) { .path = junk }, ZIE_ERROR_FILE_CORRUPT, junk);

  put_transformer (&q, f->reference, "", ZIE_DTYPE_BF16);
  form_put (&q, "layers.0.attention.out.comfy_quant", ZIE_DTYPE_U8, 1, dims, text, sizeof text - 1);
  form_write (&q, f->folder, "q/quant.safetensors");
  check_refused (&(ZieModelSource) { .path = f->reference, .parts = { quant } }, ZIE_ERROR_MODEL_UNSUPPORTED, "nvfp4");
}

/* A diffusers directory with pieces missing, as a download that was cut leaves it: they are named, and what to do. */
static void
test_not_whole (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *piece, *says;
  } rows[] = {
    { "vae", "vae is missing" },
    { "vae/config.json", "vae/config.json is missing" },
    { "text_encoder/config.json", "text_encoder/config.json is missing" },
    { "scheduler/scheduler_config.json", "scheduler/scheduler_config.json is missing" },
    { "tokenizer/tokenizer.json", "tokenizer/tokenizer.json is missing" },
    { "transformer/diffusion_pytorch_model.safetensors", "transformer: no weights here" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *model = tiny_model_new (3), *piece = g_build_filename (model, rows[i].piece, NULL),
                      *away = g_strconcat (piece, ".away", NULL);
      g_autofree char *vae = g_build_filename (f->reference, "vae", NULL);
      const ZieModelSource source = { .path = model }, with_vae = { .path = model, .parts = { NULL, NULL, vae } };
      g_autoptr(ZieModelCandidate) found = NULL;
      g_autoptr(GError) error = NULL;

      g_assert_cmpint (g_rename (piece, away), ==, 0);
      check_refused (&source, ZIE_ERROR_FILE_NOT_FOUND, rows[i].says);
      check_refused (&source, ZIE_ERROR_FILE_NOT_FOUND, model);
      check_refused (&source, ZIE_ERROR_FILE_NOT_FOUND, "fetch the model again");
      found = zie_model_examine (&source, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (found->form, ==, "diffusers directory");
      g_assert_nonnull (strstr (found->missing, rows[i].says));
      if (i < 2)
        {
          check_refused (&source, ZIE_ERROR_FILE_NOT_FOUND, "--vae");
          check_source (f, &with_vae, ""); /* what is named instead is not missed */
        }
      tiny_model_remove (g_steal_pointer (&model));
    }

  {
    g_autofree char *index = g_build_filename (f->folder, "model_index.json", NULL);

    g_file_set_contents (index, "{", -1, NULL); /* no model at all: that comes first */
    check_refused (&(ZieModelSource) { .path = f->folder }, ZIE_ERROR_FILE_CORRUPT, "model_index.json");
    g_file_set_contents (index, "{}", -1, NULL);
    check_refused (
        &(ZieModelSource) { .path = f->folder }, ZIE_ERROR_FILE_NOT_FOUND,
        "transformer, text_encoder, vae, scheduler/scheduler_config.json and tokenizer/tokenizer.json are missing");
  }
}

/* Each file named for each part that it is not, and a LoRA for all: the message says what the file is and how to name it. */
static void
test_wrong_part (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *component, *weights, *words, *option;
  } rows[] = {
    { "transformer", "diffusion_models/one", "the transformer", "--transformer" },
    { "text_encoder", "text_encoders/two.bin", "the text encoder (Qwen3-4B)", "--text-encoder" },
    { "vae", "vae/three.safetensors", "the VAE (ae.safetensors)", "--vae" },
    { NULL, "lora.safetensors", "a LoRA", "--lora" },
  };
  static const char *const names[] = { "transformer.layers.0.attention.to_q.lora_A.weight",
                                       "transformer.layers.0.attention.to_q.lora_B.weight" };
  static const gint64 dims[2] = { 1, 1 };
  float number = 1;
  Form lora = form_new (FALSE);

  write_comfy (f);
  for (int i = 0; i < 2; i++)
    form_put (&lora, names[i], ZIE_DTYPE_F32, 2, dims, &number, 4);
  form_write (&lora, f->folder, "lora.safetensors");

  for (guint file = 0; file < G_N_ELEMENTS (rows); file++)
    for (int part = 0; part < ZIE_N_MODEL_PARTS; part++)
      {
        g_autofree char *path = g_build_filename (f->folder, rows[file].weights, NULL);
        g_autofree char *component =
            rows[file].component ? g_build_filename (f->reference, rows[file].component, NULL) : NULL;
        g_autofree char *inside =
            component != NULL
                ? g_build_filename (component, file == 1 ? "model.safetensors" : "diffusion_pytorch_model.safetensors",
                                    NULL)
                : NULL;
        const char *const found[] = { path, component, inside };

        if ((int)file == part)
          continue;
        for (guint k = 0; k < G_N_ELEMENTS (found) && found[k] != NULL; k++)
          for (int with_model = 0; with_model < 2; with_model++)
            {
              ZieModelSource source = { .path = with_model ? f->reference : NULL, .tokenizer = f->tokenizer };
              g_autofree char *way_out = g_strconcat ("name it with ", rows[file].option, NULL),
                              *not = g_strconcat ("is not ", rows[part].words, NULL);

              source.parts[part] = found[k];
              check_refused (&source, ZIE_ERROR_MODEL_UNSUPPORTED, found[k]);
              check_refused (&source, ZIE_ERROR_MODEL_UNSUPPORTED, rows[file].words);
              check_refused (&source, ZIE_ERROR_MODEL_UNSUPPORTED, way_out);
              if (file < ZIE_N_MODEL_PARTS)
                check_refused (&source, ZIE_ERROR_MODEL_UNSUPPORTED, not );
            }
      }

  for (guint file = 0; file < ZIE_N_MODEL_PARTS; file++)
    {
      g_autofree char *path = g_build_filename (f->folder, rows[file].weights, NULL),
                      *way_out = g_strconcat ("name it with ", rows[file].option, NULL);
      g_autoptr(GError) error = NULL;

      g_assert_null (zie_model_get_lora (f->model, path, &error));
      g_test_message ("%s", error->message);
      g_assert_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED);
      g_assert_true (g_str_has_prefix (error->message, path));
      g_assert_nonnull (strstr (error->message, "is not a LoRA"));
      g_assert_nonnull (strstr (error->message, way_out));
    }
}

/* A folder is taken for the file that PEFT or diffusers put there. */
static void
test_lora_folder (Fixture *f, gconstpointer data)
{
  static const char *const names[] = { "pytorch_lora_weights.safetensors", "adapter_model.safetensors" };
  g_autoptr(GError) error = NULL;

  g_assert_null (zie_model_get_lora (f->model, f->folder, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, names[0]));
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (f->folder, names[i], NULL);

      g_clear_error (&error);
      g_file_set_contents (path, "not a LoRA", -1, &error);
      g_assert_no_error (error);
      g_assert_null (zie_model_get_lora (f->model, f->folder, &error));
      g_assert_true (g_str_has_prefix (error->message, path));
    }
}

/* A file of a diffusers directory that is named for its part brings its tokenizer along, and so does its folder. */
static void
test_tokenizer_of_part (Fixture *f, gconstpointer data)
{
  g_autofree char *component = g_build_filename (f->reference, "text_encoder", NULL),
                  *file = g_build_filename (component, "model.safetensors", NULL);
  g_autofree char *one = g_build_filename (f->folder, "diffusion_models", "one", NULL),
                  *vae = g_build_filename (f->folder, "vae", "three.safetensors", NULL);

  write_comfy (f);
  check_source (f, &(ZieModelSource) { .parts = { one, file, vae } }, "single files (ComfyUI)");
  check_source (f, &(ZieModelSource) { .parts = { one, component, vae } }, "mixed parts");
}

/* As another user than root, whom nothing is hidden from.  CLOSED is a folder of the caches that may not be entered, FILE in it. */
static void
look_as_nobody (const char *closed, const char *file)
{
  static const char remedy[] = "chmod";
  g_autoptr(GPtrArray) found = NULL;
  g_autoptr(GError) folder_error = NULL, file_error = NULL;
  guint n_named = 0;

  if (geteuid () == 0)
    g_assert_cmpint (setuid (65534), ==, 0);
  g_assert_null (zie_model_open (closed, &folder_error));
  g_assert_null (zie_model_open (file, &file_error));
  for (guint i = 0; i < 2; i++)
    {
      const char *message = (i == 0 ? folder_error : file_error)->message;

      g_assert_true (g_str_has_prefix (message, closed));
      g_assert_nonnull (strstr (message, ": may not be read: it belongs to "));
      g_assert_nonnull (strstr (message, " and has mode 0000; run "));
      g_assert_nonnull (strstr (message, remedy));
    }
  found = zie_model_find_all ();
  for (guint i = 0; i < found->len; i++)
    {
      const ZieModelCandidate *model = found->pdata[i];

      if (!g_str_equal (model->path, closed))
        continue;
      n_named++;
      g_assert_cmpstr (model->place, ==, "Hugging Face cache");
      g_assert_nonnull (strstr (model->missing, "has mode 0000"));
    }
  g_assert_cmpuint (n_named, ==, 1);
}

static void
test_unreadable (Fixture *f, gconstpointer data)
{
  g_autofree char *closed = g_build_filename (f->folder, "hub", NULL), *file = g_build_filename (closed, "model.safetensors", NULL);
  pid_t child;
  int status;

  g_assert_cmpint (g_chmod (f->folder, 0755), ==, 0);
  g_assert_cmpint (g_mkdir (closed, 0000), ==, 0);
  if ((child = fork ()) == 0)
    {
      g_setenv ("HF_HUB_CACHE", closed, TRUE);
      look_as_nobody (closed, file);
      _exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpint (status, ==, 0);
  g_rmdir (closed);
}

int
main (int argc, char **argv)
{
  static const struct { const char *name; void (*func) (Fixture *f, gconstpointer data);
  } tests[] = {
    { "/forms/comfy", test_comfy },
    { "/forms/gguf", test_gguf },
    { "/forms/gguf-tokenizer", test_gguf_tokenizer },
    { "/forms/all-in-one", test_all_in_one },
    { "/forms/hugging-face", test_hugging_face },
    { "/forms/scales", test_scales },
    { "/forms/refused", test_refused },
    { "/forms/unreadable", test_unreadable },
    { "/forms/wrong-part", test_wrong_part },
    { "/forms/not-whole", test_not_whole },
    { "/forms/many-files", test_many_files },
    { "/forms/lora-folder", test_lora_folder },
    { "/forms/tokenizer-of-part", test_tokenizer_of_part },
  };
  g_autofree char *empty = NULL;
  int rc;

  g_test_init (&argc, &argv, NULL);
  empty = g_dir_make_tmp ("zie-empty-XXXXXX", NULL);       /* nothing of this machine's own models */
  for (guint i = 0; i < 4; i++)
    g_setenv (((const char *const[]) { "HOME", "HF_HOME", "MODELSCOPE_CACHE", "XDG_DATA_HOME" })[i], empty, TRUE);
  g_unsetenv ("HF_HUB_CACHE");
  g_unsetenv ("HUGGINGFACE_HUB_CACHE");
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].name, Fixture, NULL, set_up, tests[i].func, tear_down);
  rc = g_test_run ();
  g_rmdir (empty);
  return rc;
}
