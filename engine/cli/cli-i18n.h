/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <libintl.h>

/* Words for people go through these; JSON, option names and what other programs read stay as they are. */
#define _(text) gettext (text)
#define N_(text) text
