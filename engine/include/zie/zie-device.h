/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-types.h>

G_BEGIN_DECLS

/* What a device is, at the moment of asking: a plain snapshot, so that tests can invent devices. */
struct _ZieDevice
{
  ZieBackendKind kind;
  int index;
  char name[96];             /* "AMD EPYC (2 threads, AVX-512)" */
  char detail[160];          /* libraries and levels found, for `zimage devices` */
  char pci_id[32];           /* "0000:01:00.0": what other programs know a card by, whatever its index here; "" = none */
  guint64 memory_total;      /* bytes of the memory the device computes in */
  guint64 memory_free;
  guint64 memory_held;       /* of a device with memory of its own: what the engine that told has of it, and counts as free */
  guint32 caps;              /* bits of the backend's own */
  guint n_threads;
  double flops_f32, flops_bf16;    /* sustained estimate for large products, operations a second; 0 = cannot */
  double bytes_per_second;         /* memory bandwidth estimate */
  double link_bytes_per_second;    /* from host memory to a device of its own; 0: it computes in host memory */
  guint64 memory_base;             /* what a process takes of its memory by opening it (context, libraries) */
  /* Of a device with memory of its own: the host's memory that is free, 0 where that is not known; what opening the device takes of
   * it, and how much of that is locked; what is locked already for the next job, and counted as free. */
  guint64 host_free, host_base, host_locked, host_held;
};

/* Fills DEVICES with at most MAX_DEVICES and returns how many there are.  The best comes first; the reference
 * backend is always the last.  Any thread. */
ZIE_API guint zie_list_devices (ZieDevice *devices, guint max_devices);

/* Why there is no CUDA device in that list, as a sentence; NULL when there is one.  Free with g_free().  Any thread. */
ZIE_API char *zie_explain_missing_cuda (void);
/* Where there are CUDA devices in that list: why other cards are not, a sentence a line; NULL when none is left out.  Free with
 * g_free().  Any thread. */
ZIE_API char *zie_explain_left_out (void);

/* Time of one kind of op on a device, all of one shape together: M, N, K as in a matrix product (rows, outputs, inputs), or
 * what corresponds. */
typedef struct
{
  const char *op;                  /* "linear", "conv2d" …; static */
  gint64 m, n, k;
  guint count;
  double seconds, flops, bytes;    /* of all of them */
  double yardstick_seconds;        /* of all of them by the vendor's own library (cuDNN); 0: it is not there or has no such op */
} ZieProfileRow;

/* Memory of this machine and of this process, in bytes; 0 where the system does not say. */
typedef struct
{
  guint64 ram_total, ram_available;
  guint64 process_anonymous, process_resident, process_peak;
} ZieMemoryUse;
ZIE_API void zie_query_memory (ZieMemoryUse *use);

G_END_DECLS
