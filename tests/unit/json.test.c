/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks conf/json: form, escapes, base64, and that hostile bytes stay inside their string. */
#include "config.h"

#include "conf/json.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "conf/escape.h"
#include "tests/tap.h"

static void
text_is(struct json *j, const char *want, const char *what)
{
	size_t len = 99;
	const char *text = json_text(j, &len);

	is_str(text, want, "%s", what);
	is_int(len, strlen(want), "%s: length", what);
	json_reset(j);
}

static void
test_shapes(struct json *j)
{
	text_is(j, "", "nothing yet");
	json_obj_open(j, NULL);
	json_obj_close(j);
	text_is(j, "{}", "empty object");
	json_arr_open(j, NULL);
	json_arr_close(j);
	text_is(j, "[]", "empty array");
	json_int(j, NULL, -5);
	text_is(j, "-5", "a value alone");
	json_arr_open(j, NULL);
	for (int i = 0; i < 2; i++) {
		json_arr_open(j, NULL);
		json_int(j, NULL, i);
		json_arr_close(j);
	}
	json_arr_close(j);
	text_is(j, "[[0],[1]]", "a new container begins without a comma");
	json_obj_open(j, NULL);
	json_str(j, "a", "x");
	json_arr_open(j, "b");
	json_int(j, NULL, 1);
	json_obj_open(j, NULL);
	json_bool(j, "t", true);
	json_bool(j, "f", false);
	json_null(j, "n");
	json_obj_close(j);
	json_arr_open(j, NULL);
	json_arr_close(j);
	json_str(j, NULL, "y");
	json_arr_close(j);
	json_obj_open(j, "c");
	json_obj_close(j);
	json_str(j, "d", NULL);
	json_obj_close(j);
	text_is(j,
		"{\"a\":\"x\",\"b\":[1,{\"t\":true,\"f\":false,\"n\":null},[],\"y\"],\"c\":{},"
		"\"d\":null}",
		"nested, with every comma");
}

static void
test_numbers(struct json *j)
{
	json_arr_open(j, NULL);
	json_int(j, NULL, INT64_MIN);
	json_int(j, NULL, INT64_MAX);
	json_uint(j, NULL, UINT64_MAX);
	json_double(j, NULL, 1.25, 1);
	json_double(j, NULL, -0.5, 3);
	json_double(j, NULL, 3, 0);
	json_double(j, NULL, NAN, 2);
	json_double(j, NULL, INFINITY, 2);
	json_arr_close(j);
	text_is(j,
		"[-9223372036854775808,9223372036854775807,18446744073709551615,1.2,-0.500,3,null,"
		"null]",
		"numbers");
	json_double(j, NULL, -1.7976931348623157e308, JSON_DECIMALS_MAX);
	ok(strlen(json_text(j, NULL)) == 1 + 309 + 1 + JSON_DECIMALS_MAX,
	   "the longest number is whole");
	json_reset(j);
}

