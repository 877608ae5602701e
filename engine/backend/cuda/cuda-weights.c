/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cuda"

#include <string.h>
#include <zie/zie-device.h>

#include "cuda-private.h"

/* Weights come from mapped files: a loader thread fills pinned memory (the pool's threads convert on the way; quantised
 * matrices stay as they are stored) and the copy stream takes it to the device.  Blocks that stay have memory of their own; the others share slots, and the one
 * that followed last time is fetched while a block is in use.  Streamed blocks keep a pinned copy in the device's form
 * where the host has memory to spare, so that from the second time on a block is one copy at the link's full speed. */

#define ALIGN ((gsize)256)
/* What one thread converts at a time, bytes of the device's form. */
#define PIECE_SIZE ((gsize)512 << 10)
/* Numbers in whole blocks of every quantised type. */
#define WHOLE ((gint64)ZIE_DTYPE_MAX_BLOCK)
#define TOLD_SIZE ((guint64)1 << 30)
#define WAIT_US (20 * G_TIME_SPAN_MILLISECOND)
/* Of the memory that is free on the host, at most this share is locked. */
#define PINNED_SHARE 0.5

typedef struct
{
  const ZieWeightBlock *block;   /* borrowed until the next place () */
  guint64 id;
  gsize size;
  gboolean is_resident, is_packed;     /* is_packed: has convolutions, made on the device */
  guint8 *memory;                /* device, of a resident block; owned */
  guint8 *address;               /* device, while it is there */
  int slot;                      /* -1: in none */
  int successor;                 /* index of the streamed block that came after it last time; -1 */
  gboolean is_queued, is_there;  /* is_there: its copies are in the copy stream, ready says when they are done */
  cudaEvent_t ready;
  guint8 *pinned;                /* host copy in the device's form, or NULL; owned */
  gboolean is_pinned_filled;
  guint n_loaded;
} Block;

typedef struct
{
  int block;                     /* index, or -1 */
  gboolean in_use;
  cudaEvent_t free;              /* the last use is over */
} Slot;

typedef struct
{
  guint8 *memory;                /* pinned, CUDA_STAGE_SIZE */
  cudaEvent_t done;              /* its last copy */
} Stage;

typedef struct
{
  int block;
  gsize offset;
} Place;

/* Host memory that this process has locked for weights, of all cards. */
static _Atomic guint64 total_locked;

struct _CudaWeights
{
  CudaBackend *backend;
  ZieThreads *threads;

  GMutex lock;                   /* of all that follows, but for what only the loader uses */
  GCond changed;
  GThread *loader;
  GQueue queue;                  /* of index + 1 */
  gboolean is_busy, is_ending;

  GPtrArray *blocks;             /* of Block, owned */
  GHashTable *by_id;             /* id to index + 1 */
  GHashTable *by_data;           /* a weight's data to Place, owned */
  Slot *slots;
  guint n_slots;
  guint8 *slot_memory;
  gsize slot_size;
  int last_streamed;
  guint64 pinned_size, pinned_limit;   /* of the blocks' copies; also in total_locked */
  _Atomic guint64 held;

  /* The loader's own. */
  gboolean is_broken;            /* the block that is being loaded did not come whole */
  Stage stages[CUDA_N_STAGES];
  guint next_stage;
  gint64 load_start_us;          /* of a row of blocks without a pause, and its bytes */
  guint64 load_size;
  guint8 *raw;                   /* device: a convolution as stored, in bf16, before it is packed */
  gsize raw_size;
};

