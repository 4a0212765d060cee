/* SPDX-License-Identifier: BSD-2-Clause */
/* One line an event, escaped, and the same line not again and again. */
#include "config.h"

#include "conf/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "conf/clock.h"
#include "conf/escape.h"
#include "conf/json.h"

#define TEXT_FIRST_BYTES 4096 /* had from the start: a line that fits needs no memory */

/* A growing text. What memory cannot hold is lost, and `failed` says so. */
struct text {
	char *data;
	size_t len;
	size_t cap; /* always more than len */
	bool failed;
};

/* A line that was said, without time and level. */
struct said {
	char *body; /* NULL: this place is free */
	size_t len;
	enum log_level level;
	uint64_t at_ms;
	uint64_t more; /* how often since */
};

struct log {
	enum log_format format;
	enum log_level level;
	bool journal;
	void (*sink)(void *arg, const char *line, size_t len); /* NULL: standard error */
	void *sink_arg;
	void (*clock)(void *arg, uint64_t *mono_ms, uint64_t *wall_ms);
	void *clock_arg;
	struct text body;
	struct text line;
	struct json json;
	struct said said[LOG_REPEAT_LINES_MAX];
};

struct log_field
log_s(const char *key, const char *val)
{
	return (struct log_field){
		.key = key, .kind = LOG_F_STR, .str = val, .len = val ? strlen(val) : 0};
}

struct log_field
log_b(const char *key, const void *bytes, size_t len)
{
	return (struct log_field){
		.key = key, .kind = LOG_F_BYTES, .str = bytes ? bytes : "", .len = len};
}

struct log_field
log_i(const char *key, int64_t val)
{
	return (struct log_field){.key = key, .kind = LOG_F_INT, .num = val};
}

struct log_field
log_u(const char *key, uint64_t val)
{
	return (struct log_field){.key = key, .kind = LOG_F_UINT, .num = (int64_t)val};
}

struct log_field
log_err(int negative_errno)
{
	int64_t num = negative_errno;

	return (struct log_field){.key = "error", .kind = LOG_F_ERR, .num = num < 0 ? -num : num};
}

static void
system_clock(void *arg, uint64_t *mono_ms, uint64_t *wall_ms)
{
	(void)arg;
	*mono_ms = clock_mono_ms();
	*wall_ms = clock_wall_ms();
}

/*
 * JOURNAL_STREAM is "DEVICE:INODE" of the journal's socket. Set, and standard error redirected
 * since: not the journal.
 */
