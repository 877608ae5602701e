/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-cuda-weights"

/* The CUDA backend's opening, its weights, slots and loader on a runtime without a card (fake-runtime.h): that the right bytes
 * are in the right place when a kernel reads them, in whatever order the streams go on; that what fails, is cancelled or placed
 * anew ends and leaves a backend that works. */

#include <string.h>
#include <zie/zie-error.h>

#include "cuda-plugin.h"
#include "cuda-private.h"
#include "fake-runtime.h"

extern const ZieCudaPlugin zie_cuda_plugin;

/* --- in place of the plug-in's other files --- */

/* "Packed": the numbers from the last to the first. */
typedef struct
{
  cuda_bf16 *to;
  const cuda_bf16 *from;
  gsize n;
} Pack;

static void
pack (gpointer data)
{
  Pack *p = data;

  for (gsize i = 0; i < p->n; i++)
    p->to[i] = p->from[p->n - 1 - i];
  g_free (p);
}

int
zie_cuda_conv_pack (CudaStream stream, void *packed, const void *weight, int weight_is_f32, int in, int out, int ksize, int upsample)
{
  cudaError_t error = fake_try ("zie_cuda_conv_pack");
  Pack *p = g_new (Pack, 1);

  g_assert_false (weight_is_f32);
  *p = (Pack) { packed, weight, (gsize)in * (gsize)out * (gsize)(ksize * ksize) };
  if (error == cudaSuccess)
    fake_launch (stream, pack, p);
  else
    g_free (p);
  return (int)error;
}

void
cuda_ops_init (ZieOps *ops)
{
  *ops = (ZieOps) { .name = "cuda" };
}

/* --- weights --- */

#define MAX_WEIGHTS 6

typedef struct
{
  ZieWeight weights[MAX_WEIGHTS];
  guint8 *memory[MAX_WEIGHTS];       /* as a file holds it, at an odd address; owned */
  guint8 *expected[MAX_WEIGHTS];     /* as the device has to hold it; owned */
  guint8 *scales[MAX_WEIGHTS];       /* at an odd address; owned */
  ZieWeightBlock block;
  gsize size;                        /* on the device */
} TestBlock;

typedef struct
{
  TestBlock *blocks;
  guint n;
} Model;

static guint64 last_id;

static gboolean
is_conv (const ZieWeight *w)
{
  return w->use == ZIE_WEIGHT_CONV || w->use == ZIE_WEIGHT_UPCONV;
}

static gboolean
is_vector (const ZieWeight *w)
{
  return w->rows == 1 && !is_conv (w);
}

/* It stays as it is in the file. */
static gboolean
is_stored (const ZieWeight *w)
{
  return !is_vector (w) && !is_conv (w) && zie_dtype_is_quantised (w->dtype) && w->cols % 8 == 0;
}

/* Of its numbers on the device. */
static gsize
device_size (const ZieWeight *w)
{
  if (is_stored (w))
    return zie_dtype_row_size (w->dtype, w->cols) * (gsize)w->rows;
  return (gsize)(w->rows * w->cols) * (is_vector (w) ? sizeof (float) : sizeof (cuda_bf16));
}

/* By rows, while the loader goes by numbers. */
static guint8 *
expand (const ZieWeight *w)
{
  gsize n = (gsize)(w->rows * w->cols);
  guint8 *expected = g_malloc (device_size (w));
  g_autofree float *row = g_new (float, (gsize)w->cols);
  cuda_bf16 *numbers = (cuda_bf16 *)(gpointer)expected;

  if (is_stored (w))
    memcpy (expected, w->data, device_size (w));
  for (gint64 r = 0; r < w->rows && !is_stored (w); r++)
    {
      zie_weight_row_to_f32 (w, r, row);
      for (gint64 c = 0; c < w->cols; c++)
        if (is_vector (w))
          ((float *)(gpointer)expected)[c] = row[c];
        else
          numbers[r * w->cols + c] = zie_f32_to_bf16 (row[c]);
    }
  for (gsize i = 0; is_conv (w) && i < n / 2; i++)
    {
      cuda_bf16 other = numbers[i];
      numbers[i] = numbers[n - 1 - i];
      numbers[n - 1 - i] = other;
    }
  return expected;
}

