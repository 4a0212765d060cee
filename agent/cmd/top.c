/* SPDX-License-Identifier: BSD-2-Clause */
/* top: a live view of members and transfers. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cmd/cmd.h"
#include "agent/cmd/screen.h"
#include "agent/text.h"
#include "conf/clock.h"

#define EVERY_MS 1000
#define ROWS_MAX 2000 /* of one picture; what is more is left out */
#define FADE 0.3      /* weight of the last second in a rate that is shown */

/* What was seen of a member or a transfer, to know its rate. */
struct seen {
	char key[TABLE_PATH_BYTES];
	uint64_t in, out, ms;
	double in_rate, out_rate;
	bool fresh; /* in the picture that is being made */
};

struct top {
	struct table_node node;
	struct table_peer *peer;
	struct table_transfer *transfer;
	size_t npeers, ntransfers;
	struct seen *seen;
	size_t nseen;
};

/* ---- rates ---- */

/* NULL: out of memory. */
static struct seen *
seen_of(struct top *t, const char *key)
{
	struct seen *more;

	for (size_t i = 0; i < t->nseen; i++)
		if (strcmp(t->seen[i].key, key) == 0)
			return &t->seen[i];
	more = realloc(t->seen, (t->nseen + 1) * sizeof(*more));
	if (more == NULL)
		return NULL;
	t->seen = more;
	more[t->nseen] = (struct seen){0};
	snprintf(more[t->nseen].key, sizeof(more[t->nseen].key), "%s", key);
	return &more[t->nseen++];
}

static double
faded(double before, uint64_t then, uint64_t now, double seconds)
{
	double rate = now > then ? (double)(now - then) / seconds : 0;

	return before == 0 ? rate : before * (1 - FADE) + rate * FADE;
}

static const struct seen *
moved(struct top *t, const char *key, uint64_t in, uint64_t out)
{
	struct seen *s = seen_of(t, key);
	uint64_t now = clock_mono_ms();

	if (s == NULL)
		return NULL;
	if (s->ms != 0 && now > s->ms) {
		double seconds = (double)(now - s->ms) / 1000;

		s->in_rate = faded(s->in_rate, s->in, in, seconds);
		s->out_rate = faded(s->out_rate, s->out, out, seconds);
	}
	s->in = in;
	s->out = out;
	s->ms = now;
	s->fresh = true;
	return s;
}

/* What is no longer in the picture is forgotten. */
static void
forget(struct top *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->nseen; i++)
		if (t->seen[i].fresh) {
			t->seen[n] = t->seen[i];
			t->seen[n++].fresh = false;
		}
	t->nseen = n;
}

/* ---- what the agent says ---- */

static void
row(void *arg, const char *json, size_t len)
{
	struct top *t = arg;

	if (t->npeers == 0 && table_node(json, len, &t->node)) {
		t->npeers = table_peers(json, len, t->peer, ROWS_MAX);
		return;
	}
	if (t->ntransfers < ROWS_MAX && table_transfer(json, len, &t->transfer[t->ntransfers]))
		t->ntransfers++;
}

static int
look(struct command *c, struct top *t)
{
	static const char *const words[] = {"top"};

	t->npeers = t->ntransfers = 0;
	return cmd_ask(c, words, 1, row, t);
}

/* ---- the picture ---- */

static void
put_bytes(struct buf *b, int width, uint64_t bytes, const char *unit)
{
	char text[32], cell[48];

	table_bytes(bytes, text, sizeof(text));
	snprintf(cell, sizeof(cell), "%s%s", text, unit);
	text_put(b, "%*s", width, cell);
}

static void
put_node(const struct top *t, struct buf *b)
{
	const struct table_node *n = &t->node;

	text_put(b, "%s   %s   %llu files, ", n->name, n->state, (unsigned long long)n->files);
	put_bytes(b, 0, n->bytes, "");
	text_put(b, "   pending %llu, held %llu, conflicts %llu, errors %llu\n",
		 (unsigned long long)n->pending, (unsigned long long)n->held,
		 (unsigned long long)n->conflicts, (unsigned long long)n->errors);
	if (n->halted[0] != '\0')
		text_put(b, "HALTED %s\n", n->halted);
}

