/* SPDX-License-Identifier: BSD-2-Clause */
/* Real daemons, an honest peer, and watching that nothing else is touched. */
#include "config.h"

#include "tests/hostile/rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conf/hash.h"
#include "proto/hlc.h"
#include "proto/walfile.h"
#include "tests/tap.h"

#if defined(__SANITIZE_ADDRESS__)
#define RSS_LIMIT_KB (1024L * 1024) /* the sanitizer's own share is several times the program's */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RSS_LIMIT_KB (1024L * 1024)
#endif
#endif
#ifndef RSS_LIMIT_KB
#define RSS_LIMIT_KB (256L * 1024)
#endif
#define FDS_SLACK 4 /* stage files and streams of what is under way */
#define LARGE_BYTES 100000

static const char *build_dir;

static void
must(int r)
{
	if (r < 0)
		abort();
}

static void
path_of(const struct rig *r, const char *name, char out[4300])
{
	snprintf(out, 4300, "%s/%s", r->dir, name);
}

/* ---- processes ---- */

static pid_t
launch(const struct rig *r, const char *program, const char *log, char *const argv[])
{
	char path[4300], to[4300];
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	snprintf(path, sizeof(path), "%s/%s", build_dir, program);
	path_of(r, log, to);
	fd = open(to, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		_exit(126);
	execv(path, argv);
	_exit(127);
}

static pid_t
daemon_start(const struct rig *r, const char *program, const char *log)
{
	char conf[4300];
	char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "-c", conf, NULL};

	path_of(r, "mimeo.conf", conf);
	return launch(r, program, log, argv);
}

static bool
alive(pid_t pid)
{
	int status;

	return pid > 0 && waitpid(pid, &status, WNOHANG) == 0;
}

static void
end(pid_t *pid)
{
	int status;

	if (*pid <= 0)
		return;
	kill(*pid, SIGTERM);
	for (unsigned i = 0; i < 2000 && waitpid(*pid, &status, WNOHANG) == 0; i++)
		nanosleep(&(struct timespec){0, 5000000}, NULL);
	kill(*pid, SIGKILL);
	(void)waitpid(*pid, &status, WNOHANG);
	*pid = 0;
}

const char *
rig_command(struct rig *r, const char *words)
{
	static char out[1 << 20];
	char line[9000];
	size_t n;
	FILE *f;

	snprintf(line, sizeof(line), "'%s/mimeo' -c '%s/mimeo.conf' %s 2>&1", build_dir, r->dir,
		 words);
	f = popen(line, "re");
	n = f != NULL ? fread(out, 1, sizeof(out) - 1, f) : 0;
	out[n] = '\0';
	if (f != NULL)
		(void)pclose(f);
	return out;
}

/* ---- setting up ---- */

static void
write_file(const struct rig *r, const char *name, const char *text)
{
	char path[4300];
	FILE *f;

	path_of(r, name, path);
	f = fopen(path, "we");
	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
		abort();
}

static int
no_fold(void *arg, const struct entry *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static void
no_note(void *arg, const char *event, const char *text)
{
	(void)arg;
	diag("%s: %s", event, text);
}

/* Members that nobody can dial. */
static bool
admit(struct rig *r)
{
	static const char *const names[] = {"good", "evil", "third"};
	char state[4300];
	struct walfile *file;
	struct wal_dev dev;
	struct wal_user user = {NULL, no_fold, no_note};
	struct wal *wal;
	struct buf batch = {0};
	bool good;

	path_of(r, "state", state);
	if (walfile_open(state, &file) < 0)
		return false;
	dev = walfile_dev(file);
	wal = wal_new(&dev, &user);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct member m = {.incarnation = 1};
		struct buf blob = {0};

		snprintf(m.name, sizeof(m.name), "%s", names[i]);
		member_encode(&blob, &m);
		wal_put(&batch, &(struct entry){.type = ENTRY_MEMBER,
						.blob = blob.data,
						.blob_len = blob.len});
		buf_free(&blob);
	}
	good = wal != NULL && wal_open(wal) == 0 && wal_lock(wal, true, true) == 0 &&
	       wal_catchup(wal) == 0 && wal_append(wal, &batch) == 0 && wal_sync(wal) == 0;
	if (good)
		wal_unlock(wal);
	buf_free(&batch);
	wal_free(wal);
	walfile_close(file);
	return good;
}

