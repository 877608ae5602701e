/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-cuda-ops"

/* Products of the CUDA backend's op table (cuda-ops.c) on a runtime without a card, with kernels of a few lines in place of its own: what is
 * expanded, where to, in how many products, and that the plan counts the scratch that is taken. */

#include <string.h>
#include <zie/zie-error.h>

#include "cuda-plugin.h"
#include "cuda-private.h"
#include "fake-runtime.h"
#include "zie-op-shape.h"

extern const ZieCudaPlugin zie_cuda_plugin;

/* --- in place of kernels and libraries --- */

static guint n_expanded, n_products;

typedef struct
{
  CudaExpand a;
  CudaGemm g;
} Call;

/* The type of base/ that TYPE is. */
static ZieDtype
dtype_of (CudaStored type)
{
  for (int i = 0; i < ZIE_N_DTYPES; i++)
    if (cuda_stored_type ((ZieDtype)i, 2, 256) == type)
      return (ZieDtype)i;
  g_assert_not_reached ();
}

static void
do_expand (gpointer data)
{
  Call *call = data;
  const CudaExpand *a = &call->a;
  gsize n = (gsize)(a->rows * a->cols);
  g_autofree float *numbers = g_new (float, n);

  zie_dtype_to_f32 (dtype_of (a->type), numbers, a->stored, (gint64)n);
  for (gsize i = 0; i < n; i++)
    a->y[i] = zie_f32_to_bf16 (a->scales ? numbers[i] * a->scales[a->n_scales > 1 ? (gint64)i / a->cols : 0] : numbers[i]);
  g_free (call);
}

int
zie_cuda_expand (CudaStream stream, const CudaExpand *a)
{
  Call *call = g_new0 (Call, 1);

  n_expanded++;
  call->a = *a;
  fake_launch ((cudaStream_t)stream, do_expand, call);
  return 0;
}

static void
do_gemm (gpointer data)
{
  Call *call = data;
  const CudaGemm *g = &call->g;

  for (gint64 r = 0; r < g->m; r++)
    for (gint64 c = 0; c < g->n; c++)
      {
        float sum = g->bias ? g->bias[c] : 0;

        for (gint64 i = 0; i < g->k; i++)
          sum += zie_bf16_to_f32 (g->x[r * g->ldx + i]) * zie_bf16_to_f32 (g->w[c * g->ldw + i]);
        ((cuda_bf16 *)g->y)[r * g->ldy + c] = zie_f32_to_bf16 (sum);
      }
  g_free (call);
}

int
zie_cuda_gemm (const CudaCard *card, CudaStream stream, const CudaGemm *g, CudaKernelChoice choice)
{
  Call *call = g_new0 (Call, 1);

  g_assert_false (g->y_is_f32);
  n_products++;
  call->g = *g;
  fake_launch ((cudaStream_t)stream, do_gemm, call);
  return 0;
}

/* --- weights --- */

#define COLS 256
#define MAX_WEIGHTS 8

typedef struct
{
  ZieBackend backend;
  ZieWeight weights[MAX_WEIGHTS];
  float *numbers[MAX_WEIGHTS];       /* expanded and rounded; owned */
  guint8 *memory[MAX_WEIGHTS];       /* owned */
  float scales[64];
  ZieWeightBlock block;
  void *arena_memory;
  ZieArena arena;
  ZieOpCtx ctx;
} Fixture;

#define ARENA_SIZE ((gsize)8 << 20)

