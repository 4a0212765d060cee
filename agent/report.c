/* SPDX-License-Identifier: BSD-2-Clause */
/* The watcher's report: flat JSON of our own making, so finding "key": is enough to read it. */
#include "config.h"

#include "agent/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REPORT_BYTES_MAX 4096
#define REPORT_PATH_BYTES_MAX 4200

static uint64_t
number(const char *text, const char *key)
{
	char quoted[40];
	const char *p;

	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	p = strstr(text, quoted);
	return p != NULL ? strtoull(p + strlen(quoted), NULL, 10) : 0;
}

static bool
is_fresh(FILE *f, uint64_t wall_ms)
{
	struct stat st;
	uint64_t ms;

	if (fstat(fileno(f), &st) < 0)
		return false;
	ms = (uint64_t)st.st_mtim.tv_sec * 1000 + (uint64_t)st.st_mtim.tv_nsec / 1000000;
	return ms + REPORT_FRESH_MS > wall_ms;
}

void
report_read(const char *run, uint64_t wall_ms, struct report *out)
{
	char path[REPORT_PATH_BYTES_MAX], text[REPORT_BYTES_MAX];
	FILE *f;

	*out = (struct report){0};
	snprintf(path, sizeof(path), "%s/watcher.json", run);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	out->fresh = is_fresh(f, wall_ms);
	fclose(f);
	out->scan_running = strstr(text, "\"running\":true") != NULL;
	out->scan_done = number(text, "done");
	out->scan_total = number(text, "total");
	out->dirty = number(text, "dirty");
	out->held = number(text, "held");
	out->watches = number(text, "watches");
	out->watch_limit = number(text, "watch_limit");
	out->unwatched = number(text, "unwatched");
	out->events = number(text, "events");
	out->overflows = number(text, "overflows");
	out->hashed_bytes = number(text, "hashed_bytes");
}
