/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-emulator.h"

#include "elementwise.cu"

#include "test-cuda-elementwise.h"

static double
rms_factor (const double *x, int64_t n, double eps)
{
  double sum = 0;

  for (int64_t i = 0; i < n; i++)
    sum += x[i] * x[i];
  return 1 / sqrt (sum / (double)n + eps);
}

static double
value_of (const std::vector<float> &v, int64_t i)
{
  return v.empty () ? 1 : v[i];
}

static const float *
pointer_to (const std::vector<float> &v)
{
  return v.empty () ? NULL : v.data ();
}

/* --- norms --- */

typedef struct
{
  int64_t rows, cols, ld, offset;        /* of all matrices; ld 0 = cols */
  double mean, spread;
  bool has_w, has_scale;
} NormCase;

static const NormCase norm_cases[] = {
  { 3, 3840, 0, 0, 0, 1, true, true },           /* the transformer's width: 480 threads */
  { 2, 2560, 11520, 0, 0, 30, true, false },     /* columns of a wider matrix */
  { 2, 72, 80, 0, 0.5, 1, false, true },
  { 2, 8, 0, 0, 0, 1, true, true },
  { 2, 4104, 0, 0, 0, 1, true, true },           /* two pieces a thread */
  { 2, 10240, 0, 0, 0, 1, true, true },          /* four */
  { 1, 16400, 0, 0, 0, 1, true, true },          /* wider than registers hold */
  { 2, 3840, 3841, 0, 0, 1, true, true },        /* rows that are not aligned */
  { 2, 37, 0, 1, 0, 1, true, true },
  { 2, 256, 0, 0, 1000, 8, true, true },         /* a mean far above the spread */
};

static std::vector<double>
norm_reference (const Matrix<cuda_bf16> &x, const std::vector<float> &w, const std::vector<float> &scale, double eps, bool is_layer)
{
  std::vector<double> y;

  for (int64_t r = 0; r < x.rows; r++)
    {
      std::vector<double> in (x.cols);
      double mean = 0, factor;

      for (int64_t c = 0; c < x.cols; c++)
        mean += in[c] = x.at (r, c);
      if (is_layer)
        for (double &v : in)
          v -= mean / (double)x.cols;
      factor = rms_factor (in.data (), x.cols, eps);
      for (int64_t c = 0; c < x.cols; c++)
        y.push_back (in[c] * factor * value_of (w, c) * value_of (scale, c));
    }
  return y;
}

template <bool IS_LAYER, bool IN_PLACE>
static void
test_norm (void)
{
  for (const NormCase &c : norm_cases)
    {
      Matrix<cuda_bf16> x (c.rows, c.cols, c.ld, c.offset);
      std::vector<float> w, scale;
      std::vector<double> expected;

      x.fill (c.mean, c.spread);
      if (c.has_w && !IS_LAYER)
        w = random_vector (c.cols, 1, 0.3);
      if (c.has_scale)
        scale = random_vector (c.cols, 1, 0.3);
      expected = norm_reference (x, w, scale, 1e-5, IS_LAYER);
      emu_each_order ([&] {
        Matrix<cuda_bf16> in = x, out (c.rows, c.cols, c.ld, c.offset), *y = IN_PLACE ? &in : &out;

        if (IS_LAYER)
          g_assert_cmpint (zie_cuda_layer_norm (NULL, y->data (), y->ld, in.data (), in.ld, pointer_to (scale), c.rows, c.cols, 1e-5f, {}), ==, 0);
        else
          g_assert_cmpint (zie_cuda_rms_norm (NULL, y->data (), y->ld, in.data (), in.ld, pointer_to (w), pointer_to (scale), c.rows, c.cols, 1e-5f, {}), ==, 0);
        compare (*y, expected);
      });
    }
}

/* A row of zeros: eps decides, and nothing divides by zero. */
static void
test_norm_zeros (void)
{
  Matrix<cuda_bf16> x (1, 64), y (1, 64);

  memset (x.data (), 0, 64 * 2);
  g_assert_cmpint (zie_cuda_rms_norm (NULL, y.data (), 64, x.data (), 64, NULL, NULL, 1, 64, 1e-6f, {}), ==, 0);
  compare_exactly (y, std::vector<double> (64, 0));
  g_assert_cmpint (zie_cuda_layer_norm (NULL, y.data (), 64, x.data (), 64, NULL, 1, 64, 1e-6f, {}), ==, 0);
  compare_exactly (y, std::vector<double> (64, 0));
}

