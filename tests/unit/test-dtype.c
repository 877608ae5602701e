/* SPDX-License-Identifier: Apache-2.0 */
#include "zie-dtype.h"

#include <math.h>

/* A half by its definition. */
static double
half_value (guint16 h)
{
  int sign = h & 0x8000 ? -1 : 1, e = (h >> 10) & 31, m = h & 0x3ff;

  if (e == 31)
    return m ? NAN : sign * INFINITY;
  return sign * (e == 0 ? ldexp (m, -24) : ldexp (1024 + m, e - 25));
}

static gboolean
is_half_nan (guint16 h)
{
  return (h & 0x7c00) == 0x7c00 && (h & 0x3ff) != 0;
}

static gboolean
is_same_float (float a, float b)
{
  return memcmp (&a, &b, 4) == 0;
}

static void
test_half_every_value (void)
{
  for (guint h = 0; h < 65536; h++)
    {
      float f = zie_f16_to_f32 ((guint16)h);

      if (is_half_nan ((guint16)h))
        {
          g_assert_true (isnan (f));
          g_assert_true (is_half_nan (zie_f32_to_f16 (f)));
          continue;
        }
      g_assert_true (is_same_float (f, (float)half_value ((guint16)h)));      /* the zeros keep their signs */
      g_assert_cmphex (zie_f32_to_f16 (f), ==, h);
    }
}

/* Between every two neighbours: the middle goes to the even one, what is beside it to the nearer one. */
static void
test_half_rounding (void)
{
  for (guint h = 0; h < 0x7c00; h++)
    for (guint sign = 0; sign <= 0x8000; sign += 0x8000)
      {
        double low = half_value ((guint16)h), high = h + 1 == 0x7c00 ? 65536 : half_value ((guint16)(h + 1));
        float middle = (float)((low + high) / 2), factor = sign ? -1.0f : 1.0f;
        guint even = h & 1 ? h + 1 : h;

        g_assert_cmphex (zie_f32_to_f16 (factor * middle), ==, sign | even);
        g_assert_cmphex (zie_f32_to_f16 (factor * nextafterf (middle, 0)), ==, sign | h);
        g_assert_cmphex (zie_f32_to_f16 (factor * nextafterf (middle, INFINITY)), ==, sign | (h + 1));
      }

  g_assert_cmphex (zie_f32_to_f16 (INFINITY), ==, 0x7c00);
  g_assert_cmphex (zie_f32_to_f16 (-3e38f), ==, 0xfc00);
  g_assert_cmphex (zie_f32_to_f16 (1e-45f), ==, 0);
}

static void
test_bf16_every_value (void)
{
  for (guint b = 0; b < 65536; b++)
    {
      float f = zie_bf16_to_f32 ((guint16)b);
      guint32 u;

      memcpy (&u, &f, 4);
      g_assert_cmphex (u, ==, b << 16);
      if (isnan (f))
        g_assert_true (isnan (zie_bf16_to_f32 (zie_f32_to_bf16 (f))));
      else
        g_assert_cmphex (zie_f32_to_bf16 (f), ==, b);
    }
}

static void
test_bf16_rounding (void)
{
  for (guint b = 0; b < 0x7f80; b++)
    for (guint sign = 0; sign <= 0x8000; sign += 0x8000)
      {
        guint32 middle = (sign | b) << 16 | 0x8000;
        float below, at, above;

        middle--;
        memcpy (&below, &middle, 4);
        middle++;
        memcpy (&at, &middle, 4);
        middle++;
        memcpy (&above, &middle, 4);
        g_assert_cmphex (zie_f32_to_bf16 (below), ==, sign | b);
        g_assert_cmphex (zie_f32_to_bf16 (at), ==, (sign | b) + (b & 1));
        g_assert_cmphex (zie_f32_to_bf16 (above), ==, (sign | b) + 1);
      }
}

/* A NaN whose payload lies in the lower half alone must not round to infinity. */
static void
test_bf16_nan (void)
{
  static const guint32 nans[] = { 0x7f800001, 0xff800001, 0x7fffffff, 0xffffffff, 0x7fc00000 };

  for (gsize i = 0; i < G_N_ELEMENTS (nans); i++)
    {
      float f;

      memcpy (&f, &nans[i], 4);
      g_assert_true (isnan (zie_bf16_to_f32 (zie_f32_to_bf16 (f))));
    }
}

