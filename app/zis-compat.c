/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-compat"

#include "zis-compat.h"

void
zis_compat_get_color (GtkWidget *widget, GdkRGBA *color)
{
#if GTK_CHECK_VERSION (4, 10, 0)
  gtk_widget_get_color (widget, color);
#else
  gtk_style_context_get_color (gtk_widget_get_style_context (widget), color);
#endif
}

void
zis_compat_set_name (GtkWidget *widget, const char *name)
{
  /* From GTK 4.10 on a button is labelled by what stands on it, and that goes before a name of its own. */
  gtk_accessible_reset_relation (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_RELATION_LABELLED_BY);
  gtk_accessible_update_property (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
}

/* The button within a menu button has the focus, and no name: that of what it is part of. */
static void
name_menu_button (GtkWidget *menu_button)
{
  GtkWidget *inner = gtk_widget_get_first_child (menu_button);

  gtk_accessible_update_relation (GTK_ACCESSIBLE (inner), GTK_ACCESSIBLE_RELATION_LABELLED_BY, menu_button, NULL, -1);
}

#if !GTK_CHECK_VERSION (4, 10, 0)

static void
name_without_key (GtkButton *button)
{
  const char *label = gtk_button_get_use_underline (button) ? gtk_button_get_label (button) : NULL;

  if (label)
    {
      g_auto(GStrv) parts = g_strsplit (label, "_", -1);
      g_autofree char *name = g_strjoinv (NULL, parts);

      gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
    }
}

#endif

void
zis_compat_name_buttons (GtkWidget *root)
{
  if (GTK_IS_MENU_BUTTON (root))
    name_menu_button (root);
#if !GTK_CHECK_VERSION (4, 10, 0)
  else if (GTK_IS_BUTTON (root))
    name_without_key (GTK_BUTTON (root));
#endif
  for (GtkWidget *child = gtk_widget_get_first_child (root); child; child = gtk_widget_get_next_sibling (child))
    zis_compat_name_buttons (child);
}

void
zis_compat_say (GtkWidget *widget, const char *text)
{
#if GTK_CHECK_VERSION (4, 14, 0)
  gtk_accessible_announce (GTK_ACCESSIBLE (widget), text, GTK_ACCESSIBLE_ANNOUNCEMENT_PRIORITY_MEDIUM);
#endif
}

void
zis_compat_announce (GtkWidget *alert, const char *text)
{
  gtk_accessible_update_property (GTK_ACCESSIBLE (alert), GTK_ACCESSIBLE_PROPERTY_LABEL, text, -1);
  zis_compat_say (alert, text);
}

static void
on_alert_mapped (GtkWidget *alert, gpointer text)
{
  zis_compat_announce (alert, text);
}

GtkWidget *
zis_compat_alert_new (GtkWidget *child, const char *text)
{
  GtkWidget *alert = g_object_new (ADW_TYPE_BIN, "accessible-role", GTK_ACCESSIBLE_ROLE_ALERT, "child", child, NULL);

  g_signal_connect_data (alert, "map", G_CALLBACK (on_alert_mapped), g_strdup (text), (GClosureNotify) (void (*) (void)) g_free, 0);
  return alert;
}

void
zis_compat_list_item_set_label (GtkListItem *item, const char *label)
{
#if GTK_CHECK_VERSION (4, 12, 0)
  gtk_list_item_set_accessible_label (item, label);
#else
  GtkWidget *child = gtk_list_item_get_child (item), *row = child ? gtk_widget_get_parent (child) : NULL;

  if (row)
    gtk_accessible_update_property (GTK_ACCESSIBLE (row), GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
#endif
}

/* --- files -------------------------------------------------------------------------------------------------- */

typedef struct
{
  ZisCompatFileFunc done;
  gpointer user_data;
  GtkWindow *parent;         /* owned or NULL */
} FileCall;

static void
file_call_end (FileCall *self, GFile *file)
{
  self->done (file, self->user_data);
  g_clear_object (&self->parent);
  g_free (self);
}

static GListModel *
make_filters (const ZisCompatFilter *filters, guint n_filters)
{
  GListStore *store = g_list_store_new (GTK_TYPE_FILE_FILTER);

  for (guint i = 0; i < n_filters; i++)
    {
      g_autoptr(GtkFileFilter) filter = gtk_file_filter_new ();

      gtk_file_filter_set_name (filter, filters[i].name);
      gtk_file_filter_add_suffix (filter, filters[i].suffix);
      if (g_str_equal (filters[i].suffix, "jpg"))
        gtk_file_filter_add_suffix (filter, "jpeg");
      g_list_store_append (store, filter);
    }

  return G_LIST_MODEL (store);
}

#if GTK_CHECK_VERSION (4, 10, 0)

typedef GFile *(*FileFinish) (GtkFileDialog *dialog, GAsyncResult *result, GError **error);

/* A desktop without the service, or one that refuses: told where it was asked for.  To close a dialog is no failure. */
static void
tell_failure (GtkWindow *parent, const GError *error)
{
  if (parent && error && !g_error_matches (error, GTK_DIALOG_ERROR, GTK_DIALOG_ERROR_DISMISSED)
      && !g_error_matches (error, GTK_DIALOG_ERROR, GTK_DIALOG_ERROR_CANCELLED))
    gtk_widget_activate_action (GTK_WIDGET (parent), "win.desktop-failed", "s", error->message);
}

static void
finish_file (GObject *dialog, GAsyncResult *result, FileFinish finish, gpointer user_data)
{
  FileCall *call = user_data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GFile) file = finish (GTK_FILE_DIALOG (dialog), result, &error);

  tell_failure (call->parent, error);
  file_call_end (call, file);
}

static void
on_opened (GObject *dialog, GAsyncResult *result, gpointer user_data)
{
  finish_file (dialog, result, gtk_file_dialog_open_finish, user_data);
}

static void
on_saved (GObject *dialog, GAsyncResult *result, gpointer user_data)
{
  finish_file (dialog, result, gtk_file_dialog_save_finish, user_data);
}

static void
on_folder_chosen (GObject *dialog, GAsyncResult *result, gpointer user_data)
{
  finish_file (dialog, result, gtk_file_dialog_select_folder_finish, user_data);
}

static void
run_file_dialog (GtkWindow *parent, GtkFileChooserAction action, const char *title, const char *name,
                 const ZisCompatFilter *filters, guint n_filters, GFile *folder, FileCall *call)
{
  g_autoptr(GtkFileDialog) dialog = gtk_file_dialog_new ();
  g_autoptr(GListModel) models = make_filters (filters, n_filters);

  gtk_file_dialog_set_title (dialog, title);
  gtk_file_dialog_set_modal (dialog, TRUE);
  if (n_filters > 0)
    gtk_file_dialog_set_filters (dialog, models);
  if (folder)
    gtk_file_dialog_set_initial_folder (dialog, folder);
  if (name)
    gtk_file_dialog_set_initial_name (dialog, name);

  if (action == GTK_FILE_CHOOSER_ACTION_OPEN)
    gtk_file_dialog_open (dialog, parent, NULL, on_opened, call);
  else if (action == GTK_FILE_CHOOSER_ACTION_SAVE)
    gtk_file_dialog_save (dialog, parent, NULL, on_saved, call);
  else
    gtk_file_dialog_select_folder (dialog, parent, NULL, on_folder_chosen, call);
}

#else

static void
on_response (GtkNativeDialog *dialog, int response, gpointer user_data)
{
  g_autoptr(GFile) file = NULL;

  if (response == GTK_RESPONSE_ACCEPT)
    file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
  file_call_end (user_data, file);
  g_object_unref (dialog);
}

static void
run_file_dialog (GtkWindow *parent, GtkFileChooserAction action, const char *title, const char *name,
                 const ZisCompatFilter *filters, guint n_filters, GFile *folder, FileCall *call)
{
  GtkFileChooserNative *dialog = gtk_file_chooser_native_new (title, parent, action, NULL, NULL);
  g_autoptr(GListModel) models = make_filters (filters, n_filters);

  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (dialog), TRUE);
  for (guint i = 0; i < n_filters; i++)
    {
      g_autoptr(GtkFileFilter) filter = g_list_model_get_item (models, i);

      gtk_file_chooser_add_filter (GTK_FILE_CHOOSER (dialog), filter);
    }
  if (folder)
    gtk_file_chooser_set_current_folder (GTK_FILE_CHOOSER (dialog), folder, NULL);
  if (name)
    gtk_file_chooser_set_current_name (GTK_FILE_CHOOSER (dialog), name);

  g_signal_connect (dialog, "response", G_CALLBACK (on_response), call);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

#endif

static FileCall *
file_call (GtkWindow *parent, ZisCompatFileFunc done, gpointer user_data)
{
  FileCall *call = g_new0 (FileCall, 1);

  call->done = done;
  call->user_data = user_data;
  call->parent = parent ? g_object_ref (parent) : NULL;

  return call;
}

void
zis_compat_open_file (GtkWindow *parent, const char *title, const ZisCompatFilter *filters, guint n_filters,
                      GFile *folder, ZisCompatFileFunc done, gpointer user_data)
{
  run_file_dialog (parent, GTK_FILE_CHOOSER_ACTION_OPEN, title, NULL, filters, n_filters, folder,
                   file_call (parent, done, user_data));
}

void
zis_compat_save_file (GtkWindow *parent, const char *title, const char *name, const ZisCompatFilter *filters,
                      guint n_filters, GFile *folder, ZisCompatFileFunc done, gpointer user_data)
{
  run_file_dialog (parent, GTK_FILE_CHOOSER_ACTION_SAVE, title, name, filters, n_filters, folder,
                   file_call (parent, done, user_data));
}

void
zis_compat_choose_folder (GtkWindow *parent, const char *title, GFile *folder, ZisCompatFileFunc done,
                          gpointer user_data)
{
  run_file_dialog (parent, GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, title, NULL, NULL, 0, folder,
                   file_call (parent, done, user_data));
}

#if GTK_CHECK_VERSION (4, 10, 0)

static void
on_shown (GObject *launcher, GAsyncResult *result, gpointer user_data)
{
  g_autoptr(GtkWindow) parent = user_data;
  g_autoptr(GError) error = NULL;

  gtk_file_launcher_open_containing_folder_finish (GTK_FILE_LAUNCHER (launcher), result, &error);
  tell_failure (parent, error);
}

void
zis_compat_show_in_folder (GtkWindow *parent, GFile *file)
{
  g_autoptr(GtkFileLauncher) launcher = gtk_file_launcher_new (file);

  gtk_file_launcher_open_containing_folder (launcher, parent, NULL, on_shown, g_object_ref (parent));
}

#else

static void
on_shown (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_autoptr(GFile) folder = user_data;
  g_autoptr(GVariant) answer = g_dbus_connection_call_finish (G_DBUS_CONNECTION (object), result, NULL);
  g_autofree char *uri = g_file_get_uri (folder);

  /* No file manager with that interface: the folder alone, then. */
  if (!answer)
    gtk_show_uri (NULL, uri, GDK_CURRENT_TIME);
}

void
zis_compat_show_in_folder (GtkWindow *parent, GFile *file)
{
  GDBusConnection *bus = g_application_get_dbus_connection (g_application_get_default ());
  g_autoptr(GFile) folder = g_file_get_parent (file);
  g_autofree char *uri = g_file_get_uri (file);
  const char *uris[] = { uri, NULL };

  if (!bus || !folder)
    return;

  g_dbus_connection_call (bus, "org.freedesktop.FileManager1", "/org/freedesktop/FileManager1",
                          "org.freedesktop.FileManager1", "ShowItems", g_variant_new ("(^ass)", uris, ""), NULL,
                          G_DBUS_CALL_FLAGS_NONE, -1, NULL, on_shown, g_steal_pointer (&folder));
}

#endif

gboolean
zis_compat_has_dialog (AdwApplicationWindow *window)
{
#if ADW_CHECK_VERSION (1, 5, 0)
  return adw_application_window_get_visible_dialog (window) != NULL;
#else
  return FALSE;
#endif
}

/* --- questions ---------------------------------------------------------------------------------------------- */

typedef struct
{
  ZisCompatAnswerFunc done;
  gpointer user_data;
} AskCall;

#if ADW_CHECK_VERSION (1, 5, 0)

static void
on_answer (AdwAlertDialog *dialog, const char *response, gpointer user_data)
{
  AskCall *call = user_data;

  call->done (response, call->user_data);
}

void
zis_compat_ask (GtkWindow *parent, const char *heading, const char *body, const ZisCompatAnswer *answers,
                guint n_answers, ZisCompatAnswerFunc done, gpointer user_data)
{
  AdwDialog *dialog = adw_alert_dialog_new (heading, body);
  AskCall *call = g_new0 (AskCall, 1);

  call->done = done;
  call->user_data = user_data;
  for (guint i = 0; i < n_answers; i++)
    {
      adw_alert_dialog_add_response (ADW_ALERT_DIALOG (dialog), answers[i].id, answers[i].label);
      adw_alert_dialog_set_response_appearance (ADW_ALERT_DIALOG (dialog), answers[i].id, answers[i].appearance);
    }
  adw_alert_dialog_set_close_response (ADW_ALERT_DIALOG (dialog), answers[0].id);
  adw_alert_dialog_set_default_response (ADW_ALERT_DIALOG (dialog), answers[n_answers - 1].id);
  g_signal_connect_data (dialog, "response", G_CALLBACK (on_answer), call, (GClosureNotify) (void (*) (void)) g_free, 0);
  adw_dialog_present (dialog, GTK_WIDGET (parent));
}

#else

static void
on_answer (AdwMessageDialog *dialog, const char *response, gpointer user_data)
{
  AskCall *call = user_data;

  call->done (response, call->user_data);
}

void
zis_compat_ask (GtkWindow *parent, const char *heading, const char *body, const ZisCompatAnswer *answers,
                guint n_answers, ZisCompatAnswerFunc done, gpointer user_data)
{
  GtkWidget *dialog = adw_message_dialog_new (parent, heading, NULL);
  AskCall *call = g_new0 (AskCall, 1);

  call->done = done;
  call->user_data = user_data;
  adw_message_dialog_set_body (ADW_MESSAGE_DIALOG (dialog), body);
  for (guint i = 0; i < n_answers; i++)
    {
      adw_message_dialog_add_response (ADW_MESSAGE_DIALOG (dialog), answers[i].id, answers[i].label);
      adw_message_dialog_set_response_appearance (ADW_MESSAGE_DIALOG (dialog), answers[i].id, answers[i].appearance);
    }
  adw_message_dialog_set_close_response (ADW_MESSAGE_DIALOG (dialog), answers[0].id);
  adw_message_dialog_set_default_response (ADW_MESSAGE_DIALOG (dialog), answers[n_answers - 1].id);
  g_signal_connect_data (dialog, "response", G_CALLBACK (on_answer), call, (GClosureNotify) (void (*) (void)) g_free, 0);
  zis_compat_name_buttons (dialog);
  gtk_window_present (GTK_WINDOW (dialog));
}

#endif

/* --- about and preferences ---------------------------------------------------------------------------------- */

#if ADW_CHECK_VERSION (1, 5, 0)
typedef AdwAboutDialog About;
#define about_new() ((About *) adw_about_dialog_new ())
#define about_set(self, field, value) adw_about_dialog_set_##field (self, value)
#define about_legal(self, title, copyright, license) adw_about_dialog_add_legal_section (self, title, copyright, GTK_LICENSE_CUSTOM, license)
#define about_present(self, parent) adw_dialog_present (ADW_DIALOG (self), GTK_WIDGET (parent))
#else
typedef AdwAboutWindow About;
#define about_new() ((About *) adw_about_window_new ())
#define about_set(self, field, value) adw_about_window_set_##field (self, value)
#define about_legal(self, title, copyright, license) adw_about_window_add_legal_section (self, title, copyright, GTK_LICENSE_CUSTOM, license)
#define about_present(self, parent) \
  (gtk_window_set_transient_for (GTK_WINDOW (self), parent), gtk_window_present (GTK_WINDOW (self)))
#endif

void
zis_compat_show_about (GtkWindow *parent)
{
  About *about = about_new ();

  about_set (about, application_name, _("Z-Image Studio"));
  about_set (about, application_icon, ZIS_APP_ID);
  about_set (about, version, zie_version ());
  about_set (about, developer_name, _("The Z-Image Studio engineers"));
  about_set (about, comments, _("Pictures from sentences, made on your own computer."));
  about_set (about, license_type, GTK_LICENSE_APACHE_2_0);
  /* Translators: put your names here, one a line; they appear in the About dialog. */
  about_set (about, translator_credits, _("translator-credits"));
  about_legal (about, _("Demo model: Fluent Emoji"), "© Microsoft Corporation",
               _("The pictures the demo model was trained on are Microsoft’s Fluent Emoji (MIT licence)."));
  about_legal (about, _("Demo model: names of objects"), "© Miles Johnson",
               _("The names of the objects come from Emojibase (MIT licence)."));
  about_legal (about, "Unicode", "© 1991–2025 Unicode, Inc.",
               _("The names of the objects are based on Unicode’s CLDR, and what kind a character is comes from its Character Database "
                 "(Unicode licence, version 3)."));
  about_legal (about, "Qwen3", "© Alibaba Cloud", _("Prompts are cut into tokens by the tokenizer of Qwen3 (Apache licence, version 2.0)."));
  about_legal (about, "avx_mathfun", "© Julien Pommier, Giovanni Garberoglio",
               _("The noise that pictures begin with is computed in the order of this library (zlib licence)."));
  about_legal (about, "oneDNN", "© Intel Corporation", _("Apache licence, version 2.0"));
  about_legal (about, "NVIDIA CUDA runtime", "© NVIDIA Corporation",
               _("Contained in programs with the CUDA module (CUDA Toolkit End User License Agreement)."));
  about_legal (about, "libpng, libwebp, JSON-GLib, libsoup", NULL, _("Under their own free licences."));
  about_present (about, parent);
}

#if ADW_CHECK_VERSION (1, 5, 0)

void
zis_compat_show_preferences (GtkWindow *parent, const char *title, AdwPreferencesPage *page)
{
  AdwDialog *dialog = adw_preferences_dialog_new ();

  if (title)
    adw_dialog_set_title (dialog, title);
  adw_preferences_dialog_add (ADW_PREFERENCES_DIALOG (dialog), page);
  adw_dialog_present (dialog, GTK_WIDGET (parent));
}

#else

void
zis_compat_show_preferences (GtkWindow *parent, const char *title, AdwPreferencesPage *page)
{
  GtkWidget *window = adw_preferences_window_new ();

  if (title)
    gtk_window_set_title (GTK_WINDOW (window), title);
  adw_preferences_window_add (ADW_PREFERENCES_WINDOW (window), page);
  adw_preferences_window_set_search_enabled (ADW_PREFERENCES_WINDOW (window), FALSE);
  gtk_window_set_transient_for (GTK_WINDOW (window), parent);
  gtk_window_set_modal (GTK_WINDOW (window), TRUE);
  gtk_window_present (GTK_WINDOW (window));
}

#endif
