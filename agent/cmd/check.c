/* SPDX-License-Identifier: BSD-2-Clause */
/* check-config, verify, put: work on the user's own files. */
#include "config.h"

#include "agent/cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/escape.h"
#include "conf/hash.h"
#include "conf/json.h"
#include "conf/tree.h"
#include "proto/path.h"

#define CHUNK_BYTES (1u << 20)
#define CHECK_MAX 200 /* the rest at its next pass */

/* ---- check-config ---- */

static int problems;

static void
problem(const char *what, const char *where, int error)
{
	fprintf(stderr, "mimeo: %s: %s%s%s\n", where, what, error != 0 ? ": " : "",
		error != 0 ? strerror(-error) : "");
	problems++;
}

struct probe {
	struct tree *tree;
	bool seen;
};

/* One file that is there already: read, lease. */
static int
probe_file(void *arg, const char *name, size_t len, uint8_t d_type)
{
	struct probe *p = arg;
	struct tfile *f;
	int r;

	(void)d_type;
	if (path_check(name, len) < 0 || tree_open_file(p->tree, name, len, &f) < 0)
		return 0;
	p->seen = true;
	r = tfile_lease(f);
	if (r == -EPERM)
		problem("no read lease can be taken on files of others: run as their owner, as "
			"root, or with cap_lease",
			name, 0);
	tfile_close(f);
	return 1;
}

static void
probe_tree(const struct settings *s, struct tree *t)
{
	struct probe p = {t, false};
	struct tfile *f = NULL;
	struct sig sig;
	uint64_t have;
	int r = tree_list(t, "", 0, probe_file, &p);

	if (r < 0)
		problem("the root cannot be read", s->root, r);
	r = tree_stage_open(t, "check-config", 0, &f, &have);
	if (r == 0)
		r = tfile_set_meta(f, 0644, 1000000000,
				   s->owner_mode == OWNER_INHERIT ? UINT32_MAX : geteuid(),
				   UINT32_MAX);
	tfile_close(f);
	if (r < 0)
		problem("a staged file cannot be made or dressed", s->work, r);
	r = tree_place(t, "check-config", ".mimeo-check-config.tmp", 23);
	if (r == 0)
		r = tree_take(t, ".mimeo-check-config.tmp", 23, "check-config");
	if (r < 0)
		problem("files cannot be renamed between work and root", s->root, r);
	if (tree_stage_stat(t, "check-config", &sig) == 0)
		(void)!tree_stage_unlink(t, "check-config");
}

static void
probe_key(const struct settings *s)
{
	char *text = NULL, path[4200];
	size_t len = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s.pub", s->ssh_key);
	f = fopen(path, "re");
	if (f == NULL) {
		problem("cannot be read (made by `mimeo init`)", path, -errno);
		return;
	}
	if (getline(&text, &len, f) < 0 || strncmp(text, "ssh-ed25519 ", 12) != 0)
		problem("not an ed25519 key: RSA keys do not work here; make one with ssh-keygen "
			"-t ed25519",
			path, 0);
	free(text);
	fclose(f);
}

int
cmd_check(struct command *c)
{
	struct tree_opts o;
	struct tree *t;
	struct stat st;

	if (settings_load(c->file, &c->conf, c->err, sizeof(c->err)) < 0) {
		fprintf(stderr, "%s\n", c->err);
		return CONTROL_USAGE;
	}
	if (stat(c->conf->state, &st) < 0)
		problem("the state directory is not there: `mimeo init` makes it", c->conf->state,
			-errno);
	else if ((st.st_mode & 077) != 0)
		problem("the state directory must be of mode 0700", c->conf->state, 0);
	o = (struct tree_opts){c->conf->root, c->conf->work};
	if (tree_open(&o, &t, c->err, sizeof(c->err)) < 0) {
		fprintf(stderr, "mimeo: %s\n", c->err);
		problems++;
	} else {
		probe_tree(c->conf, t);
		tree_close(t);
	}
	probe_key(c->conf);
	if (problems == 0)
		printf("%s: good\n", c->file);
	return problems == 0 ? CONTROL_OK : CONTROL_USAGE;
}

/* ---- verify ---- */

struct verify {
	struct tree *tree;
	struct hash *hash;
	uint8_t *chunk;
	unsigned long long files, wrong;
	bool json;              /* an array of what differs; else lines, and the sum */
	char *check[CHECK_MAX]; /* paths that the agent is to look at itself, and to put right */
	size_t nchecks;
};

