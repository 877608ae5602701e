/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <zie/zie-version.h>

G_BEGIN_DECLS

typedef struct _ZieEngine ZieEngine;
typedef struct _ZieModel ZieModel;
typedef struct _ZieJob ZieJob;
typedef struct _ZiePlan ZiePlan;
typedef struct _ZieImage ZieImage;
typedef struct _ZieRequest ZieRequest;
typedef struct _ZieEvent ZieEvent;
typedef struct _ZieDevice ZieDevice;

typedef enum
{
  ZIE_BACKEND_AUTO,   /* the fastest that is there */
  ZIE_BACKEND_REF,    /* plain loops: the specification of every op */
  ZIE_BACKEND_CPU,
  ZIE_BACKEND_CUDA,
} ZieBackendKind;

/* Arithmetic of the large products.  AUTO: bf16 where the machine has matrix units for it, else f32. */
typedef enum
{
  ZIE_COMPUTE_AUTO,
  ZIE_COMPUTE_F32,
  ZIE_COMPUTE_BF16,
} ZieCompute;

typedef enum
{
  ZIE_STAGE_TEXT,     /* prompt to embeddings */
  ZIE_STAGE_REFINE,   /* what depends on the prompt or the schedule alone: context refiner, modulation */
  ZIE_STAGE_SAMPLE,   /* the steps */
  ZIE_STAGE_DECODE,   /* latent to pixels */
  ZIE_N_STAGES
} ZieStage;

typedef enum
{
  ZIE_NOISE_CPU,      /* torch.Generator("cpu"): MT19937; also ComfyUI's on every device */
  ZIE_NOISE_CUDA,     /* torch.Generator("cuda"): Philox */
} ZieNoise;

typedef enum
{
  ZIE_SAMPLER_EULER,
  ZIE_SAMPLER_HEUN,             /* two passes a step, but for the last */
  ZIE_SAMPLER_DPMPP_2M,
  ZIE_SAMPLER_DPMPP_2M_SDE,     /* adds noise of its own after each step, from the request's generator */
  ZIE_SAMPLER_RES_MULTISTEP,
  ZIE_N_SAMPLERS
} ZieSampler;

/* How the latent becomes pixels. */
typedef enum
{
  ZIE_DECODE_EXACT,             /* as in one piece, however it is cut to save memory */
  ZIE_DECODE_BLEND,             /* in tiles that are blended into each other, as scripts do */
} ZieDecode;

/* Stable lower-case names ("text", "cpu", "euler" …), for logs, JSON and options.  Static strings. */
ZIE_API const char *zie_stage_name (ZieStage stage);
ZIE_API const char *zie_backend_kind_name (ZieBackendKind kind);
ZIE_API const char *zie_compute_name (ZieCompute compute);
ZIE_API const char *zie_noise_name (ZieNoise noise);
ZIE_API const char *zie_decode_name (ZieDecode decode);
ZIE_API const char *zie_sampler_name (ZieSampler sampler);
/* As people and other programs write it: "DPM++ 2M SDE".  Static string. */
ZIE_API const char *zie_sampler_title (ZieSampler sampler);
/* The other way; FALSE and *out untouched when NAME is none of them. */
ZIE_API gboolean zie_backend_kind_from_name (const char *name, ZieBackendKind *out);
/* "cuda", or "cuda:1" for one of several devices; *INDEX is 0 without a number. */
ZIE_API gboolean zie_device_from_name (const char *name, ZieBackendKind *out, int *index);
ZIE_API gboolean zie_compute_from_name (const char *name, ZieCompute *out);
ZIE_API gboolean zie_noise_from_name (const char *name, ZieNoise *out);
ZIE_API gboolean zie_decode_from_name (const char *name, ZieDecode *out);
ZIE_API gboolean zie_sampler_from_name (const char *name, ZieSampler *out);

G_END_DECLS
