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
} ZieStep;

typedef struct
{
  ZieSampler id;
  void (*step) (const ZieStep *step);
} ZieStepper;

/* A sampler is one row of the table in zie-stepper.c. */
const ZieStepper *zie_stepper_get (ZieSampler id);
