/* SPDX-License-Identifier: Apache-2.0 */
#include "zie-backend.h"

#include <string.h>
#include <zie/zie-error.h>

#include "zie-host.h"

#define MAX_DEVICES 16

static void
test_list_ends_with_the_reference (void)
{
  ZieDevice devices[MAX_DEVICES];
  guint n = zie_list_devices (devices, MAX_DEVICES);

  g_assert_cmpuint (n, >=, 2);
  g_assert_cmpint (devices[n - 1].kind, ==, ZIE_BACKEND_REF);
  for (guint i = 0; i < n; i++)
    {
      g_assert_cmpstr (devices[i].name, !=, "");
      g_assert_true (g_utf8_validate (devices[i].name, -1, NULL));
      g_assert_cmpstr (devices[i].pci_id, ==, "");
      g_assert_cmpuint (devices[i].memory_total, >, 0);
      g_assert_cmpuint (devices[i].memory_free, <=, devices[i].memory_total);
      g_assert_cmpuint (devices[i].n_threads, >=, 1);
      g_assert_cmpfloat (devices[i].flops_f32, >, 0);
      g_assert_cmpfloat (devices[i].bytes_per_second, >, 0);
    }
}

static void
test_list_keeps_to_its_room (void)
{
  ZieDevice devices[2];

  memset (devices, 0x55, sizeof devices);
  g_assert_cmpuint (zie_list_devices (devices, 1), ==, 1);
  g_assert_cmpint (devices[0].kind, ==, ZIE_BACKEND_CPU);
  g_assert_cmpint (((guint8 *)&devices[1])[0], ==, 0x55);
  g_assert_cmpuint (zie_list_devices (NULL, 0), ==, 0);
}

static void
assert_opens (ZieBackendKind kind, ZieBackendKind expected)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieBackend) backend = zie_backend_open (kind, 0, NULL, &error);
  ZieOps plan_ops;
  ZieDtype act;
  ZieCompute compute;

  g_assert_no_error (error);
  g_assert_cmpint (backend->funcs->kind, ==, expected);

  /* A plan has the same table as what runs. */
  g_assert_true (zie_backend_get_plan_ops (kind, &plan_ops, &act, &compute));
  g_assert_cmpmem (&plan_ops, sizeof plan_ops, &backend->ops, sizeof backend->ops);
  g_assert_cmpint (act, ==, backend->act);
  g_assert_cmpint (compute, ==, backend->best_compute);
}

static void
test_open (void)
{
  g_unsetenv ("ZIE_BACKEND");
  assert_opens (ZIE_BACKEND_REF, ZIE_BACKEND_REF);
  assert_opens (ZIE_BACKEND_CPU, ZIE_BACKEND_CPU);
  assert_opens (ZIE_BACKEND_AUTO, ZIE_BACKEND_CPU);
}

static void
test_environment_decides_auto (void)
{
  g_setenv ("ZIE_BACKEND", "ref", TRUE);
  assert_opens (ZIE_BACKEND_AUTO, ZIE_BACKEND_REF);
  assert_opens (ZIE_BACKEND_CPU, ZIE_BACKEND_CPU);        /* what was asked for by name stays */
  g_setenv ("ZIE_BACKEND", "cpu", TRUE);
  assert_opens (ZIE_BACKEND_AUTO, ZIE_BACKEND_CPU);
  g_setenv ("ZIE_BACKEND", "auto", TRUE);
  assert_opens (ZIE_BACKEND_AUTO, ZIE_BACKEND_CPU);
  g_setenv ("ZIE_BACKEND", "", TRUE);
  assert_opens (ZIE_BACKEND_AUTO, ZIE_BACKEND_CPU);
  g_unsetenv ("ZIE_BACKEND");
}

static void
assert_refused (ZieBackendKind kind, int device_index, const char *word)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (zie_backend_open (kind, device_index, NULL, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE);
  g_assert_nonnull (strstr (error->message, word));
}

static void
test_what_is_not_there (void)
{
  ZieOps ops;
  ZieDtype act;
  ZieCompute compute;

  assert_refused (ZIE_BACKEND_CUDA, 0, "cuda");
  assert_refused (ZIE_BACKEND_REF, 1, "device 1");
  assert_refused (ZIE_BACKEND_CPU, -1, "device -1");
  g_assert_false (zie_backend_get_plan_ops (ZIE_BACKEND_CUDA, &ops, &act, &compute));

  g_setenv ("ZIE_BACKEND", "abacus", TRUE);
  assert_refused (ZIE_BACKEND_AUTO, 0, "abacus");
  g_assert_false (zie_backend_get_plan_ops (ZIE_BACKEND_AUTO, &ops, &act, &compute));
  g_unsetenv ("ZIE_BACKEND");
}

