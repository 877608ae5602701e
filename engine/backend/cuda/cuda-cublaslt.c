/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cuda"

#include "cuda-cublaslt.h"

#include <dlfcn.h>
#include <string.h>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <zie/zie-error.h>

#include "cuda-algorithms.h"

#define MIN_VERSION 120400
#define MIN_VERSION_BLACKWELL 120800     /* the first that knows compute capability 12.0 */
#define MAX_PRODUCTS 512                 /* shapes in the table; then it begins anew */
#define N_CANDIDATES 8
#define N_ROUNDS 3
#define TUNE_FLOPS 5e9
#define ALIGNMENT 16

G_STATIC_ASSERT (sizeof (cublasLtMatmulAlgo_t) == CUDA_ALGORITHM_SIZE);

typedef struct
{
  cublasStatus_t (*create) (cublasLtHandle_t *);
  cublasStatus_t (*destroy) (cublasLtHandle_t);
  size_t (*get_version) (void);
  const char *(*status_string) (cublasStatus_t);
  cublasStatus_t (*desc_create) (cublasLtMatmulDesc_t *, cublasComputeType_t, cudaDataType_t);
  cublasStatus_t (*desc_destroy) (cublasLtMatmulDesc_t);
  cublasStatus_t (*desc_set) (cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t, const void *, size_t);
  cublasStatus_t (*layout_create) (cublasLtMatrixLayout_t *, cudaDataType, uint64_t, uint64_t, int64_t);
  cublasStatus_t (*layout_destroy) (cublasLtMatrixLayout_t);
  cublasStatus_t (*preference_create) (cublasLtMatmulPreference_t *);
  cublasStatus_t (*preference_destroy) (cublasLtMatmulPreference_t);
  cublasStatus_t (*preference_set) (cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t, const void *, size_t);
  cublasStatus_t (*get_heuristic) (cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                   cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int,
                                   cublasLtMatmulHeuristicResult_t *, int *);
  cublasStatus_t (*check) (cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                           cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t *,
                           cublasLtMatmulHeuristicResult_t *);
  cublasStatus_t (*matmul) (cublasLtHandle_t, cublasLtMatmulDesc_t, const void *, const void *, cublasLtMatrixLayout_t,
                            const void *, cublasLtMatrixLayout_t, const void *, const void *, cublasLtMatrixLayout_t, void *,
                            cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t *, void *, size_t, cudaStream_t);
} Functions;

static const struct { const char *name; gsize offset; } functions[] = {
  { "cublasLtCreate", G_STRUCT_OFFSET (Functions, create) },
  { "cublasLtDestroy", G_STRUCT_OFFSET (Functions, destroy) },
  { "cublasLtGetVersion", G_STRUCT_OFFSET (Functions, get_version) },
  { "cublasLtGetStatusString", G_STRUCT_OFFSET (Functions, status_string) },
  { "cublasLtMatmulDescCreate", G_STRUCT_OFFSET (Functions, desc_create) },
  { "cublasLtMatmulDescDestroy", G_STRUCT_OFFSET (Functions, desc_destroy) },
  { "cublasLtMatmulDescSetAttribute", G_STRUCT_OFFSET (Functions, desc_set) },
  { "cublasLtMatrixLayoutCreate", G_STRUCT_OFFSET (Functions, layout_create) },
  { "cublasLtMatrixLayoutDestroy", G_STRUCT_OFFSET (Functions, layout_destroy) },
  { "cublasLtMatmulPreferenceCreate", G_STRUCT_OFFSET (Functions, preference_create) },
  { "cublasLtMatmulPreferenceDestroy", G_STRUCT_OFFSET (Functions, preference_destroy) },
  { "cublasLtMatmulPreferenceSetAttribute", G_STRUCT_OFFSET (Functions, preference_set) },
  { "cublasLtMatmulAlgoGetHeuristic", G_STRUCT_OFFSET (Functions, get_heuristic) },
  { "cublasLtMatmulAlgoCheck", G_STRUCT_OFFSET (Functions, check) },
  { "cublasLtMatmul", G_STRUCT_OFFSET (Functions, matmul) },
};

