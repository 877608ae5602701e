/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "check.h"

/* What the files of the harness share: check-main.c the program, check-data.c inputs and weights, check.c runs and
 * compares, check-time.c cancels and times. */

#define CHECK_GUARD 64                  /* floats before and behind each tensor */
#define CHECK_POISON 0x7fd0dead         /* a NaN that nothing computes */

typedef enum { CHECK_BUFFER_INPUT, CHECK_BUFFER_INOUT, CHECK_BUFFER_OUTPUT } CheckBufferKind;

typedef struct
{
  CheckBufferKind kind;
  ZieTensor tensor;
  gint64 lead;                          /* floats from a row's start to its first column */
  gsize n_floats;                       /* guards included */
  float *values;                        /* owned, [rows, cols]; NULL for outputs */
  guint32 *image;                       /* owned, [n_floats]: what memory holds before a run */
  guint32 *expected, *got, *again;      /* owned: what it holds after one */
} CheckBuffer;

struct _Check
{
  const CheckOp *op;
  ZieBackend *reference, *backend;      /* borrowed */
  const ZieDevice *device;              /* borrowed: the backend's facts */
  const char *name;                     /* borrowed: of the case */
  ZieCompute compute;
  gboolean is_large, is_bench;
  guint64 random;
  GPtrArray *buffers;                   /* of CheckBuffer */
  GPtrArray *weights;                   /* of mappings, check-data.c's own */
  GString *failure;                     /* empty = none */
  GString *report;
};

/* The first failure is the cause: later ones are not kept. */
void check_fail (Check *check, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Buffers and weights of a check that begins; SEED makes all its numbers. */
void check_init_data (Check *check, guint64 seed);
void check_clear_data (Check *check);

/* What memory holds before a run: values in their rows, poison everywhere else. */
void check_draw_images (Check *check);
/* Whether float AT of the buffer is inside its rows. */
gboolean check_buffer_has (const CheckBuffer *buffer, gsize at);

/* A backend's memory with the check's tensors, and PLANNED bytes for the op behind them. */
typedef struct
{
  ZieBackend *backend;                  /* borrowed */
  gsize size;
  guint8 *memory;
  guint8 **places;                      /* owned: where each buffer begins */
  ZieArena arena;
  ZieOpCtx ctx;                         /* with this arena */
  ZieMark mark;                         /* where scratch begins */
} CheckMemory;

void check_memory_init (CheckMemory *self, Check *check, ZieBackend *backend, gsize planned);
void check_memory_clear (CheckMemory *self);
/* N_FLOATS between the host and the backend's memory. */
void check_memory_move (CheckMemory *self, guint8 *device, void *host, gsize n_floats, gboolean up);

/* The longest that CALL goes on after its flag is set, at several moments; fails where it is more than a slice of work. */
void check_cancel (Check *check, CheckCall call, gpointer data, gsize planned);
/* The best of many runs, printed with its rates. */
void check_bench (Check *check, CheckCall call, gpointer data, gsize planned, const ZieTally *tally);