typedef enum { H_NONE, H_OWN, H_IS_Y } HKind;

static void
check_resid_norm (const NormCase &c, HKind kind)
{
  Matrix<cuda_bf16> x (c.rows, c.cols, c.ld, c.offset), y (c.rows, c.cols, c.ld ? c.ld + 8 : 0, c.offset);
  std::vector<float> w, gate, w_next, scale_next;
  std::vector<double> expected_x, expected_h;
  double eps = 1e-5;

  x.fill (c.mean, 2 * c.spread);
  y.fill (0, c.spread);
  if (c.has_w)
    w = random_vector (c.cols, 1, 0.3), w_next = random_vector (c.cols, 1, 0.3);
  if (c.has_scale)
    gate = random_vector (c.cols, 0, 0.5), scale_next = random_vector (c.cols, 1, 0.3);
  for (int64_t r = 0; r < c.rows; r++)
    {
      std::vector<double> v (c.cols);
      double factor;

      for (int64_t i = 0; i < c.cols; i++)
        v[i] = y.at (r, i);
      factor = rms_factor (v.data (), c.cols, eps);
      for (int64_t i = 0; i < c.cols; i++)
        expected_x.push_back (v[i] = x.at (r, i) + value_of (gate, i) * v[i] * factor * value_of (w, i));
      factor = rms_factor (v.data (), c.cols, eps);
      for (int64_t i = 0; i < c.cols; i++)
        expected_h.push_back (v[i] * factor * value_of (w_next, i) * value_of (scale_next, i));
    }
  emu_each_order ([&] {
    Matrix<cuda_bf16> sum = x, in = y, own (c.rows, c.cols, y.ld, c.offset), *h = kind == H_OWN ? &own : &in;
    CudaResidNorm a = { sum.data (), kind == H_NONE ? NULL : h->data (), in.data (), sum.ld, h->ld, in.ld, c.rows, c.cols,
                        pointer_to (w), pointer_to (gate), pointer_to (w_next), pointer_to (scale_next), (float)eps };

    g_assert_cmpint (zie_cuda_resid_norm (NULL, &a), ==, 0);
    compare (sum, expected_x);
    if (kind != H_NONE)
      compare (*h, expected_h);
    if (kind != H_IS_Y)
      g_assert_cmpint (memcmp (in.memory.data (), y.memory.data (), y.memory.size () * 2), ==, 0);
  });
}

template <HKind KIND>
static void
test_resid_norm (void)
{
  for (const NormCase &c : norm_cases)
    check_resid_norm (c, KIND);
}

/* Blocks that take several rows: by the launcher's own numbers this needs thousands of rows, so the kernels are called. */
static void
test_turns (void)
{
  enum { COLS = 520, THREADS = 96 };
  Matrix<cuda_bf16> x (7, COLS), y (7, COLS);
  std::vector<float> w = random_vector (COLS, 1, 0.3);
  std::vector<double> rms, layer;

  g_assert_cmpint (norm_shape (4160, 3840).blocks, ==, 1387);
  g_assert_cmpint (norm_shape (4160, 3840).threads, ==, 480);
  g_assert_cmpint (norm_shape (16448, 3840).blocks, ==, 4112);
  g_assert_cmpint (norm_shape (64, 2560).blocks, ==, 64);
  x.fill ();
  y.fill ();
  rms = norm_reference (x, w, {}, 1e-5, false);
  layer = norm_reference (x, {}, w, 1e-5, true);
  emu_each_order ([&] {
    Matrix<cuda_bf16> out (7, COLS), sum = x, h (7, COLS), sum_one = x, h_one (7, COLS), sum_only = x;
    NormArgs a = { out.data (), x.data (), COLS, COLS, 7, COLS, w.data (), NULL, 1e-5f };
    CudaResidNorm several = { sum.data (), h.data (), y.data (), COLS, COLS, COLS, 7, COLS, w.data (), NULL, w.data (), NULL, 1e-5f };
    CudaResidNorm one = several, only = several;

    launch_kernel (norm_kernel<1, true, false>, dim3 (2), THREADS, 0, NULL, a);
    compare (out, rms);
    launch_kernel (norm_kernel<1, true, true>, dim3 (3), THREADS, 0, NULL, a);
    compare (out, layer);
    one.x = sum_one.data (), one.h = h_one.data ();
    only.x = sum_only.data (), only.h = NULL;
    launch_kernel (resid_norm_kernel<1, true>, dim3 (2), THREADS, 0, NULL, several);
    launch_kernel (resid_norm_kernel<1, false>, dim3 (7), THREADS, 0, NULL, one);
    launch_kernel (resid_norm_kernel<1, true>, dim3 (2), THREADS, 0, NULL, only);
    g_assert_true (sum.memory == sum_one.memory && h.memory == h_one.memory && sum.memory == sum_only.memory);
  });
}

