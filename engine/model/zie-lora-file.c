/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-lora-private.h"

#include <math.h>
#include <string.h>

#include "zie-file.h"
#include "zie-json.h"

#define MAX_RANK 8192
#define MAX_UNMATCHED 8        /* names kept for messages */
#define MAX_PATTERNS 1000
#define MATCH_LIMIT "10000" /* steps of a regular expression: its pattern comes from a file */
#define PEFT_PREFIX "base_model.model."

/* A layer that a LoRA may change, or q, k, v stacked. */
typedef struct
{
  char *name;                  /* owned; diffusers' or the original's, without ".weight" */
  const ZieWeight *targets[3];
  int n_targets;
} Layer;

static void
layer_clear (gpointer data)
{
  g_free (((Layer *)data)->name);
}

static void
add_layer (GArray *layers, char *name /* transfer full */, const ZieWeight *a, const ZieWeight *b, const ZieWeight *c)
{
  Layer layer = { name, { a, b, c }, b != NULL ? 3 : 1 };
  g_array_append_val (layers, layer);
}

static void
add_block (GArray *layers, const char *part, int i, const ZieDitBlock *block)
{
  const struct { const char *name, *other; const ZieWeight *weight; } rows[] = {
    { "attention.to_q", NULL, &block->q },
    { "attention.to_k", NULL, &block->k },
    { "attention.to_v", NULL, &block->v },
    { "attention.to_out.0", "attention.out", &block->out },
    { "feed_forward.w1", NULL, &block->w1 },
    { "feed_forward.w2", NULL, &block->w2 },
    { "feed_forward.w3", NULL, &block->w3 },
    { "adaLN_modulation.0", NULL, &block->mod_weight },
  };

  for (guint r = 0; r < G_N_ELEMENTS (rows); r++)
    {
      if (rows[r].weight->data == NULL)                /* the context refiner has no modulation */
        continue;
      add_layer (layers, g_strdup_printf ("%s.%d.%s", part, i, rows[r].name), rows[r].weight, NULL, NULL);
      if (rows[r].other != NULL)
        add_layer (layers, g_strdup_printf ("%s.%d.%s", part, i, rows[r].other), rows[r].weight, NULL, NULL);
    }
  add_layer (layers, g_strdup_printf ("%s.%d.attention.qkv", part, i), &block->q, &block->k, &block->v);
}

/* Every linear layer of DIT under every name that LoRAs call it. */
static GArray *
list_layers (const ZieDit *dit)
{
  GArray *layers = g_array_new (FALSE, FALSE, sizeof (Layer));
  const struct { const char *name; const ZieWeight *weight; } rows[] = {
    { "t_embedder.mlp.0", &dit->t_mlp0 },
    { "t_embedder.mlp.2", &dit->t_mlp2 },
    { "all_x_embedder.2-1", &dit->x_embed },
    { "x_embedder", &dit->x_embed },
    { "cap_embedder.1", &dit->cap_embed },
    { "all_final_layer.2-1.linear", &dit->final_linear },
    { "final_layer.linear", &dit->final_linear },
    { "all_final_layer.2-1.adaLN_modulation.1", &dit->final_mod },
    { "final_layer.adaLN_modulation.1", &dit->final_mod },
  };

  g_array_set_clear_func (layers, layer_clear);
  for (guint r = 0; r < G_N_ELEMENTS (rows); r++)
    add_layer (layers, g_strdup (rows[r].name), rows[r].weight, NULL, NULL);
  for (int i = 0; i < dit->config.n_refiner_layers; i++)
    {
      add_block (layers, "noise_refiner", i, &dit->noise_refiner[i]);
      add_block (layers, "context_refiner", i, &dit->context_refiner[i]);
    }
  for (int i = 0; i < dit->config.n_layers; i++)
    add_block (layers, "layers", i, &dit->layers[i]);
  return layers;
}

/* NAME and, for kohya, NAME with its dots as underscores, to the layer. */
static GHashTable *
index_layers (GArray *layers)
{
  GHashTable *index = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < layers->len; i++)
    {
      Layer *layer = &g_array_index (layers, Layer, i);
      g_hash_table_insert (index, g_strdelimit (g_strdup (layer->name), ".", '_'), layer);
      g_hash_table_insert (index, g_strdup (layer->name), layer);
    }
  return index;
}

