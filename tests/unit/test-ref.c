/* SPDX-License-Identifier: Apache-2.0 */
#include "zie-backend.h"

#include <math.h>
#include <string.h>

/* The specification itself against numbers worked out by hand: all other backends are only compared with it. */

#define EPS 1e-6

static guint8 block[1 << 16] __attribute__ ((aligned (ZIE_ARENA_ALIGN)));
static ZieArena arena;
static ZieOps ops;
static ZieOpCtx ctx;

static void
begin (void)
{
  zie_ops_init_ref (&ops);
  zie_arena_init (&arena, block, sizeof block);
  ctx = (ZieOpCtx) { .ops = &ops, .arena = &arena, .n_threads = 1, .compute = ZIE_COMPUTE_F32, .act = ZIE_DTYPE_F32 };
}

static ZieTensor
tensor (float *values, gint64 rows, gint64 cols)
{
  return (ZieTensor) { (guint8 *)values, ZIE_DTYPE_F32, rows, cols, cols, 0, 0 };
}

static ZieTensor
image (float *values, gint64 h, gint64 w, gint64 channels)
{
  ZieTensor t = tensor (values, h * w, channels);

  t.h = h;
  t.w = w;
  return t;
}

static ZieWeight
weight (const float *values, gint64 rows, gint64 cols)
{
  return (ZieWeight) { (const guint8 *)values, ZIE_DTYPE_F32, rows, cols };
}

static void
assert_values (const float *found, const double *expected, guint n)
{
  for (guint i = 0; i < n; i++)
    g_assert_cmpfloat_with_epsilon (found[i], expected[i], EPS);
}

static void
test_linear (void)
{
  float x[] = { 1, 2, 3, 4 }, y[6];
  const float w[] = { 1, 0, 0, 1, 1, 10 }, b[] = { 0.5f, 0, -1 };
  const double with[] = { 1.5, 2, 20, 3.5, 4, 42 }, without[] = { 1, 2, 21, 3, 4, 43 };
  ZieTensor tx = tensor (x, 2, 2), ty = tensor (y, 2, 3);
  ZieWeight tw = weight (w, 3, 2), tb = weight (b, 1, 3);

  begin ();
  ops.linear (&ctx, &ty, &tx, &tw, &tb);
  assert_values (y, with, 6);
  ops.linear (&ctx, &ty, &tx, &tw, NULL);
  assert_values (y, without, 6);
}

/* bf16 steps by 2^-7 at 1.  1 + 2^-8 is half way and goes to the even neighbour, 1; 1 + 3 * 2^-8 to 1 + 2^-6. */
static void
test_bf16_rounds_both_factors (void)
{
  float x[] = { 1 + 0x1p-8f, 1 }, y[1];
  const float w[] = { 1, 1 + 3 * 0x1p-8f };
  ZieTensor tx = tensor (x, 1, 2), ty = tensor (y, 1, 1);
  ZieWeight tw = weight (w, 1, 2);

  begin ();
  ops.linear (&ctx, &ty, &tx, &tw, NULL);
  g_assert_cmpfloat (y[0], ==, 2 + 4 * 0x1p-8f);
  ctx.compute = ZIE_COMPUTE_BF16;
  ops.linear (&ctx, &ty, &tx, &tw, NULL);
  g_assert_cmpfloat (y[0], ==, 2 + 0x1p-6f);
}

static void
test_q8_0_weight (void)
{
  guint8 w[ZIE_Q8_0_BLOCK_SIZE] = { 0x00, 0x38 };            /* scale 0.5 */
  float x[ZIE_Q8_0_BLOCK], y[1];
  ZieTensor tx = tensor (x, 1, ZIE_Q8_0_BLOCK), ty = tensor (y, 1, 1);
  ZieWeight tw = { w, ZIE_DTYPE_Q8_0, 1, ZIE_Q8_0_BLOCK };

  for (int i = 0; i < ZIE_Q8_0_BLOCK; i++)
    {
      w[2 + i] = (guint8)(gint8)(i - 16);
      x[i] = 1;
    }
  begin ();
  ops.linear (&ctx, &ty, &tx, &tw, NULL);
  g_assert_cmpfloat (y[0], ==, -8);                          /* 0.5 * sum of -16 … 15 */
}

