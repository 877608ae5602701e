/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for the driver's libnvidia-ml.so.1: total, used and this process's bytes come from the file that
 * MOCK_NVML names, read anew at each question, so that a test can change them. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct
{
  unsigned long long total, free, used;
} Memory;

typedef struct
{
  unsigned int pid;
  unsigned long long used;
  unsigned int gpu_instance, compute_instance;
} Process;

#define EXPORT __attribute__ ((visibility ("default")))

EXPORT int nvmlInit_v2 (void);
EXPORT int nvmlShutdown (void);
EXPORT int nvmlDeviceGetHandleByIndex_v2 (unsigned int index, void **device);
EXPORT int nvmlDeviceGetMemoryInfo (void *device, Memory *memory);
EXPORT int nvmlDeviceGetComputeRunningProcesses_v3 (void *device, unsigned int *n, Process *processes);

static int
read_figures (unsigned long long figures[3])
{
  const char *path = getenv ("MOCK_NVML");
  FILE *file = path ? fopen (path, "r") : NULL;
  int n = file ? fscanf (file, "%llu %llu %llu", &figures[0], &figures[1], &figures[2]) : 0;

  if (file)
    fclose (file);
  return n == 3;
}

int
nvmlInit_v2 (void)
{
  return getenv ("MOCK_NVML") ? 0 : 9;      /* 9: the driver is not loaded */
}

int
nvmlShutdown (void)
{
  return 0;
}

int
nvmlDeviceGetHandleByIndex_v2 (unsigned int index, void **device)
{
  static int card;

  *device = &card;
  return index == 0 ? 0 : 2;
}

int
nvmlDeviceGetMemoryInfo (void *device, Memory *memory)
{
  unsigned long long figures[3];

  if (!read_figures (figures))
    return 999;
  *memory = (Memory) { figures[0], figures[0] - figures[1], figures[1] };
  return 0;
}

int
nvmlDeviceGetComputeRunningProcesses_v3 (void *device, unsigned int *n, Process *processes)
{
  unsigned long long figures[3];

  if (!read_figures (figures) || *n < 2)
    return 999;
  processes[0] = (Process) { 1, ~0ull, 0, 0 };      /* "unknown", as a driver in a container says */
  processes[1] = (Process) { (unsigned int) getpid (), figures[2], 0, 0 };
  *n = 2;
  return 0;
}
