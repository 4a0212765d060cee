/* SPDX-License-Identifier: BSD-2-Clause */
/* The member table over the sessions: who is a member, who is alive, and what nodes that are not
 * neighbours have applied. */
#ifndef MIMEO_AGENT_GOSSIP_H
#define MIMEO_AGENT_GOSSIP_H

#include "agent/node.h"
#include "proto/msg.h"

/*
 * - An entry that changed goes, once it is durable, to every neighbour that does not hear it from
 *   the same node anyway: each TABLE says whom its sender has sessions with.
 * - A TABLE carries the digest of the sender's table. Where it differs twice in a row, or at the
 *   first time in a session, the receiver sends its whole table, once for each pair of digests.
 * - What comes is judged by proto/admit.h. What is refused is logged and counted.
 * - Each node counts its own beat up; whoever hears a higher one knows that the node was alive.
 * - ACKs of a node go on to neighbours that have no session with it.
 */
#define GOSSIP_EVERY_MS 1000 /* a TABLE to each neighbour so often, at up to 32 members */
#define GOSSIP_ACK_MS 100    /* relayed ACKs at most so often */
/* A member without a session is alive while its beat was heard so lately; suspect until nothing was
 * heard for GOSSIP_DEAD_MS; then dead. */
#define GOSSIP_ALIVE_MS 5000
#define GOSSIP_DEAD_MS 10000

struct link;
struct peer;
struct gossip;

enum peer_state { PEER_DEAD, PEER_SUSPECT, PEER_ALIVE };

struct gossip *gossip_new(struct node *n); /* NULL: out of memory */
void gossip_free(struct gossip *g);
/* A session opened, or is over. */
void gossip_opened(struct gossip *g, struct link *l);
void gossip_closed(struct gossip *g, struct link *l);
void gossip_got_member(struct gossip *g, struct link *l, const struct msg *m);
/*
 * A node that is no member here was dialled because the configuration and known_hosts have it, and
 * lets this node in: it is asked for its table. When it has told its own entry, with the host key
 * that is pinned, that is taken, and the session ends: from then on it is a member like any other.
 */
void gossip_introduce(struct gossip *g, struct link *l);
void gossip_introduced(struct gossip *g, struct link *l, const struct msg *m);
void gossip_got_table(struct gossip *g, struct link *l, const struct msg *m);
/* An entry was folded into the index; it is told once gossip_durable is called. */
void gossip_folded(struct gossip *g, const struct member *m);
void gossip_durable(struct gossip *g);
/* Puts an entry of this node's own making into the WAL; it is told when it is durable. */
void gossip_put(struct gossip *g, const struct member *m);
/* Is an entry of that name under way, not durable yet? */
bool gossip_coming(const struct gossip *g, const char *name);
void gossip_tick(struct gossip *g);
uint64_t gossip_deadline(const struct gossip *g);
enum peer_state gossip_state(const struct gossip *g, const struct peer *p);
/* Somebody says that it failed: if this node has no session with it, it is suspect until it is
 * heard of again. */
void gossip_doubt(struct gossip *g, struct peer *p);
const char *gossip_state_name(enum peer_state s);
/* Is this node no member any more? *by: who said so (its own name: it left); valid for the turn. */
bool gossip_expelled(const struct gossip *g, const char **by);

#endif