CudaStored
cuda_stored_type (ZieDtype dtype, gint64 rows, gint64 cols)
{
  static const struct { ZieDtype dtype; CudaStored type; } types[] = {
    { ZIE_DTYPE_Q4_0, CUDA_STORED_Q4_0 }, { ZIE_DTYPE_Q4_1, CUDA_STORED_Q4_1 }, { ZIE_DTYPE_Q5_0, CUDA_STORED_Q5_0 },
    { ZIE_DTYPE_Q5_1, CUDA_STORED_Q5_1 }, { ZIE_DTYPE_Q8_0, CUDA_STORED_Q8_0 }, { ZIE_DTYPE_Q2_K, CUDA_STORED_Q2_K },
    { ZIE_DTYPE_Q3_K, CUDA_STORED_Q3_K }, { ZIE_DTYPE_Q4_K, CUDA_STORED_Q4_K }, { ZIE_DTYPE_Q5_K, CUDA_STORED_Q5_K },
    { ZIE_DTYPE_Q6_K, CUDA_STORED_Q6_K }, { ZIE_DTYPE_F8_E4M3, CUDA_STORED_F8_E4M3 }, { ZIE_DTYPE_F8_E5M2, CUDA_STORED_F8_E5M2 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (types) && rows > 1 && cols % 8 == 0; i++)
    if (types[i].dtype == dtype)
      return types[i].type;
  return CUDA_N_STORED;
}

static gboolean
is_conv (const ZieWeight *weight)
{
  return weight->use == ZIE_WEIGHT_CONV || weight->use == ZIE_WEIGHT_UPCONV;
}

/* The type of its numbers on the card, before a convolution is packed. */
static ZieDtype
device_dtype (const ZieWeight *weight)
{
  if (is_conv (weight))
    return ZIE_DTYPE_BF16;
  if (weight->rows == 1)
    return ZIE_DTYPE_F32;
  return cuda_stored_type (weight->dtype, weight->rows, weight->cols) != CUDA_N_STORED ? weight->dtype : ZIE_DTYPE_BF16;
}

/* Of quantised weights with factors: where those begin, behind the numbers. */
static gsize
scales_offset (const ZieWeight *weight)
{
  return (zie_dtype_row_size (weight->dtype, weight->rows * weight->cols) + 15) & ~(gsize)15;
}

static gboolean
has_scales (const ZieWeight *weight)
{
  return weight->scales != NULL && !is_conv (weight) && cuda_stored_type (weight->dtype, weight->rows, weight->cols) != CUDA_N_STORED;
}

gsize
cuda_weight_size (const ZieWeight *weight)
{
  gsize size;

  if (weight->use == ZIE_WEIGHT_TABLE)
    return 0;
  if (is_conv (weight))
    size = zie_cuda_conv_packed_size ((int)(weight->cols / ((gint64)weight->ksize * weight->ksize)), (int)weight->rows, weight->ksize,
                                      weight->use == ZIE_WEIGHT_UPCONV);
  else if (has_scales (weight))
    size = scales_offset (weight) + (gsize)weight->n_scales * sizeof (float);
  else
    size = zie_dtype_row_size (device_dtype (weight), weight->rows * weight->cols);
  return (size + ALIGN - 1) & ~(ALIGN - 1);
}

/* As stored, before it is packed. */
gsize
cuda_weight_scratch (const ZieWeight *weight)
{
  return is_conv (weight) ? ((gsize)(weight->rows * weight->cols) * sizeof (cuda_bf16) + ALIGN - 1) & ~(ALIGN - 1) : 0;
}

static void
block_free (gpointer data)
{
  Block *block = data;

  if (block == NULL)             /* taken over by the next list */
    return;
  cudaFree (block->memory);
  if (block->pinned != NULL)
    total_locked -= block->size;
  cudaFreeHost (block->pinned);
  if (block->ready != NULL)
    cudaEventDestroy (block->ready);
  g_free (block);
}

/* --- the loader --- */

/* Numbers [from, from + n) of a weight, to a place in host memory as the card shall have them; n = 0: its scales. */
typedef struct
{
  const ZieWeight *weight;
  gint64 from, n;
  guint8 *to;
} Piece;

static void
convert_piece (gpointer data, gint64 item, guint thread)
{
  const Piece *piece = &((const Piece *)data)[item];
  const ZieWeight *w = piece->weight;
  ZieDtype dtype = device_dtype (w);
  float numbers[1024];

  if (piece->n == 0)
    {
      memcpy (piece->to, w->scales, (gsize)w->n_scales * sizeof (float));
      return;
    }
  if (dtype == ZIE_DTYPE_F32)
    {
      zie_weight_numbers_to_f32 (w, piece->from, piece->n, (float *)(gpointer)piece->to);
      return;
    }
  if (w->dtype == dtype && (dtype != ZIE_DTYPE_BF16 || w->scales == NULL))
    {
      memcpy (piece->to, w->data + zie_dtype_row_size (dtype, piece->from), zie_dtype_row_size (dtype, piece->n));
      return;
    }
  for (gint64 i = 0; i < piece->n; i += (gint64)G_N_ELEMENTS (numbers))
    {
      gint64 n = MIN (piece->n - i, (gint64)G_N_ELEMENTS (numbers));
      cuda_bf16 *to = (cuda_bf16 *)(gpointer)piece->to + i;

      zie_weight_numbers_to_f32 (w, piece->from + i, n, numbers);
      for (gint64 j = 0; j < n; j++)
        to[j] = zie_f32_to_bf16 (numbers[j]);
    }
}

static void
convert (CudaWeights *self, GArray *pieces)
{
  if (self->threads != NULL && pieces->len > 1)
    zie_threads_run (self->threads, pieces->len, NULL, convert_piece, pieces->data);
  else
    for (guint i = 0; i < pieces->len; i++)
      convert_piece (pieces->data, i, 0);
  g_array_set_size (pieces, 0);
}

static void
add_pieces (GArray *pieces, const ZieWeight *weight, gint64 from, gint64 n, guint8 *to)
{
  ZieDtype dtype = device_dtype (weight);
  gint64 step = (gint64)(PIECE_SIZE / zie_dtype_row_size (dtype, WHOLE)) * WHOLE;

  for (gint64 i = 0; i < n; i += step)
    {
      Piece piece = { weight, from + i, MIN (step, n - i), to + zie_dtype_row_size (dtype, i) };
      g_array_append_val (pieces, piece);
    }
}

static void
add_scales (GArray *pieces, const ZieWeight *weight, guint8 *to)
{
  Piece piece = { weight, 0, 0, to };

  g_array_append_val (pieces, piece);
}

/* A failure stops the job, and the block that is being loaded is not there. */
static gboolean
load_ok (CudaWeights *self, cudaError_t code)
{
  if (cuda_ok (self->backend, code, "loading weights"))
    return TRUE;
  self->is_broken = TRUE;
  return FALSE;
}

/* NULL: its last copy may still be on its way. */
static Stage *
take_stage (CudaWeights *self)
{
  Stage *stage = &self->stages[self->next_stage];

  self->next_stage = (self->next_stage + 1) % CUDA_N_STAGES;
  return load_ok (self, cudaEventSynchronize (stage->done)) ? stage : NULL;
}

static void
send (CudaWeights *self, Stage *stage, void *to, gsize size)
{
  cudaStream_t copy = self->backend->copy;

  if (size > 0)
    load_ok (self, cudaMemcpyAsync (to, stage->memory, size, cudaMemcpyHostToDevice, copy));
  load_ok (self, cudaEventRecord (stage->done, copy));
}

/* The convolution goes over as stored and is packed there. */
static void
load_conv (CudaWeights *self, GArray *pieces, const ZieWeight *w, void *to)
{
  gint64 n = w->rows * w->cols, step = (gint64)(CUDA_STAGE_SIZE / sizeof (cuda_bf16));
  int in = (int)(w->cols / ((gint64)w->ksize * w->ksize));

  for (gint64 i = 0; i < n; i += step)
    {
      Stage *stage = take_stage (self);
      gint64 part = MIN (step, n - i);

      if (stage == NULL)
        return;
      add_pieces (pieces, w, i, part, stage->memory);
      convert (self, pieces);
      send (self, stage, self->raw + (gsize)i * sizeof (cuda_bf16), (gsize)part * sizeof (cuda_bf16));
    }
  load_ok (self, (cudaError_t)zie_cuda_conv_pack ((CudaStream)self->backend->copy, to, self->raw, FALSE, in, (int)w->rows, w->ksize,
                                                  w->use == ZIE_WEIGHT_UPCONV));
}

/* A stretch of a block, [begin, begin + used), that STAGE is being filled with; STAGE NULL: none. */
typedef struct
{
  Stage *stage;
  gsize begin, used;
  GArray *pieces;
} Stretch;

static void
end_stretch (CudaWeights *self, const Block *block, Stretch *stretch)
{
  if (stretch->stage == NULL)
    return;
  convert (self, stretch->pieces);
  send (self, stretch->stage, block->address + stretch->begin, stretch->used);
  stretch->stage = NULL;
}

/* Where in the locked memory byte AT of the block goes, with room for at least SIZE bytes from there; NULL: failed. */
static guint8 *
reach (CudaWeights *self, const Block *block, Stretch *stretch, gsize at, gsize size)
{
  if (stretch->stage != NULL && at - stretch->begin + size > CUDA_STAGE_SIZE)
    end_stretch (self, block, stretch);
  if (stretch->stage == NULL)
    {
      if ((stretch->stage = take_stage (self)) == NULL)
        return NULL;
      stretch->begin = at;
    }
  return stretch->stage->memory + (at - stretch->begin);
}

/* The weight whose device form begins at byte OFFSET of the block; FALSE: failed. */
static gboolean
load_numbers (CudaWeights *self, const Block *block, Stretch *stretch, const ZieWeight *w, gsize offset)
{
  ZieDtype dtype = device_dtype (w);
  gsize whole_size = zie_dtype_row_size (dtype, WHOLE), scales_size = (gsize)w->n_scales * sizeof (float);
  gint64 n = w->rows * w->cols, from = 0;
  guint8 *to;

  while (from < n)
    {
      gsize at = offset + zie_dtype_row_size (dtype, from);
      gint64 part;

      if ((to = reach (self, block, stretch, at, whole_size)) == NULL)
        return FALSE;
      part = (gint64)((CUDA_STAGE_SIZE - (at - stretch->begin)) / whole_size) * WHOLE;
      part = MIN (n - from, part);
      add_pieces (stretch->pieces, w, from, part, to);
      stretch->used = at - stretch->begin + zie_dtype_row_size (dtype, part);
      from += part;
    }
  if (!has_scales (w))
    return TRUE;
  offset += scales_offset (w);
  if ((to = reach (self, block, stretch, offset, scales_size)) == NULL)
    return FALSE;
  add_scales (stretch->pieces, w, to);
  stretch->used = offset - stretch->begin + scales_size;
  return TRUE;
}

/* Through the stages: weights in the device's form lie one after the other, so a stage holds a stretch of several. */
static void
load_staged (CudaWeights *self, const Block *block)
{
  g_autoptr(GArray) pieces = g_array_new (FALSE, FALSE, sizeof (Piece));
  Stretch stretch = { .pieces = pieces };
  gsize offset = 0;

  for (guint i = 0; i < block->block->n_weights; i++)
    {
      const ZieWeight *w = &block->block->weights[i];
      gsize size = cuda_weight_size (w);

      if (g_atomic_int_get (&self->backend->failed))
        {
          self->is_broken = TRUE;                /* the rest of it is not loaded */
          return;
        }
      if (size == 0)
        continue;
      if (is_conv (w))
        {
          end_stretch (self, block, &stretch);
          load_conv (self, pieces, w, block->address + offset);
        }
      else if (!load_numbers (self, block, &stretch, w, offset))
        return;
      offset += size;
    }
  end_stretch (self, block, &stretch);
}

static void
fill_pinned (CudaWeights *self, Block *block)
{
  g_autoptr(GArray) pieces = g_array_new (FALSE, FALSE, sizeof (Piece));
  gsize offset = 0;

  for (guint i = 0; i < block->block->n_weights; i++)
    {
      const ZieWeight *w = &block->block->weights[i];

      if (cuda_weight_size (w) > 0)
        {
          add_pieces (pieces, w, 0, w->rows * w->cols, block->pinned + offset);
          if (has_scales (w))
            add_scales (pieces, w, block->pinned + offset + scales_offset (w));
        }
      offset += cuda_weight_size (w);
    }
  convert (self, pieces);
  block->is_pinned_filled = TRUE;
}

/* A host copy, where the block will be needed again and memory can be spared. */
static void
try_pinning (CudaWeights *self, Block *block)
{
  if (block->n_loaded++ == 0)                    /* locking takes longer than one copy: only for what comes again */
    return;
  if (block->pinned != NULL || block->is_resident || block->is_packed || self->pinned_size + block->size > self->pinned_limit)
    return;
  if (cudaHostAlloc ((void **)&block->pinned, block->size, cudaHostAllocDefault) != cudaSuccess)
    {
      cudaGetLastError ();
      block->pinned = NULL;
      self->pinned_limit = self->pinned_size;    /* no more is to be had */
      return;
    }
  self->pinned_size += block->size;
  total_locked += block->size;
}

static void
load_block (CudaWeights *self, Block *block)
{
  CudaBackend *backend = self->backend;

  if (block->slot >= 0)
    load_ok (self, cudaStreamWaitEvent (backend->copy, self->slots[block->slot].free, 0));
  try_pinning (self, block);
  if (block->pinned != NULL)
    {
      if (!block->is_pinned_filled)
        fill_pinned (self, block);
      load_ok (self, cudaMemcpyAsync (block->address, block->pinned, block->size, cudaMemcpyHostToDevice, backend->copy));
    }
  else
    load_staged (self, block);
  load_ok (self, cudaEventRecord (block->ready, backend->copy));
}

/* How fast the last blocks came that were asked for at once. */
static void
tell_load (CudaWeights *self)
{
  double seconds = (double)(g_get_monotonic_time () - self->load_start_us) / G_USEC_PER_SEC;

  if (self->load_size > TOLD_SIZE)
    g_debug ("loaded %.2f GB in %.3f s: %.1f GB/s", (double)self->load_size / 1e9, seconds, (double)self->load_size / 1e9 / seconds);
  self->load_size = 0;
}

static gpointer
loader_main (gpointer data)
{
  CudaWeights *self = data;

  cudaSetDevice (self->backend->index);
  g_mutex_lock (&self->lock);
  while (!self->is_ending)
    {
      int index = GPOINTER_TO_INT (g_queue_pop_head (&self->queue)) - 1;
      Block *block;

      if (index < 0)
        {
          g_cond_wait (&self->changed, &self->lock);
          continue;
        }
      block = g_ptr_array_index (self->blocks, (guint)index);
      self->is_busy = TRUE;
      g_mutex_unlock (&self->lock);

      if (self->load_size == 0)
        self->load_start_us = g_get_monotonic_time ();
      self->is_broken = FALSE;
      load_block (self, block);
      self->load_size += block->size;
      *(block->is_resident ? &self->backend->n_loaded : &self->backend->n_streamed) += block->size;

      g_mutex_lock (&self->lock);
      if (g_queue_is_empty (&self->queue))
        tell_load (self);
      self->is_busy = FALSE;
      block->is_queued = FALSE;
      block->is_there = !self->is_broken;
      g_cond_broadcast (&self->changed);
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* Lock held.  What waits is forgotten, what is being loaded is waited for. */
static void
settle (CudaWeights *self)
{
  gpointer item;

  while ((item = g_queue_pop_head (&self->queue)) != NULL)
    ((Block *)g_ptr_array_index (self->blocks, (guint)GPOINTER_TO_INT (item) - 1))->is_queued = FALSE;
  while (self->is_busy)
    g_cond_wait (&self->changed, &self->lock);
  cudaStreamSynchronize (self->backend->copy);
  cudaStreamSynchronize (self->backend->compute);
}

/* Lock held.  URGENT: before all others. */
static void
request (CudaWeights *self, int index, gboolean urgent)
{
  Block *block = g_ptr_array_index (self->blocks, (guint)index);
  gpointer item = GINT_TO_POINTER (index + 1);

  if (block->is_there)
    return;
  if (!block->is_queued)
    {
      block->is_queued = TRUE;
      g_queue_push_tail (&self->queue, item);
    }
  if (urgent && g_queue_remove (&self->queue, item))
    g_queue_push_head (&self->queue, item);
  g_cond_broadcast (&self->changed);
}

/* --- placing --- */

static guint64
count_held (const CudaWeights *self)
{
  guint64 held = self->slot_memory ? self->n_slots * (guint64)self->slot_size : 0;

  for (guint i = 0; i < self->blocks->len; i++)
    {
      const Block *block = g_ptr_array_index (self->blocks, i);
      held += block->memory ? block->size : 0;
    }
  return held + self->raw_size;
}

static void
leave_slot (Block *block)
{
  if (block->slot < 0)
    return;
  block->slot = -1;
  block->address = NULL;
  block->is_there = FALSE;
}

static void
free_slots (CudaWeights *self)
{
  for (guint i = 0; i < self->n_slots; i++)
    cudaEventDestroy (self->slots[i].free);
  g_clear_pointer (&self->slots, g_free);
  cudaFree (self->slot_memory);
  self->slot_memory = NULL;
  self->n_slots = 0;
  self->slot_size = 0;
  self->last_streamed = -1;
  for (guint i = 0; i < self->blocks->len; i++)
    leave_slot (g_ptr_array_index (self->blocks, i));
}

static void
unplace (Block *block)
{
  cudaFree (block->memory);
  block->memory = NULL;
  block->address = NULL;
  block->is_there = FALSE;
}

/* Its copy in the host's memory goes. */
static void
unpin (CudaWeights *self, Block *block)
{
  if (block->pinned == NULL)
    return;
  cudaFreeHost (g_steal_pointer (&block->pinned));
  self->pinned_size -= block->size;
  total_locked -= block->size;
  block->is_pinned_filled = FALSE;
}

static Block *
block_new (const ZieBlockPlace *place)
{
  Block *block = g_new0 (Block, 1);

  block->block = place->block;
  block->id = place->block->id;
  block->size = place->size;
  block->slot = block->successor = -1;
  for (guint i = 0; i < place->block->n_weights; i++)
    block->is_packed |= is_conv (&place->block->weights[i]);
  return block;
}

/* The list of blocks becomes that of PLACES; those that were known keep what they have. */
static void
adopt_blocks (CudaWeights *self, const ZieWeightPlaces *places)
{
  g_autoptr(GPtrArray) old = g_steal_pointer (&self->blocks);
  g_autoptr(GHashTable) old_ids = g_steal_pointer (&self->by_id);

  self->blocks = g_ptr_array_new_with_free_func (block_free);
  self->by_id = g_hash_table_new (g_int64_hash, g_int64_equal);
  g_hash_table_remove_all (self->by_data);
  for (guint i = 0; i < places->n_places; i++)
    {
      const ZieBlockPlace *place = &places->places[i];
      guint known = GPOINTER_TO_UINT (g_hash_table_lookup (old_ids, &place->block->id));
      Block *block = known > 0 ? g_steal_pointer (&g_ptr_array_index (old, known - 1)) : block_new (place);
      gsize offset = 0;

      block->successor = -1;
      if (block->is_resident && !place->is_resident)
        unplace (block);
      if (!block->is_resident && place->is_resident)
        leave_slot (block);
      block->is_resident = place->is_resident;
      if (block->is_resident)
        unpin (self, block);
      g_ptr_array_add (self->blocks, block);
      g_hash_table_insert (self->by_id, &block->id, GUINT_TO_POINTER (i + 1));
      for (guint j = 0; j < block->block->n_weights; j++)
        {
          Place *at = g_new (Place, 1);
          *at = (Place) { (int)i, offset };
          g_hash_table_insert (self->by_data, (gpointer)block->block->weights[j].data, at);
          offset += cuda_weight_size (&block->block->weights[j]);
        }
    }
  for (guint i = 0; i < old->len; i++)
    {
      const Block *gone = g_ptr_array_index (old, i);
      if (gone != NULL && gone->pinned != NULL)
        self->pinned_size -= gone->size;
    }
}

static gsize
largest_conv (const ZieWeightPlaces *places)
{
  gsize size = 0;

  for (guint i = 0; i < places->n_places; i++)
    for (guint j = 0; j < places->places[i].block->n_weights; j++)
      size = MAX (size, cuda_weight_scratch (&places->places[i].block->weights[j]));
  return size;
}

static cudaError_t
reserve (CudaWeights *self, const ZieWeightPlaces *places)
{
  gsize raw = largest_conv (places);
  cudaError_t code;

  if (raw != self->raw_size)                     /* exactly what the plan counted */
    {
      cudaFree (self->raw);
      self->raw = NULL;
      self->raw_size = 0;
      if (raw > 0 && (code = cudaMalloc ((void **)&self->raw, raw)) != cudaSuccess)
        return code;
      self->raw_size = raw;
    }
  if (places->n_slots > 0 && self->slot_memory == NULL)
    {
      if ((code = cudaMalloc ((void **)&self->slot_memory, places->n_slots * places->slot_size)) != cudaSuccess)
        return code;
      self->slots = g_new0 (Slot, places->n_slots);
      self->slot_size = places->slot_size;
      for (guint i = 0; i < places->n_slots; i++, self->n_slots++)
        {
          self->slots[i].block = -1;
          if ((code = cudaEventCreateWithFlags (&self->slots[i].free, cudaEventDisableTiming)) != cudaSuccess)
            return code;
        }
    }
  for (guint i = 0; i < self->blocks->len; i++)
    {
      Block *block = g_ptr_array_index (self->blocks, i);

      if (block->ready == NULL && (code = cudaEventCreateWithFlags (&block->ready, cudaEventDisableTiming)) != cudaSuccess)
        return code;
      if (block->is_resident && block->memory == NULL && block->size > 0)
        {
          if ((code = cudaMalloc ((void **)&block->memory, block->size)) != cudaSuccess)
            return code;
          block->address = block->memory;
          self->held += block->size;             /* at once: plans are made meanwhile, and the driver's figure falls with each */
        }
    }
  return cudaSuccess;
}

guint64
cuda_weights_get_total_locked (void)
{
  return total_locked;
}

/* What may be locked: what the plan says, or half of what is free now, what is locked already counted as free; copies that were
 * made for a plan with more go. */
static void
limit_pinned (CudaWeights *self, guint64 planned)
{
  ZieMemoryUse use = { 0 };

  zie_query_memory (&use);
  self->pinned_limit = MIN (planned, (guint64)(PINNED_SHARE * (double)(use.ram_available + self->pinned_size)));
  for (guint i = self->blocks->len; i > 0 && self->pinned_size > self->pinned_limit; i--)
    unpin (self, g_ptr_array_index (self->blocks, i - 1));
}

void
cuda_weights_settle (CudaWeights *self)
{
  g_mutex_lock (&self->lock);
  settle (self);
  g_mutex_unlock (&self->lock);
}

gboolean
cuda_weights_place (CudaWeights *self, const ZieWeightPlaces *places, GError **error)
{
  cudaError_t code;

  g_mutex_lock (&self->lock);
  settle (self);
  if (places->n_slots != self->n_slots || places->slot_size != self->slot_size)
    free_slots (self);
  adopt_blocks (self, places);
  for (guint i = 0; i < self->n_slots; i++)      /* indices are new */
    {
      self->slots[i].block = -1;
      self->slots[i].in_use = FALSE;
    }
  for (guint i = 0; i < self->blocks->len; i++)
    {
      Block *block = g_ptr_array_index (self->blocks, i);
      if (block->slot >= 0)
        self->slots[block->slot].block = (int)i;
    }
  self->last_streamed = -1;
  limit_pinned (self, places->pinned_limit);
  self->held = count_held (self);
  code = reserve (self, places);
  self->held = count_held (self);
  if (code != cudaSuccess)
    {
      cudaGetLastError ();
      for (guint i = 0; i < self->blocks->len; i++)
        unplace (g_ptr_array_index (self->blocks, i));
      free_slots (self);
      self->held = count_held (self);
      g_mutex_unlock (&self->lock);
      cuda_set_error (error, code, "memory for the weights");
      return FALSE;
    }
  for (guint i = 0; i < self->blocks->len; i++)
    if (((const Block *)g_ptr_array_index (self->blocks, i))->is_resident)
      request (self, (int)i, FALSE);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

void
cuda_weights_drop (CudaWeights *self, gboolean keep_host_copies)
{
  g_mutex_lock (&self->lock);
  settle (self);
  for (guint i = 0; i < self->blocks->len; i++)
    {
      unplace (g_ptr_array_index (self->blocks, i));
      if (!keep_host_copies)
        unpin (self, g_ptr_array_index (self->blocks, i));
    }
  free_slots (self);
  cudaFree (self->raw);
  self->raw = NULL;
  self->raw_size = 0;
  self->held = 0;
  g_mutex_unlock (&self->lock);
}

guint64
cuda_weights_get_held (CudaWeights *self)
{
  return self->held;
}

/* --- use --- */

/* Lock held.  A slot whose block is not in use, the current one's neighbour; -1: none. */
static int
take_slot (CudaWeights *self)
{
  for (guint i = 0; i < self->n_slots; i++)
    if (!self->slots[i].in_use)
      {
        Block *old = self->slots[i].block >= 0 ? g_ptr_array_index (self->blocks, (guint)self->slots[i].block) : NULL;

        if (old != NULL && old->is_queued)       /* on its way: a block that is being loaded keeps its slot */
          continue;
        if (old != NULL)
          {
            old->slot = -1;
            old->address = NULL;
            old->is_there = FALSE;
          }
        self->slots[i].block = -1;
        return (int)i;
      }
  return -1;
}

/* Lock held.  FALSE: every slot is taken. */
static gboolean
assign_slot (CudaWeights *self, int index)
{
  Block *block = g_ptr_array_index (self->blocks, (guint)index);
  int slot;

  if (block->is_resident || block->slot >= 0)
    return TRUE;
  if ((slot = take_slot (self)) < 0)
    return FALSE;
  block->slot = slot;
  block->address = self->slot_memory + (gsize)slot * self->slot_size;
  self->slots[slot].block = index;
  return TRUE;
}

static int
next_streamed (const CudaWeights *self, int index)
{
  for (guint i = (guint)index + 1; i < self->blocks->len; i++)
    if (!((const Block *)g_ptr_array_index (self->blocks, i))->is_resident)
      return (int)i;
  return -1;
}

/* Lock held.  While block INDEX is in use, the one after it comes. */
static void
prefetch (CudaWeights *self, int index)
{
  Block *block = g_ptr_array_index (self->blocks, (guint)index);
  int next;

  if (self->last_streamed >= 0 && self->last_streamed != index)
    ((Block *)g_ptr_array_index (self->blocks, (guint)self->last_streamed))->successor = index;
  self->last_streamed = index;
  next = block->successor >= 0 ? block->successor : next_streamed (self, index);
  if (next >= 0 && next != index && assign_slot (self, next))
    request (self, next, TRUE);
}

void
cuda_weights_acquire (CudaWeights *self, const ZieOpCtx *ctx, const ZieWeightBlock *wanted)
{
  CudaBackend *backend = self->backend;
  Block *block;
  int index;

  g_mutex_lock (&self->lock);
  index = GPOINTER_TO_INT (g_hash_table_lookup (self->by_id, &wanted->id)) - 1;
  if (index < 0)
    {
      g_mutex_unlock (&self->lock);
      cuda_ok (backend, cudaErrorInvalidValue, "a block of weights was not planned for");
      return;
    }

  block = g_ptr_array_index (self->blocks, (guint)index);
  while (!block->is_there && !zie_op_cancelled (ctx))
    {
      if (assign_slot (self, index))
        request (self, index, TRUE);
      g_cond_wait_until (&self->changed, &self->lock, g_get_monotonic_time () + WAIT_US);
    }
  if (block->is_there)
    {
      cuda_ok (backend, cudaStreamWaitEvent (backend->compute, block->ready, 0), "waiting for weights");
      if (block->slot >= 0)
        {
          self->slots[block->slot].in_use = TRUE;
          prefetch (self, index);
        }
    }
  g_mutex_unlock (&self->lock);
}

void
cuda_weights_release (CudaWeights *self, const ZieWeightBlock *used)
{
  int index;

  g_mutex_lock (&self->lock);
  index = GPOINTER_TO_INT (g_hash_table_lookup (self->by_id, &used->id)) - 1;
  if (index >= 0)
    {
      const Block *block = g_ptr_array_index (self->blocks, (guint)index);

      if (block->slot >= 0 && self->slots[block->slot].in_use)
        {
          cuda_ok (self->backend, cudaEventRecord (self->slots[block->slot].free, self->backend->compute), "streaming weights");
          self->slots[block->slot].in_use = FALSE;
        }
    }
  g_mutex_unlock (&self->lock);
}

/* Only the worker changes the tables and the addresses of blocks in use, so it may look without the lock. */
void *
cuda_weights_find (CudaWeights *self, const ZieWeight *weight)
{
  const Place *place = g_hash_table_lookup (self->by_data, weight->data);
  const Block *block = place ? g_ptr_array_index (self->blocks, (guint)place->block) : NULL;

  if (block == NULL || block->address == NULL)
    {
      cuda_ok (self->backend, cudaErrorInvalidValue, "a weight is not on the card");
      return NULL;
    }
  return block->address + place->offset;
}

const float *
cuda_weights_find_scales (CudaWeights *self, const ZieWeight *weight)
{
  const guint8 *address = has_scales (weight) ? cuda_weights_find (self, weight) : NULL;

  return address ? (const float *)(gconstpointer)(address + scales_offset (weight)) : NULL;
}

CudaWeights *
cuda_weights_new (CudaBackend *backend, ZieThreads *threads)
{
  CudaWeights *self = g_new0 (CudaWeights, 1);

  self->backend = backend;
  self->threads = threads;
  self->last_streamed = -1;
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  g_queue_init (&self->queue);
  self->blocks = g_ptr_array_new_with_free_func (block_free);
  self->by_id = g_hash_table_new (g_int64_hash, g_int64_equal);
  self->by_data = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, g_free);
  for (guint i = 0; i < CUDA_N_STAGES; i++)
    {
      cuda_ok (backend, cudaHostAlloc ((void **)&self->stages[i].memory, CUDA_STAGE_SIZE, cudaHostAllocDefault), "locked memory");
      cuda_ok (backend, cudaEventCreateWithFlags (&self->stages[i].done, cudaEventDisableTiming | cudaEventBlockingSync), "an event");
    }
  self->loader = g_thread_new ("zie-loader", loader_main, self);
  return self;
}

void
cuda_weights_free (CudaWeights *self)
{
  g_mutex_lock (&self->lock);
  settle (self);
  self->is_ending = TRUE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  g_thread_join (self->loader);

  free_slots (self);
  for (guint i = 0; i < CUDA_N_STAGES; i++)
    {
      cudaFreeHost (self->stages[i].memory);
      if (self->stages[i].done != NULL)
        cudaEventDestroy (self->stages[i].done);
    }
  cudaFree (self->raw);
  g_ptr_array_unref (self->blocks);
  g_hash_table_unref (self->by_id);
  g_hash_table_unref (self->by_data);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self);
}
