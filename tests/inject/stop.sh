#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A program stands still (SIGSTOP) at any call for a while, with whatever lock it holds just then, and goes on. The others
# wait or go on without it; afterwards all nodes come to the same trees, with nothing lost.
#
#   STOP_POINTS=N    so many random points (8)
#   STOP_MAX=S       the longest pause in seconds (3)
#   SEED             of the random points
# shellcheck source=tests/inject/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq openssl
STOP_POINTS=${STOP_POINTS:-8}
STOP_MAX=${STOP_MAX:-3}
points=0
stopped=0

go_on() { # NODE PROGRAM
	local pid
	pid=$(plan "$1" "$2" show | cut -d' ' -f3)
	plan "$1" "$2" count
	[ "$pid" = 0 ] || kill -CONT "$pid" 2>/dev/null
	return 0
}

point() { # NODE SHORT K MS
	local program what=nothing
	program=$(program_of "$2")
	points=$((points + 1))
	plan "$1" "$program" stop "$3"
	run_script
	sleep "$(printf '%d.%03d' $(($4 / 1000)) $(($4 % 1000)))"
	if hit "$1" "$program"; then
		stopped=$((stopped + 1))
		what=$(hit_what "$1" "$program")
	fi
	go_on "$1" "$program"
	[ -z "${VERBOSE:-}" ] || echo "# point $points: $1 $2 stands at call $3 for $4 ms: $what"
	eventually converged || {
		ok 1 "$1: $2 stood at call $3 for $4 ms ($what): all get in sync again"
		diagnose
		return 1
	}
}

random_points() {
	local programs=(watcher agent dial attach) reach=(1000 1000 200 100) i
	for _ in $(seq "$STOP_POINTS"); do
		i=$((RANDOM % 4))
		point n$((RANDOM % 3 + 1)) "${programs[i]}" $((RANDOM % reach[i] + 1)) $((RANDOM % (STOP_MAX * 1000))) || return 1
	done
}

echo "# SEED=$SEED"
check "three nodes come up under the preloaded library" injected_lab 3 sync.delta_min=64K
run_script
check_soon "the first round converges" converged
random_points
ok $? "after each of $points pauses ($stopped reached) trees, digests and status were right"
check "no content was lost" nothing_lost
done_testing
