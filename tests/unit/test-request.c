/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include <zie/zie.h>

#include "test-files.h"

/* A model of this test's own: a request asks for nothing but its facts and the number of tokens. */
struct _ZieModel
{
  ZieModelInfo info;
};

const ZieModelInfo *
zie_model_get_info (const ZieModel *self)
{
  return &self->info;
}

guint
zie_model_count_tokens (const ZieModel *self, const char *prompt)
{
  return 8 + (guint)g_utf8_strlen (prompt, -1);
}

static ZieModel turbo = { { .is_distilled = TRUE, .default_steps = 8, .max_side = 1024, .max_prompt_ids = 40 } };
static ZieModel base = { { .is_distilled = FALSE, .default_steps = 40, .max_side = 8192, .max_prompt_ids = 512 } };

static void
assert_equal (const ZieRequest *a, const ZieRequest *b)
{
  g_assert_cmpstr (a->prompt, ==, b->prompt);
  g_assert_cmpstr (a->negative_prompt, ==, b->negative_prompt);
  g_assert_cmpstr (a->model_name, ==, b->model_name);
  g_assert_cmpint (a->width, ==, b->width);
  g_assert_cmpint (a->height, ==, b->height);
  g_assert_cmpint (a->n_steps, ==, b->n_steps);
  g_assert_cmpint (a->n_images, ==, b->n_images);
  g_assert_cmpuint (a->seed, ==, b->seed);
  g_assert_cmpfloat (a->guidance, ==, b->guidance);
  g_assert_cmpfloat (a->cfg_truncation, ==, b->cfg_truncation);
  g_assert_cmpfloat (a->cfg_normalization, ==, b->cfg_normalization);
  g_assert_cmpfloat (a->shift, ==, b->shift);
  g_assert_cmpint (a->sampler, ==, b->sampler);
  g_assert_cmpint (a->noise, ==, b->noise);
  g_assert_cmpint (a->noise_cuda_sms, ==, b->noise_cuda_sms);
  g_assert_cmpint (a->decode, ==, b->decode);
  g_assert_cmpint (a->tile_size, ==, b->tile_size);
  g_assert_cmpint (a->tile_overlap, ==, b->tile_overlap);
  g_assert_cmpint (a->noise_cuda_threads, ==, b->noise_cuda_threads);
  g_assert_cmpint (a->compute, ==, b->compute);
  g_assert_cmpint (a->truncate_prompt, ==, b->truncate_prompt);
  g_assert_cmpint (a->preview_every, ==, b->preview_every);
  g_assert_cmpfloat (a->strength, ==, b->strength);
}

static void
set_text (char **field, const char *text)
{
  g_free (*field);
  *field = g_strdup (text);
}

/* A request that passes every check. */
static void
init_good (ZieRequest *self)
{
  zie_request_init (self);
  set_text (&self->prompt, "a red fox");
}

static ZieImage *
make_image (int width, int height)
{
  gsize size = 3 * (gsize)width * (gsize)height;
  guint8 *pixels = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    pixels[i] = (guint8)(i * 7);
  return zie_image_new (width, height, 3 * (gsize)width, g_bytes_new_take (pixels, size));
}

static void
test_init_and_copy (void)
{
  g_auto(ZieRequest) request = { 0 };
  ZieRequest copy;

  memset (&copy, 0xaa, sizeof copy);      /* the destination is raw memory */
  init_good (&request);
  g_assert_cmpint (request.width, ==, 1024);
  g_assert_cmpint (request.n_steps, ==, 8);
  g_assert_cmpfloat (request.guidance, ==, 0);
  g_assert_cmpint (request.noise_cuda_sms, ==, 132);
  g_assert_true (zie_request_validate (&request, NULL, NULL));

  set_text (&request.negative_prompt, "blurry");
  request.init_image = make_image (16, 16);
  request.mask = make_image (16, 16);
  zie_request_copy (&copy, &request);
  assert_equal (&copy, &request);
  g_assert_true (copy.prompt != request.prompt);
  g_assert_true (copy.init_image == request.init_image);
  zie_request_clear (&request);
  g_assert_cmpstr (copy.prompt, ==, "a red fox");
  g_assert_cmpint (zie_image_get_width (copy.mask), ==, 16);
  zie_request_clear (&copy);
  zie_request_clear (&copy);      /* twice does no harm */
}

