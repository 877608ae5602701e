/* SPDX-License-Identifier: Apache-2.0 */

/* Norms, rotary, SwiGLU, maps, layouts, GroupNorm and stored numbers on a GPU at full size: first against sums in double on
 * rows picked at random, outputs poisoned, then timed.  Copies on the card say what its memory gives.
 *
 * usage: cuda-check-elementwise [--quick]      --quick: small shapes, not timed (for compute-sanitizer)
 * Ends with 0: all right, 1: something is wrong, 77: no GPU. */

#include <math.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "cuda-check.h"
#include "norm-rows.cuh"

static cudaStream_t stream;
static CudaStream S;
static bool is_quick;
static int n_failed;
static double copy_rate;                 /* bytes a second, read and written */

/* --- data --- */

__global__ void
fill_kernel (float *f, cuda_bf16 *h, int64_t n, uint32_t seed, float mean, float spread)
{
  for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x)
    {
      uint64_t z = (uint64_t)i * 0x9e3779b97f4a7c15ull + seed * 0xbf58476d1ce4e5b9ull;
      float v = 0;

      for (int j = 0; j < 4; j++)
        {
          z = (z ^ z >> 27) * 0x94d049bb133111ebull;
          z ^= z >> 31;
          v += (float)(z & 0xffffff) * (1.0f / 0x1000000) - 0.5f;
        }
      v = mean + v * 1.7320508f * spread;
      if (f)
        f[i] = v;
      else
        h[i] = float_to_bf16 (v);
    }
}

static uint32_t next_seed = 1;

template <class T>
struct Array
{
  T *p;
  int64_t n;

  Array (int64_t n_) : p ((T *)check_alloc (n_ * sizeof (T))), n (n_) {}
  Array (const Array &) = delete;
  ~Array () { cudaFree (p); }

  Array &
  fill (float mean = 0, float spread = 1)
  {
    fill_kernel<<<1024, 256>>> (sizeof (T) == 4 ? (float *)p : NULL, (cuda_bf16 *)p, n, next_seed++, mean, spread);
    MUST (cudaDeviceSynchronize ());
    return *this;
  }

  void poison () { MUST (cudaMemset (p, 0xff, n * sizeof (T))); }
  void take (const Array &from) { MUST (cudaMemcpy (p, from.p, n * sizeof (T), cudaMemcpyDeviceToDevice)); }

  std::vector<T>
  host () const
  {
    std::vector<T> v (n);

    MUST (cudaMemcpy (v.data (), p, n * sizeof (T), cudaMemcpyDeviceToHost));
    return v;
  }
};

static double host_value (float v) { return v; }

static double
host_value (cuda_bf16 v)
{
  uint32_t u = (uint32_t)v << 16;
  float f;

  memcpy (&f, &u, 4);
  return f;
}

/* --- comparing --- */

static int64_t
pick (int64_t n)
{
  static uint64_t state = 88172645463325252ull;

  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (int64_t)(state % (uint64_t)n);
}

static void
report (const char *name, bool is_good, double error)
{
  printf ("%-44s %s  error %.2e\n", name, is_good ? "ok    " : "WRONG ", error);
  n_failed += !is_good;
}

/* ROWS of GOT (rows LD apart, FIRST columns before them) against EXPECT (row, values in double); NAME fails above the limit for one
 * rounding to bf16 or fp32 sums, for a NaN, and where what is not picked still holds poison. */
