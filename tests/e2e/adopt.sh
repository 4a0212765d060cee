#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Three nodes that begin with different, overlapping trees: a third equal, a third only on one, a third different. Then writes on all at once.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq openssl

third=40
for n in 1 2 3; do
	mkdir -p "$T/lab/n$n/media/same" "$T/lab/n$n/media/only" "$T/lab/n$n/media/differs"
done
for i in $(seq $third); do
	head -c $((i * 900)) /dev/urandom >"$T/f"
	for n in 1 2 3; do
		cp -p "$T/f" "$T/lab/n$n/media/same/$i"
		head -c $((i * 300)) /dev/urandom >"$T/lab/n$n/media/only/n$n-$i"
		echo "node $n says $i" >"$T/lab/n$n/media/differs/$i"
	done
done
must "three nodes come up on trees that are there" "$lab" up "$T/lab" 3
check_soon "they get in sync" in_sync n1 n2 n3
check "trees are equal" same_trees n1 n2 n3
check "digests are equal" same_digests n1 n2 n3
check "what was only on one is on all" test "$(find "$(media n1)/only" -type f | wc -l)" = $((3 * third))
for n in n1 n2 n3; do
	check "$n keeps the losers" test "$(mimeo $n conflicts --json | jq '[.[] | select(.path | startswith("differs/"))] | length')" = $((2 * third))
done
equal=$(mimeo n1 log --json | jq -r 'select(.path | startswith("same/")) | .path' | sort | uniq -d | wc -l)
echo "# $equal of $third equal files were logged by more than one node before they met"
content=$(for n in n1 n2 n3; do mimeo $n status --json | jq '[.peers[].received_bytes // 0] | add'; done | awk '{ s += $1 } END { print s }')
lacked=$(find "$(media n1)/only" -type f -printf '%s\n' | awk '{ s += 2 * $1 } END { print s }')
lacked=$((lacked + $(find "$T"/lab/n?/media/differs "$T"/lab/n?/.mimeo-media/kept -type f -printf '%s\n' | awk '{ s += $1 } END { print s }') * 2 / 3))
# A neighbour hands a small file on with its record where the author seems to be slow; the equal files alone are half as much
# as all that was lacking.
check "nothing was transferred twice ($content content bytes, $lacked were lacking)" test "$content" -ge "$lacked" -a "$content" -le $((lacked + lacked / 50))

before=$(mimeo n1 log --json | wc -l)
for n in 1 2 3; do
	(
		for i in $(seq 60); do
			echo "$n $i $RANDOM" >"$T/lab/n$n/media/new-n$n-$i"
			echo "$n $i $RANDOM" >"$T/lab/n$n/media/same-name-$((i % 20))"
		done
	) &
done
wait
check_soon "after writes on all three at once they get in sync" in_sync n1 n2 n3
check "trees are equal again" same_trees n1 n2 n3
check "digests are equal again" same_digests n1 n2 n3
check "all new files are there" test "$(find "$(media n2)" -maxdepth 1 -name 'new-*' | wc -l)" = 180
after=$(mimeo n1 log --json | wc -l)
check "no record was made for an applied change ($before, $after)" test $((after - before)) -le 360
check_soon "the number of records stands still" bash -c "[ \$('$build/mimeo' -c '$T/lab/n1/mimeo.conf' log --json | wc -l) = $after ]"
done_testing