static void
test_norms (void)
{
  float x[] = { 3, 4, 1, 3 }, y[4], s[] = { 10, 100 }, sum[] = { 1, 1, 2, 2 };
  const float w[] = { 1, 2 };
  const double r0 = 1 / sqrt (12.5), r1 = 1 / sqrt (5);
  const double rms[] = { 3 * r0, 8 * r0, r1, 6 * r1 };
  const double scaled[] = { 30 * r0, 800 * r0, 10 * r1, 600 * r1 };
  const double layer[] = { -10, 100, -10, 100 };
  const double gated[] = { 1 + 30 * r0, 1 + 800 * r0, 2 + 10 * r1, 2 + 600 * r1 };
  ZieTensor tx = tensor (x, 2, 2), ty = tensor (y, 2, 2), ts = tensor (s, 1, 2), tsum = tensor (sum, 2, 2);
  ZieWeight tw = weight (w, 1, 2);

  begin ();
  ops.rms_norm (&ctx, &ty, &tx, &tw, NULL, 0);
  assert_values (y, rms, 4);
  ops.rms_norm (&ctx, &ty, &tx, &tw, &ts, 0);
  for (int i = 0; i < 4; i++)
    g_assert_cmpfloat_with_epsilon (y[i], scaled[i], 1e-4);
  ops.layer_norm (&ctx, &ty, &tx, &ts, 0);
  assert_values (y, layer, 4);
  ops.gated_norm_add (&ctx, &tsum, &tx, &tw, &ts, 0);
  for (int i = 0; i < 4; i++)
    g_assert_cmpfloat_with_epsilon (sum[i], gated[i], 1e-4);

  /* eps stands inside the root: of zeros and of (0.5, 0.5) */
  memset (x, 0, sizeof x);
  x[2] = x[3] = 0.5f;
  ops.rms_norm (&ctx, &ty, &tx, &tw, NULL, 0.75f);
  g_assert_cmpfloat (y[0], ==, 0);
  g_assert_cmpfloat_with_epsilon (y[2], 0.5, EPS);
}

/* A quarter turn: (a, b) becomes (-b, a). */
static void
test_rope_pairs (void)
{
  float x[] = { 1, 1, 1, 1, 1, 1, 1, 1 }, cos[] = { 0, 0 }, sin[] = { 1, 1 };
  const float w[] = { 1, 2, 3, 4 };
  const double interleaved[] = { -2, 1, -4, 3, -2, 1, -4, 3 }, half[] = { -3, -4, 1, 2, -3, -4, 1, 2 };
  ZieTensor tx = tensor (x, 1, 8), tcos = tensor (cos, 1, 2), tsin = tensor (sin, 1, 2);
  ZieWeight tw = weight (w, 1, 4);

  begin ();
  ops.qk_norm_rope (&ctx, &tx, &tw, &tcos, &tsin, 2, ZIE_ROPE_INTERLEAVED, 0);
  assert_values (x, interleaved, 8);
  for (int i = 0; i < 8; i++)
    x[i] = 1;
  ops.qk_norm_rope (&ctx, &tx, &tw, &tcos, &tsin, 2, ZIE_ROPE_HALF, 0);
  assert_values (x, half, 8);
}

/* Scores of log 3 and 0 weigh 3 : 1; heads 0 and 1 share the first key head, 2 and 3 the second. */
static void
test_attention (void)
{
  float q[4] = { 1, 2, 1, 0 }, k[4] = { (float)log (3) / 2, 5, 0, 5 }, v[4] = { 8, 1, 0, 3 }, o[4];
  const double expected[] = { 6, 7.2, 2, 2 };
  ZieTensor tq = tensor (q, 1, 4), tk = tensor (k, 2, 2), tv = tensor (v, 2, 2), to = tensor (o, 1, 4);

  begin ();
  ops.attention (&ctx, &to, &tq, &tk, &tv, 4, 2, 2, FALSE);
  assert_values (o, expected, 4);
}

static void
test_attention_causal (void)
{
  float q[3] = { 0 }, k[3] = { 7, 8, 9 }, v[3] = { 3, 5, 10 }, o[3];
  const double causal[] = { 3, 4, 6 }, full[] = { 6, 6, 6 };
  ZieTensor tq = tensor (q, 3, 1), tk = tensor (k, 3, 1), tv = tensor (v, 3, 1), to = tensor (o, 3, 1);

  begin ();
  ops.attention (&ctx, &to, &tq, &tk, &tv, 1, 1, 1, TRUE);
  assert_values (o, causal, 3);
  ops.attention (&ctx, &to, &tq, &tk, &tv, 1, 1, 1, FALSE);
  assert_values (o, full, 3);
}

