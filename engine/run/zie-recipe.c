/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-run"

#include "zie-recipe.h"

#include <math.h>
#include <string.h>

#include <zie/zie-error.h>
#include <zie/zie-request.h>

#include "zie-json-reader.h"
#include "zie-json.h"
#include "zie-png.h"

/* Raised when an older program would misread what a newer one writes. */
#define RECIPE_VERSION 1

/* --- our JSON: a table of the request's fields ---------------------------------------------------------------- */

typedef enum { FIELD_STRING, FIELD_INT, FIELD_DOUBLE, FIELD_BOOL, FIELD_SEED, FIELD_SAMPLER, FIELD_NOISE, FIELD_COMPUTE, FIELD_DECODE, FIELD_LORAS, FIELD_STAGES } FieldType;

/* Pictures (init_image, mask) are not part of a recipe. */
static const struct
{
  const char *key;
  FieldType type;
  gsize offset;
} fields[] = {
  { "prompt", FIELD_STRING, G_STRUCT_OFFSET (ZieRequest, prompt) },
  { "negative_prompt", FIELD_STRING, G_STRUCT_OFFSET (ZieRequest, negative_prompt) },
  { "width", FIELD_INT, G_STRUCT_OFFSET (ZieRequest, width) },
  { "height", FIELD_INT, G_STRUCT_OFFSET (ZieRequest, height) },
  { "steps", FIELD_INT, G_STRUCT_OFFSET (ZieRequest, n_steps) },
  { "images", FIELD_INT, G_STRUCT_OFFSET (ZieRequest, n_images) },
  { "seed", FIELD_SEED, G_STRUCT_OFFSET (ZieRequest, seed) },
  { "guidance", FIELD_DOUBLE, G_STRUCT_OFFSET (ZieRequest, guidance) },
  { "cfg_truncation", FIELD_DOUBLE, G_STRUCT_OFFSET (ZieRequest, cfg_truncation) },
  { "cfg_normalization", FIELD_DOUBLE, G_STRUCT_OFFSET (ZieRequest, cfg_normalization) },
  { "shift", FIELD_DOUBLE, G_STRUCT_OFFSET (ZieRequest, shift) },
  { "sampler", FIELD_SAMPLER, G_STRUCT_OFFSET (ZieRequest, sampler) },
  { "noise", FIELD_NOISE, G_STRUCT_OFFSET (ZieRequest, noise) },
  { "noise_cuda_sms", FIELD_INT, G_STRUCT_OFFSET (ZieRequest, noise_cuda_sms) },
  { "noise_cuda_threads", FIELD_INT, G_STRUCT_OFFSET (ZieRequest, noise_cuda_threads) },
  { "compute", FIELD_COMPUTE, G_STRUCT_OFFSET (ZieRequest, compute) },
  { "decode", FIELD_DECODE, G_STRUCT_OFFSET (ZieRequest, decode) },
  { "tile_size", FIELD_INT, G_STRUCT_OFFSET (ZieRequest, tile_size) },
  { "tile_overlap", FIELD_INT, G_STRUCT_OFFSET (ZieRequest, tile_overlap) },
  { "truncate_prompt", FIELD_BOOL, G_STRUCT_OFFSET (ZieRequest, truncate_prompt) },
  { "preview_every", FIELD_INT, G_STRUCT_OFFSET (ZieRequest, preview_every) },
  { "strength", FIELD_DOUBLE, G_STRUCT_OFFSET (ZieRequest, strength) },
  { "loras", FIELD_LORAS, 0 },
  { "model", FIELD_STRING, G_STRUCT_OFFSET (ZieRequest, model_name) },
  { "redone", FIELD_STAGES, G_STRUCT_OFFSET (ZieRequest, redone) },
};

static void
append_seed (GString *json, guint64 seed)
{
  /* Beyond 2^53 many JSON readers lose digits of a number. */
  g_string_append_printf (json, seed <= (guint64)1 << 53 ? "%" G_GUINT64_FORMAT : "\"%" G_GUINT64_FORMAT "\"", seed);
}

