/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "check"

#include "check-private.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct
{
  char *filter, *backend;
  gint64 seed;
  gboolean list, bench, large;
} options = { .seed = 1 };

static const CheckOp *const ops[] = {
  &check_linear, &check_attention, &check_conv, &check_rms_norm, &check_gated_norm_add, &check_layer_norm,
  &check_qk_norm_rope, &check_group_norm, &check_group_norm_bands, &check_affine, &check_swiglu, &check_add, &check_unary, &check_copy,
  &check_fill_rows, &check_gather, &check_patchify, &check_planes, &check_transfer,
};

/* The line that repeats the running case, for a signal handler too. */
static char repeat_line[1024];
static const char *program;

static void
on_fatal (int number)
{
  static const char before[] = "# the process was killed by a signal in the case repeated by:\n# ";

  if (write (STDOUT_FILENO, before, sizeof before - 1) < 0 || write (STDOUT_FILENO, repeat_line, strlen (repeat_line)) < 0
      || write (STDOUT_FILENO, "\n", 1) < 0)
    _exit (1);
  signal (number, SIG_DFL);
  raise (number);
}

static guint64
hash_name (const char *name, guint64 seed)
{
  guint64 h = seed ^ 0xcbf29ce484222325;

  for (; *name != '\0'; name++)
    h = (h ^ (guint8)*name) * 0x100000001b3;
  return h;
}

static char *
case_name (const CheckOp *op, guint index, const ZieBackend *backend, ZieCompute compute)
{
  GString *name = g_string_new (op->name);

  g_string_append_c (name, '/');
  op->name_case (index, name);
  if (op->uses_compute)
    g_string_append_printf (name, "/%s", zie_compute_name (compute));
  g_string_append_printf (name, "/%s", zie_backend_kind_name (backend->funcs->kind));
  return g_string_free (name, FALSE);
}

static gboolean
is_wanted (const char *name)
{
  if (options.filter == NULL)
    return TRUE;
  if (strpbrk (options.filter, "*?"))
    return g_pattern_match_simple (options.filter, name);
  return strstr (name, options.filter) != NULL;
}

static void
set_repeat_line (const char *name)
{
  static const char *const variables[] = { "ONEDNN_MAX_CPU_ISA", "ZIE_CPU_MASK" };
  GString *line = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (variables); i++)
    if (g_getenv (variables[i]))
      g_string_append_printf (line, "%s=%s ", variables[i], g_getenv (variables[i]));
  g_string_append_printf (line, "%s%s --seed %" G_GINT64_FORMAT " --filter '%s'", program, options.large ? " --large" : "",
                          options.seed, name);
  g_strlcpy (repeat_line, line->str, sizeof repeat_line);
  g_string_free (line, TRUE);
}

/* Prints one line of TAP; TRUE when it is an ok. */
static gboolean
run_case (const CheckOp *op, guint index, const char *name, ZieCompute compute, ZieBackend *reference, ZieBackend *backend,
          const ZieDevice *device, guint number)
{
  Check check = {
    .op = op,
    .reference = reference,
    .backend = backend,
    .device = device,
    .compute = compute,
    .name = name,
    .is_large = index >= op->n_cases - op->n_large,
    .is_bench = options.bench,
    .failure = g_string_new (NULL),
    .report = g_string_new (NULL),
  };
  gboolean ok;

  set_repeat_line (name);
  check_init_data (&check, hash_name (name, (guint64)options.seed));
  op->run_case (&check, index);
  ok = check.failure->len == 0;
  printf ("%s %u - %s%s%s\n", ok ? "ok" : "not ok", number, name, check.report->len ? ": " : "", check.report->str);
  if (!ok)
    printf ("# %s\n# repeat: %s\n", check.failure->str, repeat_line);
  fflush (stdout);

  check_clear_data (&check);
  g_string_free (check.failure, TRUE);
  g_string_free (check.report, TRUE);
  return ok;
}

