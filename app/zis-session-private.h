/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-session.h"

G_BEGIN_DECLS

#define ZIS_MAX_DEVICES 16

struct _ZisSession
{
  GObject parent_instance;

  GSettings *settings;       /* owned */
  ZisQueue *queue;           /* owned */
  ZisSessionState state;
  GError *error;             /* owned or NULL */

  ZieEngine *engine;         /* owned or NULL */
  ZieModel *model;           /* owned or NULL */
  GSource *events;           /* owned or NULL */
  ZieDevice devices[ZIS_MAX_DEVICES];
  guint n_devices;

  guint open_source;         /* zis_session_open_soon() was called */
  GCancellable *opening;     /* owned or NULL: the newest zis_session_open() */
  GCancellable *planning;    /* owned or NULL: of the job about to start */
  ZieJob *running;           /* owned or NULL: what the engine works on */
  ZieReport *report;         /* owned or NULL: of the running job */
  GQueue texts;              /* owned strings: reports of the last jobs, the newest first */
};

G_END_DECLS
