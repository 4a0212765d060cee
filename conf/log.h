/* SPDX-License-Identifier: BSD-2-Clause */
/* What a program says about itself: one line an event, for people or for machines. */
#ifndef MIMEO_CONF_LOG_H
#define MIMEO_CONF_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

#define LOG_REPEAT_MS 10000      /* the same line is said once in this time */
#define LOG_REPEAT_LINES_MAX 64  /* lines remembered for that; the oldest is forgotten */
#define LOG_VALUE_BYTES_MAX 4096 /* of one value, before escaping; a path fits */
#define LOG_FIELDS_MAX 32        /* fields of one line; more are left out */

/* One key and value. Made by the functions below; borrows key, str. */
struct log_field {
	const char *key;
	enum { LOG_F_END, LOG_F_STR, LOG_F_BYTES, LOG_F_INT, LOG_F_UINT, LOG_F_ERR } kind;
	const char *str;
	size_t len;
	int64_t num;
};

struct log_field log_s(const char *key, const char *val); /* NULL: "-" (JSON: null) */
struct log_field log_b(const char *key, const void *bytes, size_t len);
struct log_field log_i(const char *key, int64_t val);
struct log_field log_u(const char *key, uint64_t val);
/* Key "error", text and name of the errno (of either sign): "Input/output error (EIO)". */
struct log_field log_err(int negative_errno);

/*
 * Text:  2026-01-02T03:04:05.678Z warn peer.refused the host key changed peer=web2 error="…"
 * JSON:  {"time":"2026-01-02T03:04:05.678Z","level":"warn","event":"peer.refused","msg":"…",
 *        "peer":"web2"}
 * Where standard error is the journal's (JOURNAL_STREAM names it), the prefix <3>, <4>, <6> or <7>
 * stands instead of time and level; before JSON it stands in addition.
 * A text value is quoted unless it is plain; quotes and backslashes get a backslash, control
 * characters, whatever else is hidden and bytes that are not UTF-8 are \xNN: nothing that a
 * peer or a file name holds can start a line, end a value or reach the terminal. In JSON, bytes
 * that are not UTF-8 come as KEY_b64. A value that was cut ends in \... or has KEY_cut beside it.
 *
 * The same event, message and fields at the same level within LOG_REPEAT_MS of being said are only
 * counted. The count is said as repeated=N with that line, when it comes again later, or
 * when anything is logged after that time (or log_tick finds it), or in log_free.
 *
 * A line for which there is no memory is lost. One thread. A NULL log is silent everywhere.
 */
struct log;

/*
 * Lines go to sink without a newline, terminated; sink NULL: to standard error. NULL: out of
 * memory.
 */
struct log *log_new(enum log_format format, enum log_level level,
		    void (*sink)(void *arg, const char *line, size_t len), void *arg);
void log_free(struct log *log);
void log_set_level(struct log *log, enum log_level level);
void log_set_format(struct log *log, enum log_format format);
/* Would a line of this level be written? For fields that cost something. */
bool log_wants(const struct log *log, enum log_level level);
/* Says the counts that are due. Call it now and then from a timer; not needed for correctness. */
void log_tick(struct log *log);
/* Another clock, for tests. */
void log_set_clock(struct log *log, void (*now)(void *arg, uint64_t *mono_ms, uint64_t *wall_ms),
		   void *arg);

/*
 * `event` is a dotted word that never changes, `msg` plain words (may be NULL), `fields` end
 * with kind LOG_F_END (NULL: none).
 */
void log_write(struct log *log, enum log_level level, const char *event, const char *msg,
	       const struct log_field *fields);

/*
 * LOG(log, LOG_WARN, "peer.refused", "the host key changed", log_s("peer", name), log_err(rc));
 * the fields may be left out.
 */
#define LOG(log, level, event, msg, ...)                                                           \
	log_write(log, level, event, msg,                                                          \
		  (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.kind = LOG_F_END}})

#endif
