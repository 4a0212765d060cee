#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# One call of one program fails, once or from then on, while thirty operations go on or while it starts. The program goes
# on, or ends with a message that names the error and the place; when the fault is over all nodes come to the same trees,
# with nothing lost.
#
#   ERRNO_POINTS=N   so many random points (40); all: each class of calls with each error, at the first, second, ... call
#                    until the script ends without reaching it
#   ERRNO_LAST=K     for `all': the last call that is tried (50)
#   ERRNO_PROGRAMS   which (watcher agent dial attach)
#   ERRNO_NAMES      which errors (ENOSPC EIO EMFILE ENOMEM EACCES EROFS ESTALE EINTR)
#   SEED             of the random points
# shellcheck source=tests/inject/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq openssl
ERRNO_POINTS=${ERRNO_POINTS:-40}
ERRNO_LAST=${ERRNO_LAST:-50}
read -ra programs <<<"${ERRNO_PROGRAMS:-watcher agent dial attach}"
read -ra errors <<<"${ERRNO_NAMES:-ENOSPC EIO EMFILE ENOMEM EACCES EROFS ESTALE EINTR}"
# What can fail how. (A watch refused for want of watches is polled every watch.rescan: too long to wait for.)
declare -A can=(
	[open]="EIO ESTALE ENOMEM EACCES EMFILE EINTR ENOSPC EROFS" [read]="EIO ESTALE EINTR" [write]="EIO ESTALE EINTR ENOSPC"
	[socket]="EINTR ENOMEM EMFILE" [names]="EIO ESTALE ENOMEM EACCES ENOSPC EROFS" [meta]="EIO ESTALE ENOMEM EACCES EROFS"
	[sync]="EIO ENOSPC ESTALE" [stat]="EIO ESTALE ENOMEM EACCES" [close]="EIO ENOSPC EINTR" [watch]="ENOMEM EACCES"
	[wait]="EINTR EMFILE ENOMEM" [memory]="ENOMEM")
declare -A makes=(
	[watcher]="open read write names sync stat close watch wait memory"
	[agent]="open read write socket names meta sync stat close watch wait memory"
	[dial]="read socket wait memory" [attach]="read write wait memory")
HANG_S=5 # a daemon that lives answers within this time
texts=$(python3 -c 'import errno, os, sys; print("\\|".join(os.strerror(getattr(errno, e)) for e in sys.argv[1:]))' "${errors[@]}")
points=0
reached=0
ended=0
slowest=0

alive() { # NODE SHORT
	local pid
	read -r pid _ <"$T/lab/$1/pid.$2" || return 1
	[ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -c1)" != Z ] && kill -0 "$pid" 2>/dev/null
}

is_daemon() { # SHORT
	[ "$1" = watcher ] || [ "$1" = agent ]
}

log_of() { # NODE SHORT
	case $2 in
	watcher) echo "$T/lab/$1/log/watcher.log" ;;
	attach) echo "$T/lab/$1/log/sshd.log" ;;
	*) echo "$T/lab/$1/log/agent.log" ;;
	esac
}

log_size() { # NODE SHORT
	stat -c %s "$(log_of "$1" "$2")"
}

