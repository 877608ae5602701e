/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cuda"

#include <string.h>

#include "zie-op-shape.h"

#include "cuda-private.h"

/* The op table over the kernels: each op finds its weights on the card, fills the kernel's arguments and launches.  All
 * but upload and download return before the device has done anything. */

/* Attention with heads wider than the fused kernel's: blocks of queries whose scores take at most this. */
#define WIDE_HEAD 128
#define WIDE_SCRATCH ((gsize)64 << 20)
#define WIDE_MIN_ROWS 64
/* Products with less than this are not worth cuBLASLt's own launch. */
#define SMALL_FLOPS 1e8

/* TRUE: go on with the op NAME.  Keeps the host from running far ahead. */
static gboolean
begin (ZieOpCtx *ctx, const char *name, ZieOpShape shape)
{
  CudaBackend *self = ctx->backend;
  cudaEvent_t *mark;

  if (zie_op_cancelled (ctx))
    return FALSE;
  self->op = name;
  if (self->profile != NULL)
    cuda_profile_begin (self->profile, self->compute, name, &shape);
  if (++self->n_launched % PACE_OPS != 0)
    return TRUE;

  mark = &self->marks[self->n_marks++ % PACE_MARKS];
  if (self->n_marks > PACE_MARKS && !cuda_ok (self, cudaEventSynchronize (*mark), "computing"))
    return FALSE;
  return cuda_ok (self, cudaEventRecord (*mark, self->compute), "computing") && !zie_op_cancelled (ctx);
}

static void
end (ZieOpCtx *ctx, int code)
{
  CudaBackend *self = ctx->backend;

  cuda_ok (self, (cudaError_t)code, self->op);
  if (self->profile != NULL)
    cuda_profile_end (self->profile, self->compute);
}

static CudaStream
stream_of (const ZieOpCtx *ctx)
{
  return (CudaStream)((const CudaBackend *)ctx->backend)->compute;
}

static gboolean
is_f32 (const ZieTensor *t)
{
  return t->dtype == ZIE_DTYPE_F32;
}

static cuda_bf16 *
bf16 (const ZieTensor *t)
{
  g_assert (t->dtype == ZIE_DTYPE_BF16);
  return (cuda_bf16 *)(gpointer)t->data;
}

static const float *
vector (ZieOpCtx *ctx, const ZieWeight *w)
{
  const CudaBackend *self = ctx->backend;
  return w ? cuda_weights_find (self->weights, w) : NULL;
}

static const cuda_bf16 *
matrix (ZieOpCtx *ctx, const ZieWeight *w)
{
  const CudaBackend *self = ctx->backend;
  return cuda_weights_find (self->weights, w);
}

static CudaBroken
broken_of (const ZieOpCtx *ctx)
{
  return (CudaBroken) { ((const CudaBackend *)ctx->backend)->broken, ctx->place };
}

/* Asks for what norms noted until now; it is here when the stream has come so far. */
static int
ask_broken (const CudaBackend *self)
{
  return cudaMemcpyAsync (self->broken_seen, self->broken, sizeof (int), cudaMemcpyDeviceToHost, self->compute);
}

/* Behind the wait for that. */
static void
tell_broken (ZieOpCtx *ctx)
{
  CudaBackend *self = ctx->backend;

  if (G_LIKELY (*self->broken_seen == 0) || zie_op_cancelled (ctx))
    return;
  zie_op_break_at (ctx, *self->broken_seen);
  cuda_ok (self, cudaMemsetAsync (self->broken, 0, sizeof (int), self->compute), "a counter");
}

static const float *
row_or_null (const ZieTensor *t)
{
  return t ? zie_tensor_f32 (t) : NULL;
}

/* Host numbers to the device in the tensor's type, and back: a stretch of rows at a time through pinned memory. */
static gint64
rows_at_once (const ZieTensor *t)
{
  return MAX (1, (gint64)(CUDA_BOUNCE_SIZE / zie_dtype_row_size (t->dtype, t->cols)));
}

/* N rows of ROW bytes; in one piece where nothing lies between them, which is many times quicker for short rows. */
static int
copy_rows (const CudaBackend *self, void *to, gsize to_pitch, const void *from, gsize from_pitch, gsize row, gint64 n,
           enum cudaMemcpyKind kind)
{
  if (to_pitch == row && from_pitch == row)
    return cudaMemcpyAsync (to, from, row * (gsize)n, kind, self->compute);
  return cudaMemcpy2DAsync (to, to_pitch, from, from_pitch, row, (gsize)n, kind, self->compute);
}

