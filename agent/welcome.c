/* SPDX-License-Identifier: BSD-2-Clause */
/* A newcomer with an invitation: it may look at what there is, and it may become a member, once. */
#include "config.h"

#include "agent/welcome.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/exchange.h"
#include "agent/gossip.h"
#include "agent/invites.h"
#include "agent/members.h"
#include "proto/admit.h"
#include "proto/msg.h"

#define AHEAD_BYTES                                                                                \
	(256u * 1024) /* of output; above it nothing is made and nothing is taken in               \
		       */

struct welcome {
	struct node *n;
	char id[INVITES_ID_BYTES + 1];
	struct buf in, out;
	uint64_t heard_ms;
	bool over;
	bool listing;
	uint32_t list_id;
	struct index_cursor cursor;
	bool admitting; /* its entry is on its way into the WAL */
	char name[MEMBER_NAME_BYTES_MAX + 1];
};

static void
bye(struct welcome *w, uint8_t code, const char *text)
{
	msg_encode(&w->out, &(struct msg){.type = MSG_BYE,
					  .code = code,
					  .bytes = (const uint8_t *)text,
					  .len = strnlen(text, MSG_TEXT_BYTES_MAX)});
	w->over = true;
}

/* Whoever has the secret is no stranger, but what he asks for is refused: people should know. */
static void
refuse(struct welcome *w, const char *name, uint8_t code, const char *why)
{
	struct node *n = w->n;
	char text[512];

	snprintf(text, sizeof(text), "%.63s may not join: %s", name[0] != '\0' ? name : "it", why);
	LOG(n->log, LOG_WARN, "join.refused", why, log_s("member", name), log_s("invite", w->id));
	errors_add(n->errors, n->wall_ms, name, "identity", NULL, 0, text);
	bye(w, code, text);
}

/* ---- the list ---- */

static void
put_row(struct buf *b, const struct record *r)
{
	buf_put_u8(b, r->kind);
	buf_put_u64(b, r->size);
	buf_put_u64(b, (uint64_t)r->mtime_ns);
	buf_put(b, r->hash, RECORD_HASH_BYTES);
	buf_put_str(b, r->path, r->path_len);
}

static void
list_more(struct welcome *w)
{
	struct buf rows = {0};
	struct irec *i = NULL;
	bool last = false;

	while (rows.len < MSG_BLOB_BYTES_MAX - WELCOME_ROW_BYTES_MAX) {
		i = index_cursor_next(w->n->index, &w->cursor);
		last = i == NULL;
		if (last)
			break;
		if (i->shown && (i->r->kind == KIND_FILE || i->r->kind == KIND_SYMLINK))
			put_row(&rows, i->r);
	}
	msg_encode(&w->out, &(struct msg){.type = MSG_TELL,
					  .id = w->list_id,
					  .code = CODE_OK,
					  .last = last,
					  .bytes = rows.data,
					  .len = rows.len});
	if (rows.failed)
		bye(w, CODE_ERROR, "out of memory");
	buf_free(&rows);
	if (last) {
		index_cursor_end(w->n->index, &w->cursor);
		w->listing = false;
	}
}

/* How many rows will come, for who shows how far it is. */
static void
tell_count(struct welcome *w)
{
	struct buf b = {0};

	buf_put_u64(&b, w->n->index->files);
	msg_encode(&w->out, &(struct msg){.type = MSG_TELL,
					  .id = WELCOME_COUNT_ID,
					  .code = CODE_OK,
					  .bytes = b.data,
					  .len = b.len});
	if (b.failed)
		bye(w, CODE_ERROR, "out of memory");
	buf_free(&b);
}

static void
got_ask(struct welcome *w, const struct msg *m)
{
	struct cur c = cur_of(m->bytes, m->len);

	if (m->what != WELCOME_ASK_LIST || cur_u16(&c) != WELCOME_VERSION || w->listing) {
		bye(w, CODE_VERSION, "this member speaks version 1 of joining");
		return;
	}
	if (c.left > 0 && cur_u8(&c) == 1 && m->id != WELCOME_COUNT_ID)
		tell_count(w);
	w->listing = true;
	w->list_id = m->id;
	index_cursor_begin(w->n->index, &w->cursor);
}

/* ---- becoming a member ---- */

