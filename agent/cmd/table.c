/* SPDX-License-Identifier: BSD-2-Clause */
/* The agent's JSON rows as something a person likes to read. The one user of jansson. */
#include "config.h"

#include "agent/cmd/cmd.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/escape.h"

#define CELL_BYTES 512
#define COLUMNS_MAX 12

struct table {
	const struct table_column *columns;
	size_t n, rows, cap;
	char **cells;
	size_t widths[COLUMNS_MAX]; /* of what was printed */
	size_t page;                /* so many rows are printed together; 0: all */
	bool titled;
	bool colour;
};

/* ---- colour: for states, on a terminal, unless somebody said NO_COLOR ---- */

static bool
in_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return (no == NULL || no[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0 &&
	       isatty(STDOUT_FILENO);
}

static const char *
colour_of(const char *state)
{
	static const char *const good[] = {"ok", "alive"}, *const bad[] = {"halted", "dead"};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (strcmp(state, good[i]) == 0)
			return "\033[32m";
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (strcmp(state, bad[i]) == 0)
			return "\033[1;31m";
	return "\033[33m";
}

static void
print_cell(const struct table *t, size_t col, const char *cell, int width)
{
	bool colour = t->colour && t->columns[col].kind == COL_STATE && cell[0] != '\0';

	printf("%s%-*s%s", colour ? colour_of(cell) : "", width, cell, colour ? "\033[0m" : "");
}

/* ---- tables ---- */

void
table_bytes(uint64_t bytes, char *out, size_t size)
{
	static const char units[] = " KMGTP";
	double d = (double)bytes;
	unsigned u = 0;

	while (d >= 10000 && u < 5) {
		d /= 1024;
		u++;
	}
	snprintf(out, size, u == 0 ? "%.0f" : "%.0f%c", d, units[u]);
}

static void
human_bytes(json_int_t v, char *out, size_t size)
{
	table_bytes(v > 0 ? (uint64_t)v : 0, out, size);
}

/* Names, one after the other. */
static void
cell_list(const json_t *v, char out[CELL_BYTES])
{
	size_t len = 0;

	snprintf(out, CELL_BYTES, "%s", json_array_size(v) == 0 ? "-" : "");
	for (size_t i = 0; i < json_array_size(v) && len < CELL_BYTES - 1; i++) {
		const char *name = json_string_value(json_array_get(v, i));

		len += (size_t)snprintf(out + len, CELL_BYTES - len, "%s%s", i > 0 ? "," : "",
					name != NULL ? name : "-");
	}
}

static void
cell_text(const json_t *v, const struct table_column *col, char out[CELL_BYTES])
{
	if (json_is_string(v) && col->kind == COL_HASH)
		snprintf(out, CELL_BYTES, "%.12s", json_string_value(v));
	else if (json_is_string(v))
		escape_print(out, CELL_BYTES, json_string_value(v), json_string_length(v));
	else if (json_is_integer(v) && col->kind == COL_BYTES)
		human_bytes(json_integer_value(v), out, CELL_BYTES);
	else if (json_is_integer(v))
		snprintf(out, CELL_BYTES, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		snprintf(out, CELL_BYTES, "%.3f", json_real_value(v));
	else if (json_is_array(v))
		cell_list(v, out);
	else if (json_is_boolean(v))
		snprintf(out, CELL_BYTES, "%s", json_is_true(v) ? "yes" : "no");
	else
		snprintf(out, CELL_BYTES, "%s", "-");
}

/* A path that is not UTF-8 comes as KEY_b64; people see that it is one. */
static const json_t *
field(const json_t *row, const char *key)
{
	const json_t *v = json_object_get(row, key);
	char other[64];

	if (v != NULL)
		return v;
	snprintf(other, sizeof(other), "%s_b64", key);
	return json_object_get(row, other);
}

struct table *
table_new(const struct table_column *columns, size_t n)
{
	struct table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->columns = columns;
	t->n = n;
	t->colour = in_colour();
	return t;
}

static void
add_row(struct table *t, const json_t *row)
{
	char text[CELL_BYTES];

	if (t->rows == t->cap) {
		size_t cap = t->cap * 2 + 64;
		char **grown = realloc(t->cells, cap * t->n * sizeof(char *));

		if (grown == NULL)
			return;
		t->cells = grown;
		t->cap = cap;
	}
	for (size_t i = 0; i < t->n; i++) {
		cell_text(field(row, t->columns[i].key), &t->columns[i], text);
		t->cells[t->rows * t->n + i] = strdup(text);
	}
	t->rows++;
}

void
table_pages(struct table *t, size_t rows)
{
	if (t != NULL)
		t->page = rows;
}

void
table_row(void *table, const char *json, size_t len)
{
	struct table *t = table;
	json_t *row = json_loadb(json, len, 0, NULL);

	if (row != NULL && t != NULL)
		add_row(t, row);
	json_decref(row);
	if (t != NULL && t->page > 0 && t->rows >= t->page)
		table_flush(t);
}

static size_t
width(const struct table *t, size_t col)
{
	size_t w = strlen(t->columns[col].title);

	w = t->widths[col] > w ? t->widths[col] : w;
	for (size_t r = 0; r < t->rows; r++) {
		const char *c = t->cells[r * t->n + col];
		size_t n = c != NULL ? strlen(c) : 0;

		w = n > w ? n : w;
	}
	return w;
}

static void
print_titles(const struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		printf("%-*s%s", i + 1 < t->n ? (int)t->widths[i] : 0, t->columns[i].title,
		       i + 1 < t->n ? "  " : "\n");
}

static void
print_row(const struct table *t, char *const *cells)
{
	for (size_t i = 0; i < t->n; i++) {
		print_cell(t, i, cells[i] != NULL ? cells[i] : "",
			   i + 1 < t->n ? (int)t->widths[i] : 0);
		fputs(i + 1 < t->n ? "  " : "\n", stdout);
	}
}

void
table_flush(struct table *t)
{
	if (t == NULL || t->rows == 0)
		return;
	for (size_t i = 0; i < t->n && i < COLUMNS_MAX; i++)
		t->widths[i] = width(t, i);
	if (!t->titled)
		print_titles(t);
	t->titled = true;
	for (size_t r = 0; r < t->rows; r++)
		print_row(t, t->cells + r * t->n);
	for (size_t i = 0; i < t->rows * t->n; i++)
		free(t->cells[i]);
	t->rows = 0;
	fflush(stdout);
}

void
table_print(struct table *t)
{
	if (t == NULL)
		return;
	table_flush(t);
	free(t->cells);
	free(t);
}

void
table_field(const char *json, size_t len, const char *key, char *out, size_t size)
{
	json_t *o = json_loadb(json, len, 0, NULL);
	const char *s = json_string_value(json_object_get(o, key));

	snprintf(out, size, "%s", s != NULL ? s : "");
	json_decref(o);
}

static long long
number(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static const char *
string(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static void
put_time(long long s)
{
	if (s >= 3600)
		printf("%lld h %lld min", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		printf("%lld min %lld s", s / 60, s % 60);
	else
		printf("%lld s", s);
}

/* From whom how fast, where it is known. */
static void
put_sources(const json_t *peers)
{
	unsigned n = 0;

	for (size_t i = 0; i < json_array_size(peers); i++) {
		const json_t *p = json_array_get(peers, i);
		char rate[32];

		if (!json_is_true(json_object_get(p, "connected")) ||
		    number(p, "bytes_per_second") == 0)
			continue;
		human_bytes(number(p, "bytes_per_second"), rate, sizeof(rate));
		printf("%s%s %s/s", n++ == 0 ? "from       " : ", ", string(p, "name"), rate);
	}
	if (n > 0)
		putchar('\n');
}

#define CLOCK_OFF_S 10

static void
put_clocks(const json_t *peers)
{
	for (size_t i = 0; i < json_array_size(peers); i++) {
		const json_t *p = json_array_get(peers, i);
		double s = json_number_value(json_object_get(p, "clock_offset_seconds"));

		if (s >= CLOCK_OFF_S || s <= -CLOCK_OFF_S)
			printf("CLOCK      that of %s is %.0f s %s this node's: set the one that "
			       "is wrong\n",
			       string(p, "name"), s > 0 ? s : -s, s > 0 ? "ahead of" : "behind");
	}
}

static void
put_catch_up(const json_t *c, const json_t *peers)
{
	char done[32], total[32], rate[32];

	if (!json_is_true(json_object_get(c, "running")))
		return;
	human_bytes(number(c, "bytes_done"), done, sizeof(done));
	human_bytes(number(c, "bytes_total"), total, sizeof(total));
	human_bytes(number(c, "bytes_per_second"), rate, sizeof(rate));
	printf("catch-up   %lld of %lld paths, %s of %s, %s/s", number(c, "done"),
	       number(c, "total"), done, total, rate);
	if (json_is_integer(json_object_get(c, "seconds_left"))) {
		fputs(", ", stdout);
		put_time(number(c, "seconds_left"));
		fputs(" left", stdout);
	}
	putchar('\n');
	put_sources(peers);
}

void
table_status(const char *json, size_t len)
{
	static const struct table_column columns[] = {
		{"name", "PEER", COL_TEXT},           {"state", "STATE", COL_STATE},
		{"connected", "CONNECTED", COL_TEXT}, {"pending", "LACKS", COL_TEXT},
		{"lag_seconds", "LAG s", COL_TEXT},   {"rtt_ms", "RTT ms", COL_TEXT},
		{"address", "ADDRESS", COL_TEXT},     {"last_error", "LAST ERROR", COL_TEXT}};
	json_t *o = json_loadb(json, len, 0, NULL);
	const json_t *peers = json_object_get(o, "peers"), *scan = json_object_get(o, "scan");
	struct table *t = table_new(columns, ARRAY_LEN(columns));
	bool colour = in_colour();
	const char *plain = colour ? "\033[0m" : "";
	char bytes[32];

	human_bytes(json_integer_value(json_object_get(o, "bytes")), bytes, sizeof(bytes));
	printf("node       %s   %s%s%s\n", string(o, "node"),
	       colour ? colour_of(string(o, "state")) : "", string(o, "state"), plain);
	printf("root       %s\n", string(o, "root"));
	printf("files      %lld in %lld directories, %s\n", number(o, "files"),
	       number(o, "directories"), bytes);
	printf("pending    %lld here, %lld held\n", number(o, "pending"), number(o, "held"));
	printf("conflicts  %lld      errors %lld      kept files %lld\n", number(o, "conflicts"),
	       number(o, "errors"), number(o, "trash_files"));
	printf("digest     %s\n", string(o, "digest"));
	if (json_is_true(json_object_get(scan, "running")))
		printf("scan       %lld of %lld\n", number(scan, "done"), number(scan, "total"));
	put_catch_up(json_object_get(o, "catch_up"), peers);
	put_clocks(peers);
	if (string(o, "halted")[0] != '\0')
		printf("%sHALTED     %s%s\n", colour ? colour_of("halted") : "",
		       string(o, "halted"), plain);
	for (size_t i = 0; t != NULL && i < json_array_size(peers); i++)
		add_row(t, json_array_get(peers, i));
	if (json_array_size(peers) > 0)
		putchar('\n');
	table_print(t);
	json_decref(o);
}

static uint64_t
count(const json_t *o, const char *key)
{
	long long v = number(o, key);

	return v > 0 ? (uint64_t)v : 0;
}

static void
copy(const json_t *o, const char *key, char *out, size_t size)
{
	escape_print(out, size, string(o, key), strlen(string(o, key)));
}

bool
table_node(const char *json, size_t len, struct table_node *out)
{
	json_t *o = json_loadb(json, len, 0, NULL);
	bool good = json_is_array(json_object_get(o, "peers"));

	copy(o, "node", out->name, sizeof(out->name));
	copy(o, "state", out->state, sizeof(out->state));
	copy(o, "halted", out->halted, sizeof(out->halted));
	out->files = count(o, "files");
	out->bytes = count(o, "bytes");
	out->pending = count(o, "pending");
	out->held = count(o, "held");
	out->conflicts = count(o, "conflicts");
	out->errors = count(o, "errors");
	json_decref(o);
	return good;
}

size_t
table_peers(const char *json, size_t len, struct table_peer *out, size_t max)
{
	json_t *o = json_loadb(json, len, 0, NULL);
	const json_t *peers = json_object_get(o, "peers");
	size_t n = json_array_size(peers);

	for (size_t i = 0; i < n && i < max; i++) {
		const json_t *p = json_array_get(peers, i);

		copy(p, "name", out[i].name, sizeof(out[i].name));
		copy(p, "state", out[i].state, sizeof(out[i].state));
		out[i].connected = json_is_true(json_object_get(p, "connected"));
		out[i].pending = count(p, "pending");
		out[i].pending_bytes = count(p, "pending_bytes");
		out[i].in = count(p, "bytes_in");
		out[i].out = count(p, "bytes_out");
		out[i].rtt_ms = count(p, "rtt_ms");
		out[i].lag = json_number_value(json_object_get(p, "lag_seconds"));
	}
	json_decref(o);
	return n < max ? n : max;
}

bool
table_transfer(const char *json, size_t len, struct table_transfer *out)
{
	json_t *o = json_loadb(json, len, 0, NULL);
	const json_t *path = field(o, "path");
	bool good = path != NULL && json_object_get(o, "have") != NULL;

	if (good) {
		escape_print(out->path, sizeof(out->path), json_string_value(path),
			     json_string_length(path));
		copy(o, "from", out->from, sizeof(out->from));
		copy(o, "state", out->state, sizeof(out->state));
		out->have = count(o, "have");
		out->size = count(o, "size");
		out->have = out->have < out->size ? out->have : out->size;
	}
	json_decref(o);
	return good;
}

static size_t
unbase64(const char *text, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned acc = 0, bits = 0;
	size_t n = 0;

	for (; *text != '\0' && *text != '='; text++) {
		const char *d = strchr(digits, *text);

		if (d == NULL)
			return 0;
		acc = (acc << 6) | (unsigned)(d - digits);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[n++] = (char)(acc >> bits & 0xff);
		}
	}
	return n;
}

bool
table_shown(const char *json, size_t len, char **path, size_t *path_len, char hash[65],
	    uint64_t *size)
{
	json_t *o = json_loadb(json, len, 0, NULL);
	const json_t *p = json_object_get(o, "path"), *b = json_object_get(o, "path_b64");
	const char *text = json_string_value(p != NULL ? p : b);
	bool good = false;

	if (text != NULL && strlen(string(o, "hash")) == 64 &&
	    (*path = malloc(strlen(text) + 1)) != NULL) {
		*path_len = p != NULL ? json_string_length(p) : unbase64(text, *path);
		if (p != NULL)
			memcpy(*path, text, *path_len);
		memcpy(hash, string(o, "hash"), 65);
		*size = (uint64_t)json_integer_value(json_object_get(o, "size"));
		good = true;
	}
	json_decref(o);
	return good;
}
