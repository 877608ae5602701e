/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-features.h"

#include <string.h>

#ifdef ZIE_CPU_X86
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static const struct
{
  guint32 cap;
  const char *mask;
  const char *name;
} levels[] = {
  { ZIE_CPU_AVX2, "avx2", "AVX2" },
  { ZIE_CPU_AVX512, "avx512", "AVX-512" },
  { ZIE_CPU_AVX512_BF16, "avx512-bf16", "AVX-512 BF16" },
  { ZIE_CPU_AMX_BF16, "amx-bf16", "AMX BF16" },
};

#ifdef ZIE_CPU_X86

#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_TILE_DATA 18

/* State components that the system saves: XCR0. */
static guint64
read_xcr0 (void)
{
  guint32 low, high;

  __asm__ volatile ("xgetbv" : "=a" (low), "=d" (high) : "c" (0));
  return (guint64)high << 32 | low;
}

static guint32
detect (void)
{
  const guint32 fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
  const guint32 avx2 = 1u << 5, avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, amx = 1u << 22 | 1u << 24;
  guint32 a, b, c, d, b7, d7, a7_1 = 0, n_leaves;
  guint32 caps = 0;
  guint64 xcr0;

  if (!__get_cpuid (1, &a, &b, &c, &d) || (c & (fma | osxsave | avx | f16c)) != (fma | osxsave | avx | f16c))
    return 0;
  xcr0 = read_xcr0 ();
  if ((xcr0 & 0x6) != 0x6 || !__get_cpuid_count (7, 0, &n_leaves, &b7, &c, &d7))
    return 0;
  if (n_leaves >= 1)
    __get_cpuid_count (7, 1, &a7_1, &b, &c, &d);

  if (b7 & avx2)
    caps |= ZIE_CPU_AVX2;
  if (caps && (b7 & avx512) == avx512 && (xcr0 & 0xe6) == 0xe6)
    caps |= ZIE_CPU_AVX512;
  if ((caps & ZIE_CPU_AVX512) && (a7_1 & 1u << 5))
    caps |= ZIE_CPU_AVX512_BF16;
  if ((caps & ZIE_CPU_AVX512_BF16) && (d7 & amx) == amx && (xcr0 & 0x60000) == 0x60000
      && syscall (SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILE_DATA) == 0)
    caps |= ZIE_CPU_AMX_BF16;
  return caps;
}

#else

static guint32
detect (void)
{
  return 0;
}

#endif

static guint32
apply_mask (guint32 caps, const char *mask)
{
  guint32 kept = 0;

  if (mask == NULL || *mask == '\0')
    return caps;
  if (strcmp (mask, "plain") == 0)
    return 0;
  for (guint i = 0; i < G_N_ELEMENTS (levels); i++)
    {
      kept |= levels[i].cap;
      if (strcmp (mask, levels[i].mask) == 0)
        return caps & kept;
    }
  g_warning ("ZIE_CPU_MASK=%s is not plain, avx2, avx512, avx512-bf16 or amx-bf16: ignored", mask);
  return caps;
}

guint32
zie_cpu_get_caps (void)
{
  static gsize once;
  static guint32 caps;

  if (g_once_init_enter (&once))
    {
      caps = apply_mask (detect (), g_getenv ("ZIE_CPU_MASK"));
      g_once_init_leave (&once, 1);
    }
  return caps;
}

const char *
zie_cpu_caps_name (guint32 caps)
{
  for (guint i = G_N_ELEMENTS (levels); i-- > 0;)
    if (caps & levels[i].cap)
      return levels[i].name;
  return "plain";
}

/* Cycles a second, from a chain of shifts and exclusive ors that takes 6 cycles a turn on every processor of the last
 * fifteen years.  /proc/cpuinfo is no help: it says the nominal clock in virtual machines and the idle one elsewhere. */
static double
measure_clock (void)
{
  const int n_turns = 20000;
  gint64 best = G_MAXINT64;
  volatile guint64 result;
  guint64 x = 88172645463325252u;

  for (int run = 0; run < 5; run++)
    {
      gint64 start = g_get_monotonic_time ();

      for (int i = 0; i < n_turns; i++)
        {
          x ^= x << 13;
          x ^= x >> 7;
          x ^= x << 17;
        }
      result = x;
      best = MIN (best, g_get_monotonic_time () - start);
    }
  (void)result;
  return CLAMP (n_turns * 6.0 / ((double)MAX (best, 1) * 1e-6), 1e9, 6e9);
}

static double
get_clock (void)
{
  static gsize once;
  static double clock;

  if (g_once_init_enter (&once))
    {
      clock = measure_clock ();
      g_once_init_leave (&once, 1);
    }
  return clock;
}

double
zie_cpu_estimate_flops (guint32 caps, guint n_threads, gboolean bf16)
{
  double per_cycle = 4;

  /* 256-bit units twice a cycle, or 512-bit ones once: what most machines with AVX-512 do */
  if (caps & ZIE_CPU_AVX2)
    per_cycle = 32;
  if (bf16 && (caps & ZIE_CPU_AVX512_BF16))
    per_cycle = 64;
  if (bf16 && (caps & ZIE_CPU_AMX_BF16))
    per_cycle = 700;
  return 0.8 * per_cycle * get_clock () * n_threads;
}