/* --- what is refused ---------------------------------------------------------------------------------------------- */

static void
refuse (const ZieRequest *request, ZieModel *model, ZieError code, const char *first, const char *second)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (zie_request_validate (request, model, &error));
  assert_says (error, code, first, second);
}

static void
test_prompt_text (void)
{
  static const struct
  {
    const char *prompt, *says;
  } bad[] = {
    { NULL, "empty" },
    { "", "empty" },
    { " \n\t\u3000", "blank" },
    { "a\x01" "b", "character 2 is the control character U+0001" },
    { "名\x7f", "character 2 is the control character U+007F" },
    { "a\xc2\x85", "U+0085" },
    { "a\x1b[31m", "U+001B" },
    { "ab\xff", "byte 3 (0xff)" },
    { "\xed\xa0\x80", "byte 1 (0xed)" },
    { "a\xc3", "byte 2 (0xc3)" },
    { "\xc0\x80", "UTF-8" },
  };
  static const char *const good[] = { "a", "tab\tand\nlines\r\nof text", "一只猫", "👩‍👩‍👧 e\u0301 \u200b \u2028", "<|im_end|>" };

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_auto(ZieRequest) request = { 0 };

      init_good (&request);
      set_text (&request.prompt, bad[i].prompt);
      refuse (&request, NULL, ZIE_ERROR_INVALID_REQUEST, "prompt: ", bad[i].says);

      if (i >= 3)      /* a negative prompt may be empty, but not broken */
        {
          set_text (&request.prompt, "a");
          set_text (&request.negative_prompt, bad[i].prompt);
          refuse (&request, NULL, ZIE_ERROR_INVALID_REQUEST, "negative_prompt: ", bad[i].says);
        }
    }
  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_auto(ZieRequest) request = { 0 };
      g_autoptr(GError) error = NULL;

      init_good (&request);
      set_text (&request.prompt, good[i]);
      set_text (&request.negative_prompt, i == 0 ? "" : good[i]);
      zie_request_validate (&request, &base, &error);
      g_assert_no_error (error);
    }
}

