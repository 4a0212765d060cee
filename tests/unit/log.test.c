/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks conf/log: both forms, hostile values, repetition, the journal's prefix. */
#include "config.h"

#include "conf/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/escape.h"
#include "tests/tap.h"

#define TIME "2026-01-02T03:04:05.678Z"
#define WALL_MS UINT64_C(1767323045678)

struct catch
{
	char before[256]; /* the line before the last */
	char last[40000];
	size_t last_len;
	unsigned lines;
	unsigned wrong; /* not terminated where it ends, or a newline inside */
	uint64_t mono_ms;
};

static void
on_line(void *arg, const char *line, size_t len)
{
	struct catch *c = arg;

	c->lines++;
	c->wrong += strlen(line) != len || strchr(line, '\n') != NULL || len >= sizeof(c->last);
	c->last_len = len;
	snprintf(c->before, sizeof(c->before), "%.255s", c->last);
	snprintf(c->last, sizeof(c->last), "%s", line);
}

static void
fixed_clock(void *arg, uint64_t *mono_ms, uint64_t *wall_ms)
{
	struct catch *c = arg;

	*mono_ms = c->mono_ms;
	*wall_ms = WALL_MS;
}

static struct log *
catching(struct catch *c, enum log_format format)
{
	struct log *log = log_new(format, LOG_INFO, on_line, c);

	if (!log)
		abort();
	memset(c, 0, sizeof(*c));
	log_set_clock(log, fixed_clock, c);
	return log;
}

static void
test_text(void)
{
	static struct catch c;
	struct log *log = catching(&c, LOG_TEXT);

	LOG(log, LOG_WARN, "peer.refused", "the host key changed", log_s("peer", "web2"),
	    log_err(-ENOENT));
	is_str(c.last,
	       TIME " warn peer.refused the host key changed peer=web2"
		    " error=\"No such file or directory (ENOENT)\"",
	       "the line of the contract");
	LOG(log, LOG_INFO, "a.b", "no fields");
	is_str(c.last, TIME " info a.b no fields", "no fields");
	LOG(log, LOG_ERROR, "a.c", NULL, log_i("n", INT64_MIN), log_u("u", UINT64_MAX));
	is_str(c.last, TIME " error a.c n=-9223372036854775808 u=18446744073709551615", "numbers");
	log_write(log, LOG_INFO, "a.d", "", NULL);
	is_str(c.last, TIME " info a.d", "no fields at all");
	LOG(log, LOG_INFO, "v", NULL, log_s("a", ""), log_s("b", NULL), log_s("c", "-"),
	    log_s("d", "x y"), log_s("e", "q\"q"), log_s("f", "b\\b"), log_s("g", "k=v"),
	    log_s("h", "caf\xc3\xa9"), log_s("i", "\xff"), log_b("j", "n\0n\n", 4),
	    log_b("k", NULL, 0));
	is_str(c.last,
	       TIME " info v a=\"\" b=- c=\"-\" d=\"x y\" e=\"q\\\"q\" f=\"b\\\\b\" g=\"k=v\" "
		    "h=caf\xc3\xa9 i=\"\\xff\" j=\"n\\x00n\\x0a\" k=\"\"",
	       "values: plain, quoted, escaped");
	LOG(log, LOG_INFO, "e", NULL, log_err(99999), log_err(0), log_err(EIO));
	is_str(c.last,
	       TIME " info e error=\"errno 99999\" error=\"Success (0)\" error=\"Input/output "
		    "error (EIO)\"",
	       "errors without a name, none, and of the other sign");
	is_int(c.lines, 6, "a line each");
	is_int(c.wrong, 0, "each one line");
	log_free(log);
	is_int(c.lines, 6, "and no more at the end");
}

