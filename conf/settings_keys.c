/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of all keys that a configuration may have. */
#include "config.h"

#include "conf/settings.h"

#include <string.h>

#include "proto/msg.h"

#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define KIB ((uint64_t)1 << 10)
#define TIB ((uint64_t)1 << 40)

#define AT(field) offsetof(struct settings, field)
#define AT_PEER(field) offsetof(struct settings_peer, field)

/* clang-format off */
static const struct settings_key keys[] = {
	{ "node", "name", SETTINGS_T_NAME, "", NULL, 0, 0,
	  "This node's name, unique in the cluster: a-z 0-9 -, 1 to 63 of them.", AT(name) },
	{ "node", "root", SETTINGS_T_PATH, "", NULL, 0, 0,
	  "The mirrored directory, absolute.", AT(root) },
	{ "node", "state", SETTINGS_T_PATH, "", NULL, 0, 0,
	  "Where the log of changes and the keys lie; mode 0700.", AT(state) },
	{ "node", "work", SETTINGS_T_PATH, "", "DIRNAME(root)/.mimeo-BASENAME(root)", 0, 0,
	  "What is under way, and what is kept of replaced and deleted files; on the root's file\n"
	  "system, mode 0700. ROOT/.mimeo only where the root is a mount point itself.",
	  AT(work) },
	{ "node", "run", SETTINGS_T_PATH, "", "STATE/run", 0, 0,
	  "The directory of the sockets, at most 91 bytes.", AT(run) },
	{ "node", "address", SETTINGS_T_ADDRESSES, "", "", 0, 0,
	  "What the others dial, HOST:PORT of an sshd; several with commas. Empty: nobody can\n"
	  "dial this node, it dials them.",
	  AT(address) },

	{ "watch", "ignore", SETTINGS_T_IGNORE, "", "*.tmp, .DS_Store", 0, 0,
	  "What is not mirrored: gitignore's rules, with commas; may repeat. Empty: nothing.",
	  AT(ignore) },
	{ "watch", "settle", SETTINGS_T_DURATION, "ms", "500ms", 0, HOUR,
	  "A closed file is taken at once; one that changes again within this time is taken when\n"
	  "it was quiet that long.",
	  AT(settle_ms) },
	{ "watch", "rescan", SETTINGS_T_DURATION, "ms", "1h", 100, 30 * DAY,
	  "So often the whole tree is looked through, in case an event was lost.",
	  AT(rescan_ms) },

	{ "sync", "interval", SETTINGS_T_DURATION, "ms", "5s", 10, HOUR,
	  "At the latest so often a peer is asked what it has. Changes are announced at once.",
	  AT(interval_ms) },
	{ "sync", "rate_limit", SETTINGS_T_SIZE, "bytes/s", "0", 0, TIB,
	  "Bytes per second and peer. 0: no limit.", AT(rate_limit) },
	{ "sync", "inline_max", SETTINGS_T_SIZE, "bytes", "64K", 0, MSG_INLINE_BYTES_MAX,
	  "Files up to this size, inclusive, travel with the announcement of the change.",
	  AT(inline_max) },
	{ "sync", "delta_min", SETTINGS_T_SIZE, "bytes", "1M", 0, 1024 * TIB,
	  "From this size on, only the differences of a changed file are sent, where that wins.",
	  AT(delta_min) },
	{ "sync", "owner", SETTINGS_T_OWNER, "", "inherit", 0, 0,
	  "Who owns a file that came from a peer. inherit: who owns the directory, or the file\n"
	  "that is replaced. preserve: who owns it there, by name. USER:GROUP: always these.",
	  AT(owner_mode) },
	{ "sync", "retry_max", SETTINGS_T_DURATION, "ms", "60s", 100, HOUR,
	  "What fails is tried again after longer and longer times, up to this one.",
	  AT(retry_max_ms) },
	{ "sync", "ping", SETTINGS_T_DURATION, "ms", "2s", 10, 10 * MINUTE,
	  "A connection that was quiet so long is asked for a sign of life.", AT(ping_ms) },
	{ "sync", "timeout", SETTINGS_T_DURATION, "ms", "8s", 100, HOUR,
	  "A connection that was quiet so long is given up. Longer than ping.",
	  AT(timeout_ms) },

	{ "guard", "max_delete", SETTINGS_T_LIMIT, "", "100, 10%", 0, 1000000000,
	  "COUNT, PERCENT%: deletes are held above the larger of a number and a share of the\n"
	  "files, from one scan or from one node in 10 minutes. Renames do not count.",
	  AT(max_delete_count) },
	{ "guard", "min_free", SETTINGS_T_SIZE, "bytes", "1G", 0, 1024 * TIB,
	  "What is to stay free on the file system: below it, nothing is fetched.",
	  AT(min_free) },

	{ "trash", "keep", SETTINGS_T_DURATION, "ms", "30d", SECOND, 3650 * DAY,
	  "So long replaced and deleted files are kept.", AT(trash_keep_ms) },
	{ "trash", "max_size", SETTINGS_T_SIZE, "bytes", "10G", 1, 1024 * TIB,
	  "Above this size the oldest go earlier, but none that is younger than a day.",
	  AT(trash_max_size) },
	{ "trash", "tombstones", SETTINGS_T_DURATION, "ms", "400d", SECOND, 3650 * DAY,
	  "So long a delete is remembered; longer until every member has applied it.",
	  AT(tombstones_ms) },

	{ "store", "immutable", SETTINGS_T_SWITCH, "", "no", 0, 0,
	  "yes: files at paths of the form HH/HASH/NAME keep the content that HASH names.",
	  AT(immutable) },

	{ "scrub", "every", SETTINGS_T_DURATION, "ms", "30d", SECOND, 3650 * DAY,
	  "So often every file is read and compared with its checksum.", AT(scrub_every_ms) },
	{ "scrub", "rate", SETTINGS_T_SIZE, "bytes/s", "20M", KIB, TIB,
	  "Bytes per second for that.", AT(scrub_rate) },

	{ "http", "listen", SETTINGS_T_ADDRESS, "", "127.0.0.1:9477", 0, 0,
	  "HOST:PORT of metrics, status page and miss handler. Empty: off.", AT(http_listen) },

	{ "hook", "applied", SETTINGS_T_PROGRAM, "", "", 0, 0,
	  "A program, such as /usr/local/bin/purge, that is run without a shell after a batch was\n"
	  "applied, with the paths on standard input, each with a NUL behind it. Empty: none.",
	  AT(hook_applied) },

	{ "log", "format", SETTINGS_T_FORMAT, "", "text", 0, 0,
	  "text or json.", AT(log_format) },
	{ "log", "level", SETTINGS_T_LEVEL, "", "info", 0, 0,
	  "error, warn, info or debug.", AT(log_level) },

	{ "ssh", "key", SETTINGS_T_PATH, "", "STATE/id_ed25519", 0, 0,
	  "The private key this node logs in with.", AT(ssh_key) },
	{ "ssh", "known_hosts", SETTINGS_T_PATH, "", "STATE/known_hosts", 0, 0,
	  "The host keys of the others.", AT(ssh_known_hosts) },
	{ "ssh", "authorized_keys", SETTINGS_T_PATH, "", "STATE/authorized_keys", 0, 0,
	  "Who may log in here.", AT(ssh_authorized_keys) },
	{ "ssh", "user", SETTINGS_T_USER, "", "mimeo", 0, 0,
	  "The user that the others log in as on this node.", AT(ssh_user) },

	{ "discovery", "serf", SETTINGS_T_ADDRESS, "", "", 0, 0,
	  "HOST:PORT of a Serf agent's RPC, such as 127.0.0.1:7373, to learn addresses from.\n"
	  "Empty: off.",
	  AT(serf) },
	{ "discovery", "serf_key", SETTINGS_T_PROGRAM, "", "", 0, 0,
	  "A file with that agent's RPC key (its rpc_auth), mode 0600. Empty: it has none.",
	  AT(serf_key) },
	{ "discovery", "dns", SETTINGS_T_DOMAIN, "", "", 0, 0,
	  "A domain whose SRV records _mimeo._tcp.DOMAIN tell where members are: the first label of\n"
	  "a target is the member's name. Empty: off.",
	  AT(dns) },

	{ "peer", "address", SETTINGS_T_ADDRESSES, "", "", 0, 0,
	  "What is dialled, HOST:PORT of its sshd; several with commas. Empty: it dials us.",
	  AT_PEER(address) },
	{ "peer", "user", SETTINGS_T_USER, "", "mimeo", 0, 0,
	  "The user to log in as on that node.", AT_PEER(user) },
};
/* clang-format on */

