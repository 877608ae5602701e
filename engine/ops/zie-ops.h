/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-types.h>

#include "zie-rgb8.h"
#include "zie-tensor.h"
#include "zie-threads.h"

/* What can be computed: a table of functions, filled once by a backend (backend/zie-backend.h).
 *
 * Rules for every op.  Shapes were checked when the model was opened and memory was reserved by the plan, so ops
 * return nothing; debug builds assert.  Activations are ctx->act (f32 on the CPU) unless a comment says otherwise;
 * sums, statistics and softmax are at least f32.  Outputs must not overlap inputs unless the comment allows it.  An op
 * takes its own scratch from ctx->arena by zie_op_scratch() and gives it back before it returns.  Work is cut into
 * slices of at most 50 ms; once *ctx->cancel is set an op returns early and its output is garbage, so the network looks
 * at zie_op_cancelled() after every block.  Any thread, one at a time for one ctx. */

typedef struct _ZieOps ZieOps;
typedef struct _ZieOpCtx ZieOpCtx;
typedef struct _ZieLoraSet ZieLoraSet;      /* model/zie-lora.h */

/* One op's shape: what cost and scratch are computed from. */
typedef enum
{
  ZIE_OP_LINEAR,         /* m rows, n out, k in */
  ZIE_OP_ATTENTION,      /* m queries, n keys, k head size, heads, kv_heads, causal */
  ZIE_OP_CONV,           /* m output pixels, n out, k = in * ksize², w = output width */
  ZIE_OP_GROUP_NORM,     /* m pixels, n channels, k groups, w = width */
  ZIE_OP_GROUP_PART,     /* the same, of a band; takes no scratch */
  ZIE_OP_RGB8,           /* m pixels, n = 3 */
  ZIE_OP_MOVE,           /* m rows, n columns, between host and device; takes no scratch */
  ZIE_OP_ELEMENTWISE,    /* m rows, n columns: norms, rope, gates …; k = how many tensors are read and written */
} ZieOpKind;

typedef struct
{
  ZieOpKind kind;
  gint64 m, n, k;
  gint64 heads, kv_heads;
  gboolean causal;
  gint64 w, ksize, channels;   /* CONV: output width, kernel side, input channels; w also of GROUP_NORM */
  gint64 stride;
  gboolean upsample, has_norm, has_residual;   /* CONV: ZieConvArgs' upsample, gn_scale, residual */
  ZieDtype weight;             /* of LINEAR and CONV */
} ZieOpShape;

/* Sums up what a forward would do; only the counting backend writes it. */
typedef struct
{
  double flops;                /* of products, attention, convolutions: 2 per multiply-add */
  double bytes;                /* read and written, weights as stored */
  double weight_bytes;
  double moved_bytes;          /* between host and device by load_rows and store_rows; not in bytes */
  guint64 n_ops;
} ZieTally;

/* Parts of the networks that norms name when they see numbers that are none, in the order of computing. */
typedef enum
{
  ZIE_PLACE_NOWHERE,
  ZIE_PLACE_TEXT_EMBEDS,
  ZIE_PLACE_TEXT_LAYER,        /* those with an index are counted from 0 */
  ZIE_PLACE_VAE_ENCODER,
  ZIE_PLACE_CAPTION,
  ZIE_PLACE_CONTEXT_REFINER,
  ZIE_PLACE_NOISE_REFINER,
  ZIE_PLACE_LAYER,
  ZIE_PLACE_FINAL_LAYER,
  ZIE_PLACE_VAE_MIDDLE,
  ZIE_PLACE_VAE_UP,
  ZIE_PLACE_VAE_OUT,
  ZIE_N_PLACES
} ZiePlace;

