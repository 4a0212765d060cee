/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes that came from anywhere, made fit for a terminal and a log line. */
#ifndef MIMEO_CONF_ESCAPE_H
#define MIMEO_CONF_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most bytes that the printable form of len bytes needs, terminator included. */
#define ESCAPE_BYTES_MAX(len) (4 * (len) + 1)
/* Most bytes of the printable form of one character (4 bytes as \xNN). */
#define ESCAPE_CHAR_BYTES_MAX 16
/* Ends a form that was cut. It cannot be part of a complete one: there, a backslash is doubled. */
#define ESCAPE_CUT "\\..."

/*
 * Length (1..4) of the well-formed UTF-8 character at the start of p, and its code point in *cp;
 * 0 if there is none (empty, cut off, overlong, a surrogate, above U+10FFFF, a stray byte).
 */
size_t escape_utf8(const void *p, size_t len, uint32_t *cp);
/* Are all len bytes well-formed UTF-8? */
bool escape_is_utf8(const void *bytes, size_t len);
/*
 * Would this character do something else than be seen? Controls (C0, DEL, C1), line and paragraph
 * separator, everything that turns the direction of text, the byte order mark, the zero-width
 * space, tags, annotation marks. The joiners U+200C and U+200D are needed to write Persian and
 * are not among them.
 */
bool escape_hidden(uint32_t cp);

/*
 * The printable form of the first character of p (len > 0) into out, not terminated. Returns its
 * length (1..ESCAPE_CHAR_BYTES_MAX) and in *used how many bytes of p it stands for (1..4).
 * A visible UTF-8 character stays, a backslash is doubled, every byte of anything else is \xNN.
 */
size_t escape_char(char out[ESCAPE_CHAR_BYTES_MAX], const void *p, size_t len, size_t *used);

/*
 * The printable form of any bytes, terminated when outlen > 0. Returns its length without the
 * terminator. What does not fit is cut between characters and ends in ESCAPE_CUT (if outlen holds
 * at least that; else the form is empty). Two different inputs that fit never look the same.
 */
size_t escape_print(char *out, size_t outlen, const void *bytes, size_t len);

#endif
