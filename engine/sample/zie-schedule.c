/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-sample"

#include "zie-schedule.h"

#include <math.h>

/* torch.linspace (1, 1 / n, n) in fp32: it walks from both ends, with one rounding a value. */
static float
base_sigma (int n, int i)
{
  float end = (float)(1.0 / n);
  float step;

  if (n == 1)
    return 1.0f;
  step = (end - 1.0f) / (float)(n - 1);
  return i < n / 2 ? fmaf (step, (float)i, 1.0f) : fmaf (-step, (float)(n - 1 - i), end);
}

void
zie_schedule_flow_match (int n_steps, double shift, float *sigmas, float *tin)
{
  float s = (float)shift, s1 = (float)(shift - 1.0);

  for (int i = 0; i < n_steps; i++)
    {
      float b = base_sigma (n_steps, i);
      float t;

      sigmas[i] = s * b / (1.0f + s1 * b);
      t = sigmas[i] * 1000.0f;
      tin[i] = (1000.0f - t) / 1000.0f;
    }
  sigmas[n_steps] = 0.0f;
}

int
zie_schedule_first_step (int n_steps, double strength)
{
  double run = MIN (n_steps * strength, (double)n_steps);
  return (int)MAX (n_steps - run, 0.0);
}
