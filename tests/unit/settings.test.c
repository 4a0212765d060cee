/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration: every default, every good value, and for every bad file its one exact line. */
#include "config.h"

#include "conf/settings.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/ini.h"
#include "tests/tap.h"

/* The least that a configuration needs: lines 1 to 4. */
#define NODE "[node]\nname = web1\nroot = /srv/media\nstate = /var/mimeo\n"

static char err[SETTINGS_ERROR_BYTES_MAX];

/* Parses memory of exactly that size, so that a read behind the end is seen by the sanitizer. */
static int
parse_bytes(const char *text, size_t len, struct settings **out)
{
	char *exact = malloc(len ? len : 1);
	int rc;

	if (!exact)
		abort();
	memcpy(exact, text, len);
	err[0] = '\0';
	rc = settings_parse("f", exact, len, out, err, sizeof(err));
	free(exact);
	return rc;
}

static int
parse(const char *text, struct settings **out)
{
	return parse_bytes(text, strlen(text), out);
}

/* Parses what has to be right; behind NODE if it is not a whole file. Never returns NULL. */
static struct settings *
good(const char *more)
{
	char text[8192];
	struct settings *s;
	bool whole = strncmp(more, "[node]", 6) == 0;

	snprintf(text, sizeof(text), "%s%s", whole ? "" : NODE, more);
	if (parse(text, &s) != 0) {
		ok(false, "'%s' is fine (%s)", more, err);
		exit(tap_done());
	}
	return s;
}

static void
is_bad(const char *more, const char *message)
{
	char text[16384], name[61];
	struct settings *s;

	/* A test's name is one line of plain text. */
	snprintf(name, sizeof(name), "%s", more);
	for (char *p = name; *p; p++) {
		if (*p == '\n')
			*p = '|';
		else if (*p < 0x20 || *p >= 0x7f || *p == '#')
			*p = '?';
	}
	snprintf(text, sizeof(text), "%s%s", NODE, more);
	is_int(parse(text, &s), -EINVAL, "refused: %s", name);
	is_str(err, message, "says so");
	ok(s == NULL, "and hands out nothing");
	settings_free(s);
}

/* ---- what is right ---- */

static void
test_defaults(void)
{
	struct settings *s = good("");

	is_str(s->name, "web1", "name");
	is_str(s->root, "/srv/media", "root");
	is_str(s->state, "/var/mimeo", "state");
	is_str(s->work, "/srv/.mimeo-media", "work is beside the root");
	is_str(s->run, "/var/mimeo/run", "run is below state");
	is_int(s->address.count, 0, "no address");
	ok(ignore_match(s->ignore, "a/x.tmp", 7, false), "*.tmp is ignored");
	ok(ignore_match(s->ignore, "a/.DS_Store", 11, false), ".DS_Store is ignored");
	ok(!ignore_match(s->ignore, "a/x.jpg", 7, false), "nothing else is");
	is_int(s->settle_ms, 500, "settle");
	is_int(s->rescan_ms, 3600000, "rescan");
	is_int(s->interval_ms, 5000, "interval");
	is_int(s->rate_limit, 0, "rate_limit");
	is_int(s->inline_max, 65536, "inline_max");
	is_int(s->delta_min, 1048576, "delta_min");
	is_int(s->owner_mode, OWNER_INHERIT, "owner");
	ok(!s->owner_user && !s->owner_group, "owner has no names");
	is_int(s->retry_max_ms, 60000, "retry_max");
	is_int(s->ping_ms, 2000, "ping");
	is_int(s->timeout_ms, 8000, "timeout");
	is_int(s->max_delete_count, 100, "max_delete count");
	is_int(s->max_delete_percent, 10, "max_delete percent");
	is_int(s->min_free, 1LL << 30, "min_free");
	is_int(s->trash_keep_ms, 30LL * 86400000, "trash.keep");
	is_int(s->trash_max_size, 10LL << 30, "trash.max_size");
	ok(!s->immutable, "immutable");
	is_int(s->scrub_every_ms, 30LL * 86400000, "scrub.every");
	is_int(s->scrub_rate, 20 << 20, "scrub.rate");
	is_str(s->http_listen.host, "127.0.0.1", "http.listen host");
	is_int(s->http_listen.port, 9477, "http.listen port");
	ok(s->hook_applied == NULL, "no hook");
	is_int(s->log_format, LOG_TEXT, "log.format");
	is_int(s->log_level, LOG_INFO, "log.level");
	is_str(s->ssh_key, "/var/mimeo/id_ed25519", "ssh.key");
	is_str(s->ssh_known_hosts, "/var/mimeo/known_hosts", "ssh.known_hosts");
	is_str(s->ssh_authorized_keys, "/var/mimeo/authorized_keys", "ssh.authorized_keys");
	is_str(s->ssh_user, "mimeo", "ssh.user");
	ok(s->serf.text == NULL, "no serf");
	is_int(s->peer_count, 0, "no peers");
	settings_free(s);
	s = good("[node]\nname=a\nroot=/media\nstate=/s\n");
	is_str(s->work, "/.mimeo-media", "work beside a root that is just below /");
	settings_free(s);
	settings_free(NULL);
}

static const char everything[] =
	"[node]\n"
	"name    = web-1        ; a comment\n"
	"root    = /srv/www/me dia;x\n"
	"state   = /var/lib/mimeo\n"
	"work    = /srv/www/me dia;x/.mimeo\n"
	"run     = /run/mimeo\n"
	"address = web1.example.com:22, 10.0.0.1:2222 ,[2001:db8::1]:22\n"
	"\n"
	"   ; an indented comment\n"
	"[watch]           ; what is watched\n"
	"ignore  = *.bak, /cache/ ,\\,x, [!a]z\n"
	"settle  = 1500ms\n"
	"ignore  = !keep.bak\n"
	"rescan  = 2h\n"
	"[sync]\n"
	"interval = 10ms\n"
	"rate_limit = 3M\n"
	"inline_max = 512K\n"
	"delta_min = 0\n"
	"owner = www-data:web_2\n"
	"retry_max = 1m\n"
	"ping = 1s\n"
	"timeout = 1001ms\n"
	"[guard]\n"
	"max_delete = 0, 100%\n"
	"min_free = 0\n"
	"[trash]\n"
	"keep = 3650d\n"
	"max_size = 1024T\n"
	"[store]\n"
	"immutable = yes\n"
	"[scrub]\n"
	"every = 1s\n"
	"rate = 1024\n"
	"[http]\n"
	"listen = [::1]:65535\n"
	"[hook]\n"
	"applied = /usr/local/bin/purge all\n"
	"[log]\n"
	"format = json\n"
	"level = debug\n"
	"[ssh]\n"
	"key = /etc/mimeo/key\n"
	"known_hosts = /etc/mimeo/hosts\n"
	"authorized_keys = /etc/mimeo/authorized\n"
	"user = Sync.user_1-x\n"
	"[discovery]\n"
	"serf = localhost:7373\n"
	"[peer web2]\n"
	"address = web2:1\n"
	"[peer  web-3]\n"
	"[peer web-1]\n"
	"address = self:22\n"
	"[peer web2]\n"
	"user = other\n"
	"[peer x23456789012345678901234567890123456789012345678901234567890123]\n"
	"address =\n"
	"[watch]\n";

