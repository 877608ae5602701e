/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-attention.h"

#include <string.h>

#include "attention-pieces.cuh"
#include "cuda-hopper.h"

/* Flash attention on Hopper's wgmma and TMA: d = 128, no mask but the end of the keys.
 *
 * A block of three warpgroups per SM stays for the whole launch and takes pieces of work from a fixed schedule.
 * One warpgroup only asks TMA for tiles, the other two compute: 64 query rows each, scores of BN keys and the
 * output in registers, Q, K and V from shared memory.  A warpgroup starts the scores of keys j + 1 and then the
 * output of keys j, and does the softmax of j + 1 while the latter runs.  The output has a tile of its own, so
 * that the next piece's Q, K and V come meanwhile.
 *
 * The two take turns in starting products, so that one's softmax falls into the other's.
 *
 * A piece of work (attention-pieces.cuh) is whole: 128 rows, 64 a warpgroup; or half: 64 rows for both, where one
 * takes the first half of every block of keys and the other the second, and the two are joined at the end.  Halves
 * fill the last, incomplete round of the SMs: 990 pieces on 132 SMs take 7.5 rounds, not 8. */

enum { D = 128, HALF_D = 64, WG_ROWS = 64, WG_THREADS = 128, ROW = 128, Q_TILE = WG_ROWS * D * 2 };
/* Named barriers; a warpgroup's own number is added to the latter two. */
enum { JOIN_BARRIER = 1, TURN_BARRIER = 2, STORE_BARRIER = 4 };

typedef struct
{
  AttentionPieces pieces;
  int group, n;
  float scale;                 /* with log2 e in it */
} HopperArgs;

template <int BN, int STAGES>
constexpr int
hopper_smem (void)
{
  return 4 * Q_TILE + STAGES * 2 * BN * D * 2 + 4 * WG_THREADS * 4 + 256;
}

/* Shared addresses. */
template <int BN, int STAGES>
struct Layout
{
  static constexpr int TILE = BN * D * 2;
  uint32_t q, k, v, bars;
  unsigned char *o, *join;             /* for ordinary accesses: two tiles like Q's, four numbers a thread */

  DEVICE explicit Layout (unsigned char *smem)
  {
    q = smem_addr (smem);
    o = smem + 2 * Q_TILE;
    k = q + 4 * Q_TILE;
    v = k + STAGES * TILE;
    join = smem + (v + STAGES * TILE - q);
    bars = smem_addr (join) + 4 * WG_THREADS * 4;
    if (q % 1024)                      /* swizzled tiles need it; DYNAMIC_SHARED asks for it */
      hopper_trap ();
  }
  DEVICE uint32_t q_full (void) const { return bars; }
  DEVICE uint32_t q_free (void) const { return bars + 8; }
  DEVICE uint32_t k_full (int s) const { return bars + 16 + 8 * s; }
  DEVICE uint32_t k_free (int s) const { return bars + 16 + 8 * (STAGES + s); }
  DEVICE uint32_t v_full (int s) const { return bars + 16 + 8 * (2 * STAGES + s); }
  DEVICE uint32_t v_free (int s) const { return bars + 16 + 8 * (3 * STAGES + s); }
};

/* A tile of ROWS rows of Q, K or V: two halves of a head, each a swizzled tile. */
template <int ROWS>
DEVICE void
load_tile (uint32_t tile, const CUtensorMap *map, uint32_t bar, int head, int row)
{
#pragma unroll
  for (int i = 0; i < 2; i++)
    tma_load (tile + i * ROWS * ROW, map, bar, i * HALF_D, head, row);
}

/* One thread: keeps Q coming. */
template <int BN, int STAGES>
DEVICE void
produce_rows (const Layout<BN, STAGES> &l, const CUtensorMap *map_q, const HopperArgs &a)
{
  AttentionPiece piece;

  for (int index = 0; attention_piece (&piece, a.pieces, (int)blockIdx.x, index); index++)
    {
      const int n_tiles = piece.is_half ? 1 : 2;

      mbarrier_wait (l.q_free (), (index & 1) ^ 1);
      mbarrier_expect (l.q_full (), n_tiles * Q_TILE);
      for (int w = 0; w < n_tiles; w++)
        load_tile<WG_ROWS> (l.q + w * Q_TILE, map_q, l.q_full (), piece.head, piece.row0 + w * WG_ROWS);
    }
}