/* --- names ---------------------------------------------------------------------------------------------------------- */

typedef enum { ROLE_NONE, ROLE_A, ROLE_B, ROLE_ALPHA, N_ROLES } Role;

/* One layer's tensors in the file. */
typedef struct
{
  const ZieTensorInfo *tensors[N_ROLES];
  const Layer *layer;
} Pair;

/* What NAME is; *STEM receives the layer's part of it (transfer full). */
static Role
split_name (const char *name, char **stem)
{
  static const struct { const char *ending; Role role; } endings[] = {
    { ".lora_A.weight", ROLE_A },    { ".lora_B.weight", ROLE_B },  { ".lora_down.weight", ROLE_A }, { ".lora_up.weight", ROLE_B },
    { ".lora.down.weight", ROLE_A }, { ".lora.up.weight", ROLE_B }, { ".lora_A", ROLE_A },           { ".lora_B", ROLE_B },
    { ".alpha", ROLE_ALPHA },
  };
  g_autoptr(GString) plain = g_string_new (name);

  g_string_replace (plain, ".default.", ".", 0);
  for (guint i = 0; i < G_N_ELEMENTS (endings); i++)
    if (g_str_has_suffix (plain->str, endings[i].ending))
      {
        *stem = g_strndup (plain->str, plain->len - strlen (endings[i].ending));
        return endings[i].role;
      }
  return ROLE_NONE;
}

static const Layer *
find_layer (GHashTable *index, const char *stem)
{
  static const char *const prefixes[] = { PEFT_PREFIX,  "model.diffusion_model.", "diffusion_model.", "transformer.",
                                          "lora_unet_", "lora_transformer_",      "lycoris_" };

  for (guint i = 0; i < G_N_ELEMENTS (prefixes); i++)
    if (g_str_has_prefix (stem, prefixes[i]))
      stem += strlen (prefixes[i]);          /* one may stand before another */
  return g_hash_table_lookup (index, stem);
}

static gboolean
is_text_encoder (const char *name)
{
  return g_str_has_prefix (name, "lora_te") || g_str_has_prefix (name, "text_encoder") || g_str_has_prefix (name, "text_encoders.")
         || g_str_has_prefix (name, "te_") || g_str_has_prefix (name, "te1_");
}

gboolean
zie_lora_is_one (const ZieWeightFile *file)
{
  for (guint i = 0; i < zie_weight_file_get_n (file); i++)
    {
      g_autofree char *stem = NULL;
      Role role = split_name (zie_weight_file_get (file, i)->name, &stem);

      if (role == ROLE_A || role == ROLE_B)
        return TRUE;
    }
  return FALSE;
}

