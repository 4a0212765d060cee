/* SPDX-License-Identifier: BSD-2-Clause */
/* init: state, work, key, WAL, marker and a commented configuration; nothing is ever overwritten.
 */
#include "config.h"

#include "agent/cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/clock.h"
#include "conf/home.h"
#include "proto/walfile.h"

struct init {
	struct settings_sample s;
	char state[4096], work[4200];
};

static bool
option(struct command *c, int *i, const char *name, const char **out)
{
	if (strcmp(c->args[*i], name) != 0 || *i + 1 >= c->nargs)
		return false;
	*out = c->args[++*i];
	return true;
}

static bool
is_mount_point(const char *path)
{
	char up[4200];
	struct stat a, b;

	snprintf(up, sizeof(up), "%s/..", path);
	return stat(path, &a) == 0 && stat(up, &b) == 0 &&
	       (a.st_dev != b.st_dev || a.st_ino == b.st_ino);
}

static int
parse(struct command *c, struct init *in)
{
	for (int i = 0; i < c->nargs; i++)
		if (!option(c, &i, "--name", &in->s.name) &&
		    !option(c, &i, "--root", &in->s.root) &&
		    !option(c, &i, "--state", &in->s.state) &&
		    !option(c, &i, "--work", &in->s.work) &&
		    !option(c, &i, "--address", &in->s.address))
			return cmd_fail(CONTROL_USAGE,
					"init: %s: no such option, or its value is missing",
					c->args[i]);
	if (in->s.name == NULL || in->s.root == NULL)
		return cmd_fail(CONTROL_USAGE, "init: --name NAME and --root DIR are needed");
	if (in->s.state == NULL)
		in->s.state = LOCALSTATEDIR "/lib/mimeo";
	if (in->s.work == NULL && is_mount_point(in->s.root)) {
		snprintf(in->work, sizeof(in->work), "%s/.mimeo", in->s.root);
		in->s.work = in->work;
		printf("%s is a mount point, so what is kept lies below it: %s\n", in->s.root,
		       in->work);
	}
	return 0;
}

static int
write_conf(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	size_t len = strlen(text);

	if (fd < 0)
		return cmd_fail(CONTROL_FAILED, "%s: cannot be made: %s%s", path, strerror(errno),
				errno == EEXIST ? "; init overwrites nothing" : "");
	if (write(fd, text, len) != (ssize_t)len || fsync(fd) < 0) {
		close(fd);
		return cmd_fail(CONTROL_FAILED, "%s: cannot be written: %s", path, strerror(errno));
	}
	close(fd);
	return 0;
}

static int
make_key(const struct settings *conf)
{
	char comment[128];

	if (access(conf->ssh_key, F_OK) == 0)
		return cmd_fail(CONTROL_FAILED, "%s: is there already; init overwrites nothing",
				conf->ssh_key);
	snprintf(comment, sizeof(comment), "mimeo:%s", conf->name);
	return cmd_keygen(conf->ssh_key, comment);
}

static int
make_dirs(struct command *c)
{
	const char *dirs[] = {c->conf->state, c->conf->run};

	for (size_t i = 0; i < 2; i++)
		if (mkdir(dirs[i], i == 0 ? 0700 : 0750) < 0 && errno != EEXIST)
			return cmd_fail(CONTROL_FAILED, "%s: cannot be made: %s", dirs[i],
					strerror(errno));
	return 0;
}

static int
make_home(struct command *c)
{
	struct tree_opts o = {c->conf->root, c->conf->work};
	struct tree *tree;
	struct walfile *f;
	struct wal_dev dev;
	int r;

	if (tree_open(&o, &tree, c->err, sizeof(c->err)) < 0)
		return cmd_fail(CONTROL_FAILED, "%s", c->err);
	r = walfile_open(c->conf->state, &f);
	if (r < 0) {
		tree_close(tree);
		return cmd_fail(CONTROL_FAILED, "%s: cannot be used as state directory: %s",
				c->conf->state, strerror(-r));
	}
	dev = walfile_dev(f);
	r = home_prepare(c->conf->state, tree, &dev, clock_wall_ms(), c->err, sizeof(c->err));
	walfile_close(f);
	tree_close(tree);
	return r < 0 ? cmd_fail(r == -ENOTRECOVERABLE ? CONTROL_HALTED : CONTROL_FAILED, "%s",
				c->err)
		     : 0;
}

/* Puts a lost marker back, from the WAL's store id. */
static int
marker(struct command *c)
{
	struct tree_opts o;
	struct tree *tree;
	uint8_t head[WAL_HEADER_BYTES];
	char path[4200];
	int fd, r;

	if (settings_load(c->file, &c->conf, c->err, sizeof(c->err)) < 0)
		return fprintf(stderr, "%s\n", c->err), CONTROL_USAGE;
	snprintf(path, sizeof(path), "%s/wal", c->conf->state);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, head, sizeof(head)) != (ssize_t)sizeof(head))
		return cmd_fail(CONTROL_FAILED, "%s: cannot be read: %s", path, strerror(errno));
	close(fd);
	o = (struct tree_opts){c->conf->root, NULL};
	if (tree_open(&o, &tree, c->err, sizeof(c->err)) < 0)
		return cmd_fail(CONTROL_FAILED, "%s", c->err);
	r = tree_marker_write(tree, bytes_get_u64(head + 16));
	tree_close(tree);
	if (r < 0)
		return cmd_fail(CONTROL_FAILED, "%s: the marker cannot be written: %s",
				c->conf->root, strerror(-r));
	printf("the marker is back in %s: what is missing there now counts as deleted\n",
	       c->conf->root);
	return 0;
}

int
cmd_init(struct command *c)
{
	struct init in = {0};
	char *text = NULL;
	int r;

	if (c->nargs == 1 && strcmp(c->args[0], "--marker") == 0)
		return marker(c);
	r = parse(c, &in);
	if (r != 0)
		return r;
	if (settings_write_sample(c->file, &in.s, &text, c->err, sizeof(c->err)) < 0)
		return cmd_fail(CONTROL_USAGE, "%s", c->err);
	r = write_conf(c->file, text);
	free(text);
	if (r == 0 && settings_load(c->file, &c->conf, c->err, sizeof(c->err)) < 0)
		r = cmd_fail(CONTROL_USAGE, "%s", c->err);
	if (r == 0)
		r = make_dirs(c);
	if (r == 0)
		r = make_key(c->conf);
	if (r == 0)
		r = make_home(c);
	if (r == 0)
		printf("%s: written; node %s mirrors %s\nnext: start both daemons; to join others, "
		       "`mimeo invite` on one of them and `mimeo join -` here\n",
		       c->file, c->conf->name, c->conf->root);
	return r;
}
