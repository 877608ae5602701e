/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie.h>

/* Ctrl+C: the first SIGINT, SIGTERM or SIGHUP cancels the jobs, the second ends the program where it stands (files
 * appear by rename, so none is half written). */
typedef struct _CliCancel CliCancel;

/* Takes the signals over from here to the end of the program; before any other thread is started, which would
 * otherwise get them.  Never freed: its thread waits as long as the program runs. */
CliCancel *cli_cancel_start (void);
/* While EXITS, the first signal already ends the program: for reads that may wait for a person. */
void cli_cancel_set_exits (CliCancel *self, gboolean exits);
/* JOB is cancelled when a signal comes or came. */
void cli_cancel_add_job (CliCancel *self, ZieJob *job);
void cli_cancel_all (CliCancel *self);
gboolean cli_cancel_is_set (CliCancel *self);
