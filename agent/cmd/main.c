/* SPDX-License-Identifier: BSD-2-Clause */
/* mimeo: the table of verbs, and the verbs that only ask the agent. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/cmd/cmd.h"
#include "agent/cmd/progress.h"
#include "conf/clock.h"

#define WORDS_MAX 200

int
cmd_fail(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("mimeo: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

/* ---- rows as they come: --json ---- */

struct lines {
	bool array; /* one JSON array; else an object a line */
	size_t n;
};

static void
print_json(void *arg, const char *json, size_t len)
{
	struct lines *l = arg;

	if (l->array)
		fputs(l->n == 0 ? "[" : ",\n ", stdout);
	l->n++;
	fwrite(json, 1, len, stdout);
	if (!l->array) {
		putchar('\n');
		fflush(stdout);
	}
}

int
cmd_ask_json(struct command *c, const char *const *words, size_t n, bool array)
{
	struct lines l = {array, 0};
	int code = cmd_ask(c, words, n, print_json, &l);

	if (array && (l.n > 0 || code == 0))
		puts(l.n == 0 ? "[]" : "]");
	return code;
}

/* ---- verbs that ask ---- */

static int
ask(struct command *c, const char *verb, const struct table_column *columns, size_t ncolumns,
    bool array)
{
	const char *words[WORDS_MAX] = {verb};
	struct table *t;
	int code;

	for (int i = 0; i < c->nargs && i < WORDS_MAX - 1; i++)
		words[i + 1] = c->args[i];
	if (c->nargs > WORDS_MAX - 1)
		return cmd_fail(CONTROL_USAGE, "too many arguments");
	if (c->json || columns == NULL)
		return cmd_ask_json(c, words, 1 + (size_t)c->nargs, array && c->json);
	t = table_new(columns, ncolumns);
	code = cmd_ask(c, words, 1 + (size_t)c->nargs, table_row, t);
	table_print(t);
	return code;
}

static void
status_row(void *arg, const char *json, size_t len)
{
	const struct command *c = arg;

	if (c->json)
		printf("%s\n", json);
	else
		table_status(json, len);
}

static int
cmd_status(struct command *c)
{
	static const char *const words[] = {"status"};

	return cmd_ask(c, words, 1, status_row, c);
}

static int
cmd_peers(struct command *c)
{
	static const struct table_column columns[] = {{"name", "NAME", COL_TEXT},
						      {"address", "ADDRESS", COL_TEXT},
						      {"state", "STATE", COL_STATE},
						      {"last_contact", "LAST CONTACT", COL_TIME},
						      {"rtt_ms", "RTT ms", COL_TEXT},
						      {"pending", "LACKS", COL_TEXT},
						      {"admitted_by", "LET IN BY", COL_TEXT},
						      {"last_error", "LAST ERROR", COL_TEXT}};

	return ask(c, "peers", columns, ARRAY_LEN(columns), true);
}

static const struct table_column log_columns[] = {
	{"time", "TIME", COL_TIME},  {"node", "NODE", COL_TEXT}, {"op", "OP", COL_TEXT},
	{"size", "SIZE", COL_BYTES}, {"hash", "HASH", COL_HASH}, {"path", "PATH", COL_TEXT}};

static int
cmd_history(struct command *c)
{
	return ask(c, "history", log_columns, ARRAY_LEN(log_columns), false);
}

static int
cmd_pending(struct command *c)
{
	static const struct table_column columns[] = {{"state", "STATE", COL_TEXT},
						      {"attempts", "TRIES", COL_TEXT},
						      {"retry_in_ms", "NEXT ms", COL_TEXT},
						      {"reason", "REASON", COL_TEXT},
						      {"path", "PATH", COL_TEXT}};

	return ask(c, "pending", columns, ARRAY_LEN(columns), true);
}

static int
cmd_errors(struct command *c)
{
	static const struct table_column columns[] = {{"time", "TIME", COL_TIME},
						      {"peer", "PEER", COL_TEXT},
						      {"reason", "REASON", COL_TEXT},
						      {"text", "TEXT", COL_TEXT},
						      {"path", "PATH", COL_TEXT}};

	return ask(c, "errors", columns, ARRAY_LEN(columns), true);
}

