/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "fake-runtime"

#include "fake-runtime.h"

#include <string.h>
#include <sys/mman.h>

typedef enum { OP_COPY, OP_COPY_WITHIN, OP_SET, OP_WAIT, OP_CALL } OpKind;

typedef struct
{
  OpKind kind;
  guint8 *to;                    /* of a copy, of a stretch that is set */
  const guint8 *from;
  int value;
  gsize size;
  cudaStream_t stream;           /* of a wait */
  guint64 position;
  void (*func) (gpointer data);  /* of a call */
  gpointer data;
} Op;

/* Ops are numbered from 1 by their order; N_DONE is the number of the last one that was done. */
struct CUstream_st
{
  GQueue ops;                    /* of Op, owned */
  guint64 n_added, n_done;
  gboolean is_running;
};

struct CUevent_st
{
  cudaStream_t stream;           /* NULL: never recorded */
  guint64 position;
};

static GRecMutex lock;           /* of all that follows */
static FakeOrder order;
static GRand *random_steps;
static gboolean is_mapped;       /* see fake_set_mapped() */
static GHashTable *device, *pinned;              /* address to size */
static GHashTable *streams, *events;             /* sets */
static GHashTable *counts;                       /* name to calls */
static guint64 n_copied;
static gsize others, secret_others;              /* device memory that other programs have */
static int n_cards = 1, n_old_cards;
static char *failing;                            /* function, or NULL */
static guint fails_at;
static gboolean is_lasting, is_lost, is_kept_lost, has_failed;
static cudaError_t failure, loss;                /* loss: of the card that is lost, whatever fails next */
static _Thread_local cudaError_t last_error;

/* --- failures --- */

void
fake_keep_lost (gboolean keep)
{
  g_rec_mutex_lock (&lock);
  is_kept_lost = keep;
  is_lost = is_lost && keep;
  g_rec_mutex_unlock (&lock);
}

void
fake_fail (const char *function, guint nth, cudaError_t code)
{
  g_rec_mutex_lock (&lock);
  g_free (failing);
  failing = g_strdup (function);
  fails_at = nth;
  failure = code;
  is_lasting = has_failed = FALSE;
  g_rec_mutex_unlock (&lock);
}

void
fake_lose (const char *function, guint nth, cudaError_t code)
{
  g_rec_mutex_lock (&lock);
  fake_fail (function, nth, code);
  is_lasting = TRUE;
  g_rec_mutex_unlock (&lock);
}

gboolean
fake_has_failed (void)
{
  gboolean result;

  g_rec_mutex_lock (&lock);
  result = has_failed;
  g_rec_mutex_unlock (&lock);
  return result;
}

guint
fake_count (const char *function)
{
  guint n;

  g_rec_mutex_lock (&lock);
  n = GPOINTER_TO_UINT (g_hash_table_lookup (counts, function));
  g_rec_mutex_unlock (&lock);
  return n;
}

guint64
fake_get_copied (void)
{
  guint64 n;

  g_rec_mutex_lock (&lock);
  n = n_copied;
  g_rec_mutex_unlock (&lock);
  return n;
}

gsize
fake_get_locked (void)
{
  GHashTableIter iter;
  gpointer size;
  gsize sum = 0;

  g_rec_mutex_lock (&lock);
  g_hash_table_iter_init (&iter, pinned);
  while (g_hash_table_iter_next (&iter, NULL, &size))
    sum += GPOINTER_TO_SIZE (size);
  g_rec_mutex_unlock (&lock);
  return sum;
}

guint
fake_get_n_pinned (void)
{
  guint n;

  g_rec_mutex_lock (&lock);
  n = g_hash_table_size (pinned);
  g_rec_mutex_unlock (&lock);
  return n;
}

/* --- streams --- */

/* Whether MEMORY to MEMORY + SIZE lies in a piece of TABLE. */
static gboolean
is_inside (GHashTable *table, const guint8 *memory, gsize size)
{
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, table);
  while (g_hash_table_iter_next (&iter, &key, &value))
    if (memory >= (const guint8 *)key && memory + size <= (const guint8 *)key + GPOINTER_TO_SIZE (value))
      return TRUE;
  return FALSE;
}

static void run_until (cudaStream_t stream, guint64 position);