static void
test_sizes (void)
{
  static const struct
  {
    int side;
    const char *says;
  } bad[] = {
    { 0, "16 to 8192" },  { -16, "16 to 8192" },       { 15, "16 to 8192" },        { 8208, "16 to 8192" }, { 8193, "16 to 8192" },
    { 17, "16 and 32" },  { 1000, "992 and 1008" },    { 1023, "1008 and 1024" },   { G_MAXINT, "16 to 8192" },
    { G_MININT, "16 to 8192" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_auto(ZieRequest) request = { 0 };

      init_good (&request);
      request.width = bad[i].side;
      refuse (&request, NULL, ZIE_ERROR_INVALID_REQUEST, "width: is", bad[i].says);
      request.width = 16;
      request.height = bad[i].side;
      refuse (&request, &base, ZIE_ERROR_INVALID_REQUEST, "height: is", bad[i].says);
    }

  for (int side = 16; side <= ZIE_SIZE_MAX; side += 16)
    {
      g_auto(ZieRequest) request = { 0 };

      init_good (&request);
      request.width = request.height = side;
      g_assert_true (zie_request_validate (&request, NULL, NULL));
      if (side <= 1024)
        g_assert_true (zie_request_validate (&request, &turbo, NULL));
      else
        refuse (&request, &turbo, ZIE_ERROR_INVALID_REQUEST, "width", "16 to 1024");
    }
}

static void
test_numbers (void)
{
#define REFUSE(field, value, ...) \
  G_STMT_START \
    { \
      g_auto(ZieRequest) request = { 0 }; \
      init_good (&request); \
      request.field = (value); \
      refuse (&request, NULL, ZIE_ERROR_INVALID_REQUEST, __VA_ARGS__); \
    } \
  G_STMT_END

  REFUSE (n_steps, 0, "steps: is 0", "1 to 1000");
  REFUSE (n_steps, 1001, "steps: is 1001", "1 to 1000");
  REFUSE (n_images, 0, "images: is 0", "1 to 10000");
  REFUSE (n_images, 10001, "images: is 10001", "1 to 10000");
  REFUSE (guidance, -0.1, "guidance: is -0.1", "0 to 30");
  REFUSE (guidance, 31, "guidance: is 31", "0 to 30");
  REFUSE (guidance, (double)NAN, "guidance: is", "0 to 30");
  REFUSE (guidance, (double)INFINITY, "guidance: is", "0 to 30");
  REFUSE (cfg_truncation, 1.5, "cfg_truncation: is 1.5", "0 to 1");
  REFUSE (cfg_normalization, -1, "cfg_normalization: is -1", "0 to 100");
  REFUSE (shift, -1, "shift: is -1", "0.01 to 100");
  REFUSE (shift, (double)NAN, "shift: is", "0.01 to 100");
  REFUSE (strength, 1.01, "strength: is 1.01", "0 to 1");
  REFUSE (preview_every, -1, "preview_every: is -1", "0 to 1000");
  REFUSE (sampler, (ZieSampler)77, "sampler", "77");
  REFUSE (noise, (ZieNoise)2, "noise", "2");
  REFUSE (noise_cuda_sms, 0, "noise_cuda_sms: is 0", "1 to 1024");
  REFUSE (decode, (ZieDecode)2, "decode: is 2", "0 to 1");
  REFUSE (tile_size, 100, "tile_size: is 100", "multiple of 8 from 64");
  REFUSE (tile_size, 56, "tile_size: is 56", "multiple of 8 from 64");
  REFUSE (tile_overlap, 12, "tile_overlap: is 12", "multiple of 8 from 8");
  REFUSE (noise_cuda_threads, 0, "noise_cuda_threads: is 0", "256 to 4096");
  REFUSE (compute, (ZieCompute)9, "compute", "9");
  REFUSE (mask, make_image (16, 16), "mask", "without a picture");
}

static void
test_prompt_length (void)
{
  g_auto(ZieRequest) request = { 0 };
  g_autofree char *novel = g_strnfill ((2 << 20), 'a');

  init_good (&request);
  set_text (&request.prompt, "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二");      /* 32 + 8 */
  request.width = request.height = 256;
  g_assert_true (zie_request_validate (&request, &turbo, NULL));
  set_text (&request.prompt, "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三");
  refuse (&request, &turbo, ZIE_ERROR_PROMPT_TOO_LONG, "prompt: has 41 tokens", "at most 40");
  request.truncate_prompt = TRUE;
  g_assert_true (zie_request_validate (&request, &turbo, NULL));
  request.truncate_prompt = FALSE;

  request.negative_prompt = g_steal_pointer (&request.prompt);
  request.prompt = g_strdup ("short");
  g_assert_true (zie_request_validate (&request, &turbo, NULL));      /* not used without guidance */
  request.guidance = 2;
  refuse (&request, &turbo, ZIE_ERROR_PROMPT_TOO_LONG, "negative_prompt: has 41", "at most 40");

  set_text (&request.prompt, novel);
  refuse (&request, NULL, ZIE_ERROR_PROMPT_TOO_LONG, "2097152 bytes", "at most 1048576");
}

static void
test_advice (void)
{
  static const struct
  {
    ZieModel *model;
    int n_steps;
    double guidance;
    const char *negative, *says[2];      /* NULL = nothing */
  } cases[] = {
    { &turbo, 8, 0, NULL, { NULL } },
    { &turbo, 9, 0, NULL, { "same 8 forwards", "The 9 steps" } },
    { &turbo, 4, 0, NULL, { "distilled for 8 steps", "softer" } },
    { &turbo, 30, 0, NULL, { "distilled for 8 steps", "longer" } },
    { &turbo, 8, 3, "blurry", { "guidance 0", "twice as long" } },
    { &turbo, 9, 3, NULL, { "same 8 forwards", "; this model is distilled for guidance 0" } },
    { &turbo, 8, 0, "blurry", { "negative prompt has no effect", "" } },
    { &turbo, 8, 0, "", { NULL } },
    { &base, 40, 4, "blurry", { NULL } },
    { &base, 28, 4, NULL, { NULL } },
    { &base, 8, 4, NULL, { "not distilled", "about 40 steps" } },
    { NULL, 9, 4, NULL, { NULL } },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto(ZieRequest) request = { 0 };
      g_autofree char *advice = NULL;

      init_good (&request);
      request.n_steps = cases[i].n_steps;
      request.guidance = cases[i].guidance;
      request.negative_prompt = g_strdup (cases[i].negative);
      advice = zie_request_get_advice (&request, cases[i].model);
      if (cases[i].says[0] == NULL)
        {
          g_assert_cmpstr (advice, ==, NULL);
          continue;
        }
      g_assert_nonnull (advice);
      g_assert_nonnull (strstr (advice, cases[i].says[0]));
      g_assert_nonnull (strstr (advice, cases[i].says[1]));
    }
}

/* Every sampler but the one that the model is made for. */
static void
test_advice_sampler (void)
{
  for (int sampler = 0; sampler < ZIE_N_SAMPLERS; sampler++)
    {
      g_auto(ZieRequest) request = { 0 };
      g_autofree char *advice = NULL, *none = NULL;

      init_good (&request);
      request.sampler = (ZieSampler)sampler;
      advice = zie_request_get_advice (&request, &turbo);
      g_assert_cmpint (advice != NULL, ==, sampler != ZIE_SAMPLER_EULER);
      if (advice != NULL)
        g_assert_nonnull (strstr (advice, zie_sampler_name (request.sampler)));
      request.n_steps = 40;
      request.guidance = 4;
      none = zie_request_get_advice (&request, &base);
      g_assert_cmpstr (none, ==, NULL);
    }
}

/* --- recipes ------------------------------------------------------------------------------------------------------ */

static char *
random_text (GRand *rand, gboolean is_tame)
{
  static const char *const pieces[] = {
    "a", "fox", " ", "  ", ", ", "一只红色的狐狸", "😀", "e\u0301", "\"", "\\", "'", ": ", "(word:1.2)", "<lora:x:1>", "{}", "[",
    "%s", "&amp;", "\u200b", "\t", "né", "\n", "\r\n", "\n\n", "Steps: 3, Size: 1x1, Seed: 2", "\nNegative prompt: x", "\\n", "\"a, b\"",
  };
  GString *text = g_string_new ("x");
  int n = g_rand_int_range (rand, 0, g_rand_int_range (rand, 0, 10) == 0 ? 2000 : 12);

  while (n-- > 0)
    g_string_append (text, pieces[g_rand_int_range (rand, 0, (gint32)G_N_ELEMENTS (pieces) - (is_tame ? 4 : 0))]);
  return g_string_free (text, FALSE);
}

/* TAME: what A1111's text can carry: neither lines that look like its own nor fields that it has no word for. */
static void
init_random (ZieRequest *self, GRand *rand, gboolean is_tame)
{
  zie_request_init (self);
  g_free (self->prompt);
  self->prompt = random_text (rand, is_tame);
  self->negative_prompt = g_rand_boolean (rand) ? random_text (rand, is_tame) : NULL;
  self->model_name = g_rand_boolean (rand) ? random_text (rand, TRUE) : NULL;
  if (is_tame && self->model_name != NULL)
    g_strstrip (self->model_name);
  self->width = 16 * g_rand_int_range (rand, 1, 513);
  self->height = 16 * g_rand_int_range (rand, 1, 513);
  self->n_steps = g_rand_int_range (rand, 1, 1001);
  self->seed = (guint64)g_rand_int (rand) << (g_rand_boolean (rand) ? 32 : 0) | g_rand_int (rand);
  self->guidance = g_rand_boolean (rand) ? 0 : is_tame ? g_rand_int_range (rand, 0, 301) / 10.0 : g_rand_double_range (rand, 0, 30);
  self->cfg_truncation = g_rand_boolean (rand) ? 1 : g_rand_double (rand);
  self->cfg_normalization = g_rand_boolean (rand) ? 0 : g_rand_double (rand);
  self->shift = g_rand_boolean (rand) ? 0 : g_rand_double_range (rand, 0.01, 10);
  self->noise = g_rand_boolean (rand) ? ZIE_NOISE_CPU : ZIE_NOISE_CUDA;
  self->decode = (ZieDecode)g_rand_int_range (rand, 0, 2);
  self->tile_size = self->decode == ZIE_DECODE_BLEND ? 8 * g_rand_int_range (rand, 8, 100) : 0;
  self->tile_overlap = self->decode == ZIE_DECODE_BLEND ? 8 * g_rand_int_range (rand, 0, 5) : 0;
  if (is_tame)
    return;

  self->n_images = g_rand_int_range (rand, 1, 10001);
  self->noise_cuda_sms = g_rand_int_range (rand, 1, 1025);
  self->noise_cuda_threads = g_rand_int_range (rand, 256, 4097);
  self->compute = (ZieCompute)g_rand_int_range (rand, 0, 3);
  self->truncate_prompt = g_rand_boolean (rand);
  self->preview_every = g_rand_int_range (rand, 0, 1001);
  self->strength = g_rand_double (rand);
}

static void
test_json_round_trip (void)
{
  GRand *rand = g_rand_new_with_seed (1);

  for (int i = 0; i < 3000; i++)
    {
      g_auto(ZieRequest) request = { 0 };
      g_auto(ZieRequest) read = { 0 };
      g_autofree char *json = NULL;
      g_autoptr(GError) error = NULL;

      init_random (&request, rand, FALSE);
      zie_request_init (&read);
      read.negative_prompt = g_strdup ("what was there before");
      json = zie_request_to_json (&request);
      zie_request_from_json (&read, json, &error);
      g_assert_no_error (error);
      assert_equal (&request, &read);
    }
  g_rand_free (rand);
}

static void
test_parameters_round_trip (void)
{
  GRand *rand = g_rand_new_with_seed (2);

  for (int i = 0; i < 3000; i++)
    {
      g_auto(ZieRequest) request = { 0 };
      g_auto(ZieRequest) read = { 0 };
      g_autofree char *text = NULL;
      g_autoptr(GError) error = NULL;

      init_random (&request, rand, TRUE);
      zie_request_init (&read);
      read.negative_prompt = g_strdup ("what was there before");
      text = zie_request_to_parameters (&request);
      zie_request_from_parameters (&read, text, &error);
      g_assert_no_error (error);
      assert_equal (&request, &read);
    }
  g_rand_free (rand);
}

static void
test_png_round_trip (void)
{
  g_auto(TestFiles) files;
  GRand *rand = g_rand_new_with_seed (3);
  g_autoptr(ZieImage) image = make_image (16, 8);
  const char *path;

  test_files_init (&files);
  path = test_files_path (&files, "x.png");
  for (int i = 0; i < 300; i++)
    {
      g_auto(ZieRequest) request = { 0 };
      g_auto(ZieRequest) read = { 0 };
      g_autoptr(ZieImage) loaded = NULL;
      g_autoptr(GError) error = NULL;

      init_random (&request, rand, FALSE);
      zie_image_save_png (image, path, &request, &error);
      g_assert_no_error (error);
      zie_request_init (&read);
      zie_request_from_png (&read, path, &error);
      g_assert_no_error (error);
      assert_equal (&request, &read);

      loaded = zie_image_load_png (path, &error);
      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (zie_image_get_pixels (loaded), zie_image_get_pixels (image)));
      g_assert_cmpuint (zie_image_get_stride (loaded), ==, 48);
    }
  g_rand_free (rand);
}

