/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "recover"

/* A card that is given back and one that is lost, on a real card:
 *
 *   recover MODEL [--device cuda] [--width N] [--height N] [--steps N] [--cpu-side N]
 *
 * A first picture, and the same one warm.  Then nothing until the engine has let go of the card: what its driver says is free must
 * be what was free with no more than the context open, and the next picture, whose weights come from the host again, has the
 * same bytes.  Then a kernel that traps, launched from here beside the job, breaks the context: the job ends with a clear error,
 * a job on the CPU works in the same process, and the card, opened anew, gives the first picture again, or says why it does not
 * (current drivers give it to that process no more).
 *
 * Prints times and figures.  Ends with 0, 1 if anything was not so, 77 where there is no card. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gmodule.h>
#include <zie/zie.h>

#define MIB (1 << 20)
#define IDLE_SECONDS 1.0
#define IDLE_WAIT_SECONDS 30
#define MAX_DEVICES 16
/* The driver's own books: what it keeps of a context grows by a little when kernels have run. */
#define CONTEXT_SLACK (64 * MIB)

static char *device_name;
static int width, height, n_steps, cpu_side = 64;

static const GOptionEntry entries[] = {
  { "device", 0, 0, G_OPTION_ARG_STRING, &device_name, "cuda or cuda:N (cuda)", "DEVICE" },
  { "width", 0, 0, G_OPTION_ARG_INT, &width, "pixels", "N" },
  { "height", 0, 0, G_OPTION_ARG_INT, &height, "pixels", "N" },
  { "steps", 0, 0, G_OPTION_ARG_INT, &n_steps, "of each job", "N" },
  { "cpu-side", 0, 0, G_OPTION_ARG_INT, &cpu_side, "pixels of the picture on the CPU (64)", "N" },
  { 0 },
};

/* --- a kernel that traps --- */

static const char trap_ptx[] = ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry boom () { trap; }\n";

typedef int (*RetainFunc) (gpointer *context, int device);
typedef int (*ReleaseFunc) (int device);
typedef int (*SetCurrentFunc) (gpointer context);
typedef int (*LoadFunc) (gpointer *module, const void *image);
typedef int (*FindFunc) (gpointer *function, gpointer module, const char *name);
typedef int (*LaunchFunc) (gpointer function, guint, guint, guint, guint, guint, guint, guint, gpointer, gpointer *, gpointer *);
typedef int (*SynchronizeFunc) (void);

/* Breaks the context that the engine has on card INDEX.  FALSE: the driver did not take it. */
static gboolean
break_context (int index)
{
  GModule *driver = g_module_open ("libcuda.so.1", G_MODULE_BIND_LAZY);
  gpointer retain, release, set_current, load, find, launch, synchronize, context, module, function;
  gboolean is_broken;

  if (driver == NULL || !g_module_symbol (driver, "cuDevicePrimaryCtxRetain", &retain)
      || !g_module_symbol (driver, "cuDevicePrimaryCtxRelease_v2", &release) || !g_module_symbol (driver, "cuCtxSetCurrent", &set_current)
      || !g_module_symbol (driver, "cuModuleLoadData", &load) || !g_module_symbol (driver, "cuModuleGetFunction", &find)
      || !g_module_symbol (driver, "cuLaunchKernel", &launch) || !g_module_symbol (driver, "cuCtxSynchronize", &synchronize)
      || ((RetainFunc)retain) (&context, index) != 0)
    return FALSE;
  is_broken = ((SetCurrentFunc)set_current) (context) == 0 && ((LoadFunc)load) (&module, trap_ptx) == 0
              && ((FindFunc)find) (&function, module, "boom") == 0
              && ((LaunchFunc)launch) (function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL) == 0
              && ((SynchronizeFunc)synchronize) () != 0;
  ((SetCurrentFunc)set_current) (NULL);
  ((ReleaseFunc)release) (index);
  return is_broken;
}

/* --- jobs --- */

typedef struct
{
  double seconds;
  char *checksum;            /* owned: of the pixels; NULL: none came */
  guint64 vram_free;
} Result;

static void
result_clear (Result *self)
{
  g_clear_pointer (&self->checksum, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Result, result_clear)

/* One picture; with BREAK_INDEX >= 0 that card's context is broken after the first step. */
static gboolean
run (ZieEngine *engine, ZieModel *model, const ZieRequest *request, int break_index, Result *result, GError **error)
{
  gint64 start = g_get_monotonic_time ();
  g_autoptr(ZieJob) job = zie_engine_submit (engine, model, request, NULL, error);

  *result = (Result) { 0 };
  while (job != NULL)
    {
      g_autoptr(ZieEvent) event = g_async_queue_pop (zie_engine_get_events (engine));

      if (event->type == ZIE_EVENT_STEP && break_index >= 0)
        {
          if (!break_context (break_index))
            fprintf (stderr, "recover: the driver did not break the context\n");
          break_index = -1;
        }
      if (event->type == ZIE_EVENT_IMAGE)
        {
          g_free (result->checksum);
          result->checksum = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, zie_image_get_pixels (event->image.image));
        }
      if (event->type != ZIE_EVENT_FINISHED)
        continue;
      result->seconds = (double)(g_get_monotonic_time () - start) / 1e6;
      result->vram_free = event->finished.vram_free;
      if (event->finished.error != NULL)
        g_propagate_error (error, g_error_copy (event->finished.error));
      return event->finished.error == NULL;
    }
  return FALSE;
}

static guint64
get_free (int index)
{
  ZieDevice devices[MAX_DEVICES];
  guint n = zie_list_devices (devices, MAX_DEVICES);

  for (guint i = 0; i < n; i++)
    if (devices[i].kind == ZIE_BACKEND_CUDA && devices[i].index == index)
      return devices[i].memory_free;
  return 0;
}