static int
cmd_whohas(struct command *c)
{
	static const struct table_column columns[] = {{"node", "NODE", COL_TEXT},
						      {"state", "STATE", COL_TEXT},
						      {"version", "VERSION", COL_TEXT},
						      {"hash", "HASH", COL_HASH},
						      {"last_error", "LAST ERROR", COL_TEXT}};

	return ask(c, "whohas", columns, ARRAY_LEN(columns), true);
}

static int
cmd_explain(struct command *c)
{
	static const struct table_column columns[] = {
		{"state", "STATE", COL_TEXT},     {"reason", "REASON", COL_TEXT},
		{"heads", "HEADS", COL_TEXT},     {"conflicts", "CONFLICTS", COL_TEXT},
		{"ignored", "IGNORED", COL_TEXT}, {"path", "PATH", COL_TEXT}};

	return ask(c, "explain", columns, ARRAY_LEN(columns), true);
}

static const struct table_column version_columns[] = {
	{"id", "ID", COL_TEXT},      {"time", "TIME", COL_TIME}, {"node", "NODE", COL_TEXT},
	{"size", "SIZE", COL_BYTES}, {"hash", "HASH", COL_HASH}, {"expires", "EXPIRES", COL_TIME},
	{"on", "KEPT ON", COL_TEXT}, {"path", "PATH", COL_TEXT}};

static int
cmd_conflicts(struct command *c)
{
	if (c->nargs > 0)
		return ask(c, "conflicts", NULL, 0, false);
	return ask(c, "conflicts", version_columns, ARRAY_LEN(version_columns), true);
}

/* Milliseconds behind the point; the first or the last of the second if there is none. */
static const char *
parse_fraction(const char *p, bool last, unsigned *ms)
{
	unsigned digit = 100;

	*ms = last ? 999 : 0;
	if (*p != '.')
		return p;
	*ms = 0;
	for (p++; *p >= '0' && *p <= '9'; p++) {
		*ms += (unsigned)(*p - '0') * digit;
		digit /= 10;
	}
	return p;
}

bool
cmd_time(const char *text, bool last, char out[CMD_TIME_BYTES])
{
	static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
					    "%Y-%m-%d %H:%M", "%Y-%m-%d", "%s"};
	uint64_t ago;
	unsigned ms;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct tm tm = {.tm_isdst = -1};
		const char *end = strptime(text, forms[i], &tm);
		bool utc;
		time_t t;

		if (end == NULL)
			continue;
		end = parse_fraction(end, last, &ms);
		utc = *end == 'Z';
		if (end[utc] != '\0')
			continue;
		t = utc ? timegm(&tm) : mktime(&tm);
		snprintf(out, CMD_TIME_BYTES, "%lld%03u", (long long)t, ms);
		return t > 0;
	}
	if (value_duration(text, &ago) < 0 || ago >= clock_wall_ms())
		return false;
	snprintf(out, CMD_TIME_BYTES, "%llu", (unsigned long long)(clock_wall_ms() - ago));
	return true;
}

#define LOG_PAGE_ROWS 1000

/* A log may be long, or have no end. */
static void
flush_table(struct command *c, void *table)
{
	(void)c;
	table_flush(table);
}

static int
log_table(struct command *c)
{
	const char *words[WORDS_MAX] = {"log"};
	struct table *t = table_new(log_columns, ARRAY_LEN(log_columns));
	int code;

	for (int i = 0; i < c->nargs && i < WORDS_MAX - 1; i++)
		words[i + 1] = c->args[i];
	table_pages(t, LOG_PAGE_ROWS);
	c->idle = flush_table;
	c->idle_arg = t;
	code = cmd_ask(c, words, 1 + (size_t)c->nargs, table_row, t);
	table_print(t);
	return code;
}

