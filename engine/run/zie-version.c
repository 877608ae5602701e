/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-run"

#include "config.h"

#include <zie/zie-version.h>

const char *
zie_version (void)
{
  return ZIE_VERSION;
}
