/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket: the command `mimeo` asks, the agent answers in JSON lines. */
#ifndef MIMEO_AGENT_CONTROL_H
#define MIMEO_AGENT_CONTROL_H

#include "agent/links.h"
#include "agent/node.h"

#define CONTROL_SOCKET_NAME "control.sock" /* below node.run; 0660: group may ask, root and the agent's user may do everything */
#define CONTROL_CLIENTS_MAX 64
#define CONTROL_REQUEST_BYTES_MAX 65536

struct control;

/* file: the configuration's, for reload. */
NODISCARD int control_open(struct node *n, struct loop *loop, struct links *links, const char *file, struct control **out, char *err, size_t err_len);
void control_close(struct control *c);
void control_turn(struct control *c);
uint64_t control_deadline(const struct control *c);

#endif
