/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-emulator.h"

#include <glib.h>

#include "conv.cu"

/* The convolution with mma.sync against sums in double over the picture as the op's contract says it (zie-ops.h).  Inputs and
 * weights are bf16; what is left is the rounding of the result (1.1e-3 relative L2), of the activated input where there is a
 * norm and of the summed weights where the picture is enlarged, each about as much: held to 3e-3, and to more where the mean is
 * over a few values only.  Without those two and with an fp32 result just the order of sums remains. */
#define TOLERANCE 3e-3
#define EXACT_TOLERANCE 2e-6

/* The Hopper kernel has a program of its own (cuda-check-conv.cu): nothing of it runs here. */
bool cuda_conv_hopper_takes (const CudaCard *, const CudaConv *, CudaKernelChoice) { return false; }
int cuda_conv_hopper (const CudaCard *, CudaStream, const CudaConv *) { g_assert_not_reached (); }

enum { NORM = 1, UPSAMPLE = 2, RESIDUAL = 4, RESIDUAL_IS_Y = 8, STRIDE_2 = 16, F32 = 32, NO_BIAS = 64, WEIGHT_F32 = 128 };

typedef struct
{
  int in, out, ksize, h, w, flags;
  int row0, rows;                      /* the band of output rows; rows 0 = all */
} Case;

static const Case cases[] = {
  /* The demo model's and the full-size model's widths. */
  { 16, 128, 3, 9, 18, 0 },
  { 128, 128, 3, 8, 16, NORM },
  { 96, 96, 3, 9, 17, NORM | RESIDUAL | RESIDUAL_IS_Y },
  { 128, 128, 3, 5, 17, UPSAMPLE },
  { 128, 64, 1, 9, 20, 0 },
  { 64, 64, 3, 12, 20, NORM | RESIDUAL, 4, 7 },
  { 64, 64, 3, 9, 17, UPSAMPLE, 5, 8 },
  { 64, 32, 3, 10, 33, NORM, 0, 8 },
  { 32, 32, 3, 10, 17, NORM | RESIDUAL | RESIDUAL_IS_Y, 1, 9 },
  { 32, 3, 3, 12, 36, NORM | F32, 3, 9 },
  { 128, 3, 3, 9, 33, NORM | F32 },
  { 3, 32, 3, 16, 20, 0 },
  { 3, 128, 3, 9, 17, F32 | WEIGHT_F32 },
  { 32, 32, 3, 20, 34, STRIDE_2 },
  { 128, 128, 3, 18, 34, STRIDE_2 | F32 },
  { 64, 256, 3, 8, 16, NORM },
  { 256, 72, 1, 8, 16, RESIDUAL | F32 },

  /* One, odd, prime; pictures smaller than the kernel or its tile; everything at once. */
  { 1, 1, 1, 1, 1, F32 | NO_BIAS },
  { 1, 1, 3, 1, 1, WEIGHT_F32 },
  { 1, 1, 3, 1, 1, UPSAMPLE | NORM },
  { 2, 3, 3, 1, 7, NORM },
  { 3, 5, 3, 7, 1, F32 },
  { 5, 7, 3, 2, 2, STRIDE_2 },
  { 4, 8, 3, 2, 2, STRIDE_2 | NORM },
  { 4, 8, 3, 7, 9, STRIDE_2 },
  { 13, 17, 3, 11, 19, NORM | RESIDUAL, 3, 5 },
  { 31, 33, 3, 5, 15, RESIDUAL | RESIDUAL_IS_Y | F32 },
  { 33, 31, 3, 4, 17, UPSAMPLE | RESIDUAL | WEIGHT_F32, 1, 6 },
  { 15, 16, 1, 3, 31, NORM | RESIDUAL, 1, 2 },
  { 17, 65, 1, 6, 16, 0, 5, 1 },
  { 48, 63, 3, 8, 50, NORM | NO_BIAS, 7, 1 },
  { 8, 130, 3, 9, 9, UPSAMPLE | F32, 17, 1 },
};

static GRand *rng;

static float
random_value (void)
{
  return bf16_to_float (float_to_bf16 ((float)g_rand_double_range (rng, -1, 1)));
}

static cuda_bf16 *
to_bf16 (std::vector<cuda_bf16> &to, const std::vector<float> &from)
{
  to.resize (from.size ());
  for (size_t i = 0; i < from.size (); i++)
    to[i] = float_to_bf16 (from[i]);
  return to.data ();
}

static void
reference (const Case *c, std::vector<double> &y, const std::vector<float> &x, const std::vector<float> &weight, const float *bias,
           const float *scale, const float *shift, const std::vector<float> *residual, int out_w, int rows)
{
  int enlarge = c->flags & UPSAMPLE ? 2 : 1, stride = c->flags & STRIDE_2 ? 2 : 1, before = stride == 2 ? 0 : c->ksize / 2;
  std::vector<double> seen (x.begin (), x.end ());

  if (scale)
    for (size_t i = 0; i < seen.size (); i++)
      {
        double v = seen[i] * scale[i % c->in] + shift[i % c->in];
        seen[i] = v / (1 + exp (-v));
      }
  y.assign ((size_t)rows * out_w * c->out, 0);
  for (int r = 0; r < rows; r++)
    for (int col = 0; col < out_w; col++)
      for (int o = 0; o < c->out; o++)
        {
          size_t at = ((size_t)r * out_w + col) * c->out + o;
          double sum = (bias ? bias[o] : 0) + (residual ? (*residual)[at] : 0);
          for (int ky = 0; ky < c->ksize; ky++)
            for (int kx = 0; kx < c->ksize; kx++)
              {
                int iy = (c->row0 + r) * stride - before + ky, ix = col * stride - before + kx;
                if (iy < 0 || ix < 0 || iy >= c->h * enlarge || ix >= c->w * enlarge)
                  continue;
                const double *pixel = &seen[((size_t)(iy / enlarge) * c->w + ix / enlarge) * c->in];
                for (int i = 0; i < c->in; i++)
                  sum += pixel[i] * weight[(((size_t)o * c->in + i) * c->ksize + ky) * c->ksize + kx];
              }
          y[at] = sum;
        }
}

