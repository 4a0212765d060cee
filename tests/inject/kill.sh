#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# kill -9 at the k-th call of watcher, agent, dial and attach while thirty operations go on; then, now and then, again while
# it starts anew. After each kill all nodes must come to the same trees, with nothing lost.
#
#   KILL_POINTS=N    so many random points (40); all: every call of every program, one after the other
#   KILL_FROM=K      where `all' begins (1), KILL_STEP=S  how far it goes each time (1)
#   KILL_PROGRAMS    which (watcher agent dial attach)
#   SEED             of the random points
# shellcheck source=tests/inject/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq openssl
KILL_POINTS=${KILL_POINTS:-40}
KILL_FROM=${KILL_FROM:-1}
KILL_STEP=${KILL_STEP:-1}
read -ra programs <<<"${KILL_PROGRAMS:-watcher agent dial attach}"
points=0
killed=0
slowest=0

# Which nodes have one, and how many calls it makes during the script.
declare -A reach
calibrate() {
	local n p
	for n in n1 n2 n3; do
		for p in "${programs[@]}"; do
			plan "$n" "$(program_of "$p")" count
		done
	done
	run_script
	eventually converged || return 1
	for n in n1 n2 n3; do
		for p in "${programs[@]}"; do
			reach[$n.$p]=$(calls "$n" "$(program_of "$p")")
		done
	done
}

# A process that was killed is there until its last write has ended, and lab starts nothing that still runs: so it is waited
# for. One that did not come to its call is killed where it is.
restart() { # NODE SHORT
	case $2 in
	watcher | agent) "$lab" kill "$T/lab" "$1" "$2" && start_injected "$1" "$2" ;;
	esac
}

finish_point() { # NODE SHORT NAME
	local begun=$SECONDS
	eventually converged
	local rc=$?
	[ "$rc" = 0 ] || ok 1 "$3"
	[ "$rc" = 0 ] || diagnose
	[ $((SECONDS - begun)) -le "$slowest" ] || slowest=$((SECONDS - begun))
	return "$rc"
}

# Killed while it starts, for daemons that were just killed.
again() { # NODE SHORT
	case $2 in
	watcher | agent) ;;
	*) return 0 ;;
	esac
	"$lab" kill "$T/lab" "$1" "$2"
	plan "$1" "mimeo-$2" kill $((RANDOM % 300 + 1))
	start_injected "$1" "$2"
	for _ in $(seq 20); do
		hit "$1" "mimeo-$2" && break
		sleep 0.02
	done
	hit "$1" "mimeo-$2" && killed=$((killed + 1))
	plan "$1" "mimeo-$2" count
}

point() { # NODE SHORT K
	local program what
	program=$(program_of "$2")
	points=$((points + 1))
	plan "$1" "$program" kill "$3"
	run_script
	for _ in $(seq 30); do
		hit "$1" "$program" && break
		sleep 0.02
	done
	what=nothing
	if hit "$1" "$program"; then
		killed=$((killed + 1))
		what=$(hit_what "$1" "$program")
	fi
	plan "$1" "$program" count
	[ $((points % 5)) != 0 ] || [ "$what" = nothing ] || again "$1" "$2"
	restart "$1" "$2"
	[ -z "${VERBOSE:-}" ] || echo "# point $points: $1 $2 call $3: $what"
	finish_point "$1" "$2" "$1: $2 killed at call $3 ($what): all get in sync again"
}

random_points() {
	local n p key
	for _ in $(seq "$KILL_POINTS"); do
		while :; do
			n=n$((RANDOM % 3 + 1))
			p=${programs[$((RANDOM % ${#programs[@]}))]}
			key=$n.$p
			[ "${reach[$key]}" -lt 10 ] || break
		done
		point "$n" "$p" $((RANDOM % reach[$key] + 1)) || return 1
		[ $((points % 10)) != 0 ] || nothing_lost || return 1
	done
}

all_points() {
	local n p k
	for p in "${programs[@]}"; do
		for n in n1 n2 n3; do
			[ "${reach[$n.$p]}" -ge 10 ] || continue
			for k in $(seq "$KILL_FROM" "$KILL_STEP" "${reach[$n.$p]}"); do
				point "$n" "$p" "$k" || return 1
				[ $((points % 50)) != 0 ] || nothing_lost || return 1
			done
		done
	done
}

echo "# SEED=$SEED"
check "three nodes come up under the preloaded library" injected_lab 3 sync.delta_min=64K
run_script
check_soon "the first round converges" converged
check "the calls of a round are counted" calibrate
for key in "${!reach[@]}"; do
	echo "# $key makes ${reach[$key]} calls a round"
done
if [ "$KILL_POINTS" = all ]; then
	all_points
else
	random_points
fi
ok $? "after each of $points points ($killed kills) trees, digests and status were right; the slowest took $slowest s"
check "at least every second point was reached" test $((killed * 2)) -ge "$points"
check "no content was lost" nothing_lost
done_testing
