/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>

#include "zie-schedule.h"

/* The reference's eight steps, to the bit. */
static void
test_turbo (void)
{
  static const float expected[9] = { 0x1p+0f, 0x1.e8ba2ep-1f, 0x1.ccccccp-1f, 0x1.aaaaaap-1f, 0x1.8p-1f, 0x1.492492p-1f, 0x1p-1f,
                                     0x1.333334p-2f, 0 };
  static const float tin_expected[8] = { 0, 0.04545459f, 0.1f, 0.16666669f, 0.25f, 0.3571429f, 0.5f, 0.7f };
  float sigmas[9], tin[8];

  zie_schedule_flow_match (8, 3.0, sigmas, tin);
  for (int i = 0; i < 9; i++)
    g_assert_cmpfloat (sigmas[i], ==, expected[i]);
  for (int i = 0; i < 8; i++)
    g_assert_cmpfloat_with_epsilon (tin[i], tin_expected[i], 6e-8);    /* the table has seven digits */
  g_assert_cmpfloat (tin[0], ==, 0);
}

static void
test_other_counts (void)
{
  static const struct { int n; float sigmas[9]; } cases[] = {
    { 1, { 1 } },
    { 4, { 1, 0.9f, 0.75f, 0.5f } },
    { 6, { 1, 0.9375f, 0.857143f, 0.75f, 0.6f, 0.375f } },
    { 9, { 1, 0.96f, 0.913044f, 0.857143f, 0.789474f, 0.705882f, 0.6f, 0.461538f, 0.272727f } },
  };
  float sigmas[10], tin[9];

  for (guint c = 0; c < G_N_ELEMENTS (cases); c++)
    {
      zie_schedule_flow_match (cases[c].n, 3.0, sigmas, tin);
      for (int i = 0; i < cases[c].n; i++)
        g_assert_cmpfloat_with_epsilon (sigmas[i], cases[c].sigmas[i], 1e-6);
      g_assert_cmpfloat (sigmas[cases[c].n], ==, 0);
    }
}

/* shift 1 leaves the grid as it is, and any schedule falls from 1 to 0. */
static void
test_shape (void)
{
  float sigmas[51], tin[50];

  for (double shift = 1; shift < 8; shift += 0.5)
    for (int n = 1; n <= 50; n++)
      {
        zie_schedule_flow_match (n, shift, sigmas, tin);
        g_assert_cmpfloat (sigmas[0], ==, 1);
        for (int i = 0; i < n; i++)
          g_assert_cmpfloat (sigmas[i + 1], <, sigmas[i]);
        if (shift == 1 && n > 1)
          g_assert_cmpfloat_with_epsilon (sigmas[n - 1], 1.0 / n, 1e-6);
      }
}

static void
test_first_step (void)
{
  g_assert_cmpint (zie_schedule_first_step (8, 1.0), ==, 0);
  g_assert_cmpint (zie_schedule_first_step (8, 0.0), ==, 8);
  g_assert_cmpint (zie_schedule_first_step (8, 0.6), ==, 3);       /* int (8 - 4.8) */
  g_assert_cmpint (zie_schedule_first_step (8, 0.5), ==, 4);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedule/turbo", test_turbo);
  g_test_add_func ("/schedule/other-counts", test_other_counts);
  g_test_add_func ("/schedule/shape", test_shape);
  g_test_add_func ("/schedule/first-step", test_first_step);
  return g_test_run ();
}