static void
test_context (void)
{
  g_autoptr(ZieThreads) threads = zie_threads_new (3, FALSE);
  g_autoptr(ZieBackend) alone = zie_backend_open (ZIE_BACKEND_REF, 0, NULL, NULL);
  g_autoptr(ZieBackend) backend = zie_backend_open (ZIE_BACKEND_REF, 0, threads, NULL);
  ZieArena arena, host;
  ZieOpCtx ctx;
  gint cancel = 0;

  zie_arena_init_counting (&arena);
  zie_arena_init_counting (&host);
  zie_backend_init_ctx (backend, &ctx, &arena, &host, ZIE_COMPUTE_AUTO, &cancel);
  g_assert_true (ctx.ops == &backend->ops && ctx.arena == &arena && ctx.host == &host && ctx.threads == threads);
  g_assert_cmpuint (ctx.n_threads, ==, 3);
  g_assert_cmpint (ctx.compute, ==, ZIE_COMPUTE_F32);
  g_assert_cmpint (ctx.act, ==, ZIE_DTYPE_F32);
  g_assert_null (ctx.tally);
  g_assert_false (zie_op_cancelled (&ctx));
  cancel = 1;
  g_assert_true (zie_op_cancelled (&ctx));

  zie_backend_init_ctx (alone, &ctx, &arena, NULL, ZIE_COMPUTE_BF16, NULL);
  g_assert_cmpuint (ctx.n_threads, ==, 1);
  g_assert_cmpint (ctx.compute, ==, ZIE_COMPUTE_BF16);
  g_assert_false (zie_op_cancelled (&ctx));
}

static void
test_memory (void)
{
  g_autoptr(ZieBackend) backend = zie_backend_open (ZIE_BACKEND_REF, 0, NULL, NULL);
  g_autoptr(GError) error = NULL;
  gsize size = (gsize)5 << 20;
  guint8 *memory = backend->funcs->alloc (backend, size, &error);

  g_assert_no_error (error);
  g_assert_cmpuint ((gsize)memory % ZIE_ARENA_ALIGN, ==, 0);
  for (gsize i = 0; i < size; i += 4096)
    g_assert_cmpint (memory[i], ==, 0);
  memory[size - 1] = 1;
  backend->funcs->free (backend, memory, size);

  memory = backend->funcs->alloc (backend, 0, &error);
  g_assert_no_error (error);
  backend->funcs->free (backend, memory, 0);

  g_assert_null (backend->funcs->alloc (backend, (gsize)1 << 60, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY);
  zie_backend_free (NULL);
}

static void
test_cpu_name (void)
{
  g_autofree char *x86 = zie_host_parse_cpu_name ("processor\t: 0\nmodel\t\t: 17\n"
                                                  "model name\t: AMD EPYC 9654\nflags\t: a b\n");
  g_autofree char *arm = zie_host_parse_cpu_name ("processor\t: 0\nBogoMIPS\t: 50\nHardware\t: Some Board\n");
  g_autofree char *none = zie_host_parse_cpu_name ("processor\t: 0\nmodel name\t:\n");
  char name[8];

  g_assert_cmpstr (x86, ==, "AMD EPYC 9654");
  g_assert_cmpstr (arm, ==, "Some Board");
  g_assert_null (none);
  g_assert_null (zie_host_parse_cpu_name (""));
  zie_host_cpu_name (name, sizeof name);
  g_assert_cmpuint (strlen (name), <, sizeof name);
  g_assert_cmpuint (strlen (name), >, 0);
}

int
main (int argc, char **argv)
{
  g_setenv ("ZIE_CUDA_PLUGIN", "", TRUE);        /* as where the module is not installed */
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/backend/list-ends-with-the-reference", test_list_ends_with_the_reference);
  g_test_add_func ("/backend/list-keeps-to-its-room", test_list_keeps_to_its_room);
  g_test_add_func ("/backend/open", test_open);
  g_test_add_func ("/backend/environment-decides-auto", test_environment_decides_auto);
  g_test_add_func ("/backend/what-is-not-there", test_what_is_not_there);
  g_test_add_func ("/backend/context", test_context);
  g_test_add_func ("/backend/memory", test_memory);
  g_test_add_func ("/backend/cpu-name", test_cpu_name);
  return g_test_run ();
}
