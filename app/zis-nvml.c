/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-nvml"

#include "zis-nvml.h"

#include <dlfcn.h>
#include <unistd.h>

#define MAX_PROCESSES 64
#define NVML_SUCCESS 0

/* The ABI of NVML as far as it is used here: stable by its own promise, versioned by the names of the functions. */
typedef struct
{
  unsigned long long total, free, used;
} NvmlMemory;

typedef struct
{
  unsigned int pid;
  unsigned long long used;
  unsigned int gpu_instance, compute_instance;
} NvmlProcess;

struct _ZisNvml
{
  void *library;             /* owned */
  int (*shutdown) (void);
  int (*get_by_index) (unsigned int index, void **device);
  int (*get_by_pci_id) (const char *pci_id, void **device);    /* may be NULL */
  int (*get_memory) (void *device, NvmlMemory *memory);
  int (*get_processes) (void *device, unsigned int *n, NvmlProcess *processes);   /* may be NULL */
};

ZisNvml *
zis_nvml_open (void)
{
  g_autofree ZisNvml *self = g_new0 (ZisNvml, 1);
  int (*init) (void);

  if (!(self->library = dlopen ("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)))
    return NULL;

  *(void **) &init = dlsym (self->library, "nvmlInit_v2");
  *(void **) &self->shutdown = dlsym (self->library, "nvmlShutdown");
  *(void **) &self->get_by_index = dlsym (self->library, "nvmlDeviceGetHandleByIndex_v2");
  *(void **) &self->get_by_pci_id = dlsym (self->library, "nvmlDeviceGetHandleByPciBusId_v2");
  *(void **) &self->get_memory = dlsym (self->library, "nvmlDeviceGetMemoryInfo");
  *(void **) &self->get_processes = dlsym (self->library, "nvmlDeviceGetComputeRunningProcesses_v3");
  if (!init || !self->shutdown || !self->get_by_index || !self->get_memory || init () != NVML_SUCCESS)
    {
      dlclose (self->library);
      return NULL;
    }

  return g_steal_pointer (&self);
}

void
zis_nvml_close (ZisNvml *self)
{
  self->shutdown ();
  dlclose (self->library);
  g_free (self);
}

static gboolean
find_device (ZisNvml *self, const char *pci_id, guint index, void **device)
{
  if (*pci_id && self->get_by_pci_id)
    return self->get_by_pci_id (pci_id, device) == NVML_SUCCESS;

  return self->get_by_index (index, device) == NVML_SUCCESS;
}

gboolean
zis_nvml_query (ZisNvml *self, const char *pci_id, guint index, guint64 *total, guint64 *used, guint64 *ours)
{
  NvmlProcess processes[MAX_PROCESSES];
  unsigned int n = MAX_PROCESSES;
  NvmlMemory memory;
  void *device;

  if (!find_device (self, pci_id, index, &device) || self->get_memory (device, &memory) != NVML_SUCCESS)
    return FALSE;

  *total = memory.total;
  *used = memory.used;
  *ours = ZIS_NVML_UNKNOWN;
  if (self->get_processes && self->get_processes (device, &n, processes) == NVML_SUCCESS)
    for (unsigned int i = 0; i < n && i < MAX_PROCESSES; i++)
      /* The driver says "unknown" with all bits set. */
      if (processes[i].pid == (unsigned int) getpid () && processes[i].used != ~0ull)
        *ours = processes[i].used + (*ours != ZIS_NVML_UNKNOWN ? *ours : 0);

  return TRUE;
}
