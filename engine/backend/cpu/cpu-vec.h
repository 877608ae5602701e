/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One vector type for all levels: cpu-kernels.c is compiled once for each of them, with the compiler's flags choosing
 * the branch below.  VF is a vector of VF_WIDTH floats; loads and stores need no alignment. */

#include <math.h>
#include <string.h>

#include <glib.h>

#include "zie-dtype.h"

#define VF_INLINE G_ALWAYS_INLINE static inline

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#include <immintrin.h>

#define VF_WIDTH 16
typedef __m512 vf;

VF_INLINE vf vf_zero (void) { return _mm512_setzero_ps (); }
VF_INLINE vf vf_set1 (float x) { return _mm512_set1_ps (x); }
VF_INLINE vf vf_load (const float *p) { return _mm512_loadu_ps (p); }
VF_INLINE void vf_store (float *p, vf v) { _mm512_storeu_ps (p, v); }
VF_INLINE __mmask16 vf_mask (gint64 n) { return (__mmask16)((1u << n) - 1); }
VF_INLINE vf vf_load_n (const float *p, gint64 n) { return _mm512_maskz_loadu_ps (vf_mask (n), p); }
VF_INLINE void vf_store_n (float *p, vf v, gint64 n) { _mm512_mask_storeu_ps (p, vf_mask (n), v); }
VF_INLINE vf vf_add (vf a, vf b) { return _mm512_add_ps (a, b); }
VF_INLINE vf vf_sub (vf a, vf b) { return _mm512_sub_ps (a, b); }
VF_INLINE vf vf_mul (vf a, vf b) { return _mm512_mul_ps (a, b); }
VF_INLINE vf vf_div (vf a, vf b) { return _mm512_div_ps (a, b); }
VF_INLINE vf vf_max (vf a, vf b) { return _mm512_max_ps (a, b); }
VF_INLINE vf vf_min (vf a, vf b) { return _mm512_min_ps (a, b); }
VF_INLINE vf vf_fma (vf a, vf b, vf c) { return _mm512_fmadd_ps (a, b, c); }
VF_INLINE vf vf_fnma (vf a, vf b, vf c) { return _mm512_fnmadd_ps (a, b, c); }
VF_INLINE float vf_sum (vf v) { return _mm512_reduce_add_ps (v); }
VF_INLINE float vf_highest (vf v) { return _mm512_reduce_max_ps (v); }
VF_INLINE vf vf_round (vf v) { return _mm512_roundscale_ps (v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* x * 2^n, n whole, in the range that exp needs */
VF_INLINE vf vf_scale2 (vf x, vf n) { return _mm512_scalef_ps (x, n); }
/* 0 where x < low, else v */
VF_INLINE vf vf_zero_below (vf v, vf x, vf low) { return _mm512_maskz_mov_ps (_mm512_cmp_ps_mask (x, low, _CMP_NLT_UQ), v); }

VF_INLINE vf
vf_load_bf16 (const guint8 *p)
{
  return _mm512_castsi512_ps (_mm512_slli_epi32 (_mm512_cvtepu16_epi32 (_mm256_loadu_si256 ((const void *)p)), 16));
}

VF_INLINE vf
vf_load_f16 (const guint8 *p)
{
  return _mm512_cvtph_ps (_mm256_loadu_si256 ((const void *)p));
}

VF_INLINE float
vf_f16_one (const guint8 *p)
{
  guint16 u;
  memcpy (&u, p, 2);
  return _mm_cvtss_f32 (_mm_cvtph_ps (_mm_cvtsi32_si128 (u)));
}

VF_INLINE vf
vf_load_i8 (const guint8 *p)
{
  return _mm512_cvtepi32_ps (_mm512_cvtepi8_epi32 (_mm_loadu_si128 ((const void *)p)));
}

/* 8-bit floats, by way of halves; e4m3's exponent counts from eight powers of two lower, and its NaN is a number there. */
VF_INLINE vf
vf_load_f8_e5m2 (const guint8 *p)
{
  return _mm512_cvtph_ps (_mm256_slli_epi16 (_mm256_cvtepu8_epi16 (_mm_loadu_si128 ((const void *)p)), 8));
}

VF_INLINE vf
vf_load_f8_e4m3 (const guint8 *p)
{
  __m256i u = _mm256_cvtepi8_epi16 (_mm_loadu_si128 ((const void *)p)), magnitude = _mm256_and_si256 (u, _mm256_set1_epi16 (0x7f));
  __m256i nan = _mm256_cmpeq_epi16 (magnitude, _mm256_set1_epi16 (0x7f));
  __m256i half = _mm256_or_si256 (_mm256_and_si256 (u, _mm256_set1_epi16 ((short)0x8000)), _mm256_slli_epi16 (magnitude, 7));

  half = _mm256_or_si256 (half, _mm256_and_si256 (nan, _mm256_set1_epi16 (0x7fff)));
  return _mm512_mul_ps (_mm512_cvtph_ps (half), _mm512_set1_ps (256.0f));
}

/* Nearest bf16, ties to even, still as f32. */
VF_INLINE vf
vf_round_bf16 (vf v)
{
  __m512i u = _mm512_castps_si512 (v);
  __m512i odd = _mm512_and_si512 (_mm512_srli_epi32 (u, 16), _mm512_set1_epi32 (1));
  __m512i r = _mm512_add_epi32 (u, _mm512_add_epi32 (odd, _mm512_set1_epi32 (0x7fff)));
  __mmask16 nan = _mm512_cmp_ps_mask (v, v, _CMP_UNORD_Q);

  r = _mm512_mask_or_epi32 (r, nan, u, _mm512_set1_epi32 (0x400000));
  return _mm512_castsi512_ps (_mm512_and_si512 (r, _mm512_set1_epi32 ((int)0xffff0000)));
}

VF_INLINE void
vf_store_bf16 (guint16 *p, vf v)
{
  _mm256_storeu_si256 ((void *)p, _mm512_cvtepi32_epi16 (_mm512_srli_epi32 (_mm512_castps_si512 (vf_round_bf16 (v)), 16)));
}

VF_INLINE void
vf_transpose (vf r[VF_WIDTH])
{
  vf t[16];

  for (int i = 0; i < 16; i += 4)
    {
      vf a = _mm512_unpacklo_ps (r[i], r[i + 1]), b = _mm512_unpackhi_ps (r[i], r[i + 1]);
      vf c = _mm512_unpacklo_ps (r[i + 2], r[i + 3]), d = _mm512_unpackhi_ps (r[i + 2], r[i + 3]);

      t[i] = _mm512_shuffle_ps (a, c, 0x44);
      t[i + 1] = _mm512_shuffle_ps (a, c, 0xee);
      t[i + 2] = _mm512_shuffle_ps (b, d, 0x44);
      t[i + 3] = _mm512_shuffle_ps (b, d, 0xee);
    }
  for (int i = 0; i < 4; i++)
    {
      vf a = _mm512_shuffle_f32x4 (t[i], t[i + 4], 0x88), b = _mm512_shuffle_f32x4 (t[i], t[i + 4], 0xdd);
      vf c = _mm512_shuffle_f32x4 (t[i + 8], t[i + 12], 0x88), d = _mm512_shuffle_f32x4 (t[i + 8], t[i + 12], 0xdd);

      r[i] = _mm512_shuffle_f32x4 (a, c, 0x88);
      r[i + 8] = _mm512_shuffle_f32x4 (a, c, 0xdd);
      r[i + 4] = _mm512_shuffle_f32x4 (b, d, 0x88);
      r[i + 12] = _mm512_shuffle_f32x4 (b, d, 0xdd);
    }
}

/* x0 x1 x2 x3 … with pairs swapped, evens doubled, odds doubled: for rotations of neighbours */
VF_INLINE vf vf_swap_pairs (vf v) { return _mm512_permute_ps (v, 0xb1); }
/* c0 c1 … c7 to c0 c0 c1 c1 … */
VF_INLINE vf
vf_load_twice (const float *p)
{
  const __m512i index = _mm512_setr_epi32 (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);

  return _mm512_permutexvar_ps (index, _mm512_castps256_ps512 (_mm256_loadu_ps (p)));
}
/* a * b - c in even places, a * b + c in odd ones */
VF_INLINE vf vf_fmaddsub (vf a, vf b, vf c) { return _mm512_fmaddsub_ps (a, b, c); }

/* Sums in double: lane i of LO and HI together hold element i. */
typedef struct { __m512d lo, hi; } vd;
VF_INLINE vd vd_zero (void) { return (vd) { _mm512_setzero_pd (), _mm512_setzero_pd () }; }
VF_INLINE vd
vd_from (vf v)
{
  return (vd) { _mm512_cvtps_pd (_mm512_castps512_ps256 (v)), _mm512_cvtps_pd (_mm512_extractf32x8_ps (v, 1)) };
}
VF_INLINE vd vd_add (vd a, vd b) { return (vd) { _mm512_add_pd (a.lo, b.lo), _mm512_add_pd (a.hi, b.hi) }; }
VF_INLINE vd
vd_fma (vd a, vd b, vd c)
{
  return (vd) { _mm512_fmadd_pd (a.lo, b.lo, c.lo), _mm512_fmadd_pd (a.hi, b.hi, c.hi) };
}
VF_INLINE void
vd_store (double *p, vd v)
{
  _mm512_storeu_pd (p, v.lo);
  _mm512_storeu_pd (p + 8, v.hi);
}

#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

#define VF_WIDTH 8
typedef __m256 vf;

VF_INLINE vf vf_zero (void) { return _mm256_setzero_ps (); }
VF_INLINE vf vf_set1 (float x) { return _mm256_set1_ps (x); }
VF_INLINE vf vf_load (const float *p) { return _mm256_loadu_ps (p); }
VF_INLINE void vf_store (float *p, vf v) { _mm256_storeu_ps (p, v); }
VF_INLINE __m256i
vf_mask (gint64 n)
{
  return _mm256_cmpgt_epi32 (_mm256_set1_epi32 ((int)n), _mm256_setr_epi32 (0, 1, 2, 3, 4, 5, 6, 7));
}
VF_INLINE vf vf_load_n (const float *p, gint64 n) { return _mm256_maskload_ps (p, vf_mask (n)); }
VF_INLINE void vf_store_n (float *p, vf v, gint64 n) { _mm256_maskstore_ps (p, vf_mask (n), v); }
VF_INLINE vf vf_add (vf a, vf b) { return _mm256_add_ps (a, b); }
VF_INLINE vf vf_sub (vf a, vf b) { return _mm256_sub_ps (a, b); }
VF_INLINE vf vf_mul (vf a, vf b) { return _mm256_mul_ps (a, b); }
VF_INLINE vf vf_div (vf a, vf b) { return _mm256_div_ps (a, b); }
VF_INLINE vf vf_max (vf a, vf b) { return _mm256_max_ps (a, b); }
VF_INLINE vf vf_min (vf a, vf b) { return _mm256_min_ps (a, b); }
VF_INLINE vf vf_fma (vf a, vf b, vf c) { return _mm256_fmadd_ps (a, b, c); }
VF_INLINE vf vf_fnma (vf a, vf b, vf c) { return _mm256_fnmadd_ps (a, b, c); }

VF_INLINE float
vf_sum (vf v)
{
  __m128 s = _mm_add_ps (_mm256_castps256_ps128 (v), _mm256_extractf128_ps (v, 1));
  s = _mm_add_ps (s, _mm_movehl_ps (s, s));
  return _mm_cvtss_f32 (_mm_add_ss (s, _mm_movehdup_ps (s)));
}

VF_INLINE float
vf_highest (vf v)
{
  __m128 s = _mm_max_ps (_mm256_castps256_ps128 (v), _mm256_extractf128_ps (v, 1));
  s = _mm_max_ps (s, _mm_movehl_ps (s, s));
  return _mm_cvtss_f32 (_mm_max_ss (s, _mm_movehdup_ps (s)));
}

VF_INLINE vf vf_round (vf v) { return _mm256_round_ps (v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

VF_INLINE vf
vf_scale2 (vf x, vf n)
{
  /* in two halves, so that results below the smallest normal number come out right */
  __m256i whole = _mm256_cvtps_epi32 (n), half = _mm256_srai_epi32 (whole, 1);
  __m256i rest = _mm256_sub_epi32 (whole, half), bias = _mm256_set1_epi32 (127);

  x = _mm256_mul_ps (x, _mm256_castsi256_ps (_mm256_slli_epi32 (_mm256_add_epi32 (half, bias), 23)));
  return _mm256_mul_ps (x, _mm256_castsi256_ps (_mm256_slli_epi32 (_mm256_add_epi32 (rest, bias), 23)));
}

VF_INLINE vf vf_zero_below (vf v, vf x, vf low) { return _mm256_and_ps (v, _mm256_cmp_ps (x, low, _CMP_NLT_UQ)); }

VF_INLINE vf
vf_load_bf16 (const guint8 *p)
{
  return _mm256_castsi256_ps (_mm256_slli_epi32 (_mm256_cvtepu16_epi32 (_mm_loadu_si128 ((const void *)p)), 16));
}

VF_INLINE vf vf_load_f16 (const guint8 *p) { return _mm256_cvtph_ps (_mm_loadu_si128 ((const void *)p)); }

VF_INLINE float
vf_f16_one (const guint8 *p)
{
  guint16 u;
  memcpy (&u, p, 2);
  return _mm_cvtss_f32 (_mm_cvtph_ps (_mm_cvtsi32_si128 (u)));
}

VF_INLINE vf
vf_load_i8 (const guint8 *p)
{
  return _mm256_cvtepi32_ps (_mm256_cvtepi8_epi32 (_mm_loadl_epi64 ((const void *)p)));
}

/* 8-bit floats, by way of halves; e4m3's exponent counts from eight powers of two lower, and its NaN is a number there. */
VF_INLINE vf
vf_load_f8_e5m2 (const guint8 *p)
{
  return _mm256_cvtph_ps (_mm_slli_epi16 (_mm_cvtepu8_epi16 (_mm_loadl_epi64 ((const void *)p)), 8));
}

VF_INLINE vf
vf_load_f8_e4m3 (const guint8 *p)
{
  __m128i u = _mm_cvtepi8_epi16 (_mm_loadl_epi64 ((const void *)p)), magnitude = _mm_and_si128 (u, _mm_set1_epi16 (0x7f));
  __m128i nan = _mm_cmpeq_epi16 (magnitude, _mm_set1_epi16 (0x7f));
  __m128i half = _mm_or_si128 (_mm_and_si128 (u, _mm_set1_epi16 ((short)0x8000)), _mm_slli_epi16 (magnitude, 7));

  half = _mm_or_si128 (half, _mm_and_si128 (nan, _mm_set1_epi16 (0x7fff)));
  return _mm256_mul_ps (_mm256_cvtph_ps (half), _mm256_set1_ps (256.0f));
}

VF_INLINE vf
vf_round_bf16 (vf v)
{
  __m256i u = _mm256_castps_si256 (v);
  __m256i odd = _mm256_and_si256 (_mm256_srli_epi32 (u, 16), _mm256_set1_epi32 (1));
  __m256i r = _mm256_add_epi32 (u, _mm256_add_epi32 (odd, _mm256_set1_epi32 (0x7fff)));
  __m256i nan = _mm256_castps_si256 (_mm256_cmp_ps (v, v, _CMP_UNORD_Q));

  r = _mm256_blendv_epi8 (r, _mm256_or_si256 (u, _mm256_set1_epi32 (0x400000)), nan);
  return _mm256_castsi256_ps (_mm256_and_si256 (r, _mm256_set1_epi32 ((int)0xffff0000)));
}

VF_INLINE void
vf_store_bf16 (guint16 *p, vf v)
{
  __m256i u = _mm256_srli_epi32 (_mm256_castps_si256 (vf_round_bf16 (v)), 16);
  __m256i packed = _mm256_permute4x64_epi64 (_mm256_packus_epi32 (u, u), 0x08);
  _mm_storeu_si128 ((void *)p, _mm256_castsi256_si128 (packed));
}

VF_INLINE void
vf_transpose (vf r[VF_WIDTH])
{
  vf t[8];

  for (int i = 0; i < 8; i += 4)
    {
      vf a = _mm256_unpacklo_ps (r[i], r[i + 1]), b = _mm256_unpackhi_ps (r[i], r[i + 1]);
      vf c = _mm256_unpacklo_ps (r[i + 2], r[i + 3]), d = _mm256_unpackhi_ps (r[i + 2], r[i + 3]);

      t[i] = _mm256_shuffle_ps (a, c, 0x44);
      t[i + 1] = _mm256_shuffle_ps (a, c, 0xee);
      t[i + 2] = _mm256_shuffle_ps (b, d, 0x44);
      t[i + 3] = _mm256_shuffle_ps (b, d, 0xee);
    }
  for (int i = 0; i < 4; i++)
    {
      r[i] = _mm256_permute2f128_ps (t[i], t[i + 4], 0x20);
      r[i + 4] = _mm256_permute2f128_ps (t[i], t[i + 4], 0x31);
    }
}

VF_INLINE vf vf_swap_pairs (vf v) { return _mm256_permute_ps (v, 0xb1); }
VF_INLINE vf
vf_load_twice (const float *p)
{
  const __m256i index = _mm256_setr_epi32 (0, 0, 1, 1, 2, 2, 3, 3);
  return _mm256_permutevar8x32_ps (_mm256_castps128_ps256 (_mm_loadu_ps (p)), index);
}
VF_INLINE vf vf_fmaddsub (vf a, vf b, vf c) { return _mm256_fmaddsub_ps (a, b, c); }

typedef struct { __m256d lo, hi; } vd;
VF_INLINE vd vd_zero (void) { return (vd) { _mm256_setzero_pd (), _mm256_setzero_pd () }; }
VF_INLINE vd
vd_from (vf v)
{
  return (vd) { _mm256_cvtps_pd (_mm256_castps256_ps128 (v)), _mm256_cvtps_pd (_mm256_extractf128_ps (v, 1)) };
}
VF_INLINE vd vd_add (vd a, vd b) { return (vd) { _mm256_add_pd (a.lo, b.lo), _mm256_add_pd (a.hi, b.hi) }; }
VF_INLINE vd
vd_fma (vd a, vd b, vd c)
{
  return (vd) { _mm256_fmadd_pd (a.lo, b.lo, c.lo), _mm256_fmadd_pd (a.hi, b.hi, c.hi) };
}
VF_INLINE void
vd_store (double *p, vd v)
{
  _mm256_storeu_pd (p, v.lo);
  _mm256_storeu_pd (p + 4, v.hi);
}

#else /* plain C: any machine */

#define VF_WIDTH 4
typedef struct { float v[4]; } vf;

#define VF_EACH(expression) \
  vf r; \
  for (int i = 0; i < 4; i++) \
    r.v[i] = (expression); \
  return r

VF_INLINE vf vf_set1 (float x) { VF_EACH (x); }
VF_INLINE vf vf_zero (void) { return vf_set1 (0.0f); }
VF_INLINE vf vf_load (const float *p) { VF_EACH (p[i]); }
VF_INLINE void vf_store (float *p, vf v) { memcpy (p, v.v, sizeof v.v); }
VF_INLINE vf vf_load_n (const float *p, gint64 n) { VF_EACH (i < n ? p[i] : 0.0f); }
VF_INLINE void
vf_store_n (float *p, vf v, gint64 n)
{
  for (int i = 0; i < n; i++)
    p[i] = v.v[i];
}
VF_INLINE vf vf_add (vf a, vf b) { VF_EACH (a.v[i] + b.v[i]); }
VF_INLINE vf vf_sub (vf a, vf b) { VF_EACH (a.v[i] - b.v[i]); }
VF_INLINE vf vf_mul (vf a, vf b) { VF_EACH (a.v[i] * b.v[i]); }
VF_INLINE vf vf_div (vf a, vf b) { VF_EACH (a.v[i] / b.v[i]); }
VF_INLINE vf vf_max (vf a, vf b) { VF_EACH (a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
VF_INLINE vf vf_min (vf a, vf b) { VF_EACH (a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
VF_INLINE vf vf_fma (vf a, vf b, vf c) { VF_EACH (a.v[i] * b.v[i] + c.v[i]); }
VF_INLINE vf vf_fnma (vf a, vf b, vf c) { VF_EACH (c.v[i] - a.v[i] * b.v[i]); }
VF_INLINE float vf_sum (vf v) { return (v.v[0] + v.v[2]) + (v.v[1] + v.v[3]); }
VF_INLINE float vf_highest (vf v) { return MAX (MAX (v.v[0], v.v[2]), MAX (v.v[1], v.v[3])); }
/* Adding 1.5 * 2^23 leaves no bits for the fraction; right for what exp needs, |x| < 2^22. */
VF_INLINE float
vf_round_one (float x)
{
  volatile float big = x + 12582912.0f;
  return big - 12582912.0f;
}
VF_INLINE vf vf_round (vf v) { VF_EACH (vf_round_one (v.v[i])); }
VF_INLINE vf vf_scale2 (vf x, vf n) { VF_EACH (ldexpf (x.v[i], n.v[i] == n.v[i] ? (int)n.v[i] : 0)); }
VF_INLINE vf vf_zero_below (vf v, vf x, vf low) { VF_EACH (x.v[i] < low.v[i] ? 0.0f : v.v[i]); }

VF_INLINE guint16
vf_read_u16 (const guint8 *p)
{
  guint16 u;
  memcpy (&u, p, 2);
  return u;
}

VF_INLINE vf vf_load_bf16 (const guint8 *p) { VF_EACH (zie_bf16_to_f32 (vf_read_u16 (p + 2 * i))); }
VF_INLINE vf vf_load_f16 (const guint8 *p) { VF_EACH (zie_f16_to_f32 (vf_read_u16 (p + 2 * i))); }
VF_INLINE float vf_f16_one (const guint8 *p) { return zie_f16_to_f32 (vf_read_u16 (p)); }
VF_INLINE vf vf_load_i8 (const guint8 *p) { VF_EACH ((float)(gint8)p[i]); }
VF_INLINE vf vf_load_f8_e5m2 (const guint8 *p) { VF_EACH (zie_f16_to_f32 ((guint16)(p[i] << 8))); }
VF_INLINE vf vf_load_f8_e4m3 (const guint8 *p) { VF_EACH (zie_f8_e4m3_to_f32 (p[i])); }
VF_INLINE vf vf_round_bf16 (vf v) { VF_EACH (zie_bf16_to_f32 (zie_f32_to_bf16 (v.v[i]))); }
VF_INLINE void
vf_store_bf16 (guint16 *p, vf v)
{
  for (int i = 0; i < 4; i++)
    p[i] = zie_f32_to_bf16 (v.v[i]);
}

VF_INLINE void
vf_transpose (vf r[VF_WIDTH])
{
  for (int i = 0; i < 4; i++)
    for (int j = i + 1; j < 4; j++)
      {
        float t = r[i].v[j];
        r[i].v[j] = r[j].v[i];
        r[j].v[i] = t;
      }
}

VF_INLINE vf vf_swap_pairs (vf v) { VF_EACH (v.v[i ^ 1]); }
VF_INLINE vf vf_load_twice (const float *p) { VF_EACH (p[i / 2]); }
VF_INLINE vf vf_fmaddsub (vf a, vf b, vf c) { VF_EACH (a.v[i] * b.v[i] + (i % 2 ? c.v[i] : -c.v[i])); }

typedef struct { double v[4]; } vd;
VF_INLINE vd vd_zero (void) { return (vd) { { 0, 0, 0, 0 } }; }
VF_INLINE vd vd_from (vf v) { return (vd) { { v.v[0], v.v[1], v.v[2], v.v[3] } }; }
VF_INLINE vd
vd_add (vd a, vd b)
{
  for (int i = 0; i < 4; i++)
    a.v[i] += b.v[i];
  return a;
}
VF_INLINE vd
vd_fma (vd a, vd b, vd c)
{
  for (int i = 0; i < 4; i++)
    c.v[i] += a.v[i] * b.v[i];
  return c;
}
VF_INLINE void vd_store (double *p, vd v) { memcpy (p, v.v, sizeof v.v); }

#undef VF_EACH

#endif

/* e^x, about 1 ulp; 0 below the smallest normal number, the largest finite number where it would overflow, NaN stays.
 * e^x = 2^n e^r with |r| <= ln 2 / 2. */
VF_INLINE vf
vf_exp (vf x)
{
  const vf low = vf_set1 (-87.33654f), high = vf_set1 (88.72283f);
  vf t = vf_min (high, vf_max (low, x));      /* NaN: max and min return their second operand */
  vf n = vf_round (vf_mul (t, vf_set1 (1.44269504088896341f)));
  vf r = vf_fnma (n, vf_set1 (0.693145751953125f), t);
  vf p = vf_set1 (1.9875691500e-4f);

  r = vf_fnma (n, vf_set1 (1.42860682030941723212e-6f), r);
  p = vf_fma (p, r, vf_set1 (1.3981999507e-3f));
  p = vf_fma (p, r, vf_set1 (8.3334519073e-3f));
  p = vf_fma (p, r, vf_set1 (4.1665795894e-2f));
  p = vf_fma (p, r, vf_set1 (1.6666665459e-1f));
  p = vf_fma (p, r, vf_set1 (5.0000001201e-1f));
  p = vf_fma (p, vf_mul (r, r), vf_add (r, vf_set1 (1.0f)));
  return vf_zero_below (vf_scale2 (p, n), x, low);
}

/* x / (1 + e^-x) */
VF_INLINE vf
vf_silu (vf x)
{
  return vf_div (x, vf_add (vf_set1 (1.0f), vf_exp (vf_sub (vf_zero (), x))));
}

/* VF_WIDTH elements of DTYPE, which is none of the block types, at P. */
VF_INLINE vf
vf_load_dtype (ZieDtype dtype, const guint8 *p)
{
  if (dtype == ZIE_DTYPE_F32)
    {
      float f[VF_WIDTH];
      memcpy (f, p, sizeof f);
      return vf_load (f);
    }
  if (dtype == ZIE_DTYPE_F8_E4M3)
    return vf_load_f8_e4m3 (p);
  if (dtype == ZIE_DTYPE_F8_E5M2)
    return vf_load_f8_e5m2 (p);
  return dtype == ZIE_DTYPE_BF16 ? vf_load_bf16 (p) : vf_load_f16 (p);
}