/* The job's own host memory is locked: the device copies from and to it directly. */
static gboolean
is_direct (const ZieOpCtx *ctx, const ZieTensor *t, const void *host)
{
  const guint8 *from = host, *base = ctx->host->base;
  gsize size = (gsize)(t->rows * t->cols) * sizeof (float);

  return is_f32 (t) && from >= base && size <= ctx->host->size && from + size <= base + ctx->host->size;
}

static void
cuda_upload (ZieOpCtx *ctx, ZieTensor *dst, const void *host)
{
  CudaBackend *self = ctx->backend;
  gsize row = zie_dtype_row_size (dst->dtype, dst->cols), pitch = zie_dtype_row_size (dst->dtype, dst->stride);
  gint64 step = rows_at_once (dst);
  const float *from = host;

  if (is_direct (ctx, dst, host))
    {
      if (begin (ctx, "upload", zie_op_shape_elementwise (dst->rows, dst->cols, 1)))
        {
          end (ctx, copy_rows (self, dst->data, pitch, host, row, row, dst->rows, cudaMemcpyHostToDevice));
          end (ctx, cudaEventRecord (self->bounced, self->compute));
          end (ctx, cudaEventSynchronize (self->bounced));
        }
      return;
    }

  g_assert (row <= CUDA_BOUNCE_SIZE);
  for (gint64 r = 0; r < dst->rows && begin (ctx, "upload", zie_op_shape_elementwise (dst->rows, dst->cols, 1)); r += step)
    {
      gint64 n = MIN (step, dst->rows - r), count = n * dst->cols;

      if (is_f32 (dst))
        memcpy (self->bounce, from, (gsize)count * sizeof (float));
      else
        for (gint64 i = 0; i < count; i++)
          ((guint16 *)(gpointer)self->bounce)[i] = zie_f32_to_bf16 (from[i]);
      from += count;
      end (ctx, copy_rows (self, dst->data + (gsize)r * pitch, pitch, self->bounce, row, row, n, cudaMemcpyHostToDevice));
      end (ctx, cudaEventRecord (self->bounced, self->compute));
      end (ctx, cudaEventSynchronize (self->bounced));
    }
}

static void
cuda_download (ZieOpCtx *ctx, void *host, const ZieTensor *src)
{
  CudaBackend *self = ctx->backend;
  gsize row = zie_dtype_row_size (src->dtype, src->cols), pitch = zie_dtype_row_size (src->dtype, src->stride);
  gint64 step = rows_at_once (src);
  float *to = host;

  if (is_direct (ctx, src, host))
    {
      if (begin (ctx, "download", zie_op_shape_elementwise (src->rows, src->cols, 1)))
        {
          end (ctx, copy_rows (self, host, row, src->data, pitch, row, src->rows, cudaMemcpyDeviceToHost));
          end (ctx, ask_broken (self));
          end (ctx, cudaEventRecord (self->bounced, self->compute));
          end (ctx, cudaEventSynchronize (self->bounced));
          tell_broken (ctx);
        }
      return;
    }

  g_assert (row <= CUDA_BOUNCE_SIZE);
  for (gint64 r = 0; r < src->rows && begin (ctx, "download", zie_op_shape_elementwise (src->rows, src->cols, 1)); r += step)
    {
      gint64 n = MIN (step, src->rows - r), count = n * src->cols;

      end (ctx, copy_rows (self, self->bounce, row, src->data + (gsize)r * pitch, pitch, row, n, cudaMemcpyDeviceToHost));
      end (ctx, ask_broken (self));
      end (ctx, cudaEventRecord (self->bounced, self->compute));
      end (ctx, cudaEventSynchronize (self->bounced));
      if (is_f32 (src))
        memcpy (to, self->bounce, (gsize)count * sizeof (float));
      else
        for (gint64 i = 0; i < count; i++)
          to[i] = zie_bf16_to_f32 (((const guint16 *)(gconstpointer)self->bounce)[i]);
      to += count;
    }
  tell_broken (ctx);
}

/* Bytes and what was seen in them lie in scratch, the latter first, and come over together. */
#define FOUND_SIZE ((gsize)256)

static gsize
rgb8_scratch (const ZieOpShape *shape)
{
  return FOUND_SIZE + (gsize)(shape->m * shape->n);
}

static void
keep_found (ZieRgb8Check *check, const CudaRgb8Found *found, gint64 n_pixels)
{
  guint8 min[3], max[3];

  for (int i = 0; i < 3; i++)
    {
      min[i] = (guint8)(255 - found->inverted_least[i]);
      max[i] = (guint8)found->most[i];
    }
  zie_rgb8_check_add (check, (gsize)n_pixels, found->n_not_finite, min, max);
}

