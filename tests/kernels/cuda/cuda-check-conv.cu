/* SPDX-License-Identifier: Apache-2.0 */

/* Convolutions on the card: each variant against sums in double, then the time of each layer of the full-size decoder.
 * usage: cuda-check-conv [--check | --quick | --time] [SIDE]: the picture's side in pixels for the times, 1024 where left out;
 * --quick: small shapes, not timed */

#include "cuda-check.cuh"

enum { NORM = 1, UPSAMPLE = 2, RESIDUAL = 4, RESIDUAL_IS_Y = 8, STRIDE_2 = 16, F32 = 32, N_SAMPLES = 4096 };

/* As in test-cuda-conv.cpp: the roundings of the result, the activated input, the summed weights. */
#define TOLERANCE 3e-3

typedef struct
{
  int in, out, ksize, h, w, flags;
  int row0, rows;                      /* the band of output rows; rows 0 = all */
} Case;

static const Case cases[] = {
  { 128, 128, 3, 32, 32, 0 },
  { 128, 128, 3, 32, 48, NORM },
  { 128, 128, 3, 32, 32, UPSAMPLE },
  { 64, 128, 3, 16, 16, 0 },
  { 128, 128, 3, 32, 32, NORM | RESIDUAL },
  { 128, 128, 3, 32, 32, NORM | RESIDUAL | RESIDUAL_IS_Y },
  { 16, 512, 3, 24, 40, 0 },
  { 512, 512, 3, 24, 40, NORM | RESIDUAL | RESIDUAL_IS_Y },
  { 512, 512, 3, 24, 40, UPSAMPLE },
  { 512, 256, 3, 45, 80, NORM },
  { 256, 256, 3, 90, 160, NORM | RESIDUAL },
  { 256, 256, 3, 45, 80, UPSAMPLE },
  { 96, 96, 3, 37, 53, NORM | RESIDUAL },
  { 96, 96, 3, 37, 53, UPSAMPLE },
  { 64, 72, 3, 7, 5, NORM },
  { 128, 128, 3, 100, 90, NORM, 33, 20 },
  { 128, 128, 3, 50, 45, UPSAMPLE, 33, 20 },
  { 256, 136, 3, 1, 1, NORM },
  { 192, 128, 3, 640, 512, NORM | RESIDUAL },
  { 512, 256, 1, 64, 64, 0 },
  { 128, 3, 3, 90, 70, NORM | F32 },
  { 128, 3, 3, 90, 70, NORM | F32, 64, 26 },
  { 3, 128, 3, 64, 64, 0 },
  { 128, 128, 3, 64, 64, STRIDE_2 },
  { 512, 32, 3, 20, 20, NORM | F32 },
  { 13, 17, 3, 11, 19, NORM | RESIDUAL, 3, 5 },
};

typedef struct
{
  CudaConv c;
  void *weight, *residual;
  size_t n;                            /* values of y */
} Data;

static void
make (Data *d, const Case *k)
{
  int enlarge = k->flags & UPSAMPLE ? 2 : 1, stride = k->flags & STRIDE_2 ? 2 : 1;
  int64_t taps = (int64_t)k->in * k->ksize * k->ksize;
  bool f32 = k->flags & F32;
  CudaConv *c = &d->c;

  memset (d, 0, sizeof *d);
  c->h = k->h;
  c->w = k->w;
  c->in = k->in;
  c->out = k->out;
  c->ksize = k->ksize;
  c->stride = stride;
  c->upsample = enlarge == 2;
  c->y_is_f32 = f32;
  c->row0 = k->row0;
  c->rows = k->rows ? k->rows : k->h * enlarge / stride;
  d->n = (size_t)c->rows * (k->w * enlarge / stride) * k->out;
  c->y = check_new (d->n * (f32 ? 4 : 2));
  c->x = (cuda_bf16 *)check_new_random ((int64_t)k->h * k->w * k->in, false, 1, 1);
  d->weight = check_new_random (taps * k->out, false, 2, (float)sqrt (3 / (double)taps));
  c->weight = check_new (zie_cuda_conv_packed_size (k->in, k->out, k->ksize, c->upsample));
  c->bias = (float *)check_new_random (k->out, true, 3, 0.2f);
  c->scratch = check_new (zie_cuda_conv_scratch (c));
  CHECK_CUDA (zie_cuda_conv_pack (NULL, (void *)c->weight, d->weight, 0, k->in, k->out, k->ksize, c->upsample));
  if (k->flags & NORM)
    {
      c->scale = (float *)check_new_random (k->in, true, 4, 2);
      c->shift = (float *)check_new_random (k->in, true, 5, 1);
    }
  if (k->flags & RESIDUAL)
    {
      d->residual = check_new_random ((int64_t)d->n, f32, 6, 1);
      c->residual = k->flags & RESIDUAL_IS_Y ? c->y : d->residual;
    }
}