static void
add_weight (TestBlock *b, GRand *random, ZieDtype dtype, gint64 rows, gint64 cols, ZieWeightUse use, int ksize)
{
  gsize size = zie_dtype_row_size (dtype, cols) * (gsize)rows;
  guint i = b->block.n_weights++;
  guint8 *memory = b->memory[i] = g_malloc (size + 1);

  g_assert_cmpuint (i, <, MAX_WEIGHTS);
  for (gsize k = 0; k <= size; k++)
    memory[k] = (guint8)g_rand_int (random);
  /* Numbers of moderate size, so that none is NaN: those have several bit patterns. */
  for (gsize k = 0; k < size && (dtype == ZIE_DTYPE_BF16 || dtype == ZIE_DTYPE_F16); k += 2)
    memory[1 + k + 1] &= 0xbb;
  for (gsize k = 0; k < size && dtype == ZIE_DTYPE_F32; k += 4)
    memory[1 + k + 3] &= 0xbb;
  for (gsize k = 0; k < size && dtype == ZIE_DTYPE_Q8_0; k += ZIE_Q8_0_BLOCK_SIZE)
    memory[1 + k + 1] &= 0xbb;
  for (gsize k = 0; k < size && dtype == ZIE_DTYPE_F8_E4M3; k++)
    memory[1 + k] &= 0xbf;
  b->weights[i] = (ZieWeight) { .data = memory + 1, .dtype = dtype, .rows = rows, .cols = cols, .use = use, .ksize = ksize };
  if (dtype == ZIE_DTYPE_F8_E4M3)
    {
      gint64 n_scales = g_rand_boolean (random) ? rows : 1;

      b->scales[i] = g_malloc ((gsize)n_scales * 4 + 1);
      for (gint64 k = 0; k < n_scales; k++)
        {
          float scale = (float)g_rand_double_range (random, 0.5, 2);
          memcpy (b->scales[i] + 1 + k * 4, &scale, 4);
        }
      b->weights[i].scales = b->scales[i] + 1;
      b->weights[i].n_scales = n_scales;
    }
  b->expected[i] = use == ZIE_WEIGHT_TABLE ? NULL : expand (&b->weights[i]);
  b->size += cuda_weight_size (&b->weights[i]);
}

/* Blocks like a network's: matrices and vectors of several types, some with a convolution, the first with a table. */
static Model *
model_new (guint n, guint32 seed)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (seed);
  static const ZieDtype types[] = { ZIE_DTYPE_BF16, ZIE_DTYPE_F32, ZIE_DTYPE_F16, ZIE_DTYPE_F8_E4M3, ZIE_DTYPE_Q8_0 };
  Model *self = g_new (Model, 1);

  *self = (Model) { g_new0 (TestBlock, n), n };
  for (guint i = 0; i < n; i++)
    {
      TestBlock *b = &self->blocks[i];

      if (i == 0)
        add_weight (b, random, ZIE_DTYPE_BF16, 50, 64, ZIE_WEIGHT_TABLE, 0);
      add_weight (b, random, types[i % 5], g_rand_int_range (random, 2, 70), 32 * g_rand_int_range (random, 1, 40), ZIE_WEIGHT_MATRIX, 0);
      add_weight (b, random, types[(i + 1) % 4], 1, g_rand_int_range (random, 1, 300), ZIE_WEIGHT_MATRIX, 0);
      if (i % 5 == 3)
        add_weight (b, random, types[i % 4], 24, 9 * 16, i % 2 ? ZIE_WEIGHT_UPCONV : ZIE_WEIGHT_CONV, 3);
      add_weight (b, random, types[(i + 2) % 5], 8, 32, ZIE_WEIGHT_MATRIX, 0);
      b->size = (b->size + 4095) / 4096 * 4096;
      b->block.id = ++last_id;
      b->block.weights = b->weights;
    }
  return self;
}

