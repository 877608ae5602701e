/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Hopper's own instructions (sm_90a): mbarriers, TMA, warpgroup products; and tensor maps on the host.  A kernel
 * that uses them has its body inside #if HOPPER_CODE ... #else hopper_trap (); #endif, so that the same file
 * compiles for every target; a launcher runs it only where zie_cuda_hopper_is_built() said that the program holds
 * code for this card.  Not in the emulator.
 *
 * Shared addresses are those of smem_addr().  Tiles are what TMA writes with a 128-byte swizzle: rows of 128 bytes
 * (64 bf16), chunk c of 16 bytes of row r at chunk c ^ (r % 8), tiles at multiples of 1024 bytes. */

#include <cuda.h>
#include <cudaTypedefs.h>

#include "cuda-intrinsics.h"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define HOPPER_CODE 1
#else
#define HOPPER_CODE 0
#endif

/* On a kernel: N neighbouring blocks of its grid are a cluster. */
#if HOPPER_CODE
#define CLUSTER_OF(n) __cluster_dims__ (n, 1, 1)
#else
#define CLUSTER_OF(n)
#endif

DEVICE void
hopper_trap (void)
{
  asm volatile ("trap;");
}

/* --- tensor maps, on the host --- */

/* A map over bf16 in device memory for boxes with a 128-byte swizzle (box[0] at most 64); zeros outside.  dims[0]
 * is the contiguous one; strides[i] in bytes is dims[i + 1]'s, a multiple of 16.  Returns a cudaError_t. */
