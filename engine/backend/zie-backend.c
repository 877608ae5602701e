/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-backend"

#include "zie-backend.h"

#include <zie/zie-error.h>

#include "cpu/cpu-backend.h"
#include "cuda/cuda-plugin.h"
#include "ref/ref-backend.h"

#define MAX_BACKENDS 3
#define MAX_DEVICES 16

/* What this program can compute with, best first.  The table is filled at its first use. */
static const ZieBackendFuncs *const *
get_backends (guint *n)
{
  static const ZieBackendFuncs *backends[MAX_BACKENDS];
  static gsize n_backends;

  if (g_once_init_enter (&n_backends))
    {
      guint i = 0;

      if ((backends[i] = zie_cuda_plugin_get_funcs ()) != NULL)
        i++;
      backends[i++] = &zie_cpu_backend_funcs;
      backends[i++] = &zie_ref_backend_funcs;
      g_once_init_leave (&n_backends, i);
    }
  *n = (guint)n_backends;
  return backends;
}

const ZieBackendFuncs *
zie_backend_find (ZieBackendKind kind)
{
  guint n;
  const ZieBackendFuncs *const *backends = get_backends (&n);

  for (guint i = 0; i < n; i++)
    if (backends[i]->kind == kind)
      return backends[i];
  return NULL;
}

/* "cpu, ref" */
static char *
list_names (void)
{
  GString *names = g_string_new (NULL);
  guint n;
  const ZieBackendFuncs *const *backends = get_backends (&n);

  for (guint i = 0; i < n; i++)
    g_string_append_printf (names, "%s%s", i ? ", " : "", zie_backend_kind_name (backends[i]->kind));
  return g_string_free (names, FALSE);
}

/* AUTO becomes what ZIE_BACKEND asks for, if it is set. */
static gboolean
apply_environment (ZieBackendKind *kind, GError **error)
{
  const char *name = g_getenv ("ZIE_BACKEND");
  g_autofree char *names = NULL;

  if (*kind != ZIE_BACKEND_AUTO || name == NULL || *name == '\0')
    return TRUE;
  if (zie_backend_kind_from_name (name, kind))
    return TRUE;

  names = list_names ();
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE,
               "the environment variable ZIE_BACKEND is \"%s\"; expected auto or one of %s, or no such variable",
               name, names);
  return FALSE;
}

/* INDEX is none of the N that there are; of none at all it is said why. */
static void
set_no_device (GError **error, const ZieBackendFuncs *funcs, int index, guint n)
{
  g_autofree char *why = n == 0 && funcs->kind == ZIE_BACKEND_CUDA ? zie_explain_missing_cuda () : NULL;

  if (why != NULL)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE, "%s; compute on the CPU (--device cpu)", g_strdelimit (why, "\n", ' '));
  else
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE,
                 "there is no device %d of backend %s: it has %u here, counted from 0", index, zie_backend_kind_name (funcs->kind), n);
}

static ZieBackend *
open_one (const ZieBackendFuncs *funcs, int device_index, ZieThreads *threads, GError **error)
{
  ZieDevice devices[MAX_DEVICES];
  guint n_devices = funcs->list (devices, G_N_ELEMENTS (devices));
  ZieBackend *self;

  gboolean is_there = FALSE;

  for (guint i = 0; i < n_devices; i++)
    is_there |= devices[i].index == device_index;
  if (!is_there)
    {
      set_no_device (error, funcs, device_index, n_devices);
      return NULL;
    }

  self = g_new0 (ZieBackend, 1);
  self->funcs = funcs;
  self->index = device_index;
  self->threads = threads;
  funcs->describe (&self->ops, &self->act, &self->best_compute);
  if (funcs->open != NULL && !funcs->open (self, device_index, error))
    {
      g_free (self);
      return NULL;
    }
  g_debug ("open backend=%s device=%d compute=%s threads=%u", zie_backend_kind_name (funcs->kind), device_index,
           zie_compute_name (self->best_compute), threads ? zie_threads_get_n (threads) : 1);
  return self;
}