template <class T>
static void
compare_rows (const char *name, const std::vector<T> &got, int64_t rows, int64_t cols, int64_t ld, int64_t first,
              const std::function<void (int64_t, double *)> &expect)
{
  const bool is_f32 = sizeof (T) == 4;
  int64_t n_picked = std::min<int64_t> (rows, std::max<int64_t> (4, (4 << 20) / cols));
  std::vector<double> e (cols);
  double error = 0, norm = 0;
  bool is_good = true;

  for (int64_t i = 0; i < n_picked; i++)
    {
      int64_t r = n_picked == rows ? i : i == 0 ? 0 : i == 1 ? rows - 1 : pick (rows);
      double highest = 0;

      expect (r, e.data ());
      for (double v : e)
        highest = fmax (highest, fabs (v));
      for (int64_t c = 0; c < cols; c++)
        {
          double v = host_value (got[r * ld + first + c]), d = fabs (v - e[c]);

          is_good = is_good && d <= (is_f32 ? 2e-6 : 3.95e-3) * fabs (e[c]) + 1e-5 * highest;
          error += d * d;
          norm += e[c] * e[c];
        }
    }
  for (int64_t r = 0; r < rows && is_good; r++)
    for (int64_t c = 0; c < cols; c++)
      is_good = is_good && isfinite (host_value (got[r * ld + first + c]));
  report (name, is_good && error <= 2.5e-3 * 2.5e-3 * norm, sqrt (error / fmax (norm, 1e-300)));
}

/* --- timing --- */

/* The median of 7 rounds of as many calls as fill 10 ms, after a tenth of a second of warming. */
static double
time_call (const std::function<void ()> &call)
{
  cudaEvent_t begin, end;
  std::vector<float> rounds;
  float ms = 0;
  int n = 1;

  MUST (cudaEventCreate (&begin));
  MUST (cudaEventCreate (&end));
  for (double spent = 0; spent < 100; spent += ms)
    {
      MUST (cudaEventRecord (begin, stream));
      for (int i = 0; i < n; i++)
        call ();
      MUST (cudaEventRecord (end, stream));
      MUST (cudaEventSynchronize (end));
      MUST (cudaEventElapsedTime (&ms, begin, end));
      if (ms < 10)
        n = std::min (4000, (int)(n * 10 / fmax (ms, 0.01)) + 1);
    }
  for (int round = 0; round < 7; round++)
    {
      MUST (cudaEventRecord (begin, stream));
      for (int i = 0; i < n; i++)
        call ();
      MUST (cudaEventRecord (end, stream));
      MUST (cudaEventSynchronize (end));
      MUST (cudaEventElapsedTime (&ms, begin, end));
      rounds.push_back (ms / (float)n);
    }
  cudaEventDestroy (begin);
  cudaEventDestroy (end);
  std::sort (rounds.begin (), rounds.end ());
  return rounds[3];
}

static void
bench (const char *name, double bytes, const std::function<void ()> &call)
{
  double ms;

  if (is_quick)
    return;
  ms = time_call (call);
  printf ("%-44s %9.4f ms %7.0f GB/s %5.1f %% of a copy\n", name, ms, bytes / ms * 1e-6, 100 * bytes / ms * 1e3 / copy_rate);
}

static void
measure_copy (void)
{
  const size_t size = (size_t)1 << 30;
  void *a = check_alloc (size), *b = check_alloc (size);

  copy_rate = 2.0 * (double)size / time_call ([&] { MUST (cudaMemcpyAsync (b, a, size, cudaMemcpyDeviceToDevice, stream)); }) * 1e3;
  printf ("copies on the card: %.0f GB/s (read and written)\n", copy_rate * 1e-9);
  cudaFree (a);
  cudaFree (b);
}

/* --- norms --- */

static double
rms_factor (const double *x, int64_t n, double eps)
{
  double sum = 0;

  for (int64_t i = 0; i < n; i++)
    sum += x[i] * x[i];
  return 1 / sqrt (sum / (double)n + eps);
}

