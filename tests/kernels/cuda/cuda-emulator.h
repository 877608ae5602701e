/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The second implementation of cuda-intrinsics.h: runs unchanged kernels and launchers on the CPU, without toolkit
 * or driver.  A test includes this file first, then the .cu file itself, and calls its launcher; g++, C++17.
 *
 * A thread of a block is a fiber; warp operations gather 32 lanes and compute, barriers yield.  Shared memory
 * starts as 0xff in every block (NaN as any float).  What a GPU leaves open is played in two ways, and
 * emu_each_order() runs both: EMU_LAZY takes warps and lanes upwards and copies cp.async data as late as it may
 * (in the wait that asks for it), EMU_EAGER takes warps and lanes downwards and copies at once.  So a wait that is
 * too weak, a barrier that is missing and a stage overwritten too early all change the result.  Shared addresses
 * out of bounds, unaligned ones, lanes of a warp in different operations and threads that wait for ever end the
 * program with a message.  Not seen: bank conflicts, races of global memory, and out-of-bounds global accesses
 * unless the build has AddressSanitizer. */

#ifndef __GNUC__
#error "the emulator is for g++"
#endif

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <type_traits>
#include <vector>

#include <link.h>
#include <sys/mman.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif


#define ZIE_CUDA_EMULATOR 1

