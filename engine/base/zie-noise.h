/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* The initial latents of torch, bit for bit (spec section 6).  N is a multiple of 16. */
void zie_noise_cpu (guint64 seed, float *out, gsize n);
/* The draw of N after SKIP values have been drawn from that generator, SKIP a multiple of 16. */
void zie_noise_cpu_after (guint64 seed, guint64 skip, float *out, gsize n);

/* As torch's CUDA generator gives them on a card of SMS multiprocessors with THREADS_PER_SM resident threads, libm in
 * place of the card's fast sine (1e-6).  OFFSET: the generator's, advanced by the call; 0 for a fresh one. */
void zie_noise_cuda (guint64 seed, guint64 *offset, int sms, int threads_per_sm, float *out, gsize n);

/* Exposed for the test vectors. */
void zie_noise_mt19937 (guint64 seed, guint32 *out, gsize n);
void zie_noise_philox (const guint32 counter[4], const guint32 key[2], guint32 out[4]);
