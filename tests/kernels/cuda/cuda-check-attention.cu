/* SPDX-License-Identifier: Apache-2.0 */

/* Attention on the card: each variant against sums in double at sampled rows, then the time of the full-size model's.
 * usage: cuda-check-attention [--check | --quick | --time] [PART OF A VARIANT'S NAME]      --quick: small shapes, not timed */

#include "cuda-check.cuh"

#include "cuda-attention.h"

/* Probabilities and results are rounded to bf16 (test-cuda-attention.cpp). */
#define TOLERANCE 3e-3
enum { N_SAMPLED_ROWS = 24 };

typedef struct
{
  int64_t m, n;
  int heads, kv_heads, d, causal;
} Case;

static const Case cases[] = {
  { 1, 1, 2, 1, 128, 0 },
  { 32, 32, 30, 30, 128, 0 },
  { 64, 64, 30, 30, 128, 0 },
  { 64, 64, 32, 8, 128, 1 },
  { 300, 300, 32, 8, 128, 1 },
  { 65, 40, 3, 1, 128, 0 },
  { 200, 129, 2, 2, 128, 0 },
  { 513, 1000, 4, 2, 128, 0 },
  { 129, 161, 150, 150, 128, 0 },
  { 100, 300, 6, 2, 64, 0 },
  { 257, 257, 6, 2, 64, 1 },
  { 70, 90, 3, 3, 48, 0 },
  { 33, 33, 8, 2, 24, 1 },
  { 70, 90, 3, 1, 100, 0 },
  { 1024, 1024, 1, 1, 128, 0 },
  { 1088, 1088, 30, 30, 128, 0 },
  { 2368, 2368, 30, 30, 128, 0 },
  { 4160, 4160, 30, 30, 128, 0 },
  { 4192, 4192, 30, 30, 128, 0 },
  { 4099, 4099, 30, 30, 128, 0 },
  { 9280, 9280, 30, 30, 128, 0 },
  { 16448, 16448, 30, 30, 128, 0 },
};

static const Case timed[] = {
  { 64, 64, 32, 8, 128, 1 },
  { 300, 300, 32, 8, 128, 1 },
  { 64, 64, 30, 30, 128, 0 },
  { 1088, 1088, 30, 30, 128, 0 },
  { 2368, 2368, 30, 30, 128, 0 },
  { 4160, 4160, 30, 30, 128, 0 },
  { 9280, 9280, 30, 30, 128, 0 },
  { 16448, 16448, 30, 30, 128, 0 },
};

typedef struct
{
  CudaAttention a;
  void *memory[2];
} Data;

static void
name_case (char *name, size_t size, const Case *c, const char *variant)
{
  snprintf (name, size, "%lld x %lld, heads %d/%d of %d%s, %s", (long long)c->m, (long long)c->n, c->heads, c->kv_heads, c->d,
            c->causal ? " causal" : "", variant);
}

/* As many rows of q, k, v side by side as the larger of m and n: the networks' layout. */
static void
make (Data *data, const Case *c)
{
  int64_t q_width = (int64_t)c->heads * c->d, kv_width = (int64_t)c->kv_heads * c->d, ld = q_width + 2 * kv_width;
  int64_t rows = c->m > c->n ? c->m : c->n;
  cuda_bf16 *qkv = (cuda_bf16 *)check_new_random (rows * ld, false, 5, 2);

  data->memory[0] = qkv;
  data->memory[1] = check_new ((size_t)c->m * q_width * 2);
  data->a = { (cuda_bf16 *)data->memory[1],
              qkv,
              qkv + q_width,
              qkv + q_width + kv_width,
              q_width,
              ld,
              ld,
              ld,
              c->m,
              c->n,
              c->heads,
              c->kv_heads,
              c->d,
              c->causal,
              1 / sqrtf ((float)c->d) };
}

static void
drop (Data *data)
{
  for (void *p : data->memory)
    CHECK_CUDA (cudaFree (p));
}

/* Sum or maximum over the block's 128 threads, to all of them. */
template <bool MAX>
static __device__ double
over_block (double v)
{
  __shared__ double values[128];

  __syncthreads ();
  values[threadIdx.x] = v;
  __syncthreads ();
  v = values[0];
  for (int i = 1; i < 128; i++)
    v = MAX ? fmax (v, values[i]) : v + values[i];
  return v;
}

