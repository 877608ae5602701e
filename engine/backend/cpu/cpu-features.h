/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* What this processor can do, each including those before it; ZieDevice.caps of the cpu backend. */
typedef enum
{
  ZIE_CPU_AVX2 = 1 << 0,          /* AVX2, FMA and F16C */
  ZIE_CPU_AVX512 = 1 << 1,        /* F, BW, DQ, VL */
  ZIE_CPU_AVX512_BF16 = 1 << 2,
  ZIE_CPU_AMX_BF16 = 1 << 3,      /* tiles, and the kernel let this process use them */
} ZieCpuCaps;

/* Found at the first call, then the same for the life of the process.  ZIE_CPU_MASK = plain, avx2, avx512, avx512-bf16 or
 * amx-bf16 names the highest level to use, to test the lower ones; what oneDNN does is held by its own ONEDNN_MAX_CPU_ISA. */
guint32 zie_cpu_get_caps (void);

/* "AVX-512": the highest level in CAPS. */
const char *zie_cpu_caps_name (guint32 caps);

/* Sustained operations a second of large products on N_THREADS, for plans: what a core does in a cycle at this level times
 * its clock (measured at the first call, 0.2 ms), times the share of the peak that a picture was measured to reach. */
double zie_cpu_estimate_flops (guint32 caps, guint n_threads, gboolean bf16);
