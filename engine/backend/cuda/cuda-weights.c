/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cuda"

#include <zie/zie-device.h>

#include "cuda-weights-private.h"

/* Where weights lie on the card.  Blocks that stay have memory of their own; the others share slots, and the one that followed
 * last time is fetched while a block is in use.  cuda-loader.c brings them. */

#define WAIT_US (20 * G_TIME_SPAN_MILLISECOND)
/* Of the memory that is free on the host, at most this share is locked. */
#define PINNED_SHARE 0.5

/* --- placing --- */

static guint64
count_held (const CudaWeights *self)
{
  guint64 held = self->slot_memory ? self->n_slots * (guint64)self->slot_size : 0;

  for (guint i = 0; i < self->blocks->len; i++)
    {
      const CudaBlock *block = g_ptr_array_index (self->blocks, i);
      held += block->memory ? block->size : 0;
    }
  return held + self->raw_size;
}

static void
leave_slot (CudaBlock *block)
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
unplace (CudaBlock *block)
{
  cudaFree (block->memory);
  block->memory = NULL;
  block->address = NULL;
  block->is_there = FALSE;
}

static CudaBlock *
block_new (const ZieBlockPlace *place)
{
  CudaBlock *block = g_new0 (CudaBlock, 1);

  block->block = place->block;
  block->id = place->block->id;
  block->size = place->size;
  block->slot = block->successor = -1;
  for (guint i = 0; i < place->block->n_weights; i++)
    block->is_packed |= cuda_weight_is_conv (&place->block->weights[i]);
  return block;
}

/* The list of blocks becomes that of PLACES; those that were known keep what they have. */
static void
adopt_blocks (CudaWeights *self, const ZieWeightPlaces *places)
{
  g_autoptr(GPtrArray) old = g_steal_pointer (&self->blocks);
  g_autoptr(GHashTable) old_ids = g_steal_pointer (&self->by_id);

  self->blocks = g_ptr_array_new_with_free_func (cuda_block_free);
  self->by_id = g_hash_table_new (g_int64_hash, g_int64_equal);
  g_hash_table_remove_all (self->by_data);
  for (guint i = 0; i < places->n_places; i++)
    {
      const ZieBlockPlace *place = &places->places[i];
      guint known = GPOINTER_TO_UINT (g_hash_table_lookup (old_ids, &place->block->id));
      CudaBlock *block = known > 0 ? g_steal_pointer (&g_ptr_array_index (old, known - 1)) : block_new (place);
      gsize offset = 0;

      block->successor = -1;
      if (block->is_resident && !place->is_resident)
        unplace (block);
      if (!block->is_resident && place->is_resident)
        leave_slot (block);
      block->is_resident = place->is_resident;
      if (block->is_resident)
        cuda_loader_unpin (self, block);
      g_ptr_array_add (self->blocks, block);
      g_hash_table_insert (self->by_id, &block->id, GUINT_TO_POINTER (i + 1));
      for (guint j = 0; j < block->block->n_weights; j++)
        {
          CudaPlace *at = g_new (CudaPlace, 1);
          *at = (CudaPlace) { (int)i, offset };
          g_hash_table_insert (self->by_data, (gpointer)block->block->weights[j].data, at);
          offset += cuda_weight_size (&block->block->weights[j]);
        }
    }
  for (guint i = 0; i < old->len; i++)
    {
      const CudaBlock *gone = g_ptr_array_index (old, i);
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
      self->slots = g_new0 (CudaSlot, places->n_slots);
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
      CudaBlock *block = g_ptr_array_index (self->blocks, i);

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

/* What may be locked: what the plan says, or half of what is free now, what is locked already counted as free; copies that were
 * made for a plan with more go. */
static void
limit_pinned (CudaWeights *self, guint64 planned)
{
  ZieMemoryUse use = { 0 };

  zie_query_memory (&use);
  self->pinned_limit = MIN (planned, (guint64)(PINNED_SHARE * (double)(use.ram_available + self->pinned_size)));
  for (guint i = self->blocks->len; i > 0 && self->pinned_size > self->pinned_limit; i--)
    cuda_loader_unpin (self, g_ptr_array_index (self->blocks, i - 1));
}

void
cuda_weights_settle (CudaWeights *self)
{
  g_mutex_lock (&self->lock);
  cuda_loader_settle (self);
  g_mutex_unlock (&self->lock);
}

gboolean
cuda_weights_place (CudaWeights *self, const ZieWeightPlaces *places, GError **error)
{
  cudaError_t code;

  g_mutex_lock (&self->lock);
  cuda_loader_settle (self);
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
      CudaBlock *block = g_ptr_array_index (self->blocks, i);
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
    if (((const CudaBlock *)g_ptr_array_index (self->blocks, i))->is_resident)
      cuda_loader_request (self, (int)i, FALSE);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

void
cuda_weights_drop (CudaWeights *self, gboolean keep_host_copies)
{
  g_mutex_lock (&self->lock);
  cuda_loader_settle (self);
  for (guint i = 0; i < self->blocks->len; i++)
    {
      unplace (g_ptr_array_index (self->blocks, i));
      if (!keep_host_copies)
        cuda_loader_unpin (self, g_ptr_array_index (self->blocks, i));
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
        CudaBlock *old = self->slots[i].block >= 0 ? g_ptr_array_index (self->blocks, (guint)self->slots[i].block) : NULL;

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
  CudaBlock *block = g_ptr_array_index (self->blocks, (guint)index);
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
    if (!((const CudaBlock *)g_ptr_array_index (self->blocks, i))->is_resident)
      return (int)i;
  return -1;
}

/* Lock held.  While block INDEX is in use, the one after it comes. */
static void
prefetch (CudaWeights *self, int index)
{
  CudaBlock *block = g_ptr_array_index (self->blocks, (guint)index);
  int next;

  if (self->last_streamed >= 0 && self->last_streamed != index)
    ((CudaBlock *)g_ptr_array_index (self->blocks, (guint)self->last_streamed))->successor = index;
  self->last_streamed = index;
  next = block->successor >= 0 ? block->successor : next_streamed (self, index);
  if (next >= 0 && next != index && assign_slot (self, next))
    cuda_loader_request (self, next, TRUE);
}

void
cuda_weights_acquire (CudaWeights *self, const ZieOpCtx *ctx, const ZieWeightBlock *wanted)
{
  CudaBackend *backend = self->backend;
  CudaBlock *block;
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
        cuda_loader_request (self, index, TRUE);
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
      const CudaBlock *block = g_ptr_array_index (self->blocks, (guint)index);

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
  const CudaPlace *place = g_hash_table_lookup (self->by_data, weight->data);
  const CudaBlock *block = place ? g_ptr_array_index (self->blocks, (guint)place->block) : NULL;

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
  const guint8 *address = cuda_weight_has_scales (weight) ? cuda_weights_find (self, weight) : NULL;

  return address ? (const float *)(gconstpointer)(address + cuda_weight_scales_offset (weight)) : NULL;
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
  self->blocks = g_ptr_array_new_with_free_func (cuda_block_free);
  self->by_id = g_hash_table_new (g_int64_hash, g_int64_equal);
  self->by_data = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, g_free);
  cuda_loader_start (self);
  return self;
}

void
cuda_weights_free (CudaWeights *self)
{
  cuda_loader_end (self);
  free_slots (self);
  cudaFree (self->raw);
  g_ptr_array_unref (self->blocks);
  g_hash_table_unref (self->by_id);
  g_hash_table_unref (self->by_data);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self);
}
