/* SPDX-License-Identifier: BSD-2-Clause */
/* A member with a valid key that lies, floods, stalls and escapes: against a real agent and
 * watcher. After every attack the agent lives, an honest peer is served, nothing beside the root
 * was touched, memory and descriptors are within their limits. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/delta.h"
#include "agent/links.h"
#include "conf/hash.h"
#include "proto/hlc.h"
#include "proto/session.h"
#include "tests/hostile/rig.h"
#include "tests/tap.h"

#define EVIL_NONCE 2
#define SERVE_PEER_STREAMS_MAX 64 /* of agent/serve.h, which has peers of its own */
#define AT_RECORD 5               /* where a record begins in its frame */
#define AT_PATH (AT_RECORD + 77)

static struct rig rig;
static uint64_t evil_seq;

/* After every attack. */
static void
check(const char *what)
{
	long mb;
	bool good = rig_check(&rig, &mb);

	ok(good, "%s: alive, others are served, nothing else is touched (%ld MB)", what, mb);
}

static bool
said_hello(void *arg)
{
	const struct peer *p = arg;

	return p->hello || p->eof;
}

/* A session of the evil member, open, its origin introduced. */
static struct peer *
evil(void)
{
	struct peer *p = peer_greet(&rig.peers, rig.socket, "evil", EVIL_NONCE);

	if (p == NULL)
		return NULL;
	peer_origin(p, EVIL_ORIGIN, "evil");
	(void)peers_until(&rig.peers, said_hello, p, RIG_WAIT_MS);
	return p;
}

/* It was ended, with that code and those words, and all is well. */
static void
refused(struct peer *p, const char *what, uint8_t code, const char *words)
{
	bool over = p != NULL && peer_over(&rig.peers, p, RIG_WAIT_MS);

	if (!ok(over && p->bye && p->bye_code == code && strstr(p->bye_text, words) != NULL,
		"%s: refused", what))
		diag("  over %d, code %d: %s", over, p != NULL ? p->bye_code : 0,
		     p != NULL ? p->bye_text : "");
	peer_close(&rig.peers, p);
	check(what);
}

/* It is harmless: the session goes on. */
static void
absorbed(struct peer *p, const char *what)
{
	bool good = p != NULL && peer_answers(&rig.peers, p, RIG_WAIT_MS);

	if (!ok(good, "%s: absorbed", what) && p != NULL)
		diag("  ended, code %d: %s", p->bye_code, p->bye_text);
	peer_close(&rig.peers, p);
	check(what);
}

/* The connection ends, with or without a word. */
static void
dropped(struct peer *p, const char *what, unsigned ms)
{
	ok(p != NULL && peer_over(&rig.peers, p, ms), "%s: dropped", what);
	peer_close(&rig.peers, p);
	check(what);
}

static struct record
file(const void *path, size_t len, const char *content)
{
	return rig_record(EVIL_ORIGIN, ++evil_seq, path, len, content, strlen(content));
}

static void
say_record(struct peer *p, const struct record *rec, const void *content)
{
	struct msg m = {.type = MSG_RECORD, .rec = *rec};

	if (content != NULL) {
		m.inlined = true;
		m.bytes = content;
		m.len = rec->size;
	}
	peer_say(p, &m);
}

static bool
has_acked(void *arg)
{
	const struct peer *p = arg;

	return dotset_has(&p->acked, (struct dot){EVIL_ORIGIN, evil_seq}) || p->eof;
}

/* ---- before the session ---- */

static void
strangers(void)
{
	static const struct {
		const char *what, *said;
	} said[] = {
		{"HTTP", "GET / HTTP/1.0\r\n\r\n"},
		{"TLS", "\x16\x03\x01\x02\x01\x01\x01\xfc\x03\x03\n"},
		{"an SSH banner", "SSH-2.0-OpenSSH_9.2\r\n"},
		{"an empty line", "\n"},
		{"no name", "attach 1 \n"},
		{"another version", "attach 2 evil\n"},
		{"capital letters", "attach 1 EVIL\n"},
		{"a path as name", "attach 1 ../../evil\n"},
		{"escape codes as name", "attach 1 \x1b[2Jevil\n"},
		{"a name that is no member", "attach 1 mallory\n"},
		{"this node's own name", "attach 1 self\n"},
		{"a long line",
		 "attach 1 "
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		char what[96];

		snprintf(what, sizeof(what), "first line: %s", said[i].what);
		dropped(peer_new(&rig.peers, rig.socket, said[i].said), what, RIG_WAIT_MS);
	}
}

/* A HELLO with a payload made by hand. */
static struct peer *
hello_of(uint16_t low, uint16_t high, const char *name, const char *magic)
{
	struct peer *p = peer_new(&rig.peers, rig.socket, "attach 1 evil\n");
	struct buf b = {0};

	buf_put(&b, magic, 5);
	buf_put_u16(&b, low);
	buf_put_u16(&b, high);
	buf_put_u64(&b, UINT64_MAX);
	buf_put_str(&b, name, strlen(name));
	for (unsigned i = 0; i < 5; i++)
		buf_put_u64(&b, 7);
	if (p != NULL)
		peer_frame(p, MSG_HELLO, b.data, b.len);
	buf_free(&b);
	return p;
}

static void
hellos(void)
{
	struct peer *p;
	uint8_t stop = 0;

	refused(hello_of(2, 9, "evil", "mimeo"), "HELLO of a later version", CODE_VERSION,
		"protocol version");
	refused(hello_of(0, 0, "evil", "mimeo"), "HELLO of version 0", CODE_VERSION,
		"protocol version");
	refused(hello_of(9, 2, "evil", "mimeo"), "HELLO with versions the wrong way round",
		CODE_PROTOCOL, "no sense");
	refused(hello_of(1, 1, "good", "mimeo"), "HELLO in another member's name", CODE_IDENTITY,
		"its key belongs to evil");
	refused(hello_of(1, 1, "self", "mimeo"), "HELLO in this node's name", CODE_IDENTITY,
		"its key belongs to evil");
	refused(hello_of(1, 1, "\x1b]0;x\x07", "mimeo"), "HELLO with escape codes as name",
		CODE_PROTOCOL, "no sense");
	refused(hello_of(1, 1, "", "mimeo"), "HELLO without a name", CODE_PROTOCOL, "no sense");
	refused(hello_of(1, 1, "evil", "MIMEO"), "HELLO with another magic", CODE_PROTOCOL,
		"no sense");
	absorbed(hello_of(0, 65535, "evil", "mimeo"), "HELLO of all versions and features");

	p = peer_new(&rig.peers, rig.socket, "attach 1 evil\n");
	if (p != NULL && peers_until(&rig.peers, said_hello, p, RIG_WAIT_MS))
		peer_hello(p, "evil", p->nonce);
	refused(p, "HELLO with the agent's own nonce", CODE_IDENTITY, "connected to itself");

	p = evil();
	if (p != NULL)
		peer_hello(p, "evil", EVIL_NONCE);
	refused(p, "a second HELLO", CODE_PROTOCOL, "a second HELLO");

	for (unsigned type = MSG_PING; type <= MSG_TELL; type++) {
		char what[64];

		p = peer_new(&rig.peers, rig.socket, "attach 1 evil\n");
		if (p != NULL)
			peer_frame(p, (uint8_t)type, &stop, 1);
		snprintf(what, sizeof(what), "%s before HELLO", msg_name((uint8_t)type));
		refused(p, what, CODE_PROTOCOL, "the first frame is not a HELLO");
	}
}

/* ---- frames ---- */

static void
frames(void)
{
	static const uint32_t lengths[] = {0, FRAME_BYTES_MAX + 1, INT32_MAX, 1u << 31, UINT32_MAX};
	static const uint8_t types[] = {0, 18, 127, 255};
	char what[64];
	uint8_t junk[64] = {0};
	struct peer *p;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct buf b = {0};

		p = evil();
		buf_put_u32(&b, lengths[i]);
		buf_put_u8(&b, MSG_PING);
		if (p != NULL)
			peer_raw(p, b.data, b.len);
		buf_free(&b);
		snprintf(what, sizeof(what), "a frame of length %u", lengths[i]);
		refused(p, what, CODE_PROTOCOL, "empty or too long");
	}
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		p = evil();
		if (p != NULL)
			peer_frame(p, types[i], junk, sizeof(junk));
		snprintf(what, sizeof(what), "a frame of type %u", types[i]);
		refused(p, what, CODE_PROTOCOL, "no sense");
	}
	for (unsigned type = MSG_PING; type <= MSG_TELL; type++) {
		if (type == MSG_DATA || type == MSG_ASK || type == MSG_TELL)
			continue; /* these may end in anything */
		p = evil();
		if (p != NULL)
			peer_frame(p, (uint8_t)type, junk, 3);
		snprintf(what, sizeof(what), "a %s cut short", msg_name((uint8_t)type));
		refused(p, what, CODE_PROTOCOL, "no sense");
	}
}

/* BYE is the last word: what comes behind it is not looked at. */
static void
after_bye(void)
{
	struct peer *p = evil();
	struct record rec = file("after-bye", 9, "x");

	if (p != NULL) {
		peer_say(p, &(struct msg){.type = MSG_BYE,
					  .code = CODE_SHUTDOWN,
					  .bytes = (const uint8_t *)"\x1b[2J\x07",
					  .len = 5});
		say_record(p, &rec, "x");
	}
	dropped(p, "a record after BYE", RIG_WAIT_MS);
	ok(!rig_file_is(&rig, "after-bye", "x", 1), "it was not taken");
}