struct _ZieOpCtx
{
  const ZieOps *ops;
  ZieArena *arena;             /* device memory */
  ZieArena *host;              /* host memory: staging of uploads, latents, tables */
  ZieThreads *threads;         /* NULL on a device of its own and in a plan */
  guint n_threads;             /* how many work at once (1 or more): scratch depends on it, so a plan sets it too */
  const gint *cancel;          /* atomic; NULL = never */
  const gint *failed;          /* atomic, or NULL: set by the backend when the device fails; everything stops then too */
  const gint *lost;            /* atomic, or NULL: set when a file that weights are read from goes away; the same */
  ZieCompute compute;          /* F32 or BF16, never AUTO: arithmetic of products and convolutions */
  ZieDtype act;                /* of activations */
  const ZieLoraSet *loras;     /* what the transformer's layers add, or NULL; the networks' affair, no op looks at it */
  ZieTally *tally;             /* counting backend only */
  gpointer backend;            /* the backend's own */
  gint place;                  /* where the network is: a rank, set by zie_op_enter() */
  gint *broken;                /* atomic, or NULL: the rank of the first place whose norm saw a row that is not finite; 0: none.  A
                                  device of its own tells with each download. */
};

static inline gboolean
zie_op_cancelled (const ZieOpCtx *ctx)
{
  return (ctx->cancel != NULL && g_atomic_int_get (ctx->cancel) != 0) || (ctx->failed != NULL && g_atomic_int_get (ctx->failed) != 0)
         || (ctx->lost != NULL && g_atomic_int_get (ctx->lost) != 0);
}

/* From here on norms work for PLACE number INDEX.  Costs nothing: a network says it before each block.  Ranks fall in the order
 * of places, so the highest that broke was the first. */
static inline void
zie_op_enter (ZieOpCtx *ctx, ZiePlace place, int index)
{
  ctx->place = G_MAXINT - ((gint)place << 16) - index;
}

/* A norm saw a row that is not finite at the place of rank RANK.  Any thread. */
static inline void
zie_op_break_at (const ZieOpCtx *ctx, gint rank)
{
  gint first;

  if (ctx->broken == NULL)
    return;
  while ((first = g_atomic_int_get (ctx->broken)) < rank && !g_atomic_int_compare_and_exchange (ctx->broken, first, rank))
    continue;
}

/* FACTOR: 1 / root of the mean of squares, as a norm of CTX's place found it.  Of a row that is not finite, or whose squares are too
 * large to be added, it is NaN or 0, and that is noted.  Any thread. */
static inline void
zie_op_check_factor (const ZieOpCtx *ctx, float factor)
{
  if (G_UNLIKELY (!(factor > 0.0f)))
    zie_op_break_at (ctx, ctx->place);
}

/* "layer 3 of the transformer" (counted from 1), for people; free with g_free(). */
char *zie_op_place_to_text (gint rank);

typedef enum { ZIE_UNARY_SILU, ZIE_UNARY_TANH, ZIE_UNARY_ONE_PLUS } ZieUnary;
typedef enum { ZIE_ROPE_INTERLEAVED, ZIE_ROPE_HALF } ZieRope;

typedef struct
{
  ZieWeight weight;            /* [out, in, ksize, ksize] */
  ZieWeight bias;              /* [out] */
  int in, out, ksize;          /* ksize 1 or 3 */
} ZieConv;

/* How conv2d reads and writes. */
typedef struct
{
  int stride;                  /* 1; 2: pads one zero row below and one zero column right only (the encoder's Down) */
  gboolean upsample;           /* x is read as if each pixel were a 2x2 block (ksize 3, stride 1) */
  const ZieTensor *gn_scale, *gn_shift;   /* [1, in] f32 or NULL: x is read as silu (x * scale + shift); padding stays 0 */
  const ZieTensor *residual;   /* added to the result; the rows of y (so row0 is its first); may be the very tensor y */
  gint64 row0;                 /* first output row to compute; y holds rows row0 … row0 + y->h - 1 of the output */
} ZieConvArgs;

struct _ZieOps
{
  const char *name;
  int band_rows;               /* rows of the picture that a decode hands out at a time: a few hundredths of a second each */

  /* Bytes of scratch the op with SHAPE takes from the arena (all threads together). */
  gsize (*scratch) (const ZieOpCtx *ctx, const ZieOpShape *shape);

