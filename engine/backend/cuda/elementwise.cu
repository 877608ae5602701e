/* SPDX-License-Identifier: Apache-2.0 */
#include "norm-rows.cuh"
#include "qk-norm-rope.cuh"

/* Launchers of the norms and of what maps elements to elements; meanings and shapes in cuda-kernels.h. */

int
zie_cuda_rms_norm (CudaStream stream, cuda_bf16 *y, int64_t ldy, const cuda_bf16 *x, int64_t ldx, const float *w,
                   const float *scale, int64_t rows, int64_t cols, float eps, CudaBroken broken)
{
  return launch_norm<false> (stream, NormArgs { y, x, ldy, ldx, rows, cols, w, scale, eps, broken });
}

int
zie_cuda_layer_norm (CudaStream stream, cuda_bf16 *y, int64_t ldy, const cuda_bf16 *x, int64_t ldx, const float *scale,
                     int64_t rows, int64_t cols, float eps, CudaBroken broken)
{
  return launch_norm<true> (stream, NormArgs { y, x, ldy, ldx, rows, cols, NULL, scale, eps, broken });
}

int
zie_cuda_resid_norm (CudaStream stream, const CudaResidNorm *a)
{
  NormShape s = norm_shape (a->rows, a->cols);

  if (a->rows <= 0 || a->cols <= 0)
    return CUDA_OK;
  if (a->cols % 8 || a->cols > NORM_MAX_COLS || !is_row_aligned (a->x, a->ldx, false) || !is_row_aligned (a->y, a->ldy, false)
      || (a->h && !is_row_aligned (a->h, a->ldh, false)) || !are_vectors_aligned (a->w, a->gate)
      || !are_vectors_aligned (a->w_next, a->scale_next))
    return launch_kernel (resid_norm_any_kernel, dim3 ((unsigned)a->rows), NORM_ANY_THREADS, 0, stream, *a);
  return launch_kernel (s.blocks < a->rows ? resid_norm_kernel<1, true>
                        : s.v == 1         ? resid_norm_kernel<1, false>
                        : s.v == 2         ? resid_norm_kernel<2, false>
                                           : resid_norm_kernel<4, false>,
                        dim3 ((unsigned)s.blocks), s.threads, 0, stream, *a);
}

int
zie_cuda_qk_norm_rope (CudaStream stream, const CudaQkNormRope *args)
{
  CudaQkNormRope a = *args;
  int lanes = a.d / 8, n_heads, n_pieces, threads;
  bool is_fast;

  if (!a.k)
    a.kv_heads = 0;
  n_heads = a.heads + a.kv_heads;
  if (a.rows <= 0 || n_heads <= 0)
    return CUDA_OK;
  if (a.d <= 0 || a.d % 2)
    return CUDA_BAD_VALUE;

  is_fast = a.d % 16 == 0 && a.d <= 256 && (lanes & (lanes - 1)) == 0 && is_row_aligned (a.q, a.ldq, false)
            && (!a.k || is_row_aligned (a.k, a.ldk, false)) && are_vectors_aligned (a.wq, a.wk)
            && are_vectors_aligned (a.cos, a.sin);
  if (!is_fast)
    return launch_kernel (qk_norm_rope_any_kernel,
                          dim3 ((unsigned)a.rows, (unsigned)(n_heads + ROPE_ANY_THREADS / 32 - 1) / (ROPE_ANY_THREADS / 32)),
                          ROPE_ANY_THREADS, 0, stream, a);

  n_pieces = n_heads * lanes;
  threads = (n_pieces + ROPE_V - 1) / ROPE_V;
  threads = threads > ROPE_MAX_THREADS ? ROPE_MAX_THREADS : (threads + 31) / 32 * 32;
  return launch_kernel (a.half ? qk_norm_rope_kernel<true> : qk_norm_rope_kernel<false>,
                        dim3 ((unsigned)a.rows, (unsigned)((n_pieces - 1) / (threads * ROPE_V) + 1)), threads, 0, stream, a);
}

/* --- maps --- */

/* Both matrices as one row where nothing lies between their rows. */
static inline void
join_rows (int64_t *rows, int64_t *cols, bool is_dense)
{
  if (!is_dense || *rows * *cols > 1ll << 33)
    return;
  *cols *= *rows;
  *rows = 1;
}

template <int W>
struct SwiGlu
{
  typedef struct { Piece<W, cuda_bf16> gate, up; } Data;
  cuda_bf16 *y;
  const cuda_bf16 *gate, *up;
  int64_t ldy, ldg, ldu;

  DEVICE void
  load (int64_t row, uint32_t piece, Data *data) const
  {
    read_piece<W, cuda_bf16> (&data->gate, gate + row * ldg + (int64_t)piece * W);
    read_piece<W, cuda_bf16> (&data->up, up + row * ldu + (int64_t)piece * W);
  }