static void
test_strings(struct json *j)
{
	json_str(j, NULL, "a\"b\\c\nd\te\x01\x1b/");
	text_is(j, "\"a\\\"b\\\\c\\nd\\te\\u0001\\u001b/\"", "what must be escaped is");
	json_str(j, NULL, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	text_is(j, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", "UTF-8 stays");
	json_str(j, NULL, "\x7f\xc2\x9b\xe2\x80\xae\xf3\xa0\x81\x81");
	text_is(j, "\"\\u007f\\u009b\\u202e\\udb40\\udc41\"", "hidden characters do not");
	json_str(j, NULL,
		 "a\xff"
		 "b\xe2\x82");
	text_is(j, "\"a\\ufffdb\\ufffd\\ufffd\"", "text that is not UTF-8 is replaced");
	json_obj_open(j, NULL);
	json_int(j, "k\"\n", 1);
	json_obj_close(j);
	text_is(j, "{\"k\\\"\\n\":1}", "keys are escaped too");
}

static void
test_bytes(struct json *j)
{
	static const char *const want[] = {"/w==", "/2E=", "/2Fi", "/2FiYw=="};

	json_bytes(j, NULL, "a\0b", 3);
	text_is(j, "\"a\\u0000b\"", "bytes with a NUL");
	json_bytes(j, NULL, "", 0);
	text_is(j, "\"\"", "no bytes");
	for (size_t i = 0; i < 4; i++) {
		char full[64];

		json_obj_open(j, NULL);
		json_int(j, "n", 1);
		json_bytes(j, "path",
			   "\xff"
			   "abc",
			   i + 1);
		json_obj_close(j);
		snprintf(full, sizeof(full), "{\"n\":1,\"path_b64\":\"%s\"}", want[i]);
		text_is(j, full, "bytes that are not UTF-8 are base64");
	}
	json_arr_open(j, NULL);
	json_int(j, NULL, 1);
	json_bytes(j, NULL, "\xfb\xff\xfe", 3);
	json_arr_close(j);
	text_is(j, "[1,{\"b64\":\"+//+\"}]", "without a key in an object of their own");
}

/* Length of the string literal at s, or 0 where it does not end properly at the end of the text. */
static bool
is_one_string(const char *s)
{
	if (*s++ != '"')
		return false;
	while (*s && *s != '"') {
		if ((unsigned char)*s < 0x20)
			return false;
		s += *s == '\\' && s[1] ? 2 : 1;
	}
	return s[0] == '"' && s[1] == '\0';
}

static void
test_hostile(struct json *j)
{
	unsigned wrong = 0;

	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 1; b < 256; b++) {
			char in[3] = {(char)a, (char)b, '\0'};
			size_t len;
			const char *text;

			json_reset(j);
			json_str(j, NULL, a ? in : in + 1);
			text = json_text(j, &len);
			wrong += !is_one_string(text) || !escape_is_utf8(text, len);
		}
	}
	is_int(wrong, 0, "no two bytes break out of their string or make the text invalid");
	json_reset(j);
}

static void
test_size(struct json *j)
{
	unsigned wrong = 0;
	char *big = malloc(100001);

	/* Every length around the growth of the buffer. */
	memset(big, 'z', 100000);
	big[100000] = '\0';
	for (size_t n = 0; n < 1100; n++) {
		struct json k;
		size_t len;
		const char *text;

		json_init(&k);
		json_bytes(&k, NULL, big, n);
		text = json_text(&k, &len);
		wrong += !text || len != n + 2 || strlen(text) != len;
		json_free(&k);
	}
	is_int(wrong, 0, "every length is kept and terminated");
	json_str(j, NULL, big);
	is_int(strlen(json_text(j, NULL)), 100002, "a large string");
	json_reset(j);
	free(big);
	for (int i = 0; i < JSON_DEPTH_MAX - 1; i++)
		json_arr_open(j, NULL);
	for (int i = 0; i < JSON_DEPTH_MAX - 1; i++) {
		json_arr_close(j);
		json_int(j, NULL, i);
		if (i == 0)
			wrong += strstr(json_text(j, NULL), "[],0") == NULL;
	}
	is_int(wrong, 0, "as deep as allowed, commas in place");
	json_reset(j);
}

static void
test_failure(struct json *j)
{
	j->failed = true;
	json_obj_open(j, NULL);
	json_bytes(j, "a", "\xff", 1);
	json_obj_close(j);
	ok(json_failed(j), "a failure sticks");
	ok(json_text(j, NULL) == NULL, "and there is no text then");
	json_reset(j);
	json_int(j, NULL, 7);
	text_is(j, "7", "until the reset");
	json_free(j);
	json_int(j, NULL, 8);
	text_is(j, "8", "usable again after json_free");
}

int
main(void)
{
	struct json j;

	json_init(&j);
	test_shapes(&j);
	test_numbers(&j);
	test_strings(&j);
	test_bytes(&j);
	test_hostile(&j);
	test_size(&j);
	test_failure(&j);
	json_free(&j);
	return tap_done();
}
