/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-sample"

#include "zie-guidance.h"

#include <math.h>

gboolean
zie_guidance_is_active (const ZieGuidance *self, float tin)
{
  return self->scale > 0 && !(self->truncation <= 1 && tin > self->truncation);
}

void
zie_guidance_apply (const ZieGuidance *self, float *pos, const float *neg, gsize n)
{
  double pos_sum = 0, pred_sum = 0;

  for (gsize i = 0; i < n; i++)
    {
      float p = pos[i], pred = p + self->scale * (p - neg[i]);
      pos_sum += (double)p * p;
      pred_sum += (double)pred * pred;
      pos[i] = pred;
    }

  if (self->normalization > 0)
    {
      double limit = self->normalization * sqrt (pos_sum), norm = sqrt (pred_sum);
      if (norm > limit)
        {
          float shrink = (float)(limit / norm);
          for (gsize i = 0; i < n; i++)
            pos[i] *= shrink;
        }
    }
}
