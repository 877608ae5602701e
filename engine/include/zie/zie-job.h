/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-types.h>

G_BEGIN_DECLS

ZIE_API ZieJob *zie_job_ref (ZieJob *self);
ZIE_API void zie_job_unref (ZieJob *self);
ZIE_API guint64 zie_job_get_id (const ZieJob *self);
/* Any thread, returns at once; seen by the worker between two slices of work.  The job still ends with FINISHED. */
ZIE_API void zie_job_cancel (ZieJob *self);
ZIE_API gboolean zie_job_is_cancelled (const ZieJob *self);
/* TRUE when the job has finished within TIMEOUT_US (< 0: no limit). */
ZIE_API gboolean zie_job_wait (ZieJob *self, gint64 timeout_us);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieJob, zie_job_unref)

G_END_DECLS
