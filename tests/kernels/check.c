/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "check"

#include "check.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARD 64                        /* floats before and behind each tensor */
#define ARENA_TAIL ((gsize)64 << 10)    /* bytes watched behind the scratch that was planned */
#define POISON 0x7fd0dead               /* a NaN that nothing computes */
#define BENCH_US 200000

/* The longest that an op may go on after it was cancelled: one slice of work (zie-ops.h). */
#define SLICE_US 50000
#define CANCEL_TRIES 6

/* Below this, differences are not counted: hardware may flush what is smaller than the smallest normal float. */
#define FLUSHED 2e-38

typedef enum { BUFFER_INPUT, BUFFER_INOUT, BUFFER_OUTPUT } BufferKind;

typedef struct
{
  BufferKind kind;
  ZieTensor tensor;
  gint64 lead;                          /* floats from a row's start to its first column */
  gsize n_floats;                       /* guards included */
  float *values;                        /* owned, [rows, cols]; NULL for outputs */
  guint32 *image;                       /* owned, [n_floats]: what memory holds before a run */
  guint32 *expected, *got, *again;      /* owned: what it holds after one */
} Buffer;

typedef struct
{
  guint8 *map;
  gsize map_size;
  ZieWeight weight;
} Weight;

struct _Check
{
  const CheckOp *op;
  ZieBackend *reference, *backend;      /* borrowed */
  const ZieDevice *device;              /* borrowed: the backend's facts */
  ZieCompute compute;
  gboolean is_large;
  guint64 random;
  GPtrArray *buffers;                   /* of Buffer */
  GPtrArray *weights;                   /* of Weight */
  GString *failure;
  GString *report;
};

static struct
{
  char *filter, *backend;
  gint64 seed;
  gboolean list, bench, large;
} options = { .seed = 1 };

static const CheckOp *const ops[] = {
  &check_linear, &check_attention, &check_conv, &check_rms_norm, &check_gated_norm_add, &check_layer_norm,
  &check_qk_norm_rope, &check_group_norm, &check_affine, &check_swiglu, &check_add, &check_unary, &check_copy,
  &check_fill_rows, &check_gather, &check_patchify, &check_planes, &check_transfer,
};

/* The line that repeats the running case, for a signal handler too. */
static char repeat_line[1024];
static const char *program;

static void G_GNUC_PRINTF (2, 3)
fail (Check *check, const char *format, ...)
{
  va_list args;

  if (check->failure->len > 0)
    return;                             /* the first is the cause */
  va_start (args, format);
  g_string_append_vprintf (check->failure, format, args);
  va_end (args);
}

/* Filling in */

const char *
check_input_name (CheckInput input)
{
  static const char *const names[] = { "normal", "outliers", "zeros", "denormal", "one-hot", "offset" };

  return names[input];
}

