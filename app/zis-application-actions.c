/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-application"

#include "zis-application.h"

#include "zis-compat.h"
#include "zis-models-page.h"
#include "zis-preferences.h"
#include "zis-window.h"

static ZisWindow *
get_window (ZisApplication *self)
{
  GtkWindow *active = gtk_application_get_active_window (GTK_APPLICATION (self));

  while (active && !ZIS_IS_WINDOW (active))
    active = gtk_window_get_transient_for (active);

  return active ? ZIS_WINDOW (active) : NULL;
}

static void
on_about (GSimpleAction *action, GVariant *parameter, gpointer user_data)
{
  ZisWindow *window = get_window (user_data);

  if (window)
    zis_compat_show_about (GTK_WINDOW (window));
}

static void
on_preferences (GSimpleAction *action, GVariant *parameter, gpointer user_data)
{
  ZisWindow *window = get_window (user_data);

  if (window)
    zis_compat_show_preferences (GTK_WINDOW (window), NULL,
                                 zis_preferences_new (zis_application_get_settings (user_data), zis_window_get_session (window)));
}

static void
on_models (GSimpleAction *action, GVariant *parameter, gpointer user_data)
{
  ZisWindow *window = get_window (user_data);

  if (window)
    zis_compat_show_preferences (GTK_WINDOW (window), _("Models"),
                                 zis_models_page_new (zis_application_get_models (user_data), zis_application_get_settings (user_data)));
}

/* Quitting asks like closing does: work in progress is not thrown away by a key. */
static void
on_quit (GSimpleAction *action, GVariant *parameter, gpointer user_data)
{
  ZisWindow *window = get_window (user_data);

  if (window)
    gtk_window_close (GTK_WINDOW (window));
  else
    g_application_quit (user_data);
}

static const struct
{
  const char *action;
  const char *keys[3];
} accels[] = {
  { "app.preferences", { "<Control>comma" } },
  { "app.quit", { "<Control>q" } },
  { "window.close", { "<Control>w" } },
  { "win.show-shortcuts", { "<Control>question", "F1" } },
  { "win.generate", { "<Control>Return", "<Control>KP_Enter" } },
  { "win.save", { "<Control>s" } },
  { "win.open", { "<Control>o" } },
  { "win.copy", { "<Control><Shift>c" } },
  { "win.use-recipe", { "<Control>r" } },
  { "win.vary", { "<Control><Shift>r" } },
  { "win.roll-seed", { "<Control>d" } },
  { "win.compare", { "<Control>b" } },
  { "win.focus-prompt", { "<Control>l" } },
  { "win.toggle-panel", { "F9" } },
  { "win.fullscreen", { "F11" } },
  { "win.show-plan", { "<Control>m" } },
  { "win.show-queue", { "<Control>j" } },
  { "win.older", { "<Alt>Right" } },
  { "win.newer", { "<Alt>Left" } },
  { "win.zoom-in", { "<Control>plus", "<Control>equal" } },
  { "win.zoom-out", { "<Control>minus" } },
  { "win.zoom-fit", { "<Control>0" } },
  { "win.zoom-original", { "<Control>1" } },
};

void
zis_application_install_actions (ZisApplication *self)
{
  const GActionEntry entries[] = {
    { .name = "about", .activate = on_about },
    { .name = "models", .activate = on_models },
    { .name = "preferences", .activate = on_preferences },
    { .name = "quit", .activate = on_quit },
  };

  g_action_map_add_action_entries (G_ACTION_MAP (self), entries, G_N_ELEMENTS (entries), self);
  for (gsize i = 0; i < G_N_ELEMENTS (accels); i++)
    gtk_application_set_accels_for_action (GTK_APPLICATION (self), accels[i].action, accels[i].keys);
}