static void
bye_texts(void)
{
	static const uint8_t text[] =
		"\x1b]0;owned\x07\x1b[31m\r\n2026-01-01 info all is well %s%n";
	struct buf log = {0};
	struct peer *p = evil();

	if (p != NULL)
		peer_say(p, &(struct msg){.type = MSG_BYE,
					  .code = 200,
					  .bytes = text,
					  .len = sizeof(text) - 1});
	dropped(p, "escape codes in a BYE", RIG_WAIT_MS);
	rig_log(&rig, &log);
	ok(strstr((const char *)log.data, "owned") != NULL &&
		   strchr((const char *)log.data, '\x1b') == NULL &&
		   strchr((const char *)log.data, '\x07') == NULL,
	   "the log has it without them");
	buf_free(&log);
	ok(strchr(rig_command(&rig, "peers"), '\x1b') == NULL &&
		   strchr(rig_command(&rig, "errors"), '\x1b') == NULL &&
		   strchr(rig_command(&rig, "errors --json"), '\x1b') == NULL,
	   "and so has what the command prints");
}

/* ---- paths ---- */

static void
forbidden_paths(void)
{
	static char deep[600], huge[65535], name256[256];
	static const struct {
		const char *what, *path;
		size_t len;
	} paths[] = {
		{"..", "..", 2},
		{"../x", "../x", 4},
		{"../../../../tmp/x", "../../../../tmp/x", 17},
		{"a/..", "a/..", 4},
		{"a/../x", "a/../x", 6},
		{"a/../../x", "a/../../x", 9},
		{".", ".", 1},
		{"./x", "./x", 3},
		{"a/./x", "a/./x", 5},
		{"a/.", "a/.", 3},
		{"an absolute path", "/etc/cron.d/x", 13},
		{"two slashes at the start", "//etc/x", 7},
		{"a slash", "/", 1},
		{"a slash at the end", "a/", 2},
		{"two slashes inside", "a//b", 4},
		{"the empty path", "", 0},
		{"a zero byte", "a\0b", 3},
		{"a zero byte at the end", "..\0", 3},
		{"the marker", ".mimeo-id", 9},
		{"below the marker", ".mimeo-id/x", 11},
		{"the work directory", ".mimeo", 6},
		{"below the work directory", ".mimeo/kept/x", 13},
		{"a name of 256 bytes", name256, 256},
		{"a path of 65,535 bytes", huge, 65535},
		{"257 names", deep, 513},
	};

	memset(name256, 'a', sizeof(name256));
	for (size_t i = 0; i < sizeof(huge); i++)
		huge[i] = i % 200 == 199 ? '/' : 'a';
	for (size_t i = 0; i < sizeof(deep); i++)
		deep[i] = i % 2 == 1 ? '/' : 'a';
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct peer *p = evil();
		struct record rec = file(paths[i].path, paths[i].len, "x");
		char what[96];

		if (p != NULL)
			say_record(p, &rec, "x");
		snprintf(what, sizeof(what), "a record of a path: %s", paths[i].what);
		refused(p, what, CODE_PROTOCOL, "a RECORD message that makes no sense");
	}
}

/* Names that are allowed, and must be no more than names. */
static void
awkward_paths(void)
{
	static char name255[256];
	static const char *const paths[] = {
		"...",
		"..x",
		"x..",
		"~",
		"~root",
		"-rf",
		"--help",
		"$(touch x)",
		"`touch x`",
		"; touch x",
		"a\\..\\..\\x",
		"C:\\x",
		"\x1b[2J\x1b]0;x\x07",
		"\n2026-01-01T00:00:00.000Z info start all is well",
		"\r",
		"%s%n%s%n",
		"\xff\xfe\x80",
		"\xe2\x80\xaetxt.exe",
		".MIMEO",
		".mimeo-id ",
		".mimeo-ID",
		"sub/.mimeo-id",
		"sub/.mimeo/kept",
		" ",
		"*",
		name255,
	};
	struct buf log = {0};
	struct peer *p = evil();
	unsigned good = 0;

	memset(name255, 'n', 255);
	for (size_t i = 0; i < ARRAY_LEN(paths) && p != NULL; i++) {
		struct record rec = file(paths[i], strlen(paths[i]), "awkward");

		say_record(p, &rec, "awkward");
		if (peers_until(&rig.peers, has_acked, p, RIG_WAIT_MS) &&
		    rig_file_is(&rig, paths[i], "awkward", 7))
			good++;
		else
			diag("  %s is not there", paths[i]);
	}
	is_int(good, ARRAY_LEN(paths), "awkward names are names");
	absorbed(p, "awkward names");
	rig_log(&rig, &log);
	ok(strchr((const char *)log.data, '\x1b') == NULL &&
		   strchr((const char *)log.data, '\x07') == NULL &&
		   strstr((const char *)log.data, "\n2026-01-01T00:00:00.000Z") == NULL,
	   "the log has no escape codes and no line that a name made");
	buf_free(&log);
	ok(strchr(rig_command(&rig, "log"), '\x1b') == NULL &&
		   strchr(rig_command(&rig, "log --json"), '\x1b') == NULL &&
		   strchr(rig_command(&rig, "pending"), '\x1b') == NULL,
	   "nor does the command print any");
}

static void
symlinks(void)
{
	static char longer[4097];
	static const struct {
		const char *what, *path, *target;
		size_t len;
	} links[] = {
		{"absolute", "link", "/etc/passwd", 11},
		{"above the root", "link", "../outside/secret", 17},
		{"above the root from below", "a/b/link", "../../../outside", 16},
		{"up behind a name", "a/link", "b/../../../outside", 18},
		{"up behind a name, within", "a/link", "b/../c", 6},
		{"empty", "link", "", 0},
		{"a zero byte", "link", "a\0b", 3},
		{"the root's parent", "link", "..", 2},
		{"4,096 bytes", "link", longer, 4096},
	};

	memset(longer, 'a', sizeof(longer));
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		struct peer *p = evil();
		struct record rec = file(links[i].path, strlen(links[i].path), "");
		char what[96];

		rec.kind = KIND_SYMLINK;
		rec.op = OP_SYMLINK;
		rec.mode = 0;
		rec.target = (const uint8_t *)links[i].target;
		rec.target_len = (uint16_t)links[i].len;
		rec.size = links[i].len;
		if (p != NULL)
			say_record(p, &rec, NULL);
		snprintf(what, sizeof(what), "a symlink: %s", links[i].what);
		refused(p, what, CODE_PROTOCOL, "no sense");
	}
}

static bool
told_wrong_target(void *arg)
{
	struct buf log = {0};
	bool told;

	(void)arg;
	rig_log(&rig, &log);
	told = memmem(log.data, log.len, "path=mislink", 12) != NULL;
	buf_free(&log);
	return told;
}

/* What would be taken for a local change as soon as somebody looks at it. */
static void
symlink_hash(void)
{
	struct peer *p = evil();
	struct record link = file("mislink", 7, "other");
	char path[300];

	link.kind = KIND_SYMLINK;
	link.op = OP_SYMLINK;
	link.mode = 0;
	link.target = (const uint8_t *)"sub";
	link.target_len = 3;
	link.size = 3;
	if (p != NULL)
		say_record(p, &link, NULL);
	ok(peers_until(&rig.peers, told_wrong_target, NULL, RIG_WAIT_MS), "it is told");
	snprintf(path, sizeof(path), "%s/root/mislink", rig.dir);
	ok(faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0, "it is not made");
	absorbed(p, "a symlink whose target has another hash");
}

/* Files below what was a symlink, and a symlink where files are: nothing goes through it. */
static void
kinds_change(void)
{
	struct peer *p = evil();
	struct record link, below, dir;
	char path[300];

	link = file("turn", 4, "sub");
	link.kind = KIND_SYMLINK;
	link.op = OP_SYMLINK;
	link.mode = 0;
	link.target = (const uint8_t *)"sub";
	link.target_len = 3;
	if (p == NULL)
		return;
	say_record(p, &link, NULL);
	ok(peers_until(&rig.peers, has_acked, p, RIG_WAIT_MS), "a symlink is applied");
	below = file("turn/file", 9, "below");
	say_record(p, &below, "below");
	dir = file("turn/file/deeper", 16, "deeper");
	say_record(p, &dir, "deeper");
	below = file("turn", 4, "now a file");
	say_record(p, &below, "now a file");
	(void)peers_until(&rig.peers, has_acked, p, RIG_WAIT_MS);
	snprintf(path, sizeof(path), "%s/root/sub/file", rig.dir);
	ok(access(path, F_OK) < 0, "nothing went through the symlink");
	absorbed(p, "kinds that change under a directory");
}

/* ---- records ---- */

static void
patched(const char *what, size_t at, const void *bytes, size_t len)
{
	struct peer *p = evil();
	struct record rec = file("patched", 7, "x");
	char full[96];

	if (p != NULL) {
		size_t from = p->out.len;

		say_record(p, &rec, NULL);
		if (p->out.len == from)
			abort();
		memcpy(p->out.data + from + AT_RECORD + at, bytes, len);
	}
	snprintf(full, sizeof(full), "a record with %s", what);
	refused(p, full, CODE_PROTOCOL, "a RECORD message that makes no sense");
}