static void
check_everything(const struct settings *s)
{
	is_str(s->root, "/srv/www/me dia;x", "a path with a blank and a ;");
	is_str(s->work, "/srv/www/me dia;x/.mimeo", "work may be ROOT/.mimeo");
	is_str(s->run, "/run/mimeo", "run");
	is_int(s->address.count, 3, "three addresses");
	is_str(s->address.items[1].text, "10.0.0.1:2222", "the second as written");
	is_str(s->address.items[2].host, "2001:db8::1", "IPv6 without brackets");
	is_int(s->address.items[2].port, 22, "and its port");
	ok(!ignore_match(s->ignore, "a.tmp", 5, false), "the default is replaced");
	ok(ignore_match(s->ignore, "a.bak", 5, false), "first line of ignore");
	ok(ignore_match(s->ignore, ",x", 2, false), "a comma behind a backslash");
	ok(!ignore_match(s->ignore, "keep.bak", 8, false), "second line of ignore");
	is_int(s->settle_ms, 1500, "settle");
	is_int(s->rescan_ms, 7200000, "rescan");
	is_int(s->interval_ms, 10, "interval");
	is_int(s->rate_limit, 3 << 20, "rate_limit");
	is_int(s->inline_max, 512 << 10, "inline_max");
	is_int(s->delta_min, 0, "delta_min");
	is_int(s->owner_mode, OWNER_FIXED, "owner");
	is_str(s->owner_user, "www-data", "owner's user");
	is_str(s->owner_group, "web_2", "owner's group");
	is_int(s->retry_max_ms, 60000, "retry_max");
	is_int(s->ping_ms, 1000, "ping");
	is_int(s->timeout_ms, 1001, "timeout");
	is_int(s->max_delete_count, 0, "max_delete count");
	is_int(s->max_delete_percent, 100, "max_delete percent");
	is_int(s->min_free, 0, "min_free");
	is_int(s->trash_keep_ms, 3650LL * 86400000, "keep");
	is_int(s->trash_max_size, 1LL << 50, "max_size");
	ok(s->immutable, "immutable");
	is_int(s->scrub_every_ms, 1000, "every");
	is_int(s->scrub_rate, 1024, "rate");
	is_str(s->http_listen.host, "::1", "listen");
	is_str(s->hook_applied, "/usr/local/bin/purge all", "applied");
	is_int(s->log_format, LOG_JSON, "format");
	is_int(s->log_level, LOG_DEBUG, "level");
	is_str(s->ssh_key, "/etc/mimeo/key", "key");
	is_str(s->ssh_known_hosts, "/etc/mimeo/hosts", "known_hosts");
	is_str(s->ssh_authorized_keys, "/etc/mimeo/authorized", "authorized_keys");
	is_str(s->ssh_user, "Sync.user_1-x", "user");
	is_str(s->serf.text, "localhost:7373", "serf");
	is_int(s->peer_count, 3, "three peers, itself left out");
	is_str(s->peers[0].name, "web2", "a peer");
	is_str(s->peers[0].user, "other", "whose section goes on later");
	is_str(s->peers[0].address.items[0].host, "web2", "its address");
	is_str(s->peers[1].name, "web-3", "a peer without keys");
	is_str(s->peers[1].user, "mimeo", "has the default user");
	is_int(strlen(s->peers[2].name), 63, "a peer with the longest name");
}

static void
test_everything(void)
{
	struct settings *s = good(everything);

	check_everything(s);
	settings_free(s);
}

/* One value each; `field` is what the number in the struct has to be. */
static void
test_good_values(void)
{
	static const struct {
		const char *section, *value;
		size_t offset;
		uint64_t want;
	} values[] = {
		{"watch", "settle = 0", offsetof(struct settings, settle_ms), 0},
		{"watch", "settle = 0s", offsetof(struct settings, settle_ms), 0},
		{"watch", "settle=1h", offsetof(struct settings, settle_ms), 3600000},
		{"watch", "rescan\t=\t100ms", offsetof(struct settings, rescan_ms), 100},
		{"watch", "rescan = 30d", offsetof(struct settings, rescan_ms), 2592000000},
		{"sync", "interval = 007s", offsetof(struct settings, interval_ms), 7000},
		{"sync", "rate_limit = 1T", offsetof(struct settings, rate_limit), 1099511627776},
		{"sync", "inline_max = 0", offsetof(struct settings, inline_max), 0},
		{"sync", "inline_max = 524288", offsetof(struct settings, inline_max), 524288},
		{"guard", "min_free = 17", offsetof(struct settings, min_free), 17},
		{"guard", "max_delete = 7,0%", offsetof(struct settings, max_delete_count), 7},
		{"guard", "max_delete = 7 , 9%", offsetof(struct settings, max_delete_percent), 9},
		{"trash", "max_size = 1", offsetof(struct settings, trash_max_size), 1},
		{"trash", "keep = 1s ;", offsetof(struct settings, trash_keep_ms), 1000},
	};

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		char more[256];
		struct settings *s;
		uint64_t got;

		snprintf(more, sizeof(more), "[%s]\n%s\n", values[i].section, values[i].value);
		s = good(more);
		memcpy(&got, (const char *)s + values[i].offset, sizeof(got));
		is_int(got, values[i].want, "%s", values[i].value);
		settings_free(s);
	}
}

static void
test_good_words(void)
{
	struct settings *s = good("[sync]\nowner = preserve\n[log]\nlevel = error\n");

	ok(s->owner_mode == OWNER_PRESERVE && !s->owner_user, "owner = preserve");
	is_int(s->log_level, LOG_ERROR, "level = error");
	settings_free(s);
	s = good("[sync]\nowner = inherit\n[log]\nlevel = warn\nformat = text\n[store]\n"
		 "immutable=no");
	is_int(s->owner_mode, OWNER_INHERIT, "owner = inherit");
	is_int(s->log_level, LOG_WARN, "level = warn");
	settings_free(s);
	s = good("[http]\nlisten =\n[hook]\napplied = ; none\n[discovery]\nserf =\n"
		 "[watch]\nignore =\n");
	ok(!s->http_listen.text && !s->http_listen.host, "listen can be off");
	ok(!s->hook_applied && !s->serf.text, "hook and serf too");
	ok(!ignore_match(s->ignore, "x.tmp", 5, false), "an empty ignore ignores nothing");
	settings_free(s);
	s = good("work = /srv/media-work\nrun = /srv/mediarun\n[ssh]\nkey = /srv/media.key\n");
	is_str(s->work, "/srv/media-work", "names that begin with the root's are not below it");
	settings_free(s);
}

