/* SPDX-License-Identifier: BSD-2-Clause */
/* What a verb takes is what its usage line says: a word that it does not know is never ignored. */
#include "config.h"

#include "agent/cmd/cmd.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The next word of a usage line, without the brackets around it; NULL at the end. */
struct word {
	const char *text;
	size_t len;
	bool closed; /* a bracket ends behind it */
};

static bool
next_word(const char **at, struct word *w)
{
	const char *p = *at + strspn(*at, " [");
	size_t len = strcspn(p, " ");

	*at = p + len;
	*w = (struct word){p, len, false};
	while (w->len > 0 && p[w->len - 1] == ']') {
		w->len--;
		w->closed = true;
	}
	return len > 0;
}

static bool
is(const struct word *w, const char *text)
{
	return strlen(text) == w->len && memcmp(w->text, text, w->len) == 0;
}

static bool
is_option(const struct word *w)
{
	return w->len > 2 && memcmp(w->text, "--", 2) == 0;
}

/* Behind the option w at `at`: is there a value that belongs to it? */
static bool
has_value(const struct word *w, const char *at)
{
	struct word next;

	return !w->closed && at[strspn(at, " ")] != '[' && next_word(&at, &next) &&
	       !is(&next, "|") && !is_option(&next);
}

/* 0: no such option; 1: it stands alone; 2: a value follows. */
static int
option(const char *usage, const char *name)
{
	struct word w;

	while (next_word(&usage, &w))
		if (is_option(&w) && is(&w, name))
			return has_value(&w, usage) ? 2 : 1;
	return 0;
}

/* How many words that are no options the longest of the alternatives takes. */
static int
most_words(const char *usage)
{
	struct word w, value;
	int most = 0, n = 0;

	while (next_word(&usage, &w)) {
		if (is(&w, "|"))
			n = 0;
		else if (w.len > 3 && memcmp(w.text + w.len - 3, "...", 3) == 0)
			return INT_MAX;
		else if (is_option(&w) && has_value(&w, usage))
			(void)next_word(&usage, &value);
		else if (!is_option(&w))
			n++;
		most = n > most ? n : most;
	}
	return most;
}

int
cmd_usage(const char *verb, const char *usage, char *const *args, int nargs)
{
	int words = 0;

	for (int i = 0; i < nargs; i++) {
		bool json = strcmp(args[i], "--json") == 0;
		int known = json ? 1 : option(usage, args[i]);

		if (strncmp(args[i], "--", 2) != 0) {
			if (++words > most_words(usage))
				return cmd_fail(CONTROL_USAGE,
						"%s: %s: one word too many; usage: mimeo %s%s%s",
						verb, args[i], verb, usage[0] != '\0' ? " " : "",
						usage);
		} else if (known == 0) {
			return cmd_fail(CONTROL_USAGE,
					"%s: %s: no such option; usage: mimeo %s%s%s", verb,
					args[i], verb, usage[0] != '\0' ? " " : "", usage);
		} else if (known == 2 && ++i == nargs) {
			return cmd_fail(CONTROL_USAGE, "%s: %s needs a value; usage: mimeo %s %s",
					verb, args[i - 1], verb, usage);
		}
	}
	return CONTROL_OK;
}
