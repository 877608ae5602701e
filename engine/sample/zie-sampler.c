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

/* V = the guided velocity at X and step I's time. */
static gboolean
velocity (gpointer data, int i, const float *x, float *v)
{
  const ZieSamplerRun *run = data;

  if (!run->network (run->data, i, run->tin[i], FALSE, x, v))
    return FALSE;
  if (zie_guidance_is_active (&run->guidance, run->tin[i]))
    {
      if (!run->network (run->data, i, run->tin[i], TRUE, x, run->v_negative))
        return FALSE;
      zie_guidance_apply (&run->guidance, v, run->v_negative, run->n);
    }
  for (gsize k = 0; k < run->n; k++)
    v[k] = -v[k];                                                  /* the network's output is minus the velocity */
  return TRUE;
}

static void
draw_noise (gpointer data, float *out)
{
  const ZieSamplerRun *run = data;
  run->draw (run->data, out);
}

gboolean
zie_sampler_run (const ZieSamplerRun *run, float *x)
{
  for (int i = run->first_step; i < run->n_steps; i++)
    {
      ZieStep step = { .sigmas = run->sigmas, .first = run->first_step, .i = i, .n = run->n, .x = x, .v = run->v, .x0 = run->x0,
                       .memory = run->memory, .velocity = velocity, .noise = draw_noise, .data = (gpointer)run };

      if (!velocity ((gpointer)run, i, x, run->v))
        return FALSE;
      for (gsize k = 0; k < run->n; k++)
        run->x0[k] = x[k] - run->sigmas[i] * run->v[k];
      if (!run->stepper->step (&step))
        return FALSE;
      if (run->mask != NULL)
        keep_unmasked (run, x, run->sigmas[i + 1]);

      if (!run->on_step (run->data, i, x, run->x0))
        return FALSE;
    }

  return TRUE;
}