/* The same text in the manner of other editors. */
static void
test_good_texts(void)
{
	char text[4096] = "\xef\xbb\xbf";
	struct settings *s;
	size_t n = 3;

	for (const char *p = everything; *p; p++) {
		if (*p == '\n')
			text[n++] = '\r';
		text[n++] = *p;
	}
	is_int(parse_bytes(text, n, &s), 0, "byte order mark and CRLF (%s)", err);
	if (s)
		check_everything(s);
	settings_free(s);
	is_int(parse_bytes(text, n - 2, &s), 0, "no line end at the end");
	settings_free(s);
	is_int(parse_bytes(NODE, strlen(NODE) - 1, &s), 0, "no line end behind the last value");
	is_str(s ? s->state : NULL, "/var/mimeo", "which is whole");
	settings_free(s);
	s = good("  \t \n\n#x\n;y\n\t# z = [\n[http] ; y\n[log]\n");
	settings_free(s);
}

static void
test_line_limit(void)
{
	char line[512] = "[watch]\nignore = ", want[512];
	size_t head = strlen("[watch]\n"), at = strlen(line);
	struct settings *s;

	while (at < head + INI_LINE_BYTES_MAX)
		line[at++] = 'x';
	line[at] = '\0';
	s = good(line);
	ok(ignore_match(s->ignore, line + head + 9, INI_LINE_BYTES_MAX - 9, false),
	   "a value of a line of 198 bytes is whole");
	settings_free(s);
	memcpy(line + at, "\r\n", 3);
	s = good(line);
	ok(ignore_match(s->ignore, line + head + 9, INI_LINE_BYTES_MAX - 9, false),
	   "with CRLF too");
	settings_free(s);
	memcpy(line + at, "y\n", 3);
	snprintf(want, sizeof(want), "f:6: the line has 199 bytes, allowed are 198");
	is_bad(line, want);
	line[head] = ';';
	is_bad(line, want);
}

/* ---- what is wrong ---- */

#define PATH_ALLOWED                                                                               \
	"allowed is an absolute path below / without . or .., and without // or a / at the end"
#define DURATION_ALLOWED "is no duration, allowed is a number with ms, s, m, h or d"
#define SIZE_ALLOWED "is no size, allowed is a number, or one with K, M, G or T"
#define ADDRESS_ALLOWED                                                                            \
	"is no address, allowed is HOST:PORT or [IPV6]:PORT with a port of 1 to 65535"
#define USER_ALLOWED                                                                               \
	"is no user, allowed is 1 to 32 letters, digits, _ . -, with no . or - at the beginning"
#define OWNER_ALLOWED "is no owner, allowed is inherit, preserve or USER:GROUP"
#define LIMIT_ALLOWED                                                                              \
	"is no limit, allowed is COUNT, PERCENT% of up to 1000000000 and 100%, such as 100, 10%"
#define IGNORE_ALLOWED "allowed are gitignore's patterns with commas between them"
#define PEER_ALLOWED                                                                               \
	"has no proper name, allowed is [peer NAME] with 1 to 63 of a-z 0-9 -, with no - at "      \
	"either end"
#define NODE_KEYS "in [node], allowed are name, root, state, work, run, address"

