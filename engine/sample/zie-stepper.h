/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-types.h>

/* One step of a sampler: x goes from sigmas[i] to sigmas[i + 1] along v, the velocity at x.  N values, fp32. */
typedef struct
{
  const float *sigmas;    /* the whole schedule */
  int first, i;           /* first step that was run; this step */
  gsize n;
  float *x;               /* in and out */
  const float *v;
  const float *x0;        /* x - sigmas[i] v: the picture that x points at */
  float *memory;          /* n_buffers * n values that the sampler keeps from step to step; not set before the first */

  /* For samplers that ask: the velocity at X and sigmas[I] (I < n_steps), FALSE: cancelled; fresh noise. */
  gboolean (*velocity) (gpointer data, int i, const float *x, float *v);
  void (*noise) (gpointer data, float *out);
  gpointer data;
} ZieStep;

typedef struct
{
  ZieSampler id;
  int n_buffers;          /* of n values, in ZieStep.memory */
  int n_passes;           /* through the network in each step but the last, which has one */
  gboolean (*step) (const ZieStep *step);      /* FALSE: cancelled, x is garbage */
} ZieStepper;

/* A sampler is one row of the table in zie-stepper.c. */
const ZieStepper *zie_stepper_get (ZieSampler id);

/* Passes through the network that N_STEPS steps take. */
int zie_stepper_count_passes (const ZieStepper *self, int n_steps);