static void
cuda_download_rgb8 (ZieOpCtx *ctx, guint8 *rgb, ZieRgb8Check *check, const ZieTensor *rows)
{
  CudaBackend *self = ctx->backend;
  ZieOpShape shape = zie_op_shape_rgb8 (rows);
  ZieMark mark = zie_arena_mark (ctx->arena);
  guint8 *scratch = zie_op_scratch (ctx, &shape);
  gint64 step = (gint64)((CUDA_BOUNCE_SIZE - FOUND_SIZE) / 3) & ~(gint64)3;

  for (gint64 r = 0; r < rows->rows && begin (ctx, "download_rgb8", shape); r += step)
    {
      gint64 n = MIN (step, rows->rows - r);

      end (ctx, cudaMemsetAsync (scratch, 0, sizeof (CudaRgb8Found), self->compute));
      end (ctx, zie_cuda_rows_to_rgb8 (stream_of (ctx), scratch + FOUND_SIZE, (CudaRgb8Found *)(gpointer)scratch,
                                       zie_tensor_f32 (rows) + 3 * r, n));
      end (ctx, cudaMemcpyAsync (self->bounce, scratch, FOUND_SIZE + 3 * (gsize)n, cudaMemcpyDeviceToHost, self->compute));
      end (ctx, ask_broken (self));
      end (ctx, cudaEventRecord (self->bounced, self->compute));
      end (ctx, cudaEventSynchronize (self->bounced));
      if (zie_op_cancelled (ctx))                /* then nothing may have come */
        break;
      memcpy (rgb + 3 * r, self->bounce + FOUND_SIZE, 3 * (gsize)n);
      keep_found (check, (const CudaRgb8Found *)(gconstpointer)self->bounce, n);
    }
  tell_broken (ctx);
  zie_arena_rewind (ctx->arena, mark);
}

/* Both in the order of the compute stream: what comes after may reuse either end. */
static void
cuda_store_rows (ZieOpCtx *ctx, void *host, const ZieTensor *src)
{
  const CudaBackend *self = ctx->backend;
  gsize size = (gsize)src->rows * zie_dtype_row_size (src->dtype, src->cols);

  if (begin (ctx, "store_rows", zie_op_shape_move (src)))
    end (ctx, cudaMemcpyAsync (host, src->data, size, cudaMemcpyDeviceToHost, self->compute));
}

static void
cuda_load_rows (ZieOpCtx *ctx, ZieTensor *dst, const void *host)
{
  const CudaBackend *self = ctx->backend;
  gsize size = (gsize)dst->rows * zie_dtype_row_size (dst->dtype, dst->cols);

  if (begin (ctx, "load_rows", zie_op_shape_move (dst)))
    end (ctx, cudaMemcpyAsync (dst->data, host, size, cudaMemcpyHostToDevice, self->compute));
}

static void
cuda_acquire (ZieOpCtx *ctx, const ZieWeightBlock *block)
{
  const CudaBackend *self = ctx->backend;
  cuda_weights_acquire (self->weights, ctx, block);
}

static void
cuda_release (ZieOpCtx *ctx, const ZieWeightBlock *block)
{
  const CudaBackend *self = ctx->backend;
  cuda_weights_release (self->weights, block);
}

/* cuBLASLt where it is there and does it, else our own. */
static void
run_gemm (ZieOpCtx *ctx, const CudaGemm *g)
{
  CudaBackend *self = ctx->backend;

  if (self->cublaslt != NULL && 2.0 * (double)g->m * (double)g->n * (double)g->k >= SMALL_FLOPS && zie_cublaslt_supports (g))
    {
      zie_cublaslt_tune (self->cublaslt, stream_of (ctx), g, self->workspace, self->workspace_size);
      if (zie_cublaslt_gemm (self->cublaslt, stream_of (ctx), g, self->workspace, self->workspace_size))
        {
          end (ctx, 0);
          return;
        }
    }
  end (ctx, zie_cuda_gemm (&self->card, stream_of (ctx), g, self->gemm));
}

static void
product (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const cuda_bf16 *w, gint64 n, const float *bias)
{
  CudaGemm g = { .y = y->data, .y_is_f32 = is_f32 (y), .x = (const cuda_bf16 *)(gconstpointer)x->data, .w = w, .bias = bias,
                 .ldy = y->stride, .ldx = x->stride, .ldw = x->cols, .m = x->rows, .n = n, .k = x->cols };

  if (w == NULL)
    return;
  if (is_f32 (x))
    end (ctx, zie_cuda_linear_small (stream_of (ctx), zie_tensor_f32 (y), y->stride, zie_tensor_f32 (x), x->stride, w, FALSE, bias,
                                     x->rows, n, x->cols));
  else
    run_gemm (ctx, &g);
}

