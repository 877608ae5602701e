/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include <glib.h>

#include "zie-sampler.h"
#include "zie-schedule.h"

#define N 64

/* A network that knows the answer: for x on the straight path from noise to TARGET the velocity is noise - target. */
typedef struct
{
  float noise[N], target[N], negative[N];
  int n_calls, n_negative, n_steps, stop_at;
  float last_x0;
} Straight;

static gboolean
network (gpointer data, int step, float tin, gboolean negative, const float *x, float *out)
{
  Straight *s = data;

  s->n_calls++;
  s->n_negative += negative;
  for (int i = 0; i < N; i++)
    out[i] = -(s->noise[i] - (negative ? s->negative[i] : s->target[i]));
  return TRUE;
}

static gboolean
on_step (gpointer data, int step, const float *x, const float *x0)
{
  Straight *s = data;

  g_assert_cmpint (step, ==, s->n_steps);
  s->n_steps++;
  s->last_x0 = x0[0];
  return s->n_steps != s->stop_at;
}

static void
fill (Straight *s)
{
  *s = (Straight) { .stop_at = -1 };
  for (int i = 0; i < N; i++)
    {
      s->noise[i] = sinf ((float)(3 * i + 1));
      s->target[i] = cosf ((float)(5 * i));
      s->negative[i] = 0.5f * sinf ((float)i);
    }
}

static void
draw (gpointer data, float *out)
{
  for (int i = 0; i < N; i++)
    out[i] = 0;
}

static gboolean
run_with (ZieSampler sampler, Straight *s, int n_steps, int first, float *x, ZieGuidance guidance, const float *mask)
{
  float sigmas[33], tin[32], v[N], v_negative[N], x0[N], memory[2 * N];
  ZieSamplerRun r = { .n_steps = n_steps, .sigmas = sigmas, .tin = tin, .first_step = first, .n = N,
                      .stepper = zie_stepper_get (sampler), .guidance = guidance, .mask = mask, .clean = s->negative,
                      .noise = s->noise, .network = network, .on_step = on_step, .draw = draw, .data = s, .v = v,
                      .v_negative = v_negative, .x0 = x0, .memory = memory };

  zie_schedule_flow_match (n_steps, 3.0, sigmas, tin);
  s->n_steps = first;
  return zie_sampler_run (&r, x);
}

static gboolean
run (Straight *s, int n_steps, int first, float *x, ZieGuidance guidance, const float *mask)
{
  return run_with (ZIE_SAMPLER_EULER, s, n_steps, first, x, guidance, mask);
}

static void
test_straight (void)
{
  Straight s;
  float x[N];

  fill (&s);
  for (int i = 0; i < N; i++)
    x[i] = s.noise[i];
  g_assert_true (run (&s, 8, 0, x, (ZieGuidance) { 0, 1, 0 }, NULL));
  g_assert_cmpint (s.n_calls, ==, 8);
  g_assert_cmpfloat_with_epsilon (s.last_x0, s.target[0], 1e-6);
  for (int i = 0; i < N; i++)
    g_assert_cmpfloat_with_epsilon (x[i], s.target[i], 1e-5);
}

/* On a straight path there is nothing to do better: every sampler ends where Euler does, from any step, guided or not. */
static void
test_all_straight (void)
{
  for (int sampler = 0; sampler < ZIE_N_SAMPLERS; sampler++)
    for (int first = 0; first < 8; first++)
      {
        Straight s;
        float x[N], sigmas[9], tin[8];

        fill (&s);
        zie_schedule_flow_match (8, 3.0, sigmas, tin);
        for (int i = 0; i < N; i++)
          x[i] = sigmas[first] * s.noise[i] + (1 - sigmas[first]) * s.target[i];
        g_assert_true (run_with ((ZieSampler)sampler, &s, 8, first, x, (ZieGuidance) { 0, 1, 0 }, NULL));
        g_assert_cmpint (s.n_calls, ==, zie_stepper_count_passes (zie_stepper_get ((ZieSampler)sampler), 8 - first));
        for (int i = 0; i < N; i++)
          if (sampler != ZIE_SAMPLER_DPMPP_2M_SDE)      /* that one leaves the path: draw() gives it no noise */
            g_assert_cmpfloat_with_epsilon (x[i], s.target[i], 1e-5);
      }
}

/* A network that is cancelled in Heun's second pass. */
static gboolean
cancelled_network (gpointer data, int step, float tin, gboolean negative, const float *x, float *out)
{
  Straight *s = data;
  return network (data, step, tin, negative, x, out) && s->n_calls != 2;
}