static void
check_norms (int64_t rows, int64_t cols)
{
  Array<cuda_bf16> x (rows * cols), y (rows * cols);
  Array<float> w (cols), scale (cols);
  char name[96];

  x.fill (0.5, 3);
  w.fill (1, 0.3);
  scale.fill (1, 0.3);
  std::vector<cuda_bf16> hx = x.host ();
  std::vector<float> hw = w.host (), hs = scale.host ();
  for (int is_layer = 0; is_layer < 2; is_layer++)
    {
      auto run = [&] {
        if (is_layer)
          MUST (zie_cuda_layer_norm (S, y.p, cols, x.p, cols, scale.p, rows, cols, 1e-6f, {}));
        else
          MUST (zie_cuda_rms_norm (S, y.p, cols, x.p, cols, w.p, scale.p, rows, cols, 1e-5f, {}));
      };

      snprintf (name, sizeof name, "%s_norm %lld x %lld", is_layer ? "layer" : "rms", (long long)rows, (long long)cols);
      y.poison ();
      run ();
      MUST (cudaStreamSynchronize (stream));
      compare_rows<cuda_bf16> (name, y.host (), rows, cols, cols, 0, [&] (int64_t r, double *e) {
        double mean = 0, factor;

        for (int64_t c = 0; c < cols; c++)
          mean += e[c] = host_value (hx[r * cols + c]);
        if (is_layer)
          for (int64_t c = 0; c < cols; c++)
            e[c] -= mean / (double)cols;
        factor = rms_factor (e, cols, is_layer ? 1e-6 : 1e-5);
        for (int64_t c = 0; c < cols; c++)
          e[c] *= factor * (is_layer ? 1 : (double)hw[c]) * (double)hs[c];
      });
      bench (name, 4.0 * (double)(rows * cols), run);
    }
}

static void
check_resid_norm (int64_t rows, int64_t cols)
{
  Array<cuda_bf16> x (rows * cols), x0 (rows * cols), y (rows * cols), y0 (rows * cols), h (rows * cols);
  Array<float> w (cols), gate (cols), w_next (cols), scale_next (cols);
  std::vector<cuda_bf16> first;
  char name[96];

  x0.fill (0, 4);
  y0.fill (0, 2);
  w.fill (1, 0.3);
  gate.fill (0, 0.5);
  w_next.fill (1, 0.3);
  scale_next.fill (1, 0.3);
  std::vector<cuda_bf16> hx = x0.host (), hy = y0.host ();
  std::vector<float> hw = w.host (), hg = gate.host (), hn = w_next.host (), hs = scale_next.host ();
  auto updated = [&] (int64_t r, double *e) {
    double factor;

    for (int64_t c = 0; c < cols; c++)
      e[c] = host_value (hy[r * cols + c]);
    factor = rms_factor (e, cols, 1e-5);
    for (int64_t c = 0; c < cols; c++)
      e[c] = host_value (hx[r * cols + c]) + e[c] * factor * (double)hw[c] * (double)hg[c];
  };
  auto normed = [&] (int64_t r, double *e) {
    double factor;

    updated (r, e);
    factor = rms_factor (e, cols, 1e-5);
    for (int64_t c = 0; c < cols; c++)
      e[c] *= factor * (double)hn[c] * (double)hs[c];
  };
  static const char *const kinds[] = { "", " over y", " no next" };
  for (int kind = 0; kind < 3; kind++)
    {
      cuda_bf16 *to = kind == 0 ? h.p : kind == 1 ? y.p : NULL;
      CudaResidNorm a = { x.p, to, y.p, cols, cols, cols, rows, cols, w.p, gate.p, w_next.p, scale_next.p, 1e-5f };

      snprintf (name, sizeof name, "resid_norm %lld x %lld%s", (long long)rows, (long long)cols, kinds[kind]);
      x.take (x0);
      y.take (y0);
      h.poison ();
      MUST (zie_cuda_resid_norm (S, &a));
      MUST (cudaStreamSynchronize (stream));
      std::vector<cuda_bf16> got = x.host ();
      compare_rows<cuda_bf16> (name, got, rows, cols, cols, 0, updated);
      if (kind == 0)
        compare_rows<cuda_bf16> ("  its h", h.host (), rows, cols, cols, 0, normed);
      else if (kind == 1)
        compare_rows<cuda_bf16> ("  its h", y.host (), rows, cols, cols, 0, normed);
      if (kind == 0)
        first = got;
      else if (got != first)
        report ("  the same bits again", false, 0);
      bench (name, (kind == 2 ? 6.0 : 8.0) * (double)(rows * cols), [&] { MUST (zie_cuda_resid_norm (S, &a)); });
      if (kind == 0 && cols <= 4096 && !is_quick)
        for (int turns : { 0, 1, 2, 3, 4, 6, 8 })
          {
            NormShape s = norm_shape (rows, cols);
            int64_t blocks = turns ? (rows + turns - 1) / turns : rows;

            snprintf (name, sizeof name, turns ? "  %d rows a block, vectors held" : "  one row a block, vectors not held", turns);
            bench (name, 8.0 * (double)(rows * cols), [&] {
              MUST (launch_kernel (turns ? resid_norm_kernel<1, true> : resid_norm_kernel<1, false>, dim3 ((unsigned)blocks),
                                   s.threads, 0, S, a));
            });
          }
    }
}

