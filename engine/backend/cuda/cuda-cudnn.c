/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cuda"

#include "cuda-cudnn.h"

#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* What of cuDNN 9's graph interface (cudnn_graph.h, its documentation) is used: numbers are part of its binary interface. */
enum { FIRST_VERSION = 91400 };
enum
{
  DESC_CONVOLUTION = 1, DESC_ENGINE_CONFIG = 3, DESC_HEURISTIC = 4, DESC_PLAN = 5, DESC_OP_CONVOLUTION = 10, DESC_GRAPH = 15,
  DESC_VARIANT_PACK = 16, DESC_TENSOR = 17, DESC_OP_SDPA = 41,
};
enum { TYPE_HANDLE, TYPE_DATA_TYPE, TYPE_BOOLEAN, TYPE_INT64, TYPE_FLOAT, TYPE_POINTER = 6, TYPE_CONV_MODE = 7, TYPE_HEUR_MODE = 8,
       TYPE_DESCRIPTOR = 15 };
enum
{
  CONV_COMPUTE = 100, CONV_MODE, CONV_DILATIONS, CONV_STRIDES, CONV_POST_PADDINGS, CONV_PRE_PADDINGS, CONV_DIMS,
  HEUR_MODE = 200, HEUR_GRAPH, HEUR_RESULTS,
  PLAN_HANDLE = 400, PLAN_CONFIG, PLAN_WORKSPACE,
  OP_CONV_ALPHA = 700, OP_CONV_BETA, OP_CONV_DESC, OP_CONV_W, OP_CONV_X, OP_CONV_Y,
  GRAPH_HANDLE = 800, GRAPH_OPS,
  TENSOR_ALIGNMENT = 900, TENSOR_TYPE, TENSOR_DIMS, TENSOR_STRIDES, TENSOR_ID = 906, TENSOR_BY_VALUE = 908,
  PACK_IDS = 1000, PACK_POINTERS, PACK_WORKSPACE = 1003,
  OP_SDPA_Q = 2800, OP_SDPA_K, OP_SDPA_V, OP_SDPA_O, OP_SDPA_SCALE = 2805,
};
enum { DATA_F32 = 0, DATA_BF16 = 9, MODE_CROSS_CORRELATION = 1, HEURISTIC_A = 3 };

#define MAX_DESCRIPTORS 32
#define MAX_CONFIGS 4            /* plans that are timed: they are in the order of the heuristic's hope */
#define MAX_TENSORS 5
#define N_RUNS 15                 /* the median of them, after as many to warm up */
#define FILL_SIZE ((gsize)4 << 20)

typedef void *Descriptor;

struct _CudaCudnn
{
  cudaStream_t stream;
  void *library, *handle;
  gsize (*version) (void);
  int (*create) (void **handle);
  int (*destroy) (void *handle);
  int (*set_stream) (void *handle, cudaStream_t stream);
  int (*new_descriptor) (int type, Descriptor *descriptor);
  int (*free_descriptor) (Descriptor descriptor);
  int (*set) (Descriptor descriptor, int name, int type, gint64 n, const void *values);
  int (*get) (Descriptor descriptor, int name, int type, gint64 max, gint64 *n, void *values);
  int (*finalize) (Descriptor descriptor);
  int (*execute) (void *handle, Descriptor plan, Descriptor pack);

  /* Of the op that is being timed. */
  gboolean has_failed;
  Descriptor descriptors[MAX_DESCRIPTORS];
  guint n_descriptors;
  void *memory[MAX_TENSORS];     /* device; by id - 1 */
  float scale;                   /* of attention: a tensor in host memory */
};

void
cuda_cudnn_close (CudaCudnn *self)
{
  if (self->handle != NULL)
    self->destroy (self->handle);
  dlclose (self->library);
  g_free (self);
}

