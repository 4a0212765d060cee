/* SPDX-License-Identifier: BSD-2-Clause */
/* Function attributes that every header uses. */
#ifndef MIMEO_PROTO_ATTR_H
#define MIMEO_PROTO_ATTR_H

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))

/* Iterate over a plain array whose size the compiler knows. */
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