static void
drop (Data *d)
{
  void *all[] = { d->c.y, (void *)d->c.x, d->weight, (void *)d->c.weight, (void *)d->c.bias, (void *)d->c.scale, (void *)d->c.shift,
                  d->residual, d->c.scratch };

  for (void *p : all)
    CHECK_CUDA (cudaFree (p));
}

/* Poisoned or filled with the residual, then one run. */
static void
run_once (const CudaCard *card, const Data *d, CudaKernelChoice choice)
{
  size_t size = d->n * (d->c.y_is_f32 ? 4 : 2);

  CHECK_CUDA (cudaMemset (d->c.y, 0xff, size + CHECK_GUARD));
  if (d->c.residual == d->c.y)
    CHECK_CUDA (cudaMemcpy (d->c.y, d->residual, size, cudaMemcpyDeviceToDevice));
  CHECK_CUDA (zie_cuda_conv (card, NULL, &d->c, choice));
  CHECK_CUDA (cudaDeviceSynchronize ());
}

/* A warp a sample: the value that was computed, and the sum of the contract. */
static __global__ void
sample_kernel (double *pairs, CudaConv c, const cuda_bf16 *weight, const void *residual, int64_t n)
{
  int sample = (blockIdx.x * 256 + threadIdx.x) / 32, lane = threadIdx.x % 32, enlarge = c.upsample ? 2 : 1;
  int64_t out_w = c.w * enlarge / c.stride, before = c.stride == 2 ? 0 : c.ksize / 2;
  /* The corners' pixels, then places all over. */
  int64_t at = sample < 64 ? sample * 8 % n : sample < 128 ? n - 1 - sample % 64 * 8 % n : (int64_t)((uint64_t)sample * 0x9e3779b97f4a7c15ull % (uint64_t)n);
  int64_t o = at % c.out, pixel = at / c.out, y = pixel / out_w + c.row0, x = pixel % out_w;
  double sum = 0;

  for (int64_t i = lane; i < (int64_t)c.in * c.ksize * c.ksize; i += 32)
    {
      int64_t tap = i / c.in, channel = i % c.in;
      int64_t iy = y * c.stride - before + tap / c.ksize, ix = x * c.stride - before + tap % c.ksize;
      if (iy < 0 || ix < 0 || iy >= c.h * enlarge || ix >= c.w * enlarge)
        continue;
      double v = check_value (c.x, false, (iy / enlarge * c.w + ix / enlarge) * c.in + channel);
      if (c.scale)
        {
          v = v * c.scale[channel] + c.shift[channel];
          v /= 1 + exp (-v);
        }
      sum += v * check_value (weight, false, (o * c.in + channel) * c.ksize * c.ksize + tap);
    }
  for (int mask = 16; mask; mask >>= 1)
    sum += __shfl_xor_sync (0xffffffffu, sum, mask);
  if (lane == 0)
    {
      pairs[2 * sample] = check_value (c.y, c.y_is_f32, at);
      pairs[2 * sample + 1] = sum + c.bias[o] + (residual ? check_value (residual, c.y_is_f32, at) : 0);
    }
}

static const char *
case_name (const Case *k, const char *suffix)
{
  static const char *const flags[] = { " norm", " up", " residual", " in place", " down", " f32" };
  static char name[160];
  int at = snprintf (name, sizeof name, "%d>%d k%d @%dx%d", k->in, k->out, k->ksize, k->h, k->w);

  for (int i = 0; i < 6; i++)
    if (k->flags & 1 << i)
      at += snprintf (name + at, sizeof name - at, "%s", flags[i]);
  if (k->rows)
    at += snprintf (name + at, sizeof name - at, " rows %d+%d", k->row0, k->rows);
  snprintf (name + at, sizeof name - at, "%s", suffix);
  return name;
}

static void
check_case (const CudaCard *card, const Case *k, CudaKernelChoice choice, const char *suffix)
{
  Data d;
  double *pairs;
  void *first;
  const char *name = case_name (k, suffix);
  size_t size;

  make (&d, k);
  size = d.n * (d.c.y_is_f32 ? 4 : 2);
  CHECK_CUDA (cudaMalloc (&pairs, sizeof (double) * 2 * N_SAMPLES));
  CHECK_CUDA (cudaMalloc (&first, size));
  run_once (card, &d, choice);
  CHECK_CUDA (cudaMemcpy (first, d.c.y, size, cudaMemcpyDeviceToDevice));
  sample_kernel<<<N_SAMPLES * 32 / 256, 256>>> (pairs, d.c, (const cuda_bf16 *)d.weight, d.residual, (int64_t)d.n);
  CHECK_CUDA (cudaGetLastError ());
  bool good = check_pairs (name, pairs, N_SAMPLES, TOLERANCE);
  run_once (card, &d, choice);
  good &= check_scan (name, d.c.y, first, d.c.y_is_f32, (int64_t)d.n);
  if (good)
    printf ("ok %s\n", name);
  CHECK_CUDA (cudaFree (pairs));
  CHECK_CUDA (cudaFree (first));
  drop (&d);
}

