/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-golden-sampler"

/* What surrounds the networks, against the reference: time grids, guidance, Euler steps.  No backend is involved. */

#include <math.h>

#include "golden.h"
#include "zie-guidance.h"
#include "zie-json.h"
#include "zie-noise.h"
#include "zie-sampler.h"
#include "zie-schedule.h"

static float
parse_hex (JsonArray *array, guint i)
{
  return (float)g_ascii_strtod (json_array_get_string_element (array, i), NULL);
}

/* Sigmas bit for bit.  The model's time is (1000 - t) / 1000, which the reference computes as a quotient on a CPU and as a
 * product with the rounded 1/1000 on a GPU: either is right. */
static void
test_schedules (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "schedules.json", NULL);
  g_autoptr(GError) error = NULL;
  JsonObject *record = zie_json_load_object (path, &error);
  JsonArray *schedules;

  g_assert_no_error (error);
  schedules = json_object_get_array_member (record, "schedules");
  g_assert_cmpuint (json_array_get_length (schedules), >, 50);
  for (guint s = 0; s < json_array_get_length (schedules); s++)
    {
      JsonObject *row = json_array_get_object_element (schedules, s);
      JsonArray *sigmas = json_object_get_array_member (row, "sigmas"), *tin = json_object_get_array_member (row, "tin");
      int n = (int)json_object_get_int_member (row, "n_steps");
      double shift = json_object_get_double_member (row, "shift");
      g_autofree float *got_sigmas = g_new (float, (gsize)n + 1), *got_tin = g_new (float, (gsize)n);

      zie_schedule_flow_match (n, shift, got_sigmas, got_tin);
      for (int i = 0; i <= n; i++)
        {
          float want = parse_hex (sigmas, (guint)i);
          if (got_sigmas[i] != want)
            g_error ("%d steps, shift %g: sigma %d is %a, the reference has %a", n, shift, i, (double)got_sigmas[i], (double)want);
        }
      for (int i = 0; i < n; i++)
        {
          float quotient = parse_hex (tin, (guint)i), product = (1000.0f - got_sigmas[i] * 1000.0f) * (1.0f / 1000.0f);
          if (got_tin[i] != quotient && got_tin[i] != product)
            g_error ("%d steps, shift %g: time %d is %a, the reference has %a", n, shift, i, (double)got_tin[i], (double)quotient);
        }
    }
  json_object_unref (record);
}

static double
get_double (JsonObject *run, const char *key)
{
  return json_object_has_member (run, key) ? json_object_get_double_member (run, key) : 0;
}

/* Of every recorded step: whether the negative prompt was run, and the velocity that came of it. */
static void
check_guidance (const Golden *golden, JsonObject *run)
{
  const char *name = json_object_get_string_member (run, "name");
  ZieGuidance guidance = { (float)get_double (run, "guidance"), (float)get_double (run, "cfg_truncation"),
                           (float)get_double (run, "cfg_normalization") };
  int n_active = 0, n_steps = (int)json_object_get_int_member (run, "n_steps");

  for (int i = 0; i < n_steps; i++)
    {
      GoldenTensor out, negative, v, t;
      g_autofree float *pos = NULL;
      gboolean has_negative = golden_find (golden, &negative, "%s/whole/step%d.negative", name, i);

      golden_get (golden, &out, "%s/whole/step%d.out", name, i);
      golden_get (golden, &v, "%s/whole/step%d.v", name, i);
      golden_get (golden, &t, "%s/whole/step%d.t", name, i);
      g_assert_cmpint (zie_guidance_is_active (&guidance, t.values[0]), ==, has_negative);
      pos = g_memdup2 (out.values, out.n * sizeof (float));
      if (has_negative)
        zie_guidance_apply (&guidance, pos, negative.values, out.n);
      for (gsize k = 0; k < out.n; k++)
        pos[k] = -pos[k];
      g_assert_cmpfloat (golden_error (&v, pos), <=, 1e-6);      /* two norms of a thousand squares, summed in another order */
      n_active += has_negative;
    }
  g_assert_cmpint (n_active, >, 0);
  g_assert_cmpint (n_active, <, n_steps);                        /* else truncation was not met */
}

/* Of every recorded step: the latent after it, two roundings. */
static void
check_steps (const Golden *golden, JsonObject *run)
{
  const char *name = json_object_get_string_member (run, "name");
  const ZieStepper *stepper = zie_stepper_get (ZIE_SAMPLER_EULER);
  int n_steps = (int)json_object_get_int_member (run, "n_steps");
  GoldenTensor sigmas, noise;
  g_autofree float *x = NULL;

  golden_get (golden, &sigmas, "%s/whole/sigmas", name);
  golden_get (golden, &noise, "%s/whole/noise", name);
  x = g_memdup2 (noise.values, noise.n * sizeof (float));
  for (int i = 0; i < n_steps; i++)
    {
      GoldenTensor v, latent;
      ZieStep step = { .sigmas = sigmas.values, .first = 0, .i = i, .n = noise.n, .x = x };

      golden_get (golden, &v, "%s/whole/step%d.v", name, i);
      golden_get (golden, &latent, "%s/whole/step%d.latent", name, i);
      step.v = v.values;
      stepper->step (&step);
      g_assert_cmpfloat (golden_error (&latent, x), <=, 1e-7);
    }
}

