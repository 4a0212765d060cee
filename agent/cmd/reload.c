/* SPDX-License-Identifier: BSD-2-Clause */
/* reload: both daemons read their configuration again. The agent is asked; the watcher, which takes
 * no questions, gets the signal that an operator would send. */
#include "config.h"

#include "agent/cmd/cmd.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "conf/spawn.h"

#define WATCHER "mimeo-watcher"

/* The watcher's process, by what it last said of itself: it may have gone since. 0: none. */
static pid_t
watcher_said(const struct command *c)
{
	char path[CMD_PATH_BYTES], text[2048];
	const char *p;
	long pid;
	FILE *f;

	snprintf(path, sizeof(path), "%s/watcher.json", c->conf->run);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	p = strstr(text, "\"pid\":");
	pid = p != NULL ? strtol(p + 6, NULL, 10) : 0;
	return pid > 1 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* A number is given to another process as soon as its own has gone. */
static bool
is_watcher(pid_t pid)
{
	char path[64], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	if (fgets(name, sizeof(name), f) != NULL)
		name[strcspn(name, "\n")] = '\0';
	fclose(f);
	return strcmp(name, WATCHER) == 0;
}

static bool
tell_watcher(const struct command *c)
{
	pid_t pid = watcher_said(c);
	bool told = false;
	int fd;

	if (pid == 0)
		return false;
	/* The descriptor first: then what is looked at is what gets the signal, or nothing does. */
	fd = pidfd_open(pid, 0);
	if (fd < 0)
		return false;
	told = is_watcher(pid) && spawn_kill(fd, SIGHUP) == 0;
	close(fd);
	return told;
}

int
cmd_reload(struct command *c)
{
	const char *words[] = {"reload"};

	if (!tell_watcher(c))
		fprintf(stderr, "mimeo: " WATCHER " does not run, or may not be signalled by you: "
				"it reads its configuration when it starts\n");
	return cmd_ask(c, words, 1, NULL, NULL);
}
