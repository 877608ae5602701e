/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-hopper.h"
#include "gemm-private.h"
#include "gemm-tile.cuh"

/* Convolution on Hopper: wgmma fed by TMA.  A block computes a tile of 16 x 16 output pixels by 128 channels, in chunks of 64
 * input channels.  The 18 x 18 pixels that the tile sees of a chunk lie once in shared memory, one after another in rows
 * of 128 bytes, zero outside of the picture as TMA leaves them.  wgmma reads 8 x 8 pixels as the 64 rows of A: a group of 8
 * rows is 8 neighbours, the next group the line of pixels below, 18 rows further; so each tap is the same copy read from
 * another first pixel, and x passes L2 once a tile and not nine times.  (The swizzle follows the bits of the address itself, so
 * that a group may begin at any row.)  The weights of a tap pass through a ring; two blocks of a cluster with the same channels
 * each load half of them, for both.
 *
 * Warpgroup 0: a thread that starts copies, and three warps that normalise and activate the pixels where they lie, ahead of
 * their use.  Warpgroups 1 and 2: products, an upper and a lower half of the tile; they run some taps apart, so that one
 * stores while the other multiplies. */

enum
{
  TILE = 16, HALO = TILE + 2, CHANNELS = 128, CHUNK = 64,
  HALO_BYTES = HALO * HALO * 128, HALO_SIZE = (HALO_BYTES + 1023) / 1024 * 1024, HALOS = 2,
  STAGE_SIZE = CHANNELS * 128, STAGES = 8,
  CLUSTER = 2,
  ACTIVATORS = 96, THREADS = 384, APART = 4,
  SMEM = 1024 + HALOS * HALO_SIZE + STAGES * STAGE_SIZE + 8 * (3 * HALOS + 2 * STAGES),
};

typedef struct
{
  cuda_bf16 *y;
  const cuda_bf16 *residual;   /* or NULL */
  const float *bias, *scale, *shift;
  int64_t out_w, row0, rows;   /* of the output */
  int h, w, in, out, out_padded;
  int y0;                      /* first row of tiles; with phases in rows of the small picture */
  int tiles_x, tiles_xy, tiles_n, n_jobs;
} ConvHopper;

/* Tile J of the launch for the block with number RANK in its cluster: channels first, then phases, so that blocks which read the
 * same pixels run together. */
typedef struct
{
  int y, x, n0, phase;
} ConvJob;

template <int KSIZE>
DEVICE ConvJob
conv_job (const ConvHopper &p, int j, int rank)
{
  int rest = j / p.tiles_n, tile;
  ConvJob job;

  job.n0 = j % p.tiles_n * CHANNELS;
  job.phase = KSIZE == 2 ? rest & 3 : 0;
  tile = (KSIZE == 2 ? rest >> 2 : rest) * CLUSTER + rank;             /* may lie below the picture: it loads zeros and stores nothing */
  job.y = p.y0 + tile / p.tiles_x * TILE;
  job.x = tile % p.tiles_x * TILE;
  return job;
}

/* The way out of one row of sums of a warp, which are a line of 8 pixels: lane's pixel lane / 4, a quarter of its channels.  HALF:
 * the warp's rows g or g + 8, of which d has columns 8j + 2t and the next one at 4j + 2 HALF. */
struct ConvRow
{
  uint4 residual[4];
  int64_t at;                  /* of the pixel's first channel in y, -1 outside */
};

/* Y, X: the pixel, where a phase has its own pixels in the small picture. */
template <int KSIZE>
DEVICE void
row_begin (ConvRow &row, const ConvHopper &p, const ConvJob &job, int y, int x)
{
  int64_t out_y = KSIZE == 2 ? 2 * y + (job.phase >> 1) : y, out_x = KSIZE == 2 ? 2 * x + (job.phase & 1) : x;
  bool inside = out_y >= p.row0 && out_y < p.row0 + p.rows && out_x < p.out_w;

  row.at = inside ? ((out_y - p.row0) * p.out_w + out_x) * p.out : -1;
  if (!p.residual)
    return;
#pragma unroll
  for (int j = 0; j < 4; j++)
    {
      int col = job.n0 + 32 * j + 8 * (int)(threadIdx.x & 3);
      row.residual[j] = inside && col < p.out ? load16 (p.residual + row.at + col) : make_uint4 (0, 0, 0, 0);
    }
}