static void
check_rope (int64_t rows, int heads, int kv_heads, int d, int half)
{
  int64_t ld = (int64_t)(heads + 2 * kv_heads) * d, cols = (int64_t)(heads + kv_heads) * d;
  Array<cuda_bf16> qkv (rows * ld), qkv0 (rows * ld);
  Array<float> angles (rows * d / 2), wq (d), wk (d), cosines (rows * d / 2), sines (rows * d / 2);
  char name[96];

  qkv0.fill (0.2, 3);
  wq.fill (1, 0.3);
  wk.fill (1, 0.3);
  std::vector<float> ha = angles.fill (0, 10).host (), hc, hs, hq = wq.host (), hk = wk.host ();
  for (float a : ha)
    {
      hc.push_back (cosf (a));
      hs.push_back (sinf (a));
    }
  MUST (cudaMemcpy (cosines.p, hc.data (), hc.size () * 4, cudaMemcpyHostToDevice));
  MUST (cudaMemcpy (sines.p, hs.data (), hs.size () * 4, cudaMemcpyHostToDevice));
  std::vector<cuda_bf16> h0 = qkv0.host ();
  CudaQkNormRope a = { qkv.p, qkv.p + (int64_t)heads * d, ld, ld, rows, heads, kv_heads, d, half, wq.p, wk.p, cosines.p, sines.p, 1e-5f };

  snprintf (name, sizeof name, "qk_norm_rope %lld x (%d + %d) x %d %s", (long long)rows, heads, kv_heads, d, half ? "halves" : "pairs");
  qkv.take (qkv0);
  MUST (zie_cuda_qk_norm_rope (S, &a));
  MUST (cudaStreamSynchronize (stream));
  std::vector<cuda_bf16> got = qkv.host ();
  compare_rows<cuda_bf16> (name, got, rows, cols, ld, 0, [&] (int64_t r, double *e) {
    for (int head = 0; head < heads + kv_heads; head++)
      {
        std::vector<double> x (d);
        double factor;

        for (int i = 0; i < d; i++)
          x[i] = host_value (h0[r * ld + head * d + i]);
        factor = rms_factor (x.data (), d, 1e-5);
        for (int i = 0; i < d; i++)
          x[i] *= factor * (double)(head < heads ? hq : hk)[i];
        for (int i = 0; i < d / 2; i++)
          {
            int p = half ? i : 2 * i, q = half ? i + d / 2 : 2 * i + 1;
            double c = hc[r * (d / 2) + i], s = hs[r * (d / 2) + i];

            e[head * d + p] = x[p] * c - x[q] * s;
            e[head * d + q] = x[p] * s + x[q] * c;
          }
      }
  });
  for (int64_t r = 0; r < rows; r++)
    if (memcmp (&got[r * ld + cols], &h0[r * ld + cols], (size_t)(ld - cols) * 2) != 0)
      {
        report ("  v is untouched", false, 0);
        break;
      }
  bench (name, 4.0 * (double)(rows * cols), [&] { MUST (zie_cuda_qk_norm_rope (S, &a)); });
}

