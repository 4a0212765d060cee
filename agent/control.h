/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket: the command `mimeo` asks, the agent answers in JSON rows. */
#ifndef MIMEO_AGENT_CONTROL_H
#define MIMEO_AGENT_CONTROL_H

#include "agent/links.h"
#include "agent/node.h"

/*
 * Request: u32 length (little-endian), then the words, each ended by a zero byte; the first is the
 * verb. Answer: frames of kind u8, length u32, bytes: CONTROL_ROW one JSON object; CONTROL_END exit
 * code u8 and a message, the last frame; before it CONTROL_NOTE, a text for people, and, to those
 * who said --progress, CONTROL_PROGRESS: u64 done, u64 of how much. One request a
 * connection. A client that does not read is not served more than CONTROL_OUT_BYTES_MAX ahead, and
 * dropped after CONTROL_STALL_MS.
 */
#define CONTROL_SOCKET_NAME                                                                        \
	"control.sock" /* below node.run; 0660: group may ask, root and the agent's user may do    \
			  everything */
#define CONTROL_ROW 1
#define CONTROL_END 2
#define CONTROL_NOTE 3
#define CONTROL_PROGRESS 4
#define CONTROL_CLIENTS_MAX 64
#define CONTROL_REQUEST_BYTES_MAX 65536
#define CONTROL_WORDS_MAX 256
#define CONTROL_OUT_BYTES_MAX (256u * 1024)
#define CONTROL_STALL_MS 60000

/* Exit codes of the command (README). */
enum control_code {
	CONTROL_OK = 0,
	CONTROL_FAILED = 1,
	CONTROL_USAGE = 2,
	CONTROL_NOT_IN_SYNC = 3,
	CONTROL_NO_AGENT = 4,
	CONTROL_HALTED = 5
};

struct control;

/* file: the configuration's, for reload. */
NODISCARD int control_open(struct node *n, struct loop *loop, struct links *links, const char *file,
			   struct control **out, char *err, size_t err_len);
void control_close(struct control *c);
void control_turn(struct control *c);
uint64_t control_deadline(const struct control *c);

#endif