static void
patched_u64(const char *what, size_t at, uint64_t v)
{
	uint8_t b[8];

	bytes_set_u64(b, v);
	patched(what, at, b, sizeof(b));
}

static void
bad_records(void)
{
	patched_u64("origin 0", 0, 0);
	patched_u64("number 0", 8, 0);
	patched_u64("number 2^62 + 1", 8, DOT_SEQ_MAX + 1);
	patched_u64("number 2^63", 8, 1ull << 63);
	patched_u64("number 2^64 - 1", 8, UINT64_MAX);
	patched("kind 4", 24, "\x04", 1);
	patched("kind 255", 24, "\xff", 1);
	patched("the kind of a directory", 24, "\x02", 1);
	patched("op 0", 25, "\0", 1);
	patched("op 255", 25, "\xff", 1);
	patched("an op of another kind", 25, "\x03", 1);
	patched("unknown flags", 26, "\x04", 1);
	patched("setuid", 27, "\xed\x09", 2);
	patched("setgid", 27, "\xed\x05", 2);
	patched("sticky", 27, "\xff\x03", 2);
	patched("the mode of a device", 27, "\xa4\x21", 2);
	patched_u64("size 2^63", 29, 1ull << 63);
	patched_u64("size 2^64 - 1", 29, UINT64_MAX);
	patched("a path longer than the frame", 77, "\xff\xff", 2);
}

/* A record with a context that was written by hand, of n pairs. */
static struct peer *
with_context(uint16_t claimed, const struct dot *pairs, size_t n, struct dot dot)
{
	struct peer *p = evil();
	struct record rec = rig_record(dot.origin, dot.seq, "context", 7, "x", 1);
	struct buf b = {0};

	record_encode(&b, &rec);
	b.len -= 2;
	buf_put_u16(&b, claimed);
	for (size_t i = 0; i < n; i++) {
		buf_put_u64(&b, pairs[i].origin);
		buf_put_u64(&b, pairs[i].seq);
	}
	buf_put_u8(&b, 0);
	if (p != NULL)
		peer_frame(p, MSG_RECORD, b.data, b.len);
	buf_free(&b);
	return p;
}

static void
contexts(void)
{
	static struct dot many[RECORD_CTX_MAX + 1];
	const struct dot up[] = {{2, 1}, {1, 1}}, twice[] = {{1, 1}, {1, 1}}, zero[] = {{0, 1}},
			 none[] = {{1, 0}}, high[] = {{1, DOT_SEQ_MAX + 1}};
	const struct dot own[] = {{EVIL_ORIGIN, 1ull << 40}};
	struct dot dot = {EVIL_ORIGIN, 900000};

	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct dot){i + 1, 1};
	refused(with_context(2, up, 2, dot), "a context that is not sorted", CODE_PROTOCOL,
		"no sense");
	refused(with_context(2, twice, 2, dot), "a context that says it twice", CODE_PROTOCOL,
		"no sense");
	refused(with_context(1, zero, 1, dot), "a context of origin 0", CODE_PROTOCOL, "no sense");
	refused(with_context(1, none, 1, dot), "a context of number 0", CODE_PROTOCOL, "no sense");
	refused(with_context(1, high, 1, dot), "a context of number 2^62 + 1", CODE_PROTOCOL,
		"no sense");
	refused(with_context(65535, many, 100, dot), "a context longer than its frame",
		CODE_PROTOCOL, "no sense");
	refused(with_context(RECORD_CTX_MAX + 1, many, RECORD_CTX_MAX + 1, dot),
		"a context of 513 origins", CODE_PROTOCOL, "no sense");
	refused(with_context(1, own, 1, dot), "a context that covers the record itself",
		CODE_PROTOCOL, "no sense");
	absorbed(with_context(RECORD_CTX_MAX, many, RECORD_CTX_MAX, dot),
		 "a context of 512 origins");
}

static void
inlined(void)
{
	struct record rec = file("inlined", 7, "x");
	struct buf b = {0};
	struct peer *p = evil();

	record_encode(&b, &rec);
	buf_put_u8(&b, 1);
	buf_put(&b, "xy", 2);
	if (p != NULL)
		peer_frame(p, MSG_RECORD, b.data, b.len);
	refused(p, "more content than the record says", CODE_PROTOCOL, "no sense");
	buf_reset(&b);
	record_encode(&b, &rec);
	buf_put_u8(&b, 2);
	p = evil();
	if (p != NULL)
		peer_frame(p, MSG_RECORD, b.data, b.len);
	refused(p, "a bool of 2", CODE_PROTOCOL, "no sense");
	buf_reset(&b);
	record_encode(&b, &rec);
	buf_put_u8(&b, 0);
	buf_put_u8(&b, 0);
	p = evil();
	if (p != NULL)
		peer_frame(p, MSG_RECORD, b.data, b.len);
	refused(p, "bytes behind the record", CODE_PROTOCOL, "no sense");
	buf_free(&b);

	p = evil();
	rec = file("wrong-hash", 10, "right");
	if (p != NULL)
		say_record(p, &rec, "wrong");
	absorbed(p, "inlined content with another hash");
	ok(!rig_file_is(&rig, "wrong-hash", "wrong", 5), "it never reached the tree");
}

/* Cut at every byte: nothing of it is taken, and each ends its session alone. */
static void
truncated(void)
{
	struct record rec = file("truncated", 9, "x");
	struct buf b = {0};
	unsigned wrong = 0;

	record_encode(&b, &rec);
	for (size_t n = 0; n < b.len; n += n < 80 ? 8 : 1) {
		struct peer *p = evil();

		if (p == NULL) {
			wrong++;
			continue;
		}
		peer_frame(p, MSG_RECORD, b.data, n);
		wrong += !peer_over(&rig.peers, p, RIG_WAIT_MS) || p->bye_code != CODE_PROTOCOL;
		peer_close(&rig.peers, p);
	}
	is_int(wrong, 0, "a record cut anywhere is refused");
	buf_free(&b);
	check("records cut anywhere");
}

/* Times beyond reason are stored, and drag nobody's clock with them. */
static void
times(void)
{
	static const uint64_t hlcs[] = {UINT64_MAX, 1ull << 63, 0};
	uint64_t now = (uint64_t)time(NULL) * 1000;
	struct peer *p = evil();

	for (size_t i = 0; i < ARRAY_LEN(hlcs) && p != NULL; i++) {
		struct record rec = file("times", 5, "time");

		rec.hlc = hlcs[i];
		say_record(p, &rec, "time");
	}
	for (unsigned i = 0; i < 3 && p != NULL; i++) {
		struct record rec = file(&"t1t2t3"[2 * i], 2, "time");

		rec.mtime_ns = i == 0 ? INT64_MIN : i == 1 ? INT64_MAX : -1;
		say_record(p, &rec, "time");
	}
	absorbed(p, "times at both ends of the world");
	ok(rig_local(&rig, "clock", "after that"), "a file that is written here goes out");
	ok(hlc_ms(rig.good->last_hlc) <= now + HLC_SKEW_MS_MAX + 3600000,
	   "with a time that makes sense");
}

/* Its own name as runner of an origin, and a time beyond reason: not even a restart is fooled. */
static void
clock_after_restart(void)
{
	uint64_t now = (uint64_t)time(NULL) * 1000;
	struct record rec = rig_record(0xfa4e, 1, "faked", 5, "x", 1);
	struct peer *p = evil();

	rec.hlc = UINT64_MAX;
	if (p != NULL) {
		peer_origin(p, 0xfa4e, "self");
		say_record(p, &rec, "x");
	}
	absorbed(p, "an origin in this node's own name");
	ok(rig_restart_watcher(&rig) && rig_local(&rig, "clock-again", "after a restart"),
	   "the watcher is started again");
	ok(hlc_ms(rig.good->last_hlc) <= now + HLC_SKEW_MS_MAX + 3600000,
	   "its clock is not the one that was made up");
	check("a made-up clock over a restart");
}

/* ---- lies about who holds and wrote what ---- */

/* Somebody else writes in the name of this node's running watcher: the watcher's own files still
 * go out, under names that nobody used. */
static void
forged_own(void)
{
	struct record rec;
	struct peer *p;
	uint64_t origin, seq;

	ok(rig_local(&rig, "mine-1", "one"), "a file is written here");
	origin = rig.good->last_origin;
	seq = rig.good->last_seq;
	rec = rig_record(origin, seq + 1, "forged", 6, "forged", 6);
	p = evil();
	if (p != NULL)
		say_record(p, &rec, "forged");
	absorbed(p, "a record in the name of this node's watcher");
	ok(rig_local(&rig, "mine-2", "two"), "the next file goes out");
	ok(rig.good->last_origin != origin, "under a new origin");

	origin = rig.good->last_origin;
	p = evil();
	rec = file("mine-2", 6, "stolen");
	vv_add(&rec.ctx, (struct dot){origin, DOT_SEQ_MAX}) < 0 ? abort() : (void)0;
	rec.hlc = 1;
	if (p != NULL) {
		say_record(p, &rec, "stolen");
		(void)peers_until(&rig.peers, has_acked, p, RIG_WAIT_MS);
	}
	record_clear(&rec);
	absorbed(p, "a context with the watcher's own future");
	ok(rig_local(&rig, "mine-2", "three"), "an edit of that path goes out");
	ok(rig_file_is(&rig, "mine-2", "three", 5), "and stays");

	origin = rig.good->last_origin;
	p = evil();
	if (p != NULL) {
		struct span3 s = {origin, 1, DOT_SEQ_MAX};

		peer_spans(p, MSG_UPTO, &s, 1, true);
	}
	absorbed(p, "an UPTO over the watcher's own future");
	ok(rig_local(&rig, "mine-3", "four"), "the next file goes out");
}

