/* SPDX-License-Identifier: BSD-2-Clause */
/* A configuration to begin with, made from the table of keys. */
#include "config.h"

#include "conf/settings.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each line of a help text behind a "# ". */
static void
put_help(FILE *f, const char *help)
{
	while (*help) {
		size_t n = strcspn(help, "\n");

		fprintf(f, "# %.*s\n", (int)n, help);
		help += n + (help[n] == '\n');
	}
}

/* The value that was asked for; NULL: the default. */
static const char *
given(const struct settings_key *k, const struct settings_sample *sample)
{
	if (strcmp(k->section, "node") != 0)
		return NULL;
	if (strcmp(k->name, "name") == 0)
		return sample->name;
	if (strcmp(k->name, "root") == 0)
		return sample->root;
	if (strcmp(k->name, "state") == 0)
		return sample->state;
	if (strcmp(k->name, "work") == 0)
		return sample->work;
	return strcmp(k->name, "address") == 0 ? sample->address : NULL;
}

/* The default as it comes out for this node. */
static void
put_default(FILE *f, const struct settings_key *k, const struct settings_sample *sample)
{
	const char *slash;

	assert(sample->root && sample->state);
	slash = strrchr(sample->root, '/');
	if (strncmp(k->def, "STATE/", 6) == 0)
		fprintf(f, "%s%s", sample->state, k->def + 5);
	else if (strncmp(k->def, "DIRNAME(", 8) == 0 && slash)
		fprintf(f, "%.*s/.mimeo-%s", (int)(slash - sample->root), sample->root, slash + 1);
	else
		fputs(k->def, f);
}

static void
put_key(FILE *f, const struct settings_key *k, const struct settings_sample *sample)
{
	const char *value = given(k, sample);

	fputc('\n', f);
	put_help(f, k->help);
	if (value) {
		fprintf(f, "%s = %s\n", k->name, value);
		return;
	}
	fprintf(f, ";%s =%s", k->name, k->def[0] ? " " : "");
	put_default(f, k, sample);
	fputc('\n', f);
}

static void
put_section(FILE *f, const char *section)
{
	bool peer = strcmp(section, "peer") == 0;

	fputs("\n\n", f);
	put_help(f, settings_section_help(section));
	fprintf(f, peer ? ";[%s web2]\n" : "[%s]\n", section);
}

static void
put_all(FILE *f, const struct settings_sample *sample)
{
	const char *section = "";
	const struct settings_key *keys;
	size_t count;

	keys = settings_keys(&count);
	fputs("# The configuration of mimeo on this node. A line that begins with ';' shows a\n"
	      "# default. Comments are lines that begin with # or ;, and what follows a blank and\n"
	      "# a ; behind a value. Times: 500ms 10s 5m 2h 30d. Sizes: 64K 10M 2G 1T. A line has\n"
	      "# at most 198 bytes. mimeo check-config tells whether all is right, mimeo reload\n"
	      "# makes the daemons read it again.\n",
	      f);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(section, keys[i].section) != 0)
			put_section(f, keys[i].section);
		section = keys[i].section;
		put_key(f, &keys[i], sample);
	}
}

/* Did each value arrive as it was meant? A " ;" in it, or a line break, would cut it. */
static bool
arrived(const struct settings *s, const struct settings_sample *sample)
{
	const char *address = sample->address ? sample->address : "";

	return strpbrk(address, ";\r\n") == NULL && strcmp(s->name, sample->name) == 0 &&
	       strcmp(s->root, sample->root) == 0 && strcmp(s->state, sample->state) == 0 &&
	       (!sample->work || strcmp(s->work, sample->work) == 0);
}

static int
check_text(const char *file, const struct settings_sample *sample, const char *text, size_t len,
	   char *err, size_t errlen)
{
	struct settings *s;
	int rc = settings_parse(file, text, len, &s, err, errlen);

	if (rc)
		return rc;
	if (!arrived(s, sample)) {
		snprintf(err, errlen,
			 "%s: a value cannot be written there, allowed is one without "
			 "' ;', blanks at its ends and line breaks",
			 file);
		rc = -EINVAL;
	}
	settings_free(s);
	return rc;
}

int
settings_write_sample(const char *file, const struct settings_sample *sample, char **text,
		      char *err, size_t errlen)
{
	char *made = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&made, &len);
	int rc = -ENOMEM;
	bool bad;

	*text = NULL;
	snprintf(err, errlen, "%s: %s", file, strerror(ENOMEM));
	if (!f)
		return rc;
	put_all(f, sample);
	bad = ferror(f) != 0;
	if (fclose(f) == 0 && !bad)
		rc = check_text(file, sample, made, len, err, errlen);
	if (!rc) {
		*text = made;
		made = NULL;
	}
	free(made);
	return rc;
}