/* --- maps --- */

static double
silu (double x)
{
  return x / (1 + exp (-x));
}

static void
check_swiglu (int64_t rows, int64_t cols)
{
  int64_t ld = 2 * cols;
  Array<cuda_bf16> both (rows * ld);
  char name[96];

  both.fill (0, 3);
  std::vector<cuda_bf16> h = both.host ();
  snprintf (name, sizeof name, "swiglu %lld x %lld in place", (long long)rows, (long long)cols);
  auto run = [&] { MUST (zie_cuda_swiglu (S, both.p, ld, both.p, ld, both.p + cols, ld, rows, cols)); };
  run ();
  MUST (cudaStreamSynchronize (stream));
  compare_rows<cuda_bf16> (name, both.host (), rows, cols, ld, 0, [&] (int64_t r, double *e) {
    for (int64_t c = 0; c < cols; c++)
      e[c] = silu (host_value (h[r * ld + c])) * host_value (h[r * ld + cols + c]);
  });
  bench (name, 6.0 * (double)(rows * cols), run);
}

static void
check_maps (int64_t rows, int64_t cols)
{
  Array<cuda_bf16> x (rows * cols), y (rows * cols);
  Array<float> f (rows * cols), g (rows * cols), row (cols);
  Array<int32_t> ids (rows);
  std::vector<int32_t> hi (rows);
  char name[96];

  x.fill ();
  y.fill ();
  f.fill (0, 2);
  row.fill ();
  std::vector<cuda_bf16> hx = x.host (), hy = y.host ();
  std::vector<float> hf = f.host (), hr = row.host ();
  double n = (double)(rows * cols);

  snprintf (name, sizeof name, "add %lld x %lld", (long long)rows, (long long)cols);
  auto add = [&] { MUST (zie_cuda_add (S, x.p, cols, y.p, cols, rows, cols)); };
  add ();
  compare_rows<cuda_bf16> (name, x.host (), rows, cols, cols, 0, [&] (int64_t r, double *e) {
    for (int64_t c = 0; c < cols; c++)
      e[c] = host_value (hx[r * cols + c]) + host_value (hy[r * cols + c]);
  });
  bench (name, 6 * n, add);
  x.fill ();
  hx = x.host ();

  static const char *const kinds[] = { "silu", "tanh", "1 +" };
  for (int kind = 0; kind < 3; kind++)
    {
      snprintf (name, sizeof name, "unary %s f32 %lld x %lld", kinds[kind], (long long)rows, (long long)cols);
      g.poison ();
      auto run = [&] { MUST (zie_cuda_unary (S, g.p, cols, f.p, cols, 1, rows, cols, (CudaUnary)kind)); };
      run ();
      compare_rows<float> (name, g.host (), rows, cols, cols, 0, [&] (int64_t r, double *e) {
        for (int64_t c = 0; c < cols; c++)
          {
            double v = hf[r * cols + c];
            e[c] = kind == 0 ? silu (v) : kind == 1 ? tanh (v) : 1 + v;
          }
      });
      bench (name, 8 * n, run);
    }

  y.poison ();
  auto fill_rows = [&] { MUST (zie_cuda_fill_rows (S, y.p, cols, row.p, rows, cols)); };
  fill_rows ();
  compare_rows<cuda_bf16> ("fill_rows", y.host (), rows, cols, cols, 0, [&] (int64_t, double *e) {
    for (int64_t c = 0; c < cols; c++)
      e[c] = hr[c];
  });
  bench ("fill_rows", 2 * n, fill_rows);

  for (int32_t &id : hi)
    id = (int32_t)pick (rows);
  MUST (cudaMemcpy (ids.p, hi.data (), hi.size () * 4, cudaMemcpyHostToDevice));
  y.poison ();
  auto gather = [&] { MUST (zie_cuda_gather (S, y.p, cols, x.p, 0, ids.p, rows, cols)); };
  gather ();
  compare_rows<cuda_bf16> ("gather", y.host (), rows, cols, cols, 0, [&] (int64_t r, double *e) {
    for (int64_t c = 0; c < cols; c++)
      e[c] = host_value (hx[hi[r] * cols + c]);
  });
  bench ("gather", 4 * n, gather);

  y.poison ();
  auto round = [&] { MUST (zie_cuda_convert (S, y.p, 0, cols, f.p, 1, cols, rows, cols)); };
  round ();
  compare_rows<cuda_bf16> ("convert f32 to bf16", y.host (), rows, cols, cols, 0, [&] (int64_t r, double *e) {
    for (int64_t c = 0; c < cols; c++)
      e[c] = hf[r * cols + c];
  });
  bench ("convert f32 to bf16", 6 * n, round);
  g.poison ();
  auto widen = [&] { MUST (zie_cuda_convert (S, g.p, 1, cols, x.p, 0, cols, rows, cols)); };
  widen ();
  compare_rows<float> ("convert bf16 to f32", g.host (), rows, cols, cols, 0, [&] (int64_t r, double *e) {
    for (int64_t c = 0; c < cols; c++)
      e[c] = host_value (hx[r * cols + c]);
  });
  bench ("convert bf16 to f32", 6 * n, widen);
}