static void
differs(struct verify *v, const char *path, size_t len, const char *why)
{
	char text[4096];
	struct json j;

	if (v->json) {
		json_init(&j);
		json_obj_open(&j, NULL);
		json_bytes(&j, "path", path, len);
		json_str(&j, "reason", why);
		json_obj_close(&j);
		printf("%s%s", v->wrong == 0 ? "[" : ",\n ",
		       json_failed(&j) ? "{}" : json_text(&j, NULL));
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

int
cmd_verify(struct command *c)
{
	static const char *const words[] = {"shown"};
	struct tree_opts o = {c->conf->root, NULL};
	struct verify v = {.hash = hash_new(), .chunk = malloc(CHUNK_BYTES), .json = c->json};
	int code;

	if (v.hash == NULL || v.chunk == NULL)
		return cmd_fail(CONTROL_FAILED, "out of memory");
	if (tree_open(&o, &v.tree, c->err, sizeof(c->err)) < 0)
		return cmd_fail(CONTROL_FAILED, "%s", c->err);
	code = cmd_ask(c, words, 1, verify_row, &v);
	tree_close(v.tree);
	hash_free(v.hash);
	free(v.chunk);
	if (code == 0)
		code = ask_to_check(c, &v);
	if (c->json && (code == 0 || v.wrong > 0))
		puts(v.wrong == 0 ? "[]" : "]");
	else if (code == 0)
		printf("%llu files, %llu different\n", v.files, v.wrong);
	return code != 0 ? code : v.wrong > 0 ? CONTROL_FAILED : CONTROL_OK;
}

/* ---- put ---- */

static int
hash_file(int fd, char hex[HASH_HEX_BYTES])
{
	uint8_t hash[HASH_BYTES], *chunk = malloc(CHUNK_BYTES);
	struct hash *h = hash_new();
	ssize_t n = -1;
	int r = -ENOMEM;

	if (chunk != NULL && h != NULL) {
		while ((n = read(fd, chunk, CHUNK_BYTES)) > 0)
			hash_update(h, chunk, (size_t)n);
		r = n < 0 ? -errno : hash_final(h, hash);
	}
	if (r == 0)
		hash_hex(hash, hex);
	hash_free(h);
	free(chunk);
	return r;
}

static int
copy_fd(int from, int to)
{
	char *chunk = malloc(CHUNK_BYTES);
	ssize_t n = 0;

	if (chunk == NULL || lseek(from, 0, SEEK_SET) < 0) {
		free(chunk);
		return -EIO;
	}
	while ((n = read(from, chunk, CHUNK_BYTES)) > 0)
		for (ssize_t at = 0, w; at < n; at += w)
			if ((w = write(to, chunk + at, (size_t)(n - at))) <= 0) {
				free(chunk);
				return w < 0 ? -errno : -EIO;
			}
	free(chunk);
	return n < 0 ? -errno : 0;
}

/* Never visible in parts: the file has no name before it is complete. */
static int
place(int from, const char *dir, const char *name, const char *hex)
{
	char self[64], again[HASH_HEX_BYTES];
	int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, r;

	if (d < 0)
		return -errno;
	fd = openat(d, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0444);
	r = fd < 0 ? -errno : copy_fd(from, fd);
	if (r == 0 && (fchmod(fd, 0444) < 0 || fsync(fd) < 0 || lseek(fd, 0, SEEK_SET) < 0))
		r = -errno;
	if (r == 0)
		r = hash_file(fd, again);
	if (r == 0 && strcmp(again, hex) != 0)
		r = -EAGAIN; /* it changed while it was copied */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (r == 0 && linkat(AT_FDCWD, self, d, name, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
		r = -errno;
	if (fd >= 0)
		close(fd);
	close(d);
	return r;
}

int
cmd_put(struct command *c)
{
	char hex[HASH_HEX_BYTES], dir[4400];
	const char *name;
	int fd, r;

	if (c->nargs < 1 || c->nargs > 2)
		return cmd_fail(CONTROL_USAGE, "put: FILE [NAME]");
	name = c->nargs == 2                      ? c->args[1]
	       : strrchr(c->args[0], '/') != NULL ? strrchr(c->args[0], '/') + 1
						  : c->args[0];
	if (path_check(name, strlen(name)) < 0 || strchr(name, '/') != NULL)
		return cmd_fail(CONTROL_USAGE, "put: %s: not a file name", name);
	fd = open(c->args[0], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return cmd_fail(CONTROL_FAILED, "%s: %s", c->args[0], strerror(errno));
	r = hash_file(fd, hex);
	if (r == 0) {
		snprintf(dir, sizeof(dir), "%s/%.2s", c->conf->root, hex);
		(void)mkdir(dir, 0755);
		snprintf(dir, sizeof(dir), "%s/%.2s/%s", c->conf->root, hex, hex);
		(void)mkdir(dir, 0755);
		r = place(fd, dir, name, hex);
	}
	close(fd);
	if (r < 0)
		return cmd_fail(CONTROL_FAILED, "%s: cannot be stored below %s: %s", c->args[0],
				c->conf->root, strerror(-r));
	printf("%.2s/%s/%s\n", hex, hex, name);
	return CONTROL_OK;
}
