/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "soak"

#include "soak-hog.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#define MAX_PIECES 8
#define PIECE ((size_t)64 << 20)

/* Of the driver's library, as its documentation has them; 0 is success. */
typedef struct
{
  int (*init) (unsigned flags);
  int (*get_device) (int *device, int index);
  int (*retain) (void **context, int device);
  int (*set_current) (void *context);
  int (*get_info) (size_t *available, size_t *total);
  int (*alloc) (unsigned long long *memory, size_t size);
  int (*free) (unsigned long long memory);
} Driver;

static gboolean
open_driver (Driver *self)
{
  void *library = dlopen ("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  const struct { const char *name; void **to; } entries[] = {
    { "cuInit", (void **)&self->init },
    { "cuDeviceGet", (void **)&self->get_device },
    { "cuDevicePrimaryCtxRetain", (void **)&self->retain },
    { "cuCtxSetCurrent", (void **)&self->set_current },
    { "cuMemGetInfo_v2", (void **)&self->get_info },
    { "cuMemAlloc_v2", (void **)&self->alloc },
    { "cuMemFree_v2", (void **)&self->free },
  };

  for (guint i = 0; i < G_N_ELEMENTS (entries); i++)
    if (library == NULL || (*entries[i].to = dlsym (library, entries[i].name)) == NULL)
      return FALSE;
  return TRUE;
}

int
soak_hog (int index, guint64 leave, guint32 seed)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (seed);
  unsigned long long pieces[MAX_PIECES] = { 0 };
  Driver cuda = { 0 };
  void *context;
  int device;

  prctl (PR_SET_PDEATHSIG, SIGKILL);             /* a soak that is killed leaves nobody on the card */
  if (!open_driver (&cuda) || cuda.init (0) != 0 || cuda.get_device (&device, index) != 0 || cuda.retain (&context, device) != 0
      || cuda.set_current (context) != 0)
    {
      fprintf (stderr, "soak: no card for a neighbour\n");
      return 1;
    }
  for (;;)
    {
      unsigned long long *piece = &pieces[g_rand_int_range (random, 0, MAX_PIECES)];
      size_t available = 0, total = 0, size;

      if (*piece != 0)
        cuda.free (*piece);
      *piece = 0;
      cuda.get_info (&available, &total);
      if (available > leave + PIECE && g_rand_int_range (random, 0, 3) > 0)
        {
          size = (size_t)((double)(available - leave) * g_rand_double (random)) / PIECE * PIECE;
          if (size > 0 && cuda.alloc (piece, size) != 0)
            *piece = 0;
        }
      g_usleep ((gulong)g_rand_int_range (random, 5000, 300000));
    }
}