/* One thread: keeps K and V coming. */
template <int BN, int STAGES>
DEVICE void
produce_keys (const Layout<BN, STAGES> &l, const CUtensorMap *map_k, const CUtensorMap *map_v, const HopperArgs &a)
{
  constexpr int TILE = Layout<BN, STAGES>::TILE;
  const int n_blocks = (a.n + BN - 1) / BN;
  int stage = 0, parity = 0;
  AttentionPiece piece;

  for (int index = 0; attention_piece (&piece, a.pieces, (int)blockIdx.x, index); index++)
    {
      const int head = piece.head / a.group;

      for (int j = 0; j < n_blocks; j++)
        {
          mbarrier_wait (l.k_free (stage), parity ^ 1);
          mbarrier_expect (l.k_full (stage), TILE);
          load_tile<BN> (l.k + stage * TILE, map_k, l.k_full (stage), head, j * BN);
          mbarrier_wait (l.v_free (stage), parity ^ 1);
          mbarrier_expect (l.v_full (stage), TILE);
          load_tile<BN> (l.v + stage * TILE, map_v, l.v_full (stage), head, j * BN);
          if (++stage == STAGES)
            stage = 0, parity ^= 1;
        }
    }
}

/* What a thread holds of its warpgroup's 64 rows: rows g and g + 8 of its warp's 16. */
struct State
{
  float o[D / 2], top[2], sum[2];
};

/* s = 2^(s - top), with the tops raised where they are more than 2^8 too low (attention-kernel.cuh says why); then
 * factor is what sums and outputs of the old tops have to be multiplied by, and the result is whether any in the
 * warp is not 1. */
template <int BN>
DEVICE bool
softmax (float (&s)[BN / 2], State &state, float (&factor)[2], float scale)
{
#pragma unroll
  for (int r = 0; r < 2; r++)
    {
      float high = s[2 * r];
#pragma unroll
      for (int i = 0; i < BN / 8; i++)
        high = fmaxf (high, fmaxf (s[4 * i + 2 * r], s[4 * i + 2 * r + 1]));
      high = fmaxf (high, warp_shuffle_xor (high, 1));
      high = fmaxf (high, warp_shuffle_xor (high, 2)) * scale;
      float next = high > state.top[r] + 8 ? high : state.top[r], part = 0;
      factor[r] = ex2 (state.top[r] - next);
      state.top[r] = next;
#pragma unroll
      for (int i = 0; i < BN / 8; i++)
        {
          float x = ex2 (fmaf (s[4 * i + 2 * r], scale, -next)), y = ex2 (fmaf (s[4 * i + 2 * r + 1], scale, -next));
          part += x + y;
          s[4 * i + 2 * r] = x;
          s[4 * i + 2 * r + 1] = y;
        }
      state.sum[r] = state.sum[r] * factor[r] + part;
    }
  return warp_any (factor[0] != 1 || factor[1] != 1);
}

DEVICE void
rescale (State &state, const float (&factor)[2])
{
#pragma unroll
  for (int i = 0; i < D / 8; i++)
    {
      state.o[4 * i] *= factor[0], state.o[4 * i + 1] *= factor[0];
      state.o[4 * i + 2] *= factor[1], state.o[4 * i + 3] *= factor[1];
    }
}

/* The second warpgroup's part of a half piece into the first one's, through both of the output's tiles.  Half
 * pieces are a worker's last: the first barrier of the next one keeps the second warpgroup from what the first
 * still reads. */
template <int BN, int STAGES>
DEVICE void
join_halves (State &state, const Layout<BN, STAGES> &l, int wg, int thread)
{
  float *o = (float *)l.o + thread, *numbers = (float *)l.join + thread;

  if (thread == 0)
    tma_store_wait_read<0> ();
  named_barrier (JOIN_BARRIER, 2 * WG_THREADS);
  if (wg == 1)
    {
#pragma unroll
      for (int i = 0; i < D / 2; i++)
        o[i * WG_THREADS] = state.o[i];
#pragma unroll
      for (int r = 0; r < 2; r++)
        {
          numbers[r * WG_THREADS] = state.top[r];
          numbers[(2 + r) * WG_THREADS] = state.sum[r];
        }
    }
  named_barrier (JOIN_BARRIER, 2 * WG_THREADS);
  if (wg == 0)
    {
      float factor[2], other[2];
#pragma unroll
      for (int r = 0; r < 2; r++)
        {
          float top = numbers[r * WG_THREADS], high = fmaxf (state.top[r], top);
          factor[r] = ex2 (state.top[r] - high);
          other[r] = ex2 (top - high);
          state.sum[r] = state.sum[r] * factor[r] + numbers[(2 + r) * WG_THREADS] * other[r];
        }
#pragma unroll
      for (int i = 0; i < D / 2; i++)
        state.o[i] = state.o[i] * factor[i >> 1 & 1] + o[i * WG_THREADS] * other[i >> 1 & 1];
    }
}

