/* SPDX-License-Identifier: Apache-2.0 */
#include "zie-ops.h"

#include <string.h>

#include "zie-op-shape.h"

/* The counting backend over a table that has nothing but scratch (). */

static ZieOpShape seen;
static guint n_asked;

static gsize
scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  seen = *shape;
  n_asked++;
  return (gsize)shape->m * 100 * ctx->n_threads;
}

typedef struct
{
  ZieOps ops;
  ZieArena arena;
  ZieTally tally;
  ZieOpCtx ctx;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  ZieOps backend = { .name = "scratch only", .scratch = scratch };

  zie_ops_init_counting (&self->ops, &backend);
  zie_arena_init_counting (&self->arena);
  self->ctx = (ZieOpCtx) { .ops = &self->ops, .arena = &self->arena, .n_threads = 2, .act = ZIE_DTYPE_F32,
                           .compute = ZIE_COMPUTE_F32, .tally = &self->tally };
  n_asked = 0;
}

static ZieTensor
tensor (gint64 rows, gint64 cols)
{
  return (ZieTensor) { NULL, ZIE_DTYPE_F32, rows, cols, cols, 0, 0 };
}

static ZieTensor
image (gint64 h, gint64 w, gint64 channels)
{
  return (ZieTensor) { NULL, ZIE_DTYPE_F32, h * w, channels, channels, h, w };
}

static void
test_linear (Fixture *f, gconstpointer data)
{
  ZieTensor y = tensor (10, 30), x = tensor (10, 20);
  ZieWeight w = { NULL, ZIE_DTYPE_BF16, 30, 20 }, b = { NULL, ZIE_DTYPE_BF16, 1, 30 };

  zie_arena_alloc (&f->arena, 64);
  f->ctx.ops->linear (&f->ctx, &y, &x, &w, &b);

  g_assert_cmpint (seen.kind, ==, ZIE_OP_LINEAR);
  g_assert_cmpint (seen.m, ==, 10);
  g_assert_cmpint (seen.n, ==, 30);
  g_assert_cmpint (seen.k, ==, 20);
  g_assert_cmpint (seen.weight, ==, ZIE_DTYPE_BF16);
  g_assert_cmpfloat (f->tally.flops, ==, 2 * 10 * 20 * 30);
  g_assert_cmpfloat (f->tally.bytes, ==, 4 * (10 * 20 + 10 * 30) + 2 * 20 * 30);
  g_assert_cmpfloat (f->tally.weight_bytes, ==, 2 * 20 * 30);
  g_assert_cmpuint (f->tally.n_ops, ==, 1);
  g_assert_cmpuint (f->arena.used, ==, 64);                      /* given back */
  g_assert_cmpuint (f->arena.peak, ==, 64 + 2048);               /* 10 * 100 * 2 threads, aligned */
}

/* Each part costs what it costs alone; the scratch is that of all rows, with the type that needs some. */
static void
test_linear_stacked (Fixture *f, gconstpointer data)
{
  ZieTensor y = tensor (10, 70), x = tensor (10, 32);
  ZieWeight a = { NULL, ZIE_DTYPE_BF16, 30, 32 }, b = { NULL, ZIE_DTYPE_Q8_0, 40, 32 };
  const ZieWeight *w[] = { &a, &b };
  ZieOpShape shape = zie_op_shape_linear_stacked (&y, &x, w, 2);

  g_assert_cmpint (shape.n, ==, 70);
  g_assert_cmpint (shape.k, ==, 32);
  g_assert_cmpint (shape.weight, ==, ZIE_DTYPE_Q8_0);
  f->ctx.ops->linear_stacked (&f->ctx, &y, &x, w, 2);
  g_assert_cmpuint (n_asked, ==, 3);
  g_assert_cmpuint (f->tally.n_ops, ==, 2);
  g_assert_cmpfloat (f->tally.flops, ==, 2 * 10 * 32 * 70);
  g_assert_cmpfloat (f->tally.weight_bytes, ==, 2 * 30 * 32 + 40 * ZIE_Q8_0_BLOCK_SIZE);
  g_assert_cmpuint (f->arena.used, ==, 0);
}

