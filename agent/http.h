/* SPDX-License-Identifier: BSD-2-Clause */
/* The HTTP side: metrics, status, health, the page for people and the miss handler. The one user of
 * libmicrohttpd. */
#ifndef MIMEO_AGENT_HTTP_H
#define MIMEO_AGENT_HTTP_H

#include "agent/links.h"
#include "agent/node.h"
#include "conf/loop.h"

/*
 * Runs inside the loop, on http.listen; GET and HEAD only, no bodies. /sync/metrics, /sync/status,
 * /healthz, /readyz, /, /media/PATH (README). Everything it needs of others it looks up; nothing
 * waits for it. If the address cannot be had, that is said, counted (reason "http"), and tried
 * again every HTTP_RETRY_MS: replication goes on without.
 *
 * A request must be there HTTP_REQUEST_MS after its connection began or its predecessor was
 * answered, with at most HTTP_HEADER_BYTES_MAX of header; a client that takes no byte for
 * HTTP_IDLE_MS is dropped; above HTTP_CONNECTIONS_MAX the rest waits in the kernel's queue.
 */
#define HTTP_CONNECTIONS_MAX 1024
#define HTTP_HEADER_BYTES_MAX (32u * 1024)
#define HTTP_REQUEST_MS 20000
#define HTTP_IDLE_MS 30000
#define HTTP_RETRY_MS 10000
#define HTTP_METRICS_MS 100 /* metrics and page are made anew at most so often */
#define HTTP_PAGE_MS 250
#define HTTP_BARRIER_MS 1000       /* /sync/status waits so long for the watcher */
#define HTTP_MISS_MS 30000         /* /media waits so long for what a member has */
#define HTTP_READY_BEHIND_MS 60000 /* /readyz: a change that waits longer than this is too much */

struct http;

/* -ENOMEM. An empty http.listen is fine: nothing is opened. */
NODISCARD int http_open(struct node *n, struct loop *loop, struct links *links, struct http **out);
void http_close(struct http *h); /* NULL is fine */
/* Once a turn. Takes over a changed http.listen. */
void http_turn(struct http *h);
uint64_t http_deadline(const struct http *h);

#endif