/* The warpgroup's rows, divided by their sums, through TILE to global memory; rows past the end stay away. */
DEVICE void
store_rows (const State &state, unsigned char *tile, const CUtensorMap *map_o, int wg, int thread, int head, int row0)
{
  const int lane = thread % 32, row = thread / 32 * 16 + lane / 4;

  /* The tile's last store has read it, and so has every warp that joins a half. */
  if (thread == 0)
    tma_store_wait_read<0> ();
  named_barrier (STORE_BARRIER + wg, WG_THREADS);
#pragma unroll
  for (int r = 0; r < 2; r++)
    {
      float total = state.sum[r];
      total += warp_shuffle_xor (total, 1);
      total += warp_shuffle_xor (total, 2);
      float inverse = 1 / total;
#pragma unroll
      for (int i = 0; i < D / 8; i++)
        *(uint32_t *)(tile + (i / 8) * WG_ROWS * ROW + (row + 8 * r) * ROW + (((i % 8) ^ (row & 7)) << 4) + lane % 4 * 4) =
            pack_bf16x2 (state.o[4 * i + 2 * r] * inverse, state.o[4 * i + 2 * r + 1] * inverse);
    }
  fence_async ();
  named_barrier (STORE_BARRIER + wg, WG_THREADS);
  if (thread == 0)
    {
      for (int i = 0; i < 2; i++)
        tma_store (map_o, smem_addr (tile) + i * WG_ROWS * ROW, i * HALF_D, head, row0);
      tma_store_commit ();
    }
}

/* A place in the ring of stages. */
template <int STAGES>
struct Place
{
  int stage, parity;

  DEVICE void
  advance (int n)
  {
    stage += n;
    parity ^= stage / STAGES & 1;
    stage %= STAGES;
  }
};

/* This warpgroup has read what the barrier BAR guards. */
DEVICE void
release (uint32_t bar, int thread)
{
  if (thread == 0)
    mbarrier_arrive (bar);
}

/* Output, tops and sums of the 64 rows at Q over keys key0 ... key0 + N - 1 of every block of BN. */
template <int N, int BN, int STAGES>
DEVICE void
walk_keys (State &state, const Layout<BN, STAGES> &l, Place<STAGES> at, uint32_t q, int key0, const HopperArgs &a,
           int n_blocks, int wg, int thread)
{
  constexpr int TILE = Layout<BN, STAGES>::TILE;
  float s[N / 2], factor[2];
  uint32_t p[N / 4];

  auto start_scores = [&] (int stage) {
    wgmma_fence ();
#pragma unroll
    for (int c = 0; c < D / 16; c++)
      wgmma_ss<0> (s, wgmma_operand (q + c / 4 * WG_ROWS * ROW + c % 4 * 32, 16, 1024),
                   wgmma_operand (l.k + stage * TILE + key0 * ROW + c / 4 * BN * ROW + c % 4 * 32, 16, 1024), c > 0);
    wgmma_commit ();
  };
  auto start_output = [&] (int stage) {
    wgmma_fence ();
#pragma unroll
    for (int c = 0; c < N / 16; c++)
      wgmma_rs<1> (state.o, &p[4 * c], wgmma_operand (l.v + stage * TILE + (key0 + c * 16) * ROW, BN * ROW, 1024), 1);
    wgmma_commit ();
  };
  auto mask_end = [&] (int block) {
    if ((block + 1) * BN > a.n)
      {
#pragma unroll
        for (int i = 0; i < N / 2; i++)
          if (block * BN + key0 + i / 4 * 8 + thread % 4 * 2 + i % 2 >= a.n)
            s[i] = -INFINITY;
      }
  };
  auto pack = [&] (void) {
#pragma unroll
    for (int i = 0; i < N / 4; i++)
      p[i] = pack_bf16x2 (s[2 * i], s[2 * i + 1]);
  };

#pragma unroll
  for (int i = 0; i < D / 2; i++)
    state.o[i] = 0;
  /* Finite, for halves of blocks that have no key at all. */
  state.top[0] = state.top[1] = -1e30f;
  state.sum[0] = state.sum[1] = 0;

  mbarrier_wait (l.k_full (at.stage), at.parity);
  start_scores (at.stage);
  wgmma_wait<0> ();
  wgmma_fence_registers (s);
  release (l.k_free (at.stage), thread);
  if (n_blocks == 1)
    release (l.q_free (), thread);
  mask_end (0);
  softmax<N> (s, state, factor, a.scale);
  pack ();

  for (int j = 1; j < n_blocks; j++)
    {
      const Place<STAGES> before = at;

      at.advance (1);
      mbarrier_wait (l.k_full (at.stage), at.parity);
      named_barrier (TURN_BARRIER + wg, 2 * WG_THREADS);
      start_scores (at.stage);
      mbarrier_wait (l.v_full (before.stage), before.parity);
      start_output (before.stage);
      named_barrier_arrive (TURN_BARRIER + 1 - wg, 2 * WG_THREADS);
      wgmma_wait<1> ();
      wgmma_fence_registers (s);
      release (l.k_free (at.stage), thread);
      if (j + 1 == n_blocks)
        release (l.q_free (), thread);
      mask_end (j);
      bool is_raised = softmax<N> (s, state, factor, a.scale);
      wgmma_wait<0> ();
      wgmma_fence_registers (state.o);
      release (l.v_free (before.stage), thread);
      if (is_raised)
        rescale (state, factor);
      pack ();
    }
  mbarrier_wait (l.v_full (at.stage), at.parity);
  start_output (at.stage);
  wgmma_wait<0> ();
  wgmma_fence_registers (state.o);
  release (l.v_free (at.stage), thread);
}

