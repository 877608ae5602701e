/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "gemm-tile.cuh"

/* Convolution for every card from 8.0 on.  A block computes a tile of 16 x 8 output pixels by BN channels.  It walks the
 * input in chunks of CHUNK channels: the pixels that the tile sees (a halo around it) are copied to shared memory once a chunk,
 * normalised and activated there, and every tap of the kernel then reads the same copy, shifted by whole pixels (ldmatrix
 * takes any rows).  So x is read once and not once a tap, and nothing normalised is ever stored.  The weights' BN x CHUNK
 * block of each tap passes through a ring.
 *
 * KSIZE 2 is the upsampling convolution: what one of the four kinds (phases) of output pixels sees of the small picture. */

/* What a kernel needs to know; the rest of it is the launcher's (conv.cu). */
typedef struct
{
  CudaConv c;
  int in_padded, out_padded;   /* of the packed weights: [phase][tap][out_padded][in_padded] */
  int64_t out_w;
  int64_t base_y0;             /* first row of tiles; where a phase has its own pixels, in rows of the small picture */
  int tiles_x, tiles_n;
} ConvMma;

enum { CONV_TILE_W = 16, CONV_TILE_H = 8, CONV_THREADS = 256, CONV_STAGES = 3 };

template <int KSIZE_, int STRIDE_, int BN_>
struct ConvTile
{
  static constexpr int KSIZE = KSIZE_, STRIDE = STRIDE_, BN = BN_, TAPS = KSIZE * KSIZE;
  static constexpr int CHUNK = STRIDE == 2 ? 16 : 32;                  /* channels */
  static constexpr int PIECES = CHUNK / 8, PITCH = CHUNK * 2 + 16;     /* the 16 bytes keep eight rows' reads off one bank */
  static constexpr int HALO_W = (CONV_TILE_W - 1) * STRIDE + KSIZE, HALO_H = (CONV_TILE_H - 1) * STRIDE + KSIZE;
  static constexpr int HALO_SIZE = HALO_W * HALO_H * PITCH, STAGE_SIZE = BN * PITCH;
  static constexpr int HALOS = TAPS >= CONV_STAGES - 1 ? 2 : CONV_STAGES;
  static constexpr int SMEM = HALOS * HALO_SIZE + CONV_STAGES * STAGE_SIZE;
  static constexpr int WARPS_N = BN >= 128 ? 4 : BN >= 64 ? 2 : 1, WARPS_M = 8 / WARPS_N;
  static constexpr int M16 = 8 / WARPS_M, N8 = BN / WARPS_N / 8;       /* of a warp; one row of pixels is 16 rows */
};

