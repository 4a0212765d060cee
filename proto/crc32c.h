/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C (Castagnoli, reflected polynomial 0x82F63B78, RFC 3720 appendix B.4). */
#ifndef MIMEO_PROTO_CRC32C_H
#define MIMEO_PROTO_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* crc is 0 for a start, or the value so far. "123456789" gives 0xE3069283. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);
/* The same without the processor's instruction; what crc32c does where there is none. */
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len);

#endif