static void
test_json(void)
{
	static struct catch c;
	struct log *log = catching(&c, LOG_JSON);

	LOG(log, LOG_WARN, "peer.refused", "the \"host\" key", log_s("peer", "web2"),
	    log_i("n", -1), log_u("u", UINT64_MAX), log_s("none", NULL), log_b("path", "a\xff", 2),
	    log_b("other", "caf\xc3\xa9\x1b", 6), log_err(-EIO));
	is_str(c.last,
	       "{\"time\":\"" TIME "\",\"level\":\"warn\",\"event\":\"peer.refused\","
	       "\"msg\":\"the \\\"host\\\" key\",\"peer\":\"web2\",\"n\":-1,"
	       "\"u\":18446744073709551615,\"none\":null,\"path_b64\":\"Yf8=\","
	       "\"other\":\"caf\xc3\xa9\\u001b\",\"error\":\"Input/output error (EIO)\"}",
	       "JSON");
	LOG(log, LOG_INFO, "e", NULL);
	is_str(c.last, "{\"time\":\"" TIME "\",\"level\":\"info\",\"event\":\"e\",\"msg\":\"\"}",
	       "JSON without fields");
	LOG(log, LOG_INFO, "e", NULL);
	c.mono_ms += LOG_REPEAT_MS;
	log_tick(log);
	is_str(c.last,
	       "{\"time\":\"" TIME
	       "\",\"level\":\"info\",\"event\":\"e\",\"msg\":\"\",\"repeated\":1}",
	       "JSON, repeated");
	is_int(c.wrong, 0, "each one line");
	log_free(log);
}

static void
test_levels(void)
{
	static struct catch c;
	struct log *log = catching(&c, LOG_TEXT);

	LOG(log, LOG_DEBUG, "d", NULL);
	is_int(c.lines, 0, "debug is not asked for");
	ok(!log_wants(log, LOG_DEBUG) && log_wants(log, LOG_INFO), "which can be asked");
	log_set_level(log, LOG_DEBUG);
	LOG(log, LOG_DEBUG, "d", NULL);
	is_str(c.last, TIME " debug d", "now it is");
	log_set_level(log, LOG_ERROR);
	LOG(log, LOG_WARN, "w", NULL);
	is_int(c.lines, 1, "a warning is too little");
	LOG(NULL, LOG_ERROR, "x", NULL, log_i("n", 1));
	log_set_level(NULL, LOG_DEBUG);
	log_tick(NULL);
	log_free(NULL);
	ok(!log_wants(NULL, LOG_ERROR), "no log: silent");
	log_free(log);
}

/* Is the line free of what a terminal obeys, and are its quotes in order? */
static bool
is_safe(const char *s, size_t len)
{
	bool inside = false;
	uint32_t cp;

	for (size_t i = 0, n; i < len; i += n) {
		n = escape_utf8(s + i, len - i, &cp);
		if (n == 0 || escape_hidden(cp))
			return false;
		if (cp == '\\' && inside && i + 1 < len)
			n = 2;
		else if (cp == '"')
			inside = !inside;
	}
	return !inside;
}

static void
test_hostile(enum log_format format)
{
	static struct catch c;
	struct log *log = catching(&c, format);
	unsigned wrong = 0;

	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			unsigned char in[3] = {(unsigned char)a, (unsigned char)b, 0x9b};

			c.mono_ms += LOG_REPEAT_MS;
			LOG(log, LOG_INFO, "h", NULL, log_b("v", in, 3), log_i("end", 1));
			wrong += !is_safe(c.last, c.last_len);
			wrong += strstr(c.last, format == LOG_TEXT ? " end=1" : "\",\"end\":1}") ==
				 NULL;
		}
	}
	is_int(wrong, 0, "no value ends early or reaches the terminal (%s)",
	       format == LOG_TEXT ? "text" : "JSON");
	is_int(c.wrong, 0, "each one line");
	log_free(log);
}