static bool
is_journal(void)
{
	const char *env = getenv("JOURNAL_STREAM");
	char mine[48];
	struct stat st;

	if (!env || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(mine, sizeof(mine), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(env, mine) == 0;
}

static bool
text_grow(struct text *t, size_t len)
{
	size_t cap = t->cap ? t->cap : TEXT_FIRST_BYTES;
	char *data;

	if (t->failed)
		return false;
	while (cap - t->len <= len) {
		if (cap > SIZE_MAX / 2) {
			t->failed = true;
			return false;
		}
		cap *= 2;
	}
	if (cap == t->cap)
		return true;
	data = realloc(t->data, cap);
	if (!data) {
		t->failed = true;
		return false;
	}
	t->data = data;
	t->cap = cap;
	return true;
}

static void
put(struct text *t, const void *bytes, size_t len)
{
	if (!text_grow(t, len))
		return;
	memcpy(t->data + t->len, bytes, len);
	t->len += len;
}

static void
put_cstr(struct text *t, const char *s)
{
	put(t, s, strlen(s));
}

static void
text_reset(struct text *t)
{
	t->len = 0;
	t->failed = false;
}

/* The fields of a line. */

/* Escaped; between quotes a quote gets its backslash too. */
static void
put_visible(struct text *t, const char *p, size_t len, bool quoted)
{
	while (len > 0) {
		char form[ESCAPE_CHAR_BYTES_MAX];
		size_t used, n;

		if (quoted && *p == '"')
			put(t, "\\", 1);
		n = escape_char(form, p, len, &used);
		put(t, form, n);
		p += used;
		len -= used;
	}
}

/* Can it stand without quotes? */
static bool
is_plain(const char *p, size_t len)
{
	if (len == 0 || (len == 1 && *p == '-'))
		return false;
	while (len > 0) {
		uint32_t cp;
		size_t n = escape_utf8(p, len, &cp);

		if (n == 0 || escape_hidden(cp) || cp == ' ' || cp == '"' || cp == '\\' ||
		    cp == '=')
			return false;
		p += n;
		len -= n;
	}
	return true;
}

/* How much of a value is written: no more than the limit, and no character cut in two. */
static size_t
bounded(const char *p, size_t len)
{
	size_t n = LOG_VALUE_BYTES_MAX;

	if (len <= n)
		return len;
	while (n > LOG_VALUE_BYTES_MAX - 3 && ((unsigned char)p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static void
put_value(struct text *t, const char *p, size_t len)
{
	size_t n = bounded(p, len);

	if (n == len && is_plain(p, len)) {
		put(t, p, len);
		return;
	}
	put(t, "\"", 1);
	put_visible(t, p, n, true);
	if (n < len)
		put_cstr(t, ESCAPE_CUT);
	put(t, "\"", 1);
}

static void
errno_text(char *out, size_t len, int64_t num)
{
	const char *name = strerrorname_np((int)num);
	const char *desc = strerrordesc_np((int)num);

	if (name && desc)
		snprintf(out, len, "%s (%s)", desc, name);
	else
		snprintf(out, len, "errno %" PRId64, num);
}

static void
put_field(struct text *t, const struct log_field *f)
{
	char form[128];

	put(t, " ", 1);
	put_cstr(t, f->key);
	put(t, "=", 1);
	switch (f->kind) {
	case LOG_F_STR:
	case LOG_F_BYTES:
		if (f->str)
			put_value(t, f->str, f->len);
		else
			put(t, "-", 1);
		return;
	case LOG_F_INT:
		snprintf(form, sizeof(form), "%" PRId64, f->num);
		break;
	case LOG_F_UINT:
		snprintf(form, sizeof(form), "%" PRIu64, (uint64_t)f->num);
		break;
	case LOG_F_ERR:
		errno_text(form, sizeof(form), f->num);
		put_value(t, form, strlen(form));
		return;
	case LOG_F_END:
		return;
	}
	put_cstr(t, form);
}

static void
text_body(struct text *t, const char *event, const char *msg, const struct log_field *fields)
{
	put_visible(t, event, strlen(event), false);
	if (msg && *msg) {
		put(t, " ", 1);
		put_visible(t, msg, strlen(msg), false);
	}
	for (size_t i = 0; fields && i < LOG_FIELDS_MAX && fields[i].kind != LOG_F_END; i++)
		put_field(t, &fields[i]);
}

static void
json_cut(struct json *j, const char *key, const char *p, size_t len)
{
	size_t n = bounded(p, len);
	char name[64];

	json_bytes(j, key, p, n);
	if (n == len)
		return;
	snprintf(name, sizeof(name), "%.58s_cut", key);
	json_bool(j, name, true);
}

static void
json_field(struct json *j, const struct log_field *f)
{
	char form[128];

	switch (f->kind) {
	case LOG_F_STR:
	case LOG_F_BYTES:
		if (f->str)
			json_cut(j, f->key, f->str, f->len);
		else
			json_null(j, f->key);
		return;
	case LOG_F_INT:
		json_int(j, f->key, f->num);
		return;
	case LOG_F_UINT:
		json_uint(j, f->key, (uint64_t)f->num);
		return;
	case LOG_F_ERR:
		errno_text(form, sizeof(form), f->num);
		json_str(j, f->key, form);
		return;
	case LOG_F_END:
		return;
	}
}

/* What stands between the braces, after time and level. */
static void
json_body(struct text *t, struct json *j, const char *event, const char *msg,
	  const struct log_field *fields)
{
	const char *text;
	size_t len;

	json_reset(j);
	json_obj_open(j, NULL);
	json_str(j, "event", event);
	json_str(j, "msg", msg ? msg : "");
	for (size_t i = 0; fields && i < LOG_FIELDS_MAX && fields[i].kind != LOG_F_END; i++)
		json_field(j, &fields[i]);
	json_obj_close(j);
	text = json_text(j, &len);
	if (text)
		put(t, text + 1, len - 2);
	else
		t->failed = true;
}

/* Lines. */

static const char *
level_name(enum log_level level)
{
	switch (level) {
	case LOG_ERROR:
		return "error";
	case LOG_WARN:
		return "warn";
	case LOG_INFO:
		return "info";
	case LOG_DEBUG:
		break;
	}
	return "debug";
}

/* As syslog numbers them, for the journal. */
static const char *
level_prefix(enum log_level level)
{
	switch (level) {
	case LOG_ERROR:
		return "<3>";
	case LOG_WARN:
		return "<4>";
	case LOG_INFO:
		return "<6>";
	case LOG_DEBUG:
		break;
	}
	return "<7>";
}

static void
put_time(struct text *t, uint64_t wall_ms)
{
	time_t s = (time_t)(wall_ms / 1000);
	char form[32], ms[8];
	struct tm tm;

	if (!gmtime_r(&s, &tm) || strftime(form, sizeof(form), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		snprintf(form, sizeof(form), "1970-01-01T00:00:00");
	snprintf(ms, sizeof(ms), ".%03uZ", (unsigned)(wall_ms % 1000));
	put_cstr(t, form);
	put_cstr(t, ms);
}

static void
put_head(const struct log *log, struct text *t, enum log_level level, uint64_t wall_ms)
{
	if (log->journal)
		put_cstr(t, level_prefix(level));
	if (log->format == LOG_JSON) {
		put_cstr(t, "{\"time\":\"");
		put_time(t, wall_ms);
		put_cstr(t, "\",\"level\":\"");
		put_cstr(t, level_name(level));
		put_cstr(t, "\",");
	} else if (!log->journal) {
		put_time(t, wall_ms);
		put(t, " ", 1);
		put_cstr(t, level_name(level));
		put(t, " ", 1);
	}
}

/* In one call where the kernel takes it, so that lines of two processes do not mix. */
static void
write_stderr(const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* there is nobody left to tell */
		p += n;
		len -= (size_t)n;
	}
}

static void
say(struct log *log, enum log_level level, const char *body, size_t len, uint64_t more,
    uint64_t wall_ms)
{
	struct text *t = &log->line;
	char form[48];

	text_reset(t);
	put_head(log, t, level, wall_ms);
	put(t, body, len);
	if (more > 0) {
		snprintf(form, sizeof(form),
			 log->format == LOG_JSON ? ",\"repeated\":%" PRIu64 : " repeated=%" PRIu64,
			 more);
		put_cstr(t, form);
	}
	if (log->format == LOG_JSON)
		put(t, "}", 1);
	put(t, "\n", 1);
	if (t->failed)
		return;
	if (log->sink) {
		t->data[--t->len] = '\0';
		log->sink(log->sink_arg, t->data, t->len);
	} else {
		write_stderr(t->data, t->len);
	}
}

/* Repetition. */

static void
forget(struct said *s)
{
	free(s->body);
	*s = (struct said){0};
}

static void
say_count(struct log *log, struct said *s, uint64_t mono_ms, uint64_t wall_ms)
{
	say(log, s->level, s->body, s->len, s->more, wall_ms);
	s->at_ms = mono_ms;
	s->more = 0;
}

static bool
is_over(const struct said *s, uint64_t mono_ms)
{
	return mono_ms - s->at_ms >= LOG_REPEAT_MS;
}

/* Says what was counted for lines whose time is over, and forgets those that did not come again. */
static void
say_due(struct log *log, const struct said *except, uint64_t mono_ms, uint64_t wall_ms)
{
	for (size_t i = 0; i < LOG_REPEAT_LINES_MAX; i++) {
		struct said *s = &log->said[i];

		if (!s->body || s == except || !is_over(s, mono_ms))
			continue;
		if (s->more > 0)
			say_count(log, s, mono_ms, wall_ms);
		else
			forget(s);
	}
}

static void
forget_all(struct log *log)
{
	uint64_t mono_ms, wall_ms;

	log->clock(log->clock_arg, &mono_ms, &wall_ms);
	for (size_t i = 0; i < LOG_REPEAT_LINES_MAX; i++) {
		struct said *s = &log->said[i];

		if (s->body && s->more > 0)
			say_count(log, s, mono_ms, wall_ms);
		forget(s);
	}
}

static struct said *
find(struct log *log, enum log_level level, const struct text *body)
{
	for (size_t i = 0; i < LOG_REPEAT_LINES_MAX; i++) {
		struct said *s = &log->said[i];

		if (s->body && s->level == level && s->len == body->len &&
		    memcmp(s->body, body->data, body->len) == 0)
			return s;
	}
	return NULL;
}

/* Remembers a line that is said for the first time, in a free place or that of the oldest. */
static void
remember(struct log *log, enum log_level level, const struct text *body, uint64_t mono_ms,
	 uint64_t wall_ms)
{
	struct said *place = &log->said[0];

	for (size_t i = 0; i < LOG_REPEAT_LINES_MAX && place->body; i++)
		if (!log->said[i].body || log->said[i].at_ms < place->at_ms)
			place = &log->said[i];
	if (place->body && place->more > 0)
		say_count(log, place, mono_ms, wall_ms);
	forget(place);
	place->body = malloc(body->len + 1);
	if (!place->body)
		return; /* then it is not limited */
	memcpy(place->body, body->data, body->len);
	place->len = body->len;
	place->level = level;
	place->at_ms = mono_ms;
}

void
log_tick(struct log *log)
{
	uint64_t mono_ms, wall_ms;

	if (!log)
		return;
	log->clock(log->clock_arg, &mono_ms, &wall_ms);
	say_due(log, NULL, mono_ms, wall_ms);
}

void
log_write(struct log *log, enum log_level level, const char *event, const char *msg,
	  const struct log_field *fields)
{
	struct text *body;
	struct said *s;
	uint64_t mono_ms, wall_ms;

	if (!log_wants(log, level))
		return;
	body = &log->body;
	text_reset(body);
	if (log->format == LOG_JSON)
		json_body(body, &log->json, event, msg, fields);
	else
		text_body(body, event, msg, fields);
	if (body->failed)
		return;
	log->clock(log->clock_arg, &mono_ms, &wall_ms);
	s = find(log, level, body);
	say_due(log, s, mono_ms, wall_ms);
	if (!s) {
		remember(log, level, body, mono_ms, wall_ms);
		say(log, level, body->data, body->len, 0, wall_ms);
	} else if (is_over(s, mono_ms)) {
		say_count(log, s, mono_ms, wall_ms);
	} else {
		s->more++;
	}
}

/* The log itself. */

struct log *
log_new(enum log_format format, enum log_level level,
	void (*sink)(void *arg, const char *line, size_t len), void *arg)
{
	struct log *log = calloc(1, sizeof(*log));

	if (!log)
		return NULL;
	log->format = format;
	log->level = level;
	log->journal = !sink && is_journal();
	log->sink = sink;
	log->sink_arg = arg;
	log->clock = system_clock;
	json_init(&log->json);
	if (!text_grow(&log->body, 1) || !text_grow(&log->line, 1)) {
		log_free(log);
		return NULL;
	}
	return log;
}

void
log_free(struct log *log)
{
	if (!log)
		return;
	forget_all(log);
	free(log->body.data);
	free(log->line.data);
	json_free(&log->json);
	free(log);
}

void
log_set_level(struct log *log, enum log_level level)
{
	if (log)
		log->level = level;
}

void
log_set_format(struct log *log, enum log_format format)
{
	/* Remembered lines keep their form: they are said before the form changes. */
	if (!log || log->format == format)
		return;
	forget_all(log);
	log->format = format;
}

bool
log_wants(const struct log *log, enum log_level level)
{
	return log && level <= log->level;
}

void
log_set_clock(struct log *log, void (*now)(void *arg, uint64_t *mono_ms, uint64_t *wall_ms),
	      void *arg)
{
	if (!log)
		return;
	log->clock = now;
	log->clock_arg = arg;
}
