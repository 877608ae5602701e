/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-golden-types"

/* Stored numbers to f32: the reference against the gguf package and torch bit for bit, and the CPU's kernels of every level
 * against the reference, bit for bit too. */

#include <math.h>
#include <string.h>

#include <json-glib/json-glib.h>

#include "cpu-features.h"
#include "cpu-kernels.h"
#include "zie-dtype.h"
#include "zie-json.h"

static ZieDtype
find_type (const char *name)
{
  for (int t = 0; t < ZIE_N_DTYPES; t++)
    if (g_str_equal (zie_dtype_name ((ZieDtype)t), name))
      return (ZieDtype)t;
  g_error ("there is no type %s", name);
}

/* The bytes that make-types.py made. */
static guint8 *
make_bytes (JsonObject *row, guint32 seed, gsize *n)
{
  gsize size, n_blocks;
  JsonArray *halves;
  guint8 *data;

  if (!json_object_has_member (row, "block"))
    {
      data = g_malloc (*n = 256);
      for (guint i = 0; i < 256; i++)
        data[i] = (guint8)i;
      return data;
    }

  size = (gsize)json_object_get_int_member (row, "size");
  n_blocks = (gsize)json_object_get_int_member (row, "n_blocks");
  halves = json_object_get_array_member (row, "halves");
  data = g_malloc (size * n_blocks);
  for (gsize i = 0; i < size * n_blocks; i++)
    {
      seed ^= seed << 13;
      seed ^= seed >> 17;
      seed ^= seed << 5;
      data[i] = (guint8)seed;
    }
  for (gsize b = 0; b < n_blocks; b++)
    for (guint h = 0; h < json_array_get_length (halves); h++)
      data[b * size + (gsize)json_array_get_int_element (halves, h) + 1] &= 0xfb;
  *n = n_blocks * (gsize)json_object_get_int_member (row, "block");
  return data;
}

static void
tidy_nan (float *values, gsize n)
{
  static const guint32 quiet = 0x7fc00000;

  for (gsize i = 0; i < n; i++)
    if (isnan (values[i]))
      memcpy (&values[i], &quiet, 4);
}

static void
check_digest (const char *name, const float *values, gsize n, const char *wanted)
{
  g_autofree char *digest = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guchar *)values, n * sizeof (float));

  if (!g_str_equal (digest, wanted))
    g_error ("%s: the first values are %g %g %g %g, and all of them have digest %s, the reference's %s", name, (double)values[0],
             (double)values[1], (double)values[2], (double)values[3], digest, wanted);
}

/* Whole, and packed with scales in stretches, from an odd address. */
static void
check_level (const ZieCpuKernels *kernels, ZieDtype type, const guint8 *data, const float *wanted, gint64 n)
{
  gint64 k = zie_dtype_block (type) == 1 ? 64 : 2 * zie_dtype_block (type), n_rows = MIN (n / k, kernels->nr - 1);
  gsize row_size = zie_dtype_row_size (type, k), size = zie_dtype_row_size (type, n);
  g_autofree guint8 *odd = g_malloc (size + 1);
  g_autofree float *got = g_new (float, (gsize)n), *packed = g_new (float, (gsize)(k * kernels->nr));
  float scales[64];
  ZieCpuRows rows = { .data = odd + 1, .dtype = type, .row_size = row_size, .n_rows = n_rows, .scales = (const guint8 *)scales,
                      .scale_step = 4 };

  memcpy (odd + 1, data, size);
  kernels->expand (type, got, odd + 1, n);
  tidy_nan (got, (gsize)n);
  if (memcmp (got, wanted, (gsize)n * sizeof (float)) != 0)
    g_error ("%s: %s is expanded to other bits than the reference's", kernels->name, zie_dtype_name (type));

  for (int i = 0; i < 64; i++)
    scales[i] = 1.0f + (float)i / 7;
  for (int scaled = 0; scaled < 2; scaled++)
    for (int round = 0; round < 2; round++)
      for (gint64 k0 = 0; k0 < k; k0 += k / 2)
        {
          rows.scales = scaled ? (const guint8 *)scales : NULL;
          kernels->pack (packed, &rows, k0, k / 2, 1, round);
          for (gint64 j = 0; j < kernels->nr; j++)
            for (gint64 l = 0; l < k / 2; l++)
              {
                float w = j < n_rows ? wanted[j * k + k0 + l] * (scaled ? scales[j] : 1.0f) : 0.0f, v = packed[l * kernels->nr + j];

                if (round)
                  w = zie_bf16_to_f32 (zie_f32_to_bf16 (w));
                if (!(v == w) && !(isnan (v) && isnan (w)))
                  g_error ("%s: %s, row %d, element %d is packed as %a, not %a", kernels->name, zie_dtype_name (type), (int)j,
                           (int)(k0 + l), (double)v, (double)w);
              }
        }
}

static void
test_types (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "types.json", NULL);
  g_autoptr(GError) error = NULL;
  JsonObject *record = zie_json_load_object (path, &error);
  guint32 caps = zie_cpu_get_caps (), seen = 0;
  JsonArray *types;

  g_assert_no_error (error);
  types = json_object_get_array_member (record, "types");
  for (guint t = 0; t < json_array_get_length (types); t++)
    {
      JsonObject *row = json_array_get_object_element (types, t);
      const char *name = json_object_get_string_member (row, "type");
      ZieDtype type = find_type (name);
      gsize n = 0;
      g_autofree guint8 *data = make_bytes (row, (guint32)json_object_get_int_member (record, "seed"), &n);
      g_autofree float *values = g_new (float, n);

      seen |= 1u << type;
      g_assert_true (zie_dtype_is_weight (type));
      zie_dtype_to_f32 (type, values, data, (gint64)n);
      tidy_nan (values, n);
      check_digest (name, values, n, json_object_get_string_member (row, "sha256"));
      check_level (&zie_cpu_kernels_plain, type, data, values, (gint64)n);
#ifdef ZIE_CPU_X86
      if (caps & ZIE_CPU_AVX2)
        check_level (&zie_cpu_kernels_avx2, type, data, values, (gint64)n);
      if (caps & ZIE_CPU_AVX512)
        check_level (&zie_cpu_kernels_avx512, type, data, values, (gint64)n);
#endif
    }

  for (int t = 0; t < ZIE_N_DTYPES; t++)      /* F32, F16 and BF16 have tests of their own */
    if (zie_dtype_is_weight ((ZieDtype)t) && t != ZIE_DTYPE_F32 && t != ZIE_DTYPE_F16 && t != ZIE_DTYPE_BF16)
      g_assert_true (seen & (1u << t));
  json_object_unref (record);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/golden/types", test_types);
  return g_test_run ();
}