#define FACES_ORIGIN 0xfaceull /* of one dot with two records: frozen from then on */

static void
equivocation(void)
{
	struct record rec = rig_record(FACES_ORIGIN, 1, "two-faced", 9, "one", 3);
	struct peer *p = evil();

	if (p != NULL) {
		peer_origin(p, FACES_ORIGIN, "evil");
		say_record(p, &rec, "one");
		(void)peers_until(&rig.peers, has_acked, p, RIG_WAIT_MS);
		rec = rig_record(FACES_ORIGIN, 1, "two-faced", 9, "two", 3);
		say_record(p, &rec, "two");
		rec = rig_record(FACES_ORIGIN, 2, "never", 5, "more", 4);
		say_record(p, &rec, "more");
	}
	absorbed(p, "one dot for two records");
	ok(!rig_file_is(&rig, "never", "more", 4), "nothing more is taken of that origin");
	ok(rig_file_is(&rig, "two-faced", "one", 3), "the first one stays");
	ok(strstr(rig_command(&rig, "errors"), "one dot names two different records") != NULL,
	   "and it is said");
}

static void
bad_sets(void)
{
	static struct span3 many[MSG_SPANS_MAX + 1];
	static const struct {
		const char *what;
		struct span3 s;
	} spans[] = {
		{"origin 0", {0, 1, 1}},
		{"from 0", {1, 0, 1}},
		{"the wrong way round", {1, 2, 1}},
		{"up to 2^62 + 1", {1, 1, DOT_SEQ_MAX + 1}},
		{"up to 2^64 - 1", {1, 1, UINT64_MAX}},
	};
	static const uint8_t types[] = {MSG_SEEN, MSG_UPTO, MSG_ACK};

	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct span3){1, 2 * i + 1, 2 * i + 1};
	for (size_t t = 0; t < ARRAY_LEN(types); t++) {
		char what[64];
		struct peer *p;

		for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
			p = evil();
			if (p != NULL)
				peer_spans(p, types[t], &spans[i].s, 1, true);
			snprintf(what, sizeof(what), "%s: a range %s", msg_name(types[t]),
				 spans[i].what);
			refused(p, what, CODE_PROTOCOL, "no sense");
		}
		p = evil();
		if (p != NULL)
			peer_spans(p, types[t], many, ARRAY_LEN(many), true);
		snprintf(what, sizeof(what), "%s: 2,049 ranges in a frame", msg_name(types[t]));
		refused(p, what, CODE_PROTOCOL, "no sense");
	}
}

/* Sets without end: never more is kept than the limit, and it is said. last: with the final frame
 * or without it. descending: the order that is dearest to join. */
static void
set_flood(uint8_t type, bool last, bool descending, bool origins)
{
	static struct span3 s[MSG_SPANS_MAX];
	struct peer *p = evil();
	unsigned frames = 1000;
	char what[96];

	for (unsigned f = 0; f < frames && p != NULL && p->fd >= 0; f++) {
		for (uint32_t i = 0; i < MSG_SPANS_MAX; i++) {
			uint64_t k = (uint64_t)f * MSG_SPANS_MAX + i;

			k = descending ? 4000000 - k : k + 1;
			s[i] = origins ? (struct span3){0x1000000 + k, 3, 3}
				       : (struct span3){0x999, 2 * k, 2 * k};
		}
		peer_spans(p, type, s, MSG_SPANS_MAX, last && f == frames - 1);
		(void)peer_flush(&rig.peers, p, RIG_WAIT_MS);
	}
	snprintf(what, sizeof(what), "%s: two million %s%s%s", msg_name(type),
		 origins ? "origins" : "ranges", descending ? ", descending" : "",
		 last ? "" : ", never ended");
	absorbed(p, what);
}

static void
set_floods(void)
{
	set_flood(MSG_SEEN, false, false, false);
	set_flood(MSG_SEEN, true, true, false);
	set_flood(MSG_ACK, true, false, false);
	set_flood(MSG_ACK, true, true, true);
	set_flood(MSG_UPTO, false, false, false);
	set_flood(MSG_SEEN, true, false, true);
	ok(strstr(rig_command(&rig, "errors"), "more ranges of records than are remembered") !=
		   NULL,
	   "and it is said");
}

/* What others are said to have applied is believed only for what it is. */
static void
forged_acks(void)
{
	static const char *const names[] = {"good", "third", "self", "mallory"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct peer *p = evil();
		struct buf b = {0};
		char what[64];

		buf_put_str(&b, names[i], strlen(names[i]));
		buf_put_u64(&b, 1); /* of its store */
		buf_put_u8(&b, 1);
		buf_put_u8(&b, 1);
		buf_put_u32(&b, 1);
		buf_put_u64(&b, EVIL_ORIGIN);
		buf_put_u64(&b, 1);
		buf_put_u64(&b, DOT_SEQ_MAX);
		if (p != NULL)
			peer_frame(p, MSG_ACK, b.data, b.len);
		buf_free(&b);
		snprintf(what, sizeof(what), "an acknowledgement in the name of %s", names[i]);
		absorbed(p, what);
	}
}

static void
unknown_origin(void)
{
	struct record rec = rig_record(0xabcdef, 1, "nobody", 6, "x", 1);
	struct peer *p = evil();
	struct buf b = {0};

	if (p != NULL)
		say_record(p, &rec, "x");
	refused(p, "a record of an origin that was not introduced", CODE_PROTOCOL,
		"not introduced");
	p = evil();
	if (p != NULL)
		peer_frame(p, MSG_ORIGIN, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0a", 19);
	refused(p, "origin 0", CODE_PROTOCOL, "no sense");
	p = evil();
	buf_put_u64(&b, 7);
	buf_put_u64(&b, 7);
	buf_put_str(&b, "\x1b[2J", 4);
	if (p != NULL)
		peer_frame(p, MSG_ORIGIN, b.data, b.len);
	buf_free(&b);
	refused(p, "an origin of a node with escape codes as name", CODE_PROTOCOL, "no sense");
}

static void
members(void)
{
	struct member m = {.name = "mallory", .address = "127.0.0.1:1", .incarnation = UINT64_MAX};
	struct peer *p = evil();
	struct buf b = {0};

	member_encode(&b, &m);
	if (p != NULL)
		peer_frame(p, MSG_MEMBER, b.data, b.len);
	buf_reset(&b);
	absorbed(p, "a member of its own making");
	ok(strstr(rig_command(&rig, "peers"), "mallory") == NULL, "it was not let in");
	p = evil();
	buf_put_str(&b, "x\x1b[2J", 5);
	if (p != NULL)
		peer_frame(p, MSG_MEMBER, b.data, b.len);
	buf_free(&b);
	refused(p, "a member that is none", CODE_PROTOCOL, "no sense");
}

/* ---- streams ---- */

static struct msg
get_good(uint32_t stream)
{
	struct msg m = {.type = MSG_GET, .stream = stream, .size = rig.size, .credit = 65536};

	memcpy(m.hash, rig.hash, sizeof(m.hash));
	return m;
}

static void
one_message(const struct msg *m, const char *what, const char *words)
{
	struct peer *p = evil();

	if (p != NULL)
		peer_say(p, m);
	if (words != NULL)
		refused(p, what, CODE_PROTOCOL, words);
	else
		absorbed(p, what);
}

static void
streams(void)
{
	static uint8_t data[MSG_DATA_BYTES_MAX];
	struct msg m = get_good(2);
	struct peer *p;

	/* The agent's nonce may be smaller than EVIL_NONCE only by a miracle: it is even. */
	one_message(&m, "GET with a number that is the agent's", "not the peer's to choose");
	m = get_good(0);
	one_message(&m, "GET with number 0", "not the peer's to choose");
	one_message(&(struct msg){.type = MSG_DATA, .stream = 1, .bytes = data, .len = 9},
		    "DATA on a stream that was never opened", "not open");
	one_message(&(struct msg){.type = MSG_DATA, .stream = 2, .bytes = data, .len = 9},
		    "DATA that nobody asked for", "not open");
	one_message(&(struct msg){.type = MSG_END, .stream = 2}, "END that nobody waits for",
		    "not open");
	one_message(&(struct msg){.type = MSG_CREDIT, .stream = 77, .credit = UINT32_MAX},
		    "CREDIT on a stream that is not open", NULL);
	one_message(&(struct msg){.type = MSG_CANCEL, .stream = 77},
		    "CANCEL of a stream that is not open", NULL);
	m = get_good(1);
	m.size = 1ull << 63;
	one_message(&m, "GET of 2^63 bytes", "no sense");
	m = get_good(1);
	m.offset = m.size + 1;
	one_message(&m, "GET from behind the end", "no sense");
	m = get_good(1);
	m.how = 2;
	one_message(&m, "GET in an unknown way", "no sense");
	m = get_good(1);
	m.size = INT64_MAX;
	m.offset = INT64_MAX;
	one_message(&m, "GET of the last byte there can be", NULL);

	p = evil();
	m = get_good(1);
	m.credit = 0;
	if (p != NULL) {
		peer_say(p, &m);
		peer_say(p, &m);
	}
	refused(p, "GET twice with one number", CODE_PROTOCOL, "not the peer's to choose");
	p = evil();
	if (p != NULL) {
		peer_say(p, &m);
		peer_say(p, &(struct msg){.type = MSG_DATA, .stream = 1, .bytes = data, .len = 9});
	}
	refused(p, "DATA without credit", CODE_PROTOCOL, "more DATA than was granted");
	p = evil();
	if (p != NULL) {
		m.credit = 1;
		m.stream = 1;
		m.size = rig.size;
		m.how = GET_WHOLE;
		m.credit = 0;
		peer_say(p, &m);
		for (unsigned i = 0; i < 2; i++)
			peer_say(p, &(struct msg){
					    .type = MSG_CREDIT, .stream = 1, .credit = UINT32_MAX});
	}
	ok(p != NULL && (peer_answers(&rig.peers, p, RIG_WAIT_MS) ||
			 strstr(p->bye_text, "beyond all bounds") != NULL),
	   "credit that wraps is refused, or came too late");
	peer_close(&rig.peers, p);
	check("credit that wraps");
}

static void
many_streams(void)
{
	struct peer *p = evil();
	struct msg m = {.type = MSG_GET, .size = 5, .credit = 1};

	for (uint32_t i = 0; i < 20000 && p != NULL && p->fd >= 0; i++) {
		m.stream = 2 * i + 1;
		peer_say(p, &m);
		if (i % 100 == 0)
			(void)peer_flush(&rig.peers, p, RIG_WAIT_MS);
	}
	absorbed(p, "twenty thousand GETs of what is not there");

	/* Open ones that never get credit: a limit for all peers together, and one a session. */
	p = evil();
	m = get_good(1);
	m.credit = 0;
	for (uint32_t i = 0; i < 2000 && p != NULL && p->fd >= 0; i++) {
		m.stream = 2 * i + 1;
		peer_say(p, &m);
	}
	absorbed(p, "two thousand GETs without credit");
}

/* Asks and asks, and reads nothing. */
static void
deaf(uint8_t type, unsigned n)
{
	struct peer *p = evil();
	struct msg m = get_good(1);
	char what[64];

	if (p == NULL)
		return;
	p->deaf = true;
	m.type = type;
	m.credit = UINT32_MAX;
	for (uint32_t i = 0; i < n && !p->eof; i++) {
		m.stream = 2 * i + 1;
		m.id = i;
		peer_say(p, &m);
		if (i % 256 == 0 && !peer_flush(&rig.peers, p, 200))
			break; /* it takes no more */
	}
	snprintf(what, sizeof(what), "%u %s and no ear for the answers", n, msg_name(type));
	rig.fds_extra = SERVE_PEER_STREAMS_MAX;
	check(what);
	rig.fds_extra = 0;
	peer_close(&rig.peers, p);
	check("and gone again");
}

/* ---- signatures ---- */

static bool
heard_end(void *arg)
{
	const struct peer *p = arg;
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(p->ends); i++)
		n += p->ends[i];
	return n > 0 || p->eof;
}

