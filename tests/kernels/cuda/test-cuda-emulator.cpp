/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-emulator.h"

#include <glib.h>

#include "cuda-intrinsics.h"

/* The emulator itself: it computes what the hardware would, and the mistakes that it is for change the result. */

enum { THREADS = 96, N = 1000 };

/* Sum of x[n] by a block, through named shared memory; then one value a block. */
static __global__ void
sum_kernel (float *y, const float *x, int n)
{
  __shared__ float part[32];
  float sum = 0;

  for (int i = threadIdx.x; i < n; i += blockDim.x)
    sum += x[blockIdx.x * n + i];
  sum = warp_sum (sum);
  if (threadIdx.x % 32 == 0)
    part[threadIdx.x / 32] = sum;
  block_barrier ();
  if (threadIdx.x < 32)
    {
      sum = warp_sum (threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0.0f);
      if (threadIdx.x == 0)
        y[blockIdx.x] = sum;
    }
}

static void
test_block_sum (void)
{
  emu_each_order ([] {
    std::vector<float> x (3 * N), y (3, NAN);

    for (int i = 0; i < 3 * N; i++)
      x[i] = (float)(i % 17 - i / N);
    g_assert_cmpint (
        launch_kernel (sum_kernel, dim3 (3), THREADS, 0, NULL, y.data (), (const float *)x.data (), (int)N), ==, 0);
    for (int b = 0; b < 3; b++)
      {
        float expected = 0;
        for (int i = 0; i < N; i++)
          expected += x[b * N + i];
        g_assert_cmpfloat (y[b], ==, expected);
      }
  });
}

/* c[16][8] = a[16][16] b[8][16]^T, or b[16][8] where TRANS; WAIT: as it should be, or one group too weak. */
template <bool TRANS, int PENDING>
static __global__ void
product_kernel (float *c, const cuda_bf16 *a, const cuda_bf16 *b)
{
  DYNAMIC_SHARED (smem);
  uint32_t sa = smem_addr (smem), sb = sa + 16 * 32, fa[4], fb[4];
  int lane = threadIdx.x;
  float acc[4] = { 0, 0, 0, 0 };

  cp_async16 (sa + lane * 16, a + lane * 8, true);
  cp_async_commit ();
  cp_async16 (sb + lane * 16, b + lane * 8, lane < 16);
  cp_async_commit ();
  cp_async_wait<PENDING> ();
  __syncwarp ();
  ldmatrix_x4 (fa, sa + (lane & 15) * 32 + (lane >> 4) * 16);
  if (TRANS)
    ldmatrix_x4_trans (fb, sb + lane * 16);
  else
    ldmatrix_x4 (fb, sb + (lane & 7) * 32 + (lane >> 3 & 1) * 16);
  mma_bf16 (acc, fa, fb[0], fb[1]);
  for (int i = 0; i < 4; i++)
    c[(lane / 4 + (i >> 1) * 8) * 8 + lane % 4 * 2 + (i & 1)] = acc[i];
}

template <bool TRANS, int PENDING>
static bool
product_is_right (void)
{
  std::vector<cuda_bf16> a (256), b (256);
  std::vector<float> c (128, NAN);

  for (int i = 0; i < 256; i++)
    {
      a[i] = float_to_bf16 ((float)(i * 7 % 13 - 6));
      b[i] = float_to_bf16 ((float)(i * 5 % 11 - 5));
    }
  g_assert_cmpint (launch_kernel (product_kernel<TRANS, PENDING>, dim3 (1), 32, 1024, NULL, c.data (),
                                  (const cuda_bf16 *)a.data (), (const cuda_bf16 *)b.data ()),
                   ==, 0);
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 8; j++)
      {
        float sum = 0;
        for (int k = 0; k < 16; k++)
          sum += bf16_to_float (a[i * 16 + k]) * bf16_to_float (b[TRANS ? k * 8 + j : j * 16 + k]);
        if (c[i * 8 + j] != sum)
          return false;
      }
  return true;
}

