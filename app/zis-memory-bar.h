/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_MEMORY_BAR (zis_memory_bar_get_type ())
G_DECLARE_FINAL_TYPE (ZisMemoryBar, zis_memory_bar, ZIS, MEMORY_BAR, GtkWidget)

/* The live gauge: the device's memory, what others use, what we use, what the plan needs and what may be used, with a
 * minute of history; in words for a screen reader.  A click shows the plan. */
void zis_memory_bar_setup (ZisMemoryBar *self, ZisSession *session);

/* What the present recipe takes: PLAN, or ERROR if it does not fit; both NULL = not known.  Copied. */
void zis_memory_bar_set_plan (ZisMemoryBar *self, ZiePlan *plan, const GError *error);
/* What the picture takes that is being made; NULL: none is.  It goes before what the present recipe takes.  Referenced. */
void zis_memory_bar_set_job_plan (ZisMemoryBar *self, ZiePlan *plan);
/* Opens the plan, as a click does. */
void zis_memory_bar_show_plan (ZisMemoryBar *self);
/* The gauge in words. */
const char *zis_memory_bar_get_text (ZisMemoryBar *self);

G_END_DECLS
