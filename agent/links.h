/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections as descriptors: children that dial, the socket where sshd's forced command attaches,
 * bytes to and from sessions. */
#ifndef MIMEO_AGENT_LINKS_H
#define MIMEO_AGENT_LINKS_H

#include "agent/node.h"
#include "conf/loop.h"

#define LINKS_TUBES_MAX                                                                            \
	1024 /* connections at once, those that have not said who they are included */
#define LINKS_HEADER_MS 10000 /* an attached connection must have sent its header line by then */
/* SSH handshakes that this node begins at once: when all come back together, each takes long enough
 * as it is, and one that is given up was work for nothing. */
#define LINKS_DIALS_MAX 6
#define LINKS_PEER_TUBES_MAX 4          /* connections of one peer at once */
#define LINKS_SOCKET_NAME "attach.sock" /* below node.run */

struct links;

/* Listens on RUN/attach.sock (mode 0600) and dials members with an address. err: one line on
 * failure. */
NODISCARD int links_open(struct node *n, struct loop *loop, struct links **out, char *err,
			 size_t err_len);
/* Says BYE to everyone and closes. NULL is fine. */
void links_close(struct links *k);
/* Once a turn: writes what sessions have to say, reads on where it was held back, closes what is
 * over, starts what should be dialled. */
void links_turn(struct links *k);
uint64_t links_deadline(const struct links *k);
/* How long until that member is dialled again, in ms; 0: it is connected, due, or never dialled. */
uint64_t links_backoff_ms(const struct links *k, const char *name);
/* The [peer NAME] sections are hints where to find those members. Again when they were read again.
 */
void links_configured(struct links *k);
/* That member is new or changed, or there is a hint: it may be dialled at once. */
void links_member(struct links *k, const char *name);

#endif
