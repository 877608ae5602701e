/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-hopper.h"
#include "gemm-private.h"
#include "gemm-tile.cuh"

/* y = x w^T + bias on Hopper: wgmma fed by TMA.  A block computes 128 x BN of y in steps of 64 elements of K through a ring of
 * stages; two blocks of a cluster lie one below the other and share w: each loads half of it, for both, so that L2 gives
 * 32 bytes a clock to an SM and not 48, more than it has.  Blocks stay and take one tile after another.
 *
 * Warpgroup 0: a thread that starts copies.  Warpgroups 1 and 2: products of 64 rows each, a step or two apart, so that one
 * stores while the other multiplies. */

enum { ROWS = 128, STEP = 64, CLUSTER = 2, THREADS = 384, APART = 1 };

template <int BN_>
struct GemmHopperTile
{
  static constexpr int BN = BN_;
  static constexpr int A_SIZE = ROWS * 128, B_SIZE = BN * 128, STAGE_SIZE = A_SIZE + B_SIZE;
  static constexpr int STAGES = 200 * 1024 / STAGE_SIZE;
  static constexpr int SMEM = 1024 + STAGES * STAGE_SIZE + 16 * STAGES;
};

/* Tiles are taken by clusters: pairs of row tiles, GROUP of them along the columns together, so that what they read stays in
 * L2. */
typedef struct
{
  CudaGemm g;
  int pairs, cols, group;
} GemmHopper;

DEVICE void
gemm_job (const GemmHopper &p, int j, int rank, int bn, int *row0, int *col0)
{
  int group = j / (p.group * p.cols), first = group * p.group, rows = min (p.group, p.pairs - first);

  j -= group * p.group * p.cols;
  *row0 = ((first + j % rows) * CLUSTER + rank) * ROWS;                /* may lie below x: it loads zeros and stores nothing */
  *col0 = j / rows * bn;
}

template <class Tile, bool F32>
__global__ void CLUSTER_OF (CLUSTER) __launch_bounds__ (THREADS, 1)
gemm_hopper_kernel (const __grid_constant__ CUtensorMap map_x, const __grid_constant__ CUtensorMap map_w, const GemmHopper p)
{
#if HOPPER_CODE
  constexpr int BN = Tile::BN, STAGES = Tile::STAGES;
  DYNAMIC_SHARED (smem);
  const uint32_t stages = (smem_addr (smem) + 1023) & ~1023u;
  const uint32_t ready = stages + STAGES * Tile::STAGE_SIZE, free = ready + 8 * STAGES;
  const int warpgroup = threadIdx.x >> 7, lane = threadIdx.x & 31, rank = (int)cluster_rank ();
  const int n_steps = (int)((p.g.k + STEP - 1) / STEP), n_jobs = p.pairs * p.cols;

  if (threadIdx.x == 0)
    {
      for (int i = 0; i < STAGES; i++)
        {
          mbarrier_init (ready + 8 * i, 1);
          mbarrier_init (free + 8 * i, 8 * CLUSTER);
        }
      mbarrier_init_fence ();
      tma_prefetch_map (&map_x);
      tma_prefetch_map (&map_w);
    }
  cluster_barrier ();

  if (warpgroup == 0)
    {
      warpgroup_registers_down<40> ();
      if (threadIdx.x == 0)
        {
          uint32_t stage = 0, parity = 1;
          for (int j = blockIdx.x / CLUSTER; j < n_jobs; j += gridDim.x / CLUSTER)
            {
              int row0, col0;
              gemm_job (p, j, rank, BN, &row0, &col0);
              for (int step = 0; step < n_steps; step++)
                {
                  uint32_t a = stages + stage * Tile::STAGE_SIZE, b = a + Tile::A_SIZE + rank * (Tile::B_SIZE / CLUSTER);
                  mbarrier_wait (free + 8 * stage, parity);
                  mbarrier_expect (ready + 8 * stage, Tile::STAGE_SIZE);
                  tma_load (a, &map_x, ready + 8 * stage, step * STEP, row0);
                  tma_load_multicast (b, &map_w, ready + 8 * stage, (1 << CLUSTER) - 1, step * STEP, col0 + rank * (BN / CLUSTER));
                  if (++stage == STAGES)
                    stage = 0, parity ^= 1;
                }
            }
        }
    }
  else
    {
      warpgroup_registers_up<232> ();
      const int half = warpgroup - 1, warp = threadIdx.x >> 5 & 3;
      const bool aligned = F32 ? p.g.ldy % 2 == 0 : p.g.ldy % 8 == 0;
      uint32_t stage = 0, parity = 0, before = 0;
      bool is_first = true;
      float d[BN / 2];

      auto free_stage = [&] (uint32_t which) {
        if (lane == 0)
          {
            mbarrier_arrive (free + 8 * which);
            mbarrier_arrive_cluster (free + 8 * which, rank ^ 1);
          }
      };

      if (half == 1)
        named_barrier (1, 256);                /* a step after the other half */
      for (int j = blockIdx.x / CLUSTER; j < n_jobs; j += gridDim.x / CLUSTER)
        {
          int row0, col0;
          gemm_job (p, j, rank, BN, &row0, &col0);

#pragma unroll 1
          for (int step = 0; step < n_steps; step++)
            {
              uint32_t a = stages + stage * Tile::STAGE_SIZE;
              uint64_t da = wgmma_operand (a + half * 64 * 128, 16, 1024), db = wgmma_operand (a + Tile::A_SIZE, 16, 1024);

              mbarrier_wait (ready + 8 * stage, parity);
              wgmma_fence ();
#pragma unroll
              for (int k = 0; k < STEP / 16; k++)
                wgmma_ss<0> (d, da + 2 * k, db + 2 * k, step + k > 0);
              wgmma_commit ();
              if (half == 0 && is_first && (step == APART || step == n_steps - 1))
                {
                  named_barrier_arrive (1, 256);
                  is_first = false;
                }
              if (step > 0)
                {
                  wgmma_wait<1> ();            /* the step before this one */
                  free_stage (before);
                }
              before = stage;
              if (++stage == STAGES)
                stage = 0, parity ^= 1;
            }
          wgmma_wait<0> ();
          free_stage (before);

          if (p.g.bias)
#pragma unroll
            for (int i = 0; i < BN / 8; i++)
#pragma unroll
              for (int e = 0; e < 2; e++)
                {
                  int64_t at = col0 + 8 * i + 2 * (lane & 3) + e;
                  float bias = at < p.g.n ? p.g.bias[at] : 0;
                  d[4 * i + e] += bias;
                  d[4 * i + 2 + e] += bias;
                }
#pragma unroll
          for (int line = 0; line < 2; line++)
            {
              int64_t row = row0 + half * 64 + warp * 16 + line * 8 + (lane >> 2);
              store_row<BN / 8, F32> (p.g.y, row * p.g.ldy, col0, (int)p.g.n, (const float (*)[4])d, 2 * line, row < p.g.m, aligned);
            }
        }
    }
  __syncwarp ();                               /* the thread that copies, and the others of its warp */
  cluster_barrier ();                          /* nobody leaves while its neighbour may still write here */
#else
  hopper_trap ();
#endif
}