static void
test_steps (void)
{
  static const char *const names[] = { "heads128", "heads64" };
  int n_guided = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr(Golden) golden = golden_open (g_test_get_dir (G_TEST_DIST), names[i]);

      for (guint r = 0; r < golden_get_n_runs (golden); r++)
        {
          JsonObject *run = golden_get_run (golden, r);
          check_steps (golden, run);
          if (get_double (run, "guidance") > 0)
            {
              check_guidance (golden, run);
              n_guided++;
            }
        }
    }
  g_assert_cmpint (n_guided, >, 0);
}

/* make-samplers.py's velocity field, and what the reference made of it. */
#define FIELD 32

typedef struct
{
  float w[FIELD], u[FIELD], c[FIELD];
  const float *sigmas;
  guint64 seed, n_drawn;
  JsonArray *latents;
  guint n_checked;
  int n_passes;
  const char *what;
} Field;

static void
parse_floats (const char *text, float out[FIELD])
{
  char *end = (char *)text;

  for (int i = 0; i < FIELD; i++)
    out[i] = (float)g_ascii_strtod (end, &end);
  g_assert_cmpint (*end, ==, '\0');
}

static gboolean
field_network (gpointer data, int step, float tin, gboolean negative, const float *x, float *out)
{
  Field *f = data;

  f->n_passes++;
  for (int i = 0; i < FIELD; i++)
    out[i] = -(f->w[i] * x[i] + f->u[i] * f->sigmas[step] + f->c[i]);
  return TRUE;
}

static void
field_draw (gpointer data, float *out)
{
  Field *f = data;

  zie_noise_cpu_after (f->seed, f->n_drawn, out, FIELD);
  f->n_drawn += FIELD;
}

static gboolean
field_step (gpointer data, int step, const float *x, const float *x0)
{
  Field *f = data;
  JsonObject *latent = f->n_checked < json_array_get_length (f->latents) ? json_array_get_object_element (f->latents, f->n_checked) : NULL;
  float want[FIELD];
  double difference = 0, norm = 0;

  if (latent == NULL || json_object_get_int_member (latent, "step") != step)
    return TRUE;
  parse_floats (json_object_get_string_member (latent, "values"), want);
  for (int i = 0; i < FIELD; i++)
    {
      difference += (double)(x[i] - want[i]) * (x[i] - want[i]);
      norm += (double)want[i] * want[i];
    }
  if (!(sqrt (difference / norm) < 2e-6))       /* the reference's coefficients are rounded to fp32 */
    g_error ("%s: step %d is %g away from the reference", f->what, step, sqrt (difference / norm));
  f->n_checked++;
  return TRUE;
}

static void
test_others (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "samplers.json", NULL);
  g_autoptr(GError) error = NULL;
  JsonObject *record = zie_json_load_object (path, &error);
  JsonArray *runs;
  guint32 seen = 0;

  g_assert_no_error (error);
  runs = json_object_get_array_member (record, "runs");
  for (guint r = 0; r < json_array_get_length (runs); r++)
    {
      JsonObject *row = json_array_get_object_element (runs, r);
      int n = (int)json_object_get_int_member (row, "n_steps");
      g_autofree float *sigmas = g_new (float, (gsize)n + 1), *tin = g_new (float, (gsize)n);
      float x[FIELD], v[FIELD], x0[FIELD], memory[2 * FIELD];
      Field f = { .sigmas = sigmas, .seed = (guint64)json_object_get_int_member (record, "seed"),
                  .latents = json_object_get_array_member (row, "latents"), .what = json_object_get_string_member (row, "sampler") };
      ZieSamplerRun run = { .n_steps = n, .sigmas = sigmas, .tin = tin, .n = FIELD, .network = field_network, .on_step = field_step,
                            .draw = field_draw, .data = &f, .v = v, .x0 = x0, .memory = memory };
      ZieSampler sampler;

      g_assert_true (zie_sampler_from_name (f.what, &sampler));
      seen |= 1u << sampler;
      run.stepper = zie_stepper_get (sampler);
      g_assert_cmpint (run.stepper->n_buffers, <=, 2);
      parse_floats (json_object_get_string_member (record, "w"), f.w);
      parse_floats (json_object_get_string_member (record, "u"), f.u);
      parse_floats (json_object_get_string_member (record, "c"), f.c);
      zie_schedule_flow_match (n, json_object_get_double_member (row, "shift"), sigmas, tin);
      field_draw (&f, x);
      g_assert_true (zie_sampler_run (&run, x));
      g_assert_cmpuint (f.n_checked, ==, json_array_get_length (f.latents));
      g_assert_cmpint (f.n_passes, ==, zie_stepper_count_passes (run.stepper, n));
    }
  g_assert_cmphex (seen, ==, ((1u << ZIE_N_SAMPLERS) - 1) & ~(1u << ZIE_SAMPLER_EULER));      /* Euler has records of its own */
  json_object_unref (record);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/golden/sampler/schedules", test_schedules);
  g_test_add_func ("/golden/sampler/steps", test_steps);
  g_test_add_func ("/golden/sampler/others", test_others);
  return g_test_run ();
}