static gboolean
is_stored (const ZieWeight *w)
{
  return cuda_stored_type (w->dtype, w->rows, w->cols) != CUDA_N_STORED;
}

/* W in bf16 from TO on. */
static void
expand (ZieOpCtx *ctx, cuda_bf16 *to, const ZieWeight *w)
{
  const CudaBackend *self = ctx->backend;
  CudaExpand a = { .y = to, .stored = cuda_weights_find (self->weights, w), .scales = cuda_weights_find_scales (self->weights, w),
                   .n_scales = w->n_scales, .type = cuda_stored_type (w->dtype, w->rows, w->cols), .rows = w->rows, .cols = w->cols };

  if (a.stored != NULL && begin (ctx, "expand", zie_op_shape_elementwise (w->rows, w->cols, 1)))
    end (ctx, zie_cuda_expand (stream_of (ctx), &a));
}

static void
cuda_linear (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b)
{
  ZieOpShape shape = zie_op_shape_linear (y, x, w, b);
  ZieMark mark = zie_arena_mark (ctx->arena);
  cuda_bf16 *expanded = zie_op_scratch (ctx, &shape);

  if (is_stored (w))
    expand (ctx, expanded, w);
  if (begin (ctx, "linear", shape))
    product (ctx, y, x, is_stored (w) ? expanded : matrix (ctx, w), w->rows, vector (ctx, b));
  zie_arena_rewind (ctx->arena, mark);
}

/* All of them in bf16, one after the other from TO on. */
static void
expand_all (ZieOpCtx *ctx, cuda_bf16 *to, const ZieWeight *const *w, guint n)
{
  const CudaBackend *self = ctx->backend;

  for (guint i = 0; i < n; to += w[i]->rows * w[i]->cols, i++)
    {
      gsize size = (gsize)(w[i]->rows * w[i]->cols) * sizeof (cuda_bf16);
      const cuda_bf16 *from;

      if (is_stored (w[i]))
        expand (ctx, to, w[i]);
      else if ((from = matrix (ctx, w[i])) != NULL && begin (ctx, "expand", zie_op_shape_elementwise (w[i]->rows, w[i]->cols, 2)))
        end (ctx, cudaMemcpyAsync (to, from, size, cudaMemcpyDeviceToDevice, self->compute));
    }
}

/* One product where the weights lie one after the other, as they do when they were bound so, or are expanded so. */
static void
cuda_linear_stacked (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *const *w, guint n)
{
  ZieOpShape shape = zie_op_shape_linear_stacked (y, x, w, n);
  ZieMark mark = zie_arena_mark (ctx->arena);
  cuda_bf16 *expanded = zie_op_scratch (ctx, &shape);
  const cuda_bf16 *first = NULL, *next;
  gboolean is_one = TRUE, any_stored = FALSE;

  for (guint i = 0; i < n; i++)
    any_stored = any_stored || is_stored (w[i]);
  if (any_stored)
    {
      expand_all (ctx, expanded, w, n);
      first = expanded;
    }
  else
    {
      next = first = matrix (ctx, w[0]);
      for (guint i = 0; i < n && next != NULL; next += w[i]->rows * w[i]->cols, i++)
        is_one = is_one && matrix (ctx, w[i]) == next;
    }

  if (first != NULL && is_one)
    {
      shape.weight = ZIE_DTYPE_BF16;
      if (begin (ctx, "linear", shape))
        product (ctx, y, x, first, shape.n, NULL);
    }
  else
    for (gint64 i = 0, at = 0; i < n; at += w[i]->rows, i++)
      {
        ZieTensor part = zie_tensor_cols (y, at, w[i]->rows);

        cuda_linear (ctx, &part, x, w[i], NULL);
      }
  zie_arena_rewind (ctx->arena, mark);
}

/* The table stays in the mapped file: the rows that are asked for go over. */
static void
cuda_gather (ZieOpCtx *ctx, ZieTensor *y, const ZieWeight *table, const gint32 *ids)
{
  g_autofree float *rows = g_new (float, (gsize)(y->rows * y->cols));

  zie_op_shape_gather (y, table);
  for (gint64 r = 0; r < y->rows; r++)
    zie_weight_row_to_f32 (table, ids[r], rows + r * y->cols);
  cuda_upload (ctx, y, rows);
}

static void
cuda_rms_norm (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieTensor *scale, float eps)
{
  if (begin (ctx, "rms_norm", zie_op_shape_rms_norm (y, x, w, scale)))
    end (ctx, zie_cuda_rms_norm (stream_of (ctx), bf16 (y), y->stride, bf16 (x), x->stride, vector (ctx, w), row_or_null (scale),
                                 x->rows, x->cols, eps, broken_of (ctx)));
}

