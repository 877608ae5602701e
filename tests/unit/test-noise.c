/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include <glib.h>

#include "zie-noise-private.h"
#include "zie-noise.h"

/* Everything expected here comes from torch: published outputs, or md5 sums of its tensors. */

static void
test_mt19937 (void)
{
  static const struct { guint64 seed; guint32 first[4]; } cases[] = {
    { 0, { 2357136044u, 2546248239u, 3071714933u, 3626093760u } },
    { 42, { 1608637542u, 3421126067u, 4083286876u, 787846414u } },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      guint32 out[4];

      zie_noise_mt19937 (cases[i].seed, out, 4);
      g_assert_cmpmem (out, sizeof out, cases[i].first, sizeof cases[i].first);
    }
}

static float *
cpu_noise (guint64 seed, gsize n)
{
  float *out = g_new (float, n);

  zie_noise_cpu (seed, out, n);
  return out;
}

static void
test_cpu_bits (void)
{
  static const struct { guint64 seed; gsize n; const char *md5; } cases[] = {
    { 0, 16 * 128 * 128, "980618edf696271d54c34a04d8e2116d" },
    { 42, 16 * 128 * 128, "7e3f1544fa08baa74a1be415f0d51cb0" },
    { 123456789, 16 * 128 * 128, "fd4ed2d512e8fbc909979b6c270a6992" },
    { (G_GUINT64_CONSTANT (1) << 32) + 5, 16 * 128 * 128, "9068cba565b2eb6a88ea6c64d8176217" },
    { 5, 16 * 128 * 128, "9068cba565b2eb6a88ea6c64d8176217" },
    { G_MAXINT64, 16 * 128 * 128, "a808ce751346b10c03f214edaaa53435" },
    { 42, 16 * 90 * 160, "68c8e6aa649a20e10846b2c9d7b80e07" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree float *noise = cpu_noise (cases[i].seed, cases[i].n);
      g_autofree char *md5 = g_compute_checksum_for_data (G_CHECKSUM_MD5, (const guchar *)noise, cases[i].n * sizeof *noise);

      g_assert_cmpstr (md5, ==, cases[i].md5);
    }
}

static void
test_cpu_values (void)
{
  g_autofree float *a = cpu_noise (0, 16 * 128 * 128), *b = cpu_noise (42, 16 * 128 * 128);

  g_assert_cmpfloat_with_epsilon (a[0], -1.12583983, 5e-9);
  g_assert_cmpfloat_with_epsilon (a[1], -1.15236020, 5e-9);
  g_assert_cmpfloat_with_epsilon (a[2], -0.25057858, 5e-9);
  g_assert_cmpfloat_with_epsilon (a[3], -0.43387881, 5e-9);
  g_assert_cmpfloat_with_epsilon (b[0], 1.92691529, 5e-9);
  g_assert_cmpfloat_with_epsilon (b[3], -2.10552096, 5e-9);
  g_assert_cmpfloat (b[16 * 128 * 128 - 1], ==, -0x1.2a2a58p+1f);
}

/* The two builds of the polynomials agree in every bit, so that a picture does not depend on the processor; so does the
 * smallest uniform value, whose logarithm is 0, and the largest. */
static void
test_cpu_without_fma (void)
{
  gsize n = 1 << 16;
  g_autofree guint32 *words = g_new (guint32, n);
  g_autofree float *uniform = g_new (float, n), *expected = cpu_noise (7, n);

  zie_noise_mt19937 (7, words, n);
  for (gsize i = 0; i < n; i++)
    uniform[i] = (float)(words[i] & 0xffffff) * 0x1p-24f;
  zie_noise_normal (uniform, n);
  g_assert_cmpmem (uniform, n * sizeof *uniform, expected, n * sizeof *expected);

  for (guint i = 0; i < 16; i++)
    uniform[i] = i % 2 ? 0 : 0xffffff * 0x1p-24f;
  zie_noise_normal (uniform, 16);
  for (guint i = 0; i < 16; i++)
    g_assert_true (isfinite (uniform[i]) && fabsf (uniform[i]) < 5.8f);
}

static void
test_philox (void)
{
  static const struct { guint32 counter[4], key[2], out[4]; } cases[] = {
    { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { { ~0u, ~0u, ~0u, ~0u }, { ~0u, ~0u }, { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { { 0, 0, 0, 0 }, { 42, 0 }, { 0x9ceaf053, 0x77f5493b, 0x12bf50ad, 0x5742b3d7 } },
    { { 0, 0, 1, 0 }, { 42, 0 }, { 0x02933769, 0x2051e913, 0x3b68b038, 0xb62c409c } },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      guint32 out[4];

      zie_noise_philox (cases[i].counter, cases[i].key, out);
      g_assert_cmpmem (out, sizeof out, cases[i].out, sizeof cases[i].out);
    }
}

static void
test_cuda_published (void)
{
  static const float seed_0[] = { -0.92466259f, -0.42534415f, -2.6438457f, 0.14518388f, -0.12086647f, -0.57972564f };
  static const float seed_42[] = { 0.1940189f, 2.1613739f, -0.1720506f, 0.8490601f, -1.9243992f, 0.6529855f, -0.649441f,
                                   -0.8175247f };
  float out[12];
  guint64 offset = 0;

  zie_noise_cuda (0, &offset, 132, 2048, out, 12);
  for (gsize i = 0; i < G_N_ELEMENTS (seed_0); i++)
    g_assert_cmpfloat_with_epsilon (out[i], seed_0[i], 1e-6 * MAX (1, fabsf (seed_0[i])));

  offset = 0;
  zie_noise_cuda (42, &offset, 132, 2048, out, 12);
  for (gsize i = 0; i < G_N_ELEMENTS (seed_42); i++)
    g_assert_cmpfloat_with_epsilon (out[i], seed_42[i], 1e-6 * MAX (1, fabsf (seed_42[i])));
  g_assert_cmpuint (offset, ==, 4);
}

static void
test_cuda_geometry (void)
{
  static const gsize at[] = { 0, 1, 196607, 196608, 221184, 262143 };
  static const struct { int sms, threads; float values[6]; } cases[] = {
    { 132, 2048, { 0.194019f, 2.161374f, -0.442859f, -1.071405f, 0.541457f, 1.817452f } },
    { 108, 2048, { 0.194019f, 2.161374f, -0.442859f, -1.071405f, -0.970190f, -0.240603f } },
    { 128, 1536, { 0.194019f, 2.161374f, -0.442859f, -0.970190f, -1.656203f, -0.571254f } },
    { 170, 1536, { 0.194019f, 2.161374f, -0.442859f, -1.071405f, 0.541457f, -0.562073f } },
  };
  gsize n = 262144;
  g_autofree float *out = g_new (float, n);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      guint64 offset = 0;

      zie_noise_cuda (42, &offset, cases[i].sms, cases[i].threads, out, n);
      for (gsize k = 0; k < G_N_ELEMENTS (at); k++)
        g_assert_cmpfloat_with_epsilon (out[at[k]], cases[i].values[k], 1.5e-6);
      g_assert_cmpuint (offset, ==, 4);
    }
}

/* A second draw goes on where the first one ended, and a small card takes more than one wave. */
static void
test_cuda_offset (void)
{
  gsize n = 4 * 1024 + 100;
  g_autofree float *out = g_new (float, n), *again = g_new (float, 64);
  guint64 offset = 0;

  zie_noise_cuda (3, &offset, 4, 256, out, n);
  g_assert_cmpuint (offset, ==, 8);
  for (gsize i = 0; i < n; i++)
    g_assert_true (isfinite (out[i]));

  /* Wave 1 of thread s is the first value of thread s at offset 4: the elements after the first 4 T. */
  offset = 4;
  zie_noise_cuda (3, &offset, 4, 256, again, 64);
  g_assert_cmpmem (again, 64 * sizeof *again, out + 4 * 1024, 64 * sizeof *out);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/noise/mt19937", test_mt19937);
  g_test_add_func ("/noise/cpu/bits", test_cpu_bits);
  g_test_add_func ("/noise/cpu/values", test_cpu_values);
  g_test_add_func ("/noise/cpu/without-fma", test_cpu_without_fma);
  g_test_add_func ("/noise/philox", test_philox);
  g_test_add_func ("/noise/cuda/published", test_cuda_published);
  g_test_add_func ("/noise/cuda/geometry", test_cuda_geometry);
  g_test_add_func ("/noise/cuda/offset", test_cuda_offset);
  return g_test_run ();
}
