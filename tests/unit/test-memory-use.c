/* SPDX-License-Identifier: Apache-2.0 */
#include "zie-memory-use.h"

#include "test-files.h"

/* A tree of small files that stands in for / . */
typedef struct
{
  char *root;
} FakeRoot;

static void
put (FakeRoot *self, const char *path, const char *text)
{
  g_autofree char *full = g_strconcat (self->root, path, NULL);
  g_autofree char *folder = g_path_get_dirname (full);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (full, text, -1, NULL));
}

static void
remove_tree (const char *path)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *below = g_build_filename (path, name, NULL);

      remove_tree (below);
    }
  g_remove (path);
}

static void
fake_root_init (FakeRoot *self)
{
  self->root = g_dir_make_tmp ("zie-root-XXXXXX", NULL);
  put (self, "/proc/meminfo", "MemTotal:       16000 kB\nMemFree:  1 kB\nMemAvailable:   12000 kB\n");
  put (self, "/proc/self/status", "Name:\tx\nVmHWM:\t     300 kB\nVmRSS:\t     200 kB\nRssAnon:\t     100 kB\n");
}

static void
fake_root_clear (FakeRoot *self)
{
  remove_tree (self->root);
  g_free (self->root);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FakeRoot, fake_root_clear)

static void
test_plain (void)
{
  g_auto(FakeRoot) fake;
  ZieMemoryUse use;

  fake_root_init (&fake);
  zie_query_memory_at (fake.root, &use);
  g_assert_cmpuint (use.ram_total, ==, 16000 * 1024);
  g_assert_cmpuint (use.ram_available, ==, 12000 * 1024);
  g_assert_cmpuint (use.process_anonymous, ==, 100 * 1024);
  g_assert_cmpuint (use.process_resident, ==, 200 * 1024);
  g_assert_cmpuint (use.process_peak, ==, 300 * 1024);
}

/* The limit of the outer group holds for the inner one too; cached files count as free. */
static void
test_cgroup_v2 (void)
{
  g_auto(FakeRoot) fake;
  ZieMemoryUse use;

  fake_root_init (&fake);
  put (&fake, "/proc/self/cgroup", "0::/outer/inner\n");
  put (&fake, "/sys/fs/cgroup/outer/inner/memory.max", "max\n");
  put (&fake, "/sys/fs/cgroup/outer/memory.max", "8192000\n");
  put (&fake, "/sys/fs/cgroup/outer/memory.current", "5000000\n");
  put (&fake, "/sys/fs/cgroup/outer/memory.stat", "anon 1\nfile 2\ninactive_file 700000\nactive_file 300000\n");
  zie_query_memory_at (fake.root, &use);
  g_assert_cmpuint (use.ram_total, ==, 8192000);
  g_assert_cmpuint (use.ram_available, ==, 8192000 - 4000000);

  put (&fake, "/sys/fs/cgroup/outer/inner/memory.max", "1000\n");
  put (&fake, "/sys/fs/cgroup/outer/inner/memory.current", "2000\n");
  zie_query_memory_at (fake.root, &use);
  g_assert_cmpuint (use.ram_total, ==, 1000);
  g_assert_cmpuint (use.ram_available, ==, 0);
}

/* In a container the group's path may lead nowhere: the mount is the group's own. */
static void
test_cgroup_v2_container (void)
{
  g_auto(FakeRoot) fake;
  ZieMemoryUse use;

  fake_root_init (&fake);
  put (&fake, "/proc/self/cgroup", "0::/kubepods/some/pod\n");
  put (&fake, "/sys/fs/cgroup/memory.max", "4096000\n");
  put (&fake, "/sys/fs/cgroup/memory.current", "96000\n");
  zie_query_memory_at (fake.root, &use);
  g_assert_cmpuint (use.ram_total, ==, 4096000);
  g_assert_cmpuint (use.ram_available, ==, 4000000);
}

static void
test_cgroup_v1 (void)
{
  g_auto(FakeRoot) fake;
  ZieMemoryUse use;

  fake_root_init (&fake);
  put (&fake, "/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/job\n");
  put (&fake, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put (&fake, "/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "6000000\n");
  put (&fake, "/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "3000000\n");
  put (&fake, "/sys/fs/cgroup/memory/job/memory.stat", "inactive_file 9\nactive_file 9\ntotal_inactive_file 400000\ntotal_active_file 100000\n");
  zie_query_memory_at (fake.root, &use);
  g_assert_cmpuint (use.ram_total, ==, 6000000);
  g_assert_cmpuint (use.ram_available, ==, 3500000);
}

static void
test_nothing_said (void)
{
  ZieMemoryUse use;

  zie_query_memory_at ("/nowhere/at/all", &use);
  g_assert_cmpuint (use.ram_total, ==, 0);
  g_assert_cmpuint (use.process_anonymous, ==, 0);
}

static void
test_this_machine (void)
{
  ZieMemoryUse before, after;
  gsize size = (gsize)32 << 20;
  char *block;

  zie_query_memory (&before);
  g_assert_cmpuint (before.ram_total, >, 0);
  g_assert_cmpuint (before.ram_available, <=, before.ram_total);
  g_assert_cmpuint (before.process_anonymous, >, 0);
  g_assert_cmpuint (before.process_anonymous, <=, before.process_resident);
  g_assert_cmpuint (before.process_resident, <=, before.process_peak + (1 << 20));

  block = g_malloc (size);
  memset (block, 1, size);
  zie_query_memory (&after);
  g_assert_cmpuint (block[size / 2], ==, 1);
  g_assert_cmpuint (after.process_anonymous, >, before.process_anonymous + size / 2);
  g_free (block);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/memory-use/plain", test_plain);
  g_test_add_func ("/memory-use/cgroup-v2", test_cgroup_v2);
  g_test_add_func ("/memory-use/cgroup-v2-container", test_cgroup_v2_container);
  g_test_add_func ("/memory-use/cgroup-v1", test_cgroup_v1);
  g_test_add_func ("/memory-use/nothing-said", test_nothing_said);
  g_test_add_func ("/memory-use/this-machine", test_this_machine);
  return g_test_run ();
}
