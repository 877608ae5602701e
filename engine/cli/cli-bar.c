/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli-bar.h"

#include <math.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_COLUMNS 80
#define MIN_BAR 8
#define MAX_BAR 40

gboolean
cli_bar_is_possible (void)
{
  return isatty (STDERR_FILENO) && g_strcmp0 (g_getenv ("TERM"), "dumb") != 0;
}

static int
n_columns (void)
{
  struct winsize size;

  return ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : DEFAULT_COLUMNS;
}

/* WIDTH cells, FRACTION of them full: in eighths where the locale has the blocks. */
static void
append_bar (GString *line, int width, double fraction)
{
  gboolean is_utf8 = g_get_charset (NULL);
  int eighths = (int)lround (fraction * width * 8);

  g_string_append (line, is_utf8 ? "▕" : "[");
  for (int i = 0; i < width; i++, eighths -= 8)
    if (!is_utf8)
      g_string_append_c (line, eighths >= 4 ? '#' : '.');
    else if (eighths <= 0)
      g_string_append_c (line, ' ');
    else
      g_string_append_unichar (line, 0x2590 - (gunichar)MIN (eighths, 8));   /* U+258F, an eighth … U+2588, full */
  g_string_append (line, is_utf8 ? "▏" : "]");
}

/* Columns that TEXT takes; East Asian letters take two. */
static int
display_width (const char *text)
{
  int width = 0;

  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      width += g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
    }

  return width;
}

void
cli_bar_draw (const char *before, double fraction, const char *after)
{
  int columns = n_columns (), room = columns - 1 - display_width (before) - display_width (after) - 6;
  GString *line = g_string_new ("\r");

  g_string_append (line, display_width (before) < columns ? before : "");
  if (room >= MIN_BAR)
    {
      g_string_append (line, "  ");
      append_bar (line, MIN (room, MAX_BAR), fraction);
    }
  if (display_width (before) + 2 + display_width (after) < columns)
    g_string_append_printf (line, "  %s", after);

  g_printerr ("%s\033[K", line->str);
  g_string_free (line, TRUE);
}

void
cli_bar_clear (void)
{
  g_printerr ("\r\033[K");
}
