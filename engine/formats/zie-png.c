/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-formats"

#include "zie-png.h"

#include <setjmp.h>
#include <string.h>

#include <png.h>

#include "zie-map.h"

/* Of one text or colour profile, decompressed, and how many chunks of text are kept: the recipe of a picture has
 * kilobytes, the graph that ComfyUI writes may have a megabyte. */
#define MAX_CHUNK_SIZE ((png_alloc_size_t)8 << 20)
#define MAX_CHUNKS 32u

#define WRITE_BUFFER_SIZE 65536

/* libpng leaves its functions by longjmp(): all that must outlive a jump is in here, never in a local variable of the
 * function that called setjmp(). */
typedef struct
{
  const char *path;              /* borrowed */
  png_structp png;               /* owned */
  png_infop info;                /* owned */
  char problem[128];

  ZieNewFile *file;              /* writing: borrowed */
  GError *error;                 /* writing: owned, what the file said */

  const guint8 *at, *end;        /* reading: in the mapping */
  gsize size;                    /* reading: of the file */
  guint8 *pixels;                /* reading: owned */
  int width, height, channels;
  gboolean is_out_of_memory;
} Png;

static void
on_error (png_structp png, png_const_charp message)
{
  Png *self = png_get_error_ptr (png);

  g_strlcpy (self->problem, message, sizeof self->problem);
  png_longjmp (png, 1);
}

static void
on_warning (png_structp png, png_const_charp message)
{
  /* What can be read is read; a damaged text or profile is no reason to refuse a picture. */
}

static void
on_write (png_structp png, png_bytep data, size_t size)
{
  Png *self = png_get_io_ptr (png);

  if (!zie_new_file_write (self->file, data, size, &self->error))
    png_error (png, "the file could not be written");
}

static void
on_flush (png_structp png)
{
}

static void
on_read (png_structp png, png_bytep data, size_t size)
{
  Png *self = png_get_io_ptr (png);

  if (size > (gsize)(self->end - self->at))
    png_error (png, "the file ends early");
  memcpy (data, self->at, size);
  self->at += size;
}