static void
add_weight (Fixture *f, GRand *random, ZieDtype dtype, gint64 rows)
{
  guint i = f->block.n_weights++;
  gsize size = zie_dtype_row_size (dtype, COLS) * (gsize)rows;
  ZieWeight *w = &f->weights[i];

  f->memory[i] = g_malloc (size);
  for (gsize k = 0; k < size; k++)
    f->memory[i][k] = (guint8)g_rand_int (random);
  for (gsize k = 1; k < size && dtype != ZIE_DTYPE_Q4_K; k += dtype == ZIE_DTYPE_Q8_0 ? ZIE_Q8_0_BLOCK_SIZE : dtype == ZIE_DTYPE_BF16 ? 2 : 1)
    f->memory[i][k] &= 0x3b;         /* of moderate size */
  for (gsize k = 0; k < size && dtype == ZIE_DTYPE_Q4_K; k += 144)
    f->memory[i][k + 1] = f->memory[i][k + 3] = 0x28;
  *w = (ZieWeight) { .data = f->memory[i], .dtype = dtype, .rows = rows, .cols = COLS, .use = ZIE_WEIGHT_MATRIX };
  if (dtype == ZIE_DTYPE_F8_E4M3)
    {
      for (gint64 r = 0; r < rows; r++)
        f->scales[r] = (float)g_rand_double_range (random, 0.01, 0.1);
      w->scales = (const guint8 *)f->scales;
      w->n_scales = rows;
    }
  f->numbers[i] = g_new (float, (gsize)(rows * COLS));
  for (gint64 r = 0; r < rows; r++)
    {
      zie_weight_row_to_f32 (w, r, f->numbers[i] + r * COLS);
      for (gint64 c = 0; c < COLS; c++)
        f->numbers[i][r * COLS + c] = zie_bf16_to_f32 (zie_f32_to_bf16 (f->numbers[i][r * COLS + c]));
    }
}

enum { BF16_A, BF16_B, Q8_0, Q4_K, BF16_C, F8, N_WEIGHTS };

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (3);
  g_autoptr(GError) error = NULL;
  const ZieBackendFuncs *funcs = zie_cuda_plugin.funcs;
  ZieBlockPlace place = { .block = &f->block, .is_resident = TRUE };
  ZieWeightPlaces places = { .places = &place, .n_places = 1 };

  fake_start (FAKE_LAZY, 0);
  add_weight (f, random, ZIE_DTYPE_BF16, 16);
  add_weight (f, random, ZIE_DTYPE_BF16, 32);
  add_weight (f, random, ZIE_DTYPE_Q8_0, 24);
  add_weight (f, random, ZIE_DTYPE_Q4_K, 8);
  add_weight (f, random, ZIE_DTYPE_BF16, 8);
  add_weight (f, random, ZIE_DTYPE_F8_E4M3, 40);
  f->block.id = 1;
  f->block.weights = f->weights;

  funcs->describe (&f->backend.ops, &f->backend.act, &f->backend.best_compute);
  g_assert_true (funcs->open (&f->backend, 0, &error));
  for (guint i = 0; i < f->block.n_weights; i++)
    place.size += funcs->weight_size (&f->weights[i]);
  g_assert_true (funcs->place (&f->backend, &places, &error));
  f->arena_memory = funcs->alloc (&f->backend, ARENA_SIZE, &error);
  g_assert_no_error (error);
  zie_arena_init (&f->arena, f->arena_memory, ARENA_SIZE);
  f->ctx = (ZieOpCtx) { .ops = &f->backend.ops, .arena = &f->arena, .host = &f->arena, .n_threads = 1, .failed = f->backend.failed,
                        .compute = ZIE_COMPUTE_BF16, .act = ZIE_DTYPE_BF16, .backend = f->backend.data };
  f->backend.ops.acquire (&f->ctx, &f->block);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  f->backend.ops.release (&f->ctx, &f->block);
  fake_finish ();
  g_assert_true (zie_cuda_plugin.funcs->check (&f->backend, &error));
  zie_cuda_plugin.funcs->free (&f->backend, f->arena_memory, ARENA_SIZE);
  zie_cuda_plugin.funcs->close (&f->backend);
  for (guint i = 0; i < f->block.n_weights; i++)
    {
      g_free (f->memory[i]);
      g_free (f->numbers[i]);
    }
}

/* Bytes of scratch that a plan has for the op. */
static gsize
count_scratch (Fixture *f, ZieTensor *y, const ZieTensor *x, const ZieWeight *const *w, guint n)
{
  ZieOpCtx ctx = f->ctx;
  ZieArena arena;
  ZieOps counting;

  zie_ops_init_counting (&counting, &f->backend.ops);
  zie_arena_init_counting (&arena);
  ctx.ops = &counting;
  ctx.arena = &arena;
  if (n == 1)
    counting.linear (&ctx, y, x, w[0], NULL);
  else
    counting.linear_stacked (&ctx, y, x, w, n);
  return arena.peak;
}

