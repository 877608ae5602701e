/* SPDX-License-Identifier: Apache-2.0 */
#include "zie-png.h"

#include <png.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "test-files.h"

/* --- writing ---------------------------------------------------------------------------------------------------- */

static guint8 *
random_bytes (GRand *rand, gsize n)
{
  guint8 *bytes = g_malloc (n);

  for (gsize i = 0; i < n; i++)
    bytes[i] = (guint8)g_rand_int (rand);
  return bytes;
}

static void
save (const char *path, int width, int height, gsize stride, const guint8 *pixels, const ZiePngText *texts, guint n_texts)
{
  g_auto(ZieNewFile) file = ZIE_NEW_FILE_INIT;
  g_autoptr(GError) error = NULL;

  zie_new_file_open (&file, path, &error);
  g_assert_no_error (error);
  zie_png_write (&file, width, height, stride, pixels, texts, n_texts, &error);
  g_assert_no_error (error);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));      /* not before it is whole */
  zie_new_file_commit (&file, &error);
  g_assert_no_error (error);
}

static void
test_round_trip (void)
{
  g_auto(TestFiles) files;
  GRand *rand = g_rand_new_with_seed (1);

  test_files_init (&files);
  for (int i = 0; i < 60; i++)
    {
      int width = i < 3 ? 1 : g_rand_int_range (rand, 1, 200), height = i < 2 ? 1 : g_rand_int_range (rand, 1, 100);
      gsize stride = 3 * (gsize)width + (i % 3 == 0 ? 13 : 0);
      g_autofree guint8 *pixels = random_bytes (rand, stride * (gsize)height);
      const char *path = test_files_path (&files, "x.png");
      g_autoptr(GBytes) read = NULL;
      g_autoptr(GError) error = NULL;
      int w = 0, h = 0;

      save (path, width, height, stride, pixels, NULL, 0);
      read = zie_png_read (path, &w, &h, &error);
      g_assert_no_error (error);
      g_assert_cmpint (w, ==, width);
      g_assert_cmpint (h, ==, height);
      g_assert_cmpuint (g_bytes_get_size (read), ==, 3 * (gsize)width * (gsize)height);
      for (int y = 0; y < height; y++)
        g_assert_cmpmem ((const guint8 *)g_bytes_get_data (read, NULL) + 3 * (gsize)width * (gsize)y, 3 * (gsize)width,
                         pixels + stride * (gsize)y, 3 * (gsize)width);
      g_unlink (path);
    }
  g_rand_free (rand);
}

static void
test_same_bytes (void)
{
  static const ZiePngText texts[] = { { "parameters", "a\nb" }, { "zimage", "{}" } };
  g_auto(TestFiles) files;
  GRand *rand = g_rand_new_with_seed (2);
  g_autofree guint8 *pixels = random_bytes (rand, 3 * 64 * 64);
  g_autofree char *one = NULL, *two = NULL;
  gsize one_size, two_size;

  test_files_init (&files);
  save (test_files_path (&files, "1.png"), 64, 64, 192, pixels, texts, 2);
  save (test_files_path (&files, "2.png"), 64, 64, 192, pixels, texts, 2);
  g_assert_true (g_file_get_contents (files.paths->pdata[0], &one, &one_size, NULL));
  g_assert_true (g_file_get_contents (files.paths->pdata[1], &two, &two_size, NULL));
  g_assert_cmpmem (one, one_size, two, two_size);
  g_rand_free (rand);
}

/* --- files that appear whole -------------------------------------------------------------------------------------- */

static void
test_new_file (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  g_auto(ZieNewFile) file = ZIE_NEW_FILE_INIT;
  g_autofree char *text = NULL;
  const char *path;
  struct stat st;
  mode_t mask = umask (027);

  test_files_init (&files);
  path = test_files_write (&files, "x", "old", 3);
  g_assert_true (zie_new_file_open (&file, path, &error));
  g_assert_true (zie_new_file_write (&file, "new", 3, &error));
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "old");
  g_free (text);
  g_assert_true (zie_new_file_commit (&file, &error));
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "new");
  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 0777, ==, 0640);      /* as any program's file: by the umask */

  /* Given up: the folder stays as it was; test_files_clear() sees that. */
  g_assert_true (zie_new_file_open (&file, test_files_path (&files, "never"), &error));
  g_assert_true (zie_new_file_write (&file, "half", 4, &error));
  zie_new_file_clear (&file);
  g_assert_false (g_file_test (files.paths->pdata[1], G_FILE_TEST_EXISTS));

  /* It fails at the very end: likewise. */
  g_assert_true (zie_new_file_open (&file, files.paths->pdata[1], &error));
  g_assert_cmpint (g_mkdir (files.paths->pdata[1], 0700), ==, 0);
  g_assert_false (zie_new_file_commit (&file, &error));
  assert_says (error, ZIE_ERROR_WRITE, files.paths->pdata[1]);
  zie_new_file_clear (&file);
  g_assert_cmpint (g_rmdir (files.paths->pdata[1]), ==, 0);
  umask (mask);
}

