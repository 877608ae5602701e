/* SPDX-License-Identifier: Apache-2.0 */
/* What another program gets by "paste": the picture on the clipboard, as PNG, goes to the standard output. */
#include <stdlib.h>
#include <unistd.h>

#include <gio/gunixoutputstream.h>
#include <gtk/gtk.h>

static int status = -1;

static void
end (GError *error)
{
  if (error)
    g_printerr ("%s\n", error->message);
  status = error ? EXIT_FAILURE : EXIT_SUCCESS;
  g_clear_error (&error);
}

static void
on_written (GObject *out, GAsyncResult *result, gpointer data)
{
  GError *error = NULL;

  g_output_stream_splice_finish (G_OUTPUT_STREAM (out), result, &error);
  end (error);
}

static void
on_read (GObject *clipboard, GAsyncResult *result, gpointer data)
{
  GError *error = NULL;
  g_autoptr(GOutputStream) out = g_unix_output_stream_new (STDOUT_FILENO, FALSE);
  g_autoptr(GInputStream) in = gdk_clipboard_read_finish (GDK_CLIPBOARD (clipboard), result, NULL, &error);

  if (in)
    g_output_stream_splice_async (out, in, G_OUTPUT_STREAM_SPLICE_CLOSE_SOURCE, G_PRIORITY_DEFAULT, NULL, on_written, NULL);
  else
    end (error);
}

int
main (void)
{
  const char *types[] = { "image/png", NULL };

  gtk_init ();
  gdk_clipboard_read_async (gdk_display_get_clipboard (gdk_display_get_default ()), types, G_PRIORITY_DEFAULT, NULL, on_read, NULL);
  while (status < 0)
    g_main_context_iteration (NULL, TRUE);

  return status;
}
