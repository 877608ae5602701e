/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-backend.h"

#include "cpu-features.h"
#include "cpu-private.h"

const ZieCpuKernels *
zie_cpu_get_kernels (void)
{
#ifdef ZIE_CPU_X86
  guint32 caps = zie_cpu_get_caps ();

  if (caps & ZIE_CPU_AVX512)
    return &zie_cpu_kernels_avx512;
  if (caps & ZIE_CPU_AVX2)
    return &zie_cpu_kernels_avx2;
#endif
  return &zie_cpu_kernels_plain;
}

void
zie_cpu_run (ZieOpCtx *ctx, gint64 n_items, ZieThreadsFunc func, gpointer data)
{
  if (ctx->threads != NULL)
    zie_threads_run (ctx->threads, n_items, ctx->cancel, func, data);
  else
    for (gint64 i = 0; i < n_items && !zie_op_cancelled (ctx); i++)
      func (data, i, 0);
}

static gsize
cpu_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  switch (shape->kind)
    {
    case ZIE_OP_LINEAR: return zie_cpu_linear_scratch (ctx, shape);
    case ZIE_OP_ATTENTION: return zie_cpu_attention_scratch (ctx, shape);
    case ZIE_OP_CONV: return zie_cpu_conv2d_scratch (ctx, shape);
    case ZIE_OP_GROUP_NORM: return zie_cpu_group_norm_scratch (ctx, shape);
    case ZIE_OP_GROUP_PART:
    case ZIE_OP_MOVE:
    case ZIE_OP_RGB8: return 0;
    case ZIE_OP_ELEMENTWISE: return zie_cpu_rows_scratch (ctx, shape);
    }
  g_assert_not_reached ();
}

/* Complete from the reference on; what is left to it (upload, gather, patchify, planes) moves few bytes. */
void
zie_ops_init_cpu (ZieOps *ops)
{
  zie_ops_init_ref (ops);
  ops->name = "cpu";
  ops->scratch = cpu_scratch;
  ops->linear = zie_cpu_linear;
  ops->attention = zie_cpu_attention;
  ops->conv2d = zie_cpu_conv2d;
  ops->group_norm_add = zie_cpu_group_norm_add;
  ops->group_norm_finish = zie_cpu_group_norm_finish;
  zie_cpu_init_rows (ops);
}