static void
test_not_writable (void)
{
  g_auto(TestFiles) files;
  g_auto(ZieNewFile) file = ZIE_NEW_FILE_INIT;
  g_autoptr(GError) error = NULL;
  g_autofree char *below = NULL, *nowhere = NULL;

  test_files_init (&files);
  g_assert_false (zie_new_file_open (&file, files.folder, &error));
  assert_says (error, ZIE_ERROR_WRITE, files.folder, "folder");
  g_clear_error (&error);

  nowhere = g_build_filename (files.folder, "nowhere", "x.png", NULL);
  g_assert_false (zie_new_file_open (&file, nowhere, &error));
  assert_says (error, ZIE_ERROR_WRITE, nowhere, "cannot be written");
  g_clear_error (&error);

  below = g_build_filename (test_files_write (&files, "file", "", 0), "x.png", NULL);
  g_assert_false (zie_new_file_open (&file, below, &error));
  assert_says (error, ZIE_ERROR_WRITE, below, "cannot be written");
  g_clear_error (&error);

  g_assert_false (zie_new_file_open (&file, "/dev/null", &error));      /* a rename would replace the device */
  assert_says (error, ZIE_ERROR_WRITE, "/dev/null", "regular file");
}

/* A limit on file sizes stands in for a full disk: the old file stays, nothing else is left behind. */
static void
test_disk_full (void)
{
  g_auto(TestFiles) files;
  GRand *rand = g_rand_new_with_seed (3);
  g_autofree guint8 *pixels = random_bytes (rand, 3 * 256 * 256);
  g_autofree char *text = NULL;
  const char *path;
  struct rlimit limit;
  rlim_t old;

  test_files_init (&files);
  path = test_files_write (&files, "x.png", "old", 3);
  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  old = limit.rlim_cur;
  for (rlim_t size = 0; size < 200000; size += 40000)
    {
      g_auto(ZieNewFile) file = ZIE_NEW_FILE_INIT;
      g_autoptr(GError) error = NULL;
      gboolean is_written;

      g_assert_true (zie_new_file_open (&file, path, &error));
      limit.rlim_cur = size;
      g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
      is_written = zie_png_write (&file, 256, 256, 768, pixels, NULL, 0, &error);
      limit.rlim_cur = old;
      g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);

      g_assert_false (is_written);
      assert_says (error, ZIE_ERROR_WRITE, path, "cannot be written: ");
    }

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "old");
  g_rand_free (rand);
}

/* --- reading what others write ------------------------------------------------------------------------------------ */

typedef struct
{
  int color_type, depth;
  gboolean is_interlaced, has_trns;
} Kind;

#define WIDTH 37
#define HEIGHT 21

static guint
sample_of (const guint8 *row, int depth, guint index)
{
  if (depth == 16)
    return (guint)row[2 * index] << 8 | row[2 * index + 1];
  return row[index * (guint)depth / 8] >> (8 - (guint)depth - index * (guint)depth % 8) & ((1u << depth) - 1);
}

static guint8
to_8_bits (guint sample, int depth)
{
  return (guint8)((sample * 255 * 2 + ((1u << depth) - 1)) / (2 * ((1u << depth) - 1)));
}

static guint8
over_white (guint color, guint alpha)
{
  return (guint8)((color * alpha + 255 * (255 - alpha) + 127) / 255);
}

