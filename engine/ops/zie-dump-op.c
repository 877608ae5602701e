/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ops"

#include "zie-dump-op.h"

typedef enum { FORM_BATCH, FORM_ROWS, FORM_FIRST_ROW } Form;

/* What the reference's records have other than a batch of one. */
static const struct
{
  const char *prefix;
  Form form;
} forms[] = {
  { "text.", FORM_ROWS },
  { "text_layer.", FORM_ROWS },
  { "t_embedder", FORM_FIRST_ROW },
};

static Form
form_of (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (forms); i++)
    if (g_str_has_prefix (name, forms[i].prefix))
      return forms[i].form;
  return FORM_BATCH;
}

/* [pixels, channels] to [channels, pixels]. */
static float *
to_planes (const float *pixels, gint64 n_pixels, gint64 channels)
{
  float *planes = g_new (float, (gsize)(n_pixels * channels));

  for (gint64 p = 0; p < n_pixels; p++)
    for (gint64 c = 0; c < channels; c++)
      planes[c * n_pixels + p] = pixels[p * channels + c];
  return planes;
}

void
zie_dump_op_now (ZieOpCtx *ctx, const ZieTensor *t, const char *format, ...)
{
  g_autofree char *name = NULL;
  g_autofree float *host = NULL, *planes = NULL;
  va_list args;

  va_start (args, format);
  name = g_strdup_vprintf (format, args);
  va_end (args);

  if (ctx->tally != NULL || ctx->arena->is_counting || zie_op_cancelled (ctx) || !zie_dump_wants (name))
    return;

  host = g_new (float, (gsize)(t->rows * t->cols));
  ctx->ops->download (ctx, host, t);

  if (t->h > 0)
    {
      planes = to_planes (host, t->rows, t->cols);
      zie_dump_tensor (name, planes, (gint64[]) { 1, t->cols, t->h, t->w }, 4);
      return;
    }

  switch (form_of (name))
    {
    case FORM_BATCH:
      zie_dump_tensor (name, host, (gint64[]) { 1, t->rows, t->cols }, 3);
      break;
    case FORM_ROWS:
      zie_dump_tensor (name, host, (gint64[]) { t->rows, t->cols }, 2);
      break;
    case FORM_FIRST_ROW:
      zie_dump_tensor (name, host, (gint64[]) { 1, t->cols }, 2);
      break;
    }
}
