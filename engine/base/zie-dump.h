/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-error.h>

/* Named tensors of a run, written to a safetensors file, for comparison with the reference's record of the same run.
 *
 * The networks and the pipeline offer what passes between their parts under the names of the reference's records
 * ("text_layer.3", "layers.7", "step0.out", "vae.mid" …).  Nothing happens unless a dump has been begun: an offer is
 * then one read of a flag.  One dump at a time in a process; offers may come from any thread.
 *
 * The first tensor offered under a name is kept and later ones are dropped, so that a block's output is that of the
 * first step, as in the records. */

extern gint zie_dump_active;      /* private to zie_dump_is_on() */

static inline gboolean
zie_dump_is_on (void)
{
  return G_UNLIKELY (g_atomic_int_get (&zie_dump_active) != 0);
}

/* Starts collecting for a file at PATH, which appears with zie_dump_end().  Values go to an unnamed temporary file at
 * once: a dump costs disk, not memory.  FALSE with FAILED when one is being made already, WRITE when it cannot be. */
gboolean zie_dump_begin (const char *path, GError **error);

/* The same for a job, where the environment variable ZIE_DUMP names a folder (made if need be): the file is
 * DIR/job-NNNNNN.safetensors.  FALSE without an error when the variable is unset or empty, or a dump is on already. */
gboolean zie_dump_begin_job (guint64 job_id, GError **error);

/* Writes the file.  FALSE with the first error that happened since zie_dump_begin(); no file then. */
gboolean zie_dump_end (GError **error);
/* Ends it without a file. */
void zie_dump_discard (void);

/* A string for the file's metadata. */
void zie_dump_note (const char *key, const char *value);

/* Offers DATA, row-major of DIMS (slowest first).  zie_dump_wants() tells whether it would be kept, for callers that
 * have to prepare DATA first. */
void zie_dump_tensor (const char *name, const float *data, const gint64 *dims, int n_dims);
void zie_dump_ints (const char *name, const gint32 *data, const gint64 *dims, int n_dims);
gboolean zie_dump_wants (const char *name);