static void
do_next (cudaStream_t stream)
{
  Op *op = g_queue_pop_head (&stream->ops);

  switch (op->kind)
    {
    case OP_COPY:
      if (!is_inside (device, op->to, op->size))
        g_error ("a copy goes outside of the device's memory");
      if (!is_inside (pinned, op->from, op->size))
        g_error ("a copy comes from memory that is not locked, or not any more");
      memcpy (op->to, op->from, op->size);
      n_copied += op->size;
      break;
    case OP_COPY_WITHIN:
      if (!is_inside (device, op->to, op->size) || !is_inside (device, op->from, op->size))
        g_error ("a copy on the card goes outside of its memory");
      memcpy (op->to, op->from, op->size);
      break;
    case OP_SET:
      if (!is_inside (device, op->to, op->size))
        g_error ("memory is set outside of the device's");
      memset (op->to, op->value, op->size);
      break;
    case OP_WAIT:
      run_until (op->stream, op->position);
      break;
    case OP_CALL:
      op->func (op->data);
      break;
    }
  stream->n_done++;
  g_free (op);
}

static void
run_until (cudaStream_t stream, guint64 position)
{
  if (stream->n_done >= position)
    return;
  if (stream->is_running)
    g_error ("streams wait for each other");
  stream->is_running = TRUE;
  while (stream->n_done < position)
    do_next (stream);
  stream->is_running = FALSE;
}

static void
run_all (void)
{
  GHashTableIter iter;
  gpointer stream;

  g_hash_table_iter_init (&iter, streams);
  while (g_hash_table_iter_next (&iter, &stream, NULL))
    run_until (stream, ((cudaStream_t)stream)->n_added);
}

static void
run_some (void)
{
  GHashTableIter iter;
  gpointer key;

  g_hash_table_iter_init (&iter, streams);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    {
      cudaStream_t stream = key;
      guint64 n = (guint64)g_rand_int_range (random_steps, 0, 3);
      if (!stream->is_running)
        run_until (stream, MIN (stream->n_added, stream->n_done + n));
    }
}

static void
add (cudaStream_t stream, Op op)
{
  Op *copy = g_new (Op, 1);

  if (!g_hash_table_contains (streams, stream))
    g_error ("there is no such stream");
  *copy = op;
  g_queue_push_tail (&stream->ops, copy);
  stream->n_added++;
  if (order == FAKE_EAGER)
    run_until (stream, stream->n_added);
}

void
fake_launch (cudaStream_t stream, void (*func) (gpointer data), gpointer data)
{
  g_rec_mutex_lock (&lock);
  add (stream, (Op) { .kind = OP_CALL, .func = func, .data = data });
  g_rec_mutex_unlock (&lock);
}

/* Pages that nobody fills before they are used, unlike malloc's under test, and one behind them that must not be used. */
#define PAGE ((gsize)4096)

static gsize
whole_pages (gsize size)
{
  return (size + PAGE - 1) / PAGE * PAGE;
}