/* Lines behind NODE; so the first is line 5. */
/* clang-format off */
static const struct {
	const char *more;
	const char *message;
} bad[] = {
	/* lines that inih would read in its own way */
	{ "junk\n", "f:5: no '=' in 'junk', allowed is KEY = VALUE" },
	{ "run : /x\n", "f:5: no '=' in 'run : /x', allowed is KEY = VALUE" },
	{ "web:22 = 3\n", "f:5: 'web:22' is no key, allowed are a-z, 0-9 and _" },
	{ "run ; x = /y\n", "f:5: 'run ; x' is no key, allowed are a-z, 0-9 and _" },
	{ "Run = /y\n", "f:5: 'Run' is no key, allowed are a-z, 0-9 and _" },
	{ "= x\n", "f:5: nothing stands before the '=', allowed is KEY = VALUE" },
	{ " run = /x\n",
	  "f:5: the line begins with a blank, allowed is that only before a comment" },
	{ "\t[log]\n", "f:5: the line begins with a blank, allowed is that only before a comment" },
	{ "run = /x\x01\n", "f:5: the line has the control character 0x01, allowed is plain text" },
	{ "run = /x\ry\n", "f:5: the line has the control character 0x0d, allowed is plain text" },
	{ "run = \x7f\n", "f:5: the line has the control character 0x7f, allowed is plain text" },
	{ "; \x1b[31m\n", "f:5: the line has the control character 0x1b, allowed is plain text" },
	{ "\xef\xbb\xbfrun = /x\n",
	  "f:5: '\xef\xbb\xbfrun' is no key, allowed are a-z, 0-9 and _" },
	{ "run = \"/x\"\n", "f:5: the value of run is in quotes, allowed is the plain value" },
	{ "run = '/x'\n", "f:5: the value of run is in quotes, allowed is the plain value" },
	{ "run = /x # y\n", "f:5: ' # ' begins no comment behind a value, allowed is ' ; '" },
	{ "run = /x #\n", "f:5: ' # ' begins no comment behind a value, allowed is ' ; '" },
	{ "[log\n", "f:5: the section has no ']', allowed is [NAME]" },
	{ "[log] x\n",
	  "f:5: text behind the ']' of a section, allowed is a comment that begins with ';'" },
	{ "[log]]\n",
	  "f:5: text behind the ']' of a section, allowed is a comment that begins with ';'" },
	{ "[peer x234567890123456789012345678901234567890123456789012345678901234]\n",
	  "f:5: the section's name has 69 bytes, allowed are 68" },
	/* sections and keys */
	{ "[nodes]\n",
	  "f:5: unknown section [nodes], allowed are [node], [watch], [sync], [guard], [trash], "
	  "[store], [scrub], [http], [hook], [log], [ssh], [discovery], [peer NAME]" },
	{ "\n[ log]\n",
	  "f:6: unknown section [ log], allowed are [node], [watch], [sync], [guard], [trash], "
	  "[store], [scrub], [http], [hook], [log], [ssh], [discovery], [peer NAME]" },
	{ "[]\n", "f:5: unknown section [], allowed are [node], [watch], [sync], [guard], [trash], "
		  "[store], [scrub], [http], [hook], [log], [ssh], [discovery], [peer NAME]" },
	{ "[peer]\n", "f:5: [peer] " PEER_ALLOWED },
	{ "[peer ]\n", "f:5: [peer ] " PEER_ALLOWED },
	{ "[peer Web2]\n", "f:5: [peer Web2] " PEER_ALLOWED },
	{ "[peer a b]\n", "f:5: [peer a b] " PEER_ALLOWED },
	{ "nam = x\n", "f:5: unknown key 'nam' " NODE_KEYS },
	{ "interval = 5s\n", "f:5: unknown key 'interval' " NODE_KEYS },
	{ "[sync]\npings = 5s\n",
	  "f:6: unknown key 'pings' in [sync], allowed are interval, rate_limit, inline_max, "
	  "delta_min, owner, retry_max, ping, timeout" },
	{ "[peer x]\nname = x\n", "f:6: unknown key 'name' in [peer], allowed are address, user" },
	{ "name = web2\n",
	  "f:5: node.name is given twice, first in line 2; only watch.ignore may repeat" },
	{ "[log]\n[node]\nroot = /x\n",
	  "f:7: node.root is given twice, first in line 3; only watch.ignore may repeat" },
	{ "[peer x]\nuser = a\n[peer y]\nuser = b\n[peer x]\nuser = a\n",
	  "f:10: peer.user is given twice, first in line 6; only watch.ignore may repeat" },
	/* paths */
	{ "work =\n", "f:5: node.work: '' is no path here, " PATH_ALLOWED },
	{ "work = /\n", "f:5: node.work: '/' is no path here, " PATH_ALLOWED },
	{ "work = x/y\n", "f:5: node.work: 'x/y' is no path here, " PATH_ALLOWED },
	{ "work = /x/\n", "f:5: node.work: '/x/' is no path here, " PATH_ALLOWED },
	{ "run = /x//y\n", "f:5: node.run: '/x//y' is no path here, " PATH_ALLOWED },
	{ "run = /x/./y\n", "f:5: node.run: '/x/./y' is no path here, " PATH_ALLOWED },
	{ "run = /x/..\n", "f:5: node.run: '/x/..' is no path here, " PATH_ALLOWED },
	{ "[ssh]\nkey = id\n", "f:6: ssh.key: 'id' is no path here, " PATH_ALLOWED },
	{ "[hook]\napplied = purge\n",
	  "f:6: hook.applied: 'purge' is no path here, " PATH_ALLOWED },
	/* durations */
	{ "[sync]\ninterval =\n", "f:6: sync.interval: '' " DURATION_ALLOWED },
	{ "[sync]\ninterval = 5\n", "f:6: sync.interval: '5' " DURATION_ALLOWED },
	{ "[sync]\ninterval = s\n", "f:6: sync.interval: 's' " DURATION_ALLOWED },
	{ "[sync]\ninterval = -5s\n", "f:6: sync.interval: '-5s' " DURATION_ALLOWED },
	{ "[sync]\ninterval = +5s\n", "f:6: sync.interval: '+5s' " DURATION_ALLOWED },
	{ "[sync]\ninterval = 5 s\n", "f:6: sync.interval: '5 s' " DURATION_ALLOWED },
	{ "[sync]\ninterval = 5S\n", "f:6: sync.interval: '5S' " DURATION_ALLOWED },
	{ "[sync]\ninterval = 5sx\n", "f:6: sync.interval: '5sx' " DURATION_ALLOWED },
	{ "[sync]\ninterval = 1.5s\n", "f:6: sync.interval: '1.5s' " DURATION_ALLOWED },
	{ "[sync]\ninterval = 0x5s\n", "f:6: sync.interval: '0x5s' " DURATION_ALLOWED },
	{ "[sync]\ninterval = 5s#x\n", "f:6: sync.interval: '5s#x' " DURATION_ALLOWED },
	{ "[sync]\ninterval = 9ms\n",
	  "f:6: sync.interval: '9ms' is out of range, allowed is 10ms to 1h" },
	{ "[sync]\ninterval = 0\n",
	  "f:6: sync.interval: '0' is out of range, allowed is 10ms to 1h" },
	{ "[sync]\ninterval = 3601s\n",
	  "f:6: sync.interval: '3601s' is out of range, allowed is 10ms to 1h" },
	{ "[sync]\ninterval = 18446744073709551615ms\n",
	  "f:6: sync.interval: '18446744073709551615ms' is out of range, allowed is 10ms to 1h" },
	{ "[sync]\ninterval = 18446744073709552616ms\n",
	  "f:6: sync.interval: '18446744073709552616ms' is out of range, allowed is 10ms to 1h" },
	{ "[trash]\nkeep = 213503982335d\n",
	  "f:6: trash.keep: '213503982335d' is out of range, allowed is 1s to 3650d" },
	{ "[trash]\nkeep = 0\n", "f:6: trash.keep: '0' is out of range, allowed is 1s to 3650d" },
	{ "[watch]\nrescan = 31d\n",
	  "f:6: watch.rescan: '31d' is out of range, allowed is 100ms to 30d" },
	/* sizes */
	{ "[guard]\nmin_free = 1k\n", "f:6: guard.min_free: '1k' " SIZE_ALLOWED },
	{ "[guard]\nmin_free = 1KB\n", "f:6: guard.min_free: '1KB' " SIZE_ALLOWED },
	{ "[guard]\nmin_free = -1\n", "f:6: guard.min_free: '-1' " SIZE_ALLOWED },
	{ "[guard]\nmin_free = G\n", "f:6: guard.min_free: 'G' " SIZE_ALLOWED },
	{ "[guard]\nmin_free =\n", "f:6: guard.min_free: '' " SIZE_ALLOWED },
	{ "[guard]\nmin_free = 1e9\n", "f:6: guard.min_free: '1e9' " SIZE_ALLOWED },
	{ "[guard]\nmin_free = 99999999999999999999\n",
	  "f:6: guard.min_free: '99999999999999999999' is out of range, allowed is 0 to 1024T" },
	{ "[guard]\nmin_free = 16777216T\n",
	  "f:6: guard.min_free: '16777216T' is out of range, allowed is 0 to 1024T" },
	{ "[sync]\ninline_max = 513K\n",
	  "f:6: sync.inline_max: '513K' is out of range, allowed is 0 to 512K" },
	{ "[scrub]\nrate = 1023\n",
	  "f:6: scrub.rate: '1023' is out of range, allowed is 1K to 1T" },
	{ "[trash]\nmax_size = 0\n",
	  "f:6: trash.max_size: '0' is out of range, allowed is 1 to 1024T" },
	/* limits */
	{ "[guard]\nmax_delete = 100\n", "f:6: guard.max_delete: '100' " LIMIT_ALLOWED },
	{ "[guard]\nmax_delete = 10%\n", "f:6: guard.max_delete: '10%' " LIMIT_ALLOWED },
	{ "[guard]\nmax_delete = 10%, 100\n", "f:6: guard.max_delete: '10%, 100' " LIMIT_ALLOWED },
	{ "[guard]\nmax_delete = 100, 101%\n",
	  "f:6: guard.max_delete: '100, 101%' " LIMIT_ALLOWED },
	{ "[guard]\nmax_delete = 1000000001, 1%\n",
	  "f:6: guard.max_delete: '1000000001, 1%' " LIMIT_ALLOWED },
	{ "[guard]\nmax_delete = 1, 1%, 1\n", "f:6: guard.max_delete: '1, 1%, 1' " LIMIT_ALLOWED },
	{ "[guard]\nmax_delete = 1, %\n", "f:6: guard.max_delete: '1, %' " LIMIT_ALLOWED },
	{ "[guard]\nmax_delete = 1, 5 %\n", "f:6: guard.max_delete: '1, 5 %' " LIMIT_ALLOWED },
	{ "[guard]\nmax_delete =\n", "f:6: guard.max_delete: '' " LIMIT_ALLOWED },
	/* addresses */
	{ "address = web1\n", "f:5: node.address: 'web1' " ADDRESS_ALLOWED },
	{ "address = web1:0\n", "f:5: node.address: 'web1:0' " ADDRESS_ALLOWED },
	{ "address = web1:65536\n", "f:5: node.address: 'web1:65536' " ADDRESS_ALLOWED },
	{ "address = web1:\n", "f:5: node.address: 'web1:' " ADDRESS_ALLOWED },
	{ "address = :22\n", "f:5: node.address: ':22' " ADDRESS_ALLOWED },
	{ "address = web1:ssh\n", "f:5: node.address: 'web1:ssh' " ADDRESS_ALLOWED },
	{ "address = web1:-1\n", "f:5: node.address: 'web1:-1' " ADDRESS_ALLOWED },
	{ "address = a:1,\n", "f:5: node.address: '' " ADDRESS_ALLOWED },
	{ "address = a:1,,b:2\n", "f:5: node.address: '' " ADDRESS_ALLOWED },
	{ "address = a:1 b:2\n", "f:5: node.address: 'a:1 b:2' " ADDRESS_ALLOWED },
	{ "address = -oProxyCommand=x:1\n",
	  "f:5: node.address: '-oProxyCommand=x:1' " ADDRESS_ALLOWED },
	{ "address = -x:1\n", "f:5: node.address: '-x:1' " ADDRESS_ALLOWED },
	{ "address = a..b:1\n", "f:5: node.address: 'a..b:1' " ADDRESS_ALLOWED },
	{ "address = 1.2.3.400:1\n", "f:5: node.address: '1.2.3.400:1' " ADDRESS_ALLOWED },
	{ "address = ::1:22\n", "f:5: node.address: '::1:22' " ADDRESS_ALLOWED },
	{ "address = [::1]\n", "f:5: node.address: '[::1]' " ADDRESS_ALLOWED },
	{ "address = [::g]:1\n", "f:5: node.address: '[::g]:1' " ADDRESS_ALLOWED },
	{ "address = [web]:1\n", "f:5: node.address: '[web]:1' " ADDRESS_ALLOWED },
	{ "address = []:1\n", "f:5: node.address: '[]:1' " ADDRESS_ALLOWED },
	{ "[http]\nlisten = 9477\n", "f:6: http.listen: '9477' " ADDRESS_ALLOWED },
	{ "[http]\nlisten = a:1, b:2\n", "f:6: http.listen: 'a:1, b:2' " ADDRESS_ALLOWED },
	{ "[discovery]\nserf = x\n", "f:6: discovery.serf: 'x' " ADDRESS_ALLOWED },
	{ "[discovery]\nserf = web9:7373\n",
	  "f:6: discovery.serf: 'web9' is a name, allowed is an IP address or localhost, with a "
	  "port" },
	{ "[discovery]\nserf_key = key\n",
	  "f:6: discovery.serf_key: 'key' is no path here, allowed is an absolute path below / "
	  "without . or .., and without // or a / at the end" },
	{ "[discovery]\ndns = -x\n",
	  "f:6: discovery.dns: '-x' is no domain, allowed is one such as example.com" },
	{ "[discovery]\ndns = a..b\n", "f:6: discovery.dns: 'a..b' is no domain, allowed is one such as example.com" },
	{ "[peer x]\naddress = x\n", "f:6: peer.address: 'x' " ADDRESS_ALLOWED },
	{ "address=a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1\n",
	  "f:5: node.address: too many addresses, allowed are 16" },
	/* words */
	{ "[ssh]\nuser =\n", "f:6: ssh.user: '' " USER_ALLOWED },
	{ "[ssh]\nuser = -l\n", "f:6: ssh.user: '-l' " USER_ALLOWED },
	{ "[ssh]\nuser = a b\n", "f:6: ssh.user: 'a b' " USER_ALLOWED },
	{ "[peer x]\nuser = u12345678901234567890123456789012\n",
	  "f:6: peer.user: 'u12345678901234567890123456789012' " USER_ALLOWED },
	{ "[sync]\nowner = root\n", "f:6: sync.owner: 'root' " OWNER_ALLOWED },
	{ "[sync]\nowner = a:\n", "f:6: sync.owner: 'a:' " OWNER_ALLOWED },
	{ "[sync]\nowner = :b\n", "f:6: sync.owner: ':b' " OWNER_ALLOWED },
	{ "[sync]\nowner = a:b:c\n", "f:6: sync.owner: 'a:b:c' " OWNER_ALLOWED },
	{ "[store]\nimmutable = true\n",
	  "f:6: store.immutable: 'true' is no switch, allowed is yes or no" },
	{ "[store]\nimmutable =\n", "f:6: store.immutable: '' is no switch, allowed is yes or no" },
	{ "[log]\nformat = xml\n", "f:6: log.format: 'xml' is no format, allowed is text or json" },
	{ "[log]\nlevel = INFO\n",
	  "f:6: log.level: 'INFO' is no level, allowed is error, warn, info or debug" },
	/* patterns */
	{ "[watch]\nignore = a[\n",
	  "f:6: watch.ignore: 'a[': '[' without its ']', or an unknown [:class:], "
	  IGNORE_ALLOWED },
	{ "[watch]\nignore = a,\n", "f:6: watch.ignore: '': it is empty, " IGNORE_ALLOWED },
	{ "[watch]\nignore = a,,b\n", "f:6: watch.ignore: '': it is empty, " IGNORE_ALLOWED },
	{ "[watch]\nignore = a\nignore = b\\\n",
	  "f:7: watch.ignore: 'b\\': a backslash with nothing behind it, " IGNORE_ALLOWED },
	{ "[watch]\nignore = ../x\n",
	  "f:6: watch.ignore: '../x': a component . or .. fits no path, " IGNORE_ALLOWED },
	{ "[watch]\nignore = *.tmp # mine\n",
	  "f:6: ' # ' begins no comment behind a value, allowed is ' ; '" },
	/* what lies where */
	{ "work = /srv/media\n",
	  "f:5: node.work '/srv/media' and node.root '/srv/media' overlap, allowed are "
	  "directories apart or work = ROOT/.mimeo" },
	{ "work = /srv/media/work\n",
	  "f:5: node.work '/srv/media/work' and node.root '/srv/media' overlap, allowed are "
	  "directories apart or work = ROOT/.mimeo" },
	{ "work = /srv/media/.mimeo/x\n",
	  "f:5: node.work '/srv/media/.mimeo/x' and node.root '/srv/media' overlap, allowed are "
	  "directories apart or work = ROOT/.mimeo" },
	{ "work = /srv\n",
	  "f:5: node.work '/srv' and node.root '/srv/media' overlap, allowed are directories "
	  "apart or work = ROOT/.mimeo" },
	{ "work = /var/mimeo/work\n",
	  "f:5: node.work '/var/mimeo/work' and node.state '/var/mimeo' overlap, allowed are "
	  "directories apart" },
	{ "run = /srv/media/run\n",
	  "f:5: node.run '/srv/media/run' lies in node.root '/srv/media', allowed is a place "
	  "outside" },
	{ "run = /srv/.mimeo-media\n",
	  "f:5: node.run '/srv/.mimeo-media' lies in node.work '/srv/.mimeo-media', allowed is a "
	  "place outside" },
	{ "[ssh]\nkey = /srv/media/key\n",
	  "f:6: ssh.key '/srv/media/key' lies in node.root '/srv/media', allowed is a place "
	  "outside" },
	{ "[ssh]\nknown_hosts = /srv/media/a/b\n",
	  "f:6: ssh.known_hosts '/srv/media/a/b' lies in node.root '/srv/media', allowed is a "
	  "place outside" },
	{ "[ssh]\nauthorized_keys = /srv/media/a\n",
	  "f:6: ssh.authorized_keys '/srv/media/a' lies in node.root '/srv/media', allowed is a "
	  "place outside" },
	{ "[hook]\napplied = /srv/media/purge\n",
	  "f:6: hook.applied '/srv/media/purge' lies in node.root '/srv/media', allowed is a "
	  "place outside" },
	{ "work = /w\n[hook]\napplied = /w/stage/purge\n",
	  "f:7: hook.applied '/w/stage/purge' lies in node.work '/w', allowed is a place outside" },
	/* numbers that belong together */
	{ "[sync]\nping = 10s\n",
	  "f:6: sync.ping 10s is not shorter than sync.timeout 8s, allowed is a shorter one" },
	{ "[sync]\ntimeout = 1500ms\n",
	  "f:6: sync.ping 2s is not shorter than sync.timeout 1500ms, allowed is a shorter one" },
	{ "[sync]\nping = 20s\n\ntimeout = 15s\n",
	  "f:8: sync.ping 20s is not shorter than sync.timeout 15s, allowed is a shorter one" },
	/* the first problem wins, of whatever kind */
	{ "[log]\nlevel = x\nformat = y\n",
	  "f:6: log.level: 'x' is no level, allowed is error, warn, info or debug" },
	{ "[ssh]\nkey = /srv/media/key\n[log]\nlevel = x\n",
	  "f:6: ssh.key '/srv/media/key' lies in node.root '/srv/media', allowed is a place "
	  "outside" },
	{ "[log]\nlevel = x\n[ssh]\nkey = /srv/media/key\n",
	  "f:6: log.level: 'x' is no level, allowed is error, warn, info or debug" },
	{ "[sync]\nping = 20s\n[log]\nlevel = x\n[sync]\ntimeout = 30s\n",
	  "f:8: log.level: 'x' is no level, allowed is error, warn, info or debug" },
	{ "[ssh]\nknown_hosts = /srv/media/b\nkey = /srv/media/a\n",
	  "f:6: ssh.known_hosts '/srv/media/b' lies in node.root '/srv/media', allowed is a place "
	  "outside" },
};
/* clang-format on */

