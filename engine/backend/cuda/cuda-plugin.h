/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-backend.h"

/* The CUDA backend is a module beside the program, so that the program starts without driver and toolkit.  The module
 * exports one symbol of this type. */
#define ZIE_CUDA_PLUGIN_SYMBOL "zie_cuda_plugin"
#define ZIE_CUDA_PLUGIN_ABI 1

typedef struct
{
  guint abi;                     /* ZIE_CUDA_PLUGIN_ABI and the sizes of the structures that cross the border */
  gsize sizeof_ops, sizeof_ctx, sizeof_weight, sizeof_funcs, sizeof_device;
  const ZieBackendFuncs *funcs;
  char *(*explain) (void);       /* why list () finds nothing; transfer full */
} ZieCudaPlugin;

/* NULL where the module is not there or does not fit; it is opened at the first call.  ZIE_CUDA_PLUGIN names another
 * file, or with an empty value none.  Any thread. */
const ZieBackendFuncs *zie_cuda_plugin_get_funcs (void);
/* What was found instead of a device, as a sentence; free with g_free(). */
char *zie_cuda_plugin_explain (void);