/* --- layouts --- */

static void
check_layouts (int64_t pixels, int64_t tokens, int64_t width)
{
  Array<float> planes (3 * pixels), planes_out (3 * pixels);
  Array<cuda_bf16> colours (3 * pixels), x (tokens * width), xt (tokens * width);

  planes.fill ();
  std::vector<float> hp = planes.host ();
  auto to_pixels = [&] { MUST (zie_cuda_planes_to_pixels (S, colours.p, 0, planes.p, pixels, 3, 0.5f, 0.25f)); };
  to_pixels ();
  std::vector<cuda_bf16> hc = colours.host ();
  compare_rows<cuda_bf16> ("planes_to_pixels x 3", hc, pixels, 3, 3, 0, [&] (int64_t r, double *e) {
    for (int c = 0; c < 3; c++)
      e[c] = 0.5 * (double)hp[c * pixels + r] + 0.25;
  });
  bench ("planes_to_pixels x 3", 18.0 * (double)pixels, to_pixels);
  auto to_planes = [&] { MUST (zie_cuda_pixels_to_planes (S, planes_out.p, colours.p, 0, pixels, 3, 2, -0.5f)); };
  to_planes ();
  compare_rows<float> ("pixels_to_planes x 3", planes_out.host (), 3, pixels, pixels, 0, [&] (int64_t c, double *e) {
    for (int64_t i = 0; i < pixels; i++)
      e[i] = 2 * host_value (hc[i * 3 + c]) - 0.5;
  });
  bench ("pixels_to_planes x 3", 18.0 * (double)pixels, to_planes);

  x.fill ();
  std::vector<cuda_bf16> hx = x.host ();
  auto transpose = [&] { MUST (zie_cuda_transpose (S, xt.p, tokens, x.p, width, tokens, width)); };
  transpose ();
  compare_rows<cuda_bf16> ("transpose", xt.host (), width, tokens, tokens, 0, [&] (int64_t c, double *e) {
    for (int64_t r = 0; r < tokens; r++)
      e[r] = host_value (hx[r * width + c]);
  });
  bench ("transpose", 4.0 * (double)(tokens * width), transpose);

  int h = 96, w = 160;
  Array<float> latent (16 * h * w), back (16 * h * w);
  Array<cuda_bf16> patches (16 * h * w);
  std::vector<float> hl = latent.fill ().host ();
  MUST (zie_cuda_patchify (S, patches.p, 64, latent.p, 16, h, w));
  MUST (zie_cuda_unpatchify (S, back.p, patches.p, 0, 64, 16, h, w));
  compare_rows<cuda_bf16> ("patchify", patches.host (), h / 2 * w / 2, 64, 64, 0, [&] (int64_t t, double *e) {
    for (int i = 0; i < 64; i++)
      e[i] = hl[(i % 16 * h + t / (w / 2) * 2 + i / 32) * w + t % (w / 2) * 2 + i / 16 % 2];
  });
  std::vector<float> hb = back.host ();
  bool is_back = true;
  for (size_t i = 0; i < hl.size (); i++)
    is_back = is_back && fabs (hb[i] - hl[i]) <= 3.95e-3f * fabsf (hl[i]);
  report ("unpatchify", is_back, 0);
}

