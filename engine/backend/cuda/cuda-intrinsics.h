/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one door between kernel bodies and the machine: all PTX but Hopper's own (cuda-hopper.h), the conversions and the
 * launch.  tests/kernels/cuda/cuda-emulator.h is the second implementation of the part between the two marks: included
 * first, it runs unchanged kernels and launchers on the CPU.  So a .cu or .cuh file holds no inline assembly, names no
 * header of the toolkit, takes dynamic shared memory by DYNAMIC_SHARED and launches by launch_kernel().  What both also
 * have under CUDA's own names: threadIdx, blockIdx, blockDim, gridDim, dim3, int2 ... uint4, float2, float4, __shared__
 * arrays, __syncthreads, __syncwarp, __shfl_*_sync (full warps), __ldg, min, max, integer atomics.
 *
 * bf16 is the 16 bits of cuda_bf16 everywhere; a pair is a uint32_t, the lower index in the lower half. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda-kernels.h"

#ifndef ZIE_CUDA_EMULATOR

/* ---- first mark: what the emulator has too ---- */

#define DEVICE __device__ __forceinline__

/* The dynamic shared memory of the block; one declaration a kernel. */
#define DYNAMIC_SHARED(name) extern __shared__ __align__ (1024) unsigned char name[]

/* Runs KERNEL on STREAM with blocks of THREADS and SMEM bytes of dynamic shared memory.  An empty grid is no work.
 * Returns a cudaError_t. */
template <class... P, class... A>
inline int
launch_kernel (void (*kernel) (P...), dim3 grid, int threads, size_t smem, CudaStream stream, A... args)
{
  if (!grid.x || !grid.y || !grid.z)
    return 0;
  /* Every time: the limit belongs to the current device, and the call only notes a number. */
  if (smem > 48 * 1024)
    {
      cudaError_t error =
          cudaFuncSetAttribute ((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)smem);
      if (error != cudaSuccess)
        return (int)error;
    }
  kernel<<<grid, threads, smem, (cudaStream_t)stream>>> (args...);
  return (int)cudaGetLastError ();
}

/* --- shared memory and asynchronous copies --- */

/* The address that the functions below take. */
DEVICE uint32_t
smem_addr (const void *p)
{
  return (uint32_t)__cvta_generic_to_shared (p);
}

