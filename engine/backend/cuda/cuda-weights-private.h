/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cuda-private.h"

/* What the weights on a card are to those who place and use them (cuda-weights.c) and to the thread that brings them
 * (cuda-loader.c). */

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
} CudaBlock;

typedef struct
{
  int block;                     /* index, or -1 */
  gboolean in_use;
  cudaEvent_t free;              /* the last use is over */
} CudaSlot;

typedef struct
{
  guint8 *memory;                /* pinned, CUDA_STAGE_SIZE */
  cudaEvent_t done;              /* its last copy */
} CudaStage;

typedef struct
{
  int block;
  gsize offset;
} CudaPlace;

struct _CudaWeights
{
  CudaBackend *backend;
  ZieThreads *threads;

  GMutex lock;                   /* of all that follows, but for what only the loader uses */
  GCond changed;
  GThread *loader;
  GQueue queue;                  /* of index + 1 */
  gboolean is_busy, is_ending;

  GPtrArray *blocks;             /* of CudaBlock, owned */
  GHashTable *by_id;             /* id to index + 1 */
  GHashTable *by_data;           /* a weight's data to CudaPlace, owned */
  CudaSlot *slots;
  guint n_slots;
  guint8 *slot_memory;
  gsize slot_size;
  int last_streamed;
  guint64 pinned_size, pinned_limit;   /* of the blocks' copies */
  _Atomic guint64 held;

  /* The loader's own. */
  gboolean is_broken;            /* the block that is being loaded did not come whole */
  CudaStage stages[CUDA_N_STAGES];
  guint next_stage;
  gint64 load_start_us;          /* of a row of blocks without a pause, and its bytes */
  guint64 load_size;
  guint8 *raw;                   /* device: a convolution as stored, in bf16, before it is packed */
  gsize raw_size;
};

/* cuda-weight-form.c: how a weight looks on the card, and bringing it into that form. */

gboolean cuda_weight_is_conv (const ZieWeight *weight);
/* The type of its numbers on the card, before a convolution is packed. */
ZieDtype cuda_weight_dtype (const ZieWeight *weight);
gboolean cuda_weight_has_scales (const ZieWeight *weight);
/* Of quantised weights with factors: where those begin, behind the numbers. */
gsize cuda_weight_scales_offset (const ZieWeight *weight);

/* Numbers in whole blocks of every quantised type: what is cut is cut there. */
#define CUDA_WHOLE ((gint64)ZIE_DTYPE_MAX_BLOCK)

/* What is to be brought into the card's form, in host memory, in pieces for several threads.  Free with g_array_unref(). */
GArray *cuda_pieces_new (void);
void cuda_pieces_add (GArray *pieces, const ZieWeight *weight, gint64 from, gint64 n, guint8 *to);
void cuda_pieces_add_scales (GArray *pieces, const ZieWeight *weight, guint8 *to);
/* Does it, and empties the list.  THREADS NULL: the caller's alone. */
void cuda_pieces_run (GArray *pieces, ZieThreads *threads);

/* cuda-loader.c.  The lock is held by whoever calls, but for the first and the last two. */

/* Its stages; a failure is the backend's (cuda_ok ()). */
void cuda_loader_start (CudaWeights *self);
/* What waits is forgotten, what is being loaded and computed is waited for. */
void cuda_loader_settle (CudaWeights *self);
/* Block INDEX shall come; URGENT: before all others. */
void cuda_loader_request (CudaWeights *self, int index, gboolean urgent);
/* Its copy in the host's memory goes. */
void cuda_loader_unpin (CudaWeights *self, CudaBlock *block);
void cuda_loader_end (CudaWeights *self);
void cuda_block_free (gpointer block);
