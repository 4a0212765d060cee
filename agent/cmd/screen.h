/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole terminal, for a live view, and back to what it was. */
#ifndef MIMEO_AGENT_CMD_SCREEN_H
#define MIMEO_AGENT_CMD_SCREEN_H

#include "proto/bytes.h"

/*
 * While it is open, keys come one by one and are not echoed, long lines are cut by the terminal,
 * and what was on it before is kept for screen_close. Signals that would end the program, and
 * changes of the size, are taken by screen_wait instead.
 */
struct screen;

/* Are both standard input and standard output terminals that can show it? */
bool screen_can(void);
/* -errno, and the terminal is as before. */
NODISCARD int screen_open(struct screen **out);
void screen_close(struct screen *s); /* NULL is fine */
unsigned screen_rows(const struct screen *s);
/* Shows the text, which has no more rows than there are; its lines end in '\n'. -errno. */
NODISCARD int screen_show(struct screen *s, const struct buf *text);
/* Until a key is pressed (its byte), the time is over or the size changes (0), or somebody wants
 * the program to end or the terminal is gone (-EINTR, -EIO). */
NODISCARD int screen_wait(struct screen *s, int ms);

#endif
