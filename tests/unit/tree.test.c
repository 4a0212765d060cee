/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks conf/tree on a real file system: operations, awkward names, attacks on the way there. */
#include "config.h"

#include "conf/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/path.h"
#include "tests/tap.h"

#define STORE 0x0123456789abcdefULL
#define LEAVE UINT32_MAX
#define RACES 20000     /* in the first pass; a tenth of it in the others */
#define CHANGES_MIN 200 /* so often must the target change while it is worked on */
#define YIELD_ROUNDS 8  /* there may be one processor for both sides of a race */
#define LEASE_RACES 50000
#define MIB ((uint64_t)1024 * 1024)

/* A directory of its own for each pass; the current directory is in it: root, work, outside. */
static struct tree *tree;
static int races;
static const char *pass; /* how paths are resolved in this pass: part of some test names */

static int fsyncs; /* so many calls were made */

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int
__wrap_fsync(int fd)
{
	fsyncs++;
	return __real_fsync(fd);
}

static size_t
n(const char *path)
{
	return strlen(path);
}

/* ---- plain files, past the tree ---- */

static void
put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ok(false, "%s can be written: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static const char *
text_of(const char *path)
{
	static char text[256];
	int fd = open(path, O_RDONLY | O_NOFOLLOW);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[got < 0 ? 0 : got] = '\0';
	return got < 0 ? NULL : text;
}

static bool
there(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static struct stat
lstat_of(const char *path)
{
	struct stat st = {0};

	if (lstat(path, &st) < 0)
		st.st_mode = 0;
	return st;
}

static int64_t
mtime_of(const char *path)
{
	struct stat st = lstat_of(path);

	return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

/* A stage file with that text. */
static void
stage(const char *name, const char *text)
{
	struct tfile *f = NULL;
	uint64_t have;
	int r = tree_stage_open(tree, name, strlen(text), &f, &have);

	if (r == 0)
		r = tfile_write_at(f, 0, text, strlen(text));
	if (r < 0)
		ok(false, "stage file %s can be made: %s", name, strerror(-r));
	tfile_close(f);
}

static void
run_rm(const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--", path, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

/* ---- opening, marker, guard ---- */

static void
test_open(void)
{
	struct tree_opts o = {.root = "root", .work = "work"}, wrong;
	struct tree *t = NULL;
	char err[512] = "";
	struct stat st;

	is_int(tree_open(&o, &tree, err, sizeof(err)), 0, "root and work are opened (%s): %s", pass,
	       err);
	ok(stat("work", &st) == 0 && (st.st_mode & 07777) == 0700,
	   "work is made, for its owner alone");
	ok(stat("work/stage", &st) == 0 && (st.st_mode & 07777) == 0700, "and stage");
	ok(stat("work/kept", &st) == 0 && (st.st_mode & 07777) == 0700, "and kept");
	is_int(rmdir("work/stage") == 0 && rmdir("work/kept") == 0, 1,
	       "trying the renames leaves nothing");
	tree_close(tree);
	is_int(tree_open(&o, &tree, err, sizeof(err)), 0, "it is opened again: %s", err);

	wrong = (struct tree_opts){.root = "no/where", .work = NULL};
	is_int(tree_open(&wrong, &t, err, sizeof(err)), -ENOENT, "a missing root is refused");
	ok(t == NULL && strstr(err, "root no/where: ") == err && !strchr(err, '\n'),
	   "in one line: %s", err);
	put("file", "x");
	wrong.root = "file";
	is_int(tree_open(&wrong, &t, err, sizeof(err)), -ENOTDIR, "a file is no root: %s", err);
	wrong = (struct tree_opts){.root = "root", .work = "no/where"};
	is_int(tree_open(&wrong, &t, err, sizeof(err)), -ENOENT,
	       "work is made, not the way to it: %s", err);
	wrong.work = "file";
	is_int(tree_open(&wrong, &t, err, sizeof(err)), -ENOTDIR, "a file is no work: %s", err);
	mkdir("odd", 0700);
	ok(symlink("../outside", "odd/stage") == 0, "a stage that is a symlink:");
	wrong.work = "odd";
	ok(tree_open(&wrong, &t, err, sizeof(err)) < 0, "is refused: %s", err);
	tree_close(NULL);
}

static void
test_other_device(void)
{
	struct stat here, shm;
	char work[] = "/dev/shm/tree-test-XXXXXX", err[512] = "";
	struct tree_opts o = {.root = "root", .work = work};
	struct tree *t;

	if (stat(".", &here) < 0 || stat("/dev/shm", &shm) < 0 || here.st_dev == shm.st_dev ||
	    !mkdtemp(work)) {
		ok(true, "work on another device # SKIP there is none");
		return;
	}
	is_int(tree_open(&o, &t, err, sizeof(err)), -EXDEV, "work on another device is refused");
	ok(strstr(err, "file system") != NULL, "and the reason is named: %s", err);
	is_int(rmdir(work), 0, "nothing is made there");
}

static void
test_guard(void)
{
	struct tree_opts o = {.root = "root", .work = NULL};
	struct tree *reader = NULL;
	char err[512];

	is_int(tree_guard(tree, STORE), -ENODATA, "a root without marker");
	is_int(tree_marker_write(tree, STORE), 0, "a marker is written (%s)", pass);
	is_str(text_of("root/.mimeo-id"), "mimeo 1 0123456789abcdef\n", "as documented");
	is_int(lstat_of("root/.mimeo-id").st_mode & 07777, 0644,
	       "readable for all, whatever the umask");
	is_int(lstat_of("root/.mimeo-id").st_nlink, 1, "under one name");
	is_int(tree_guard(tree, STORE), 0, "and found");
	is_int(tree_guard(tree, STORE + 1), -EBADMSG, "another store's is refused");
	is_int(tree_marker_write(tree, STORE + 1), -EEXIST, "a marker is never replaced");
	is_int(tree_open(&o, &reader, err, sizeof(err)), 0, "a tree without work");
	is_int(tree_guard(reader, STORE), 0, "has the same marker");
	is_int(tree_sync_all(reader), 0, "and can be synced");
	tree_close(reader);

	for (size_t cut = 0; cut < 25; cut++) {
		if (truncate("root/.mimeo-id", (off_t)(24 - cut)) < 0 ||
		    tree_guard(tree, STORE) != -EBADMSG)
			ok(false, "a marker of %zu bytes is refused", 24 - cut);
	}
	put("root/.mimeo-id", "mimeo 1 0123456789abcdef\n\n");
	is_int(tree_guard(tree, STORE), -EBADMSG, "a marker with more behind it is refused");
	put("root/.mimeo-id", "mimeo 1 0123456789ABCDEF\n");
	is_int(tree_guard(tree, STORE), -EBADMSG, "and one in capitals");
	rename("root/.mimeo-id", "marker");
	put("marker", "mimeo 1 0123456789abcdef\n");
	ok(symlink("../marker", "root/.mimeo-id") == 0 && tree_guard(tree, STORE) == -EBADMSG,
	   "a symlink is no marker");
	unlink("root/.mimeo-id");
	ok(mkfifo("root/.mimeo-id", 0644) == 0 && tree_guard(tree, STORE) == -EBADMSG,
	   "a FIFO is no marker, and nothing waits for it");
	unlink("root/.mimeo-id");
	rename("marker", "root/.mimeo-id");
	is_int(tree_guard(tree, STORE), 0, "the right one again");

	rename("root", "moved");
	is_int(tree_guard(tree, STORE), -ENOENT, "a root that was moved away is gone");
	put("root", "");
	is_int(tree_guard(tree, STORE), -ESTALE, "a file in its place");
	unlink("root");
	mkdir("root", 0755);
	put("root/.mimeo-id", "mimeo 1 0123456789abcdef\n");
	is_int(tree_guard(tree, STORE), -ESTALE,
	       "another directory with the same marker in its place");
	run_rm("root");
	ok(symlink("moved", "root") == 0 && tree_guard(tree, STORE) == 0, "a symlink to it is it");
	unlink("root");
	rename("moved", "root");
	is_int(tree_guard(tree, STORE), 0, "and back");
}

/* ---- looking ---- */

static void
make_socket(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		ok(false, "a socket at %s: %s", path, strerror(errno));
	close(fd);
}

static void
make_zoo(void)
{
	mkdir("root/z", 0755);
	mkdir("root/z/dir", 0750);
	chmod("root/z/dir", 02750);
	put("root/z/file", "hello");
	chmod("root/z/file", 04711);
	(void)!link("root/z/file", "root/z/hard");
	(void)!symlink("file", "root/z/sym");
	(void)!symlink("dir", "root/z/symdir");
	(void)!symlink("../../outside", "root/z/out");
	(void)!symlink("gone", "root/z/dangling");
	mkfifo("root/z/fifo", 0644);
	make_socket("root/z/socket");
	put("outside/secret", "secret");
	mkdir("outside/sub", 0755);
}

static int
stat_kind(const char *path)
{
	struct sig s;
	int r = tree_stat(tree, path, n(path), &s, NULL);

	if (r < 0 && (s.kind != KIND_ABSENT || s.ino != 0))
		ok(false, "the signature is empty on an error (%s)", path);
	return r < 0 ? r : s.kind;
}

static void
test_stat(void)
{
	struct stat st = lstat_of("root/z/file");
	struct sig s, root;
	uint32_t links = 0;

	is_int(tree_stat(tree, "z/file", 6, &s, &links), 0, "a file is looked at (%s)", pass);
	ok(s.ino == st.st_ino && s.size == 5 && s.uid == st.st_uid && s.gid == st.st_gid,
	   "ino, size, owner");
	is_int(s.mode, 04711, "all mode bits");
	is_int(s.mtime_ns, mtime_of("root/z/file"), "mtime in nanoseconds");
	is_int(s.ctime_ns, (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec,
	       "ctime too");
	is_int(links, 2, "two names");
	ok(!s.provisional && s.kind == KIND_FILE, "a file, not provisional");
	is_int(tree_stat(tree, "", 0, &root, NULL), 0, "the root itself");
	ok(root.ino == lstat_of("root").st_ino && root.kind == KIND_DIR, "is a directory");
	is_int(stat_kind("z/dir"), KIND_DIR, "a directory");
	is_int(stat_kind("z/sym"), KIND_SYMLINK, "a symlink");
	is_int(stat_kind("z/out"), KIND_SYMLINK, "a symlink to outside is a symlink");
	is_int(stat_kind("z/dangling"), KIND_SYMLINK, "and one to nowhere");
	is_int(stat_kind("z/fifo"), -EMEDIUMTYPE, "a FIFO");
	is_int(stat_kind("z/socket"), -EMEDIUMTYPE, "a socket");
	is_int(stat_kind("z/no"), -ENOENT, "nothing");
	is_int(stat_kind("no/no/no"), -ENOENT, "nothing, without a parent");
	is_int(stat_kind("z/file/no"), -ENOENT, "below a file is nothing");
	is_int(stat_kind("z/file/no/no"), -ENOENT, "nor further below");
	is_int(stat_kind("z/fifo/no"), -ENOENT, "nor below a FIFO");
	is_int(stat_kind("z/symdir/no"), -ELOOP, "a symlink is not followed on the way");
	is_int(stat_kind("z/out/secret"), -ELOOP, "least of all to outside");
	is_int(stat_kind("z/out/sub/no"), -ELOOP, "nor in the middle");
	is_int(stat_kind("z/dangling/no"), -ELOOP, "nor to nowhere");
}

static void
test_bad_paths(void)
{
	static const char *const bad[] = {
		"..",        ".",       "../outside", "z/..", "z/../..", "z/.",
		"/",         "/etc",    "z//file",    "z/",   "/z",      "z/../../outside/secret",
		".mimeo-id", ".mimeo/x"};
	struct tfile *f;
	struct sig s;
	char b[8];

	stage("bad", "x");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *p = bad[i];
		bool all = tree_stat(tree, p, n(p), &s, NULL) == -EINVAL &&
			   tree_dirfd(tree, p, n(p)) == -EINVAL &&
			   tree_readlink(tree, p, n(p), b, sizeof(b)) == -EINVAL &&
			   tree_open_file(tree, p, n(p), &f) == -EINVAL &&
			   tree_sync_dir(tree, p, n(p)) == -EINVAL &&
			   tree_place(tree, "bad", p, n(p)) == -EINVAL &&
			   tree_exchange(tree, "bad", p, n(p)) == -EINVAL &&
			   tree_take(tree, p, n(p), "bad2") == -EINVAL &&
			   tree_move(tree, p, n(p), "z/m", 3) == -EINVAL &&
			   tree_move(tree, "z/file", 6, p, n(p)) == -EINVAL &&
			   tree_mkdir(tree, p, n(p), 0755, LEAVE, LEAVE) == -EINVAL &&
			   tree_rmdir(tree, p, n(p)) == -EINVAL &&
			   tree_set_meta(tree, p, n(p), 0, 0, 0, LEAVE, LEAVE) == -EINVAL;

		ok(all, "every operation refuses \"%s\"", p);
	}
	is_int(tree_stat(tree, "z/fi\0e", 6, &s, NULL), -EINVAL, "a zero byte is refused");
	is_int(tree_place(tree, "bad", "", 0), -EINVAL, "nothing is placed over the root");
	is_int(tree_rmdir(tree, "", 0), -EINVAL, "the root is not removed");
	is_int(tree_set_meta(tree, "", 0, lstat_of("root").st_ino, 0, 0, LEAVE, LEAVE), -EINVAL,
	       "nor changed");
	is_int(tree_stage_unlink(tree, "bad"), 0, "the stage file is still there");
}

static void
test_bad_names(void)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "/etc/passwd", "../kept/x"};
	char b[8];
	struct sig s;
	struct tfile *f;
	uint64_t have;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *p = bad[i];
		bool all = tree_stage_open(tree, p, 1, &f, &have) == -EINVAL && f == NULL &&
			   tree_stage_symlink(tree, p, "t", 1, 0) == -EINVAL &&
			   tree_stage_stat(tree, p, &s) == -EINVAL &&
			   tree_stage_unlink(tree, p) == -EINVAL &&
			   tree_stage_readlink(tree, p, b, 8) == -EINVAL &&
			   tree_place(tree, p, "z/p", 3) == -EINVAL &&
			   tree_exchange(tree, p, "z/file", 6) == -EINVAL &&
			   tree_take(tree, "z/file", 6, p) == -EINVAL &&
			   tree_keep(tree, p, "k") == -EINVAL &&
			   tree_keep(tree, "k", p) == -EINVAL &&
			   tree_kept_open(tree, p, &f) == -EINVAL &&
			   tree_kept_stat(tree, p, &s) == -EINVAL &&
			   tree_kept_unlink(tree, p) == -EINVAL &&
			   tree_kept_readlink(tree, p, b, 8) == -EINVAL &&
			   tree_kept_rename(tree, p, "k") == -EINVAL &&
			   tree_kept_rename(tree, "k", p) == -EINVAL;

		ok(all, "no stage or kept file is called \"%s\"", p);
	}
}

static void
test_open_file(void)
{
	struct tfile *f = NULL;
	struct sig s, d;
	uint32_t links;
	char b[8];

	is_int(tree_open_file(tree, "z/file", 6, &f), 0, "a file is opened");
	is_int(tree_stat(tree, "z/file", 6, &d, NULL) || tfile_stat(f, &s, &links), 0,
	       "and looked at");
	ok(sig_eq(&s, &d) && links == 2, "both looks agree");
	is_int(tfile_read_at(f, 1, b, 3), 3, "three bytes from the second");
	is_mem(b, "ell", 3, "the right ones");
	is_int(tfile_read_at(f, 3, b, 8), 2, "fewer at the end");
	is_int(tfile_read_at(f, 5, b, 8), 0, "none behind it");
	is_int(tfile_read_at(f, 1ULL << 40, b, 8), 0, "nor far behind");
	is_int(tfile_read_at(f, UINT64_MAX - 3, b, 8), -EINVAL, "an offset that does not exist");
	ok(tfile_write_at(f, 0, "x", 1) < 0, "it cannot be written");
	is_int(tfile_sync(f), 0, "but synced");
	tfile_close(f);
	tfile_close(NULL);
	is_int(tree_open_file(tree, "z/dir", 5, &f), -EISDIR, "a directory is no file");
	ok(f == NULL, "and there is nothing to close");
	is_int(tree_open_file(tree, "z/sym", 5, &f), -ELOOP, "nor a symlink");
	is_int(tree_open_file(tree, "z/fifo", 6, &f), -EMEDIUMTYPE, "nor a FIFO");
	is_int(tree_open_file(tree, "z/socket", 8, &f), -EMEDIUMTYPE, "nor a socket");
	is_int(tree_open_file(tree, "z/out/secret", 12, &f), -ELOOP, "nor anything outside");
	is_int(tree_open_file(tree, "z/no", 4, &f), -ENOENT, "nor nothing");
}

/* A writer that waits for a reader would be woken, and die of SIGPIPE when the reader goes. */
static void
test_fifo_untouched(void)
{
	int fd;
	struct tfile *f;
	pid_t pid = fork();

	if (pid == 0) {
		fd = open("root/z/fifo", O_WRONLY);
		_exit(fd < 0 ? 1 : 0);
	}
	for (int i = 0; i < 100; i++)
		if (tree_open_file(tree, "z/fifo", 6, &f) != -EMEDIUMTYPE)
			ok(false, "a FIFO is not opened");
	is_int(waitpid(pid, NULL, WNOHANG), 0, "somebody who waits at a FIFO goes on waiting");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

struct seen {
	int count;
	int stop_at;
	char names[512];
};

static int
see(void *arg, const char *name, size_t name_len, uint8_t d_type)
{
	struct seen *s = arg;

	(void)d_type;
	if (strlen(name) != name_len)
		ok(false, "length of %s", name);
	snprintf(s->names + strlen(s->names), sizeof(s->names) - strlen(s->names), "%s|", name);
	return ++s->count == s->stop_at ? 77 : 0;
}

static int
see_name(void *arg, const char *name)
{
	return see(arg, name, strlen(name), 0);
}

static int
remove_under(void *arg, const char *name, size_t name_len, uint8_t d_type)
{
	struct seen *s = arg;

	(void)name;
	(void)name_len;
	(void)d_type;
	s->count++;
	unlink("root/z/brief/f");
	rmdir("root/z/brief");
	return 0;
}

static void
test_list(void)
{
	struct seen s = {0}, first = {.stop_at = 1}, root = {0}, brief = {0}, empty = {0};

	is_int(tree_list(tree, "z", 1, see, &s), 0, "a directory is listed (%s)", pass);
	is_int(s.count, 9, "each name, without . and ..");
	ok(strstr(s.names, "fifo|") && strstr(s.names, "dangling|"), "of whatever kind");
	is_int(tree_list(tree, "z", 1, see, &first), 77, "the callback stops it");
	is_int(first.count, 1, "at once");
	is_int(tree_list(tree, "", 0, see, &root), 0, "the root is listed");
	ok(strstr(root.names, "z|") && strstr(root.names, ".mimeo-id|"), "with the marker");
	is_int(tree_list(tree, "z/dir", 5, see, &empty), 0, "an empty directory");
	is_int(empty.count, 0, "has no names");
	is_int(tree_list(tree, "z/file", 6, see, &s), -ENOENT, "a file is no directory");
	is_int(tree_list(tree, "z/fifo", 6, see, &s), -ENOENT, "nor a FIFO");
	is_int(tree_list(tree, "z/symdir", 8, see, &s), -ELOOP, "a symlink is not followed");
	is_int(tree_list(tree, "z/out/sub", 9, see, &s), -ELOOP, "nor on the way");
	is_int(tree_list(tree, "z/no", 4, see, &s), -ENOENT, "nothing");
	mkdir("root/z/brief", 0755);
	put("root/z/brief/f", "");
	is_int(tree_list(tree, "z/brief", 7, remove_under, &brief), -ENOENT,
	       "removed under its reader: not empty");
}

static void
test_readlink_and_dirfd(void)
{
	char b[16];
	int fd;
	struct stat st;

	memset(b, '#', sizeof(b));
	is_int(tree_readlink(tree, "z/sym", 5, b, 4), 4, "a target that just fits");
	is_mem(b, "file#", 5, "is not terminated");
	is_int(tree_readlink(tree, "z/sym", 5, b, 3), -ENAMETOOLONG, "one that does not");
	is_int(tree_readlink(tree, "z/file", 6, b, 16), -EINVAL, "a file has no target");
	is_int(tree_readlink(tree, "z/no", 4, b, 16), -ENOENT, "nothing");
	is_int(tree_readlink(tree, "z/out/sub", 9, b, 16), -ELOOP, "not through a symlink");

	fd = tree_dirfd(tree, "z/dir", 5);
	ok(fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == lstat_of("root/z/dir").st_ino,
	   "a directory's descriptor");
	is_int(fcntl(fd, F_GETFL) & O_PATH, O_PATH, "is an O_PATH one");
	is_int(fcntl(fd, F_GETFD), FD_CLOEXEC, "closed on exec");
	close(fd);
	fd = tree_dirfd(tree, "", 0);
	ok(fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == lstat_of("root").st_ino, "the root's");
	close(fd);
	is_int(tree_dirfd(tree, "z/file", 6), -ENOENT, "a file's");
	is_int(tree_dirfd(tree, "z/symdir", 8), -ELOOP, "a symlink's");
	is_int(tree_sync_dir(tree, "", 0) || tree_sync_dir(tree, "z/dir", 5) ||
		       tree_sync_stage(tree) || tree_sync_kept(tree) || tree_sync_all(tree),
	       0, "everything can be synced");
	is_int(tree_sync_dir(tree, "z/no", 4) || tree_sync_dir(tree, "no/no/no", 8), 0,
	       "in place of what is not there, what is above it");
	is_int(symlink("dir", "root/z/swapped"), 0, "a symlink where a directory was");
	is_int(tree_sync_dir(tree, "z/swapped", 9), 0, "is not followed: all is synced");
	is_int(unlink("root/z/swapped"), 0, "it goes again");
}

static int
fsyncs_for(const char *dir)
{
	fsyncs = 0;
	is_int(tree_sync_dir(tree, dir, n(dir)), 0, "%s is synced", dir);
	return fsyncs;
}

/* A file system that does not tell when a directory was made has each name synced each time. */
static bool
tells_age(const char *dir)
{
	struct statx sx;

	return statx(AT_FDCWD, dir, 0, STATX_BTIME, &sx) == 0 && (sx.stx_mask & STATX_BTIME) != 0;
}

static void
test_names_above(void)
{
	int again = tells_age("root") ? 1 : 3;

	mkdir("root/up", 0755);
	mkdir("root/up/down", 0755);
	is_int(fsyncs_for("up/down"), 3, "the first time with the names above it");
	is_int(fsyncs_for("up/down"), again, "they are known to be durable then");
	rename("root/up/down", "root/up/other");
	mkdir("root/up/down", 0755);
	is_int(fsyncs_for("up/down"), again == 1 ? 2 : 3, "but not that of one made anew");
	rename("root/up", "root/moved");
	is_int(fsyncs_for("moved/down"), again == 1 ? 2 : 3, "nor that of one renamed");
	mkdir("root/up", 0755);
	rename("root/moved/down", "root/up/down");
	is_int(fsyncs_for("up/down"), 3, "nor that of one in another directory");
	is_int(fsyncs_for("up"), again == 1 ? 1 : 2, "each of them counts by itself");
	rmdir("root/up/down");
	rmdir("root/up");
	rmdir("root/moved/other");
	rmdir("root/moved");
}

/* ---- the stage ---- */

static void
test_stage(void)
{
	struct tfile *f, *again;
	struct seen s = {0};
	struct sig sig;
	uint64_t have = 99;
	char b[8];

	is_int(tree_stage_open(tree, "1-1", 6, &f, &have), 0, "a stage file is made");
	is_int(have, 0, "with nothing in it");
	is_int(lstat_of("work/stage/1-1").st_mode & 07777, 0600, "for its owner alone");
	is_int(tfile_write_at(f, 2, "cdef", 4) || tfile_write_at(f, 0, "ab", 2), 0, "and written");
	is_int(tfile_read_at(f, 0, b, 8), 6, "and read");
	is_mem(b, "abcdef", 6, "the same");
	tfile_flush_hint(f, 0, 6);
	tfile_flush_hint(f, UINT64_MAX, UINT64_MAX);
	is_int(tfile_write_at(f, UINT64_MAX - 1, "x", 1), -EFBIG, "not beyond all bounds");
	is_int(tfile_truncate(f, UINT64_MAX), -EFBIG, "nor so long");
	is_int(tree_stage_open(tree, "1-1", 6, &again, &have), 0, "it is opened again");
	is_int(have, 6, "with what is in it");
	tfile_close(again);
	is_int(tfile_truncate(f, 3), 0, "it is cut");
	is_int(tree_stage_stat(tree, "1-1", &sig) || sig.size != 3, 0, "to three bytes");
	tfile_close(f);
	is_int(tree_stage_symlink(tree, "1-2", "../a b", 6, -1), 0, "a symlink is staged");
	is_int(tree_stage_symlink(tree, "1-2", "x", 1, 0), -EEXIST, "once");
	is_int(tree_stage_symlink(tree, "1-3", "a\0b", 3, 0), -EINVAL,
	       "no zero byte in its target");
	is_int(tree_stage_symlink(tree, "1-3", "", 0, 0), -EINVAL, "nor an empty one");
	is_int(tree_stage_stat(tree, "1-2", &sig), 0, "it is looked at");
	ok(sig.kind == KIND_SYMLINK && sig.mtime_ns == -1, "its mtime may lie before 1970");
	is_int(tree_stage_readlink(tree, "1-2", b, 8), 6, "its target");
	is_mem(b, "../a b", 6, "is as given");
	is_int(tree_stage_open(tree, "1-2", 1, &f, &have), -ELOOP,
	       "a staged symlink is not opened");
	mkdir("work/stage/1-4", 0700);
	is_int(tree_stage_list(tree, see_name, &s), 0, "the stage is listed");
	is_int(s.count, 3, "all of it");
	is_int(tree_stage_unlink(tree, "1-1") || tree_stage_unlink(tree, "1-2") ||
		       tree_stage_unlink(tree, "1-4"),
	       0, "files, symlinks and empty directories are removed from it");
	is_int(tree_stage_unlink(tree, "1-1"), -ENOENT, "once");
	mkdir("work/stage/1-5", 0700);
	put("work/stage/1-5/x", "");
	is_int(tree_stage_unlink(tree, "1-5"), -ENOTEMPTY, "no tree is removed");
	run_rm("work/stage/1-5");
}

static void
test_preallocation(void)
{
	uint64_t have, bytes = 0, inodes = 0;
	struct tfile *f;
	int r;

	is_int(tree_stage_open(tree, "big", 9 * MIB, &f, &have), 0, "a large stage file");
	is_int(lstat_of("work/stage/big").st_size, 0, "is empty");
	ok(lstat_of("work/stage/big").st_blocks * 512 >= (blkcnt_t)(9 * MIB), "and has its room");
	is_int(tfile_reserve(f, 0, 10 * MIB), 0, "more room is taken");
	ok(lstat_of("work/stage/big").st_blocks * 512 >= (blkcnt_t)(10 * MIB) &&
		   lstat_of("work/stage/big").st_size == 0,
	   "and it is still empty");
	is_int(tfile_reserve(f, 0, UINT64_MAX), -EFBIG, "but not more than a file can have");
	is_int(tfile_truncate(f, 0), 0, "emptied");
	ok(lstat_of("work/stage/big").st_blocks * 512 >= (blkcnt_t)(9 * MIB), "it keeps its room");
	is_int(tfile_write_at(f, 0, "x", 1) || tfile_truncate(f, 0), 0, "written and emptied");
	is_int(lstat_of("work/stage/big").st_blocks, 0, "it gives it back");
	tfile_close(f);
	is_int(tree_space(tree, &bytes, &inodes), 0, "room is counted");
	ok(bytes > 0 && inodes > 0, "%llu bytes, %llu inodes", (unsigned long long)bytes,
	   (unsigned long long)inodes);
	if (bytes < (1ULL << 43)) {
		r = tree_stage_open(tree, "huge", 1ULL << 43, &f, &have);
		ok(r == -ENOSPC || r == -EFBIG, "more than there is room for is refused (%d)", r);
		is_int(lstat_of("work/stage/huge").st_blocks, 0, "and takes no room");
	}
	is_int(tree_stage_open(tree, "huge", UINT64_MAX, &f, &have), -EFBIG,
	       "so is a size out of range");
	is_int(tree_stage_unlink(tree, "big") || tree_stage_unlink(tree, "huge"), 0,
	       "both are removed");
}

/* ---- metadata ---- */

static void
test_file_meta(void)
{
	bool root = geteuid() == 0;
	struct tfile *f;
	struct sig s;
	uint64_t have;
	int r;

	is_int(tree_stage_open(tree, "m", 1, &f, &have), 0, "a file for metadata");
	is_int(tfile_set_meta(f, 07654, 1234567890123456789, LEAVE, LEAVE), 0,
	       "mode and mtime are set");
	is_int(tfile_stat(f, &s, NULL), 0, "and looked at");
	is_int(s.mode, 0654, "without setuid, setgid, sticky");
	is_int(s.mtime_ns, 1234567890123456789, "to the nanosecond");
	is_int(tfile_set_meta(f, 0600, -1500000000, geteuid(), getegid()), 0, "a time before 1970");
	is_int(tfile_stat(f, &s, NULL) || s.mtime_ns != -1500000000, 0, "is kept too");
	is_int(fchmodat(AT_FDCWD, "work/stage/m", 04755, 0), 0, "a setuid bit from elsewhere");
	r = tfile_set_meta(f, 0644, 77, 12345, 54321);
	is_int(r, root ? 0 : -EPERM, "another owner");
	is_int(tfile_stat(f, &s, NULL), 0, "is looked at");
	ok(s.mode == 0644 && s.mtime_ns == 77, "mode and mtime are set all the same");
	ok(!root || (s.uid == 12345 && s.gid == 54321), "owner and group too, if that may be");
	tfile_close(f);
	is_int(tree_stage_unlink(tree, "m"), 0, "removed");
}

static int
set_meta(const char *path, uint64_t ino, uint16_t mode, int64_t mtime)
{
	return tree_set_meta(tree, path, n(path), ino, mode, mtime, LEAVE, LEAVE);
}

static void
test_set_meta(void)
{
	struct stat st = lstat_of("root/z/file"), target;
	int64_t dir_time = mtime_of("root/z/dir");

	is_int(set_meta("z/file", st.st_ino, 07400, 5000000001), 0, "metadata in place (%s)", pass);
	is_int(lstat_of("root/z/file").st_mode & 07777, 0400,
	       "the mode, without the dangerous bits");
	is_int(mtime_of("root/z/file"), 5000000001, "the mtime");
	is_int(set_meta("z/file", st.st_ino, 0, 3), 0, "a file that its owner cannot open");
	is_int(set_meta("z/file", st.st_ino, 0640, 4), 0, "has metadata as well");
	is_int(mtime_of("root/z/file"), 4, "and it is set");
	is_int(set_meta("z/file", st.st_ino + 1, 0777, 9), -ESTALE, "another inode is left alone");
	is_int(lstat_of("root/z/file").st_mode & 07777, 0640, "really");
	is_int(set_meta("z/dir", lstat_of("root/z/dir").st_ino, 0711, 9), 0, "a directory");
	is_int(lstat_of("root/z/dir").st_mode & 07777, 02711, "keeps its setgid");
	is_int(mtime_of("root/z/dir"), dir_time, "and its mtime, which is nobody's version");
	target = lstat_of("root/z/file");
	is_int(set_meta("z/sym", lstat_of("root/z/sym").st_ino, 0777, 42), 0, "a symlink");
	is_int(mtime_of("root/z/sym"), 42, "has an mtime of its own");
	is_int(mtime_of("root/z/file"), 4, "its target is not touched");
	is_int(lstat_of("root/z/file").st_mode, target.st_mode, "nor its mode");
	is_int(set_meta("z/fifo", lstat_of("root/z/fifo").st_ino, 0777, 42), -EMEDIUMTYPE,
	       "a FIFO is not");
	is_int(set_meta("z/no", 1, 0777, 42), -ENOENT, "nothing");
	is_int(set_meta("z/out/secret", lstat_of("outside/secret").st_ino, 0777, 42), -ELOOP,
	       "nor outside");
	if (geteuid() == 0) {
		is_int(tree_set_meta(tree, "z/file", 6, st.st_ino, 0755, 6, 12345, 54321), 0,
		       "an owner");
		ok(lstat_of("root/z/file").st_uid == 12345 &&
			   (lstat_of("root/z/file").st_mode & 07777) == 0755,
		   "is set");
	} else {
		is_int(tree_set_meta(tree, "z/file", 6, st.st_ino, 0755, 6, 0, LEAVE), -EPERM,
		       "no right to chown");
		ok(mtime_of("root/z/file") == 6 &&
			   (lstat_of("root/z/file").st_mode & 07777) == 0755,
		   "but the rest is set");
	}
}

/* What is somebody else's: no owner, no mode, no mtime. In a child that gave its rights away. */
static void
test_foreign_meta(void)
{
	pid_t pid;
	int status = -1;
	uint64_t ino = lstat_of("root/z/file").st_ino;

	if (geteuid() != 0) {
		ok(true, "a foreign file's metadata # SKIP only root can make one");
		return;
	}
	pid = fork();
	if (pid == 0) {
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(99);
		if (tree_set_meta(tree, "z/file", 6, ino, 0700, 8, LEAVE, LEAVE) != -EACCES)
			_exit(1);
		if (tree_set_meta(tree, "z/file", 6, ino, 0755, 6, 65534, LEAVE) != -EPERM)
			_exit(2);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	is_int(WEXITSTATUS(status), 0, "EPERM is said of the owner alone, EACCES of the rest");
}

/* ---- changing ---- */

static void
test_place(void)
{
	stage("p", "new");
	is_int(tree_place(tree, "p", "c/new", 5), -ENOENT, "there must be a parent (%s)", pass);
	mkdir("root/c", 0755);
	is_int(tree_place(tree, "p", "c/new", 5), 0, "a new file is placed");
	is_str(text_of("root/c/new"), "new", "it is there");
	ok(!there("work/stage/p"), "and no longer in the stage");
	is_int(tree_place(tree, "p", "c/other", 7), -ESTALE,
	       "without a stage file: not said of the path");
	stage("p", "newer");
	is_int(tree_place(tree, "p", "c/new", 5), -EEXIST, "nothing is replaced");
	is_str(text_of("root/c/new"), "new", "really");
	is_int(tree_place(tree, "p", "z/dangling", 10), -EEXIST, "not even a dangling symlink");
	is_int(tree_place(tree, "p", "z/fifo", 6), -EEXIST, "nor a FIFO");
	is_int(tree_place(tree, "p", "c/new/x", 7), -ENOENT, "a file is no parent");
	is_int(tree_place(tree, "p", "z/out/x", 7), -ELOOP, "nor a symlink to outside");
	is_int(tree_place(tree, "p", "z/out/sub/x", 11), -ELOOP, "nor further on");
	ok(!there("outside/x") && !there("outside/sub/x"), "nothing is outside");
	is_str(text_of("work/stage/p"), "newer", "the stage file is still there");
	is_int(tree_stage_unlink(tree, "p"), 0, "removed");
}

static void
test_exchange(void)
{
	uint64_t ino;

	stage("e", "edit");
	is_int(tree_exchange(tree, "e", "c/none", 6), -ENOENT, "nothing to exchange with (%s)",
	       pass);
	is_int(tree_exchange(tree, "e", "none/none", 9), -ENOENT, "no parent either");
	is_int(tree_exchange(tree, "gone", "c/new", 5), -ESTALE, "no stage file");
	is_int(tree_exchange(tree, "e", "c/new", 5), 0, "exchanged");
	is_str(text_of("root/c/new"), "edit", "the new one is shown");
	is_str(text_of("work/stage/e"), "new", "the old one came out");

	ino = lstat_of("root/z/dir").st_ino;
	is_int(tree_exchange(tree, "e", "z/dir", 5), -EISDIR,
	       "a directory does not come out for a file");
	ok(lstat_of("root/z/dir").st_ino == ino && S_ISREG(lstat_of("work/stage/e").st_mode),
	   "both are where they were");
	is_int(tree_exchange(tree, "e", "z/fifo", 6), -EMEDIUMTYPE, "nor does a FIFO");
	ok(S_ISFIFO(lstat_of("root/z/fifo").st_mode), "it is where it was");
	is_int(tree_exchange(tree, "e", "z/out/secret", 12), -ELOOP, "not through a symlink");
	is_str(text_of("outside/secret"), "secret", "outside is as it was");
	is_int(tree_exchange(tree, "e", "z/out", 5), 0, "a symlink itself is exchanged");
	ok(S_ISLNK(lstat_of("work/stage/e").st_mode), "and came out");
	is_str(text_of("root/z/out"), "new", "for the file");
	is_int(tree_exchange(tree, "e", "z/out", 5), 0, "and back");

	mkdir("work/stage/d", 0755);
	is_int(tree_exchange(tree, "d", "c/new", 5), 0, "a directory that had come out goes back");
	ok(S_ISDIR(lstat_of("root/c/new").st_mode), "in the place of the file");
	is_int(tree_exchange(tree, "e", "c/new", 5), -EISDIR, "not for another file");
	is_int(tree_rmdir(tree, "c/new", 5), 0, "removed");
	is_int(tree_place(tree, "d", "c/new", 5) || tree_stage_unlink(tree, "e"), 0,
	       "the file is back");
}

static void
test_take(void)
{
	struct seen s = {0};
	struct tfile *f;
	struct sig sig;
	char b[8];

	is_int(tree_take(tree, "c/no", 4, "t"), -ENOENT, "nothing to take (%s)", pass);
	is_int(tree_take(tree, "z/dir", 5, "t"), -EISDIR, "no directory is taken");
	is_int(tree_take(tree, "z/fifo", 6, "t"), -EMEDIUMTYPE, "no FIFO");
	is_int(tree_take(tree, "z/out/secret", 12, "t"), -ELOOP, "nothing from outside");
	ok(there("outside/secret") && there("root/z/dir") && there("root/z/fifo"),
	   "all are where they were");
	is_int(tree_take(tree, "c/new", 5, "t"), 0, "a file is taken");
	ok(!there("root/c/new") && there("work/stage/t"), "into the stage");
	put("root/c/new", "again");
	is_int(tree_take(tree, "c/new", 5, "t"), -EEXIST, "nothing there is replaced");
	is_int(tree_keep(tree, "t", "1-1"), 0, "what was taken is kept");
	is_int(tree_keep(tree, "t", "1-2"), -ENOENT, "once");
	stage("t", "second");
	is_int(tree_keep(tree, "t", "1-1"), -EEXIST, "nothing kept is replaced");
	is_str(text_of("work/kept/1-1"), "edit", "it is what was shown");
	is_int(tree_kept_open(tree, "1-1", &f), 0, "it is opened");
	is_int(tfile_read_at(f, 0, b, 8), 4, "and read");
	ok(tfile_write_at(f, 0, "x", 1) < 0, "not written");
	tfile_close(f);
	is_int(tree_kept_rename(tree, "1-1", "1-9"), 0, "renamed");
	is_int(tree_kept_rename(tree, "1-1", "1-8"), -ENOENT, "once");
	is_int(tree_keep(tree, "t", "1-1"), 0, "another is kept");
	is_int(tree_kept_rename(tree, "1-1", "1-9"), -EEXIST, "it replaces nothing");
	is_int(tree_kept_stat(tree, "1-9", &sig) || sig.size != 4, 0, "and looked at");
	is_int(tree_stage_symlink(tree, "l", "tgt", 3, 1), 0, "a symlink");
	is_int(tree_keep(tree, "l", "1-3"), 0, "is kept");
	is_int(tree_kept_readlink(tree, "1-3", b, 8), 3, "with its target");
	is_int(tree_kept_open(tree, "1-3", &f), -ELOOP, "and not opened");
	is_int(tree_kept_list(tree, see_name, &s) || s.count != 3, 0, "three are listed");
	is_int(tree_kept_unlink(tree, "1-1") || tree_kept_unlink(tree, "1-9") ||
		       tree_kept_unlink(tree, "1-3"),
	       0, "and removed");
	is_int(tree_kept_stat(tree, "1-9", &sig), -ENOENT, "gone");
}

static void
test_log(void)
{
	static const char *const bad[] = {"",
					  "mimeo 1 ",
					  "mimeo 1 00000000000000aa",
					  "mimeo 1 00000000000000aa 0 5 ",
					  "mimeo 2 00000000000000aa 3 5 ",
					  "mimeo 1 aa 3"};
	struct tree_log a = {.store = 0xaa, .generation = 3, .size = 500}, b = a, got;

	(void)unlink("work/log");
	is_int(tree_log_read("work", &got), -ENOENT, "no note of the log");
	is_int(tree_log_write(tree, &a), 0, "one is made");
	is_int(tree_log_read("work", &got), 0, "and read");
	ok(got.store == 0xaa && got.generation == 3 && got.size == 500 && got.when_ms > 0,
	   "it says the same");
	b.size = 499;
	ok(tree_log_newer(&a, &b) && !tree_log_newer(&b, &a) && !tree_log_newer(&a, &a),
	   "more bytes are newer");
	is_int(tree_log_write(tree, &b) || tree_log_read("work", &got) || got.size != 500, 0,
	       "it never goes back");
	b = (struct tree_log){.store = 0xaa, .generation = 4, .size = 64};
	ok(tree_log_newer(&b, &a), "so is a later generation");
	is_int(tree_log_write(tree, &b) || tree_log_read("work", &got) || got.size != 64, 0,
	       "which is noted, shorter as it is");
	b = (struct tree_log){.store = 0xbb, .generation = 1, .size = 64};
	ok(!tree_log_newer(&got, &b), "another store is no newer");
	is_int(tree_log_write(tree, &b) || tree_log_read("work", &got) || got.store != 0xbb, 0,
	       "and replaces it");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put("work/log", bad[i]);
		is_int(tree_log_read("work", &got), -EBADMSG, "not a note: '%s'", bad[i]);
	}
	is_int(tree_log_write(tree, &a) || tree_log_read("work", &got), 0, "written over");
	(void)unlink("work/log");
	is_int(symlink("../outside/secret", "work/log"), 0, "a symlink there");
	is_int(tree_log_write(tree, &a), -ELOOP, "is not followed");
	is_int(tree_log_read("work", &got), -ELOOP, "not for reading either");
	(void)unlink("work/log");
}

static void
test_move(void)
{
	put("root/c/a", "a");
	put("root/c/b", "b");
	is_int(tree_move(tree, "c/a", 3, "c/b", 3), -EEXIST, "a move replaces nothing (%s)", pass);
	is_int(tree_move(tree, "c/a", 3, "z/dir/a", 7), 0, "it goes from one directory to another");
	is_str(text_of("root/z/dir/a"), "a", "with its content");
	is_int(tree_move(tree, "c/a", 3, "c/x", 3), -ENOENT, "once");
	is_int(tree_move(tree, "c/b", 3, "no/x", 4), -ENOENT, "into a directory");
	is_int(tree_move(tree, "c/b", 3, "z/out/x", 7), -ELOOP, "not to outside");
	is_int(tree_move(tree, "z/out/secret", 12, "c/x", 3), -ELOOP, "nor from there");
	ok(there("root/c/b") && there("outside/secret") && !there("outside/x"),
	   "all are where they were");
}

static void
test_dirs(void)
{
	mode_t mask = umask(027);

	is_int(tree_mkdir(tree, "n", 1, 07775, LEAVE, LEAVE), 0, "a directory is made (%s)", pass);
	is_int(lstat_of("root/n").st_mode & 07777, 0775,
	       "with its mode, whatever the umask, and no more");
	is_int(tree_mkdir(tree, "n", 1, 0755, LEAVE, LEAVE), -EEXIST, "once");
	is_int(tree_mkdir(tree, "z/dangling", 10, 0755, LEAVE, LEAVE), -EEXIST,
	       "not in the place of a symlink");
	is_int(tree_mkdir(tree, "no/n", 4, 0755, LEAVE, LEAVE), -ENOENT, "nor without a parent");
	is_int(tree_mkdir(tree, "z/out/n", 7, 0755, LEAVE, LEAVE), -ELOOP, "nor outside");
	is_int(tree_mkdir(tree, "n/closed", 8, 0, LEAVE, LEAVE), 0, "one that nobody may enter");
	is_int(lstat_of("root/n/closed").st_mode & 07777, 0, "is just so");
	chmod("root/n", 02770);
	is_int(tree_mkdir(tree, "n/s", 3, 0757, LEAVE, LEAVE), 0, "below a setgid directory");
	is_int(lstat_of("root/n/s").st_mode & 07777, 02757, "setgid is inherited and stays");
	if (geteuid() == 0) {
		is_int(tree_mkdir(tree, "n/o", 3, 0755, 12345, 54321), 0, "with an owner");
		ok(lstat_of("root/n/o").st_uid == 12345 && lstat_of("root/n/o").st_gid == 54321,
		   "it has it");
		is_int(lstat_of("root/n/o").st_mode & 07777, 02755, "and its mode");
	} else {
		is_int(tree_mkdir(tree, "n/o", 3, 0757, 0, LEAVE), -EPERM,
		       "an owner that may not be given");
		is_int(lstat_of("root/n/o").st_mode & 0777, 0757,
		       "leaves a directory with its mode");
	}
	is_int(tree_rmdir(tree, "n", 1), -ENOTEMPTY, "a directory with something in it stays");
	is_int(tree_rmdir(tree, "n/s", 3), 0, "an empty one goes");
	is_int(tree_rmdir(tree, "n/s", 3), -ENOENT, "once");
	is_int(tree_rmdir(tree, "z/file", 6), -ENOENT, "a file is no directory");
	is_int(tree_rmdir(tree, "z/symdir", 8), -ENOENT, "nor a symlink");
	is_int(tree_rmdir(tree, "z/out/sub", 9), -ELOOP, "nothing outside");
	ok(there("outside/sub") && there("root/z/symdir") && there("root/z/file"),
	   "they are still there");
	umask(mask);
}

/* ---- awkward names ---- */

static int
same_name(void *arg, const char *name, size_t name_len, uint8_t d_type)
{
	const char *want = arg;

	(void)d_type;
	return name_len == strlen(want) && memcmp(name, want, name_len) == 0 ? 1 : 0;
}

static void
test_names(void)
{
	char longest[256], path[300];
	char *names[] = {(char[]){"new\nline"}, (char[]){"\xff\xfe\x80"},
			 (char[]){" "},         (char[]){"..."},
			 (char[]){"-rf"},       (char[]){"\x01\x7f\x1b[2J"},
			 (char[]){"a\\b\"'%s"}, longest};
	struct sig s;
	size_t len;

	memset(longest, 'w', 255);
	longest[255] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		len = (size_t)snprintf(path, sizeof(path), "c/%s", names[i]);
		stage("w", "w");
		ok(tree_place(tree, "w", path, len) == 0 &&
			   tree_stat(tree, path, len, &s, NULL) == 0 && s.size == 1 &&
			   tree_list(tree, "c", 1, same_name, names[i]) == 1 &&
			   tree_take(tree, path, len, "w") == 0 &&
			   tree_stage_unlink(tree, "w") == 0 &&
			   tree_mkdir(tree, path, len, 0755, LEAVE, LEAVE) == 0 &&
			   tree_sync_dir(tree, path, len) == 0 && tree_rmdir(tree, path, len) == 0,
		   "an awkward name, number %zu (%s)", i, pass);
	}
	len = (size_t)snprintf(path, sizeof(path), "c/%sw", longest);
	is_int(tree_stat(tree, path, len, &s, NULL), -EINVAL, "256 bytes are too many");
	is_int(tree_stat(tree, "c/newXXXX", 5, &s, NULL), 0, "a path ends where its length says");
}

static void
test_depth(void)
{
	char path[PATH_BYTES_MAX + 1];
	size_t len = 0;
	struct sig s;
	int r = 0;

	for (int i = 0; i < 200 && r == 0; i++) {
		path[len++] = 'd';
		r = tree_mkdir(tree, path, len, 0755, LEAVE, LEAVE);
		path[len++] = '/';
	}
	is_int(r, 0, "200 directories, one in the other (%s)", pass);
	path[len++] = 'f';
	stage("deep", "deep");
	is_int(tree_place(tree, "deep", path, len), 0, "a file at the bottom");
	is_int(tree_stat(tree, path, len, &s, NULL), 0, "is seen");
	is_int(tree_take(tree, path, len, "deep") || tree_stage_unlink(tree, "deep"), 0,
	       "and taken");
	for (int i = 0; i < 200 && r == 0; i++) {
		len -= 2;
		r = tree_rmdir(tree, path, len);
	}
	is_int(r, 0, "and all are removed again");
}

/* The longest path there is: sixteen names of 255 bytes, less one. */
static void
test_length(void)
{
	char path[PATH_BYTES_MAX];
	struct sig s;
	int r = 0;

	memset(path, 'l', sizeof(path));
	for (size_t i = 255; i < sizeof(path); i += 256)
		path[i] = '/';
	for (size_t i = 255; i < sizeof(path) && r == 0; i += 256)
		r = tree_mkdir(tree, path, i, 0755, LEAVE, LEAVE);
	is_int(r, 0, "a path of 4095 bytes (%s)", pass);
	stage("long", "x");
	is_int(tree_place(tree, "long", path, sizeof(path)), 0, "can be placed");
	is_int(tree_stat(tree, path, sizeof(path), &s, NULL), 0, "and looked at");
	is_int(tree_take(tree, path, sizeof(path), "long") || tree_stage_unlink(tree, "long"), 0,
	       "and taken");
	for (size_t i = 15; i > 0 && r == 0; i--)
		r = tree_rmdir(tree, path, i * 256 - 1);
	is_int(r, 0, "and the way to it removed");
}

/* ---- leases ---- */

/* A child that holds the file open, until it is killed. Returns when it does. */
static pid_t
holder(const char *path, int flags)
{
	int p[2];
	pid_t pid;
	char c;

	if (pipe(p) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		int fd = open(path, flags);

		(void)!write(p[1], "x", fd >= 0 ? 1 : 0);
		close(p[1]);
		for (;;)
			pause();
	}
	close(p[1]);
	(void)!read(p[0], &c, 1);
	close(p[0]);
	return pid;
}

static void
end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void
test_lease(void)
{
	struct tfile *f, *w;
	uint64_t have;
	pid_t pid;

	put("root/c/leased", "x");
	if (geteuid() == 0)
		(void)!chown("root/c/leased", 0, 0);
	is_int(tree_open_file(tree, "c/leased", 8, &f), 0, "a file to lease");
	is_int(tfile_lease(f), 0, "no one writes");
	is_int(tfile_lease(f), 0, "and it is dropped at once");
	pid = holder("root/c/leased", O_WRONLY);
	is_int(tfile_lease(f), -EAGAIN, "somebody writes");
	end(pid);
	is_int(tfile_lease(f), 0, "no longer");
	pid = holder("root/c/leased", O_RDONLY);
	is_int(tfile_lease(f), 0, "a reader is no writer");
	end(pid);
	tfile_close(f);

	is_int(tree_stage_open(tree, "mine", 1, &w, &have) || tree_place(tree, "mine", "c/mine", 6),
	       0, "one that we write");
	is_int(tree_open_file(tree, "c/mine", 6, &f), 0, "and read");
	is_int(tfile_lease(f), -EAGAIN, "we count as well");
	tfile_close(w);
	is_int(tfile_lease(f), 0, "until it is closed");
	tfile_close(f);
}

/* Who wants to write to what is held waits, or is told so; who reads it does not. */
static void
test_hold(void)
{
	struct tfile *f, *other;
	pid_t pid;
	int fd;

	put("root/c/held", "x");
	is_int(tree_open_file(tree, "c/held", 6, &f), 0, "a file to hold");
	is_int(tfile_hold(f), 0, "it is held");
	is_int(tfile_hold(f), 0, "and still");
	fd = open("root/c/held", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	ok(fd < 0 && errno == EWOULDBLOCK, "nobody can open it for writing now");
	is_int(tree_open_file(tree, "c/held", 6, &other), 0, "but for reading");
	tfile_close(other);
	ok(!tfile_moved_to(tree, f, "c/moved", 7), "not moved yet");
	ok(tfile_moved_to(tree, f, "c/held", 6), "it is where it was opened");
	is_int(tree_move(tree, "c/held", 6, "c/moved", 7), 0, "moved while it is held");
	ok(tfile_moved_to(tree, f, "c/moved", 7), "which can be seen");
	ok(!tfile_moved_to(tree, f, "c/held", 6) && !tfile_moved_to(tree, f, "c/move", 6) &&
		   !tfile_moved_to(tree, f, "c/moved2", 8) && !tfile_moved_to(tree, f, "moved", 5),
	   "and nowhere else");
	put("root/c/held2", "y");
	ok(rename("root/c/held2", "root/c/moved") == 0 && tfile_moved_to(tree, f, "c/moved", 7),
	   "even if something else has the name by now");
	tfile_close(f);

	is_int(tree_open_file(tree, "c/moved", 7, &f) || tfile_hold(f), 0, "held again");
	tfile_close(f);
	fd = open("root/c/moved", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	ok(fd >= 0, "closed, it is everybody's again");
	close(fd);
	is_int(tree_open_file(tree, "c/moved", 7, &f), 0, "once more");
	pid = holder("root/c/moved", O_WRONLY);
	is_int(tfile_hold(f), -EAGAIN, "not while somebody writes");
	end(pid);
	tfile_close(f);
}

/* Without a right to the lease: a child that gave its own away. */
static void
test_lease_denied(void)
{
	int status = -1;
	pid_t pid;

	if (geteuid() != 0) {
		ok(true, "a lease on a foreign file # SKIP only root can make one");
		return;
	}
	pid = fork();
	if (pid == 0) {
		struct tfile *f;

		if (setgid(65534) < 0 || setuid(65534) < 0 ||
		    tree_open_file(tree, "c/leased", 8, &f) < 0)
			_exit(99);
		_exit(tfile_lease(f) == -EPERM ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	is_int(WEXITSTATUS(status), 0, "who may not try is told so");
}

/* Somebody opens the file for writing again and again; a lease that he breaks must not kill us. */
static void
test_lease_broken(void)
{
	int busy = 0, quiet = 0, status = 0;
	pid_t pid, writer;

	pid = fork();
	if (pid == 0) {
		struct tfile *f;

		writer = fork();
		if (writer == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (int i = 0;; i++) {
				int fd = open("root/c/leased", O_WRONLY);

				if (i % YIELD_ROUNDS == 0)
					sched_yield();
				close(fd);
			}
		}
		if (tree_open_file(tree, "c/leased", 8, &f) < 0)
			_exit(3);
		for (int i = 0; i < LEASE_RACES || busy == 0 || quiet == 0; i++) {
			int r = tfile_lease(f);

			busy += r == -EAGAIN;
			quiet += r == 0;
			if (r != 0 && r != -EAGAIN)
				_exit(4);
			if (i % YIELD_ROUNDS == 0)
				sched_yield();
		}
		end(writer);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status), "a broken lease does not kill (signal %d)", WTERMSIG(status));
	is_int(WEXITSTATUS(status), 0, "leases against a busy writer");
}

/* ---- mounts ---- */

enum { MOUNT_ANSWERS = 12 };

static bool
make_mounts(void)
{
	if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	return mount("none", "root/m/tmp", "tmpfs", 0, NULL) == 0 &&
	       mount("outside", "root/m/bind", NULL, MS_BIND, NULL) == 0 &&
	       mount("outside/secret", "root/m/file", NULL, MS_BIND, NULL) == 0 &&
	       mount("work2", "work2", NULL, MS_BIND, NULL) == 0;
}

/* In a child with mounts of its own: writes what each call returned. */
static void
mount_child(int out)
{
	struct tree_opts o = {.root = "root", .work = "work"},
			 far = {.root = "root", .work = "work2"};
	int a[MOUNT_ANSWERS] = {0};
	struct seen seen = {0};
	struct tree *t, *t2;
	struct tfile *f;
	char err[512];
	struct sig s;

	if (!make_mounts() || tree_open(&o, &t, err, sizeof(err)) < 0)
		_exit(1);
	a[0] = tree_stat(t, "m/tmp", 5, &s, NULL);
	a[1] = tree_stat(t, "m/bind", 6, &s, NULL);
	a[2] = tree_stat(t, "m/file", 6, &s, NULL);
	a[3] = tree_stat(t, "m/bind/secret", 13, &s, NULL);
	a[4] = tree_list(t, "m/bind", 6, see, &seen);
	a[5] = tree_list(t, "m/tmp", 5, see, &seen);
	a[6] = tree_open_file(t, "m/file", 6, &f);
	a[7] = tree_place(t, "mounted", "m/bind/x", 8);
	a[8] = tree_mkdir(t, "m/bind/x", 8, 0755, LEAVE, LEAVE);
	a[9] = tree_exchange(t, "mounted", "m/file", 6);
	a[10] = tree_set_meta(t, "m/file", 6, lstat_of("outside/secret").st_ino, 0777, 1, LEAVE,
			      LEAVE);
	a[11] = tree_open(&far, &t2, err, sizeof(err));
	(void)!write(out, a, sizeof(a));
	_exit(0);
}

static void
test_mounts(void)
{
	static const char *const what[MOUNT_ANSWERS] = {"stat of a mount",
							"stat of a bind mount",
							"stat of a file mounted",
							"stat below a bind mount",
							"list of a bind mount",
							"list of a mount",
							"opening a file mounted",
							"placing below a bind mount",
							"mkdir below a bind mount",
							"exchange with a file mounted",
							"metadata of a file mounted",
							"work in another mount of the same device"};
	int a[MOUNT_ANSWERS], p[2];
	ssize_t got;
	pid_t pid;

	mkdir("root/m", 0755);
	mkdir("root/m/tmp", 0755);
	mkdir("root/m/bind", 0755);
	put("root/m/file", "under");
	mkdir("work2", 0700);
	stage("mounted", "x");
	if (pipe(p) < 0)
		return;
	pid = fork();
	if (pid == 0)
		mount_child(p[1]);
	close(p[1]);
	got = read(p[0], a, sizeof(a));
	close(p[0]);
	waitpid(pid, NULL, 0);
	if (got != (ssize_t)sizeof(a)) {
		ok(true, "mounts below the root # SKIP not permitted here");
	} else {
		for (size_t i = 0; i < MOUNT_ANSWERS; i++)
			is_int(a[i], -EXDEV, "%s is refused (%s)", what[i], pass);
		ok(!there("outside/x") && mtime_of("outside/secret") != 1, "nothing is there");
	}
	is_int(tree_stage_unlink(tree, "mounted"), 0, "the stage file is still here");
}

/* ---- races ---- */

/* root/r/d and root/r/l, a symlink to outside, change places all the time. */
static pid_t
swapper(const char *a, const char *b)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned seed = 1;; seed = seed * 1103515245 + 12345) {
		(void)!renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
		for (unsigned wait = (seed >> 16) % 8192; wait > 0; wait--)
			__asm__ volatile("");
		sched_yield();
	}
}

struct tally {
	int done;    /* it went into the real directory */
	int refused; /* the symlink was there */
	int other;
	int last, changes; /* how often one followed the other */
};

static bool
count(struct tally *t, int r)
{
	if (r == 0)
		t->done++;
	else if (r == -ELOOP)
		t->refused++;
	else
		t->other++;
	t->changes += r != t->last;
	t->last = r;
	return r == 0;
}

/* One round: whatever works on the way there is undone, so that it works the next time as well. */
static void
race_round(struct tally *t, uint64_t out_ino, uint64_t in_ino)
{
	struct tfile *f;
	struct sig s;

	if (count(t, tree_place(tree, "r", "r/d/new", 7)))
		while (!count(t, tree_take(tree, "r/d/new", 7, "r")))
			sched_yield();
	(void)count(t, tree_exchange(tree, "r", "r/d/f", 5));
	if (tree_stat(tree, "r/d/f", 5, &s, NULL) == 0 && s.ino == out_ino)
		t->other++;
	if (tree_open_file(tree, "r/d/f", 5, &f) == 0) {
		if (tfile_stat(f, &s, NULL) < 0 || s.ino == out_ino)
			t->other++;
		tfile_close(f);
	}
	if (tree_set_meta(tree, "r/d/g", 5, out_ino, 0777, 1, LEAVE, LEAVE) == 0)
		t->other++;
	(void)count(t, tree_set_meta(tree, "r/d/g", 5, in_ino, 0755, 1, LEAVE, LEAVE));
	if (count(t, tree_mkdir(tree, "r/d/sub2", 8, 0755, LEAVE, LEAVE)))
		while (!count(t, tree_rmdir(tree, "r/d/sub2", 8)))
			sched_yield();
}

static void
test_symlink_race(void)
{
	struct tally t = {0};
	struct stat f, dir;
	uint64_t in_ino;
	pid_t pid;

	mkdir("root/r", 0755);
	mkdir("root/r/d", 0755);
	put("root/r/d/f", "inside");
	put("root/r/d/g", "inside");
	put("outside/f", "outside");
	chmod("outside/f", 0640);
	(void)!link("outside/f", "outside/g");
	(void)!symlink("../../outside", "root/r/l");
	f = lstat_of("outside/f");
	dir = lstat_of("outside");
	in_ino = lstat_of("root/r/d/g").st_ino;
	stage("r", "staged");
	pid = swapper("root/r/d", "root/r/l");
	for (int i = 0; i < races || t.changes < CHANGES_MIN; i++) {
		race_round(&t, f.st_ino, in_ino);
		if (i % YIELD_ROUNDS == 0)
			sched_yield();
	}
	end(pid);
	diag("%d went through, %d met the symlink, %d changes", t.done, t.refused, t.changes);
	ok(t.done > 0 && t.refused > 0, "both happened in at least %d rounds (%s)", races, pass);
	is_int(t.other, 0, "nothing else");
	is_str(text_of("outside/f"), "outside", "the file outside is as it was");
	ok(lstat_of("outside/f").st_ino == f.st_ino && lstat_of("outside/f").st_mode == f.st_mode &&
		   lstat_of("outside/f").st_nlink == 2 && mtime_of("outside/f") != 1 &&
		   lstat_of("outside/f").st_ctim.tv_sec == f.st_ctim.tv_sec &&
		   lstat_of("outside/f").st_ctim.tv_nsec == f.st_ctim.tv_nsec,
	   "inode, mode and times too");
	ok(lstat_of("outside").st_mtim.tv_sec == dir.st_mtim.tv_sec &&
		   lstat_of("outside").st_mtim.tv_nsec == dir.st_mtim.tv_nsec,
	   "no name outside ever changed");
	is_int(tree_stage_unlink(tree, "r"), 0, "what was staged is in the stage");
}

/*
 * What the next exchange meets is a file or a directory. Two changes in one exchange: the directory
 * is in the stage, and goes back.
 */
static void
exchange_round(int *exchanged, int *refused, int *wrong)
{
	int r = tree_exchange(tree, "x", "x/t", 3);
	bool dir = S_ISDIR(lstat_of("work/stage/x").st_mode);

	*exchanged += r == 0;
	*refused += r == -EISDIR;
	*wrong += (r != 0 && r != -EISDIR) || (r != 0 && dir);
	if (r == 0 && dir)
		*wrong += tree_exchange(tree, "x", "x/t", 3) != 0;
}

static void
take_round(int *taken, int *refused, int *wrong)
{
	int r = tree_take(tree, "x/t", 3, "y");
	bool dir = S_ISDIR(lstat_of("work/stage/y").st_mode);

	*taken += r == 0;
	*refused += r == -EISDIR;
	*wrong += (r != 0 && r != -EISDIR) || dir;
	if (r == 0)
		*wrong += tree_place(tree, "y", "x/t", 3) != 0;
}

/* The target itself alternates between a file and a directory. */
static void
test_exchange_race(void)
{
	int exchanged = 0, taken = 0, not_exchanged = 0, not_taken = 0, wrong = 0;
	pid_t pid;

	mkdir("root/x", 0755);
	mkdir("root/x/dir", 0755);
	put("root/x/dir/in", "in");
	put("root/x/t", "file");
	stage("x", "staged");
	pid = swapper("root/x/t", "root/x/dir");
	for (int i = 0; i < races || !exchanged || !not_exchanged || !taken || !not_taken; i++) {
		exchange_round(&exchanged, &not_exchanged, &wrong);
		take_round(&taken, &not_taken, &wrong);
		if (i % YIELD_ROUNDS == 0)
			sched_yield();
	}
	end(pid);
	ok(exchanged > 0 && not_exchanged > 0, "%d exchanged, %d refused (%s)", exchanged,
	   not_exchanged, pass);
	ok(taken > 0 && not_taken > 0, "%d taken, %d refused", taken, not_taken);
	is_int(wrong, 0, "and never a directory left in the stage");
	ok(there("root/x/t/in") || there("root/x/dir/in"), "it is still in the tree");
	is_int(tree_stage_unlink(tree, "x"), 0, "removed");
}

/* ---- passes ---- */

static bool
run_pass(const char *name, const char *base, int rounds)
{
	pass = name;
	races = rounds;
	if (mkdir(base, 0755) < 0 || chdir(base) < 0 || mkdir("root", 0755) < 0 ||
	    mkdir("outside", 0755) < 0)
		return ok(false, "directories for %s: %s", base, strerror(errno));
	umask(022);
	test_open();
	test_other_device();
	test_guard();
	make_zoo();
	test_stat();
	test_bad_paths();
	test_bad_names();
	test_open_file();
	test_fifo_untouched();
	test_list();
	test_readlink_and_dirfd();
	test_names_above();
	test_stage();
	test_preallocation();
	test_file_meta();
	test_place();
	test_exchange();
	test_take();
	test_log();
	test_move();
	test_dirs();
	test_names();
	test_depth();
	test_length();
	test_lease();
	test_hold();
	test_lease_denied();
	test_lease_broken();
	test_set_meta();
	test_foreign_meta();
	test_mounts();
	test_symlink_race();
	test_exchange_race();
	tree_close(tree);
	tree = NULL;
	return chdir("..") == 0;
}

/* From here on openat2 fails so, and there are no files without a name. False: not permitted. */
static bool
without_openat2(unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 2, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
	};
	struct sock_fprog prog = {.len = ARRAY_LEN(code), .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

int
main(void)
{
	char dir[] = "/tmp/tree-test-XXXXXX";

	if (mkdtemp(dir) == NULL || chmod(dir, 0755) < 0 || chdir(dir) < 0)
		return skip_rest("no directory in /tmp");
	run_pass("openat2", "kernel", RACES);
	if (without_openat2(ENOSYS))
		run_pass("name by name", "walk", RACES / 10);
	else
		ok(true, "name by name # SKIP no system call filter here");
	if (without_openat2(EPERM))
		run_pass("forbidden", "eperm", RACES / 10);
	run_rm(dir);
	return tap_done();
}
