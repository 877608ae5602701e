/* SPDX-License-Identifier: Apache-2.0 */
#include "conv-mma.cuh"
#include "gemm-private.h"

/* --- packed weights: [phase][tap][out, padded][in, padded], zeros between --- */

static int
n_kernels (int ksize, int upsample)
{
  return upsample ? 4 * 4 : ksize * ksize;
}

/* Output row 2y + phase reads, with kernel row k, row y + (phase - 1 + k) / 2 (rounded down) of the small picture; tap t is
 * row y + phase - 1 + t. */
DEVICE bool
phase_sees (int phase, int tap, int k)
{
  return (phase + 1 + k) / 2 - phase == tap;
}

/* One value a thread. */
template <bool W_F32>
__global__ void __launch_bounds__ (256)
conv_pack_kernel (cuda_bf16 *packed, const void *weight, int in, int out, int in_padded, int out_padded, int ksize, int upsample,
                  int64_t n)
{
  int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
  int channel = (int)(i % in_padded), row = (int)(i / in_padded % out_padded), kernel = (int)(i / in_padded / out_padded);
  int64_t from = ((int64_t)row * in + channel) * ksize * ksize;
  float sum = 0;

  if (i >= n)
    return;
  if (channel < in && row < out)
    {
      if (!upsample)
        sum = load_value<W_F32> (weight, from + kernel);
      else
        for (int ky = 0; ky < 3; ky++)
          for (int kx = 0; kx < 3; kx++)
            if (phase_sees (kernel >> 3, kernel >> 1 & 1, ky) && phase_sees (kernel >> 2 & 1, kernel & 1, kx))
              sum += load_value<W_F32> (weight, from + ky * 3 + kx);
    }
  packed[i] = float_to_bf16 (sum);
}

extern "C" size_t
zie_cuda_conv_packed_size (int in, int out, int ksize, int upsample)
{
  return (size_t)n_kernels (ksize, upsample) * cuda_conv_padded_out (out) * cuda_conv_padded_in (in) * sizeof (cuda_bf16);
}

extern "C" int
zie_cuda_conv_pack (CudaStream stream, void *packed, const void *weight, int weight_is_f32, int in, int out, int ksize, int upsample)
{
  int64_t n = (int64_t)(zie_cuda_conv_packed_size (in, out, ksize, upsample) / sizeof (cuda_bf16));

  return launch_kernel (weight_is_f32 ? conv_pack_kernel<true> : conv_pack_kernel<false>, dim3 ((unsigned)((n + 255) / 256)), 256, 0,
                        stream, (cuda_bf16 *)packed, weight, in, out, cuda_conv_padded_in (in), cuda_conv_padded_out (out), ksize, upsample, n);
}

/* --- the convolution --- */

template <class Tile>
static int
launch_tile (CudaStream stream, const CudaConv *c)
{
  ConvMma p = { *c, cuda_conv_padded_in (c->in), cuda_conv_padded_out (c->out) };
  int64_t base_h, base_w, tiles;

  p.out_w = c->w * (c->upsample ? 2 : 1) / c->stride;
  p.base_y0 = c->upsample ? c->row0 / 2 : c->row0;
  base_h = c->upsample ? (c->row0 + c->rows + 1) / 2 - p.base_y0 : c->rows;
  base_w = c->upsample ? c->w : p.out_w;
  p.tiles_x = (int)((base_w + CONV_TILE_W - 1) / CONV_TILE_W);
  p.tiles_n = (c->out + Tile::BN - 1) / Tile::BN;
  tiles = (base_h + CONV_TILE_H - 1) / CONV_TILE_H * p.tiles_x * p.tiles_n * (c->upsample ? 4 : 1);
  return launch_kernel (conv_mma_kernel<Tile>, dim3 ((unsigned)tiles), CONV_THREADS, Tile::SMEM, stream, p);
}

template <int KSIZE, int STRIDE>
static int
launch_width (CudaStream stream, const CudaConv *c)
{
  if (c->out <= 8 && KSIZE == 3 && STRIDE == 1)
    return launch_tile<ConvTile<3, 1, 8>> (stream, c);
  if (c->out <= 32)
    return launch_tile<ConvTile<KSIZE, STRIDE, 32>> (stream, c);
  if (c->out <= 64)
    return launch_tile<ConvTile<KSIZE, STRIDE, 64>> (stream, c);
  return launch_tile<ConvTile<KSIZE, STRIDE, 128>> (stream, c);
}

static int
conv_mma (CudaStream stream, const CudaConv *c)
{
  if (c->upsample)
    return launch_width<2, 1> (stream, c);
  if (c->ksize == 1)
    return launch_width<1, 1> (stream, c);
  return c->stride == 2 ? launch_width<3, 2> (stream, c) : launch_width<3, 1> (stream, c);
}

extern "C" int
zie_cuda_conv (const CudaCard *card, CudaStream stream, const CudaConv *c, CudaKernelChoice choice)
{
  if (c->rows <= 0 || c->w <= 0)
    return 0;
  if (choice != CUDA_KERNEL_MMA && cuda_conv_hopper_takes (card, c, choice))
    return cuda_conv_hopper (card, stream, c);
  return conv_mma (stream, c);
}

extern "C" size_t
zie_cuda_conv_scratch (const CudaConv *)
{
  return 0;                    /* what the taps share lies in shared memory */
}
