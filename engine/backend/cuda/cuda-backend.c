/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cuda"

#include <gmodule.h>
#include <zie/zie-error.h>

#include "cuda-plugin.h"
#include "cuda-private.h"

/* The oldest cards with bf16 matrix units. */
#define MIN_CC 80
/* What a context, this module's code and cuBLASLt's take of the device, until it has been seen here: 480 to 620 MiB. */
#define CONTEXT_SIZE ((guint64)640 << 20)
/* Kernels come to the device when they are first used: 8 to 24 MiB on an H200. */
#define LAZY_SIZE ((guint64)40 << 20)
#define MAX_CARDS 16
/* What the driver and cuBLASLt keep in the host's memory: 150 to 180 MiB were seen. */
#define DRIVER_SIZE ((guint64)192 << 20)
#define LOCKED_SIZE ((guint64)(CUDA_N_STAGES * CUDA_STAGE_SIZE + CUDA_BOUNCE_SIZE))
/* Of the matrix units' peak, what large products sustain on a card that is warm. */
#define SUSTAINED 0.68

gboolean
cuda_ok (CudaBackend *self, cudaError_t code, const char *what)
{
  if (code == cudaSuccess)
    return TRUE;

  cudaGetLastError ();                           /* or the next launch finds it again */
  g_mutex_lock (&self->lock);
  if (self->failure == NULL)
    {
      self->failure = g_strdup_printf ("%s: %s (%s)", what, cudaGetErrorString (code), cudaGetErrorName (code));
      self->failure_code = code;
    }
  g_mutex_unlock (&self->lock);
  g_atomic_int_set (&self->failed, 1);
  return FALSE;
}

void
cuda_set_error (GError **error, cudaError_t code, const char *what)
{
  if (code == cudaErrorMemoryAllocation)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_DEVICE_MEMORY,
                 "%s: the card has no more memory free; close other programs that use it, or ask for a smaller picture", what);
  else
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_DEVICE_LOST,
                 "the card stopped: %s: %s; try again, or compute on the CPU", what, cudaGetErrorString (code));
}

/* Seen when a card was opened; 0: not yet. */
static _Atomic guint64 base_sizes[MAX_CARDS];

static guint64
get_free (int index)
{
  char pci_id[32] = "";
  CudaNvmlFacts facts;

  if (cudaDeviceGetPCIBusId (pci_id, sizeof pci_id, index) != cudaSuccess || !cuda_nvml_query (pci_id, &facts))
    return 0;
  return facts.free;
}

/* What opening took.  The context stays for good: who opens the card again finds it there and takes less.  What no context can be
 * has to do with other programs. */
static void
keep_base_size (int index, guint64 before, guint64 after)
{
  guint64 size = before > after ? before - after + LAZY_SIZE : 0;

  if (index < MAX_CARDS && size > base_sizes[index] && size >= CONTEXT_SIZE / 4 && size <= 2 * CONTEXT_SIZE)
    base_sizes[index] = size;
}

static guint64
get_base_size (int index)
{
  return index < MAX_CARDS && base_sizes[index] > 0 ? base_sizes[index] : CONTEXT_SIZE;
}

static int
get_attribute (int index, enum cudaDeviceAttr attribute)
{
  int value = 0;

  return cudaDeviceGetAttribute (&value, attribute, index) == cudaSuccess ? value : 0;
}

/* Multiply-adds in bf16 with fp32 sums that a multiprocessor does in a clock, as operations (the vendor's tables). */
static double
flops_per_clock (int cc)
{
  switch (cc)
    {
    case 80: return 2048;
    case 90: return 4096;
    case 100: case 103: return 8192;
    default: return 1024 / 2;                    /* consumer cards: half rate with fp32 sums */
    }
}

