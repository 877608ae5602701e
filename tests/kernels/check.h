/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-backend.h"

/* A small checkasm: each op of every backend against the reference, over a list of cases.  A check file says what the
 * cases are and how to call the op; the harness brings seeds, guards, poison, comparison and timing.
 *
 * For each case and backend: the reference's result, computed from the same stored weights; the backend's result, with every
 * byte around the tensors and behind the scratch watched, outputs and scratch poisoned with NaN before, and inputs
 * compared afterwards; the same once more, which must give the same bits; the arena against what the counting backend said;
 * a cancelled call.
 *
 * Large cases, run by --large instead of the others, are whole layers of the full-size model: too much work for the
 * reference, so they are cancelled in the middle, which must not take longer than a slice of work, and timed by --bench. */

/* How numbers are filled in. */
typedef enum
{
  CHECK_NORMAL,
  CHECK_OUTLIERS,      /* normal, with a few channels 60 times larger and a first row that has some 1000 times larger */
  CHECK_ZEROS,
  CHECK_DENORMAL,      /* of f32: about 1e-39 */
  CHECK_ONE_HOT,       /* row r is 1 in column r modulo the columns: shows a misplaced index exactly */
  CHECK_OFFSET,        /* normal about a mean of 100: variances must not be differences of large numbers */
} CheckInput;

const char *check_input_name (CheckInput input);

/* One case while it runs. */
typedef struct _Check Check;

/* Called for the reference, the counting table and the backend alike: through ctx->ops only, and without reading tensors
 * by itself. */
typedef void (*CheckCall) (ZieOpCtx *ctx, gpointer data);

/* One op's checks. */
typedef struct
{
  const char *name;
  guint n_cases;
  guint n_large;                                        /* the last so many of N_CASES are large */
  gboolean uses_compute;                                /* run once in F32 and once in BF16 */
  gboolean takes_scratch;                               /* all that was planned; elementwise ops share one figure */
  void (*name_case) (guint index, GString *name);       /* words without spaces: a part of the filter */
  void (*run_case) (Check *check, guint index);
} CheckOp;

extern const CheckOp check_linear;
extern const CheckOp check_attention;
extern const CheckOp check_conv;
extern const CheckOp check_rms_norm;
extern const CheckOp check_gated_norm_add;
extern const CheckOp check_layer_norm;
extern const CheckOp check_qk_norm_rope;
extern const CheckOp check_group_norm;
extern const CheckOp check_group_norm_bands;
extern const CheckOp check_affine;
extern const CheckOp check_swiglu;
extern const CheckOp check_add;
extern const CheckOp check_unary;
extern const CheckOp check_copy;
extern const CheckOp check_fill_rows;
extern const CheckOp check_gather;
extern const CheckOp check_patchify;
extern const CheckOp check_planes;
extern const CheckOp check_transfer;

/* Tensors of the case.  They belong to the check; data is set anew for each run, so keep the pointer, not a copy.  STRIDE 0:
 * rows are dense; a larger one than COLS puts the columns in the middle of wider rows, aligned to a float only.
 * Outputs are poisoned before each run, inouts filled again. */
ZieTensor *check_new_input (Check *check, gint64 rows, gint64 cols, gint64 stride, CheckInput input);
ZieTensor *check_new_inout (Check *check, gint64 rows, gint64 cols, gint64 stride, CheckInput input);
ZieTensor *check_new_output (Check *check, gint64 rows, gint64 cols, gint64 stride);
/* The contents of an input or inout, [rows, cols] dense, to change what the recipe filled in. */
float *check_get_values (Check *check, const ZieTensor *tensor);

/* A stored weight, unaligned, with an unreadable page behind its last byte.  Normal values times SCALE; for vectors
 * (rows 1) about 1, as norms have them. */
const ZieWeight *check_new_weight (Check *check, ZieDtype dtype, gint64 rows, gint64 cols, double scale);

/* Random numbers of the case. */
guint64 check_random (Check *check);
ZieCompute check_get_compute (const Check *check);

/* TOLERANCE bounds the normalised mean square error; 0 = equal numbers.  See compare() in check.c. */
void check_run (Check *check, CheckCall call, gpointer data, double tolerance);
