/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cuda"

#include "cuda-nvml.h"

#include <dlfcn.h>

/* The few entries and structures of NVML that are used, as its documentation gives them; 0 is success everywhere. */
typedef struct { unsigned long long total, free, used; } NvmlMemory;
typedef struct _NvmlDevice *NvmlDevice;

typedef struct
{
  gboolean is_there;
  int (*init) (void);
  int (*by_pci) (const char *pci_id, NvmlDevice *device);
  int (*memory) (NvmlDevice device, NvmlMemory *memory);
  int (*generation) (NvmlDevice device, unsigned *generation);
  int (*width) (NvmlDevice device, unsigned *width);
  int (*driver) (char *version, unsigned length);
} Nvml;

static gpointer
load (gpointer data)
{
  Nvml *self = g_new0 (Nvml, 1);
  void *library = dlopen ("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
  struct { const char *name; void **to; } entries[] = {
    { "nvmlInit_v2", (void **)&self->init },
    { "nvmlDeviceGetHandleByPciBusId_v2", (void **)&self->by_pci },
    { "nvmlDeviceGetMemoryInfo", (void **)&self->memory },
    { "nvmlDeviceGetMaxPcieLinkGeneration", (void **)&self->generation },
    { "nvmlDeviceGetMaxPcieLinkWidth", (void **)&self->width },
    { "nvmlSystemGetDriverVersion", (void **)&self->driver },
  };

  if (library == NULL)
    return self;
  for (guint i = 0; i < G_N_ELEMENTS (entries); i++)
    if ((*entries[i].to = dlsym (library, entries[i].name)) == NULL)
      return self;
  self->is_there = self->init () == 0;
  return self;
}

/* A x16 link of generation 3, 4, 5 was seen to carry 12.5, 25 and 54 GB/s of pinned copies. */
static double
link_rate (unsigned generation, unsigned width)
{
  static const double rates[] = { 0, 3e9, 6e9, 12.5e9, 25e9, 54e9, 100e9 };

  return rates[MIN (generation, G_N_ELEMENTS (rates) - 1)] * MIN (width, 16) / 16;
}

gboolean
cuda_nvml_query (const char *pci_id, CudaNvmlFacts *facts)
{
  static GOnce once = G_ONCE_INIT;
  const Nvml *nvml = g_once (&once, load, NULL);
  unsigned generation = 0, width = 0;
  NvmlDevice device;
  NvmlMemory memory;

  *facts = (CudaNvmlFacts) { 0 };
  if (!nvml->is_there || nvml->by_pci (pci_id, &device) != 0 || nvml->memory (device, &memory) != 0)
    return FALSE;

  facts->total = memory.total;
  facts->free = memory.free;
  if (nvml->generation (device, &generation) == 0 && nvml->width (device, &width) == 0)
    facts->link_bytes_per_second = link_rate (generation, width);
  if (nvml->driver (facts->driver, sizeof facts->driver) != 0)
    facts->driver[0] = '\0';
  return TRUE;
}
