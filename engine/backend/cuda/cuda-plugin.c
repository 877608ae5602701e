/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-backend"

#include "cuda-plugin.h"

#include "config.h"

#include <gmodule.h>

typedef struct
{
  const ZieCudaPlugin *plugin;   /* NULL: not there */
  char *why;                     /* then: the reason, a sentence */
} State;

/* The file: named by the environment, beside a program that runs from its build tree, or installed. */
static char *
find_file (void)
{
  const char *named = g_getenv ("ZIE_CUDA_PLUGIN");
  const char *const files[] = { ZIE_BUILD_CUDA_PLUGIN, ZIE_CUDA_PLUGIN_FILE };

  if (named != NULL)
    return *named != '\0' ? g_strdup (named) : NULL;
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    if (*files[i] != '\0' && g_file_test (files[i], G_FILE_TEST_IS_REGULAR))
      return g_strdup (files[i]);
  return NULL;
}

static gboolean
fits (const ZieCudaPlugin *plugin)
{
  return plugin->abi == ZIE_CUDA_PLUGIN_ABI && plugin->sizeof_ops == sizeof (ZieOps)
         && plugin->sizeof_ctx == sizeof (ZieOpCtx) && plugin->sizeof_weight == sizeof (ZieWeight)
         && plugin->sizeof_funcs == sizeof (ZieBackendFuncs) && plugin->sizeof_device == sizeof (ZieDevice);
}

static gpointer
load (gpointer data)
{
  State *state = g_new0 (State, 1);
  g_autofree char *path = find_file ();
  gpointer symbol = NULL;
  GModule *module;

  if (path == NULL)
    {
      state->why = g_strdup ("this program was installed without its CUDA module");
      return state;
    }

  module = g_module_open (path, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  if (module == NULL)
    {
      state->why = g_strdup_printf ("the CUDA module could not be opened: %s", g_module_error ());
      return state;
    }
  g_module_make_resident (module);               /* the driver's library does not survive being unloaded */
  if (!g_module_symbol (module, ZIE_CUDA_PLUGIN_SYMBOL, &symbol) || symbol == NULL || !fits (symbol))
    {
      state->why = g_strdup_printf ("%s is the CUDA module of another version of this program", path);
      return state;
    }
  state->plugin = symbol;
  return state;
}

static const State *
get_state (void)
{
  static GOnce once = G_ONCE_INIT;

  return g_once (&once, load, NULL);
}

const ZieBackendFuncs *
zie_cuda_plugin_get_funcs (void)
{
  const State *state = get_state ();

  return state->plugin ? state->plugin->funcs : NULL;
}

char *
zie_cuda_plugin_explain (void)
{
  const State *state = get_state ();

  return state->plugin ? state->plugin->explain () : g_strdup (state->why);
}
