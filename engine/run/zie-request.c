/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-run"

#include <zie/zie-request.h>

#include <math.h>
#include <string.h>

#include <zie/zie-error.h>
#include <zie/zie-image.h>

#include "zie-model-private.h"

#define MAX_LORAS 64
#define TILE_STEP 8
#define TILE_MIN 64

/* Far more than any 512 ids; keeps a pasted novel from being tokenized at every keystroke. */
#define MAX_TEXT_SIZE ((gsize)1 << 20)

void
zie_request_init (ZieRequest *self)
{
  g_return_if_fail (self != NULL);

  *self = (ZieRequest) {
    .prompt = g_strdup (""),
    .width = 1024,
    .height = 1024,
    .n_steps = 8,
    .n_images = 1,
    .cfg_truncation = 1,
    .sampler = ZIE_SAMPLER_EULER,
    .noise = ZIE_NOISE_CPU,
    .noise_cuda_sms = 132,
    .noise_cuda_threads = 2048,
    .compute = ZIE_COMPUTE_AUTO,
    .strength = 0.6,
  };
}

void
zie_request_copy (ZieRequest *dest, const ZieRequest *src)
{
  g_return_if_fail (dest != NULL && src != NULL && dest != src);

  *dest = *src;
  dest->prompt = g_strdup (src->prompt);
  dest->negative_prompt = g_strdup (src->negative_prompt);
  dest->model_name = g_strdup (src->model_name);
  dest->loras = NULL;
  dest->n_loras = 0;
  for (guint i = 0; i < src->n_loras; i++)
    zie_request_add_lora (dest, src->loras[i].file, src->loras[i].strength);
  if (src->init_image != NULL)
    dest->init_image = zie_image_ref (src->init_image);
  if (src->mask != NULL)
    dest->mask = zie_image_ref (src->mask);
}

void
zie_request_clear (ZieRequest *self)
{
  g_return_if_fail (self != NULL);

  g_clear_pointer (&self->prompt, g_free);
  g_clear_pointer (&self->negative_prompt, g_free);
  g_clear_pointer (&self->model_name, g_free);
  zie_request_clear_loras (self);
  g_clear_pointer (&self->init_image, zie_image_unref);
  g_clear_pointer (&self->mask, zie_image_unref);
}

void
zie_request_add_lora (ZieRequest *self, const char *file, double strength)
{
  g_return_if_fail (self != NULL && file != NULL);

  self->loras = g_renew (ZieLoraChoice, self->loras, self->n_loras + 1);
  self->loras[self->n_loras++] = (ZieLoraChoice) { g_strdup (file), strength };
}

void
zie_request_clear_loras (ZieRequest *self)
{
  g_return_if_fail (self != NULL);

  for (guint i = 0; i < self->n_loras; i++)
    g_free (self->loras[i].file);
  g_clear_pointer (&self->loras, g_free);
  self->n_loras = 0;
}

static gboolean
check_text (const char *field, const char *text, gboolean may_be_blank, GError **error)
{
  gboolean is_blank = TRUE;
  gsize length = text != NULL ? strlen (text) : 0;
  const char *bad;

  if (length > MAX_TEXT_SIZE)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_PROMPT_TOO_LONG,
                   "%s: has %" G_GSIZE_FORMAT " bytes, expected at most %" G_GSIZE_FORMAT, field, length, MAX_TEXT_SIZE);
      return FALSE;
    }
  if (length > 0 && !g_utf8_validate_len (text, length, &bad))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST,
                   "%s: byte %" G_GSIZE_FORMAT " (0x%02x) is not UTF-8 text", field, (gsize)(bad - text) + 1, (guchar)*bad);
      return FALSE;
    }

  for (const char *p = length > 0 ? text : ""; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (g_unichar_iscntrl (c) && c != '\t' && c != '\n' && c != '\r')
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST,
                       "%s: character %ld is the control character U+%04X, expected none but tab and line ends", field,
                       g_utf8_pointer_to_offset (text, p) + 1, c);
          return FALSE;
        }
      is_blank = is_blank && g_unichar_isspace (c);
    }

  if (is_blank && !may_be_blank)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST,
                   "%s: is %s, expected a description of the picture", field, length == 0 ? "empty" : "blank");
      return FALSE;
    }

  return TRUE;
}

