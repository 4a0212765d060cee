#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What `mimeo wait` says is durable: a file is written, wait returns, and at once both other nodes are killed. They have it.
# WAIT_ROUNDS: how often (8).
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq

rounds=${WAIT_ROUNDS:-8}
nodes=(n1 n2 n3)

wait_for() { # NODE PATH
	"$build/mimeo" -c "$T/lab/$1/mimeo.conf" wait --timeout 10s "$2"
}
kill_both() { # NODE NODE: at once, without asking anything
	local n p pids=
	for n; do
		for p in agent watcher; do
			pids="$pids $(cut -d' ' -f1 "$T/lab/$n/pid.$p")"
		done
	done
	# shellcheck disable=SC2086
	kill -9 $pids
	for n; do
		"$lab" kill "$T/lab" "$n" agent
		"$lab" kill "$T/lab" "$n" watcher
	done
}
connected() { # NODE
	[ "$(mimeo "$1" peers --json | jq '[.[] | select(.connected)] | length')" = 2 ]
}

must "three nodes come up" "$lab" up "$T/lab" 3
check_soon "in sync" in_sync n1 n2 n3
kept=0
waited=0
for i in $(seq "$rounds"); do
	a=${nodes[$((i % 3))]} b=${nodes[$(((i + 1) % 3))]} c=${nodes[$(((i + 2) % 3))]}
	until connected "$a"; do sleep 0.02; done
	mkdir -p "$(media "$a")/d$((i % 5))"
	path=d$((i % 5))/f$((i % 7))
	head -c $((RANDOM % 3 * 40000 + 10)) /dev/urandom >"$(media "$a")/$path"
	if wait_for "$a" "$path" >"$T/said" 2>&1; then
		waited=$((waited + 1))
		kill_both "$b" "$c"
		# The agent finishes what it had begun when it starts again: nothing is fetched for it, the others are away.
		for n in "$b" "$c"; do
			"$lab" start "$T/lab" "$n" watcher
			"$lab" start "$T/lab" "$n" agent
		done
		if cmp "$(media "$a")/$path" "$(media "$b")/$path" && cmp "$(media "$a")/$path" "$(media "$c")/$path"; then
			kept=$((kept + 1))
		else
			echo "# round $i: $path of $a is not on $b and $c"
		fi
	else
		sed "s/^/# round $i: /" "$T/said"
	fi
done
ok $((waited != rounds)) "wait returned in time, $waited of $rounds"
ok $((kept != rounds)) "what it said was kept, $kept of $rounds"
check_soon "in sync" in_sync n1 n2 n3

# --- closed by one and still open by another: it cannot be logged yet, whatever was of it before ---
check_soon "all are connected" connected n1
echo first >"$(media n1)/open"
check "its first version is" wait_for n1 open
exec 9>>"$(media n1)/open"
echo second >>"$(media n1)/open"
mimeo n1 wait --timeout 1s open >"$T/said" 2>&1
ok $(($? != 3)) "exit code 3 while it is open"
check "it says why" grep -q 'open: not logged: a program has it open for writing' "$T/said"
check "who names no path is not kept waiting by it" mimeo n1 wait --timeout 10s
exec 9>&-
check "closed: it is waited for" wait_for n1 open
check "n2 has it all" cmp "$(media n1)/open" "$(media n2)/open"
check "n3 has it all" cmp "$(media n1)/open" "$(media n3)/open"
if [ "$(id -u)" != 0 ]; then
	echo secret >"$(media n1)/unreadable"
	chmod 0 "$(media n1)/unreadable"
	mimeo n1 wait --timeout 1s >"$T/said" 2>&1
	ok $(($? != 3)) "exit code 3 with a file that cannot be logged"
	check "it names it" grep -q 'unreadable: not logged: ' "$T/said"
	rm -f "$(media n1)/unreadable"
fi

# --- time-out: who lacks what ---
"$lab" stop "$T/lab" n3
echo late >"$(media n1)/late"
mimeo n1 wait --timeout 1s late >"$T/said" 2>&1
ok $(($? != 3)) "exit code 3 when one is away"
check "it names who lacks it" grep -q n3 "$T/said"
check "n2 alone is enough if that is asked" mimeo n1 wait --peers 1 --timeout 10s late
"$lab" start "$T/lab" n3
check "back: all have it" mimeo n1 wait --timeout 30s
done_testing