static int n_wrong;

static void G_GNUC_PRINTF (2, 3)
expect (gboolean is_so, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  printf (is_so ? "  " : "  WRONG: ");
  vprintf (format, args);
  printf ("\n");
  va_end (args);
  n_wrong += !is_so;
}

/* After IDLE_SECONDS without a job. */
static void
wait_for_idle (int index, guint64 free_open)
{
  gint64 start = g_get_monotonic_time ();
  guint64 is_free;

  do
    g_usleep (20000);
  while ((is_free = get_free (index)) + CONTEXT_SLACK < free_open && g_get_monotonic_time () - start < IDLE_WAIT_SECONDS * G_USEC_PER_SEC);
  expect (is_free + CONTEXT_SLACK >= free_open, "idle after %.1f s: %.0f MiB of the card free, %.0f with the engine newly opened",
          (double)(g_get_monotonic_time () - start) / 1e6, (double)is_free / MIB, (double)free_open / MIB);
}

static gboolean
on_card (const ZieEngineOptions *options, ZieModel *model, ZieRequest *request, char **right, GError **error)
{
  g_autoptr(ZieEngine) engine = zie_engine_new (options, error);
  g_auto(Result) first = { 0 }, warm = { 0 }, after_idle = { 0 }, broken = { 0 }, later = { 0 };
  g_autoptr(GError) lost = NULL, still = NULL;
  guint64 free_open;
  ZieDevice device;

  if (engine == NULL)
    return FALSE;
  zie_engine_get_device (engine, &device);
  free_open = get_free (device.index);
  printf ("%s\n", device.name);

  if (!run (engine, model, request, -1, &first, error) || !run (engine, model, request, -1, &warm, error))
    return FALSE;
  expect (g_strcmp0 (first.checksum, warm.checksum) == 0, "first picture %.2f s, warm %.2f s, %.0f MiB free after it; the same bytes",
          first.seconds, warm.seconds, (double)warm.vram_free / MIB);
  wait_for_idle (device.index, free_open);
  if (!run (engine, model, request, -1, &after_idle, error))
    return FALSE;
  expect (g_strcmp0 (first.checksum, after_idle.checksum) == 0, "after that %.2f s; the same bytes", after_idle.seconds);

  run (engine, model, request, device.index, &broken, &lost);
  expect (g_error_matches (lost, ZIE_ERROR, ZIE_ERROR_DEVICE_LOST) && broken.checksum == NULL, "broken meanwhile: %s",
          lost ? lost->message : "the job did not notice");
  run (engine, model, request, -1, &later, &still);
  expect (g_error_matches (still, ZIE_ERROR, ZIE_ERROR_DEVICE_LOST), "the same engine again: %s", still ? still->message : "goes on");
  *right = g_steal_pointer (&first.checksum);
  return TRUE;
}

static gboolean
recover (const char *path, GError **error)
{
  g_autoptr(ZieModel) model = zie_model_open (path, error);
  ZieEngineOptions options = { .backend = ZIE_BACKEND_CUDA, .idle_seconds = IDLE_SECONDS };
  g_autoptr(ZieEngine) engine = NULL;
  g_auto(ZieRequest) request = { 0 };
  g_auto(Result) result = { 0 }, cpu = { 0 };
  g_autofree char *right = NULL;
  g_autoptr(GError) refused = NULL;

  if (model == NULL || (device_name != NULL && !zie_device_from_name (device_name, &options.backend, &options.device_index)))
    return FALSE;
  zie_request_init (&request);
  zie_model_init_request (model, &request);
  request.prompt = g_strdup ("a lighthouse in the snow");
  request.seed = 7;
  request.width = width > 0 ? width : request.width;
  request.height = height > 0 ? height : request.height;
  request.n_steps = n_steps > 0 ? n_steps : request.n_steps;
  if (!on_card (&options, model, &request, &right, error))
    return FALSE;

  request.width = request.height = cpu_side;
  request.n_steps = 1;
  engine = zie_engine_new (&(ZieEngineOptions) { .backend = ZIE_BACKEND_CPU }, error);
  if (engine == NULL || !run (engine, model, &request, -1, &cpu, error))
    return FALSE;
  expect (cpu.checksum != NULL, "then on the CPU, %d x %d: %.2f s", cpu_side, cpu_side, cpu.seconds);
  g_clear_pointer (&engine, zie_engine_unref);

  zie_model_init_request (model, &request);
  request.width = width > 0 ? width : request.width;
  request.height = height > 0 ? height : request.height;
  request.n_steps = n_steps > 0 ? n_steps : request.n_steps;
  if ((engine = zie_engine_new (&options, &refused)) == NULL)
    {
      expect (g_error_matches (refused, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE), "the card opened anew: %s", refused->message);
      return TRUE;
    }
  if (!run (engine, model, &request, -1, &result, error))
    return FALSE;
  expect (g_strcmp0 (result.checksum, right) == 0, "the card opened anew: %.2f s; the same bytes as at first", result.seconds);
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autoptr(GOptionContext) context = g_option_context_new ("MODEL");
  g_autoptr(GError) error = NULL;
  g_autofree char *missing = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc != 2)
    {
      fprintf (stderr, "recover: %s\n", error ? error->message : "expected MODEL; see --help");
      return 2;
    }
  if ((missing = zie_explain_missing_cuda ()) != NULL)
    {
      printf ("skipped: %s\n", missing);
      return 77;
    }
  if (!recover (argv[1], &error))
    {
      fprintf (stderr, "recover: %s\n", error ? error->message : "expected a card's name, cuda or cuda:N, after --device");
      return 1;
    }
  return n_wrong > 0;
}