static void *
map (gsize size)
{
  guint8 *memory = mmap (NULL, whole_pages (size) + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  g_assert_true (memory != MAP_FAILED);
  g_assert_cmpint (mprotect (memory + whole_pages (size), PAGE, PROT_NONE), ==, 0);
  return memory;
}

/* Whole pages, as a driver has them, or from malloc, so that a byte too far is seen. */
static void *
new_device_piece (gsize size)
{
  return memset (is_mapped ? map (size) : g_aligned_alloc (1, MAX (size, 1), 256), 0xff, size);
}

static gboolean
unmap (gpointer memory, gpointer size, gpointer data)
{
  munmap (memory, whole_pages (GPOINTER_TO_SIZE (size)) + PAGE);
  return TRUE;
}

static gboolean
free_device_piece (gpointer memory, gpointer size, gpointer data)
{
  if (is_mapped)
    return unmap (memory, size, data);
  g_aligned_free (memory);
  return TRUE;
}

/* --- around each call --- */

void
fake_set_mapped (gboolean new_is_mapped)
{
  g_rec_mutex_lock (&lock);
  is_mapped = new_is_mapped;
  g_rec_mutex_unlock (&lock);
}

gboolean
fake_is_started (void)
{
  return device != NULL;
}

void
fake_start (FakeOrder new_order, guint32 seed)
{
  g_rec_mutex_lock (&lock);
  if (device == NULL)
    {
      device = g_hash_table_new (NULL, NULL);
      pinned = g_hash_table_new (NULL, NULL);
      streams = g_hash_table_new (NULL, NULL);
      events = g_hash_table_new_full (NULL, NULL, g_free, NULL);
      counts = g_hash_table_new (g_str_hash, g_str_equal);
    }
  if (is_lost)
    g_error ("the card is lost: nobody reset it");
  if (g_hash_table_size (device) + g_hash_table_size (pinned) + g_hash_table_size (streams) + g_hash_table_size (events) > 0)
    g_error ("not given back: %u pieces of device memory, %u of locked memory, %u streams, %u events", g_hash_table_size (device),
             g_hash_table_size (pinned), g_hash_table_size (streams), g_hash_table_size (events));
  g_hash_table_remove_all (counts);
  g_clear_pointer (&failing, g_free);
  g_clear_pointer (&random_steps, g_rand_free);
  random_steps = g_rand_new_with_seed (seed);
  order = new_order;
  n_copied = others = secret_others = 0;
  has_failed = FALSE;
  g_rec_mutex_unlock (&lock);
}

/* What a driver still tells of a card that it gives away no more. */
static gboolean
needs_no_context (const char *function)
{
  return loss == cudaErrorDevicesUnavailable
         && (strcmp (function, "cudaGetDeviceCount") == 0 || strcmp (function, "cudaGetDeviceProperties") == 0
             || strcmp (function, "cudaDeviceGetAttribute") == 0);
}

/* Locks; counts the call; what it has to return instead of doing anything. */
static cudaError_t
enter (const char *function)
{
  g_rec_mutex_lock (&lock);
  g_hash_table_insert (counts, (gpointer)function, GUINT_TO_POINTER (GPOINTER_TO_UINT (g_hash_table_lookup (counts, function)) + 1));
  if (order == FAKE_RANDOM && !is_lost)
    run_some ();
  if (failing != NULL && fails_at > 0 && strcmp (failing, function) == 0 && --fails_at == 0)
    {
      has_failed = TRUE;
      is_lost |= is_lasting;
      if (is_lasting)
        loss = failure;
      return last_error = failure;
    }
  return is_lost && !needs_no_context (function) ? (last_error = loss) : cudaSuccess;
}

static cudaError_t
leave (cudaError_t code)
{
  g_rec_mutex_unlock (&lock);
  return code;
}

cudaError_t
fake_try (const char *function)
{
  return leave (enter (function));
}

void
fake_finish (void)
{
  g_rec_mutex_lock (&lock);
  if (!is_lost)
    run_all ();
  g_rec_mutex_unlock (&lock);
}

#define ENTER() \
  do \
    { \
      cudaError_t entered = enter (__func__); \
      if (entered != cudaSuccess) \
        return leave (entered); \
    } \
  while (0)

/* --- the device --- */

void
fake_set_cards (guint n, guint n_old)
{
  g_rec_mutex_lock (&lock);
  n_cards = (int)n;
  n_old_cards = (int)n_old;
  g_rec_mutex_unlock (&lock);
}

cudaError_t
cudaGetDeviceCount (int *n)
{
  ENTER ();
  *n = n_cards;
  return leave (cudaSuccess);
}

static _Thread_local int current_card;

cudaError_t
cudaSetDevice (int index)
{
  ENTER ();
  if (index < n_old_cards || index >= n_cards)
    return leave (cudaErrorInvalidDevice);
  current_card = index;
  return leave (cudaSuccess);
}

cudaError_t
cudaGetDevice (int *index)
{
  *index = current_card;
  return fake_try (__func__);
}

cudaError_t
cudaDeviceSynchronize (void)
{
  ENTER ();
  run_all ();
  return leave (cudaSuccess);
}

static void
drop_op (gpointer data)
{
  Op *op = data;

  if (op->kind == OP_CALL)
    g_free (op->data);
  g_free (op);
}

/* What was not given back is gone, and the card is there again. */
cudaError_t
cudaDeviceReset (void)
{
  GHashTableIter iter;
  gpointer stream;

  g_rec_mutex_lock (&lock);
  g_hash_table_insert (counts, (gpointer)__func__, GUINT_TO_POINTER (fake_count (__func__) + 1));
  g_hash_table_iter_init (&iter, streams);
  while (g_hash_table_iter_next (&iter, &stream, NULL))
    {
      g_queue_clear_full (&((cudaStream_t)stream)->ops, drop_op);
      g_free (stream);
    }
  g_hash_table_remove_all (streams);
  g_hash_table_remove_all (events);
  g_hash_table_foreach_remove (device, free_device_piece, NULL);
  g_hash_table_foreach_remove (pinned, unmap, NULL);
  is_lost = is_kept_lost;
  loss = cudaErrorDevicesUnavailable;
  return leave (cudaSuccess);
}

cudaError_t
cudaGetDeviceProperties (struct cudaDeviceProp *properties, int index)
{
  ENTER ();
  *properties = (struct cudaDeviceProp) { .name = "no card", .totalGlobalMem = FAKE_MEMORY, .major = index < n_old_cards ? 7 : 8,
                                          .multiProcessorCount = 4 };
  return leave (cudaSuccess);
}

cudaError_t
cudaDeviceGetAttribute (int *value, enum cudaDeviceAttr attribute, int index)
{
  ENTER ();
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? 8 : attribute == cudaDevAttrComputeCapabilityMinor ? 0 : 1024;
  return leave (cudaSuccess);
}

cudaError_t
cudaDeviceGetPCIBusId (char *id, int size, int index)
{
  ENTER ();
  g_snprintf (id, (gulong)size, "0000:%02x:00.0", (unsigned)index + 1);
  return leave (cudaSuccess);
}

cudaError_t
cudaRuntimeGetVersion (int *version)
{
  ENTER ();
  *version = CUDART_VERSION;
  return leave (cudaSuccess);
}

cudaError_t
cudaGetDriverEntryPointByVersion (const char *symbol, void **pointer, unsigned version, unsigned long long flags,
                                  enum cudaDriverEntryPointQueryResult *result)
{
  ENTER ();
  *pointer = NULL;
  *result = cudaDriverEntryPointSymbolNotFound;
  return leave (cudaSuccess);
}

cudaError_t
cudaGetLastError (void)
{
  cudaError_t code = last_error;

  last_error = cudaSuccess;
  return code;
}

const char *
cudaGetErrorName (cudaError_t error)
{
  return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaErrorOther";
}

const char *
cudaGetErrorString (cudaError_t error)
{
  return error == cudaErrorMemoryAllocation ? "out of memory" : "something else";
}

/* --- memory --- */

/* All that is there, and what nobody has of it. */
static gsize
count_free (void)
{
  GHashTableIter iter;
  gpointer size;
  gsize used = others;

  g_hash_table_iter_init (&iter, device);
  while (g_hash_table_iter_next (&iter, NULL, &size))
    used += GPOINTER_TO_SIZE (size);
  return FAKE_MEMORY - MIN (used, FAKE_MEMORY);
}

void
fake_set_secret_others (gsize size)
{
  g_rec_mutex_lock (&lock);
  secret_others = size;
  g_rec_mutex_unlock (&lock);
}

void
fake_set_others (gsize size)
{
  g_rec_mutex_lock (&lock);
  others = size;
  g_rec_mutex_unlock (&lock);
}

gsize
fake_get_used (void)
{
  gsize used;

  g_rec_mutex_lock (&lock);
  used = FAKE_MEMORY - count_free () - others;
  g_rec_mutex_unlock (&lock);
  return used;
}

cudaError_t
cudaMemGetInfo (size_t *available, size_t *total)
{
  ENTER ();
  *available = count_free ();
  *total = FAKE_MEMORY;
  return leave (cudaSuccess);
}

cudaError_t
cudaMalloc (void **memory, size_t size)
{
  ENTER ();
  if (size + secret_others > count_free ())
    return leave (last_error = cudaErrorMemoryAllocation);
  *memory = new_device_piece (size);
  g_hash_table_insert (device, *memory, GSIZE_TO_POINTER (size));
  return leave (cudaSuccess);
}

/* Waits for the card, as the real one does. */
cudaError_t
cudaFree (void *memory)
{
  if (memory == NULL)
    return cudaSuccess;
  ENTER ();
  run_all ();
  if (!g_hash_table_contains (device, memory))
    g_error ("memory is freed that is not the device's");
  free_device_piece (memory, g_hash_table_lookup (device, memory), NULL);
  g_hash_table_remove (device, memory);
  return leave (cudaSuccess);
}

cudaError_t
cudaHostAlloc (void **memory, size_t size, unsigned flags)
{
  ENTER ();
  *memory = map (size);
  if (is_mapped)
    memset (*memory, 0xa5, size);
  g_hash_table_insert (pinned, *memory, GSIZE_TO_POINTER (size));
  return leave (cudaSuccess);
}

/* Does not wait: a copy that still comes from there ends the program. */
cudaError_t
cudaFreeHost (void *memory)
{
  if (memory == NULL)
    return cudaSuccess;
  ENTER ();
  if (!g_hash_table_contains (pinned, memory))
    g_error ("memory is unlocked that is not locked");
  unmap (memory, g_hash_table_lookup (pinned, memory), NULL);
  g_hash_table_remove (pinned, memory);
  return leave (cudaSuccess);
}

cudaError_t
cudaMemcpyAsync (void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream)
{
  ENTER ();
  g_assert (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice);
  add (stream, (Op) { .kind = kind == cudaMemcpyHostToDevice ? OP_COPY : OP_COPY_WITHIN, .to = to, .from = from, .size = size });
  return leave (cudaSuccess);
}

cudaError_t
cudaMemsetAsync (void *memory, int value, size_t size, cudaStream_t stream)
{
  ENTER ();
  add (stream, (Op) { .kind = OP_SET, .to = memory, .value = value, .size = size });
  return leave (cudaSuccess);
}

/* --- streams and events --- */

cudaError_t
cudaStreamCreateWithFlags (cudaStream_t *stream, unsigned flags)
{
  ENTER ();
  *stream = g_new0 (struct CUstream_st, 1);
  g_hash_table_add (streams, *stream);
  return leave (cudaSuccess);
}

/* What is in it is still done. */
cudaError_t
cudaStreamDestroy (cudaStream_t stream)
{
  ENTER ();
  if (!g_hash_table_contains (streams, stream))
    g_error ("there is no such stream");
  run_until (stream, stream->n_added);
  g_hash_table_remove (streams, stream);
  g_free (stream);
  return leave (cudaSuccess);
}

cudaError_t
cudaStreamSynchronize (cudaStream_t stream)
{
  ENTER ();
  if (!g_hash_table_contains (streams, stream))
    g_error ("there is no such stream");
  run_until (stream, stream->n_added);
  return leave (cudaSuccess);
}

cudaError_t
cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
  ENTER ();
  if (!g_hash_table_contains (events, event))
    g_error ("there is no such event");
  if (event->stream != NULL)
    add (stream, (Op) { .kind = OP_WAIT, .stream = event->stream, .position = event->position });
  return leave (cudaSuccess);
}

