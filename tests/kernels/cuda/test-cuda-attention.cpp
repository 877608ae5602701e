/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-emulator.h"

#include <glib.h>

#include "attention-pieces.cuh"
#include "attention.cu"

/* The portable kernel, through its launcher, against fp64.  Relative L2 error allowed: 3e-3.  Probabilities and
 * the output are rounded to bf16, each with a relative error of at most 2^-9 = 2e-3, in the mean 1.1e-3 each; sums
 * are fp32. */
#define TOLERANCE 3e-3

/* Not on the CPU. */
extern "C" int zie_cuda_attention_hopper_serves (const CudaCard *, const CudaAttention *) { return 0; }
extern "C" int zie_cuda_attention_hopper (const CudaCard *, CudaStream, const CudaAttention *, const char *) { return cudaErrorNotSupported; }

typedef struct
{
  const char *variant;
  int m, n, heads, kv_heads, d, causal;
  float size;                  /* of the inputs */
} Case;

static const Case cases[] = {
  { "mma-128x64-2", 130, 200, 1, 1, 128, 0, 2 },
  { "mma-128x64-1", 130, 200, 1, 1, 128, 0, 2 },
  { "mma-128x32-1", 130, 100, 1, 1, 128, 0, 2 },
  { "mma-64x32-2", 70, 100, 1, 1, 128, 0, 2 },
  { "mma-128x64-2", 131, 131, 2, 1, 128, 1, 2 },
  { "mma-128x64-1", 131, 131, 2, 1, 128, 1, 2 },
  { "mma-128x32-1", 131, 131, 2, 1, 64, 1, 2 },
  { "mma-64x32-2", 131, 131, 4, 2, 64, 1, 2 },
  { "mma", 1, 1, 2, 1, 64, 0, 2 },
  { "mma", 1, 1, 1, 1, 128, 1, 2 },
  { "mma", 65, 37, 2, 2, 32, 0, 2 },
  { "mma", 64, 96, 3, 1, 48, 0, 2 },
  { "mma", 33, 33, 2, 1, 16, 1, 2 },
  { "mma", 40, 65, 1, 1, 96, 0, 2 },
  { "mma", 32, 300, 1, 1, 112, 0, 2 },
  { "mma", 64, 128, 1, 1, 128, 0, 40 },    /* scores of thousands: the maximum rises by more than the kernel lets pass */
  { "mma-128x64-2", 32, 320, 1, 1, 64, 0, 12 },
  { "mma", 64, 64, 1, 1, 64, 0, 0 },
  { "mma", 21, 21, 4, 2, 24, 1, 2 },       /* nothing that comes in pieces of 16 */
  { "mma", 9, 30, 2, 1, 100, 0, 40 },
};

/* Inputs are uniform in +-size, rounded to bf16; a column of q, k, v has strides of its own. */
static void
fill (std::vector<cuda_bf16> &x, GRand *random, double size)
{
  for (cuda_bf16 &v : x)
    v = float_to_bf16 ((float)g_rand_double_range (random, -size, size + 1e-30));
}

static double
relative_error (const Case *c, const CudaAttention *a)
{
  double error = 0, norm = 0;
  std::vector<double> p (c->n), row (c->d);

  for (int h = 0; h < c->heads; h++)
    for (int i = 0; i < c->m; i++)
      {
        int kv = h / (c->heads / c->kv_heads) * c->d, n = c->causal ? i + 1 : c->n;
        double high = -INFINITY, sum = 0;

        for (int j = 0; j < n; j++)
          {
            p[j] = 0;
            for (int x = 0; x < c->d; x++)
              p[j] +=
                  (double)bf16_to_float (a->q[i * a->ldq + h * c->d + x]) * bf16_to_float (a->k[j * a->ldk + kv + x]);
            p[j] *= a->scale;
            high = std::max (high, p[j]);
          }
        std::fill (row.begin (), row.end (), 0);
        for (int j = 0; j < n; j++)
          {
            p[j] = exp (p[j] - high);
            sum += p[j];
            for (int x = 0; x < c->d; x++)
              row[x] += p[j] * bf16_to_float (a->v[j * a->ldv + kv + x]);
          }
        for (int x = 0; x < c->d; x++)
          {
            double expected = row[x] / sum, got = bf16_to_float (a->o[i * a->ldo + h * c->d + x]);
            error += (got - expected) * (got - expected);
            norm += expected * expected;
          }
      }
  return norm > 0 ? sqrt (error / norm) : sqrt (error);
}

static const CudaCard card = { 80, 4, 163 * 1024, 40 << 20, NULL, 0 };