static int
cmd_log(struct command *c)
{
	char ms[CMD_TIME_BYTES];
	uint64_t v;

	for (int i = 0; i + 1 < c->nargs; i++) {
		if (strcmp(c->args[i], "--limit") == 0 && value_number(c->args[i + 1], &v) < 0)
			return cmd_fail(CONTROL_USAGE, "log: --limit takes a number");
		if (strcmp(c->args[i], "--since") != 0)
			continue;
		if (!cmd_time(c->args[i + 1], false, ms))
			return cmd_fail(CONTROL_USAGE,
					"%s: not a time; try '2026-01-31 18:00' or 90m",
					c->args[i + 1]);
		c->args[i] = (char *)(uintptr_t) "--since-ms";
		c->args[i + 1] = ms;
	}
	if (c->nargs > WORDS_MAX - 1)
		return cmd_fail(CONTROL_USAGE, "too many arguments");
	return c->json ? ask(c, "log", NULL, 0, false) : log_table(c);
}

static int
cmd_trash(struct command *c)
{
	char at[CMD_TIME_BYTES];

	for (int i = 0; i + 1 < c->nargs; i++)
		if (strcmp(c->args[i], "--at") == 0) {
			if (!cmd_time(c->args[i + 1], true, at))
				return cmd_fail(CONTROL_USAGE,
						"%s: not a time; try '2026-01-31 18:00'",
						c->args[i + 1]);
			c->args[i + 1] = at;
		}
	if (c->nargs > 0 && strcmp(c->args[0], "restore") == 0)
		return ask(c, "trash", NULL, 0, false);
	return ask(c, "trash", version_columns, ARRAY_LEN(version_columns), true);
}

/* On a terminal the agent is asked to say how far it is. */
static int
ask_with_progress(struct command *c, const char *verb, const struct table_column *columns,
		  size_t ncolumns)
{
	char **args = calloc((size_t)c->nargs + 1, sizeof(char *));
	int code;

	if (args == NULL)
		return cmd_fail(CONTROL_FAILED, "out of memory");
	memcpy(args, c->args, (size_t)c->nargs * sizeof(char *));
	c->args = args;
	c->progress = progress_new(verb, false);
	if (c->progress != NULL)
		args[c->nargs++] = (char *)(uintptr_t) "--progress";
	code = ask(c, verb, columns, ncolumns, true);
	progress_free(c->progress);
	free(args);
	return code;
}

/* option: the one that takes the time; last: of a second that is named, the end counts. */
static int
rewind_verb(struct command *c, const char *verb, const char *option, bool last)
{
	static const struct table_column columns[] = {
		{"act", "ACT", COL_TEXT},         {"state", "STATE", COL_TEXT},
		{"time", "VERSION OF", COL_TIME}, {"node", "BY", COL_TEXT},
		{"size", "SIZE", COL_BYTES},      {"path", "PATH", COL_TEXT},
		{"reason", "REASON", COL_TEXT}};
	char ms[CMD_TIME_BYTES];

	for (int i = 0; i + 1 < c->nargs; i++)
		if (strcmp(c->args[i], option) == 0) {
			if (!cmd_time(c->args[i + 1], last, ms))
				return cmd_fail(CONTROL_USAGE,
						"%s: not a time; try '2026-01-31 18:00' or 90m",
						c->args[i + 1]);
			c->args[++i] = ms;
		}
	return ask_with_progress(c, verb, columns, ARRAY_LEN(columns));
}

static int
cmd_restore(struct command *c)
{
	return rewind_verb(c, "restore", "--at", true);
}

static int
cmd_undo(struct command *c)
{
	return rewind_verb(c, "undo", "--since", false);
}

struct waiting {
	struct progress *progress;
	struct table_peer *peer;
	uint64_t most; /* that was lacking at any time */
	uint64_t sent; /* before */
	bool begun;
};

