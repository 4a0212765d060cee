#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# An empty newcomer takes what there is from several members at once, from each what it can give, and goes on when some of them die.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq ssh-keygen curl

from() { # NODE PEER: content bytes that came from there
	mimeo "$1" peers --json | jq -s "flatten | map(select(.name == \"$2\").whole_in) | add // 0"
}
whole() { # NODE: from all, of files that it asked for
	mimeo "$1" peers --json | jq -s 'flatten | map(.whole_in + .delta_in) | add'
}
pending() { # NODE: as it is at this moment; the watcher is not asked
	curl -s "http://$(cat "$T/lab/$1/http")/sync/status" | jq -r "$2"
}
has_begun() { # NODE PEER...: some came from each
	local p
	for p in "${@:2}"; do
		[ "$(from "$1" "$p")" -gt 0 ] || return 1
	done
}
rate() { # BYTES-A-SECOND NODE...: what each gives to each other, from now on
	local n
	for n in "${@:2}"; do
		sed -i "s/^rate_limit = .*/rate_limit = $1/" "$T/lab/$n/mimeo.conf"
		mimeo "$n" reload || return 1
	done
}
all_there() { # NODE
	[ "$(pending "$1" .pending)" = 0 ] && [ "$(find "$(media "$1")" -type f -not -name .mimeo-id | wc -l)" = "$files" ]
}
shows_progress() { # NODE: asks until it is told what is done, and how long it will take
	pending "$1" '.catch_up | select(.running and .seconds_left != null and .bytes_per_second > 0 and .bytes_done < .bytes_total and .done < .total)' | grep -q .
}

mkdir -p "$T/seed/many" "$T/seed/small"
for i in $(seq 40); do
	head -c 300000 /dev/urandom >"$T/seed/many/$i"
	head -c 4000 /dev/urandom >"$T/seed/small/$i"
done
head -c 6000000 /dev/urandom >"$T/seed/large"
files=81
size=$(find "$T/seed" -type f -printf '%s\n' | awk '{ s += $1 } END { print s }')
for n in 1 2 3; do
	mkdir -p "$T/lab/n$n"
	cp -a "$T/seed" "$T/lab/n$n/media"
done
must "three nodes with the same files" "$lab" up "$T/lab" 3 sync.rate_limit=3M
check_soon "they are in sync" in_sync n1 n2 n3
check "without a transfer" test "$(($(whole n1) + $(whole n2) + $(whole n3)))" = 0
# What is written now is small enough to travel with the news of it.
mkdir "$(media n1)/inlined"
for i in $(seq 100); do
	head -c 20000 /dev/urandom >"$(media n1)/inlined/$i"
done
files=$((files + 100))
check "small ones are written" mimeo n1 wait
check "one of them becomes slow" rate 400K n2

check "a fourth one, that is empty" "$lab" add "$T/lab" n4 sync.rate_limit=4M
check_soon "it tells how far it is, how fast, and how long it will take" shows_progress n4
check_soon "it has everything" all_there n4
check "the same" same_trees n1 n4
check "each byte came once" test "$(whole n4)" = "$size"
echo "# of 2000000 that came with the news, from each: $(mimeo n4 peers --json | jq -cs 'flatten | map(.inline_in)')"
for n in n1 n2 n3; do
	check "some of it from $n ($(from n4 $n))" test "$(from n4 $n)" -gt 0
done
check "more from those that are fast" test "$(from n4 n1)" -gt "$(from n4 n2)" -a "$(from n4 n3)" -gt "$(from n4 n2)"
check_soon "then nothing is under way" bash -c "curl -s 'http://$(cat "$T/lab/n4/http")/sync/status' | jq -e '.catch_up.running | not'"

check "all of them are slow now" rate 100K n1 n2 n3 n4
check "a fifth one" "$lab" add "$T/lab" n5
check_soon "it takes from all" has_begun n5 n1 n2 n3 n4
check_soon "status says so" bash -c "'$build/mimeo' -c '$T/lab/n5/mimeo.conf' status | grep -qE '^catch-up   [0-9]+ of [0-9]+ paths, .* of .*/s, .* left'"
check_soon "and from whom" bash -c "'$build/mimeo' -c '$T/lab/n5/mimeo.conf' status | grep -qE '^from       n1 .*/s, n2 .*/s'"
"$lab" kill "$T/lab" n1
"$lab" kill "$T/lab" n3
check "it was not done when two of its sources were killed ($(whole n5) of $size)" test "$(whole n5)" -lt "$size"
check "the others are fast again" rate 0 n2 n4
check_soon "it goes on with the others, to the end" all_there n5
check "the same as on those" same_trees n2 n4 n5
check "with little that came twice ($(whole n5) of $size)" test "$(whole n5)" -le $((size + 4000000))

# --- one that was filled by rsync ---
mkdir -p "$T/lab/n6"
cp -a "$(media n2)" "$T/lab/n6/media"
rm "$T/lab/n6/media/.mimeo-id"
LAB_WAIT=3 "$lab" add "$T/lab" n6 >/dev/null 2>&1 # two members are dead: it cannot have sessions with all
check_soon "one that was filled before adopts what it has" all_there n6
check_soon "it knows what the others know" bash -c "[ \"\$(curl -s http://$(cat "$T/lab/n6/http")/sync/status | jq -r .digest)\" = '$(pending n2 .digest)' ]"
check "not a byte of content came" test "$(mimeo n6 peers --json | jq -s 'flatten | map(.received_bytes) | add')" = 0
check "the same still" same_trees n2 n6

# --- one large file, and the member that it is asked from first is slow ---
head -c 12000000 /dev/urandom >"$(media n2)/larger"
check "a large file is everywhere" eventually mimeo n2 wait larger --peers 3 --timeout 20s
check "one of them is slow" rate 200K n2
for n in n4 n5 n6; do
	touch "$T/lab/cut/n7-$n" "$T/lab/cut/$n-n7"
done
LAB_INVITER=n2 LAB_WAIT=1 "$lab" add "$T/lab" n7 >/dev/null 2>&1
check_soon "one that knows nobody else asks it" has_begun n7 n2
for n in n4 n5 n6; do
	"$lab" heal "$T/lab" n7 "$n"
done
files=$((files + 1))
check_soon "has it all" all_there n7
check "the rest came from others ($(from n7 n2) of $((size + 12000000)))" test "$(from n7 n2)" -lt 9000000
check "nothing twice but what was under way ($(whole n7))" test "$(whole n7)" -le $((size + 12000000 + 8000000))
check "the same" same_trees n2 n7
done_testing