static void
got_member(struct welcome *w, const struct msg *msg)
{
	struct node *n = w->n;
	struct member m = msg->member;
	const struct admit_table t = {n->index->members, n->index->nmembers, n->conf->name, 0};
	const char *why = admit_join(&t, &m), *by;
	int r;

	if (why == NULL && !members_addresses_ok(m.address))
		why = "its address is not HOST:PORT";
	if (why == NULL && gossip_expelled(n->gossip, &by))
		why = "this node is no member itself any more";
	if (why == NULL && gossip_coming(n->gossip, m.name))
		why = "its name is just being let in";
	r = why == NULL ? invites_take(n->conf->state, n->wall_ms, w->id) : 0;
	if (r == -ENOENT)
		why = "the invitation was used already, or has expired";
	else if (r < 0)
		why = "the invitation cannot be looked up here";
	if (why != NULL) {
		refuse(w, m.name, CODE_REFUSED, why);
		return;
	}
	memcpy(w->name, m.name, sizeof(w->name));
	members_admit(n, &m);
	w->admitting = true;
}

/* Its entry is durable, and sshd knows its key: it is told who else there is. */
static void
welcome_all(struct welcome *w)
{
	const struct index *x = w->n->index;

	w->admitting = false;
	for (size_t i = 0; i < x->nmembers; i++)
		msg_encode(&w->out, &(struct msg){.type = MSG_MEMBER, .member = x->members[i]});
	msg_encode(&w->out, &(struct msg){.type = MSG_TELL, .code = CODE_OK, .last = true});
	w->over = true;
}

/* ---- bytes ---- */

static void
got(struct welcome *w, const struct msg *m)
{
	if (m->type == MSG_ASK)
		got_ask(w, m);
	else if (m->type == MSG_MEMBER && !w->listing)
		got_member(w, m);
	else
		refuse(w, "", CODE_PROTOCOL, "that is not what a newcomer says");
}

static void
parse(struct welcome *w)
{
	while (!w->over && !w->admitting && w->in.len >= FRAME_HEADER_BYTES) {
		uint32_t len = bytes_get_u32(w->in.data);
		struct msg m;
		int r;

		if (len == 0 || len > MSG_BLOB_BYTES_MAX) {
			refuse(w, "", CODE_PROTOCOL, "a frame that is too long");
			return;
		}
		if (w->in.len < FRAME_HEADER_BYTES + len)
			return;
		r = msg_decode(w->in.data + FRAME_HEADER_BYTES, len, &m);
		if (r < 0) {
			refuse(w, "", CODE_PROTOCOL, "a message that makes no sense");
			return;
		}
		got(w, &m);
		msg_clear(&m);
		buf_consume(&w->in, FRAME_HEADER_BYTES + len);
	}
}

size_t
welcome_input(struct welcome *w, const void *bytes, size_t len)
{
	if (w->over)
		return len; /* nothing more is listened to */
	if (w->out.len > AHEAD_BYTES || w->in.len > MSG_BLOB_BYTES_MAX)
		return 0;
	buf_put(&w->in, bytes, len);
	if (w->in.failed)
		w->over = true;
	w->heard_ms = w->n->now_ms;
	parse(w);
	return len;
}

const uint8_t *
welcome_output(struct welcome *w, size_t *len)
{
	*len = w->out.failed ? 0 : w->out.len;
	return w->out.data;
}

void
welcome_consumed(struct welcome *w, size_t len)
{
	buf_consume(&w->out, len);
	w->heard_ms = w->n->now_ms;
}

void
welcome_turn(struct welcome *w)
{
	if (w->admitting && !gossip_coming(w->n->gossip, w->name))
		welcome_all(w);
	if (w->listing && w->out.len < AHEAD_BYTES)
		list_more(w);
	parse(w);
	if (w->over && w->n->now_ms - w->heard_ms >= WELCOME_IDLE_MS)
		buf_reset(&w->out); /* it does not read */
	else if (!w->admitting && w->n->now_ms - w->heard_ms >= WELCOME_IDLE_MS)
		bye(w, CODE_TIMEOUT, msg_code_text(CODE_TIMEOUT));
	if (w->out.failed)
		w->over = true;
}

uint64_t
welcome_deadline(const struct welcome *w)
{
	if (w->admitting)
		return UINT64_MAX;
	return w->listing && w->out.len < AHEAD_BYTES ? 0 : w->heard_ms + WELCOME_IDLE_MS;
}

bool
welcome_over(const struct welcome *w)
{
	return w->over;
}

struct welcome *
welcome_new(struct node *n, const char *id)
{
	struct welcome *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->n = n;
	w->heard_ms = n->now_ms;
	snprintf(w->id, sizeof(w->id), "%s", id);
	return w;
}

void
welcome_free(struct welcome *w)
{
	if (w == NULL)
		return;
	if (w->listing)
		index_cursor_end(w->n->index, &w->cursor);
	buf_free(&w->in);
	buf_free(&w->out);
	free(w);
}
