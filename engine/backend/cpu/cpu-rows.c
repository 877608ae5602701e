/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-private.h"

#include <math.h>
#include <string.h>

#include "zie-op-shape.h"

/* Ops that work row by row: norms, gates, rotations and what else reads each element once.  A task is a run of rows. */

#define TASK_ELEMENTS 16384    /* about 10 µs: a smaller task costs more to hand out than to do */

typedef struct _Rows Rows;
typedef void (*RowFunc) (const Rows *self, gint64 row);

struct _Rows
{
  const ZieOpCtx *ctx;
  const ZieCpuKernels *kernels;
  RowFunc func;
  ZieTensor *y;
  const ZieTensor *x, *z;
  const float *w, *scale, *shift;      /* vectors or NULL */
  const ZieTensor *cos, *sin;
  float eps;
  int heads;
  ZieRope rope;
  gint64 rows_per_task;
};

/* The weight vector as f32. */
gsize
zie_cpu_rows_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  return (gsize)shape->n * sizeof (float);
}

static void
rows_task (gpointer data, gint64 item, guint thread)
{
  const Rows *self = data;
  gint64 end = MIN ((item + 1) * self->rows_per_task, self->y->rows);

  for (gint64 row = item * self->rows_per_task; row < end; row++)
    self->func (self, row);
}

/* W: expanded into scratch; NULL: none. */
static void
run_rows (ZieOpCtx *ctx, Rows *self, const ZieOpShape *shape, const ZieWeight *w)
{
  ZieMark mark = zie_arena_mark (ctx->arena);
  float *scratch = zie_op_scratch (ctx, shape);

  self->ctx = ctx;
  self->kernels = zie_cpu_get_kernels ();
  self->rows_per_task = CLAMP (TASK_ELEMENTS / MAX (self->y->cols, 1), 1, MAX (self->y->rows, 1));
  if (w != NULL)
    {
      zie_cpu_expand_row (self->kernels, w, 0, scratch);
      self->w = scratch;
    }
  zie_cpu_run (ctx, (self->y->rows + self->rows_per_task - 1) / self->rows_per_task, rows_task, self);
  zie_arena_rewind (ctx->arena, mark);
}

static const float *
vector (const ZieTensor *t)
{
  return t == NULL ? NULL : zie_tensor_f32 (t);
}

static void
rms_norm_row (const Rows *self, gint64 row)
{
  float factor = self->kernels->rms_norm (zie_cpu_row (self->y, row), zie_cpu_row (self->x, row), self->w, self->scale, self->eps,
                                          self->y->cols);

  zie_op_check_factor (self->ctx, factor);
}

static void
rms_norm (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieTensor *scale, float eps)
{
  ZieOpShape shape = zie_op_shape_rms_norm (y, x, w, scale);
  Rows self = { .func = rms_norm_row, .y = y, .x = x, .scale = vector (scale), .eps = eps };

  run_rows (ctx, &self, &shape, w);
}

static void
gated_norm_add_row (const Rows *self, gint64 row)
{
  float factor = self->kernels->gated_norm_add (zie_cpu_row (self->y, row), zie_cpu_row (self->x, row), self->w, self->scale, self->eps,
                                                self->y->cols);

  zie_op_check_factor (self->ctx, factor);
}

static void
gated_norm_add (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y, const ZieWeight *w, const ZieTensor *gate, float eps)
{
  ZieOpShape shape = zie_op_shape_gated_norm_add (x, y, w, gate);
  Rows self = { .func = gated_norm_add_row, .y = x, .x = y, .scale = vector (gate), .eps = eps };

  run_rows (ctx, &self, &shape, w);
}

static void
layer_norm_row (const Rows *self, gint64 row)
{
  float factor = self->kernels->layer_norm (zie_cpu_row (self->y, row), zie_cpu_row (self->x, row), self->scale, self->eps, self->y->cols);

  zie_op_check_factor (self->ctx, factor);
}

static void
layer_norm (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, float eps)
{
  ZieOpShape shape = zie_op_shape_layer_norm (y, x, scale);
  Rows self = { .func = layer_norm_row, .y = y, .x = x, .scale = vector (scale), .eps = eps };

  run_rows (ctx, &self, &shape, NULL);
}