/* Writes random samples as KIND; EXPECTED gets what a reader must see. */
static void
write_kind (const char *path, const Kind *kind, GRand *rand, guint8 *expected)
{
  png_structp png = png_create_write_struct (PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png_create_info_struct (png);
  g_autofree guint8 *palette = random_bytes (rand, 768);
  g_autofree guint8 *alphas = random_bytes (rand, 256);
  int n_colors = 1 << MIN (kind->depth, 8);
  png_color_16 key = { .gray = 1, .red = 1, .green = 1, .blue = 1 };
  FILE *file = fopen (path, "wb");
  g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func (g_free);
  gsize row_size;
  guint channels;

  png_init_io (png, file);
  png_set_IHDR (png, info, WIDTH, HEIGHT, kind->depth, kind->color_type,
                kind->is_interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                PNG_FILTER_TYPE_DEFAULT);
  if (kind->color_type == PNG_COLOR_TYPE_PALETTE)
    png_set_PLTE (png, info, (png_color *)palette, n_colors);
  if (kind->has_trns)
    png_set_tRNS (png, info, alphas, n_colors, &key);
  png_write_info (png, info);
  row_size = png_get_rowbytes (png, info);
  channels = png_get_channels (png, info);
  for (int y = 0; y < HEIGHT; y++)
    g_ptr_array_add (rows, random_bytes (rand, row_size));
  memset (rows->pdata[0], 0, row_size);
  ((guint8 *)rows->pdata[0])[row_size - 1] = 1;      /* meets the transparent colour somewhere */
  png_write_image (png, (png_bytepp)rows->pdata);
  png_write_end (png, info);
  png_destroy_write_struct (&png, &info);
  g_assert_cmpint (fclose (file), ==, 0);

  for (int y = 0; y < HEIGHT; y++)
    for (guint x = 0; x < WIDTH; x++, expected += 3)
      {
        guint s[4], alpha = 255;

        for (guint c = 0; c < channels; c++)
          s[c] = sample_of (rows->pdata[y], kind->depth, x * channels + c);
        if (kind->color_type == PNG_COLOR_TYPE_PALETTE)
          {
            alpha = kind->has_trns ? alphas[s[0]] : 255;
            for (int c = 0; c < 3; c++)
              expected[c] = over_white (palette[3 * s[0] + (guint)c], alpha);
            continue;
          }
        if (kind->color_type & PNG_COLOR_MASK_ALPHA)
          alpha = to_8_bits (s[channels - 1], kind->depth);
        else if (kind->has_trns && s[0] == 1 && (channels == 1 || (s[1] == 1 && s[2] == 1)))
          alpha = 0;
        for (guint c = 0; c < 3; c++)
          expected[c] = over_white (to_8_bits (s[channels >= 3 ? c : 0], kind->depth), alpha);
      }
}

static void
test_kinds (void)
{
  static const struct
  {
    int color_type, depths[5];
  } types[] = {
    { PNG_COLOR_TYPE_GRAY, { 1, 2, 4, 8, 16 } },    { PNG_COLOR_TYPE_PALETTE, { 1, 2, 4, 8 } },
    { PNG_COLOR_TYPE_GRAY_ALPHA, { 8, 16 } },       { PNG_COLOR_TYPE_RGB, { 8, 16 } },
    { PNG_COLOR_TYPE_RGB_ALPHA, { 8, 16 } },
  };
  g_auto(TestFiles) files;
  GRand *rand = g_rand_new_with_seed (4);
  const char *path;

  test_files_init (&files);
  path = test_files_path (&files, "kind.png");
  for (gsize t = 0; t < G_N_ELEMENTS (types); t++)
    for (int d = 0; d < 5 && types[t].depths[d] != 0; d++)
      for (int flags = 0; flags < 4; flags++)
        {
          Kind kind = { types[t].color_type, types[t].depths[d], flags & 1, flags & 2 };
          guint8 expected[3 * WIDTH * HEIGHT];
          g_autoptr(GBytes) pixels = NULL;
          g_autoptr(GError) error = NULL;
          const guint8 *found;
          int width, height;

          if (kind.has_trns && kind.color_type & PNG_COLOR_MASK_ALPHA)
            continue;
          write_kind (path, &kind, rand, expected);
          pixels = zie_png_read (path, &width, &height, &error);
          g_assert_no_error (error);
          g_assert_cmpint (width, ==, WIDTH);
          g_assert_cmpint (height, ==, HEIGHT);
          g_assert_cmpuint (g_bytes_get_size (pixels), ==, sizeof expected);
          found = g_bytes_get_data (pixels, NULL);
          for (gsize i = 0; i < sizeof expected; i++)
            if (found[i] != expected[i])
              g_error ("type %d depth %d interlaced %d trns %d: byte %zu is %u, expected %u", kind.color_type, kind.depth,
                       kind.is_interlaced, kind.has_trns, i, found[i], expected[i]);
        }
  g_rand_free (rand);
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

static void
write_with_texts (const char *path, const png_text *before, int n_before, const png_text *after, int n_after)
{
  png_structp png = png_create_write_struct (PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png_create_info_struct (png), end = png_create_info_struct (png);
  guint8 row[3 * 300];
  FILE *file = fopen (path, "wb");

  png_init_io (png, file);
  png_set_compression_buffer_size (png, 512);      /* several IDAT chunks */
  png_set_IHDR (png, info, 300, 20, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                PNG_FILTER_TYPE_DEFAULT);
  if (n_before > 0)
    png_set_text (png, info, before, n_before);
  png_write_info (png, info);
  for (int y = 0; y < 20; y++)
    {
      for (gsize i = 0; i < sizeof row; i++)
        row[i] = (guint8)(i * i * 31 + (gsize)y * 77);
      png_write_row (png, row);
    }
  if (n_after > 0)
    png_set_text (png, end, after, n_after);
  png_write_end (png, end);
  png_destroy_info_struct (png, &end);
  png_destroy_write_struct (&png, &info);
  g_assert_cmpint (fclose (file), ==, 0);
}

static void
test_texts (void)
{
  static const png_text before[] = {
    { .compression = PNG_TEXT_COMPRESSION_NONE, .key = (char *)"Latin", .text = (char *)"caf\xe9" },
    { .compression = PNG_TEXT_COMPRESSION_NONE, .key = (char *)"Sloppy", .text = (char *)"café 名" },
    { .compression = PNG_TEXT_COMPRESSION_zTXt, .key = (char *)"Packed", .text = (char *)"packed packed packed" },
    { .compression = PNG_TEXT_COMPRESSION_NONE, .key = (char *)"Twice", .text = (char *)"first" },
    { .compression = PNG_TEXT_COMPRESSION_NONE, .key = (char *)"Twice", .text = (char *)"second" },
    { .compression = PNG_TEXT_COMPRESSION_NONE, .key = (char *)"Empty", .text = (char *)"" },
  };
  static const png_text after[] = {
    { .compression = PNG_ITXT_COMPRESSION_NONE, .key = (char *)"International", .text = (char *)"名\n😀", .lang = (char *)"zh",
      .lang_key = (char *)"名" },
    { .compression = PNG_ITXT_COMPRESSION_zTXt, .key = (char *)"Both", .text = (char *)"名名名名名名名名", .lang = (char *)"",
      .lang_key = (char *)"" },
  };
  static const char *const keywords[] = { "Latin", "Sloppy", "Packed", "Twice", "Empty", "International", "Both", "None" };
  static const char *const expected[] = { "café", "café 名", "packed packed packed", "first", "", "名\n😀",
                                          "名名名名名名名名", NULL };
  char *texts[G_N_ELEMENTS (keywords)];
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  const char *path;

  test_files_init (&files);
  path = test_files_path (&files, "x.png");
  write_with_texts (path, before, G_N_ELEMENTS (before), after, G_N_ELEMENTS (after));
  zie_png_read_texts (path, keywords, texts, G_N_ELEMENTS (keywords), &error);
  g_assert_no_error (error);
  for (gsize i = 0; i < G_N_ELEMENTS (keywords); i++)
    {
      g_assert_cmpstr (texts[i], ==, expected[i]);
      g_free (texts[i]);
    }
}

static void
test_our_texts (void)
{
  static const ZiePngText texts[] = { { "parameters", "名 \"quoted\"\nline" }, { "zimage", "" } };
  static const char *const keywords[] = { "zimage", "parameters" };
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  guint8 pixels[3] = { 1, 2, 3 };
  char *read[2];
  const char *path;

  test_files_init (&files);
  path = test_files_path (&files, "x.png");
  save (path, 1, 1, 3, pixels, texts, 2);
  zie_png_read_texts (path, keywords, read, 2, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (read[0], ==, "");
  g_assert_cmpstr (read[1], ==, "名 \"quoted\"\nline");
  g_free (read[0]);
  g_free (read[1]);
}

/* A hundred megabytes of text, packed small: passed over, the rest is read. */
static void
test_text_bomb (void)
{
  g_autofree char *huge = g_malloc (100000001);
  png_text texts[2] = {
    { .compression = PNG_TEXT_COMPRESSION_zTXt, .key = (char *)"Bomb" },
    { .compression = PNG_TEXT_COMPRESSION_NONE, .key = (char *)"parameters", .text = (char *)"here" },
  };
  static const char *const keywords[] = { "Bomb", "parameters" };
  char *read[2];
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) pixels = NULL;
  const char *path;
  int width, height;

  memset (huge, 'a', 100000000);
  huge[100000000] = '\0';
  texts[0].text = huge;
  test_files_init (&files);
  path = test_files_path (&files, "x.png");
  write_with_texts (path, texts, 2, NULL, 0);
  zie_png_read_texts (path, keywords, read, 2, &error);
  g_assert_no_error (error);
  g_assert_null (read[0]);
  g_assert_cmpstr (read[1], ==, "here");
  g_free (read[1]);
  pixels = zie_png_read (path, &width, &height, &error);
  g_assert_no_error (error);
}

/* --- broken files ------------------------------------------------------------------------------------------------- */

static void
refuse (TestFiles *files, const void *data, gsize size, const char *says)
{
  const char *path = test_files_write (files, "bad.png", data, size);
  g_autoptr(GError) error = NULL;
  int width, height;

  g_assert_null (zie_png_read (path, &width, &height, &error));
  assert_says (error, ZIE_ERROR_FILE_CORRUPT, "bad.png", says);
  g_ptr_array_set_size (files->paths, 1);
}

static guint32
crc_of (const guint8 *data, gsize size)
{
  guint32 crc = 0xffffffff;

  for (gsize i = 0; i < size; i++)
    {
      crc ^= data[i];
      for (int bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
  return ~crc;
}

/* A PNG that claims WIDTH × HEIGHT and holds next to nothing. */
static GByteArray *
make_claim (guint32 width, guint32 height)
{
  static const guint8 signature[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13 };
  GByteArray *bytes = g_byte_array_new ();
  guint8 ihdr[21] = "IHDR", idat[] = { 0, 0, 0, 4, 'I', 'D', 'A', 'T', 0x78, 1, 0, 0, 0, 0, 0, 0 };
  guint32 crc;

  width = GUINT32_TO_BE (width);
  height = GUINT32_TO_BE (height);
  memcpy (ihdr + 4, &width, 4);
  memcpy (ihdr + 8, &height, 4);
  ihdr[12] = 8;
  ihdr[13] = PNG_COLOR_TYPE_RGB;
  crc = GUINT32_TO_BE (crc_of (ihdr, 17));
  memcpy (ihdr + 17, &crc, 4);
  crc = GUINT32_TO_BE (crc_of (idat + 4, 8));
  memcpy (idat + 12, &crc, 4);
  g_byte_array_append (bytes, signature, sizeof signature);
  g_byte_array_append (bytes, ihdr, sizeof ihdr);
  g_byte_array_append (bytes, idat, sizeof idat);
  return bytes;
}

static void
test_claims (void)
{
  static const struct
  {
    guint32 width, height;
    const char *says;
  } cases[] = {
    { 8192, 8193, "at most 67108864" },       { 1 << 30, 1 << 30, "at most" }, { 0x7fffffff, 0x7fffffff, "at most" },
    { 8192, 8192, "too short for its picture" }, { 0x7fffffff, 1, "at most" },  { 16, 16, "ends early" },
    { 0, 16, "" },                            { 0x80000000, 16, "" },
  };
  g_auto(TestFiles) files;

  test_files_init (&files);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GByteArray) bytes = make_claim (cases[i].width, cases[i].height);

      refuse (&files, bytes->data, bytes->len, cases[i].says);
    }
}

static void
test_not_a_png (void)
{
  static const char *const keywords[] = { "a" };
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  char *text;
  int width, height;

  test_files_init (&files);
  refuse (&files, "", 0, "does not begin");
  refuse (&files, "\x89PNG", 4, "does not begin");
  refuse (&files, "GIF89a, or something else", 25, "does not begin");
  g_assert_false (zie_png_read_texts (files.paths->pdata[0], keywords, &text, 1, &error));
  assert_says (error, ZIE_ERROR_FILE_CORRUPT, "does not begin");
  g_clear_error (&error);

  g_assert_null (zie_png_read (test_files_path (&files, "absent.png"), &width, &height, &error));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, "absent.png");
}

/* Cut at every byte: refused, but for the checks at the end of the data and the last chunk, which holds nothing. */
static void
test_cut_anywhere (void)
{
  static const ZiePngText texts[] = { { "parameters", "words" } };
  g_auto(TestFiles) files;
  GRand *rand = g_rand_new_with_seed (5);
  g_autofree guint8 *pixels = random_bytes (rand, 3 * 20 * 20);
  g_autofree char *whole = NULL;
  gsize size;
  const char *path;

  test_files_init (&files);
  path = test_files_path (&files, "x.png");
  save (path, 20, 20, 60, pixels, texts, 1);
  g_assert_true (g_file_get_contents (path, &whole, &size, NULL));
  for (gsize cut = 0; cut + 12 < size; cut++)
    {
      const char *bad = test_files_write (&files, "bad.png", whole, cut);
      g_autoptr(GError) error = NULL;
      g_autoptr(GBytes) read = NULL;
      int width, height;

      read = zie_png_read (bad, &width, &height, &error);
      if (cut + 24 < size)
        assert_says (error, ZIE_ERROR_FILE_CORRUPT, "bad.png");
      g_ptr_array_set_size (files.paths, 2);
    }
  g_rand_free (rand);
}

static void
test_damaged (void)
{
  static const ZiePngText texts[] = { { "parameters", "words and words" }, { "zimage", "{\"a\":1}" } };
  static const char *const keywords[] = { "parameters", "zimage" };
  g_auto(TestFiles) files;
  GRand *rand = g_rand_new_with_seed (6);
  const char *path;

  test_files_init (&files);
  path = test_files_path (&files, "x.png");
  for (int round = 0; round < 6; round++)
    {
      g_autoptr(GByteArray) whole = g_byte_array_new ();
      g_autofree char *contents = NULL;
      guint8 expected[3 * WIDTH * HEIGHT];
      gsize size;

      if (round == 0)
        {
          g_autofree guint8 *pixels = random_bytes (rand, 3 * 30 * 30);

          save (path, 30, 30, 90, pixels, texts, 2);
        }
      else
        write_kind (path,
                    &(const Kind) { round % 2 ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_RGB_ALPHA, 8, round % 3 == 0, round % 2 },
                    rand, expected);
      g_assert_true (g_file_get_contents (path, &contents, &size, NULL));
      g_byte_array_append (whole, (guint8 *)contents, (guint)size);

      for (int i = 0; i < 1500; i++)
        {
          g_autoptr(GByteArray) broken = damage (rand, whole);
          const char *bad = test_files_write (&files, "bad.png", broken->data, broken->len);
          g_autoptr(GError) error = NULL;
          g_autoptr(GBytes) pixels = NULL;
          char *read[2] = { NULL };
          int width, height;

          pixels = zie_png_read (bad, &width, &height, &error);
          if (pixels != NULL)
            g_assert_cmpuint (g_bytes_get_size (pixels), ==, 3 * (gsize)width * (gsize)height);
          else
            g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT);
          g_clear_error (&error);

          if (!zie_png_read_texts (bad, keywords, read, 2, &error))
            g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT);
          g_free (read[0]);
          g_free (read[1]);
          g_ptr_array_set_size (files.paths, 1);
        }
    }
  g_ptr_array_add (files.paths, g_build_filename (files.folder, "bad.png", NULL));
  g_rand_free (rand);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/png/round-trip", test_round_trip);
  g_test_add_func ("/png/same-bytes", test_same_bytes);
  g_test_add_func ("/png/new-file", test_new_file);
  g_test_add_func ("/png/not-writable", test_not_writable);
  g_test_add_func ("/png/disk-full", test_disk_full);
  g_test_add_func ("/png/kinds", test_kinds);
  g_test_add_func ("/png/texts", test_texts);
  g_test_add_func ("/png/our-texts", test_our_texts);
  g_test_add_func ("/png/text-bomb", test_text_bomb);
  g_test_add_func ("/png/claims", test_claims);
  g_test_add_func ("/png/not-a-png", test_not_a_png);
  g_test_add_func ("/png/cut-anywhere", test_cut_anywhere);
  g_test_add_func ("/png/damaged", test_damaged);
  return g_test_run ();
}
