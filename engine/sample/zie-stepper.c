/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-sample"

#include "zie-stepper.h"

/* x += (sigma' - sigma) v */
static void
step_euler (const ZieStep *s)
{
  float dt = s->sigmas[s->i + 1] - s->sigmas[s->i];

  for (gsize k = 0; k < s->n; k++)
    s->x[k] += dt * s->v[k];
}

static const ZieStepper steppers[] = {
  { ZIE_SAMPLER_EULER, step_euler },
};

const ZieStepper *
zie_stepper_get (ZieSampler id)
{
  for (guint i = 0; i < G_N_ELEMENTS (steppers); i++)
    if (steppers[i].id == id)
      return &steppers[i];
  g_return_val_if_reached (&steppers[0]);
}