static void
resid_norm (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y, const ZieWeight *w, const ZieTensor *gate, ZieTensor *h,
            const ZieWeight *w_next, const ZieTensor *scale, float eps)
{
  CudaResidNorm a = { .x = bf16 (x), .h = h ? bf16 (h) : NULL, .y = bf16 (y), .ldx = x->stride, .ldh = h ? h->stride : 0,
                      .ldy = y->stride, .rows = x->rows, .cols = x->cols, .w = vector (ctx, w), .gate = row_or_null (gate),
                      .w_next = vector (ctx, w_next), .scale_next = row_or_null (scale), .eps = eps,
                      .broken = broken_of (ctx) };

  if (begin (ctx, h ? "gated_norm_add_norm" : "gated_norm_add", zie_op_shape_elementwise (x->rows, x->cols, h ? 4 : 3)))
    end (ctx, zie_cuda_resid_norm (stream_of (ctx), &a));
}

static void
cuda_gated_norm_add (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y, const ZieWeight *w, const ZieTensor *gate, float eps)
{
  zie_op_shape_gated_norm_add (x, y, w, gate);
  resid_norm (ctx, x, y, w, gate, NULL, NULL, NULL, eps);
}

static void
cuda_gated_norm_add_norm (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y, const ZieWeight *w, const ZieTensor *gate, ZieTensor *h,
                          const ZieWeight *w_next, const ZieTensor *scale, float eps)
{
  zie_op_shape_gated_norm_add (x, y, w, gate);
  zie_op_shape_rms_norm (h, x, w_next, scale);
  resid_norm (ctx, x, y, w, gate, h, w_next, scale, eps);
}

static void
cuda_layer_norm (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, float eps)
{
  if (begin (ctx, "layer_norm", zie_op_shape_layer_norm (y, x, scale)))
    end (ctx, zie_cuda_layer_norm (stream_of (ctx), bf16 (y), y->stride, bf16 (x), x->stride, row_or_null (scale), x->rows, x->cols,
                                   eps, broken_of (ctx)));
}

static void
cuda_qk_norm_rope_pair (ZieOpCtx *ctx, ZieTensor *q, ZieTensor *k, const ZieWeight *wq, const ZieWeight *wk, const ZieTensor *cos,
                        const ZieTensor *sin, int heads, int kv_heads, ZieRope rope, float eps)
{
  ZieOpShape shape = zie_op_shape_elementwise (q->rows, q->cols + k->cols, 2);
  CudaQkNormRope a = { .q = bf16 (q), .k = bf16 (k), .ldq = q->stride, .ldk = k->stride, .rows = q->rows, .heads = heads,
                       .kv_heads = kv_heads, .d = (int)(q->cols / heads), .half = rope == ZIE_ROPE_HALF, .wq = vector (ctx, wq),
                       .wk = vector (ctx, wk), .cos = zie_tensor_f32 (cos), .sin = zie_tensor_f32 (sin), .eps = eps,
                       .broken = broken_of (ctx) };

  zie_op_shape_qk_norm_rope (q, wq, cos, sin, heads);
  zie_op_shape_qk_norm_rope (k, wk, cos, sin, kv_heads);
  if (begin (ctx, "qk_norm_rope", shape))
    end (ctx, zie_cuda_qk_norm_rope (stream_of (ctx), &a));
}

static void
cuda_qk_norm_rope (ZieOpCtx *ctx, ZieTensor *x, const ZieWeight *w, const ZieTensor *cos, const ZieTensor *sin, int heads,
                   ZieRope rope, float eps)
{
  CudaQkNormRope a = { .q = bf16 (x), .ldq = x->stride, .rows = x->rows, .heads = heads, .d = (int)(x->cols / heads),
                       .half = rope == ZIE_ROPE_HALF, .wq = vector (ctx, w), .cos = zie_tensor_f32 (cos), .sin = zie_tensor_f32 (sin),
                       .eps = eps, .broken = broken_of (ctx) };

  if (begin (ctx, "qk_norm_rope", zie_op_shape_qk_norm_rope (x, w, cos, sin, heads)))
    end (ctx, zie_cuda_qk_norm_rope (stream_of (ctx), &a));
}

/* --- attention with wide heads (the VAE's): o = softmax (q k^T) v as products of blocks of queries --- */

typedef struct
{
  gint64 keys;                   /* n, rounded up to whole vectors */
  gint64 rows;                   /* queries at a time */
  gsize vt, scores, p;           /* bytes */
} Wide;

static gsize
aligned (gsize size)
{
  return (size + 255) & ~(gsize)255;
}

