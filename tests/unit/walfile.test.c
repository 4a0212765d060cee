/* SPDX-License-Identifier: BSD-2-Clause */
/* The log in real files: names, modes, locks between processes, and what a kill leaves. */
#include "config.h"

#include "proto/walfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tap.h"

#define STORE 42
#define APPENDS 2000 /* by each of two processes */
#define WHO_SHIFT 32 /* an entry's number: who, and how many before */

static char state[256];

/* One process: its files, its log, and what was folded. */
struct proc {
	struct walfile *file;
	struct wal *wal;
	uint64_t n;
	uint64_t next[3]; /* of each writer, the number that comes next */
	bool in_order;
	unsigned damaged, torn;
};

static int
fold(void *arg, const struct entry *e)
{
	struct proc *p = arg;
	uint64_t who = e->num >> WHO_SHIFT;

	p->n++;
	p->in_order = p->in_order && who < 3 && (uint32_t)e->num == p->next[who];
	if (who < 3)
		p->next[who]++;
	return 0;
}

static void
note(void *arg, const char *event, const char *text)
{
	struct proc *p = arg;

	diag("%s: %s", event, text);
	p->damaged += strcmp(event, "wal.damaged") == 0;
	p->torn += strcmp(event, "wal.torn") == 0;
}

static void
start(struct proc *p)
{
	struct wal_user user = {p, fold, note};
	struct wal_dev dev;

	memset(p, 0, sizeof(*p));
	p->in_order = true;
	if (walfile_open(state, &p->file) < 0)
		abort();
	dev = walfile_dev(p->file);
	p->wal = wal_new(&dev, &user);
	if (!p->wal)
		abort();
}

static void
end(struct proc *p)
{
	wal_free(p->wal);
	walfile_close(p->file);
}

static void
put(struct buf *b, uint64_t who, uint64_t n)
{
	wal_put(b, &(struct entry){.type = ENTRY_BARRIER, .num = who << WHO_SHIFT | n});
}

/* Appends the next entry of that writer; syncs and unlocks only if told to. */
static int
append(struct proc *p, uint64_t who, bool finish)
{
	struct buf b = {0};
	int rc = wal_lock(p->wal, true, true);

	if (rc == 0)
		rc = wal_catchup(p->wal);
	if (rc == 0) {
		put(&b, who, p->next[who]);
		rc = wal_append(p->wal, &b);
	}
	buf_free(&b);
	if (rc < 0 || !finish)
		return rc;
	rc = wal_sync(p->wal);
	wal_unlock(p->wal);
	return rc;
}

static int
catch_up(struct proc *p)
{
	int rc = wal_lock(p->wal, false, true);

	if (rc < 0)
		return rc;
	rc = wal_catchup(p->wal);
	wal_unlock(p->wal);
	return rc;
}

/* ---- files below the state directory ---- */

/* The file's path; stays until the next but one is asked for. */
static const char *
path_of(const char *name)
{
	static char paths[2][512];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/%s", state, name);
	return path;
}

static bool
there(const char *name, struct stat *st)
{
	return lstat(path_of(name), st) == 0;
}

/* Number of the file's inode, 0 if there is none. */
static ino_t
inode(const char *name)
{
	struct stat st;

	return there(name, &st) ? st.st_ino : 0;
}

static int
lock_byte(void)
{
	int fd = open(path_of("wal.lock"), O_RDONLY);
	unsigned char c;
	int rc;

	if (fd < 0)
		return -errno;
	rc = read(fd, &c, 1) == 1 ? c : -1;
	close(fd);
	return rc;
}

static void
flip(const char *name, off_t at)
{
	int fd = open(path_of(name), O_RDWR);
	uint8_t c;

	if (fd < 0 || pread(fd, &c, 1, at) != 1)
		abort();
	c ^= 1;
	if (pwrite(fd, &c, 1, at) != 1)
		abort();
	close(fd);
}