/* What an algorithm depends on: all of one type, so that shapes are compared as bytes. */
typedef struct
{
  gint64 m, n, k, ldx, ldw, ldy, y_is_f32, has_bias, workspace_size;
} Shape;

/* Row-major y = x w^T is, in the library's column-major view, y' [n, m] = w'^T [n, k] x' [k, m]: its A is w, its B is x. */
typedef struct
{
  Shape shape;
  gboolean works, is_tuned;
  cublasLtMatmulDesc_t desc;             /* these four are owned */
  cublasLtMatrixLayout_t a, b, d;
  cublasLtMatmulAlgo_t algorithm;
} Product;

struct _ZieCublasLt
{
  Functions f;
  cublasLtHandle_t handle;               /* owned */
  char *device_name, *description;       /* owned */
  size_t version;
  gboolean is_forgetful;
  CudaAlgorithms *algorithms;            /* owned */
  GHashTable *products;                  /* of Product by its Shape; owned */
};

/* --- opening --- */

static void
add_folder (GPtrArray *folders, const char *root, const char *below)
{
  if (root != NULL && g_path_is_absolute (root))
    g_ptr_array_add (folders, g_build_filename (root, below, NULL));
}

static int
compare_newest_first (gconstpointer a, gconstpointer b)
{
  return -g_strcmp0 (*(char *const *)a, *(char *const *)b);
}

/* Folders where toolkits are; the empty one is the loader's search. */
static GPtrArray *
list_folders (void)
{
  static const char *const variables[] = { "CUDA_HOME", "CUDA_PATH" };
  static const char *const below[] = { "lib64", "lib", "targets/x86_64-linux/lib" };
  GPtrArray *folders = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GPtrArray) versions = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GDir) dir = g_dir_open ("/usr/local", 0, NULL);
  const char *name;

  g_ptr_array_add (folders, g_strdup (""));
  for (guint v = 0; v < G_N_ELEMENTS (variables); v++)
    for (guint i = 0; i < G_N_ELEMENTS (below); i++)
      add_folder (folders, g_getenv (variables[v]), below[i]);
  add_folder (folders, "/usr/local/cuda", "lib64");
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, "cuda-"))
      g_ptr_array_add (versions, g_build_filename ("/usr/local", name, "lib64", NULL));
  g_ptr_array_sort (versions, compare_newest_first);
  for (guint i = 0; i < versions->len; i++)
    g_ptr_array_add (folders, g_strdup (g_ptr_array_index (versions, i)));
  add_folder (folders, "/opt/cuda", "lib64");
  return folders;
}

static gboolean
load_functions (Functions *f, void *library, const char *path, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    {
      void *symbol = dlsym (library, functions[i].name);

      if (symbol == NULL)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE, "%s has no %s", path, functions[i].name);
          return FALSE;
        }
      memcpy ((guint8 *)f + functions[i].offset, &symbol, sizeof symbol);
    }
  return TRUE;
}

/* Whether the library at PATH will do; then SELF has its functions and a handle. */
static gboolean
take_library (ZieCublasLt *self, void *library, const char *path, int cc, GError **error)
{
  size_t wanted = cc >= 120 ? MIN_VERSION_BLACKWELL : MIN_VERSION;
  cublasStatus_t status;

  if (!load_functions (&self->f, library, path, error))
    return FALSE;
  self->version = self->f.get_version ();
  if (self->version < wanted)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE,
                   "%s is version %" G_GSIZE_FORMAT ".%" G_GSIZE_FORMAT ", this card needs %" G_GSIZE_FORMAT ".%" G_GSIZE_FORMAT
                   " or newer", path, self->version / 10000, self->version / 100 % 100, wanted / 10000, wanted / 100 % 100);
      return FALSE;
    }
  status = self->f.create (&self->handle);
  if (status != CUBLAS_STATUS_SUCCESS)
    {
      self->handle = NULL;
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE, "%s could not be started: %s", path,
                   self->f.status_string (status));
      return FALSE;
    }
  self->description = g_strdup_printf ("cuBLASLt %" G_GSIZE_FORMAT ".%" G_GSIZE_FORMAT ".%" G_GSIZE_FORMAT ", %s",
                                       self->version / 10000, self->version / 100 % 100, self->version % 100, path);
  return TRUE;
}