static void
run_case (gconstpointer data)
{
  const Case *c = (const Case *)data;
  int enlarge = c->flags & UPSAMPLE ? 2 : 1, stride = c->flags & STRIDE_2 ? 2 : 1;
  int out_w = c->w * enlarge / stride, rows = c->rows ? c->rows : c->h * enlarge / stride;
  bool f32 = c->flags & F32, has_norm = c->flags & NORM, in_place = c->flags & RESIDUAL_IS_Y;
  size_t n = (size_t)rows * out_w * c->out, taps = (size_t)c->in * c->ksize * c->ksize, value = f32 ? 4 : 2;
  std::vector<float> x ((size_t)c->h * c->w * c->in), weight (c->out * taps), bias (c->out), scale (c->in), shift (c->in), residual (n);
  std::vector<cuda_bf16> x16, weight16, residual16, packed (zie_cuda_conv_packed_size (c->in, c->out, c->ksize, enlarge == 2) / 2, 0xffff);
  std::vector<double> expected;
  double tolerance = f32 && !has_norm && enlarge == 1 ? EXACT_TOLERANCE : TOLERANCE;

  for (std::vector<float> *v : { &x, &weight, &residual, &bias, &scale, &shift })
    for (float &f : *v)
      f = random_value ();
  if (c->flags & WEIGHT_F32)                   /* not of bf16 before they are packed */
    {
      for (float &f : weight)
        f = (float)g_rand_double_range (rng, -1, 1);
      tolerance = TOLERANCE;
    }
  tolerance *= 1 + 4 / sqrt ((double)n);
  to_bf16 (x16, x);
  to_bf16 (weight16, weight);
  to_bf16 (residual16, residual);
  reference (c, expected, x, weight, c->flags & NO_BIAS ? NULL : bias.data (), has_norm ? scale.data () : NULL, shift.data (),
             c->flags & RESIDUAL ? &residual : NULL, out_w, rows);
  g_assert_cmpint (zie_cuda_conv_pack (NULL, packed.data (), c->flags & WEIGHT_F32 ? (void *)weight.data () : weight16.data (),
                                       (c->flags & WEIGHT_F32) != 0, c->in, c->out, c->ksize, enlarge == 2), ==, 0);

  emu_each_order ([&] {
    std::vector<guint8> y (n * value + 64, 0xff);
    const void *added = f32 ? (void *)residual.data () : residual16.data ();
    CudaCard card = { 80, 108, 163840, 40 << 20, NULL, 0 };
    CudaConv conv = { y.data (), f32, x16.data (), c->h, c->w, c->in, c->out, c->ksize, stride, enlarge == 2, packed.data (),
                      c->flags & NO_BIAS ? NULL : bias.data (), has_norm ? scale.data () : NULL, has_norm ? shift.data () : NULL,
                      NULL, c->row0, rows, NULL };
    double error = 0, norm = 0;

    if (in_place)
      memcpy (y.data (), added, n * value);
    if (c->flags & RESIDUAL)
      conv.residual = in_place ? y.data () : added;
    g_assert_cmpint (zie_cuda_conv (&card, NULL, &conv, CUDA_KERNEL_AUTO), ==, 0);
    for (size_t i = 0; i < n; i++)
      {
        double v = f32 ? load_value<true> (y.data (), i) : load_value<false> (y.data (), i);
        g_assert_true (isfinite (v));
        error += (v - expected[i]) * (v - expected[i]);
        norm += expected[i] * expected[i];
      }
    for (size_t i = n * value; i < y.size (); i++)
      g_assert_cmphex (y[i], ==, 0xff);
    g_assert_cmpfloat (sqrt (error / norm), <, tolerance);
  });
}

int
main (int argc, char **argv)
{
  static const char *const names[] = { "norm", "up", "residual", "in-place", "down", "f32", "no-bias", "weight-f32" };

  g_test_init (&argc, &argv, NULL);
  rng = g_rand_new_with_seed (4);
  for (const Case &c : cases)
    {
      g_autoptr (GString) name = g_string_new (NULL);

      g_string_printf (name, "/cuda-conv/%d-to-%d-k%d-%dx%d", c.in, c.out, c.ksize, c.h, c.w);
      for (int i = 0; i < 8; i++)
        if (c.flags & 1 << i)
          g_string_append_printf (name, "-%s", names[i]);
      if (c.rows)
        g_string_append_printf (name, "-rows-%d+%d", c.row0, c.rows);
      g_test_add_data_func (name->str, &c, run_case);
    }
  int result = g_test_run ();
  g_rand_free (rng);
  return result;
}