static void
test_png_refused (void)
{
  g_auto(TestFiles) files;
  g_auto(ZieRequest) request = { 0 };
  g_autoptr(ZieImage) image = make_image (16, 8);
  g_autoptr(GError) error = NULL;
  const char *path;

  test_files_init (&files);
  path = test_files_path (&files, "plain.png");
  zie_image_save_png (image, path, NULL, &error);
  g_assert_no_error (error);
  init_good (&request);
  g_assert_false (zie_request_from_png (&request, path, &error));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, "plain.png", "holds no recipe");
  g_clear_error (&error);
  g_assert_cmpstr (request.prompt, ==, "a red fox");

  g_assert_false (zie_request_from_png (&request, test_files_path (&files, "absent.png"), &error));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, "absent.png");
  g_clear_error (&error);

  g_assert_false (zie_request_from_png (&request, test_files_write (&files, "text.png", "no PNG", 6), &error));
  assert_says (error, ZIE_ERROR_FILE_CORRUPT, "text.png");
  g_clear_error (&error);

  g_assert_false (zie_image_save_png (image, files.folder, &request, &error));
  assert_says (error, ZIE_ERROR_WRITE, files.folder);
}

/* The shape that other programs rely on. */
static void
test_parameters_text (void)
{
  g_auto(ZieRequest) request = { 0 };
  g_autofree char *text = NULL, *expected = NULL;

  init_good (&request);
  set_text (&request.prompt, "a red fox,\nin the snow");
  set_text (&request.negative_prompt, "blurry");
  set_text (&request.model_name, "Z-Image, \"Turbo\"");
  request.seed = 42;
  request.guidance = 0.5;
  request.width = 1280;
  request.height = 720;
  text = zie_request_to_parameters (&request);
  expected = g_strdup_printf ("a red fox,\nin the snow\nNegative prompt: blurry\n"
                              "Steps: 8, Sampler: Euler, Schedule type: Simple, CFG scale: 1.5, Seed: 42, Size: 1280x720, "
                              "Model: \"Z-Image, \\\"Turbo\\\"\", RNG: CPU, Version: zimage %s", zie_version ());
  g_assert_cmpstr (text, ==, expected);
}