/* Adapters that are no LoRA, by a piece of their names. */
static const char *
find_other_kind (const char *name)
{
  static const struct { const char *piece, *kind; } kinds[] = {
    { "dora_scale", "DoRA" }, { "lora_magnitude_vector", "DoRA" }, { "hada_", "LoHa" }, { "lokr_", "LoKr" }, { "lora_mid", "LoCon with a middle factor" },
    { "oft_", "OFT" }, { ".diff", "full differences" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (strstr (name, kinds[i].piece) != NULL)
      return kinds[i].kind;
  return NULL;
}

/* --- scales --------------------------------------------------------------------------------------------------------- */

/* A layer's own alpha, by a regular expression for the end of its name. */
typedef struct
{
  GRegex *regex;
  double alpha;
} Pattern;

/* PEFT's configuration, as far as strength goes: diffusers has it in the metadata, PEFT itself in a file beside. */
typedef struct
{
  double alpha;                /* 0: not said */
  gboolean by_root;            /* alpha / sqrt (rank) */
  GArray *patterns;            /* of Pattern */
} Metadata;

static void
pattern_clear (gpointer data)
{
  g_regex_unref (((Pattern *)data)->regex);
}

static void
metadata_clear (Metadata *self)
{
  g_clear_pointer (&self->patterns, g_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Metadata, metadata_clear)

/* OBJECT: {"layers.1.feed_forward.w2": 16, …}, which PEFT looks through in this order. */
static gboolean
read_patterns (Metadata *self, const char *path, JsonObject *object, GError **error)
{
  JsonObjectIter iter;
  const char *key;
  JsonNode *node;

  json_object_iter_init_ordered (&iter, object);
  while (json_object_iter_next_ordered (&iter, &key, &node))
    {
      g_autofree char *text = g_strdup_printf ("(*LIMIT_MATCH=" MATCH_LIMIT ")(.*\\.)?(%s)$", key);
      Pattern pattern = { g_regex_new (text, G_REGEX_ANCHORED, 0, NULL),
                          JSON_NODE_HOLDS_VALUE (node) ? json_node_get_double (node) : 0 };

      if (pattern.regex == NULL || !(pattern.alpha > 0) || self->patterns->len >= MAX_PATTERNS)
        {
          g_clear_pointer (&pattern.regex, g_regex_unref);
          g_set_error (
              error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
              "%s: \"alpha_pattern\" of its configuration cannot be used: expected at most %d regular expressions with a number above 0 "
              "each, found \"%.60s\"",
              path, MAX_PATTERNS, key);
          zie_file_mend_error (error);           /* a name that was cut may end within a letter */
          return FALSE;
        }
      g_array_append_val (self->patterns, pattern);
    }
  return TRUE;
}

static gboolean
read_configuration (Metadata *self, const char *path, JsonObject *object, GError **error)
{
  JsonObjectIter iter;
  const char *key;
  JsonNode *node;

  json_object_iter_init (&iter, object);
  while (json_object_iter_next (&iter, &key, &node))
    {
      const char *dot = strrchr (key, '.'), *name = dot != NULL ? dot + 1 : key; /* "transformer.lora_alpha" */

      if (g_str_has_prefix (key, "text_encoder"))
        continue;
      if (g_str_equal (name, "lora_alpha") && JSON_NODE_HOLDS_VALUE (node))
        self->alpha = json_node_get_double (node);
      else if (g_str_equal (name, "use_rslora") && JSON_NODE_HOLDS_VALUE (node))
        self->by_root = json_node_get_boolean (node);
      else if (g_str_equal (name, "alpha_pattern") && JSON_NODE_HOLDS_OBJECT (node) &&
               !read_patterns (self, path, json_node_get_object (node), error))
        return FALSE;
    }
  return TRUE;
}

/* adapter_config.json beside FILE, whose names are PEFT's own; NULL: there is none. */
static JsonObject *
load_peft_config (const ZieWeightFile *file)
{
  g_autofree char *folder = g_path_get_dirname (zie_weight_file_get_path (file)),
                  *path = g_build_filename (folder, "adapter_config.json", NULL);

  return zie_weight_file_get_n (file) > 0 && g_str_has_prefix (zie_weight_file_get (file, 0)->name, PEFT_PREFIX)
             ? zie_json_load_object (path, NULL)
             : NULL;
}

static gboolean
read_metadata (Metadata *self, const ZieWeightFile *file, GError **error)
{
  const char *path = zie_weight_file_get_path (file);
  g_autofree char *text = zie_weight_file_get_meta (file, "lora_adapter_metadata");
  JsonObject *object = text != NULL ? zie_json_parse_object (text, strlen (text), path, NULL) : load_peft_config (file);
  gboolean ok;

  *self = (Metadata) { .patterns = g_array_new (FALSE, FALSE, sizeof (Pattern)) };
  g_array_set_clear_func (self->patterns, pattern_clear);
  if (object == NULL)
    return TRUE;
  ok = read_configuration (self, path, object, error);
  json_object_unref (object);
  return ok;
}

/* LAYER's alpha; 0: not said. */
static double
get_alpha (const Metadata *self, const char *layer)
{
  for (guint i = 0; i < self->patterns->len; i++)
    {
      const Pattern *pattern = &g_array_index (self->patterns, Pattern, i);
      if (g_regex_match (pattern->regex, layer, 0, NULL))
        return pattern->alpha;
    }
  return self->alpha;
}

static float
get_scale (const Pair *pair, gint64 rank, const Metadata *metadata)
{
  const ZieTensorInfo *alpha = pair->tensors[ROLE_ALPHA];
  double said = get_alpha (metadata, pair->layer->name), value = said > 0 ? said : (double)rank;
  float stored = 0;

  if (alpha != NULL && zie_dtype_is_weight (alpha->dtype) && zie_dtype_block (alpha->dtype) == 1 && alpha->size >= zie_dtype_row_size (alpha->dtype, 1))
    {
      zie_dtype_to_f32 (alpha->dtype, &stored, alpha->data, 1);
      if (isfinite (stored))
        value = stored;
    }
  return (float)(value / (metadata->by_root && alpha == NULL ? sqrt ((double)rank) : (double)rank));
}

/* --- binding -------------------------------------------------------------------------------------------------------- */

/* Rows and the product of the rest, axes of length one at the end dropped: [rank, in, 1, 1] too. */
static gboolean
get_sizes (const ZieTensorInfo *info, gint64 *rows, gint64 *cols)
{
  if (info->n_dims < 2)
    return FALSE;
  *rows = info->dims[0];
  *cols = info->dims[1];
  for (int i = 2; i < MIN (info->n_dims, 4); i++)
    if (info->dims[i] != 1)
      return FALSE;
  return *rows > 0 && *cols > 0;
}

static gboolean
bind_pair (ZieLora *self, const Pair *pair, int block, const Metadata *metadata, GError **error)
{
  const ZieTensorInfo *a = pair->tensors[ROLE_A], *b = pair->tensors[ROLE_B];
  const Layer *layer = pair->layer;
  gint64 rank, in, out, b_rank, rows = layer->targets[0]->rows;
  ZieLoraEntry entry = { .block = block };

  if (a == NULL || b == NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: the factor %s of layer %s is missing; the file is incomplete",
                   zie_weight_file_get_path (self->file), a == NULL ? "A (down)" : "B (up)", layer->name);
      return FALSE;
    }
  if (!get_sizes (a, &rank, &in) || !get_sizes (b, &out, &b_rank) || rank != b_rank || rank > MAX_RANK || in != layer->targets[0]->cols
      || out != rows * layer->n_targets)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                   "%s: %s is [%" G_GINT64_FORMAT ", %" G_GINT64_FORMAT "] and %s is [%" G_GINT64_FORMAT ", %" G_GINT64_FORMAT "], expected "
                   "[rank, %" G_GINT64_FORMAT "] and [%" G_GINT64_FORMAT ", rank]; the LoRA is for another model", zie_weight_file_get_path (self->file),
                   a->name, a->dims[0], a->n_dims > 1 ? a->dims[1] : 1, b->name, b->dims[0], b->n_dims > 1 ? b->dims[1] : 1, layer->targets[0]->cols,
                   rows * layer->n_targets);
      return FALSE;
    }

  if (!zie_weights_bind (self->weights, self->file, (const char *[]) { a->name, NULL }, rank, in, &entry.a, error))
    return FALSE;
  entry.scale = get_scale (pair, rank, metadata);
  for (int i = 0; i < layer->n_targets; i++)
    {
      entry.target = layer->targets[i]->data;
      if (!zie_weights_bind_rows (self->weights, self->file, b->name, i * rows, rows, out, rank, &entry.b, error))
        return FALSE;
      g_array_append_val (self->entries, entry);
    }
  self->n_layers++;
  self->max_rank = MAX (self->max_rank, rank);
  return TRUE;
}