/* The best that starts, one device after the other; what the better ones said is for the curious, the last one's error for the
 * caller. */
static ZieBackend *
open_best (ZieThreads *threads, GError **error)
{
  ZieDevice devices[MAX_DEVICES];
  guint n = zie_list_devices (devices, MAX_DEVICES);

  for (guint i = 0; i + 1 < n; i++)
    {
      g_autoptr(GError) local = NULL;
      ZieBackend *self = open_one (zie_backend_find (devices[i].kind), devices[i].index, threads, &local);

      if (self != NULL)
        return self;
      g_message ("%s %d is left out: %s", zie_backend_kind_name (devices[i].kind), devices[i].index, local->message);
    }
  return open_one (zie_backend_find (ZIE_BACKEND_REF), 0, threads, error);
}

ZieBackend *
zie_backend_open (ZieBackendKind kind, int device_index, ZieThreads *threads, GError **error)
{
  const ZieBackendFuncs *funcs;
  g_autofree char *names = NULL;

  if (!apply_environment (&kind, error))
    return NULL;
  if (kind == ZIE_BACKEND_AUTO)
    return open_best (threads, error);
  if ((funcs = zie_backend_find (kind)) != NULL)
    return open_one (funcs, device_index, threads, error);

  names = list_names ();
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE, "backend %s is not a part of this program, which has %s",
               zie_backend_kind_name (kind), names);
  return NULL;
}

void
zie_backend_free (ZieBackend *self)
{
  if (self == NULL)
    return;
  if (self->funcs->close != NULL)
    self->funcs->close (self);
  g_free (self);
}

gboolean
zie_backend_get_plan_ops (ZieBackendKind kind, ZieOps *ops, ZieDtype *act, ZieCompute *best_compute)
{
  const ZieBackendFuncs *funcs;
  ZieDevice device;
  guint n;
  const ZieBackendFuncs *const *backends = get_backends (&n);

  if (!apply_environment (&kind, NULL))
    return FALSE;

  funcs = kind == ZIE_BACKEND_AUTO ? NULL : zie_backend_find (kind);
  for (guint i = 0; kind == ZIE_BACKEND_AUTO && funcs == NULL && i < n; i++)
    if (backends[i]->list (&device, 1) > 0)
      funcs = backends[i];
  if (funcs == NULL)
    return FALSE;

  funcs->describe (ops, act, best_compute);
  return TRUE;
}

void
zie_backend_init_ctx (ZieBackend *self, ZieOpCtx *ctx, ZieArena *arena, ZieArena *host, ZieCompute compute,
                      const gint *cancel)
{
  *ctx = (ZieOpCtx) {
    .ops = &self->ops,
    .arena = arena,
    .host = host,
    .threads = self->threads,
    .n_threads = self->threads ? zie_threads_get_n (self->threads) : 1,
    .cancel = cancel,
    .compute = compute == ZIE_COMPUTE_AUTO ? self->best_compute : compute,
    .act = self->act,
    .backend = self->data,
    .failed = self->failed,
  };
}

guint
zie_list_devices (ZieDevice *devices, guint max_devices)
{
  guint n = 0, n_backends;
  const ZieBackendFuncs *const *backends = get_backends (&n_backends);

  for (guint i = 0; i < n_backends && n < max_devices; i++)
    n += backends[i]->list (devices + n, max_devices - n);
  return n;
}

char *
zie_explain_missing_cuda (void)
{
  const ZieBackendFuncs *funcs = zie_backend_find (ZIE_BACKEND_CUDA);
  ZieDevice device;

  if (funcs != NULL && funcs->list (&device, 1) > 0)
    return NULL;
  return zie_cuda_plugin_explain ();
}

char *
zie_explain_left_out (void)
{
  const ZieBackendFuncs *funcs = zie_backend_find (ZIE_BACKEND_CUDA);
  ZieDevice device;

  return funcs != NULL && funcs->list (&device, 1) > 0 ? zie_cuda_plugin_explain () : NULL;
}
