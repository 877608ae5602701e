/* SPDX-License-Identifier: Apache-2.0 */

/* Products on the card: each variant against sums in double, then the time of the full-size model's.
 * usage: cuda-check-gemm [--check | --quick | --time]      --quick: small shapes, not timed */

#include "cuda-check.cuh"

enum { F32 = 1, BIAS = 2, N_SAMPLES = 4096 };

/* Roundings of the result; of nothing with an fp32 result, where the order of sums remains (tensor cores cut each partial sum). */
#define TOLERANCE 3e-3
#define F32_TOLERANCE 1e-4

typedef struct
{
  int64_t m, n, k;
  int flags;
} Case;

static const Case cases[] = {
  { 128, 256, 64, 0 },
  { 128, 256, 512, BIAS },
  { 1, 8, 8, BIAS },
  { 7, 3, 40, F32 },
  { 64, 11520, 3840, 0 },
  { 64, 2560, 9728, BIAS },
  { 300, 520, 136, BIAS },
  { 513, 1030, 1000, F32 | BIAS },
  { 1088, 3840, 3840, 0 },
  { 4160, 3840, 10240, 0 },
  { 4160, 20480, 3840, 0 },
  { 4099, 64, 3840, F32 | BIAS },
  { 16384, 512, 512, BIAS },
  { 4096, 4096, 512, F32 },
  { 47, 256, 682, 0 },             /* nothing that comes in pieces of 8, nor in pairs */
  { 130, 77, 99, F32 | BIAS },
  { 65, 33, 64, BIAS },
};

typedef struct
{
  CudaGemm g;
  size_t n;                            /* values from y's first to its last */
} Data;

static void
make (Data *d, const Case *k)
{
  CudaGemm *g = &d->g;
  bool f32 = k->flags & F32;

  memset (d, 0, sizeof *d);
  g->m = k->m;
  g->n = k->n;
  g->k = k->k;
  g->ldx = g->ldw = k->k;
  g->ldy = f32 ? k->n : (k->n + 7) / 8 * 8;
  g->y_is_f32 = f32;
  d->n = (size_t)(g->m - 1) * g->ldy + g->n;
  g->y = check_new (d->n * (f32 ? 4 : 2));
  g->x = (cuda_bf16 *)check_new_random (g->m * g->k, false, 1, 1);
  g->w = (cuda_bf16 *)check_new_random (g->n * g->k, false, 2, (float)sqrt (3 / (double)g->k));
  g->bias = k->flags & BIAS ? (float *)check_new_random (g->n, true, 3, 1) : NULL;
}

static void
drop (Data *d)
{
  void *all[] = { d->g.y, (void *)d->g.x, (void *)d->g.w, (void *)d->g.bias };

  for (void *p : all)
    CHECK_CUDA (cudaFree (p));
}

static __global__ void
sample_kernel (double *pairs, CudaGemm g)
{
  int sample = (blockIdx.x * 256 + threadIdx.x) / 32, lane = threadIdx.x % 32;
  uint64_t random = (uint64_t)sample * 0x9e3779b97f4a7c15ull;
  int64_t row = sample % 16 == 0 ? g.m - 1 - sample / 16 % g.m : (int64_t)((random >> 32) % (uint64_t)g.m);
  int64_t col = sample % 16 == 1 ? g.n - 1 - sample / 16 % g.n : (int64_t)((random & 0xffffffff) % (uint64_t)g.n);
  double sum = 0;

  for (int64_t i = lane; i < g.k; i += 32)
    sum += check_value (g.x, false, row * g.ldx + i) * check_value (g.w, false, col * g.ldw + i);
  for (int mask = 16; mask; mask >>= 1)
    sum += __shfl_xor_sync (0xffffffffu, sum, mask);
  if (lane == 0)
    {
      pairs[2 * sample] = check_value (g.y, g.y_is_f32, row * g.ldy + col);
      pairs[2 * sample + 1] = sum + (g.bias ? g.bias[col] : 0);
    }
}

