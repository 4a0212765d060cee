#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Three nodes under work for CHURN_S seconds: users on each change, move and delete files, while programs are killed and
# links are cut. At the end trees and digests are equal, every content is accounted for, and the one node whose programs
# were never killed has not grown.
# shellcheck source=tests/inject/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3

CHURN_S=${CHURN_S:-60}
CHURN_RATE=${CHURN_RATE:-20} # operations a second, of all nodes together
echo "# SEED=$SEED CHURN_S=$CHURN_S"

descriptors() { # NODE PROGRAM
	find "/proc/$(pid_of "$1" "$2")/fd" -mindepth 1 2>/dev/null | wc -l
}

pid_of() { # NODE PROGRAM
	cut -d' ' -f1 "$T/lab/$1/pid.$2"
}

memory() { # NODE PROGRAM: resident KiB
	awk '/^VmRSS/ { print $2 }' "/proc/$(pid_of "$1" "$2")/status"
}

sample() { # of the node that is not killed
	local p
	for p in watcher agent; do
		echo "$p $(memory n3 $p) $(descriptors n3 $p)"
	done >"$T/sample.$1"
	echo "# after $2 s: $(tr '\n' ' ' <"$T/sample.$1") (KiB, descriptors); kept $(find "$T/lab/n3/.mimeo-media/kept" -type f | wc -l)"
}

kill_one() {
	local n=n$((1 + RANDOM % 2)) programs=(agent watcher sshd) what
	what=${programs[$((RANDOM % 3))]}
	"$lab" kill "$T/lab" "$n" "$what"
	sleep "0.$((RANDOM % 10))"
	"$lab" start "$T/lab" "$n" "$what"
}

cut_one() {
	local pairs=("n1 n2" "n1 n3" "n2 n3") pair
	pair=${pairs[$((RANDOM % 3))]}
	# shellcheck disable=SC2086
	"$lab" cut "$T/lab" $pair
	sleep "$((RANDOM % 5))"
	# shellcheck disable=SC2086
	"$lab" heal "$T/lab" $pair
}

# Every content that a user wrote and no user took away is in a tree or kept.
accounted_for() {
	awk '$1 == "wrote" { print $2 }' "$T"/book.* | sort -u >"$T/wrote"
	awk '$1 == "took" { print $2 }' "$T"/book.* | sort -u >"$T/took"
	find "$T"/lab/n*/media/ "$T"/lab/n*/.mimeo-media/kept/ -type f -print0 | xargs -0r openssl dgst -sha256 -r | cut -c1-64 |
		sort -u >"$T/found"
	sort -u "$T/took" "$T/found" | comm -23 "$T/wrote" - >"$T/lost"
	echo "# $(wc -l <"$T/wrote") contents written, $(wc -l <"$T/took") taken away by users, $(wc -l <"$T/found") found, $(wc -l <"$T/lost") lost"
	[ ! -s "$T/lost" ] || grep -h -F -f "$T/lost" "$T"/book.* | head -20
	[ ! -s "$T/lost" ]
}

flat() { # descriptors are those of the first sample; memory is for what is kept and known, a few KiB each
	local p rss fds was_rss was_fds
	while read -r p rss fds; do
		read -r was_rss was_fds <<<"$(awk -v p="$p" '$1 == p { print $2, $3 }' "$T/sample.0")"
		echo "$p: $was_rss KiB, $was_fds descriptors; now $rss KiB, $fds descriptors"
		[ "$fds" -le $((was_fds + 10)) ] || return 1
		[ "$rss" -le $((was_rss + 32768 + 4 * $(wc -l <"$T/found"))) ] || return 1
	done <"$T/sample.9"
}

must "three nodes come up" "$lab" up "$T/lab" 3 guard.max_delete='1000000, 100%'
users=
for n in n1 n2 n3; do
	mkdir "$T/lab/$n/aside"
	python3 "$(dirname "$0")/churn.py" "$(media $n)" "$T/lab/$n/aside" "$T/book.$n" "$CHURN_S" "$((CHURN_RATE / 3 + 1))" "$SEED.$n" \
		>"$T/user.$n" 2>&1 &
	users="$users $!"
done
started=$SECONDS
shots=0
faults=0
while [ $((SECONDS - started)) -lt "$CHURN_S" ]; do
	sleep 2
	faults=$((faults + 1))
	if [ $((RANDOM % 2)) = 0 ]; then kill_one; else cut_one; fi
	if [ $((SECONDS - started)) -ge $((CHURN_S * (shots + 1) / 8)) ] && [ "$shots" -lt 8 ]; then
		sample "$shots" $((SECONDS - started))
		shots=$((shots + 1))
	fi
done >"$T/faults" 2>&1
grep '^#' "$T/faults"
echo "# $faults faults"
i=1
for user in $users; do
	wait "$user"
	rc=$?
	ok "$rc" "the user of n$i did his work: $(tail -n 1 "$T/user.n$i") operations (status $rc; above 128 a signal ended him)"
	i=$((i + 1))
done
check_soon "all are in sync" in_sync n1 n2 n3
check_soon "trees and digests are equal" converged
sample 9 $((SECONDS - started))
same_conflicts() {
	[ "$(for n in n1 n2 n3; do mimeo $n conflicts --json | jq -r '[.[].id] | sort | join(" ")'; done | sort -u | wc -l)" = 1 ]
}
check_soon "all list the same conflicts" same_conflicts
accounted_for >"$T/account"
ok $? "every content is accounted for"
sed 's/^/# /' "$T/account"
check "the node that was never killed has not grown" flat
sed 's/^/# /' "$T/check.out"
done_testing
