/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* One line on standard error that is drawn again and again: words, a bar, words. */

/* Standard error is a terminal that can. */
gboolean cli_bar_is_possible (void);
/* FRACTION of the bar is full; where the line is narrow, the bar goes first, then AFTER. */
void cli_bar_draw (const char *before, double fraction, const char *after);
void cli_bar_clear (void);
