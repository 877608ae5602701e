/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage-studio"

#include <glib/gi18n.h>
#include <locale.h>

#include "config.h"
#include "zis-application.h"

/* Started from where it was built: settings and icons come from there too. */
static void
use_build_folder (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = self ? g_path_get_dirname (self) : NULL;

  if (g_strcmp0 (folder, ZIS_BUILD_DIR) == 0)
    g_setenv ("GSETTINGS_SCHEMA_DIR", ZIS_SCHEMA_DIR, FALSE);
}

int
main (int argc, char *argv[])
{
  g_autoptr(ZisApplication) application = NULL;

  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, ZIE_LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
  use_build_folder ();

  application = zis_application_new ();
  return g_application_run (G_APPLICATION (application), argc, argv);
}