static void
test_product (void)
{
  emu_each_order ([] {
    g_assert_true ((product_is_right<false, 0> ()));
    g_assert_true ((product_is_right<true, 0> ()));
  });
}

static void
test_weak_wait (void)
{
  emu::machine.order = EMU_LAZY;
  g_assert_false ((product_is_right<false, 1> ()));
}

/* Threads hand a value round the block through shared memory, with a barrier or without. */
template <bool BARRIER>
static __global__ void
rotate_kernel (int *y)
{
  DYNAMIC_SHARED (smem);
  int *slots = (int *)smem;

  slots[threadIdx.x] = (int)threadIdx.x;
  if (BARRIER)
    named_barrier (1, THREADS);
  y[threadIdx.x] = slots[(threadIdx.x + 1) % THREADS];
}

static bool
rotation_is_right (void (*kernel) (int *))
{
  std::vector<int> y (THREADS, -1);

  g_assert_cmpint (launch_kernel (kernel, dim3 (1), THREADS, THREADS * 4, NULL, y.data ()), ==, 0);
  for (int i = 0; i < THREADS; i++)
    if (y[i] != (i + 1) % THREADS)
      return false;
  return true;
}

static void
test_barrier (void)
{
  int n_wrong = 0;

  emu_each_order ([] { g_assert_true (rotation_is_right (rotate_kernel<true>)); });
  emu_each_order ([&] { n_wrong += !rotation_is_right (rotate_kernel<false>); });
  g_assert_cmpint (n_wrong, >, 0);
}

static __global__ void
outside_kernel (int *y)
{
  uint32_t r[4];

  DYNAMIC_SHARED (smem);
  ldmatrix_x4 (r, smem_addr (smem) + threadIdx.x * 16 + 16);
  y[0] = (int)r[0];
}

static __global__ void
stuck_kernel (int *y)
{
  if (threadIdx.x < 32)
    named_barrier (2, 64);
  y[0] = 0;
}

/* Mistakes that end the program: each in a child. */
static void
test_dies (void)
{
  if (g_test_subprocess ())
    {
      int y[1];
      launch_kernel (outside_kernel, dim3 (1), 32, 512, NULL, &y[0]);
      return;
    }
  g_test_trap_subprocess (NULL, 0, (GTestSubprocessFlags)0);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*offset 512 is not in the 512 bytes of shared memory*");
}

static void
test_waits_for_ever (void)
{
  if (g_test_subprocess ())
    {
      int y[1];
      launch_kernel (stuck_kernel, dim3 (1), 64, 0, NULL, &y[0]);
      return;
    }
  g_test_trap_subprocess (NULL, 0, (GTestSubprocessFlags)0);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*waits for ever*");
}

static void
test_conversions (void)
{
  g_assert_cmphex (pack_bf16x2 (1.0f, -2.0f), ==, 0xc0003f80);
  g_assert_cmphex (float_to_bf16 (1 + 1 / 256.0f), ==, 0x3f80);        /* a tie goes to even */
  g_assert_cmphex (float_to_bf16 (1 + 3 / 256.0f), ==, 0x3f82);
  g_assert_cmpfloat (f16_to_float (0x3555), ==, 0.333251953125f);
  g_assert_cmpfloat (f16_to_float (0x8001), ==, -0x1p-24f);
  g_assert_cmpfloat (ex2 (-INFINITY), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cuda-emulator/block-sum", test_block_sum);
  g_test_add_func ("/cuda-emulator/product", test_product);
  g_test_add_func ("/cuda-emulator/weak-wait", test_weak_wait);
  g_test_add_func ("/cuda-emulator/barrier", test_barrier);
  g_test_add_func ("/cuda-emulator/outside", test_dies);
  g_test_add_func ("/cuda-emulator/waits-for-ever", test_waits_for_ever);
  g_test_add_func ("/cuda-emulator/conversions", test_conversions);
  return g_test_run ();
}
