/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* What the driver's management library says of a card without opening it.  Zeros where it is missing. */
typedef struct
{
  guint64 total, free;           /* bytes */
  double link_bytes_per_second;  /* of the PCIe link at its best, each way, as measured on such links */
  char driver[64];
} CudaNvmlFacts;

/* PCI_ID: "0000:1b:00.0", as cudaDeviceGetPCIBusId() has it.  FALSE: nothing known.  Any thread. */
gboolean cuda_nvml_query (const char *pci_id, CudaNvmlFacts *facts);
