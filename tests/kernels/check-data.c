/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "check"

#include "check-private.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct
{
  guint8 *map;
  gsize map_size;
  float *scales;             /* of 8-bit floats; owned */
  ZieWeight weight;
} Weight;

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
  CheckBuffer *self = data;

  g_free (self->values);
  g_free (self->image);
  g_free (self->expected);
  g_free (self->got);
  g_free (self->again);
  g_free (self);
}

static CheckBuffer *
new_buffer (Check *check, CheckBufferKind kind, gint64 rows, gint64 cols, gint64 stride)
{
  CheckBuffer *self = g_new0 (CheckBuffer, 1);

  g_assert (stride == 0 || stride >= cols);
  self->kind = kind;
  self->lead = stride > 0 ? (stride - cols) / 2 : 0;
  stride = stride > 0 ? stride : cols;
  self->tensor = (ZieTensor) { NULL, ZIE_DTYPE_F32, rows, cols, stride, 0, 0 };
  self->n_floats = (gsize)(rows * stride) + 2 * CHECK_GUARD;
  g_ptr_array_add (check->buffers, self);
  return self;
}

static ZieTensor *
new_filled (Check *check, CheckBufferKind kind, gint64 rows, gint64 cols, gint64 stride, CheckInput input)
{
  CheckBuffer *self = new_buffer (check, kind, rows, cols, stride);

  self->values = g_new (float, (gsize)(rows * cols));
  for (gint64 r = 0; r < rows; r++)
    for (gint64 c = 0; c < cols; c++)
      self->values[r * cols + c] = fill_one (check, input, r, c, cols);
  return &self->tensor;
}

ZieTensor *
check_new_input (Check *check, gint64 rows, gint64 cols, gint64 stride, CheckInput input)
{
  return new_filled (check, CHECK_BUFFER_INPUT, rows, cols, stride, input);
}

ZieTensor *
check_new_inout (Check *check, gint64 rows, gint64 cols, gint64 stride, CheckInput input)
{
  return new_filled (check, CHECK_BUFFER_INOUT, rows, cols, stride, input);
}

ZieTensor *
check_new_output (Check *check, gint64 rows, gint64 cols, gint64 stride)
{
  return &new_buffer (check, CHECK_BUFFER_OUTPUT, rows, cols, stride)->tensor;
}

float *
check_get_values (Check *check, const ZieTensor *tensor)
{
  for (guint i = 0; i < check->buffers->len; i++)
    {
      CheckBuffer *buffer = check->buffers->pdata[i];

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
  g_free (self->scales);
  g_free (self);
}

/* N values as DTYPE stores them. */
static void
store_weight (Check *check, ZieDtype dtype, guint8 *dst, gint64 n, double scale, double mean)
{
  /* where the halves of a block stand, from its beginning */
  static const struct { ZieDtype dtype; int halves[2]; } quantised[] = {
    { ZIE_DTYPE_Q4_0, { 0, 0 } },     { ZIE_DTYPE_Q4_1, { 0, 2 } },   { ZIE_DTYPE_Q5_0, { 0, 0 } }, { ZIE_DTYPE_Q5_1, { 0, 2 } },
    { ZIE_DTYPE_Q8_0, { 0, 0 } },     { ZIE_DTYPE_Q2_K, { 80, 82 } }, { ZIE_DTYPE_Q4_K, { 0, 2 } }, { ZIE_DTYPE_Q5_K, { 0, 2 } },
    { ZIE_DTYPE_Q3_K, { 108, 108 } }, { ZIE_DTYPE_Q6_K, { 208, 208 } },
  };
  gsize size = zie_dtype_block_size (dtype);
  guint16 half;
  float v;

  for (guint t = 0; t < G_N_ELEMENTS (quantised); t++)
    if (quantised[t].dtype == dtype)
      {
        for (gsize i = 0; i < zie_dtype_row_size (dtype, n); i++)
          dst[i] = (guint8)check_random (check);
        for (gint64 block = 0; block < n / zie_dtype_block (dtype); block++)
          for (int h = 0; h < 2; h++)
            {
              half = zie_f32_to_f16 ((float)((mean + scale) / 64 * (1 + (double)(check_random (check) % 100) / 100)));
              memcpy (dst + (gsize)block * size + quantised[t].halves[h], &half, 2);
            }
        return;
      }
  if (size == 1)                                    /* 8-bit floats, but no NaN and no infinity */
    {
      for (gint64 i = 0; i < n; i++)
        dst[i] = (guint8)check_random (check) & 0xbb;
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
  self->weight = (ZieWeight) { .data = data, .dtype = dtype, .rows = rows, .cols = cols };
  if (dtype == ZIE_DTYPE_F8_E4M3 || dtype == ZIE_DTYPE_F8_E5M2)
    {
      self->weight.n_scales = dtype == ZIE_DTYPE_F8_E4M3 ? rows : 1;
      self->scales = g_new (float, (gsize)self->weight.n_scales);
      for (gint64 i = 0; i < self->weight.n_scales; i++)
        self->scales[i] = (float)(scale * (1 + (double)(check_random (check) % 100) / 100));
      self->weight.scales = (const guint8 *)self->scales;
    }
  store_weight (check, dtype, data, rows * cols, scale, rows == 1 ? 1 : 0);
  mprotect (self->map, self->map_size, PROT_READ);
  mprotect (self->map + readable, page, PROT_NONE);
  g_ptr_array_add (check->weights, self);
  return &self->weight;
}

void
check_draw_images (Check *check)
{
  for (guint i = 0; i < check->buffers->len; i++)
    {
      CheckBuffer *self = check->buffers->pdata[i];
      const ZieTensor *t = &self->tensor;

      if (self->image != NULL)
        continue;
      self->image = g_new (guint32, self->n_floats);
      for (gsize j = 0; j < self->n_floats; j++)
        self->image[j] = CHECK_POISON;
      for (gint64 r = 0; self->values != NULL && r < t->rows; r++)
        memcpy (self->image + CHECK_GUARD + r * t->stride + self->lead, self->values + r * t->cols,
                (gsize)t->cols * sizeof (float));
    }
}

gboolean
check_buffer_has (const CheckBuffer *self, gsize at)
{
  gsize stride = (gsize)self->tensor.stride, column;

  if (at < CHECK_GUARD || at >= self->n_floats - CHECK_GUARD)
    return FALSE;
  column = (at - CHECK_GUARD) % stride;
  return column >= (gsize)self->lead && column < (gsize)(self->lead + self->tensor.cols);
}

void
check_init_data (Check *check, guint64 seed)
{
  check->random = seed;
  check->buffers = g_ptr_array_new_with_free_func (buffer_free);
  check->weights = g_ptr_array_new_with_free_func (weight_free);
}

void
check_clear_data (Check *check)
{
  g_ptr_array_unref (check->buffers);
  g_ptr_array_unref (check->weights);
}