/* One of the two computing warpgroups. */
template <int BN, int STAGES>
DEVICE void
consume (const Layout<BN, STAGES> &l, const CUtensorMap *map_o, const HopperArgs &a)
{
  const int wg = threadIdx.x / WG_THREADS - 1, thread = threadIdx.x % WG_THREADS, n_blocks = (a.n + BN - 1) / BN;
  Place<STAGES> first = { 0, 0 };
  AttentionPiece piece;

  /* The first turn is the first warpgroup's. */
  if (wg == 1)
    named_barrier_arrive (TURN_BARRIER, 2 * WG_THREADS);

  for (int index = 0; attention_piece (&piece, a.pieces, (int)blockIdx.x, index); index++)
    {
      State state;

      mbarrier_wait (l.q_full (), index & 1);
      if (piece.is_half)
        {
          walk_keys<BN / 2, BN, STAGES> (state, l, first, l.q, wg * (BN / 2), a, n_blocks, wg, thread);
          join_halves (state, l, wg, thread);
        }
      else
        walk_keys<BN, BN, STAGES> (state, l, first, l.q + wg * Q_TILE, 0, a, n_blocks, wg, thread);
      if (!piece.is_half || wg == 0)
        store_rows (state, l.o + wg * Q_TILE, map_o, wg, thread, piece.head,
                    piece.row0 + wg * WG_ROWS);
      first.advance (n_blocks);
    }
  /* Shared memory stays until it has been read. */
  if (thread == 0)
    tma_store_wait_read<0> ();
}

template <int BN, int STAGES>
static __global__ void __launch_bounds__ (3 * WG_THREADS, 1)
    attention_hopper_kernel (const __grid_constant__ CUtensorMap map_q, const __grid_constant__ CUtensorMap map_k,
                             const __grid_constant__ CUtensorMap map_v, const __grid_constant__ CUtensorMap map_o,
                             const HopperArgs a)
{
#if HOPPER_CODE
  DYNAMIC_SHARED (smem);
  const Layout<BN, STAGES> l (smem);

  if (threadIdx.x == 0)
    {
      mbarrier_init (l.q_full (), 1);
      mbarrier_init (l.q_free (), 2);
      for (int s = 0; s < STAGES; s++)
        {
          mbarrier_init (l.k_full (s), 1);
          mbarrier_init (l.v_full (s), 1);
          mbarrier_init (l.k_free (s), 2);
          mbarrier_init (l.v_free (s), 2);
        }
      mbarrier_init_fence ();
      tma_prefetch_map (&map_q);
      tma_prefetch_map (&map_k);
      tma_prefetch_map (&map_v);
    }
  block_barrier ();

  if (threadIdx.x < WG_THREADS)
    {
      warpgroup_registers_down<40> ();
      if (threadIdx.x == 0)
        produce_keys (l, &map_k, &map_v, a);
      else if (threadIdx.x == 32)
        produce_rows (l, &map_q, a);
      __syncwarp ();
    }
  else
    {
      warpgroup_registers_up<232> ();
      consume (l, &map_o, a);
    }
#else
  hopper_trap ();
#endif
}

