/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-device.h>

#include "zie-ops.h"

/* A way to compute: its device facts, its memory, its ops.  One ZieBackend is used by one thread at a time. */
typedef struct _ZieBackend ZieBackend;

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
} ZieBackendFuncs;

struct _ZieBackend
{
  const ZieBackendFuncs *funcs;
  ZieOps ops;
  ZieThreads *threads;       /* borrowed, outlives the backend; NULL = the caller's thread alone */
  ZieCompute best_compute;   /* what AUTO means here: F32 or BF16 */
  ZieDtype act;
  gpointer data;             /* the backend's own, owned */
};

/* AUTO: what ZIE_BACKEND=ref|cpu says, else the best backend that has a device and starts.  Errors: BACKEND_UNAVAILABLE. */
ZieBackend *zie_backend_open (ZieBackendKind kind, int device_index, ZieThreads *threads, GError **error);
void zie_backend_free (ZieBackend *self);

/* The ops table of KIND with no device behind it, for plans: only scratch () and the counting backend use it.  AUTO as
 * in zie_backend_open(); FALSE when this program has no such backend. */
gboolean zie_backend_get_plan_ops (ZieBackendKind kind, ZieOps *ops, ZieDtype *act, ZieCompute *best_compute);

/* Fill a context for ops of SELF.  COMPUTE AUTO becomes best_compute. */
void zie_backend_init_ctx (ZieBackend *self, ZieOpCtx *ctx, ZieArena *arena, ZieArena *host, ZieCompute compute,
                           const gint *cancel);

/* Complete tables (backend/ref, backend/cpu). */
void zie_ops_init_ref (ZieOps *ops);                    /* slow: the specification of every op */
void zie_ops_init_cpu (ZieOps *ops);                    /* starts from ref */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieBackend, zie_backend_free)