static void
describe_card (int index, ZieDevice *device, const struct cudaDeviceProp *properties)
{
  int cc = 10 * properties->major + properties->minor;
  double clock = get_attribute (index, cudaDevAttrClockRate) * 1e3;
  double memory_clock = get_attribute (index, cudaDevAttrMemoryClockRate) * 1e3;
  CudaNvmlFacts facts = { 0 };
  ZieMemoryUse use = { 0 };
  int runtime = 0;

  *device = (ZieDevice) { .kind = ZIE_BACKEND_CUDA, .index = index, .caps = (guint32)cc, .n_threads = 1,
                          .memory_base = get_base_size (index),
                          .host_base = LOCKED_SIZE + DRIVER_SIZE, .host_locked = LOCKED_SIZE };
  if (cudaDeviceGetPCIBusId (device->pci_id, sizeof device->pci_id, index) != cudaSuccess)
    device->pci_id[0] = '\0';
  cuda_nvml_query (device->pci_id, &facts);
  cudaRuntimeGetVersion (&runtime);
  zie_query_memory (&use);
  g_strlcpy (device->name, properties->name, sizeof device->name);
  g_snprintf (device->detail, sizeof device->detail, "compute capability %d.%d, %d multiprocessors; driver %s, CUDA runtime %d.%d",
              properties->major, properties->minor, properties->multiProcessorCount, facts.driver[0] ? facts.driver : "unknown",
              runtime / 1000, runtime % 1000 / 10);
  device->memory_total = facts.total ? facts.total : properties->totalGlobalMem;
  device->memory_free = facts.total ? facts.free : properties->totalGlobalMem;
  device->flops_bf16 = SUSTAINED * clock * properties->multiProcessorCount * flops_per_clock (cc);
  device->bytes_per_second = 0.85 * 2 * memory_clock * get_attribute (index, cudaDevAttrGlobalMemoryBusWidth) / 8;
  if (use.ram_available > 0)                     /* what is locked for this device's weights is there for its next plan */
    device->host_free = use.ram_available + cuda_weights_get_total_locked ();
  device->link_bytes_per_second = facts.link_bytes_per_second > 0 ? facts.link_bytes_per_second : 12.5e9;
}

static guint
cuda_list (ZieDevice *devices, guint max_devices)
{
  int n = 0;
  guint n_listed = 0;

  if (cudaGetDeviceCount (&n) != cudaSuccess)
    {
      cudaGetLastError ();
      return 0;
    }
  for (int i = 0; i < n && n_listed < max_devices; i++)
    {
      struct cudaDeviceProp properties;

      if (cudaGetDeviceProperties (&properties, i) == cudaSuccess && 10 * properties.major + properties.minor >= MIN_CC)
        describe_card (i, &devices[n_listed++], &properties);
    }
  return n_listed;
}

/* Why a card that is there cannot be used, a line each; NULL: each can. */
static char *
cuda_explain (void)
{
  g_autoptr(GString) text = g_string_new (NULL);
  struct cudaDeviceProp properties;
  cudaError_t code;
  int n = 0;

  if ((code = cudaGetDeviceCount (&n)) == cudaErrorInsufficientDriver)
    return g_strdup ("there is no NVIDIA driver, or one too old for this program's CUDA 12 or 13");
  if (code != cudaSuccess || n == 0)
    return g_strdup_printf ("there is no NVIDIA card that CUDA can use (%s)", cudaGetErrorString (code));
  for (int i = 0; i < n; i++)
    {
      const char *line_end = text->len > 0 ? "\n" : "";

      if ((code = cudaGetDeviceProperties (&properties, i)) != cudaSuccess)
        g_string_append_printf (text, "%sthe NVIDIA driver answers no questions about card %d (%s)", line_end, i, cudaGetErrorString (code));
      else if (10 * properties.major + properties.minor < MIN_CC)
        g_string_append_printf (text, "%s%s, card %d, has compute capability %d.%d; this program needs 8.0 (the RTX 30 series and later)", line_end,
                                properties.name, i, properties.major, properties.minor);
    }
  cudaGetLastError ();
  return text->len > 0 ? g_strdup (text->str) : NULL;
}

static void
cuda_describe (ZieOps *ops, ZieDtype *act, ZieCompute *best_compute)
{
  cuda_ops_init (ops);
  *act = ZIE_DTYPE_BF16;
  *best_compute = ZIE_COMPUTE_BF16;
}

/* "mma", "hopper" … in the variable NAME; nothing: the best. */
static CudaKernelChoice
choice_from_environment (const char *name)
{
  const char *value = g_getenv (name);

  if (g_strcmp0 (value, "mma") == 0)
    return CUDA_KERNEL_MMA;
  if (value != NULL && g_str_has_prefix (value, "hopper"))
    return CUDA_KERNEL_HOPPER;
  return CUDA_KERNEL_AUTO;
}