static void
test_bad(void)
{
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		is_bad(bad[i].more, bad[i].message);
}

/* Files of their own, whole. */
static void
test_bad_files(void)
{
	static const struct {
		const char *text;
		size_t len; /* 0: that of the string */
		const char *message;
	} files[] = {
		{"", 0, "f:1: node.name is missing, it has to be given"},
		{"\n\n[log]\n", 0, "f:1: node.name is missing, it has to be given"},
		{"\n\n[node]\n", 0, "f:3: node.name is missing, it has to be given"},
		{"\n[node]\nname = a\n[log]\n[node]\nstate = /s\n", 0,
		 "f:2: node.root is missing, it has to be given"},
		{"[node]\nname = a\nroot = /r\n", 0,
		 "f:1: node.state is missing, it has to be given"},
		{"[log]\nlevel = x\n", 0,
		 "f:2: log.level: 'x' is no level, allowed is error, warn, info or debug"},
		{"name = a\n", 0,
		 "f:1: 'name' stands before the first section, allowed is only behind a [NAME]"},
		{"[node]\nname = \n", 0,
		 "f:2: node.name: '' is no name, allowed is 1 to 63 of a-z 0-9 -, with no - at "
		 "either end"},
		{"[node]\nname = -a\n", 0,
		 "f:2: node.name: '-a' is no name, allowed is 1 to 63 of a-z 0-9 -, with no - at "
		 "either end"},
		{"[node]\nname = a-\n", 0,
		 "f:2: node.name: 'a-' is no name, allowed is 1 to 63 of a-z 0-9 -, with no - at "
		 "either end"},
		{"[node]\nname = web_1\n", 0,
		 "f:2: node.name: 'web_1' is no name, allowed is 1 to 63 of a-z 0-9 -, with no - "
		 "at either end"},
		{"[node]\nname = x234567890123456789012345678901234567890123456789012345678901234",
		 0,
		 "f:2: node.name: "
		 "'x234567890123456789012345678901234567890123456789012345678901234' is no name, "
		 "allowed is 1 to 63 of a-z 0-9 -, with no - at either end"},
		{"[node]\nname = a\nroot = /\n", 0,
		 "f:3: node.root: '/' is no path here, " PATH_ALLOWED},
		{"[node]\nstate = /r/s\nroot = /r\nname = a\n", 0,
		 "f:3: node.state '/r/s' and node.root '/r' overlap, allowed are directories "
		 "apart"},
		{"[node]\nroot = /s/r\nname = a\nstate = /s\n", 0,
		 "f:4: node.state '/s' and node.root '/s/r' overlap, allowed are directories "
		 "apart"},
		{"[node]\nroot = /s\nstate = /s\nname = A\n", 0,
		 "f:3: node.state '/s' and node.root '/s' overlap, allowed are directories "
		 "apart"},
		{"[node]\nname = a\nroot = /d/m\nstate = /d/.mimeo-m/s\n", 0,
		 "f:4: node.work '/d/.mimeo-m' and node.state '/d/.mimeo-m/s' overlap, allowed "
		 "are directories apart"},
		{"[node]\nname = a\0b\n", 18,
		 "f:2: the line has a NUL byte, allowed is plain text"},
		{"\0", 1, "f:1: the line has a NUL byte, allowed is plain text"},
		{"\xff\xfe[\0n\0", 6, "f:1: the line has a NUL byte, allowed is plain text"},
		{"\xef\xbb", 2, "f:1: no '=' in '\xef\xbb', allowed is KEY = VALUE"},
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct settings *s;
		size_t len = files[i].len ? files[i].len : strlen(files[i].text);

		is_int(parse_bytes(files[i].text, len, &s), -EINVAL, "whole file %zu is refused",
		       i);
		is_str(err, files[i].message, "it says so");
		settings_free(s);
	}
}