static bool
heard_credit(void *arg)
{
	const struct peer *p = arg;

	return p->credits > 0 || heard_end(arg);
}

static uint8_t big_hash[RECORD_HASH_BYTES];
static uint8_t big[300000];

/* A file of which deltas can be asked. */
static void
make_big(void)
{
	struct record rec;
	struct peer *p = evil();

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 2654435761u >> 13);
	rec = rig_record(EVIL_ORIGIN, ++evil_seq, "big", 3, big, sizeof(big));
	memcpy(big_hash, rec.hash, sizeof(big_hash));
	if (p != NULL)
		say_record(p, &rec, big);
	ok(p != NULL && peers_until(&rig.peers, has_acked, p, RIG_WAIT_MS) &&
		   rig_file_is(&rig, "big", big, sizeof(big)),
	   "a file to ask deltas of");
	peer_close(&rig.peers, p);
}

static void
put_be32(struct buf *b, uint32_t v)
{
	for (unsigned shift = 32; shift > 0; shift -= 8)
		buf_put_u8(b, (uint8_t)(v >> (shift - 8)));
}

static struct peer *
ask_delta(uint64_t base)
{
	struct peer *p = evil();
	struct msg m = {.type = MSG_GET,
			.how = GET_DELTA,
			.stream = 1,
			.size = sizeof(big),
			.offset = base,
			.credit = 1 << 24};

	memcpy(m.hash, big_hash, sizeof(m.hash));
	if (p != NULL) {
		peer_say(p, &m);
		(void)peers_until(&rig.peers, heard_credit, p, RIG_WAIT_MS);
	}
	return p;
}

static void
bad_signature(const char *what, uint64_t base, const struct buf *sig)
{
	struct peer *p = ask_delta(base);
	bool good = p != NULL && p->credit >= sig->len;
	char full[96];

	for (size_t at = 0; at < sig->len && good; at += MSG_DATA_BYTES_MAX) {
		size_t n = sig->len - at < MSG_DATA_BYTES_MAX ? sig->len - at : MSG_DATA_BYTES_MAX;

		peer_say(p,
			 &(struct msg){
				 .type = MSG_DATA, .stream = 1, .bytes = sig->data + at, .len = n});
	}
	if (p != NULL)
		peer_say(p, &(struct msg){.type = MSG_END, .stream = 1});
	good = good && peers_until(&rig.peers, heard_end, p, RIG_WAIT_MS) &&
	       p->ends[CODE_OK] == 0 && p->content.len == 0;
	if (!ok(good, "a signature: %s: no delta", what) && p != NULL)
		diag("  credit %u, code 8 %d: %s", p->credit, p->bye_code, p->bye_text);
	snprintf(full, sizeof(full), "a signature: %s", what);
	absorbed(p, full);
}

static void
signature(struct buf *b, uint32_t magic, uint32_t block, uint32_t strong, size_t blocks,
	  bool same_weak)
{
	buf_reset(b);
	put_be32(b, magic);
	put_be32(b, block);
	put_be32(b, strong);
	for (size_t i = 0; i < blocks; i++) {
		put_be32(b, same_weak ? 0x12345678 : (uint32_t)(i * 2654435761u));
		put_be32(b, (uint32_t)i);
		for (uint32_t k = 4; k < strong; k++)
			buf_put_u8(b, (uint8_t)k);
	}
}

static void
signatures(void)
{
	const uint32_t rk = 0x72730147;
	const uint64_t base = 400 * 512;
	struct buf b = {0};

	make_big();
	bad_signature("nothing", base, &b);
	buf_put(&b, "no signature at all, only words", 31);
	bad_signature("words", base, &b);
	signature(&b, 0x72730136, 512, 16, 400, false);
	bad_signature("MD4", base, &b);
	signature(&b, rk, 1, 16, 400, false);
	bad_signature("blocks of one byte", base, &b);
	signature(&b, rk, 0, 16, 400, false);
	bad_signature("blocks of no byte", base, &b);
	signature(&b, rk, UINT32_MAX, 16, 1, false);
	bad_signature("blocks of 4 GiB", base, &b);
	signature(&b, rk, 512, 1, 400, false);
	bad_signature("sums of one byte", base, &b);
	signature(&b, rk, 512, UINT32_MAX, 0, false);
	bad_signature("sums of 4 GiB", base, &b);
	signature(&b, rk, 512, 32, 399, false);
	bad_signature("one block too few", base, &b);
	signature(&b, rk, 2048, 16, 2000, true);
	bad_signature("two thousand blocks with one weak sum", 2000 * 2048, &b);
	buf_free(&b);
}

static void
signature_sizes(void)
{
	static const uint64_t bases[] = {0, 1, 1ull << 40, 4ull << 40, INT64_MAX};
	static uint8_t data[MSG_DATA_BYTES_MAX];
	struct msg m = {.type = MSG_GET, .how = GET_DELTA, .size = sizeof(big)};
	struct peer *p;

	for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
		char what[64];

		p = ask_delta(bases[i]);
		ok(p != NULL && p->credits == 0 && p->ends[CODE_USELESS] == 1,
		   "a base of %llu bytes: no signature is wanted", (unsigned long long)bases[i]);
		snprintf(what, sizeof(what), "a base of %llu bytes", (unsigned long long)bases[i]);
		absorbed(p, what);
	}
	p = ask_delta(1 << 20);
	for (unsigned i = 0; i < 64 && p != NULL; i++)
		peer_say(p, &(struct msg){.type = MSG_DATA,
					  .stream = 1,
					  .bytes = data,
					  .len = sizeof(data)});
	refused(p, "a signature without end", CODE_PROTOCOL, "more DATA than was granted");

	p = evil();
	memcpy(m.hash, big_hash, sizeof(m.hash));
	m.offset = 4 << 20;
	for (uint32_t i = 0; i < 250 && p != NULL; i++) {
		m.stream = 2 * i + 1;
		peer_say(p, &m);
	}
	absorbed(p, "250 deltas at once");
}

/* ---- serving ---- */

enum service { WRONG, SHORT, OVERDRAWN, ODD_END, BUSY, SILENT, DRIP };