static void
model_free (Model *self)
{
  for (guint i = 0; i < self->n; i++)
    for (guint k = 0; k < MAX_WEIGHTS; k++)
      {
        g_free (self->blocks[i].memory[k]);
        g_free (self->blocks[i].expected[k]);
        g_free (self->blocks[i].scales[k]);
      }
  g_free (self->blocks);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Model, model_free)

/* --- jobs --- */

typedef struct
{
  ZieBackend backend;
  ZieThreads *threads;
  gint cancel;
  guint n_seen, n_wrong;
} Rig;

static const ZieBackendFuncs *
funcs (void)
{
  return zie_cuda_plugin.funcs;
}

static CudaBackend *
cuda_of (const Rig *rig)
{
  return rig->backend.data;
}

static Rig *
rig_new (GError **error)
{
  Rig *rig = g_new0 (Rig, 1);

  rig->threads = rig->backend.threads = zie_threads_new (2, FALSE);
  funcs ()->describe (&rig->backend.ops, &rig->backend.act, &rig->backend.best_compute);
  if (!funcs ()->open (&rig->backend, 0, error))
    {
      zie_threads_free (rig->threads);
      g_clear_pointer (&rig, g_free);
    }
  return rig;
}

static void
rig_free (Rig *rig)
{
  fake_fail (NULL, 0, cudaSuccess);
  fake_finish ();
  funcs ()->close (&rig->backend);
  zie_threads_free (rig->threads);
  g_free (rig);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Rig, rig_free)

static Rig *
open_or_die (void)
{
  g_autoptr(GError) error = NULL;
  Rig *rig = rig_new (&error);

  g_assert_no_error (error);
  return rig;
}

/* A kernel that reads a weight. */
typedef struct
{
  Rig *rig;
  const guint8 *got, *expected;
  gsize size;
} Look;

static void
look (gpointer data)
{
  Look *l = data;

  l->rig->n_seen++;
  l->rig->n_wrong += memcmp (l->got, l->expected, l->size) != 0;
  g_free (l);
}

static void
look_at (Rig *rig, const guint8 *got, const guint8 *expected, gsize size, guint *n)
{
  CudaBackend *cuda = cuda_of (rig);
  Look *l = g_new (Look, 1);

  *l = (Look) { rig, got, expected, size };
  g_assert_nonnull (got);
  fake_launch (cuda->compute, look, l);
  (*n)++;
}

/* Where blocks go: FLAGS[i] 'r' resident, 's' streamed, '-' not in the job. */
typedef struct
{
  ZieWeightPlaces places;
  ZieBlockPlace *each;               /* owned */
} Placement;

/* What plans allow to be locked. */
static guint64 pinned_limit = G_MAXUINT64;

static Placement
place_by (const Model *model, const char *flags, guint n_slots)
{
  Placement p = { .each = g_new0 (ZieBlockPlace, model->n) };

  p.places.places = p.each;
  p.places.pinned_limit = pinned_limit;
  for (guint i = 0; i < model->n; i++)
    {
      const TestBlock *b = &model->blocks[i];

      if (flags[i] == '-')
        continue;
      p.each[p.places.n_places++] = (ZieBlockPlace) { &b->block, b->size, flags[i] == 'r' };
      if (flags[i] == 's')
        {
          p.places.n_slots = n_slots;
          p.places.slot_size = MAX (p.places.slot_size, b->size);
        }
      else
        p.places.resident_size += b->size;
    }
  return p;
}

static gboolean
place (Rig *rig, const Model *model, const char *flags, guint n_slots, GError **error)
{
  Placement p = place_by (model, flags, n_slots);
  gboolean result = funcs ()->place (&rig->backend, &p.places, error);

  g_atomic_int_set (&rig->cancel, 0);
  rig->n_seen = rig->n_wrong = 0;
  g_free (p.each);
  return result;
}

