/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

#include "cuda-kernels.h"

/* Large products by cuBLASLt, where the machine has it: opened at run time, never linked.  One thread at a time. */
typedef struct _ZieCublasLt ZieCublasLt;

/* For the current device, of compute capability CC (90 …).  The library is looked for where the loader looks, below
 * CUDA_HOME and CUDA_PATH, and in the usual folders of the toolkit; 13, then 12, from version 12.4 on (12.8 for CC 120).
 * DEVICE_NAME is a part of the names in the file of algorithms.  Free with zie_cublaslt_free().  Errors:
 * BACKEND_UNAVAILABLE with what was found and why it will not do; the caller goes on with products of its own. */
ZieCublasLt *zie_cublaslt_open (int cc, const char *device_name, GError **error);
void zie_cublaslt_free (ZieCublasLt *self);

/* "cuBLASLt 13.1.0, libcublasLt.so.13"; borrowed. */
const char *zie_cublaslt_describe (const ZieCublasLt *self);

/* Bytes of workspace, device memory aligned to 256 bytes, that a card of that capability should get. */
size_t zie_cublaslt_workspace_size (int cc);

/* Whether zie_cublaslt_gemm() may be asked: rows at multiples of 16 bytes, K and N too; a bias only with f32 results, since
 * the library wants a bias of the result's type. */
gboolean zie_cublaslt_supports (const CudaGemm *g);

/* Launches the product on STREAM.  FALSE, with nothing launched, when the library does not do it: the caller takes another way,
 * and it stays so for this shape.  Allocates (on the host) and asks the library only when it sees a shape for the first time.
 * Sums are fp32; partial sums are joined in fp32, so that a result is rounded once. */
gboolean zie_cublaslt_gemm (ZieCublasLt *self, CudaStream stream, const CudaGemm *g, void *workspace, size_t workspace_size);

/* Chooses the algorithm of a large product (from 5 GFLOP on) by timing, once for each shape on a machine: the choice is kept in a
 * file.  To be called before zie_cublaslt_gemm() of the same product; y is overwritten, and x and w should hold numbers as
 * they will be.  Where there is nothing to do (small, known, unsupported) it returns at once; else it runs the product up to
 * 32 times and waits for the stream, which must not be capturing.  FALSE when timing failed: the first choice stays.
 *
 * An algorithm decides the order of sums, so without this the same request could differ in last bits from run to run;
 * where the file cannot be written it still can. */
gboolean zie_cublaslt_tune (ZieCublasLt *self, CudaStream stream, const CudaGemm *g, void *workspace, size_t workspace_size);

/* For checks and benchmarks: forgets what was chosen and takes the library's first suggestion, not looking into the file. */
void zie_cublaslt_forget (ZieCublasLt *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieCublasLt, zie_cublaslt_free)
