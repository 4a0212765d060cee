/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration: what every program reads from mimeo.conf, as one plain struct and one table of
 * keys. */
#ifndef MIMEO_CONF_SETTINGS_H
#define MIMEO_CONF_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/ignore.h"
#include "conf/log.h"
#include "conf/value.h"
#include "proto/attr.h"

#define SETTINGS_PEERS_MAX 256    /* [peer NAME] sections, as many as there may be members */
#define SETTINGS_ADDRESSES_MAX 16 /* of one node */
/*
 * Of node.run: a socket's address has room for 107 bytes, and behind this come '/' and a name
 * of up to 15.
 */
#define SETTINGS_RUN_BYTES_MAX 91
#define SETTINGS_ERROR_BYTES_MAX 1024 /* room for any error text, terminator included */

/* An address list, perhaps empty. */
struct settings_addresses {
	struct value_address *items;
	size_t count;
};

/* Whose a file becomes that came from another node. */
enum owner_mode { OWNER_INHERIT, OWNER_PRESERVE, OWNER_FIXED };

/* One [peer NAME]. */
struct settings_peer {
	char *name;
	struct settings_addresses address; /* may be empty */
	char *user;
};

/*
 * Everything, with the defaults filled in. Durations are milliseconds, sizes bytes, rates bytes a
 * second. Strings are owned, terminated, and never NULL unless said so. Paths are absolute,
 * without "." and ".." and doubled or trailing slashes.
 */
struct settings {
	char *name;
	char *root;
	char *state;
	char *work;
	char *run;
	struct settings_addresses address; /* empty: nobody can dial this node */

	struct ignore *ignore; /* never NULL */
	uint64_t settle_ms;
	uint64_t rescan_ms;

	uint64_t interval_ms;
	uint64_t rate_limit; /* 0: none */
	uint64_t inline_max;
	uint64_t delta_min;
	enum owner_mode owner_mode;
	char *owner_user; /* both NULL but for OWNER_FIXED; names, not looked up */
	char *owner_group;
	uint64_t retry_max_ms;
	uint64_t ping_ms;
	uint64_t timeout_ms;

	uint64_t max_delete_count;   /* deletes are held above the larger of the two */
	uint64_t max_delete_percent; /* 0..100, of the live files */
	uint64_t min_free;

	uint64_t trash_keep_ms;
	uint64_t trash_max_size;
	uint64_t tombstones_ms; /* how long a delete is remembered after all have applied it */

	bool immutable;

	uint64_t scrub_every_ms;
	uint64_t scrub_rate;

	struct value_address http_listen; /* text NULL: off */
	char *hook_applied;               /* NULL: none */
	enum log_format log_format;
	enum log_level log_level;

	char *ssh_key;
	char *ssh_known_hosts;
	char *ssh_authorized_keys;
	char *ssh_user; /* that peers log in as */

	struct value_address serf; /* text NULL: off */
	char *serf_key;            /* a file; NULL: none */
	char *dns;                 /* a domain; NULL: off */

	/*
	 * In the order of the file. A section with this node's own name is read and left out, so
	 * that all nodes may carry the same list.
	 */
	struct settings_peer *peers;
	size_t peer_count;
};

enum settings_type {
	SETTINGS_T_NAME,
	SETTINGS_T_USER,
	SETTINGS_T_PATH,
	SETTINGS_T_PROGRAM, /* a path, or nothing */
	SETTINGS_T_DOMAIN,  /* of the DNS, or nothing */
	SETTINGS_T_IGNORE,
	SETTINGS_T_ADDRESS, /* one, or nothing */
	SETTINGS_T_ADDRESSES,
	SETTINGS_T_DURATION, /* with min and max in milliseconds */
	SETTINGS_T_SIZE,     /* with min and max in bytes */
	SETTINGS_T_LIMIT,
	SETTINGS_T_OWNER,
	SETTINGS_T_SWITCH,
	SETTINGS_T_FORMAT,
	SETTINGS_T_LEVEL
};

/* One key that may be in the file. */
struct settings_key {
	const char *section;
	const char *name;
	enum settings_type type;
	const char *unit; /* of the number in the struct; "" where it is none */
	/*
	 * As it would be in the file; "" is an empty value; NULL: the key has to be given.
	 * "STATE/..." is below node.state, "DIRNAME(root)/.mimeo-BASENAME(root)" beside node.root.
	 */
	const char *def;
	uint64_t min;
	uint64_t max;
	const char *help; /* sentences in lines of at most 90 bytes, the last without a newline */
	size_t offset;    /* in struct settings; for section "peer", in struct settings_peer */
};

/* All keys, grouped by section, in the order in which a file is best written. */
const struct settings_key *settings_keys(size_t *count);
/* What one section is for, in the manner of a key's help; NULL if there is none of that name. */
const char *settings_section_help(const char *section);

/*
 * Reads a configuration from memory. `file` names it in messages and, if it is absolute, must not
 * lie below node.root. 0 and *out, which the caller frees with settings_free; -EINVAL or -ENOMEM,
 * with *out NULL and err filled: one line "FILE:LINE: what is wrong, what is allowed" (without a
 * newline) about the problem that comes first in the text. No file is touched, no name is looked
 * up.
 *
 * Checked beyond each value by itself: node.name, root and state are given; no key but watch.ignore
 * twice; root, state and work lie apart (work may be ROOT/.mimeo); run, the ssh files, the hook and
 * the configuration do not lie below root or work; sync.ping is shorter than sync.timeout.
 */
NODISCARD int settings_parse(const char *file, const char *text, size_t len, struct settings **out,
			     char *err, size_t errlen);
/*
 * Reads a file, then as settings_parse; the paths are checked once more with symbolic links
 * followed as far as they exist. Beyond the errors of settings_parse: -errno of open or read, with
 * err "FILE: cannot open: ..." or "FILE: cannot read: ...".
 */
NODISCARD int settings_load(const char *file, struct settings **out, char *err, size_t errlen);
void settings_free(struct settings *s); /* NULL is fine */

/* What `mimeo init` knows; name, root and state are never NULL. Borrowed for the call. */
struct settings_sample {
	const char *name;
	const char *root;
	const char *state;
	const char *work;    /* NULL: the default */
	const char *address; /* a comma list; NULL: none */
};

/*
 * Writes a configuration with all keys and what they mean; those that are at their defaults begin
 * with ';'. It is read back: so -EINVAL and err as of settings_parse if a value is not allowed,
 * with `file` as the name of what will be written. 0 and *text (the caller frees it with free);
 * -EINVAL; -ENOMEM.
 */
NODISCARD int settings_write_sample(const char *file, const struct settings_sample *sample,
				    char **text, char *err, size_t errlen);

#endif
