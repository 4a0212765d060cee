/* SPDX-License-Identifier: BSD-2-Clause */
/* Who owns what the agent creates: the policy of sync.owner. */
#include "config.h"

#include "agent/task.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "proto/path.h"

#define OWNER_LEAVE UINT32_MAX

static uint32_t
uid_of(const char *name)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	return getpwnam_r(name, &pw, buf, sizeof(buf), &found) == 0 && found != NULL ? pw.pw_uid
										     : OWNER_LEAVE;
}

static uint32_t
gid_of(const char *name)
{
	struct group gr, *found = NULL;
	char buf[16384];

	return getgrnam_r(name, &gr, buf, sizeof(buf), &found) == 0 && found != NULL ? gr.gr_gid
										     : OWNER_LEAVE;
}

static void
preserve(const struct record *rec, uint32_t *uid, uint32_t *gid)
{
	char name[RECORD_OWNER_BYTES_MAX + 1] = {0};

	if (rec->owner_len > 0) {
		memcpy(name, rec->owner, rec->owner_len);
		*uid = uid_of(name);
	}
	if (rec->group_len > 0) {
		memset(name, 0, sizeof(name));
		memcpy(name, rec->group, rec->group_len);
		*gid = gid_of(name);
	}
}

/* Of the displaced file on replace, of the directory on create. */
static void
inherit(struct node *n, const struct pathent *ent, uint32_t *uid, uint32_t *gid)
{
	struct sig dir;

	if (ent->shown != NULL && ent->shown->r->kind == KIND_FILE) {
		*uid = ent->sig.uid;
		*gid = ent->sig.gid;
	} else if (tree_stat(n->tree, ent->path, path_parent(ent->path, ent->path_len), &dir,
			     NULL) == 0) {
		*uid = dir.uid;
		*gid = dir.gid;
	}
}

void
task_owner(struct node *n, const struct pathent *ent, const struct record *rec, uint32_t *uid,
	   uint32_t *gid)
{
	*uid = OWNER_LEAVE;
	*gid = OWNER_LEAVE;
	switch (n->conf->owner_mode) {
	case OWNER_INHERIT:
		inherit(n, ent, uid, gid);
		break;
	case OWNER_PRESERVE:
		if (rec != NULL)
			preserve(rec, uid, gid);
		break;
	case OWNER_FIXED:
		*uid = uid_of(n->conf->owner_user);
		*gid = gid_of(n->conf->owner_group);
		break;
	}
}