static void
serve_badly(struct peer *p, const struct msg *m)
{
	static uint8_t wrong[MSG_DATA_BYTES_MAX];
	const enum service *how = p->arg;
	size_t len = m->size < 1000 ? (size_t)m->size : 1000;
	struct msg data = {.type = MSG_DATA, .stream = m->stream, .bytes = wrong, .len = len};
	uint64_t left = m->size - m->offset;

	switch (*how) {
	case WRONG:
		for (; left > 0; left -= data.len) {
			data.len = left < 1000 ? left : 1000;
			peer_say(p, &data);
		}
		peer_say(p, &(struct msg){.type = MSG_END, .stream = m->stream});
		break;
	case SHORT:
		peer_say(p, &data);
		peer_say(p, &(struct msg){.type = MSG_END, .stream = m->stream});
		break;
	case OVERDRAWN:
		data.len = sizeof(wrong);
		for (unsigned i = 0; i < 64; i++)
			peer_say(p, &data);
		break;
	case ODD_END:
		peer_say(p, &(struct msg){.type = MSG_END, .stream = m->stream, .code = 255});
		break;
	case BUSY:
		peer_say(p, &(struct msg){.type = MSG_END, .stream = m->stream, .code = CODE_BUSY});
		break;
	case DRIP:
		data.len = 1;
		peer_say(p, &data);
		break;
	case SILENT:
		break;
	}
}

static bool
was_asked(void *arg)
{
	const struct peer *p = arg;

	return p->gets > 0 || p->eof;
}

/* A record whose content the agent has to ask for, from a peer that gives it badly. */
static struct peer *
offer(const char *path, uint64_t size, enum service *how)
{
	struct peer *p = evil();
	struct record rec = file(path, strlen(path), path);

	rec.size = size;
	if (p == NULL)
		return NULL;
	p->on_get = serve_badly;
	p->arg = how;
	say_record(p, &rec, NULL);
	(void)peers_until(&rig.peers, was_asked, p, RIG_WAIT_MS);
	return p;
}

static void
turns(unsigned ms)
{
	uint64_t end = peer_now_ms() + ms;

	while (peer_now_ms() < end)
		peers_turn(&rig.peers, 5);
}

static void
bad_service(void)
{
	enum service how;
	struct peer *p;
	unsigned asked;

	how = WRONG;
	p = offer("served-wrong", 5000, &how);
	ok(p != NULL && p->gets > 0, "content is asked for");
	absorbed(p, "content with another hash");
	ok(strstr(rig_command(&rig, "errors"), "did not have its hash") != NULL, "it is said");
	how = SHORT;
	absorbed(offer("served-short", 50000, &how), "content that ends too early");
	how = ODD_END;
	absorbed(offer("served-odd", 50000, &how), "END with a code that nobody knows");
	how = SILENT;
	absorbed(offer("served-not", 50000, &how), "content that never comes");
	how = DRIP;
	absorbed(offer("served-slowly", 50000, &how), "content that comes byte by byte");
	how = OVERDRAWN;
	refused(offer("served-much", 50000, &how), "more content than was asked for", CODE_PROTOCOL,
		"more DATA than was granted");
	how = BUSY;
	p = offer("served-busy", 50000, &how);
	asked = p != NULL ? p->gets : 0;
	turns(1500);
	/* It is asked for what else it offered, too. */
	if (!ok(p != NULL && p->gets - asked <= 100,
		"who is always busy is not asked all the time"))
		diag("  asked %u times", p != NULL ? p->gets - asked : 0);
	absorbed(p, "a peer that is always busy");

	p = offer("busy/first", 50000, &how);
	for (unsigned i = 0; i < 3000 && p != NULL && p->fd >= 0; i++) {
		char path[32];
		struct record rec;

		snprintf(path, sizeof(path), "busy/%u", i);
		rec = file(path, strlen(path), path);
		rec.size = 50000 + i;
		say_record(p, &rec, NULL);
		if (i % 100 == 0)
			(void)peer_flush(&rig.peers, p, RIG_WAIT_MS);
	}
	turns(3000);
	ok(p != NULL && peer_answers(&rig.peers, p, RIG_WAIT_MS),
	   "three thousand files are offered");
	check("and none is given");
	how = DRIP;
	turns(2000);
	ok(p != NULL && peer_answers(&rig.peers, p, RIG_WAIT_MS), "a byte of each is given");
	absorbed(p, "three thousand files of which a byte came");
}

/* Sizes that no disk has, or that would fill this one: nothing is taken for them before it comes.
 */
static void
huge_sizes(void)
{
	enum service how = SILENT;
	uint64_t before = rig_free_bytes(&rig), after;
	struct peer *p = evil();
	static const uint64_t sizes[] = {INT64_MAX, INT64_MAX - 1, 1ull << 62, 1ull << 53};

	for (size_t i = 0; i < ARRAY_LEN(sizes) && p != NULL; i++) {
		char path[32];
		struct record rec;

		snprintf(path, sizeof(path), "huge-%zu", i);
		rec = file(path, strlen(path), path);
		rec.size = sizes[i];
		say_record(p, &rec, NULL);
	}
	absorbed(p, "files of eight exbibytes");
	for (unsigned i = 0; i < 20; i++) {
		char path[32];

		snprintf(path, sizeof(path), "sparse-%u", i);
		if (i == 0) {
			p = offer(path, (before - (64 << 20)) / 2, &how);
			continue;
		}
		if (p != NULL) {
			struct record rec = file(path, strlen(path), path);

			rec.size = (before - (64 << 20)) / 2;
			say_record(p, &rec, NULL);
		}
	}
	turns(300);
	after = rig_free_bytes(&rig);
	if (!ok(after + (1ull << 30) > before, "half the disk twenty times: no room is taken"))
		diag("  %llu bytes are gone", (unsigned long long)(before - after));
	absorbed(p, "twenty files of half the disk");
}

static uint8_t base[1 << 20];

static struct {
	uint32_t stream;
	size_t at;
} giving;

/* As much of the base as the credit allows. */
static void
give_base(struct peer *p, const struct msg *m)
{
	size_t left = sizeof(base) - giving.at, len, sum = m->credit < left ? m->credit : left;

	if (m->stream != giving.stream)
		return;
	for (; sum > 0; sum -= len) {
		len = sum < MSG_DATA_BYTES_MAX ? sum : MSG_DATA_BYTES_MAX;
		peer_say(p, &(struct msg){.type = MSG_DATA,
					  .stream = m->stream,
					  .bytes = base + giving.at,
					  .len = len});
		giving.at += len;
	}
	if (giving.at < sizeof(base))
		return;
	peer_say(p, &(struct msg){.type = MSG_END, .stream = m->stream});
	giving.stream = 0;
}

/* Serves the base whole; answers a delta of it with 24 KB that make 4 GB. */
static void
serve_bomb(struct peer *p, const struct msg *m)
{
	if (m->how == GET_DELTA) {
		peer_say(p,
			 &(struct msg){.type = MSG_CREDIT, .stream = m->stream, .credit = 1 << 20});
	} else if (m->size == sizeof(base)) {
		giving.stream = m->stream;
		giving.at = m->offset;
		give_base(p, m);
	} else {
		peer_say(p, &(struct msg){.type = MSG_END, .stream = m->stream, .code = CODE_GONE});
	}
}

static void
send_bomb(struct peer *p, const struct msg *m)
{
	struct buf b = {0};

	p->bombs++;
	put_be32(&b, 0x72730236);
	for (unsigned i = 0; i < 4096; i++) { /* copy 1 MiB from the beginning */
		buf_put_u8(&b, 0x47);
		buf_put_u8(&b, 0);
		put_be32(&b, sizeof(base));
	}
	buf_put_u8(&b, 0);
	peer_say(p, &(struct msg){
			    .type = MSG_DATA, .stream = m->stream, .bytes = b.data, .len = b.len});
	peer_say(p, &(struct msg){.type = MSG_END, .stream = m->stream});
	buf_free(&b);
}

static bool
asked_whole_again(void *arg)
{
	const struct peer *p = arg;

	return (p->bombs > 0 && p->last_how == GET_WHOLE) || p->eof;
}

static void
delta_bomb(void)
{
	uint64_t free_before = rig_free_bytes(&rig);
	struct record rec;
	struct peer *p = evil();

	for (size_t i = 0; i < sizeof(base); i++)
		base[i] = (uint8_t)(i * 40503u >> 7);
	rec = rig_record(EVIL_ORIGIN, ++evil_seq, "bomb", 4, base, sizeof(base));
	if (p == NULL)
		return;
	p->on_get = serve_bomb;
	p->on_end = send_bomb;
	p->on_credit = give_base;
	say_record(p, &rec, NULL);
	ok(peers_until(&rig.peers, has_acked, p, RIG_WAIT_MS) &&
		   rig_file_is(&rig, "bomb", base, sizeof(base)),
	   "a base is there");
	rec = file("bomb", 4, "another");
	rec.size = 2 * sizeof(base);
	if (vv_add(&rec.ctx, (struct dot){EVIL_ORIGIN, evil_seq - 1}) < 0)
		abort();
	say_record(p, &rec, NULL);
	record_clear(&rec);
	ok(peers_until(&rig.peers, asked_whole_again, p, RIG_WAIT_MS) && p->last_how == GET_WHOLE,
	   "24 KB that make 4 GB: cut off, and the whole is asked for");
	ok(rig_free_bytes(&rig) + (1ull << 30) > free_before, "no room is lost");
	absorbed(p, "a delta bomb");
	ok(rig_file_is(&rig, "bomb", base, sizeof(base)), "the file is as before");
}