/* The first library that will do.  Each is opened for good: its threads and its part of the driver's state do not bear to be
 * unloaded. */
static gboolean
find_library (ZieCublasLt *self, int cc, GError **error)
{
  static const char *const names[] = { "libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so" };
  g_autoptr(GPtrArray) folders = list_folders (), tried = g_ptr_array_new ();
  g_autoptr(GError) first = NULL;

  for (guint n = 0; n < G_N_ELEMENTS (names); n++)
    for (guint i = 0; i < folders->len; i++)
      {
        const char *folder = g_ptr_array_index (folders, i);
        g_autofree char *path = folder[0] ? g_build_filename (folder, names[n], NULL) : g_strdup (names[n]);
        g_autoptr(GError) reason = NULL;
        void *library;

        if (folder[0] && !g_file_test (path, G_FILE_TEST_EXISTS))
          continue;
        if ((library = dlopen (path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) == NULL
            || g_ptr_array_find (tried, library, NULL))              /* the same file by another name */
          continue;
        g_ptr_array_add (tried, library);
        if (take_library (self, library, path, cc, &reason))
          return TRUE;
        g_debug ("cublaslt: %s", reason->message);
        if (first == NULL)
          first = g_steal_pointer (&reason);
      }

  if (first != NULL)
    g_propagate_error (error, g_steal_pointer (&first));
  else
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE,
                 "libcublasLt.so.13 or .12 was not found by the loader, below CUDA_HOME, CUDA_PATH, /usr/local/cuda* or /opt/cuda");
  return FALSE;
}

static guint
hash_shape (gconstpointer data)
{
  const guint8 *bytes = data;
  guint hash = 2166136261u;

  for (gsize i = 0; i < sizeof (Shape); i++)
    hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

static gboolean
equal_shapes (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (Shape)) == 0;
}

static void
product_free (ZieCublasLt *self, Product *product)
{
  if (product->d != NULL)
    self->f.layout_destroy (product->d);
  if (product->b != NULL)
    self->f.layout_destroy (product->b);
  if (product->a != NULL)
    self->f.layout_destroy (product->a);
  if (product->desc != NULL)
    self->f.desc_destroy (product->desc);
  g_free (product);
}

static void
clear_products (ZieCublasLt *self)
{
  GHashTableIter iter;
  gpointer product;

  g_hash_table_iter_init (&iter, self->products);
  while (g_hash_table_iter_next (&iter, NULL, &product))
    product_free (self, product);
  g_hash_table_remove_all (self->products);
}

ZieCublasLt *
zie_cublaslt_open (int cc, const char *device_name, GError **error)
{
  g_autoptr(ZieCublasLt) self = g_new0 (ZieCublasLt, 1);

  self->products = g_hash_table_new (hash_shape, equal_shapes);
  if (!find_library (self, cc, error))
    return NULL;
  self->device_name = g_strdup (device_name);
  self->algorithms = cuda_algorithms_new (NULL);
  return g_steal_pointer (&self);
}

void
zie_cublaslt_free (ZieCublasLt *self)
{
  if (self == NULL)
    return;
  clear_products (self);
  g_hash_table_unref (self->products);
  if (self->handle != NULL)
    self->f.destroy (self->handle);
  cuda_algorithms_free (self->algorithms);
  g_free (self->device_name);
  g_free (self->description);
  g_free (self);
}

