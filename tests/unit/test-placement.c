/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>

#include "zie-placement.h"

/* Which blocks of weights stay on a card: blocks as the full-size model has them, budgets from nothing to plenty. */

#define MIB ((gsize)1 << 20)
#define N_TEXT 35
#define N_LAYERS 32

static ZieWeightBlock blocks[N_TEXT + N_LAYERS + 3];

static void
add (GArray *uses, ZieStage stage, gsize size, double times)
{
  ZieBlockUse use = { &blocks[uses->len], stage, size, times };
  g_array_append_val (uses, use);
}

static GArray *
full_size (void)
{
  GArray *uses = g_array_new (FALSE, FALSE, sizeof (ZieBlockUse));

  for (int i = 0; i < N_TEXT; i++)
    add (uses, ZIE_STAGE_TEXT, 202 * MIB, 1);
  add (uses, ZIE_STAGE_SAMPLE, 24 * MIB, 8);               /* embedders: too small to stream */
  add (uses, ZIE_STAGE_REFINE, 256 * MIB, 1);
  for (int i = 0; i < N_LAYERS; i++)
    add (uses, ZIE_STAGE_SAMPLE, 338 * MIB, 8);
  add (uses, ZIE_STAGE_DECODE, 118 * MIB, 1);
  return uses;
}

typedef struct
{
  ZieWeightPlaces places;
  guint64 streamed[ZIE_N_STAGES], needed;
  gboolean fits;
} Result;

static Result
choose (const GArray *uses, guint64 available)
{
  Result r;
  guint64 resident = 0;

  r.fits = zie_placement_choose (uses, available, &r.places, r.streamed, &r.needed);
  if (!r.fits)
    return r;
  for (guint i = 0; i < r.places.n_places; i++)
    if (r.places.places[i].is_resident)
      resident += r.places.places[i].size;
  g_assert_cmpuint (resident, ==, r.places.resident_size);
  g_assert_cmpuint (resident + r.places.n_slots * (guint64)r.places.slot_size, <=, available);
  return r;
}

static guint
count_layers (const GArray *uses, const Result *r, gboolean resident)
{
  guint n = 0;

  for (guint i = 0; i < uses->len; i++)
    n += g_array_index (uses, ZieBlockUse, i).uses == 8 && g_array_index (uses, ZieBlockUse, i).size > 100 * MIB
         && r->places.places[i].is_resident == resident;
  return n;
}

static void
test_all_resident (void)
{
  g_autoptr(GArray) uses = full_size ();
  Result r = choose (uses, (guint64)24 << 30);

  g_assert_true (r.fits);
  g_assert_cmpuint (r.places.n_slots, ==, 0);
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    g_assert_cmpuint (r.streamed[stage], ==, 0);
  g_free (r.places.places);
}

/* What is used each step stays before what is used once. */
static void
test_text_goes_first (void)
{
  g_autoptr(GArray) uses = full_size ();
  Result r = choose (uses, (guint64)13 << 30);

  g_assert_true (r.fits);
  g_assert_cmpuint (count_layers (uses, &r, TRUE), ==, N_LAYERS);
  g_assert_cmpuint (r.streamed[ZIE_STAGE_SAMPLE], ==, 0);
  g_assert_cmpuint (r.streamed[ZIE_STAGE_TEXT], >, 0);
  g_free (r.places.places);
}

static void
test_layers_are_spread (void)
{
  g_autoptr(GArray) uses = full_size ();
  Result r = choose (uses, (guint64)6 << 30);
  guint run = 0, longest = 0, n_streamed;

  g_assert_true (r.fits);
  n_streamed = count_layers (uses, &r, FALSE);
  g_assert_cmpuint (n_streamed, >, 8);
  g_assert_cmpuint (n_streamed, <, 24);
  g_assert_cmpuint (r.streamed[ZIE_STAGE_SAMPLE], ==, n_streamed * 8 * (guint64)(338 * MIB));
  for (guint i = N_TEXT + 2; i < N_TEXT + 2 + N_LAYERS; i++)
    {
      run = r.places.places[i].is_resident ? 0 : run + 1;
      longest = MAX (longest, run);
    }
  g_assert_cmpuint (longest, <=, 2);
  g_free (r.places.places);
}

/* Less memory never means less copying, and the least that works is what the refusal names. */
static void
test_every_budget (void)
{
  g_autoptr(GArray) uses = full_size ();
  guint64 before = G_MAXUINT64;

  for (guint64 available = 0; available <= (guint64)22 << 30; available += 97 * MIB)
    {
      Result r = choose (uses, available);
      guint64 total = 0;

      g_assert_cmpint (r.fits, ==, available >= r.needed);
      for (int stage = 0; r.fits && stage < ZIE_N_STAGES; stage++)
        total += r.streamed[stage];
      if (r.fits)
        {
          g_assert_cmpuint (total, <=, before);
          before = total;
        }
      g_free (r.places.places);
    }
  g_assert_cmpuint (before, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/placement/all-resident", test_all_resident);
  g_test_add_func ("/placement/text-goes-first", test_text_goes_first);
  g_test_add_func ("/placement/layers-are-spread", test_layers_are_spread);
  g_test_add_func ("/placement/every-budget", test_every_budget);
  return g_test_run ();
}