/* As a network does around a block; FALSE: cancelled or failed.  *N: looks. */
static gboolean
use (Rig *rig, const TestBlock *b, guint *n)
{
  CudaBackend *cuda = cuda_of (rig);
  ZieOpCtx ctx = { .cancel = &rig->cancel, .failed = rig->backend.failed, .backend = cuda };

  cuda_weights_acquire (cuda->weights, &ctx, &b->block);
  if (zie_op_cancelled (&ctx))
    return FALSE;
  for (guint k = 0; k < b->block.n_weights; k++)
    if (b->expected[k] != NULL)
      {
        const ZieWeight *w = &b->weights[k];
        const float *scales = cuda_weights_find_scales (cuda->weights, w);

        look_at (rig, cuda_weights_find (cuda->weights, w), b->expected[k], device_size (w), n);
        g_assert_true ((scales != NULL) == (is_stored (w) && w->scales != NULL));
        if (scales != NULL)
          look_at (rig, (const guint8 *)scales, w->scales, (gsize)w->n_scales * sizeof (float), n);
      }
  cuda_weights_release (cuda->weights, &b->block);
  return !zie_op_cancelled (&ctx);
}

/* One job: WALK names blocks by letters from 'a'.  Whether it came to its end; then all that was read was right. */
static gboolean
run_job (Rig *rig, const Model *model, const char *flags, guint n_slots, const char *walk, GError **error)
{
  guint n = 0;
  gboolean is_whole = TRUE;

  if (!place (rig, model, flags, n_slots, error))
    return FALSE;
  for (const char *w = walk; *w != '\0' && is_whole; w++)
    is_whole = use (rig, &model->blocks[*w - 'a'], &n);
  fake_finish ();
  if (!funcs ()->check (&rig->backend, error))
    return FALSE;
  g_assert_true (is_whole || g_atomic_int_get (&rig->cancel));
  g_assert_cmpuint (rig->n_seen, ==, n);
  g_assert_cmpuint (rig->n_wrong, ==, 0);
  return is_whole;
}

static void
run_whole (Rig *rig, const Model *model, const char *flags, guint n_slots, const char *walk)
{
  g_autoptr(GError) error = NULL;
  gboolean is_whole = run_job (rig, model, flags, n_slots, walk, &error);

  g_assert_no_error (error);
  g_assert_true (is_whole);
}

/* FUNC in every order of the streams. */
static void
in_each_order (gconstpointer func)
{
  for (FakeOrder order = 0; order < FAKE_N_ORDERS; order++)
    for (guint32 seed = 1; seed <= (order == FAKE_RANDOM ? 3 : 1); seed++)
      {
        fake_start (order, seed);
        ((void (*) (void))(gsize)func) ();
      }
  fake_start (FAKE_EAGER, 0);
}

/* --- tests --- */

static void
resident (void)
{
  g_autoptr(Model) model = model_new (8, 1);
  g_autoptr(Rig) rig = open_or_die ();
  guint64 size = 0, copied;

  run_whole (rig, model, "rrrrrrrr", 0, "abcdefghabcdefgh");
  for (guint i = 0; i < model->n; i++)
    size += model->blocks[i].size;
  g_assert_cmpuint (funcs ()->get_held (&rig->backend), >=, size);
  g_assert_cmpuint (funcs ()->get_held (&rig->backend), <, size + (1 << 20));

  copied = fake_get_copied ();
  run_whole (rig, model, "rrrrrrrr", 0, "hgfedcba");
  g_assert_cmpuint (fake_get_copied (), ==, copied);           /* what is there stays */
  run_whole (rig, model, "rrr--rrr", 0, "abcfgh");
  g_assert_cmpuint (fake_get_copied (), ==, copied);
  run_whole (rig, model, "rrrrrrrr", 0, "abcdefgh");

  funcs ()->release (&rig->backend, FALSE);
  g_assert_cmpuint (funcs ()->get_held (&rig->backend), ==, 0);
  run_whole (rig, model, "rrrrrrrr", 0, "abcdefgh");
}

