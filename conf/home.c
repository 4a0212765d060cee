/* SPDX-License-Identifier: BSD-2-Clause */
/* A node's home: WAL and marker belong together. */
#include "config.h"

#include "conf/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/lifelock.h"
#include "conf/random.h"
#include "proto/path.h"

static bool
has_wal(const char *state)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/wal", state);
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
ignore_entry(void *arg, const struct entry *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static int
create(struct tree *tree, const struct wal_dev *dev, uint64_t wall_ms)
{
	struct wal_user user = {.fold = ignore_entry};
	struct wal *w = wal_new(dev, &user);
	uint64_t store = random_u64();
	int r = w != NULL ? wal_create(w, store, wall_ms) : -ENOMEM;

	wal_free(w);
	return r < 0 ? r : tree_marker_write(tree, store);
}

static int
prepare_locked(const char *state, struct tree *tree, const struct wal_dev *dev, uint64_t wall_ms,
	       char *err, size_t err_len)
{
	int r = has_wal(state) ? -EEXIST : tree_guard(tree, 0);

	if (r == -EEXIST)
		return 0; /* somebody else was faster */
	if (r == -EBADMSG || r == 0) {
		snprintf(err, err_len,
			 "%s has no WAL, but the root carries the marker " PATH_MARKER
			 ": is the state disk not mounted? To begin anew with what lies in the "
			 "root, remove the marker",
			 state);
		return -ENOTRECOVERABLE;
	}
	if (r == -ENODATA)
		r = create(tree, dev, wall_ms);
	if (r < 0)
		snprintf(err, err_len, "%s: cannot create the WAL or the root's marker: %s", state,
			 strerror(-r));
	return r;
}

int
home_prepare(const char *state, struct tree *tree, const struct wal_dev *dev, uint64_t wall_ms,
	     char *err, size_t err_len)
{
	char path[4096];
	int lock = -EBUSY, r;

	if (has_wal(state))
		return 0;
	snprintf(path, sizeof(path), "%s/init.lock", state);
	for (unsigned turn = 0; lock == -EBUSY && turn < 1000; turn++) {
		lock = lifelock_take(path);
		if (lock == -EBUSY)
			(void)usleep(10000); /* the other one writes two small files */
	}
	if (lock < 0) {
		snprintf(err, err_len, "%s: cannot be locked: %s", path, strerror(-lock));
		return lock;
	}
	r = prepare_locked(state, tree, dev, wall_ms, err, err_len);
	close(lock);
	return r;
}

bool
home_unsure(int error)
{
	switch (error) {
	case -EIO:
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
	case -EINTR:
	case -EAGAIN:
	case -ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

int
home_guard(struct tree *tree, const struct wal_info *info, const char *root, char *err,
	   size_t err_len)
{
	int r = tree_guard(tree, info->store);
	const char *what;

	if (r == -ENODATA && info->entries == 0)
		r = tree_marker_write(tree, info->store);
	switch (r) {
	case 0:
		return 0;
	case -ENODATA:
		what = "the marker " PATH_MARKER
		       " is missing: is the right disk mounted there? Nothing is deleted anywhere. "
		       "If this is the right directory, put the marker back with `mimeo init "
		       "--marker`";
		break;
	case -EBADMSG:
		what = "the marker " PATH_MARKER
		       " is of another node, or unreadable: another directory lies there";
		break;
	case -ESTALE:
		what = "another directory or file system lies there now: was it unmounted or "
		       "replaced?";
		break;
	case -ENOENT:
		what = "it is gone: was it unmounted or removed?";
		break;
	default:
		what = home_unsure(r) ? "it cannot be looked at now, and is looked at again"
				      : strerror(-r);
	}
	snprintf(err, err_len, "root %s: %s", root, what);
	return r;
}
