/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ref"

#include "ref-private.h"

void
ref_run (ZieOpCtx *ctx, gint64 n_items, ZieThreadsFunc func, gpointer data)
{
  if (ctx->threads != NULL)
    zie_threads_run (ctx->threads, n_items, ctx->cancel, func, data);
  else
    for (gint64 i = 0; i < n_items && !zie_op_cancelled (ctx); i++)
      func (data, i, 0);
}

static gsize
ref_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  switch (shape->kind)
    {
    case ZIE_OP_LINEAR: return ref_linear_scratch (ctx, shape);
    case ZIE_OP_ATTENTION: return ref_attention_scratch (ctx, shape);
    case ZIE_OP_CONV: return ref_conv_scratch (ctx, shape);
    case ZIE_OP_GROUP_NORM: return ref_group_norm_scratch (ctx, shape);
    case ZIE_OP_GROUP_PART:
    case ZIE_OP_RGB8:
    case ZIE_OP_MOVE:
    case ZIE_OP_ELEMENTWISE: return 0;
    }
  g_assert_not_reached ();
}

void
zie_ops_init_ref (ZieOps *ops)
{
  *ops = (ZieOps) {
    .name = "ref",
    .band_rows = 64,
    .scratch = ref_scratch,
    .upload = ref_upload,
    .download = ref_download,
    .download_rgb8 = ref_download_rgb8,
    .store_rows = ref_store_rows,
    .load_rows = ref_load_rows,
    .linear = ref_linear,
    .gather = ref_gather,
    .rms_norm = ref_rms_norm,
    .gated_norm_add = ref_gated_norm_add,
    .layer_norm = ref_layer_norm,
    .qk_norm_rope = ref_qk_norm_rope,
    .attention = ref_attention,
    .swiglu = ref_swiglu,
    .add = ref_add,
    .unary = ref_unary,
    .copy = ref_copy,
    .fill_rows = ref_fill_rows,
    .patchify = ref_patchify,
    .unpatchify = ref_unpatchify,
    .planes_to_pixels = ref_planes_to_pixels,
    .pixels_to_planes = ref_pixels_to_planes,
    .group_norm_add = ref_group_norm_add,
    .group_norm_finish = ref_group_norm_finish,
    .affine = ref_affine,
    .conv2d = ref_conv2d,
  };
  zie_ops_compose (ops);
}