static void
test_bounds(void)
{
	static struct catch c;
	struct log *log = catching(&c, LOG_TEXT);
	struct log_field fields[LOG_FIELDS_MAX + 2];
	static const char euro[3] = {'\xe2', '\x82', '\xac'};
	char *big = malloc(LOG_VALUE_BYTES_MAX + 100);

	memset(big, 'x', LOG_VALUE_BYTES_MAX + 100);
	LOG(log, LOG_INFO, "b", NULL, log_b("v", big, LOG_VALUE_BYTES_MAX));
	is_int(c.last_len, strlen(TIME " info b v=") + LOG_VALUE_BYTES_MAX, "the longest value");
	LOG(log, LOG_INFO, "b", NULL, log_b("v", big, LOG_VALUE_BYTES_MAX + 1));
	is_str(c.last + c.last_len - 6, "x\\...\"", "a longer one is cut and says so");
	memcpy(big + LOG_VALUE_BYTES_MAX - 1, euro, sizeof(euro));
	LOG(log, LOG_INFO, "b", NULL, log_b("v", big, LOG_VALUE_BYTES_MAX + 2));
	is_str(c.last + c.last_len - 7, "xx\\...\"", "not in the middle of a character");
	memset(big, '\xff', LOG_VALUE_BYTES_MAX + 100);
	LOG(log, LOG_INFO, "b", NULL, log_b("v", big, LOG_VALUE_BYTES_MAX),
	    log_b("w", big, LOG_VALUE_BYTES_MAX));
	is_int(c.last_len, strlen(TIME " info b v=\"\" w=\"\"") + 8 * LOG_VALUE_BYTES_MAX,
	       "two of the longest, all escaped");
	for (size_t i = 0; i <= LOG_FIELDS_MAX; i++)
		fields[i] = log_i("f", (int64_t)i);
	fields[LOG_FIELDS_MAX + 1] = (struct log_field){.kind = LOG_F_END};
	log_write(log, LOG_INFO, "b", NULL, fields);
	ok(strstr(c.last, " f=31") != NULL && strstr(c.last, " f=32") == NULL,
	   "as many fields as allowed");
	log_set_format(log, LOG_JSON);
	memset(big, 'x', LOG_VALUE_BYTES_MAX);
	LOG(log, LOG_INFO, "b", NULL, log_b("v", big, LOG_VALUE_BYTES_MAX + 5));
	ok(strstr(c.last, "x\",\"v_cut\":true}") != NULL, "cut in JSON");
	is_int(c.wrong, 0, "each one line");
	log_free(log);
	free(big);
}

static void
test_repeat(void)
{
	static struct catch c;
	struct log *log = catching(&c, LOG_TEXT);

	for (int i = 0; i < 100; i++)
		LOG(log, LOG_WARN, "r", "same", log_i("n", 1));
	is_int(c.lines, 1, "the same line is said once");
	LOG(log, LOG_WARN, "r", "same", log_i("n", 2));
	LOG(log, LOG_ERROR, "r", "same", log_i("n", 1));
	LOG(log, LOG_WARN, "r", "other", log_i("n", 1));
	LOG(log, LOG_WARN, "s", "same", log_i("n", 1));
	is_int(c.lines, 5, "another field, level, message or event is another line");
	c.mono_ms = LOG_REPEAT_MS - 1;
	LOG(log, LOG_WARN, "r", "same", log_i("n", 1));
	is_int(c.lines, 5, "up to the end of its time");
	c.mono_ms = LOG_REPEAT_MS;
	LOG(log, LOG_WARN, "r", "same", log_i("n", 1));
	is_str(c.last, TIME " warn r same n=1 repeated=100", "then with the count");
	is_int(c.lines, 6, "in one line");
	LOG(log, LOG_WARN, "r", "same", log_i("n", 1));
	LOG(log, LOG_WARN, "r", "same", log_i("n", 1));
	is_int(c.lines, 6, "and its time begins anew");
	c.mono_ms += LOG_REPEAT_MS;
	LOG(log, LOG_INFO, "other", NULL);
	is_int(c.lines, 8, "when anything is said, so are counts that are due");
	is_str(c.before, TIME " warn r same n=1 repeated=2", "before it");
	is_str(c.last, TIME " info other", "which follows");
	c.mono_ms += LOG_REPEAT_MS;
	LOG(log, LOG_INFO, "other", NULL);
	is_str(c.last, TIME " info other", "a line that comes once in its time is said each time");
	LOG(log, LOG_INFO, "other", NULL);
	is_int(c.lines, 9, "and no more often");
	c.mono_ms += LOG_REPEAT_MS;
	log_tick(log);
	is_int(c.lines, 10, "a line that did not come again has nothing to say");
	is_str(c.last, TIME " info other repeated=1", "another has");
	LOG(log, LOG_WARN, "r", "same", log_i("n", 1));
	is_str(c.last, TIME " warn r same n=1", "and is new afterwards");
	LOG(log, LOG_WARN, "r", "same", log_i("n", 1));
	log_set_format(log, LOG_JSON);
	is_str(c.last, TIME " warn r same n=1 repeated=1",
	       "said in its form before the form changes");
	log_set_format(log, LOG_JSON);
	LOG(log, LOG_WARN, "r", NULL);
	LOG(log, LOG_WARN, "r", NULL);
	is_int(c.lines, 13, "no more");
	log_free(log);
	is_int(c.lines, 14, "the last count is said at the end");
	is_int(c.wrong, 0, "each one line");
}

