/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* A card in place of the plug-in's: the backend's own files (cuda-backend.c, cuda-weights.c) over the runtime without a card, with the
 * CPU's ops as kernels, which read the weights where the loader put them.  What is linked with it finds it as backend "cuda".  Streams
 * must be FAKE_EAGER.  Each op is a call of fake_try ("launch"), or of "upload" or "download". */

/* Call number NTH of linear from now on leaves a number that is not finite, as one beyond bf16's range would be; 0: none does. */
void sim_break_linear (guint nth);