/* [{"file": …, "strength": …}]: names, not where files lie. */
static void
append_loras (GString *json, const ZieRequest *self)
{
  g_string_append_c (json, '[');
  for (guint i = 0; i < self->n_loras; i++)
    {
      g_autofree char *name = g_path_get_basename (self->loras[i].file);

      g_string_append (json, i > 0 ? ", {\"file\": " : "{\"file\": ");
      zie_json_append_string (json, name);
      g_string_append (json, ", \"strength\": ");
      zie_json_append_double (json, self->loras[i].strength);
      g_string_append_c (json, '}');
    }
  g_string_append_c (json, ']');
}

/* ["sample", "decode"] */
static void
append_stages (GString *json, guint stages)
{
  const char *between = "";

  g_string_append_c (json, '[');
  for (int i = 0; i < ZIE_N_STAGES; i++)
    if (stages & 1u << i)
      {
        g_string_append (json, between);
        zie_json_append_string (json, zie_stage_name ((ZieStage)i));
        between = ", ";
      }
  g_string_append_c (json, ']');
}

static void
append_field (GString *json, FieldType type, const void *field)
{
  const char *text;

  switch (type)
    {
    case FIELD_STRING:
      text = *(char *const *)field;
      if (text != NULL)
        zie_json_append_string (json, text);
      else
        g_string_append (json, "null");
      break;
    case FIELD_INT:
      g_string_append_printf (json, "%d", *(const int *)field);
      break;
    case FIELD_DOUBLE:
      zie_json_append_double (json, *(const double *)field);
      break;
    case FIELD_BOOL:
      g_string_append (json, *(const gboolean *)field ? "true" : "false");
      break;
    case FIELD_SEED:
      append_seed (json, *(const guint64 *)field);
      break;
    case FIELD_SAMPLER:
      zie_json_append_string (json, zie_sampler_name (*(const ZieSampler *)field));
      break;
    case FIELD_NOISE:
      zie_json_append_string (json, zie_noise_name (*(const ZieNoise *)field));
      break;
    case FIELD_COMPUTE:
      zie_json_append_string (json, zie_compute_name (*(const ZieCompute *)field));
      break;
    case FIELD_DECODE:
      zie_json_append_string (json, zie_decode_name (*(const ZieDecode *)field));
      break;
    case FIELD_LORAS:
      append_loras (json, field);
      break;
    case FIELD_STAGES:
      append_stages (json, *(const guint *)field);
      break;
    }
}

char *
zie_request_to_json (const ZieRequest *self)
{
  GString *json = g_string_new (NULL);

  g_return_val_if_fail (self != NULL, NULL);

  g_string_append_printf (json, "{\"recipe\": %d", RECIPE_VERSION);
  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++)
    {
      if (fields[i].type == FIELD_STAGES && self->redone == 0)      /* hardly ever */
        continue;
      g_string_append_printf (json, ", \"%s\": ", fields[i].key);
      append_field (json, fields[i].type, (const char *)self + fields[i].offset);
    }
  g_string_append_c (json, '}');

  return g_string_free (json, FALSE);
}

static gboolean
read_seed (JsonObject *object, const char *where, const char *key, guint64 *out, GError **error)
{
  JsonNode *node = json_object_get_member (object, key);
  gint64 value;

  if (JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING)
    {
      if (g_ascii_string_to_unsigned (json_node_get_string (node), 10, 0, G_MAXUINT64, out, NULL))
        return TRUE;
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%s: \"%s\" is \"%.40s\", expected 0 to %" G_GUINT64_FORMAT,
                   where, key, json_node_get_string (node), G_MAXUINT64);
      return FALSE;
    }

  if (!zie_json_get_int (object, where, key, NULL, 0, G_MAXINT64, &value, error))
    return FALSE;
  *out = (guint64)value;
  return TRUE;
}

/* The value of an enumeration by its name. */
static gboolean
read_name (JsonObject *object, const char *where, const char *key, FieldType type, void *out, GError **error)
{
  const char *name;
  gboolean is_known;

  if (!zie_json_get_string (object, where, key, NULL, &name, error))
    return FALSE;

  is_known = type == FIELD_SAMPLER ? zie_sampler_from_name (name, out)
             : type == FIELD_NOISE ? zie_noise_from_name (name, out)
             : type == FIELD_DECODE ? zie_decode_from_name (name, out)
                                   : zie_compute_from_name (name, out);
  if (!is_known)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%s: \"%s\" is \"%.40s\", which this program does not know",
                 where, key, name);
  return is_known;
}

