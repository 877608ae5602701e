/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "zie-backend.h"

/* The cpu backend's results have the same bits for every number of threads: work is divided without changing the order of
 * any sum. */

static const guint counts[] = { 1, 2, 3, 7 };

typedef struct
{
  ZieArena arena;
  void *memory;
  GRand *random;
} Fixture;

static ZieTensor
new_tensor (Fixture *f, gint64 h, gint64 w, gint64 cols)
{
  ZieTensor t = zie_tensor_new_image (&f->arena, ZIE_DTYPE_F32, h, w, cols);

  for (gint64 i = 0; i < t.rows * t.cols; i++)
    zie_tensor_f32 (&t)[i] = (float)g_rand_double_range (f->random, -2, 2);
  return t;
}

static ZieWeight
new_weight (Fixture *f, gint64 rows, gint64 cols)
{
  guint8 *data = zie_arena_alloc (&f->arena, zie_dtype_row_size (ZIE_DTYPE_BF16, rows * cols));

  for (gint64 i = 0; i < rows * cols; i++)
    {
      guint16 v = zie_f32_to_bf16 ((float)g_rand_double_range (f->random, -1, 1));
      memcpy (data + 2 * i, &v, 2);
    }
  return (ZieWeight) { data, ZIE_DTYPE_BF16, rows, cols };
}

typedef void (*Call) (ZieOpCtx *ctx, Fixture *f, ZieTensor *y);

static void
compare (ZieCompute compute, gint64 rows, gint64 cols, Call call)
{
  g_autoptr(GError) error = NULL;
  g_autofree float *first = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      g_autoptr(ZieThreads) threads = zie_threads_new (counts[i], FALSE);
      g_autoptr(ZieBackend) backend = zie_backend_open (ZIE_BACKEND_CPU, 0, threads, &error);
      gsize size = (gsize)256 << 20;
      Fixture f = { .random = g_rand_new_with_seed (7) };
      ZieOpCtx ctx;
      ZieTensor y;

      g_assert_no_error (error);
      f.memory = backend->funcs->alloc (backend, size, &error);
      g_assert_no_error (error);
      zie_arena_init (&f.arena, f.memory, size);
      zie_backend_init_ctx (backend, &ctx, &f.arena, NULL, compute, NULL);

      y = zie_tensor_new (&f.arena, ZIE_DTYPE_F32, rows, cols);
      call (&ctx, &f, &y);
      if (first == NULL)
        first = g_memdup2 (y.data, (gsize)(rows * cols) * sizeof (float));
      else
        g_assert_cmpmem (y.data, (gsize)(rows * cols) * sizeof (float), first, (gsize)(rows * cols) * sizeof (float));

      backend->funcs->free (backend, f.memory, size);
      g_rand_free (f.random);
    }
}

static void
call_linear (ZieOpCtx *ctx, Fixture *f, ZieTensor *y)
{
  ZieTensor x = new_tensor (f, 1, y->rows, 1056);
  ZieWeight w = new_weight (f, y->cols, x.cols), b = new_weight (f, 1, y->cols);

  ctx->ops->linear (ctx, y, &x, &w, &b);
}

static void
call_attention (ZieOpCtx *ctx, Fixture *f, ZieTensor *y)
{
  ZieTensor q = new_tensor (f, 1, y->rows, y->cols), k = new_tensor (f, 1, y->rows, y->cols / 2);
  ZieTensor v = new_tensor (f, 1, y->rows, y->cols / 2);

  ctx->ops->attention (ctx, y, &q, &k, &v, 4, 2, 0.125f, TRUE);
}

static void
call_conv (ZieOpCtx *ctx, Fixture *f, ZieTensor *y)
{
  ZieTensor x = new_tensor (f, 50, 70, 48), scale = new_tensor (f, 1, 1, 48), shift = new_tensor (f, 1, 1, 48);
  ZieConv conv = { new_weight (f, y->cols, 48 * 9), new_weight (f, 1, y->cols), 48, (int)y->cols, 3 };
  ZieConvArgs args = { .stride = 1, .gn_scale = &scale, .gn_shift = &shift };

  scale.h = scale.w = shift.h = shift.w = 0;
  y->h = 50;
  y->w = 70;
  ctx->ops->conv2d (ctx, y, &x, &conv, &args);
}

static void
call_conv_upsample (ZieOpCtx *ctx, Fixture *f, ZieTensor *y)
{
  ZieTensor x = new_tensor (f, 25, 35, 48);
  ZieConv conv = { new_weight (f, y->cols, 48 * 9), new_weight (f, 1, y->cols), 48, (int)y->cols, 3 };
  ZieConvArgs args = { .stride = 1, .upsample = TRUE };

  y->h = 50;
  y->w = 70;
  ctx->ops->conv2d (ctx, y, &x, &conv, &args);
}

static void
call_group_norm (ZieOpCtx *ctx, Fixture *f, ZieTensor *y)
{
  ZieTensor x = new_tensor (f, 123, 457, y->cols), scale = zie_tensor_rows (y, 0, 1), shift = zie_tensor_rows (y, 1, 1);
  ZieWeight gamma = new_weight (f, 1, y->cols), beta = new_weight (f, 1, y->cols);

  ctx->ops->group_norm (ctx, &scale, &shift, &x, &gamma, &beta, 32, 1e-6f);
}

static void
test_f32 (void)
{
  compare (ZIE_COMPUTE_F32, 300, 200, call_linear);
  compare (ZIE_COMPUTE_F32, 3, 200, call_linear);
  compare (ZIE_COMPUTE_F32, 300, 256, call_attention);
  compare (ZIE_COMPUTE_F32, 50 * 70, 40, call_conv);
  compare (ZIE_COMPUTE_F32, 50 * 70, 3, call_conv);
  compare (ZIE_COMPUTE_F32, 50 * 70, 40, call_conv_upsample);
  compare (ZIE_COMPUTE_F32, 2, 64, call_group_norm);
}

static void
test_bf16 (void)
{
  compare (ZIE_COMPUTE_BF16, 300, 200, call_linear);
  compare (ZIE_COMPUTE_BF16, 300, 256, call_attention);
  compare (ZIE_COMPUTE_BF16, 50 * 70, 40, call_conv);
  compare (ZIE_COMPUTE_BF16, 50 * 70, 40, call_conv_upsample);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/threads/same-bits/f32", test_f32);
  g_test_add_func ("/threads/same-bits/bf16", test_bf16);
  return g_test_run ();
}
