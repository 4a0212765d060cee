#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Nodes that come back from the past: nothing that was deleted returns, nothing is rolled back, no local file is lost.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq

check "three nodes come up" "$lab" up "$T/lab" 3 guard.max_delete='8, 10%'
N3=$T/lab/n3
has() { # TEXT PATH NODE...
	local text=$1 path=$2 n
	for n in "${@:3}"; do
		[ "$(cat "$(media "$n")/$path" 2>/dev/null)" = "$text" ] || return 1
	done
}
gone() { # PATH NODE...
	local path=$1 n
	for n in "${@:2}"; do
		[ ! -e "$(media "$n")/$path" ] || return 1
	done
}
held() { # NODE NUMBER
	[ "$(mimeo "$1" status --json | jq .held)" = "$2" ]
}
save() { # NAME: state and tree of n3, as a backup would
	mkdir -p "$T/$1"
	cp -a "$N3/state" "$T/$1/state"
	rm -rf "$T/$1/state/run"
	cp -a "$N3/media" "$T/$1/media"
}
restore() { # NAME state|media
	local keep=$N3/state/run
	if [ "$2" = state ]; then
		mv "$keep" "$T/run"
		rm -rf "$N3/state"
		cp -a "$T/$1/state" "$N3/state"
		mv "$T/run" "$keep"
	else
		find "$N3/media" -mindepth 1 -delete
		cp -a "$T/$1/media/." "$N3/media/"
	fi
}
# What happens between a backup and its return: edits, deletes, new files, on all nodes.
age() { # GENERATION
	local i
	for i in 1 2 3; do
		echo "edit $1 $i" >"$(media n$i)/edit$i"
		echo "$1" >"$(media n$i)/new-$1-$i"
		rm -f "$(media n$i)/gone-$1-$i"
	done
}
as_aged() { # GENERATION NODE...: nothing of that is undone
	local i g
	for i in 1 2 3; do
		has "edit $1 $i" "edit$i" "${@:2}" || return 1
		for g in $(seq "$1"); do
			has "$g" "new-$g-$i" "${@:2}" || return 1
			gone "gone-$g-$i" "${@:2}" || return 1
		done
	done
}

for i in 1 2 3; do
	echo "edit 0 $i" >"$(media n1)/edit$i"
	for g in 1 2 3 4 5 6 7; do
		echo "to go $g $i" >"$(media n1)/gone-$g-$i"
	done
done
for i in $(seq 30); do
	echo "stays $i" >"$(media n2)/stays$i"
done
check_soon "files are everywhere" has "stays 30" stays30 n1 n3
check_soon "in sync" in_sync n1 n2 n3
save zero

# 1. Only the state comes from a backup: the log knows less than the tree.
age 1
check_soon "aged" as_aged 1 n1 n2 n3
check_soon "in sync" in_sync n1 n2 n3
"$lab" stop "$T/lab" n3
echo "edit 2 1" >"$(media n1)/edit1"
echo "edit 2 2" >"$(media n2)/edit2"
rm "$(media n1)/gone-2-1" "$(media n2)/gone-2-2"
check_soon "meanwhile" has "edit 2 1" edit1 n2
restore zero state
echo "while away" >"$N3/media/local1"
"$lab" start "$T/lab" n3
check_soon "state only: the local file goes everywhere" has "while away" local1 n1 n2
check_soon "state only: edits made meanwhile win" has "edit 2 1" edit1 n1 n2 n3
check_soon "state only: all of them" has "edit 2 2" edit2 n1 n2 n3
check_soon "state only: in sync" in_sync n1 n2 n3
check "state only: deletes stay" gone gone-2-1 n1 n2 n3
check "state only: all of them" gone gone-1-3 n1 n2 n3
check "state only: said" grep -q start.backup "$N3/log/watcher.log" "$N3/log/agent.log"
check "state only: trees are equal" same_trees n1 n2 n3
check "state only: digests are equal" same_digests n1 n2 n3

# 2. State and tree come from the same backup.
rm "$(media n3)/gone-2-3"
echo "edit 2 3" >"$(media n3)/edit3"
for i in 1 2 3; do
	echo 2 >"$(media n$i)/new-2-$i"