static gboolean
write_all (Png *self, gsize stride, const guint8 *pixels, const ZiePngText *texts, guint n_texts)
{
  if (setjmp (png_jmpbuf (self->png)))
    return FALSE;

  png_set_write_fn (self->png, self, on_write, on_flush);
  png_set_user_limits (self->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_IHDR (self->png, self->info, (png_uint_32)self->width, (png_uint_32)self->height, 8, PNG_COLOR_TYPE_RGB,
                PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_sRGB (self->png, self->info, PNG_sRGB_INTENT_PERCEPTUAL);
  for (guint i = 0; i < n_texts; i++)
    {
      png_text text = { .compression = PNG_ITXT_COMPRESSION_NONE, .key = (png_charp)texts[i].keyword,
                        .text = (png_charp)texts[i].text, .lang = (png_charp)"", .lang_key = (png_charp)"" };

      png_set_text (self->png, self->info, &text, 1);
    }

  /* A fast level with one cheap filter: a third of the time of the defaults for a few percent of size. */
  png_set_compression_level (self->png, 1);
  png_set_compression_buffer_size (self->png, WRITE_BUFFER_SIZE);
  png_set_filter (self->png, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB);

  png_write_info (self->png, self->info);
  for (int y = 0; y < self->height; y++)
    png_write_row (self->png, pixels + (gsize)y * stride);
  png_write_end (self->png, NULL);
  return TRUE;
}

gboolean
zie_png_write (ZieNewFile *file, int width, int height, gsize stride, const guint8 *pixels, const ZiePngText *texts,
               guint n_texts, GError **error)
{
  Png self = { .path = file->path, .file = file, .width = width, .height = height };
  gboolean is_written = FALSE;

  self.png = png_create_write_struct (PNG_LIBPNG_VER_STRING, &self, on_error, on_warning);
  if (self.png != NULL && (self.info = png_create_info_struct (self.png)) != NULL)
    is_written = write_all (&self, stride, pixels, texts, n_texts);
  else
    g_strlcpy (self.problem, "libpng could not be started", sizeof self.problem);
  png_destroy_write_struct (&self.png, &self.info);

  if (is_written)
    return TRUE;

  if (self.error != NULL)
    g_propagate_error (error, self.error);
  else
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE, "%s: cannot be written: %s", self.path, self.problem);
  return FALSE;
}

static gboolean
find_problem (Png *self, const char *problem)
{
  g_strlcpy (self->problem, problem, sizeof self->problem);
  return FALSE;
}

/* libpng makes room for a chunk before it reads it, 2 GiB where a broken one says so: no chunk is longer than the file. */
static gboolean
check_chunks (Png *self)
{
  const guint8 *at = self->at + 8;

  while (self->end - at >= 8 && memcmp (at + 4, "IEND", 4) != 0)
    {
      guint32 length = (guint32)at[0] << 24 | (guint32)at[1] << 16 | (guint32)at[2] << 8 | at[3];

      if (self->end - at < 12 || length > (gsize)(self->end - at) - 12)
        {
          g_autofree char *problem = g_strdup_printf ("the chunk at byte %" G_GSIZE_FORMAT " says that it has %u bytes, but the file ends early",
                                                      self->size - (gsize)(self->end - at), length);
          return find_problem (self, problem);
        }
      at += 12 + (gsize)length;
    }
  return TRUE;
}

static gboolean
start_file (Png *self, ZieMap *map)
{
  self->size = zie_map_get_size (map);
  self->at = zie_map_get_data (map);
  self->end = self->size > 0 ? self->at + self->size : self->at;

  return (self->size >= 8 && png_sig_cmp (self->at, 0, 8) == 0) || find_problem (self, "it does not begin as a PNG does");
}

static gboolean
start_reading (Png *self)
{
  self->png = png_create_read_struct (PNG_LIBPNG_VER_STRING, self, on_error, on_warning);
  if (self->png == NULL || (self->info = png_create_info_struct (self->png)) == NULL)
    return find_problem (self, "libpng could not be started");

  png_set_read_fn (self->png, self, on_read);
  png_set_user_limits (self->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);      /* told better by check_size() */
  png_set_chunk_malloc_max (self->png, MAX_CHUNK_SIZE);
  png_set_chunk_cache_max (self->png, MAX_CHUNKS);
  return TRUE;
}

/* Before anything of the picture's size is allocated. */
static void
check_size (Png *self)
{
  guint64 width = png_get_image_width (self->png, self->info), height = png_get_image_height (self->png, self->info);
  guint64 packed = (width * png_get_channels (self->png, self->info) * png_get_bit_depth (self->png, self->info) + 7) / 8;

  if (width * height > ZIE_PNG_MAX_PIXELS)
    {
      g_autofree char *problem = g_strdup_printf ("the picture has %" G_GUINT64_FORMAT " × %" G_GUINT64_FORMAT
                                                  " pixels, expected at most %" G_GUINT64_FORMAT " in all",
                                                  width, height, ZIE_PNG_MAX_PIXELS);

      g_strlcpy (self->problem, problem, sizeof self->problem);
      g_clear_pointer (&problem, g_free);
      png_longjmp (self->png, 1);
    }

  /* Deflate packs a thousandfold at best: less data than that is a cut or made-up file. */
  if (packed * height / 1040 > self->size)
    png_error (self->png, "the file is too short for its picture");
}

static gboolean
read_all (Png *self)
{
  if (setjmp (png_jmpbuf (self->png)))
    return FALSE;

  png_read_info (self->png, self->info);
  check_size (self);
  self->width = (int)png_get_image_width (self->png, self->info);
  self->height = (int)png_get_image_height (self->png, self->info);

  png_set_expand (self->png);
  png_set_scale_16 (self->png);
  png_set_gray_to_rgb (self->png);
  png_set_interlace_handling (self->png);
  png_read_update_info (self->png, self->info);

  self->channels = png_get_channels (self->png, self->info);
  if ((self->channels != 3 && self->channels != 4)
      || png_get_rowbytes (self->png, self->info) != (gsize)self->width * (gsize)self->channels)
    png_error (self->png, "a kind of picture that is not known");

  self->pixels = g_try_malloc ((gsize)self->width * (gsize)self->height * (gsize)self->channels);
  self->is_out_of_memory = self->pixels == NULL;
  if (self->is_out_of_memory)
    png_error (self->png, "not enough memory for the picture");

  /* The passes of an interlaced picture fill in the rows one after the other. */
  for (int pass = png_get_interlace_type (self->png, self->info) == PNG_INTERLACE_NONE ? 1 : 7; pass > 0; pass--)
    for (int y = 0; y < self->height; y++)
      png_read_row (self->png, self->pixels + (gsize)y * (gsize)self->width * (gsize)self->channels, NULL);

  return TRUE;
}

/* Four channels to three in place: colours over white by their alpha. */
static void
compose_on_white (Png *self)
{
  gsize n = (gsize)self->width * (gsize)self->height;

  for (gsize i = 0; i < n; i++)
    {
      const guint8 *from = self->pixels + 4 * i;
      guint8 *to = self->pixels + 3 * i;
      guint alpha = from[3];

      for (int c = 0; c < 3; c++)
        to[c] = (guint8)((from[c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }

  self->pixels = g_realloc (self->pixels, 3 * n);
}

static void
set_read_error (Png *self, GError **error)
{
  if (self->is_out_of_memory)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY, "%s: not enough memory for a picture of %d × %d pixels",
                 self->path, self->width, self->height);
  else
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: not a PNG that can be read: %s", self->path, self->problem);
}

GBytes *
zie_png_read (const char *path, int *width, int *height, GError **error)
{
  g_autoptr(ZieMap) map = zie_map_new (path, error);
  Png self = { .path = path };
  gboolean is_read;

  if (map == NULL)
    return NULL;

  is_read = start_file (&self, map) && check_chunks (&self) && start_reading (&self) && read_all (&self);
  png_destroy_read_struct (&self.png, &self.info, NULL);
  if (!is_read)
    {
      set_read_error (&self, error);
      g_free (self.pixels);
      return NULL;
    }

  if (self.channels == 4)
    compose_on_white (&self);
  *width = self.width;
  *height = self.height;
  return g_bytes_new_take (self.pixels, 3 * (gsize)self.width * (gsize)self.height);
}

/* What stands around the chunks of text when they are read without their picture. */
static const guint8 one_pixel_start[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0,
                                          0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0, 0x90, 0x77, 0x53, 0xde };
static const guint8 one_pixel_end[] = { 0, 0, 0, 0, 'I', 'D', 'A', 'T' };

/* Copies the chunks of text to OUT, as the header of a picture of one pixel: libpng would decode all of the real one
 * to get at the texts behind it, and cannot be told not to. */
static gboolean
collect_texts (Png *self, GByteArray *out)
{
  guint n_texts = 0;

  g_byte_array_append (out, one_pixel_start, sizeof one_pixel_start);
  self->at += 8;
  for (;;)
    {
      const guint8 *chunk = self->at;
      guint32 length;

      if (self->end - self->at < 12)
        return find_problem (self, "the file ends early");
      memcpy (&length, chunk, 4);
      length = GUINT32_FROM_BE (length);
      if (length > (gsize)(self->end - self->at) - 12)
        return find_problem (self, "the file ends early");
      self->at += 12 + (gsize)length;

      if (memcmp (chunk + 4, "IEND", 4) == 0)
        break;
      if (memcmp (chunk + 4, "tEXt", 4) != 0 && memcmp (chunk + 4, "zTXt", 4) != 0 && memcmp (chunk + 4, "iTXt", 4) != 0)
        continue;
      if (length <= MAX_CHUNK_SIZE && n_texts++ < MAX_CHUNKS)
        g_byte_array_append (out, chunk, 12 + length);
    }
  g_byte_array_append (out, one_pixel_end, sizeof one_pixel_end);

  self->at = out->data;
  self->end = out->data + out->len;
  return TRUE;
}

static gboolean
read_chunks (Png *self)
{
  if (setjmp (png_jmpbuf (self->png)))
    return FALSE;

  png_read_info (self->png, self->info);
  return TRUE;
}

/* A chunk's text as UTF-8.  tEXt and zTXt are Latin-1 by the book, yet many programs put UTF-8 there; what reads as
 * UTF-8 beyond ASCII hardly ever is anything else. */
static char *
text_to_utf8 (const png_text *text)
{
  gsize length = text->compression >= PNG_ITXT_COMPRESSION_NONE ? text->itxt_length : text->text_length;

  if (text->text == NULL)
    return g_strdup ("");
  if (g_utf8_validate_len (text->text, length, NULL))
    return g_strndup (text->text, length);
  if (text->compression >= PNG_ITXT_COMPRESSION_NONE)
    return g_utf8_make_valid (text->text, (gssize)length);
  return g_convert (text->text, (gssize)length, "UTF-8", "ISO-8859-1", NULL, NULL, NULL);
}

gboolean
zie_png_read_texts (const char *path, const char *const *keywords, char **texts, guint n, GError **error)
{
  g_autoptr(ZieMap) map = zie_map_new (path, error);
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  Png self = { .path = path };
  png_textp chunks = NULL;
  int n_chunks = 0;
  gboolean is_read;

  if (map == NULL)
    return FALSE;

  is_read = start_file (&self, map) && collect_texts (&self, bytes) && start_reading (&self) && read_chunks (&self);
  if (is_read)
    png_get_text (self.png, self.info, &chunks, &n_chunks);

  for (guint k = 0; is_read && k < n; k++)
    {
      texts[k] = NULL;
      for (int i = 0; i < n_chunks && texts[k] == NULL; i++)
        if (g_str_equal (chunks[i].key, keywords[k]))
          texts[k] = text_to_utf8 (&chunks[i]);
    }

  png_destroy_read_struct (&self.png, &self.info, NULL);
  if (!is_read)
    set_read_error (&self, error);
  return is_read;
}