static gboolean
check_side (const char *field, int value, int max, GError **error)
{
  int lower = value / ZIE_SIZE_STEP * ZIE_SIZE_STEP;

  if (value < ZIE_SIZE_STEP || value > max)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%s: is %d, expected %d to %d in steps of %d", field, value,
                 ZIE_SIZE_STEP, max, ZIE_SIZE_STEP);
  else if (value != lower && lower + ZIE_SIZE_STEP > max)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST,
                 "%s: is %d, expected a multiple of %d: the nearest is %d", field, value, ZIE_SIZE_STEP, lower);
  else if (value != lower)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST,
                 "%s: is %d, expected a multiple of %d: the nearest are %d and %d", field, value, ZIE_SIZE_STEP, lower,
                 lower + ZIE_SIZE_STEP);
  else
    return TRUE;

  return FALSE;
}

static gboolean
check_int (const char *field, int value, int min, int max, GError **error)
{
  if (value >= min && value <= max)
    return TRUE;

  g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%s: is %d, expected %d to %d", field, value, min, max);
  return FALSE;
}

static gboolean
check_double (const char *field, double value, double min, double max, GError **error)
{
  if (value >= min && value <= max)      /* no NaN passes */
    return TRUE;

  g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%s: is %g, expected %g to %g", field, value, min, max);
  return FALSE;
}

static gboolean
check_tile (const char *field, int value, int min, int max, GError **error)
{
  if (value >= min && value <= max && value % TILE_STEP == 0)
    return TRUE;

  g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%s: is %d, expected 0 (automatic) or a multiple of %d from %d to %d", field,
               value, TILE_STEP, min, max / TILE_STEP * TILE_STEP);
  return FALSE;
}

static gboolean
check_numbers (const ZieRequest *self, int max_side, GError **error)
{
  return check_side ("width", self->width, max_side, error)
         && check_side ("height", self->height, max_side, error)
         && check_int ("steps", self->n_steps, 1, 1000, error)
         && check_int ("images", self->n_images, 1, 10000, error)
         && check_double ("guidance", self->guidance, 0, 30, error)
         && check_double ("cfg_truncation", self->cfg_truncation, 0, 1, error)
         && check_double ("cfg_normalization", self->cfg_normalization, 0, 100, error)
         && (self->shift == 0 || check_double ("shift", self->shift, 0.01, 100, error))
         && check_int ("sampler", (int)self->sampler, 0, ZIE_N_SAMPLERS - 1, error)
         && check_int ("noise", (int)self->noise, 0, ZIE_NOISE_CUDA, error)
         && check_int ("noise_cuda_sms", self->noise_cuda_sms, 1, 1024, error)
         && check_int ("noise_cuda_threads", self->noise_cuda_threads, 256, 4096, error)
         && check_int ("compute", (int)self->compute, 0, ZIE_COMPUTE_BF16, error)
         && check_int ("decode", (int)self->decode, 0, ZIE_DECODE_BLEND, error)
         && (self->tile_size == 0 || check_tile ("tile_size", self->tile_size, TILE_MIN, ZIE_SIZE_MAX, error))
         && (self->tile_overlap == 0
             || check_tile ("tile_overlap", self->tile_overlap, TILE_STEP, (self->tile_size ? self->tile_size : ZIE_SIZE_MAX) / 2, error))
         && check_int ("preview_every", self->preview_every, 0, 1000, error)
         && check_double ("strength", self->strength, 0, 1, error);
}

static gboolean
check_loras (const ZieRequest *self, ZieModel *model, GError **error)
{
  if (!check_int ("loras", (int)self->n_loras, 0, MAX_LORAS, error))
    return FALSE;
  for (guint i = 0; i < self->n_loras; i++)
    {
      if (*self->loras[i].file == '\0')
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "loras: the file of number %u is empty, expected a path", i + 1);
          return FALSE;
        }
      if (!check_double ("lora strength", self->loras[i].strength, -100, 100, error))
        return FALSE;
    }
  return model == NULL || self->n_loras == 0 || zie_model_load_loras (model, self, error);
}

static gboolean
check_n_tokens (const ZieRequest *self, ZieModel *model, const char *field, const char *text, GError **error)
{
  const ZieModelInfo *info = zie_model_get_info (model);
  guint n_ids;

  if (self->truncate_prompt || text == NULL)
    return TRUE;

  n_ids = zie_model_count_tokens (model, text);
  if (n_ids <= (guint)info->max_prompt_ids)
    return TRUE;

  g_set_error (error, ZIE_ERROR, ZIE_ERROR_PROMPT_TOO_LONG,
               "%s: has %u tokens (%u of them the chat template's), expected at most %d: shorten it, or let it be cut", field,
               n_ids, zie_model_count_tokens (model, ""), info->max_prompt_ids);
  return FALSE;
}

