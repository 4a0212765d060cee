/* SPDX-License-Identifier: BSD-2-Clause */
/* What joining would do to the files of this node: adopted, fetched, added, lost. */
#include "config.h"

#include "agent/cmd/cmd.h"
#include "agent/cmd/progress.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/hash.h"
#include "conf/ignore.h"
#include "conf/random.h"
#include "conf/tree.h"
#include "proto/map.h"
#include "proto/path.h"

#define CHUNK_BYTES (1u << 20)

struct sum {
	unsigned long long files, bytes;
};

struct preview {
	struct command *c;
	struct tree *tree;
	struct hash *hash;
	uint8_t *chunk;
	struct map known; /* hashes of the cluster's paths */
	uint64_t seed;
	struct sum cluster, adopt, fetch, add, lose;
	bool hold; /* this walk moves what is unknown */
	int error; /* of that */
	struct progress *progress;
	uint64_t looked; /* at rows, and at files here */
	uint64_t total;  /* 0: not known */
};

struct row {
	uint8_t kind;
	uint64_t size;
	int64_t mtime_ns;
	const uint8_t *hash, *path;
	size_t path_len;
};

struct preview *
preview_new(struct command *c)
{
	struct preview *p = calloc(1, sizeof(*p));
	struct tree_opts o = {c->conf->root, NULL};

	if (p != NULL) {
		p->c = c;
		p->hash = hash_new();
		p->chunk = malloc(CHUNK_BYTES);
		p->seed = random_u64();
		p->progress = progress_new("looking at files", false);
	}
	if (p == NULL || p->hash == NULL || p->chunk == NULL) {
		(void)cmd_fail(CONTROL_FAILED, "out of memory");
	} else if (tree_open(&o, &p->tree, c->err, sizeof(c->err)) < 0) {
		(void)cmd_fail(CONTROL_FAILED, "%s", c->err);
	} else {
		return p;
	}
	preview_free(p);
	return NULL;
}

void
preview_free(struct preview *p)
{
	if (p == NULL)
		return;
	tree_close(p->tree);
	progress_free(p->progress);
	hash_free(p->hash);
	free(p->chunk);
	map_free(&p->known);
	free(p);
}

static void
count(struct sum *s, uint64_t bytes)
{
	s->files++;
	s->bytes += bytes;
}

struct place {
	struct preview *p;
	const char *path;
	size_t len;
};

/* ---- how much there is to look at ---- */

/* path: PATH_BYTES_MAX + 1 bytes. False: too long. */
static bool
join_name(const struct place *at, const char *name, size_t name_len, char *path, size_t *len)
{
	*len = at->len + (at->len > 0) + name_len;
	if (*len > PATH_BYTES_MAX)
		return false;
	snprintf(path, PATH_BYTES_MAX + 1, "%.*s%s%.*s", (int)at->len, at->path,
		 at->len > 0 ? "/" : "", (int)name_len, name);
	return path_check(path, *len) == 0;
}

/* Names alone, which is quick. */
static int
count_name(void *arg, const char *name, size_t name_len, uint8_t d_type)
{
	const struct place *at = arg;
	struct preview *p = at->p;
	char path[PATH_BYTES_MAX + 1];
	struct place below = {p, path, 0};

	p->total++;
	progress_at(p->progress, p->total, 0);
	if (d_type == DT_DIR && join_name(at, name, name_len, path, &below.len) &&
	    !ignore_match(p->c->conf->ignore, path, below.len, true))
		(void)!tree_list(p->tree, path, below.len, count_name, &below);
	return 0;
}

void
preview_expect(struct preview *p, uint64_t rows)
{
	struct place root = {p, "", 0};

	if (p->progress == NULL)
		return;
	p->total = 0;
	(void)!tree_list(p->tree, "", 0, count_name, &root);
	p->total += rows;
}

/* ---- the cluster's files ---- */

static bool
same_content(struct preview *p, const struct row *r)
{
	uint8_t got[HASH_BYTES];
	struct tfile *f;
	uint64_t off = 0;
	ssize_t n;

	if (tree_open_file(p->tree, r->path, r->path_len, &f) < 0)
		return false;
	hash_reset(p->hash);
	while ((n = tfile_read_at(f, off, p->chunk, CHUNK_BYTES)) > 0) {
		hash_update(p->hash, p->chunk, (size_t)n);
		off += (uint64_t)n;
	}
	tfile_close(f);
	return n == 0 && hash_final(p->hash, got) == 0 && memcmp(got, r->hash, HASH_BYTES) == 0;
}

static bool
same_link(struct preview *p, const struct row *r)
{
	uint8_t got[HASH_BYTES];
	ssize_t n = tree_readlink(p->tree, r->path, r->path_len, p->chunk, RECORD_TARGET_BYTES_MAX);

	return n >= 0 && hash_of(p->chunk, (size_t)n, got) == 0 &&
	       memcmp(got, r->hash, HASH_BYTES) == 0;
}

/* Size and time are believed here, as it is only a forecast: what counts later is the hash. */
static bool
same(struct preview *p, const struct row *r, const struct sig *s)
{
	if (s->kind != r->kind)
		return false;
	if (r->kind == KIND_SYMLINK)
		return same_link(p, r);
	return s->size == r->size && (s->mtime_ns == r->mtime_ns || same_content(p, r));
}

