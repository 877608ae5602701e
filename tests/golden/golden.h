/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

#include "zie-model-private.h"
#include "zie-weight-file.h"

/* One model of make-golden.py: its checkpoint, written again, and what the reference computed on it. */
typedef struct
{
  char *name;                /* "heads128" */
  JsonObject *about;         /* NAME.json; owned */
  ZieWeightFile *record;     /* NAME.safetensors; owned */
  char *folder;              /* of the checkpoint, temporary; owned */
  ZieModel *model;           /* owned */
} Golden;

/* FOLDER holds the golden files.  Any failure ends the test program. */
Golden *golden_open (const char *folder, const char *name);
void golden_free (Golden *self);       /* removes the checkpoint */

guint golden_get_n_runs (const Golden *self);
JsonObject *golden_get_run (const Golden *self, guint i);      /* borrowed */

/* A tensor of the record.  Of a large one only every STRIDE-th value is there. */
typedef struct
{
  const float *values;       /* borrowed */
  gsize n_values;
  gint64 dims[4];
  int n_dims;
  gsize n;                   /* of the whole tensor */
  gsize stride;
  double error_f32, error_bf16;     /* the reference's own, relative; 0 where not recorded */
} GoldenTensor;

/* FALSE: not in the record.  The name is printf-like. */
gboolean golden_find (const Golden *self, GoldenTensor *out, const char *format, ...) G_GNUC_PRINTF (3, 4);
void golden_get (const Golden *self, GoldenTensor *out, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* ||data - tensor|| / ||tensor||, data the whole of it. */
double golden_error (const GoldenTensor *tensor, const float *data);

/* Names under PREFIX, without it; free with g_ptr_array_unref(). */
GPtrArray *golden_list (const Golden *self, const char *prefix);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Golden, golden_free)
