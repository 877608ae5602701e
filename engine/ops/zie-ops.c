/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ops"

#include "zie-ops.h"