static void
check_case (const CudaCard *card, const Case *k, CudaKernelChoice choice, const char *suffix)
{
  char name[160];
  Data d;
  double *pairs;
  void *first;
  size_t size;

  snprintf (name, sizeof name, "%lld x %lld x %lld%s%s%s", (long long)k->m, (long long)k->n, (long long)k->k, k->flags & F32 ? " f32" : "",
            k->flags & BIAS ? " bias" : "", suffix);
  make (&d, k);
  size = d.n * (d.g.y_is_f32 ? 4 : 2);
  CHECK_CUDA (cudaMalloc (&pairs, sizeof (double) * 2 * N_SAMPLES));
  CHECK_CUDA (cudaMalloc (&first, size));
  CHECK_CUDA (zie_cuda_gemm (card, NULL, &d.g, choice));
  CHECK_CUDA (cudaDeviceSynchronize ());
  CHECK_CUDA (cudaMemcpy (first, d.g.y, size, cudaMemcpyDeviceToDevice));
  sample_kernel<<<N_SAMPLES * 32 / 256, 256>>> (pairs, d.g);
  CHECK_CUDA (cudaGetLastError ());
  bool good = check_pairs (name, pairs, N_SAMPLES, d.g.y_is_f32 ? F32_TOLERANCE : TOLERANCE);
  CHECK_CUDA (cudaMemset (d.g.y, 0xff, size));
  CHECK_CUDA (zie_cuda_gemm (card, NULL, &d.g, choice));
  /* Columns between n and ldy stay 0xff: only whole rows can be looked at for that. */
  good &= d.g.ldy != d.g.n || check_scan (name, d.g.y, first, d.g.y_is_f32, (int64_t)d.n);
  if (good)
    printf ("ok %s\n", name);
  CHECK_CUDA (cudaFree (pairs));
  CHECK_CUDA (cudaFree (first));
  drop (&d);
}

static void
check_small (void)
{
  const int64_t m = 8, n = 15360, k = 256;
  float *y = (float *)check_new (m * n * 4), *x = (float *)check_new_random (m * k, true, 1, 1);
  void *w = check_new_random (n * k, false, 2, 0.1f);
  double ms = check_time ([&] { CHECK_CUDA (zie_cuda_linear_small (NULL, y, n, x, k, w, 0, NULL, m, n, k)); }, 20);

  if (check_scan ("few rows", y, NULL, true, m * n))
    printf ("ok few rows, fp32: 8 x 15360 x 256 in %.4f ms, %.0f GB/s of weights\n", ms, n * k * 2 / ms * 1e-6);
  CHECK_CUDA (cudaFree (y));
  CHECK_CUDA (cudaFree (x));
  CHECK_CUDA (cudaFree (w));
}

static void
time_all (const CudaCard *card)
{
  static const int64_t rows[] = { 64, 1088, 2368, 4160, 16448 };
  static const int64_t shapes[][2] = { { 11520, 3840 }, { 3840, 3840 }, { 20480, 3840 }, { 3840, 10240 } };   /* n, k */
  Case warm = { 4160, 20480, 3840, 0 };
  Data d;

  /* The card's power limit is felt after a second. */
  make (&d, &warm);
  check_time ([&] { CHECK_CUDA (zie_cuda_gemm (card, NULL, &d.g, CUDA_KERNEL_AUTO)); }, 2000);
  drop (&d);
  printf ("%-24s %10s %9s %10s %9s\n", "m x n x k", "mma ms", "TFLOP/s", "best ms", "TFLOP/s");
  for (int64_t m : rows)
    for (const auto &shape : shapes)
      {
        Case k = { m, shape[0], shape[1], 0 };
        char name[80];
        make (&d, &k);
        double flop = 2.0 * m * shape[0] * shape[1];
        double mma = check_time ([&] { CHECK_CUDA (zie_cuda_gemm (card, NULL, &d.g, CUDA_KERNEL_MMA)); }, 100);
        double best = check_time ([&] { CHECK_CUDA (zie_cuda_gemm (card, NULL, &d.g, CUDA_KERNEL_AUTO)); }, 300);
        snprintf (name, sizeof name, "%lld x %lld x %lld", (long long)m, (long long)shape[0], (long long)shape[1]);
        printf ("%-24s %10.4f %9.1f %10.4f %9.1f\n", name, mma, flop / mma * 1e-9, best, flop / best * 1e-9);
        drop (&d);
      }
}

int
main (int argc, char **argv)
{
  CudaCard card = check_card ();
  CheckParts parts = check_parts (argc, argv);

  setvbuf (stdout, NULL, _IOLBF, 0);
  if (parts.check)
    {
      for (const Case &k : cases)
        {
          if (parts.is_quick && (double)k.m * k.n * k.k > 6e8)
            continue;
          check_case (&card, &k, CUDA_KERNEL_MMA, ", mma");
          if (card.allow_hopper)
            check_case (&card, &k, CUDA_KERNEL_HOPPER, ", hopper");
        }
      check_small ();
    }
  if (parts.time && !check_n_failed)
    time_all (&card);
  if (check_n_failed)
    printf ("%d failed\n", check_n_failed);
  return check_n_failed != 0;
}
