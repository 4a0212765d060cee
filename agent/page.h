/* SPDX-License-Identifier: BSD-2-Clause */
/* The status page for people: one HTML document that needs nothing else. */
#ifndef MIMEO_AGENT_PAGE_H
#define MIMEO_AGENT_PAGE_H

#include "agent/metrics.h"

#define PAGE_ROWS 20       /* of each list: the newest, or what waits longest */
#define PAGE_LOOK_MAX 2000 /* entries looked at to find them */
#define PAGE_NONCE_BYTES 17

/*
 * Appends the document. All facts are there without scripts; with them it renews itself every
 * second. Names are escaped so that they are text whatever they hold. nonce: 16 hexadecimal digits
 * that the Content-Security-Policy names too. problem: why the node is not ready; NULL: it is.
 */
void page_html(struct node *n, const struct metrics *m, const char *nonce, const char *problem,
	       struct buf *b);

#endif