/* Every int8 with every finite scale of two bytes, from an address that is odd. */
static void
test_q8_0 (void)
{
  guint8 data[1 + 8 * ZIE_Q8_0_BLOCK_SIZE];
  float out[8 * ZIE_Q8_0_BLOCK];

  for (guint h = 0; h < 65536; h += h < 2048 ? 1 : 37)
    {
      guint16 scale = (guint16)h;
      double d = half_value (scale);

      if ((h & 0x7c00) == 0x7c00)
        continue;
      for (int b = 0; b < 8; b++)
        {
          memcpy (data + 1 + b * ZIE_Q8_0_BLOCK_SIZE, &scale, 2);
          for (int j = 0; j < ZIE_Q8_0_BLOCK; j++)
            data[1 + b * ZIE_Q8_0_BLOCK_SIZE + 2 + j] = (guint8)(b * ZIE_Q8_0_BLOCK + j);
        }
      zie_dtype_to_f32 (ZIE_DTYPE_Q8_0, out, data + 1, 256);
      for (int q = 0; q < 256; q++)
        g_assert_true (out[q] == (float)((gint8)q * d));      /* 8 by 11 bits: exact */
    }
}

static void
test_unaligned (void)
{
  static const float values[] = { 0, -1, 1.5f, 65504, -0.0f, 0.25f, 3e-5f, 2 };
  guint8 data[3 + 4 * G_N_ELEMENTS (values)];
  float out[G_N_ELEMENTS (values)];

  for (gsize shift = 0; shift < 4; shift++)
    {
      memcpy (data + shift, values, sizeof values);
      zie_dtype_to_f32 (ZIE_DTYPE_F32, out, data + shift, G_N_ELEMENTS (values));
      g_assert_cmpmem (out, sizeof out, values, sizeof values);

      for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
        {
          guint16 h = zie_f32_to_f16 (values[i]);
          memcpy (data + shift + 2 * i, &h, 2);
        }
      zie_dtype_to_f32 (ZIE_DTYPE_F16, out, data + shift, G_N_ELEMENTS (values));
      for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
        g_assert_true (is_same_float (out[i], zie_f16_to_f32 (zie_f32_to_f16 (values[i]))));

      for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
        {
          guint16 b = zie_f32_to_bf16 (values[i]);
          memcpy (data + shift + 2 * i, &b, 2);
        }
      zie_dtype_to_f32 (ZIE_DTYPE_BF16, out, data + shift, G_N_ELEMENTS (values));
      for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
        g_assert_true (is_same_float (out[i], zie_bf16_to_f32 (zie_f32_to_bf16 (values[i]))));
    }
}

static void
test_sizes (void)
{
  g_assert_cmpuint (zie_dtype_row_size (ZIE_DTYPE_F32, 3), ==, 12);
  g_assert_cmpuint (zie_dtype_row_size (ZIE_DTYPE_F16, 3), ==, 6);
  g_assert_cmpuint (zie_dtype_row_size (ZIE_DTYPE_BF16, 3), ==, 6);
  g_assert_cmpuint (zie_dtype_row_size (ZIE_DTYPE_Q8_0, 64), ==, 68);
  g_assert_cmpuint (zie_dtype_row_size (ZIE_DTYPE_OTHER, 64), ==, 0);
  g_assert_cmpuint (zie_dtype_row_size (ZIE_DTYPE_F32, (gint64)1 << 40), ==, (gsize)1 << 42);
  g_assert_cmpstr (zie_dtype_name (ZIE_DTYPE_BF16), ==, "BF16");
  g_assert_cmpstr (zie_dtype_name (ZIE_DTYPE_Q8_0), ==, "Q8_0");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dtype/half/every-value", test_half_every_value);
  g_test_add_func ("/dtype/half/rounding", test_half_rounding);
  g_test_add_func ("/dtype/bf16/every-value", test_bf16_every_value);
  g_test_add_func ("/dtype/bf16/rounding", test_bf16_rounding);
  g_test_add_func ("/dtype/bf16/nan", test_bf16_nan);
  g_test_add_func ("/dtype/q8-0", test_q8_0);
  g_test_add_func ("/dtype/unaligned", test_unaligned);
  g_test_add_func ("/dtype/sizes", test_sizes);
  return g_test_run ();
}