static gboolean
read_loras (JsonObject *object, const char *where, const char *key, ZieRequest *out, GError **error)
{
  JsonNode *node = json_object_get_member (object, key);
  JsonArray *list = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  zie_request_clear_loras (out);
  for (guint i = 0; list != NULL && i < json_array_get_length (list); i++)
    {
      JsonNode *item = json_array_get_element (list, i);
      double one = 1, strength;
      const char *file;

      if (!JSON_NODE_HOLDS_OBJECT (item))
        {
          list = NULL;
          break;
        }
      if (!zie_json_get_string (json_node_get_object (item), where, "file", NULL, &file, error)
          || !zie_json_get_double (json_node_get_object (item), where, "strength", &one, &strength, error))
        return FALSE;
      zie_request_add_lora (out, file, strength);
    }
  if (list == NULL)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%s: \"%s\" is not a list of {\"file\", \"strength\"}", where, key);
  return list != NULL;
}

/* Names of stages that this program does not know are of a later one, and say nothing about a request. */
static gboolean
read_stages (JsonObject *object, const char *where, const char *key, guint *out, GError **error)
{
  JsonNode *node = json_object_get_member (object, key);
  JsonArray *list = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  guint stages = 0;

  for (guint i = 0; list != NULL && i < json_array_get_length (list); i++)
    {
      JsonNode *item = json_array_get_element (list, i);
      const char *name = JSON_NODE_HOLDS_VALUE (item) && json_node_get_value_type (item) == G_TYPE_STRING ? json_node_get_string (item) : NULL;

      if (name == NULL)
        list = NULL;
      for (int stage = 0; name != NULL && stage < ZIE_N_STAGES; stage++)
        if (strcmp (name, zie_stage_name ((ZieStage)stage)) == 0)
          stages |= 1u << stage;
    }
  if (list == NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%s: \"%s\" is not a list of stages' names", where, key);
      return FALSE;
    }
  *out = stages;
  return TRUE;
}

static gboolean
read_field (JsonObject *object, const char *where, const char *key, FieldType type, void *out, GError **error)
{
  const char *text;
  gint64 number;

  switch (type)
    {
    case FIELD_STRING:
      if (json_object_get_null_member (object, key))
        text = NULL;
      else if (!zie_json_get_string (object, where, key, NULL, &text, error))
        return FALSE;
      g_free (*(char **)out);
      *(char **)out = g_strdup (text);
      return TRUE;
    case FIELD_INT:
      if (!zie_json_get_int (object, where, key, NULL, G_MININT, G_MAXINT, &number, error))
        return FALSE;
      *(int *)out = (int)number;
      return TRUE;
    case FIELD_DOUBLE:
      return zie_json_get_double (object, where, key, NULL, out, error);
    case FIELD_BOOL:
      return zie_json_get_bool (object, where, key, NULL, out, error);
    case FIELD_LORAS:
      return read_loras (object, where, key, out, error);
    case FIELD_STAGES:
      return read_stages (object, where, key, out, error);
    case FIELD_SEED:
      return read_seed (object, where, key, out, error);
    case FIELD_SAMPLER:
    case FIELD_NOISE:
    case FIELD_COMPUTE:
    case FIELD_DECODE:
    default:
      return read_name (object, where, key, type, out, error);
    }
}

static gboolean
read_json (ZieRequest *self, const char *json, const char *where, GError **error)
{
  g_autoptr(JsonObject) object = zie_json_parse_object (json, strlen (json), where, error);
  gint64 version, first = RECIPE_VERSION;

  if (object == NULL || !zie_json_get_int (object, where, "recipe", &first, 1, RECIPE_VERSION, &version, error))
    return FALSE;

  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++)
    if (json_object_has_member (object, fields[i].key)
        && !read_field (object, where, fields[i].key, fields[i].type, (char *)self + fields[i].offset, error))
      return FALSE;

  return TRUE;
}

/* Reads with READ into a copy, so that SELF stays whole when TEXT is broken. */
static gboolean
read_into (ZieRequest *self, const char *text, const char *where,
           gboolean (*read) (ZieRequest *self, const char *text, const char *where, GError **error), GError **error)
{
  g_auto(ZieRequest) changed = { 0 };
  g_autoptr(GError) local = NULL;
  ZieRequest old;

  zie_request_copy (&changed, self);
  if (!read (&changed, text, where, &local))
    {
      /* The readers of files know no requests. */
      g_set_error_literal (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, local->message);
      return FALSE;
    }

  old = *self;
  *self = changed;
  changed = old;
  return TRUE;
}