/* --- on the host --- */

template <int BN, int STAGES>
static int
run (const CudaCard *card, CudaStream stream, const CudaAttention *a)
{
  constexpr size_t SMEM = hopper_smem<BN, STAGES> ();
  void (*const kernel) (CUtensorMap, CUtensorMap, CUtensorMap, CUtensorMap, HopperArgs) = attention_hopper_kernel<BN, STAGES>;
  HopperArgs args = {};
  CUtensorMap maps[4];

  args.pieces = attention_pieces (a->heads, (int)a->m, 2 * WG_ROWS, card->n_sms);
  args.group = a->heads / a->kv_heads;
  args.n = (int)a->n;
  args.scale = a->scale * 1.4426950408889634f;

  const struct
  {
    const cuda_bf16 *base;
    int64_t ld, rows;
    int heads, box;
  } tensors[4] = {
    { a->q, a->ldq, a->m, a->heads, WG_ROWS },
    { a->k, a->ldk, a->n, a->kv_heads, BN },
    { a->v, a->ldv, a->n, a->kv_heads, BN },
    { a->o, a->ldo, a->m, a->heads, WG_ROWS },
  };
  for (int i = 0; i < 4; i++)
    {
      const uint64_t dims[3] = { D, (uint64_t)tensors[i].heads, (uint64_t)tensors[i].rows };
      const uint64_t strides[2] = { D * 2, (uint64_t)tensors[i].ld * 2 };
      const uint32_t box[3] = { HALF_D, 1, (uint32_t)tensors[i].box };
      int error = tensor_map_bf16 (card, &maps[i], tensors[i].base, 3, dims, strides, box);
      if (error)
        return error;
    }

  return launch_kernel (kernel, dim3 ((unsigned)args.pieces.n_workers), 3 * WG_THREADS, SMEM, stream, maps[0], maps[1], maps[2],
                        maps[3], args);
}

/* What the names stand for; "hopper" is the first (SPEED.md: the ways that lost). */
static int (*const variants[]) (const CudaCard *card, CudaStream stream, const CudaAttention *a) = { run<160, 2>, run<128, 2> };

const char *const zie_cuda_attention_hopper_variants[] = { "hopper-160-turns", "hopper-128-turns", NULL };

extern "C" int
zie_cuda_hopper_is_built (void)
{
  cudaFuncAttributes attributes;
  int device, major = 0, minor = 0;

  /* Code for other targets, and what the driver makes of their PTX, has a ptxVersion below 90. */
  if (cudaGetDevice (&device) != cudaSuccess
      || cudaDeviceGetAttribute (&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess
      || cudaDeviceGetAttribute (&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess
      || cudaFuncGetAttributes (&attributes, (const void *)attention_hopper_kernel<160, 2>) != cudaSuccess)
    {
      cudaGetLastError ();     /* not the next launch's */
      return 0;
    }
  return major == 9 && minor == 0 && attributes.ptxVersion == 90;
}

static bool
is_aligned (const void *p, int64_t ld)
{
  return (uintptr_t)p % 16 == 0 && ld % 8 == 0;
}

extern "C" int
zie_cuda_attention_hopper_serves (const CudaCard *card, const CudaAttention *a)
{
  return card->cc == 90 && card->allow_hopper && card->encode_tiled && a->d == D && !a->causal && a->m > 0 &&
         is_aligned (a->q, a->ldq) && is_aligned (a->k, a->ldk) && is_aligned (a->v, a->ldv) &&
         is_aligned (a->o, a->ldo);
}

extern "C" int
zie_cuda_attention_hopper (const CudaCard *card, CudaStream stream, const CudaAttention *a, const char *name)
{
  for (int i = 0; zie_cuda_attention_hopper_variants[i]; i++)
    if (!strcmp (name, "hopper") || !strcmp (name, zie_cuda_attention_hopper_variants[i]))
      return variants[i] (card, stream, a);
  return (int)cudaErrorInvalidValue;
}
