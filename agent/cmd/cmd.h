/* SPDX-License-Identifier: BSD-2-Clause */
/* The command `mimeo`: what its files share. */
#ifndef MIMEO_AGENT_CMD_CMD_H
#define MIMEO_AGENT_CMD_CMD_H

#include "agent/control.h"
#include "conf/settings.h"

#define CMD_IDLE_MS 250

struct progress;
struct command {
	const char *file;      /* the configuration */
	struct settings *conf; /* NULL for verbs that need none */
	char **args;           /* behind the verb */
	int nargs;
	bool json;
	bool quiet;                /* what fails is not said */
	struct progress *progress; /* of the question under way, if it tells how far it is */
	void (*idle)(struct command *c, void *arg); /* CMD_IDLE_MS long the agent said nothing */
	void *idle_arg;
	char err[4096 + SETTINGS_ERROR_BYTES_MAX];
};

/* Prints "mimeo: text" on standard error and returns the code. */
int cmd_fail(int code, const char *fmt, ...) PRINTF(2, 3);

/*
 * A TIME as people write it, to wall ms in digits: "2026-01-02 03:04[:05[.678]]" or with T instead
 * of the space (local time; with Z behind it UTC), "2026-01-02", seconds since 1970, or a duration
 * such as 90m: so long ago. last: of a second without a fraction the last millisecond, else the
 * first. False: not a time.
 */
#define CMD_TIME_BYTES 32
bool cmd_time(const char *text, bool last, char out[CMD_TIME_BYTES]);

/* ask.c: sends words to the agent; row is called for each JSON row (terminated text). Returns the
 * agent's exit code; CONTROL_NO_AGENT if nobody listens. Its message goes to standard error, or to
 * standard output with code 0. */
NODISCARD int cmd_ask(struct command *c, const char *const *words, size_t n,
		      void (*row)(void *arg, const char *json, size_t len), void *arg);

/* main.c: the rows as they come: one JSON array, or an object a line. The agent's exit code. */
NODISCARD int cmd_ask_json(struct command *c, const char *const *words, size_t n, bool array);

/* usage.c: are these the options and as many words as the verb's usage line names? `--json` always
 * is. A word in brackets may be left out, `|` stands between alternatives, `...` takes any number.
 * 0, or CONTROL_USAGE after printing what is wrong. */
int cmd_usage(const char *verb, const char *usage, char *const *args, int nargs);

/* table.c: the one user of jansson. Rows come in as JSON and leave as an aligned table of these
 * columns. */
struct table;
struct table_column {
	const char *key; /* of the row */
	const char *title;
	enum { COL_TEXT, COL_BYTES, COL_HASH, COL_TIME, COL_STATE } kind;
};
struct table *table_new(const struct table_column *columns, size_t n);
void table_row(void *table, const char *json, size_t len);
/* So many rows are printed as soon as they are there; columns only become wider then. */
void table_pages(struct table *t, size_t rows);
void table_flush(struct table *t); /* prints the rows that are there, and forgets them */
void table_print(struct table *t); /* and frees it */
/* The one object of `status`, for people: in colour on a terminal, unless NO_COLOR is set. */
void table_status(const char *json, size_t len);
/* Reads path, hash and size of a row of `shown`. false: not one. path is malloc'ed. */
bool table_shown(const char *json, size_t len, char **path, size_t *path_len, char hash[65],
		 uint64_t *size);

/* The text under a key of a row, or "", cut to fit. */
void table_field(const char *json, size_t len, const char *key, char *out, size_t size);

/* "1234567", "1206K", "97G". */
void table_bytes(uint64_t bytes, char *out, size_t size);
/* What `top` shows, out of its rows: the first is the object of `status`. Texts are cut to fit, and
 * safe to print. */
#define TABLE_PATH_BYTES 400
struct table_node {
	char name[64], state[16], halted[256];
	uint64_t files, bytes, pending, held, conflicts, errors;
};
struct table_peer {
	char name[64], state[16];
	bool connected;
	uint64_t pending, pending_bytes, in, out, rtt_ms;
	double lag;
};
struct table_transfer {
	char path[TABLE_PATH_BYTES], from[64], state[16];
	uint64_t have, size;
};
bool table_node(const char *json, size_t len, struct table_node *out); /* false: not one */
size_t table_peers(const char *json, size_t len, struct table_peer *out, size_t max); /* of it */
bool table_transfer(const char *json, size_t len, struct table_transfer *out);

/* invite.c: an ed25519 key pair at path and path.pub. 0, or the code after printing why not. */
int cmd_keygen(const char *path, const char *comment);
/* A directory of this user's alone below the state directory, for keys that live a moment: key,
 * key.pub, known_hosts. 0, or the code after printing why not. */
#define CMD_PATH_BYTES 4200
int cmd_private_dir(const struct command *c, char dir[CMD_PATH_BYTES]);
void cmd_private_dir_gone(const char *dir);

/* local.c */
bool cmd_agent_runs(const struct command *c);
struct member;
/* Entries into the WAL, as far as they are newer than what is there, and sshd's files, while the
 * agent does not run. The code after printing what failed. */
int cmd_take_members(struct command *c, const struct member *m, size_t n);
/* Has this node logged nothing yet? -errno. The agent does not run. */
int cmd_nothing_logged(struct command *c);

/* preview.c: what joining would do to this node's files. */
struct preview;
struct preview *preview_new(struct command *c); /* NULL after printing why not */
void preview_free(struct preview *p);
/* So many rows will come, about: from now on it can say how long it still takes. */
void preview_expect(struct preview *p, uint64_t rows);
/* Rows of the cluster's list (PROTOCOL.md, "Joining"). False: that is no list, or no memory. */
bool preview_rows(struct preview *p, const void *rows, size_t len);
/* All rows came: looks at what else lies here, and prints the sum. The code of a failure, or 0. */
int preview_print(struct preview *p);
/* Moves what the cluster does not know to WORK/unknown. The code of a failure, or 0. */
int preview_hold(struct preview *p);

int cmd_invite(struct command *c);
int cmd_join(struct command *c);
int cmd_init(struct command *c);
int cmd_check(struct command *c);
int cmd_put(struct command *c);
int cmd_authorize(struct command *c);
int cmd_authorized_keys(struct command *c);
int cmd_key(struct command *c);
int cmd_verify(struct command *c);
int cmd_top(struct command *c);
int cmd_reload(struct command *c);

#endif
