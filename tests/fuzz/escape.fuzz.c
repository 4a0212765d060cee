/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: whatever bytes a name or a text has, what is printed of it, as text and as JSON,
 * moves no cursor and begins no line. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "conf/escape.h"
#include "conf/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the run, which is how a fuzzer learns of it. */
static void
check(bool held)
{
	if (!held)
		abort();
}

/* Well-formed UTF-8 of characters that are seen. */
static void
check_visible(const char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		uint32_t cp;
		size_t n = escape_utf8(text + at, len - at, &cp);

		check(n > 0 && !escape_hidden(cp));
		at += n;
	}
}

static void
try_print(const uint8_t *data, size_t size, size_t room)
{
	char *out = malloc(room > 0 ? room : 1);
	size_t len;

	check(out != NULL);
	len = escape_print(out, room, data, size);
	check(room == 0 ? len == 0 : len < room && out[len] == '\0');
	check_visible(out, len);
	free(out);
}

static void
try_json(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct json j;
	const char *out;
	size_t len;

	check(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	json_init(&j);
	json_obj_open(&j, NULL);
	json_bytes(&j, "path", data, size);
	json_str(&j, "text", text);
	json_obj_close(&j);
	out = json_text(&j, &len);
	check(out != NULL && out[0] == '{' && out[len - 1] == '}');
	check_visible(out, len);
	json_free(&j);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	try_print(data + 1, size - 1, ESCAPE_BYTES_MAX(size - 1));
	try_print(data + 1, size - 1, data[0]);
	try_json(data + 1, size - 1);
	return 0;
}
