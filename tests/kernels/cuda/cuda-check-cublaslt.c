/* SPDX-License-Identifier: Apache-2.0 */

/* Products by cuBLASLt on a GPU: checked against sums in double at places picked at random, then timed at the transformer's
 * shapes: the library's first suggestion and the choice by timing, each on a card at rest and after two seconds of work.
 *
 * usage: cuda-check-cublaslt [--quick]      --quick: small shapes, not timed
 * Ends with 0: all right, 1: something is wrong, 77: no GPU or no cuBLASLt.  Reads and writes no file of algorithms. */

#include "cuda-cublaslt.h"

#include <math.h>
#include <string.h>

#include <glib.h>

#include "cuda-check.h"

static ZieCublasLt *lt;
static cudaStream_t stream;
static void *workspace;
static size_t workspace_size;
static gboolean is_quick;
static int n_failed;

static cuda_bf16
to_bf16 (float f)
{
  guint32 u;

  memcpy (&u, &f, 4);
  return (cuda_bf16)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static double
from_bf16 (cuda_bf16 v)
{
  guint32 u = (guint32)v << 16;
  float f;

  memcpy (&f, &u, 4);
  return (double)f;
}

/* ROWS of COLS numbers in [-1, 1), LD apart, on the host (owned) and on the card. */
typedef struct
{
  cuda_bf16 *host, *device;
} Matrix;

static Matrix
matrix_new (GRand *rng, gint64 rows, gint64 ld)
{
  Matrix m = { g_new (cuda_bf16, (gsize)(rows * ld)), check_alloc ((size_t)(rows * ld) * 2) };

  for (gint64 i = 0; i < rows * ld; i++)
    m.host[i] = to_bf16 ((float)g_rand_double_range (rng, -1, 1));
  MUST (cudaMemcpy (m.device, m.host, (size_t)(rows * ld) * 2, cudaMemcpyHostToDevice));
  return m;
}

static void
matrix_clear (Matrix *m)
{
  g_free (m->host);
  cudaFree (m->device);
}

/* Row R, column C of the product in double. */
static double
expect (const CudaGemm *g, const Matrix *x, const Matrix *w, const float *bias, gint64 r, gint64 c)
{
  double sum = bias ? (double)bias[c] : 0;

  for (gint64 i = 0; i < g->k; i++)
    sum += from_bf16 (x->host[r * g->ldx + i]) * from_bf16 (w->host[c * g->ldw + i]);
  return sum;
}

static void
compare (const char *what, const CudaGemm *g, const Matrix *x, const Matrix *w, const float *bias, GRand *rng)
{
  gsize element = g->y_is_f32 ? 4 : 2, size = (gsize)(g->m * g->ldy) * element;
  g_autofree guint8 *y = g_malloc (size);
  double error = 0, norm = 0, rate;
  gboolean is_good = TRUE;

  MUST (cudaMemcpy (y, g->y, size, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 4000; i++)
    {
      gint64 r = i == 0 ? 0 : i == 1 ? g->m - 1 : g_rand_int_range (rng, 0, (gint32)g->m);
      gint64 c = i == 0 ? 0 : i == 1 ? g->n - 1 : g_rand_int_range (rng, 0, (gint32)g->n);
      const guint8 *at = y + (gsize)(r * g->ldy + c) * element;
      double e = expect (g, x, w, bias, r, c), v;
      float f;
      cuda_bf16 h;

      memcpy (&f, at, element == 4 ? 4 : 0);
      memcpy (&h, at, 2);
      v = element == 4 ? (double)f : from_bf16 (h);
      is_good = is_good && isfinite (v);
      error += (v - e) * (v - e);
      norm += e * e;
    }
  for (gint64 r = 0; r < g->m; r++)      /* between rows nothing is written */
    for (gsize b = (gsize)(r * g->ldy + g->n) * element; b < (gsize)((r + 1) * g->ldy) * element; b++)
      is_good = is_good && y[b] == 0xff;
  rate = sqrt (error / norm);
  is_good = is_good && rate < (g->y_is_f32 ? 2e-6 : 3e-3);       /* one rounding to bf16 is 1.7e-3 */
  printf ("%-52s %s  error %.2e\n", what, is_good ? "ok    " : "WRONG ", rate);
  n_failed += !is_good;
}

static double
time_product (const CudaGemm *g, double seconds_before)
{
  cudaEvent_t begin, end;
  float ms = 0, spent = 0;
  int n = 1;

  MUST (cudaEventCreate (&begin));
  MUST (cudaEventCreate (&end));
  if (seconds_before == 0)
    g_usleep (1500000);                  /* the card rests */
  do
    {
      MUST (cudaEventRecord (begin, stream));
      for (int i = 0; i < n; i++)
        if (!zie_cublaslt_gemm (lt, (CudaStream)stream, g, workspace, workspace_size))
          exit (1);
      MUST (cudaEventRecord (end, stream));
      MUST (cudaEventSynchronize (end));
      MUST (cudaEventElapsedTime (&ms, begin, end));
      spent += ms;
      if (n == 1)
        n = CLAMP ((int)(40 / MAX (ms, 0.005f)), 3, 2000);       /* 40 ms at a time; the first call loaded the kernel */
      else if (spent > 1000 * seconds_before)
        break;
    }
  while (TRUE);
  cudaEventDestroy (begin);
  cudaEventDestroy (end);
  return (double)ms / n;
}

static void
check (gint64 m, gint64 n, gint64 k, gint64 extra, gboolean is_f32, gboolean has_bias)
{
  g_autoptr(GRand) rng = g_rand_new_with_seed (3);
  gint64 ldx = k + 8 * extra, ldw = k, ldy = n + 8 * extra;
  Matrix x = matrix_new (rng, m, ldx), w = matrix_new (rng, n, ldw);
  g_autofree float *bias = g_new (float, (gsize)n);
  float *device_bias = check_alloc ((size_t)n * 4);
  CudaGemm g = { check_alloc ((size_t)(m * ldy) * (is_f32 ? 4 : 2)), is_f32, x.device, w.device, has_bias ? device_bias : NULL,
                 ldy, ldx, ldw, m, n, k };
  double flops = 2.0 * (double)m * (double)n * (double)k, cold, hot, tuned_cold, tuned_hot;
  g_autofree char *name = g_strdup_printf ("%5" G_GINT64_FORMAT " x %5" G_GINT64_FORMAT " > %5" G_GINT64_FORMAT " %s%s%s", m, k, n,
                                           is_f32 ? "f32" : "bf16", has_bias ? " bias" : "", extra ? " strided" : "");
  g_autofree char *tuned_name = g_strconcat (name, " tuned", NULL);

  for (gint64 i = 0; i < n; i++)
    bias[i] = (float)g_rand_double_range (rng, -2, 2);
  MUST (cudaMemcpy (device_bias, bias, (size_t)n * 4, cudaMemcpyHostToDevice));
  zie_cublaslt_forget (lt);
  if (!zie_cublaslt_gemm (lt, (CudaStream)stream, &g, workspace, workspace_size))
    {
      printf ("%-52s not done by the library\n", name);
      n_failed += has_bias ? 0 : 1;
    }
  else
    {
      MUST (cudaStreamSynchronize (stream));
      compare (name, &g, &x, &w, has_bias ? bias : NULL, rng);
      cold = is_quick ? 0 : time_product (&g, 0);
      hot = is_quick ? 0 : time_product (&g, 2);
      MUST (cudaMemset (g.y, 0xff, (size_t)(m * ldy) * (is_f32 ? 4 : 2)));
      if (!zie_cublaslt_tune (lt, (CudaStream)stream, &g, workspace, workspace_size))
        {
          printf ("%-52s timing failed\n", name);
          n_failed++;
        }
      if (!zie_cublaslt_gemm (lt, (CudaStream)stream, &g, workspace, workspace_size))
        n_failed++;
      MUST (cudaStreamSynchronize (stream));
      compare (tuned_name, &g, &x, &w, has_bias ? bias : NULL, rng);
      if (!is_quick)
        {
          tuned_cold = time_product (&g, 0);
          tuned_hot = time_product (&g, 2);
          printf ("    first suggestion %8.4f ms %4.0f TFLOP/s, hot %8.4f ms %4.0f; tuned %8.4f ms %4.0f, hot %8.4f ms %4.0f\n",
                  cold, flops / cold * 1e-9, hot, flops / hot * 1e-9, tuned_cold, flops / tuned_cold * 1e-9, tuned_hot,
                  flops / tuned_hot * 1e-9);
        }
    }
  fflush (stdout);
  cudaFree (g.y);
  cudaFree (device_bias);
  matrix_clear (&x);
  matrix_clear (&w);
}

int
main (int argc, char **argv)
{
  static const gint64 rows[] = { 64, 1088, 2368, 4160, 16448 };
  static const struct { gint64 k, n; } weights[] = { { 3840, 11520 }, { 3840, 3840 }, { 3840, 20480 }, { 10240, 3840 } };
  struct cudaDeviceProp properties = check_start ();
  g_autoptr(GError) error = NULL;
  int cc = properties.major * 10 + properties.minor;

  is_quick = argc > 1 && strcmp (argv[1], "--quick") == 0;
  if (!(lt = zie_cublaslt_open (cc, properties.name, &error)))
    {
      printf ("%s: skipped\n", error->message);
      return CHECK_SKIP;
    }
  printf ("%s\n", zie_cublaslt_describe (lt));
  MUST (cudaStreamCreate (&stream));
  workspace_size = zie_cublaslt_workspace_size (cc);
  workspace = check_alloc (workspace_size);

  check (77, 136, 72, 2, FALSE, FALSE);
  check (77, 136, 72, 1, TRUE, FALSE);
  check (77, 136, 72, 0, TRUE, TRUE);
  check (1024, 4096, 512, 0, TRUE, FALSE);        /* scores of the VAE's attention */
  check (1088, 3840, 3840, 0, FALSE, FALSE);
  for (guint i = 0; i < G_N_ELEMENTS (rows) && !is_quick; i++)
    for (guint j = 0; j < G_N_ELEMENTS (weights); j++)
      check (rows[i], weights[j].n, weights[j].k, 0, FALSE, FALSE);

  cudaFree (workspace);
  zie_cublaslt_free (lt);
  printf (n_failed ? "%d checks FAILED\n" : "all checks passed\n", n_failed);
  return n_failed != 0;
}