const char *
zie_cublaslt_describe (const ZieCublasLt *self)
{
  return self->description;
}

size_t
zie_cublaslt_workspace_size (int cc)
{
  return (size_t)(cc / 10 == 9 ? 32 : 8) << 20;
}

/* --- products --- */

static gboolean
is_aligned (const void *p, gint64 ld, gsize element)
{
  return (guintptr)p % ALIGNMENT == 0 && (gsize)ld * element % ALIGNMENT == 0;
}

gboolean
zie_cublaslt_supports (const CudaGemm *g)
{
  return g->m > 0 && g->n > 0 && g->k > 0 && g->k % 8 == 0 && g->n % 8 == 0 && is_aligned (g->x, g->ldx, 2)
         && is_aligned (g->w, g->ldw, 2) && is_aligned (g->y, g->ldy, g->y_is_f32 ? 4 : 2)
         && (g->bias == NULL || (g->y_is_f32 && is_aligned (g->bias, 0, 4)));
}

/* The file's name for a product. */
static char *
product_key (const ZieCublasLt *self, const Shape *s)
{
  return g_strdup_printf ("%s %" G_GSIZE_FORMAT " m%" G_GINT64_FORMAT " n%" G_GINT64_FORMAT " k%" G_GINT64_FORMAT
                          " ld %" G_GINT64_FORMAT " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT " bf16 %s%s workspace %" G_GINT64_FORMAT,
                          self->device_name, self->version, s->m, s->n, s->k, s->ldx, s->ldw, s->ldy,
                          s->y_is_f32 ? "f32" : "bf16", s->has_bias ? " bias" : "", s->workspace_size);
}

