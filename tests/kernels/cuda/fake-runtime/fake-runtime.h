/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <cuda_runtime_api.h>
#include <glib.h>

/* A CUDA runtime without a card: "device" memory is the process's, streams are queues.  What a card leaves open, when a
 * stream does what it was told, is played in three ways; so a copy whose source is overwritten too early, a use that does not
 * wait for its copy and a wait in a circle are seen.  Wrong handles, copies outside of what was allocated and memory that
 * is freed while it is in use end the program.  Any thread. */
typedef enum
{
  FAKE_EAGER,                /* at once */
  FAKE_LAZY,                 /* as late as it may: when somebody waits for it */
  FAKE_RANDOM,               /* some steps of some stream at every call */
  FAKE_N_ORDERS,
} FakeOrder;

/* For what comes.  Everything of before must have been given back, or the program ends with what was not. */
void fake_start (FakeOrder order, guint32 seed);
gboolean fake_is_started (void);

/* Before anything is allocated: memory of the card and locked memory are mappings that are there from the beginning, as they really are,
 * so that this process' malloc is its own.  Takes time, and what is written past the end of a piece is seen later. */
void fake_set_mapped (gboolean is_mapped);

/* Call number NTH (from 1) of FUNCTION from now on returns CODE and does nothing; 0: none does. */
void fake_fail (const char *function, guint nth, cudaError_t code);
/* From that call on every call returns CODE, as on a card that is lost; until cudaDeviceReset(), after which what was not given back
 * is gone. */
void fake_lose (const char *function, guint nth, cudaError_t code);
/* Cards that were lost are given to this process no more, as by current drivers, even after cudaDeviceReset(); FALSE: they are there again. */
void fake_keep_lost (gboolean keep);
gboolean fake_has_failed (void);               /* since the last of these two calls */

/* At the beginning of a function that is not the runtime's: what it has to return instead of doing anything. */
cudaError_t fake_try (const char *function);

/* Calls of FUNCTION since fake_start(); bytes that copies took; pieces of locked memory that there are, and their bytes. */
guint fake_count (const char *function);
guint64 fake_get_copied (void);
guint fake_get_n_pinned (void);
gsize fake_get_locked (void);

/* The card's memory; what other programs have of it from now on; what this one has. */
#define FAKE_MEMORY ((size_t)8 << 30)
void fake_set_others (gsize size);
void fake_set_secret_others (gsize size);      /* of which nothing is said, until it is missing */
gsize fake_get_used (void);

/* So many cards (1), of which the first N_OLD are too old; they have one memory. */
void fake_set_cards (guint n, guint n_old);

/* Waits for all streams, unless the card is lost; cannot fail. */
void fake_finish (void);

/* A kernel: FUNC (DATA) when STREAM comes to it, which frees DATA by g_free(); where it never comes to it, it is freed so. */
void fake_launch (cudaStream_t stream, void (*func) (gpointer data), gpointer data);