  /* Around the use of a block of weights by the ops in between; NULL in backends that use weights where they lie. */
  void (*acquire) (ZieOpCtx *ctx, const ZieWeightBlock *block);
  void (*release) (ZieOpCtx *ctx, const ZieWeightBlock *block);

  /* Host memory to device and back, rows of COLS elements, synchronous.  HOST is f32 whatever the tensor's type. */
  void (*upload) (ZieOpCtx *ctx, ZieTensor *dst, const void *host);
  void (*download) (ZieOpCtx *ctx, void *host, const ZieTensor *src);

  /* Pixels ready to be seen: ROWS [n, 3], f32, dense, in -1 … 1, as zie_rgb8_from_rows() makes them, to 3 n bytes of any
   * host memory; what is seen is added to CHECK.  Synchronous. */
  void (*download_rgb8) (ZieOpCtx *ctx, guint8 *rgb, ZieRgb8Check *check, const ZieTensor *rows);

  /* Activations as they are, dense rows, to memory of ctx->host and back.  In the order of the other ops: HOST may be reused by
   * ops alone, nobody else may look at it. */
  void (*store_rows) (ZieOpCtx *ctx, void *host, const ZieTensor *src);
  void (*load_rows) (ZieOpCtx *ctx, ZieTensor *dst, const void *host);

  /* y[m, out] = x[m, in] * w^T + b.  b: vector of out, or NULL. */
  void (*linear) (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b);

  /* The same with the N weights stacked: y[m, sum of their rows].  Composed of linear where a backend has none. */
  void (*linear_stacked) (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *const *w, guint n);

  /* y[r] = row ids[r] of TABLE; ids is host memory. */
  void (*gather) (ZieOpCtx *ctx, ZieTensor *y, const ZieWeight *table, const gint32 *ids);

  /* y = x * rsqrt (mean (x²) + eps) * w, times scale[1, cols] (f32) where given.  y may be x. */
  void (*rms_norm) (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieTensor *scale, float eps);

  /* x += gate * rms_norm (y, w, eps); gate[1, cols] (f32) or NULL for 1.  In place on x. */
  void (*gated_norm_add) (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y, const ZieWeight *w, const ZieTensor *gate, float eps);

  /* gated_norm_add, then h = rms_norm (x, w_next, scale): one pass over both.  h may be y.  Composed of the two where a
   * backend has none. */
  void (*gated_norm_add_norm) (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y, const ZieWeight *w, const ZieTensor *gate,
                               ZieTensor *h, const ZieWeight *w_next, const ZieTensor *scale, float eps);

  /* y = (x - mean) * rsqrt (var + eps) * scale[1, cols]; no weight, no bias (the final layer). y may be x. */
  void (*layer_norm) (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, float eps);

  /* In place on x[rows, heads * head_size]: each head's RMSNorm with w[head_size], then the rotation by
   * cos, sin [rows, head_size / 2] f32.  INTERLEAVED turns pairs (2i, 2i + 1), HALF pairs (i, i + head_size / 2). */
  void (*qk_norm_rope) (ZieOpCtx *ctx, ZieTensor *x, const ZieWeight *w, const ZieTensor *cos, const ZieTensor *sin,
                        int heads, ZieRope rope, float eps);

  /* Both of a layer in one pass: q with HEADS, k with KV_HEADS.  Composed of the one above where a backend has none. */
  void (*qk_norm_rope_pair) (ZieOpCtx *ctx, ZieTensor *q, ZieTensor *k, const ZieWeight *wq, const ZieWeight *wk,
                             const ZieTensor *cos, const ZieTensor *sin, int heads, int kv_heads, ZieRope rope, float eps);

  /* o = softmax (q k^T * scale [+ causal mask]) v per head; q, o [m, heads * d], k, v [n, kv_heads * d]; query head h
   * uses key head h / (heads / kv_heads).  Row strides are free, so q, k, v may be columns of one tensor.  The score
   * matrix is never stored whole. */
  void (*attention) (ZieOpCtx *ctx, ZieTensor *o, const ZieTensor *q, const ZieTensor *k, const ZieTensor *v,
                     int heads, int kv_heads, float scale, gboolean causal);

