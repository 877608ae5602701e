/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* Another program on card number INDEX: takes random amounts of its memory and gives them back, until it is killed; at least LEAVE
 * bytes stay free.  Returns (an exit status) only where there is no card. */
int soak_hog (int index, guint64 leave, guint32 seed);
