/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-attention.h"

#include <stdlib.h>
#include <string.h>

#include "attention-kernel.cuh"

/* One shape of the kernel for both kinds of mask. */
template <int D, int WARPS, int M_TILES, int BN, int STAGES, int BLOCKS>
static int
run (CudaStream stream, const AttentionArgs *args, int heads, int causal)
{
  constexpr int ROWS = WARPS * 16 * M_TILES;
  const dim3 grid ((unsigned)((args->m + ROWS - 1) / ROWS), (unsigned)heads);
  constexpr size_t SMEM = attention_smem<D, WARPS, M_TILES, BN, STAGES> ();

  if (causal)
    return launch_kernel (attention_mma_kernel<D, WARPS, M_TILES, BN, STAGES, BLOCKS, true>, grid, WARPS * 32, SMEM,
                          stream, *args);
  return launch_kernel (attention_mma_kernel<D, WARPS, M_TILES, BN, STAGES, BLOCKS, false>, grid, WARPS * 32, SMEM,
                        stream, *args);
}

typedef int (*Run) (CudaStream stream, const AttentionArgs *args, int heads, int causal);

/* Shapes of the mma.sync kernel, for d up to 64 and to 128.  Two warps a scheduler everywhere, because one's
 * softmax hides behind the other's products; smem is that of the wider one. */
typedef struct
{
  const char *name;
  int rows, smem;
  Run run64, run128;
} MmaShape;

#define MMA_SHAPE(NAME, WARPS, M_TILES, BN, STAGES, BLOCKS) \
  { NAME, WARPS * 16 * M_TILES, attention_smem<128, WARPS, M_TILES, BN, STAGES> (), \
    run<64, WARPS, M_TILES, BN, STAGES, BLOCKS>, run<128, WARPS, M_TILES, BN, STAGES, BLOCKS> }

enum { MMA_128_64_2, MMA_128_64_1, MMA_128_32_1, MMA_64_32_2, N_MMA_SHAPES };

static const MmaShape mma_shapes[N_MMA_SHAPES] = {
  MMA_SHAPE ("mma-128x64-2", 4, 2, 64, 2, 2),      /* 96 KiB, two blocks an SM: 9.0 */
  MMA_SHAPE ("mma-128x64-1", 4, 2, 64, 1, 2),      /* 64 KiB, two: 8.0 */
  MMA_SHAPE ("mma-128x32-1", 4, 2, 32, 1, 2),      /* 48 KiB, two: 100 KiB an SM of 8.6, 8.9, 12.0 */
  MMA_SHAPE ("mma-64x32-2", 4, 1, 32, 2, 2),       /* 48 KiB, for few rows */
};

const char *const zie_cuda_attention_mma_variants[] = {
  "mma-128x64-2", "mma-128x64-1", "mma-128x32-1", "mma-64x32-2", NULL,
};

static const MmaShape *
choose_shape (const CudaCard *card, const CudaAttention *a)
{
  /* Where large tiles leave SMs without work, small ones. */
  if ((a->m + 127) / 128 * a->heads < 2 * (int64_t)card->n_sms)
    return &mma_shapes[MMA_64_32_2];
  if (card->cc == 90)
    return &mma_shapes[MMA_128_64_2];
  return &mma_shapes[card->cc == 80 ? MMA_128_64_1 : MMA_128_32_1];
}

static int
run_mma (const CudaCard *card, CudaStream stream, const CudaAttention *a, const MmaShape *shape)
{
  const AttentionArgs args = {
    a->o, a->q, a->k, a->v, a->ldo, a->ldq, a->ldk, a->ldv, (int)a->m, (int)a->n, a->d, a->heads / a->kv_heads,
    a->scale * 1.4426950408889634f,
  };

  if (shape->smem > card->max_smem)
    return (int)cudaErrorNotSupported;
  return (a->d <= 64 ? shape->run64 : shape->run128) (stream, &args, a->heads, a->causal);
}

/* Any head size and stride: a warp has one query, whose keys it passes one by one.  For the small models that have 24 channels a
 * head; what the released ones have goes to the tiles. */
enum { ANY_WARPS = 4, ANY_PARTS = 128 / 32 };