static Wide
wide_layout (gint64 m, gint64 n, gint64 d)
{
  Wide wide = { .keys = (n + 7) & ~(gint64)7 };
  gint64 rows = (gint64)(WIDE_SCRATCH / ((gsize)wide.keys * (sizeof (float) + sizeof (cuda_bf16))));

  wide.rows = MIN (m, MAX (WIDE_MIN_ROWS, rows & ~(gint64)127));
  wide.vt = aligned ((gsize)(d * wide.keys) * sizeof (cuda_bf16));
  wide.scores = aligned ((gsize)(wide.rows * wide.keys) * sizeof (float));
  wide.p = aligned ((gsize)(wide.rows * wide.keys) * sizeof (cuda_bf16));
  return wide;
}

static void
wide_head (ZieOpCtx *ctx, const CudaAttention *a, guint8 *scratch)
{
  Wide wide = wide_layout (a->m, a->n, a->d);
  cuda_bf16 *vt = (cuda_bf16 *)(gpointer)scratch;
  float *scores = (float *)(gpointer)(scratch + wide.vt);
  cuda_bf16 *p = (cuda_bf16 *)(gpointer)(scratch + wide.vt + wide.scores);
  CudaStream stream = stream_of (ctx);

  if (wide.keys > a->n)                          /* the columns that make whole vectors count for nothing */
    {
      gsize tail = (gsize)(wide.keys - a->n) * sizeof (cuda_bf16), pitch = (gsize)wide.keys * sizeof (cuda_bf16);

      end (ctx, cudaMemset2DAsync (vt + a->n, pitch, 0, tail, (gsize)a->d, (cudaStream_t)stream));
      end (ctx, cudaMemset2DAsync (p + a->n, pitch, 0, tail, (gsize)wide.rows, (cudaStream_t)stream));
    }
  end (ctx, zie_cuda_transpose (stream, vt, wide.keys, a->v, a->ldv, a->n, a->d));
  for (gint64 r = 0; r < a->m && !zie_op_cancelled (ctx); r += wide.rows)
    {
      gint64 n = MIN (wide.rows, a->m - r);
      CudaGemm qk = { .y = scores, .y_is_f32 = TRUE, .x = a->q + r * a->ldq, .w = a->k, .ldy = wide.keys, .ldx = a->ldq, .ldw = a->ldk,
                      .m = n, .n = a->n, .k = a->d };
      CudaGemm pv = { .y = a->o + r * a->ldo, .x = p, .w = vt, .ldy = a->ldo, .ldx = wide.keys, .ldw = wide.keys, .m = n, .n = a->d,
                      .k = wide.keys };

      run_gemm (ctx, &qk);
      end (ctx, zie_cuda_softmax_rows (stream, p, wide.keys, scores, wide.keys, n, a->n, a->scale));
      run_gemm (ctx, &pv);
    }
}

static void
cuda_attention (ZieOpCtx *ctx, ZieTensor *o, const ZieTensor *q, const ZieTensor *k, const ZieTensor *v, int heads, int kv_heads,
                float scale, gboolean causal)
{
  const CudaBackend *self = ctx->backend;
  ZieOpShape shape = zie_op_shape_attention (o, q, k, v, heads, kv_heads, causal);
  ZieMark mark = zie_arena_mark (ctx->arena);
  CudaAttention a = { .o = bf16 (o), .q = bf16 (q), .k = bf16 (k), .v = bf16 (v), .ldo = o->stride, .ldq = q->stride, .ldk = k->stride,
                      .ldv = v->stride, .m = q->rows, .n = k->rows, .heads = heads, .kv_heads = kv_heads, .d = (int)(q->cols / heads),
                      .causal = causal, .scale = scale };

  if (begin (ctx, "attention", shape))
    {
      if (a.d <= WIDE_HEAD)
        end (ctx, zie_cuda_attention (&self->card, stream_of (ctx), &a, CUDA_KERNEL_AUTO));
      else
        {
          g_assert (heads == 1 && !causal);
          wide_head (ctx, &a, zie_op_scratch (ctx, &shape));
        }
    }
  zie_arena_rewind (ctx->arena, mark);
}

static void
cuda_swiglu (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *gate, const ZieTensor *up)
{
  if (begin (ctx, "swiglu", zie_op_shape_swiglu (y, gate, up)))
    end (ctx, zie_cuda_swiglu (stream_of (ctx), bf16 (y), y->stride, bf16 (gate), gate->stride, bf16 (up), up->stride, y->rows,
                               y->cols));
}

static void
cuda_add (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y)
{
  if (begin (ctx, "add", zie_op_shape_add (x, y)))
    end (ctx, zie_cuda_add (stream_of (ctx), bf16 (x), x->stride, bf16 (y), y->stride, x->rows, x->cols));
}

