/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-cublaslt.h"

#include <dlfcn.h>
#include <string.h>

#include <cuda_runtime_api.h>
#include <zie/zie-error.h>

#include "fake-cublaslt.h"

/* What is asked of cuBLASLt, which algorithm is taken and what is kept, with a library that stands in for it: the loader finds
 * it first (LD_LIBRARY_PATH).  Events are stamped with its clock, so no GPU and no driver are needed. */

static FakeCublasLt *fake;
static gboolean events_fail;

cudaError_t
cudaEventCreate (cudaEvent_t *event)
{
  *event = g_malloc0 (sizeof (double));
  return cudaSuccess;
}

cudaError_t
cudaEventRecord (cudaEvent_t event, cudaStream_t stream)
{
  *(double *)event = fake->now;
  return events_fail ? cudaErrorUnknown : cudaSuccess;
}

cudaError_t cudaEventSynchronize (cudaEvent_t event) { return cudaSuccess; }

cudaError_t
cudaEventElapsedTime (float *ms, cudaEvent_t begin, cudaEvent_t end)
{
  *ms = (float)(*(double *)end - *(double *)begin);
  return cudaSuccess;
}

cudaError_t
cudaEventDestroy (cudaEvent_t event)
{
  g_free (event);
  return cudaSuccess;
}

static void
set_up (void)
{
  static const double times[] = { 1.0, 0.9, 0.7, 0.8, 0.1, 0.6, 2.0, 0.75 };

  memset (fake, 0, sizeof *fake);
  events_fail = FALSE;
  fake->version = 130100;
  fake->n_candidates = 8;
  for (guint i = 0; i < 8; i++)
    fake->candidates[i].ms = times[i];
  fake->candidates[4].state = CUBLAS_STATUS_NOT_SUPPORTED;         /* the fastest are not to be had */
  fake->candidates[5].workspace_size = 64 << 20;
}

static ZieCublasLt *
open_fake (void)
{
  g_autoptr(GError) error = NULL;
  ZieCublasLt *lt = zie_cublaslt_open (90, "NVIDIA H200", &error);

  g_assert_no_error (error);
  g_assert_cmpint (fake->n_live, ==, 1);
  return lt;
}

static CudaGemm
large_product (void)
{
  static guint8 memory[64] __attribute__ ((aligned (64)));
  CudaGemm g = { memory, FALSE, (cuda_bf16 *)(gpointer)(memory + 16), (cuda_bf16 *)(gpointer)(memory + 32), NULL, 11528, 3848, 3840, 4160, 11520, 3840 };

  return g;
}

#define WORKSPACE ((size_t)32 << 20)