template <class Tile>
__global__ void __launch_bounds__ (CONV_THREADS, 2)
conv_mma_kernel (ConvMma p)
{
  constexpr int TAPS = Tile::TAPS, CHUNK = Tile::CHUNK, PIECES = Tile::PIECES, PITCH = Tile::PITCH, N8 = Tile::N8, M16 = Tile::M16;
  constexpr int STRIDE = Tile::STRIDE, KSIZE = Tile::KSIZE, HALO_W = Tile::HALO_W;
  constexpr int HALO_PIECES = Tile::HALO_W * Tile::HALO_H * PIECES, B_PIECES = Tile::BN * PIECES;
  constexpr bool IS_UP = KSIZE == 2;
  DYNAMIC_SHARED (smem);
  const CudaConv &c = p.c;
  const uint32_t halo_base = smem_addr (smem), b_base = halo_base + Tile::HALOS * Tile::HALO_SIZE;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int warp_row = warp / Tile::WARPS_N * M16, warp_n = warp % Tile::WARPS_N * (Tile::BN / Tile::WARPS_N);
  const int n_steps = (c.in + CHUNK - 1) / CHUNK * TAPS;

  /* Which tile: channels first, then phases, so that blocks that read the same pixels run together. */
  const int n0 = (int)(blockIdx.x % p.tiles_n) * Tile::BN;
  const int rest = blockIdx.x / p.tiles_n, phase = IS_UP ? rest & 3 : 0, tile = IS_UP ? rest >> 2 : rest;
  const int phase_y = phase >> 1, phase_x = phase & 1;
  const int64_t y0 = p.base_y0 + (int64_t)(tile / p.tiles_x) * CONV_TILE_H, x0 = (int64_t)(tile % p.tiles_x) * CONV_TILE_W;
  const int64_t in_y0 = IS_UP ? y0 - 1 + phase_y : STRIDE == 1 ? y0 - KSIZE / 2 : y0 * 2;
  const int64_t in_x0 = IS_UP ? x0 - 1 + phase_x : STRIDE == 1 ? x0 - KSIZE / 2 : x0 * 2;
  const cuda_bf16 *weight = (const cuda_bf16 *)c.weight + (int64_t)phase * TAPS * p.out_padded * p.in_padded;
  const bool whole_pieces = c.in % 8 == 0;

  /* Piece I of a halo: the pixel's first value, or NULL outside the picture or past the channels. */
  auto halo_source = [&] (int i, int chunk) -> const cuda_bf16 * {
    int row = i / PIECES, channel = chunk * CHUNK + i % PIECES * 8;
    int64_t y = in_y0 + row / HALO_W, x = in_x0 + row % HALO_W;
    bool inside = y >= 0 && y < c.h && x >= 0 && x < c.w && channel < c.in;
    return inside ? c.x + (y * c.w + x) * c.in + channel : NULL;
  };

  auto load_halo = [&] (int chunk) {
    int at = chunk % Tile::HALOS * Tile::HALO_SIZE;
    for (int i = threadIdx.x; i < HALO_PIECES; i += CONV_THREADS)
      {
        const cuda_bf16 *source = halo_source (i, chunk);
        int to = at + i / PIECES * PITCH + i % PIECES * 16;
        if (whole_pieces)
          cp_async16 (halo_base + to, source ? source : c.x, source != NULL);
        else
          {
            int n = source ? min (8, c.in - (chunk * CHUNK + i % PIECES * 8)) : 0;
            uint32_t pairs[4];
#pragma unroll
            for (int j = 0; j < 4; j++)
              pairs[j] = (2 * j < n ? source[2 * j] : 0) | (uint32_t)(2 * j + 1 < n ? source[2 * j + 1] : 0) << 16;
            store16 (smem + to, make_uint4 (pairs[0], pairs[1], pairs[2], pairs[3]));
          }
      }
  };

  /* Each thread those pieces that it copied itself.  Outside the picture stays 0. */
  auto activate_halo = [&] (int chunk) {
    int at = chunk % Tile::HALOS * Tile::HALO_SIZE;
    int channel = chunk * CHUNK + (int)(threadIdx.x % PIECES) * 8;     /* the same for all of the thread's pieces */
    float scale[8], shift[8];
#pragma unroll
    for (int j = 0; j < 8; j++)
      {
        bool inside = channel + j < c.in;
        scale[j] = inside ? c.scale[channel + j] : 0;
        shift[j] = inside ? c.shift[channel + j] : 0;
      }
    for (int i = threadIdx.x; i < HALO_PIECES; i += CONV_THREADS)
      if (halo_source (i, chunk))
        {
          unsigned char *piece = smem + at + i / PIECES * PITCH + i % PIECES * 16;
          float v[8];
          unpack_bf16x8 (v, load16 (piece));
#pragma unroll
          for (int j = 0; j < 8; j++)
            v[j] = fast_silu (fmaf (v[j], scale[j], shift[j]));
          store16 (piece, pack_bf16x8 (v));
        }
  };

  auto load = [&] (int step) {
    int chunk = step / TAPS, tap = step % TAPS;
    uint32_t to = b_base + step % CONV_STAGES * Tile::STAGE_SIZE;
    if (tap == 0)
      load_halo (chunk);
    for (int i = threadIdx.x; i < B_PIECES; i += CONV_THREADS)
      {
        int row = min (n0 + i / PIECES, p.out_padded - 1);             /* channels past the end are not stored */
        cp_async16 (to + i / PIECES * PITCH + i % PIECES * 16,
                    weight + ((int64_t)tap * p.out_padded + row) * p.in_padded + chunk * CHUNK + i % PIECES * 8, true);
      }
  };

  /* Where this lane's rows of the first tap lie in a halo, and its rows of a stage. */
  const uint32_t a_lane = (warp_row * STRIDE * HALO_W + (lane & 15) * STRIDE) * PITCH + (lane >> 4) * 16;
  const uint32_t b_lane = N8 == 1 ? (lane & 7) * PITCH + (lane >> 3) * 16
                                  : (warp_n + (lane & 7) + (lane >> 4) * 8) * PITCH + (lane >> 3 & 1) * 16;
  float acc[M16][N8][4] = {};

#pragma unroll
  for (int s = 0; s < CONV_STAGES - 1; s++)
    {
      if (s < n_steps)
        load (s);
      cp_async_commit ();
    }

#pragma unroll 1
  for (int step = 0; step < n_steps; step++)
    {
      int chunk = step / TAPS, tap = step % TAPS;

      cp_async_wait<CONV_STAGES - 2> ();
      if (c.scale && tap == 0)
        activate_halo (chunk);
      block_barrier ();                        /* the stage is complete, and everyone has left the one before it */
      if (step + CONV_STAGES - 1 < n_steps)
        load (step + CONV_STAGES - 1);
      cp_async_commit ();

      uint32_t sa = halo_base + chunk % Tile::HALOS * Tile::HALO_SIZE + (tap / KSIZE * HALO_W + tap % KSIZE) * PITCH + a_lane;
      uint32_t sb = b_base + step % CONV_STAGES * Tile::STAGE_SIZE + b_lane;
      uint32_t fb[N8 == 1 ? 1 : N8 / 2][4];
      if (N8 == 1)
        ldmatrix_x4 (fb[0], sb);
#pragma unroll
      for (int kk = 0; kk < PIECES; kk += 2)
        {
          uint32_t fa[M16][4];
#pragma unroll
          for (int i = 0; i < M16; i++)
            ldmatrix_x4 (fa[i], sa + i * STRIDE * HALO_W * PITCH + kk * 16);
          if constexpr (N8 == 1)
            {
#pragma unroll
              for (int i = 0; i < M16; i++)
                mma_bf16 (acc[i][0], fa[i], fb[0][kk], fb[0][kk + 1]);
            }
          else
            {
#pragma unroll
              for (int j = 0; j < N8 / 2; j++)
                ldmatrix_x4 (fb[j], sb + j * 16 * PITCH + kk * 16);
#pragma unroll
              for (int i = 0; i < M16; i++)
#pragma unroll
                for (int j = 0; j < N8 / 2; j++)
                  {
                    mma_bf16 (acc[i][2 * j], fa[i], fb[j][0], fb[j][1]);
                    mma_bf16 (acc[i][2 * j + 1], fa[i], fb[j][2], fb[j][3]);
                  }
            }
        }
    }

  const int col = n0 + warp_n;
  const bool aligned = c.out % (c.y_is_f32 ? 2 : 8) == 0;
#pragma unroll
  for (int i = 0; i < M16; i++)
#pragma unroll
    for (int half = 0; half < 2; half++)
      {
        int64_t y = y0 + warp_row + i, x = x0 + half * 8 + (lane >> 2);
        if (IS_UP)
          {
            y = 2 * y + phase_y;
            x = 2 * x + phase_x;
          }
        bool is_row = y >= c.row0 && y < c.row0 + c.rows && x < p.out_w;
        int64_t row = ((y - c.row0) * p.out_w + x) * c.out;

        /* The whole row's bias and residual before any of it is stored: y may be the residual. */
#pragma unroll
        for (int j = 0; j < N8; j++)
#pragma unroll
          for (int e = 0; e < 2; e++)
            {
              int at = col + 8 * j + 2 * (lane & 3) + e;
              if (is_row && at < c.out)
                {
                  float v = c.bias ? c.bias[at] : 0;
                  if (c.residual)
                    v += c.y_is_f32 ? load_value<true> (c.residual, row + at) : load_value<false> (c.residual, row + at);
                  acc[i][j][2 * half + e] += v;
                }
            }
        __syncwarp ();
        if (c.y_is_f32)
          store_row<N8, true> (c.y, row, col, c.out, acc[i], 2 * half, is_row, aligned);
        else
          store_row<N8, false> (c.y, row, col, c.out, acc[i], 2 * half, is_row, aligned);
      }
}