static void
streamed (void)
{
  g_autoptr(Model) model = model_new (8, 2);
  g_autoptr(Rig) rig = open_or_die ();
  guint64 copied;

  run_whole (rig, model, "rssssssr", 2, "abcdefgbcdefgbcdefgbcdefgh");
  run_whole (rig, model, "ssssssss", 2, "abcdefghhgfedcbaaabb");
  run_whole (rig, model, "ssssssss", 3, "abcdefghbadcfehg");

  /* Slots alone on the device. */
  copied = fake_get_copied ();
  g_assert_cmpuint (funcs ()->get_held (&rig->backend), <, 5 * model->blocks[0].size + (1 << 20));
  run_whole (rig, model, "ssssssss", 3, "abc");
  g_assert_cmpuint (fake_get_copied (), >, copied);

  /* Copies in the host's memory go too: stages and the card's own block and number are what is left. */
  g_assert_cmpuint (fake_get_n_pinned (), >, CUDA_N_STAGES + 2);
  funcs ()->release (&rig->backend, FALSE);
  g_assert_cmpuint (fake_get_n_pinned (), ==, CUDA_N_STAGES + 2);
}

/* Copies in locked memory keep to what the plan allows, also when the next one allows less. */
static void
pinned (void)
{
  static const guint allowed[] = { 3, 1, 0, 2 };
  g_autoptr(Model) model = model_new (8, 2);
  g_autoptr(Rig) rig = open_or_die ();

  for (guint i = 0; i < G_N_ELEMENTS (allowed); i++)
    {
      guint64 size = 0;

      for (guint j = 0; j < model->n; j++)
        size = MAX (size, model->blocks[j].size);
      pinned_limit = allowed[i] * size;
      run_whole (rig, model, "ssssssss", 2, "abcdefghabcdefghabcdefgh");
      g_assert_cmpuint (cuda_weights_get_total_locked (), <=, pinned_limit);
      g_assert_cmpint (cuda_weights_get_total_locked () > 0, ==, allowed[i] > 0);
    }
  pinned_limit = G_MAXUINT64;
}

/* Idle: the device's memory goes back, host copies stay and are what the next job reads; another model's job, or the end, frees them. */
static void
idle (void)
{
  g_autoptr(Model) model = model_new (8, 12), other = model_new (4, 13);
  g_autoptr(Rig) rig = open_or_die ();
  gsize base = fake_get_used ();
  guint n_pinned, n_pinned_calls;

  run_whole (rig, model, "rssssssr", 2, "abcdefgbcdefgbcdefgh");
  n_pinned = fake_get_n_pinned ();
  g_assert_cmpuint (n_pinned, >, CUDA_N_STAGES + 2);
  for (int i = 0; i < 3; i++)
    {
      funcs ()->release (&rig->backend, TRUE);
      g_assert_cmpuint (funcs ()->get_held (&rig->backend), ==, 0);
      g_assert_cmpuint (fake_get_used (), ==, base);
      g_assert_cmpuint (fake_get_n_pinned (), ==, n_pinned);
      n_pinned_calls = fake_count ("cudaHostAlloc");
      run_whole (rig, model, "rssssssr", 2, "abcdefgbcdefgh");
      g_assert_cmpuint (fake_count ("cudaHostAlloc"), ==, n_pinned_calls);
    }
  funcs ()->release (&rig->backend, TRUE);
  run_whole (rig, other, "rrrr", 0, "abcd");
  g_assert_cmpuint (fake_get_n_pinned (), ==, CUDA_N_STAGES + 2);
  run_whole (rig, model, "rssssssr", 2, "abcdefgbcdefgh");
  funcs ()->release (&rig->backend, TRUE);
  funcs ()->release (&rig->backend, FALSE);
  g_assert_cmpuint (fake_get_n_pinned (), ==, CUDA_N_STAGES + 2);
}

