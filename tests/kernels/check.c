/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "check"

#include "check-private.h"

#include <math.h>
#include <string.h>

#define ARENA_TAIL ((gsize)64 << 10)    /* bytes watched behind the scratch that was planned */

/* Below this, differences are not counted: hardware may flush what is smaller than the smallest normal float. */
#define FLUSHED 2e-38

void
check_fail (Check *check, const char *format, ...)
{
  va_list args;

  if (check->failure->len > 0)
    return;
  va_start (args, format);
  g_string_append_vprintf (check->failure, format, args);
  va_end (args);
}

ZieCompute
check_get_compute (const Check *check)
{
  return check->compute;
}

/* Running */

/* Only outputs change, and only inside their rows. */
static void
check_untouched (Check *check, guint index, const guint32 *after)
{
  const CheckBuffer *self = check->buffers->pdata[index];
  gboolean may_change = self->kind != CHECK_BUFFER_INPUT;
  gsize stride = (gsize)self->tensor.stride;

  for (gsize i = 0; i < self->n_floats; i++)
    if (after[i] != self->image[i] && !(may_change && check_buffer_has (self, i)))
      {
        if (i < CHECK_GUARD || i >= self->n_floats - CHECK_GUARD)
          check_fail (check, "tensor %u: written %" G_GSSIZE_FORMAT " floats %s", index,
                      i < CHECK_GUARD ? (gssize)(CHECK_GUARD - i) : (gssize)(i - (self->n_floats - CHECK_GUARD) + 1),
                      i < CHECK_GUARD ? "before its start" : "behind its end");
        else
          check_fail (check, "tensor %u: %s changed in row %" G_GSIZE_FORMAT ", column %" G_GSSIZE_FORMAT, index,
                      check_buffer_has (self, i) ? "an input" : "the space between rows", (i - CHECK_GUARD) / stride,
                      (gssize)((i - CHECK_GUARD) % stride) - (gssize)self->lead);
        return;
      }
}

void
check_memory_move (CheckMemory *self, guint8 *device, void *host, gsize n_floats, gboolean up)
{
  ZieTensor all = { device, ZIE_DTYPE_F32, 1, (gint64)n_floats, (gint64)n_floats, 0, 0 };

  if (up)
    self->ctx.ops->upload (&self->ctx, &all, host);
  else
    self->ctx.ops->download (&self->ctx, host, &all);
}

void
check_memory_init (CheckMemory *self, Check *check, ZieBackend *backend, gsize planned)
{
  g_autoptr(GError) error = NULL;

  *self = (CheckMemory) { .backend = backend, .places = g_new (guint8 *, check->buffers->len) };
  for (guint i = 0; i < check->buffers->len; i++)
    self->size += (((CheckBuffer *)check->buffers->pdata[i])->n_floats + ZIE_ARENA_ALIGN) * sizeof (float);
  self->size += planned + ARENA_TAIL + ZIE_ARENA_ALIGN;
  if (!(self->memory = backend->funcs->alloc (backend, self->size, &error)))
    g_error ("%s", error->message);
  zie_arena_init (&self->arena, self->memory, self->size);
  zie_backend_init_ctx (backend, &self->ctx, &self->arena, NULL, check->compute, NULL);

  for (guint i = 0; i < check->buffers->len; i++)
    {
      CheckBuffer *buffer = check->buffers->pdata[i];

      self->places[i] = zie_arena_alloc (&self->arena, buffer->n_floats * sizeof (float));
      buffer->tensor.data = self->places[i] + (CHECK_GUARD + buffer->lead) * sizeof (float);
      check_memory_move (self, self->places[i], buffer->image, buffer->n_floats, TRUE);
    }
  self->mark = zie_arena_mark (&self->arena);
}

void
check_memory_clear (CheckMemory *self)
{
  self->backend->funcs->free (self->backend, self->memory, self->size);
  g_free (self->places);
}