/* --- CUDA's own names --- */

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__ ((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__ ((aligned (n)))
/* Thread-local storage of the program is one block of memory, which emu_run_block() finds and poisons. */
#define __shared__ static thread_local
#define DEVICE inline __attribute__ ((always_inline))
#define DYNAMIC_SHARED(name) unsigned char *const name = emu::dynamic_shared ()

struct dim3
{
  unsigned x, y, z;
  dim3 (unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x (x_), y (y_), z (z_) {}
};
struct alignas (8) int2 { int x, y; };
struct alignas (16) int4 { int x, y, z, w; };
struct alignas (8) uint2 { unsigned x, y; };
struct alignas (16) uint4 { unsigned x, y, z, w; };
struct alignas (8) float2 { float x, y; };
struct alignas (16) float4 { float x, y, z, w; };
static inline int2 make_int2 (int x, int y) { return { x, y }; }
static inline int4 make_int4 (int x, int y, int z, int w) { return { x, y, z, w }; }
static inline uint2 make_uint2 (unsigned x, unsigned y) { return { x, y }; }
static inline uint4 make_uint4 (unsigned x, unsigned y, unsigned z, unsigned w) { return { x, y, z, w }; }
static inline float2 make_float2 (float x, float y) { return { x, y }; }
static inline float4 make_float4 (float x, float y, float z, float w) { return { x, y, z, w }; }

using std::max;
using std::min;

enum { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorNotSupported = 801 };

typedef enum { EMU_LAZY, EMU_EAGER, EMU_N_ORDERS } EmuOrder;

/* --- fibers --- */

namespace emu
{

constexpr size_t STACK = 256 * 1024;
constexpr uint32_t DYNAMIC_BASE = 0x00010000, STATIC_BASE = 0x40000000;
constexpr int N_BARRIERS = 16, MAX_THREADS = 1024, WARP = 32, MAX_WORDS = 12;

struct Copy
{
  uint32_t dst;
  const void *src;
  int size;
  bool valid;
};

/* What a fiber waits for: COUNTER to leave VALUE. */
struct Fiber
{
  void *jump[5];                       /* of __builtin_setjmp */
  ucontext_t start;
  dim3 thread;
  int index;
  bool is_started, is_done;
  const unsigned *counter;
  unsigned value;
  const char *waits_in;
  std::vector<Copy> open;
  std::vector<std::vector<Copy>> groups;
#ifdef __SANITIZE_ADDRESS__
  void *fake_stack;
#endif
};

struct Warp
{
  const char *operation;
  int n_arrived;
  unsigned generation;
  uint32_t in[WARP][MAX_WORDS], out[WARP][MAX_WORDS];
};

struct Barrier
{
  int n_arrived, n_expected;
  unsigned generation;
};

struct Machine
{
  EmuOrder order = EMU_LAZY;
  int n_threads, n_alive;
  dim3 block, grid_dim, block_dim;
  std::vector<unsigned char> dynamic;
  unsigned char *statics = NULL;
  size_t statics_size = 0;
  char *stacks = NULL;
  Fiber fibers[MAX_THREADS];
  Warp warps[MAX_THREADS / WARP];
  Barrier barriers[N_BARRIERS];
  Fiber scheduler;
  Fiber *current;
  std::function<void ()> body;
#ifdef __SANITIZE_ADDRESS__
  const void *main_stack;
  size_t main_size;
#endif
};

inline Machine machine;

[[noreturn]] __attribute__ ((format (printf, 1, 2))) static inline void
die (const char *format, ...)
{
  va_list args;

  fprintf (stderr, "emulator: ");
  va_start (args, format);
  vfprintf (stderr, format, args);
  va_end (args);
  if (machine.current && machine.current != &machine.scheduler)
    fprintf (stderr, " (block %u, %u, %u, thread %d)", machine.block.x, machine.block.y, machine.block.z, machine.current->index);
  fprintf (stderr, "\n");
  abort ();
}

static void fiber_main (void);

/* Builtin jumps, because swapcontext makes a system call each time; the first entry needs the context. */
__attribute__ ((noinline, no_sanitize ("address"))) static void
jump_to (Fiber *to)
{
  if (to->is_started)
    __builtin_longjmp (to->jump, 1);
  to->is_started = true;
  setcontext (&to->start);
  abort ();
}

__attribute__ ((noinline)) static void
switch_to (Fiber *to)
{
  Fiber *from = machine.current;

#ifdef __SANITIZE_ADDRESS__
  char *stack = to == &machine.scheduler ? NULL : machine.stacks + to->index * STACK;
  __sanitizer_start_switch_fiber (from->is_done ? NULL : &from->fake_stack, stack ? stack : machine.main_stack,
                                  stack ? STACK : machine.main_size);
#endif
  machine.current = to;
  if (!__builtin_setjmp (from->jump))
    jump_to (to);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber (machine.current->fake_stack, NULL, NULL);
#endif
}

/* Until *COUNTER is no longer VALUE. */
static inline void
wait_for (const char *what, const unsigned *counter, unsigned value)
{
  Fiber *self = machine.current;

  self->counter = counter;
  self->value = value;
  self->waits_in = what;
  while (*counter == value)
    switch_to (&machine.scheduler);
  self->counter = NULL;
}

static inline bool
is_runnable (const Fiber *f)
{
  return !f->is_done && (!f->counter || *f->counter != f->value);
}

static inline void
barrier_check (Barrier *b, int expected)
{
  if (b->n_arrived && b->n_arrived == expected)
    {
      b->n_arrived = 0;
      b->generation++;
    }
}

/* Barrier ID among THREADS threads, 0 for all that have not returned. */
static inline void
barrier (const char *what, int id, int threads)
{
  if (id < 0 || id >= N_BARRIERS || threads % WARP)
    die ("%s: barrier %d of %d threads", what, id, threads);
  Barrier *b = &machine.barriers[id];
  unsigned generation = b->generation;
  if (b->n_arrived && b->n_expected != threads)
    die ("%s: barrier %d is used for %d and for %d threads", what, id, b->n_expected, threads);
  b->n_expected = threads;
  b->n_arrived++;
  barrier_check (b, threads ? threads : machine.n_alive);
  wait_for (what, &b->generation, generation);
}

static void
fiber_main (void)
{
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber (NULL, &machine.main_stack, &machine.main_size);
#endif
  machine.body ();
  machine.current->is_done = true;
  machine.n_alive--;
  if (!machine.barriers[0].n_expected)
    barrier_check (&machine.barriers[0], machine.n_alive);
  switch_to (&machine.scheduler);
  abort ();
}

/* The thread-local block of the program itself, where __shared__ arrays are. */
static int
find_statics (struct dl_phdr_info *info, size_t, void *)
{
  for (int i = 0; i < info->dlpi_phnum; i++)
    if (info->dlpi_phdr[i].p_type == PT_TLS)
      {
        machine.statics = (unsigned char *)info->dlpi_tls_data;
        machine.statics_size = info->dlpi_phdr[i].p_memsz;
      }
  return 1;                            /* the first object is the program */
}

/* Apart, because getcontext may return twice as far as the compiler knows. */
__attribute__ ((noinline)) static void
prepare_fiber (int index)
{
  Machine &m = machine;
  Fiber *f = &m.fibers[index];

  f->index = index;
  f->thread =
      dim3 (index % m.block_dim.x, index / m.block_dim.x % m.block_dim.y, index / (m.block_dim.x * m.block_dim.y));
  f->is_started = f->is_done = false;
  f->counter = NULL;
  f->open.clear ();
  f->groups.clear ();
  getcontext (&f->start);
  f->start.uc_stack.ss_sp = m.stacks + index * STACK;
  f->start.uc_stack.ss_size = STACK;
  f->start.uc_link = NULL;
  makecontext (&f->start, fiber_main, 0);
}

/* Runs BODY as all threads of one block, whose number and dimensions are in MACHINE. */
static inline void
run_block (void)
{
  Machine &m = machine;
  bool is_down = m.order == EMU_EAGER;
  int n_warps = m.n_threads / WARP;

  std::fill (m.dynamic.begin (), m.dynamic.end (), (unsigned char)0xff);
  if (m.statics)
    memset (m.statics, 0xff, m.statics_size);
  memset (m.warps, 0, sizeof m.warps);
  memset (m.barriers, 0, sizeof m.barriers);
  m.n_alive = m.n_threads;
  for (int i = 0; i < m.n_threads; i++)
    prepare_fiber (i);

  while (m.n_alive)
    {
      bool is_moving = false;
      for (int w = 0; w < n_warps; w++)
        for (bool again = true; again;)
          {
            again = false;
            for (int l = 0; l < WARP; l++)
              {
                Fiber *f = &m.fibers[(is_down ? n_warps - 1 - w : w) * WARP + (is_down ? WARP - 1 - l : l)];
                if (!is_runnable (f))
                  continue;
                switch_to (f);
                again = is_moving = true;
              }
          }
      if (!is_moving)
        {
          for (int i = 0; i < m.n_threads; i++)
            if (!m.fibers[i].is_done && (i % WARP == 0 || m.fibers[i - 1].waits_in != m.fibers[i].waits_in))
              fprintf (stderr, "emulator: thread %d waits in %s\n", i, m.fibers[i].waits_in);
          die ("block %u, %u, %u waits for ever", m.block.x, m.block.y, m.block.z);
        }
    }
}

static inline void
run_grid (dim3 grid, dim3 block, size_t smem, std::function<void ()> body)
{
  Machine &m = machine;

  m.n_threads = (int)(block.x * block.y * block.z);
  if (!m.n_threads || m.n_threads > MAX_THREADS || m.n_threads % WARP)
    die ("blocks of %d threads", m.n_threads);
  if (grid.y > 65535 || grid.z > 65535)
    die ("a grid of %u x %u x %u blocks", grid.x, grid.y, grid.z);
  if (!m.stacks)
    {
      m.stacks = (char *)mmap (NULL, MAX_THREADS * STACK, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (m.stacks == MAP_FAILED)
        die ("no memory for the stacks");
      dl_iterate_phdr (find_statics, NULL);
    }
  m.dynamic.resize (smem);
  m.dynamic.shrink_to_fit ();
  m.grid_dim = grid;
  m.block_dim = block;
  m.body = std::move (body);
  m.scheduler.is_started = true;
  m.current = &m.scheduler;
  for (m.block.z = 0; m.block.z < grid.z; m.block.z++)
    for (m.block.y = 0; m.block.y < grid.y; m.block.y++)
      for (m.block.x = 0; m.block.x < grid.x; m.block.x++)
        run_block ();
}

/* --- shared addresses --- */

static inline unsigned char *
dynamic_shared (void)
{
  return machine.dynamic.data ();
}

static inline unsigned char *
shared_at (const char *what, uint32_t addr, size_t size)
{
  Machine &m = machine;

  if (addr % size)
    die ("%s: shared address %#x is not aligned to %zu bytes", what, addr, size);
  if (addr >= STATIC_BASE && addr - STATIC_BASE + size <= m.statics_size)
    return m.statics + (addr - STATIC_BASE);
  if (addr < DYNAMIC_BASE || addr - DYNAMIC_BASE + size > m.dynamic.size ())
    die ("%s: offset %d is not in the %zu bytes of shared memory", what, (int)(addr - DYNAMIC_BASE), m.dynamic.size ());
  return m.dynamic.data () + (addr - DYNAMIC_BASE);
}

static inline void
copy_now (const Copy *c)
{
  unsigned char *dst = shared_at ("cp_async", c->dst, c->size);

  if (c->valid)
    memcpy (dst, c->src, c->size);
  else
    memset (dst, 0, c->size);
}

static inline void
copy_start (uint32_t dst, const void *src, int size, bool valid)
{
  Copy c = { dst, src, size, valid };

  if (valid && (uintptr_t)src % size)
    die ("cp_async: global address %p is not aligned to %d bytes", src, size);
  if (machine.order == EMU_EAGER)
    copy_now (&c);
  else
    machine.current->open.push_back (c);
}

static inline void
copy_wait (size_t pending)
{
  auto &groups = machine.current->groups;

  while (groups.size () > pending)
    {
      for (const Copy &c : groups[0])
        copy_now (&c);
      groups.erase (groups.begin ());
    }
}

/* --- warp operations --- */

/* Each lane brings N_IN words; when all 32 are there, FN reads in[lane] and fills out[lane], of which each takes
 * N_OUT. */
template <class Fn>
static void
collective (const char *what, const void *in, int in_size, void *out, int out_size, Fn fn)
{
  Fiber *self = machine.current;
  Warp *w = &machine.warps[self->index / WARP];
  int lane = self->index % WARP;
  unsigned generation = w->generation;

  if (w->n_arrived && w->operation != what)
    die ("lanes of one warp are in %s and in %s", w->operation, what);
  w->operation = what;
  memcpy (w->in[lane], in, in_size);
  if (++w->n_arrived == WARP)
    {
      fn (w);
      w->n_arrived = 0;
      w->generation++;
    }
  else
    wait_for (what, &w->generation, generation);
  memcpy (out, w->out[lane], out_size);
}

/* SOURCE (lane, its argument): the lane whose value it gets. */
template <class T, class Source>
static T
shuffle (const char *what, unsigned mask, T v, int argument, Source source)
{
  static_assert (sizeof (T) == 4 || sizeof (T) == 8, "a shuffle moves 4 or 8 bytes");
  constexpr int WORDS = sizeof (T) / 4;
  uint32_t in[WORDS + 1];
  T result;

  if (mask != 0xffffffffu)
    die ("%s: mask %#x is not the whole warp", what, mask);
  memcpy (in, &v, sizeof v);
  memcpy (in + WORDS, &argument, 4);
  collective (what, in, sizeof in, &result, sizeof result, [&] (Warp *w) {
    for (int l = 0; l < WARP; l++)
      memcpy (w->out[l], w->in[source (l, (int)w->in[l][WORDS])], sizeof v);
  });
  return result;
}

static inline float
half_of (uint32_t pair, int index)
{
  uint32_t bits = index ? pair & 0xffff0000u : pair << 16;
  float f;

  memcpy (&f, &bits, 4);
  return f;
}

/* Row and column of the two values that lane L has of one 8 x 8 matrix. */
static inline void
load_matrices (const char *what, uint32_t *r, uint32_t addr, bool is_transposed)
{
  collective (what, &addr, 4, r, 16, [=] (Warp *w) {
    const unsigned char *rows[WARP];
    for (int l = 0; l < WARP; l++)
      rows[l] = shared_at (what, w->in[l][0], 16);
    for (int l = 0; l < WARP; l++)
      for (int m = 0; m < 4; m++)
        for (int e = 0; e < 2; e++)
          {
            int i = l / 4, j = l % 4 * 2 + e;
            int row = is_transposed ? j : i, col = is_transposed ? i : j;
            memcpy ((char *)&w->out[l][m] + 2 * e, rows[m * 8 + row] + 2 * col, 2);
          }
  });
}

static inline void
multiply_bf16 (float *c, const uint32_t *a, uint32_t b0, uint32_t b1)
{
  uint32_t in[10] = { a[0], a[1], a[2], a[3], b0, b1 };

  memcpy (in + 6, c, 16);
  collective ("mma_bf16", in, sizeof in, c, 16, [] (Warp *w) {
    float A[16][16], B[16][8], C[16][8];
    for (int l = 0; l < WARP; l++)
      {
        int g = l / 4, t = l % 4;
        for (int i = 0; i < 4; i++)
          for (int e = 0; e < 2; e++)
            A[g + (i & 1) * 8][t * 2 + e + (i >> 1) * 8] = half_of (w->in[l][i], e);
        for (int i = 0; i < 2; i++)
          for (int e = 0; e < 2; e++)
            B[t * 2 + e + i * 8][g] = half_of (w->in[l][4 + i], e);
        for (int i = 0; i < 4; i++)
          memcpy (&C[g + (i >> 1) * 8][t * 2 + (i & 1)], &w->in[l][6 + i], 4);
      }
    for (int i = 0; i < 16; i++)
      for (int k = 0; k < 16; k++)
        for (int j = 0; j < 8; j++)
          C[i][j] += A[i][k] * B[k][j];
    for (int l = 0; l < WARP; l++)
      for (int i = 0; i < 4; i++)
        memcpy (&w->out[l][i], &C[l / 4 + (i >> 1) * 8][l % 4 * 2 + (i & 1)], 4);
  });
}

}

#define threadIdx (emu::machine.current->thread)
#define blockIdx (emu::machine.block)
#define blockDim (emu::machine.block_dim)
#define gridDim (emu::machine.grid_dim)

/* --- CUDA's functions --- */

static inline void __syncthreads (void) { emu::barrier ("__syncthreads", 0, 0); }

static inline void
__syncwarp (unsigned mask = 0xffffffffu)
{
  emu::shuffle ("__syncwarp", mask, 0, 0, [] (int lane, int) { return lane; });
}

template <class T>
static T
__shfl_xor_sync (unsigned mask, T v, int lane_mask)
{
  return emu::shuffle ("__shfl_xor_sync", mask, v, lane_mask, [] (int lane, int x) { return (lane ^ x) & 31; });
}

template <class T>
static T
__shfl_down_sync (unsigned mask, T v, unsigned delta)
{
  return emu::shuffle ("__shfl_down_sync", mask, v, (int)delta, [] (int lane, int x) { return lane + x < 32 ? lane + x : lane; });
}

template <class T>
static T
__shfl_up_sync (unsigned mask, T v, unsigned delta)
{
  return emu::shuffle ("__shfl_up_sync", mask, v, (int)delta, [] (int lane, int x) { return lane >= x ? lane - x : lane; });
}

template <class T>
static T
__shfl_sync (unsigned mask, T v, int lane)
{
  return emu::shuffle ("__shfl_sync", mask, v, lane, [] (int, int x) { return x & 31; });
}

static inline int
__any_sync (unsigned mask, int it)
{
  int any;

  if (mask != 0xffffffffu)
    emu::die ("__any_sync: mask %#x is not the whole warp", mask);
  emu::collective ("__any_sync", &it, 4, &any, 4, [] (emu::Warp *w) {
    uint32_t bits = 0;
    for (int l = 0; l < emu::WARP; l++)
      bits |= w->in[l][0];
    for (int l = 0; l < emu::WARP; l++)
      w->out[l][0] = bits != 0;
  });
  return any;
}

template <class T> static inline T __ldg (const T *p) { return *p; }
template <class T> static inline T __ldcs (const T *p) { return *p; }
template <class T> static inline void __stcs (T *p, T v) { *p = v; }

/* Results must repeat bit by bit: integers only. */
template <class T>
static inline T
atomicAdd (T *p, T v)
{
  static_assert (std::is_integral<T>::value, "float atomics make results depend on the order of threads");
  T old = *p;
  *p = old + v;
  return old;
}

template <class T>
static inline T
atomicMax (T *p, T v)
{
  static_assert (std::is_integral<T>::value, "atomicMax is for integers");
  T old = *p;
  *p = std::max (old, v);
  return old;
}

static inline void __threadfence (void) {}
static inline float rsqrtf (float x) { return 1 / sqrtf (x); }
static inline float __fdividef (float x, float y) { return x / y; }

/* --- cuda-intrinsics.h, between its marks --- */

template <class... P, class... A>
static int
launch_kernel (void (*kernel) (P...), dim3 grid, int threads, size_t smem, struct CUstream_st *, A... args)
{
  emu::run_grid (grid, dim3 (threads), smem, [=] { kernel (args...); });
  return 0;
}

DEVICE uint32_t
smem_addr (const void *p)
{
  const unsigned char *q = (const unsigned char *)p;
  emu::Machine &m = emu::machine;

  if (m.statics && q >= m.statics && q < m.statics + m.statics_size)
    return emu::STATIC_BASE + (uint32_t)(q - m.statics);
  if (q < m.dynamic.data () || q > m.dynamic.data () + m.dynamic.size ())
    emu::die ("smem_addr: %p is not in shared memory", p);
  return emu::DYNAMIC_BASE + (uint32_t)(q - m.dynamic.data ());
}

DEVICE void
cp_async16 (uint32_t dst, const void *src, bool valid)
{
  emu::copy_start (dst, src, 16, valid);
}
template <int BYTES>
DEVICE void
cp_async (uint32_t dst, const void *src, bool valid)
{
  emu::copy_start (dst, src, BYTES, valid);
}
template <int PENDING>
DEVICE void
cp_async_wait (void)
{
  emu::copy_wait (PENDING);
}

DEVICE void
cp_async_commit (void)
{
  emu::Fiber *f = emu::machine.current;

  f->groups.push_back (std::move (f->open));
  f->open.clear ();
}

DEVICE void ldmatrix_x4 (uint32_t *r, uint32_t addr) { emu::load_matrices ("ldmatrix_x4", r, addr, false); }
DEVICE void ldmatrix_x4_trans (uint32_t *r, uint32_t addr) { emu::load_matrices ("ldmatrix_x4_trans", r, addr, true); }
DEVICE void mma_bf16 (float *c, const uint32_t *a, uint32_t b0, uint32_t b1) { emu::multiply_bf16 (c, a, b0, b1); }

DEVICE float ex2 (float x) { return x < -126 ? 0 : exp2f (x); }
DEVICE float fast_exp (float x) { return ex2 (x * 1.4426950408889634f); }
DEVICE float fast_rcp (float x) { return 1 / x; }

/* Without fused operations among the target's instructions (the tests are compiled for none) these are what they say. */
DEVICE float mul_rn (float a, float b) { return a * b; }
DEVICE float add_rn (float a, float b) { return a + b; }
DEVICE float sub_rn (float a, float b) { return a - b; }

DEVICE float
uint_as_float (uint32_t x)
{
  float f;
  memcpy (&f, &x, 4);
  return f;
}

DEVICE uint32_t
float_as_uint (float x)
{
  uint32_t u;
  memcpy (&u, &x, 4);
  return u;
}

DEVICE uint32_t
pack_bf16x2 (float lo, float hi)
{
  uint32_t r[2];
  float v[2] = { lo, hi };

  for (int i = 0; i < 2; i++)
    {
      uint32_t u = float_as_uint (v[i]);
      r[i] = v[i] != v[i] ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;
    }
  return r[0] | r[1] << 16;
}

DEVICE float
f16_to_float (uint16_t x)
{
  int exponent = x >> 10 & 31;
  float mantissa = x & 1023;
  float v = exponent == 31 ? (mantissa ? NAN : INFINITY)
            : exponent     ? ldexpf (1024 + mantissa, exponent - 25)
                           : ldexpf (mantissa, -24);

  return x >> 15 ? -v : v;
}

template <class T>
DEVICE T
warp_shuffle_xor (T v, int mask)
{
  return __shfl_xor_sync (0xffffffffu, v, mask);
}
template <class T>
DEVICE T
warp_shuffle_down (T v, int delta)
{
  return __shfl_down_sync (0xffffffffu, v, (unsigned)delta);
}
template <class T>
DEVICE T
warp_shuffle (T v, int lane)
{
  return __shfl_sync (0xffffffffu, v, lane);
}
DEVICE bool
warp_any (bool it)
{
  return __any_sync (0xffffffffu, it);
}
DEVICE void
block_barrier (void)
{
  __syncthreads ();
}
DEVICE void
named_barrier (int id, int threads)
{
  emu::barrier ("named_barrier", id, threads);
}
DEVICE uint4
load16_const (const void *p)
{
  return *(const uint4 *)p;
}
DEVICE uint4
load16_once (const void *p)
{
  return *(const uint4 *)p;
}
DEVICE void
store16_once (void *p, uint4 v)
{
  *(uint4 *)p = v;
}

/* --- for tests --- */

/* CALL (), once in each order of EmuOrder: CALL prepares poisoned outputs, launches and checks. */
template <class Fn>
static void
emu_each_order (Fn call)
{
  for (int i = 0; i < EMU_N_ORDERS; i++)
    {
      emu::machine.order = (EmuOrder)i;
      call ();
    }
}
