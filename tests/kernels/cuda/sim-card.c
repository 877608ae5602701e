/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "sim-card"

#include "sim-card.h"

#include <math.h>
#include <string.h>

#include <zie/zie-error.h>

#include "cuda-plugin.h"
#include "cuda-private.h"
#include "fake-runtime.h"

extern const ZieCudaPlugin zie_cuda_plugin;

static gint breaking_linear;     /* atomic: calls of linear until one that breaks; 0: none does */

void
sim_break_linear (guint nth)
{
  g_atomic_int_set (&breaking_linear, (gint)nth);
}

/* --- in place of cuda-plugin.c and the plug-in's other files --- */

/* Activations are the CPU's: f32. */
static void
describe (ZieOps *ops, ZieDtype *act, ZieCompute *best_compute)
{
  zie_cuda_plugin.funcs->describe (ops, act, best_compute);
  *act = ZIE_DTYPE_F32;
}

static gpointer
make_funcs (gpointer data)
{
  ZieBackendFuncs *funcs = g_memdup2 (zie_cuda_plugin.funcs, sizeof *funcs);

  if (!fake_is_started ())       /* by a program that does not know of it */
    {
      fake_start (FAKE_EAGER, 0);
      fake_set_mapped (TRUE);
    }
  funcs->describe = describe;
  return funcs;
}

const ZieBackendFuncs *
zie_cuda_plugin_get_funcs (void)
{
  static GOnce once = G_ONCE_INIT;

  return g_once (&once, make_funcs, NULL);
}

char *
zie_cuda_plugin_explain (void)
{
  return zie_cuda_plugin.explain ();
}

typedef struct
{
  void *to;
  const void *from;
  gsize size;
} Pack;

static void
pack (gpointer data)
{
  Pack *p = data;

  memcpy (p->to, p->from, p->size);
  g_free (p);
}

/* "Packed" is as stored. */
int
zie_cuda_conv_pack (CudaStream stream, void *packed, const void *weight, int weight_is_f32, int in, int out, int ksize, int upsample)
{
  cudaError_t error = fake_try ("launch");
  Pack *p;

  if (error != cudaSuccess)
    return (int)error;
  p = g_new (Pack, 1);
  *p = (Pack) { packed, weight, zie_cuda_conv_packed_size (in, out, ksize, upsample) };
  fake_launch (stream, pack, p);
  return 0;
}

/* --- ops --- */

static const ZieOps *
cpu (void)
{
  static gsize is_filled;
  static ZieOps ops;

  if (g_once_init_enter (&is_filled))
    {
      zie_ops_init_cpu (&ops);
      g_once_init_leave (&is_filled, 1);
    }
  return &ops;
}

/* TRUE: go on with *ON, in which the CPU's op runs; the pool of threads is the loader's. */
static gboolean
begin (ZieOpCtx *ctx, const char *call, ZieOpCtx *on)
{
  if (zie_op_cancelled (ctx) || !cuda_ok (ctx->backend, fake_try (call), call))
    return FALSE;
  *on = *ctx;
  on->ops = cpu ();
  on->threads = NULL;
  return TRUE;
}

/* W as the card has it; NULL for NULL. */
static const ZieWeight *
on_card (const ZieOpCtx *ctx, const ZieWeight *w, ZieWeight *out)
{
  static const guint8 nothing[64];
  const CudaBackend *self = ctx->backend;

  if (w == NULL)
    return NULL;
  *out = *w;
  out->data = cuda_weights_find (self->weights, w);
  out->dtype = w->rows == 1 && w->use == ZIE_WEIGHT_MATRIX ? ZIE_DTYPE_F32 : ZIE_DTYPE_BF16;
  out->scales = NULL;
  if (out->data == NULL)         /* the job has failed */
    {
      out->data = nothing;
      return NULL;
    }
  return out;
}

static void
sim_acquire (ZieOpCtx *ctx, const ZieWeightBlock *block)
{
  cuda_weights_acquire (((const CudaBackend *)ctx->backend)->weights, ctx, block);
}

static void
sim_release (ZieOpCtx *ctx, const ZieWeightBlock *block)
{
  cuda_weights_release (((const CudaBackend *)ctx->backend)->weights, block);
}

static void
sim_linear (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b)
{
  ZieOpCtx on;
  ZieWeight weight, bias;
  const ZieWeight *card_bias = on_card (ctx, b, &bias);

  if (on_card (ctx, w, &weight) == NULL || (b != NULL && card_bias == NULL) || !begin (ctx, "launch", &on))
    return;
  on.ops->linear (&on, y, x, &weight, card_bias);
  if (g_atomic_int_get (&breaking_linear) > 0 && g_atomic_int_dec_and_test (&breaking_linear))
    zie_tensor_f32 (y)[0] = INFINITY;
}

static void
sim_rms_norm (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieTensor *scale, float eps)
{
  ZieOpCtx on;
  ZieWeight weight;

  if (on_card (ctx, w, &weight) != NULL && begin (ctx, "launch", &on))
    on.ops->rms_norm (&on, y, x, &weight, scale, eps);
}

static void
sim_gated_norm_add (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y, const ZieWeight *w, const ZieTensor *gate, float eps)
{
  ZieOpCtx on;
  ZieWeight weight;

  if (on_card (ctx, w, &weight) != NULL && begin (ctx, "launch", &on))
    on.ops->gated_norm_add (&on, x, y, &weight, gate, eps);
}

