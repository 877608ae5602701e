/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cuda"

#include "cuda-weights-private.h"

/* The thread that brings blocks to the card.  It fills pinned memory from the mapped files (the pool's threads bring numbers into the
 * card's form on the way) and starts the copies; streamed blocks keep a pinned copy in that form where the host has memory to
 * spare, so that from the second time on a block is one copy at the link's full speed. */

#define TOLD_SIZE ((guint64)1 << 30)

/* Host memory that this process has locked for weights, of all cards. */
static _Atomic guint64 total_locked;

guint64
cuda_weights_get_total_locked (void)
{
  return total_locked;
}

void
cuda_block_free (gpointer data)
{
  CudaBlock *block = data;

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

void
cuda_loader_unpin (CudaWeights *self, CudaBlock *block)
{
  if (block->pinned == NULL)
    return;
  cudaFreeHost (g_steal_pointer (&block->pinned));
  self->pinned_size -= block->size;
  total_locked -= block->size;
  block->is_pinned_filled = FALSE;
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
static CudaStage *
take_stage (CudaWeights *self)
{
  CudaStage *stage = &self->stages[self->next_stage];

  self->next_stage = (self->next_stage + 1) % CUDA_N_STAGES;
  return load_ok (self, cudaEventSynchronize (stage->done)) ? stage : NULL;
}

static void
send (CudaWeights *self, CudaStage *stage, void *to, gsize size)
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
      CudaStage *stage = take_stage (self);
      gint64 part = MIN (step, n - i);

      if (stage == NULL)
        return;
      cuda_pieces_add (pieces, w, i, part, stage->memory);
      cuda_pieces_run (pieces, self->threads);
      send (self, stage, self->raw + (gsize)i * sizeof (cuda_bf16), (gsize)part * sizeof (cuda_bf16));
    }
  load_ok (self, (cudaError_t)zie_cuda_conv_pack ((CudaStream)self->backend->copy, to, self->raw, FALSE, in, (int)w->rows, w->ksize,
                                                  w->use == ZIE_WEIGHT_UPCONV));
}

/* A stretch of a block, [begin, begin + used), that STAGE is being filled with; STAGE NULL: none. */
typedef struct
{
  CudaStage *stage;
  gsize begin, used;
  GArray *pieces;
} Stretch;

static void
end_stretch (CudaWeights *self, const CudaBlock *block, Stretch *stretch)
{
  if (stretch->stage == NULL)
    return;
  cuda_pieces_run (stretch->pieces, self->threads);
  send (self, stretch->stage, block->address + stretch->begin, stretch->used);
  stretch->stage = NULL;
}

/* Where in the locked memory byte AT of the block goes, with room for at least SIZE bytes from there; NULL: failed. */
static guint8 *
reach (CudaWeights *self, const CudaBlock *block, Stretch *stretch, gsize at, gsize size)
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
load_numbers (CudaWeights *self, const CudaBlock *block, Stretch *stretch, const ZieWeight *w, gsize offset)
{
  ZieDtype dtype = cuda_weight_dtype (w);
  gsize whole_size = zie_dtype_row_size (dtype, CUDA_WHOLE), scales_size = (gsize)w->n_scales * sizeof (float);
  gint64 n = w->rows * w->cols, from = 0;
  guint8 *to;

  while (from < n)
    {
      gsize at = offset + zie_dtype_row_size (dtype, from);
      gint64 part;

      if ((to = reach (self, block, stretch, at, whole_size)) == NULL)
        return FALSE;
      part = (gint64)((CUDA_STAGE_SIZE - (at - stretch->begin)) / whole_size) * CUDA_WHOLE;
      part = MIN (n - from, part);
      cuda_pieces_add (stretch->pieces, w, from, part, to);
      stretch->used = at - stretch->begin + zie_dtype_row_size (dtype, part);
      from += part;
    }
  if (!cuda_weight_has_scales (w))
    return TRUE;
  offset += cuda_weight_scales_offset (w);
  if ((to = reach (self, block, stretch, offset, scales_size)) == NULL)
    return FALSE;
  cuda_pieces_add_scales (stretch->pieces, w, to);
  stretch->used = offset - stretch->begin + scales_size;
  return TRUE;
}

/* Through the stages: weights in the device's form lie one after the other, so a stage holds a stretch of several. */
static void
load_staged (CudaWeights *self, const CudaBlock *block)
{
  g_autoptr(GArray) pieces = cuda_pieces_new ();
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
      if (cuda_weight_is_conv (w))
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
fill_pinned (CudaWeights *self, CudaBlock *block)
{
  g_autoptr(GArray) pieces = cuda_pieces_new ();
  gsize offset = 0;

  for (guint i = 0; i < block->block->n_weights; i++)
    {
      const ZieWeight *w = &block->block->weights[i];

      if (cuda_weight_size (w) > 0)
        {
          cuda_pieces_add (pieces, w, 0, w->rows * w->cols, block->pinned + offset);
          if (cuda_weight_has_scales (w))
            cuda_pieces_add_scales (pieces, w, block->pinned + offset + cuda_weight_scales_offset (w));
        }
      offset += cuda_weight_size (w);
    }
  cuda_pieces_run (pieces, self->threads);
  block->is_pinned_filled = TRUE;
}

/* A host copy, where the block will be needed again and memory can be spared. */
static void
try_pinning (CudaWeights *self, CudaBlock *block)
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
load_block (CudaWeights *self, CudaBlock *block)
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
      CudaBlock *block;

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

void
cuda_loader_settle (CudaWeights *self)
{
  gpointer item;

  while ((item = g_queue_pop_head (&self->queue)) != NULL)
    ((CudaBlock *)g_ptr_array_index (self->blocks, (guint)GPOINTER_TO_INT (item) - 1))->is_queued = FALSE;
  while (self->is_busy)
    g_cond_wait (&self->changed, &self->lock);
  cudaStreamSynchronize (self->backend->copy);
  cudaStreamSynchronize (self->backend->compute);
}

void
cuda_loader_request (CudaWeights *self, int index, gboolean urgent)
{
  CudaBlock *block = g_ptr_array_index (self->blocks, (guint)index);
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

void
cuda_loader_start (CudaWeights *self)
{
  CudaBackend *backend = self->backend;

  for (guint i = 0; i < CUDA_N_STAGES; i++)
    {
      cuda_ok (backend, cudaHostAlloc ((void **)&self->stages[i].memory, CUDA_STAGE_SIZE, cudaHostAllocDefault), "locked memory");
      cuda_ok (backend, cudaEventCreateWithFlags (&self->stages[i].done, cudaEventDisableTiming | cudaEventBlockingSync), "an event");
    }
  self->loader = g_thread_new ("zie-loader", loader_main, self);
}

void
cuda_loader_end (CudaWeights *self)
{
  g_mutex_lock (&self->lock);
  cuda_loader_settle (self);
  self->is_ending = TRUE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  g_thread_join (self->loader);

  for (guint i = 0; i < CUDA_N_STAGES; i++)
    {
      cudaFreeHost (self->stages[i].memory);
      if (self->stages[i].done != NULL)
        cudaEventDestroy (self->stages[i].done);
    }
}