static void
empty_state(void)
{
	static const char *const names[] = {"wal",      "wal.lock",      "wal.prev",
					    "wal.next", "wal.prev.new",  "wal.damaged-1",
					    "aside",    "wal.damaged-2", "wal.damaged-3"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlink(path_of(names[i]));
}

/* A log with the first `n` entries of writer 0. */
static void
make_log(unsigned n)
{
	struct proc p;
	int rc;

	empty_state();
	start(&p);
	rc = wal_create(p.wal, STORE, 1);
	if (rc == 0)
		rc = wal_open(p.wal);
	for (; n > 0 && rc == 0; n--)
		rc = append(&p, 0, true);
	if (rc < 0)
		abort();
	end(&p);
}

/* ---- tests ---- */

static void
test_state(void)
{
	struct walfile *f;
	struct stat st;

	is_int(walfile_open(path_of("none"), &f), -ENOENT, "no directory");
	ok(!f, "nothing to close");
	walfile_close(NULL);
	for (mode_t mode = 0; mode <= 0777; mode++) {
		int rc;

		if (chmod(state, mode) < 0)
			abort();
		rc = walfile_open(state, &f);
		walfile_close(f);
		/* A directory that cannot be read at all may be refused for that. */
		if (mode == 0700 ? rc != 0 : rc != -EPERM && rc != -EACCES) {
			ok(false, "mode %o: %d", (unsigned)mode, rc);
			break;
		}
	}
	if (chmod(state, 0700) < 0)
		abort();
	ok(there("wal.lock", &st) && (st.st_mode & 07777) == 0600, "the lock file is 0600");
	empty_state();
	if (symlink("/dev/null", path_of("wal.lock")) < 0)
		abort();
	is_int(walfile_open(state, &f), -ELOOP, "a symlink is no lock file");
	empty_state();
	if (geteuid() == 0 && chown(state, 1, (gid_t)-1) == 0) {
		is_int(walfile_open(state, &f), -EPERM, "somebody else's directory");
		if (chown(state, 0, (gid_t)-1) < 0)
			abort();
	}
}

static void
test_create(void)
{
	struct proc p;
	struct stat st;

	empty_state();
	start(&p);
	is_int(wal_open(p.wal), -ENOENT, "no log yet");
	is_int(wal_create(p.wal, STORE, 1), 0, "created");
	is_int(wal_create(p.wal, STORE, 1), -EEXIST, "once");
	is_int(wal_open(p.wal), 0, "opened");
	ok(wal_info(p.wal)->store == STORE && wal_info(p.wal)->generation == 1, "the info");
	ok(there("wal", &st) && (st.st_mode & 07777) == 0600 && st.st_size == WAL_HEADER_BYTES,
	   "64 bytes, 0600");
	ok(!there("wal.next", &st) && !there("wal.prev", &st), "nothing else");
	end(&p);
	empty_state();
	start(&p);
	if (symlink("aside", path_of("wal")) < 0)
		abort();
	is_int(wal_open(p.wal), -ELOOP, "a symlink is no log");
	empty_state();
	if (mkfifo(path_of("wal"), 0600) < 0)
		abort();
	is_int(wal_open(p.wal), -EPROTO, "nor is a fifo");
	is_int(wal_create(p.wal, 1, 1), -EPROTO, "and it is not replaced");
	end(&p);
}

static int
one_piece(void *arg, struct buf *out)
{
	unsigned *left = arg;

	for (unsigned i = 0; i < *left; i++)
		put(out, 0, i);
	*left = 0;
	return 0;
}

static int
compact(struct proc *p, unsigned n)
{
	int rc = wal_lock(p->wal, true, true);

	if (rc == 0)
		rc = wal_catchup(p->wal);
	if (rc == 0)
		rc = wal_compact(p->wal, 2, one_piece, &n);
	wal_unlock(p->wal);
	return rc;
}

static void
test_generations(void)
{
	struct proc a, b;
	struct stat st;
	ino_t first, second;

	make_log(3);
	start(&a);
	start(&b);
	ok(wal_open(a.wal) == 0 && wal_open(b.wal) == 0, "two processes");
	first = inode("wal");
	/* What a process that was killed may have left. */
	if (link(path_of("wal"), path_of("wal.prev")) < 0 ||
	    link(path_of("wal"), path_of("wal.prev.new")) < 0 ||
	    mknod(path_of("wal.next"), S_IFREG | 0600, 0) < 0)
		abort();
	is_int(compact(&a, 3), 0, "compacted");
	second = inode("wal");
	ok(second != first && inode("wal.prev") == first, "a new file; the old is wal.prev");
	ok(!there("wal.next", &st) && !there("wal.prev.new", &st), "nothing is left over");
	is_int(append(&a, 0, true), 0, "the one appends");
	is_int(append(&b, 0, true), 0, "the other moves over and appends");
	ok(b.n == 5 && b.in_order, "without a gap");
	is_int(compact(&b, 5), 0, "compacted again");
	ok(inode("wal.prev") == second && inode("wal") != second, "the next previous one");
	is_int(catch_up(&a), 0, "the one follows");
	ok(a.n == 5 && a.in_order, "without a gap");
	end(&a);
	end(&b);
}

static void
test_damage(void)
{
	struct proc p;
	struct stat st;
	ino_t bad;

	make_log(5);
	bad = inode("wal");
	flip("wal", WAL_HEADER_BYTES + 17 + 9);
	if (mknod(path_of("wal.damaged-1"), S_IFREG | 0600, 0) < 0)
		abort();
	start(&p);
	is_int(wal_open(p.wal), 0, "salvaged");
	ok(p.n == 4 && wal_info(p.wal)->salvaged && p.damaged > 0, "the four others");
	ok(inode("wal.damaged-2") == bad && inode("wal") != bad, "under the next free name");
	ok(!there("wal.prev", &st) && !there("wal.next", &st), "which is its only one");
	end(&p);

	/* Killed after it got that name: the same name again. */
	make_log(5);
	bad = inode("wal");
	flip("wal", WAL_HEADER_BYTES + 17 + 9);
	if (link(path_of("wal"), path_of("wal.damaged-1")) < 0)
		abort();
	start(&p);
	is_int(wal_open(p.wal), 0, "salvaged");
	ok(inode("wal.damaged-1") == bad && !there("wal.damaged-2", &st), "one name is enough");
	end(&p);

	make_log(5);
	if (truncate(path_of("wal"), WAL_HEADER_BYTES + 17 * 4 + 5) < 0)
		abort();
	start(&p);
	is_int(wal_open(p.wal), 0, "torn");
	ok(p.n == 4 && p.torn == 1 && !there("wal.damaged-1", &st), "the last is gone");
	ok(there("wal", &st) && st.st_size == WAL_HEADER_BYTES + 17 * 4, "and cut off");
	end(&p);
}

/* Runs f in a child and returns its exit code, or minus the signal that ended it. */
static int
in_child(int (*f)(int arg), int arg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(f(arg));
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int
try_lock(int exclusive)
{
	struct proc p;
	int rc;

	start(&p);
	rc = wal_lock(p.wal, exclusive, false);
	end(&p);
	return rc == 0 ? 0 : rc == -EAGAIN ? 1 : 2;
}

static void
test_locks(void)
{
	struct proc p, q;

	make_log(1);
	start(&p);
	start(&q);
	is_int(wal_lock(p.wal, true, true), 0, "exclusive");
	ok(in_child(try_lock, true) == 1 && in_child(try_lock, false) == 1, "keeps others out");
	is_int(wal_lock(q.wal, true, false), -EAGAIN, "also in the same process");
	wal_unlock(p.wal);
	is_int(wal_lock(p.wal, false, true), 0, "shared");
	ok(in_child(try_lock, true) == 1 && in_child(try_lock, false) == 0, "lets readers in");
	wal_unlock(p.wal);
	is_int(in_child(try_lock, true), 0, "free again");
	end(&p);
	end(&q);
}

static int
killed_while_appending(int arg)
{
	struct proc p;

	(void)arg;
	start(&p);
	if (wal_open(p.wal) < 0 || append(&p, 0, false) < 0)
		return 1;
	return raise(SIGKILL);
}

static void
test_mark(void)
{
	struct proc p;

	make_log(1);
	is_int(lock_byte(), 0, "nothing is unsynced");
	start(&p);
	is_int(wal_open(p.wal), 0, "opened");
	is_int(append(&p, 0, false), 0, "an append");
	is_int(lock_byte(), 1, "that is not synced is marked");
	is_int(wal_sync(p.wal), 0, "the sync");
	is_int(lock_byte(), 0, "ends that");
	wal_unlock(p.wal);
	is_int(in_child(killed_while_appending, 0), -SIGKILL, "killed before the sync");
	is_int(lock_byte(), 1, "the mark stays");
	is_int(catch_up(&p), 0, "who reads next");
	is_int(lock_byte(), 0, "syncs first");
	ok(p.n == 3 && p.in_order, "and has the entry");
	end(&p);
}

/* Appends by itself, waiting for the lock each time; checks the order of what it reads. */
static int
append_many(int who)
{
	struct proc p;
	bool good;

	start(&p);
	good = wal_open(p.wal) == 0;
	for (unsigned i = 0; i < APPENDS && good; i++)
		good = append(&p, (uint64_t)who, true) == 0;
	good = good && p.in_order && p.next[who] == APPENDS;
	end(&p);
	return good ? 0 : 1;
}

static int
run_other(pid_t *pid)
{
	*pid = fork();
	if (*pid == 0)
		_exit(append_many(2));
	return *pid < 0 ? -errno : 0;
}

static void
test_two_writers(void)
{
	struct proc p;
	pid_t pid;
	int status;

	make_log(0);
	is_int(run_other(&pid), 0, "another process");
	is_int(append_many(1), 0, "%d appends here", APPENDS);
	ok(waitpid(pid, &status, 0) == pid && status == 0, "and as many there");
	start(&p);
	is_int(wal_open(p.wal), 0, "opened");
	ok(p.n == 2 * APPENDS && p.in_order && p.torn == 0, "all there, each one's in order");
	end(&p);
}

int
main(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(state, sizeof(state), "%s/walfile.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(state))
		return skip_rest("no temporary directory");
	test_state();
	test_create();
	test_generations();
	test_damage();
	test_locks();
	test_mark();
	test_two_writers();
	empty_state();
	ok(rmdir(state) == 0, "no other file was made");
	return tap_done();
}