CudaCudnn *
cuda_cudnn_open (cudaStream_t stream)
{
  void *library = dlopen ("libcudnn.so.9", RTLD_LAZY | RTLD_LOCAL);
  CudaCudnn *self;

  if (library == NULL)
    return NULL;
  self = g_new0 (CudaCudnn, 1);
  self->library = library;
  self->stream = stream;

  const struct { const char *name; void **to; } entries[] = {
    { "cudnnGetVersion", (void **)&self->version },
    { "cudnnCreate", (void **)&self->create },
    { "cudnnDestroy", (void **)&self->destroy },
    { "cudnnSetStream", (void **)&self->set_stream },
    { "cudnnBackendCreateDescriptor", (void **)&self->new_descriptor },
    { "cudnnBackendDestroyDescriptor", (void **)&self->free_descriptor },
    { "cudnnBackendSetAttribute", (void **)&self->set },
    { "cudnnBackendGetAttribute", (void **)&self->get },
    { "cudnnBackendFinalize", (void **)&self->finalize },
    { "cudnnBackendExecute", (void **)&self->execute },
  };
  gboolean is_whole = TRUE;

  for (guint i = 0; i < G_N_ELEMENTS (entries); i++)
    is_whole &= (*entries[i].to = dlsym (library, entries[i].name)) != NULL;
  if (!is_whole || self->version () < FIRST_VERSION || self->create (&self->handle) != 0 || self->set_stream (self->handle, stream) != 0)
    {
      cuda_cudnn_close (self);
      return NULL;
    }
  return self;
}

/* --- descriptors: after the first failure all of these do nothing --- */

static Descriptor
new_descriptor (CudaCudnn *self, int type)
{
  Descriptor descriptor = NULL;

  if (self->has_failed || self->n_descriptors == MAX_DESCRIPTORS || self->new_descriptor (type, &descriptor) != 0)
    {
      self->has_failed = TRUE;
      return NULL;
    }
  return self->descriptors[self->n_descriptors++] = descriptor;
}

static void
set (CudaCudnn *self, Descriptor descriptor, int name, int type, gint64 n, const void *values)
{
  if (!self->has_failed)
    self->has_failed = self->set (descriptor, name, type, n, values) != 0;
}

static void
set_int (CudaCudnn *self, Descriptor descriptor, int name, int type, int value)
{
  set (self, descriptor, name, type, 1, &value);
}

static void
set_descriptor (CudaCudnn *self, Descriptor descriptor, int name, Descriptor value)
{
  set (self, descriptor, name, TYPE_DESCRIPTOR, 1, &value);
}

static void
finalize (CudaCudnn *self, Descriptor descriptor)
{
  if (!self->has_failed)
    self->has_failed = self->finalize (descriptor) != 0;
}

/* Random bf16 in ±(1, 2) * 2^-6: equal numbers take the card less power, and it would run faster than it does on real ones. */
static cudaError_t
fill (CudaCudnn *self, guint8 *memory, gsize size)
{
  g_autofree guint16 *numbers = g_new (guint16, FILL_SIZE / sizeof (guint16));
  guint32 state = 1;
  cudaError_t code = cudaSuccess;

  for (gsize i = 0; i < FILL_SIZE / sizeof (guint16); i++)
    {
      state = state * 1664525u + 1013904223u;
      numbers[i] = (guint16)(0x3c80 | (state >> 9 & 0x807f));
    }
  for (gsize at = 0; at < size && code == cudaSuccess; at += FILL_SIZE)
    code = cudaMemcpyAsync (memory + at, numbers, MIN (FILL_SIZE, size - at), cudaMemcpyHostToDevice, self->stream);
  return cudaStreamSynchronize (self->stream) == cudaSuccess ? code : cudaErrorUnknown;
}

/* A tensor of four dimensions with memory of its own. */
static Descriptor
new_tensor (CudaCudnn *self, gint64 id, const gint64 dims[4], const gint64 strides[4])
{
  Descriptor tensor = new_descriptor (self, DESC_TENSOR);
  gint64 alignment = 16, size = (gint64)sizeof (guint16);

  set_int (self, tensor, TENSOR_TYPE, TYPE_DATA_TYPE, DATA_BF16);
  set (self, tensor, TENSOR_DIMS, TYPE_INT64, 4, dims);
  set (self, tensor, TENSOR_STRIDES, TYPE_INT64, 4, strides);
  set (self, tensor, TENSOR_ID, TYPE_INT64, 1, &id);
  set (self, tensor, TENSOR_ALIGNMENT, TYPE_INT64, 1, &alignment);
  finalize (self, tensor);

  for (int i = 0; i < 4; i++)
    size *= dims[i];
  if (!self->has_failed)
    self->has_failed = cudaMalloc (&self->memory[id - 1], (gsize)size) != cudaSuccess
                       || fill (self, self->memory[id - 1], (gsize)size) != cudaSuccess;
  return tensor;
}