static void
check_softmax (int64_t rows, int64_t cols)
{
  Array<float> scores (rows * cols);
  Array<cuda_bf16> p (rows * cols);
  float scale = 0.0442f;
  char name[96];

  std::vector<float> h = scores.fill (0, 100).host ();
  auto run = [&] { MUST (zie_cuda_softmax_rows (S, p.p, cols, scores.p, cols, rows, cols, scale)); };
  snprintf (name, sizeof name, "softmax_rows %lld x %lld", (long long)rows, (long long)cols);
  run ();
  compare_rows<cuda_bf16> (name, p.host (), rows, cols, cols, 0, [&] (int64_t r, double *e) {
    double most = -INFINITY, sum = 0;

    for (int64_t c = 0; c < cols; c++)
      most = fmax (most, (double)h[r * cols + c] * (double)scale);
    for (int64_t c = 0; c < cols; c++)
      sum += e[c] = exp ((double)h[r * cols + c] * (double)scale - most);
    for (int64_t c = 0; c < cols; c++)
      e[c] /= sum;
  });
  bench (name, 6.0 * (double)(rows * cols), run);
}

/* --- GroupNorm --- */

static void
check_group_norm (int64_t pixels, int channels, float mean, float spread)
{
  Array<cuda_bf16> x (pixels * channels), y (pixels * channels);
  Array<float> gamma (channels), beta (channels), scale (channels), shift (channels);
  const int64_t side = (int64_t)lround (sqrt ((double)pixels)), width = side * side == pixels ? side : 1, height = pixels / width;
  Array<char> scratch ((int64_t)zie_cuda_group_norm_scratch (height, width, channels));
  int per_group = channels / 32;
  std::vector<double> sums (channels), squares (channels);
  double worst = 0;
  char name[96];

  x.fill (mean, spread);
  gamma.fill (1, 0.3);
  beta.fill ();
  auto run = [&] {
    MUST (zie_cuda_group_norm_add (S, scratch.p, x.p, 0, height, height, width, channels, 32));
    MUST (zie_cuda_group_norm_finish (S, scale.p, shift.p, scratch.p, height, width, channels, gamma.p, beta.p, 32, 1e-6f, {}));
  };
  run ();
  std::vector<cuda_bf16> hx = x.host ();
  std::vector<float> hg = gamma.host (), hb = beta.host (), hs = scale.host (), ht = shift.host ();
  for (int64_t i = 0; i < pixels; i++)
    for (int c = 0; c < channels; c++)
      {
        double d = host_value (hx[i * channels + c]) - (double)mean;

        sums[c] += d;
        squares[c] += d * d;
      }
  for (int c = 0; c < channels; c++)
    {
      double sum = 0, square = 0, n = (double)pixels * per_group, factor, m;

      for (int i = c / per_group * per_group; i < (c / per_group + 1) * per_group; i++)
        {
          sum += sums[i];
          square += squares[i];
        }
      m = (double)mean + sum / n;
      factor = hg[c] / sqrt (square / n - sum / n * (sum / n) + 1e-6);
      worst = fmax (worst, fabs (hs[c] - factor) / fabs (factor));
      worst = fmax (worst, fabs (ht[c] - (hb[c] - m * factor)) / (1 + fabs (m * factor)));
      if (!isfinite (hs[c]) || !isfinite (ht[c]))
        worst = INFINITY;
    }
  snprintf (name, sizeof name, "group_norm %lld x %d, mean %g", (long long)pixels, channels, (double)mean);
  report (name, worst < 4e-6, worst);
  for (int i = 0; i < 3; i++)
    {
      run ();
      if (scale.host () != hs || shift.host () != ht)
        report ("  the same bits again", false, 0);
    }
  if (mean != 0)
    return;
  bench (name, 2.0 * (double)(pixels * channels), run);

  auto affine = [&] { MUST (zie_cuda_affine (S, y.p, x.p, scale.p, shift.p, pixels, channels, 1)); };
  affine ();
  snprintf (name, sizeof name, "affine + silu %lld x %d", (long long)pixels, channels);
  compare_rows<cuda_bf16> (name, y.host (), pixels, channels, channels, 0, [&] (int64_t r, double *e) {
    for (int c = 0; c < channels; c++)
      e[c] = silu (host_value (hx[r * channels + c]) * (double)hs[c] + (double)ht[c]);
  });
  bench (name, 4.0 * (double)(pixels * channels), affine);
}

