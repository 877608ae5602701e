/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-sample"

#include "zie-stepper.h"

#include <math.h>
#include <string.h>

/* x += (sigma' - sigma) v */
static gboolean
step_euler (const ZieStep *s)
{
  float dt = s->sigmas[s->i + 1] - s->sigmas[s->i];

  for (gsize k = 0; k < s->n; k++)
    s->x[k] += dt * s->v[k];
  return TRUE;
}

/* An Euler step, and again from where it began along the mean of the velocities at both ends.  The other end of the last step
 * has sigma 0, where the network knows nothing. */
static gboolean
step_heun (const ZieStep *s)
{
  float *start = s->memory, *v = s->memory + s->n;
  float dt = s->sigmas[s->i + 1] - s->sigmas[s->i];

  if (s->sigmas[s->i + 1] <= 0)
    return step_euler (s);

  memcpy (start, s->x, s->n * sizeof (float));
  step_euler (s);
  if (!s->velocity (s->data, s->i + 1, s->x, v))
    return FALSE;
  for (gsize k = 0; k < s->n; k++)
    s->x[k] = start[k] + 0.5f * (s->v[k] + v[k]) * dt;
  return TRUE;
}

/* Multistep samplers: a combination of x, this step's x0, the one before (in memory) and noise. */
typedef struct
{
  double x, x0, previous, noise;
} Mix;

static gboolean
apply_mix (const ZieStep *s, const Mix *mix)
{
  float *previous = s->memory, *noise = s->memory + s->n;
  float a = (float)mix->x, b = (float)mix->x0, c = (float)mix->previous, d = (float)mix->noise;

  if (d > 0)
    s->noise (s->data, noise);
  for (gsize k = 0; k < s->n; k++)
    {
      float x = a * s->x[k] + b * s->x0[k];

      if (c != 0)
        x += c * previous[k];
      if (d > 0)
        x += d * noise[k];
      s->x[k] = x;
      previous[k] = s->x0[k];
    }
  return TRUE;
}

/* ln (alpha / sigma): -inf at pure noise, inf at the picture. */
static double
log_snr (float sigma)
{
  return log (1.0 - sigma) - log (sigma);
}

/* What D1 = (x0 - previous) / r weighs in DPM-Solver++ 2M (spec 5.5), 1 / r; 0 in the steps of first order: the first, the
 * last, and the one after pure noise, from which log_snr is infinitely far. */
static double
second_order (const ZieStep *s)
{
  double h = log_snr (s->sigmas[s->i + 1]) - log_snr (s->sigmas[s->i]);

  if (s->i == s->first || s->sigmas[s->i + 1] <= 0 || s->sigmas[s->i - 1] >= 1)
    return 0;
  return h / (log_snr (s->sigmas[s->i]) - log_snr (s->sigmas[s->i - 1]));
}

static gboolean
step_dpmpp_2m (const ZieStep *s)
{
  double from = s->sigmas[s->i], to = s->sigmas[s->i + 1];
  double h = log_snr (s->sigmas[s->i + 1]) - log_snr (s->sigmas[s->i]);
  double weight = (1.0 - to) * -expm1 (-h), half = 0.5 * weight * second_order (s);
  Mix mix = { to / from, weight + half, -half, 0 };

  return apply_mix (s, &mix);
}

static gboolean
step_dpmpp_2m_sde (const ZieStep *s)
{
  double from = s->sigmas[s->i], to = s->sigmas[s->i + 1];
  double h = log_snr (s->sigmas[s->i + 1]) - log_snr (s->sigmas[s->i]), variance = -expm1 (-2.0 * h);
  double weight = (1.0 - to) * variance, half = 0.5 * weight * second_order (s);
  Mix mix = { to / from * exp (-h), weight + half, -half, to * sqrt (variance) };

  return apply_mix (s, &mix);
}

/* ComfyUI's, deterministic (spec 5.6); tau = -ln sigma. */
static gboolean
step_res_multistep (const ZieStep *s)
{
  double from = s->sigmas[s->i], to = s->sigmas[s->i + 1], h, c2, phi1, phi2;
  Mix mix = { to / from, 1.0 - to / from, 0, 0 };          /* Euler's */

  if (s->i > s->first && to > 0)
    {
      h = log (from / to);
      c2 = log (from / s->sigmas[s->i - 1]) / h;
      phi1 = expm1 (-h) / -h;
      phi2 = (phi1 - 1.0) / -h;
      mix.x0 = h * (phi1 - phi2 / c2);
      mix.previous = h * phi2 / c2;
    }
  return apply_mix (s, &mix);
}

static const ZieStepper steppers[] = {
  { ZIE_SAMPLER_EULER, 0, 1, step_euler },
  { ZIE_SAMPLER_HEUN, 2, 2, step_heun },
  { ZIE_SAMPLER_DPMPP_2M, 1, 1, step_dpmpp_2m },
  { ZIE_SAMPLER_DPMPP_2M_SDE, 2, 1, step_dpmpp_2m_sde },
  { ZIE_SAMPLER_RES_MULTISTEP, 1, 1, step_res_multistep },
};

const ZieStepper *
zie_stepper_get (ZieSampler id)
{
  for (guint i = 0; i < G_N_ELEMENTS (steppers); i++)
    if (steppers[i].id == id)
      return &steppers[i];
  g_return_val_if_reached (&steppers[0]);
}

int
zie_stepper_count_passes (const ZieStepper *self, int n_steps)
{
  return n_steps > 0 ? (n_steps - 1) * self->n_passes + 1 : 0;
}