/* What is on its way counts too, if it goes out from here. */
static void
lacking(void *arg, const char *json, size_t len)
{
	struct waiting *w = arg;
	uint64_t lack = 0, sent = 0, done;
	size_t peers = table_peers(json, len, w->peer, MEMBERS_MAX);

	for (size_t i = 0; i < peers; i++) {
		lack += w->peer[i].pending_bytes;
		sent += w->peer[i].out;
	}
	if (peers == 0)
		return;
	w->sent = w->begun && w->sent < sent ? w->sent : sent;
	w->begun = true;
	w->most = lack > w->most ? lack : w->most;
	done = sent - w->sent < w->most ? sent - w->sent : w->most;
	if (w->most > 0)
		progress_at(w->progress, done > w->most - lack ? done : w->most - lack, w->most);
}

/* What the members lack, asked beside the question that waits for it. */
static void
look_at_members(struct command *c, void *arg)
{
	static const char *const words[] = {"top"};
	struct command other = {.file = c->file, .conf = c->conf, .quiet = true};

	(void)!cmd_ask(&other, words, 1, lacking, arg);
}

static int
wait_with_progress(struct command *c)
{
	struct waiting w = {.progress = progress_new("wait", true)};
	int code;

	if (w.progress != NULL)
		w.peer = calloc(MEMBERS_MAX, sizeof(*w.peer));
	c->progress = w.progress;
	if (w.peer != NULL) {
		c->idle = look_at_members;
		c->idle_arg = &w;
	}
	code = ask(c, "wait", NULL, 0, false);
	progress_free(w.progress);
	free(w.peer);
	return code;
}

/* As in the configuration; a number alone is seconds, as for timeout(1). */
static int
timeout_value(const char *text, uint64_t *ms)
{
	char seconds[32];

	if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
		return value_duration(text, ms);
	snprintf(seconds, sizeof(seconds), "%.20ss", text);
	return value_duration(seconds, ms);
}

/* Durations become milliseconds for the agent. */
static int
cmd_wait(struct command *c)
{
	static char ms[32];
	uint64_t v;

	for (int i = 0; i + 1 < c->nargs; i++) {
		if (strcmp(c->args[i], "--peers") == 0 && strcmp(c->args[i + 1], "all") != 0 &&
		    value_number(c->args[i + 1], &v) < 0)
			return cmd_fail(CONTROL_USAGE, "wait: --peers takes a number, or all");
		if (strcmp(c->args[i], "--timeout") != 0)
			continue;
		if (timeout_value(c->args[i + 1], &v) < 0)
			return cmd_fail(CONTROL_USAGE,
					"wait: --timeout takes a duration such as 60s");
		snprintf(ms, sizeof(ms), "%llu", (unsigned long long)v);
		c->args[i] = (char *)(uintptr_t) "--timeout-ms";
		c->args[i + 1] = ms;
	}
	return wait_with_progress(c);
}

static int
cmd_pause(struct command *c)
{
	return ask(c, "pause", NULL, 0, false);
}

static int
cmd_resume(struct command *c)
{
	return ask(c, "resume", NULL, 0, false);
}

static int
cmd_leave(struct command *c)
{
	return ask(c, "leave", NULL, 0, false);
}

static int
cmd_forget(struct command *c)
{
	return ask(c, "forget", NULL, 0, false);
}

/* ---- the table ---- */

struct verb_row {
	const char *name, *args, *what, *example;
	bool needs_conf;
	int (*run)(struct command *c);
};