# What was said since names an error, by its word or its text, and a path if the call had one.
said() { # NODE SHORT FROM CALL
	local path=.
	[[ $4 != */* ]] || path=/
	tail -c +$(($3 + 1)) "$(log_of "$1" "$2")" | grep -e '(E[A-Z]*)' -e 'guard.halted' -e "$texts" | grep -q "$path"
}

answers() { # NODE: with whatever status, but in time
	timeout "$HANG_S" "$build/mimeo" -c "$T/lab/$1/mimeo.conf" status >/dev/null 2>&1
	[ $? != 124 ]
}

complain() { # NAME LINE
	ok 1 "$1: $2"
	tail -n 5 "$(log_of "$node" "$short")" | sed 's/^/# /'
	return 1
}

# The fault is there: the daemon has ended with a message, or it answers.
while_faulty() { # NAME FROM CLASS MODE CALL
	if ! is_daemon "$short" || ! hit "$node" "$program"; then
		return 0
	fi
	if ! alive "$node" "$short"; then
		ended=$((ended + 1))
		said "$node" "$short" "$2" "$5" || complain "$1" "it ended, and its message does not name path and error" || return 1
	elif [ "$short" = agent ] && [ "$3 $4" != "socket always" ]; then # it cannot even take commands then
		answers "$node" || complain "$1" "it hangs" || return 1
	fi
}

converge() { # NAME
	local begun=$SECONDS
	eventually converged || {
		ok 1 "$1: all get in sync again"
		diagnose
		return 1
	}
	[ $((SECONDS - begun)) -le "$slowest" ] || slowest=$((SECONDS - begun))
}

over() { # the fault is taken away, and the daemon started if it ended
	plan "$node" "$program" count
	is_daemon "$short" && start_injected "$node" "$short"
	return 0
}

# Globals: node, short, program.
point() { # CLASS ERRNO MODE K STARTING
	local name from what
	# Who asks again after each interruption, for ever, does right.
	[ "$2" != EINTR ] || set -- "$1" "$2" once "$4" "$5"
	program=$(program_of "$short")
	points=$((points + 1))
	from=$(log_size "$node" "$short")
	if [ "$5" = yes ] && is_daemon "$short"; then
		"$lab" stop "$T/lab" "$node" "$short"
		plan "$node" "$program" fail "$4" "$1" "$2" "$3"
		start_injected "$node" "$short"
	else
		plan "$node" "$program" fail "$4" "$1" "$2" "$3"
	fi
	run_script
	for _ in $(seq 10); do
		hit "$node" "$program" && break
		sleep 0.02
	done
	[ "$3" = once ] || sleep 0.3
	what=nothing
	hit "$node" "$program" && reached=$((reached + 1)) && what=$(hit_what "$node" "$program")
	name="$node: call $4 of class $1 of $short fails with $2 $3 ($what)"
	[ -z "${VERBOSE:-}" ] || echo "# point $points: $name$([ "$5" = no ] || echo ', starting')"
	while_faulty "$name" "$from" "$1" "$3" "$what" || broken=$((broken + 1))
	over
	converge "$name" || return 1
	[ "$what" != nothing ]
}

# Of the wanted errors, those that calls of the class can fail with.
errors_of() { # CLASS
	local e
	for e in ${can[$1]}; do
		[[ " ${errors[*]} " != *" $e "* ]] || echo "$e"
	done
}

random_points() {
	local class
	while [ "$points" -lt "$ERRNO_POINTS" ]; do
		# Not in a subshell: it would always draw the same number.
		node=n$((RANDOM % 3 + 1))
		short=${programs[RANDOM % ${#programs[@]}]}
		# The tubes have little that can fail: half as often.
		is_daemon "$short" || [ $((RANDOM % 2)) = 0 ] || continue
		# shellcheck disable=SC2206
		local classes=(${makes[$short]}) wanted reach=(2 10 60) modes=(once once always) starting=(no no no yes)
		class=${classes[RANDOM % ${#classes[@]}]}
		mapfile -t wanted < <(errors_of "$class")
		[ "${#wanted[@]}" -gt 0 ] || continue
		point "$class" "${wanted[RANDOM % ${#wanted[@]}]}" "${modes[RANDOM % 3]}" $((RANDOM % reach[RANDOM % 3] + 1)) \
			"${starting[RANDOM % 4]}"
		[ "$bad" = 0 ] || [ -n "${KEEP_GOING:-}" ] || return 1
		[ $((points % 10)) != 0 ] || nothing_lost || return 1
	done
	return "$broken"
}

all_points() {
	local class error mode k starting
	node=n2
	for short in "${programs[@]}"; do
		for class in ${makes[$short]}; do
			for error in $(errors_of "$class"); do
				for mode in once always; do
					for starting in no yes; do
						for k in $(seq "$ERRNO_LAST"); do
							point "$class" "$error" "$mode" "$k" "$starting" || break
						done
						[ "$bad" = 0 ] || [ -n "${KEEP_GOING:-}" ] || return 1
					done
				done
			done
			nothing_lost || return 1
		done
	done
	return "$broken"
}

broken=0
echo "# SEED=$SEED"
check "three nodes come up under the preloaded library" injected_lab 3 sync.delta_min=64K
run_script
check_soon "the first round converges" converged
if [ "$ERRNO_POINTS" = all ]; then
	all_points
else
	random_points
fi
ok $? "$points points, $reached reached: $ended times it ended with a message, else it went on; the slowest took $slowest s to get in sync"
check "no content was lost" nothing_lost
done_testing
