/* SPDX-License-Identifier: BSD-2-Clause */
/* Feeds the files of a corpus to a fuzz target, where there is no fuzzing engine; speaks TAP. */
#include "config.h"

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "tests/tap.h"

#define INPUT_BYTES_MAX (1U << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Every prefix of the input is an input too, which makes a small corpus go far; of a long one, so
 * many are tried. */
#define PREFIXES_MAX 4096

/* Each input gets memory of its own size, so that a sanitizer sees a read past its end. */
static void
run(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, data, len);
	(void)LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void
replay(const char *dir, const char *name, uint8_t *buf)
{
	char path[4096];
	FILE *file;
	size_t len, i;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path)) {
		ok(false, "%s: name too long", name);
		return;
	}
	file = fopen(path, "rb");
	if (!ok(file != NULL, "%s opens", name))
		return;
	len = fread(buf, 1, INPUT_BYTES_MAX, file);
	ok(!ferror(file) && fgetc(file) == EOF, "%s is read whole, at most 1 MiB", name);
	fclose(file);
	for (i = 0; i < len && i < PREFIXES_MAX; i++)
		run(buf, i);
	run(buf, len);
	ok(true, "%s survived", name);
}

static int
visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int
main(int argc, char **argv)
{
	struct dirent **names;
	uint8_t *buf = malloc(INPUT_BYTES_MAX);
	int n, i;

	if (argc != 2 || !buf) {
		fprintf(stderr, "usage: TARGET CORPUS-DIRECTORY\n");
		return 2;
	}
	n = scandir(argv[1], &names, visible, alphasort);
	ok(n > 0, "the corpus %s has inputs", argv[1]);
	for (i = 0; i < n; i++) {
		replay(argv[1], names[i]->d_name, buf);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	free(buf);
	return tap_done();
}