static int
compare_pairs (gconstpointer a, gconstpointer b)
{
  const Pair *const *x = a, *const *y = b;
  return strcmp ((*x)->layer->name, (*y)->layer->name);
}

/* The part of a layer's name that its block shares: "layers.12". */
static gsize
block_name_length (const char *name)
{
  const char *dot = strchr (name, '.');

  return dot == NULL || !g_ascii_isdigit (dot[1]) ? 0 : (gsize)(dot + 1 - name) + strcspn (dot + 1, ".");
}

static gboolean
share_block (const Layer *a, const Layer *b)
{
  gsize n = block_name_length (a->name);
  return n == block_name_length (b->name) && strncmp (a->name, b->name, n) == 0;
}

/* The file's tensors, sorted into pairs by layer. */
static gboolean
collect (ZieLora *self, GHashTable *index, GHashTable *pairs, GError **error)
{
  for (guint i = 0; i < zie_weight_file_get_n (self->file); i++)
    {
      const ZieTensorInfo *info = zie_weight_file_get (self->file, i);
      const char *kind = find_other_kind (info->name);
      g_autofree char *stem = NULL;
      Role role = split_name (info->name, &stem);
      const Layer *layer = role != ROLE_NONE ? find_layer (index, stem) : NULL;
      Pair *pair;

      if (is_text_encoder (info->name))
        {
          self->has_text_encoder = TRUE;
          continue;
        }
      if (kind != NULL)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED, "%s: is of the kind %s (it has %s), and this program applies plain LoRA only",
                       zie_weight_file_get_path (self->file), kind, info->name);
          return FALSE;
        }
      if (layer == NULL)
        {
          if (self->n_unmatched++ < MAX_UNMATCHED)
            g_ptr_array_add (self->unmatched, g_strdup (info->name));
          continue;
        }
      if ((pair = g_hash_table_lookup (pairs, layer)) == NULL)
        {
          pair = g_new0 (Pair, 1);
          pair->layer = layer;
          g_hash_table_insert (pairs, (gpointer)layer, pair);
        }
      pair->tensors[role] = info;
    }
  return TRUE;
}