/* 16 aligned bytes from global to shared memory, past L1; zeros, and SRC is not read, where !VALID. */
DEVICE void
cp_async16 (uint32_t dst, const void *src, bool valid)
{
  asm volatile ("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(dst), "l"(src), "r"(valid ? 16 : 0) : "memory");
}

/* The same for 4 or 8 aligned bytes, through L1. */
template <int BYTES>
DEVICE void
cp_async (uint32_t dst, const void *src, bool valid)
{
  static_assert (BYTES == 4 || BYTES == 8, "cp_async copies 4 or 8 bytes, cp_async16 16");
  asm volatile ("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(dst), "l"(src), "n"(BYTES), "r"(valid ? BYTES : 0) : "memory");
}

DEVICE void
cp_async_commit (void)
{
  asm volatile ("cp.async.commit_group;" ::: "memory");
}

/* Until at most PENDING of this thread's groups are under way; other threads' copies need a barrier after it. */
template <int PENDING>
DEVICE void
cp_async_wait (void)
{
  asm volatile ("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

/* Four 8x8 matrices of 16 bits; lane 8i + j gives the address of row j of matrix i (16 aligned bytes).  r[i] of
 * lane l holds row l / 4, columns 2 (l % 4) and the next one, of matrix i; with _trans of its transpose. */
DEVICE void
ldmatrix_x4 (uint32_t *r, uint32_t addr)
{
  asm volatile ("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(addr) : "memory");
}

DEVICE void
ldmatrix_x4_trans (uint32_t *r, uint32_t addr)
{
  asm volatile ("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(addr) : "memory");
}

/* --- products --- */

/* c[16][8] += a[16][16] b[16][8].  Lane l, g = l / 4, t = l % 4: c 0, 1 = (g, 2t ...), 2, 3 = (g + 8, 2t ...); a 0
 * = (g, 2t), 1 = (g + 8, 2t), 2 = (g, 2t + 8), 3 = (g + 8, 2t + 8); b0 = (2t, g), b1 = (2t + 8, g). */
DEVICE void
mma_bf16 (float *c, const uint32_t *a, uint32_t b0, uint32_t b1)
{
  asm volatile ("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* --- arithmetic --- */

/* 2^x, 2 ulp; 0 for -inf and for results below 2^-126. */
DEVICE float
ex2 (float x)
{
  float y;
  asm ("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/* e^x by ex2: relative error 2 ulp + |x| 2^-23. */
DEVICE float
fast_exp (float x)
{
  return ex2 (x * 1.4426950408889634f);
}

/* 1 / x, 1 ulp. */
DEVICE float
fast_rcp (float x)
{
  float y;
  asm ("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/* Each rounded by itself: no compiler makes one fused operation of two. */
DEVICE float
mul_rn (float a, float b)
{
  return __fmul_rn (a, b);
}

DEVICE float
add_rn (float a, float b)
{
  return __fadd_rn (a, b);
}

DEVICE float
sub_rn (float a, float b)
{
  return __fsub_rn (a, b);
}

/* --- conversions, to nearest even --- */

DEVICE float
uint_as_float (uint32_t x)
{
  return __uint_as_float (x);
}

DEVICE uint32_t
float_as_uint (float x)
{
  return __float_as_uint (x);
}

DEVICE uint32_t
pack_bf16x2 (float lo, float hi)
{
  uint32_t r;
  asm ("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}

DEVICE float
f16_to_float (uint16_t x)
{
  float y;
  asm ("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
  return y;
}

/* --- warps and blocks --- */

/* The value of lane ^ MASK, of lane + DELTA (its own past the end), of lane LANE.  All 32 lanes take part. */
template <class T>
DEVICE T
warp_shuffle_xor (T v, int mask)
{
  return __shfl_xor_sync (0xffffffffu, v, mask);
}

template <class T>
DEVICE T
warp_shuffle_down (T v, int delta)
{
  return __shfl_down_sync (0xffffffffu, v, (unsigned)delta);
}

template <class T>
DEVICE T
warp_shuffle (T v, int lane)
{
  return __shfl_sync (0xffffffffu, v, lane);
}

/* Whether IT is so in any of the 32 lanes. */
DEVICE bool
warp_any (bool it)
{
  return __any_sync (0xffffffffu, it);
}

DEVICE void
block_barrier (void)
{
  __syncthreads ();
}

/* Barrier ID (1 ... 15) among THREADS threads, a multiple of 32. */
DEVICE void
named_barrier (int id, int threads)
{
  asm volatile ("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* --- global memory, 16 aligned bytes --- */

/* Of memory that nothing writes while the kernel runs. */
DEVICE uint4
load16_const (const void *p)
{
  return __ldg ((const uint4 *)p);
}

/* Read once, written once: the first to leave the caches. */
DEVICE uint4
load16_once (const void *p)
{
  return __ldcs ((const uint4 *)p);
}

DEVICE void
store16_once (void *p, uint4 v)
{
  __stcs ((uint4 *)p, v);
}

/* ---- second mark ---- */

#endif

DEVICE uint4
load16 (const void *p)
{
  return *(const uint4 *)p;
}

DEVICE void
store16 (void *p, uint4 v)
{
  *(uint4 *)p = v;
}

DEVICE float
bf16_to_float (cuda_bf16 x)
{
  return uint_as_float ((uint32_t)x << 16);
}

DEVICE float
bf16_lo (uint32_t pair)
{
  return uint_as_float (pair << 16);
}

DEVICE float
bf16_hi (uint32_t pair)
{
  return uint_as_float (pair & 0xffff0000u);
}

DEVICE cuda_bf16
float_to_bf16 (float x)
{
  return (cuda_bf16)pack_bf16x2 (x, 0);
}

/* 8 bf16 of 16 bytes and back. */
DEVICE void
unpack_bf16x8 (float *x, uint4 v)
{
  x[0] = bf16_lo (v.x), x[1] = bf16_hi (v.x);
  x[2] = bf16_lo (v.y), x[3] = bf16_hi (v.y);
  x[4] = bf16_lo (v.z), x[5] = bf16_hi (v.z);
  x[6] = bf16_lo (v.w), x[7] = bf16_hi (v.w);
}

DEVICE uint4
pack_bf16x8 (const float *x)
{
  uint4 v;

  v.x = pack_bf16x2 (x[0], x[1]);
  v.y = pack_bf16x2 (x[2], x[3]);
  v.z = pack_bf16x2 (x[4], x[5]);
  v.w = pack_bf16x2 (x[6], x[7]);
  return v;
}

/* Over the 32 lanes, the same bits in each of them. */
template <class T>
DEVICE T
warp_sum (T v)
{
#pragma unroll
  for (int mask = 16; mask; mask >>= 1)
    v += warp_shuffle_xor (v, mask);
  return v;
}

DEVICE float
warp_max (float v)
{
#pragma unroll
  for (int mask = 16; mask; mask >>= 1)
    v = fmaxf (v, warp_shuffle_xor (v, mask));
  return v;
}

/* x / (1 + e^-x) */
DEVICE float
fast_silu (float x)
{
  return x * fast_rcp (1 + fast_exp (-x));
}