static void
sim_qk_norm_rope (ZieOpCtx *ctx, ZieTensor *x, const ZieWeight *w, const ZieTensor *cos, const ZieTensor *sin, int heads, ZieRope rope,
                  float eps)
{
  ZieOpCtx on;
  ZieWeight weight;

  if (on_card (ctx, w, &weight) != NULL && begin (ctx, "launch", &on))
    on.ops->qk_norm_rope (&on, x, &weight, cos, sin, heads, rope, eps);
}

static void
sim_fill_rows (ZieOpCtx *ctx, ZieTensor *y, const ZieWeight *row)
{
  ZieOpCtx on;
  ZieWeight weight;

  if (on_card (ctx, row, &weight) != NULL && begin (ctx, "launch", &on))
    on.ops->fill_rows (&on, y, &weight);
}

static void
sim_group_norm_finish (ZieOpCtx *ctx, ZieTensor *scale, ZieTensor *shift, void *sums, gint64 height, gint64 width, const ZieWeight *gamma,
                       const ZieWeight *beta, int groups, float eps)
{
  ZieOpCtx on;
  ZieWeight g, b;

  if (on_card (ctx, gamma, &g) != NULL && on_card (ctx, beta, &b) != NULL && begin (ctx, "launch", &on))
    on.ops->group_norm_finish (&on, scale, shift, sums, height, width, &g, &b, groups, eps);
}

static void
sim_conv2d (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieConv *conv, const ZieConvArgs *args)
{
  ZieOpCtx on;
  ZieConv card = *conv;

  if (on_card (ctx, &conv->weight, &card.weight) != NULL && on_card (ctx, &conv->bias, &card.bias) != NULL && begin (ctx, "launch", &on))
    on.ops->conv2d (&on, y, x, &card, args);
}

/* The others read no weights, or a table that stays in the host's memory. */
#define PLAIN(name, call, parameters, ...) \
  static void \
  sim_##name parameters \
  { \
    ZieOpCtx on; \
    if (begin (ctx, call, &on)) \
      on.ops->name (&on, __VA_ARGS__); \
  }

PLAIN (upload, "upload", (ZieOpCtx *ctx, ZieTensor *dst, const void *host), dst, host)
PLAIN (download, "download", (ZieOpCtx *ctx, void *host, const ZieTensor *src), host, src)
PLAIN (download_rgb8, "download", (ZieOpCtx *ctx, guint8 *rgb, ZieRgb8Check *check, const ZieTensor *rows), rgb, check, rows)
PLAIN (store_rows, "download", (ZieOpCtx *ctx, void *host, const ZieTensor *src), host, src)
PLAIN (load_rows, "upload", (ZieOpCtx *ctx, ZieTensor *dst, const void *host), dst, host)
PLAIN (gather, "upload", (ZieOpCtx *ctx, ZieTensor *y, const ZieWeight *table, const gint32 *ids), y, table, ids)
PLAIN (layer_norm, "launch", (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, float eps), y, x, scale, eps)
PLAIN (attention, "launch", (ZieOpCtx *ctx, ZieTensor *o, const ZieTensor *q, const ZieTensor *k, const ZieTensor *v, int heads,
                             int kv_heads, float scale, gboolean causal), o, q, k, v, heads, kv_heads, scale, causal)
PLAIN (swiglu, "launch", (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *gate, const ZieTensor *up), y, gate, up)
PLAIN (add, "launch", (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y), x, y)
PLAIN (unary, "launch", (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, ZieUnary kind), y, x, kind)
PLAIN (copy, "launch", (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x), y, x)
PLAIN (patchify, "launch", (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *latent, int channels, int h, int w), y, latent, channels, h, w)
PLAIN (unpatchify, "launch", (ZieOpCtx *ctx, ZieTensor *latent, const ZieTensor *x, int channels, int h, int w), latent, x, channels, h, w)
PLAIN (planes_to_pixels, "launch", (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, float scale, float shift), y, x, scale, shift)
PLAIN (pixels_to_planes, "launch", (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, float scale, float shift), y, x, scale, shift)
PLAIN (group_norm_add, "launch", (ZieOpCtx *ctx, void *sums, const ZieTensor *x, gint64 row0, gint64 height, int groups), sums, x, row0,
       height, groups)
PLAIN (affine, "launch", (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, const ZieTensor *shift), y, x, scale, shift)

void
cuda_ops_init (ZieOps *ops)
{
  *ops = (ZieOps) {
    .name = "cuda",
    .band_rows = cpu ()->band_rows,
    .scratch = cpu ()->scratch,
    .acquire = sim_acquire,
    .release = sim_release,
    .upload = sim_upload,
    .download = sim_download,
    .download_rgb8 = sim_download_rgb8,
    .store_rows = sim_store_rows,
    .load_rows = sim_load_rows,
    .linear = sim_linear,
    .gather = sim_gather,
    .rms_norm = sim_rms_norm,
    .gated_norm_add = sim_gated_norm_add,
    .layer_norm = sim_layer_norm,
    .qk_norm_rope = sim_qk_norm_rope,
    .attention = sim_attention,
    .swiglu = sim_swiglu,
    .add = sim_add,
    .unary = sim_unary,
    .copy = sim_copy,
    .fill_rows = sim_fill_rows,
    .patchify = sim_patchify,
    .unpatchify = sim_unpatchify,
    .planes_to_pixels = sim_planes_to_pixels,
    .pixels_to_planes = sim_pixels_to_planes,
    .group_norm_add = sim_group_norm_add,
    .group_norm_finish = sim_group_norm_finish,
    .affine = sim_affine,
    .conv2d = sim_conv2d,
  };
  zie_ops_compose (ops);
}