/* As written by other programs. */
static void
test_foreign_parameters (void)
{
  g_auto(ZieRequest) request = { 0 };
  g_autoptr(GError) error = NULL;

  init_good (&request);
  zie_request_from_parameters (&request,
                               "masterpiece, (cat:1.2)\r\nsecond line\nNegative prompt: worst quality,\nblurry\n"
                               "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 965400086, "
                               "Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned, Denoising strength: 0.35, "
                               "Lora hashes: \"a: 1, Steps: 99\", RNG: NV, TI: \"x, y\", Version: v1.6.0\n", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (request.prompt, ==, "masterpiece, (cat:1.2)\r\nsecond line");
  g_assert_cmpstr (request.negative_prompt, ==, "worst quality,\nblurry");
  g_assert_cmpint (request.n_steps, ==, 20);
  g_assert_cmpfloat (request.guidance, ==, 6);
  g_assert_cmpuint (request.seed, ==, 965400086);
  g_assert_cmpint (request.width, ==, 512);
  g_assert_cmpint (request.height, ==, 768);
  g_assert_cmpstr (request.model_name, ==, "v1-5-pruned");
  g_assert_cmpfloat (request.strength, ==, 0.35);
  g_assert_cmpint (request.noise, ==, ZIE_NOISE_CUDA);
  g_assert_cmpint (request.sampler, ==, ZIE_SAMPLER_DPMPP_2M);

  /* No parameters: all of it is the prompt, and what else was set stays. */
  zie_request_from_parameters (&request, "a cat: black, small", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (request.prompt, ==, "a cat: black, small");
  g_assert_cmpstr (request.negative_prompt, ==, NULL);
  g_assert_cmpint (request.n_steps, ==, 20);

  /* Parameters alone. */
  zie_request_from_parameters (&request, "Steps: 5, Seed: 1, Size: 16x32", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (request.prompt, ==, "");
  g_assert_cmpint (request.height, ==, 32);
}

static void
test_recipes_refused (void)
{
  static const struct
  {
    gboolean is_json;
    const char *text, *says;
  } cases[] = {
    { TRUE, "", "expected an object" },
    { TRUE, "[]", "expected an object" },
    { TRUE, "{\"width\":16,\"width\":32}", "duplicate" },
    { TRUE, "{\"recipe\":2}", "\"recipe\" is 2" },
    { TRUE, "{\"prompt\":1}", "\"prompt\" is 1, expected a string" },
    { TRUE, "{\"width\":\"16\"}", "\"width\"" },
    { TRUE, "{\"width\":1.5}", "\"width\" is 1.5" },
    { TRUE, "{\"width\":99999999999}", "\"width\" is 99999999999" },
    { TRUE, "{\"seed\":-1}", "\"seed\" is -1" },
    { TRUE, "{\"seed\":\"-1\"}", "\"seed\" is \"-1\"" },
    { TRUE, "{\"seed\":\"18446744073709551616\"}", "\"seed\"" },
    { TRUE, "{\"seed\":{}}", "\"seed\"" },
    { TRUE, "{\"seed\":[]}", "\"seed\"" },
    { TRUE, "{\"guidance\":\"x\"}", "\"guidance\"" },
    { TRUE, "{\"guidance\":1e999}", "\"guidance\"" },
    { TRUE, "{\"sampler\":\"magic\"}", "\"magic\"" },
    { TRUE, "{\"noise\":3}", "\"noise\" is 3" },
    { TRUE, "{\"truncate_prompt\":1}", "true or false" },
    { FALSE, "", "empty" },
    { FALSE, "\n\n", "empty" },
    { FALSE, "a\xff", "UTF-8" },
    { FALSE, "Steps: x, Seed: 1, Size: 16x16", "\"Steps\" is \"x\"" },
    { FALSE, "Steps: 8, Seed: -1, Size: 16x16", "\"Seed\" is \"-1\"" },
    { FALSE, "Steps: 8, Seed: 1, Size: 16", "\"Size\" is \"16\"" },
    { FALSE, "Steps: 8, Seed: 1, Size: 16x16x16", "\"Size\"" },
    { FALSE, "Steps: 8, Seed: 1, CFG scale: nan", "\"CFG scale\" is \"nan\"" },
    { FALSE, "Steps: 99999999999, Seed: 1, Size: 16x16", "\"Steps\"" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto(ZieRequest) request = { 0 };
      g_auto(ZieRequest) before = { 0 };
      g_autoptr(GError) error = NULL;
      gboolean is_read;

      init_good (&request);
      zie_request_copy (&before, &request);
      is_read = cases[i].is_json ? zie_request_from_json (&request, cases[i].text, &error)
                                 : zie_request_from_parameters (&request, cases[i].text, &error);
      g_assert_false (is_read);
      assert_says (error, ZIE_ERROR_INVALID_REQUEST, cases[i].says);
      assert_equal (&request, &before);      /* all or nothing */
    }
}

/* Keys that are absent keep what was there; keys that nobody knows do no harm. */
static void
test_partial_json (void)
{
  g_auto(ZieRequest) request = { 0 };
  g_autoptr(GError) error = NULL;

  init_good (&request);
  request.seed = 7;
  request.negative_prompt = g_strdup ("old");
  zie_request_from_json (&request, "{\"width\": 512, \"future\": {\"x\": [1]}, \"seed\": \"18446744073709551615\", "
                                   "\"negative_prompt\": null}", &error);
  g_assert_no_error (error);
  g_assert_cmpint (request.width, ==, 512);
  g_assert_cmpint (request.height, ==, 1024);
  g_assert_cmpuint (request.seed, ==, G_MAXUINT64);
  g_assert_cmpstr (request.prompt, ==, "a red fox");
  g_assert_cmpstr (request.negative_prompt, ==, NULL);
}

static void
test_damaged (void)
{
  g_auto(ZieRequest) request = { 0 };
  g_autofree char *json = NULL, *parameters = NULL;
  GRand *rand = g_rand_new_with_seed (4);

  init_random (&request, rand, FALSE);
  json = zie_request_to_json (&request);
  parameters = zie_request_to_parameters (&request);
  for (int i = 0; i < 10000; i++)
    {
      g_autoptr(GByteArray) whole = g_byte_array_new ();
      g_autoptr(GByteArray) broken = NULL;
      g_autofree char *text = NULL;
      g_auto(ZieRequest) read = { 0 };
      g_autoptr(GError) error = NULL;
      gboolean is_read;

      put_text (whole, i % 2 ? json : parameters);
      broken = damage (rand, whole);
      text = g_strndup ((char *)broken->data, broken->len);
      zie_request_init (&read);
      is_read = i % 2 ? zie_request_from_json (&read, text, &error) : zie_request_from_parameters (&read, text, &error);
      if (is_read)
        g_free (zie_request_to_json (&read));
      else
        g_assert_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST);
    }
  g_rand_free (rand);
}

/* Megabytes of commas, colons and quotes take no longer than they must. */
static void
test_large_parameters (void)
{
  static const char *const pieces[] = { ",", ":", "a:\"\",", "a:\"", "\n", "Negative prompt:", "a: b, " };
  gint64 start = test_cpu_us ();

  for (gsize i = 0; i < G_N_ELEMENTS (pieces); i++)
    {
      g_autoptr(GString) text = g_string_new ("x");
      g_auto(ZieRequest) request = { 0 };

      while (text->len < 2000000)
        g_string_append (text, pieces[i]);
      zie_request_init (&request);
      zie_request_from_parameters (&request, text->str, NULL);
    }
  g_assert_cmpint (test_cpu_us () - start, <, 20 * TEST_TIME_FACTOR * G_USEC_PER_SEC);
}

static void
test_names (void)
{
  ZieSampler sampler;
  ZieDecode decode;
  ZieNoise noise;
  ZieCompute compute;
  ZieBackendKind kind;

  for (int i = 0; i < ZIE_N_STAGES; i++)
    g_assert_nonnull (zie_stage_name ((ZieStage)i));
  for (int i = ZIE_BACKEND_AUTO; i <= ZIE_BACKEND_CUDA; i++)
    {
      g_assert_true (zie_backend_kind_from_name (zie_backend_kind_name ((ZieBackendKind)i), &kind));
      g_assert_cmpint (kind, ==, i);
    }
  for (int i = ZIE_COMPUTE_AUTO; i <= ZIE_COMPUTE_BF16; i++)
    {
      g_assert_true (zie_compute_from_name (zie_compute_name ((ZieCompute)i), &compute));
      g_assert_cmpint (compute, ==, i);
    }
  g_assert_true (zie_noise_from_name ("cuda", &noise));
  g_assert_cmpint (noise, ==, ZIE_NOISE_CUDA);
  g_assert_false (zie_noise_from_name ("CUDA", &noise));
  g_assert_false (zie_noise_from_name (NULL, &noise));
  for (int i = 0; i < ZIE_N_SAMPLERS; i++)
    {
      g_assert_true (zie_sampler_from_name (zie_sampler_name ((ZieSampler)i), &sampler));
      g_assert_cmpint (sampler, ==, i);
      g_assert_cmpstr (zie_sampler_title (sampler), !=, zie_sampler_name (sampler));
    }
  g_assert_false (zie_sampler_from_name ("", &sampler));
  for (int i = 0; i < 2; i++)
    {
      g_assert_true (zie_decode_from_name (zie_decode_name ((ZieDecode)i), &decode));
      g_assert_cmpint (decode, ==, i);
    }
  g_assert_false (zie_decode_from_name ("tiles", &decode));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/request/init-and-copy", test_init_and_copy);
  g_test_add_func ("/request/prompt-text", test_prompt_text);
  g_test_add_func ("/request/sizes", test_sizes);
  g_test_add_func ("/request/numbers", test_numbers);
  g_test_add_func ("/request/prompt-length", test_prompt_length);
  g_test_add_func ("/request/advice", test_advice);
  g_test_add_func ("/request/advice/sampler", test_advice_sampler);
  g_test_add_func ("/request/json-round-trip", test_json_round_trip);
  g_test_add_func ("/request/parameters-round-trip", test_parameters_round_trip);
  g_test_add_func ("/request/png-round-trip", test_png_round_trip);
  g_test_add_func ("/request/png-refused", test_png_refused);
  g_test_add_func ("/request/parameters-text", test_parameters_text);
  g_test_add_func ("/request/foreign-parameters", test_foreign_parameters);
  g_test_add_func ("/request/recipes-refused", test_recipes_refused);
  g_test_add_func ("/request/partial-json", test_partial_json);
  g_test_add_func ("/request/damaged", test_damaged);
  g_test_add_func ("/request/large-parameters", test_large_parameters);
  g_test_add_func ("/request/names", test_names);
  return g_test_run ();
}
