/* SPDX-License-Identifier: BSD-2-Clause */
/* check-config and put: work on the user's own files. */
#include "config.h"

#include "agent/cmd/cmd.h"
#include "agent/cmd/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/hash.h"
#include "conf/tree.h"
#include "proto/path.h"

#define CHUNK_BYTES (1u << 20)

/* ---- check-config ---- */

static void
problem(void *arg, const char *what, const char *where, int error)
{
	unsigned *problems = arg;

	fprintf(stderr, "mimeo: %s: %s%s%s\n", where, what, error != 0 ? ": " : "",
		error != 0 ? strerror(-error) : "");
	++*problems;
}

static void
probe_key(const struct settings *s, unsigned *problems)
{
	char *text = NULL, path[4200];
	size_t len = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s.pub", s->ssh_key);
	f = fopen(path, "re");
	if (f == NULL) {
		problem(problems, "cannot be read (made by `mimeo init`)", path, -errno);
		return;
	}
	if (getline(&text, &len, f) < 0 || strncmp(text, "ssh-ed25519 ", 12) != 0)
		problem(problems,
			"not an ed25519 key: RSA keys do not work here; make one with ssh-keygen "
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
	unsigned problems = 0;

	if (settings_load(c->file, &c->conf, c->err, sizeof(c->err)) < 0) {
		fprintf(stderr, "%s\n", c->err);
		return CONTROL_USAGE;
	}
	if (stat(c->conf->state, &st) < 0)
		problem(&problems, "the state directory is not there: `mimeo init` makes it",
			c->conf->state, -errno);
	else if ((st.st_mode & 077) != 0)
		problem(&problems, "the state directory must be of mode 0700", c->conf->state, 0);
	o = (struct tree_opts){c->conf->root, c->conf->work};
	if (tree_open(&o, &t, c->err, sizeof(c->err)) < 0) {
		fprintf(stderr, "mimeo: %s\n", c->err);
		problems++;
	} else {
		probe_tree(c->conf, t, problem, &problems);
		tree_close(t);
	}
	probe_key(c->conf, &problems);
	if (problems == 0)
		printf("%s: good\n", c->file);
	return problems == 0 ? CONTROL_OK : CONTROL_USAGE;
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