/* A block that was streamed stays from now on, and the other way round, with slots as they were. */
static void
placed_anew (void)
{
  g_autoptr(Model) model = model_new (8, 3), other = model_new (5, 4);
  g_autoptr(Rig) rig = open_or_die ();

  for (guint i = 0; i < model->n; i++)           /* one slot size for all */
    model->blocks[i].size = 1 << 19;
  run_whole (rig, model, "ssssssss", 2, "abcdefgh");
  run_whole (rig, model, "ssssssrr", 2, "ghabcdef");
  run_whole (rig, model, "rrssssss", 2, "abcdefgh");
  run_whole (rig, model, "ssrrssss", 2, "efabgh");
  run_whole (rig, model, "rrrrrrrr", 0, "abcdefgh");
  run_whole (rig, model, "ssssssss", 2, "hgfedcba");
  run_whole (rig, other, "srssr", 2, "abcdeabcde");
  run_whole (rig, model, "ssssssss", 2, "abcdefgh");
}

/* Memory of one model goes before the next one comes. */
static void
models_change (void)
{
  g_autoptr(Rig) rig = open_or_die ();

  for (guint32 i = 0; i < 4; i++)
    {
      g_autoptr(Model) model = model_new (6, 10 + i);

      run_whole (rig, model, i % 2 ? "rrrrrr" : "srsrsr", i % 2 ? 0 : 2, "abcdef");
      funcs ()->release (&rig->backend, FALSE);
    }
}

/* Quantised matrices take what they take in the file, others what bf16 takes. */
static void
sizes (void)
{
  float scales[64] = { 0 };
  ZieWeight w = { .dtype = ZIE_DTYPE_Q4_K, .rows = 64, .cols = 512, .use = ZIE_WEIGHT_MATRIX };

  g_assert_cmpuint (cuda_weight_size (&w), ==, 64 * 2 * 144);
  w.rows = 1;
  g_assert_cmpuint (cuda_weight_size (&w), ==, 512 * 4);
  w.rows = 64;
  w.dtype = ZIE_DTYPE_F16;
  g_assert_cmpuint (cuda_weight_size (&w), ==, 64 * 512 * 2);
  w.dtype = ZIE_DTYPE_F8_E4M3;
  g_assert_cmpuint (cuda_weight_size (&w), ==, 64 * 512);
  w.scales = (const guint8 *)scales;
  w.n_scales = 64;
  g_assert_cmpuint (cuda_weight_size (&w), ==, 64 * 512 + 256);
  w.cols = 500;                                  /* no whole vectors: bf16 */
  g_assert_cmpuint (cuda_weight_size (&w), ==, 64 * 500 * 2);
  w.use = ZIE_WEIGHT_TABLE;
  g_assert_cmpuint (cuda_weight_size (&w), ==, 0);
}

/* Weights that pass several stretches of locked memory, in the middle of rows and between weights. */
static void
large (void)
{
  g_autoptr(Model) model = model_new (1, 5);
  g_autoptr(GRand) random = g_rand_new_with_seed (5);
  g_autoptr(Rig) rig = open_or_die ();
  TestBlock *b = &model->blocks[0];

  add_weight (b, random, ZIE_DTYPE_Q6_K, 2500, 8192, ZIE_WEIGHT_MATRIX, 0);
  add_weight (b, random, ZIE_DTYPE_F8_E4M3, 2100, 9000, ZIE_WEIGHT_MATRIX, 0);
  b->size = (b->size + 4095) / 4096 * 4096;
  run_whole (rig, model, "r", 0, "a");
  run_whole (rig, model, "s", 2, "aa");
}

/* While a block is in use, the one that comes next has a slot: the one after it in the list, and from the second round on the one
 * that followed. */