static void
test_describe (void)
{
  CudaGemm g = large_product ();

  set_up ();
  {
    g_autoptr(ZieCublasLt) lt = open_fake ();

    g_assert_cmpstr (zie_cublaslt_describe (lt), ==, "cuBLASLt 13.1.0, libcublasLt.so.13");
    g_assert_true (zie_cublaslt_gemm (lt, NULL, &g, NULL, WORKSPACE));
    g_assert_cmpint (fake->transa, ==, CUBLAS_OP_T);
    g_assert_cmpint (fake->transb, ==, CUBLAS_OP_N);
    g_assert_cmpint (fake->epilogue, ==, CUBLASLT_EPILOGUE_DEFAULT);
    g_assert_true (fake->a == g.w && fake->b == g.x && fake->d == g.y);
    g_assert_cmpint (fake->layouts[0].rows, ==, 3840);
    g_assert_cmpint (fake->layouts[0].cols, ==, 11520);
    g_assert_cmpint (fake->layouts[0].ld, ==, 3840);
    g_assert_cmpint (fake->layouts[1].rows, ==, 3840);
    g_assert_cmpint (fake->layouts[1].cols, ==, 4160);
    g_assert_cmpint (fake->layouts[1].ld, ==, 3848);
    g_assert_cmpint (fake->layouts[2].rows, ==, 11520);
    g_assert_cmpint (fake->layouts[2].cols, ==, 4160);
    g_assert_cmpint (fake->layouts[2].ld, ==, 11528);
    g_assert_cmpint (fake->layouts[0].type, ==, CUDA_R_16BF);
    g_assert_cmpint (fake->layouts[2].type, ==, CUDA_R_16BF);
    g_assert_cmpint (fake->reduction_mask, ==, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
    g_assert_cmpint (fake->alignment, ==, 16);
    g_assert_cmpint (fake->workspace_size, ==, WORKSPACE);

    g.y_is_f32 = TRUE;
    g.bias = (const float *)(gconstpointer)g.x;
    g_assert_true (zie_cublaslt_gemm (lt, NULL, &g, NULL, WORKSPACE));
    g_assert_cmpint (fake->layouts[2].type, ==, CUDA_R_32F);
    g_assert_cmpint (fake->epilogue, ==, CUBLASLT_EPILOGUE_BIAS);
    g_assert_true (fake->bias == g.bias);
  }
  g_assert_cmpint (fake->n_live, ==, 0);
}

/* The library is asked once for a shape. */
static void
test_steady (void)
{
  CudaGemm g = large_product ();
  int n_live;

  set_up ();
  g_autoptr(ZieCublasLt) lt = open_fake ();
  g_assert_true (zie_cublaslt_gemm (lt, NULL, &g, NULL, WORKSPACE));
  n_live = fake->n_live;
  for (int i = 0; i < 10; i++)
    g_assert_true (zie_cublaslt_gemm (lt, NULL, &g, NULL, WORKSPACE));
  g_assert_cmpint (fake->n_heuristics, ==, 1);
  g_assert_cmpint (fake->n_live, ==, n_live);
  g_assert_cmpint (fake->last_algorithm, ==, 100);
  g.m = 4128;
  g_assert_true (zie_cublaslt_gemm (lt, NULL, &g, NULL, WORKSPACE));
  g_assert_cmpint (fake->n_heuristics, ==, 2);
  for (g.m = 1; g.m < 1200; g.m++)       /* a long session with many sizes does not keep them all */
    g_assert_true (zie_cublaslt_gemm (lt, NULL, &g, NULL, WORKSPACE));
  g_assert_cmpint (fake->n_live, <, 512 * 4 + 8);
}

static void
test_supports (void)
{
  CudaGemm good = large_product (), g = good;

  g_assert_true (zie_cublaslt_supports (&g));
  g.k = 3836;
  g_assert_false (zie_cublaslt_supports (&g));
  g = good, g.n = 3;
  g_assert_false (zie_cublaslt_supports (&g));
  g = good, g.ldx = 3844;
  g_assert_false (zie_cublaslt_supports (&g));
  g = good, g.w++;
  g_assert_false (zie_cublaslt_supports (&g));
  g = good, g.m = 0;
  g_assert_false (zie_cublaslt_supports (&g));
  g = good, g.bias = (const float *)(gconstpointer)g.x;
  g_assert_false (zie_cublaslt_supports (&g));
  g.y_is_f32 = TRUE;
  g_assert_true (zie_cublaslt_supports (&g));
  g_assert_cmpuint (zie_cublaslt_workspace_size (90), ==, 32 << 20);
  g_assert_cmpuint (zie_cublaslt_workspace_size (89), ==, 8 << 20);
}

/* The fastest that works is taken, kept, and taken again by another process. */
static void
test_tune (void)
{
  CudaGemm g = large_product ();

  set_up ();
  {
    g_autoptr(ZieCublasLt) lt = open_fake ();

    g_assert_true (zie_cublaslt_tune (lt, NULL, &g, NULL, WORKSPACE));
    g_assert_cmpint (fake->n_matmuls, ==, 6 * 4);
    g_assert_true (zie_cublaslt_gemm (lt, NULL, &g, NULL, WORKSPACE));
    g_assert_cmpint (fake->last_algorithm, ==, 102);
    g_assert_true (zie_cublaslt_tune (lt, NULL, &g, NULL, WORKSPACE));
    g_assert_cmpint (fake->n_matmuls, ==, 6 * 4 + 1);
  }
  fake->candidates[2].ms = 50;           /* whatever it takes now: no choice is made again */
  fake->n_heuristics = fake->n_matmuls = 0;
  {
    g_autoptr(ZieCublasLt) again = open_fake ();

    g_assert_true (zie_cublaslt_tune (again, NULL, &g, NULL, WORKSPACE));
    g_assert_true (zie_cublaslt_gemm (again, NULL, &g, NULL, WORKSPACE));
    g_assert_cmpint (fake->n_heuristics, ==, 0);
    g_assert_cmpint (fake->n_matmuls, ==, 1);
    g_assert_cmpint (fake->last_algorithm, ==, 102);
  }

  fake->version = 130200;                /* another library: what the bytes mean is its own matter */
  {
    g_autoptr(ZieCublasLt) newer = open_fake ();

    g_assert_true (zie_cublaslt_gemm (newer, NULL, &g, NULL, WORKSPACE));
    g_assert_cmpint (fake->n_heuristics, ==, 1);
    g_assert_cmpint (fake->last_algorithm, ==, 100);
  }
  fake->version = 130100;
  fake->check_status = CUBLAS_STATUS_NOT_SUPPORTED;     /* kept, but refused */
  {
    g_autoptr(ZieCublasLt) refused = open_fake ();

    g_assert_true (zie_cublaslt_gemm (refused, NULL, &g, NULL, WORKSPACE));
    g_assert_cmpint (fake->last_algorithm, ==, 100);
  }
  fake->check_status = CUBLAS_STATUS_SUCCESS;
  {
    g_autoptr(ZieCublasLt) forgetful = open_fake ();

    zie_cublaslt_forget (forgetful);
    g_assert_true (zie_cublaslt_gemm (forgetful, NULL, &g, NULL, WORKSPACE));
    g_assert_cmpint (fake->last_algorithm, ==, 100);
  }
}

static void
test_tune_small (void)
{
  CudaGemm g = large_product ();

  set_up ();
  g.m = 8;
  g_autoptr(ZieCublasLt) lt = open_fake ();
  g_assert_true (zie_cublaslt_tune (lt, NULL, &g, NULL, WORKSPACE));
  g.m = 4160, g.k = 3836;
  g_assert_true (zie_cublaslt_tune (lt, NULL, &g, NULL, WORKSPACE));
  g_assert_cmpint (fake->n_matmuls, ==, 0);
}

/* A card that does not answer: the first suggestion stays, and timing is not tried for ever. */
static void
test_tune_fails (void)
{
  CudaGemm g = large_product ();

  set_up ();
  events_fail = TRUE;
  g_autoptr(ZieCublasLt) lt = open_fake ();
  g_assert_false (zie_cublaslt_tune (lt, NULL, &g, NULL, WORKSPACE));
  g_assert_true (zie_cublaslt_tune (lt, NULL, &g, NULL, WORKSPACE));
  g_assert_true (zie_cublaslt_gemm (lt, NULL, &g, NULL, WORKSPACE));
  g_assert_cmpint (fake->last_algorithm, ==, 100);
}

static void
test_no_algorithm (void)
{
  CudaGemm g = large_product ();

  set_up ();
  fake->n_candidates = 0;
  g_autoptr(ZieCublasLt) lt = open_fake ();
  g_assert_false (zie_cublaslt_gemm (lt, NULL, &g, NULL, WORKSPACE));
  g_assert_false (zie_cublaslt_gemm (lt, NULL, &g, NULL, WORKSPACE));
  g_assert_true (zie_cublaslt_tune (lt, NULL, &g, NULL, WORKSPACE));
  g_assert_cmpint (fake->n_heuristics, ==, 1);
  g_assert_cmpint (fake->n_matmuls, ==, 0);
}

static void
test_failing_product (void)
{
  CudaGemm g = large_product ();

  set_up ();
  fake->matmul_status = CUBLAS_STATUS_EXECUTION_FAILED;
  g_autoptr(ZieCublasLt) lt = open_fake ();
  g_assert_false (zie_cublaslt_gemm (lt, NULL, &g, NULL, WORKSPACE));
  g_assert_false (zie_cublaslt_gemm (lt, NULL, &g, NULL, WORKSPACE));
  g_assert_cmpint (fake->n_matmuls, ==, 1);
}

/* TEXT is what is wrong with the stand-in; a real library behind it may still do. */
static void
assert_refused (int cc, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieCublasLt) lt = zie_cublaslt_open (cc, "NVIDIA H200", &error);

  g_assert_cmpint (fake->n_live, ==, 0);
  if (lt != NULL)
    return;
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE);
  g_assert_nonnull (strstr (error->message, text));
  g_assert_nonnull (strstr (error->message, "libcublasLt.so.13"));
}

