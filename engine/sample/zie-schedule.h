/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

#define ZIE_SCHEDULE_MAX_STEPS 1000

/* The flow-match grid of N_STEPS forwards with a static SHIFT (spec 5.1), in the reference's fp32:
 * SIGMAS receives n_steps + 1 values, 1 … 0; TIN, the model's time, n_steps values (1000 - 1000 sigma) / 1000. */
void zie_schedule_flow_match (int n_steps, double shift, float *sigmas, float *tin);

/* The first step of image to image at STRENGTH (spec 5.3): steps k … n_steps - 1 are run. */
int zie_schedule_first_step (int n_steps, double strength);
