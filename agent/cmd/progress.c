/* SPDX-License-Identifier: BSD-2-Clause */
/* How far long work has come. */
#include "config.h"

#include "agent/cmd/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/cmd/cmd.h"
#include "conf/clock.h"

#define BAR_MAX 40
#define LINE_BYTES 320
#define RATE_MS 500      /* a rate is taken over at least that */
#define FADE 0.3         /* weight of the newest */
#define RATE_LEAST 0.001 /* a second: below that there is no telling how long it takes */

struct progress {
	const char *what;
	bool bytes, shown;
	uint64_t began_ms, drawn_ms;
	uint64_t then, then_ms; /* the last look for the rate */
	double rate;            /* a second; 0: not known yet */
};

struct progress *
progress_new(const char *what, bool bytes)
{
	const char *term = getenv("TERM");
	struct progress *p;

	if (!isatty(STDERR_FILENO) || term == NULL || strcmp(term, "dumb") == 0)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (p != NULL)
		*p = (struct progress){.what = what, .bytes = bytes, .began_ms = clock_mono_ms()};
	return p;
}

static unsigned
columns(void)
{
	struct winsize w = {0};

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col == 0 ? 80 : w.ws_col;
}

static void
amount(const struct progress *p, uint64_t n, char out[32])
{
	if (p->bytes)
		table_bytes(n, out, 32);
	else
		snprintf(out, 32, "%llu", (unsigned long long)n);
}

static size_t
put_bar(char *line, size_t size, double part, unsigned room)
{
	unsigned width = room < BAR_MAX ? room : BAR_MAX, full = (unsigned)(part * width);
	size_t len = 0;

	line[len++] = '[';
	for (unsigned i = 0; i < width && len + 2 < size; i++)
		line[len++] = i < full ? '#' : '.';
	line[len++] = ']';
	line[len] = '\0';
	return len;
}

static void
draw(struct progress *p, uint64_t done, uint64_t total)
{
	char line[LINE_BYTES], have[32], all[32], rate[32], left[48] = "";
	unsigned width = columns();
	size_t len = 0;

	amount(p, done, have);
	amount(p, total, all);
	amount(p, (uint64_t)p->rate, rate);
	if (p->rate >= RATE_LEAST && total > 0) {
		uint64_t s = (uint64_t)((double)(total - done) / p->rate);

		snprintf(left, sizeof(left), "  %llu:%02llu left", (unsigned long long)(s / 60),
			 (unsigned long long)(s % 60));
	}
	if (total > 0 && width > 70)
		len = put_bar(line, sizeof(line), (double)done / (double)total, width - 70);
	if (total > 0)
		snprintf(line + len, sizeof(line) - len, " %3u %%  %s of %s  %s/s%s",
			 (unsigned)((double)done * 100 / (double)total), have, all, rate, left);
	else
		snprintf(line, sizeof(line), "%s  %s/s", have, rate);
	fprintf(stderr, "\r%s %.*s\033[K", p->what, (int)width - 2 - (int)strlen(p->what), line);
	p->shown = true;
}

static void
take_rate(struct progress *p, uint64_t done, uint64_t now)
{
	double rate;

	if (p->then_ms == 0)
		p->then_ms = p->began_ms;
	if (now < p->then_ms + RATE_MS)
		return;
	rate = done > p->then ? (double)(done - p->then) * 1000 / (double)(now - p->then_ms) : 0;
	p->rate = p->rate == 0 ? rate : p->rate * (1 - FADE) + rate * FADE;
	p->then = done;
	p->then_ms = now;
}

void
progress_at(struct progress *p, uint64_t done, uint64_t total)
{
	uint64_t now = p != NULL ? clock_mono_ms() : 0;

	if (p == NULL || now < p->began_ms + PROGRESS_FIRST_MS ||
	    now < p->drawn_ms + PROGRESS_EVERY_MS)
		return;
	p->drawn_ms = now;
	take_rate(p, done, now);
	draw(p, total > 0 && done > total ? total : done, total);
}

void
progress_hide(struct progress *p)
{
	if (p == NULL || !p->shown)
		return;
	fputs("\r\033[K", stderr);
	p->shown = false;
	p->drawn_ms = 0;
}

void
progress_free(struct progress *p)
{
	progress_hide(p);
	free(p);
}