/* ---- floods ---- */

/* Records that are as large as they may be, inlined content that nobody will stage. */
static void
record_flood(void)
{
	static uint8_t content[MSG_INLINE_BYTES_MAX];
	struct peer *p = evil();
	char path[64];

	for (unsigned i = 0; i < 200 && p != NULL && p->fd >= 0; i++) {
		struct record rec;

		/* Each supersedes the one before: most are never staged. */
		rec = rig_record(EVIL_ORIGIN, ++evil_seq, "flood", 5, content, sizeof(content));
		content[0]++;
		if (evil_seq > 1 && vv_add(&rec.ctx, (struct dot){EVIL_ORIGIN, evil_seq - 1}) < 0)
			abort();
		memcpy(content + 8, &i, sizeof(i));
		if (hash_of(content, sizeof(content), rec.hash) < 0)
			abort();
		say_record(p, &rec, content);
		record_clear(&rec);
		(void)peer_flush(&rig.peers, p, RIG_WAIT_MS);
	}
	absorbed(p, "100 MB of content that is superseded at once");

	p = evil();
	for (unsigned i = 0; i < 20000 && p != NULL && p->fd >= 0; i++) {
		struct record rec;

		snprintf(path, sizeof(path), "many/%u", i % 1000);
		rec = file(path, strlen(path), "");
		rec.size = i;
		say_record(p, &rec, NULL);
		if (i % 500 == 0)
			(void)peer_flush(&rig.peers, p, RIG_WAIT_MS);
	}
	absorbed(p, "twenty versions each of a thousand files that nobody has");
}

static void
questions(void)
{
	static uint8_t blob[MSG_BLOB_BYTES_MAX];
	struct msg m = {.type = MSG_ASK, .bytes = blob, .len = sizeof(blob)};
	struct peer *p = evil();

	for (unsigned what = 0; what < 256 && p != NULL; what++) {
		m.what = (uint8_t)what;
		m.len = what % 7 * 1000;
		peer_say(p, &m);
	}
	absorbed(p, "questions of all kinds");
	p = evil();
	m = (struct msg){.type = MSG_TELL, .bytes = blob, .len = sizeof(blob)};
	for (unsigned i = 0; i < 100 && p != NULL; i++) {
		m.id = i;
		m.last = i % 2;
		peer_say(p, &m);
		(void)peer_flush(&rig.peers, p, RIG_WAIT_MS);
	}
	absorbed(p, "answers to questions that nobody asked");
}

/* ---- lies about what is kept ---- */

static uint64_t told_kept;

static void
tell_kept(struct peer *p, uint32_t id, bool last, const struct buf *b)
{
	told_kept++;
	peer_say(p, &(struct msg){.type = MSG_TELL,
				  .id = id,
				  .code = CODE_OK,
				  .last = last,
				  .bytes = b->data,
				  .len = b->len});
}

static void
put_zeros(struct buf *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_put_u8(b, 0);
}

/* A page with that one version. */
static void
kept_page(struct buf *b, const struct record *rec, uint8_t flags)
{
	buf_put_u8(b, 0);
	put_zeros(b, 24);
	buf_put_u64(b, flags == 0 ? rec->dot.origin : 0);
	buf_put_u64(b, rec->dot.seq);
	buf_put_u64(b, UINT64_MAX);
	buf_put_u64(b, UINT64_MAX);
	buf_put_u8(b, flags);
	buf_put_str(b, "evil\033[2J", 8);
	record_encode(b, rec);
}

static void
kept_garbage(struct peer *p, const struct msg *m)
{
	struct buf b = {0};

	for (unsigned i = 0; i < 1000; i++)
		buf_put_u8(&b, (uint8_t)(i * 7));
	tell_kept(p, m->id, true, &b);
	buf_free(&b);
}

static void
kept_endless(struct peer *p, const struct msg *m)
{
	struct buf b = {0};

	buf_put_u8(&b, 1);
	put_zeros(&b, 24);
	tell_kept(p, m->id, true, &b);
	buf_free(&b);
}

static void
kept_parts(struct peer *p, const struct msg *m)
{
	struct buf b = {0};

	buf_put_u8(&b, 0);
	put_zeros(&b, 24);
	for (unsigned i = 0; i < 100; i++)
		tell_kept(p, m->id, false, &b);
	buf_free(&b);
}

static void
kept_cut(struct peer *p, const struct msg *m)
{
	struct record rec = file("lie/cut", 7, "x");
	struct buf b = {0};

	kept_page(&b, &rec, 0);
	b.len--;
	tell_kept(p, m->id, true, &b);
	buf_free(&b);
}

static void
kept_elsewhere(struct peer *p, const struct msg *m)
{
	struct record rec = file("../../lie", 9, "x");
	struct buf b = {0};

	kept_page(&b, &rec, 0);
	tell_kept(p, m->id, true, &b);
	buf_free(&b);
}

static void
kept_unasked(struct peer *p, const struct msg *m)
{
	struct record rec = file("liesbelow", 9, "x");
	struct buf b = {0};

	kept_page(&b, &rec, 0);
	tell_kept(p, m->id, true, &b);
	buf_free(&b);
}

static void
kept_flags(struct peer *p, const struct msg *m)
{
	struct record rec = file("lie/flags", 9, "x");
	struct buf b = {0};

	kept_page(&b, &rec, 0xfe);
	tell_kept(p, m->id, true, &b);
	buf_free(&b);
}

/* No other attack's content: what is in the tree already comes back from there. */
#define NOWHERE "what no node has"

static void
kept_not(struct peer *p, const struct msg *m)
{
	struct record rec = file("lie/not", 7, NOWHERE);
	struct buf b = {0};

	kept_page(&b, &rec, 0);
	tell_kept(p, m->id, true, &b);
	buf_free(&b);
}

struct shell {
	pid_t pid;
	int status;
};

static bool
shell_over(void *arg)
{
	struct shell *s = arg;

	return waitpid(s->pid, &s->status, WNOHANG) != 0;
}

/* The command runs while the peers go on: its exit code; what it says is in b. */
static int
meanwhile(const char *build, const char *words, struct buf *b)
{
	char line[1024], out[256];
	struct shell s = {.status = -1};
	FILE *f;
	int c;

	snprintf(out, sizeof(out), "%s/said", rig.dir);
	snprintf(line, sizeof(line), "exec '%s/mimeo' -c '%s/mimeo.conf' %s >'%s' 2>&1", build,
		 rig.dir, words, out);
	s.pid = fork();
	if (s.pid == 0) {
		execl("/bin/sh", "sh", "-c", line, (char *)NULL);
		_exit(127);
	}
	(void)peers_until(&rig.peers, shell_over, &s, RIG_WAIT_MS);
	f = fopen(out, "re");
	while (f != NULL && (c = fgetc(f)) != EOF)
		buf_put_u8(b, (uint8_t)c);
	if (f != NULL)
		(void)fclose(f);
	(void)unlink(out);
	buf_put_u8(b, 0);
	return WIFEXITED(s.status) ? WEXITSTATUS(s.status) : -1;
}

static void
keepers(void)
{
	static const struct {
		const char *name;
		void (*answer)(struct peer *p, const struct msg *m);
		bool believed;
	} lies[] = {{"garbage", kept_garbage, false},
		    {"pages without end", kept_endless, false},
		    {"parts without end", kept_parts, false},
		    {"a version that is cut off", kept_cut, false},
		    {"a path that leaves the root", kept_elsewhere, false},
		    {"a path that was not asked for", kept_unasked, false},
		    {"flags that are none", kept_flags, false},
		    {"a version that it does not have", kept_not, true}};
	const char *build = getenv("top_builddir");
	struct buf b = {0};
	int code;

	build = build != NULL ? build : ".";
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		struct peer *p = evil();

		if (p != NULL)
			p->on_kept = lies[i].answer;
		told_kept = 0;
		buf_reset(&b);
		code = meanwhile(build, "trash list lie --json", &b);
		if (!ok(code == 0 && told_kept > 0 && !b.failed &&
				(strstr((char *)b.data, "lie/") != NULL) == lies[i].believed &&
				(strstr((char *)b.data, "from evil") == NULL) == lies[i].believed &&
				strchr((char *)b.data, '\033') == NULL,
			"what is kept: %s", lies[i].name))
			diag("  code %d, %llu answers: %s", code, (unsigned long long)told_kept,
			     (const char *)b.data);
		if (lies[i].believed) {
			buf_reset(&b);
			code = meanwhile(build, "trash restore lie/not", &b);
			if (!ok(code == 1 && p != NULL && p->gets > 0 &&
					!rig_file_is(&rig, "lie/not", NOWHERE, strlen(NOWHERE)),
				"what is kept: it does not come back"))
				diag("  code %d, asked %u times: %s", code, p != NULL ? p->gets : 0,
				     (const char *)b.data);
		}
		absorbed(p, lies[i].name);
	}
	buf_free(&b);
}