/* What a norm notes of a row with VALUE in it: 0 of a good one.  EACH runs it with a place of 7. */
template <class F>
static void
check_noted (const F &each)
{
  static const struct { float value; int noted; } cases[] = { { 2, 0 }, { 3e18f, 0 }, { INFINITY, 7 }, { -INFINITY, 7 }, { NAN, 7 }, { 3e20f, 7 } };

  for (const auto &c : cases)
    {
      int first = 0, later = 9;

      each (c.value, CudaBroken { &first, 7 });
      g_assert_cmpint (first, ==, c.noted);
      each (c.value, CudaBroken { &later, 7 });
      g_assert_cmpint (later, ==, 9);            /* what came before stays */
      each (c.value, CudaBroken { NULL, 7 });
    }
}

/* Rows that are not finite, or whose squares are not, are noted by every kernel: in pieces, by elements, several rows a block. */
static void
test_noted (void)
{
  for (int64_t cols : { 520, 37, 4104 })
    {
      Matrix<cuda_bf16> x (3, cols), y (3, cols), h (3, cols);

      y.fill ();
      check_noted ([&] (float value, CudaBroken broken) {
        x.fill ();
        x.data ()[2 * cols + cols - 1] = float_to_bf16 (value);
        g_assert_cmpint (zie_cuda_rms_norm (NULL, h.data (), cols, x.data (), cols, NULL, NULL, 3, cols, 1e-5f, broken), ==, 0);
      });
      check_noted ([&] (float value, CudaBroken broken) {
        x.data ()[2 * cols + cols - 1] = float_to_bf16 (value);
        g_assert_cmpint (zie_cuda_layer_norm (NULL, h.data (), cols, x.data (), cols, NULL, 3, cols, 1e-5f, broken), ==, 0);
      });
      for (bool is_y : { false, true })
        check_noted ([&] (float value, CudaBroken broken) {
          CudaResidNorm a = { x.data (), h.data (), y.data (), cols, cols, cols, 3, cols, NULL, NULL, NULL, NULL, 1e-5f, broken };

          x.fill ();
          y.fill ();
          (is_y ? y : x).data ()[2 * cols + cols - 1] = float_to_bf16 (value);
          g_assert_cmpint (zie_cuda_resid_norm (NULL, &a), ==, 0);
        });
      check_noted ([&] (float value, CudaBroken broken) {
        NormArgs a = { h.data (), x.data (), cols, cols, 3, cols, NULL, NULL, 1e-5f, broken };

        x.fill ();
        x.data ()[2 * cols + cols - 1] = float_to_bf16 (value);
        if (cols == 520)
          launch_kernel (norm_kernel<1, true, false>, dim3 (2), 96, 0, NULL, a);
        else
          launch_kernel (norm_any_kernel<false>, dim3 (3), NORM_ANY_THREADS, 0, NULL, a);
      });
    }
  for (int d : { 128, 20 })
    check_noted ([&] (float value, CudaBroken broken) {
      Matrix<cuda_bf16> x (2, 3 * d);
      Matrix<float> angles (2, d / 2);
      CudaQkNormRope a = { x.data (), x.data () + 2 * d, 3 * d, 3 * d, 2, 2, 1, d, 0, NULL, NULL, angles.data (), angles.data (), 1e-6f, broken };

      x.fill ();
      angles.fill ();
      x.data ()[3 * d + 2 * d + 5] = float_to_bf16 (value);      /* of k */
      g_assert_cmpint (zie_cuda_qk_norm_rope (NULL, &a), ==, 0);
    });
}

/* --- q and k --- */

typedef struct
{
  int64_t rows;
  int heads, kv_heads, d;
  int64_t ld, offset;                    /* of the rows of q, k, v together; 0 = no more than they need */
  bool has_weights;
} RopeCase;

