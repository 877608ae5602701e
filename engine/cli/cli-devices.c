/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli.h"

#include "config.h"
#include "cli-i18n.h"
#include "cli-json.h"

#define MAX_DEVICES 16

static void
print_json (const ZieDevice *devices, guint n)
{
  g_auto(CliJson) json;

  cli_json_init (&json);
  for (guint i = 0; i < n; i++)
    {
      const ZieDevice *device = &devices[i];

      cli_json_open (&json, NULL, '{');
      cli_json_string (&json, "backend", zie_backend_kind_name (device->kind));
      cli_json_int (&json, "index", device->index);
      cli_json_string (&json, "name", device->name);
      cli_json_string (&json, "detail", device->detail);
      cli_json_uint (&json, "threads", device->n_threads);
      cli_json_uint (&json, "memory_total", device->memory_total);
      cli_json_uint (&json, "memory_free", device->memory_free);
      cli_json_double (&json, "flops_f32", device->flops_f32);
      cli_json_double (&json, "flops_bf16", device->flops_bf16);
      cli_json_double (&json, "bytes_per_second", device->bytes_per_second);
      cli_json_close (&json, '}');
      cli_json_print (&json);
    }
}

/* A line for each card that is there and is not used: TEXT has them so. */
static void
print_left_out_json (const char *text)
{
  g_auto(GStrv) lines = g_strsplit (text, "\n", -1);
  g_auto(CliJson) json;

  cli_json_init (&json);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      cli_json_open (&json, NULL, '{');
      cli_json_string (&json, "backend", zie_backend_kind_name (ZIE_BACKEND_CUDA));
      cli_json_string (&json, "left_out", lines[i]);
      cli_json_close (&json, '}');
      cli_json_print (&json);
    }
}

static void
print_text (const ZieDevice *devices, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      const ZieDevice *device = &devices[i];
      g_autofree char *total = cli_format_size (device->memory_total);
      g_autofree char *available = cli_format_size (device->memory_free);

      if (device->index > 0)
        g_print ("%s:%d %s\n", zie_backend_kind_name (device->kind), device->index, device->name);
      else
        g_print ("%-5s %s\n", zie_backend_kind_name (device->kind), device->name);
      if (device->detail[0] != '\0')
        g_print ("      %s\n", device->detail);
      g_print (_("      memory %s, %s of it free\n"), total, available);
      if (device->flops_f32 > 0)
        g_print (_("      about %.0f GFLOP/s in f32, %.0f in bf16\n"), device->flops_f32 / 1e9, device->flops_bf16 / 1e9);
      else if (device->flops_bf16 > 0)
        g_print (_("      about %.0f TFLOP/s in bf16, %.0f GB/s of memory, %.0f GB/s from the host\n"), device->flops_bf16 / 1e12,
                 device->bytes_per_second / 1e9, device->link_bytes_per_second / 1e9);
    }
}

int
cli_devices (int argc, char **argv)
{
  gboolean is_json = FALSE;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &is_json, N_("one JSON object a line"), NULL },
    { NULL }
  };
  GOptionContext *context = g_option_context_new (NULL);
  ZieDevice devices[MAX_DEVICES];
  g_autofree char *missing = zie_explain_missing_cuda ();
  g_autofree char *left_out = zie_explain_left_out ();
  GError *error = NULL;
  guint n;

  g_option_context_set_summary (context, _("Lists what can compute here, the best first: the names for --device."));
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (!cli_parse (context, argc, argv, &error))
    return cli_fail (error);

  n = zie_list_devices (devices, MAX_DEVICES);
  if (is_json)
    print_json (devices, n);
  else
    print_text (devices, n);
  if (missing != NULL && !is_json)
    g_print (_("cuda  not here: %s\n"), missing);
  if (left_out != NULL && is_json)
    print_left_out_json (left_out);
  if (left_out != NULL && !is_json)
    g_print (_("cuda  left out: %s\n"), left_out);
  return CLI_OK;
}
