/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define ZIE_API __attribute__ ((visibility ("default")))

/* The version of the engine that is running, "MAJOR.MINOR.MICRO".  Static string. */
ZIE_API const char *zie_version (void);

G_END_DECLS