/* y = conv (x) for one channel in and out with KERNEL and no bias. */
static void
conv_one (float *y, gint64 h, gint64 w, float *x, gint64 x_h, gint64 x_w, const float *kernel, const ZieConvArgs *args)
{
  static const float zero[1];
  ZieTensor tx = image (x, x_h, x_w, 1), ty = image (y, h, w, 1);
  ZieConv conv = { weight (kernel, 1, 9), weight (zero, 1, 1), 1, 1, 3 };

  begin ();
  ops.conv2d (&ctx, &ty, &tx, &conv, args);
}

static const float corner[9] = { 1 };                                 /* the tap above and to the left */
static const float last[9] = { 0, 0, 0, 0, 0, 0, 0, 0, 1 };           /* below and to the right */
static const float centre[9] = { 0, 0, 0, 0, 1 };

static void
test_conv_orientation (void)
{
  const float kernel[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
  float x[] = { 0, 0, 0, 0, 1, 0, 0, 0, 0 }, y[9];
  const double expected[] = { 9, 8, 7, 6, 5, 4, 3, 2, 1 };            /* a correlation: a dot draws the kernel reversed */
  ZieConvArgs args = { .stride = 1 };

  conv_one (y, 3, 3, x, 3, 3, kernel, &args);
  assert_values (y, expected, 9);
}

static void
test_conv_stride_2_pads_right_and_below (void)
{
  float x[16], y[4];
  const double first[] = { 1, 3, 9, 11 }, end[] = { 11, 0, 0, 0 };
  ZieConvArgs args = { .stride = 2 };

  for (int i = 0; i < 16; i++)
    x[i] = (float)i + 1;
  conv_one (y, 2, 2, x, 4, 4, corner, &args);
  assert_values (y, first, 4);
  conv_one (y, 2, 2, x, 4, 4, last, &args);
  assert_values (y, end, 4);
}

static void
test_conv_upsample (void)
{
  float x[] = { 1, 2 }, y[8];
  const double same[] = { 1, 1, 2, 2, 1, 1, 2, 2 }, moved[] = { 0, 0, 0, 0, 0, 1, 1, 2 };
  ZieConvArgs args = { .stride = 1, .upsample = TRUE };

  conv_one (y, 2, 4, x, 1, 2, centre, &args);
  assert_values (y, same, 8);
  conv_one (y, 2, 4, x, 1, 2, corner, &args);
  assert_values (y, moved, 8);
}

/* Padding is 0 after the activation, not silu (shift). */
static void
test_conv_norm (void)
{
  float x[] = { 1, 2 }, y[2], scale = 2, shift = 1;
  const double inside[] = { 3 / (1 + exp (-3)), 5 / (1 + exp (-5)) }, outside[] = { 0, 0 };
  ZieTensor tscale = tensor (&scale, 1, 1), tshift = tensor (&shift, 1, 1);
  ZieConvArgs args = { .stride = 1, .gn_scale = &tscale, .gn_shift = &tshift };

  conv_one (y, 1, 2, x, 1, 2, centre, &args);
  assert_values (y, inside, 2);
  conv_one (y, 1, 2, x, 1, 2, corner, &args);
  assert_values (y, outside, 2);
}

static void
test_conv_band_and_residual (void)
{
  float x[] = { 1, 2, 3, 4, 5, 6, 7, 8 }, y[] = { 100, 200, 300, 400 };
  const double expected[] = { 100, 201, 300, 403 };                    /* rows 1 and 2 of 4, over y itself */
  ZieTensor residual = image (y, 2, 2, 1);
  ZieConvArgs args = { .stride = 1, .residual = &residual, .row0 = 1 };

  conv_one (y, 2, 2, x, 4, 2, corner, &args);
  assert_values (y, expected, 4);
}

/* Channels lie together in pixels, taps together in weights: [out][in][ky][kx]. */
static void
test_conv_channels (void)
{
  float x[] = { 1, 10, 2, 20 }, y[4];
  const float w1[] = { 1, 2, 3, 4 }, b[] = { 0.5f, -0.5f };
  float w3[36] = { 0 };
  const double one[] = { 21.5, 42.5, 42.5, 85.5 }, three[] = { 2.5, 99.5, 0.5, 199.5 };
  ZieTensor tx = image (x, 1, 2, 2), ty = image (y, 1, 2, 2);
  ZieConv conv1 = { weight (w1, 2, 2), weight (b, 1, 2), 2, 2, 1 };
  ZieConv conv3 = { weight (w3, 2, 18), weight (b, 1, 2), 2, 2, 3 };
  ZieConvArgs args = { .stride = 1 };

  begin ();
  ops.conv2d (&ctx, &ty, &tx, &conv1, &args);
  assert_values (y, one, 4);

  w3[0 * 18 + 0 * 9 + 5] = 1;                                          /* out 0: channel 0 of the pixel to the right */
  w3[1 * 18 + 1 * 9 + 4] = 10;                                         /* out 1: ten times channel 1 of the pixel itself */
  ops.conv2d (&ctx, &ty, &tx, &conv3, &args);
  assert_values (y, three, 4);
}

static void
test_group_norm (void)
{
  float x[] = { 1, 3, 5, 50, 3, 5, 7, 50 }, scale[4], shift[4], y[8];   /* 2 pixels, 4 channels in 2 groups */
  const float gamma[] = { 1, 2, 1, 1 }, beta[] = { 0, 10, 0, 1 };
  /* group 0: 1 3 3 5, mean 3, variance 2; group 1: 5 50 7 50, mean 28, variance 484.5 */
  const double r0 = 1 / sqrt (2), r1 = 1 / sqrt (484.5);
  const double scales[] = { r0, 2 * r0, r1, r1 }, shifts[] = { -3 * r0, 10 - 6 * r0, -28 * r1, 1 - 28 * r1 };
  const double result[] = { -2 * r0, 10, -23 * r1, 1 + 22 * r1, 0, 10 + 4 * r0, -21 * r1, 1 + 22 * r1 };
  ZieTensor tx = tensor (x, 2, 4), tscale = tensor (scale, 1, 4), tshift = tensor (shift, 1, 4), ty = tensor (y, 2, 4);
  ZieWeight tgamma = weight (gamma, 1, 4), tbeta = weight (beta, 1, 4);

  begin ();
  ops.group_norm (&ctx, &tscale, &tshift, &tx, &tgamma, &tbeta, 2, 0);
  assert_values (scale, scales, 4);
  assert_values (shift, shifts, 4);
  ops.affine (&ctx, &ty, &tx, &tscale, &tshift);
  assert_values (y, result, 8);
}

/* In two goes: the half (127.5) goes to the even neighbour, and what is not finite is counted and black. */
static void
test_rgb8 (void)
{
  float x[] = { -1, 0, 1, -2, 0.4f / 127.5f - 1, 2, 1.6f / 127.5f - 1, 2.4f / 127.5f - 1, 253.6f / 127.5f - 1 };
  float broken[] = { NAN, INFINITY, -INFINITY };
  const guint8 bytes[] = { 0, 128, 255, 0, 0, 255, 2, 2, 254 }, black[] = { 0, 255, 0 };
  guint8 rgb[9];
  ZieRgb8Check check = { 0 };
  ZieTensor tx = tensor (x, 3, 3), tbroken = tensor (broken, 1, 3);

  begin ();
  ops.download_rgb8 (&ctx, rgb, &check, &tx);
  g_assert_cmpmem (rgb, 9, bytes, 9);
  g_assert_cmpuint (check.n_pixels, ==, 3);
  g_assert_cmpuint (check.n_not_finite, ==, 0);
  g_assert_cmpmem (check.min, 3, ((guint8[]) { 0, 0, 254 }), 3);
  g_assert_cmpmem (check.max, 3, ((guint8[]) { 2, 128, 255 }), 3);

  ops.download_rgb8 (&ctx, rgb, &check, &tbroken);
  g_assert_cmpmem (rgb, 3, black, 3);
  g_assert_cmpuint (check.n_pixels, ==, 4);
  g_assert_cmpuint (check.n_not_finite, ==, 3);
  g_assert_cmpmem (check.min, 3, ((guint8[]) { 0, 0, 0 }), 3);
  g_assert_cmpmem (check.max, 3, ((guint8[]) { 2, 255, 255 }), 3);
}

static void
test_elementwise (void)
{
  float a[] = { 0, 1, -200, 200 }, b[] = { 5, 3, 2, 0.5f }, y[4];
  const double swiglu[] = { 0, 3 / (1 + exp (-1)), 0, 100 }, silu[] = { 0, 1 / (1 + exp (-1)), 0, 200 };
  const double tanhs[] = { 0, tanh (1), -1, 1 }, plus[] = { 1, 2, -199, 201 }, sum[] = { 5, 4, -198, 200.5 };
  ZieTensor ta = tensor (a, 2, 2), tb = tensor (b, 2, 2), ty = tensor (y, 2, 2);

  begin ();
  ops.swiglu (&ctx, &ty, &ta, &tb);
  assert_values (y, swiglu, 4);
  ops.unary (&ctx, &ty, &ta, ZIE_UNARY_SILU);
  assert_values (y, silu, 4);
  ops.unary (&ctx, &ty, &ta, ZIE_UNARY_TANH);
  assert_values (y, tanhs, 4);
  ops.unary (&ctx, &ty, &ta, ZIE_UNARY_ONE_PLUS);
  assert_values (y, plus, 4);
  ops.copy (&ctx, &ty, &ta);
  ops.add (&ctx, &ty, &tb);
  assert_values (y, sum, 4);
}

static void
test_rows_of_weights (void)
{
  const float w[] = { 1, 2, 3, 4, 5, 6 };
  const gint32 ids[] = { 2, 0, 2 };
  const double gathered[] = { 5, 6, 1, 2, 5, 6 }, filled[] = { 1, 2, 1, 2, 1, 2 };
  float y[6];
  ZieTensor ty = tensor (y, 3, 2);
  ZieWeight table = weight (w, 3, 2), row = weight (w, 1, 2);

  begin ();
  ops.gather (&ctx, &ty, &table, ids);
  assert_values (y, gathered, 6);
  ops.fill_rows (&ctx, &ty, &row);
  assert_values (y, filled, 6);
}

/* Token n = i * Wt + j, entry (py * 2 + px) * C + c = latent[c, 2i + py, 2j + px]. */
static void
test_patchify (void)
{
  enum { C = 3, H = 4, W = 6 };
  float latent[C * H * W], back[C * H * W], tokens[C * H * W];
  ZieTensor tl = tensor (latent, C, H * W), tb = tensor (back, C, H * W), tt = tensor (tokens, H / 2 * W / 2, 4 * C);

  for (int i = 0; i < C * H * W; i++)
    latent[i] = (float)i;
  begin ();
  ops.patchify (&ctx, &tt, &tl, C, H, W);
  for (int i = 0; i < H / 2; i++)
    for (int j = 0; j < W / 2; j++)
      for (int py = 0; py < 2; py++)
        for (int px = 0; px < 2; px++)
          for (int c = 0; c < C; c++)
            g_assert_cmpfloat (tokens[(i * (W / 2) + j) * 4 * C + (py * 2 + px) * C + c], ==,
                               latent[c * H * W + (2 * i + py) * W + 2 * j + px]);
  ops.unpatchify (&ctx, &tb, &tt, C, H, W);
  g_assert_cmpmem (back, sizeof back, latent, sizeof latent);
}

static void
test_planes (void)
{
  float planes[] = { 1, 2, 3, 4, 5, 6 }, pixels[6], back[6];
  const double expected[] = { 2.5, 8.5, 4.5, 10.5, 6.5, 12.5 }, again[] = { 2.5, 4.5, 6.5, 8.5, 10.5, 12.5 };
  ZieTensor tp = tensor (planes, 2, 3), tx = tensor (pixels, 3, 2), tb = tensor (back, 2, 3);

  begin ();
  ops.planes_to_pixels (&ctx, &tx, &tp, 2, 0.5f);
  assert_values (pixels, expected, 6);
  ops.pixels_to_planes (&ctx, &tb, &tx, 1, 0);
  assert_values (back, again, 6);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ref/linear", test_linear);
  g_test_add_func ("/ref/bf16-rounds-both-factors", test_bf16_rounds_both_factors);
  g_test_add_func ("/ref/q8-0-weight", test_q8_0_weight);
  g_test_add_func ("/ref/norms", test_norms);
  g_test_add_func ("/ref/rope-pairs", test_rope_pairs);
  g_test_add_func ("/ref/attention", test_attention);
  g_test_add_func ("/ref/attention-causal", test_attention_causal);
  g_test_add_func ("/ref/conv-orientation", test_conv_orientation);
  g_test_add_func ("/ref/conv-stride-2-pads-right-and-below", test_conv_stride_2_pads_right_and_below);
  g_test_add_func ("/ref/conv-upsample", test_conv_upsample);
  g_test_add_func ("/ref/conv-norm", test_conv_norm);
  g_test_add_func ("/ref/conv-band-and-residual", test_conv_band_and_residual);
  g_test_add_func ("/ref/conv-channels", test_conv_channels);
  g_test_add_func ("/ref/group-norm", test_group_norm);
  g_test_add_func ("/ref/rgb8", test_rgb8);
  g_test_add_func ("/ref/elementwise", test_elementwise);
  g_test_add_func ("/ref/rows-of-weights", test_rows_of_weights);
  g_test_add_func ("/ref/patchify", test_patchify);
  g_test_add_func ("/ref/planes", test_planes);
  return g_test_run ();
}
