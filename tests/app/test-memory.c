/* SPDX-License-Identifier: Apache-2.0 */
#include <glib/gstdio.h>

#include "zis-memory-monitor.h"

static void
on_sampled (ZisMemoryMonitor *monitor, gpointer user_data)
{
  (*(int *) user_data)++;
}

static void
wait_samples (ZisMemoryMonitor *monitor, int n_more)
{
  int n = 0;
  gulong handler = g_signal_connect (monitor, "sampled", G_CALLBACK (on_sampled), &n);

  zis_memory_monitor_set_running (monitor, TRUE);
  while (n < n_more)
    g_main_context_iteration (NULL, TRUE);
  g_signal_handler_disconnect (monitor, handler);
}

static void
test_ram (void)
{
  g_autoptr(ZisMemoryMonitor) monitor = zis_memory_monitor_new ();
  const ZisMemorySample *sample = zis_memory_monitor_get_sample (monitor);

  wait_samples (monitor, 1);
  g_assert_false (sample->is_vram);
  g_assert_true (sample->is_known);
  g_assert_cmpuint (sample->total, >, 1 << 28);
  g_assert_cmpuint (sample->ours, >, 1 << 19);
  g_assert_cmpuint (sample->ours + sample->others, <=, sample->total);
  zis_memory_monitor_set_running (monitor, FALSE);
}

static void
write_figures (const char *path, const char *figures)
{
  g_assert_true (g_file_set_contents (path, figures, -1, NULL));
}

static void
assert_sample (ZisMemoryMonitor *monitor, guint64 total, guint64 others, guint64 ours)
{
  const ZisMemorySample *sample = zis_memory_monitor_get_sample (monitor);

  g_assert_true (sample->is_vram);
  g_assert_true (sample->is_known);
  g_assert_true (sample->is_ours_known);
  g_assert_cmpuint (sample->total, ==, total);
  g_assert_cmpuint (sample->others, ==, others);
  g_assert_cmpuint (sample->ours, ==, ours);
}

/* The driver's figures, and that they are looked at again. */
static void
test_nvml (void)
{
  const ZieDevice card = { .kind = ZIE_BACKEND_CUDA, .memory_total = 8000 };
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "zis-mock-nvml", NULL);
  g_autoptr(ZisMemoryMonitor) monitor = NULL;
  ZisMemorySample history[ZIS_MEMORY_HISTORY];

  write_figures (path, "8000 3000 1000");
  g_setenv ("MOCK_NVML", path, TRUE);
  monitor = zis_memory_monitor_new ();
  zis_memory_monitor_set_device (monitor, &card);
  wait_samples (monitor, 1);
  assert_sample (monitor, 8000, 2000, 1000);

  write_figures (path, "8000 7000 4500");
  wait_samples (monitor, 2);
  assert_sample (monitor, 8000, 2500, 4500);
  g_assert_cmpuint (zis_memory_monitor_get_history (monitor, history), >=, 3);
  g_assert_cmpuint (history[0].ours, ==, 1000);

  zis_memory_monitor_set_running (monitor, FALSE);
  g_unsetenv ("MOCK_NVML");
  g_unlink (path);
}

static void
assert_card (const ZieDevice *card, guint64 total)
{
  g_autoptr(ZisMemoryMonitor) monitor = zis_memory_monitor_new ();

  zis_memory_monitor_set_device (monitor, card);
  wait_samples (monitor, 1);
  g_assert_cmpuint (zis_memory_monitor_get_sample (monitor)->total, ==, total);
  zis_memory_monitor_set_running (monitor, FALSE);
}

/* CUDA's card 0 is the driver's card 1 with CUDA_VISIBLE_DEVICES=1, or where it counts the fastest first. */
static void
test_pci_id (void)
{
  ZieDevice card = { .kind = ZIE_BACKEND_CUDA, .pci_id = "0000:0A:00.0", .memory_total = 16000 };
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "zis-mock-nvml", NULL);

  write_figures (path, "8000 3000 1000 0000:01:00.0\n16001 500 100 0000:0a:00.0\n");
  g_setenv ("MOCK_NVML", path, TRUE);
  assert_card (&card, 16001);
  card.pci_id[0] = '\0';
  assert_card (&card, 8000);
  g_strlcpy (card.pci_id, "0000:0b:00.0", sizeof card.pci_id);     /* none of them: nothing is said of another */
  assert_card (&card, 16000);

  g_unsetenv ("MOCK_NVML");
  g_unlink (path);
}

