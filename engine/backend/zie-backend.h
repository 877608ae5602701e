/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-device.h>

#include "zie-ops.h"

/* A way to compute: its device facts, its memory, its ops.  One ZieBackend is used by one thread at a time. */
typedef struct _ZieBackend ZieBackend;

/* Where a job's blocks of weights lie on a device with memory of its own: those that stay, and slots through which the
 * others are streamed, each when its turn comes. */
typedef struct
{
  const ZieWeightBlock *block;   /* borrowed */
  gsize size;                    /* bytes on the device */
  gboolean is_resident;
} ZieBlockPlace;

typedef struct
{
  ZieBlockPlace *places;         /* in the order of use */
  guint n_places;
  guint n_slots;                 /* 0 when all are resident */
  gsize slot_size;
  guint64 resident_size;
  guint64 pinned_limit;          /* host memory that copies of streamed blocks may lock */
} ZieWeightPlaces;

/* A backend's own books of its device's memory, in bytes. */
typedef struct
{
  guint64 base;                  /* what opening it took: context, libraries */
  guint64 held, held_peak;       /* beyond that: now, and at most since the last place () */
  guint64 loaded, streamed;      /* weights that went over since then: to stay, and through slots */
  guint64 locked;                /* of the host's memory, for weights, by this process */
} ZieBackendUse;

typedef struct
{
  ZieBackendKind kind;
  guint (*list) (ZieDevice *devices, guint max_devices);
  /* The ops, the type of activations and what AUTO computes in: quick, touches no device.  Plans ask for it, and
   * zie_backend_open() fills the backend with it before open (), so that both have the same. */
  void (*describe) (ZieOps *ops, ZieDtype *act, ZieCompute *best_compute);
  /* Starts the backend on a device; close () is called after a success only.  Both may be NULL: nothing to do. */
  gboolean (*open) (ZieBackend *self, int device_index, GError **error);
  void (*close) (ZieBackend *self);
  /* One block for a job's arena, aligned to ZIE_ARENA_ALIGN; zeroed pages cost nothing until touched. */
  void *(*alloc) (ZieBackend *self, gsize size, GError **error);
  void (*free) (ZieBackend *self, void *memory, gsize size);

  /* The rest is NULL in backends that compute in host memory. */
  /* Bytes that a weight takes on the device, a multiple of 256; 0: it stays in host memory.  Touches no device. */
  gsize (*weight_size) (const ZieWeight *weight);
  /* Bytes of the device that loading it takes beside, held for all weights together; NULL: none.  Touches no device. */
  gsize (*load_scratch) (const ZieWeight *weight);
  /* Host memory that the device copies from and to at full speed. */
  void *(*alloc_host) (ZieBackend *self, gsize size, GError **error);
  void (*free_host) (ZieBackend *self, void *memory, gsize size);
  /* Reserves memory for the weights of the next job and begins to load them; what is held already in the same places
   * stays.  The blocks must live until the next call or release ().  Errors: OUT_OF_DEVICE_MEMORY, OUT_OF_HOST_MEMORY. */
  gboolean (*place) (ZieBackend *self, const ZieWeightPlaces *places, GError **error);
  /* Gives all of that back; with KEEP_HOST_COPIES only what is the device's own, and the blocks must live on. */
  void (*release) (ZieBackend *self, gboolean keep_host_copies);
  /* Device memory held for weights.  Any thread. */
  guint64 (*get_held) (ZieBackend *self);
  /* Quick: asks nobody.  Any thread. */
  void (*measure) (ZieBackend *self, ZieBackendUse *use);
  /* What is free of the device's memory, as its driver says now; 0: it does not say.  Any thread. */
  guint64 (*get_free) (ZieBackend *self);
  /* FALSE: an op failed since the last job began, with the reason; ctx->failed has been set since.  DEVICE_LOST,
   * OUT_OF_DEVICE_MEMORY. */
  gboolean (*check) (ZieBackend *self, GError **error);
  /* Timing of each op, switched on or off for what comes; fills ROWS with what was timed since the last call and returns
   * how many; switched off, it times the vendor's library beside them where that is there.  Between jobs only. */
  guint (*profile) (ZieBackend *self, gboolean on, ZieProfileRow *rows, guint max_rows);
} ZieBackendFuncs;

struct _ZieBackend
{
  const ZieBackendFuncs *funcs;
  ZieOps ops;
  ZieThreads *threads;       /* borrowed, outlives the backend; NULL = the caller's thread alone */
  ZieCompute best_compute;   /* what AUTO means here: F32 or BF16 */
  ZieDtype act;
  int index;                 /* of the device among its kind's */
  gpointer data;             /* the backend's own, owned */
  const gint *failed;        /* of ZieOpCtx, or NULL */
};

/* AUTO: what ZIE_BACKEND=ref|cpu|cuda says, else the best device that starts, whatever DEVICE_INDEX is.  Errors: BACKEND_UNAVAILABLE. */
ZieBackend *zie_backend_open (ZieBackendKind kind, int device_index, ZieThreads *threads, GError **error);
void zie_backend_free (ZieBackend *self);

/* The ops table of KIND with no device behind it, for plans: only scratch () and the counting backend use it.  AUTO as
 * in zie_backend_open(); FALSE when this program has no such backend. */
const ZieBackendFuncs *zie_backend_find (ZieBackendKind kind);    /* NULL: not a part of this program */
gboolean zie_backend_get_plan_ops (ZieBackendKind kind, ZieOps *ops, ZieDtype *act, ZieCompute *best_compute);

/* Fill a context for ops of SELF.  COMPUTE AUTO becomes best_compute. */
void zie_backend_init_ctx (ZieBackend *self, ZieOpCtx *ctx, ZieArena *arena, ZieArena *host, ZieCompute compute,
                           const gint *cancel);

/* Complete tables (backend/ref, backend/cpu). */
void zie_ops_init_ref (ZieOps *ops);                    /* slow: the specification of every op */
void zie_ops_init_cpu (ZieOps *ops);                    /* starts from ref */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieBackend, zie_backend_free)