static const struct verb_row rows[] = {
	{"init",
	 "--name NAME --root DIR [--state DIR] [--work DIR] [--address HOST:PORT] | --marker",
	 "creates state, work, key and a commented configuration; --marker puts back a lost marker",
	 "mimeo init --name web1 --root /srv/www/media --address web1.example.com:22", false,
	 cmd_init},
	{"check-config", "",
	 "reads the configuration as the daemons would and tries what they need",
	 "mimeo check-config", false, cmd_check},
	{"key", "", "prints this node's line for `authorize` on the others", "mimeo key", true,
	 cmd_key},
	{"authorize", "LINE | --list [--json] | --remove NAME", "lets another node in",
	 "mimeo authorize 'mimeo1 web2 web2.example.com:22 mimeo ssh-ed25519 AAAA... ssh-ed25519 "
	 "AAAA...'",
	 true, cmd_authorize},
	{"invite", "[--ttl 1h]", "prints a block with which one newcomer may join",
	 "mimeo invite --ttl 10m", true, cmd_invite},
	{"join", "- [--hold-unknown] [--yes]",
	 "joins the cluster whose invitation stands on standard input",
	 "ssh web1 mimeo invite | mimeo join - --yes", true, cmd_join},
	{"leave", "", "this node is no member any more; its files stay", "mimeo leave", true,
	 cmd_leave},
	{"forget", "NAME", "that node is no member any more: its keys are refused everywhere",
	 "mimeo forget web3", true, cmd_forget},
	{"authorized-keys", "USER", "for sshd's AuthorizedKeysCommand",
	 "AuthorizedKeysCommand /usr/bin/mimeo authorized-keys %u", true, cmd_authorized_keys},
	{"status", "[--json]", "is everything everywhere? 0 yes, 3 not yet, 4 no agent, 5 halted",
	 "mimeo status", true, cmd_status},
	{"peers", "[--json]", "one line a member", "mimeo peers", true, cmd_peers},
	{"wait", "[PATH...] [--peers N|all] [--timeout 60s]",
	 "until all members have what is closed now",
	 "cp a.jpg /srv/www/media/ && mimeo wait --timeout 10s a.jpg", true, cmd_wait},
	{"whohas", "PATH [--json]", "which member has which version", "mimeo whohas 2026/a.jpg",
	 true, cmd_whohas},
	{"explain", "PATH [--json]", "why it is, or is not, in sync", "mimeo explain 2026/a.jpg",
	 true, cmd_explain},
	{"log", "[--follow] [--since TIME] [--limit N] [PATH] [--json]",
	 "what was changed, oldest first, as far back as the log goes, what was superseded since "
	 "too; the last N; since TIME: '2026-01-31 18:00', or 90m ago; --follow goes on with what "
	 "comes",
	 "mimeo log --since 2h 2026", true, cmd_log},
	{"history", "PATH [--json]", "the records of one path, as far back as the log goes",
	 "mimeo history 2026/a.jpg", true, cmd_history},
	{"pending", "[--json]", "what waits, and why", "mimeo pending", true, cmd_pending},
	{"errors", "[--json]", "what went wrong lately", "mimeo errors", true, cmd_errors},
	{"conflicts", "[--json] | restore ID [TO] | drop ID", "losing versions of concurrent edits",
	 "mimeo conflicts restore 5f3c…-1a a-other.jpg", true, cmd_conflicts},
	{"trash", "list [PATH] [--json] | restore PATH [--at TIME]",
	 "deleted and replaced versions", "mimeo trash restore 2026/a.jpg", true, cmd_trash},
	{"restore", "--at TIME [PATH...] [--dry-run] [--json]",
	 "all, or what PATH names, becomes what it was then, on all nodes, as new versions; TIME: "
	 "'2026-01-31 18:00', or 90m ago",
	 "mimeo restore --at '2026-01-31 18:00' 2026/wedding --dry-run", true, cmd_restore},
	{"undo", "--origin NODE --since TIME [PATH...] [--dry-run] [--json]",
	 "takes back what that node wrote and deleted since then; what others wrote over it stays",
	 "mimeo undo --origin web2 --since 90m --dry-run", true, cmd_undo},
	{"verify", "[--peers [--rehash]] [--json]",
	 "re-hashes this node's files against the log; with --peers, what the members show is "
	 "compared; with --rehash they read their files again, too",
	 "mimeo verify --peers", true, cmd_verify},
	{"put", "FILE [NAME]", "stores a file under its content address", "mimeo put a.jpg", true,
	 cmd_put},
	{"pause", "", "fetch and apply stop, logging goes on", "mimeo pause", true, cmd_pause},
	{"resume", "[--accept-deletes | --accept-origin ORIGIN]",
	 "they go on; held deletes, or a frozen origin, too, if accepted", "mimeo resume", true,
	 cmd_resume},
	{"top", "", "members and transfers, live; q ends", "mimeo top", true, cmd_top},
	{"reload", "", "both daemons read the configuration again", "mimeo reload", true,
	 cmd_reload},
};