/* More different lines than are remembered: the oldest place is taken, its count is not lost. */
static void
test_repeat_full(void)
{
	static struct catch c;
	struct log *log = catching(&c, LOG_TEXT);

	LOG(log, LOG_INFO, "first", NULL);
	LOG(log, LOG_INFO, "first", NULL);
	for (int i = 1; i < LOG_REPEAT_LINES_MAX; i++) {
		c.mono_ms = (uint64_t)i;
		LOG(log, LOG_INFO, "n", NULL, log_i("i", i));
	}
	is_int(c.lines, LOG_REPEAT_LINES_MAX, "as many as are remembered");
	LOG(log, LOG_INFO, "n", NULL, log_i("i", 1));
	is_int(c.lines, LOG_REPEAT_LINES_MAX, "and they are");
	LOG(log, LOG_INFO, "new", NULL);
	is_int(c.lines, LOG_REPEAT_LINES_MAX + 2, "one more: the oldest says its count and goes");
	is_str(c.last, TIME " info new", "then the new one");
	LOG(log, LOG_INFO, "first", NULL);
	is_str(c.last, TIME " info first", "the oldest is forgotten");
	log_free(log);
}

/* Standard error into a file; what stands there after fn. */
static size_t
captured(char *out, size_t room, bool journal, enum log_format format)
{
	char path[] = "/tmp/log-test-XXXXXX", stream[64];
	int fd = mkstemp(path), saved = dup(STDERR_FILENO);
	struct log *log;
	struct stat st;
	ssize_t n;

	if (fd < 0 || saved < 0 || fstat(fd, &st) < 0)
		abort();
	unlink(path);
	dup2(fd, STDERR_FILENO);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + (journal ? 0 : 1));
	setenv("JOURNAL_STREAM", stream, 1);
	log = log_new(format, LOG_DEBUG, NULL, NULL);
	LOG(log, LOG_ERROR, "a", "x");
	LOG(log, LOG_WARN, "a", "x");
	LOG(log, LOG_INFO, "a", "x");
	LOG(log, LOG_DEBUG, "a", "x", log_i("n", 1));
	log_free(log);
	unsetenv("JOURNAL_STREAM");
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = pread(fd, out, room - 1, 0);
	close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static void
test_stderr(void)
{
	char out[1024];
	size_t n;

	captured(out, sizeof(out), true, LOG_TEXT);
	is_str(out, "<3>a x\n<4>a x\n<6>a x\n<7>a x n=1\n", "in the journal's form");
	n = captured(out, sizeof(out), false, LOG_TEXT);
	is_int(n, 4 * 25 + strlen("error a x\nwarn a x\ninfo a x\ndebug a x n=1\n"),
	       "another stream: with time and level");
	ok(out[4] == '-' && out[10] == 'T' && out[23] == 'Z' && out[24] == ' ', "time as agreed");
	is_mem(out + 24, " error a x\n", 11, "then the level");
	captured(out, sizeof(out), true, LOG_JSON);
	is_mem(out, "<3>{\"time\":\"", 12, "JSON has both");
}

int
main(void)
{
	unsetenv("JOURNAL_STREAM");
	test_text();
	test_json();
	test_levels();
	test_hostile(LOG_TEXT);
	test_hostile(LOG_JSON);
	test_bounds();
	test_repeat();
	test_repeat_full();
	test_stderr();
	return tap_done();
}