static bool
prepare(struct rig *r)
{
	char words[4300], conf[4300];
	const char *said;
	struct stat st;

	snprintf(words, sizeof(words),
		 "init --name self --root '%s/root' --state '%s/state' --work '%s/work'", r->dir,
		 r->dir, r->dir);
	path_of(r, "root", conf);
	must(mkdir(conf, 0755));
	said = rig_command(r, words);
	path_of(r, "mimeo.conf", conf);
	if (stat(conf, &st) < 0) {
		diag("init: %s", said);
		return false;
	}
	snprintf(words, sizeof(words),
		 "[node]\nname = self\nroot = %s/root\nstate = %s/state\nwork = %s/work\n"
		 "[sync]\ndelta_min = 4K\nretry_max = 2s\n"
		 "[guard]\nmin_free = 64M\n[http]\nlisten =\n",
		 r->dir, r->dir, r->dir);
	write_file(r, "mimeo.conf", words);
	path_of(r, "outside", conf);
	must(mkdir(conf, 0755));
	path_of(r, "outside/trap", conf);
	must(mkdir(conf, 0755));
	write_file(r, "outside/secret", "secret\n");
	for (unsigned i = 0; i < 10; i++) {
		snprintf(words, sizeof(words), "outside/trap/f%u", i);
		write_file(r, words, "trap\n");
	}
	return admit(r);
}

/* ---- what must not change ---- */

static void
look(const char *path, char *out, size_t cap, unsigned depth)
{
	struct dirent **list;
	int n = scandir(path, &list, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char sub[4300];
		struct stat st;
		const char *name = list[i]->d_name;
		size_t len = strlen(out);

		snprintf(sub, sizeof(sub), "%s/%s", path, name);
		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && lstat(sub, &st) == 0) {
			/* Logs and daemons' directories change: only that they are there counts. */
			bool deep = depth > 0 || strcmp(name, "outside") == 0;

			snprintf(out + len, cap - len, "%s %o", sub, st.st_mode);
			len = strlen(out);
			if (deep)
				snprintf(out + len, cap - len, " %lu %ld %ld.%09ld %lu",
					 (unsigned long)st.st_ino, (long)st.st_size,
					 (long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec,
					 (unsigned long)st.st_nlink);
			len = strlen(out);
			snprintf(out + len, cap - len, "\n");
			if (deep && S_ISDIR(st.st_mode))
				look(sub, out, cap, depth + 1);
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

/* Everything but looking at names leaves an event. */
static bool
events(struct rig *r)
{
	char b[65536] __attribute__((aligned(8)));
	ssize_t n = read(r->inotify, b, sizeof(b));
	bool any = false;

	for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
		const struct inotify_event *e = (const struct inotify_event *)(b + at);

		/* Our own listing opens and closes directories. */
		if ((e->mask & IN_ISDIR) == 0) {
			diag("outside: event %x on %s", e->mask, e->len > 0 ? e->name : "");
			any = true;
		}
		at += (ssize_t)sizeof(*e) + e->len;
	}
	return any;
}

static void
watch_outside(struct rig *r)
{
	char path[4300];

	r->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	path_of(r, "outside", path);
	must(inotify_add_watch(r->inotify, path, IN_ALL_EVENTS));
	path_of(r, "outside/trap", path);
	must(inotify_add_watch(r->inotify, path, IN_ALL_EVENTS));
}

static bool
untouched(struct rig *r)
{
	static char now[sizeof(r->before)];

	now[0] = '\0';
	look(r->dir, now, sizeof(now), 0);
	if (strcmp(now, r->before) == 0)
		return !events(r);
	diag("what lies beside the root has changed");
	return false;
}

static long
memory_kb(pid_t pid, const char *field)
{
	char path[64], line[256];
	long kb = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, field, strlen(field)) == 0)
			kb = strtol(line + strlen(field), NULL, 10);
	if (f != NULL)
		fclose(f);
	return kb;
}

/* The highest since this was asked last. */
static long
peak_kb(pid_t pid)
{
	char path[64];
	long kb = memory_kb(pid, "VmHWM:");
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!write(fd, "5", 1);
		close(fd);
	}
	return kb;
}

static int
count_fds(pid_t pid)
{
	char path[64];
	int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n;
}

static bool
fds_flat(void *arg)
{
	const struct rig *r = arg;

	return count_fds(r->agent) <= r->fds + r->fds_extra + FDS_SLACK;
}

uint64_t
rig_free_bytes(const struct rig *r)
{
	struct statvfs v;

	must(statvfs(r->dir, &v));
	return (uint64_t)v.f_bavail * v.f_frsize;
}