static void
test_attention (Fixture *f, gconstpointer data)
{
  ZieTensor q = tensor (7, 8 * 16), k = tensor (9, 2 * 16);

  f->ctx.ops->attention (&f->ctx, &q, &q, &k, &k, 8, 2, 1, FALSE);
  g_assert_cmpfloat (f->tally.flops, ==, 4 * 7 * 9 * 16 * 8);
  g_assert_cmpfloat (f->tally.bytes, ==, 4 * (2 * 7 * 128 + 2 * 9 * 32));
  g_assert_cmpint (seen.k, ==, 16);

  /* Row i of a causal one sees i + 1 keys. */
  f->tally = (ZieTally) { 0 };
  k = tensor (7, 2 * 16);
  f->ctx.ops->attention (&f->ctx, &q, &q, &k, &k, 8, 2, 1, TRUE);
  g_assert_cmpfloat (f->tally.flops, ==, 4 * 28 * 16 * 8);
}

static void
test_conv (Fixture *f, gconstpointer data)
{
  ZieTensor x = image (8, 6, 5), y = image (3, 12, 7);
  ZieConv conv = { { NULL, ZIE_DTYPE_F16, 7, 45 }, { NULL, ZIE_DTYPE_F16, 1, 7 }, 5, 7, 3 };
  ZieConvArgs args = { .stride = 1, .upsample = TRUE, .row0 = 13, .residual = &y };

  f->ctx.ops->conv2d (&f->ctx, &y, &x, &conv, &args);
  g_assert_cmpfloat (f->tally.flops, ==, 2 * 36 * 7 * 45);
  g_assert_cmpfloat (f->tally.bytes, ==, 4 * (9 * 5 + 36 * 7 * 2) + 2 * 7 * 45);
  g_assert_cmpfloat (f->tally.weight_bytes, ==, 2 * 7 * 45);
  g_assert_cmpint (seen.w, ==, 12);
  g_assert_cmpint (seen.channels, ==, 5);
  g_assert_true (seen.upsample && seen.has_residual && !seen.has_norm);

  f->tally = (ZieTally) { 0 };
  args = (ZieConvArgs) { .stride = 2 };
  y = image (4, 3, 7);
  f->ctx.ops->conv2d (&f->ctx, &y, &x, &conv, &args);
  g_assert_cmpfloat (f->tally.flops, ==, 2 * 12 * 7 * 45);
  g_assert_cmpfloat (f->tally.bytes, ==, 4 * (48 * 5 + 12 * 7) + 2 * 7 * 45);
}

