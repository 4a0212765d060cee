/* SPDX-License-Identifier: BSD-2-Clause */
/* The test vocabulary: a C test program prints TAP and returns tap_done(). Header only. */
#ifndef MIMEO_TESTS_TAP_H
#define MIMEO_TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int tap_count;
static int tap_failed;

__attribute__((format(printf, 1, 2), unused)) static void
diag(const char *fmt, ...)
{
	va_list ap;

	fputs("# ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

__attribute__((format(printf, 4, 5), unused)) static bool
tap_result(bool pass, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	tap_count++;
	if (!pass)
		tap_failed++;
	printf("%s %d - ", pass ? "ok" : "not ok", tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	if (!pass)
		printf("#   at %s:%d\n", file, line);
	fflush(stdout);
	return pass;
}

/* One check. Returns whether it held, so that a test can stop early. */
#define ok(cond, ...) tap_result((cond), __FILE__, __LINE__, __VA_ARGS__)

#define is_int(got, want, ...)                                                                     \
	do {                                                                                       \
		long long tap_g_ = (long long)(got), tap_w_ = (long long)(want);                   \
		if (!tap_result(tap_g_ == tap_w_, __FILE__, __LINE__, __VA_ARGS__))                \
			diag("  got %lld, wanted %lld", tap_g_, tap_w_);                           \
	} while (0)

#define is_str(got, want, ...)                                                                     \
	do {                                                                                       \
		const char *tap_g_ = (got), *tap_w_ = (want);                                      \
		bool tap_e_ = tap_g_ && tap_w_ ? strcmp(tap_g_, tap_w_) == 0 : tap_g_ == tap_w_;   \
		if (!tap_result(tap_e_, __FILE__, __LINE__, __VA_ARGS__))                          \
			diag("  got '%s', wanted '%s'", tap_g_ ? tap_g_ : "(null)",                \
			     tap_w_ ? tap_w_ : "(null)");                                          \
	} while (0)

#define is_mem(got, want, len, ...)                                                                \
	tap_result(memcmp((got), (want), (len)) == 0, __FILE__, __LINE__, __VA_ARGS__)

/* The rest of this program cannot run here; says why and ends the test as skipped. */
__attribute__((unused)) static int
skip_rest(const char *why)
{
	tap_count++;
	printf("ok %d - # SKIP %s\n", tap_count, why);
	printf("1..%d\n", tap_count);
	return 0;
}

/* Prints the plan; the value for main to return. */
__attribute__((unused)) static int
tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed ? 1 : 0;
}

#endif