ZieLora *
zie_lora_open (const char *path, const ZieDit *dit, GError **error)
{
  g_autoptr(ZieLora) self = g_new0 (ZieLora, 1);
  g_autoptr(GArray) layers = list_layers (dit);
  g_autoptr(GHashTable) index = index_layers (layers), pairs = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  g_autoptr(GPtrArray) sorted = g_ptr_array_new ();
  g_auto(Metadata) metadata = { 0 };
  GHashTableIter iter;
  gpointer pair;
  int block = 0;

  self->weights = zie_weights_new ();
  self->entries = g_array_new (FALSE, FALSE, sizeof (ZieLoraEntry));
  self->unmatched = g_ptr_array_new_with_free_func (g_free);
  if (!(self->file = zie_weight_file_open (path, error)) || !collect (self, index, pairs, error))
    return NULL;
  if (g_hash_table_size (pairs) == 0)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                   "%s: holds no LoRA for this transformer (its first tensor is %s); it is for another model, or another kind of file", path,
                   zie_weight_file_get_n (self->file) > 0 ? zie_weight_file_get (self->file, 0)->name : "none");
      return NULL;
    }

  g_hash_table_iter_init (&iter, pairs);
  while (g_hash_table_iter_next (&iter, NULL, &pair))
    g_ptr_array_add (sorted, pair);
  g_ptr_array_sort (sorted, compare_pairs);

  if (!read_metadata (&metadata, self->file, error))
    return NULL;
  for (guint i = 0; i < sorted->len; i++)
    {
      const Pair *now = sorted->pdata[i], *before = i > 0 ? sorted->pdata[i - 1] : NULL;

      if (before == NULL || !share_block (now->layer, before->layer))
        block = zie_weights_begin_block (self->weights);
      if (!bind_pair (self, now, block, &metadata, error))
        return NULL;
    }
  g_ptr_array_add (self->unmatched, NULL);
  return g_steal_pointer (&self);
}

void
zie_lora_free (ZieLora *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->weights, zie_weights_free);
  g_clear_pointer (&self->file, zie_weight_file_free);
  g_array_unref (self->entries);
  g_ptr_array_unref (self->unmatched);
  g_free (self);
}

ZieWeightFile *
zie_lora_get_file (ZieLora *self)
{
  return self->file;
}

const char *
zie_lora_get_path (const ZieLora *self)
{
  return zie_weight_file_get_path (self->file);
}

guint
zie_lora_get_n_layers (const ZieLora *self)
{
  return self->n_layers;
}

const char *const *
zie_lora_get_unmatched (const ZieLora *self, guint *n)
{
  *n = self->n_unmatched;
  return (const char *const *)self->unmatched->pdata;
}

gboolean
zie_lora_has_text_encoder (const ZieLora *self)
{
  return self->has_text_encoder;
}

const ZieWeights *
zie_lora_get_weights (const ZieLora *self)
{
  return self->weights;
}
