/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <zie/zie-event.h>

G_BEGIN_DECLS

/* Called on the main loop for each event, in order.  EVENT is freed afterwards: take what is to be kept. */
typedef void (*ZisEventFunc) (ZieEvent *event, gpointer user_data);

/* A source that drains QUEUE (referenced) in slices of a few milliseconds, so that a flood of bands never delays a
 * frame.  It does nothing until zis_event_source_wake() is called.  Returns a reference, not yet attached. */
GSource *zis_event_source_new (GAsyncQueue *queue, ZisEventFunc handle, gpointer user_data);

/* Something was pushed.  Any thread; never blocks.  SOURCE is a GSource made above: fits ZieWakeFunc. */
void zis_event_source_wake (gpointer source);

G_END_DECLS
