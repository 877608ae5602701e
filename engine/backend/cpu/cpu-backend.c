/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-backend.h"

#include "zie-host.h"

#include "cpu-features.h"
#include "cpu-onednn.h"
#include "cpu-private.h"

/* A careful figure for two channels of memory: plans use it for what is not limited by arithmetic. */
#define BYTES_PER_SECOND 15e9

static guint
cpu_list (ZieDevice *devices, guint max_devices)
{
  guint32 caps = zie_cpu_get_caps ();
  ZieDevice device = { .kind = ZIE_BACKEND_CPU, .caps = caps, .n_threads = zie_threads_count_cores (),
                       .bytes_per_second = BYTES_PER_SECOND };
  ZieMemoryUse memory;
  char cpu[64];

  if (max_devices == 0)
    return 0;

  zie_query_memory (&memory);
  zie_host_cpu_name (cpu, sizeof cpu);
  g_snprintf (device.name, sizeof device.name, "%s (%u %s, %s)", cpu, device.n_threads,
              device.n_threads == 1 ? "thread" : "threads", zie_cpu_caps_name (caps));
  g_snprintf (device.detail, sizeof device.detail, "kernels: %s; %s", zie_cpu_get_kernels ()->name, zie_dnn_describe ());
  device.memory_total = memory.ram_total;
  device.memory_free = memory.ram_available;
  device.flops_f32 = zie_cpu_estimate_flops (caps, device.n_threads, FALSE);
  device.flops_bf16 = zie_cpu_estimate_flops (caps, device.n_threads, TRUE);
  devices[0] = device;
  return 1;
}

static void
cpu_describe (ZieOps *ops, ZieDtype *act, ZieCompute *best_compute)
{
  zie_ops_init_cpu (ops);
  *act = ZIE_DTYPE_F32;
  *best_compute = (zie_cpu_get_caps () & ZIE_CPU_AMX_BF16) && zie_dnn_has_amx () ? ZIE_COMPUTE_BF16 : ZIE_COMPUTE_F32;
}

static void *
cpu_alloc (ZieBackend *self, gsize size, GError **error)
{
  return zie_host_alloc (size, error);
}

static void
cpu_free (ZieBackend *self, void *memory, gsize size)
{
  zie_host_free (memory, size);
}

const ZieBackendFuncs zie_cpu_backend_funcs = {
  .kind = ZIE_BACKEND_CPU,
  .list = cpu_list,
  .describe = cpu_describe,
  .alloc = cpu_alloc,
  .free = cpu_free,
};