__global__ void __launch_bounds__ (ANY_WARPS * 32)
attention_any_kernel (CudaAttention a)
{
  const int lane = threadIdx.x & 31, head = blockIdx.y, kv_head = head / (a.heads / a.kv_heads);
  const int64_t row = (int64_t)blockIdx.x * ANY_WARPS + threadIdx.x / 32, n = a.causal ? row + 1 : a.n;
  float q[ANY_PARTS], sum[ANY_PARTS] = {}, highest = -INFINITY, total = 0;

  if (row >= a.m)
    return;
#pragma unroll
  for (int i = 0; i < ANY_PARTS; i++)
    {
      int c = lane + 32 * i;
      q[i] = c < a.d ? bf16_to_float (a.q[row * a.ldq + head * a.d + c]) * a.scale * 1.4426950408889634f : 0;
    }
  for (int64_t j = 0; j < n; j++)
    {
      const cuda_bf16 *k = a.k + j * a.ldk + kv_head * a.d, *v = a.v + j * a.ldv + kv_head * a.d;
      float score = 0, before = highest, share, kept;

#pragma unroll
      for (int i = 0; i < ANY_PARTS; i++)
        if (lane + 32 * i < a.d)
          score = fmaf (q[i], bf16_to_float (k[lane + 32 * i]), score);
      score = warp_sum (score);
      highest = fmaxf (highest, score);
      kept = exp2f (before - highest);
      share = exp2f (score - highest);
      total = total * kept + share;
#pragma unroll
      for (int i = 0; i < ANY_PARTS; i++)
        if (lane + 32 * i < a.d)
          sum[i] = fmaf (share, bf16_to_float (v[lane + 32 * i]), sum[i] * kept);
    }
#pragma unroll
  for (int i = 0; i < ANY_PARTS; i++)
    if (lane + 32 * i < a.d)
      a.o[row * a.ldo + head * a.d + lane + 32 * i] = float_to_bf16 (sum[i] / total);
}

static int
run_any (CudaStream stream, const CudaAttention *a)
{
  const dim3 grid ((unsigned)((a->m + ANY_WARPS - 1) / ANY_WARPS), (unsigned)a->heads);

  return a->m > 0 ? launch_kernel (attention_any_kernel, grid, ANY_WARPS * 32, 0, stream, *a) : 0;
}

/* The tiles are copied in pieces of 8 numbers. */
static bool
is_regular (const CudaAttention *a)
{
  return a->d % 16 == 0 && a->ldq % 8 == 0 && a->ldk % 8 == 0 && a->ldv % 8 == 0 && a->ldo % 8 == 0 && (uintptr_t)a->q % 16 == 0
         && (uintptr_t)a->k % 16 == 0 && (uintptr_t)a->v % 16 == 0 && (uintptr_t)a->o % 16 == 0;
}

static bool
is_valid (const CudaAttention *a)
{
  return a->d > 0 && a->d <= 128 && a->heads > 0 && a->kv_heads > 0 && a->heads % a->kv_heads == 0 &&
         a->heads <= 65535 && a->n > 0 && a->m >= 0 && a->m < 1 << 30 && a->n < 1 << 30 &&
         (!a->causal || a->m == a->n) && a->scale > 0;
}

extern "C" int
zie_cuda_attention_variant (const CudaCard *card, CudaStream stream, const CudaAttention *a, const char *name)
{
  if (!is_valid (a))
    return (int)cudaErrorInvalidValue;
  if (!is_regular (a))
    return run_any (stream, a);
  if (!strncmp (name, "hopper", 6))
    return zie_cuda_attention_hopper_serves (card, a) ? zie_cuda_attention_hopper (card, stream, a, name)
                                                      : (int)cudaErrorNotSupported;
  if (!strcmp (name, "mma"))
    return run_mma (card, stream, a, choose_shape (card, a));
  for (int i = 0; i < N_MMA_SHAPES; i++)
    if (!strcmp (name, mma_shapes[i].name))
      return run_mma (card, stream, a, &mma_shapes[i]);
  return (int)cudaErrorInvalidValue;
}

extern "C" int
zie_cuda_attention (const CudaCard *card, CudaStream stream, const CudaAttention *a, CudaKernelChoice choice)
{
  static const char *const forced = getenv ("ZIE_CUDA_ATTENTION");
  bool hopper = zie_cuda_attention_hopper_serves (card, a);

  /* A variant that does not serve this shape leaves it to the portable kernel: a run has other shapes too. */
  if (choice == CUDA_KERNEL_AUTO && forced)
    return zie_cuda_attention_variant (card, stream, a, !hopper && !strncmp (forced, "hopper", 6) ? "mma" : forced);
  if (choice == CUDA_KERNEL_HOPPER && !hopper)
    return (int)cudaErrorNotSupported;
  return zie_cuda_attention_variant (card, stream, a, hopper && choice != CUDA_KERNEL_MMA ? "hopper" : "mma");
}