/* A sandbox with process ids of its own: what the driver says of this process is not found, what its engine holds is known. */
static void
test_not_listed (void)
{
  ZieDevice card = { .kind = ZIE_BACKEND_CUDA, .memory_total = 8000, .memory_held = 1500 };
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "zis-mock-nvml", NULL);
  g_autoptr(ZisMemoryMonitor) monitor = zis_memory_monitor_new ();
  const ZisMemorySample *sample = zis_memory_monitor_get_sample (monitor);

  write_figures (path, "8000 3000 -");
  g_setenv ("MOCK_NVML", path, TRUE);
  zis_memory_monitor_set_device (monitor, &card);
  wait_samples (monitor, 1);
  assert_sample (monitor, 8000, 1500, 1500);

  /* Nor does an engine say: 0 bytes would be a lie. */
  card.memory_held = 0;
  zis_memory_monitor_set_device (monitor, &card);
  wait_samples (monitor, 2);
  g_assert_true (sample->is_known);
  g_assert_false (sample->is_ours_known);
  g_assert_cmpuint (sample->others, ==, 3000);

  zis_memory_monitor_set_running (monitor, FALSE);
  g_unsetenv ("MOCK_NVML");
  g_unlink (path);
}

/* A card whose driver library says nothing: the total is known, no more is claimed. */
static void
test_no_driver (void)
{
  const ZieDevice card = { .kind = ZIE_BACKEND_CUDA, .memory_total = 8000 };
  g_autoptr(ZisMemoryMonitor) monitor = zis_memory_monitor_new ();

  zis_memory_monitor_set_device (monitor, &card);
  wait_samples (monitor, 1);
  g_assert_true (zis_memory_monitor_get_sample (monitor)->is_vram);
  g_assert_false (zis_memory_monitor_get_sample (monitor)->is_known);
  g_assert_cmpuint (zis_memory_monitor_get_sample (monitor)->total, ==, 8000);
  zis_memory_monitor_set_running (monitor, FALSE);
}

/* Nor does it say anything, but an engine is open: what that has is known, and what is free if CUDA says it. */
static void
test_engine_alone (void)
{
  ZieDevice card = { .kind = ZIE_BACKEND_CUDA, .memory_total = 8000, .memory_free = 6500, .memory_held = 1500 };
  g_autoptr(ZisMemoryMonitor) monitor = zis_memory_monitor_new ();
  const ZisMemorySample *sample = zis_memory_monitor_get_sample (monitor);

  zis_memory_monitor_set_device (monitor, &card);
  wait_samples (monitor, 1);
  assert_sample (monitor, 8000, 1500, 1500);

  card.memory_free = card.memory_held;
  zis_memory_monitor_set_device (monitor, &card);
  wait_samples (monitor, 2);
  g_assert_false (sample->is_known);
  g_assert_true (sample->is_ours_known);
  g_assert_cmpuint (sample->ours, ==, 1500);
  g_assert_cmpuint (sample->others, ==, 0);
  zis_memory_monitor_set_running (monitor, FALSE);
}

static void
test_fake (void)
{
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "zis-fake-vram", NULL);
  g_autoptr(ZisMemoryMonitor) by_size = NULL, by_file = NULL;

  g_setenv ("ZIE_FAKE_VRAM", "6G", TRUE);
  by_size = zis_memory_monitor_new ();
  wait_samples (by_size, 1);
  assert_sample (by_size, G_GUINT64_CONSTANT (6) << 30, 0, 0);
  zis_memory_monitor_set_running (by_size, FALSE);

  write_figures (path, "100 20 3");
  g_setenv ("ZIE_FAKE_VRAM", path, TRUE);
  by_file = zis_memory_monitor_new ();
  wait_samples (by_file, 1);
  assert_sample (by_file, 100, 20, 3);
  write_figures (path, "100 50 40");
  wait_samples (by_file, 2);
  assert_sample (by_file, 100, 50, 40);
  zis_memory_monitor_set_running (by_file, FALSE);
  g_unsetenv ("ZIE_FAKE_VRAM");
  g_unlink (path);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/memory/ram", test_ram);
  g_test_add_func ("/memory/nvml", test_nvml);
  g_test_add_func ("/memory/pci-id", test_pci_id);
  g_test_add_func ("/memory/not-listed", test_not_listed);
  g_test_add_func ("/memory/no-driver", test_no_driver);
  g_test_add_func ("/memory/engine-alone", test_engine_alone);
  g_test_add_func ("/memory/fake", test_fake);
  return g_test_run ();
}