static const RopeCase rope_cases[] = {
  { 3, 30, 30, 128, 11520, 0, true },    /* the transformer: q, k and v in one row */
  { 2, 32, 8, 128, 0, 0, true },         /* the text encoder */
  { 2, 3, 1, 16, 0, 0, true },
  { 2, 5, 0, 64, 0, 0, false },          /* q alone */
  { 2, 40, 10, 256, 0, 0, true },        /* more than one block a row */
  { 2, 3, 2, 48, 0, 0, true },           /* heads that are no power of two */
  { 2, 2, 1, 10, 0, 0, true },
  { 2, 3, 2, 32, 0, 1, true },           /* unaligned */
};

template <int HALF>
static void
test_rope (void)
{
  for (const RopeCase &c : rope_cases)
    {
      int64_t used = (int64_t)(c.heads + c.kv_heads) * c.d, k_at = (int64_t)c.heads * c.d;
      Matrix<cuda_bf16> qkv (c.rows, used, c.ld ? c.ld : used + 8, c.offset);
      Matrix<float> cosines (c.rows, c.d / 2), sines (c.rows, c.d / 2);
      std::vector<float> wq, wk;
      std::vector<double> expected (c.rows * used);

      qkv.fill (0.3, 3);
      for (int64_t i = 0; i < c.rows * (c.d / 2); i++)
        {
          double angle = random_normal () * 10;

          cosines.data ()[i] = (float)cos (angle);
          sines.data ()[i] = (float)sin (angle);
        }
      if (c.has_weights)
        wq = random_vector (c.d, 1, 0.3), wk = random_vector (c.d, 2, 0.3);
      for (int64_t r = 0; r < c.rows; r++)
        for (int head = 0; head < c.heads + c.kv_heads; head++)
          {
            std::vector<double> x (c.d);
            double factor;

            for (int i = 0; i < c.d; i++)
              x[i] = qkv.at (r, head * c.d + i);
            factor = rms_factor (x.data (), c.d, 1e-6);
            for (int i = 0; i < c.d / 2; i++)
              {
                int at_a = HALF ? i : 2 * i, at_b = HALF ? i + c.d / 2 : 2 * i + 1;
                const std::vector<float> &w = head < c.heads ? wq : wk;
                double a = x[at_a] * factor * value_of (w, at_a), b = x[at_b] * factor * value_of (w, at_b);

                expected[r * used + head * c.d + at_a] = a * cosines.at (r, i) - b * sines.at (r, i);
                expected[r * used + head * c.d + at_b] = a * sines.at (r, i) + b * cosines.at (r, i);
              }
          }
      emu_each_order ([&] {
        Matrix<cuda_bf16> x = qkv;
        CudaQkNormRope a = { x.data (), c.kv_heads ? x.data () + k_at : NULL, x.ld, x.ld, c.rows, c.heads, c.kv_heads, c.d, HALF,
                             pointer_to (wq), pointer_to (wk), cosines.data (), sines.data (), 1e-6f };

        g_assert_cmpint (zie_cuda_qk_norm_rope (NULL, &a), ==, 0);
        compare (x, expected);
      });
    }
}

/* --- maps --- */

typedef struct { int64_t rows, cols, ld, offset; } MapCase;

static const MapCase map_cases[] = {
  { 3, 10240, 20480, 0 },
  { 5, 8, 0, 0 },
  { 7, 40, 48, 0 },
  { 2, 1112, 0, 0 },
  { 3, 37, 0, 0 },                       /* by elements: tails, distances, addresses */
  { 3, 24, 25, 0 },
  { 3, 24, 0, 3 },
};

static double
silu (double x)
{
  return x / (1 + exp (-x));
}

/* gate and up are columns of one matrix where that is wide enough, as after W1 | W3. */
static void
test_swiglu (void)
{
  for (const MapCase &c : map_cases)
    {
      Matrix<cuda_bf16> both (c.rows, c.ld == 2 * c.cols ? c.ld : c.cols, c.ld, c.offset), up (c.rows, c.cols, c.ld, c.offset);
      std::vector<double> expected;
      bool is_one = both.cols == 2 * c.cols;

      both.fill (0, 4);
      up.fill ();
      for (int64_t r = 0; r < c.rows; r++)
        for (int64_t i = 0; i < both.cols; i++)
          expected.push_back (i >= c.cols ? both.at (r, i) : silu (both.at (r, i)) * (is_one ? both.at (r, c.cols + i) : up.at (r, i)));
      emu_each_order ([&] {
        Matrix<cuda_bf16> y = both;

        g_assert_cmpint (zie_cuda_swiglu (NULL, y.data (), y.ld, y.data (), y.ld, is_one ? y.data () + c.cols : up.data (),
                                          up.ld, c.rows, c.cols), ==, 0);
        compare (y, expected);
      });
    }
}