static bool
take_row(struct preview *p, const struct row *r)
{
	struct sig s;
	int e = tree_stat(p->tree, r->path, r->path_len, &s, NULL);

	count(&p->cluster, r->size);
	progress_at(p->progress, ++p->looked, p->total);
	if (e == -ENOENT)
		count(&p->fetch, r->size);
	else if (e == 0 && same(p, r, &s))
		count(&p->adopt, r->size);
	else
		count(&p->lose, s.size);
	/* Any pointer will do: only whether it is there matters. */
	return map_add(&p->known, map_hash(p->seed, r->path, r->path_len), p) == 0;
}

bool
preview_rows(struct preview *p, const void *rows, size_t len)
{
	struct cur c = cur_of(rows, len);

	while (c.left > 0) {
		struct row r = {.kind = cur_u8(&c), .size = cur_u64(&c)};

		r.mtime_ns = (int64_t)cur_u64(&c);
		r.hash = cur_bytes(&c, HASH_BYTES);
		r.path = cur_str(&c, &r.path_len);
		if (c.bad || (r.kind != KIND_FILE && r.kind != KIND_SYMLINK) ||
		    path_check(r.path, r.path_len) < 0 || !take_row(p, &r))
			return false;
	}
	return !c.bad;
}

/* ---- what else lies here ---- */

static bool
always(const void *item, const void *key)
{
	(void)item;
	(void)key;
	return true;
}

/* Makes the directories above WORK/unknown/PATH, and moves. */
static int
move_away(struct preview *p, const char *path)
{
	char from[2 * CMD_PATH_BYTES], to[2 * CMD_PATH_BYTES];
	size_t skip = strlen(p->c->conf->work);

	if ((size_t)snprintf(from, sizeof(from), "%s/%s", p->c->conf->root, path) >= sizeof(from) ||
	    (size_t)snprintf(to, sizeof(to), "%s/unknown/%s", p->c->conf->work, path) >= sizeof(to))
		return -ENAMETOOLONG;
	for (char *slash = to + skip; (slash = strchr(slash + 1, '/')) != NULL;) {
		*slash = '\0';
		if (mkdir(to, 0700) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return rename(from, to) < 0 ? -errno : 0;
}

static void
unknown(struct preview *p, const char *path, const struct sig *s)
{
	int e;

	count(&p->add, s->size);
	if (!p->hold)
		return;
	e = move_away(p, path);
	if (e < 0 && p->error == 0) {
		p->error = e;
		(void)cmd_fail(CONTROL_FAILED, "%s: cannot be moved to %s/unknown: %s", path,
			       p->c->conf->work, strerror(-e));
	}
}

static int
look(void *arg, const char *name, size_t name_len, uint8_t d_type)
{
	const struct place *at = arg;
	struct preview *p = at->p;
	char path[PATH_BYTES_MAX + 1];
	struct sig s;
	size_t len;

	(void)d_type;
	progress_at(p->progress, ++p->looked, p->total);
	if (!join_name(at, name, name_len, path, &len) ||
	    tree_stat(p->tree, path, len, &s, NULL) < 0 ||
	    ignore_match(p->c->conf->ignore, path, len, s.kind == KIND_DIR))
		return 0;
	if (s.kind == KIND_DIR) {
		struct place below = {p, path, len};

		(void)!tree_list(p->tree, path, len, look, &below);
	} else if (map_find(&p->known, map_hash(p->seed, path, len), always, NULL) == NULL) {
		unknown(p, path, &s);
	}
	return 0;
}

static int
walk(struct preview *p)
{
	struct place root = {p, "", 0};
	int r = tree_list(p->tree, "", 0, look, &root);

	return r < 0 ? cmd_fail(CONTROL_FAILED, "%s: cannot be read: %s", p->c->conf->root,
				strerror(-r))
		     : 0;
}

static void
line(const char *word, const struct sum *s, const char *what)
{
	printf("  %-6s %8llu files, %12llu bytes   %s\n", word, s->files, s->bytes, what);
}

int
preview_print(struct preview *p)
{
	int r = walk(p);

	progress_hide(p->progress);
	if (r != 0)
		return r;
	printf("the cluster has %llu files, %llu bytes. In %s:\n", p->cluster.files,
	       p->cluster.bytes, p->c->conf->root);
	line("adopt", &p->adopt, "here already and the same: nothing is transferred");
	line("fetch", &p->fetch, "not here yet");
	line("add", &p->add, "unknown to the cluster: will be on all members");
	line("lose", &p->lose, "differ: the cluster's are shown, yours are kept (mimeo conflicts)");
	fflush(stdout);
	return 0;
}

int
preview_hold(struct preview *p)
{
	int r;

	p->hold = true;
	p->add = (struct sum){0};
	p->looked = 0;
	preview_expect(p, 0);
	r = walk(p);
	progress_hide(p->progress);
	if (r == 0 && p->error != 0)
		r = CONTROL_FAILED;
	if (r == 0 && p->add.files > 0)
		printf("held: %llu files were moved to %s/unknown; move back what should be "
		       "added\n",
		       p->add.files, p->c->conf->work);
	return r;
}
