/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-types.h>

G_BEGIN_DECLS

/* What a job was planned to take and what it took, as text for people and for bug reports: the model, the device, stages, bytes and
 * times against the plan's, shares of what the device can do, what stepped down or was computed again, versions.  Prompts and paths
 * are not in it.  It is filled by the job's events as their consumer gets them.  One thread at a time. */
typedef struct _ZieReport ZieReport;

/* PLAN: the one that the job was submitted with; referenced, as MODEL is; REQUEST is copied. */
ZIE_API ZieReport *zie_report_new (ZieModel *model, const ZieRequest *request, ZiePlan *plan);
ZIE_API void zie_report_free (ZieReport *self);
/* Every event of the job, in their order; what the report needs of EVENT is copied. */
ZIE_API void zie_report_add_event (ZieReport *self, const ZieEvent *event);
/* At any time: of a job that runs, what is known so far.  Free with g_free(). */
ZIE_API char *zie_report_to_text (const ZieReport *self);
/* N reports one after the other; the file appears at PATH by rename, whole or not at all.  Blocking.  Errors: WRITE. */
ZIE_API gboolean zie_report_save (ZieReport *const *reports, guint n, const char *path, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieReport, zie_report_free)

G_END_DECLS