/* Where e^-x is no number of fp32 any more. */
static void
test_swiglu_extremes (void)
{
  static const float gates[8] = { -1e4f, -200, -88, -20, 0, 20, 88, 1e4f };
  Matrix<cuda_bf16> gate (1, 8), up (1, 8), y (1, 8);

  for (int i = 0; i < 8; i++)
    {
      gate.data ()[i] = float_to_bf16 (gates[i]);
      up.data ()[i] = float_to_bf16 (2);
    }
  g_assert_cmpint (zie_cuda_swiglu (NULL, y.data (), 8, gate.data (), 8, up.data (), 8, 1, 8), ==, 0);
  for (int i = 0; i < 8; i++)
    {
      double e = 2 * silu (gate.at (0, i));

      g_assert_cmpfloat (fabs (y.at (0, i) - e), <=, BF16_ELEMENT * fabs (e) + 1e-30);
    }
}

static void
test_add (void)
{
  for (const MapCase &c : map_cases)
    {
      Matrix<cuda_bf16> x (c.rows, c.cols, c.ld, c.offset), y (c.rows, c.cols, c.cols + 16, c.offset);
      std::vector<double> expected;

      x.fill ();
      y.fill ();
      for (int64_t r = 0; r < c.rows; r++)
        for (int64_t i = 0; i < c.cols; i++)
          expected.push_back (x.at (r, i) + y.at (r, i));
      emu_each_order ([&] {
        Matrix<cuda_bf16> sum = x;

        g_assert_cmpint (zie_cuda_add (NULL, sum.data (), sum.ld, y.data (), y.ld, c.rows, c.cols), ==, 0);
        compare_exactly (sum, expected);
      });
    }
}

template <class T>
static void
test_unary (void)
{
  for (const MapCase &c : map_cases)
    for (int kind = 0; kind < 3; kind++)
      {
        Matrix<T> x (c.rows, c.cols, c.ld, c.offset), y (c.rows, c.cols, c.cols + 8, c.offset);
        std::vector<double> expected;

        x.fill (0, 3);
        for (int64_t r = 0; r < c.rows; r++)
          for (int64_t i = 0; i < c.cols; i++)
            {
              double v = x.at (r, i);

              expected.push_back (kind == CUDA_UNARY_SILU ? silu (v) : kind == CUDA_UNARY_TANH ? tanh (v) : 1 + v);
            }
        emu_each_order ([&] {
          Matrix<T> in_place = x;

          g_assert_cmpint (zie_cuda_unary (NULL, y.data (), y.ld, x.data (), x.ld, sizeof (T) == 4, c.rows, c.cols, (CudaUnary)kind), ==, 0);
          compare (y, expected);
          g_assert_cmpint (zie_cuda_unary (NULL, in_place.data (), x.ld, in_place.data (), x.ld, sizeof (T) == 4, c.rows, c.cols, (CudaUnary)kind), ==, 0);
          compare (in_place, expected);
        });
      }
}

static void
test_fill_rows (void)
{
  for (const MapCase &c : map_cases)
    {
      Matrix<cuda_bf16> y (c.rows, c.cols, c.ld, c.offset);
      std::vector<float> row = random_vector (c.cols, 0, 1);
      std::vector<double> expected;

      for (int64_t r = 0; r < c.rows; r++)
        expected.insert (expected.end (), row.begin (), row.end ());
      g_assert_cmpint (zie_cuda_fill_rows (NULL, y.data (), y.ld, row.data (), c.rows, c.cols), ==, 0);
      compare_exactly (y, expected);
    }
}

