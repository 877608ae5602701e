/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What fuzz targets share.  A target is one function; libFuzzer calls it (option fuzz), or replay.c with the corpus. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <glib.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Ends with a message, in the way that libFuzzer notices (g_error() traps, which it does not). */
#define fuzz_fail(...) (g_printerr (__VA_ARGS__), g_printerr ("\n"), abort ())

/* A file that holds the SIZE bytes at DATA, by a path that may be opened until the next call.  Static string. */
const char *fuzz_file (const void *data, size_t size);

/* The folder data/ of the tree; of $FUZZ_DATADIR, where a target runs on another machine than it was built on.  Static string. */
const char *fuzz_data_dir (void);

/* ERROR, consumed: where a reader failed, it has to say what, in UTF-8, and name PATH. */
void fuzz_check_error (GError *error, const char *path);

/* Reads the bytes, so that sanitizers see when they are not ours. */
void fuzz_touch (const void *data, size_t size);
extern volatile guint8 fuzz_sum;
