/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-noise"

#include "zie-noise-private.h"

#include <math.h>
#include <string.h>

/* The Cephes polynomials of torch's avx_mathfun.h, lane by lane.  Built with -ffp-contract=off, twice (meson.build):
 * with fused multiply-add in hardware the compiler turns the inner loop into vectors, without it fmaf is a call and
 * takes thirty times as long, to the same bits. */

#define LANES 8

static inline float
from_bits (guint32 u)
{
  float f;

  memcpy (&f, &u, 4);
  return f;
}

static inline guint32
to_bits (float f)
{
  guint32 u;

  memcpy (&u, &f, 4);
  return u;
}

/* log (x), x in (0, 1] */
static inline float
log_poly (float x)
{
  guint32 bits = to_bits (x < 0x1p-126f ? 0x1p-126f : x);
  float e = (float)((gint32)(bits >> 23) - 126);
  float f = from_bits ((bits & 0x007fffffu) | 0x3f000000u);      /* [0.5, 1) */
  gboolean is_small = f < 0.707106781186547524f;
  float z, y;

  e -= is_small ? 1.0f : 0.0f;
  x = (f - 1.0f) + (is_small ? f : 0.0f);
  z = x * x;
  y = 7.0376836292e-2f;
  y = fmaf (y, x, -1.1514610310e-1f);
  y = fmaf (y, x, 1.1676998740e-1f);
  y = fmaf (y, x, -1.2420140846e-1f);
  y = fmaf (y, x, 1.4249322787e-1f);
  y = fmaf (y, x, -1.6668057665e-1f);
  y = fmaf (y, x, 2.0000714765e-1f);
  y = fmaf (y, x, -2.4999993993e-1f);
  y = fmaf (y, x, 3.3333331174e-1f);
  y = y * x;
  y = fmaf (y, z, e * -2.12194440e-4f);
  y = fmaf (-0.5f, z, y);
  x = x + y;
  return fmaf (e, 0.693359375f, x);
}

/* sine and cosine of A >= 0 */
static inline void
sincos_poly (float a, float *sine, float *cosine)
{
  gint32 j = ((gint32)(a * 1.27323954473516f) + 1) & ~1;
  float y = (float)j;
  guint32 sine_sign = j & 4 ? 0x80000000u : 0, cosine_sign = (j - 2) & 4 ? 0 : 0x80000000u;
  float x, z, c, s;

  x = fmaf (y, -0.78515625f, a);
  x = fmaf (y, -2.4187564849853515625e-4f, x);
  x = fmaf (y, -3.77489497744594108e-8f, x);
  z = x * x;

  c = fmaf (2.443315711809948e-5f, z, -1.388731625493765e-3f);
  c = fmaf (c, z, 4.166664568298827e-2f);
  c = c * z;
  c = fmaf (c, z, -(0.5f * z));
  c = c + 1.0f;

  s = fmaf (-1.9515295891e-4f, z, 8.3321608736e-3f);
  s = fmaf (s, z, -1.6666654611e-1f);
  s = s * z;
  s = fmaf (s, x, x);

  *sine = from_bits (to_bits (j & 2 ? c : s) ^ sine_sign);
  *cosine = from_bits (to_bits (j & 2 ? s : c) ^ cosine_sign);
}

void
ZIE_NOISE_NORMAL (float *values, gsize n)
{
  for (gsize i = 0; i < n; i += 2 * LANES)
    for (guint k = 0; k < LANES; k++)
      {
        float u1 = 1.0f - values[i + k], u2 = values[i + LANES + k];
        float radius = sqrtf (-2.0f * log_poly (u1));
        float theta = 6.283185307179586f * u2;
        float sine, cosine;

        sincos_poly (theta, &sine, &cosine);
        values[i + k] = radius * cosine;
        values[i + LANES + k] = radius * sine;
      }
}