gboolean
zie_request_from_json (ZieRequest *self, const char *json, GError **error)
{
  g_return_val_if_fail (self != NULL && json != NULL, FALSE);

  return read_into (self, json, "recipe", read_json, error);
}

/* --- the text that A1111-style tools read: prompt, negative prompt, one line of "Key: value" pairs -------------- */

#define NEGATIVE_PREFIX "Negative prompt:"

/* Fewer pairs than this are words of a prompt. */
#define MIN_PAIRS 3

static void
append_pair (GString *text, const char *key, const char *value)
{
  if (text->len > 0 && text->str[text->len - 1] != '\n')
    g_string_append (text, ", ");
  g_string_append_printf (text, "%s: ", key);

  if (strpbrk (value, ",:\n\"") != NULL)
    zie_json_append_string (text, value);
  else
    g_string_append (text, value);
}

static void
append_number (GString *text, const char *key, double value)
{
  g_autoptr(GString) number = g_string_new (NULL);

  zie_json_append_double (number, value);
  append_pair (text, key, number->str);
}

/* Twelve digits: sums and differences of what people type stay what they typed. */
static double
tidy (double value)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  return g_ascii_strtod (g_ascii_formatd (buffer, sizeof buffer, "%.12g", value), NULL);
}

char *
zie_request_to_parameters (const ZieRequest *self)
{
  g_autofree char *seed = NULL, *size = NULL, *version = NULL;
  GString *text = g_string_new (NULL);

  g_return_val_if_fail (self != NULL, NULL);

  seed = g_strdup_printf ("%" G_GUINT64_FORMAT, self->seed);
  size = g_strdup_printf ("%dx%d", self->width, self->height);
  version = g_strdup_printf ("zimage %s", zie_version ());

  g_string_append_printf (text, "%s\n", self->prompt != NULL ? self->prompt : "");
  if (self->negative_prompt != NULL && *self->negative_prompt != '\0')
    g_string_append_printf (text, NEGATIVE_PREFIX " %s\n", self->negative_prompt);

  append_number (text, "Steps", self->n_steps);
  append_pair (text, "Sampler", zie_sampler_title (self->sampler));
  append_pair (text, "Schedule type", "Simple");
  append_number (text, "CFG scale", tidy (self->guidance + 1));      /* theirs is one more (spec 5.2) */
  append_pair (text, "Seed", seed);
  append_pair (text, "Size", size);
  if (self->model_name != NULL && *self->model_name != '\0')
    append_pair (text, "Model", self->model_name);
  if (self->init_image != NULL)
    append_number (text, "Denoising strength", self->strength);
  if (self->shift > 0)
    append_number (text, "Shift", self->shift);
  if (self->cfg_truncation < 1)
    append_number (text, "CFG truncation", self->cfg_truncation);
  if (self->cfg_normalization > 0)
    append_number (text, "CFG normalization", self->cfg_normalization);
  if (self->n_loras > 0)
    {
      g_autoptr(GString) loras = g_string_new (NULL);

      for (guint i = 0; i < self->n_loras; i++)
        {
          g_autofree char *name = g_path_get_basename (self->loras[i].file);

          g_string_append_printf (loras, "%s%s: ", i > 0 ? ", " : "", name);
          zie_json_append_double (loras, self->loras[i].strength);
        }
      append_pair (text, "Loras", loras->str);
    }
  if (self->decode == ZIE_DECODE_BLEND)
    {
      append_pair (text, "VAE decode", "blend");
      if (self->tile_size > 0)
        append_number (text, "VAE tile size", self->tile_size);
      if (self->tile_overlap > 0)
        append_number (text, "VAE tile overlap", self->tile_overlap);
    }
  append_pair (text, "RNG", self->noise == ZIE_NOISE_CPU ? "CPU" : "GPU");
  append_pair (text, "Version", version);

  /* A chunk of text is UTF-8, whatever a caller's strings are. */
  if (!g_utf8_validate_len (text->str, text->len, NULL))
    {
      char *valid = g_utf8_make_valid (text->str, (gssize)text->len);

      g_string_free (text, TRUE);
      return valid;
    }
  return g_string_free (text, FALSE);
}