static const struct {
	const char *name;
	const char *help;
} sections[] = {
	{"node", "This server, and where things lie."},
	{"watch", "How changes of the mirrored directory are noticed."},
	{"sync", "How changes travel."},
	{"guard", "What is not believed without asking."},
	{"trash", "What is kept of replaced and deleted files."},
	{"store", "Files that are named by their content."},
	{"scrub", "Reading everything again, to find what a disk has lost."},
	{"http", "Metrics and status."},
	{"hook", "Programs that are told."},
	{"log", "What the daemons say."},
	{"ssh", "Keys and the user of this node."},
	{"discovery",
	 "Where else the addresses of the members may come from. None of it is needed, and\n"
	 "nobody becomes a member by it."},
	{"peer",
	 "Where a node is, besides what it says itself; one section each. A first one is dialled\n"
	 "where ssh.known_hosts has its host key under this name; it has to let this node in, and\n"
	 "the others are learned from it. A section with this node's own name is left out, so "
	 "that\n"
	 "all nodes may have the same list."},
};

const struct settings_key *
settings_keys(size_t *count)
{
	*count = ARRAY_LEN(keys);
	return keys;
}

const char *
settings_section_help(const char *section)
{
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		if (strcmp(sections[i].name, section) == 0)
			return sections[i].help;
	}
	return NULL;
}