void
rig_log(const struct rig *r, struct buf *b)
{
	char path[4300], bytes[4096];
	size_t n;
	FILE *f;

	path_of(r, "agent.log", path);
	f = fopen(path, "re");
	while (f != NULL && (n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		buf_put(b, bytes, n);
	if (f != NULL)
		fclose(f);
	buf_put_u8(b, 0);
}

bool
rig_file_is(const struct rig *r, const char *path, const void *bytes, size_t len)
{
	char full[4300];
	uint8_t *got = malloc(len + 1);
	bool same = false;
	int fd;

	snprintf(full, sizeof(full), "%s/root/%s", r->dir, path);
	fd = open(full, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && got != NULL)
		same = read(fd, got, len + 1) == (ssize_t)len && memcmp(got, bytes, len) == 0;
	if (fd >= 0)
		close(fd);
	free(got);
	return same;
}

/* ---- the honest peer ---- */

struct record
rig_record(uint64_t origin, uint64_t seq, const void *path, size_t path_len, const void *content,
	   size_t len)
{
	struct record rec = {.dot = {origin, seq},
			     .hlc = hlc_make((uint64_t)time(NULL) * 1000, 0),
			     .kind = KIND_FILE,
			     .op = OP_ADD,
			     .mode = 0644,
			     .size = len,
			     .mtime_ns = 1700000000000000000,
			     .path = path,
			     .path_len = (uint16_t)path_len};

	must(hash_of(content, len, rec.hash));
	return rec;
}

static uint8_t large[LARGE_BYTES];

static void
serve_large(struct peer *p, const struct msg *m)
{
	uint8_t hash[RECORD_HASH_BYTES];

	must(hash_of(large, sizeof(large), hash));
	if (memcmp(hash, m->hash, sizeof(hash)) != 0) { /* somebody said that it is here */
		peer_say(p, &(struct msg){.type = MSG_END, .stream = m->stream, .code = CODE_GONE});
		return;
	}
	for (size_t at = m->offset; at < sizeof(large); at += 16384) {
		size_t len = sizeof(large) - at < 16384 ? sizeof(large) - at : 16384;

		peer_say(p, &(struct msg){.type = MSG_DATA,
					  .stream = m->stream,
					  .bytes = large + at,
					  .len = len});
	}
	peer_say(p, &(struct msg){.type = MSG_END, .stream = m->stream, .code = CODE_OK});
}

static bool
connected(void *arg)
{
	const struct peer *p = arg;

	return p->hello || p->eof;
}

static bool
reconnect(struct rig *r)
{
	if (r->good != NULL && r->good->fd >= 0)
		return true;
	if (r->good != NULL) {
		diag("the honest peer was closed: %s", r->good->bye_text);
		return false;
	}
	r->good = peer_greet(&r->peers, r->socket, "good", 1);
	if (r->good == NULL || !peers_until(&r->peers, connected, r->good, RIG_WAIT_MS))
		return false;
	r->good->on_get = serve_large;
	peer_origin(r->good, GOOD_ORIGIN, "good");
	r->next_stream = 1;
	return r->good->hello;
}

struct wait {
	struct rig *r;
	struct dot dot;
	const char *path;
	unsigned ends;
};

static bool
acked(void *arg)
{
	const struct wait *w = arg;

	return dotset_has(&w->r->good->acked, w->dot) || w->r->good->eof;
}

static bool
ended(void *arg)
{
	const struct wait *w = arg;
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(w->r->good->ends); i++)
		n += w->r->good->ends[i];
	return n > w->ends || w->r->good->eof;
}

static bool
told(void *arg)
{
	const struct wait *w = arg;

	/* Not the attacker's record of the same path, which is passed on. */
	return (strcmp(w->r->good->last_path, w->path) == 0 &&
		w->r->good->last_origin != EVIL_ORIGIN) ||
	       w->r->good->eof;
}

static bool
send_file(struct rig *r, const char *path, const void *content, size_t len, bool inlined)
{
	struct wait w = {.r = r, .dot = {GOOD_ORIGIN, ++r->good_seq}};
	struct msg m = {.type = MSG_RECORD, .inlined = inlined, .bytes = content, .len = len};
	struct span3 s = {GOOD_ORIGIN, 1, r->good_seq};

	m.rec = rig_record(GOOD_ORIGIN, r->good_seq, path, strlen(path), content, len);
	memcpy(r->hash, m.rec.hash, sizeof(r->hash));
	r->size = len;
	peer_say(r->good, &m);
	peer_spans(r->good, MSG_UPTO, &s, 1, true);
	return peers_until(&r->peers, acked, &w, RIG_WAIT_MS) && !r->good->eof &&
	       rig_file_is(r, path, content, len);
}

static bool
get_back(struct rig *r, const void *content, size_t len)
{
	struct wait w = {.r = r};
	struct msg m = {.type = MSG_GET,
			.stream = r->next_stream,
			.how = GET_WHOLE,
			.size = len,
			.credit = 1 << 20};

	r->next_stream += 2;
	for (size_t i = 0; i < ARRAY_LEN(r->good->ends); i++)
		w.ends += r->good->ends[i];
	memcpy(m.hash, r->hash, sizeof(m.hash));
	buf_reset(&r->good->content);
	peer_say(r->good, &m);
	return peers_until(&r->peers, ended, &w, RIG_WAIT_MS) && r->good->content.len == len &&
	       memcmp(r->good->content.data, content, len) == 0;
}

bool
rig_local(struct rig *r, const char *name, const char *text)
{
	struct wait w = {.r = r, .path = name};
	char path[4300];

	snprintf(path, sizeof(path), "root/%s", name);
	r->good->last_path[0] = '\0';
	write_file(r, path, text);
	return peers_until(&r->peers, told, &w, RIG_WAIT_MS) && !r->good->eof;
}

bool
rig_serves(struct rig *r)
{
	char path[64], text[64];

	if (!reconnect(r))
		return false;
	snprintf(path, sizeof(path), "good-%u", ++r->checks);
	snprintf(text, sizeof(text), "file %u\n", r->checks);
	if (!send_file(r, path, text, strlen(text), true)) {
		diag("its file %s did not arrive", path);
		return false;
	}
	if (!get_back(r, text, strlen(text))) {
		diag("its file %s cannot be had back", path);
		return false;
	}
	if (r->checks % 6 == 0) {
		memset(large, (int)r->checks, sizeof(large));
		snprintf(path, sizeof(path), "large-%u", r->checks);
		if (!send_file(r, path, large, sizeof(large), false)) {
			diag("its file %s was not fetched", path);
			return false;
		}
	}
	if (r->checks % 6 == 3) {
		snprintf(path, sizeof(path), "local-%u", r->checks);
		if (!rig_local(r, path, text)) {
			diag("the file %s that was written here did not reach it: %u records, the "
			     "last one of %s",
			     path, r->good->records, r->good->last_path);
			return false;
		}
	}
	return true;
}

bool
rig_check(struct rig *r, long *mb)
{
	bool lives = alive(r->agent) && alive(r->watcher), serves, clean, flat;
	long rss = 0, peak = 0;

	serves = lives && rig_serves(r);
	clean = untouched(r);
	flat = lives && peers_until(&r->peers, fds_flat, r, RIG_WAIT_MS);
	if (lives) {
		rss = memory_kb(r->agent, "VmRSS:");
		peak = peak_kb(r->agent);
		r->rss_max_kb = peak > r->rss_max_kb ? peak : r->rss_max_kb;
	}
	*mb = peak / 1024;
	if (lives && serves && clean && flat && peak < RSS_LIMIT_KB)
		return true;
	diag("alive %d, serves %d, nothing touched %d, descriptors %d of %d, rss %ld, peak %ld KB",
	     lives, serves, clean, lives ? count_fds(r->agent) : 0, r->fds, rss, peak);
	return false;
}

/* ---- life ---- */

static bool
listens(void *arg)
{
	struct rig *r = arg;
	struct peer *p = peer_new(&r->peers, r->socket, NULL);

	if (p == NULL)
		return !alive(r->agent);
	peer_close(&r->peers, p);
	return true;
}

bool
rig_restart_watcher(struct rig *r)
{
	end(&r->watcher);
	r->watcher = daemon_start(r, "mimeo-watcher", "watcher.log");
	return r->watcher > 0;
}

bool
rig_start(struct rig *r, const char *build)
{
	const char *tmp = getenv("TMPDIR");

	*r = (struct rig){.inotify = -1};
	build_dir = build;
	snprintf(r->dir, sizeof(r->dir), "%s/mimeo-hostile.XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(r->dir) == NULL || !prepare(r))
		return false;
	snprintf(r->socket, sizeof(r->socket), "%s/state/run/attach.sock", r->dir);
	r->watcher = daemon_start(r, "mimeo-watcher", "watcher.log");
	r->agent = daemon_start(r, "mimeo-agent", "agent.log");
	if (!peers_until(&r->peers, listens, r, RIG_WAIT_MS) || !alive(r->agent) || !rig_serves(r))
		return false;
	r->before[0] = '\0';
	watch_outside(r);
	look(r->dir, r->before, sizeof(r->before), 0);
	(void)events(r);
	r->fds = count_fds(r->agent);
	(void)peak_kb(r->agent);
	return true;
}

void
rig_stop(struct rig *r, bool keep)
{
	char line[512];

	while (r->peers.first != NULL)
		peer_close(&r->peers, r->peers.first);
	end(&r->agent);
	end(&r->watcher);
	if (r->inotify >= 0)
		close(r->inotify);
	if (!keep) {
		snprintf(line, sizeof(line), "rm -rf '%s'", r->dir);
		if (system(line) != 0)
			diag("%s is left", r->dir);
	} else {
		diag("kept for a look: %s", r->dir);
	}
}