static void
append(char *text, size_t size, const char *more)
{
	size_t len = strlen(text);

	snprintf(text + len, size - len, "%s", more);
}

static void
test_limits(void)
{
	size_t size = INI_BYTES_MAX + 1;
	char *big = malloc(size), line[64];
	char text[16384] = NODE;
	struct settings *s;

	if (!big)
		abort();
	memset(big, '\n', size);
	memcpy(big, NODE, sizeof(NODE) - 1);
	is_int(parse_bytes(big, size - 1, &s), 0, "the largest text");
	settings_free(s);
	is_int(parse_bytes(big, size, &s), -EINVAL, "a byte more");
	is_str(err, "f:1: the text has 1048577 bytes, allowed are 1048576", "says so");
	free(big);

	for (int i = 0; i < SETTINGS_PEERS_MAX; i++) {
		snprintf(line, sizeof(line), "[peer p%d]\n", i);
		append(text, sizeof(text), line);
	}
	is_int(parse(text, &s), 0, "the most peers");
	is_int(s ? s->peer_count : 0, SETTINGS_PEERS_MAX, "are all there");
	settings_free(s);
	append(text, sizeof(text), "[peer p0]\n[peer one-more]\n");
	is_int(parse(text, &s), -EINVAL, "one more");
	is_str(err, "f:262: too many [peer NAME] sections, allowed are 256", "says so");

	snprintf(text, sizeof(text), "%s[watch]\n", NODE);
	for (int i = 0; i <= IGNORE_PATTERNS_MAX; i++)
		append(text, sizeof(text), i % 2 ? "ignore = b\n" : "ignore = a\n");
	is_int(parse(text, &s), -EINVAL, "too many patterns");
	is_str(err, "f:262: watch.ignore: too many patterns, allowed are 256", "says so");

	snprintf(text, sizeof(text), "%srun = /%0*d\n", NODE, SETTINGS_RUN_BYTES_MAX - 1, 0);
	is_int(parse(text, &s), 0, "the longest run");
	settings_free(s);
	snprintf(text, sizeof(text), "%srun = /%0*d\n", NODE, SETTINGS_RUN_BYTES_MAX, 0);
	is_int(parse(text, &s), -EINVAL, "a byte more");
	ok(strstr(err, "0' has 92 bytes, allowed are 91") &&
		   strncmp(err, "f:5: node.run '/0", 17) == 0,
	   "says so");
	snprintf(text, sizeof(text), "[node]\nname=a\nroot=/r\nstate=/%0*d\n", 100, 0);
	is_int(parse(text, &s), -EINVAL, "a state that leaves no room for run");
	ok(strncmp(err, "f:4: node.run '/0", 17) == 0, "is told at the line of state");
}