static void
test_case (gconstpointer data)
{
  const Case *c = (const Case *)data;

  emu_each_order ([=] {
    GRand *random = g_rand_new_with_seed (c->m * 1000 + c->n);
    int64_t width = c->heads * c->d, kv_width = c->kv_heads * c->d;
    CudaAttention a = {};
    a.ldo = width + 8, a.ldq = width + 16, a.ldk = a.ldv = 2 * kv_width;
    a.m = c->m, a.n = c->n, a.heads = c->heads, a.kv_heads = c->kv_heads, a.d = c->d, a.causal = c->causal;
    a.scale = 1 / sqrtf ((float)c->d);
    std::vector<cuda_bf16> q (c->m * a.ldq), kv (c->n * 2 * kv_width), o (c->m * a.ldo, 0xffff);

    fill (q, random, c->size);
    fill (kv, random, c->size);
    g_rand_free (random);
    a.q = q.data (), a.k = kv.data (), a.v = kv.data () + kv_width, a.o = o.data ();
    g_assert_cmpint (zie_cuda_attention_variant (&card, NULL, &a, c->variant), ==, 0);

    double error = relative_error (c, &a);
    g_test_message ("relative error %.2e", error);
    g_assert_true (error < TOLERANCE);       /* and no NaN */
    for (int i = 0; i < c->m; i++)
      for (int64_t x = width; x < a.ldo; x++)
        g_assert_cmphex (o[i * a.ldo + x], ==, 0xffff);
  });
}

static void
test_refusals (void)
{
  cuda_bf16 x[128] = { 0 };
  CudaAttention a = { x, x, x, x, 128, 128, 128, 128, 1, 1, 1, 1, 128, 0, 1 };

#define CHANGED(FIELD, VALUE, RESULT) \
  do \
    { \
      CudaAttention b = a; \
      b.FIELD = VALUE; \
      g_assert_cmpint (zie_cuda_attention (&card, NULL, &b, CUDA_KERNEL_MMA), ==, RESULT); \
    } \
  while (0)

  CHANGED (d, 144, cudaErrorInvalidValue);
  CHANGED (n, 0, cudaErrorInvalidValue);
  CHANGED (kv_heads, 2, cudaErrorInvalidValue);
  CHANGED (scale, 0, cudaErrorInvalidValue);
  a.n = 3;
  CHANGED (causal, 1, cudaErrorInvalidValue);
  a.n = 1;
  CHANGED (m, 0, 0);
  g_assert_cmpint (zie_cuda_attention (&card, NULL, &a, CUDA_KERNEL_HOPPER), ==, cudaErrorNotSupported);
  g_assert_cmpint (zie_cuda_attention_variant (&card, NULL, &a, "none"), ==, cudaErrorInvalidValue);
}

/* Every row of every head belongs to exactly one piece, and no worker has more to do than an even division of
 * halves asks. */
static void
test_pieces (void)
{
  static const int heads[] = { 1, 3, 30, 300 }, workers[] = { 1, 7, 66, 132 }, sizes[] = { 128, 256 };
  static const int rows[] = { 1, 63, 64, 65, 128, 129, 200, 256, 257, 1088, 2368, 4160, 9280 };

  for (int h : heads)
    for (int w : workers)
      for (int size : sizes)
        for (int m : rows)
          {
            AttentionPieces p = attention_pieces (h, m, size, w);
            AttentionPiece piece;
            std::vector<int> covered ((size_t)h * (m + size), 0);
            int n_halves = h * (2 * p.n_whole + p.n_half);

            for (int i = 0; i < p.n_workers; i++)
              {
                int halves = 0;
                for (int index = 0; attention_piece (&piece, p, i, index); index++)
                  {
                    int n = piece.is_half ? size / 2 : size;
                    g_assert_true (piece.head >= 0 && piece.head < h && piece.row0 >= 0 && piece.row0 < m);
                    for (int r = piece.row0; r < piece.row0 + n; r++)
                      covered[(size_t)piece.head * (m + size) + r]++;
                    halves += piece.is_half ? 1 : 2;
                  }
                g_assert_cmpint (halves, <=,
                                 (n_halves + p.n_workers - 1) / p.n_workers + (p.n_half && p.n_whole));
              }
            for (int i = 0; i < h; i++)
              for (int r = 0; r < m; r++)
                g_assert_cmpint (covered[(size_t)i * (m + size) + r], ==, 1);
          }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (const Case &c : cases)
    {
      g_autofree char *path = g_strdup_printf ("/cuda-attention/%s/%dx%d-heads-%d-%d-of-%d%s-size-%g", c.variant, c.m, c.n, c.heads,
                                               c.kv_heads, c.d, c.causal ? "-causal" : "", c.size);
      g_test_add_data_func (path, &c, test_case);
    }
  g_test_add_func ("/cuda-attention/pieces", test_pieces);
  g_test_add_func ("/cuda-attention/refusals", test_refusals);
  return g_test_run ();
}