static void
fill_card (CudaCard *card, int index)
{
  enum cudaDriverEntryPointQueryResult found;

  card->cc = 10 * get_attribute (index, cudaDevAttrComputeCapabilityMajor) + get_attribute (index, cudaDevAttrComputeCapabilityMinor);
  card->n_sms = get_attribute (index, cudaDevAttrMultiProcessorCount);
  card->max_smem = get_attribute (index, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  card->l2_bytes = get_attribute (index, cudaDevAttrL2CacheSize);
  if (cudaGetDriverEntryPointByVersion ("cuTensorMapEncodeTiled", &card->encode_tiled, 12000, cudaEnableDefault, &found) != cudaSuccess
      || found != cudaDriverEntryPointSuccess)
    card->encode_tiled = NULL;
  card->allow_hopper = card->cc == 90 && card->encode_tiled != NULL && zie_cuda_hopper_is_built ();
}

/* How many have each card open. */
static GMutex open_lock;
static guint n_open[MAX_CARDS];
static gboolean was_lost[MAX_CARDS];

static void
enter_card (int index)
{
  g_mutex_lock (&open_lock);
  if (index < MAX_CARDS)
    n_open[index]++;
  g_mutex_unlock (&open_lock);
}

/* A context whose work broke off answers nothing else any more, to whoever opens the card next in this process: the last one to leave
 * ends it, with all that could not be freed.  The calling thread's card is INDEX, unless even choosing it failed. */
static void
leave_card (int index)
{
  cudaError_t code = cudaSuccess;
  int current = -1;

  g_mutex_lock (&open_lock);
  if (index < MAX_CARDS && --n_open[index] == 0)
    {
      cudaGetDevice (&current);
      if (current == index)
        code = cudaDeviceSynchronize ();
      if (code != cudaSuccess)
        {
          g_debug ("card %d is reset: %s", index, cudaGetErrorString (code));
          cudaDeviceReset ();
          was_lost[index] = TRUE;
        }
      cudaGetLastError ();
    }
  g_mutex_unlock (&open_lock);
}

/* Current drivers (580) then answer cudaErrorDevicesUnavailable to all that this process asks of the card, as the runtime's manual has it of
 * each such error: the process must be ended. */
static void
set_open_error (GError **error, cudaError_t code, int index)
{
  gboolean is_lost_for_good;

  g_mutex_lock (&open_lock);
  is_lost_for_good = code == cudaErrorDevicesUnavailable && index < MAX_CARDS && was_lost[index];
  g_mutex_unlock (&open_lock);
  if (is_lost_for_good)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE, "the card stopped before, and its driver does not give it to a program "
                 "that was using it then: close it and open it again, or compute on the CPU (--device cpu)");
  else
    cuda_set_error (error, code, "the card could not be opened");
}

static void
cuda_close (ZieBackend *backend)
{
  CudaBackend *self = backend->data;

  cudaSetDevice (self->index);
  g_clear_pointer (&self->weights, cuda_weights_free);
  g_clear_pointer (&self->profile, cuda_profile_free);
  for (guint i = 0; i < PACE_MARKS; i++)
    if (self->marks[i] != NULL)
      cudaEventDestroy (self->marks[i]);
  if (self->bounced != NULL)
    cudaEventDestroy (self->bounced);
  if (self->compute != NULL)
    cudaStreamDestroy (self->compute);
  if (self->copy != NULL)
    cudaStreamDestroy (self->copy);
  cudaFree (self->workspace);
  cudaFree (self->broken);
  cudaFreeHost (self->broken_seen);
  cudaFreeHost (self->bounce);
  g_clear_pointer (&self->cublaslt, zie_cublaslt_free);
  leave_card (self->index);
  g_mutex_clear (&self->lock);
  g_free (self->failure);
  g_free (self);
  backend->data = NULL;
}

static cudaError_t
create (CudaBackend *self)
{
  const unsigned flags = cudaEventDisableTiming | cudaEventBlockingSync;
  cudaError_t code;

  if ((code = cudaStreamCreateWithFlags (&self->compute, cudaStreamNonBlocking)) != cudaSuccess
      || (code = cudaStreamCreateWithFlags (&self->copy, cudaStreamNonBlocking)) != cudaSuccess
      || (code = cudaEventCreateWithFlags (&self->bounced, flags)) != cudaSuccess
      || (code = cudaHostAlloc ((void **)&self->bounce, CUDA_BOUNCE_SIZE, cudaHostAllocDefault)) != cudaSuccess
      || (code = cudaHostAlloc ((void **)&self->broken_seen, sizeof (int), cudaHostAllocDefault)) != cudaSuccess
      || (code = cudaMalloc ((void **)&self->broken, sizeof (int))) != cudaSuccess
      || (code = cudaMemsetAsync (self->broken, 0, sizeof (int), self->compute)) != cudaSuccess
      || (code = cudaMalloc ((void **)&self->workspace, self->workspace_size)) != cudaSuccess)
    return code;
  *self->broken_seen = 0;
  for (guint i = 0; i < PACE_MARKS; i++)
    if ((code = cudaEventCreateWithFlags (&self->marks[i], flags)) != cudaSuccess)
      return code;
  return cudaSuccess;
}