static gboolean
describe_product (const ZieCublasLt *self, Product *p)
{
  const Shape *s = &p->shape;
  cublasOperation_t transposed = CUBLAS_OP_T, plain = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = s->has_bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  cudaDataType type = s->y_is_f32 ? CUDA_R_32F : CUDA_R_16BF;
  const void *some_bias = s->has_bias ? (const void *)(guintptr)ALIGNMENT : NULL;     /* suggestions ask for its alignment */

  return self->f.desc_create (&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS
         && self->f.desc_set (p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed) == CUBLAS_STATUS_SUCCESS
         && self->f.desc_set (p->desc, CUBLASLT_MATMUL_DESC_TRANSB, &plain, sizeof plain) == CUBLAS_STATUS_SUCCESS
         && self->f.desc_set (p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue) == CUBLAS_STATUS_SUCCESS
         && self->f.desc_set (p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &some_bias, sizeof some_bias) == CUBLAS_STATUS_SUCCESS
         && self->f.layout_create (&p->a, CUDA_R_16BF, (uint64_t)s->k, (uint64_t)s->n, s->ldw) == CUBLAS_STATUS_SUCCESS
         && self->f.layout_create (&p->b, CUDA_R_16BF, (uint64_t)s->k, (uint64_t)s->m, s->ldx) == CUBLAS_STATUS_SUCCESS
         && self->f.layout_create (&p->d, type, (uint64_t)s->n, (uint64_t)s->m, s->ldy) == CUBLAS_STATUS_SUCCESS;
}

/* The library's suggestions for P, the likeliest first: how many, at most N. */
static int
ask_candidates (const ZieCublasLt *self, const Product *p, cublasLtMatmulHeuristicResult_t *results, int n)
{
  /* Partial sums in bf16 would round twice. */
  guint32 alignment = ALIGNMENT, reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  guint64 workspace_size = (guint64)p->shape.workspace_size;
  cublasLtMatmulPreference_t preference;
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  int found = 0, n_good = 0;

  if (self->f.preference_create (&preference) != CUBLAS_STATUS_SUCCESS)
    return 0;
  status = self->f.preference_set (preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_size, sizeof workspace_size);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = self->f.preference_set (preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction);
  for (int i = CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES; i <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES; i++)
    if (status == CUBLAS_STATUS_SUCCESS)
      status = self->f.preference_set (preference, (cublasLtMatmulPreferenceAttributes_t)i, &alignment, sizeof alignment);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = self->f.get_heuristic (self->handle, p->desc, p->a, p->b, p->d, p->d, preference, n, results, &found);
  self->f.preference_destroy (preference);
  if (status != CUBLAS_STATUS_SUCCESS)
    return 0;

  for (int i = 0; i < found; i++)
    if (results[i].state == CUBLAS_STATUS_SUCCESS && results[i].workspaceSize <= workspace_size)
      results[n_good++] = results[i];
  return n_good;
}

/* The algorithm of an earlier run, if the library still takes it. */
static gboolean
recall_algorithm (const ZieCublasLt *self, Product *p)
{
  g_autofree char *key = product_key (self, &p->shape);
  cublasLtMatmulHeuristicResult_t result;
  cublasLtMatmulAlgo_t algorithm;

  if (self->is_forgetful || !cuda_algorithms_find (self->algorithms, key, (guint8 *)&algorithm))
    return FALSE;
  memset (&result, 0, sizeof result);
  if (self->f.check (self->handle, p->desc, p->a, p->b, p->d, p->d, &algorithm, &result) != CUBLAS_STATUS_SUCCESS
      || result.workspaceSize > (gsize)p->shape.workspace_size)
    {
      g_debug ("cublaslt: the kept algorithm of %s is refused", key);
      return FALSE;
    }
  p->algorithm = algorithm;
  return TRUE;
}

/* P as it is in the table, made when it is new. */
static Product *
find_product (ZieCublasLt *self, const CudaGemm *g, size_t workspace_size)
{
  Shape shape = { g->m, g->n, g->k, g->ldx, g->ldw, g->ldy, g->y_is_f32 != 0, g->bias != NULL, (gint64)workspace_size };
  Product *p = g_hash_table_lookup (self->products, &shape);
  cublasLtMatmulHeuristicResult_t first;

  if (p != NULL)
    return p;
  if (g_hash_table_size (self->products) >= MAX_PRODUCTS)
    clear_products (self);
  p = g_new0 (Product, 1);
  p->shape = shape;
  if (describe_product (self, p))
    {
      if (recall_algorithm (self, p))
        p->works = p->is_tuned = TRUE;
      else if (ask_candidates (self, p, &first, 1) > 0)
        {
          p->algorithm = first.algo;
          p->works = TRUE;
        }
    }
  if (!p->works)
    g_debug ("cublaslt: no algorithm for m=%" G_GINT64_FORMAT " n=%" G_GINT64_FORMAT " k=%" G_GINT64_FORMAT, g->m, g->n, g->k);
  g_hash_table_insert (self->products, &p->shape, p);
  return p;
}

static cublasStatus_t
run_product (const ZieCublasLt *self, const Product *p, const cublasLtMatmulAlgo_t *algorithm, CudaStream stream,
             const CudaGemm *g, void *workspace)
{
  const float one = 1, zero = 0;
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;

  if (g->bias != NULL)
    status = self->f.desc_set (p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &g->bias, sizeof g->bias);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = self->f.matmul (self->handle, p->desc, &one, g->w, p->a, g->x, p->b, &zero, g->y, p->d, g->y, p->d, algorithm,
                             workspace, (size_t)p->shape.workspace_size, (cudaStream_t)stream);
  return status;
}

gboolean
zie_cublaslt_gemm (ZieCublasLt *self, CudaStream stream, const CudaGemm *g, void *workspace, size_t workspace_size)
{
  Product *p;
  cublasStatus_t status;

  if (!zie_cublaslt_supports (g))
    return FALSE;
  p = find_product (self, g, workspace_size);
  if (!p->works)
    return FALSE;
  status = run_product (self, p, &p->algorithm, stream, g, workspace);
  if (status != CUBLAS_STATUS_SUCCESS)
    {
      g_debug ("cublaslt: m=%" G_GINT64_FORMAT " n=%" G_GINT64_FORMAT " k=%" G_GINT64_FORMAT ": %s", g->m, g->n, g->k,
               self->f.status_string (status));
      p->works = FALSE;
    }
  return p->works;
}

/* --- choosing --- */

/* The best time of each candidate in ms, INFINITY where it fails; candidates take turns, so that a card that grows hot is the
 * same to all.  FALSE when the card did not do as it was told. */
static gboolean
time_candidates (const ZieCublasLt *self, const Product *p, const cublasLtMatmulHeuristicResult_t *candidates, int n,
                 CudaStream stream, const CudaGemm *g, void *workspace, float *times)
{
  cudaEvent_t marks[N_CANDIDATES + 1] = { NULL };
  gboolean is_good = TRUE;

  for (int i = 0; i < n; i++)
    times[i] = G_MAXFLOAT;
  for (int i = 0; i <= n && is_good; i++)
    is_good = cudaEventCreate (&marks[i]) == cudaSuccess;

  for (int round = 0; round <= N_ROUNDS && is_good; round++)       /* the first loads kernels: it does not count */
    {
      gboolean has_run[N_CANDIDATES];

      is_good = cudaEventRecord (marks[0], (cudaStream_t)stream) == cudaSuccess;
      for (int i = 0; i < n && is_good; i++)
        {
          has_run[i] = run_product (self, p, &candidates[i].algo, stream, g, workspace) == CUBLAS_STATUS_SUCCESS;
          is_good = cudaEventRecord (marks[i + 1], (cudaStream_t)stream) == cudaSuccess;
        }
      is_good = is_good && cudaEventSynchronize (marks[n]) == cudaSuccess;
      for (int i = 0; i < n && is_good; i++)
        {
          float time;

          is_good = cudaEventElapsedTime (&time, marks[i], marks[i + 1]) == cudaSuccess;
          if (is_good && has_run[i] && round > 0)
            times[i] = MIN (times[i], time);
        }
    }

  for (int i = 0; i <= n; i++)
    if (marks[i] != NULL)
      cudaEventDestroy (marks[i]);
  return is_good;
}

gboolean
zie_cublaslt_tune (ZieCublasLt *self, CudaStream stream, const CudaGemm *g, void *workspace, size_t workspace_size)
{
  double flops = 2.0 * (double)g->m * (double)g->n * (double)g->k;
  cublasLtMatmulHeuristicResult_t candidates[N_CANDIDATES];
  float times[N_CANDIDATES];
  g_autofree char *key = NULL;
  Product *p;
  int n, best = 0;

  if (flops < TUNE_FLOPS || !zie_cublaslt_supports (g))
    return TRUE;
  p = find_product (self, g, workspace_size);
  if (!p->works || p->is_tuned)
    return TRUE;
  p->is_tuned = TRUE;                    /* once, whatever comes of it */

  n = ask_candidates (self, p, candidates, N_CANDIDATES);
  if (n == 0 || !time_candidates (self, p, candidates, n, stream, g, workspace, times))
    return FALSE;
  for (int i = 1; i < n; i++)
    if (times[i] < times[best])
      best = i;
  if (times[best] == G_MAXFLOAT)
    return FALSE;

  key = product_key (self, &p->shape);
  g_debug ("cublaslt: %s: candidate %d of %d, %.4f ms = %.0f TFLOP/s, the first suggestion %.4f ms", key, best + 1, n,
           (double)times[best], flops / (double)times[best] * 1e-9, (double)times[0]);
  p->algorithm = candidates[best].algo;
  if (!self->is_forgetful)
    cuda_algorithms_put (self->algorithms, key, (const guint8 *)&p->algorithm);
  return TRUE;
}

void
zie_cublaslt_forget (ZieCublasLt *self)
{
  clear_products (self);
  self->is_forgetful = TRUE;
}