  /* y = silu (gate) * up.  y may be gate. */
  void (*swiglu) (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *gate, const ZieTensor *up);

  void (*add) (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y);                       /* x += y */
  void (*unary) (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, ZieUnary kind);      /* y may be x */
  void (*copy) (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x);
  void (*fill_rows) (ZieOpCtx *ctx, ZieTensor *y, const ZieWeight *row);               /* every row of y = row */

  /* Latent [channels, h, w] f32 to tokens [(h/p) * (w/p), p * p * channels], channel fastest (spec 4.1), and back with
   * the sign kept.  p = 2. */
  void (*patchify) (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *latent, int channels, int h, int w);
  void (*unpatchify) (ZieOpCtx *ctx, ZieTensor *latent, const ZieTensor *x, int channels, int h, int w);

  /* Latent or picture, planes [channels, h * w] f32, to pixels y[h * w, channels] = x * scale + shift, and back. */
  void (*planes_to_pixels) (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, float scale, float shift);
  void (*pixels_to_planes) (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, float scale, float shift);

  /* GroupNorm as one multiply-add a channel: scale = gamma * rstd, shift = beta - mean * scale; [1, channels] f32.
   * Statistics over the whole of x, biased variance, deterministic.  Composed of the next two. */
  void (*group_norm) (ZieOpCtx *ctx, ZieTensor *scale, ZieTensor *shift, const ZieTensor *x,
                      const ZieWeight *gamma, const ZieWeight *beta, int groups, float eps);
  /* The same of a picture that comes in bands: X is rows row0 … of HEIGHT, noted in SUMS, which is what zie_op_scratch() gives for
   * zie_op_shape_group_norm() of the whole picture.  A band begins at a multiple of zie_group_norm_step(); bands may come in any
   * order, each once.  When all have come, finish says scale and shift: the same bytes, however the picture was cut. */
  void (*group_norm_add) (ZieOpCtx *ctx, void *sums, const ZieTensor *x, gint64 row0, gint64 height, int groups);
  void (*group_norm_finish) (ZieOpCtx *ctx, ZieTensor *scale, ZieTensor *shift, void *sums, gint64 height, gint64 width,
                             const ZieWeight *gamma, const ZieWeight *beta, int groups, float eps);
  /* y = x * scale + shift per channel.  y may be x. */
  void (*affine) (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, const ZieTensor *shift);

  void (*conv2d) (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieConv *conv, const ZieConvArgs *args);
};

/* The op's scratch from the arena (rewind by a mark taken before).  Shapes are built by zie-op-shape.h, by every backend
 * and by the counting one, so that plan and execution ask for the same. */
static inline void *
zie_op_scratch (ZieOpCtx *ctx, const ZieOpShape *shape)
{
  return zie_arena_alloc (ctx->arena, ctx->ops->scratch (ctx, shape));
}

/* GroupNorm's statistics are kept for chunks of so many rows of a picture, a power of two: at most 256 chunks. */
static inline gint64
zie_group_norm_step (gint64 height)
{
  gint64 step = 1;

  while (height / step >= 256)
    step *= 2;
  return step;
}

/* Operations and bytes of one op: the one place where cost is computed. */
void zie_op_cost (const ZieOpShape *shape, ZieDtype act, double *flops, double *bytes);
/* Bytes of its weights as stored, a part of what zie_op_cost() says; 0 for kinds without large weights. */
double zie_op_weight_bytes (const ZieOpShape *shape);

/* Completes a backend's table with what is composed of its other ops. */
void zie_ops_compose (ZieOps *ops);

/* The counting backend: computes nothing, adds each op's cost to ctx->tally and reserves the same scratch as BACKEND's
 * ops would.  With a counting arena, a network's own forward thus tells its memory and cost. */
void zie_ops_init_counting (ZieOps *ops, const ZieOps *backend);