static gboolean
cuda_open (ZieBackend *backend, int device_index, GError **error)
{
  CudaBackend *self = g_new0 (CudaBackend, 1);
  g_autoptr(GError) local = NULL;
  const char *gemm = g_getenv ("ZIE_CUDA_GEMM");
  struct cudaDeviceProp properties;
  guint64 before;
  cudaError_t code;

  backend->data = self;
  g_mutex_init (&self->lock);
  self->index = device_index;
  enter_card (self->index);
  before = get_free (self->index);
  if ((code = cudaSetDevice (self->index)) != cudaSuccess || (code = cudaGetDeviceProperties (&properties, self->index)) != cudaSuccess)
    goto fail;

  fill_card (&self->card, self->index);
  self->conv = choice_from_environment ("ZIE_CUDA_CONV");
  self->gemm = choice_from_environment ("ZIE_CUDA_GEMM");
  self->workspace_size = zie_cublaslt_workspace_size (self->card.cc);
  if ((code = create (self)) != cudaSuccess)
    goto fail;

  if (self->gemm == CUDA_KERNEL_AUTO && g_strcmp0 (gemm, "own") != 0)
    self->cublaslt = zie_cublaslt_open (self->card.cc, properties.name, &local);
  if (local != NULL)
    g_debug ("cublaslt: %s; own products are used", local->message);
  self->weights = cuda_weights_new (self, backend->threads);
  if ((code = self->failure_code) != cudaSuccess)
    goto fail;
  backend->failed = &self->failed;
  keep_base_size (self->index, before, get_free (self->index));
  self->base_size = get_base_size (self->index);
  g_debug ("open device=%d name=\"%s\" cc=%d sms=%d cublaslt=%s", self->index, properties.name, self->card.cc, self->card.n_sms,
           self->cublaslt ? "yes" : "no");
  return TRUE;

fail:
  set_open_error (error, code, self->index);
  cuda_close (backend);
  return FALSE;
}

/* Weights are placed before the arena is reserved, and both stay until the next job: a look after each is the peak. */
static void
keep_peak (CudaBackend *self)
{
  guint64 held = cuda_weights_get_held (self->weights) + self->allocated;

  if (held > self->held_peak)
    self->held_peak = held;
}

static void *
cuda_alloc (ZieBackend *backend, gsize size, GError **error)
{
  CudaBackend *self = backend->data;
  void *memory = NULL;
  cudaError_t code;

  cudaSetDevice (self->index);
  if ((code = cudaMalloc (&memory, MAX (size, 1))) != cudaSuccess)
    {
      cudaGetLastError ();
      cuda_set_error (error, code, "memory for the picture");
      return NULL;
    }
  self->allocated += size;
  keep_peak (self);
  return memory;
}

static void
cuda_free (ZieBackend *backend, void *memory, gsize size)
{
  CudaBackend *self = backend->data;

  cudaSetDevice (self->index);
  cudaStreamSynchronize (self->compute);         /* a cancelled job may still run in it */
  cudaFree (memory);
  self->allocated -= size;
}

static void *
cuda_alloc_host (ZieBackend *backend, gsize size, GError **error)
{
  CudaBackend *self = backend->data;
  void *memory = NULL;
  cudaError_t code;

  cudaSetDevice (self->index);
  if ((code = cudaHostAlloc (&memory, MAX (size, 1), cudaHostAllocDefault)) == cudaSuccess)
    return memory;

  cudaGetLastError ();
  if (code == cudaErrorMemoryAllocation)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY,
                 "%" G_GSIZE_FORMAT " bytes of locked memory could not be had: close other programs or ask for a smaller picture", size);
  else
    cuda_set_error (error, code, "locked memory for the picture");
  return NULL;
}