template <class T>
static void
test_gather (void)
{
  for (const MapCase &c : map_cases)
    {
      Matrix<T> table (11, c.cols);
      Matrix<cuda_bf16> y (c.rows, c.cols, c.ld, c.offset);
      std::vector<int32_t> ids;
      std::vector<double> expected;

      table.fill ();
      for (int64_t r = 0; r < c.rows; r++)
        {
          ids.push_back (g_rand_int_range (rng, 0, 11));
          for (int64_t i = 0; i < c.cols; i++)
            expected.push_back (table.at (ids[r], i));
        }
      g_assert_cmpint (zie_cuda_gather (NULL, y.data (), y.ld, table.data (), sizeof (T) == 4, ids.data (), c.rows, c.cols), ==, 0);
      compare_exactly (y, expected);
    }
}

template <class Y, class X>
static void
test_convert (void)
{
  for (const MapCase &c : map_cases)
    {
      Matrix<X> x (c.rows, c.cols, c.ld, c.offset);
      Matrix<Y> y (c.rows, c.cols, c.cols + 8 * (c.rows % 2));
      std::vector<double> expected;

      x.fill ();
      for (int64_t r = 0; r < c.rows; r++)
        for (int64_t i = 0; i < c.cols; i++)
          expected.push_back (x.at (r, i));
      g_assert_cmpint (zie_cuda_convert (NULL, y.data (), sizeof (Y) == 4, y.ld, x.data (), sizeof (X) == 4, x.ld, c.rows, c.cols), ==, 0);
      compare_exactly (y, expected);
    }
}

static void
test_nothing (void)
{
  CudaResidNorm empty = {};
  CudaQkNormRope no_heads = {};

  g_assert_cmpint (zie_cuda_add (NULL, NULL, 8, NULL, 8, 0, 8), ==, 0);
  g_assert_cmpint (zie_cuda_rms_norm (NULL, NULL, 8, NULL, 8, NULL, NULL, 0, 8, 1, {}), ==, 0);
  g_assert_cmpint (zie_cuda_resid_norm (NULL, &empty), ==, 0);
  g_assert_cmpint (zie_cuda_qk_norm_rope (NULL, &no_heads), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  rng = g_rand_new_with_seed (5);
  g_test_add_func ("/cuda-elementwise/rms-norm", (test_norm<false, false>));
  g_test_add_func ("/cuda-elementwise/rms-norm/in-place", (test_norm<false, true>));
  g_test_add_func ("/cuda-elementwise/layer-norm", (test_norm<true, false>));
  g_test_add_func ("/cuda-elementwise/layer-norm/in-place", (test_norm<true, true>));
  g_test_add_func ("/cuda-elementwise/norm/zeros", test_norm_zeros);
  g_test_add_func ("/cuda-elementwise/norm/noted", test_noted);
  g_test_add_func ("/cuda-elementwise/norm/several-rows-a-block", test_turns);
  g_test_add_func ("/cuda-elementwise/resid-norm", test_resid_norm<H_OWN>);
  g_test_add_func ("/cuda-elementwise/resid-norm/over-y", test_resid_norm<H_IS_Y>);
  g_test_add_func ("/cuda-elementwise/resid-norm/no-next", test_resid_norm<H_NONE>);
  g_test_add_func ("/cuda-elementwise/rope/pairs", test_rope<0>);
  g_test_add_func ("/cuda-elementwise/rope/halves", test_rope<1>);
  g_test_add_func ("/cuda-elementwise/swiglu", test_swiglu);
  g_test_add_func ("/cuda-elementwise/swiglu/extremes", test_swiglu_extremes);
  g_test_add_func ("/cuda-elementwise/add", test_add);
  g_test_add_func ("/cuda-elementwise/unary/bf16", test_unary<cuda_bf16>);
  g_test_add_func ("/cuda-elementwise/unary/f32", test_unary<float>);
  g_test_add_func ("/cuda-elementwise/fill-rows", test_fill_rows);
  g_test_add_func ("/cuda-elementwise/gather/bf16", test_gather<cuda_bf16>);
  g_test_add_func ("/cuda-elementwise/gather/f32", test_gather<float>);
  g_test_add_func ("/cuda-elementwise/convert/bf16-bf16", (test_convert<cuda_bf16, cuda_bf16>));
  g_test_add_func ("/cuda-elementwise/convert/bf16-f32", (test_convert<cuda_bf16, float>));
  g_test_add_func ("/cuda-elementwise/convert/f32-bf16", (test_convert<float, cuda_bf16>));
  g_test_add_func ("/cuda-elementwise/convert/f32-f32", (test_convert<float, float>));
  g_test_add_func ("/cuda-elementwise/nothing", test_nothing);
  return run_tests ();
}