static void
qk_norm_rope_row (const Rows *self, gint64 row)
{
  gint64 d = self->y->cols / self->heads;
  float *x = zie_cpu_row (self->y, row);
  const float *cos = zie_cpu_row (self->cos, row), *sin = zie_cpu_row (self->sin, row);

  for (int head = 0; head < self->heads; head++)
    zie_op_check_factor (self->ctx, (self->rope == ZIE_ROPE_INTERLEAVED ? self->kernels->rope_interleaved
                                                                        : self->kernels->rope_half) (x + head * d, self->w, cos, sin,
                                                                                                     self->eps, d));
}

static void
qk_norm_rope (ZieOpCtx *ctx, ZieTensor *x, const ZieWeight *w, const ZieTensor *cos, const ZieTensor *sin, int heads, ZieRope rope,
              float eps)
{
  ZieOpShape shape = zie_op_shape_qk_norm_rope (x, w, cos, sin, heads);
  Rows self = { .func = qk_norm_rope_row, .y = x, .cos = cos, .sin = sin, .heads = heads, .rope = rope, .eps = eps };

  run_rows (ctx, &self, &shape, w);
}

static void
swiglu_row (const Rows *self, gint64 row)
{
  self->kernels->swiglu (zie_cpu_row (self->y, row), zie_cpu_row (self->x, row), zie_cpu_row (self->z, row), self->y->cols);
}

static void
swiglu (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *gate, const ZieTensor *up)
{
  ZieOpShape shape = zie_op_shape_swiglu (y, gate, up);
  Rows self = { .func = swiglu_row, .y = y, .x = gate, .z = up };

  run_rows (ctx, &self, &shape, NULL);
}

static void
add_row (const Rows *self, gint64 row)
{
  self->kernels->add (zie_cpu_row (self->y, row), zie_cpu_row (self->x, row), self->y->cols);
}

static void
add (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y)
{
  ZieOpShape shape = zie_op_shape_add (x, y);
  Rows self = { .func = add_row, .y = x, .x = y };

  run_rows (ctx, &self, &shape, NULL);
}

static void
silu_row (const Rows *self, gint64 row)
{
  self->kernels->silu (zie_cpu_row (self->y, row), zie_cpu_row (self->x, row), self->y->cols);
}

static void
tanh_row (const Rows *self, gint64 row)
{
  float *y = zie_cpu_row (self->y, row);
  const float *x = zie_cpu_row (self->x, row);

  for (gint64 i = 0; i < self->y->cols; i++)
    y[i] = tanhf (x[i]);
}

static void
one_plus_row (const Rows *self, gint64 row)
{
  float *y = zie_cpu_row (self->y, row);
  const float *x = zie_cpu_row (self->x, row);

  for (gint64 i = 0; i < self->y->cols; i++)
    y[i] = 1.0f + x[i];
}

static void
unary (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, ZieUnary kind)
{
  static const RowFunc funcs[] = { [ZIE_UNARY_SILU] = silu_row, [ZIE_UNARY_TANH] = tanh_row, [ZIE_UNARY_ONE_PLUS] = one_plus_row };
  ZieOpShape shape = zie_op_shape_map (y, x);
  Rows self = { .func = funcs[kind], .y = y, .x = x };

  run_rows (ctx, &self, &shape, NULL);
}

static void
copy_row (const Rows *self, gint64 row)
{
  memcpy (zie_cpu_row (self->y, row), zie_cpu_row (self->x, row), (gsize)self->y->cols * sizeof (float));
}

static void
copy (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x)
{
  ZieOpShape shape = zie_op_shape_map (y, x);
  Rows self = { .func = copy_row, .y = y, .x = x };

  run_rows (ctx, &self, &shape, NULL);
}

static void
affine_row (const Rows *self, gint64 row)
{
  self->kernels->affine (zie_cpu_row (self->y, row), zie_cpu_row (self->x, row), self->scale, self->shift, self->y->cols);
}

static void
affine (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, const ZieTensor *shift)
{
  ZieOpShape shape = zie_op_shape_affine (y, x, scale, shift);
  Rows self = { .func = affine_row, .y = y, .x = x, .scale = zie_tensor_f32 (scale), .shift = zie_tensor_f32 (shift) };

  run_rows (ctx, &self, &shape, NULL);
}

void
zie_cpu_init_rows (ZieOps *ops)
{
  ops->rms_norm = rms_norm;
  ops->gated_norm_add = gated_norm_add;
  ops->layer_norm = layer_norm;
  ops->qk_norm_rope = qk_norm_rope;
  ops->swiglu = swiglu;
  ops->add = add;
  ops->unary = unary;
  ops->copy = copy;
  ops->affine = affine;
}