/* What the op left behind it; REST is what memory holds from the mark on. */
static void
check_arena (Check *check, const CheckMemory *memory, gsize planned, const guint32 *rest, gsize n_rest)
{
  gsize taken = memory->arena.peak - memory->mark;
  gsize watched = planned / sizeof (guint32);

  if (memory->arena.used != memory->mark)
    check_fail (check, "the op keeps %" G_GSIZE_FORMAT " bytes of the arena", memory->arena.used - memory->mark);
  if (taken > planned || (taken < planned && check->op->takes_scratch))
    check_fail (check, "the op took %" G_GSIZE_FORMAT " bytes of scratch, the counting backend said %" G_GSIZE_FORMAT, taken,
                planned);
  for (gsize i = watched; i < n_rest; i++)
    if (rest[i] != CHECK_POISON)
      {
        check_fail (check, "written %" G_GSIZE_FORMAT " bytes behind the scratch of %" G_GSIZE_FORMAT,
                    (i - watched) * sizeof (guint32), planned);
        break;
      }
}

/* One run of CALL on BACKEND; the member at OUT of each buffer receives what memory holds afterwards. */
static void
run_once (Check *check, ZieBackend *backend, CheckCall call, gpointer data, gsize planned, gsize out)
{
  gsize n_rest = (planned + ARENA_TAIL) / sizeof (guint32);
  g_autofree guint32 *rest = g_new (guint32, n_rest);
  CheckMemory memory;

  check_memory_init (&memory, check, backend, planned);
  for (gsize i = 0; i < n_rest; i++)
    rest[i] = CHECK_POISON;
  check_memory_move (&memory, memory.memory + memory.mark, rest, n_rest, TRUE);

  call (&memory.ctx, data);

  check_memory_move (&memory, memory.memory + memory.mark, rest, n_rest, FALSE);
  check_arena (check, &memory, planned, rest, n_rest);
  for (guint i = 0; i < check->buffers->len; i++)
    {
      CheckBuffer *buffer = check->buffers->pdata[i];
      guint32 *after = g_new (guint32, buffer->n_floats);

      check_memory_move (&memory, memory.places[i], after, buffer->n_floats, FALSE);
      check_untouched (check, i, after);
      G_STRUCT_MEMBER (guint32 *, buffer, out) = after;
    }
  check_memory_clear (&memory);
}

/* A call whose flag is already set: it gives its scratch back and writes nowhere else. */
static void
run_cancelled (Check *check, CheckCall call, gpointer data, gsize planned)
{
  gint cancel = 1;
  CheckMemory memory;

  check_memory_init (&memory, check, check->backend, planned);
  memory.ctx.cancel = &cancel;
  call (&memory.ctx, data);
  if (memory.arena.used != memory.mark)
    check_fail (check, "cancelled, the op keeps %" G_GSIZE_FORMAT " bytes of the arena", memory.arena.used - memory.mark);
  for (guint i = 0; i < check->buffers->len; i++)
    {
      CheckBuffer *buffer = check->buffers->pdata[i];
      g_autofree guint32 *after = g_new (guint32, buffer->n_floats);

      check_memory_move (&memory, memory.places[i], after, buffer->n_floats, FALSE);
      check_untouched (check, i, after);
    }
  check_memory_clear (&memory);
}

/* Scratch and cost of CALL, from the counting backend. */
static gsize
count_call (Check *check, ZieBackend *backend, CheckCall call, gpointer data, ZieTally *tally)
{
  ZieOps counting;
  ZieArena arena;
  ZieOpCtx ctx;

  *tally = (ZieTally) { 0 };
  zie_ops_init_counting (&counting, &backend->ops);
  zie_arena_init_counting (&arena);
  zie_backend_init_ctx (backend, &ctx, &arena, NULL, check->compute, NULL);
  ctx.ops = &counting;
  ctx.tally = tally;
  call (&ctx, data);
  return arena.peak;
}

/* Comparing */

/* Each row's squared error over its energy; TOLERANCE bounds the mean of that over the rows, a row may have 100 times as
 * much, and no element may be off by 100 times the root of what its row is allowed on average.  Rows far below the tensor's
 * mean count as if they had a hundredth of it, so that sums which cancel by chance do not fail. */
