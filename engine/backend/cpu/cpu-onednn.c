/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-onednn.h"

#ifdef ZIE_HAVE_ONEDNN

#include <dlfcn.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

#define N_PRODUCTS_MAX 256

/* ---- the two versions of the interface ---- */

/* In 2.x a memory descriptor is a struct and operations have descriptors of their own; in 3.x descriptors are handles. */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t Md;
typedef const_dnnl_memory_desc_t MdRef;
#define MD_REF(md) (md)
#else
typedef dnnl_memory_desc_t Md;
typedef const dnnl_memory_desc_t *MdRef;
#define MD_REF(md) (&(md))
#endif

#define N_DIMS_MAX 4

/* STRIDES NULL: oneDNN chooses the layout. */
static gboolean
md_init (Md *md, int n_dims, const gint64 *sizes, dnnl_data_type_t type, const gint64 *strides)
{
  dnnl_dims_t dims, steps;

  for (int i = 0; i < n_dims; i++)
    {
      dims[i] = sizes[i];
      steps[i] = strides != NULL ? strides[i] : 0;
    }
#if DNNL_VERSION_MAJOR >= 3
  if (strides != NULL)
    return dnnl_memory_desc_create_with_strides (md, n_dims, dims, type, steps) == dnnl_success;
  return dnnl_memory_desc_create_with_tag (md, n_dims, dims, type, dnnl_format_tag_any) == dnnl_success;
#else
  if (strides != NULL)
    return dnnl_memory_desc_init_by_strides (md, n_dims, dims, type, steps) == dnnl_success;
  return dnnl_memory_desc_init_by_tag (md, n_dims, dims, type, dnnl_format_tag_any) == dnnl_success;
#endif
}

static void
md_clear (Md *md)
{
#if DNNL_VERSION_MAJOR >= 3
  if (*md != NULL)
    dnnl_memory_desc_destroy (*md);
  *md = NULL;
#endif
}

static MdRef
query_md (const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
  return dnnl_primitive_desc_query_md (pd, what, 0);
}

static dnnl_status_t
matmul_pd (dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const Md *a, const Md *b, const Md *bias, const Md *c,
           dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_matmul_primitive_desc_create (pd, engine, *a, *b, bias != NULL ? *bias : NULL, *c, attr);
#else
  dnnl_matmul_desc_t desc;
  dnnl_status_t status = dnnl_matmul_desc_init (&desc, a, b, bias, c);

  return status == dnnl_success ? dnnl_primitive_desc_create (pd, &desc, attr, engine, NULL) : status;
#endif
}

static dnnl_status_t
conv_pd (dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const Md *in, const Md *weights, const Md *out, gint64 stride,
         dnnl_primitive_attr_t attr)
{
  dnnl_dims_t strides = { stride, stride }, none = { 0, 0 };
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_convolution_forward_primitive_desc_create (pd, engine, dnnl_forward_inference, dnnl_convolution_direct, *in, *weights,
                                                         NULL, *out, strides, none, none, none, attr);
#else
  dnnl_convolution_desc_t desc;
  dnnl_status_t status = dnnl_convolution_forward_desc_init (&desc, dnnl_forward_inference, dnnl_convolution_direct, in, weights, NULL,
                                                             out, strides, none, none);

  return status == dnnl_success ? dnnl_primitive_desc_create (pd, &desc, attr, engine, NULL) : status;
#endif
}

static dnnl_status_t
append_sum (dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_sum (ops, 1.0f, 0, dnnl_data_type_undef);
#else
  return dnnl_post_ops_append_sum (ops, 1.0f);
#endif
}

/* ---- library and threads ---- */

typedef struct
{
  dnnl_engine_t engine;         /* NULL: not usable */
  gboolean has_bf16, has_amx;
  char text[96];
} Library;

/* The pool divides the work, so oneDNN's own threads are held to one: OpenMP keeps the number per thread.  Looked up at run
 * time, since which OpenMP library comes along is oneDNN's affair. */