static void
cuda_free_host (ZieBackend *backend, void *memory, gsize size)
{
  cudaFreeHost (memory);
}

static gboolean
cuda_place (ZieBackend *backend, const ZieWeightPlaces *places, GError **error)
{
  CudaBackend *self = backend->data;
  gboolean is_placed;

  cudaSetDevice (self->index);
  cuda_weights_settle (self->weights);           /* nothing of the last job fails this one */
  g_clear_pointer (&self->failure, g_free);
  self->failure_code = cudaSuccess;
  g_atomic_int_set (&self->failed, 0);
  cuda_ok (self, cudaMemsetAsync (self->broken, 0, sizeof (int), self->compute), "a counter");
  self->n_loaded = self->n_streamed = 0;
  is_placed = cuda_weights_place (self->weights, places, error);
  self->held_peak = cuda_weights_get_held (self->weights) + self->allocated;
  return is_placed;
}

static void
cuda_release (ZieBackend *backend, gboolean keep_host_copies)
{
  CudaBackend *self = backend->data;

  cudaSetDevice (self->index);
  cuda_weights_drop (self->weights, keep_host_copies);
}

static guint64
cuda_get_held (ZieBackend *backend)
{
  CudaBackend *self = backend->data;

  return cuda_weights_get_held (self->weights);
}

static void
cuda_measure (ZieBackend *backend, ZieBackendUse *use)
{
  CudaBackend *self = backend->data;

  *use = (ZieBackendUse) { .base = self->base_size, .held = cuda_weights_get_held (self->weights) + self->allocated,
                           .held_peak = self->held_peak, .loaded = self->n_loaded, .streamed = self->n_streamed,
                           .locked = cuda_weights_get_total_locked () };
}

/* Without NVML the context that is open is asked. */
static guint64
cuda_get_free (ZieBackend *backend)
{
  CudaBackend *self = backend->data;
  guint64 there = get_free (self->index);
  size_t available = 0, total = 0;

  if (there > 0)
    return there;
  if (cudaSetDevice (self->index) != cudaSuccess || cudaMemGetInfo (&available, &total) != cudaSuccess)
    {
      cudaGetLastError ();
      return 0;
    }
  return available;
}

static gboolean
cuda_check (ZieBackend *backend, GError **error)
{
  CudaBackend *self = backend->data;

  if (!g_atomic_int_get (&self->failed))
    return TRUE;

  g_mutex_lock (&self->lock);
  if (self->failure_code == cudaErrorMemoryAllocation)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_DEVICE_MEMORY, "the card ran out of memory: %s", self->failure);
  else
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_DEVICE_LOST,
                 "the card stopped in the middle of the picture: %s; try again, or compute on the CPU", self->failure);
  g_mutex_unlock (&self->lock);
  return FALSE;
}

static guint
cuda_profile (ZieBackend *backend, gboolean on, ZieProfileRow *rows, guint max_rows)
{
  CudaBackend *self = backend->data;
  guint n = 0;

  cudaSetDevice (self->index);
  if (self->profile != NULL)
    n = cuda_profile_take (self->profile, self->compute, !on, rows, max_rows);
  if (!on)
    g_clear_pointer (&self->profile, cuda_profile_free);
  else if (self->profile == NULL)
    self->profile = cuda_profile_new ();
  return n;
}

static const ZieBackendFuncs funcs = {
  .kind = ZIE_BACKEND_CUDA,
  .list = cuda_list,
  .describe = cuda_describe,
  .open = cuda_open,
  .close = cuda_close,
  .alloc = cuda_alloc,
  .free = cuda_free,
  .weight_size = cuda_weight_size,
  .load_scratch = cuda_weight_scratch,
  .alloc_host = cuda_alloc_host,
  .free_host = cuda_free_host,
  .place = cuda_place,
  .release = cuda_release,
  .get_held = cuda_get_held,
  .measure = cuda_measure,
  .get_free = cuda_get_free,
  .check = cuda_check,
  .profile = cuda_profile,
};

G_MODULE_EXPORT const ZieCudaPlugin zie_cuda_plugin = {
  ZIE_CUDA_PLUGIN_ABI, sizeof (ZieOps), sizeof (ZieOpCtx), sizeof (ZieWeight), sizeof (ZieBackendFuncs), sizeof (ZieDevice), &funcs,
  cuda_explain,
};