static Descriptor
new_conv (CudaCudnn *self, const ZieOpShape *shape)
{
  gint64 w = shape->w, h = shape->m / shape->w, in = shape->channels, out = shape->n, k = shape->ksize;
  gint64 in_w = w * shape->stride, in_h = h * shape->stride;
  gint64 pad[2] = { k / 2, k / 2 }, ones[2] = { 1, 1 }, strides[2] = { shape->stride, shape->stride }, n_dims = 2;
  const float alpha = 1, beta = 0;
  Descriptor x = new_tensor (self, 1, (gint64[]) { 1, in, in_h, in_w }, (gint64[]) { in * in_h * in_w, 1, in_w * in, in });
  Descriptor weight = new_tensor (self, 2, (gint64[]) { out, in, k, k }, (gint64[]) { k * k * in, 1, k * in, in });
  Descriptor y = new_tensor (self, 3, (gint64[]) { 1, out, h, w }, (gint64[]) { out * h * w, 1, w * out, out });
  Descriptor conv = new_descriptor (self, DESC_CONVOLUTION), op;

  set (self, conv, CONV_DIMS, TYPE_INT64, 1, &n_dims);
  set_int (self, conv, CONV_COMPUTE, TYPE_DATA_TYPE, DATA_F32);
  set_int (self, conv, CONV_MODE, TYPE_CONV_MODE, MODE_CROSS_CORRELATION);
  set (self, conv, CONV_PRE_PADDINGS, TYPE_INT64, 2, pad);
  set (self, conv, CONV_POST_PADDINGS, TYPE_INT64, 2, pad);
  set (self, conv, CONV_DILATIONS, TYPE_INT64, 2, ones);
  set (self, conv, CONV_STRIDES, TYPE_INT64, 2, strides);
  finalize (self, conv);

  op = new_descriptor (self, DESC_OP_CONVOLUTION);
  set_descriptor (self, op, OP_CONV_X, x);
  set_descriptor (self, op, OP_CONV_W, weight);
  set_descriptor (self, op, OP_CONV_Y, y);
  set_descriptor (self, op, OP_CONV_DESC, conv);
  set (self, op, OP_CONV_ALPHA, TYPE_FLOAT, 1, &alpha);
  set (self, op, OP_CONV_BETA, TYPE_FLOAT, 1, &beta);
  finalize (self, op);
  return op;
}

static Descriptor
new_attention (CudaCudnn *self, const ZieOpShape *shape)
{
  gint64 d = shape->k, h = shape->heads, h_kv = shape->kv_heads, one[4] = { 1, 1, 1, 1 }, id = 5;
  gint64 q_dims[4] = { 1, h, shape->m, d }, q_strides[4] = { shape->m * h * d, d, h * d, 1 };
  gint64 k_dims[4] = { 1, h_kv, shape->n, d }, k_strides[4] = { shape->n * h_kv * d, d, h_kv * d, 1 };
  Descriptor q = new_tensor (self, 1, q_dims, q_strides), k = new_tensor (self, 2, k_dims, k_strides);
  Descriptor v = new_tensor (self, 3, k_dims, k_strides), o = new_tensor (self, 4, q_dims, q_strides);
  Descriptor scale = new_descriptor (self, DESC_TENSOR), op;
  gint64 alignment = 16;
  const bool by_value = true;

  set_int (self, scale, TENSOR_TYPE, TYPE_DATA_TYPE, DATA_F32);
  set (self, scale, TENSOR_DIMS, TYPE_INT64, 4, one);
  set (self, scale, TENSOR_STRIDES, TYPE_INT64, 4, one);
  set (self, scale, TENSOR_ID, TYPE_INT64, 1, &id);
  set (self, scale, TENSOR_ALIGNMENT, TYPE_INT64, 1, &alignment);
  set (self, scale, TENSOR_BY_VALUE, TYPE_BOOLEAN, 1, &by_value);
  finalize (self, scale);
  self->scale = 1.0f / sqrtf ((float)d);

  op = new_descriptor (self, DESC_OP_SDPA);
  set_descriptor (self, op, OP_SDPA_Q, q);
  set_descriptor (self, op, OP_SDPA_K, k);
  set_descriptor (self, op, OP_SDPA_V, v);
  set_descriptor (self, op, OP_SDPA_O, o);
  set_descriptor (self, op, OP_SDPA_SCALE, scale);
  finalize (self, op);
  return op;
}

/* --- running --- */