static void
cuda_unary (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, ZieUnary kind)
{
  static const CudaUnary kinds[] = { [ZIE_UNARY_SILU] = CUDA_UNARY_SILU, [ZIE_UNARY_TANH] = CUDA_UNARY_TANH,
                                     [ZIE_UNARY_ONE_PLUS] = CUDA_UNARY_ONE_PLUS };

  if (begin (ctx, "unary", zie_op_shape_map (y, x)))
    end (ctx, zie_cuda_unary (stream_of (ctx), y->data, y->stride, x->data, x->stride, is_f32 (x), x->rows, x->cols, kinds[kind]));
}

static void
cuda_copy (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x)
{
  CudaBackend *self = ctx->backend;

  if (begin (ctx, "copy", zie_op_shape_map (y, x)))
    end (ctx, copy_rows (self, y->data, zie_dtype_row_size (y->dtype, y->stride), x->data, zie_dtype_row_size (x->dtype, x->stride),
                         zie_dtype_row_size (x->dtype, x->cols), x->rows, cudaMemcpyDeviceToDevice));
}

static void
cuda_fill_rows (ZieOpCtx *ctx, ZieTensor *y, const ZieWeight *row)
{
  if (begin (ctx, "fill_rows", zie_op_shape_fill_rows (y, row)))
    end (ctx, zie_cuda_fill_rows (stream_of (ctx), bf16 (y), y->stride, vector (ctx, row), y->rows, y->cols));
}

static void
cuda_patchify (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *latent, int channels, int h, int w)
{
  if (begin (ctx, "patchify", zie_op_shape_patchify (y, latent, channels, h, w)))
    end (ctx, zie_cuda_patchify (stream_of (ctx), bf16 (y), y->stride, zie_tensor_f32 (latent), channels, h, w));
}

static void
cuda_unpatchify (ZieOpCtx *ctx, ZieTensor *latent, const ZieTensor *x, int channels, int h, int w)
{
  if (begin (ctx, "unpatchify", zie_op_shape_patchify (x, latent, channels, h, w)))
    end (ctx, zie_cuda_unpatchify (stream_of (ctx), zie_tensor_f32 (latent), x->data, is_f32 (x), x->stride, channels, h, w));
}

static void
cuda_planes_to_pixels (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, float scale, float shift)
{
  if (begin (ctx, "planes_to_pixels", zie_op_shape_planes (y, x)))
    end (ctx, zie_cuda_planes_to_pixels (stream_of (ctx), y->data, is_f32 (y), zie_tensor_f32 (x), y->rows, (int)y->cols, scale, shift));
}

static void
cuda_pixels_to_planes (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, float scale, float shift)
{
  if (begin (ctx, "pixels_to_planes", zie_op_shape_planes (x, y)))
    end (ctx, zie_cuda_pixels_to_planes (stream_of (ctx), zie_tensor_f32 (y), x->data, is_f32 (x), x->rows, (int)x->cols, scale, shift));
}

static void
cuda_group_norm_add (ZieOpCtx *ctx, void *sums, const ZieTensor *x, gint64 row0, gint64 height, int groups)
{
  if (begin (ctx, "group_norm", zie_op_shape_group_norm_add (x, row0, height, groups)))
    end (ctx, zie_cuda_group_norm_add (stream_of (ctx), sums, bf16 (x), row0, x->h, height, x->w, (int)x->cols, groups));
}

static void
cuda_group_norm_finish (ZieOpCtx *ctx, ZieTensor *scale, ZieTensor *shift, void *sums, gint64 height, gint64 width,
                        const ZieWeight *gamma, const ZieWeight *beta, int groups, float eps)
{
  if (begin (ctx, "group_norm finish", zie_op_shape_group_norm_finish (scale, shift, gamma, beta, groups)))
    end (ctx, zie_cuda_group_norm_finish (stream_of (ctx), zie_tensor_f32 (scale), zie_tensor_f32 (shift), sums, height, width,
                                          (int)scale->cols, vector (ctx, gamma), vector (ctx, beta), groups, eps,
                                          broken_of (ctx)));
}

static void
cuda_affine (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, const ZieTensor *shift)
{
  if (begin (ctx, "affine", zie_op_shape_affine (y, x, scale, shift)))
    end (ctx, zie_cuda_affine (stream_of (ctx), bf16 (y), bf16 (x), zie_tensor_f32 (scale), zie_tensor_f32 (shift), x->rows,
                               (int)x->cols, FALSE));
}

