/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for the driver's libnvidia-ml.so.1: total, used and this process's bytes come from the file that
 * MOCK_NVML names, a line a card with its PCI id behind them if it has one, read anew at each question, so that a test can
 * change them.  "-" for this process's bytes: it is not in the driver's list, as in a sandbox with process ids of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define MAX_CARDS 4

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
EXPORT int nvmlDeviceGetHandleByPciBusId_v2 (const char *pci_id, void **device);
EXPORT int nvmlDeviceGetMemoryInfo (void *device, Memory *memory);
EXPORT int nvmlDeviceGetComputeRunningProcesses_v3 (void *device, unsigned int *n, Process *processes);

typedef struct
{
  unsigned long long total, used, ours;
  int is_listed;
  char pci_id[32];
} Card;

static Card handles[MAX_CARDS];      /* their places are what handles are */

static int
read_cards (Card cards[MAX_CARDS])
{
  const char *path = getenv ("MOCK_NVML");
  FILE *file = path ? fopen (path, "r") : NULL;
  char line[128], ours[32];
  int n = 0;

  while (file && n < MAX_CARDS && fgets (line, sizeof line, file))
    {
      cards[n].pci_id[0] = '\0';
      if (sscanf (line, "%llu %llu %31s %31s", &cards[n].total, &cards[n].used, ours, cards[n].pci_id) < 3)
        continue;
      cards[n].is_listed = ours[0] != '-';
      cards[n].ours = strtoull (ours, NULL, 10);
      n++;
    }
  if (file)
    fclose (file);
  return n;
}

static int
read_card (void *device, Card *card)
{
  Card cards[MAX_CARDS];
  long at = (Card *) device - handles;

  if (at >= read_cards (cards))
    return 0;
  *card = cards[at];
  return 1;
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
  Card cards[MAX_CARDS];

  if (index >= (unsigned int) read_cards (cards))
    return 2;                               /* 2: an invalid argument */
  *device = &handles[index];
  return 0;
}

int
nvmlDeviceGetHandleByPciBusId_v2 (const char *pci_id, void **device)
{
  Card cards[MAX_CARDS];
  int n = read_cards (cards);

  for (int i = 0; i < n; i++)
    if (strcasecmp (cards[i].pci_id, pci_id) == 0)
      {
        *device = &handles[i];
        return 0;
      }
  return 6;                                 /* 6: not found */
}

int
nvmlDeviceGetMemoryInfo (void *device, Memory *memory)
{
  Card card;

  if (!read_card (device, &card))
    return 999;
  *memory = (Memory) { card.total, card.total - card.used, card.used };
  return 0;
}

int
nvmlDeviceGetComputeRunningProcesses_v3 (void *device, unsigned int *n, Process *processes)
{
  Card card;

  if (!read_card (device, &card) || *n < 2)
    return 999;
  processes[0] = (Process) { 1, ~0ull, 0, 0 };      /* "unknown", as a driver in a container says */
  processes[1] = (Process) { card.is_listed ? (unsigned int) getpid () : 2, card.ours, 0, 0 };
  *n = 2;
  return 0;
}
