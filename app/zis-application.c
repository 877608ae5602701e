/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-application"

#include "zis-application.h"

#include <malloc.h>

#include "zis-desktop.h"
#include "zis-window.h"

struct _ZisApplication
{
  AdwApplication parent_instance;

  GSettings *settings;       /* owned */
  ZisModels *models;         /* owned or NULL: nobody asked yet */
};

G_DEFINE_FINAL_TYPE (ZisApplication, zis_application, ADW_TYPE_APPLICATION)

static ZisWindow *
get_window (ZisApplication *self)
{
  GList *windows = gtk_application_get_windows (GTK_APPLICATION (self));

  for (; windows; windows = windows->next)
    if (ZIS_IS_WINDOW (windows->data))
      return windows->data;

  return zis_window_new (self, self->settings);
}

static void
zis_application_activate (GApplication *application)
{
  gtk_window_present (GTK_WINDOW (get_window (ZIS_APPLICATION (application))));
}

static void
zis_application_open (GApplication *application, GFile **files, int n_files, const char *hint)
{
  ZisWindow *window = get_window (ZIS_APPLICATION (application));

  gtk_window_present (GTK_WINDOW (window));
  zis_window_open_file (window, files[0]);
}

/* "system", "light", "dark" of the settings are Adwaita's schemes. */
static gboolean
style_to_scheme (GValue *value, GVariant *variant, gpointer user_data)
{
  const char *style = g_variant_get_string (variant, NULL);
  AdwColorScheme scheme = g_str_equal (style, "dark") ? ADW_COLOR_SCHEME_FORCE_DARK
                          : g_str_equal (style, "light") ? ADW_COLOR_SCHEME_FORCE_LIGHT : ADW_COLOR_SCHEME_DEFAULT;

  g_value_set_enum (value, scheme);
  return TRUE;
}

static void
zis_application_startup (GApplication *application)
{
  ZisApplication *self = ZIS_APPLICATION (application);

  G_APPLICATION_CLASS (zis_application_parent_class)->startup (application);
  self->settings = g_settings_new (ZIS_APP_ID);
  g_settings_bind_with_mapping (self->settings, "style", adw_style_manager_get_default (), "color-scheme",
                                G_SETTINGS_BIND_GET, style_to_scheme, NULL, NULL, NULL);
  zis_application_install_actions (self);
  gtk_window_set_default_icon_name (ZIS_APP_ID);
}

/* What needs no window, nor a display. */
static int
zis_application_handle_local_options (GApplication *application, GVariantDict *options)
{
  if (!g_variant_dict_contains (options, "version"))
    return -1;

  g_print ("zimage-studio %s\n", zie_version ());
  return 0;
}

static void
zis_application_dispose (GObject *object)
{
  g_clear_object (&ZIS_APPLICATION (object)->models);
  g_clear_object (&ZIS_APPLICATION (object)->settings);

  G_OBJECT_CLASS (zis_application_parent_class)->dispose (object);
}

static void
zis_application_class_init (ZisApplicationClass *klass)
{
  GApplicationClass *application_class = G_APPLICATION_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = zis_application_dispose;
  application_class->activate = zis_application_activate;
  application_class->handle_local_options = zis_application_handle_local_options;
  application_class->open = zis_application_open;
  application_class->startup = zis_application_startup;
}

static void
zis_application_init (ZisApplication *self)
{
  const GOptionEntry options[] = {
    { "version", 0, 0, G_OPTION_ARG_NONE, NULL, N_("Say the version"), NULL },
    { 0 },
  };

  g_application_add_main_option_entries (G_APPLICATION (self), options);
  /* Translators: what may stand behind the program’s name on a command line. */
  g_application_set_option_context_parameter_string (G_APPLICATION (self), _("[FILE.png]"));
  g_application_set_option_context_summary (G_APPLICATION (self),
                                            _("Pictures from sentences, made on your own computer.  FILE.png is "
                                              "shown; if it carries a recipe, the window offers to use it."));
}

/* What pictures took goes back to the system.  Left alone, glibc gives each short-lived worker that loads, scales or saves
 * an arena of its own, with holes that stay, and learns from the first textures freed to keep all later ones. */
static void
tune_malloc (void)
{
#if defined M_ARENA_MAX && defined M_MMAP_THRESHOLD
  mallopt (M_ARENA_MAX, 2);
  mallopt (M_MMAP_THRESHOLD, 1024 * 1024);
#endif
}

ZisApplication *
zis_application_new (void)
{
  tune_malloc ();
  return g_object_new (ZIS_TYPE_APPLICATION,
                       "application-id", ZIS_APP_ID,
                       "flags", G_APPLICATION_HANDLES_OPEN,
                       "resource-base-path", ZIS_RESOURCE_PATH,
                       NULL);
}

GSettings *
zis_application_get_settings (ZisApplication *self)
{
  return self->settings;
}

/* A model takes long to come: who went away meanwhile is told. */
static void
on_installed (ZisModels *models, ZisDownload *download, gpointer user_data)
{
  GtkWindow *window = gtk_application_get_active_window (user_data);
  g_autofree char *title = g_strdup_printf (_("%s is ready"), zis_download_get_model (download)->name);
  ZisApplication *self = user_data;
  g_autoptr(GNotification) notification = g_notification_new (title);

  if ((window && gtk_window_is_active (window)) || !g_settings_get_boolean (self->settings, "notify"))
    return;
  g_notification_set_body (notification, _("It was fetched and checked. Choose it under Models."));
  g_notification_set_default_action (notification, "app.models");
  g_application_send_notification (user_data, "model-ready", notification);
}

static void
on_download_changed (ZisApplication *self)
{
  gboolean is_running = FALSE;

  for (guint i = 0; i < zis_models_get_n (self->models); i++)
    is_running |= zis_download_get_state (zis_models_get (self->models, i)) == ZIS_DOWNLOAD_RUNNING;
  zis_desktop_keep_awake (G_OBJECT (self->models), is_running, _("A model is being fetched"));
}

ZisModels *
zis_application_get_models (ZisApplication *self)
{
  if (!self->models)
    {
      self->models = zis_models_new (self->settings);
      for (guint i = 0; i < zis_models_get_n (self->models); i++)
        g_signal_connect_object (zis_models_get (self->models, i), "changed", G_CALLBACK (on_download_changed), self, G_CONNECT_SWAPPED);
      g_signal_connect_object (self->models, "installed", G_CALLBACK (on_installed), self, 0);
    }

  return self->models;
}
