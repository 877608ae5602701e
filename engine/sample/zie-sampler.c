/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-sample"

#include "zie-sampler.h"

/* What the mask protects goes back to the clean latent at the noise level of the next sigma. */
static void
keep_unmasked (const ZieSamplerRun *run, float *x, float next_sigma)
{
  for (gsize i = 0; i < run->n; i++)
    {
      float kept = next_sigma * run->noise[i] + (1.0f - next_sigma) * run->clean[i];
      x[i] = (1.0f - run->mask[i]) * kept + run->mask[i] * x[i];
    }
}

gboolean
zie_sampler_run (const ZieSamplerRun *run, float *x)
{
  for (int i = run->first_step; i < run->n_steps; i++)
    {
      ZieStep step = { run->sigmas, run->first_step, i, run->n, x, run->v };

      if (!run->network (run->data, i, run->tin[i], FALSE, x, run->v))
        return FALSE;
      if (zie_guidance_is_active (&run->guidance, run->tin[i]))
        {
          if (!run->network (run->data, i, run->tin[i], TRUE, x, run->v_negative))
            return FALSE;
          zie_guidance_apply (&run->guidance, run->v, run->v_negative, run->n);
        }

      for (gsize k = 0; k < run->n; k++)
        {
          run->v[k] = -run->v[k];                                  /* the network's output is minus the velocity */
          run->x0[k] = x[k] - run->sigmas[i] * run->v[k];
        }
      run->stepper->step (&step);
      if (run->mask != NULL)
        keep_unmasked (run, x, run->sigmas[i + 1]);

      if (!run->on_step (run->data, i, x, run->x0))
        return FALSE;
    }

  return TRUE;
}
