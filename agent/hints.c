/* SPDX-License-Identifier: BSD-2-Clause */
/* Where members might be found: a short list of names for each source. */
#include "config.h"

#include "agent/hints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/members.h"

struct hint {
	char name[MEMBER_NAME_BYTES_MAX + 1];
	char address[MEMBER_ADDRESS_BYTES_MAX + 1];
	struct hint *next;
};

struct hints {
	struct hint *first[HINT_SOURCES];
	size_t n[HINT_SOURCES];
};

struct hints *
hints_new(void)
{
	return calloc(1, sizeof(struct hints));
}

void
hints_drop(struct hints *h, enum hint_source source)
{
	while (h->first[source] != NULL) {
		struct hint *i = h->first[source];

		h->first[source] = i->next;
		free(i);
	}
	h->n[source] = 0;
}

void
hints_free(struct hints *h)
{
	if (h == NULL)
		return;
	for (int s = 0; s < HINT_SOURCES; s++)
		hints_drop(h, (enum hint_source)s);
	free(h);
}

static struct hint **
place(struct hints *h, enum hint_source source, const char *name)
{
	struct hint **at = &h->first[source];

	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

static int
take_back(struct hints *h, enum hint_source source, struct hint **at)
{
	struct hint *i = *at;

	if (i == NULL)
		return 0;
	*at = i->next;
	free(i);
	h->n[source]--;
	return 1;
}

int
hints_put(struct hints *h, enum hint_source source, const char *name, const char *address)
{
	struct hint **at;

	if (!member_name_ok(name, strlen(name)) || strlen(address) > MEMBER_ADDRESS_BYTES_MAX ||
	    !members_addresses_ok(address))
		return -EINVAL;
	at = place(h, source, name);
	if (address[0] == '\0')
		return take_back(h, source, at);
	if (*at != NULL && strcmp((*at)->address, address) == 0)
		return 0;
	if (*at == NULL) {
		if (h->n[source] >= MEMBERS_MAX)
			return -ENOSPC;
		*at = calloc(1, sizeof(**at));
		if (*at == NULL)
			return -ENOMEM;
		memcpy((*at)->name, name, strlen(name));
		h->n[source]++;
	}
	memset((*at)->address, 0, sizeof((*at)->address));
	memcpy((*at)->address, address, strlen(address));
	return 1;
}

const char *
hints_of(const struct hints *h, enum hint_source source, const char *name)
{
	for (const struct hint *i = h->first[source]; i != NULL; i = i->next)
		if (strcmp(i->name, name) == 0)
			return i->address;
	return "";
}

size_t
hints_count(const struct hints *h, enum hint_source source)
{
	return h->n[source];
}

/* Is that address in the comma list? */
static bool
listed(const char *list, const char *address, size_t len)
{
	for (const char *p = list; *p != '\0'; p += *p == ',') {
		size_t n = strcspn(p, ",");

		if (n == len && memcmp(p, address, n) == 0)
			return true;
		p += n;
	}
	return false;
}

static unsigned
append(char out[HINTS_TEXT_BYTES], const char *list)
{
	unsigned added = 0;

	for (const char *p = list; *p != '\0'; p += *p == ',') {
		size_t n, len = strlen(out);

		p += strspn(p, " ");
		n = strcspn(p, ", ");
		if (n > 0 && !listed(out, p, n) && len + 1 + n < HINTS_TEXT_BYTES) {
			if (len > 0)
				out[len++] = ',';
			memcpy(out + len, p, n);
			out[len + n] = '\0';
			added++;
		}
		p += n + strspn(p + n, " ");
	}
	return added;
}

unsigned
hints_all(const struct hints *h, const char *name, const char *told, char out[HINTS_TEXT_BYTES])
{
	unsigned n;

	out[0] = '\0';
	n = append(out, told);
	for (int s = 0; s < HINT_SOURCES; s++)
		n += append(out, hints_of(h, (enum hint_source)s, name));
	return n;
}
