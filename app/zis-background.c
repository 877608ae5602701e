/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-background"

#include "zis-background.h"

#include "zis-desktop.h"

#define PORTAL "org.freedesktop.portal.Desktop"
#define PORTAL_PATH "/org/freedesktop/portal/desktop"

/* One question to org.freedesktop.portal.Background: a call, and an answer that comes as a signal of the request's object. */
typedef struct
{
  GDBusConnection *bus;            /* owned */
  GCancellable *cancellable;       /* owned */
  char *reason;                    /* owned */
  ZisBackgroundFunc done;
  gpointer user_data;
  guint subscription;
} Question;

static void
question_free (Question *self)
{
  if (self->subscription != 0)
    g_dbus_connection_signal_unsubscribe (self->bus, self->subscription);
  g_clear_object (&self->bus);
  g_clear_object (&self->cancellable);
  g_free (self->reason);
  g_free (self);
}

/* What the desktop's list of such programs says of us.  Newer portals only; the others answer with an error, to nobody. */
static void
set_status (Question *self)
{
  GVariantBuilder options;

  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&options, "{sv}", "message", g_variant_new_string (self->reason));
  g_dbus_connection_call (self->bus, PORTAL, PORTAL_PATH, "org.freedesktop.portal.Background", "SetStatus",
                          g_variant_new ("(a{sv})", &options), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
}

static void
on_response (GDBusConnection *bus, const char *sender, const char *path, const char *interface, const char *signal,
             GVariant *parameters, gpointer user_data)
{
  Question *self = user_data;
  g_autoptr(GVariant) results = NULL;
  gboolean is_allowed = FALSE;
  guint32 response;

  g_variant_get (parameters, "(u@a{sv})", &response, &results);
  if (response == 0)
    g_variant_lookup (results, "background", "b", &is_allowed);
  g_debug ("background allowed=%d", is_allowed);

  if (is_allowed)
    set_status (self);
  if (!g_cancellable_is_cancelled (self->cancellable))
    self->done (is_allowed, self->user_data);
  question_free (self);
}

/* Without such a portal nobody forbids anything. */
static void
on_asked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);

  if (answer)
    return;                  /* on_response() goes on */
  g_debug ("no background portal: %s", error->message);
  question_free (user_data);
}

static void
on_bus (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Question *self = user_data;
  g_autofree char *sender = NULL, *token = NULL, *request = NULL;
  GVariantBuilder options;

  self->bus = g_bus_get_finish (result, NULL);
  if (!self->bus)
    {
      question_free (self);
      return;
    }

  /* The request's path follows from who asks and the token, so that the answer cannot come before somebody listens. */
  sender = g_strdup (g_dbus_connection_get_unique_name (self->bus) + 1);
  g_strdelimit (sender, ".", '_');
  token = g_strdup_printf ("zimage%u", g_random_int ());
  request = g_strdup_printf (PORTAL_PATH "/request/%s/%s", sender, token);
  self->subscription = g_dbus_connection_signal_subscribe (self->bus, PORTAL, "org.freedesktop.portal.Request", "Response", request,
                                                           NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_response, self, NULL);

  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&options, "{sv}", "handle_token", g_variant_new_string (token));
  g_variant_builder_add (&options, "{sv}", "reason", g_variant_new_string (self->reason));
  g_variant_builder_add (&options, "{sv}", "autostart", g_variant_new_boolean (FALSE));
  g_dbus_connection_call (self->bus, PORTAL, PORTAL_PATH, "org.freedesktop.portal.Background", "RequestBackground",
                          g_variant_new ("(sa{sv})", "", &options), G_VARIANT_TYPE ("(o)"), G_DBUS_CALL_FLAGS_NONE, -1, NULL,
                          on_asked, self);
}

void
zis_background_ask (const char *reason, GCancellable *cancellable, ZisBackgroundFunc done, gpointer user_data)
{
  Question *self;

  if (!zis_desktop_is_sandboxed ())
    return;

  self = g_new0 (Question, 1);
  self->cancellable = g_object_ref (cancellable);
  self->reason = g_strdup (reason);
  self->done = done;
  self->user_data = user_data;
  g_bus_get (G_BUS_TYPE_SESSION, NULL, on_bus, self);
}
