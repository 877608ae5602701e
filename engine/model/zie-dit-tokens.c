/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-dit-private.h"

#include <math.h>

gint64
zie_dit_pad (gint64 n)
{
  return (n + ZIE_DIT_TOKEN_MULTIPLE - 1) / ZIE_DIT_TOKEN_MULTIPLE * ZIE_DIT_TOKEN_MULTIPLE;
}

/* One token's angles: float64 up to the rounding of the angle itself (spec 4.4). */
static void
fill_row (const ZieDitConfig *config, const double *frequencies, const gint64 position[3], float *cos_row, float *sin_row)
{
  int at = 0;

  for (int axis = 0; axis < 3; axis++)
    for (int m = 0; m < config->axes_dims[axis] / 2; m++, at++)
      {
        float angle = (float)((double)position[axis] * frequencies[at]);
        cos_row[at] = cosf (angle);
        sin_row[at] = sinf (angle);
      }
}

static void
fill_tables (const ZieDitConfig *config, const ZieDitPrompt *prompt, double *frequencies, float *cos_table, float *sin_table)
{
  int half = config->head_dim / 2, at = 0;
  gint64 columns = prompt->width / ZIE_DIT_PATCH;

  for (int axis = 0; axis < 3; axis++)
    for (int m = 0; m < config->axes_dims[axis] / 2; m++)
      frequencies[at++] = pow (config->rope_theta, -2.0 * m / config->axes_dims[axis]);

  for (gint64 n = 0; n < prompt->n_image_padded + prompt->n_text_padded; n++)
    {
      gint64 text = n - prompt->n_image_padded;
      gint64 position[3] = { 0, 0, 0 };                           /* image padding */

      if (text >= 0)
        position[0] = 1 + text;                                   /* caption, its padding included */
      else if (n < prompt->n_image)
        {
          position[0] = prompt->n_text_padded + 1;
          position[1] = n / columns;
          position[2] = n % columns;
        }
      fill_row (config, frequencies, position, cos_table + n * half, sin_table + n * half);
    }
}

void
zie_dit_rope_tables (const ZieDitConfig *config, ZieOpCtx *ctx, ZieDitPrompt *prompt)
{
  gint64 n = prompt->n_image_padded + prompt->n_text_padded;
  gsize size = (gsize)n * (gsize)(config->head_dim / 2) * sizeof (float);
  ZieMark mark = zie_arena_mark (ctx->host);
  double *frequencies = zie_arena_alloc (ctx->host, (gsize)config->head_dim / 2 * sizeof (double));
  float *cos_table = zie_arena_alloc (ctx->host, size), *sin_table = zie_arena_alloc (ctx->host, size);

  prompt->cos = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, n, config->head_dim / 2);
  prompt->sin = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, n, config->head_dim / 2);
  if (!ctx->host->is_counting)
    fill_tables (config, prompt, frequencies, cos_table, sin_table);
  ctx->ops->upload (ctx, &prompt->cos, cos_table);
  ctx->ops->upload (ctx, &prompt->sin, sin_table);
  zie_arena_rewind (ctx->host, mark);
}
