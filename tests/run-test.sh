#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Runs one test with a time limit, so that a test that hangs fails; used by `make check'.
#
#   tests/run-test.sh TEST
#
# End-to-end tests, fault injection among them, run E2E_SLOTS (2) at a time, whatever make's -j says:
# each starts a dozen daemons, which mostly wait, and many of them on a small machine would starve each
# other. A slot has a range of ports of its own. Its lock is this shell's alone, so a daemon that a test
# leaves behind cannot hold it. Waiting for it does not count as running.
#
# TEST_SECONDS is the limit for one test (300; 900 for one end to end, and for many histories). FUZZING=yes says that a
# .fuzz has a fuzzing engine in it, which reports in a language of its own.

set -euo pipefail
: "${top_srcdir:?}" "${top_builddir:?}"

test=$1
seconds=${TEST_SECONDS:-300}
running=

# timeout has the test in a process group of its own, which the terminal's ^C does not reach.
trap 'kill "$running" 2>/dev/null; exit 1' INT TERM HUP

run() {
	timeout --kill-after=10 "$seconds" "$@" </dev/null 9>&- &
	running=$!
	wait "$running"
}

# The first slot that is free, or becomes free.
take_slot() {
	local slots=${E2E_SLOTS:-2} slot
	mkdir -p "$top_builddir/tests"
	while :; do
		for ((slot = 0; slot < slots; slot++)); do
			exec 9>"$top_builddir/tests/e2e.lock.$slot"
			if flock -n 9; then
				LAB_PORTS="$((4000 + slot * (28000 / slots))) $((28000 / slots))"
				export LAB_PORTS
				return
			fi
		done
		sleep 0.2
	done
}

exec 9>/dev/null
case $test in
*/e2e/*.sh | */inject/*.sh)
	take_slot
	seconds=${TEST_SECONDS:-900}
	run bash "$test"
	;;
*/histories.sh)
	seconds=${TEST_SECONDS:-900}
	run bash "$test"
	;;
*.sh)
	run bash "$test"
	;;
*.fuzz)
	corpus=$top_srcdir/tests/fuzz/corpus/$(basename "$test" .fuzz)
	if [ "${FUZZING:-no}" = no ]; then
		run "$test" "$corpus"
	else
		run "$test" -runs=0 "$corpus"
		printf '1..1\nok 1 - the corpus was replayed\n'
	fi
	;;
*)
	run "$test"
	;;
esac
