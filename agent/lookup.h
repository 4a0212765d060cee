/* SPDX-License-Identifier: BSD-2-Clause */
/* What the program lookup and the agent agree on. */
#ifndef MIMEO_AGENT_LOOKUP_H
#define MIMEO_AGENT_LOOKUP_H

#define LOOKUP_SERVICE "_mimeo._tcp."
#define LOOKUP_SECONDS_MAX 15            /* then SIGALRM ends it */
#define LOOKUP_BYTES_MAX (64u * 1024)    /* of its lines together; the rest is left out */
#define LOOKUP_LINE_BYTES_MAX (64 + 264) /* NAME, a blank, HOST:PORT */

/* NONE: the DNS says that there are no such records. */
enum lookup_exit { LOOKUP_OK = 0, LOOKUP_FAILED = 1, LOOKUP_USAGE = 2, LOOKUP_NONE = 3 };

#endif
