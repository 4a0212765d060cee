/* SPDX-License-Identifier: BSD-2-Clause */
/* The mass-delete brake: deletes that come in unlikely numbers are held until a person agrees. */
#ifndef MIMEO_AGENT_BRAKE_H
#define MIMEO_AGENT_BRAKE_H

#include "agent/node.h"

/*
 * Counted are deletes of files and links that are shown here, by the node that wrote them, over
 * BRAKE_WINDOW_MS of its own time. A delete whose content is live at another path, or about to be,
 * is a rename and no delete; one whose content turns up later is forgiven then. Above
 * guard.max_delete (the larger of the count and the percentage of the files shown here) all deletes
 * of that node that have not been applied yet are held, and so are those that follow: stored,
 * relayed, not applied, not acknowledged, until brake_accept.
 *
 * From a tenth of the limit on a delete waits until the burst it is part of has come to its end, so
 * that one that turns out to be too much is held as a whole.
 */
#define BRAKE_WINDOW_MS (10ull * 60 * 1000)
#define BRAKE_QUIET_MS 500  /* a burst has ended when nothing came for so long */
#define BRAKE_DELAY_MS 3000 /* the longest that one delete waits for that */
#define BRAKE_SAME_LOOK 256 /* paths with the same content that are looked at for a live one */
#define BRAKE_ENTRIES_MAX                                                                          \
	2000000 /* beyond it a delete that is not held already is held at once                     \
		 */

struct brake;

enum brake_verdict {
	BRAKE_GO,
	BRAKE_WAIT, /* until *retry_ms */
	BRAKE_HELD,
};

struct brake *brake_new(struct node *n);
void brake_free(struct brake *b);
/* The index is complete: what was held before, and what came lately, is taken up again. */
void brake_start(struct brake *b);
/* A record was folded; own: this node's watcher wrote it just now. */
void brake_record(struct brake *b, const struct irec *rec, bool own);
/* May this delete be applied now? */
enum brake_verdict brake_ask(struct brake *b, const struct irec *tomb, uint64_t *retry_ms);
/* A person agrees to everything that is held, and to the count so far. */
void brake_accept(struct brake *b);
void brake_tick(struct brake *b);
uint64_t brake_deadline(const struct brake *b);

#endif
