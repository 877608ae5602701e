/* SPDX-License-Identifier: Apache-2.0 */
#include "tiny-model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <glib/gstdio.h>

#include "zie-dtype.h"

#define HEAD 128
#define ADALN 256
#define VOCAB 260
#define LATENT 16

static const TinyModelShape tiny = { .dim = 256, .n_layers = 2, .text_dim = 64, .text_ffn = 96, .text_heads = 4, .text_kv_heads = 2,
                                     .text_head_dim = 32, .n_text_layers = 3, .vae_channels = { 32, 32, 64, 64 }, .vae_layers = 1 };

/* Qwen's splitting rules, as its tokenizer.json writes them. */
#define PRE_TOKENIZER \
  "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t|'re" \
  "|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n" \
  "]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type" \
  "\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}]}"

/* One safetensors file in the making. */
typedef struct
{
  const TinyModelShape *shape;
  GString *header;
  GByteArray *data;
  guint32 state;
} Writer;

static float
next_random (Writer *w)
{
  w->state = w->state * 1664525u + 1013904223u;
  return (float)(w->state >> 8) * 0x1p-23f - 1.0f;
}

/* Uniform values of standard deviation about 1 / sqrt (fan in); norms around one. */
static void
put (Writer *w, const char *name, int n_dims, const int *dims)
{
  gboolean is_norm = n_dims == 1 && (strstr (name, "norm") != NULL || strstr (name, "cap_embedder.0") != NULL) && strstr (name, "bias") == NULL;
  gint64 n = 1, fan_in = 1;
  guint begin = w->data->len;
  guint16 *numbers;
  float scale;

  g_string_append_printf (w->header, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[", w->header->len > 1 ? "," : "", name);
  for (int i = 0; i < n_dims; i++)
    {
      n *= dims[i];
      if (i > 0)
        fan_in *= dims[i];
      g_string_append_printf (w->header, "%s%d", i ? "," : "", dims[i]);
    }
  scale = n_dims == 1 ? 0.1f : 1.7f / sqrtf ((float)fan_in);
  g_byte_array_set_size (w->data, begin + 2 * (guint)n);
  numbers = (guint16 *)(gpointer)(w->data->data + begin);
  for (gint64 i = 0; i < n; i++)
    numbers[i] = GUINT16_TO_LE (zie_f32_to_bf16 (next_random (w) * scale + (is_norm ? 1.0f : 0.0f)));
  g_string_append_printf (w->header, "],\"data_offsets\":[%u,%u]}", begin, w->data->len);
}

#define PUT(w, name, ...) \
  do { const int dims_[] = { __VA_ARGS__ }; put ((w), (name), (int)G_N_ELEMENTS (dims_), dims_); } while (0)

static void
putf (Writer *w, const char *prefix, const char *leaf, int a, int b)
{
  g_autofree char *name = g_strconcat (prefix, leaf, NULL);
  const int dims[] = { a, b };
  put (w, name, b > 0 ? 2 : 1, dims);
}

static void
write_file (const char *folder, const char *part, const char *file, const void *data, gssize size)
{
  g_autofree char *path = part ? g_build_filename (folder, part, file, NULL) : g_build_filename (folder, file, NULL);
  g_autofree char *parent = g_path_get_dirname (path);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (g_mkdir_with_parents (parent, 0700), ==, 0);
  g_file_set_contents (path, data, size, &error);
  g_assert_no_error (error);
}

static void
finish (Writer *w, const char *folder, const char *part, const char *file)
{
  g_autofree char *parent = g_build_filename (folder, part, NULL), *path = g_build_filename (parent, file, NULL);
  guint64 size;
  FILE *f;

  g_string_append_c (w->header, '}');
  while (w->header->len % 8 != 0)
    g_string_append_c (w->header, ' ');
  size = GUINT64_TO_LE (w->header->len);
  g_assert_cmpint (g_mkdir_with_parents (parent, 0700), ==, 0);
  f = g_fopen (path, "wb");
  g_assert_nonnull (f);
  g_assert_true (fwrite (&size, 8, 1, f) == 1 && fwrite (w->header->str, w->header->len, 1, f) == 1
                 && fwrite (w->data->data, w->data->len, 1, f) == 1);
  g_assert_cmpint (fclose (f), ==, 0);
  g_string_free (w->header, TRUE);
  g_byte_array_unref (w->data);
}

static Writer
begin (const TinyModelShape *shape, guint32 seed)
{
  return (Writer) { shape, g_string_new ("{"), g_byte_array_new (), seed };
}

static void
put_block (Writer *w, const char *name, int i, gboolean is_modulated)
{
  g_autofree char *b = g_strdup_printf ("%s.%d.", name, i);
  const int dim = w->shape->dim, ffn = dim * 8 / 3;
  const struct { const char *leaf; int rows, cols; } tensors[] = {
    { "attention_norm1.weight", dim, 0 }, { "attention_norm2.weight", dim, 0 },
    { "attention.to_q.weight", dim, dim }, { "attention.to_k.weight", dim, dim }, { "attention.to_v.weight", dim, dim },
    { "attention.to_out.0.weight", dim, dim }, { "attention.norm_q.weight", HEAD, 0 }, { "attention.norm_k.weight", HEAD, 0 },
    { "ffn_norm1.weight", dim, 0 }, { "ffn_norm2.weight", dim, 0 },
    { "feed_forward.w1.weight", ffn, dim }, { "feed_forward.w2.weight", dim, ffn }, { "feed_forward.w3.weight", ffn, dim },
  };

  for (guint t = 0; t < G_N_ELEMENTS (tensors); t++)
    putf (w, b, tensors[t].leaf, tensors[t].rows, tensors[t].cols);
  if (is_modulated)
    {
      putf (w, b, "adaLN_modulation.0.weight", 4 * dim, ADALN);
      putf (w, b, "adaLN_modulation.0.bias", 4 * dim, 0);
    }
}

static void
write_transformer (const char *folder, const TinyModelShape *shape, guint32 seed)
{
  g_autofree char *config = g_strdup_printf (
    "{\"_class_name\":\"ZImageTransformer2DModel\",\"all_patch_size\":[2],\"all_f_patch_size\":[1],\"in_channels\":16,\"dim\":%d,"
    "\"n_layers\":%d,\"n_refiner_layers\":1,\"n_heads\":%d,\"n_kv_heads\":%d,\"norm_eps\":1e-05,\"qk_norm\":true,\"cap_feat_dim\":%d,"
    "\"rope_theta\":256.0,\"t_scale\":1000.0,\"axes_dims\":[32,48,48],\"axes_lens\":[1536,512,512]}",
    shape->dim, shape->n_layers, shape->dim / HEAD, shape->dim / HEAD, shape->text_dim);
  const int dim = shape->dim, text_dim = shape->text_dim;
  Writer w = begin (shape, seed);

  PUT (&w, "t_embedder.mlp.0.weight", 1024, 256);
  PUT (&w, "t_embedder.mlp.0.bias", 1024);
  PUT (&w, "t_embedder.mlp.2.weight", ADALN, 1024);
  PUT (&w, "t_embedder.mlp.2.bias", ADALN);
  PUT (&w, "all_x_embedder.2-1.weight", dim, 4 * LATENT);
  PUT (&w, "all_x_embedder.2-1.bias", dim);
  PUT (&w, "cap_embedder.0.weight", text_dim);
  PUT (&w, "cap_embedder.1.weight", dim, text_dim);
  PUT (&w, "cap_embedder.1.bias", dim);
  PUT (&w, "x_pad_token", 1, dim);
  PUT (&w, "cap_pad_token", 1, dim);
  put_block (&w, "context_refiner", 0, FALSE);
  put_block (&w, "noise_refiner", 0, TRUE);
  for (int i = 0; i < shape->n_layers; i++)
    put_block (&w, "layers", i, TRUE);
  PUT (&w, "all_final_layer.2-1.adaLN_modulation.1.weight", dim, ADALN);
  PUT (&w, "all_final_layer.2-1.adaLN_modulation.1.bias", dim);
  PUT (&w, "all_final_layer.2-1.linear.weight", 4 * LATENT, dim);
  PUT (&w, "all_final_layer.2-1.linear.bias", 4 * LATENT);
  finish (&w, folder, "transformer", "diffusion_pytorch_model.safetensors");
  write_file (folder, "transformer", "config.json", config, -1);
}

static void
write_text_encoder (const char *folder, const TinyModelShape *shape, guint32 seed)
{
  g_autofree char *config = g_strdup_printf (
    "{\"architectures\":[\"Qwen3ForCausalLM\"],\"model_type\":\"qwen3\",\"hidden_size\":%d,\"intermediate_size\":%d,"
    "\"num_hidden_layers\":%d,\"num_attention_heads\":%d,\"num_key_value_heads\":%d,\"head_dim\":%d,\"vocab_size\":260,"
    "\"rms_norm_eps\":1e-06,\"rope_theta\":1000000,\"hidden_act\":\"silu\",\"attention_bias\":false,\"tie_word_embeddings\":true}",
    shape->text_dim, shape->text_ffn, shape->n_text_layers, shape->text_heads, shape->text_kv_heads, shape->text_head_dim);
  const int dim = shape->text_dim, q = shape->text_heads * shape->text_head_dim, kv = shape->text_kv_heads * shape->text_head_dim;
  Writer w = begin (shape, seed);

  PUT (&w, "model.embed_tokens.weight", VOCAB, dim);
  for (int i = 0; i < shape->n_text_layers - 1; i++)          /* the last layer is never run: not needed in the file */
    {
      g_autofree char *l = g_strdup_printf ("model.layers.%d.", i);
      putf (&w, l, "input_layernorm.weight", dim, 0);
      putf (&w, l, "post_attention_layernorm.weight", dim, 0);
      putf (&w, l, "self_attn.q_proj.weight", q, dim);
      putf (&w, l, "self_attn.k_proj.weight", kv, dim);
      putf (&w, l, "self_attn.v_proj.weight", kv, dim);
      putf (&w, l, "self_attn.o_proj.weight", dim, q);
      putf (&w, l, "self_attn.q_norm.weight", shape->text_head_dim, 0);
      putf (&w, l, "self_attn.k_norm.weight", shape->text_head_dim, 0);
      putf (&w, l, "mlp.gate_proj.weight", shape->text_ffn, dim);
      putf (&w, l, "mlp.up_proj.weight", shape->text_ffn, dim);
      putf (&w, l, "mlp.down_proj.weight", dim, shape->text_ffn);
    }
  finish (&w, folder, "text_encoder", "model.safetensors");
  write_file (folder, "text_encoder", "config.json", config, -1);
}

static void
put_conv (Writer *w, const char *module, int in, int out, int k)
{
  g_autofree char *weight = g_strconcat (module, ".weight", NULL);
  const int dims[] = { out, in, k, k };

  put (w, weight, 4, dims);
  putf (w, module, ".bias", out, 0);
}

static void
put_norm (Writer *w, const char *module, int channels)
{
  putf (w, module, ".weight", channels, 0);
  putf (w, module, ".bias", channels, 0);
}

static void
put_res (Writer *w, const char *module, int in, int out)
{
  g_autofree char *norm1 = g_strconcat (module, ".norm1", NULL), *norm2 = g_strconcat (module, ".norm2", NULL);
  g_autofree char *conv1 = g_strconcat (module, ".conv1", NULL), *conv2 = g_strconcat (module, ".conv2", NULL);
  g_autofree char *shortcut = g_strconcat (module, ".conv_shortcut", NULL);

  put_norm (w, norm1, in);
  put_conv (w, conv1, in, out, 3);
  put_norm (w, norm2, out);
  put_conv (w, conv2, out, out, 3);
  if (in != out)
    put_conv (w, shortcut, in, out, 1);
}

static void
put_mid (Writer *w, const char *half, int channels)
{
  static const char *const parts[] = { "to_q", "to_k", "to_v", "to_out.0" };
  g_autofree char *norm = g_strconcat (half, ".mid_block.attentions.0.group_norm", NULL);

  for (int i = 0; i < 2; i++)
    {
      g_autofree char *res = g_strdup_printf ("%s.mid_block.resnets.%d", half, i);
      put_res (w, res, channels, channels);
    }
  put_norm (w, norm, channels);
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      g_autofree char *part = g_strdup_printf ("%s.mid_block.attentions.0.%s", half, parts[i]);
      putf (w, part, ".weight", channels, channels);
      putf (w, part, ".bias", channels, 0);
    }
}

static void
write_vae (const char *folder, const TinyModelShape *shape, guint32 seed)
{
  const int *channels = shape->vae_channels;
  g_autofree char *config = g_strdup_printf (
    "{\"_class_name\":\"AutoencoderKL\",\"act_fn\":\"silu\",\"block_out_channels\":[%d,%d,%d,%d],\"in_channels\":3,\"out_channels\":3,"
    "\"latent_channels\":16,\"layers_per_block\":%d,\"mid_block_add_attention\":true,\"norm_num_groups\":32,\"sample_size\":64,"
    "\"scaling_factor\":0.3611,\"shift_factor\":0.1159,\"use_quant_conv\":false,\"use_post_quant_conv\":false}",
    channels[0], channels[1], channels[2], channels[3], shape->vae_layers);
  Writer w = begin (shape, seed);

  put_conv (&w, "decoder.conv_in", LATENT, channels[3], 3);
  put_mid (&w, "decoder", channels[3]);
  for (int i = 0; i < 4; i++)
    for (int j = 0; j <= shape->vae_layers; j++)
      {
        g_autofree char *res = g_strdup_printf ("decoder.up_blocks.%d.resnets.%d", i, j);
        g_autofree char *up = g_strdup_printf ("decoder.up_blocks.%d.upsamplers.0.conv", i);
        int out = channels[3 - i], in = j == 0 && i > 0 ? channels[4 - i] : out;

        put_res (&w, res, in, out);
        if (j == shape->vae_layers && i < 3)
          put_conv (&w, up, out, out, 3);
      }
  put_norm (&w, "decoder.conv_norm_out", channels[0]);
  put_conv (&w, "decoder.conv_out", channels[0], 3, 3);

  put_conv (&w, "encoder.conv_in", 3, channels[0], 3);
  for (int i = 0; i < 4; i++)
    {
      g_autofree char *down = g_strdup_printf ("encoder.down_blocks.%d.downsamplers.0.conv", i);

      for (int j = 0; j < shape->vae_layers; j++)
        {
          g_autofree char *res = g_strdup_printf ("encoder.down_blocks.%d.resnets.%d", i, j);

          put_res (&w, res, channels[j == 0 ? MAX (i - 1, 0) : i], channels[i]);
        }
      if (i < 3)
        put_conv (&w, down, channels[i], channels[i], 3);
    }
  put_mid (&w, "encoder", channels[3]);
  put_norm (&w, "encoder.conv_norm_out", channels[3]);
  put_conv (&w, "encoder.conv_out", channels[3], 2 * LATENT, 3);
  finish (&w, folder, "vae", "diffusion_pytorch_model.safetensors");
  write_file (folder, "vae", "config.json", config, -1);
}

/* The 256 bytes, no merges, the template's control tokens. */
static void
write_tokenizer (const char *folder)
{
  static const char *const added[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>" };
  GString *s = g_string_new ("{\"version\":\"1.0\",\"added_tokens\":[");
  int extra = 256;

  for (guint i = 0; i < G_N_ELEMENTS (added); i++)
    g_string_append_printf (s, "%s{\"id\":%u,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                            "\"normalized\":false,\"special\":true}", i ? "," : "", 256 + i, added[i]);
  g_string_append (s, "],\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":" PRE_TOKENIZER ",\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
                   "\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{");
  for (int b = 0; b < 256; b++)
    {
      gboolean same = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      g_string_append_printf (s, "%s\"\\u%04x\":%d", b ? "," : "", same ? b : extra++, b);
    }
  g_string_append (s, "},\"merges\":[]}}");
  write_file (folder, "tokenizer", "tokenizer.json", s->str, (gssize)s->len);
  g_string_free (s, TRUE);
}

void
tiny_model_write_shape (const char *folder, const TinyModelShape *shape, guint32 seed)
{
  write_file (folder, NULL, "model_index.json",
              "{\"_class_name\":\"ZImagePipeline\",\"zimage_studio\":{\"default_width\":64,\"default_height\":64,\"steps\":8,"
              "\"distilled\":true,\"sizes\":[[64,64],[96,64],[64,96],[128,128]]}}", -1);
  write_file (folder, "scheduler", "scheduler_config.json",
              "{\"_class_name\":\"FlowMatchEulerDiscreteScheduler\",\"num_train_timesteps\":1000,\"shift\":3.0,"
              "\"use_dynamic_shifting\":false}", -1);
  write_transformer (folder, shape, seed);
  write_text_encoder (folder, shape, seed + 1);
  write_vae (folder, shape, seed + 2);
  write_tokenizer (folder);
}

void
tiny_model_write (const char *folder, guint32 seed)
{
  tiny_model_write_shape (folder, &tiny, seed);
}

char *
tiny_model_new (guint32 seed)
{
  g_autoptr(GError) error = NULL;
  char *folder = g_dir_make_tmp ("zie-tiny-XXXXXX", &error);

  g_assert_no_error (error);
  tiny_model_write (folder, seed);
  return folder;
}

static void
remove_tree (const char *path)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);
      remove_tree (child);
    }
  g_remove (path);
}

void
tiny_model_remove (char *folder)
{
  remove_tree (folder);
  g_free (folder);
}

void
tiny_model_edit (const char *folder, const char *file, const char *find, const char *replace)
{
  g_autofree char *path = g_build_filename (folder, file, NULL), *text = NULL;
  g_autoptr(GString) edited = NULL;
  g_autoptr(GError) error = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  edited = g_string_new (text);
  g_assert_cmpuint (g_string_replace (edited, find, replace, 1), ==, 1);
  g_file_set_contents (path, edited->str, (gssize)edited->len, &error);
  g_assert_no_error (error);
}
