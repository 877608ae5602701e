/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* Turns uniform values of [0, 1) into normal ones in place, in blocks of 16 (spec 6.1).  The second needs a processor
 * with AVX2 and FMA; both give the same bits. */
void zie_noise_normal (float *values, gsize n);
void zie_noise_normal_fma (float *values, gsize n);