template <int HALF>
DEVICE void
row_add (const ConvRow &row, const ConvHopper &p, const ConvJob &job, float (&d)[64])
{
  if (p.bias)
#pragma unroll
    for (int j = 0; j < 16; j++)
      {
        int col = job.n0 + 8 * j + 2 * (int)(threadIdx.x & 3);
        float2 bias = col < p.out ? *(const float2 *)(p.bias + col) : make_float2 (0, 0);
        d[4 * j + 2 * HALF] += bias.x;
        d[4 * j + 2 * HALF + 1] += bias.y;
      }
  if (p.residual)
#pragma unroll
    for (int j = 0; j < 4; j++)
      {
        uint32_t v[4] = { row.residual[j].x, row.residual[j].y, row.residual[j].z, row.residual[j].w };
        quad_transpose (v);
#pragma unroll
        for (int i = 0; i < 4; i++)
          {
            d[16 * j + 4 * i + 2 * HALF] += bf16_lo (v[i]);
            d[16 * j + 4 * i + 2 * HALF + 1] += bf16_hi (v[i]);
          }
      }
}

template <int HALF>
DEVICE void
row_store (int64_t at, const ConvHopper &p, const ConvJob &job, const float (&d)[64])
{
#pragma unroll
  for (int j = 0; j < 4; j++)
    {
      uint32_t v[4];
      int col = job.n0 + 32 * j + 8 * (int)(threadIdx.x & 3);
#pragma unroll
      for (int i = 0; i < 4; i++)
        v[i] = pack_bf16x2 (d[16 * j + 4 * i + 2 * HALF], d[16 * j + 4 * i + 2 * HALF + 1]);
      quad_transpose (v);
      if (at >= 0 && col < p.out)
        store16 (p.y + at + col, make_uint4 (v[0], v[1], v[2], v[3]));
    }
}