static void
test_refused (void)
{
  set_up ();
  fake->version = 120300;
  assert_refused (90, "is version 12.3, this card needs 12.4");
  fake->version = 120600;
  assert_refused (120, "is version 12.6, this card needs 12.8");
  set_up ();
  fake->create_status = CUBLAS_STATUS_NOT_INITIALIZED;
  assert_refused (90, "could not be started: fake trouble");
}

int
main (int argc, char **argv)
{
  void *library = dlopen ("libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fake = library ? dlsym (library, "fake_cublaslt") : NULL;
  if (fake == NULL)
    g_error ("the library that stands in for cuBLASLt is not the first that the loader finds; LD_LIBRARY_PATH must name its folder");
  g_test_add_func ("/cuda-cublaslt/describe", test_describe);
  g_test_add_func ("/cuda-cublaslt/steady", test_steady);
  g_test_add_func ("/cuda-cublaslt/supports", test_supports);
  g_test_add_func ("/cuda-cublaslt/tune", test_tune);
  g_test_add_func ("/cuda-cublaslt/tune/small", test_tune_small);
  g_test_add_func ("/cuda-cublaslt/tune/fails", test_tune_fails);
  g_test_add_func ("/cuda-cublaslt/no-algorithm", test_no_algorithm);
  g_test_add_func ("/cuda-cublaslt/failing-product", test_failing_product);
  g_test_add_func ("/cuda-cublaslt/refused", test_refused);
  return g_test_run ();
}
