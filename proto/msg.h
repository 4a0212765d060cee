/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames and messages between two agents. The wire protocol is documented in proto/PROTOCOL.md. */
#ifndef MIMEO_PROTO_MSG_H
#define MIMEO_PROTO_MSG_H

#include "proto/dotset.h"
#include "proto/member.h"
#include "proto/record.h"

/* A frame: length u32 (of what follows: type and payload), type u8, payload. */
#define FRAME_HEADER_BYTES 4
#define FRAME_BYTES_MAX (1024u * 1024)  /* value of length; a longer one ends the session */
#define MSG_DATA_BYTES_MAX (64u * 1024) /* content bytes in one DATA */
#define MSG_SPANS_MAX 2048 /* ranges in one SEEN, UPTO or ACK frame: longer sets take several */
#define MSG_INLINE_BYTES_MAX (512u * 1024) /* content in a RECORD */
#define MSG_TEXT_BYTES_MAX 512
#define MSG_BLOB_BYTES_MAX (256u * 1024)

enum msg_type {
	MSG_HELLO = 1,  /* first frame of each side */
	MSG_BYE = 2,    /* code, text: why this side ends the session; the last frame */
	MSG_PING = 3,   /* id, time (sender's wall ms): answered at once by PONG with the same id */
	MSG_PONG = 4,   /* id, time (wall ms of the answering side) */
	MSG_SEEN = 5,   /* spans: dots that I hold (records stored, superseded or below my floor).
			   Joins what was said before. last: that was all of it */
	MSG_ORIGIN = 6, /* origin, store, node: who runs an origin; before its first record in a
			   session */
	MSG_RECORD = 7, /* rec, and its content when it is inlined */
	MSG_UPTO = 8, /* spans: this stream has now vouched for these dots: everything of them that
		       * survives was sent before or was there. Takes effect with the frame that has
		       * `last`; the receiver joins the whole set */
	MSG_ACK = 9,  /* node (empty: the sender itself) and its store, spans: dots applied and
			 durable there. Joins what was said before unless `reset` */
	MSG_MEMBER = 10, /* member: an entry of the member table */
	MSG_GET = 11,    /* stream, how, hash, size, offset: send me this content */
	MSG_DATA = 12,   /* stream, bytes. Only within granted credit */
	MSG_END = 13,    /* stream, code: the sender of DATA is done (0), or why not */
	MSG_CREDIT = 14, /* stream, credit: so many more bytes of DATA may be sent on it */
	MSG_CANCEL = 15, /* stream: the one who asked wants no more; answered by END */
	MSG_ASK = 16,    /* id, what, blob: a question about one path or the store */
	MSG_TELL = 17,   /* id, code, last, blob: (a part of) the answer */
	MSG_TABLE = 18,  /* digest of the sender's member table, its beat (time_ms), whom it has
			    sessions with (near, if said) and what it heard of others (far) */
};

/* What an ASK wants to know. */
enum ask_what {
	ASK_PATH = 16,  /* blob: a path. Is there a file? What is there and not logged is logged
			   first. TELL: CODE_OK (its record is on its way or there), CODE_GONE */
	ASK_KEPT = 17,  /* blob: which displaced versions are kept there? TELL: a page of them */
	ASK_SHOWN = 24, /* blob: bucket u16, flags u8. What is shown there? TELL: sums, or rows */
};
#define ASK_WHAT_MAX 31

/* How a GET wants its content. */
enum get_how {
	GET_WHOLE = 0, /* bytes from offset on */
	GET_DELTA = 1, /* offset is the size of the asker's base; it then sends its signature as
			  DATA and END on the same stream; the answer is a librsync delta */
};

/* Codes of END, TELL and BYE. */
enum msg_code {
	CODE_OK = 0,
	CODE_GONE = 1,       /* that content is not here (any more) */
	CODE_CHANGED = 2,    /* it changed while it was sent */
	CODE_REFUSED = 3,    /* not allowed, or makes no sense */
	CODE_BUSY = 4,       /* a limit: ask later */
	CODE_ERROR = 5,      /* local error */
	CODE_USELESS = 6,    /* a delta would not win: ask for the whole */
	CODE_VERSION = 7,    /* BYE: no common protocol version */
	CODE_PROTOCOL = 8,   /* BYE: you broke the protocol */
	CODE_IDENTITY = 9,   /* BYE: not who your key says, or not a member */
	CODE_DUPLICATE = 10, /* BYE: another connection between us is kept */
	CODE_SHUTDOWN = 11,
	CODE_TIMEOUT = 12,
};

/* One range of dots on the wire: origin u64, lo u64, hi u64. */
struct span3 {
	uint64_t origin, lo, hi;
};

/* One message, decoded. Which fields count depends on the type. Pointers borrow from the frame;
 * rec.ctx is allocated (msg_clear). */
struct msg {
	uint8_t type;
	/* HELLO */
	uint16_t version_min, version_max;
	uint64_t features;
	uint64_t nonce;    /* random, of this session */
	uint64_t digest;   /* dotset_digest of what I hold */
	uint64_t heads[2]; /* digest over my live heads */
	/* several */
	uint64_t store;
	uint64_t origin;
	uint64_t time_ms;
	uint32_t id;
	uint32_t stream;
	uint32_t credit;
	uint8_t code;
	uint8_t how;
	uint8_t what;
	bool last;
	bool reset;
	char node[MEMBER_NAME_BYTES_MAX + 1];
	const uint8_t *spans; /* nspans ranges, 24 bytes each: msg_span */
	uint32_t nspans;
	uint8_t hash[RECORD_HASH_BYTES];
	uint64_t size;
	uint64_t offset;
	struct record rec;
	bool inlined;         /* RECORD: `bytes` is the whole content */
	const uint8_t *bytes; /* DATA, inlined content, blob, BYE's text */
	size_t len;
	struct member member;
	bool near_said; /* TABLE: near is complete; else it is as before */
	uint16_t nnear, nfar;
	struct cur near, far; /* msg_near, msg_far */
};

/* Appends one whole frame to b. Asserts that the fields are within their limits. */
void msg_encode(struct buf *b, const struct msg *m);
/* Decodes type and payload of one frame (without the length). -EPROTO: anything the document does
 * not allow; -ENOMEM. */
NODISCARD int msg_decode(const void *bytes, size_t len, struct msg *m);
void msg_clear(struct msg *m);
struct span3
msg_span(const struct msg *m,
	 uint32_t i); /* validated by msg_decode: 1 <= lo <= hi <= DOT_SEQ_MAX, origin not 0 */
/* The next of the nnear names, or of the nfar names with their beats. The caller counts. */
void msg_near(struct cur *near, char name[MEMBER_NAME_BYTES_MAX + 1]);
uint64_t msg_far(struct cur *far, char name[MEMBER_NAME_BYTES_MAX + 1]);
/* Appends what msg_near and msg_far read; the caller counts. */
void msg_put_near(struct buf *b, const char *name);
void msg_put_far(struct buf *b, const char *name, uint64_t beat);
const char *msg_name(uint8_t type);
const char *msg_code_text(uint8_t code);
/* Sends a set as as many frames as it needs (at least one, the last one with `last`); m gives type,
 * node, reset. */
void msg_encode_set(struct buf *b, const struct msg *m, const struct dotset *set);

#endif