static int
help(FILE *to)
{
	fputs("usage: mimeo [-c FILE] VERB ...\n\n"
	      "  -c FILE     configuration (else $MIMEO_CONF, else " SYSCONFDIR
	      "/mimeo/mimeo.conf)\n"
	      "  --json      data as JSON, where a verb prints data\n"
	      "  --version   the version\n\n",
	      to);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		fprintf(to, "  %-16s %s\n", rows[i].name, rows[i].what);
	fputs("\n`mimeo VERB --help` says more. Exit codes: 0 done, in sync; 1 failed; 2 usage or "
	      "configuration;\n"
	      "3 not in sync, or timed out; 4 no agent; 5 halted by the root guard.\n\nexample: "
	      "mimeo status\n",
	      to);
	return to == stdout ? CONTROL_OK : CONTROL_USAGE;
}

static int
verb_help(const struct verb_row *r)
{
	printf("usage: mimeo [-c FILE] %s %s\n\n%s\n\nexample: %s\n", r->name, r->args, r->what,
	       r->example);
	return CONTROL_OK;
}

/* Takes --json and the like out of the arguments; paths below the root become relative. */
static void
tidy_args(struct command *c)
{
	size_t root = c->conf != NULL ? strlen(c->conf->root) : 0;
	int n = 0;

	for (int i = 0; i < c->nargs; i++) {
		char *a = c->args[i];

		if (strcmp(a, "--json") == 0) {
			c->json = true;
			continue;
		}
		if (root > 0 && strncmp(a, c->conf->root, root) == 0 && a[root] == '/')
			a += root + 1;
		c->args[n++] = a;
	}
	c->nargs = n;
}

static int
run_verb(struct command *c, const struct verb_row *r)
{
	int code;

	for (int i = 0; i < c->nargs; i++)
		if (strcmp(c->args[i], "--help") == 0)
			return verb_help(r);
	code = cmd_usage(r->name, r->args, c->args, c->nargs);
	if (code != CONTROL_OK)
		return code;
	if (r->needs_conf && settings_load(c->file, &c->conf, c->err, sizeof(c->err)) < 0) {
		fprintf(stderr, "%s%s\n", c->err,
			access(c->file, F_OK) < 0 ? ": `mimeo init` makes one, -c names another"
						  : "");
		return CONTROL_USAGE;
	}
	if (strcmp(r->name, "put") != 0 && strcmp(r->name, "join") != 0)
		tidy_args(c);
	code = r->run(c);
	settings_free(c->conf);
	if (fflush(stdout) != 0)
		return CONTROL_FAILED;
	return code;
}

int
main(int argc, char **argv)
{
	const char *env = getenv("MIMEO_CONF");
	struct command c = {.file = env != NULL && env[0] != '\0' ? env
								  : SYSCONFDIR "/mimeo/mimeo.conf"};
	int i = 1;

	while (i < argc && argv[i][0] == '-') {
		if (strcmp(argv[i], "--help") == 0)
			return help(stdout);
		if (strcmp(argv[i], "--version") == 0) {
			puts("mimeo " PACKAGE_VERSION);
			return CONTROL_OK;
		}
		if (strcmp(argv[i], "-c") != 0 || i + 1 == argc)
			return help(stderr);
		c.file = argv[i + 1];
		i += 2;
	}
	if (i == argc)
		return help(stderr);
	c.args = argv + i + 1;
	c.nargs = argc - i - 1;
	for (size_t k = 0; k < ARRAY_LEN(rows); k++)
		if (strcmp(rows[k].name, argv[i]) == 0)
			return run_verb(&c, &rows[k]);
	return cmd_fail(CONTROL_USAGE, "%s: no such verb; see mimeo --help", argv[i]);
}
