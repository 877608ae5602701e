/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ref"

#include "ref-backend.h"

#include "zie-host.h"

/* What one thread of a present processor does with these loops; the plan's expected time needs no more. */
#define FLOPS_PER_THREAD 1.2e9
#define BYTES_PER_SECOND 2e9

static guint
ref_list (ZieDevice *devices, guint max_devices)
{
  ZieMemoryUse memory;
  ZieDevice device = { .kind = ZIE_BACKEND_REF, .n_threads = zie_threads_count_cores (),
                       .bytes_per_second = BYTES_PER_SECOND };
  char cpu[64];

  if (max_devices == 0)
    return 0;

  zie_query_memory (&memory);
  zie_host_cpu_name (cpu, sizeof cpu);
  g_snprintf (device.name, sizeof device.name, "%s (reference, %u %s)", cpu, device.n_threads,
              device.n_threads == 1 ? "thread" : "threads");
  g_strlcpy (device.detail, "plain loops with sums in double: slow, what every other backend is checked against",
             sizeof device.detail);
  device.memory_total = memory.ram_total;
  device.memory_free = memory.ram_available;
  device.flops_f32 = device.flops_bf16 = FLOPS_PER_THREAD * device.n_threads;
  devices[0] = device;
  return 1;
}

static void
ref_describe (ZieOps *ops, ZieDtype *act, ZieCompute *best_compute)
{
  zie_ops_init_ref (ops);
  *act = ZIE_DTYPE_F32;
  *best_compute = ZIE_COMPUTE_F32;
}

static void *
ref_alloc (ZieBackend *self, gsize size, GError **error)
{
  return zie_host_alloc (size, error);
}

static void
ref_free (ZieBackend *self, void *memory, gsize size)
{
  zie_host_free (memory, size);
}

const ZieBackendFuncs zie_ref_backend_funcs = {
  .kind = ZIE_BACKEND_REF,
  .list = ref_list,
  .describe = ref_describe,
  .alloc = ref_alloc,
  .free = ref_free,
};