/* Whatever a damaged file says: it parses, or there is one line about it. */
static void
check_outcome(const char *text, size_t len, int *fine, int *wrong)
{
	struct settings *s;
	int rc = parse_bytes(text, len, &s);

	if (rc == 0 && s && err[0] == '\0')
		++*fine;
	else if (rc != -EINVAL || s || strncmp(err, "f:", 2) != 0 || strchr(err, '\n') ||
		 !strstr(err, ", "))
		++*wrong;
	settings_free(s);
}

static void
test_damage(void)
{
	size_t len = sizeof(everything) - 1;
	char text[sizeof(everything)];
	int fine = 0, wrong = 0, n = 0;

	for (size_t i = 0; i <= len; i++)
		check_outcome(everything, i, &fine, &wrong);
	is_int(wrong, 0, "every truncation parses or is told");
	ok(fine > 0 && fine < (int)len, "%d of %zu parse", fine, len);
	fine = 0;
	for (size_t i = 0; i < len; i++) {
		static const unsigned char flips[] = {0x01, 0x20, 0x80, 0xff};

		for (size_t f = 0; f < sizeof(flips); f++, n++) {
			memcpy(text, everything, len);
			text[i] = (char)((unsigned char)text[i] ^ flips[f]);
			check_outcome(text, len, &fine, &wrong);
		}
	}
	is_int(wrong, 0, "every flipped byte parses or is told");
	ok(fine > 0 && fine < n, "%d of %d parse", fine, n);
}

/* A short buffer for the error is filled as far as it goes. */
static void
test_short_error(void)
{
	struct settings *s;
	char small[8];

	is_int(settings_parse("file", "x", 1, &s, small, sizeof(small)), -EINVAL, "refused");
	is_str(small, "file:1:", "a cut message is terminated");
	is_int(settings_parse("file", "x", 1, &s, NULL, 0), -EINVAL, "no buffer at all");
}

/* ---- files ---- */

/* A file in the directory that holds this text. */
static void
put_file(const char *dir, const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f || fputs(text, f) == EOF || fclose(f) != 0)
		abort();
}

static void
is_load(const char *dir, const char *name, int rc, const char *fmt)
{
	char path[512], want[4096], expanded[2048];
	struct settings *s;
	size_t n = 0;

	/* '@' in the wanted message is the directory. */
	for (const char *p = fmt; *p; p++)
		n += (size_t)snprintf(expanded + n, sizeof(expanded) - n, "%.*s",
				      *p == '@' ? (int)strlen(dir) : 1, *p == '@' ? dir : p);
	expanded[n] = '\0';
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(want, sizeof(want), "%s%s", fmt[0] ? path : "", expanded);
	err[0] = '\0';
	is_int(settings_load(path, &s, err, sizeof(err)), rc, "load %s", name);
	is_str(err, want, "and what is said");
	ok((s != NULL) == (rc == 0), "settings only on success");
	settings_free(s);
}

static void
make_dir(const char *dir, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (mkdir(path, 0700))
		abort();
}

static void
make_link(const char *dir, const char *target, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (symlink(target, path))
		abort();
}

/* NODE with the places below a directory. */
static void
put_node(const char *dir, const char *name, const char *root, const char *state, const char *more)
{
	char text[2048];

	snprintf(text, sizeof(text), "[node]\nname = a\nroot = %s/%s\nstate = %s/%s\n%s", dir, root,
		 dir, state, more);
	put_file(dir, name, text);
}

/* A peer must not be able to write who may log in. */
static void
test_home(const char *dir)
{
	const struct passwd *pw = getpwuid(geteuid());
	char text[4096], path[600];
	struct settings *s;

	if (pw == NULL || pw->pw_dir[0] != '/' || pw->pw_dir[1] == '\0') {
		ok(true, "# SKIP this account has no home");
		return;
	}
	snprintf(text, sizeof(text),
		 "[node]\nname = a\nroot = %s\nstate = %s/state\nwork = %s/work\n", pw->pw_dir, dir,
		 dir);
	put_file(dir, "home", text);
	snprintf(path, sizeof(path), "%s/home", dir);
	err[0] = '\0';
	is_int(settings_load(path, &s, err, sizeof(err)), -EINVAL, "the home is no root");
	ok(strstr(err, ".ssh' lies in node.root") != NULL, "as its .ssh lies in it: %s", err);
	settings_free(s);
}

static void
test_load(void)
{
	char made[] = "/tmp/settings.XXXXXX", dir[512], cmd[600];
	char *real;

	if (!mkdtemp(made) || !(real = realpath(made, NULL)))
		abort();
	snprintf(dir, sizeof(dir), "%s", real);
	free(real);
	make_dir(dir, "media");
	make_dir(dir, "other");
	make_dir(dir, "media/sub");
	make_link(dir, "media", "link");
	make_link(dir, "media/sub", "inside");

	is_load(dir, "none", -ENOENT, ": cannot open: No such file or directory");
	is_load(dir, "media", -EISDIR, ": cannot read: Is a directory");
	put_node(dir, "good", "media", "state", "");
	is_load(dir, "good", 0, "");
	put_node(dir, "bad", "media", "state", "x\n");
	is_load(dir, "bad", -EINVAL, ":5: no '=' in 'x', allowed is KEY = VALUE");
	put_node(dir, "media/conf", "media", "state", "");
	is_load(dir, "media/conf", -EINVAL,
		":3: this configuration '@/media/conf' lies in node.root '@/media', allowed is a "
		"place outside");
	put_node(dir, "media/linked", "link", "state", "");
	is_load(dir, "media/linked", -EINVAL,
		":3: this configuration '@/media/linked' lies in node.root '@/media', allowed is a "
		"place outside");
	make_link(dir, "media/conf", "conf");
	is_load(dir, "conf", -EINVAL,
		":3: this configuration '@/media/conf' lies in node.root '@/media', allowed is a "
		"place outside");
	put_node(dir, "state-inside", "media", "inside/state", "");
	is_load(dir, "state-inside", -EINVAL,
		":4: node.state '@/media/sub/state' and node.root '@/media' overlap, allowed are "
		"directories apart");
	put_node(dir, "link-to-root", "media", "link", "");
	is_load(dir, "link-to-root", -EINVAL,
		":4: node.state '@/media' and node.root '@/media' overlap, allowed are directories "
		"apart");
	put_node(dir, "both-apart", "link", "other/state/x", "");
	is_load(dir, "both-apart", 0, "");
	test_home(dir);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	ok(system(cmd) == 0, "tidied up");
}