static void
compare (Check *check, guint index, double tolerance)
{
  const CheckBuffer *self = check->buffers->pdata[index];
  const ZieTensor *t = &self->tensor;
  const float *expected = (const float *)(const void *)self->expected, *got = (const float *)(const void *)self->got;
  double energy = 0, mean = 0;

  for (gint64 r = 0; r < t->rows; r++)
    for (gint64 c = 0; c < t->cols; c++)
      {
        double v = expected[CHECK_GUARD + r * t->stride + self->lead + c];

        if (!isfinite (v))
          {
            check_fail (check, "the reference itself gives %g at row %" G_GINT64_FORMAT ", column %" G_GINT64_FORMAT, v, r, c);
            return;
          }
        energy += v * v;
      }
  energy /= (double)(t->rows * t->cols);

  for (gint64 r = 0; r < t->rows; r++)
    {
      gint64 at = CHECK_GUARD + r * t->stride + self->lead, worst = 0;
      double row_energy = 0, row_error = 0, largest = 0, scale;

      for (gint64 c = 0; c < t->cols; c++)
        {
          double difference = fabs ((double)got[at + c] - expected[at + c]);

          if (difference < FLUSHED && tolerance > 0)
            difference = 0;
          row_energy += (double)expected[at + c] * expected[at + c];
          row_error += difference * difference;
          if (!(difference <= largest))
            {
              largest = difference;
              worst = c;
              if (isnan (difference))
                break;
            }
        }
      scale = MAX (row_energy / (double)t->cols, energy * 1e-4);
      row_error = row_error == 0 ? 0 : row_error / (double)t->cols / scale;
      mean += row_error / (double)t->rows;
      if (!(row_error <= 100 * tolerance) || (largest > 0 && !(largest * largest / scale <= 1e4 * tolerance)))
        {
          check_fail (check,
                      "tensor %u, row %" G_GINT64_FORMAT ": error %.3g, %.3g is allowed on average; worst in column %"
                      G_GINT64_FORMAT ": %.9g, reference %.9g", index, r, row_error, tolerance, worst,
                      (double)got[at + worst], (double)expected[at + worst]);
          return;
        }
    }
  if (mean > tolerance)
    check_fail (check, "tensor %u: error %.3g of %.3g allowed", index, mean, tolerance);
  g_string_append_printf (check->report, "%s %.1e", check->report->len ? "" : "error", mean);
}

void
check_run (Check *check, CheckCall call, gpointer data, double tolerance)
{
  ZieTally tally;
  gsize planned;

  check_draw_images (check);
  if (check->is_large)
    {
      planned = count_call (check, check->backend, call, data, &tally);
      if (check->is_bench)
        check_bench (check, call, data, planned, &tally);
      else
        check_cancel (check, call, data, planned);
      return;
    }

  planned = count_call (check, check->reference, call, data, &tally);
  run_once (check, check->reference, call, data, planned, G_STRUCT_OFFSET (CheckBuffer, expected));
  if (check->failure->len > 0)
    g_string_prepend (check->failure, "the reference: ");

  planned = count_call (check, check->backend, call, data, &tally);
  run_once (check, check->backend, call, data, planned, G_STRUCT_OFFSET (CheckBuffer, got));
  for (guint i = 0; i < check->buffers->len; i++)
    if (((CheckBuffer *)check->buffers->pdata[i])->kind != CHECK_BUFFER_INPUT)
      compare (check, i, tolerance);

  run_once (check, check->backend, call, data, planned, G_STRUCT_OFFSET (CheckBuffer, again));
  for (guint i = 0; i < check->buffers->len; i++)
    {
      const CheckBuffer *buffer = check->buffers->pdata[i];

      if (memcmp (buffer->got, buffer->again, buffer->n_floats * sizeof (guint32)) != 0)
        check_fail (check, "tensor %u: a second run gives other bits", i);
    }

  run_cancelled (check, call, data, planned);
  if (check->is_bench && check->failure->len == 0)
    check_bench (check, call, data, planned, &tally);
}
