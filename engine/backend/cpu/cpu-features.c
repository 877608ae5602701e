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

/* The value of the first line "KEY : value" of /proc/cpuinfo, or NULL. */
static char *
read_cpuinfo (const char *key)
{
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;

  if (!g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL))
    return NULL;
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      char *colon = strchr (*line, ':');

      if (colon == NULL || !g_str_has_prefix (*line, key))
        continue;
      return g_strstrip (g_strdup (colon + 1));
    }
  return NULL;
}

static double
clock_hz (void)
{
  g_autofree char *text = read_cpuinfo ("cpu MHz");
  double mhz = text == NULL ? 0 : g_ascii_strtod (text, NULL);

  return (mhz > 500 ? mhz : 2500) * 1e6;
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
  return 0.8 * per_cycle * clock_hz () * n_threads;
}