  DEVICE void
  store (int64_t row, uint32_t piece, const Data *data) const
  {
    float g[W], u[W];

    open_piece<W, cuda_bf16> (g, &data->gate);
    open_piece<W, cuda_bf16> (u, &data->up);
#pragma unroll
    for (int i = 0; i < W; i++)
      g[i] = fast_silu (g[i]) * u[i];
    store_values<W> (y + row * ldy + (int64_t)piece * W, g);
  }
};

int
zie_cuda_swiglu (CudaStream stream, cuda_bf16 *y, int64_t ldy, const cuda_bf16 *gate, int64_t ldg, const cuda_bf16 *up,
                 int64_t ldu, int64_t rows, int64_t cols)
{
  join_rows (&rows, &cols, ldy == cols && ldg == cols && ldu == cols);
  if (cols % 8 == 0 && is_row_aligned (y, ldy, false) && is_row_aligned (gate, ldg, false) && is_row_aligned (up, ldu, false))
    return launch_map (stream, SwiGlu<8> { y, gate, up, ldy, ldg, ldu }, rows, cols / 8);
  return launch_map (stream, SwiGlu<1> { y, gate, up, ldy, ldg, ldu }, rows, cols);
}

template <int W>
struct Add
{
  typedef struct { Piece<W, cuda_bf16> x, y; } Data;
  cuda_bf16 *x;
  const cuda_bf16 *y;
  int64_t ldx, ldy;

  DEVICE void
  load (int64_t row, uint32_t piece, Data *data) const
  {
    read_piece<W, cuda_bf16> (&data->x, x + row * ldx + (int64_t)piece * W);
    read_piece<W, cuda_bf16> (&data->y, y + row * ldy + (int64_t)piece * W);
  }

  DEVICE void
  store (int64_t row, uint32_t piece, const Data *data) const
  {
    float a[W], b[W];

    open_piece<W, cuda_bf16> (a, &data->x);
    open_piece<W, cuda_bf16> (b, &data->y);
#pragma unroll
    for (int i = 0; i < W; i++)
      a[i] += b[i];
    store_values<W> (x + row * ldx + (int64_t)piece * W, a);
  }
};

int
zie_cuda_add (CudaStream stream, cuda_bf16 *x, int64_t ldx, const cuda_bf16 *y, int64_t ldy, int64_t rows, int64_t cols)
{
  join_rows (&rows, &cols, ldx == cols && ldy == cols);
  if (cols % 8 == 0 && is_row_aligned (x, ldx, false) && is_row_aligned (y, ldy, false))
    return launch_map (stream, Add<8> { x, y, ldx, ldy }, rows, cols / 8);
  return launch_map (stream, Add<1> { x, y, ldx, ldy }, rows, cols);
}

/* The small vectors of time and modulation go through here: libm's functions, not the fast ones. */
DEVICE float
unary (CudaUnary kind, float x)
{
  return kind == CUDA_UNARY_SILU ? x / (1 + expf (-x)) : kind == CUDA_UNARY_TANH ? tanhf (x) : 1 + x;
}

template <int W, class T>
struct Unary
{
  typedef Piece<W, T> Data;
  T *y;
  const T *x;
  int64_t ldy, ldx;
  CudaUnary kind;

  DEVICE void
  load (int64_t row, uint32_t piece, Data *data) const
  {
    read_piece<W, T> (data, x + row * ldx + (int64_t)piece * W);
  }

  DEVICE void
  store (int64_t row, uint32_t piece, const Data *data) const
  {
    float v[W];

    open_piece<W, T> (v, data);
#pragma unroll
    for (int i = 0; i < W; i++)
      v[i] = unary (kind, v[i]);
    store_values<W> (y + row * ldy + (int64_t)piece * W, v);
  }
};

template <class T>
static int
launch_unary (CudaStream stream, T *y, int64_t ldy, const T *x, int64_t ldx, int64_t rows, int64_t cols, CudaUnary kind)
{
  const bool is_f32 = sizeof (T) == 4;

  join_rows (&rows, &cols, ldx == cols && ldy == cols);
  if (cols % 8 == 0 && is_row_aligned (x, ldx, is_f32) && is_row_aligned (y, ldy, is_f32))
    return launch_map (stream, Unary<8, T> { y, x, ldy, ldx, kind }, rows, cols / 8);
  return launch_map (stream, Unary<1, T> { y, x, ldy, ldx, kind }, rows, cols);
}