gboolean
zie_request_validate (const ZieRequest *self, ZieModel *model, GError **error)
{
  int max_side = ZIE_SIZE_MAX;

  g_return_val_if_fail (self != NULL, FALSE);

  if (model != NULL)
    max_side = MIN (max_side, zie_model_get_info (model)->max_side);

  if (!check_text ("prompt", self->prompt, FALSE, error)
      || !check_text ("negative_prompt", self->negative_prompt, TRUE, error)
      || !check_numbers (self, max_side, error))
    return FALSE;

  if (self->mask != NULL && self->init_image == NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "mask: is given without a picture to be repainted");
      return FALSE;
    }

  if (!check_loras (self, model, error))
    return FALSE;
  return model == NULL
         || (check_n_tokens (self, model, "prompt", self->prompt, error)
             && (self->guidance == 0 || check_n_tokens (self, model, "negative_prompt", self->negative_prompt, error)));
}

/* What is to be said about the number of steps, or NULL. */
static char *
advise_steps (const ZieRequest *self, const ZieModelInfo *info)
{
  int wanted = info->default_steps;

  if (self->n_steps == wanted)
    return NULL;

  if (!info->is_distilled)
    return self->n_steps * 2 <= wanted
               ? g_strdup_printf ("this model is not distilled and needs about %d steps, with %d pictures stay unfinished",
                                  wanted, self->n_steps)
               : NULL;

  /* Older pipelines counted a last step of length zero (spec 5.1). */
  if (self->n_steps == wanted + 1)
    return g_strdup_printf ("the %d steps of the model's example scripts are the same %d forwards that %d steps are here "
                            "(their last one has length zero), while %d steps here follow another schedule",
                            self->n_steps, wanted, wanted, self->n_steps);

  return self->n_steps < wanted
             ? g_strdup_printf ("this model is distilled for %d steps, with %d pictures are softer", wanted, self->n_steps)
             : g_strdup_printf ("this model is distilled for %d steps, %d take longer and hardly add anything", wanted,
                                self->n_steps);
}

/* … about the sampler, or NULL. */
static char *
advise_sampler (const ZieRequest *self, const ZieModelInfo *info)
{
  const char *name = zie_sampler_name (self->sampler);

  if (!info->is_distilled)
    return NULL;

  switch (self->sampler)
    {
    case ZIE_SAMPLER_EULER:
      return NULL;
    case ZIE_SAMPLER_HEUN:
      return g_strdup_printf ("this model is distilled for the sampler euler, %s runs the network %d times in %d steps for much the "
                              "same picture", name, 2 * self->n_steps - 1, self->n_steps);
    case ZIE_SAMPLER_DPMPP_2M_SDE:
      return g_strdup_printf ("this model is distilled for the sampler euler, %s adds noise that so few steps do not take away again",
                              name);
    default:
      return g_strdup_printf ("this model is distilled for the sampler euler, %s is made for models of many steps and gains nothing here",
                              name);
    }
}

char *
zie_request_get_advice (const ZieRequest *self, ZieModel *model)
{
  g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func (g_free);
  const ZieModelInfo *info;
  char *part, *text;

  g_return_val_if_fail (self != NULL, NULL);

  if (model == NULL)
    return NULL;

  info = zie_model_get_info (model);
  if ((part = advise_steps (self, info)) != NULL)
    g_ptr_array_add (parts, part);
  if ((part = advise_sampler (self, info)) != NULL)
    g_ptr_array_add (parts, part);
  if (info->is_distilled && self->guidance > 0)
    g_ptr_array_add (parts, g_strdup_printf ("this model is distilled for guidance 0, with %g every step takes twice as "
                                             "long and colours are overdone", self->guidance));
  if (self->guidance == 0 && self->negative_prompt != NULL && *self->negative_prompt != '\0')
    g_ptr_array_add (parts, g_strdup ("the negative prompt has no effect while guidance is 0"));
  if (self->n_loras > 0 && (part = zie_model_describe_loras (model, self)) != NULL)
    g_ptr_array_add (parts, part);
  if (parts->len == 0)
    return NULL;

  g_ptr_array_add (parts, NULL);
  text = g_strjoinv ("; ", (char **)parts->pdata);
  *text = g_ascii_toupper (*text);
  return text;
}
