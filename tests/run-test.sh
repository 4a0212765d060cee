#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs one test with a time limit, so that a test that hangs fails; used by `make check'.
#
#   tests/run-test.sh TEST
#
# End-to-end tests take turns, whatever make's -j says: each starts daemons, and two of them on a
# small machine would starve each other. The lock is not inherited, so a daemon that a test leaves
# behind cannot hold it. Waiting for it does not count as running.
#
# TEST_SECONDS is the limit for one test (300; 900 for one end to end).

set -eu
: "${top_srcdir:?}" "${top_builddir:?}"

lock=$top_builddir/tests/e2e.lock

case $1 in
*/e2e/*.sh)
	mkdir -p "$top_builddir/tests"
	exec flock --close "$lock" \
		timeout --kill-after=10 "${TEST_SECONDS:-900}" bash "$1" </dev/null
	;;
*.sh)
	exec timeout --kill-after=10 "${TEST_SECONDS:-300}" bash "$1" </dev/null
	;;
*.fuzz)
	corpus=$top_srcdir/tests/fuzz/corpus/$(basename "$1" .fuzz)
	exec timeout --kill-after=10 "${TEST_SECONDS:-300}" "$1" "$corpus" </dev/null
	;;
*)
	exec timeout --kill-after=10 "${TEST_SECONDS:-300}" "$1" </dev/null
	;;
esac