/* The decoder's layers, how often each occurs; sides in eighths of the picture's. */
static const struct
{
  Case k;
  int count;
} layers[] = {
  { { 16, 512, 3, 1, 1, 0 }, 1 },
  { { 512, 512, 3, 1, 1, NORM }, 5 },
  { { 512, 512, 3, 1, 1, NORM | RESIDUAL | RESIDUAL_IS_Y }, 5 },
  { { 512, 512, 3, 1, 1, UPSAMPLE }, 1 },
  { { 512, 512, 3, 2, 2, NORM }, 3 },
  { { 512, 512, 3, 2, 2, NORM | RESIDUAL | RESIDUAL_IS_Y }, 3 },
  { { 512, 512, 3, 2, 2, UPSAMPLE }, 1 },
  { { 512, 256, 3, 4, 4, NORM }, 1 },
  { { 512, 256, 1, 4, 4, 0 }, 1 },
  { { 256, 256, 3, 4, 4, NORM }, 2 },
  { { 256, 256, 3, 4, 4, NORM | RESIDUAL | RESIDUAL_IS_Y }, 3 },
  { { 256, 256, 3, 4, 4, UPSAMPLE }, 1 },
  { { 256, 128, 3, 8, 8, NORM }, 1 },
  { { 256, 128, 1, 8, 8, 0 }, 1 },
  { { 128, 128, 3, 8, 8, NORM }, 2 },
  { { 128, 128, 3, 8, 8, NORM | RESIDUAL | RESIDUAL_IS_Y }, 3 },
  { { 128, 3, 3, 8, 8, NORM | F32 }, 1 },
};

static double
time_case (const CudaCard *card, const Case *k, CudaKernelChoice choice)
{
  Data d;
  double ms;

  make (&d, k);
  if (d.c.residual == d.c.y)
    CHECK_CUDA (cudaMemset (d.c.y, 0, d.n * 2));
  ms = check_time ([&] { CHECK_CUDA (zie_cuda_conv (card, NULL, &d.c, choice)); }, 60);
  drop (&d);
  return ms;
}

static void
time_layers (const CudaCard *card, int side)
{
  double total = 0, total_flop = 0, total_mma = 0;

  printf ("decoder at %d x %d; TFLOP/s of the sums that are computed (4/9 where enlarged)\n", side, side);
  printf ("%-36s %2s %10s %9s %10s %9s\n", "layer", "n", "mma ms", "TFLOP/s", "best ms", "TFLOP/s");
  for (const auto &layer : layers)
    {
      Case k = layer.k;
      k.h *= side / 8;
      k.w *= side / 8;
      double taps = k.flags & UPSAMPLE ? 16 : k.ksize * k.ksize;
      double flop = 2.0 * k.h * k.w * k.in * k.out * taps;
      double mma = time_case (card, &k, CUDA_KERNEL_MMA), best = time_case (card, &k, CUDA_KERNEL_AUTO);
      printf ("%-36s %2d %10.4f %9.1f %10.4f %9.1f\n", case_name (&k, ""), layer.count, mma, flop / mma * 1e-9, best, flop / best * 1e-9);
      total += best * layer.count;
      total_mma += mma * layer.count;
      total_flop += flop * layer.count;
    }
  printf ("%-36s    %10.4f %9.1f %10.4f %9.1f\n", "all convolutions", total_mma, total_flop / total_mma * 1e-9, total,
          total_flop / total * 1e-9);
}

int
main (int argc, char **argv)
{
  CudaCard card = check_card ();
  CheckParts parts = check_parts (argc, argv);
  int side = argc > 1 && argv[argc - 1][0] != '-' ? atoi (argv[argc - 1]) : 1024;

  setvbuf (stdout, NULL, _IOLBF, 0);
  if (parts.check)
    for (const Case &k : cases)
      {
        if (parts.is_quick && (double)k.in * k.out * k.ksize * k.ksize * k.h * k.w > 3e9)
          continue;
        check_case (&card, &k, CUDA_KERNEL_MMA, ", mma");
        if (card.allow_hopper)
          check_case (&card, &k, CUDA_KERNEL_HOPPER, ", hopper");
      }
  if (parts.time && !check_n_failed)
    time_layers (&card, side);
  if (check_n_failed)
    printf ("%d failed\n", check_n_failed);
  return check_n_failed != 0;
}