guint64
check_random (Check *check)
{
  guint64 z = (check->random += 0x9e3779b97f4a7c15);

  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

ZieCompute
check_get_compute (const Check *check)
{
  return check->compute;
}

/* Nearly normal: the sum of four uniform numbers, of variance 1. */
static float
random_normal (Check *check)
{
  guint64 bits = check_random (check);
  gint32 sum = (gint32)((bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48)) - 2 * 0xffff;

  return (float)sum * (1.7320508f / 65536);
}

static float
fill_one (Check *check, CheckInput input, gint64 row, gint64 col, gint64 cols)
{
  float v = random_normal (check);

  switch (input)
    {
    case CHECK_NORMAL: return v;
    case CHECK_OUTLIERS: return v * (row == 0 && col % 193 == 7 ? 1000.0f : col % 97 == 13 ? 60.0f : 1.0f);
    case CHECK_ZEROS: return 0;
    case CHECK_DENORMAL: return v * 1e-39f;
    case CHECK_ONE_HOT: return col == row % cols;
    case CHECK_OFFSET: return 100 + v;
    }
  g_assert_not_reached ();
}

static void
buffer_free (gpointer data)
{
  Buffer *self = data;

  g_free (self->values);
  g_free (self->image);
  g_free (self->expected);
  g_free (self->got);
  g_free (self->again);
  g_free (self);
}

static Buffer *
new_buffer (Check *check, BufferKind kind, gint64 rows, gint64 cols, gint64 stride)
{
  Buffer *self = g_new0 (Buffer, 1);

  g_assert (stride == 0 || stride >= cols);
  self->kind = kind;
  self->lead = stride > 0 ? (stride - cols) / 2 : 0;
  stride = stride > 0 ? stride : cols;
  self->tensor = (ZieTensor) { NULL, ZIE_DTYPE_F32, rows, cols, stride, 0, 0 };
  self->n_floats = (gsize)(rows * stride) + 2 * GUARD;
  g_ptr_array_add (check->buffers, self);
  return self;
}

static ZieTensor *
new_filled (Check *check, BufferKind kind, gint64 rows, gint64 cols, gint64 stride, CheckInput input)
{
  Buffer *self = new_buffer (check, kind, rows, cols, stride);

  self->values = g_new (float, (gsize)(rows * cols));
  for (gint64 r = 0; r < rows; r++)
    for (gint64 c = 0; c < cols; c++)
      self->values[r * cols + c] = fill_one (check, input, r, c, cols);
  return &self->tensor;
}

ZieTensor *
check_new_input (Check *check, gint64 rows, gint64 cols, gint64 stride, CheckInput input)
{
  return new_filled (check, BUFFER_INPUT, rows, cols, stride, input);
}

ZieTensor *
check_new_inout (Check *check, gint64 rows, gint64 cols, gint64 stride, CheckInput input)
{
  return new_filled (check, BUFFER_INOUT, rows, cols, stride, input);
}

ZieTensor *
check_new_output (Check *check, gint64 rows, gint64 cols, gint64 stride)
{
  return &new_buffer (check, BUFFER_OUTPUT, rows, cols, stride)->tensor;
}

float *
check_get_values (Check *check, const ZieTensor *tensor)
{
  for (guint i = 0; i < check->buffers->len; i++)
    {
      Buffer *buffer = check->buffers->pdata[i];

      if (&buffer->tensor == tensor)
        return buffer->values;
    }
  g_assert_not_reached ();
}

static void
weight_free (gpointer data)
{
  Weight *self = data;

  munmap (self->map, self->map_size);
  g_free (self);
}

/* N values as DTYPE stores them. */
static void
store_weight (Check *check, ZieDtype dtype, guint8 *dst, gint64 n, double scale, double mean)
{
  guint16 half;
  float v;

  if (dtype == ZIE_DTYPE_Q8_0)
    {
      for (gint64 block = 0; block < n / ZIE_Q8_0_BLOCK; block++, dst += ZIE_Q8_0_BLOCK_SIZE)
        {
          half = zie_f32_to_f16 ((float)((mean + scale) / 64 * (1 + (double)(check_random (check) % 100) / 100)));
          memcpy (dst, &half, 2);
          for (int i = 0; i < ZIE_Q8_0_BLOCK; i++)
            dst[2 + i] = (guint8)(gint8)CLAMP (lrint (random_normal (check) * 42), -127, 127);
        }
      return;
    }

  for (gint64 i = 0; i < n; i++)
    {
      v = (float)(mean + scale * random_normal (check));
      half = dtype == ZIE_DTYPE_BF16 ? zie_f32_to_bf16 (v) : zie_f32_to_f16 (v);
      if (dtype == ZIE_DTYPE_F32)
        memcpy (dst + 4 * i, &v, 4);
      else
        memcpy (dst + 2 * i, &half, 2);
    }
}

const ZieWeight *
check_new_weight (Check *check, ZieDtype dtype, gint64 rows, gint64 cols, double scale)
{
  gsize page = (gsize)sysconf (_SC_PAGESIZE);
  gsize size = (gsize)rows * zie_dtype_row_size (dtype, cols);
  gsize gap = check_random (check) % 4;             /* odd addresses too */
  gsize readable = (size + gap + page - 1) / page * page;
  Weight *self = g_new0 (Weight, 1);
  guint8 *data;

  self->map_size = readable + page;
  self->map = mmap (NULL, self->map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (self->map == MAP_FAILED)
    g_error ("no memory for a weight of %" G_GSIZE_FORMAT " bytes", size);
  data = self->map + readable - gap - size;
  self->weight = (ZieWeight) { data, dtype, rows, cols };
  store_weight (check, dtype, data, rows * cols, scale, rows == 1 ? 1 : 0);
  mprotect (self->map, self->map_size, PROT_READ);
  mprotect (self->map + readable, page, PROT_NONE);
  g_ptr_array_add (check->weights, self);
  return &self->weight;
}

/* Running */

/* What memory holds before a run: values in their rows, poison everywhere else. */
static void
draw_images (Check *check)
{
  for (guint i = 0; i < check->buffers->len; i++)
    {
      Buffer *self = check->buffers->pdata[i];
      const ZieTensor *t = &self->tensor;

      if (self->image != NULL)
        continue;
      self->image = g_new (guint32, self->n_floats);
      for (gsize j = 0; j < self->n_floats; j++)
        self->image[j] = POISON;
      for (gint64 r = 0; self->values != NULL && r < t->rows; r++)
        memcpy (self->image + GUARD + r * t->stride + self->lead, self->values + r * t->cols, (gsize)t->cols * sizeof (float));
    }
}

static gboolean
is_inside (const Buffer *self, gsize at)
{
  gsize stride = (gsize)self->tensor.stride, column;

  if (at < GUARD || at >= self->n_floats - GUARD)
    return FALSE;
  column = (at - GUARD) % stride;
  return column >= (gsize)self->lead && column < (gsize)(self->lead + self->tensor.cols);
}

/* Only outputs change, and only inside their rows. */
static void
check_untouched (Check *check, guint index, const guint32 *after)
{
  const Buffer *self = check->buffers->pdata[index];
  gboolean may_change = self->kind != BUFFER_INPUT;
  gsize stride = (gsize)self->tensor.stride;

  for (gsize i = 0; i < self->n_floats; i++)
    if (after[i] != self->image[i] && !(may_change && is_inside (self, i)))
      {
        if (i < GUARD || i >= self->n_floats - GUARD)
          fail (check, "tensor %u: written %" G_GSSIZE_FORMAT " floats %s", index,
                i < GUARD ? (gssize)(GUARD - i) : (gssize)(i - (self->n_floats - GUARD) + 1),
                i < GUARD ? "before its start" : "behind its end");
        else
          fail (check, "tensor %u: %s changed in row %" G_GSIZE_FORMAT ", float %" G_GSSIZE_FORMAT " of the columns", index,
                is_inside (self, i) ? "an input" : "the space between rows", (i - GUARD) / stride,
                (gssize)((i - GUARD) % stride) - (gssize)self->lead);
        return;
      }
}

typedef struct
{
  ZieBackend *backend;
  gsize size;
  guint8 *memory;
  ZieArena arena;
} Memory;

static void
move (ZieOpCtx *ctx, guint8 *device, void *host, gsize n_floats, gboolean up)
{
  ZieTensor all = { device, ZIE_DTYPE_F32, 1, (gint64)n_floats, (gint64)n_floats, 0, 0 };

  if (up)
    ctx->ops->upload (ctx, &all, host);
  else
    ctx->ops->download (ctx, host, &all);
}

/* The check's tensors in the memory of BACKEND, then SCRATCH bytes for the op and a watched tail. */
static void
memory_init (Memory *self, Check *check, ZieBackend *backend, gsize scratch)
{
  g_autoptr(GError) error = NULL;

  *self = (Memory) { .backend = backend };
  for (guint i = 0; i < check->buffers->len; i++)
    self->size += (((Buffer *)check->buffers->pdata[i])->n_floats + ZIE_ARENA_ALIGN) * sizeof (float);
  self->size += scratch + ARENA_TAIL + ZIE_ARENA_ALIGN;
  if (!(self->memory = backend->funcs->alloc (backend, self->size, &error)))
    g_error ("%s", error->message);
  zie_arena_init (&self->arena, self->memory, self->size);
}

static void
memory_clear (Memory *self)
{
  self->backend->funcs->free (self->backend, self->memory, self->size);
}

static void
place_tensors (Check *check, ZieOpCtx *ctx, guint8 **places)
{
  for (guint i = 0; i < check->buffers->len; i++)
    {
      Buffer *buffer = check->buffers->pdata[i];

      places[i] = zie_arena_alloc (ctx->arena, buffer->n_floats * sizeof (float));
      buffer->tensor.data = places[i] + (GUARD + buffer->lead) * sizeof (float);
      move (ctx, places[i], buffer->image, buffer->n_floats, TRUE);
    }
}

/* What the op, called with CTX's arena at its mark, left behind it. */
static void
check_arena (Check *check, ZieOpCtx *ctx, ZieMark mark, gsize planned, const guint32 *rest, gsize n_rest)
{
  gsize taken = ctx->arena->peak - mark;
  gsize watched = planned / sizeof (guint32);

  if (ctx->arena->used != mark)
    fail (check, "the op keeps %" G_GSIZE_FORMAT " bytes of the arena", ctx->arena->used - mark);
  if (taken > planned)
    fail (check, "the op took %" G_GSIZE_FORMAT " bytes of scratch, the counting backend said %" G_GSIZE_FORMAT, taken, planned);
  if (taken < planned && check->op->takes_scratch)
    fail (check, "the op took only %" G_GSIZE_FORMAT " bytes of scratch, the counting backend said %" G_GSIZE_FORMAT, taken, planned);
  for (gsize i = watched; i < n_rest; i++)
    if (rest[i] != POISON)
      {
        fail (check, "written %" G_GSIZE_FORMAT " bytes behind the scratch of %" G_GSIZE_FORMAT,
              (i - watched) * sizeof (guint32), planned);
        break;
      }
}

/* One run of CALL on BACKEND; *OUT of each buffer receives what memory holds afterwards. */
static void
run_once (Check *check, ZieBackend *backend, CheckCall call, gpointer data, gsize planned, gsize out)
{
  g_autofree guint8 **places = g_new (guint8 *, check->buffers->len);
  g_autofree guint32 *rest = NULL;
  gsize n_rest = (planned + ARENA_TAIL) / sizeof (guint32);
  Memory memory;
  ZieOpCtx ctx;
  ZieMark mark;

  memory_init (&memory, check, backend, planned);
  zie_backend_init_ctx (backend, &ctx, &memory.arena, NULL, check->compute, NULL);
  place_tensors (check, &ctx, places);
  rest = g_new (guint32, n_rest);
  for (gsize i = 0; i < n_rest; i++)
    rest[i] = POISON;
  mark = zie_arena_mark (&memory.arena);
  move (&ctx, memory.memory + mark, rest, n_rest, TRUE);
  memory.arena.peak = mark;

  call (&ctx, data);

  move (&ctx, memory.memory + mark, rest, n_rest, FALSE);
  check_arena (check, &ctx, mark, planned, rest, n_rest);
  for (guint i = 0; i < check->buffers->len; i++)
    {
      Buffer *buffer = check->buffers->pdata[i];
      guint32 *after = g_new (guint32, buffer->n_floats);

      move (&ctx, places[i], after, buffer->n_floats, FALSE);
      check_untouched (check, i, after);
      G_STRUCT_MEMBER (guint32 *, buffer, out) = after;
    }
  memory_clear (&memory);
}

/* A call whose flag is already set: it comes back at once, gives its scratch back and writes nowhere else. */
static void
run_cancelled (Check *check, CheckCall call, gpointer data, gsize planned)
{
  g_autofree guint8 **places = g_new (guint8 *, check->buffers->len);
  gint cancel = 1;
  Memory memory;
  ZieOpCtx ctx;
  ZieMark mark;

  memory_init (&memory, check, check->backend, planned);
  zie_backend_init_ctx (check->backend, &ctx, &memory.arena, NULL, check->compute, &cancel);
  place_tensors (check, &ctx, places);
  mark = zie_arena_mark (&memory.arena);
  call (&ctx, data);
  if (memory.arena.used != mark)
    fail (check, "cancelled, the op keeps %" G_GSIZE_FORMAT " bytes of the arena", memory.arena.used - mark);
  for (guint i = 0; i < check->buffers->len; i++)
    {
      Buffer *buffer = check->buffers->pdata[i];
      g_autofree guint32 *after = g_new (guint32, buffer->n_floats);

      move (&ctx, places[i], after, buffer->n_floats, FALSE);
      check_untouched (check, i, after);
    }
  memory_clear (&memory);
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
  const Buffer *self = check->buffers->pdata[index];
  const ZieTensor *t = &self->tensor;
  const float *expected = (const float *)(const void *)self->expected, *got = (const float *)(const void *)self->got;
  double energy = 0, mean = 0;

  for (gint64 r = 0; r < t->rows; r++)
    for (gint64 c = 0; c < t->cols; c++)
      {
        double v = expected[GUARD + r * t->stride + self->lead + c];

        if (!isfinite (v))
          {
            fail (check, "the reference itself gives %g at row %" G_GINT64_FORMAT ", column %" G_GINT64_FORMAT, v, r, c);
            return;
          }
        energy += v * v;
      }
  energy /= (double)(t->rows * t->cols);

  for (gint64 r = 0; r < t->rows; r++)
    {
      gint64 at = GUARD + r * t->stride + self->lead, worst = 0;
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
          fail (check,
                "tensor %u, row %" G_GINT64_FORMAT ": error %.3g, %.3g is allowed on average; worst in column %" G_GINT64_FORMAT
                ": %.9g, reference %.9g", index, r, row_error, tolerance, worst, (double)got[at + worst],
                (double)expected[at + worst]);
          return;
        }
    }
  if (mean > tolerance)
    fail (check, "tensor %u: error %.3g of %.3g allowed", index, mean, tolerance);
  g_string_append_printf (check->report, "%s %.1e", check->report->len ? "" : "error", mean);
}

/* Cancelling in the middle */

typedef struct
{
  gint64 delay;                         /* microseconds from the start to the flag */
  gint cancel;                          /* atomic */
  gint64 when;                          /* the flag was set; read after the thread was joined */
} Canceller;

static gpointer
cancel_later (gpointer data)
{
  Canceller *self = data;

  g_usleep ((gulong)self->delay);
  self->when = g_get_monotonic_time ();
  g_atomic_int_set (&self->cancel, 1);
  return NULL;
}

/* How long CALL goes on after it was cancelled DELAY microseconds from its start; *IS_DONE: it had ended before. */
static gint64
cancel_once (ZieOpCtx *ctx, CheckCall call, gpointer data, gint64 delay, gboolean *is_done)
{
  Canceller canceller = { .delay = delay };
  GThread *thread;
  gint64 end;

  ctx->cancel = &canceller.cancel;
  thread = g_thread_new ("cancel", cancel_later, &canceller);
  call (ctx, data);
  end = g_get_monotonic_time ();
  g_thread_join (thread);
  *is_done = end <= canceller.when;
  return end - canceller.when;
}

/* The longest wait over several moments.  Other programs only ever make one longer, so the best of a few tries counts. */
static void
check_cancel (Check *check, CheckCall call, gpointer data, gsize planned)
{
  static const gint64 delays[] = { 3000, 11000, 29000, 47000, 71000, 113000, 187000 };
  g_autofree guint8 **places = g_new (guint8 *, check->buffers->len);
  gint64 longest = 0;
  Memory memory;
  ZieOpCtx ctx;

  memory_init (&memory, check, check->backend, planned);
  zie_backend_init_ctx (check->backend, &ctx, &memory.arena, NULL, check->compute, NULL);
  place_tensors (check, &ctx, places);
  for (guint i = 0; i < G_N_ELEMENTS (delays); i++)
    {
      gint64 best = G_MAXINT64;
      gboolean is_done = FALSE;

      for (int t = 0; t < CANCEL_TRIES && best > SLICE_US && !is_done; t++)
        best = MIN (best, cancel_once (&ctx, call, data, delays[i], &is_done));
      if (is_done)
        break;
      longest = MAX (longest, best);
      if (best > SLICE_US)
        fail (check, "cancelled after %.0f ms, the op went on for %.0f ms; a slice may take %d", (double)delays[i] / 1e3,
              (double)best / 1e3, SLICE_US / 1000);
    }
  g_string_append_printf (check->report, "cancelled within %.1f ms", (double)longest / 1e3);
  memory_clear (&memory);
}

/* Timing */

static void
bench (Check *check, CheckCall call, gpointer data, gsize planned, const ZieTally *tally)
{
  g_autofree guint8 **places = g_new (guint8 *, check->buffers->len);
  double peak = check->compute == ZIE_COMPUTE_BF16 ? check->device->flops_bf16 : check->device->flops_f32;
  gint64 best = G_MAXINT64, begin, now;
  guint n_runs = 0;
  Memory memory;
  ZieOpCtx ctx;

  memory_init (&memory, check, check->backend, planned);
  zie_backend_init_ctx (check->backend, &ctx, &memory.arena, NULL, check->compute, NULL);
  place_tensors (check, &ctx, places);
  begin = now = g_get_monotonic_time ();
  for (; now - begin < BENCH_US || n_runs < 3; n_runs++)
    {
      gint64 start = g_get_monotonic_time ();
      guint n = (guint)CLAMP (200 / MAX (best, 1), 1, 1000);      /* many of the short ones, for the clock's sake */

      for (guint i = 0; i < n; i++)
        call (&ctx, data);
      now = g_get_monotonic_time ();
      best = MIN (best, MAX ((now - start) / n, 1));
    }
  memory_clear (&memory);

  printf ("# %10.3f ms %9.1f GFLOP/s (%3.0f %%) %8.1f GB/s (%3.0f %%)  %s\n", (double)best / 1e3,
          tally->flops / (double)best / 1e3, peak > 0 ? tally->flops / (double)best * 1e6 / peak * 100 : 0,
          tally->bytes / (double)best / 1e3,
          check->device->bytes_per_second > 0 ? tally->bytes / (double)best * 1e6 / check->device->bytes_per_second * 100 : 0,
          strstr (repeat_line, "--filter"));
}

void
check_run (Check *check, CheckCall call, gpointer data, double tolerance)
{
  ZieTally tally;
  gsize planned;

  draw_images (check);
  if (check->is_large)
    {
      planned = count_call (check, check->backend, call, data, &tally);
      if (options.bench)
        bench (check, call, data, planned, &tally);
      else
        check_cancel (check, call, data, planned);
      return;
    }

  planned = count_call (check, check->reference, call, data, &tally);
  run_once (check, check->reference, call, data, planned, G_STRUCT_OFFSET (Buffer, expected));
  if (check->failure->len > 0)
    g_string_prepend (check->failure, "the reference: ");

  planned = count_call (check, check->backend, call, data, &tally);
  run_once (check, check->backend, call, data, planned, G_STRUCT_OFFSET (Buffer, got));
  for (guint i = 0; i < check->buffers->len; i++)
    if (((Buffer *)check->buffers->pdata[i])->kind != BUFFER_INPUT)
      compare (check, i, tolerance);

  run_once (check, check->backend, call, data, planned, G_STRUCT_OFFSET (Buffer, again));
  for (guint i = 0; i < check->buffers->len; i++)
    {
      const Buffer *buffer = check->buffers->pdata[i];

      if (memcmp (buffer->got, buffer->again, buffer->n_floats * sizeof (guint32)) != 0)
        fail (check, "tensor %u: a second run gives other bits", i);
    }

  run_cancelled (check, call, data, planned);
  if (options.bench && check->failure->len == 0)
    bench (check, call, data, planned, &tally);
}

/* The list of cases, and the program */

static void
on_fatal (int number)
{
  static const char before[] = "# the process was killed by a signal in the case repeated by:\n# ";

  if (write (STDOUT_FILENO, before, sizeof before - 1) < 0 || write (STDOUT_FILENO, repeat_line, strlen (repeat_line)) < 0
      || write (STDOUT_FILENO, "\n", 1) < 0)
    _exit (1);
  signal (number, SIG_DFL);
  raise (number);
}

static guint64
hash_name (const char *name, guint64 seed)
{
  guint64 h = seed ^ 0xcbf29ce484222325;

  for (; *name != '\0'; name++)
    h = (h ^ (guint8)*name) * 0x100000001b3;
  return h;
}

static char *
case_name (const CheckOp *op, guint index, const ZieBackend *backend, ZieCompute compute)
{
  GString *name = g_string_new (op->name);

  g_string_append_c (name, '/');
  op->name_case (index, name);
  if (op->uses_compute)
    g_string_append_printf (name, "/%s", zie_compute_name (compute));
  g_string_append_printf (name, "/%s", zie_backend_kind_name (backend->funcs->kind));
  return g_string_free (name, FALSE);
}

static gboolean
is_wanted (const char *name)
{
  if (options.filter == NULL)
    return TRUE;
  return strpbrk (options.filter, "*?") ? g_pattern_match_simple (options.filter, name) : strstr (name, options.filter) != NULL;
}

static void
set_repeat_line (const char *name)
{
  static const char *const variables[] = { "ONEDNN_MAX_CPU_ISA", "ZIE_CPU_MASK" };
  GString *line = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (variables); i++)
    if (g_getenv (variables[i]))
      g_string_append_printf (line, "%s=%s ", variables[i], g_getenv (variables[i]));
  g_string_append_printf (line, "%s%s --seed %" G_GINT64_FORMAT " --filter '%s'", program, options.large ? " --large" : "",
                          options.seed, name);
  g_strlcpy (repeat_line, line->str, sizeof repeat_line);
  g_string_free (line, TRUE);
}