static void
put_peers(struct top *t, struct buf *b)
{
	text_str(b, "\nPEER              STATE    RTT ms    LACKS    LAG s        IN       OUT\n");
	for (size_t i = 0; i < t->npeers; i++) {
		const struct table_peer *p = &t->peer[i];
		const struct seen *s = moved(t, p->name, p->in, p->out);

		text_put(b, "%-17.17s %-8s ", p->name, p->connected ? p->state : "away");
		text_put(b, "%6llu %8llu %8.1f ", (unsigned long long)p->rtt_ms,
			 (unsigned long long)p->pending, p->lag);
		put_bytes(b, 9, s != NULL ? (uint64_t)s->in_rate : 0, "/s");
		text_str(b, " ");
		put_bytes(b, 9, s != NULL ? (uint64_t)s->out_rate : 0, "/s");
		text_str(b, "\n");
	}
}

static void
put_left(struct buf *b, const struct table_transfer *f, double rate)
{
	uint64_t left = rate >= 1 ? (uint64_t)((double)(f->size - f->have) / rate) : UINT64_MAX;

	if (left < 360000)
		text_put(b, "%3llu:%02llu", (unsigned long long)(left / 60),
			 (unsigned long long)(left % 60));
	else
		text_str(b, "     -");
}

static void
put_transfers(struct top *t, struct buf *b)
{
	char key[TABLE_PATH_BYTES];

	if (t->ntransfers == 0) {
		text_str(b, "\nNothing is coming in.\n");
		return;
	}
	text_str(b, "\nCOMING IN     OF           FROM              RATE   LEFT  PATH\n");
	for (size_t i = 0; i < t->ntransfers; i++) {
		const struct table_transfer *f = &t->transfer[i];
		const struct seen *s;

		snprintf(key, sizeof(key), "/%.*s", (int)sizeof(key) - 2, f->path);
		s = moved(t, key, f->have, 0);
		text_put(b, "%3u %%  ",
			 f->size > 0 ? (unsigned)((double)f->have * 100 / (double)f->size) : 100u);
		put_bytes(b, 7, f->have, "");
		text_str(b, " ");
		put_bytes(b, 7, f->size, "");
		text_str(b, " ");
		text_put(b, "%-13.13s ", f->from[0] != '\0' ? f->from : f->state);
		put_bytes(b, 9, s != NULL ? (uint64_t)s->in_rate : 0, "/s");
		text_str(b, " ");
		put_left(b, f, s != NULL ? s->in_rate : 0);
		text_put(b, "  %s\n", f->path);
	}
}

static void
picture(struct top *t, struct buf *b)
{
	buf_reset(b);
	put_node(t, b);
	put_peers(t, b);
	put_transfers(t, b);
	forget(t);
}

/* As many rows as there is room for, and one that says how to get out. */
static void
cut(struct buf *b, unsigned rows)
{
	size_t at = 0;

	for (unsigned n = 0; n + 1 < rows && at < b->len; n++) {
		const uint8_t *nl = memchr(b->data + at, '\n', b->len - at);

		at = nl != NULL ? (size_t)(nl - b->data) + 1 : b->len;
	}
	b->len = at;
	text_str(b, "q ends");
}

/* ---- once, or until it ends ---- */

static int
once(struct command *c, struct top *t)
{
	struct buf b = {0};
	int code = look(c, t);

	if (code == CONTROL_OK) {
		picture(t, &b);
		fwrite(b.data, 1, b.len, stdout);
	}
	buf_free(&b);
	return code;
}

static int
live(struct command *c, struct top *t)
{
	struct screen *s = NULL;
	struct buf b = {0};
	int e = screen_open(&s), code = CONTROL_OK;

	if (e < 0)
		return cmd_fail(CONTROL_FAILED, "the terminal: %s", strerror(-e));
	c->quiet = true;
	for (e = 0; e == 0;) {
		code = look(c, t);
		if (code == CONTROL_OK) {
			picture(t, &b);
		} else {
			buf_reset(&b);
			text_put(&b, "%s: mimeo-agent cannot be reached\n", c->conf->run);
		}
		cut(&b, screen_rows(s));
		e = screen_show(s, &b);
		if (e == 0)
			e = screen_wait(s, EVERY_MS);
		if (e > 0 && e != 'q' && e != 'Q' && e != 3 && e != 4)
			e = 0;
	}
	screen_close(s);
	buf_free(&b);
	return code;
}

int
cmd_top(struct command *c)
{
	struct top t = {.peer = calloc(ROWS_MAX, sizeof(*t.peer)),
			.transfer = calloc(ROWS_MAX, sizeof(*t.transfer))};
	int code;

	if (c->nargs > 0)
		code = cmd_fail(CONTROL_USAGE, "top: takes no arguments");
	else if (t.peer == NULL || t.transfer == NULL)
		code = cmd_fail(CONTROL_FAILED, "out of memory");
	else
		code = screen_can() ? live(c, &t) : once(c, &t);
	free(t.peer);
	free(t.transfer);
	free(t.seen);
	return code;
}
