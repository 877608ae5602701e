/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <glib/gstdio.h>
#include <zie/zie.h>

#include "tiny-model.h"

static void
test_open (void)
{
  char *folder = tiny_model_new (1);
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieModel) model = zie_model_open (folder, &error);
  const ZieModelInfo *info;
  g_auto(ZieRequest) request = { 0 };

  g_assert_no_error (error);
  info = zie_model_get_info (model);
  g_assert_cmpint (info->default_width, ==, 64);
  g_assert_cmpint (info->n_presets, ==, 4);
  g_assert_cmpstr (info->presets[1].id, ==, "landscape-96x64");
  g_assert_true (info->is_distilled);
  g_assert_cmpint (info->max_side, ==, 8192);
  g_assert_cmpstr (info->parts[0].types, ==, "BF16");
  g_assert_cmpuint (zie_model_count_tokens (model, "abc"), ==, 1 + 5 + 3 + 2 + 1 + 10);      /* no merges: a token a byte */

  zie_request_init (&request);
  zie_model_init_request (model, &request);
  g_assert_cmpint (request.height, ==, 64);
  tiny_model_remove (folder);
}

/* Each row breaks one thing; the message names the file and what is wrong. */
static const struct
{
  const char *file, *find, *replace;
  ZieError code;
  const char *says;
} broken[] = {
  { "model_index.json", "ZImagePipeline", "FluxPipeline", ZIE_ERROR_MODEL_UNSUPPORTED, "_class_name" },
  { "model_index.json", "[64,64]", "[60,64]", ZIE_ERROR_MODEL_UNSUPPORTED, "sizes" },
  { "model_index.json", "{", "[", ZIE_ERROR_FILE_CORRUPT, "model_index.json" },
  { "scheduler/scheduler_config.json", "3.0", "-1.0", ZIE_ERROR_MODEL_UNSUPPORTED, "shift" },
  { "scheduler/scheduler_config.json", "\"use_dynamic_shifting\":false", "\"use_dynamic_shifting\":true", ZIE_ERROR_MODEL_UNSUPPORTED,
    "use_dynamic_shifting" },
  { "transformer/config.json", "\"dim\":256", "\"dim\":\"256\"", ZIE_ERROR_FILE_CORRUPT, "dim" },
  { "transformer/config.json", "\"dim\":256", "\"dim\":320", ZIE_ERROR_MODEL_UNSUPPORTED, "axes_dims" },
  { "transformer/config.json", "\"n_layers\":2,", "", ZIE_ERROR_FILE_CORRUPT, "n_layers" },
  { "transformer/config.json", "\"n_layers\":2", "\"n_layers\":3", ZIE_ERROR_TENSOR_MISSING, "layers.2." },
  { "transformer/config.json", "\"n_layers\":2", "\"n_layers\":1000000000000", ZIE_ERROR_FILE_CORRUPT, "n_layers" },
  { "transformer/config.json", "\"qk_norm\":true", "\"qk_norm\":false", ZIE_ERROR_MODEL_UNSUPPORTED, "qk_norm" },
  { "transformer/config.json", "\"cap_feat_dim\":64", "\"cap_feat_dim\":96", ZIE_ERROR_MODEL_UNSUPPORTED, "cap_feat_dim" },
  { "transformer/config.json", "\"n_kv_heads\":2", "\"n_kv_heads\":1", ZIE_ERROR_MODEL_UNSUPPORTED, "n_kv_heads" },
  { "transformer/config.json", "[32,48,48]", "[32,48]", ZIE_ERROR_MODEL_UNSUPPORTED, "axes_dims" },
  { "text_encoder/config.json", "\"hidden_act\":\"silu\"", "\"hidden_act\":\"gelu\"", ZIE_ERROR_MODEL_UNSUPPORTED, "hidden_act" },
  { "text_encoder/config.json", "\"rope_theta\":1000000,", "", ZIE_ERROR_FILE_CORRUPT, "rope_theta" },
  { "text_encoder/config.json", "\"intermediate_size\":96", "\"intermediate_size\":128", ZIE_ERROR_FILE_CORRUPT, "gate_proj" },
  { "text_encoder/config.json", "\"vocab_size\":260", "\"vocab_size\":200", ZIE_ERROR_FILE_CORRUPT, "embed_tokens" },
  { "vae/config.json", "[32,32,64,64]", "[32,32,64,65]", ZIE_ERROR_MODEL_UNSUPPORTED, "block_out_channels" },
  { "vae/config.json", "[32,32,64,64]", "[32,32,32,64]", ZIE_ERROR_FILE_CORRUPT, "up_blocks" },
  { "vae/config.json", "\"use_quant_conv\":false", "\"use_quant_conv\":true", ZIE_ERROR_MODEL_UNSUPPORTED, "use_quant_conv" },
  { "vae/config.json", "0.3611", "0.0", ZIE_ERROR_MODEL_UNSUPPORTED, "scaling_factor" },
  { "tokenizer/tokenizer.json", "\"id\":258", "\"id\":300", ZIE_ERROR_FILE_CORRUPT, "tokenizer.json" },
  { "tokenizer/tokenizer.json", "\"type\":\"BPE\"", "\"type\":\"Unigram\"", ZIE_ERROR_MODEL_UNSUPPORTED, "model.type" },
};

static void
test_broken (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  char *folder = tiny_model_new (1);
  g_autoptr(GError) error = NULL;
  ZieModel *model;

  tiny_model_edit (folder, broken[i].file, broken[i].find, broken[i].replace);
  model = zie_model_open (folder, &error);
  g_assert_null (model);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, folder));
  g_assert_nonnull (strstr (error->message, broken[i].says));
  g_assert_error (error, ZIE_ERROR, (int)broken[i].code);
  tiny_model_remove (folder);
}

static void
test_missing (gconstpointer data)
{
  const char *file = data;
  char *folder = tiny_model_new (1);
  g_autofree char *path = g_build_filename (folder, file, NULL);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (g_remove (path), ==, 0);
  g_assert_null (zie_model_open (folder, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, folder));
  tiny_model_remove (folder);
}

static void
test_no_folder (void)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (zie_model_open ("/nonexistent/model", &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND);
}

int
main (int argc, char **argv)
{
  static const char *const files[] = { "model_index.json", "transformer/config.json", "transformer/diffusion_pytorch_model.safetensors",
                                       "text_encoder/model.safetensors", "vae/config.json", "tokenizer/tokenizer.json",
                                       "scheduler/scheduler_config.json" };

  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/model/open", test_open);
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++)
    {
      g_autofree char *name = g_strdup_printf ("/model/broken/%u-%s", i, broken[i].says);
      g_test_add_data_func (name, GUINT_TO_POINTER (i), test_broken);
    }
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *name = g_strdup_printf ("/model/missing/%s", files[i]);
      g_test_add_data_func (name, files[i], test_missing);
    }
  g_test_add_func ("/model/no-folder", test_no_folder);
  return g_test_run ();
}
