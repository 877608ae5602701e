/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include <zie/zie-error.h>

G_DEFINE_QUARK (zie-error-quark, zie_error)
