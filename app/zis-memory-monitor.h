/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

/* Four a second for a minute. */
#define ZIS_MEMORY_HZ 4
#define ZIS_MEMORY_HISTORY (60 * ZIS_MEMORY_HZ)

typedef struct
{
  gboolean is_vram;          /* else RAM */
  gboolean is_known;         /* FALSE: of others nothing is known, and of the total perhaps nothing */
  gboolean is_ours_known;
  guint64 total;
  guint64 others;            /* in use by other programs; by all where ours is not known */
  guint64 ours;
} ZisMemorySample;

#define ZIS_TYPE_MEMORY_MONITOR (zis_memory_monitor_get_type ())
G_DECLARE_FINAL_TYPE (ZisMemoryMonitor, zis_memory_monitor, ZIS, MEMORY_MONITOR, GObject)

/* Looks at the memory of the device four times a second, on a worker, while it runs.  Signal "sampled". */
ZisMemoryMonitor *zis_memory_monitor_new (void);

/* Whose memory: RAM for the CPU, else the card's, from NVML where it is there, else what the engine knows.  ZIE_FAKE_VRAM stands in for a card:
 * a size such as "6G", or the name of a file with "TOTAL OTHERS OURS" in bytes, read anew each time. */
void zis_memory_monitor_set_device (ZisMemoryMonitor *self, const ZieDevice *device);
/* Whose engine is asked each time what it holds of the card; without one it is what the device says. */
void zis_memory_monitor_set_session (ZisMemoryMonitor *self, ZisSession *session);
void zis_memory_monitor_set_running (ZisMemoryMonitor *self, gboolean running);

const ZisMemorySample *zis_memory_monitor_get_sample (ZisMemoryMonitor *self);
/* Samples of the last minute, oldest first; returns how many. */
guint zis_memory_monitor_get_history (ZisMemoryMonitor *self, ZisMemorySample samples[ZIS_MEMORY_HISTORY]);

G_END_DECLS
