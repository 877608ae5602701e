/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "zis-error-text.h"
#include "zis-model-parts.h"

/* Every code of the engine has a sentence of its own, a body that keeps the engine's words, and a way out in the
 * sentence or as a button. */
static void
test_every_code (void)
{
  g_autoptr(GHashTable) titles = g_hash_table_new (g_str_hash, g_str_equal);

  for (int code = ZIE_ERROR_FAILED; code <= ZIE_ERROR_WRITE; code++)
    {
      g_autoptr(GError) error = g_error_new (ZIE_ERROR, code, "width: found 17, expected a multiple of 16");
      g_auto(ZisErrorText) text = { 0 };

      if (code == ZIE_ERROR_CANCELLED)
        continue;

      zis_error_text_init (&text, error, ZIS_ERROR_IN_WORK);
      g_assert_true (g_hash_table_add (titles, (gpointer) text.title));
      g_assert_nonnull (strstr (text.body, error->message));
      g_assert_cmpuint (strlen (text.body), >, strlen (error->message) + 8);
      g_assert_true ((text.button == NULL) == (text.action == NULL));
    }
}

static void
assert_title (GQuark domain, int code, ZisErrorContext context, const char *message, const char *title)
{
  g_autoptr(GError) error = g_error_new_literal (domain, code, message);
  g_auto(ZisErrorText) text = { 0 };

  zis_error_text_init (&text, error, context);
  g_assert_cmpstr (text.title, ==, title);
}

static void
test_disk (void)
{
  g_autofree char *full = g_strdup_printf ("/x/a.png: cannot be written: %s", g_strerror (ENOSPC));

  assert_title (G_IO_ERROR, G_IO_ERROR_NO_SPACE, ZIS_ERROR_IN_SAVING, "no space", "The disk is full");
  assert_title (ZIE_ERROR, ZIE_ERROR_WRITE, ZIS_ERROR_IN_KEEPING, full, "The disk is full");
  assert_title (ZIE_ERROR, ZIE_ERROR_WRITE, ZIS_ERROR_IN_KEEPING, "/x/a.png: read-only", "The picture could not be saved");
  assert_title (G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, ZIS_ERROR_IN_SAVING, "no", "The picture could not be saved");
}

/* A file of a picture is no file of a model, and what cannot be thrown away need not be saved. */
static void
test_context (void)
{
  g_autoptr(GError) error = g_error_new_literal (ZIE_ERROR, ZIE_ERROR_WRITE, "/x/a.png: read-only");
  g_auto(ZisErrorText) text = { 0 };

  assert_title (ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, ZIS_ERROR_IN_WORK, "/x/a.gguf: cut short", "A file of the model is broken");
  assert_title (ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, ZIS_ERROR_IN_OPENING, "/x/a.png: no PNG file", "The picture could not be opened");
  assert_title (ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND, ZIS_ERROR_IN_OPENING, "/x/a.png: no such file", "The picture could not be opened");
  assert_title (G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, ZIS_ERROR_IN_OPENING, "http", "The picture could not be opened");
  assert_title (G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, ZIS_ERROR_IN_BIN, "tmpfs", "The picture could not be moved to the bin");
  assert_title (G_DBUS_ERROR, G_DBUS_ERROR_FAILED, ZIS_ERROR_IN_DESKTOP, "no portal", "The desktop did not do what it was asked");

  zis_error_text_init (&text, error, ZIS_ERROR_IN_KEEPING);
  g_assert_cmpstr (text.action, ==, "win.save-unsaved");
}

/* Parts that were picked by hand are to blame where the model cannot be opened, and for nothing else. */
static void
test_parts (void)
{
  const struct
  {
    int code;
    gboolean is_parts;
  } cases[] = {
    { ZIE_ERROR_FILE_NOT_FOUND, TRUE }, { ZIE_ERROR_FILE_CORRUPT, TRUE },         { ZIE_ERROR_MODEL_UNSUPPORTED, TRUE },
    { ZIE_ERROR_TENSOR_MISSING, TRUE }, { ZIE_ERROR_BACKEND_UNAVAILABLE, FALSE }, { ZIE_ERROR_DEVICE_LOST, FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GError) error = g_error_new (ZIE_ERROR, cases[i].code, "vae.safetensors: no such tensor");
      g_auto(ZisErrorText) text = { 0 };

      zis_error_text_init (&text, error, ZIS_ERROR_IN_PARTS);
      g_assert_true (g_str_equal (text.action, "win.use-own-parts") == cases[i].is_parts);
      g_assert_nonnull (strstr (text.body, error->message));
    }
}

/* What is said of the model's own files is not their fault. */
static void
test_blame (void)
{
  g_autoptr(GSettings) settings = g_settings_new (ZIS_APP_ID);
  g_autoptr(GError) own = g_error_new_literal (ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND, "/models/one: there is no such folder");
  g_autoptr(GError) part = g_error_new_literal (ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "/models/two/vae.gguf: cut short");
  g_autoptr(GError) neither = g_error_new_literal (ZIE_ERROR, ZIE_ERROR_TENSOR_MISSING, "there is no transformer");

  g_settings_set_string (settings, "model-path", "/models/one");
  g_assert_false (zis_model_parts_are_to_blame (settings, neither));
  g_settings_set_strv (settings, "model-parts", (const char *const[]) { "", "", "/models/two/vae.gguf", "", NULL });
  g_assert_false (zis_model_parts_are_to_blame (settings, own));
  g_assert_true (zis_model_parts_are_to_blame (settings, part));
  g_assert_true (zis_model_parts_are_to_blame (settings, neither));
  g_settings_reset (settings, "model-parts");
  g_settings_reset (settings, "model-path");
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/error-text/context", test_context);
  g_test_add_func ("/error-text/every-code", test_every_code);
  g_test_add_func ("/error-text/disk", test_disk);
  g_test_add_func ("/error-text/parts", test_parts);
  g_test_add_func ("/error-text/blame", test_blame);
  return g_test_run ();
}
