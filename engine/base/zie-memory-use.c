/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include "zie-memory-use.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The files of /proc and /sys say that they have no size, so they are read to their end; 64 KB holds any of these.
 * NULL when it cannot be read. */
static char *
read_small (const char *root, const char *path)
{
  g_autofree char *full = g_strconcat (root, path, NULL);
  g_autofree char *text = g_malloc (65536);
  gsize have = 0;
  gssize n = 0;
  int fd = open (full, O_RDONLY | O_CLOEXEC);

  if (fd < 0)
    return NULL;
  while (have < 65535 && (n = read (fd, text + have, 65535 - have)) > 0)
    have += (gsize)n;
  close (fd);

  if (n < 0)
    return NULL;
  text[have] = '\0';
  return g_steal_pointer (&text);
}

/* The number after KEY at the start of a line of TEXT; 0 when it is not there. */
static guint64
find_number (const char *text, const char *key)
{
  gsize length = strlen (key);

  for (const char *line = text; line != NULL && *line != '\0'; line = strchr (line, '\n'))
    {
      line += *line == '\n';
      if (strncmp (line, key, length) == 0)
        return g_ascii_strtoull (line + length, NULL, 10);
    }

  return 0;
}

/* FILE of a control group's FOLDER as a number; G_MAXUINT64 for "max" or when it cannot be read. */
static guint64
read_limit (const char *root, const char *folder, const char *file)
{
  g_autofree char *path = g_strconcat (folder, "/", file, NULL);
  g_autofree char *text = read_small (root, path);

  return text == NULL || !g_ascii_isdigit (*text) ? G_MAXUINT64 : g_ascii_strtoull (text, NULL, 10);
}

/* The words of one kind of control group: version 2's single tree, version 1's memory tree. */
typedef struct
{
  const char *mount;
  const char *limit, *use;
  const char *inactive, *active;      /* cached files: what was used once, what is used again and again */
} CgroupKind;

static const CgroupKind cgroup_v2 = { "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file ", "active_file " };
static const CgroupKind cgroup_v1 = { "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                      "total_inactive_file ", "total_active_file " };

/* Lowers USE to what the group at PATH, or one that it is in, allows. */
static void
apply_cgroup (const char *root, const CgroupKind *kind, const char *path, ZieMemoryUse *use)
{
  g_autofree char *folder = g_strconcat (kind->mount, path, NULL);
  gsize shortest = strlen (kind->mount);

  for (;;)
    {
      guint64 limit, used, free_now;
      char *slash;

      limit = read_limit (root, folder, kind->limit);
      if (limit < G_MAXINT64 / 2 && (limit < use->ram_total || use->ram_total == 0))      /* v1: huge = none */
        {
          g_autofree char *stat_path = g_strconcat (folder, "/memory.stat", NULL);
          g_autofree char *stat = read_small (root, stat_path);

          used = read_limit (root, folder, kind->use);
          /* Cached files make room when asked to.  Weights are read again each step, so they count as active ones. */
          used -= MIN (used, find_number (stat, kind->inactive) + find_number (stat, kind->active));
          free_now = limit - MIN (limit, used);
          use->ram_total = limit;
          use->ram_available = MIN (use->ram_available, free_now);
        }

      slash = strrchr (folder, '/');
      if (slash == NULL || (gsize)(slash - folder) < shortest)
        break;
      *slash = '\0';
    }
}

/* Finds this process' memory group; inside a container its path may not exist below the mount, whose root then is the
 * container's own group. */
static void
apply_cgroups (const char *root, ZieMemoryUse *use)
{
  g_autofree char *text = read_small (root, "/proc/self/cgroup");
  g_auto(GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_auto(GStrv) fields = g_strsplit (lines[i], ":", 3);
      g_auto(GStrv) controllers = NULL;

      if (g_strv_length (fields) != 3)
        continue;
      controllers = g_strsplit (fields[1], ",", -1);
      if (*fields[1] == '\0')
        apply_cgroup (root, &cgroup_v2, g_str_equal (fields[2], "/") ? "" : fields[2], use);
      else if (g_strv_contains ((const char *const *)controllers, "memory"))
        apply_cgroup (root, &cgroup_v1, g_str_equal (fields[2], "/") ? "" : fields[2], use);
    }
}

void
zie_query_memory_at (const char *root, ZieMemoryUse *use)
{
  g_autofree char *meminfo = read_small (root, "/proc/meminfo");
  g_autofree char *status = read_small (root, "/proc/self/status");

  *use = (ZieMemoryUse) {
    .ram_total = find_number (meminfo, "MemTotal:") * 1024,
    .ram_available = find_number (meminfo, "MemAvailable:") * 1024,
    .process_anonymous = find_number (status, "RssAnon:") * 1024,
    .process_resident = find_number (status, "VmRSS:") * 1024,
    .process_peak = find_number (status, "VmHWM:") * 1024,
  };
  apply_cgroups (root, use);
}

void
zie_query_memory (ZieMemoryUse *use)
{
  zie_query_memory_at ("", use);
}
