/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-plan"

#include "zie-plan-private.h"

#define MIN_ROWS 16
#define MAX_ROWS 128

/* Rows of a band: each is read with one more above and below, so few rows are dear; and the widest activation of a band has
 * to be small beside the others. */
static int
get_rows (int height)
{
  int rows = MIN_ROWS;

  while (rows < MAX_ROWS && rows * 16 < height)
    rows *= 2;
  return rows;
}

#define W ZIE_VAE_WHOLE
#define B ZIE_VAE_BANDS
#define X ZIE_VAE_SPILL_X
#define S ZIE_VAE_SPILL

guint
zie_decode_cuts (ZieVaeCut cuts[ZIE_MAX_DECODE_CUTS], int height, gboolean spill)
{
  static const ZieVaePlace ways[][ZIE_VAE_LEVELS] = {
    { W, W, W, B }, { W, W, W, X }, { W, W, B, S }, { W, W, X, S }, { W, W, S, S }, { W, X, S, S },
  };
  guint n = 0;

  G_STATIC_ASSERT (G_N_ELEMENTS (ways) <= ZIE_MAX_DECODE_CUTS);
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      ZieVaeCut cut = { .band_rows = get_rows (height) };

      for (int level = 0; level < ZIE_VAE_LEVELS; level++)
        cut.places[level] = ways[i][level];
      if (spill || !zie_vae_cut_spills (&cut))
        cuts[n++] = cut;
    }
  return n;
}