/* Every entry of the table is there, counts one op and asks for its scratch once. */
static void
test_all_ops_count (Fixture *f, gconstpointer data)
{
  ZieTensor x = tensor (6, 8), vector = tensor (1, 8), angles = tensor (6, 2);
  ZieTensor latent = tensor (2, 24), planes = tensor (8, 6), pixels = tensor (5, 3), picture = image (3, 2, 8);
  ZieWeight w = { NULL, ZIE_DTYPE_F32, 1, 8 }, head = { NULL, ZIE_DTYPE_F32, 1, 4 }, table = { NULL, ZIE_DTYPE_F32, 9, 8 };
  ZieOpCtx *ctx = &f->ctx;
  const ZieOps *ops = ctx->ops;
  gint32 ids[6] = { 0 };
  gpointer host = NULL;

  ops->upload (ctx, &x, host);
  ops->download (ctx, host, &x);
  ops->download_rgb8 (ctx, NULL, NULL, &pixels);
  ops->gather (ctx, &x, &table, ids);
  ops->rms_norm (ctx, &x, &x, &w, &vector, 1e-5f);
  ops->gated_norm_add (ctx, &x, &x, &w, NULL, 1e-5f);
  ops->layer_norm (ctx, &x, &x, &vector, 1e-5f);
  ops->qk_norm_rope (ctx, &x, &head, &angles, &angles, 2, ZIE_ROPE_HALF, 1e-5f);
  ops->swiglu (ctx, &x, &x, &x);
  ops->add (ctx, &x, &x);
  ops->unary (ctx, &x, &x, ZIE_UNARY_SILU);
  ops->copy (ctx, &x, &x);
  ops->fill_rows (ctx, &x, &w);
  ops->patchify (ctx, &x, &latent, 2, 4, 6);
  ops->unpatchify (ctx, &latent, &x, 2, 4, 6);
  ops->planes_to_pixels (ctx, &x, &planes, 1, 0);
  ops->pixels_to_planes (ctx, &planes, &x, 1, 0);
  ops->group_norm_add (ctx, NULL, &picture, 0, 3, 4);
  ops->group_norm_finish (ctx, &vector, &vector, NULL, 3, 2, &w, &w, 4, 1e-6f);
  ops->affine (ctx, &x, &x, &vector, &vector);

  /* Moves take no scratch, and their bytes are an account of their own. */
  ops->store_rows (ctx, host, &x);
  ops->load_rows (ctx, &x, host);
  g_assert_cmpfloat (f->tally.moved_bytes, ==, 2 * 6 * 8 * 4);
  g_assert_cmpuint (f->tally.n_ops, ==, 22);
  g_assert_cmpuint (n_asked, ==, 20);
  g_assert_cmpfloat (f->tally.flops, ==, 0);
  g_assert_cmpfloat (f->tally.bytes, >, 0);
  g_assert_cmpfloat (f->tally.weight_bytes, ==, 0);
}

static void
test_bytes_follow_the_activations (Fixture *f, gconstpointer data)
{
  ZieOpShape shape = { .kind = ZIE_OP_ELEMENTWISE, .m = 3, .n = 5, .k = 2 };
  double flops, bytes;

  zie_op_cost (&shape, ZIE_DTYPE_BF16, &flops, &bytes);
  g_assert_cmpfloat (bytes, ==, 2 * 30);
  zie_op_cost (&shape, ZIE_DTYPE_F32, &flops, &bytes);
  g_assert_cmpfloat (bytes, ==, 4 * 30);
}

static void
test_quantised_weights_count_as_stored (Fixture *f, gconstpointer data)
{
  ZieOpShape shape = { .kind = ZIE_OP_LINEAR, .m = 1, .n = 10, .k = 64, .weight = ZIE_DTYPE_Q8_0 };

  g_assert_cmpfloat (zie_op_weight_bytes (&shape), ==, 10 * 2 * ZIE_Q8_0_BLOCK_SIZE);
}

static void
test_wrong_shape_aborts (Fixture *f, gconstpointer data)
{
  if (g_test_subprocess ())
    {
      ZieTensor y = tensor (10, 30), x = tensor (11, 20);
      ZieWeight w = { NULL, ZIE_DTYPE_BF16, 30, 20 };

      f->ctx.ops->linear (&f->ctx, &y, &x, &w, NULL);
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_failed ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/ops/linear", Fixture, NULL, set_up, test_linear, NULL);
  g_test_add ("/ops/linear-stacked", Fixture, NULL, set_up, test_linear_stacked, NULL);
  g_test_add ("/ops/attention", Fixture, NULL, set_up, test_attention, NULL);
  g_test_add ("/ops/conv", Fixture, NULL, set_up, test_conv, NULL);
  g_test_add ("/ops/all-ops-count", Fixture, NULL, set_up, test_all_ops_count, NULL);
  g_test_add ("/ops/bytes-follow-the-activations", Fixture, NULL, set_up, test_bytes_follow_the_activations, NULL);
  g_test_add ("/ops/quantised-weights-count-as-stored", Fixture, NULL, set_up, test_quantised_weights_count_as_stored, NULL);
  g_test_add ("/ops/wrong-shape-aborts", Fixture, NULL, set_up, test_wrong_shape_aborts, NULL);
  return g_test_run ();
}