int
zie_cuda_unary (CudaStream stream, void *y, int64_t ldy, const void *x, int64_t ldx, int is_f32, int64_t rows, int64_t cols,
                CudaUnary kind)
{
  if (is_f32)
    return launch_unary<float> (stream, (float *)y, ldy, (const float *)x, ldx, rows, cols, kind);
  return launch_unary<cuda_bf16> (stream, (cuda_bf16 *)y, ldy, (const cuda_bf16 *)x, ldx, rows, cols, kind);
}

template <int W>
struct FillRows
{
  typedef struct { float v[W]; } Data;
  cuda_bf16 *y;
  const float *row;
  int64_t ldy;

  DEVICE void
  load (int64_t, uint32_t piece, Data *data) const
  {
    load_vector<W> (data->v, row + (int64_t)piece * W);
  }

  DEVICE void
  store (int64_t at, uint32_t piece, const Data *data) const
  {
    store_values<W> (y + at * ldy + (int64_t)piece * W, data->v);
  }
};

int
zie_cuda_fill_rows (CudaStream stream, cuda_bf16 *y, int64_t ldy, const float *row, int64_t rows, int64_t cols)
{
  if (cols % 8 == 0 && is_row_aligned (y, ldy, false) && is_aligned16 (row))
    return launch_map (stream, FillRows<8> { y, row, ldy }, rows, cols / 8);
  return launch_map (stream, FillRows<1> { y, row, ldy }, rows, cols);
}

template <int W, class T>
struct Gather
{
  typedef Piece<W, T> Data;
  cuda_bf16 *y;
  const T *table;
  const int32_t *ids;
  int64_t ldy, cols;

  DEVICE void
  load (int64_t row, uint32_t piece, Data *data) const
  {
    read_piece<W, T> (data, table + __ldg (ids + row) * cols + (int64_t)piece * W);
  }

  DEVICE void
  store (int64_t row, uint32_t piece, const Data *data) const
  {
    float v[W];

    open_piece<W, T> (v, data);
    store_values<W> (y + row * ldy + (int64_t)piece * W, v);
  }
};

template <class T>
static int
launch_gather (CudaStream stream, cuda_bf16 *y, int64_t ldy, const T *table, const int32_t *ids, int64_t rows, int64_t cols)
{
  if (cols % 8 == 0 && is_row_aligned (y, ldy, false) && is_aligned16 (table))
    return launch_map (stream, Gather<8, T> { y, table, ids, ldy, cols }, rows, cols / 8);
  return launch_map (stream, Gather<1, T> { y, table, ids, ldy, cols }, rows, cols);
}

int
zie_cuda_gather (CudaStream stream, cuda_bf16 *y, int64_t ldy, const void *table, int table_is_f32, const int32_t *ids,
                 int64_t rows, int64_t cols)
{
  if (table_is_f32)
    return launch_gather<float> (stream, y, ldy, (const float *)table, ids, rows, cols);
  return launch_gather<cuda_bf16> (stream, y, ldy, (const cuda_bf16 *)table, ids, rows, cols);
}

template <int W, class Y, class X>
struct Convert
{
  typedef Piece<W, X> Data;
  Y *y;
  const X *x;
  int64_t ldy, ldx;

  DEVICE void
  load (int64_t row, uint32_t piece, Data *data) const
  {
    read_piece<W, X> (data, x + row * ldx + (int64_t)piece * W);
  }

  DEVICE void
  store (int64_t row, uint32_t piece, const Data *data) const
  {
    float v[W];

    open_piece<W, X> (v, data);
    store_values<W> (y + row * ldy + (int64_t)piece * W, v);
  }
};

template <class Y, class X>
static int
launch_convert (CudaStream stream, void *y, int64_t ldy, const void *x, int64_t ldx, int64_t rows, int64_t cols)
{
  join_rows (&rows, &cols, ldx == cols && ldy == cols);
  if (cols % 8 == 0 && is_row_aligned (x, ldx, sizeof (X) == 4) && is_row_aligned (y, ldy, sizeof (Y) == 4))
    return launch_map (stream, Convert<8, Y, X> { (Y *)y, (const X *)x, ldy, ldx }, rows, cols / 8);
  return launch_map (stream, Convert<1, Y, X> { (Y *)y, (const X *)x, ldy, ldx }, rows, cols);
}

int
zie_cuda_convert (CudaStream stream, void *y, int y_is_f32, int64_t ldy, const void *x, int x_is_f32, int64_t ldx, int64_t rows,
                  int64_t cols)
{
  if (y_is_f32)
    return (x_is_f32 ? launch_convert<float, float> : launch_convert<float, cuda_bf16>) (stream, y, ldy, x, ldx, rows, cols);
  return (x_is_f32 ? launch_convert<cuda_bf16, float> : launch_convert<cuda_bf16, cuda_bf16>) (stream, y, ldy, x, ldx, rows, cols);
}
