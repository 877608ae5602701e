/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Matrices with guards and comparisons, for the tests of the kernels over rows.  Included after the emulator and a .cu file. */

#include <glib.h>

/* A result that was computed in fp32 and rounded once to bf16 (8 bits) has a relative error of at most 2^-8 = 3.9e-3 an
 * element, about 1.7e-3 in L2 for any spread of numbers; 2.5e-3 is the limit, and the limit for an element catches a second
 * rounding.  An element may also be off by what fp32 loses where terms cancel: 1e-5 of the largest element. */
#define BF16_TOLERANCE 2.5e-3
#define BF16_ELEMENT 3.95e-3
#define F32_TOLERANCE 1e-6
#define F32_ELEMENT 2e-6
#define CANCEL 1e-5

static GRand *rng;

static double
random_normal (void)
{
  double sum = 0;

  for (int i = 0; i < 12; i++)
    sum += g_rand_double (rng);
  return sum - 6;
}

static inline std::vector<float>
random_vector (int64_t n, double mean, double spread)
{
  std::vector<float> v (n);

  for (float &f : v)
    f = (float)(mean + spread * random_normal ());
  return v;
}

static inline double to_double (cuda_bf16 v) { return bf16_to_float (v); }
static inline double to_double (float v) { return v; }
static inline void from_double (cuda_bf16 *to, double v) { *to = float_to_bf16 ((float)v); }
static inline void from_double (float *to, double v) { *to = (float)v; }

/* ROWS x COLS, rows LD apart, OFFSET elements behind an aligned address; 0xff (NaN) wherever no row is. */
template <class T>
struct Matrix
{
  int64_t rows, cols, ld, offset;
  std::vector<T> memory;

  Matrix (int64_t rows_, int64_t cols_, int64_t ld_ = 0, int64_t offset_ = 0)
      : rows (rows_), cols (cols_), ld (ld_ ? ld_ : cols_), offset (offset_), memory (rows * ld + offset + 64)
  {
    memset ((void *)memory.data (), 0xff, memory.size () * sizeof (T));
  }

  T *data () { return memory.data () + offset; }
  double at (int64_t r, int64_t c) const { return to_double (memory[offset + r * ld + c]); }

  Matrix &
  fill (double mean = 0, double spread = 1)
  {
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < cols; c++)
        from_double (&memory[offset + r * ld + c], mean + spread * random_normal ());
    return *this;
  }

  void
  check_guards () const
  {
    for (int64_t i = 0; i < (int64_t)memory.size (); i++)
      {
        int64_t at = i - offset;

        if (at >= 0 && at < rows * ld && at % ld < cols)
          continue;
        for (size_t b = 0; b < sizeof (T); b++)
          g_assert_cmphex (((const guint8 *)&memory[i])[b], ==, 0xff);
      }
  }
};

/* EXPECTED [rows * cols] in double. */
template <class T>
static void
compare (const Matrix<T> &y, const std::vector<double> &expected)
{
  const bool is_f32 = sizeof (T) == 4;
  double error = 0, norm = 0, highest = 0;

  for (double e : expected)
    highest = fmax (highest, fabs (e));
  for (int64_t r = 0; r < y.rows; r++)
    for (int64_t c = 0; c < y.cols; c++)
      {
        double v = y.at (r, c), e = expected[r * y.cols + c];

        g_assert_true (isfinite (v));
        g_assert_cmpfloat (fabs (v - e), <=, (is_f32 ? F32_ELEMENT : BF16_ELEMENT) * fabs (e) + CANCEL * highest);
        error += (v - e) * (v - e);
        norm += e * e;
      }
  g_assert_cmpfloat (sqrt (error), <=, (is_f32 ? F32_TOLERANCE : BF16_TOLERANCE) * sqrt (norm));
  y.check_guards ();
}

/* The same numbers, each rounded once to T. */
template <class T>
static void
compare_exactly (const Matrix<T> &y, const std::vector<double> &expected)
{
  for (int64_t r = 0; r < y.rows; r++)
    for (int64_t c = 0; c < y.cols; c++)
      {
        T e;

        from_double (&e, expected[r * y.cols + c]);
        g_assert_cmpfloat (y.at (r, c), ==, to_double (e));
      }
  y.check_guards ();
}

static int
run_tests (void)
{
  int result;

  result = g_test_run ();
  g_rand_free (rng);
  return result;
}
