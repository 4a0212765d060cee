/* SPDX-License-Identifier: BSD-2-Clause */
/* Text into a growing buffer: formatted, and escaped for HTML. */
#ifndef MIMEO_AGENT_TEXT_H
#define MIMEO_AGENT_TEXT_H

#include "proto/bytes.h"

/* As printf, without the terminator. At most TEXT_PUT_BYTES_MAX; what is longer is cut. */
#define TEXT_PUT_BYTES_MAX 4096
void text_put(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* A C string as it is. */
void text_str(struct buf *b, const char *s);
/*
 * Any bytes as HTML text or attribute: markup becomes entities, and what is no visible UTF-8
 * becomes \xNN, so that no name can hide, turn text around, or end a tag.
 */
void text_html(struct buf *b, const void *bytes, size_t len);

#endif
