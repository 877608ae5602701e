/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-guidance.h"
#include "zie-stepper.h"

/* The raw output of the network (the velocity's negative) at latent X and time TIN, for the positive or the negative
 * prompt.  FALSE: cancelled, OUT is garbage. */
typedef gboolean (*ZieNetworkFunc) (gpointer data, int step, float tin, gboolean negative, const float *x, float *out);

/* After every step: STEP of first … n_steps - 1 has been done; X0 is the picture that the latent points at now (spec
 * section 8).  FALSE: stop. */
typedef gboolean (*ZieStepFunc) (gpointer data, int step, const float *x, const float *x0);

/* N fresh values of noise, the next of the picture's generator. */
typedef void (*ZieDrawFunc) (gpointer data, float *out);

typedef struct
{
  int n_steps;
  const float *sigmas;        /* n_steps + 1 */
  const float *tin;           /* n_steps */
  int first_step;             /* > 0 for image to image */
  gsize n;                    /* values of the latent */
  const ZieStepper *stepper;
  ZieGuidance guidance;

  /* Inpainting (spec 5.4), or NULL: mask (1 = repaint), the clean latent and the noise, N values each. */
  const float *mask, *clean, *noise;

  ZieNetworkFunc network;
  ZieStepFunc on_step;
  ZieDrawFunc draw;           /* asked by samplers that add noise */
  gpointer data;

  float *v, *v_negative, *x0; /* work space of N values each; v_negative only with guidance */
  float *memory;              /* of stepper->n_buffers * n values; NULL for none */
} ZieSamplerRun;

/* THE loop: X (fp32, N values) goes from noise to latent.  FALSE: cancelled. */
gboolean zie_sampler_run (const ZieSamplerRun *run, float *x);
