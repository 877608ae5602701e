/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-emulator.h"

#include "weights.cu"

#include "test-cuda-elementwise.h"

extern "C" {
#include "zie-dtype.h"
}

/* Quantised weights to bf16: the very bits of the reference dequantisation, base/zie-dequant.h, rounded. */

static const struct
{
  CudaStored type;
  ZieDtype dtype;
} types[] = {
  { CUDA_STORED_Q4_0, ZIE_DTYPE_Q4_0 }, { CUDA_STORED_Q4_1, ZIE_DTYPE_Q4_1 }, { CUDA_STORED_Q5_0, ZIE_DTYPE_Q5_0 },
  { CUDA_STORED_Q5_1, ZIE_DTYPE_Q5_1 }, { CUDA_STORED_Q8_0, ZIE_DTYPE_Q8_0 }, { CUDA_STORED_Q2_K, ZIE_DTYPE_Q2_K },
  { CUDA_STORED_Q3_K, ZIE_DTYPE_Q3_K }, { CUDA_STORED_Q4_K, ZIE_DTYPE_Q4_K }, { CUDA_STORED_Q5_K, ZIE_DTYPE_Q5_K },
  { CUDA_STORED_Q6_K, ZIE_DTYPE_Q6_K }, { CUDA_STORED_F8_E4M3, ZIE_DTYPE_F8_E4M3 }, { CUDA_STORED_F8_E5M2, ZIE_DTYPE_F8_E5M2 },
};
static_assert (G_N_ELEMENTS (types) == CUDA_N_STORED, "every type has a row");

/* N_SCALES: 0, 1 or ROWS. */
static void
check_expand (CudaStored type, ZieDtype dtype, int64_t rows, int64_t cols, int64_t n_scales)
{
  gsize size = zie_dtype_row_size (dtype, rows * cols);
  g_autofree guint8 *stored = (guint8 *)g_malloc (size + 15);      /* which may be read */
  std::vector<float> scales = random_vector (n_scales, 1, 0.5), expected (rows * cols);
  Matrix<cuda_bf16> y (rows, cols);
  CudaExpand a = { y.data (), stored, n_scales ? scales.data () : NULL, type, n_scales, rows, cols };

  g_assert_cmpuint ((gsize)stored % 16, ==, 0);
  for (gsize i = 0; i < size + 15; i++)
    stored[i] = (guint8)g_rand_int (rng);
  g_assert_cmpint (zie_cuda_expand (NULL, &a), ==, 0);

  zie_dtype_to_f32 (dtype, expected.data (), stored, rows * cols);
  for (int64_t i = 0; i < rows * cols; i++)
    {
      float e = n_scales ? expected[i] * scales[n_scales > 1 ? i / cols : 0] : expected[i];

      if (e != e)                    /* NaN has several patterns */
        g_assert_true (to_double (y.data ()[i]) != to_double (y.data ()[i]));
      else
        g_assert_cmphex (y.data ()[i], ==, zie_f32_to_bf16 (e));
    }
  y.check_guards ();
}

static void
test_types (void)
{
  for (const auto &t : types)
    {
      const int64_t block = MAX (zie_dtype_block (t.dtype), 8);

      check_expand (t.type, t.dtype, 2, block, 0);
      check_expand (t.type, t.dtype, 5, 2304, 0);        /* a stretch and a part of one */
      check_expand (t.type, t.dtype, 2, 8192, 0);        /* whole stretches */
      check_expand (t.type, t.dtype, 67, block * 3, 0);
    }
}

static void
test_scales (void)
{
  for (const auto &t : types)
    if (zie_dtype_block (t.dtype) == 1)
      {
        check_expand (t.type, t.dtype, 5, 2312, 1);
        check_expand (t.type, t.dtype, 5, 2312, 5);
        check_expand (t.type, t.dtype, 1200, 8, 1200);
      }
}

/* Every byte, and every scale that a half can say. */
static void
test_all_values (void)
{
  std::vector<guint8> stored (65536 * 34);
  std::vector<float> expected (65536 * 32);
  Matrix<cuda_bf16> y (2048, 1024);
  CudaExpand a = { y.data (), stored.data (), NULL, CUDA_STORED_Q8_0, 0, 2048, 1024 };

  for (int i = 0; i < 65536; i++)
    {
      stored[i * 34] = (guint8)i;
      stored[i * 34 + 1] = (guint8)(i >> 8);
      for (int j = 0; j < 32; j++)
        stored[i * 34 + 2 + j] = (guint8)(i * 32 + j);
    }
  g_assert_cmpint (zie_cuda_expand (NULL, &a), ==, 0);
  zie_dtype_to_f32 (ZIE_DTYPE_Q8_0, expected.data (), stored.data (), (gint64)expected.size ());
  for (gsize i = 0; i < expected.size (); i++)
    if (expected[i] == expected[i])
      g_assert_cmphex (y.data ()[i], ==, zie_f32_to_bf16 (expected[i]));
  for (int type = CUDA_STORED_F8_E4M3; type <= CUDA_STORED_F8_E5M2; type++)
    {
      Matrix<cuda_bf16> z (2, 128);
      CudaExpand b = { z.data (), stored.data (), NULL, (CudaStored)type, 0, 2, 128 };

      for (int i = 0; i < 256; i++)
        stored[i] = (guint8)i;
      g_assert_cmpint (zie_cuda_expand (NULL, &b), ==, 0);
      zie_dtype_to_f32 (types[type].dtype, expected.data (), stored.data (), 256);
      for (int i = 0; i < 256; i++)
        g_assert_true (expected[i] != expected[i] ? to_double (z.data ()[i]) != to_double (z.data ()[i])
                                                  : z.data ()[i] == zie_f32_to_bf16 (expected[i]));
    }
}

static void
test_refused (void)
{
  Matrix<cuda_bf16> y (2, 64);
  guint64 stored[64] = { 0 };
  CudaExpand nothing = { NULL, NULL, NULL, CUDA_STORED_Q8_0, 0, 0, 32 };
  CudaExpand odd = { y.data () + 1, stored, NULL, CUDA_STORED_Q8_0, 0, 2, 32 };
  CudaExpand cut = { y.data (), stored, NULL, CUDA_STORED_Q8_0, 0, 2, 40 };
  CudaExpand narrow = { y.data (), stored, NULL, CUDA_STORED_F8_E4M3, 0, 2, 12 };
  CudaExpand unknown = { y.data (), stored, NULL, CUDA_N_STORED, 0, 2, 32 };

  g_assert_cmpint (zie_cuda_expand (NULL, &nothing), ==, 0);
  g_assert_cmpint (zie_cuda_expand (NULL, &odd), !=, 0);
  g_assert_cmpint (zie_cuda_expand (NULL, &cut), !=, 0);
  g_assert_cmpint (zie_cuda_expand (NULL, &narrow), !=, 0);
  g_assert_cmpint (zie_cuda_expand (NULL, &unknown), !=, 0);
  for (int i = 0; i < 128; i++)
    g_assert_cmphex (y.data ()[i], ==, 0xffff);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  rng = g_rand_new_with_seed (6);
  g_test_add_func ("/cuda-expand/types", test_types);
  g_test_add_func ("/cuda-expand/scales", test_scales);
  g_test_add_func ("/cuda-expand/all-values", test_all_values);
  g_test_add_func ("/cuda-expand/refused", test_refused);
  return run_tests ();
}