/* ---- samples ---- */

static bool
same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The field of one key, in both. */
static bool
same_field(const struct settings_key *k, const struct settings *a, const struct settings *b)
{
	const char *fa = (const char *)a + k->offset, *fb = (const char *)b + k->offset;
	const char *sa, *sb;

	switch (k->type) {
	case SETTINGS_T_IGNORE:
		return ignore_equal(a->ignore, b->ignore);
	case SETTINGS_T_DURATION:
	case SETTINGS_T_SIZE:
		return memcmp(fa, fb, sizeof(uint64_t)) == 0;
	case SETTINGS_T_LIMIT:
		return a->max_delete_count == b->max_delete_count &&
		       a->max_delete_percent == b->max_delete_percent;
	case SETTINGS_T_OWNER:
		return a->owner_mode == b->owner_mode && same_text(a->owner_user, b->owner_user) &&
		       same_text(a->owner_group, b->owner_group);
	case SETTINGS_T_SWITCH:
		return a->immutable == b->immutable;
	case SETTINGS_T_FORMAT:
		return a->log_format == b->log_format;
	case SETTINGS_T_LEVEL:
		return a->log_level == b->log_level;
	case SETTINGS_T_ADDRESSES:
		return a->address.count == b->address.count;
	default:
		/* Strings; an address begins with one. */
		memcpy(&sa, fa, sizeof(sa));
		memcpy(&sb, fb, sizeof(sb));
		return same_text(sa, sb);
	}
}

static void
is_same(const struct settings *a, const struct settings *b, const char *what)
{
	size_t count;
	const struct settings_key *keys = settings_keys(&count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(keys[i].section, "peer") != 0)
			ok(same_field(&keys[i], a, b), "%s: %s.%s is the default", what,
			   keys[i].section, keys[i].name);
	}
}

/* Takes the ';' off every line that shows a default. Returns how many there were. */
static int
uncomment(char *text)
{
	char *to = text, *line = text;
	int n = 0;

	while (*line) {
		size_t len = strcspn(line, "\n");
		bool shown = line[0] == ';';

		n += shown;
		len += line[len] == '\n';
		memmove(to, line + shown, len - shown);
		to += len - shown;
		line += len;
	}
	*to = '\0';
	return n;
}

/* The sample that is installed is the one that the table makes, to the byte. */
static void
check_file(const char *made)
{
	const char *top = getenv("top_srcdir");
	char path[1024], text[16384];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/conf/mimeo.conf.sample", top ? top : ".");
	f = fopen(path, "r");
	if (!ok(f != NULL, "%s is there", path))
		return;
	len = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[len] = '\0';
	ok(strcmp(text, made) == 0, "%s is what the table of keys makes", path);
}

static void
test_sample(void)
{
	struct settings_sample sample = {
		.name = "web1",
		.root = "/srv/www/media",
		.state = "/var/lib/mimeo",
		.address = "web1.example.com:22",
	};
	struct settings *s, *plain;
	size_t count;
	char *text;

	settings_keys(&count);
	is_int(settings_write_sample("f", &sample, &text, err, sizeof(err)), 0, "a sample");
	check_file(text);
	plain = good("[node]\nname=web1\nroot=/srv/www/media\nstate=/var/lib/mimeo\n"
		     "address=web1.example.com:22\n");
	is_int(parse(text, &s), 0, "it parses");
	is_same(s, plain, "as it is");
	settings_free(s);
	is_int(uncomment(text), (int)count - 4 + 1, "every key, and a peer, is in it");
	is_int(parse(text, &s), 0, "it parses with the defaults taken in (%s)", err);
	is_same(s, plain, "taken in");
	is_int(s->peer_count, 1, "a peer too");
	is_str(s->peers[0].user, "mimeo", "with its default");
	settings_free(s);
	settings_free(plain);
	free(text);
}

static void
test_sample_values(void)
{
	struct settings_sample sample = {"a", "/m", "/s", "/m/.mimeo", NULL};
	struct settings *s;
	char *text;

	is_int(settings_write_sample("f", &sample, &text, err, sizeof(err)), 0, "with work");
	s = good(text ? strstr(text, "[node]") : "");
	is_str(s->work, "/m/.mimeo", "work is as asked for");
	is_int(s->address.count, 0, "no address");
	settings_free(s);
	free(text);
	sample.name = "A";
	is_int(settings_write_sample("g", &sample, &text, err, sizeof(err)), -EINVAL, "a bad name");
	is_str(err,
	       "g:12: node.name: 'A' is no name, allowed is 1 to 63 of a-z 0-9 -, with no - at "
	       "either end",
	       "is told");
	ok(text == NULL, "and nothing handed out");
	sample.name = "a";
	sample.address = "a:22\n[hook]\napplied = /bin/sh";
	is_int(settings_write_sample("g", &sample, &text, err, sizeof(err)), -EINVAL,
	       "an address that goes on");
	sample.address = NULL;
	sample.root = "/m ; x";
	is_int(settings_write_sample("g", &sample, &text, err, sizeof(err)), -EINVAL,
	       "a root that would be cut");
	sample.root = "m";
	is_int(settings_write_sample("g", &sample, &text, err, sizeof(err)), -EINVAL,
	       "a root without a slash");
	sample.root = "/m";
	sample.state = "/s\nname = b";
	is_int(settings_write_sample("g", &sample, &text, err, sizeof(err)), -EINVAL,
	       "a state that goes on");
}

/* The table says of each key what a manual needs. */
static void
test_table(void)
{
	size_t count;
	const struct settings_key *keys = settings_keys(&count);
	bool complete = true, known = true;

	for (size_t i = 0; i < count; i++) {
		complete = complete && keys[i].help[0] && keys[i].unit;
		known = known && settings_section_help(keys[i].section);
	}
	ok(complete, "every key has help and a unit");
	ok(known, "every section has help");
	ok(settings_section_help("nothing") == NULL, "no other section has");
}

int
main(void)
{
	test_defaults();
	test_everything();
	test_good_values();
	test_good_words();
	test_good_texts();
	test_line_limit();
	test_bad();
	test_bad_files();
	test_limits();
	test_damage();
	test_short_error();
	test_load();
	test_sample();
	test_sample_values();
	test_table();
	return tap_done();
}
