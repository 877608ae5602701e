/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-window"

#include "zis-window-private.h"

#include <string.h>

#include "zis-compat.h"
#include "zis-session.h"

typedef struct
{
  ZisWindow *window;         /* owned */
  char *text;                /* owned */
} Report;

static void
report_free (Report *self)
{
  g_object_unref (self->window);
  g_free (self->text);
  g_free (self);
}

static void
on_written (GObject *object, GAsyncResult *result, gpointer user_data)
{
  Report *report = user_data;
  ZisWindow *self = report->window;
  g_autoptr(GError) error = NULL;

  if (g_file_replace_contents_finish (G_FILE (object), result, NULL, &error))
    {
      g_autofree char *name = g_file_get_basename (G_FILE (object));
      g_autofree char *text = g_strdup_printf (_("Saved as “%s”"), name);

      zis_window_toast (self, text, NULL, NULL);
    }
  else
    {
      /* Not a picture: “The picture could not be saved” would be wrong. */
      g_autofree char *text = g_strdup_printf (_("The report could not be saved: %s"), error->message);

      zis_window_toast (self, text, _("Save Report…"), "win.save-report");
      zis_window_come_back (self);
    }
  self->n_exports--;
  zis_window_leave_if_idle (self);
  report_free (report);
}

static void
on_chosen (GFile *file, gpointer user_data)
{
  Report *report = user_data;

  if (!file)
    {
      report_free (report);
      return;
    }

  report->window->n_exports++;
  g_file_replace_contents_async (file, report->text, strlen (report->text), NULL, FALSE, G_FILE_CREATE_REPLACE_DESTINATION,
                                 NULL, on_written, report);
}

/* The text is of the moment when it was asked for: what is done meanwhile is of another report. */
void
zis_window_save_report (GtkWidget *widget, const char *name, GVariant *parameter)
{
  const ZisCompatFilter filters[] = { { _("Text"), "txt" } };
  ZisWindow *self = ZIS_WINDOW (widget);
  g_autoptr(GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *date = g_date_time_format (now, "%Y-%m-%d");
  g_autofree char *suggested = g_strdup_printf ("zimage-report-%s.txt", date);
  Report *report = g_new0 (Report, 1);

  report->window = g_object_ref (self);
  report->text = zis_session_get_report (self->session);
  zis_compat_save_file (GTK_WINDOW (self), _("Save Report"), suggested, filters, G_N_ELEMENTS (filters), NULL, on_chosen, report);
}
