/* SPDX-License-Identifier: BSD-2-Clause */
/* log: what the log's files have, what was superseded too; and with --follow what comes then. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/annals.h"
#include "agent/verbs.h"

struct logging {
	struct annals_want want;
	struct annals *annals;
	bool gathered, told;
};

/* Digits, as the command makes them. */
static bool
number(const char *word, uint64_t *v)
{
	char *end;

	*v = strtoull(word, &end, 10);
	return *word >= '0' && *word <= '9' && *end == '\0';
}

/* False: the request has ended. */
static bool
read_words(struct request *q, struct annals_want *want)
{
	for (size_t k = 1; k < q->nwords; k++) {
		const char *word = q->words[k], *value = k + 1 < q->nwords ? q->words[k + 1] : "";
		bool good = true;

		if (strcmp(word, "--follow") == 0)
			q->follow = true;
		else if (strcmp(word, "--limit") == 0 && ++k > 0)
			good = number(value, &want->limit);
		else if (strcmp(word, "--since-ms") == 0 && ++k > 0)
			good = number(value, &want->since_ms);
		else
			want->path = word;
		if (!good) {
			verb_end(q, CONTROL_USAGE, "log: %s: '%s' is no number", word, value);
			return false;
		}
	}
	return true;
}

/* What the log has now comes out of its files, what it gets from now on out of memory. */
static int
begin(struct request *q)
{
	struct logging *l = q->logging = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	l->want.limit = UINT64_MAX;
	if (!read_words(q, &l->want))
		return 0;
	index_cursor_begin(q->node->index, &q->cursor);
	q->cursor_begun = true;
	index_cursor_last(q->node->index, &q->cursor);
	return annals_new(q->node, &l->want, &l->annals);
}

/* 1: not yet. */
static int
gather(struct logging *l)
{
	int r = l->gathered ? 0 : annals_step(l->annals);

	l->gathered = r == 0;
	return r;
}

static int
tell(struct request *q)
{
	struct logging *l = q->logging;
	const struct record *r;
	int e = 1;

	while (!l->told && !verb_full(q) && (e = annals_next(l->annals, &r)) == 1)
		verb_record_row(q, r);
	if (e == 0 && !l->told) {
		l->told = true;
		if (annals_cut(l->annals))
			verb_note(q, "only the last %u records are shown: name a PATH",
				  ANNALS_ROWS_MAX);
		annals_free(l->annals); /* --follow may last */
		l->annals = NULL;
	}
	return e < 0 ? e : 0;
}

static void
follow(struct request *q)
{
	const struct irec *i;

	while (!verb_full(q) && (i = index_cursor_next(q->node->index, &q->cursor)) != NULL)
		if (annals_wants(&q->logging->want, i->r))
			verb_record_row(q, i->r);
}

void
verb_log(struct request *q)
{
	int r = q->logging == NULL ? begin(q) : 0;

	if (r == 0 && !q->ended)
		r = gather(q->logging);
	q->busy = r > 0;
	if (r == 0 && !q->ended)
		r = tell(q);
	if (r < 0)
		verb_end(q, CONTROL_FAILED, "log: %s", strerror(-r));
	if (r != 0 || q->ended || !q->logging->told)
		return;
	if (q->follow)
		follow(q);
	else
		verb_end(q, CONTROL_OK, "%s", "");
}

void
verb_log_clear(struct request *q)
{
	if (q->logging == NULL)
		return;
	annals_free(q->logging->annals);
	free(q->logging);
	q->logging = NULL;
}
