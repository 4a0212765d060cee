/* SPDX-License-Identifier: BSD-2-Clause */
/* What each verb of the command does in the agent. */
#ifndef MIMEO_AGENT_VERBS_H
#define MIMEO_AGENT_VERBS_H

#include "agent/control.h"
#include "conf/json.h"
#include "proto/index.h"

/* One request under way. control.c owns it; verbs keep their state in it. */
struct request {
	struct node *node;
	struct links *links;
	const char *words[CONTROL_WORDS_MAX];
	size_t nwords;
	struct buf out; /* frames for the client */
	bool ended;
	bool all; /* of root or the agent's own user: it may change things */
	const struct verb *verb;
	/* state of verbs that take more than one turn */
	unsigned phase;
	uint64_t barrier; /* asked of the watcher; 0: none */
	uint64_t since_ms;
	uint64_t asked_ms; /* wait: when the barrier was put */
	uint64_t timeout_ms;
	struct dotset target; /* wait: these dots */
	size_t peers_wanted;  /* wait: on so many others; SIZE_MAX: all */
	struct index_cursor cursor;
	bool cursor_begun, follow;
	char name[MEMBER_NAME_BYTES_MAX + 1]; /* of the member whose entry is awaited */
	size_t i;                             /* list: where it is */
	struct keepers *keepers;
	struct restore *restore;
	struct rewinding *rewinding; /* verb_rewind.c's */
	struct telling *telling;     /* verb_history.c's */
	struct logging *logging;     /* verb_log.c's */
	uint64_t progress_ms;        /* when it was last told how far it is */
	bool busy;                   /* it has more to do in the next turn, which comes at once */
	struct compare *compare;
};

struct verb {
	const char *name;
	bool anyone; /* members of the socket's group may ask; verb_may for what is more */
	/* Called until it has ended the request (verb_end): once at first, then on every turn;
	 * stops early when out is full. */
	void (*step)(struct request *q);
};

const struct verb *verb_find(const char *name);
/* Gives up what a request holds; the client is gone or served. */
void verb_clear(struct request *q);

/* For verbs. */
void verb_row(struct request *q, struct json *j); /* sends the object and frees it */
/* May whoever asks change things? If not, that ends the request. */
bool verb_may(struct request *q);
void verb_end(struct request *q, int code, const char *fmt, ...) PRINTF(3, 4);
/* Something to be said on standard error beside the answer. */
void verb_note(struct request *q, const char *fmt, ...) PRINTF(2, 3);
/* How far it is, a few times a second; to be called only if the client said --progress. */
void verb_progress(struct request *q, uint64_t done, uint64_t total);
/* "2026-01-02T03:04:05.678Z". */
#define VERB_TIME_BYTES 40
void verb_time_text(uint64_t wall_ms, char out[VERB_TIME_BYTES]);
/* The same; null for 0, never. */
void verb_time(struct json *j, const char *key, uint64_t wall_ms);
bool verb_full(const struct request *q); /* the client has enough to read for now */

/* verb_status.c */
struct peer;
void verb_status(struct request *q);
/* The object that `status` prints, and its "state"; watcher: it has answered a barrier just now. */
void verb_status_json(const struct node *n, bool watcher, struct json *j);
const char *verb_status_state(const struct node *n, bool watcher);
const char *verb_peer_state(const struct node *n, const struct peer *p); /* alive, suspect, dead */
void verb_wait(struct request *q);
void verb_peers(struct request *q);
/* Sends the row of `log` for a record. */
void verb_record_row(struct request *q, const struct record *r);
/* verb_log.c */
void verb_log(struct request *q);
void verb_log_clear(struct request *q);
/* verb_history.c */
void verb_history(struct request *q);
void verb_history_clear(struct request *q);
/* verb_members.c */
void verb_authorize(struct request *q);
void verb_authorized_keys(struct request *q);
void verb_invite(struct request *q);
void verb_adopt(struct request *q);
void verb_forget(struct request *q);
void verb_leave(struct request *q);
/* verb_store.c */
void verb_conflicts(struct request *q);
void verb_trash(struct request *q);
/* Lets a note say who did not tell what it keeps: whoever `silent` names one after the other. */
void verb_silent(struct request *q, const char *(*silent)(void *arg), void *arg);
/* verb_rewind.c */
void verb_restore(struct request *q);
void verb_undo(struct request *q);
void verb_rewind_clear(struct request *q);

#endif