/* A block: one sampled row of one head.  SCORES: n values a block. */
static __global__ void
reference_kernel (double *pairs, double *scores, const CudaAttention a)
{
  int64_t row = gridDim.x > 1 ? blockIdx.x * (a.m - 1) / (gridDim.x - 1) : 0, n = a.causal ? row + 1 : a.n;
  int head = blockIdx.y, kv = head / (a.heads / a.kv_heads) * a.d;
  double *p = scores + (blockIdx.y * (int64_t)gridDim.x + blockIdx.x) * a.n, high = -INFINITY, sum = 0;

  for (int64_t j = threadIdx.x; j < n; j += 128)
    {
      double s = 0;
      for (int x = 0; x < a.d; x++)
        s += check_value (a.q, false, row * a.ldq + head * a.d + x) * check_value (a.k, false, j * a.ldk + kv + x);
      p[j] = s * a.scale;
      high = fmax (high, p[j]);
    }
  high = over_block<true> (high);
  for (int64_t j = threadIdx.x; j < n; j += 128)
    {
      p[j] = exp (p[j] - high);
      sum += p[j];
    }
  sum = over_block<false> (sum);
  __syncthreads ();
  if ((int)threadIdx.x < a.d)
    {
      double o = 0;
      for (int64_t j = 0; j < n; j++)
        o += p[j] * check_value (a.v, false, j * a.ldv + kv + threadIdx.x);
      double *pair = pairs + 2 * ((blockIdx.y * (int64_t)gridDim.x + blockIdx.x) * a.d + threadIdx.x);
      pair[0] = check_value (a.o, false, row * a.ldo + head * a.d + threadIdx.x);
      pair[1] = o / sum;
    }
}

static void
check_case (const CudaCard *card, const Case *c, const char *variant)
{
  int n_rows = c->m < N_SAMPLED_ROWS ? (int)c->m : N_SAMPLED_ROWS, n_pairs = n_rows * c->heads * c->d;
  size_t size = (size_t)c->m * c->heads * c->d * 2;
  char name[160];
  double *pairs, *scores;
  void *first;
  Data data;

  name_case (name, sizeof name, c, variant);
  make (&data, c);
  int error = zie_cuda_attention_variant (card, NULL, &data.a, variant);
  if (error == cudaErrorNotSupported)
    {
      drop (&data);
      return;
    }
  CHECK_CUDA (error);
  CHECK_CUDA (cudaDeviceSynchronize ());
  CHECK_CUDA (cudaMalloc (&pairs, sizeof (double) * 2 * n_pairs));
  CHECK_CUDA (cudaMalloc (&scores, sizeof (double) * n_rows * c->heads * c->n));
  CHECK_CUDA (cudaMalloc (&first, size));
  CHECK_CUDA (cudaMemcpy (first, data.a.o, size, cudaMemcpyDeviceToDevice));
  reference_kernel<<<dim3 (n_rows, c->heads), 128>>> (pairs, scores, data.a);
  CHECK_CUDA (cudaGetLastError ());
  bool good = check_pairs (name, pairs, n_pairs, TOLERANCE);
  CHECK_CUDA (cudaMemset (data.a.o, 0xff, size));
  CHECK_CUDA (zie_cuda_attention_variant (card, NULL, &data.a, variant));
  good &= check_scan (name, data.a.o, first, false, (int64_t)c->m * c->heads * c->d);
  if (good)
    printf ("ok %s\n", name);
  CHECK_CUDA (cudaFree (pairs));
  CHECK_CUDA (cudaFree (scores));
  CHECK_CUDA (cudaFree (first));
  drop (&data);
}

static void
time_case (const CudaCard *card, const Case *c, const char *variant)
{
  double flop = 4.0 * c->m * c->n * c->heads * c->d * (c->causal ? 0.5 : 1);
  char name[160];
  Data data;

  name_case (name, sizeof name, c, variant);
  make (&data, c);
  int error = zie_cuda_attention_variant (card, NULL, &data.a, variant);
  if (error != cudaErrorNotSupported)
    {
      CHECK_CUDA (error);
      double ms = check_time ([&] { CHECK_CUDA (zie_cuda_attention_variant (card, NULL, &data.a, variant)); }, 300);
      printf ("%-72s %9.4f ms %7.1f TFLOP/s\n", name, ms, flop / ms * 1e-9);
    }
  drop (&data);
}

template <class Fn>
static void
each_variant (const char *part, Fn fn)
{
  for (const char *const *names : { zie_cuda_attention_mma_variants, zie_cuda_attention_hopper_variants })
    for (; *names; names++)
      if (!part || strstr (*names, part))
        fn (*names);
}

int
main (int argc, char **argv)
{
  CudaCard card = check_card ();
  CheckParts parts = check_parts (argc, argv);
  const char *part = argc > 1 && argv[argc - 1][0] != '-' ? argv[argc - 1] : NULL;

  setvbuf (stdout, NULL, _IOLBF, 0);
  card.allow_hopper = card.allow_hopper && zie_cuda_hopper_is_built ();
  if (parts.check)
    for (const Case &c : cases)
      if (!parts.is_quick || (double)c.m * c.n * c.heads < 2e7)
        each_variant (part, [&] (const char *variant) { check_case (&card, &c, variant); });
  if (parts.time && !check_n_failed)
    {
      /* The card's power limit is felt after a second. */
      Data data;
      make (&data, &timed[5]);
      check_time ([&] { CHECK_CUDA (zie_cuda_attention (&card, NULL, &data.a, CUDA_KERNEL_AUTO)); }, 2000);
      drop (&data);
      for (const Case &c : timed)
        each_variant (part, [&] (const char *variant) { time_case (&card, &c, variant); });
    }
  if (check_n_failed)
    printf ("%d failed\n", check_n_failed);
  return check_n_failed != 0;
}