static void
prefetch (void)
{
  g_autoptr(Model) model = model_new (4, 6);
  g_autoptr(Rig) rig = open_or_die ();
  g_autoptr(GError) error = NULL;
  CudaWeights *weights = cuda_of (rig)->weights;
  guint n = 0;

  place (rig, model, "ssss", 2, &error);
  g_assert_no_error (error);
  g_assert_true (use (rig, &model->blocks[0], &n));
  g_assert_nonnull (cuda_weights_find (weights, &model->blocks[1].weights[0]));
  for (const char *walk = "acbda"; *walk != '\0'; walk++)
    g_assert_true (use (rig, &model->blocks[*walk - 'a'], &n));
  g_assert_nonnull (cuda_weights_find (weights, &model->blocks[2].weights[0]));
  g_assert_true (use (rig, &model->blocks[2], &n));
  g_assert_nonnull (cuda_weights_find (weights, &model->blocks[1].weights[0]));
  fake_finish ();
  g_assert_true (funcs ()->check (&rig->backend, &error));
  g_assert_cmpuint (rig->n_wrong, ==, 0);

  /* A weight that has no place fails the job. */
  g_assert_null (cuda_weights_find (weights, &model->blocks[3].weights[0]));
  g_assert_false (funcs ()->check (&rig->backend, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_DEVICE_LOST);
}

static gpointer
cancel_soon (gpointer data)
{
  g_usleep (300);
  g_atomic_int_set ((gint *)data, 1);
  return NULL;
}

/* Jobs at random: what stays, what is streamed, which blocks take part; some are cancelled, some find nothing there. */
static void
fuzz (void)
{
  g_autoptr(Model) one = model_new (10, 7), two = model_new (10, 8);
  g_autoptr(Rig) rig = open_or_die ();
  g_autoptr(GRand) random = g_rand_new_with_seed (fake_count ("cudaMalloc") + 9);

  for (int job = 0; job < 60; job++)
    {
      const Model *model = g_rand_int_range (random, 0, 4) ? one : two;
      char flags[11] = "", walk[31] = "";
      guint n_walk = 0;
      GThread *thread = NULL;
      g_autoptr(GError) error = NULL;

      for (int i = 0; i < 10; i++)
        flags[i] = "rrssssss-"[g_rand_int_range (random, 0, 9)];
      for (int round = 0; round < 3; round++)
        for (int i = 0; i < 10; i++)
          if (flags[i] != '-' && g_rand_int_range (random, 0, 8))
            walk[n_walk++] = (char)('a' + i);
      if (g_rand_int_range (random, 0, 4) == 0)
        thread = g_thread_new ("cancel", cancel_soon, &rig->cancel);
      run_job (rig, model, flags, g_rand_int_range (random, 0, 5) ? 2 : 3, walk, &error);
      g_assert_no_error (error);
      if (thread != NULL)
        g_thread_join (thread);
      if (g_rand_int_range (random, 0, 8) == 0)
        funcs ()->release (&rig->backend, g_rand_boolean (random));
    }
}

/* A job that is cancelled before it begins does not wait for weights. */
static void
cancelled (void)
{
  g_autoptr(Model) model = model_new (4, 6);
  g_autoptr(Rig) rig = open_or_die ();
  g_autoptr(GError) error = NULL;
  guint n = 0;

  place (rig, model, "srss", 2, &error);
  g_assert_no_error (error);
  g_atomic_int_set (&rig->cancel, 1);
  for (guint i = 0; i < model->n; i++)
    g_assert_false (use (rig, &model->blocks[i], &n));
  g_assert_true (funcs ()->check (&rig->backend, &error));
  run_whole (rig, model, "srss", 2, "abcdabcd");
}

/* Cards that are too old are left out, with a reason; the others keep their numbers. */
static void
cards (void)
{
  ZieDevice devices[4];
  g_autofree char *all_good = zie_cuda_plugin.explain ();
  g_autofree char *some = NULL;

  g_assert_null (all_good);
  fake_set_cards (3, 2);
  g_assert_cmpuint (funcs ()->list (devices, 4), ==, 1);
  g_assert_cmpint (devices[0].index, ==, 2);
  some = zie_cuda_plugin.explain ();
  g_assert_nonnull (strstr (some, "card 0, has compute capability 7.0"));
  g_assert_nonnull (strstr (some, "\nno card, card 1,"));
  fake_set_cards (1, 0);
}

/* Opens, runs two jobs, closes; what fails is an error. */
static gboolean
try_all (const Model *model, gboolean is_lasting)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(Rig) rig = rig_new (&error);
  gboolean good;

  if (rig == NULL)
    {
      g_assert_error (error, ZIE_ERROR, error->code);
      return FALSE;
    }
  good = run_job (rig, model, "rrrrrr", 0, "abcdef", &error)
         && run_job (rig, model, "rssssr", 2, "abcdebcdebcdef", &error);
  if (good)
    return TRUE;
  g_assert_error (error, ZIE_ERROR, error->code);
  g_assert_true (fake_has_failed ());
  if (!is_lasting)
    {
      fake_fail (NULL, 0, cudaSuccess);
      run_whole (rig, model, "rrrrrr", 0, "abcdef");
      run_whole (rig, model, "rssssr", 2, "abcdebcdebcdef");
    }
  return FALSE;
}