static int
compare_floats (const void *a, const void *b)
{
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* The median of a few runs in seconds; 0: it does not run. */
static double
time_plan (CudaCudnn *self, Descriptor plan, gint64 n_tensors)
{
  gint64 ids[MAX_TENSORS] = { 1, 2, 3, 4, 5 }, workspace_size = 0, n = 0;
  void *pointers[MAX_TENSORS], *workspace = NULL;
  Descriptor pack = NULL;
  cudaEvent_t from = NULL, to = NULL;
  float ms[N_RUNS] = { 0 };
  gboolean ok;

  for (int i = 0; i < MAX_TENSORS; i++)
    pointers[i] = self->memory[i];
  pointers[4] = &self->scale;
  ok = self->get (plan, PLAN_WORKSPACE, TYPE_INT64, 1, &n, &workspace_size) == 0
       && (workspace_size == 0 || cudaMalloc (&workspace, (gsize)workspace_size) == cudaSuccess)
       && cudaEventCreate (&from) == cudaSuccess && cudaEventCreate (&to) == cudaSuccess
       && self->new_descriptor (DESC_VARIANT_PACK, &pack) == 0
       && self->set (pack, PACK_POINTERS, TYPE_POINTER, n_tensors, pointers) == 0
       && self->set (pack, PACK_IDS, TYPE_INT64, n_tensors, ids) == 0
       && self->set (pack, PACK_WORKSPACE, TYPE_POINTER, 1, &workspace) == 0 && self->finalize (pack) == 0;

  for (int i = 0; ok && i < N_RUNS; i++)
    ok = self->execute (self->handle, plan, pack) == 0;
  for (int i = 0; ok && i < N_RUNS; i++)
    ok = cudaEventRecord (from, self->stream) == cudaSuccess && self->execute (self->handle, plan, pack) == 0
         && cudaEventRecord (to, self->stream) == cudaSuccess && cudaEventSynchronize (to) == cudaSuccess
         && cudaEventElapsedTime (&ms[i], from, to) == cudaSuccess;

  cudaStreamSynchronize (self->stream);
  if (pack != NULL)
    self->free_descriptor (pack);
  if (from != NULL)
    cudaEventDestroy (from);
  if (to != NULL)
    cudaEventDestroy (to);
  cudaFree (workspace);
  qsort (ms, N_RUNS, sizeof ms[0], compare_floats);
  return ok ? ms[N_RUNS / 2] / 1e3 : 0;
}

static double
time_best (CudaCudnn *self, Descriptor op, gint64 n_tensors)
{
  Descriptor graph = new_descriptor (self, DESC_GRAPH), heuristic, configs[MAX_CONFIGS];
  double best = 0;
  gint64 n = 0;

  set (self, graph, GRAPH_HANDLE, TYPE_HANDLE, 1, &self->handle);
  set_descriptor (self, graph, GRAPH_OPS, op);
  finalize (self, graph);
  heuristic = new_descriptor (self, DESC_HEURISTIC);
  set_descriptor (self, heuristic, HEUR_GRAPH, graph);
  set_int (self, heuristic, HEUR_MODE, TYPE_HEUR_MODE, HEURISTIC_A);
  finalize (self, heuristic);
  for (int i = 0; i < MAX_CONFIGS; i++)
    configs[i] = new_descriptor (self, DESC_ENGINE_CONFIG);
  if (self->has_failed || self->get (heuristic, HEUR_RESULTS, TYPE_DESCRIPTOR, MAX_CONFIGS, &n, configs) != 0)
    return 0;

  for (gint64 i = 0; i < MIN (n, MAX_CONFIGS); i++)
    {
      Descriptor plan = new_descriptor (self, DESC_PLAN);
      double seconds;

      set (self, plan, PLAN_HANDLE, TYPE_HANDLE, 1, &self->handle);
      set_descriptor (self, plan, PLAN_CONFIG, configs[i]);
      if (self->has_failed)
        break;
      if (self->finalize (plan) == 0 && (seconds = time_plan (self, plan, n_tensors)) > 0)
        best = best > 0 ? MIN (best, seconds) : seconds;
    }
  return best;
}

double
cuda_cudnn_time (CudaCudnn *self, const ZieOpShape *shape)
{
  double seconds = 0;

  self->has_failed = FALSE;
  if (shape->kind == ZIE_OP_CONV)
    seconds = time_best (self, new_conv (self, shape), 3);
  else if (shape->kind == ZIE_OP_ATTENTION && !shape->causal)
    seconds = time_best (self, new_attention (self, shape), 5);

  while (self->n_descriptors > 0)
    self->free_descriptor (self->descriptors[--self->n_descriptors]);
  for (int i = 0; i < MAX_TENSORS; i++)
    {
      cudaFree (self->memory[i]);
      self->memory[i] = NULL;
    }
  cudaGetLastError ();                           /* what it lacked memory for is no failure of the next op */
  return seconds;
}
