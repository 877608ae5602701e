/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the .cu files give to the rest of the plug-in, in C.  Pointers are device memory unless a name says host; a row of
 * a matrix lies LD elements after the one before, columns together; bf16 is `cuda_bf16`, an opaque 16 bits here.  Rows
 * and leading dimensions of bf16 matrices are multiples of 8 elements and 16-byte aligned (the networks' widths are)
 * unless a function says otherwise.  Every function only launches on STREAM (no synchronisation, no allocation) and
 * returns a cudaError_t as int: 0, or what the launch said.  Sums and statistics are at least fp32, results repeat bit
 * by bit, any thread. */

typedef uint16_t cuda_bf16;
typedef struct CUstream_st *CudaStream;

/* What launches depend on; filled once when the device is opened (cuda-device.c). */
typedef struct
{
  int cc;                      /* compute capability: 80, 86, 89, 90, 120 */
  int n_sms;
  int max_smem;                /* dynamic shared memory a block may ask for, bytes */
  int l2_bytes;
  void *encode_tiled;          /* cuTensorMapEncodeTiled, or NULL: then no TMA */
  int allow_hopper;            /* wgmma + TMA kernels may be chosen; ZIE_CUDA_ATTENTION, _CONV, _GEMM override each */
} CudaCard;

/* Whether the program holds sm_90a code that the current device runs (attention-hopper.cu); allow_hopper needs it. */
int zie_cuda_hopper_is_built (void);

/* Choices for comparison: 0 = the best for this card and shape. */
typedef enum { CUDA_KERNEL_AUTO, CUDA_KERNEL_MMA, CUDA_KERNEL_HOPPER } CudaKernelChoice;

/* --- attention.cu, attention-hopper.cu ---
 * o = softmax (q k^T * scale [+ causal]) v; q, o [m, heads * d], k, v [n, kv_heads * d], head h reads kv head
 * h / (heads / kv_heads).  d: up to 128; fast where it is a multiple of 16, strides of 8, and everything aligned to 16 bytes.
 * o may not overlap q, k, v.  CAUSAL: m == n. */
typedef struct
{
  cuda_bf16 *o;
  const cuda_bf16 *q, *k, *v;
  int64_t ldo, ldq, ldk, ldv;
  int64_t m, n;
  int heads, kv_heads, d, causal;
  float scale;
} CudaAttention;
int zie_cuda_attention (const CudaCard *card, CudaStream stream, const CudaAttention *a, CudaKernelChoice choice);

/* --- gemm.cu, gemm-hopper.cu ---
 * y[m, n] = x[m, k] * w[n, k]^T + bias[n]; y bf16 or f32.  Fast where k and the strides of x and w are multiples of 8, x and w
 * aligned to 16 bytes and, for bf16, n and ldy even; right for any. */
typedef struct
{
  void *y;
  int y_is_f32;
  const cuda_bf16 *x, *w;
  const float *bias;           /* or NULL */
  int64_t ldy, ldx, ldw;
  int64_t m, n, k;
} CudaGemm;
int zie_cuda_gemm (const CudaCard *card, CudaStream stream, const CudaGemm *g, CudaKernelChoice choice);

/* The same in fp32 for few rows (m <= 256: time embedding, modulation): x, y f32, w bf16 or f32. */
int zie_cuda_linear_small (CudaStream stream, float *y, int64_t ldy, const float *x, int64_t ldx, const void *w, int w_is_f32,
                           const float *bias, int64_t m, int64_t n, int64_t k);

/* --- conv.cu, conv-hopper.cu: implicit GEMM over NHWC ---
 * x [h * w, in] bf16; with upsample it is read as if each pixel were a 2x2 block; with scale and shift (f32 [in]) as
 * silu (x * scale + shift); zero padding stays zero.  stride 2 pads one zero row below and one zero column right only.
 * y [rows * out_w, out], rows row0 ... row0 + rows - 1 of the output, bf16 or f32.  residual has y's shape and type and may
 * be y.  WEIGHT is packed (zie_cuda_conv_pack).  IN and OUT are any numbers from 1 (3, 16, 32 and 96 occur). */
typedef struct
{
  void *y;
  int y_is_f32;
  const cuda_bf16 *x;
  int64_t h, w;                /* of x */
  int in, out, ksize, stride, upsample;
  const void *weight;          /* packed */
  const float *bias;           /* [out] */
  const float *scale, *shift;  /* or NULL */
  const void *residual;        /* or NULL */
  int64_t row0, rows;
  void *scratch;               /* zie_cuda_conv_scratch() bytes, 256-byte aligned */
} CudaConv;
int zie_cuda_conv (const CudaCard *card, CudaStream stream, const CudaConv *c, CudaKernelChoice choice);
/* Bytes of scratch: depends on the shape alone (h, w, in, out, ksize, stride, upsample, whether scale and residual are
 * given, y_is_f32), not on the card; at most 64 MiB.  Host function, no device needed. */
size_t zie_cuda_conv_scratch (const CudaConv *c);
/* From [out, in, ksize, ksize] bf16 or f32 (device) to the packed form, whose size zie_cuda_conv_packed_size() says; with
 * upsample the four phases' 2x2 kernels with weights summed in fp32, then rounded. */
size_t zie_cuda_conv_packed_size (int in, int out, int ksize, int upsample);
int zie_cuda_conv_pack (CudaStream stream, void *packed, const void *weight, int weight_is_f32, int in, int out, int ksize, int upsample);

/* --- elementwise.cu --- bf16 rows unless f32 is said; vectors (weights of norms, scale, gate) are f32 [cols] or NULL. */
/* Where norms note a row that is not finite, or whose squares are too large to be added: *FIRST, on the device, becomes PLACE
 * where that is more.  FIRST NULL: nowhere. */
typedef struct
{
  int *first;
  int place;
} CudaBroken;
/* y = x * rsqrt (mean (x^2) + eps) * w * scale.  y may be x. */
int zie_cuda_rms_norm (CudaStream stream, cuda_bf16 *y, int64_t ldy, const cuda_bf16 *x, int64_t ldx, const float *w,
                       const float *scale, int64_t rows, int64_t cols, float eps, CudaBroken broken);
/* x += gate * rms (y) * w; then, where h is given, h = rms (x) * w_next * scale_next, of the updated x before it is
 * rounded.  h may be y when ldh == ldy.  One read and one write of each row. */
typedef struct
{
  cuda_bf16 *x, *h;
  const cuda_bf16 *y;
  int64_t ldx, ldh, ldy, rows, cols;
  const float *w, *gate, *w_next, *scale_next;
  float eps;
  CudaBroken broken;
} CudaResidNorm;
int zie_cuda_resid_norm (CudaStream stream, const CudaResidNorm *a);
int zie_cuda_layer_norm (CudaStream stream, cuda_bf16 *y, int64_t ldy, const cuda_bf16 *x, int64_t ldx, const float *scale,
                         int64_t rows, int64_t cols, float eps, CudaBroken broken);
/* In place on q [rows, heads * d] and k [rows, kv_heads * d] (k NULL: q alone): each head's RMSNorm with its weight [d],
 * then the rotation by cos, sin [rows, d / 2] f32; half = 0: pairs (2i, 2i + 1), 1: pairs (i, i + d / 2). */
typedef struct
{
  cuda_bf16 *q, *k;
  int64_t ldq, ldk, rows;
  int heads, kv_heads, d, half;
  const float *wq, *wk, *cos, *sin;
  float eps;
  CudaBroken broken;
} CudaQkNormRope;
int zie_cuda_qk_norm_rope (CudaStream stream, const CudaQkNormRope *a);
int zie_cuda_swiglu (CudaStream stream, cuda_bf16 *y, int64_t ldy, const cuda_bf16 *gate, int64_t ldg, const cuda_bf16 *up,
                     int64_t ldu, int64_t rows, int64_t cols);      /* y may be gate */
int zie_cuda_add (CudaStream stream, cuda_bf16 *x, int64_t ldx, const cuda_bf16 *y, int64_t ldy, int64_t rows, int64_t cols);
typedef enum { CUDA_UNARY_SILU, CUDA_UNARY_TANH, CUDA_UNARY_ONE_PLUS } CudaUnary;
int zie_cuda_unary (CudaStream stream, void *y, int64_t ldy, const void *x, int64_t ldx, int is_f32, int64_t rows, int64_t cols,
                    CudaUnary kind);                                /* y may be x */
int zie_cuda_fill_rows (CudaStream stream, cuda_bf16 *y, int64_t ldy, const float *row, int64_t rows, int64_t cols);
/* y[r] = table[ids[r]]; table [*, cols] bf16 or f32, ids int32 on the device. */
int zie_cuda_gather (CudaStream stream, cuda_bf16 *y, int64_t ldy, const void *table, int table_is_f32, const int32_t *ids,
                     int64_t rows, int64_t cols);
/* Between types and strides: bf16 or f32 to bf16 or f32. */
int zie_cuda_convert (CudaStream stream, void *y, int y_is_f32, int64_t ldy, const void *x, int x_is_f32, int64_t ldx, int64_t rows,
                      int64_t cols);

/* --- layout.cu --- meanings as in ops/zie-ops.h; latents and planes f32, tokens and pixels bf16 or f32. */
int zie_cuda_patchify (CudaStream stream, cuda_bf16 *y, int64_t ldy, const float *latent, int channels, int h, int w);
int zie_cuda_unpatchify (CudaStream stream, float *latent, const void *x, int x_is_f32, int64_t ldx, int channels, int h, int w);
int zie_cuda_planes_to_pixels (CudaStream stream, void *y, int y_is_f32, const float *x, int64_t n_pixels, int channels, float scale,
                               float shift);
int zie_cuda_pixels_to_planes (CudaStream stream, float *y, const void *x, int x_is_f32, int64_t n_pixels, int channels, float scale,
                               float shift);
/* N_PIXELS of 3 f32 (16-byte aligned) in -1 ... 1 to bytes: x / 2 + 1 / 2 clamped (NaN is 0), times 255, halves to even; RGB
 * is 4-byte aligned.  FOUND is added to: zeroed memory before the first call. */
typedef struct
{
  uint32_t n_not_finite;
  uint32_t most[3], inverted_least[3]; /* a channel; 255 - least */
} CudaRgb8Found;
int zie_cuda_rows_to_rgb8 (CudaStream stream, uint8_t *rgb, CudaRgb8Found *found, const float *x, int64_t n_pixels);
/* yt[cols, rows] = x[rows, cols]^T, and softmax over rows of f32 scores in base e, written as bf16: for attention with
 * heads wider than 128, as two products. */
int zie_cuda_transpose (CudaStream stream, cuda_bf16 *yt, int64_t ldyt, const cuda_bf16 *x, int64_t ldx, int64_t rows, int64_t cols);
int zie_cuda_softmax_rows (CudaStream stream, cuda_bf16 *p, int64_t ldp, const float *scores, int64_t lds, int64_t rows, int64_t cols,
                           float scale);

/* --- group-norm.cu --- deterministic, statistics over all of a picture [height * width, channels], which may come in bands:
 * add notes rows row0 ... row0 + rows - 1 in SUMS, zie_cuda_group_norm_scratch() bytes, which depend on the shape alone; finish
 * makes scale and shift of it, f32 [channels].  The same bytes however the picture was cut.  row0 and, but for the last band,
 * rows are multiples of zie_group_norm_step (height) (ops/zie-ops.h). */
size_t zie_cuda_group_norm_scratch (int64_t height, int64_t width, int channels);
int zie_cuda_group_norm_add (CudaStream stream, void *sums, const cuda_bf16 *x, int64_t row0, int64_t rows, int64_t height, int64_t width,
                             int channels, int groups);
int zie_cuda_group_norm_finish (CudaStream stream, float *scale, float *shift, const void *sums, int64_t height, int64_t width,
                                int channels, const float *gamma, const float *beta, int groups, float eps, CudaBroken broken);
/* y = x * scale + shift a channel, silu of it where asked.  y may be x. */
int zie_cuda_affine (CudaStream stream, cuda_bf16 *y, const cuda_bf16 *x, const float *scale, const float *shift, int64_t pixels,
                     int channels, int silu);

/* --- weights.cu --- quantised weights, bytes as in the file, to bf16: what base/zie-dequant.h says, times the scales, rounded
 * once.  y [rows, cols] and stored are 16-byte aligned, and up to 15 bytes behind stored may be read (not used).  cols: whole blocks,
 * of 8-bit floats a multiple of 8. */
typedef enum
{
  CUDA_STORED_Q4_0,
  CUDA_STORED_Q4_1,
  CUDA_STORED_Q5_0,
  CUDA_STORED_Q5_1,
  CUDA_STORED_Q8_0,
  CUDA_STORED_Q2_K,
  CUDA_STORED_Q3_K,
  CUDA_STORED_Q4_K,
  CUDA_STORED_Q5_K,
  CUDA_STORED_Q6_K,
  CUDA_STORED_F8_E4M3,
  CUDA_STORED_F8_E5M2,
  CUDA_N_STORED
} CudaStored;
typedef struct
{
  cuda_bf16 *y;
  const void *stored;
  const float *scales;         /* device; NULL: none */
  CudaStored type;
  int64_t n_scales;            /* 1, or one a row */
  int64_t rows, cols;
} CudaExpand;
int zie_cuda_expand (CudaStream stream, const CudaExpand *a);

#ifdef __cplusplus
}
#endif
