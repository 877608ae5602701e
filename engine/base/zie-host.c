/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include "zie-host.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <zie/zie-error.h>

/* From here on large pages pay; below they would only round memory up. */
#define LARGE_PAGE ((gsize)2 << 20)

char *
zie_host_parse_cpu_name (const char *cpuinfo)
{
  /* x86, then ARM boards and older kernels of other machines. */
  static const char *const keys[] = { "model name", "Hardware", "cpu model", "cpu" };
  g_auto(GStrv) lines = g_strsplit (cpuinfo, "\n", -1);

  for (guint k = 0; k < G_N_ELEMENTS (keys); k++)
    for (guint i = 0; lines[i] != NULL; i++)
      {
        const char *colon = strchr (lines[i], ':');
        g_autofree char *key = colon ? g_strchomp (g_strndup (lines[i], (gsize)(colon - lines[i]))) : NULL;
        g_autofree char *value = NULL;

        if (colon == NULL || !g_str_equal (key, keys[k]))
          continue;
        value = g_strstrip (g_strdup (colon + 1));
        if (*value != '\0' && g_utf8_validate (value, -1, NULL))
          return g_steal_pointer (&value);
      }
  return NULL;
}

void
zie_host_cpu_name (char *name, gsize size)
{
  g_autofree char *text = NULL;
  g_autofree char *found = NULL;
  struct utsname system;
  const char *end;

  if (g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL))
    found = zie_host_parse_cpu_name (text);
  if (found == NULL)
    found = g_strdup (uname (&system) == 0 ? system.machine : "CPU");
  g_strlcpy (name, found, size);
  if (!g_utf8_validate (name, -1, &end))
    name[end - name] = '\0';                    /* cut inside a character */
}

void *
zie_host_alloc (gsize size, GError **error)
{
  void *memory = mmap (NULL, MAX (size, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED)
    {
      g_autofree char *wanted = g_format_size_full (size, G_FORMAT_SIZE_IEC_UNITS);

      g_set_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY,
                   "%s of memory could not be reserved (%s): close other programs or ask for a smaller picture", wanted,
                   g_strerror (errno));
      return NULL;
    }
  if (size >= LARGE_PAGE)
    madvise (memory, size, MADV_HUGEPAGE);       /* advice: without it everything works, a little slower */
  return memory;
}

void
zie_host_free (void *memory, gsize size)
{
  if (memory != NULL)
    munmap (memory, MAX (size, 1));
}
