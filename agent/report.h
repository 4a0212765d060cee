/* SPDX-License-Identifier: BSD-2-Clause */
/* What mimeo-watcher says of itself, once a second, in RUN/watcher.json. */
#ifndef MIMEO_AGENT_REPORT_H
#define MIMEO_AGENT_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#define REPORT_FRESH_MS 10000 /* an older report: the watcher does not run, or hangs */

/* Plain numbers; all zero if there is no report. Counters are since the watcher's start. */
struct report {
	bool fresh;
	bool scan_running;
	uint64_t scan_done, scan_total;           /* names */
	uint64_t dirty;                           /* names that wait to be looked at */
	uint64_t held;                            /* files that went back to older versions */
	uint64_t watches, watch_limit, unwatched; /* directories; the limit is the user's */
	uint64_t events, overflows, hashed_bytes;
};

/* run: the run directory. wall_ms: now. One small file is read. */
void report_read(const char *run, uint64_t wall_ms, struct report *out);

#endif