static void
use_one_thread (void)
{
  void (*set_num_threads) (int);
  void *symbol = dlsym (RTLD_DEFAULT, "omp_set_num_threads");

  if (symbol == NULL)
    return;
  memcpy (&set_num_threads, &symbol, sizeof symbol);
  set_num_threads (1);
}

static void
library_init (Library *self)
{
  const dnnl_version_t *version = dnnl_version ();
  dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa ();

  /* What was compiled against and what runs must have the same interface, and its threads must be ours to hold back. */
  if (version->major != DNNL_VERSION_MAJOR)
    g_snprintf (self->text, sizeof self->text, "oneDNN %d.%d.%d not used: built for %d.x", version->major, version->minor,
                version->patch, DNNL_VERSION_MAJOR);
  else if (version->cpu_runtime != DNNL_RUNTIME_OMP && version->cpu_runtime != DNNL_RUNTIME_SEQ)
    g_snprintf (self->text, sizeof self->text, "oneDNN %d.%d.%d not used: its threads are not OpenMP's", version->major,
                version->minor, version->patch);
  else if (dnnl_engine_create (&self->engine, dnnl_cpu, 0) != dnnl_success)
    {
      self->engine = NULL;
      g_strlcpy (self->text, "oneDNN not used: it finds no processor", sizeof self->text);
    }
  else
    {
      /* its own table of products would keep a second set alive */
      dnnl_set_primitive_cache_capacity (0);
      self->has_bf16 = (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
      self->has_amx = (isa & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx;
      g_snprintf (self->text, sizeof self->text, "oneDNN %d.%d.%d, %s", version->major, version->minor, version->patch,
                  self->has_amx ? "AMX bf16" : self->has_bf16 ? "AVX-512 bf16" : "no bf16 instructions");
    }
}

static const Library *
get_library (void)
{
  static gsize once;
  static Library library;

  if (g_once_init_enter (&once))
    {
      library_init (&library);
      g_debug ("onednn=\"%s\"", library.text);
      g_once_init_leave (&once, 1);
    }
  return &library;
}

static void
free_stream (gpointer stream)
{
  dnnl_stream_destroy (stream);
}

/* This thread's stream; the first call also holds OpenMP to one thread here. */
static dnnl_stream_t
get_stream (void)
{
  static GPrivate key = G_PRIVATE_INIT (free_stream);
  dnnl_stream_t stream = g_private_get (&key);

  if (stream == NULL)
    {
      use_one_thread ();
      if (dnnl_stream_create (&stream, get_library ()->engine, dnnl_stream_default_flags) != dnnl_success)
        g_error ("oneDNN: out of memory for a stream");
      g_private_set (&key, stream);
    }
  return stream;
}

gboolean
zie_dnn_has_bf16 (void)
{
  return get_library ()->has_bf16;
}

gboolean
zie_dnn_has_amx (void)
{
  return get_library ()->has_amx;
}

const char *
zie_dnn_describe (void)
{
  return get_library ()->text;
}

/* ---- products ---- */

typedef struct
{
  ZieDnnMatmul matmul;          /* compared as bytes, so cleared before it is filled */
  ZieDnnConv conv;
} Key;

struct _ZieDnn
{
  Key key;
  int n_refs;                   /* users; the table itself is none */
  guint64 last_use;
  dnnl_primitive_desc_t pd;
  dnnl_primitive_t primitive;
  Md bias;                      /* valid with key.matmul.has_bias */
};

/* The products made so far. */
static GMutex table_mutex;
static ZieDnn *table[N_PRODUCTS_MAX];
static guint n_products;
static guint64 n_uses;

static void
product_free (ZieDnn *self)
{
  if (self->primitive != NULL)
    dnnl_primitive_destroy (self->primitive);
  if (self->pd != NULL)
    dnnl_primitive_desc_destroy (self->pd);
  md_clear (&self->bias);
  g_free (self);
}

static dnnl_status_t
init_matmul (ZieDnn *self, const ZieDnnMatmul *s, dnnl_engine_t engine, dnnl_primitive_attr_t attr)
{
  const gint64 a_size[] = { s->m, s->k }, b_size[] = { s->k, s->n }, c_size[] = { s->m, s->n }, bias_size[] = { 1, s->n };
  const gint64 a_step[] = { s->lda, 1 }, c_step[] = { s->ldc, 1 }, bias_step[] = { s->n, 1 };
  const gint64 b_step[] = { s->b_is_transposed ? 1 : s->ldb, s->b_is_transposed ? s->ldb : 1 };
  dnnl_status_t status = dnnl_out_of_memory;
  Md a = { 0 }, b = { 0 }, c = { 0 };

  if (md_init (&a, 2, a_size, dnnl_bf16, a_step) && md_init (&b, 2, b_size, dnnl_bf16, b_step)
      && md_init (&c, 2, c_size, dnnl_f32, c_step) && (!s->has_bias || md_init (&self->bias, 2, bias_size, dnnl_f32, bias_step)))
    status = matmul_pd (&self->pd, engine, &a, &b, s->has_bias ? &self->bias : NULL, &c, attr);

  md_clear (&a);
  md_clear (&b);
  md_clear (&c);
  return status;
}

static dnnl_status_t
init_conv (ZieDnn *self, const ZieDnnConv *s, dnnl_engine_t engine, dnnl_primitive_attr_t attr)
{
  const gint64 in_size[] = { 1, s->n_in, s->in_h, s->in_w }, out_size[] = { 1, s->n_out, s->out_h, s->out_w };
  const gint64 in_step[] = { s->in_h * s->in_w * s->n_in, 1, s->in_w * s->n_in, s->n_in };
  const gint64 out_step[] = { s->out_h * s->out_w * s->n_out, 1, s->out_w * s->n_out, s->n_out };
  const gint64 weights_size[] = { s->n_out, s->n_in, s->ksize, s->ksize };
  dnnl_status_t status = dnnl_out_of_memory;
  Md in = { 0 }, weights = { 0 }, out = { 0 };

  if (md_init (&in, 4, in_size, dnnl_bf16, in_step) && md_init (&weights, 4, weights_size, dnnl_bf16, NULL)
      && md_init (&out, 4, out_size, dnnl_f32, out_step))
    status = conv_pd (&self->pd, engine, &in, &weights, &out, s->stride, attr);

  md_clear (&in);
  md_clear (&weights);
  md_clear (&out);
  return status;
}

static gsize
md_size (MdRef md)
{
  return md != NULL ? dnnl_memory_desc_get_size (md) : 0;
}

static ZieDnn *
product_new (const Key *key)
{
  dnnl_engine_t engine = get_library ()->engine;
  dnnl_primitive_attr_t attr = NULL;
  dnnl_post_ops_t ops = NULL;
  dnnl_status_t status;
  ZieDnn *self;

  if (engine == NULL)
    return NULL;
  get_stream ();                 /* the number of threads is baked into a product when it is made */

  self = g_new0 (ZieDnn, 1);
  self->key = *key;
  if ((status = dnnl_primitive_attr_create (&attr)) == dnnl_success)
    status = dnnl_primitive_attr_set_scratchpad_mode (attr, dnnl_scratchpad_mode_user);
  if (status == dnnl_success && key->matmul.accumulate && (status = dnnl_post_ops_create (&ops)) == dnnl_success
      && (status = append_sum (ops)) == dnnl_success)
    status = dnnl_primitive_attr_set_post_ops (attr, ops);
  if (status == dnnl_success)
    status = key->conv.n_out > 0 ? init_conv (self, &key->conv, engine, attr) : init_matmul (self, &key->matmul, engine, attr);
  if (status == dnnl_success && md_size (query_md (self->pd, dnnl_query_scratchpad_md)) > ZIE_DNN_SCRATCH_MAX)
    status = dnnl_unimplemented;
  if (status == dnnl_success)
    status = dnnl_primitive_create (&self->primitive, self->pd);

  if (ops != NULL)
    dnnl_post_ops_destroy (ops);
  if (attr != NULL)
    dnnl_primitive_attr_destroy (attr);
  if (status != dnnl_success)
    {
      g_debug ("onednn refuses m=%" G_GINT64_FORMAT " n=%" G_GINT64_FORMAT " k=%" G_GINT64_FORMAT " in=%" G_GINT64_FORMAT
               " out=%" G_GINT64_FORMAT " status=%d", key->matmul.m, key->matmul.n, key->matmul.k, key->conv.n_in,
               key->conv.n_out, (int)status);
      g_clear_pointer (&self, product_free);
    }
  return self;
}

/* Room for one more: the least recently used product that nobody holds goes.  With the mutex held. */
static gboolean
make_room (void)
{
  guint oldest = n_products;

  if (n_products < N_PRODUCTS_MAX)
    return TRUE;
  for (guint i = 0; i < n_products; i++)
    if (table[i]->n_refs == 0 && (oldest == n_products || table[i]->last_use < table[oldest]->last_use))
      oldest = i;
  if (oldest == n_products)
    return FALSE;
  product_free (table[oldest]);
  table[oldest] = table[--n_products];
  return TRUE;
}

static ZieDnn *
acquire (const Key *key)
{
  ZieDnn *self = NULL;

  g_mutex_lock (&table_mutex);
  for (guint i = 0; i < n_products && self == NULL; i++)
    if (memcmp (&table[i]->key, key, sizeof *key) == 0)
      self = table[i];
  if (self == NULL && make_room () && (self = product_new (key)) != NULL)
    table[n_products++] = self;
  if (self != NULL)
    {
      self->n_refs++;
      self->last_use = ++n_uses;
    }
  g_mutex_unlock (&table_mutex);
  return self;
}

ZieDnn *
zie_dnn_acquire_matmul (const ZieDnnMatmul *shape)
{
  Key key;

  memset (&key, 0, sizeof key);
  key.matmul.m = shape->m;
  key.matmul.n = shape->n;
  key.matmul.k = shape->k;
  key.matmul.lda = shape->lda;
  key.matmul.ldb = shape->ldb;
  key.matmul.ldc = shape->ldc;
  key.matmul.b_is_transposed = shape->b_is_transposed;
  key.matmul.accumulate = shape->accumulate;
  key.matmul.has_bias = shape->has_bias;
  return acquire (&key);
}

ZieDnn *
zie_dnn_acquire_conv (const ZieDnnConv *shape)
{
  Key key;

  memset (&key, 0, sizeof key);
  key.conv = *shape;
  return acquire (&key);
}

void
zie_dnn_release (ZieDnn *self)
{
  if (self == NULL)
    return;
  g_mutex_lock (&table_mutex);
  self->n_refs--;
  g_mutex_unlock (&table_mutex);
}

/* ---- running ---- */

/* Blocked layouts round both widths up. */
gsize
zie_dnn_conv_weights_bound (gint64 n_in, gint64 n_out, gint64 ksize)
{
  return (gsize)((n_in + 63) / 64 * 64 * ((n_out + 63) / 64 * 64) * ksize * ksize) * sizeof (guint16) + 4096;
}

gsize
zie_dnn_get_weights_size (const ZieDnn *self)
{
  return md_size (query_md (self->pd, dnnl_query_weights_md));
}

static dnnl_memory_t
wrap (MdRef md, const void *data)
{
  dnnl_memory_t memory;

  if (dnnl_memory_create (&memory, md, get_library ()->engine, (void *)data) != dnnl_success)
    g_error ("oneDNN: out of memory for a descriptor");
  return memory;
}

/* Outputs [first, first + n) of weights as WHOLE lays them out. */
static gboolean
md_init_outputs (Md *md, MdRef whole, const gint64 *size, gint64 first)
{
  dnnl_dims_t dims = { size[0], size[1], size[2], size[3] }, offsets = { first, 0, 0, 0 };

#if DNNL_VERSION_MAJOR >= 3
  return dnnl_memory_desc_create_submemory (md, whole, dims, offsets) == dnnl_success;
#else
  return dnnl_memory_desc_init_submemory (md, whole, dims, offsets) == dnnl_success;
#endif
}

gboolean
zie_dnn_pack_weights (const ZieDnn *self, void *packed, const guint16 *weights, gint64 first, gint64 n)
{
  const ZieDnnConv *s = &self->key.conv;
  gint64 row = s->n_in * s->ksize * s->ksize;
  const gint64 size[] = { n, s->n_in, s->ksize, s->ksize }, step[] = { row, s->ksize * s->ksize, s->ksize, 1 };
  dnnl_engine_t engine = get_library ()->engine;
  dnnl_stream_t stream = get_stream ();
  dnnl_primitive_desc_t pd = NULL;
  dnnl_primitive_t reorder = NULL;
  dnnl_exec_arg_t args[2];
  Md from = { 0 }, to = { 0 };
  gboolean ok = FALSE;

  if (md_init (&from, 4, size, dnnl_bf16, step) && md_init_outputs (&to, query_md (self->pd, dnnl_query_weights_md), size, first)
      && dnnl_reorder_primitive_desc_create (&pd, MD_REF (from), engine, MD_REF (to), engine, NULL) == dnnl_success
      && dnnl_primitive_create (&reorder, pd) == dnnl_success)
    {
      args[0] = (dnnl_exec_arg_t) { DNNL_ARG_FROM, wrap (MD_REF (from), weights + first * row) };
      args[1] = (dnnl_exec_arg_t) { DNNL_ARG_TO, wrap (MD_REF (to), packed) };
      ok = dnnl_primitive_execute (reorder, stream, 2, args) == dnnl_success;
      for (int i = 0; i < 2; i++)
        dnnl_memory_destroy (args[i].memory);
    }

  if (reorder != NULL)
    dnnl_primitive_destroy (reorder);
  if (pd != NULL)
    dnnl_primitive_desc_destroy (pd);
  md_clear (&from);
  md_clear (&to);
  return ok;
}

void
zie_dnn_run (const ZieDnn *self, float *c, const guint16 *a, const void *b, const float *bias, void *scratch)
{
  dnnl_stream_t stream = get_stream ();
  dnnl_exec_arg_t args[5];
  int n_args = 0;

  args[n_args++] = (dnnl_exec_arg_t) { DNNL_ARG_SRC, wrap (query_md (self->pd, dnnl_query_src_md), a) };
  args[n_args++] = (dnnl_exec_arg_t) { DNNL_ARG_WEIGHTS, wrap (query_md (self->pd, dnnl_query_weights_md), b) };
  args[n_args++] = (dnnl_exec_arg_t) { DNNL_ARG_DST, wrap (query_md (self->pd, dnnl_query_dst_md), c) };
  args[n_args++] = (dnnl_exec_arg_t) { DNNL_ARG_SCRATCHPAD, wrap (query_md (self->pd, dnnl_query_scratchpad_md), scratch) };
  if (bias != NULL)
    args[n_args++] = (dnnl_exec_arg_t) { DNNL_ARG_BIAS, wrap (MD_REF (self->bias), bias) };

  /* Fails for want of memory only: shapes were accepted when the product was made. */
  if (dnnl_primitive_execute (self->primitive, stream, n_args, args) != dnnl_success)
    g_error ("oneDNN: a product failed");
  for (int i = 0; i < n_args; i++)
    dnnl_memory_destroy (args[i].memory);
}

#else /* without the library */

gboolean zie_dnn_has_bf16 (void) { return FALSE; }
gboolean zie_dnn_has_amx (void) { return FALSE; }
const char *zie_dnn_describe (void) { return "built without oneDNN"; }
ZieDnn *zie_dnn_acquire_matmul (const ZieDnnMatmul *shape) { return NULL; }
ZieDnn *zie_dnn_acquire_conv (const ZieDnnConv *shape) { return NULL; }
void zie_dnn_release (ZieDnn *self) { }
gsize zie_dnn_conv_weights_bound (gint64 n_in, gint64 n_out, gint64 ksize) { return 0; }
gsize zie_dnn_get_weights_size (const ZieDnn *self) { return 0; }

gboolean
zie_dnn_pack_weights (const ZieDnn *self, void *packed, const guint16 *weights, gint64 first, gint64 n)
{
  g_assert_not_reached ();
}


void
zie_dnn_run (const ZieDnn *self, float *c, const guint16 *a, const void *b, const float *bias, void *scratch)
{
  g_assert_not_reached ();
}

#endif