/* Each call of FUNCTION fails once; what comes after is as if nothing had been. */
static void
each_fails (const char *function, cudaError_t code, gboolean is_lasting)
{
  g_autoptr(Model) model = model_new (6, 20);

  for (FakeOrder order = 0; order < FAKE_N_ORDERS; order++)
    {
      guint nth = 0, n_errors = 0;
      gboolean has_failed = TRUE;

      for (nth = 1; has_failed; nth++)
        {
          fake_start (order, nth);
          (is_lasting ? fake_lose : fake_fail) (function, nth, code);
          n_errors += !try_all (model, is_lasting);
          has_failed = fake_count (function) >= nth;
        }
      g_test_message ("%s: %u calls, %u errors", function, nth - 2, n_errors);
      g_assert_cmpuint (nth, >, 2);
    }
  fake_start (FAKE_EAGER, 0);
}

static void
failures (gconstpointer function)
{
  each_fails (function, g_str_has_suffix (function, "lloc") ? cudaErrorMemoryAllocation : cudaErrorInvalidValue, FALSE);
}

static void
lost (gconstpointer function)
{
  each_fails (function, cudaErrorLaunchFailure, TRUE);
}

int
main (int argc, char **argv)
{
  static const struct { const char *name; void (*func) (void); } tests[] = {
    { "resident", resident }, { "streamed", streamed }, { "pinned", pinned }, { "idle", idle }, { "placed-anew", placed_anew }, { "models-change", models_change },
    { "large", large }, { "prefetch", prefetch }, { "fuzz", fuzz }, { "cancelled", cancelled },
    { "cards", cards },
  };
  static const char *const failing[] = { "cudaMalloc", "cudaHostAlloc", "cudaMemcpyAsync", "cudaStreamCreateWithFlags",
                                         "cudaEventCreateWithFlags", "cudaEventRecord", "cudaStreamWaitEvent", "cudaEventSynchronize",
                                         "zie_cuda_conv_pack" };
  static const char *const losing[] = { "cudaMalloc", "cudaMemcpyAsync", "cudaEventRecord", "cudaStreamSynchronize", "zie_cuda_conv_pack" };

  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cuda-weights/sizes", sizes);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *path = g_strconcat ("/cuda-weights/", tests[i].name, NULL);
      g_test_add_data_func (path, (gconstpointer)(gsize)tests[i].func, in_each_order);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (failing); i++)
    {
      g_autofree char *path = g_strconcat ("/cuda-weights/fails/", failing[i], NULL);
      g_test_add_data_func (path, failing[i], failures);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (losing); i++)
    {
      g_autofree char *path = g_strconcat ("/cuda-weights/lost/", losing[i], NULL);
      g_test_add_data_func (path, losing[i], lost);
    }
  return g_test_run ();
}