template <int KSIZE>
__global__ void CLUSTER_OF (CLUSTER) __launch_bounds__ (THREADS, 1)
conv_hopper_kernel (const __grid_constant__ CUtensorMap map_x, const __grid_constant__ CUtensorMap map_w, const ConvHopper p)
{
#if HOPPER_CODE
  constexpr int TAPS = KSIZE * KSIZE;
  DYNAMIC_SHARED (smem);
  const uint32_t base = (smem_addr (smem) + 1023) & ~1023u;
  const uint32_t halos = base, stages = halos + HALOS * HALO_SIZE;
  const uint32_t halo_loaded = stages + STAGES * STAGE_SIZE, halo_ready = halo_loaded + 8 * HALOS, halo_free = halo_ready + 8 * HALOS;
  const uint32_t stage_ready = halo_free + 8 * HALOS, stage_free = stage_ready + 8 * STAGES;
  const int warpgroup = threadIdx.x >> 7, warp = threadIdx.x >> 5 & 3, lane = threadIdx.x & 31, rank = (int)cluster_rank ();
  const int n_chunks = (p.in + CHUNK - 1) / CHUNK, first = blockIdx.x / CLUSTER, step = gridDim.x / CLUSTER;

  if (threadIdx.x == 0)
    {
      for (int i = 0; i < HALOS; i++)
        {
          mbarrier_init (halo_loaded + 8 * i, 1);
          mbarrier_init (halo_ready + 8 * i, ACTIVATORS);
          mbarrier_init (halo_free + 8 * i, 8);
        }
      for (int i = 0; i < STAGES; i++)
        {
          mbarrier_init (stage_ready + 8 * i, 1);
          mbarrier_init (stage_free + 8 * i, 8 * CLUSTER);
        }
      mbarrier_init_fence ();
      tma_prefetch_map (&map_x);
      tma_prefetch_map (&map_w);
    }
  cluster_barrier ();

  if (warpgroup == 0)
    {
      warpgroup_registers_down<88> ();
      if (threadIdx.x == 0)
        {
          uint32_t chunk_count = 0, tap_count = 0;
          for (int j = first; j < p.n_jobs; j += step)
            {
              ConvJob job = conv_job<KSIZE> (p, j, rank);
              for (int chunk = 0; chunk < n_chunks; chunk++, chunk_count++)
                {
                  uint32_t halo = chunk_count % HALOS;
                  mbarrier_wait (halo_free + 8 * halo, (chunk_count / HALOS & 1) ^ 1);
                  mbarrier_expect (halo_loaded + 8 * halo, HALO_BYTES);
                  tma_load (halos + halo * HALO_SIZE, &map_x, halo_loaded + 8 * halo, chunk * CHUNK, job.x - 1, job.y - 1);
                  for (int tap = 0; tap < TAPS; tap++, tap_count++)
                    {
                      uint32_t stage = tap_count % STAGES;
                      int row = (job.phase * TAPS + tap) * p.out_padded + job.n0 + rank * (CHANNELS / CLUSTER);
                      mbarrier_wait (stage_free + 8 * stage, (tap_count / STAGES & 1) ^ 1);
                      mbarrier_expect (stage_ready + 8 * stage, STAGE_SIZE);
                      tma_load_multicast (stages + stage * STAGE_SIZE + rank * (STAGE_SIZE / CLUSTER), &map_w, stage_ready + 8 * stage,
                                          (1 << CLUSTER) - 1, chunk * CHUNK, row);
                    }
                }
            }
        }
      else if (warp > 0 && p.scale)
        {
          const int thread = threadIdx.x - 32, piece = thread % 8;
          uint32_t chunk_count = 0;
          for (int j = first; j < p.n_jobs; j += step)
            {
              ConvJob job = conv_job<KSIZE> (p, j, rank);
              for (int chunk = 0; chunk < n_chunks; chunk++, chunk_count++)
                {
                  uint32_t halo = chunk_count % HALOS;
                  unsigned char *pixels = smem + (halos - smem_addr (smem)) + halo * HALO_SIZE;
                  int channel = chunk * CHUNK + piece * 8;
                  bool is_channel = channel < p.in;
                  float scale[8], shift[8];
#pragma unroll
                  for (int i = 0; i < 8; i += 4)
                    {
                      float4 a = is_channel ? *(const float4 *)(p.scale + channel + i) : make_float4 (0, 0, 0, 0);
                      float4 b = is_channel ? *(const float4 *)(p.shift + channel + i) : make_float4 (0, 0, 0, 0);
                      scale[i] = a.x, scale[i + 1] = a.y, scale[i + 2] = a.z, scale[i + 3] = a.w;
                      shift[i] = b.x, shift[i + 1] = b.y, shift[i + 2] = b.z, shift[i + 3] = b.w;
                    }
                  mbarrier_wait (halo_loaded + 8 * halo, chunk_count / HALOS & 1);
#pragma unroll 3
                  for (int pixel = thread / 8; pixel < HALO * HALO; pixel += ACTIVATORS / 8)
                    {
                      int y = job.y - 1 + pixel / HALO, x = job.x - 1 + pixel % HALO;
                      if (!is_channel || (unsigned)y >= (unsigned)p.h || (unsigned)x >= (unsigned)p.w)
                        continue;              /* stays 0 */
                      unsigned char *at = pixels + tile_offset<128> (pixel, piece);
                      float v[8];
                      unpack_bf16x8 (v, load16 (at));
#pragma unroll
                      for (int i = 0; i < 8; i++)
                        v[i] = fast_silu (fmaf (v[i], scale[i], shift[i]));
                      store16 (at, pack_bf16x8 (v));
                    }
                  fence_async ();
                  mbarrier_arrive (halo_ready + 8 * halo);
                }
            }
        }
    }
  else
    {
      warpgroup_registers_up<208> ();
      const int half = warpgroup - 1;
      const uint32_t full = p.scale ? halo_ready : halo_loaded;
      uint32_t chunk_count = 0, tap_count = 0;
      float d0[64], d1[64];                    /* 8 x 8 pixels to the left, and to the right */

      auto free_stage = [&] (uint32_t count) {
        if (lane == 0)
          {
            uint32_t bar = stage_free + 8 * (count % STAGES);
            mbarrier_arrive (bar);
            mbarrier_arrive_cluster (bar, rank ^ 1);
          }
      };
      auto free_halo = [&] (uint32_t count) {
        if (lane == 0)
          mbarrier_arrive (halo_free + 8 * (count % HALOS));
      };

      if (half == 1)
        named_barrier (1, 256);                /* half a tile's first taps later */
      for (int j = first; j < p.n_jobs; j += step)
        {
          ConvJob job = conv_job<KSIZE> (p, j, rank);
          int is_adding = 0;

          for (int chunk = 0; chunk < n_chunks; chunk++, chunk_count++)
            {
              uint32_t halo = chunk_count % HALOS;
              mbarrier_wait (full + 8 * halo, chunk_count / HALOS & 1);
#pragma unroll 1
              for (int tap = 0; tap < TAPS; tap++, tap_count++)
                {
                  uint32_t stage = tap_count % STAGES;
                  int ky = KSIZE == 2 ? tap / 2 + (job.phase >> 1) : tap / 3, kx = KSIZE == 2 ? tap % 2 + (job.phase & 1) : tap % 3;
                  uint64_t a = wgmma_operand (halos + halo * HALO_SIZE + ((half * 8 + ky) * HALO + kx) * 128, 16, HALO * 128);
                  uint64_t b = wgmma_operand (stages + stage * STAGE_SIZE, 16, 1024);

                  mbarrier_wait (stage_ready + 8 * stage, tap_count / STAGES & 1);
                  wgmma_fence ();
#pragma unroll
                  for (int k = 0; k < CHUNK / 16; k++)
                    {
                      /* The address is in the descriptor's low bits, in units of 16 bytes. */
                      wgmma_ss<0> (d0, a + 2 * k, b + 2 * k, is_adding);
                      wgmma_ss<0> (d1, a + 2 * k + 8 * 128 / 16, b + 2 * k, is_adding);
                      is_adding = 1;
                    }
                  wgmma_commit ();
                  if (half == 0 && tap_count == APART)
                    named_barrier_arrive (1, 256);
                  if (tap + chunk > 0)
                    {
                      wgmma_wait<1> ();        /* the tap before this one */
                      free_stage (tap_count - 1);
                      if (tap == 0)
                        free_halo (chunk_count - 1);
                    }
                }
            }
          /* Each line's residual is asked for before the line before it is stored: y may be the residual, so the compiler
           * could not. */
          const int y = job.y + half * 8 + warp * 2, x = job.x + (lane >> 2);
          ConvRow row;
          int64_t at;
          row_begin<KSIZE> (row, p, job, y, x);
          wgmma_wait<0> ();
          free_stage (tap_count - 1);
          free_halo (chunk_count - 1);

          row_add<0> (row, p, job, d0), at = row.at;
          row_begin<KSIZE> (row, p, job, y + 1, x);
          row_store<0> (at, p, job, d0);
          row_add<1> (row, p, job, d0), at = row.at;
          row_begin<KSIZE> (row, p, job, y, x + 8);
          row_store<1> (at, p, job, d0);
          row_add<0> (row, p, job, d1), at = row.at;
          row_begin<KSIZE> (row, p, job, y + 1, x + 8);
          row_store<0> (at, p, job, d1);
          row_add<1> (row, p, job, d1);
          row_store<1> (row.at, p, job, d1);
        }
      /* A block with fewer taps than that keeps nobody waiting. */
      if (half == 0 && tap_count <= APART)
        named_barrier_arrive (1, 256);
    }
  __syncwarp ();                               /* the thread that copies, and the others of its warp */
  cluster_barrier ();                          /* nobody leaves while its neighbour may still write here */
#else
  hopper_trap ();
#endif
}

