/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-error-text"

#include "zis-error-text.h"

#include <errno.h>
#include <string.h>

/* What the engine says is in English and precise: it stands below our sentence, for those who want to know. */
typedef struct
{
  ZieError code;
  const char *title;
  const char *way_out;
  const char *button;
  const char *action;
} Row;

static const Row rows[] = {
  { ZIE_ERROR_INVALID_REQUEST, N_("This cannot be made"),
    N_("Change what the message names and try again."), NULL, NULL },
  { ZIE_ERROR_PROMPT_TOO_LONG, N_("The prompt is too long"),
    N_("Shorten it: what is too much is marked in the prompt."), N_("Show the Prompt"), "win.focus-prompt" },
  { ZIE_ERROR_FILE_NOT_FOUND, N_("The model was not found"),
    N_("Choose another folder, or use the demo model that ships with the program."),
    N_("Choose a Model…"), "win.choose-model" },
  { ZIE_ERROR_FILE_CORRUPT, N_("A file of the model is broken"),
    N_("Fetch the model again, or choose another one."), N_("Choose a Model…"), "win.choose-model" },
  { ZIE_ERROR_MODEL_UNSUPPORTED, N_("This model or LoRA cannot be used"),
    N_("Z-Image Studio takes Z-Image models as a diffusers folder, as ComfyUI’s files or as GGUF, and LoRAs made for them."),
    N_("Choose a Model…"), "win.choose-model" },
  { ZIE_ERROR_TENSOR_MISSING, N_("The model is not complete"),
    N_("A part of it is missing: fetch the model again, or choose another one."),
    N_("Choose a Model…"), "win.choose-model" },
  { ZIE_ERROR_OUT_OF_DEVICE_MEMORY, N_("Not enough graphics memory"),
    N_("Close other programs that use the graphics card, or make a smaller picture."),
    N_("Smaller Picture"), "win.use-smaller-size" },
  { ZIE_ERROR_OUT_OF_HOST_MEMORY, N_("Not enough memory"),
    N_("Close other programs, or make a smaller picture."), N_("Smaller Picture"), "win.use-smaller-size" },
  { ZIE_ERROR_BACKEND_UNAVAILABLE, N_("The chosen device is not there"),
    N_("Choose another device in the preferences."), N_("Preferences"), "app.preferences" },
  { ZIE_ERROR_DEVICE_LOST, N_("The device stopped answering"),
    N_("Start the engine again; your prompt and pictures are safe."), N_("Start Again"), "win.restart-engine" },
  { ZIE_ERROR_BROKEN_PICTURE, N_("No usable picture came out"),
    N_("Nothing was kept. Try another seed, or check the model’s files."), N_("Try Another Seed"), "win.retry-seed" },
  { ZIE_ERROR_WRITE, N_("The picture could not be saved"),
    N_("It is still here: save it somewhere else."), N_("Save As…"), "win.save" },
  { ZIE_ERROR_FILE_LOST, N_("A file of the model went away"),
    N_("Its drive may be unplugged, or another file took its place. Bring it back, then open the model again; your prompt and pictures are safe."),
    N_("Open Again"), "win.restart-engine" },
};

static const Row other = {
  ZIE_ERROR_FAILED, N_("Something went wrong"), N_("Try again."), N_("Try Again"), "win.retry",
};

static const Row disk_full = {
  ZIE_ERROR_WRITE, N_("The disk is full"),
  N_("The picture is still here: free some space, or save it somewhere else."), N_("Save As…"), "win.save",
};

static const Row parts = {
  ZIE_ERROR_FAILED, N_("The model cannot be used with these parts"),
  N_("Take the model’s own again, or choose others under Models."), N_("Use Its Own Parts"), "win.use-own-parts",
};

static const Row opening = {
  ZIE_ERROR_FAILED, N_("The picture could not be opened"),
  N_("It has to be a whole PNG file that you may read."), N_("Open Another…"), "win.open",
};

static const Row bin = {
  ZIE_ERROR_FAILED, N_("The picture could not be moved to the bin"),
  N_("It is still there: delete it in its folder."), N_("Show in Folder"), "win.show-in-folder",
};

static const Row desktop = {
  ZIE_ERROR_FAILED, N_("The desktop did not do what it was asked"),
  N_("Its dialog for files or its file manager did not open. Try again; nothing is lost."), NULL, NULL,
};

static const Row *
find_code (ZieError code)
{
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    if (rows[i].code == code)
      return &rows[i];

  return &other;
}

/* Files are also written by GIO and libraries of pictures: their errors mean the same to a person. */
static const Row *
find_row (const GError *error, ZisErrorContext context)
{
  gboolean is_of_model = g_error_matches (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND)
                         || g_error_matches (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT)
                         || g_error_matches (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED)
                         || g_error_matches (error, ZIE_ERROR, ZIE_ERROR_TENSOR_MISSING);

  if (context == ZIS_ERROR_IN_OPENING)
    return &opening;
  if (context == ZIS_ERROR_IN_BIN)
    return &bin;
  if (context == ZIS_ERROR_IN_DESKTOP)
    return &desktop;
  if (context == ZIS_ERROR_IN_PARTS && is_of_model)
    return &parts;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE) || g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOSPC)
      || (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_WRITE) && strstr (error->message, g_strerror (ENOSPC))))
    return &disk_full;

  if (context == ZIS_ERROR_IN_SAVING || context == ZIS_ERROR_IN_KEEPING || error->domain == G_IO_ERROR || error->domain == G_FILE_ERROR
      || error->domain == GDK_PIXBUF_ERROR)
    return find_code (ZIE_ERROR_WRITE);

  return error->domain == ZIE_ERROR ? find_code (error->code) : &other;
}

void
zis_error_text_init (ZisErrorText *self, const GError *error, ZisErrorContext context)
{
  const Row *row = find_row (error, context);

  self->title = _(row->title);
  self->body = g_strdup_printf ("%s\n%s", _(row->way_out), error->message);
  self->button = row->button ? _(row->button) : NULL;
  self->action = row->action;
  /* "Save As…" is about the picture that could not be kept, whatever is shown by then. */
  if (context == ZIS_ERROR_IN_KEEPING)
    self->action = "win.save-unsaved";
}

void
zis_error_text_clear (ZisErrorText *self)
{
  g_clear_pointer (&self->body, g_free);
}
