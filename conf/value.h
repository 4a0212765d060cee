/* SPDX-License-Identifier: BSD-2-Clause */
/* The values that a configuration or an option can have: text to number, and back for messages.
 * Pure. */
#ifndef MIMEO_CONF_VALUE_H
#define MIMEO_CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/attr.h"

#define VALUE_NAME_BYTES_MAX 63
#define VALUE_USER_BYTES_MAX 32
#define VALUE_HOST_BYTES_MAX 253 /* as in DNS */
#define VALUE_TEXT_BYTES_MAX 24  /* any number as text, terminator included */

/* Where to connect to or to listen. */
struct value_address {
	char *text; /* as it was written: HOST:PORT or [IPV6]:PORT */
	char *host; /* without brackets */
	uint16_t port;
};

/* A node's name: a-z 0-9 -, 1..63 bytes, no '-' at either end. */
bool value_name_ok(const char *text);
/* The name of a user or group: letters, digits, _ . -, 1..32 bytes, not beginning with '-' or '.'.
 */
bool value_user_ok(const char *text);
/* A domain of the DNS: as HOST of an address below, with room for a service's labels before it. */
bool value_domain_ok(const char *text);
/* Absolute, below "/", no component empty, "." or ".."; so no '/' at the end. */
bool value_path_ok(const char *text);

/* Digits only. 0; -EINVAL: no number; -ERANGE: over 64 bits. *out is set on success only, here and
 * below. */
NODISCARD int value_number(const char *text, uint64_t *out);
/* Milliseconds: a number with ms, s, m, h or d; a plain 0 too. Errors as above. */
NODISCARD int value_duration(const char *text, uint64_t *ms);
/* Bytes: a number, or one with K, M, G or T (powers of 1024). Errors as above. */
NODISCARD int value_size(const char *text, uint64_t *bytes);
/* Back to text, in the largest unit that divides it: 90000 is "90s", 1536 is "1536", 2048 is "2K".
 */
void value_duration_text(uint64_t ms, char out[VALUE_TEXT_BYTES_MAX]);
void value_size_text(uint64_t bytes, char out[VALUE_TEXT_BYTES_MAX]);

/*
 * HOST:PORT or [IPV6]:PORT. HOST is a DNS name (letters, digits, - _ and ., no empty label and none
 * beginning with '-') or an IPv4 address; no name is looked up. PORT is 1 to 65535. 0; -EINVAL;
 * -ENOMEM. On success the caller frees the strings with value_address_free.
 */
NODISCARD int value_address(const char *text, struct value_address *out);
/* Frees both strings and leaves an address of all zero. NULL strings are fine. */
void value_address_free(struct value_address *addr);

/*
 * Cuts the next item off a comma list: blanks around it are taken off in place, *list moves behind
 * the comma or becomes NULL at the end. A comma behind a backslash is part of the item (the
 * backslash stays). Returns the item, which may be empty; NULL when *list is NULL.
 */
char *value_item(char **list);

#endif