static void
test_cancel_inside (void)
{
  Straight s;
  float sigmas[9], tin[8], x[N] = { 0 }, v[N], x0[N], memory[2 * N];
  ZieSamplerRun r = { .n_steps = 8, .sigmas = sigmas, .tin = tin, .n = N, .stepper = zie_stepper_get (ZIE_SAMPLER_HEUN),
                      .network = cancelled_network, .on_step = on_step, .data = &s, .v = v, .x0 = x0, .memory = memory };

  fill (&s);
  zie_schedule_flow_match (8, 3.0, sigmas, tin);
  g_assert_false (zie_sampler_run (&r, x));
  g_assert_cmpint (s.n_calls, ==, 2);
  g_assert_cmpint (s.n_steps, ==, 0);
}

static void
test_stop (void)
{
  Straight s;
  float x[N] = { 0 };

  fill (&s);
  s.stop_at = 3;
  g_assert_false (run (&s, 8, 0, x, (ZieGuidance) { 0, 1, 0 }, NULL));
  g_assert_cmpint (s.n_calls, ==, 3);
}

/* pred = pos + g (pos - neg) is a straight path too. */
static void
test_guidance (void)
{
  Straight s;
  float x[N];

  fill (&s);
  for (int i = 0; i < N; i++)
    x[i] = s.noise[i];
  g_assert_true (run (&s, 8, 0, x, (ZieGuidance) { 2, 1, 0 }, NULL));
  g_assert_cmpint (s.n_negative, ==, 8);
  for (int i = 0; i < N; i++)
    g_assert_cmpfloat_with_epsilon (x[i], s.target[i] + 2 * (s.target[i] - s.negative[i]), 1e-4);
}

static void
test_truncation (void)
{
  Straight s;
  float x[N] = { 0 };

  fill (&s);
  g_assert_true (run (&s, 8, 0, x, (ZieGuidance) { 2, 0.3f, 0 }, NULL));
  g_assert_cmpint (s.n_negative, ==, 5);             /* tin 0 .045 .1 .167 .25 run it; .357 .5 .7 do not */
}

static void
test_normalization (void)
{
  float pos[2] = { 3, 4 }, neg[2] = { -3, -4 };
  ZieGuidance guidance = { 1, 1, 1 };

  zie_guidance_apply (&guidance, pos, neg, 2);       /* 9, 12: held to the norm of 3, 4 */
  g_assert_cmpfloat_with_epsilon (pos[0], 3, 1e-6);
  g_assert_cmpfloat_with_epsilon (pos[1], 4, 1e-6);

  guidance.normalization = 0;
  zie_guidance_apply (&guidance, pos, neg, 2);
  g_assert_cmpfloat_with_epsilon (pos[0], 9, 1e-6);
}

/* What the mask protects ends as the clean latent, the rest as the target. */
static void
test_inpaint (void)
{
  Straight s;
  float x[N], mask[N];

  fill (&s);
  for (int i = 0; i < N; i++)
    {
      x[i] = s.noise[i];
      mask[i] = i % 2 ? 1.0f : 0.0f;
    }
  g_assert_true (run (&s, 8, 0, x, (ZieGuidance) { 0, 1, 0 }, mask));
  for (int i = 0; i < N; i++)
    g_assert_cmpfloat_with_epsilon (x[i], i % 2 ? s.target[i] : s.negative[i], 1e-5);
}

static void
test_first_step (void)
{
  Straight s;
  float x[N] = { 0 };

  fill (&s);
  g_assert_true (run (&s, 8, 3, x, (ZieGuidance) { 0, 1, 0 }, NULL));
  g_assert_cmpint (s.n_calls, ==, 5);
  g_assert_cmpint (s.n_steps, ==, 8);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sampler/straight", test_straight);
  g_test_add_func ("/sampler/all-straight", test_all_straight);
  g_test_add_func ("/sampler/cancel-inside", test_cancel_inside);
  g_test_add_func ("/sampler/stop", test_stop);
  g_test_add_func ("/sampler/guidance", test_guidance);
  g_test_add_func ("/sampler/truncation", test_truncation);
  g_test_add_func ("/sampler/normalization", test_normalization);
  g_test_add_func ("/sampler/inpaint", test_inpaint);
  g_test_add_func ("/sampler/first-step", test_first_step);
  return g_test_run ();
}
