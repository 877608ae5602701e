/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_PARAMETER_PANEL (zis_parameter_panel_get_type ())
G_DECLARE_FINAL_TYPE (ZisParameterPanel, zis_parameter_panel, ZIS, PARAMETER_PANEL, GtkBox)

/* Size presets as pictures of their shape with what each will take, number of pictures, seed, and what is rarely
 * changed.  Signal "planned" (gpointer ZiePlan or NULL, gpointer GError or NULL): what the present recipe takes. */
void zis_parameter_panel_setup (ZisParameterPanel *self, ZisSession *session, ZisRecipe *recipe);

/* The model or the budget changed. */
void zis_parameter_panel_update (ZisParameterPanel *self);

G_END_DECLS