/* Every case of every op for BACKEND; returns how many failed, *NUMBER counts them all. */
static guint
run_backend (ZieBackend *reference, ZieBackend *backend, const ZieDevice *device, guint *number)
{
  static const ZieCompute computes[] = { ZIE_COMPUTE_F32, ZIE_COMPUTE_BF16 };
  guint n_failed = 0;

  printf ("# %s: %s\n", device->name, device->detail);
  for (guint o = 0; o < G_N_ELEMENTS (ops); o++)
    for (guint i = 0; i < ops[o]->n_cases; i++)
      for (guint c = 0; c < (ops[o]->uses_compute ? 2u : 1u); c++)
        {
          g_autofree char *name = case_name (ops[o], i, backend, computes[c]);

          if (options.large != (i >= ops[o]->n_cases - ops[o]->n_large) || !is_wanted (name))
            continue;
          if (options.list)
            printf ("%s\n", name);
          else
            n_failed += !run_case (ops[o], i, name, computes[c], reference, backend, device, ++*number);
        }
  return n_failed;
}

static gboolean
parse_options (int *argc, char ***argv)
{
  const GOptionEntry entries[] = {
    { "filter", 0, 0, G_OPTION_ARG_STRING, &options.filter, "only cases with this in their name; * and ? match",
      "TEXT" },
    { "backend", 0, 0, G_OPTION_ARG_STRING, &options.backend, "only this backend", "NAME" },
    { "seed", 0, 0, G_OPTION_ARG_INT64, &options.seed, "of all inputs (1)", "N" },
    { "list", 0, 0, G_OPTION_ARG_NONE, &options.list, "print the names of the cases", NULL },
    { "bench", 0, 0, G_OPTION_ARG_NONE, &options.bench, "time each case: best of many runs", NULL },
    { "large", 0, 0, G_OPTION_ARG_NONE, &options.large, "whole layers of the full-size model: cancelled, or timed",
      NULL },
    { NULL }
  };
  g_autoptr(GOptionContext) context = g_option_context_new ("- each op of each backend against the reference");
  g_autoptr(GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (g_option_context_parse (context, argc, argv, &error))
    return TRUE;
  fprintf (stderr, "%s\n", error->message);
  return FALSE;
}

int
main (int argc, char **argv)
{
  static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
  g_autoptr(ZieThreads) threads = NULL;
  g_autoptr(ZieBackend) reference = NULL;
  g_autoptr(GError) error = NULL;
  ZieDevice devices[16];
  guint n_devices, number = 0, n_failed = 0;

  program = argv[0];
  if (!parse_options (&argc, &argv))
    return 2;
  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    signal (fatal[i], on_fatal);

  /* More threads than cores, so that items are finished out of order; as many as cores for the clock. */
  threads = zie_threads_new (options.bench || options.large ? 0 : zie_threads_count_cores () + 1, FALSE);
  if (!(reference = zie_backend_open (ZIE_BACKEND_REF, 0, threads, &error)))
    g_error ("%s", error->message);

  n_devices = zie_list_devices (devices, G_N_ELEMENTS (devices));
  for (guint i = 0; i < n_devices; i++)
    {
      g_autoptr(ZieBackend) backend = NULL;
      const char *name = zie_backend_kind_name (devices[i].kind);

      if (options.backend ? !g_str_equal (options.backend, name) : devices[i].kind == ZIE_BACKEND_REF)
        continue;
      if (!(backend = zie_backend_open (devices[i].kind, devices[i].index, threads, &error)))
        {
          printf ("not ok %u - %s opens\n# %s\n", ++number, name, error->message);
          g_clear_error (&error);
          n_failed++;
          continue;
        }
      n_failed += run_backend (reference, backend, &devices[i], &number);
    }

  if (!options.list)
    printf (number ? "1..%u\n" : "1..%u # SKIP no such backend or case here\n", number);
  if (n_failed > 0)
    printf ("# %u of %u failed\n", n_failed, number);
  g_free (options.filter);
  g_free (options.backend);
  return n_failed > 0;
}