done
check_soon "aged" as_aged 2 n1 n2 n3
check_soon "in sync" in_sync n1 n2 n3
"$lab" stop "$T/lab" n3
restore zero state
restore zero media
echo "while away" >"$N3/media/local2"
"$lab" start "$T/lab" n3
check_soon "both: the local file goes everywhere" has "while away" local2 n1 n2
check_soon "both: it becomes what the others are" as_aged 2 n1 n2 n3
check_soon "both: in sync" in_sync n1 n2 n3
check "both: trees are equal" same_trees n1 n2 n3
check "both: digests are equal" same_digests n1 n2 n3
echo "next" >"$(media n3)/next"
check_soon "both: what it writes next is taken" has next next n1 n2

# 3. Only the tree comes from a backup: the log knows more. That many changes at once are held.
check_soon "in sync" in_sync n1 n2 n3
"$lab" stop "$T/lab" n3
cp -a "$N3/media" "$T/good"
rm "$T/good/.mimeo-id" # a marker that is just being written is none: the watcher would halt
restore zero media
"$lab" start "$T/lab" n3
check_soon "tree only: what went back is held" bash -c "[ \$('$build/mimeo' -c '$T/lab/n3/mimeo.conf' status --json | jq .held) -ge 9 ]"
check_soon "tree only: said" grep -q guard.held "$N3/log/watcher.log"
echo "tree" >"$(media n1)/tree"
check_soon "tree only: the others go on" has tree tree n2 n3
check "tree only: edits are not rolled back" bash -c "grep -q 'edit 2 1' '$(media n1)/edit1' && grep -q 'edit 2 3' '$(media n2)/edit3'"
check "tree only: deletes stay" gone gone-1-1 n1 n2
mimeo n3 status >/dev/null 2>&1
check "tree only: status says so" test $? = 3
# The person puts the tree right.
cp -a "$T/good/." "$N3/media/"
for g in 1 2; do
	rm -f "$N3"/media/gone-$g-*
done
check_soon "tree only: put right, nothing is held" held n3 0
check_soon "tree only: in sync" in_sync n1 n2 n3
check "tree only: trees are equal" same_trees n1 n2 n3

# 4. The same, and it was meant: agreeing makes it the new state.
"$lab" stop "$T/lab" n3
for i in 1 2 3; do
	echo "to go 1 $i" >"$N3/media/gone-1-$i"
	echo "to go 2 $i" >"$N3/media/gone-2-$i"
	echo "edit 0 $i" >"$N3/media/edit$i"
	touch -d '2001-01-01' "$N3/media/edit$i"
done
"$lab" start "$T/lab" n3
check_soon "meant: held" held n3 9
check "meant: agreed" mimeo n3 resume --accept-deletes
check_soon "meant: it goes everywhere" has "edit 0 2" edit2 n1 n2 n3
check_soon "meant: all of it" has "to go 2 3" gone-2-3 n1 n2
check_soon "meant: in sync" in_sync n1 n2 n3

# 5. Installed anew over a full, stale tree: nothing of it counts more than what the cluster has.
for g in 1 2; do
	rm "$(media n1)"/gone-$g-*
done
for i in 1 2 3; do
	echo "edit 5 $i" >"$(media n$i)/edit$i"
done
check_soon "in sync" in_sync n1 n2 n3
"$lab" stop "$T/lab" n3
mkdir "$T/keys"
cp -a "$N3"/state/id_ed25519* "$N3"/state/ssh_host* "$N3"/state/authorized_keys "$N3"/state/known_hosts "$N3"/state/sshd_config "$T/keys/" 2>/dev/null
[ ! -e "$N3/state/members" ] || cp -a "$N3/state/members" "$T/keys/"
rm -f "$N3"/state/wal* "$N3/media/.mimeo-id"
find "$N3/media" -mindepth 1 -delete
cp -a "$T/zero/media/." "$N3/media/"
rm -f "$N3/media/.mimeo-id"
echo "only here" >"$N3/media/only-here"
"$lab" start "$T/lab" n3 agent
for n in n1 n2; do
	eventually mimeo n3 authorize "$(mimeo $n key)"
done
"$lab" start "$T/lab" n3
check_soon "anew: its own file goes everywhere" has "only here" only-here n1 n2
check_soon "anew: edits are not rolled back" has "edit 5 3" edit3 n1 n2 n3
check_soon "anew: in sync" in_sync n1 n2 n3
check "anew: deletes stay" gone gone-1-1 n1 n2 n3
check "anew: all of them" gone gone-2-3 n1 n2 n3
check "anew: trees are equal" same_trees n1 n2 n3
check "anew: digests are equal" same_digests n1 n2 n3
check "no digest ever differed" bash -c "! grep -h merge.mismatch '$T'/lab/n*/log/agent.log"
done_testing