int
main (int argc, char **argv)
{
  is_quick = argc > 1 && strcmp (argv[1], "--quick") == 0;
  check_start ();
  MUST (cudaStreamCreate (&stream));
  S = (CudaStream)stream;
  if (!is_quick)
    measure_copy ();

  if (is_quick)
    {
      check_norms (7, 3840);
      check_norms (3, 10240);
      check_norms (2, 100);
      check_resid_norm (2113, 256);
      check_resid_norm (5, 3840);
      check_resid_norm (2, 6008);
      check_resid_norm (3, 77);
      check_rope (3, 30, 30, 128, 0);
      check_rope (3, 32, 8, 128, 1);
      check_rope (3, 3, 1, 48, 1);
      check_swiglu (3, 10240);
      check_swiglu (3, 100);
      check_maps (5, 1000);
      check_maps (5, 77);
      check_layouts (1001, 77, 72);
      check_softmax (3, 4104);
      check_softmax (3, 16400);
      check_softmax (3, 77);
      check_group_norm (1000, 128, 0, 1);
      check_group_norm (1000, 96, 0, 1);
      check_group_norm (777, 512, 1000, 8);
    }
  else
    {
      for (int64_t rows : { 64, 1088, 4160, 16448 })
        check_resid_norm (rows, 3840);
      check_norms (4160, 3840);
      check_norms (4160, 10240);
      check_norms (512, 2560);
      check_rope (4160, 30, 30, 128, 0);
      check_rope (512, 32, 8, 128, 1);
      check_swiglu (4160, 10240);
      check_swiglu (512, 9728);
      check_maps (4160, 3840);
      check_layouts (1024 * 1024, 16384, 512);
      check_softmax (1024, 16384);
      check_softmax (256, 65536);
      check_group_norm (1024 * 1024, 128, 0, 1);
      check_group_norm (1024 * 1024, 256, 0, 1);
      check_group_norm (512 * 512, 256, 0, 1);
      check_group_norm (512 * 512, 512, 0, 1);
      check_group_norm (256 * 256, 512, 0, 1);
      check_group_norm (128 * 128, 512, 0, 1);
      check_group_norm (512 * 512, 256, 1000, 8);
      check_group_norm (768 * 768, 96, 0, 1);
    }
  MUST (cudaDeviceSynchronize ());
  printf (n_failed ? "%d checks FAILED\n" : "all checks passed\n", n_failed);
  return n_failed != 0;
}
