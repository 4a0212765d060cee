/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of keys: reading them whole, and saying what is wrong with a private one. */
#include "config.h"

#include "agent/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

int
keyfile_read(const char *path, size_t max, char **data, size_t *len)
{
	struct stat st;
	char *buf = NULL;
	size_t have = 0;
	ssize_t n;
	int rc = 0, fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		rc = -errno;
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)max) {
		rc = S_ISREG(st.st_mode) ? -EFBIG : -EINVAL;
		goto out;
	}
	buf = malloc(max + 1);
	if (!buf) {
		rc = -ENOMEM;
		goto out;
	}
	while (have < max && (n = read(fd, buf + have, max - have)) != 0) {
		if (n < 0 && errno != EINTR) {
			rc = -errno;
			goto out;
		}
		have += n < 0 ? 0 : (size_t)n;
	}
	buf[have] = '\0';
	*data = buf;
	*len = have;
	buf = NULL;
out:
	free(buf);
	close(fd);
	return rc;
}

int
keyfile_private(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	return st.st_mode & (S_IRWXG | S_IRWXO) ? -EPERM : 0;
}

static int
base64_value(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* The first bytes of what text encodes; line ends are skipped, anything else ends it. */
static size_t
base64_head(const char *text, uint8_t *out, size_t size)
{
	uint32_t bits = 0;
	unsigned count = 0;
	size_t n = 0;

	for (; n < size; text++) {
		int v = base64_value(*text);

		if (*text == '\n' || *text == '\r')
			continue;
		if (v < 0)
			break;
		bits = (bits << 6 | (uint32_t)v) & 0xffff;
		count += 6;
		if (count >= 8) {
			count -= 8;
			out[n++] = (uint8_t)(bits >> count);
		}
	}
	return n;
}

/* One string (32 bits of length, big-endian, then the bytes) at *at of a key; NULL if there is no
 * whole one. */
static const uint8_t *
key_string(const uint8_t *raw, size_t len, size_t *at, size_t *n)
{
	const uint8_t *p;

	if (len - *at < 4)
		return NULL;
	p = raw + *at;
	*n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	*at += 4;
	if (len - *at < *n)
		return NULL;
	p = raw + *at;
	*at += *n;
	return p;
}

static bool
string_is(const uint8_t *p, size_t n, const char *want)
{
	return p && n == strlen(want) && memcmp(p, want, n) == 0;
}

const char *
keyfile_problem(const char *pem)
{
	static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
	static const char end[] = "-----END OPENSSH PRIVATE KEY-----";
	static const char magic[] = "openssh-key-v1"; /* its NUL is part of it */
	uint8_t raw[256];
	const uint8_t *p;
	size_t len, at = sizeof(magic), n = 0;

	if (strstr(pem, "-----BEGIN RSA PRIVATE KEY-----"))
		return "is an RSA key; only ed25519 keys work here";
	pem = strstr(pem, begin);
	if (!pem)
		return "is not a private key in OpenSSH's format";
	if (!strstr(pem, end))
		return "is damaged";
	len = base64_head(pem + sizeof(begin) - 1, raw, sizeof(raw));
	if (len < sizeof(magic) || memcmp(raw, magic, sizeof(magic)) != 0)
		return "is damaged";
	p = key_string(raw, len, &at, &n);
	if (!string_is(p, n, "none"))
		return p ? "has a passphrase, and nobody is here to type it" : "is damaged";
	/* Key derivation, its options, then the number of keys and the first public key. */
	if (!key_string(raw, len, &at, &n) || !key_string(raw, len, &at, &n) || len - at < 8)
		return "is damaged";
	at += 8;
	p = key_string(raw, len, &at, &n);
	if (!p)
		return "is damaged";
	if (string_is(p, n, "ssh-rsa"))
		return "is an RSA key; only ed25519 keys work here";
	return string_is(p, n, "ssh-ed25519") ? NULL : "is not an ed25519 key";
}
