/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes JSON, never reads it. */
#ifndef MIMEO_CONF_JSON_H
#define MIMEO_CONF_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 64 /* open objects and arrays; one more is our own mistake */
#define JSON_DECIMALS_MAX 17

/*
 * One value in a growing buffer. Commas are taken care of. `key` is the name inside an object and
 * NULL inside an array and at the top. Out of memory sticks: later calls do nothing, and one check
 * of json_text or json_failed at the end is enough.
 * Besides what JSON demands, every character that could disturb a terminal (escape_hidden) is
 * written as \uNNNN, so that the text can be shown as it is.
 */
struct json {
	char *data;
	size_t len;
	size_t cap;
	unsigned depth;
	uint64_t filled; /* bit n: the container at depth n has something in it */
	bool failed;
};

void json_init(struct json *j);
void json_free(struct json *j);  /* leaves it as after json_init */
void json_reset(struct json *j); /* forgets the text and a failure, keeps the memory */

void json_obj_open(struct json *j, const char *key);
void json_obj_close(struct json *j);
void json_arr_open(struct json *j, const char *key);
void json_arr_close(struct json *j);

/* A C string; NULL is null. Bytes that are not UTF-8 become U+FFFD: for text of our own. */
void json_str(struct json *j, const char *key, const char *val);
/*
 * Bytes from elsewhere, such as a path, without loss: as a string where they are UTF-8, else as
 * base64 under the name KEY_b64 (without a key: as {"b64":"…"}).
 */
void json_bytes(struct json *j, const char *key, const void *bytes, size_t len);
void json_int(struct json *j, const char *key, int64_t val);
void json_uint(struct json *j, const char *key, uint64_t val);
void json_bool(struct json *j, const char *key, bool val);
void json_null(struct json *j, const char *key);
/* With that many digits behind the point (0..JSON_DECIMALS_MAX). Not finite: null. */
void json_double(struct json *j, const char *key, double val, unsigned decimals);

/* Did memory run out? */
bool json_failed(const struct json *j);
/*
 * The text so far, terminated, *len (if not NULL) without the terminator; NULL if json_failed.
 * Borrowed until the next call.
 */
const char *json_text(struct json *j, size_t *len);

#endif
