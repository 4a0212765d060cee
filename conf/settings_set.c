/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration: one value, checked and put into its field. */
#include "config.h"

#include "conf/settings_set.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int refuse(struct ini_problem *p, const char *fmt, ...) PRINTF(2, 3);

static int
refuse(struct ini_problem *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->text, sizeof(p->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* The usual complaint about a value. */
static int
refuse_value(struct ini_problem *p, const struct settings_key *k, const char *value,
	     const char *what, const char *allowed)
{
	return refuse(p, "%s.%s: '%s' is no %s, allowed is %s", k->section, k->name, value, what,
		      allowed);
}

/* ---- one function a type: checks the text, then replaces what is in the field ---- */

static int
set_string(char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

static int
set_name(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	if (!value_name_ok(value))
		return refuse_value(p, k, value, "name",
				    "1 to 63 of a-z 0-9 -, with no - at either end");
	return set_string(field, value);
}

static int
set_user(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	if (!value_user_ok(value))
		return refuse_value(
			p, k, value, "user",
			"1 to 32 letters, digits, _ . -, with no . or - at the beginning");
	return set_string(field, value);
}

static int
set_path(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	if (!value_path_ok(value))
		return refuse_value(p, k, value, "path here",
				    "an absolute path below / without . or .., and without // or "
				    "a / at the end");
	return set_string(field, value);
}

static int
set_program(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	char **path = field;

	if (value[0] != '\0')
		return set_path(p, k, field, value);
	free(*path);
	*path = NULL;
	return 0;
}

static int
set_domain(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	char **domain = field, *copy = NULL;

	if (value[0] != '\0' && !value_domain_ok(value))
		return refuse_value(p, k, value, "domain", "one such as example.com");
	if (value[0] != '\0' && (copy = strdup(value)) == NULL)
		return -ENOMEM;
	free(*domain);
	*domain = copy;
	return 0;
}

static int
set_ignore(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	struct ignore **set = field;
	bool empty = value[0] == '\0';
	char *item;

	while (!empty && (item = value_item(&value))) {
		int rc = ignore_add(*set, item, strlen(item));

		if (rc == -EINVAL)
			return refuse(p,
				      "%s.%s: '%s': %s, allowed are gitignore's patterns with "
				      "commas between them",
				      k->section, k->name, item,
				      ignore_problem(item, strlen(item)));
		if (rc == -ENOSPC)
			return refuse(p, "%s.%s: too many patterns, allowed are %d", k->section,
				      k->name, IGNORE_PATTERNS_MAX);
		if (rc)
			return rc;
	}
	return 0;
}

static int
parse_address(struct ini_problem *p, const struct settings_key *k, const char *value,
	      struct value_address *out)
{
	int rc = value_address(value, out);

	if (rc != -EINVAL)
		return rc;
	return refuse_value(p, k, value, "address",
			    "HOST:PORT or [IPV6]:PORT with a port of 1 to 65535");
}

static int
set_address(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	struct value_address *dest = field, addr = {0};
	int rc = value[0] != '\0' ? parse_address(p, k, value, &addr) : 0;

	if (rc)
		return rc;
	value_address_free(dest);
	*dest = addr;
	return 0;
}

void
settings_set_addresses_free(struct settings_addresses *list)
{
	for (size_t i = 0; i < list->count; i++)
		value_address_free(&list->items[i]);
	free(list->items);
	*list = (struct settings_addresses){0};
}

static int
addresses_add(struct settings_addresses *list, const struct value_address *addr)
{
	struct value_address *items = realloc(list->items, (list->count + 1) * sizeof(*items));

	if (!items)
		return -ENOMEM;
	items[list->count++] = *addr;
	list->items = items;
	return 0;
}

static int
set_addresses(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	struct settings_addresses *list = field;
	struct value_address addr = {0};
	bool empty = value[0] == '\0';
	char *item;

	settings_set_addresses_free(list);
	while (!empty && (item = value_item(&value))) {
		int rc;

		if (list->count == SETTINGS_ADDRESSES_MAX)
			return refuse(p, "%s.%s: too many addresses, allowed are %d", k->section,
				      k->name, SETTINGS_ADDRESSES_MAX);
		rc = parse_address(p, k, item, &addr);
		if (!rc)
			rc = addresses_add(list, &addr);
		if (rc) {
			value_address_free(&addr);
			return rc;
		}
		addr = (struct value_address){0};
	}
	return 0;
}

/* What durations and sizes have in common: rc is that of the conversion to n. */
static int
set_number(struct ini_problem *p, const struct settings_key *k, void *field, const char *value,
	   int rc, uint64_t n)
{
	bool duration = k->type == SETTINGS_T_DURATION;
	char min[VALUE_TEXT_BYTES_MAX], max[VALUE_TEXT_BYTES_MAX];

	if (rc == -EINVAL)
		return refuse_value(p, k, value, duration ? "duration" : "size",
				    duration ? "a number with ms, s, m, h or d"
					     : "a number, or one with K, M, G or T");
	if (rc || n < k->min || n > k->max) {
		(duration ? value_duration_text : value_size_text)(k->min, min);
		(duration ? value_duration_text : value_size_text)(k->max, max);
		return refuse(p, "%s.%s: '%s' is out of range, allowed is %s to %s", k->section,
			      k->name, value, min, max);
	}
	*(uint64_t *)field = n;
	return 0;
}

static int
set_duration(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	uint64_t ms = 0;
	int rc = value_duration(value, &ms);

	return set_number(p, k, field, value, rc, ms);
}

static int
set_size(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	uint64_t bytes = 0;
	int rc = value_size(value, &bytes);

	return set_number(p, k, field, value, rc, bytes);
}

/* The struct that a field is in, for values that fill several fields: `offset` is the field's. */
static struct settings *
settings_of(void *field, size_t offset)
{
	return (struct settings *)(void *)((char *)field - offset);
}

/* "COUNT, PERCENT%". */
static int
limit_parse(char *list, uint64_t max, uint64_t *count, uint64_t *percent)
{
	char *first = value_item(&list), *second = value_item(&list);
	size_t len = second ? strlen(second) : 0;

	if (list || len < 2 || second[len - 1] != '%')
		return -EINVAL;
	second[len - 1] = '\0';
	if (value_number(first, count) || value_number(second, percent))
		return -EINVAL;
	return *count > max || *percent > 100 ? -EINVAL : 0;
}

static int
set_limit(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	struct settings *s = settings_of(field, k->offset);
	uint64_t count = 0, percent = 0;
	char list[INI_LINE_BYTES_MAX + 1];

	snprintf(list, sizeof(list), "%s", value);
	if (limit_parse(list, k->max, &count, &percent))
		return refuse(p,
			      "%s.%s: '%s' is no limit, allowed is COUNT, PERCENT%% of up to "
			      "%" PRIu64 " and 100%%, such as 100, 10%%",
			      k->section, k->name, value, k->max);
	s->max_delete_count = count;
	s->max_delete_percent = percent;
	return 0;
}

/* "USER:GROUP". On failure, what *user and *group are is the caller's to free. */
static int
owner_parse(const char *value, char **user, char **group)
{
	const char *colon = strchr(value, ':');

	if (!colon || !value_user_ok(colon + 1))
		return -EINVAL;
	*user = strndup(value, (size_t)(colon - value));
	*group = strdup(colon + 1);
	if (!*user || !*group)
		return -ENOMEM;
	return value_user_ok(*user) ? 0 : -EINVAL;
}

static int
set_owner(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	struct settings *s = settings_of(field, k->offset);
	enum owner_mode mode = OWNER_FIXED;
	char *user = NULL, *group = NULL;
	int rc = 0;

	if (strcmp(value, "inherit") == 0)
		mode = OWNER_INHERIT;
	else if (strcmp(value, "preserve") == 0)
		mode = OWNER_PRESERVE;
	else
		rc = owner_parse(value, &user, &group);
	if (rc) {
		free(user);
		free(group);
		return rc != -EINVAL ? rc
				     : refuse_value(p, k, value, "owner",
						    "inherit, preserve or USER:GROUP");
	}
	free(s->owner_user);
	free(s->owner_group);
	s->owner_mode = mode;
	s->owner_user = user;
	s->owner_group = group;
	return 0;
}

/* The index of a word in a list that ends with NULL; -1: it is not there. */
static int
word_index(const char *const *words, const char *value)
{
	for (int i = 0; words[i]; i++) {
		if (strcmp(words[i], value) == 0)
			return i;
	}
	return -1;
}

static int
set_switch(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	static const char *const words[] = {"no", "yes", NULL};
	int i = word_index(words, value);

	if (i < 0)
		return refuse_value(p, k, value, "switch", "yes or no");
	*(bool *)field = i == 1;
	return 0;
}

static int
set_format(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	static const char *const words[] = {"text", "json", NULL};
	static const enum log_format formats[] = {LOG_TEXT, LOG_JSON};
	int i = word_index(words, value);

	if (i < 0)
		return refuse_value(p, k, value, "format", "text or json");
	*(enum log_format *)field = formats[i];
	return 0;
}

static int
set_level(struct ini_problem *p, const struct settings_key *k, void *field, char *value)
{
	static const char *const words[] = {"error", "warn", "info", "debug", NULL};
	static const enum log_level levels[] = {LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG};
	int i = word_index(words, value);

	if (i < 0)
		return refuse_value(p, k, value, "level", "error, warn, info or debug");
	*(enum log_level *)field = levels[i];
	return 0;
}

typedef int setter(struct ini_problem *p, const struct settings_key *k, void *field, char *value);

static setter *const setters[] = {
	[SETTINGS_T_NAME] = set_name,           [SETTINGS_T_USER] = set_user,
	[SETTINGS_T_PATH] = set_path,           [SETTINGS_T_PROGRAM] = set_program,
	[SETTINGS_T_IGNORE] = set_ignore,       [SETTINGS_T_ADDRESS] = set_address,
	[SETTINGS_T_ADDRESSES] = set_addresses, [SETTINGS_T_DURATION] = set_duration,
	[SETTINGS_T_SIZE] = set_size,           [SETTINGS_T_LIMIT] = set_limit,
	[SETTINGS_T_OWNER] = set_owner,         [SETTINGS_T_SWITCH] = set_switch,
	[SETTINGS_T_DOMAIN] = set_domain,       [SETTINGS_T_FORMAT] = set_format,
	[SETTINGS_T_LEVEL] = set_level,
};

int
settings_set(const struct settings_key *k, void *base, const char *value,
	     struct ini_problem *problem)
{
	char copy[INI_LINE_BYTES_MAX + 1];

	snprintf(copy, sizeof(copy), "%s", value);
	return setters[k->type](problem, k, (char *)base + k->offset, copy);
}