/* Prints one line of TAP; TRUE when it is an ok. */
static gboolean
run_case (const CheckOp *op, guint index, const char *name, ZieCompute compute, ZieBackend *reference, ZieBackend *backend,
          const ZieDevice *device, guint number)
{
  Check check = {
    .op = op,
    .reference = reference,
    .backend = backend,
    .device = device,
    .compute = compute,
    .is_large = index >= op->n_cases - op->n_large,
    .random = hash_name (name, (guint64)options.seed),
    .buffers = g_ptr_array_new_with_free_func (buffer_free),
    .weights = g_ptr_array_new_with_free_func (weight_free),
    .failure = g_string_new (NULL),
    .report = g_string_new (NULL),
  };
  gboolean ok;

  set_repeat_line (name);
  op->run_case (&check, index);
  ok = check.failure->len == 0;
  printf ("%s %u - %s%s%s\n", ok ? "ok" : "not ok", number, name, check.report->len ? ": " : "", check.report->str);
  if (!ok)
    printf ("# %s\n# repeat: %s\n", check.failure->str, repeat_line);
  fflush (stdout);

  g_ptr_array_unref (check.buffers);
  g_ptr_array_unref (check.weights);
  g_string_free (check.failure, TRUE);
  g_string_free (check.report, TRUE);
  return ok;
}

