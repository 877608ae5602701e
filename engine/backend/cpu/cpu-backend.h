/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-backend.h"

/* The fast backend of every machine: products, convolutions and attention in vector kernels picked at run time, on the
 * threads of the context.  Needs no ctx->backend. */
extern const ZieBackendFuncs zie_cpu_backend_funcs;
