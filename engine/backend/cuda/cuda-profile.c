/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cuda"

#include "cuda-cudnn.h"
#include "cuda-private.h"

/* So many ops are timed between two looks; more are not. */
#define MAX_TIMED 65536

typedef struct
{
  const char *op;
  ZieOpShape shape;
  cudaEvent_t from, to;
} Timed;

struct _CudaProfile
{
  GArray *timed;                 /* of Timed; events are kept for the next round */
  guint n;
};

CudaProfile *
cuda_profile_new (void)
{
  CudaProfile *self = g_new0 (CudaProfile, 1);

  self->timed = g_array_new (FALSE, TRUE, sizeof (Timed));
  return self;
}

void
cuda_profile_free (CudaProfile *self)
{
  for (guint i = 0; i < self->timed->len; i++)
    {
      cudaEventDestroy (g_array_index (self->timed, Timed, i).from);
      cudaEventDestroy (g_array_index (self->timed, Timed, i).to);
    }
  g_array_unref (self->timed);
  g_free (self);
}

void
cuda_profile_begin (CudaProfile *self, cudaStream_t stream, const char *op, const ZieOpShape *shape)
{
  Timed *timed;

  if (self->n == MAX_TIMED)
    return;
  if (self->n == self->timed->len)
    {
      Timed new_timed = { 0 };

      if (cudaEventCreate (&new_timed.from) != cudaSuccess || cudaEventCreate (&new_timed.to) != cudaSuccess)
        return;
      g_array_append_val (self->timed, new_timed);
    }
  timed = &g_array_index (self->timed, Timed, self->n++);
  timed->op = op;
  timed->shape = *shape;
  cudaEventRecord (timed->from, stream);
  cudaEventRecord (timed->to, stream);
}

void
cuda_profile_end (CudaProfile *self, cudaStream_t stream)
{
  if (self->n > 0)
    cudaEventRecord (g_array_index (self->timed, Timed, self->n - 1).to, stream);
}

static ZieProfileRow *
find_row (ZieProfileRow *rows, guint *n_rows, guint max_rows, const Timed *timed)
{
  for (guint i = 0; i < *n_rows; i++)
    if (rows[i].op == timed->op && rows[i].m == timed->shape.m && rows[i].n == timed->shape.n && rows[i].k == timed->shape.k)
      return &rows[i];
  if (*n_rows == max_rows)
    return NULL;
  rows[*n_rows] = (ZieProfileRow) { .op = timed->op, .m = timed->shape.m, .n = timed->shape.n, .k = timed->shape.k };
  return &rows[(*n_rows)++];
}

/* What cuDNN takes for the same: each row's shape once. */
static void
time_yardstick (const CudaProfile *self, cudaStream_t stream, ZieProfileRow *rows, guint n_rows)
{
  CudaCudnn *cudnn = cuda_cudnn_open (stream);

  for (guint i = 0; cudnn != NULL && i < self->n; i++)
    {
      const Timed *timed = &g_array_index (self->timed, Timed, i);
      ZieProfileRow *row = find_row (rows, &n_rows, n_rows, timed);

      if (row != NULL && row->yardstick_seconds == 0
          && (timed->shape.kind == ZIE_OP_CONV || timed->shape.kind == ZIE_OP_ATTENTION))
        row->yardstick_seconds = row->count * cuda_cudnn_time (cudnn, &timed->shape);
    }
  g_clear_pointer (&cudnn, cuda_cudnn_close);
}

guint
cuda_profile_take (CudaProfile *self, cudaStream_t stream, gboolean with_yardstick, ZieProfileRow *rows, guint max_rows)
{
  guint n_rows = 0;

  cudaStreamSynchronize (stream);
  for (guint i = 0; i < self->n; i++)
    {
      const Timed *timed = &g_array_index (self->timed, Timed, i);
      ZieProfileRow *row;
      double flops, bytes;
      float ms;

      if (cudaEventElapsedTime (&ms, timed->from, timed->to) != cudaSuccess
          || (row = find_row (rows, &n_rows, max_rows, timed)) == NULL)
        continue;
      zie_op_cost (&timed->shape, ZIE_DTYPE_BF16, &flops, &bytes);
      row->count++;
      row->seconds += ms / 1e3;
      row->flops += flops;
      row->bytes += bytes;
    }
  if (with_yardstick)
    time_yardstick (self, stream, rows, n_rows);
  self->n = 0;
  return n_rows;
}