/* Every case of every op for BACKEND; returns how many failed, *NUMBER counts them all. */
static guint
run_backend (ZieBackend *reference, ZieBackend *backend, const ZieDevice *device, guint *number)
{
  static const ZieCompute computes[] = { ZIE_COMPUTE_F32, ZIE_COMPUTE_BF16 };
  guint n_failed = 0;

  printf ("# %s: %s\n", device->name, device->detail);
  for (guint o = 0; o < G_N_ELEMENTS (ops); o++)
    for (guint i = 0; i < ops[o]->n_cases; i++)
      for (guint c = 0; c < (ops[o]->uses_compute ? 2u : 1u); c++)
        {
          g_autofree char *name = case_name (ops[o], i, backend, computes[c]);

          if (options.large != (i >= ops[o]->n_cases - ops[o]->n_large) || !is_wanted (name))
            continue;
          if (options.list)
            printf ("%s\n", name);
          else
            n_failed += !run_case (ops[o], i, name, computes[c], reference, backend, device, ++*number);
        }
  return n_failed;
}

static gboolean
parse_options (int *argc, char ***argv)
{
  const GOptionEntry entries[] = {
    { "filter", 0, 0, G_OPTION_ARG_STRING, &options.filter, "only cases whose name has this in it, or matches with * and ?", "TEXT" },
    { "backend", 0, 0, G_OPTION_ARG_STRING, &options.backend, "only this backend", "NAME" },
    { "seed", 0, 0, G_OPTION_ARG_INT64, &options.seed, "of all inputs (1)", "N" },
    { "list", 0, 0, G_OPTION_ARG_NONE, &options.list, "print the names of the cases", NULL },
    { "bench", 0, 0, G_OPTION_ARG_NONE, &options.bench, "time each case: best of many runs", NULL },
    { "large", 0, 0, G_OPTION_ARG_NONE, &options.large, "whole layers of the full-size model instead: cancelled, or timed", NULL },
    { NULL }
  };
  g_autoptr(GOptionContext) context = g_option_context_new ("- each op of each backend against the reference");
  g_autoptr(GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (g_option_context_parse (context, argc, argv, &error))
    return TRUE;
  fprintf (stderr, "%s\n", error->message);
  return FALSE;
}

int
main (int argc, char **argv)
{
  static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
  g_autoptr(ZieThreads) threads = NULL;
  g_autoptr(ZieBackend) reference = NULL;
  g_autoptr(GError) error = NULL;
  ZieDevice devices[16];
  guint n_devices, number = 0, n_failed = 0;

  program = argv[0];
  if (!parse_options (&argc, &argv))
    return 2;
  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    signal (fatal[i], on_fatal);

  /* More threads than cores, so that items are finished out of order; as many as cores for the clock. */
  threads = zie_threads_new (options.bench || options.large ? 0 : zie_threads_count_cores () + 1, FALSE);
  if (!(reference = zie_backend_open (ZIE_BACKEND_REF, 0, threads, &error)))
    g_error ("%s", error->message);

  n_devices = zie_list_devices (devices, G_N_ELEMENTS (devices));
  for (guint i = 0; i < n_devices; i++)
    {
      g_autoptr(ZieBackend) backend = NULL;
      const char *name = zie_backend_kind_name (devices[i].kind);

      if (options.backend ? !g_str_equal (options.backend, name) : devices[i].kind == ZIE_BACKEND_REF)
        continue;
      if (!(backend = zie_backend_open (devices[i].kind, devices[i].index, threads, &error)))
        {
          printf ("not ok %u - %s opens\n# %s\n", ++number, name, error->message);
          g_clear_error (&error);
          n_failed++;
          continue;
        }
      n_failed += run_backend (reference, backend, &devices[i], &number);
    }

  if (!options.list)
    printf (number ? "1..%u\n" : "1..%u # SKIP no such backend or case here\n", number);
  if (n_failed > 0)
    printf ("# %u of %u failed\n", n_failed, number);
  g_free (options.filter);
  g_free (options.backend);
  return n_failed > 0;
}
