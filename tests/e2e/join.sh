#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Five nodes from nothing, each added by one invitation and nothing else.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq ssh-keygen

connected_to() { # NODE HOW-MANY
	mimeo "$1" peers --json | jq -es "flatten | length == $2 and all(.[]; .connected and .state == \"alive\")"
}
full_mesh() { # NODE...
	local n
	for n; do
		connected_to "$n" $(($# - 1)) || return 1
	done
}
sums() {
	sha256sum "$T"/lab/n*/mimeo.conf
}

check "the first node, alone" "$lab" add "$T/lab" n1
mkdir "$(media n1)/2026"
head -c 300000 /dev/urandom >"$(media n1)/2026/a.jpg"
# What is there before the first scan has ended is an import, whenever it was written.
check_soon "the first scan of the first node is over" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' wait"
echo hello >"$(media n1)/b.txt"
check_soon "is in sync with itself" in_sync n1
all=n1
for i in 2 3 4 5; do
	sums >"$T/sums"
	check "n$i joins by one invitation" "$lab" add "$T/lab" "n$i"
	all="$all n$i"
	# shellcheck disable=SC2086
	check_soon "and has sessions with all $i, and they with it" full_mesh $all
	check "no configuration of another node was touched" sha256sum -c --quiet "$T/sums"
done
# shellcheck disable=SC2086
check_soon "everything is everywhere" in_sync $all
# shellcheck disable=SC2086
check "the trees are the same" same_trees $all
check "who let whom in is kept" bash -c "MIMEO_LIBEXEC=x '$build/mimeo' -c '$T/lab/n5/mimeo.conf' authorize --list | grep -q ."
check "and shown" bash -c "'$build/mimeo' -c '$T/lab/n5/mimeo.conf' peers --json | jq -es 'flatten | all(.[]; .admitted_by == \"n1\")'"
echo news >"$(media n5)/c.txt"
check "a file of the newest node reaches all" mimeo n5 wait c.txt
check "nothing is left of the keys" bash -c "! ls -d '$T'/lab/n*/state/tmp.* 2>/dev/null; ! grep -l -- 'invite-' '$T'/lab/n*/state/authorized_keys; ! grep -rl 'PRIVATE KEY' '$T'/lab/n*/log"

# A newcomer that was filled by rsync, and has files of its own.
"$lab" stop "$T/lab" n5
mkdir -p "$T/lab/n6/media"
cp -a "$(media n1)/2026" "$(media n1)/c.txt" "$T/lab/n6/media/"
echo other >"$T/lab/n6/media/b.txt"
echo own >"$T/lab/n6/media/own.txt"
check "one that has files joins while a member is away" bash -c "LAB_WAIT=5 '$lab' add '$T/lab' n6; test -s '$T/lab/n6/state/id_ed25519'"
check "it was told what it adopts" grep -qE 'adopt +2 files' "$T/lab/n6/log/join.log"
check "what it adds" grep -qE 'add +1 files' "$T/lab/n6/log/join.log"
check "what it loses" grep -qE 'lose +1 files' "$T/lab/n6/log/join.log"
"$lab" start "$T/lab" n5
# shellcheck disable=SC2086
check_soon "the one that was away has it too" full_mesh $all n6
# shellcheck disable=SC2086
check_soon "everything is everywhere again" in_sync $all n6
# shellcheck disable=SC2086
check "and the same" same_trees $all n6
check "the cluster's version is shown" grep -qx hello "$(media n6)/b.txt"
check "its own is kept" bash -c "'$build/mimeo' -c '$T/lab/n6/mimeo.conf' conflicts --json | jq -e 'length == 1'"
check "nothing that it had was transferred, only what it lost to" bash -c "[ \$('$build/mimeo' -c '$T/lab/n6/mimeo.conf' peers --json | jq -s 'flatten | map(.received_bytes) | add') = 6 ]"

# One whose own files are not to be spread.
mkdir -p "$T/n7.media/sub"
cp -a "$(media n1)/c.txt" "$T/n7.media/"
echo private >"$T/n7.media/sub/private"
n7=$T/n7.conf
"$build/mimeo" -c "$n7" init --name n7 --root "$T/n7.media" --state "$T/n7.state" --work "$T/n7.work" >/dev/null
check "it holds what the cluster does not know" bash -c "set -o pipefail; MIMEO_LIBEXEC=$build '$build/mimeo' -c '$T/lab/n2/mimeo.conf' invite --ttl 5m 2>/dev/null | MIMEO_LIBEXEC=$build '$build/mimeo' -c '$n7' join - --hold-unknown --yes"
check "apart from the tree" test ! -e "$T/n7.media/sub/private" -a -s "$T/n7.work/unknown/sub/private"
check "what is known stays" test -s "$T/n7.media/c.txt"
check "without a yes nothing happens" bash -c "! '$build/mimeo' -c '$T/lab/n2/mimeo.conf' invite 2>/dev/null | MIMEO_LIBEXEC=$build setsid '$build/mimeo' -c '$n7' join - 2>'$T/err'; grep -q -e '--yes' '$T/err'"
check "a time that is none" bash -c "! '$build/mimeo' -c '$T/lab/n2/mimeo.conf' invite --ttl 1s 2>'$T/err'; grep -q 'from 1m to 7d' '$T/err'"
done_testing
