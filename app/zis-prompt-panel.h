/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_PROMPT_PANEL (zis_prompt_panel_get_type ())
G_DECLARE_FINAL_TYPE (ZisPromptPanel, zis_prompt_panel, ZIS, PROMPT_PANEL, GtkBox)

/* The prompt with its live token count and history, and the negative prompt where the model uses one.
 * SESSION, RECIPE and SETTINGS are referenced. */
void zis_prompt_panel_setup (ZisPromptPanel *self, ZisSession *session, ZisRecipe *recipe, GSettings *settings);

void zis_prompt_panel_focus (ZisPromptPanel *self);
/* Puts the prompt into the history (settings key "prompt-history"), newest first. */
void zis_prompt_panel_remember (ZisPromptPanel *self);
/* One entry back (+1) or forward (-1) in the history.  FALSE at its end. */
gboolean zis_prompt_panel_recall (ZisPromptPanel *self, int delta);
/* The model changed: its fields appear or go, and the tokens are counted again. */
void zis_prompt_panel_update (ZisPromptPanel *self);

G_END_DECLS
