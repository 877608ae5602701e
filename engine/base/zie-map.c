/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include "zie-map.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "zie-file.h"

/* Files of some models at once, the shards of each counted.  A map beyond them is one as anybody's. */
#define N_SLOTS 4096

/* What the handler may know, which can come at any moment on any thread: it takes no lock. */
typedef struct
{
  atomic_uintptr_t start;       /* 0: free */
  atomic_uintptr_t end;
  atomic_bool is_lost;
  _Atomic (gint *) flag;        /* borrowed, or NULL */
} Slot;

struct _ZieMap
{
  GMappedFile *file;            /* owned */
  char *path;                   /* owned */
  Slot *slot;                   /* NULL: there was none free, or the file is empty */
};

static Slot slots[N_SLOTS];
static atomic_uint n_used_slots;        /* none beyond was ever taken */
static GMutex slots_lock;               /* for taking and giving back */
static struct sigaction before;
static uintptr_t page_size;

/* Zeros from the page of AT to the map's end: the rest would come here page by page. */
static gboolean
fill (Slot *slot, uintptr_t at)
{
  uintptr_t from = at / page_size * page_size, to = (atomic_load (&slot->end) + page_size - 1) / page_size * page_size;
  gint *flag;

  if (mmap ((void *)from, to - from, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
    return FALSE;
  atomic_store (&slot->is_lost, TRUE);
  if ((flag = atomic_load (&slot->flag)) != NULL)
    g_atomic_int_set (flag, 1);
  return TRUE;
}

static void
on_bus_error (int number, siginfo_t *info, void *context)
{
  uintptr_t at = (uintptr_t)info->si_addr;
  guint n = atomic_load (&n_used_slots);

  for (guint i = 0; i < n; i++)
    {
      uintptr_t start = atomic_load (&slots[i].start);

      if (start != 0 && at >= start && at < atomic_load (&slots[i].end) && fill (&slots[i], at))
        return;
    }

  if (before.sa_flags & SA_SIGINFO)
    before.sa_sigaction (number, info, context);
  else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
    before.sa_handler (number);
  else
    signal (number, SIG_DFL);           /* the instruction runs once more, and ends the program */
}

static void
install_handler (void)
{
  static gsize once;
  struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART };

  if (!g_once_init_enter (&once))
    return;
  page_size = (uintptr_t)sysconf (_SC_PAGESIZE);
  sigemptyset (&action.sa_mask);
  if (sigaction (SIGBUS, &action, &before) != 0)
    g_debug ("no handler of SIGBUS");
  g_once_init_leave (&once, 1);
}

static Slot *
take_slot (uintptr_t start, gsize size)
{
  Slot *slot = NULL;

  g_mutex_lock (&slots_lock);
  for (guint i = 0; i < N_SLOTS && slot == NULL; i++)
    if (atomic_load (&slots[i].start) == 0)
      {
        slot = &slots[i];
        atomic_store (&slot->is_lost, FALSE);
        atomic_store (&slot->flag, NULL);
        atomic_store (&slot->end, start + size);
        atomic_store (&slot->start, start);
        if (i >= atomic_load (&n_used_slots))
          atomic_store (&n_used_slots, i + 1);
      }
  g_mutex_unlock (&slots_lock);
  return slot;
}

ZieMap *
zie_map_new (const char *path, GError **error)
{
  g_autoptr(ZieMap) self = g_new0 (ZieMap, 1);
  g_autoptr(GError) local = NULL;
  guint64 size;
  int fd = zie_file_open (path, &size, error);

  if (fd < 0)
    return NULL;

  install_handler ();
  self->path = g_strdup (path);
  self->file = g_mapped_file_new_from_fd (fd, FALSE, &local);
  close (fd);
  if (self->file == NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: cannot be mapped: %s", path, local->message);
      return NULL;
    }
  if (zie_map_get_size (self) > 0)
    self->slot = take_slot ((uintptr_t)zie_map_get_data (self), zie_map_get_size (self));
  return g_steal_pointer (&self);
}

void
zie_map_free (ZieMap *self)
{
  if (self == NULL)
    return;

  if (self->slot != NULL)
    {
      atomic_store (&self->slot->flag, NULL);
      atomic_store (&self->slot->start, 0);      /* last: from here on it may be another map's */
    }
  g_clear_pointer (&self->file, g_mapped_file_unref);
  g_free (self->path);
  g_free (self);
}

const guint8 *
zie_map_get_data (const ZieMap *self)
{
  return (const guint8 *)g_mapped_file_get_contents (self->file);
}

gsize
zie_map_get_size (const ZieMap *self)
{
  return g_mapped_file_get_length (self->file);
}

gboolean
zie_map_check (const ZieMap *self, GError **error)
{
  if (self->slot == NULL || !atomic_load (&self->slot->is_lost))
    return TRUE;
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_LOST,
               "%s: could not be read any more: it was cut or replaced while it was in use, or its drive went away; bring it back and "
               "open the model again", self->path);
  return FALSE;
}

void
zie_map_set_flag (ZieMap *self, gint *flag)
{
  if (self->slot == NULL)
    return;
  atomic_store (&self->slot->flag, flag);
  if (flag != NULL && atomic_load (&self->slot->is_lost))
    g_atomic_int_set (flag, 1);
}
