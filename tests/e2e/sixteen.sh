#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Sixteen real nodes on one machine, each joined by an invitation of another one.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq ssh-keygen
count=${NODES:-16}

full_mesh() {
	local n
	for n; do
		mimeo "$n" peers --json | jq -es "flatten | length == $(($# - 1)) and all(.[]; .connected)" || return 1
	done
}
everywhere() { # FILE NODE...
	local file=$1 n
	shift
	for n; do
		cmp -s "$(media n1)/$file" "$(media "$n")/$file" || return 1
	done
}
ms() {
	echo $(($(date +%s%N) / 1000000))
}

check "the first" "$lab" add "$T/lab" n1
all=n1
joined=0
for i in $(seq 2 "$count"); do
	LAB_INVITER=n$((RANDOM % (i - 1) + 1)) "$lab" add "$T/lab" "n$i" && joined=$((joined + 1))
	all="$all n$i"
done
check "all others joined" test "$joined" = $((count - 1))
start=$SECONDS
# shellcheck disable=SC2086
check_soon "everyone has a session with everyone" full_mesh $all
echo "# $((SECONDS - start)) s after the last one joined"
# shellcheck disable=SC2086
check_soon "in sync" in_sync $all

head -c 65536 /dev/urandom >"$T/new"
start=$(ms)
cp "$T/new" "$(media n1)/new"
# shellcheck disable=SC2086
check_soon "a new file of 64 KiB is on all" everywhere new $all
echo "# after $(($(ms) - start)) ms"

dead=
for i in 2 5 7 11 $((count - 1)); do
	"$lab" kill "$T/lab" "n$i"
	dead="$dead n$i"
done
for i in $(seq 30); do
	head -c 20000 /dev/urandom >"$(media n1)/f$i"
	echo "$i" >"$(media "n$count")/g$i"
done
rm "$(media n1)/new"
check_soon "five are dead, the others go on" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' wait --peers $((count - 6)) --timeout 5s"
for n in $dead; do
	"$lab" start "$T/lab" "$n"
done
# shellcheck disable=SC2086
check_soon "they come back: everyone has a session with everyone" full_mesh $all
# shellcheck disable=SC2086
check_soon "in sync" in_sync $all
# shellcheck disable=SC2086
check "the trees are the same" same_trees $all
# shellcheck disable=SC2086
check "the digests too" same_digests $all
done_testing
