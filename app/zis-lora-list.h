/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <adwaita.h>

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_LORA_LIST (zis_lora_list_get_type ())
G_DECLARE_FINAL_TYPE (ZisLoraList, zis_lora_list, ZIS, LORA_LIST, AdwExpanderRow)

/* The recipe's LoRAs, a row each: its strength, a button that removes it.  Files are added by a dialog or dropped on it. */
void zis_lora_list_setup (ZisLoraList *self, ZisRecipe *recipe);

G_END_DECLS