static cudaError_t
new_event (cudaEvent_t *event)
{
  *event = g_new0 (struct CUevent_st, 1);
  g_hash_table_add (events, *event);
  return cudaSuccess;
}

cudaError_t
cudaEventCreate (cudaEvent_t *event)
{
  ENTER ();
  return leave (new_event (event));
}

cudaError_t
cudaEventCreateWithFlags (cudaEvent_t *event, unsigned flags)
{
  ENTER ();
  return leave (new_event (event));
}

cudaError_t
cudaEventDestroy (cudaEvent_t event)
{
  ENTER ();
  if (!g_hash_table_remove (events, event))
    g_error ("there is no such event");
  return leave (cudaSuccess);
}

cudaError_t
cudaEventRecord (cudaEvent_t event, cudaStream_t stream)
{
  ENTER ();
  if (!g_hash_table_contains (events, event) || !g_hash_table_contains (streams, stream))
    g_error ("there is no such event or stream");
  event->stream = stream;
  event->position = stream->n_added;
  return leave (cudaSuccess);
}

cudaError_t
cudaEventSynchronize (cudaEvent_t event)
{
  ENTER ();
  if (!g_hash_table_contains (events, event))
    g_error ("there is no such event");
  if (event->stream != NULL)
    run_until (event->stream, event->position);
  return leave (cudaSuccess);
}

cudaError_t
cudaEventElapsedTime (float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
  ENTER ();
  *milliseconds = 1;
  return leave (cudaSuccess);
}