inline int
tensor_map_bf16 (const CudaCard *card, CUtensorMap *map, const void *base, int rank, const uint64_t *dims,
                 const uint64_t *strides, const uint32_t *box)
{
  const uint32_t ones[5] = { 1, 1, 1, 1, 1 };
  cuuint64_t d[5], s[5];

  if (!card->encode_tiled)
    return (int)cudaErrorNotSupported;
  for (int i = 0; i < rank; i++)
    {
      d[i] = dims[i];
      s[i] = i + 1 < rank ? strides[i] : 0;
    }
  CUresult result = ((PFN_cuTensorMapEncodeTiled_v12000)card->encode_tiled) (
      map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, (cuuint32_t)rank, (void *)base, d, s, box, ones,
      CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? 0 : (int)cudaErrorInvalidValue;
}

/* --- mbarriers: 8 aligned bytes of shared memory --- */

/* By one thread; then mbarrier_init_fence() and a block barrier (or a cluster's). */
DEVICE void
mbarrier_init (uint32_t bar, int arrivals)
{
  asm volatile ("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(arrivals) : "memory");
}

DEVICE void
mbarrier_init_fence (void)
{
  asm volatile ("fence.mbarrier_init.release.cluster;" ::: "memory");
}

DEVICE void
mbarrier_arrive (uint32_t bar)
{
  asm volatile ("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bar) : "memory");
}

/* The same of block CTA of the cluster. */
DEVICE void
mbarrier_arrive_cluster (uint32_t bar, uint32_t cta)
{
  asm volatile ("{\n.reg .b32 remote;\n"
                "mapa.shared::cluster.u32 remote, %0, %1;\n"
                "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [remote];\n}" ::"r"(bar), "r"(cta) : "memory");
}

/* Arrives, and BYTES more have to come by TMA. */
DEVICE void
mbarrier_expect (uint32_t bar, int bytes)
{
  asm volatile ("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes) : "memory");
}

/* Until the phase of this PARITY is over: a fresh barrier is in phase 0, so that parity 1 returns at once. */
DEVICE void
mbarrier_wait (uint32_t bar, uint32_t parity)
{
  uint32_t is_over;

  do
    asm volatile ("{\n.reg .pred p;\n"
                  "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                  "selp.u32 %0, 1, 0, p;\n}" : "=r"(is_over) : "r"(bar), "r"(parity) : "memory");
  while (!is_over);
}

/* --- TMA: one thread asks, the barrier counts the bytes; coordinates in elements, the contiguous one first --- */

DEVICE void
tma_prefetch_map (const CUtensorMap *map)
{
  asm volatile ("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

DEVICE void
tma_load (uint32_t dst, const CUtensorMap *map, uint32_t bar, int x, int y)
{
  asm volatile ("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
                ::"r"(dst), "l"(map), "r"(bar), "r"(x), "r"(y) : "memory");
}

DEVICE void
tma_load (uint32_t dst, const CUtensorMap *map, uint32_t bar, int x, int y, int z)
{
  asm volatile ("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];"
                ::"r"(dst), "l"(map), "r"(bar), "r"(x), "r"(y), "r"(z) : "memory");
}

DEVICE void
tma_load (uint32_t dst, const CUtensorMap *map, uint32_t bar, int x, int y, int z, int w)
{
  asm volatile ("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];"
                ::"r"(dst), "l"(map), "r"(bar), "r"(x), "r"(y), "r"(z), "r"(w) : "memory");
}

DEVICE void
tma_load (uint32_t dst, const CUtensorMap *map, uint32_t bar, int x, int y, int z, int w, int v)
{
  asm volatile ("cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
                " [%0], [%1, {%3, %4, %5, %6, %7}], [%2];"
                ::"r"(dst), "l"(map), "r"(bar), "r"(x), "r"(y), "r"(z), "r"(w), "r"(v) : "memory");
}

/* To the same addresses of every block of the cluster whose bit is in CTAS; each one's own barrier counts. */
DEVICE void
tma_load_multicast (uint32_t dst, const CUtensorMap *map, uint32_t bar, uint16_t ctas, int x, int y)
{
  asm volatile ("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster"
                " [%0], [%1, {%4, %5}], [%2], %3;" ::"r"(dst), "l"(map), "r"(bar), "h"(ctas), "r"(x), "r"(y) : "memory");
}

/* From shared to global memory; what lies outside of the map is left alone.  After fence_async() by the writers and a
 * barrier among them; the source may change after tma_store_wait_read(). */
DEVICE void
tma_store (const CUtensorMap *map, uint32_t src, int x, int y)
{
  asm volatile ("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];"
                ::"l"(map), "r"(src), "r"(x), "r"(y) : "memory");
}

DEVICE void
tma_store (const CUtensorMap *map, uint32_t src, int x, int y, int z)
{
  asm volatile ("cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4}], [%1];"
                ::"l"(map), "r"(src), "r"(x), "r"(y), "r"(z) : "memory");
}

DEVICE void
tma_store_commit (void)
{
  asm volatile ("cp.async.bulk.commit_group;" ::: "memory");
}

/* Until the sources of all but PENDING of this thread's groups have been read. */
template <int PENDING>
DEVICE void
tma_store_wait_read (void)
{
  asm volatile ("cp.async.bulk.wait_group.read %0;" ::"n"(PENDING) : "memory");
}

/* Ordinary accesses to shared memory before it, TMA's and wgmma's after it. */
DEVICE void
fence_async (void)
{
  asm volatile ("fence.proxy.async.shared::cta;" ::: "memory");
}

/* --- clusters, warpgroups, registers --- */

DEVICE uint32_t
cluster_rank (void)
{
  uint32_t rank;
  asm volatile ("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

DEVICE void
cluster_barrier (void)
{
  asm volatile ("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/* Registers a thread of this warpgroup may use from here on, a multiple of 8; all four warps. */
template <int REGISTERS>
DEVICE void
warpgroup_registers_down (void)
{
  asm volatile ("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

template <int REGISTERS>
DEVICE void
warpgroup_registers_up (void)
{
  asm volatile ("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

/* Arrives at named barrier ID without waiting; named_barrier() waits. */
DEVICE void
named_barrier_arrive (int id, int threads)
{
  asm volatile ("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* --- products of a warpgroup --- */

/* Descriptor of an operand tile.  K contiguous (rows of 128 bytes along M or N): the next 16 of k are 32 bytes
 * further, leading is not used, groups of 8 rows are STRIDE = 1024 bytes apart.  N contiguous (a transposed B,
 * rows along k): the next 16 of k are 16 rows further, 64 columns are LEADING bytes apart, groups of 8 rows STRIDE
 * = 1024. */
DEVICE uint64_t
wgmma_operand (uint32_t addr, uint32_t leading, uint32_t stride)
{
  return (uint64_t)((addr & 0x3ffff) >> 4) | (uint64_t)(leading >> 4) << 16 | (uint64_t)(stride >> 4) << 32 |
         (uint64_t)1 << 62;
}

/* Before the first product, and after registers that products read or add to have changed. */
DEVICE void
wgmma_fence (void)
{
  asm volatile ("wgmma.fence.sync.aligned;" ::: "memory");
}

DEVICE void
wgmma_commit (void)
{
  asm volatile ("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Until at most PENDING groups are under way; until then nothing may touch their registers and tiles. */
template <int PENDING>
DEVICE void
wgmma_wait (void)
{
  asm volatile ("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

/* After the wait, before the accumulators are used: keeps the compiler from moving their uses ahead of the wait. */
template <int N>
DEVICE void
wgmma_fence_registers (float (&d)[N])
{
#pragma unroll
  for (int i = 0; i < N; i++)
    asm volatile ("" : "+f"(d[i])::"memory");
}

/* Sixteen registers at a time: their places in the instruction, and the operands that fill them. */
#define WGMMA_D0 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define WGMMA_D1 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define WGMMA_D2 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define WGMMA_D3 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define WGMMA_D4 "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define WGMMA_D5 "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define WGMMA_D6 "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111"
#define WGMMA_D7 "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define WGMMA_D2_HALF "%32, %33, %34, %35, %36, %37, %38, %39"
#define WGMMA_D5_HALF "%80, %81, %82, %83, %84, %85, %86, %87"
#define WGMMA_F8(i) \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define WGMMA_F16(i) WGMMA_F8 (i), WGMMA_F8 (i + 8)
#define WGMMA_F32(i) WGMMA_F16 (i), WGMMA_F16 (i + 16)
#define WGMMA_F64(i) WGMMA_F32 (i), WGMMA_F32 (i + 32)

template <int N>
struct Wgmma;

/* Both forms for one N: the places of the operands that follow the N / 2 accumulators, and the places and operands of
 * those. */
#define WGMMA_DEFINE(N, P0, P1, P2, P3, P4, P5, P6, PLACES, ...) \
  template <> \
  struct Wgmma<N> \
  { \
    template <int B_IS_N> \
    static DEVICE void \
    ss (float (&d)[N / 2], uint64_t a, uint64_t b, int is_adding) \
    { \
      asm volatile ("{\n.reg .pred p;\nsetp.ne.b32 p, %" #P2 ", 0;\n" \
                    "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" PLACES "}, %" #P0 ", %" #P1 ", p, 1, 1, 0, %" #P3 ";\n}" \
                    : __VA_ARGS__ : "l"(a), "l"(b), "r"(is_adding), "n"(B_IS_N)); \
    } \
    template <int B_IS_N> \
    static DEVICE void \
    rs (float (&d)[N / 2], const uint32_t *a, uint64_t b, int is_adding) \
    { \
      asm volatile ("{\n.reg .pred p;\nsetp.ne.b32 p, %" #P5 ", 0;\n" \
                    "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" PLACES "}, {%" #P0 ", %" #P1 ", %" #P2 ", %" #P3 "}, " \
                    "%" #P4 ", p, 1, 1, %" #P6 ";\n}" \
                    : __VA_ARGS__ : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(is_adding), "n"(B_IS_N)); \
    } \
  }

WGMMA_DEFINE (32, 16, 17, 18, 19, 20, 21, 22, WGMMA_D0, WGMMA_F16 (0));
WGMMA_DEFINE (64, 32, 33, 34, 35, 36, 37, 38, WGMMA_D0 ", " WGMMA_D1, WGMMA_F32 (0));
WGMMA_DEFINE (80, 40, 41, 42, 43, 44, 45, 46, WGMMA_D0 ", " WGMMA_D1 ", " WGMMA_D2_HALF, WGMMA_F32 (0), WGMMA_F8 (32));
WGMMA_DEFINE (96, 48, 49, 50, 51, 52, 53, 54, WGMMA_D0 ", " WGMMA_D1 ", " WGMMA_D2, WGMMA_F32 (0), WGMMA_F16 (32));
WGMMA_DEFINE (128, 64, 65, 66, 67, 68, 69, 70, WGMMA_D0 ", " WGMMA_D1 ", " WGMMA_D2 ", " WGMMA_D3, WGMMA_F64 (0));
WGMMA_DEFINE (160, 80, 81, 82, 83, 84, 85, 86, WGMMA_D0 ", " WGMMA_D1 ", " WGMMA_D2 ", " WGMMA_D3 ", " WGMMA_D4,
              WGMMA_F64 (0), WGMMA_F16 (64));
WGMMA_DEFINE (176, 88, 89, 90, 91, 92, 93, 94, WGMMA_D0 ", " WGMMA_D1 ", " WGMMA_D2 ", " WGMMA_D3 ", " WGMMA_D4 ", " WGMMA_D5_HALF,
              WGMMA_F64 (0), WGMMA_F16 (64), WGMMA_F8 (80));
WGMMA_DEFINE (192, 96, 97, 98, 99, 100, 101, 102, WGMMA_D0 ", " WGMMA_D1 ", " WGMMA_D2 ", " WGMMA_D3 ", " WGMMA_D4 ", " WGMMA_D5,
              WGMMA_F64 (0), WGMMA_F32 (64));
WGMMA_DEFINE (256, 128, 129, 130, 131, 132, 133, 134, WGMMA_D0 ", " WGMMA_D1 ", " WGMMA_D2 ", " WGMMA_D3 ", " WGMMA_D4
              ", " WGMMA_D5 ", " WGMMA_D6 ", " WGMMA_D7,
              WGMMA_F64 (0), WGMMA_F64 (64));

/* d[64][N] = or += a[64][16] b[16][N], bf16 into fp32, N / 2 accumulators a thread: A from a shared tile (_ss) or
 * in registers (_rs: mma_bf16's a; warp w of the warpgroup has rows 16w ...).  d[4i ... 4i + 3]: mma_bf16's c of
 * columns 8i.  B_IS_N: B's tile has N contiguous. */
template <int B_IS_N, int N_ACC>
DEVICE void
wgmma_ss (float (&d)[N_ACC], uint64_t a, uint64_t b, int is_adding)
{
  Wgmma<2 * N_ACC>::template ss<B_IS_N> (d, a, b, is_adding);
}

template <int B_IS_N, int N_ACC>
DEVICE void
wgmma_rs (float (&d)[N_ACC], const uint32_t *a, uint64_t b, int is_adding)
{
  Wgmma<2 * N_ACC>::template rs<B_IS_N> (d, a, b, is_adding);
}
