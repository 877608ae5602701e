/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

/* extra_model_paths.yaml, by which a ComfyUI knows models elsewhere. */

#include "zie-model-places-private.h"

#include <string.h>

#include "zie-file.h"

#define MAX_SIZE (1 << 20)

/* One section of the file. */
typedef struct
{
  char *base;                  /* owned; "" at first */
  GPtrArray *folders;          /* owned strings, as they stand there */
} Section;

/* Keys whose folders may hold a part. */
static gboolean
is_known (const char *key)
{
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    for (const char *const *name = zie_model_part_rows[i].comfy; *name != NULL; name++)
      if (g_str_equal (key, *name))
        return TRUE;
  return FALSE;
}

/* TEXT without quotes and comment, in place. */
static char *
plain (char *text)
{
  char quote = *g_strstrip (text), *end;

  if ((quote == '"' || quote == '\'') && (end = strchr (text + 1, quote)) != NULL)
    {
      *end = '\0';
      return text + 1;
    }
  if (*text == '#')
    return text + strlen (text);
  if ((end = strstr (text, " #")) != NULL)
    *end = '\0';
  return g_strchomp (text);
}

/* A path of the file: ~ is the home folder, what is relative begins at BASE. */
static char *
expand (const char *path, const char *base)
{
  if (path[0] == '~' && (path[1] == '\0' || path[1] == G_DIR_SEPARATOR))
    return g_canonicalize_filename (path + 1 + strspn (path + 1, G_DIR_SEPARATOR_S), g_get_home_dir ());
  return g_canonicalize_filename (path, base);
}

/* The folders of SECTION into FOUND: the one that holds all kinds, where they lie as ComfyUI lays them, or each. */
static void
end_section (Section *section, const char *folder, GPtrArray *found)
{
  g_autofree char *base = expand (section->base, folder);

  for (guint i = 0; i < section->folders->len; i++)
    {
      char *path = expand (section->folders->pdata[i], base), *parent = g_path_get_dirname (path);

      if (zie_model_is_comfy (parent))
        {
          g_free (path);
          path = g_steal_pointer (&parent);
        }
      g_free (parent);
      g_ptr_array_add (found, path);
    }
  g_ptr_array_set_size (section->folders, 0);
  g_free (section->base);
  section->base = g_strdup ("");
}

GPtrArray *
zie_model_read_comfy_paths (const char *path)
{
  GPtrArray *found = g_ptr_array_new_with_free_func (g_free);
  gsize length;
  g_autofree char *text = zie_file_read (path, MAX_SIZE, &length, NULL), *folder = g_path_get_dirname (path);
  g_auto(GStrv) lines = text != NULL ? g_strsplit (text, "\n", -1) : NULL;
  Section section = { g_strdup (""), g_ptr_array_new_with_free_func (g_free) };
  gsize list_indent = 0;       /* of the key whose lines follow; 0: none */

  for (guint i = 0; lines != NULL && lines[i] != NULL; i++)
    {
      gsize indent = strspn (lines[i], " ");
      char *line = lines[i] + indent, *colon;

      if (*line == '\0' || *line == '#' || *line == '\r')
        continue;
      if (list_indent > 0 && indent > list_indent)
        {
          g_ptr_array_add (section.folders, g_strdup (plain (line)));
          continue;
        }
      list_indent = 0;
      if (indent == 0)
        end_section (&section, folder, found);
      if (indent == 0 || (colon = strchr (line, ':')) == NULL)
        continue;
      *colon = '\0';
      colon = plain (colon + 1);
      if (g_str_equal (line, "base_path"))
        {
          g_free (section.base);
          section.base = g_strdup (colon);
        }
      else if (is_known (line) && *colon == '|')
        list_indent = indent;
      else if (is_known (line) && *colon != '\0')
        g_ptr_array_add (section.folders, g_strdup (colon));
    }
  end_section (&section, folder, found);
  g_free (section.base);
  g_ptr_array_unref (section.folders);
  return found;
}