/* What the scratch depends on; the whole image's height is not in a shape, so its band's stands for it. */
static CudaConv
conv_of_shape (const ZieOpShape *shape)
{
  gint64 rows = shape->m / shape->w, h = rows * shape->stride, w = shape->w * shape->stride;
  static const float given;

  return (CudaConv) { .h = shape->upsample ? (h + 1) / 2 : h, .w = shape->upsample ? w / 2 : w, .in = (int)shape->channels,
                      .out = (int)shape->n, .ksize = (int)shape->ksize, .stride = (int)shape->stride, .upsample = shape->upsample,
                      .scale = shape->has_norm ? &given : NULL, .shift = shape->has_norm ? &given : NULL,
                      .residual = shape->has_residual ? &given : NULL, .rows = rows };
}

static void
cuda_conv2d (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieConv *conv, const ZieConvArgs *args)
{
  const CudaBackend *self = ctx->backend;
  ZieOpShape shape = zie_op_shape_conv (y, x, conv, args);
  ZieMark mark = zie_arena_mark (ctx->arena);
  CudaConv c = { .y = y->data, .y_is_f32 = is_f32 (y), .x = bf16 (x), .h = x->h, .w = x->w, .in = conv->in, .out = conv->out,
                 .ksize = conv->ksize, .stride = args->stride, .upsample = args->upsample, .weight = matrix (ctx, &conv->weight),
                 .bias = vector (ctx, &conv->bias), .scale = row_or_null (args->gn_scale), .shift = row_or_null (args->gn_shift),
                 .residual = args->residual ? args->residual->data : NULL, .row0 = args->row0, .rows = y->h,
                 .scratch = zie_op_scratch (ctx, &shape) };

  if (c.weight != NULL && begin (ctx, args->upsample ? "conv2d up" : "conv2d", shape))
    end (ctx, zie_cuda_conv (&self->card, stream_of (ctx), &c, self->conv));
  zie_arena_rewind (ctx->arena, mark);
}

static gsize
cuda_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  Wide wide;
  CudaConv conv;

  switch (shape->kind)
    {
    case ZIE_OP_ATTENTION:
      if (shape->k <= WIDE_HEAD)
        return 0;
      wide = wide_layout (shape->m, shape->n, shape->k);
      return wide.vt + wide.scores + wide.p;
    case ZIE_OP_RGB8:
      return rgb8_scratch (shape);
    case ZIE_OP_CONV:
      conv = conv_of_shape (shape);
      return zie_cuda_conv_scratch (&conv);
    case ZIE_OP_GROUP_NORM:
      return zie_cuda_group_norm_scratch (shape->w > 0 ? shape->m / shape->w : 0, shape->w, (int)shape->n);
    case ZIE_OP_LINEAR:                          /* the weight in bf16 */
      if (cuda_stored_type (shape->weight, shape->n, shape->k) == CUDA_N_STORED)
        return 0;
      return (gsize)(shape->n * shape->k) * sizeof (cuda_bf16);
    case ZIE_OP_GROUP_PART:
    case ZIE_OP_MOVE:
    case ZIE_OP_ELEMENTWISE:
      return 0;
    }
  g_assert_not_reached ();
}

void
cuda_ops_init (ZieOps *ops)
{
  *ops = (ZieOps) {
    .name = "cuda",
    .band_rows = 256,
    .scratch = cuda_scratch,
    .acquire = cuda_acquire,
    .release = cuda_release,
    .upload = cuda_upload,
    .download = cuda_download,
    .download_rgb8 = cuda_download_rgb8,
    .store_rows = cuda_store_rows,
    .load_rows = cuda_load_rows,
    .linear = cuda_linear,
    .linear_stacked = cuda_linear_stacked,
    .gather = cuda_gather,
    .rms_norm = cuda_rms_norm,
    .gated_norm_add = cuda_gated_norm_add,
    .gated_norm_add_norm = cuda_gated_norm_add_norm,
    .layer_norm = cuda_layer_norm,
    .qk_norm_rope = cuda_qk_norm_rope,
    .qk_norm_rope_pair = cuda_qk_norm_rope_pair,
    .attention = cuda_attention,
    .swiglu = cuda_swiglu,
    .add = cuda_add,
    .unary = cuda_unary,
    .copy = cuda_copy,
    .fill_rows = cuda_fill_rows,
    .patchify = cuda_patchify,
    .unpatchify = cuda_unpatchify,
    .planes_to_pixels = cuda_planes_to_pixels,
    .pixels_to_planes = cuda_pixels_to_planes,
    .group_norm_add = cuda_group_norm_add,
    .group_norm_finish = cuda_group_norm_finish,
    .affine = cuda_affine,
    .conv2d = cuda_conv2d,
  };
  zie_ops_compose (ops);
}
