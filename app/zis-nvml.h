/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The driver's own account of a card's memory, from libnvidia-ml.so.1 opened at run time: there is nothing to link
 * against, and most machines do not have it. */
typedef struct _ZisNvml ZisNvml;

#define ZIS_NVML_UNKNOWN G_MAXUINT64

/* NULL where the library or the driver is missing. */
ZisNvml *zis_nvml_open (void);
void zis_nvml_close (ZisNvml *self);
/* Bytes of the card that PCI_ID names (INDEX where that is ""; CUDA counts cards in another order, and may see only some of them):
 * all, in use by anybody, in use by this process (ZIS_NVML_UNKNOWN where the driver does not tell: it knows processes by the
 * numbers that they have outside of any sandbox). */
gboolean zis_nvml_query (ZisNvml *self, const char *pci_id, guint index, guint64 *total, guint64 *used, guint64 *ours);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZisNvml, zis_nvml_close)

G_END_DECLS