typedef struct
{
  char *key, *value;       /* owned */
} Pair;

static void
clear_pair (gpointer data)
{
  Pair *pair = data;

  g_free (pair->key);
  g_free (pair->value);
}

/* The pairs of one line: values end at a comma, or are quoted as JSON strings. */
static GArray *
split_pairs (const char *line)
{
  GArray *pairs = g_array_new (FALSE, FALSE, sizeof (Pair));
  g_autoptr(GString) quoted = g_string_new (NULL);
  const char *end = line + strlen (line);

  g_array_set_clear_func (pairs, clear_pair);
  while (*line != '\0')
    {
      ZieJsonReader reader = { 0 };
      gsize key_length, value_length;
      Pair pair;

      line += strspn (line, ", \t\r");
      key_length = strcspn (line, ":,");
      if (line[key_length] != ':')
        {
          line += key_length;      /* words without a value */
          continue;
        }

      pair.key = g_strstrip (g_strndup (line, key_length));
      line += key_length + 1;
      line += strspn (line, " \t");
      reader.start = reader.at = line;      /* not zie_json_reader_init(): the text is known to be UTF-8 */
      reader.end = end;
      if (*line == '"' && zie_json_reader_string (&reader, quoted))
        {
          pair.value = g_strdup (quoted->str);
          line = reader.at;
        }
      else
        {
          value_length = strcspn (line, ",");
          pair.value = g_strstrip (g_strndup (line, value_length));
          line += value_length;
        }
      g_array_append_val (pairs, pair);
    }

  return pairs;
}

static gboolean
parse_int (const char *text, int *out)
{
  gint64 value;

  if (!g_ascii_string_to_signed (text, 10, G_MININT, G_MAXINT, &value, NULL))
    return FALSE;
  *out = (int)value;
  return TRUE;
}

static gboolean
parse_double (const char *text, double *out)
{
  char *end;
  double value = g_ascii_strtod (text, &end);

  if (end == text || *end != '\0' || !isfinite (value))
    return FALSE;
  *out = value;
  return TRUE;
}

static gboolean
parse_size (const char *text, ZieRequest *self)
{
  g_auto(GStrv) sides = g_strsplit (text, "x", 3);
  int width, height;

  if (g_strv_length (sides) != 2 || !parse_int (sides[0], &width) || !parse_int (sides[1], &height))
    return FALSE;
  self->width = width;
  self->height = height;
  return TRUE;
}

/* The words of other programs; a sampler that is not ours leaves OUT alone. */
static void
parse_sampler (const char *text, ZieSampler *out)
{
  for (int i = 0; i < ZIE_N_SAMPLERS; i++)
    if (g_ascii_strcasecmp (text, zie_sampler_title ((ZieSampler)i)) == 0 || g_ascii_strcasecmp (text, zie_sampler_name ((ZieSampler)i)) == 0)
      *out = (ZieSampler)i;
}

/* "name: 0.8, other: 1" */
static gboolean
parse_loras (const char *text, ZieRequest *self)
{
  g_auto(GStrv) items = g_strsplit (text, ", ", -1);

  zie_request_clear_loras (self);
  for (guint i = 0; items[i] != NULL; i++)
    {
      char *colon = strrchr (items[i], ':');
      double strength;

      if (colon == NULL || colon == items[i] || !parse_double (g_strstrip (colon + 1), &strength))
        return FALSE;
      *colon = '\0';
      zie_request_add_lora (self, items[i], strength);
    }
  return TRUE;
}

