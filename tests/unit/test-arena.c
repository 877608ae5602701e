/* SPDX-License-Identifier: Apache-2.0 */
#include "zie-arena.h"

#include <string.h>

#include "zie-tensor.h"

static guint8 block[4096] __attribute__ ((aligned (ZIE_ARENA_ALIGN)));

static void
test_aligned_and_apart (void)
{
  ZieArena arena;
  guint8 *a, *b, *c;

  zie_arena_init (&arena, block, sizeof block);
  a = zie_arena_alloc (&arena, 1);
  b = zie_arena_alloc (&arena, ZIE_ARENA_ALIGN);
  c = zie_arena_alloc (&arena, ZIE_ARENA_ALIGN + 1);
  g_assert_true (a == block);
  g_assert_true (b == block + ZIE_ARENA_ALIGN);
  g_assert_true (c == block + 2 * ZIE_ARENA_ALIGN);
  g_assert_cmpuint (arena.used, ==, 4 * ZIE_ARENA_ALIGN);
}

static void
test_nothing_takes_nothing (void)
{
  ZieArena arena;

  zie_arena_init (&arena, block, sizeof block);
  g_assert_nonnull (zie_arena_alloc (&arena, 0));
  g_assert_cmpuint (arena.used, ==, 0);
  g_assert_cmpuint (arena.peak, ==, 0);
}

static void
test_peak_survives_rewind (void)
{
  ZieArena arena;
  ZieMark mark;
  guint8 *first;

  zie_arena_init (&arena, block, sizeof block);
  zie_arena_alloc (&arena, 64);
  mark = zie_arena_mark (&arena);
  first = zie_arena_alloc (&arena, 1024);
  zie_arena_rewind (&arena, mark);
  g_assert_cmpuint (arena.used, ==, 64);
  g_assert_cmpuint (arena.peak, ==, 64 + 1024);
  g_assert_true (zie_arena_alloc (&arena, 8) == first);
  g_assert_cmpuint (arena.peak, ==, 64 + 1024);
}

static void
test_exactly_full (void)
{
  ZieArena arena;

  zie_arena_init (&arena, block, sizeof block);
  g_assert_true (zie_arena_alloc (&arena, sizeof block) == block);
  g_assert_cmpuint (arena.used, ==, sizeof block);
}

/* What a counting arena says is exactly what a real one needs. */
static gsize
same_calls (ZieArena *arena)
{
  ZieMark mark;

  zie_arena_alloc (arena, 100);
  mark = zie_arena_mark (arena);
  zie_tensor_new (arena, ZIE_DTYPE_F32, 3, 50);
  zie_tensor_new (arena, ZIE_DTYPE_Q8_0, 2, 64);
  zie_arena_rewind (arena, mark);
  zie_tensor_new_image (arena, ZIE_DTYPE_BF16, 4, 5, 7);
  zie_arena_alloc (arena, 1);
  return arena->peak;
}

static void
test_counting_equals_real (void)
{
  ZieArena counting, real;
  gsize peak;

  zie_arena_init_counting (&counting);
  g_assert_true (counting.is_counting);
  peak = same_calls (&counting);
  g_assert_cmpuint (peak, <=, sizeof block);
  g_assert_cmpuint (peak, ==, 128 + 640 + 192);

  zie_arena_init (&real, block, peak);
  g_assert_false (real.is_counting);
  g_assert_cmpuint (same_calls (&real), ==, peak);
}

static void
test_counting_has_no_end (void)
{
  ZieArena arena;

  zie_arena_init_counting (&arena);
  zie_arena_alloc (&arena, (gsize)1 << 50);
  zie_arena_alloc (&arena, (gsize)1 << 50);
  g_assert_cmpuint (arena.peak, ==, (gsize)1 << 51);
}

static void
test_running_out_aborts (void)
{
  if (g_test_subprocess ())
    {
      ZieArena arena;

      zie_arena_init (&arena, block, 1024);
      zie_arena_alloc (&arena, 1000);
      zie_arena_alloc (&arena, 1);
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*the plan is wrong*");
}

static void
test_huge_request_aborts (void)
{
  if (g_test_subprocess ())
    {
      ZieArena arena;

      zie_arena_init (&arena, block, 1024);
      zie_arena_alloc (&arena, G_MAXSIZE - 10);      /* rounding up would wrap round to a small number */
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_failed ();
}

/* Views of a tensor lie where their rows and columns are. */
static void
test_views (void)
{
  ZieArena arena;
  ZieTensor t, rows, cols, both;

  zie_arena_init (&arena, block, sizeof block);
  t = zie_tensor_new_image (&arena, ZIE_DTYPE_F32, 2, 3, 10);
  for (int i = 0; i < 60; i++)
    zie_tensor_f32 (&t)[i] = (float)i;
  g_assert_cmpint (t.rows, ==, 6);
  g_assert_cmpint (t.h, ==, 2);

  rows = zie_tensor_rows (&t, 2, 3);
  g_assert_cmpfloat (zie_tensor_f32 (&rows)[0], ==, 20);
  g_assert_cmpint (rows.rows, ==, 3);
  g_assert_cmpint (rows.h, ==, 0);

  cols = zie_tensor_cols (&t, 4, 5);
  g_assert_cmpfloat (zie_tensor_f32 (&cols)[cols.stride * 5], ==, 54);
  g_assert_cmpint (cols.cols, ==, 5);
  g_assert_cmpint (cols.stride, ==, 10);

  both = zie_tensor_rows (&cols, 5, 1);
  g_assert_cmpfloat (zie_tensor_f32 (&both)[4], ==, 58);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/arena/aligned-and-apart", test_aligned_and_apart);
  g_test_add_func ("/arena/nothing-takes-nothing", test_nothing_takes_nothing);
  g_test_add_func ("/arena/peak-survives-rewind", test_peak_survives_rewind);
  g_test_add_func ("/arena/exactly-full", test_exactly_full);
  g_test_add_func ("/arena/counting-equals-real", test_counting_equals_real);
  g_test_add_func ("/arena/counting-has-no-end", test_counting_has_no_end);
  g_test_add_func ("/arena/running-out-aborts", test_running_out_aborts);
  g_test_add_func ("/arena/huge-request-aborts", test_huge_request_aborts);
  g_test_add_func ("/arena/views", test_views);
  return g_test_run ();
}