static void
sessions(void)
{
	unsigned lost = 0;
	struct peer *held[8];

	for (unsigned i = 0; i < 10000; i++) {
		struct peer *p = peer_new(&rig.peers, rig.socket, "attach 1 evil\n");

		if (p == NULL) {
			lost++;
			continue;
		}
		if (i % 2 == 0)
			peer_hello(p, "evil", EVIL_NONCE + i);
		peers_turn(&rig.peers, i % 50 == 0 ? 5 : 0);
		peer_close(&rig.peers, p);
	}
	is_int(lost, 0, "ten thousand connections are taken");
	check("ten thousand sessions");

	for (size_t i = 0; i < ARRAY_LEN(held); i++)
		held[i] = peer_new(&rig.peers, rig.socket, "attach 1 evil\n");
	for (size_t i = LINKS_PEER_TUBES_MAX; i < ARRAY_LEN(held); i++)
		ok(held[i] != NULL && peer_over(&rig.peers, held[i], RIG_WAIT_MS),
		   "connection %zu of one peer is refused", i + 1);
	for (size_t i = 0; i < ARRAY_LEN(held); i++)
		peer_close(&rig.peers, held[i]);
	check("more connections than one peer may have");
}

/* A byte now and then, and never a whole line or frame: a time-out ends each. */
static void
slowloris(void)
{
	static struct peer *slow[600];
	unsigned open = 0;
	struct peer *half = peer_new(&rig.peers, rig.socket, "attach 1 evil\n");

	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		slow[i] = peer_new(&rig.peers, rig.socket, "a");
	if (half != NULL)
		peer_raw(half, "\x40\0\0\0\x01mim", 8);
	turns(500);
	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		open += slow[i] != NULL && !slow[i]->eof;
	is_int(open, ARRAY_LEN(slow), "600 connections that say one byte");
	ok(rig_serves(&rig), "meanwhile others are served");
	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		if (slow[i] != NULL)
			peer_raw(slow[i], "t", 1);
	turns(LINKS_HEADER_MS + 1500);
	open = 0;
	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		open += slow[i] != NULL && !slow[i]->eof;
		peer_close(&rig.peers, slow[i]);
	}
	is_int(open, 0, "all are dropped in time");
	ok(half != NULL && half->eof && half->bye_code == CODE_TIMEOUT, "so is half a HELLO");
	peer_close(&rig.peers, half);
	check("slow connections");
}

/* ---- racers ---- */

struct racer {
	pthread_t thread;
	void (*step)(int root, unsigned i);
	int root;
	atomic_bool stop;
};

static void *
race(void *arg)
{
	struct racer *r = arg;

	for (unsigned i = 0; !atomic_load(&r->stop); i++)
		r->step(r->root, i);
	return NULL;
}

/* A directory and a symlink out of the root change places. */
static void
swap_links(int root, unsigned i)
{
	(void)i;
	(void)renameat2(root, "race/d", root, "race/l", RENAME_EXCHANGE);
}

/* A file, a directory, a FIFO and a symlink come and go under one name. */
static void
swap_kinds(int root, unsigned i)
{
	int fd;

	switch (i % 4) {
	case 0:
		fd = openat(root, "race/x", O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
		if (fd >= 0)
			close(fd);
		break;
	case 1:
		(void)mkdirat(root, "race/x", 0755);
		break;
	case 2:
		(void)mkfifoat(root, "race/x", 0644);
		break;
	default:
		(void)!symlinkat("../../outside/secret", root, "race/x");
		break;
	}
	(void)unlinkat(root, "race/x", 0);
	(void)unlinkat(root, "race/x", AT_REMOVEDIR);
}

/* The directory itself goes and comes back. */
static void
swap_parent(int root, unsigned i)
{
	(void)i;
	(void)renameat(root, "race/p", root, "race/q");
	(void)renameat(root, "race/q", root, "race/p");
}

static void
racers(void)
{
	static struct racer all[] = {{.step = swap_links},
				     {.step = swap_links},
				     {.step = swap_kinds},
				     {.step = swap_parent}};
	uint64_t end;
	char path[300];
	unsigned sent = 0, seed = 1;
	int root;
	struct peer *p;

	snprintf(path, sizeof(path), "%s/root", rig.dir);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!ok(root >= 0 && mkdirat(root, "race", 0755) == 0 &&
			mkdirat(root, "race/d", 0755) == 0 && mkdirat(root, "race/p", 0755) == 0,
		"a place to race"))
		return;
	snprintf(path, sizeof(path), "%s/outside/trap", rig.dir);
	ok(symlinkat(path, root, "race/l") == 0, "with a way out of the root");
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i].root = root;
		if (pthread_create(&all[i].thread, NULL, race, &all[i]) != 0)
			abort();
	}
	p = evil();
	for (end = peer_now_ms() + 5000; peer_now_ms() < end && p != NULL && p->fd >= 0;) {
		static const char *const dirs[] = {"race/d/f", "race/p/f", "race/x/f", "race/x",
						   "race/l/f"};
		char name[64], content[32];
		const char *dir = dirs[seed % ARRAY_LEN(dirs)];
		struct record rec;

		seed = seed * 1103515245 + 12345;
		if (strcmp(dir, "race/x") == 0)
			snprintf(name, sizeof(name), "%s", dir);
		else
			snprintf(name, sizeof(name), "%s%u", dir, seed / 65536 % 10);
		snprintf(content, sizeof(content), "raced %u", sent++);
		rec = file(name, strlen(name), content);
		if (seed / 4096 % 4 == 0) { /* sometimes a delete of all before */
			rec.kind = KIND_ABSENT;
			rec.op = OP_DELETE;
			rec.mode = 0;
			rec.mtime_ns = 0;
			if (vv_add(&rec.ctx, (struct dot){EVIL_ORIGIN, evil_seq - 1}) < 0)
				abort();
		}
		say_record(p, &rec, rec.kind == KIND_FILE ? content : NULL);
		record_clear(&rec);
		peers_turn(&rig.peers, 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		atomic_store(&all[i].stop, true);
		pthread_join(all[i].thread, NULL);
	}
	diag("%u records while four threads swapped", sent);
	snprintf(path, sizeof(path), "%s/root/race", rig.dir);
	(void)unlinkat(root, "race/l", 0);
	(void)unlinkat(root, "race/d", 0);
	close(root);
	absorbed(p, "directories and symlinks swapped while files are applied");
}

/* ---- the rest ---- */

/* As many origins as there may be, and one more. Last of all: who knows them stays, but no new one
 * comes in any more. */
static void
origins(void)
{
	struct peer *p = evil();

	for (unsigned i = 0; i < VV_ENTRIES_MAX + 5 && p != NULL && p->fd >= 0; i++) {
		peer_origin(p, 0xabc0000000ull + i, "evil");
		if (i % 500 == 0)
			(void)peer_flush(&rig.peers, p, RIG_WAIT_MS);
	}
	refused(p, "more origins than a cluster may have", CODE_PROTOCOL, "more origins");
}

static void
scattered_vector(void)
{
	set_flood(MSG_UPTO, true, false, false);
}

static void
deaf_pings(void)
{
	deaf(MSG_PING, 300000);
}

static void
deaf_gets(void)
{
	deaf(MSG_GET, 100000);
}

static const struct {
	const char *name;
	void (*run)(void);
} attacks[] = {
	{"strangers", strangers},
	{"hellos", hellos},
	{"frames", frames},
	{"after_bye", after_bye},
	{"bye_texts", bye_texts},
	{"forbidden_paths", forbidden_paths},
	{"awkward_paths", awkward_paths},
	{"symlinks", symlinks},
	{"symlink_hash", symlink_hash},
	{"kinds_change", kinds_change},
	{"bad_records", bad_records},
	{"contexts", contexts},
	{"inlined", inlined},
	{"truncated", truncated},
	{"times", times},
	{"clock_after_restart", clock_after_restart},
	{"forged_own", forged_own},
	{"equivocation", equivocation},
	{"bad_sets", bad_sets},
	{"set_floods", set_floods},
	{"forged_acks", forged_acks},
	{"unknown_origin", unknown_origin},
	{"members", members},
	{"streams", streams},
	{"many_streams", many_streams},
	{"deaf_pings", deaf_pings},
	{"deaf_gets", deaf_gets},
	{"signatures", signatures},
	{"signature_sizes", signature_sizes},
	{"bad_service", bad_service},
	{"huge_sizes", huge_sizes},
	{"delta_bomb", delta_bomb},
	{"record_flood", record_flood},
	{"questions", questions},
	{"keepers", keepers},
	{"sessions", sessions},
	{"racers", racers},
	{"slowloris", slowloris},
	{"scattered_vector", scattered_vector},
	{"origins", origins},
};

/* With names: those groups alone. */
int
main(int argc, char **argv)
{
	const char *build = getenv("top_builddir");

	signal(SIGPIPE, SIG_IGN);
	if (!ok(rig_start(&rig, build != NULL ? build : "."),
		"a node runs, an honest peer uses it")) {
		rig_stop(&rig, tap_failed > 0);
		return tap_done();
	}
	for (size_t i = 0; i < ARRAY_LEN(attacks); i++)
		for (int k = 1; k < argc || argc == 1; k++) {
			if (argc == 1 || strcmp(argv[k], attacks[i].name) == 0)
				attacks[i].run();
			if (argc == 1)
				break;
		}
	diag("most memory: %ld MB", rig.rss_max_kb / 1024);
	rig_stop(&rig, tap_failed > 0);
	return tap_done();
}
