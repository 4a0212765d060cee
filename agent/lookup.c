/* SPDX-License-Identifier: BSD-2-Clause */
/* lookup: asks the DNS for a domain's SRV records, apart from the agent, as a resolver may take its
 * time. Writes a line "NAME HOST:PORT" for each to descriptor 0. */
#include "config.h"

#include "agent/lookup.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/confine.h"
#include "agent/srv.h"
#include "conf/value.h"
#include "proto/bytes.h"

static void
print_help(void)
{
	puts("usage: lookup DOMAIN\n"
	     "\n"
	     "Started by mimeo-agent. Asks the DNS for the SRV records " LOOKUP_SERVICE
	     "DOMAIN and\n"
	     "writes a line NAME HOST:PORT for each to descriptor 0, which must be open for\n"
	     "writing. NAME is the first label of HOST.\n"
	     "\n"
	     "  --help      this text\n"
	     "  --version   the version\n"
	     "\n"
	     "example: lookup example.com 0>&1");
}

static void
put_target(struct buf *b, const struct srv_target *t)
{
	char member[MEMBER_NAME_BYTES_MAX + 1], line[sizeof(member) + HOSTPORT_TEXT_MAX + 8];
	bool v6 = strchr(t->at.host, ':') != NULL;
	int n;

	if (!srv_name(t, member))
		return;
	n = snprintf(line, sizeof(line), v6 ? "%s [%s]:%u\n" : "%s %s:%u\n", member, t->at.host,
		     (unsigned)t->at.port);
	if (n > 0 && (size_t)n < sizeof(line) && b->len + (size_t)n <= LOOKUP_BYTES_MAX)
		buf_put(b, line, (size_t)n);
}

static int
write_all(const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDIN_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
tell(const uint8_t *answer, size_t len)
{
	struct srv_target *t = calloc(SRV_TARGETS_MAX, sizeof(*t));
	struct buf out = {0};
	int n = t != NULL ? srv_parse(answer, len, t, SRV_TARGETS_MAX) : -ENOMEM, r;

	for (int i = 0; i < n; i++)
		put_target(&out, &t[i]);
	r = n < 0 || out.failed || write_all(out.data, out.len) < 0 ? LOOKUP_FAILED : LOOKUP_OK;
	if (n == -ENOENT)
		r = LOOKUP_NONE;
	buf_free(&out);
	free(t);
	return r;
}

static int
ask(const char *domain)
{
	uint8_t *answer = malloc(SRV_ANSWER_BYTES_MAX);
	char name[512];
	int len, r = LOOKUP_FAILED;

	snprintf(name, sizeof(name), LOOKUP_SERVICE "%s", domain);
	if (answer == NULL)
		return r;
	len = res_query(name, C_IN, SRV_TYPE, answer, SRV_ANSWER_BYTES_MAX);
	if (len < 0 && (h_errno == HOST_NOT_FOUND || h_errno == NO_DATA))
		r = LOOKUP_NONE;
	else if (len >= 0 && len <= SRV_ANSWER_BYTES_MAX && confine_streams(0) == 0)
		r = tell(answer, (size_t)len);
	free(answer);
	return r;
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		print_help();
		return LOOKUP_OK;
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("lookup (" PACKAGE_STRING ")");
		return LOOKUP_OK;
	}
	if (argc != 2 || !value_domain_ok(argv[1])) {
		fputs("error: lookup takes one DOMAIN, such as example.com\n", stderr);
		return LOOKUP_USAGE;
	}
	if (confine_begin() < 0)
		return LOOKUP_FAILED;
	(void)alarm(LOOKUP_SECONDS_MAX);
	return ask(argv[1]);
}