template <class Tile>
static int
launch (const CudaCard *card, CudaStream stream, const CudaGemm *g)
{
  const uint64_t dims_x[2] = { (uint64_t)g->k, (uint64_t)g->m }, strides_x[1] = { (uint64_t)g->ldx * 2 };
  const uint64_t dims_w[2] = { (uint64_t)g->k, (uint64_t)g->n }, strides_w[1] = { (uint64_t)g->ldw * 2 };
  const uint32_t box_x[2] = { STEP, ROWS }, box_w[2] = { STEP, Tile::BN / CLUSTER };
  CUtensorMap map_x, map_w;
  GemmHopper p = { *g };
  int error, groups;

  p.pairs = (int)((g->m + ROWS * CLUSTER - 1) / (ROWS * CLUSTER));
  p.cols = (int)((g->n + Tile::BN - 1) / Tile::BN);
  groups = (p.pairs + 9) / 10;
  p.group = (p.pairs + groups - 1) / groups;
  if ((error = tensor_map_bf16 (card, &map_x, g->x, 2, dims_x, strides_x, box_x)))
    return error;
  if ((error = tensor_map_bf16 (card, &map_w, g->w, 2, dims_w, strides_w, box_w)))
    return error;
  return launch_kernel (g->y_is_f32 ? gemm_hopper_kernel<Tile, true> : gemm_hopper_kernel<Tile, false>,
                        dim3 ((unsigned)min (p.pairs * p.cols, card->n_sms / CLUSTER) * CLUSTER), THREADS, Tile::SMEM, stream, map_x,
                        map_w, p);
}

bool
cuda_gemm_hopper_takes (const CudaCard *card, const CudaGemm *g, CudaKernelChoice choice)
{
  bool fits = g->ldx % 8 == 0 && g->ldw % 8 == 0 && (uintptr_t)g->x % 16 == 0 && (uintptr_t)g->w % 16 == 0;

  if (card->cc != 90 || !card->allow_hopper || !card->encode_tiled || !fits)
    return false;
  return choice == CUDA_KERNEL_HOPPER || (g->m > ROWS && g->n >= 128);
}

/* Rounds of all clusters over the tiles, each as long as its sums, up to a factor. */
template <class Tile>
static double
estimate (const CudaCard *card, const CudaGemm *g, double rate)
{
  double jobs = (double)((g->m + ROWS * CLUSTER - 1) / (ROWS * CLUSTER)) * (double)((g->n + Tile::BN - 1) / Tile::BN);

  return ceil (jobs / (card->n_sms / CLUSTER)) * Tile::BN / rate;
}

int
cuda_gemm_hopper (const CudaCard *card, CudaStream stream, const CudaGemm *g)
{
  double wide = estimate<GemmHopperTile<256>> (card, g, 1), medium = estimate<GemmHopperTile<192>> (card, g, 0.95);
  double narrow = estimate<GemmHopperTile<128>> (card, g, 0.85);

  if (wide <= medium && wide <= narrow)
    return launch<GemmHopperTile<256>> (card, stream, g);
  return medium <= narrow ? launch<GemmHopperTile<192>> (card, stream, g) : launch<GemmHopperTile<128>> (card, stream, g);
}