bool
cuda_conv_hopper_takes (const CudaCard *card, const CudaConv *c, CudaKernelChoice choice)
{
  bool fits = c->in % 8 == 0 && c->out % 8 == 0 && !c->y_is_f32 && c->ksize == 3 && c->stride == 1;

  if (card->cc != 90 || !card->allow_hopper || !card->encode_tiled || !fits)
    return false;
  return choice == CUDA_KERNEL_HOPPER || c->out >= 64;
}

template <int KSIZE>
static int
launch (const CudaCard *card, CudaStream stream, const CudaConv *c, int in_padded, int out_padded)
{
  const int phases = c->upsample ? 4 : 1;
  const uint64_t dims_x[3] = { (uint64_t)c->in, (uint64_t)c->w, (uint64_t)c->h };
  const uint64_t strides_x[2] = { (uint64_t)c->in * 2, (uint64_t)(c->in * c->w) * 2 };
  const uint32_t box_x[3] = { CHUNK, HALO, HALO };
  const uint64_t dims_w[2] = { (uint64_t)in_padded, (uint64_t)phases * KSIZE * KSIZE * out_padded };
  const uint64_t strides_w[1] = { (uint64_t)in_padded * 2 };
  const uint32_t box_w[2] = { CHUNK, CHANNELS / CLUSTER };
  CUtensorMap map_x, map_w;
  ConvHopper p = { (cuda_bf16 *)c->y, (const cuda_bf16 *)c->residual, c->bias, c->scale, c->shift };
  int64_t rows;
  int error;

  p.out_w = c->upsample ? 2 * c->w : c->w;
  p.row0 = c->row0;
  p.rows = c->rows;
  p.h = (int)c->h;
  p.w = (int)c->w;
  p.in = c->in;
  p.out = c->out;
  p.out_padded = out_padded;
  p.y0 = (int)(c->upsample ? c->row0 / 2 : c->row0);
  rows = c->upsample ? (c->row0 + c->rows + 1) / 2 - p.y0 : c->rows;
  p.tiles_x = (int)((c->w + TILE - 1) / TILE);
  p.tiles_xy = (int)((rows + TILE - 1) / TILE) * p.tiles_x;
  p.tiles_n = (c->out + CHANNELS - 1) / CHANNELS;
  p.n_jobs = (p.tiles_xy + CLUSTER - 1) / CLUSTER * phases * p.tiles_n;

  if ((error = tensor_map_bf16 (card, &map_x, c->x, 3, dims_x, strides_x, box_x)))
    return error;
  if ((error = tensor_map_bf16 (card, &map_w, c->weight, 2, dims_w, strides_w, box_w)))
    return error;
  return launch_kernel (conv_hopper_kernel<KSIZE>, dim3 ((unsigned)min (p.n_jobs, card->n_sms / CLUSTER) * CLUSTER), THREADS, SMEM,
                        stream, map_x, map_w, p);
}

int
cuda_conv_hopper (const CudaCard *card, CudaStream stream, const CudaConv *c)
{
  int in_padded = cuda_conv_padded_in (c->in), out_padded = cuda_conv_padded_out (c->out);

  return c->upsample ? launch<2> (card, stream, c, in_padded, out_padded) : launch<3> (card, stream, c, in_padded, out_padded);
}