/* The product with the N of INDICES, stacked; EXPECT_PRODUCTS of how many calls, EXPECT_EXPANDED how many weights were expanded. */
static void
check_product (Fixture *f, const guint *indices, guint n, guint expect_products, guint expect_expanded)
{
  const gint64 rows = 5;
  const ZieWeight *w[MAX_WEIGHTS];
  ZieMark mark = zie_arena_mark (&f->arena);
  gint64 cols = 0;
  ZieTensor x, y;
  gsize before, counted;

  for (guint i = 0; i < n; i++)
    {
      w[i] = &f->weights[indices[i]];
      cols += w[i]->rows;
    }
  x = zie_tensor_new (&f->arena, ZIE_DTYPE_BF16, rows, COLS);
  y = zie_tensor_new (&f->arena, ZIE_DTYPE_BF16, rows, cols);
  for (gint64 i = 0; i < rows * COLS; i++)
    ((guint16 *)(gpointer)x.data)[i] = zie_f32_to_bf16 ((float)(i % 7) - 3);
  counted = count_scratch (f, &y, &x, w, n);
  n_products = n_expanded = 0;
  before = f->arena.used;
  f->arena.peak = f->arena.used;
  if (n == 1)
    f->ctx.ops->linear (&f->ctx, &y, &x, w[0], NULL);
  else
    f->ctx.ops->linear_stacked (&f->ctx, &y, &x, w, n);
  fake_finish ();

  g_assert_cmpuint (f->arena.used, ==, before);
  g_assert_cmpuint (f->arena.peak - before, ==, counted);
  g_assert_cmpuint (counted, >=, expect_expanded > 0 ? (gsize)(cols * COLS) * sizeof (cuda_bf16) : 0);
  g_assert_cmpuint (n_products, ==, expect_products);
  g_assert_cmpuint (n_expanded, ==, expect_expanded);
  for (gint64 r = 0; r < rows; r++)
    for (gint64 i = 0, at = 0; i < n; at += w[i]->rows, i++)
      for (gint64 c = 0; c < w[i]->rows; c++)
        {
          float sum = 0;

          for (gint64 k = 0; k < COLS; k++)
            sum += zie_bf16_to_f32 (((const guint16 *)(gconstpointer)x.data)[r * COLS + k]) * f->numbers[indices[i]][c * COLS + k];
          g_assert_cmphex (((const guint16 *)(gconstpointer)y.data)[r * cols + at + c], ==, zie_f32_to_bf16 (sum));
        }
  zie_arena_rewind (&f->arena, mark);
}

static void
test_linear (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < N_WEIGHTS; i++)
    check_product (f, &i, 1, 1, zie_dtype_is_quantised (f->weights[i].dtype));
}

static void
test_stacked (Fixture *f, gconstpointer data)
{
  /* Neighbours are one product as they lie, others are as many; quantised ones are made neighbours, whatever lies between. */
  check_product (f, (const guint[]) { BF16_A, BF16_B }, 2, 1, 0);
  check_product (f, (const guint[]) { BF16_A, BF16_C }, 2, 2, 0);
  check_product (f, (const guint[]) { Q8_0, Q4_K }, 2, 1, 2);
  check_product (f, (const guint[]) { F8, BF16_B, Q8_0 }, 3, 1, 2);
  check_product (f, (const guint[]) { BF16_B, Q4_K, BF16_C, Q4_K }, 4, 1, 2);
}

/* A job that was cancelled expands nothing and gives its scratch back. */
static void
test_cancelled (Fixture *f, gconstpointer data)
{
  static const gint cancel = 1;
  const ZieWeight *w[] = { &f->weights[Q8_0], &f->weights[Q4_K] };
  ZieTensor x = zie_tensor_new (&f->arena, ZIE_DTYPE_BF16, 3, COLS), y = zie_tensor_new (&f->arena, ZIE_DTYPE_BF16, 3, 32);
  gsize before = f->arena.used;

  n_products = n_expanded = 0;
  f->ctx.cancel = &cancel;
  f->ctx.ops->linear_stacked (&f->ctx, &y, &x, w, 2);
  f->ctx.cancel = NULL;
  g_assert_cmpuint (n_products + n_expanded, ==, 0);
  g_assert_cmpuint (f->arena.used, ==, before);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/cuda-ops/linear", Fixture, NULL, set_up, test_linear, tear_down);
  g_test_add ("/cuda-ops/stacked", Fixture, NULL, set_up, test_stacked, tear_down);
  g_test_add ("/cuda-ops/cancelled", Fixture, NULL, set_up, test_cancelled, tear_down);
  return g_test_run ();
}
