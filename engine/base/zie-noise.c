/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-noise"

#include "zie-noise.h"

#include <math.h>

#include "zie-noise-private.h"

/* Built with -ffp-contract=off: every rounding below is one of the reference's, fused only where fmaf says so. */

#define MT_SIZE 624
#define MT_SHIFT 397
#define BLOCK 16

typedef struct
{
  guint32 state[MT_SIZE];
  guint next;               /* index of the next output; MT_SIZE: twist first */
} Mt19937;

/* Only the low 32 bits of SEED count, as in torch. */
static void
mt_seed (Mt19937 *mt, guint64 seed)
{
  mt->state[0] = (guint32)seed;
  for (guint32 j = 1; j < MT_SIZE; j++)
    mt->state[j] = 1812433253u * (mt->state[j - 1] ^ mt->state[j - 1] >> 30) + j;
  mt->next = MT_SIZE;
}

static inline guint32
mt_mix (guint32 upper, guint32 lower, guint32 far)
{
  guint32 y = (upper & 0x80000000u) | (lower & 0x7fffffffu);

  return far ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
}

static void
mt_twist (Mt19937 *mt)
{
  guint32 *s = mt->state;
  guint j = 0;

  for (; j < MT_SIZE - MT_SHIFT; j++)
    s[j] = mt_mix (s[j], s[j + 1], s[j + MT_SHIFT]);
  for (; j < MT_SIZE - 1; j++)
    s[j] = mt_mix (s[j], s[j + 1], s[j + MT_SHIFT - MT_SIZE]);
  s[j] = mt_mix (s[j], s[0], s[MT_SHIFT - 1]);
  mt->next = 0;
}

static inline guint32
mt_next (Mt19937 *mt)
{
  guint32 y;

  if (mt->next == MT_SIZE)
    mt_twist (mt);

  y = mt->state[mt->next++];
  y ^= y >> 11;
  y ^= y << 7 & 0x9d2c5680u;
  y ^= y << 15 & 0xefc60000u;
  return y ^ y >> 18;
}

void
zie_noise_mt19937 (guint64 seed, guint32 *out, gsize n)
{
  Mt19937 mt;

  mt_seed (&mt, seed);
  for (gsize i = 0; i < n; i++)
    out[i] = mt_next (&mt);
}

static void
to_normal (float *values, gsize n)
{
#ifdef ZIE_NOISE_HAVE_FMA
  if (__builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma"))
    {
      zie_noise_normal_fma (values, n);
      return;
    }
#endif
  zie_noise_normal (values, n);
}

void
zie_noise_cpu (guint64 seed, float *out, gsize n)
{
  zie_noise_cpu_after (seed, 0, out, n);
}

void
zie_noise_cpu_after (guint64 seed, guint64 skip, float *out, gsize n)
{
  Mt19937 mt;

  g_return_if_fail (n % BLOCK == 0 && skip % BLOCK == 0);

  mt_seed (&mt, seed);
  for (guint64 i = 0; i < skip; i++)
    mt_next (&mt);
  for (gsize i = 0; i < n; i++)
    out[i] = (float)(mt_next (&mt) & 0xffffff) * 0x1p-24f;

  to_normal (out, n);
}

void
zie_noise_philox (const guint32 counter[4], const guint32 key[2], guint32 out[4])
{
  guint32 c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  guint32 k0 = key[0], k1 = key[1];

  for (guint round = 0; round < 10; round++)
    {
      guint64 a = (guint64)0xd2511f53u * c0, b = (guint64)0xcd9e8d57u * c2;

      c0 = (guint32)(b >> 32) ^ c1 ^ k0;
      c2 = (guint32)(a >> 32) ^ c3 ^ k1;
      c1 = (guint32)b;
      c3 = (guint32)a;
      k0 += 0x9e3779b9u;
      k1 += 0xbb67ae85u;
    }

  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/* Two normal values of two random words; the sine comes first, as in curand. */
static void
cuda_box_muller (guint32 a, guint32 b, float *first, float *second)
{
  const float two_pi_32 = 0x1.921fb6p-30f;          /* 2 pi 2^-32 */
  float u = (float)a * 0x1p-32f + 0x1p-33f;
  float v = (float)b * two_pi_32 + two_pi_32 / 2;
  float radius = sqrtf (-2 * logf (u));

  *first = radius * sinf (v);
  *second = radius * cosf (v);
}

void
zie_noise_cuda (guint64 seed, guint64 *offset, int sms, int threads_per_sm, float *out, gsize n)
{
  const guint32 key[2] = { (guint32)seed, (guint32)(seed >> 32) };
  gsize n_blocks, n_threads;

  g_return_if_fail (n > 0 && sms > 0 && threads_per_sm >= 256);

  /* The launch geometry decides which thread, and so which part of its stream, an element comes from. */
  n_blocks = MIN ((n + 255) / 256, (gsize)sms * (gsize)(threads_per_sm / 256));
  n_threads = 256 * n_blocks;

  for (gsize start = 0, wave = 0; start < n; start += 4 * n_threads, wave++)
    for (gsize thread = 0; thread < n_threads && start + thread < n; thread++)
      {
        guint64 step = *offset / 4 + wave;
        const guint32 counter[4] = { (guint32)step, (guint32)(step >> 32), (guint32)thread, 0 };
        guint32 words[4];
        float values[4];

        zie_noise_philox (counter, key, words);
        cuda_box_muller (words[0], words[1], &values[0], &values[1]);
        if (start + thread + 2 * n_threads < n)
          cuda_box_muller (words[2], words[3], &values[2], &values[3]);

        for (gsize q = 0, i = start + thread; q < 4 && i < n; q++, i += n_threads)
          out[i] = values[q];
      }

  *offset += 4 * ((n - 1) / (4 * n_threads) + 1);
}
