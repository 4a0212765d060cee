/* SPDX-License-Identifier: BSD-2-Clause */
/* verify: this node's files against the log, and what it shows against what the members show. */
#include "config.h"

#include "agent/cmd/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cmd/progress.h"
#include "conf/escape.h"
#include "conf/hash.h"
#include "conf/json.h"
#include "conf/tree.h"

#define CHUNK_BYTES (1u << 20)
#define CHECK_MAX 200 /* the rest at its next pass */

struct verify {
	struct tree *tree;
	struct hash *hash;
	uint8_t *chunk;
	unsigned long long files, wrong, apart;
	struct progress *progress;
	uint64_t done, total;   /* bytes */
	bool json;              /* an array of what differs; else lines, and the sum */
	char *check[CHECK_MAX]; /* paths that the agent is to look at itself, and to put right */
	size_t nchecks;
};

/* Of the array, which is begun by its first item. */
static void
item_begins(const struct verify *v)
{
	fputs(v->wrong + v->apart == 0 ? "[" : ",\n ", stdout);
}

static void
differs(struct verify *v, const char *path, size_t len, const char *why)
{
	char text[4096];
	struct json j;

	progress_hide(v->progress);
	if (v->json) {
		json_init(&j);
		json_obj_open(&j, NULL);
		json_bytes(&j, "path", path, len);
		json_str(&j, "reason", why);
		json_obj_close(&j);
		item_begins(v);
		fputs(json_failed(&j) ? "{}" : json_text(&j, NULL), stdout);
		json_free(&j);
	} else {
		escape_print(text, sizeof(text), path, len);
		printf("%s: %s\n", text, why);
	}
	v->wrong++;
}

static void
verify_file(struct verify *v, const char *path, size_t len, const char *want)
{
	uint8_t hash[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	struct tfile *f;
	uint64_t off = 0;
	ssize_t got;

	v->files++;
	if (tree_open_file(v->tree, path, len, &f) < 0) {
		differs(v, path, len, "missing or unreadable");
		return;
	}
	hash_reset(v->hash);
	while ((got = tfile_read_at(f, off, v->chunk, CHUNK_BYTES)) > 0) {
		hash_update(v->hash, v->chunk, (size_t)got);
		off += (uint64_t)got;
		v->done += (uint64_t)got;
		progress_at(v->progress, v->done, v->total);
	}
	tfile_close(f);
	if (got < 0 || hash_final(v->hash, hash) < 0) {
		differs(v, path, len, "cannot be read");
		return;
	}
	hash_hex(hash, hex);
	if (strcmp(hex, want) == 0)
		return;
	differs(v, path, len, "the content is not what was logged");
	if (v->nchecks < CHECK_MAX && memchr(path, 0, len) == NULL &&
	    (v->check[v->nchecks] = strndup(path, len)) != NULL)
		v->nchecks++;
}

static void
verify_row(void *arg, const char *json, size_t len)
{
	char *path, hash[65];
	size_t path_len;
	uint64_t size;

	if (!table_shown(json, len, &path, &path_len, hash, &size))
		return;
	verify_file(arg, path, path_len, hash);
	free(path);
}

/* The agent looks for itself: what nobody wrote to it puts right from another member. */
static int
ask_to_check(struct command *c, struct verify *v)
{
	const char *words[CHECK_MAX + 1] = {"scrub"};
	int code = 0;

	for (size_t i = 0; i < v->nchecks; i++)
		words[i + 1] = v->check[i];
	if (v->nchecks > 0)
		code = cmd_ask(c, words, v->nchecks + 1, NULL, NULL);
	for (size_t i = 0; i < v->nchecks; i++)
		free(v->check[i]);
	return code;
}

static void
verify_total(void *arg, const char *json, size_t len)
{
	struct table_node node;
	struct verify *v = arg;

	if (table_node(json, len, &node))
		v->total = node.bytes;
}

/* How much there is to read. */
static void
verify_progress(struct command *c, struct verify *v)
{
	static const char *const words[] = {"top"};

	v->progress = progress_new("verify", true);
	c->quiet = true;
	if (v->progress != NULL)
		(void)!cmd_ask(c, words, 1, verify_total, v);
	c->quiet = false;
}

/* ---- beside the other members ---- */

static void
peer_row(void *arg, const char *json, size_t len)
{
	struct verify *v = arg;
	char path[4096], shown[4096], member[64], what[64];

	progress_hide(v->progress);
	if (v->json) {
		item_begins(v);
		fwrite(json, 1, len, stdout);
		v->apart++;
		return;
	}
	v->apart++;
	table_field(json, len, "path", path, sizeof(path));
	if (path[0] == '\0')
		table_field(json, len, "path_b64", path, sizeof(path));
	escape_print(shown, sizeof(shown), path, strlen(path));
	table_field(json, len, "member", member, sizeof(member));
	table_field(json, len, "difference", what, sizeof(what));
	printf("%s: %s, at %s\n", shown, what, member);
}

/* ---- the verb ---- */

static int
verify_here(struct command *c, struct verify *v)
{
	static const char *const words[] = {"shown"};
	struct tree_opts o = {c->conf->root, NULL};
	int code;

	if (tree_open(&o, &v->tree, c->err, sizeof(c->err)) < 0)
		return cmd_fail(CONTROL_FAILED, "%s", c->err);
	verify_progress(c, v);
	code = cmd_ask(c, words, 1, verify_row, v);
	progress_free(v->progress);
	v->progress = NULL;
	tree_close(v->tree);
	return code == 0 ? ask_to_check(c, v) : code;
}

/* Index against index: what the members show, path by path. */
static int
verify_peers(struct command *c, struct verify *v, bool rehash)
{
	const char *words[] = {rehash ? "rehash" : "compare"};

	return cmd_ask(c, words, 1, peer_row, v);
}

static void
conclude(const struct verify *v, bool peers)
{
	if (v->json) {
		puts(v->wrong + v->apart == 0 ? "[]" : "]");
		return;
	}
	printf("%llu files, %llu different\n", v->files, v->wrong);
	if (peers)
		printf("%llu differences between members\n", v->apart);
}

int
cmd_verify(struct command *c)
{
	struct verify v = {.json = c->json};
	bool peers = false, rehash = false;
	int code;

	for (int i = 0; i < c->nargs; i++) {
		rehash = rehash || strcmp(c->args[i], "--rehash") == 0;
		peers = peers || strcmp(c->args[i], "--peers") == 0;
		if (strcmp(c->args[i], "--rehash") != 0 && strcmp(c->args[i], "--peers") != 0)
			return cmd_fail(CONTROL_USAGE, "verify: %s: no such option", c->args[i]);
	}
	if (rehash && !peers)
		return cmd_fail(CONTROL_USAGE, "verify: --rehash goes with --peers");
	v.hash = hash_new();
	v.chunk = malloc(CHUNK_BYTES);
	code = v.hash != NULL && v.chunk != NULL ? verify_here(c, &v)
						 : cmd_fail(CONTROL_FAILED, "out of memory");
	if (code == 0 && peers)
		code = verify_peers(c, &v, rehash);
	hash_free(v.hash);
	free(v.chunk);
	if (code == 0 || (v.json && v.wrong + v.apart > 0))
		conclude(&v, peers);
	return code != 0 ? code : v.wrong + v.apart > 0 ? CONTROL_FAILED : CONTROL_OK;
}