/* FALSE when VALUE cannot be read; keys that mean nothing to us are fine. */
static gboolean
apply_pair (ZieRequest *self, const char *key, const char *value)
{
  double number;

  if (g_str_equal (key, "Steps"))
    return parse_int (value, &self->n_steps);
  if (g_str_equal (key, "Size"))
    return parse_size (value, self);
  if (g_str_equal (key, "Seed"))
    return g_ascii_string_to_unsigned (value, 10, 0, G_MAXUINT64, &self->seed, NULL);
  if (g_str_equal (key, "CFG scale"))
    {
      if (!parse_double (value, &number))
        return FALSE;
      self->guidance = MAX (tidy (number - 1), 0);
      return TRUE;
    }
  if (g_str_equal (key, "Loras"))
    return parse_loras (value, self);
  if (g_str_equal (key, "Shift"))
    return parse_double (value, &self->shift);
  if (g_str_equal (key, "CFG truncation"))
    return parse_double (value, &self->cfg_truncation);
  if (g_str_equal (key, "CFG normalization"))
    return parse_double (value, &self->cfg_normalization);
  if (g_str_equal (key, "Denoising strength"))
    return parse_double (value, &self->strength);
  if (g_str_equal (key, "VAE decode"))
    return zie_decode_from_name (value, &self->decode);
  if (g_str_equal (key, "VAE tile size"))
    return parse_int (value, &self->tile_size);
  if (g_str_equal (key, "VAE tile overlap"))
    return parse_int (value, &self->tile_overlap);
  if (g_str_equal (key, "Sampler"))
    parse_sampler (value, &self->sampler);
  else if (g_str_equal (key, "RNG"))      /* "NV" is the CUDA generator computed elsewhere */
    self->noise = g_str_equal (value, "CPU") ? ZIE_NOISE_CPU : ZIE_NOISE_CUDA;
  else if (g_str_equal (key, "Model"))
    {
      g_free (self->model_name);
      self->model_name = g_strdup (value);
    }
  return TRUE;
}

static gboolean
read_parameters (ZieRequest *self, const char *text, const char *where, GError **error)
{
  g_autoptr(GArray) pairs = NULL;
  g_autofree char *body = NULL;
  char *last, *negative;

  if (!g_utf8_validate (text, -1, NULL))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%s: is not UTF-8 text", where);
      return FALSE;
    }

  body = g_strdup (text);
  for (gsize n = strlen (body); n > 0 && (body[n - 1] == '\n' || body[n - 1] == '\r'); n--)
    body[n - 1] = '\0';
  if (*body == '\0')
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%s: is empty, expected a prompt", where);
      return FALSE;
    }

  last = strrchr (body, '\n');
  pairs = split_pairs (last != NULL ? last + 1 : body);
  if (pairs->len < MIN_PAIRS)
    g_array_set_size (pairs, 0);
  else if (last != NULL)
    *last = '\0';
  else
    *body = '\0';

  negative = g_str_has_prefix (body, NEGATIVE_PREFIX) ? body : strstr (body, "\n" NEGATIVE_PREFIX);
  g_clear_pointer (&self->negative_prompt, g_free);
  if (negative != NULL)
    {
      const char *words = strchr (negative, ':') + 1;

      if (*words == ' ')
        words++;
      if (*words != '\0')
        self->negative_prompt = g_strdup (words);
      *negative = '\0';
    }
  g_free (self->prompt);
  self->prompt = g_strdup (body);

  for (guint i = 0; i < pairs->len; i++)
    {
      const Pair *pair = &g_array_index (pairs, Pair, i);

      if (!apply_pair (self, pair->key, pair->value))
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%s: \"%s\" is \"%.40s\", which is not understood", where,
                       pair->key, pair->value);
          return FALSE;
        }
    }

  return TRUE;
}

gboolean
zie_request_from_parameters (ZieRequest *self, const char *text, GError **error)
{
  g_return_val_if_fail (self != NULL && text != NULL, FALSE);

  return read_into (self, text, "parameters", read_parameters, error);
}

/* --- in a picture ----------------------------------------------------------------------------------------------- */

gboolean
zie_request_from_png (ZieRequest *self, const char *path, GError **error)
{
  static const char *const keywords[] = { ZIE_RECIPE_JSON, ZIE_RECIPE_PARAMETERS };
  g_autofree char *json = NULL, *parameters = NULL;
  g_autoptr(GError) local = NULL;
  char *texts[G_N_ELEMENTS (keywords)] = { NULL };

  g_return_val_if_fail (self != NULL && path != NULL, FALSE);

  if (!zie_png_read_texts (path, keywords, texts, G_N_ELEMENTS (keywords), error))
    return FALSE;

  json = texts[0];
  parameters = texts[1];
  if (json == NULL && parameters == NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND, "%s: holds no recipe (no text \"%s\" or \"%s\")", path,
                   ZIE_RECIPE_JSON, ZIE_RECIPE_PARAMETERS);
      return FALSE;
    }

  if (json != NULL ? zie_request_from_json (self, json, &local) : zie_request_from_parameters (self, parameters, &local))
    return TRUE;

  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: the recipe inside cannot be read: %s", path, local->message);
  return FALSE;
}
