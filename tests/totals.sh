#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Adds up the results that the test driver left beside each test, and prints them as the last line:
# `N passed, N failed', with `, N skipped' if there were any.
#
#   tests/totals.sh TEST...
#
# Run in the top of the build tree. The results of TEST dir/name.ext are in dir/name.trs, its output
# in dir/name.log. A test without results did not run, and one that broke off without naming a
# failed check (crash, missing plan, time limit) still failed: each counts as one failure. Failures
# are listed first. Exits with 1 if there was one, or if nothing passed.

set -eu

passed=0 failed=0 skipped=0

# count RESULT FILE
count() {
	grep -c "^:test-result: $1" "$2" || true
}

for test in "$@"; do
	results=${test%.*}.trs
	log=${test%.*}.log
	if [ ! -s "$results" ]; then
		echo "FAILED $test: it did not run"
		failed=$((failed + 1))
		continue
	fi
	bad=$(count '\(FAIL\|XPASS\)' "$results")
	if [ "$bad" -eq 0 ] && [ "$(count ERROR "$results")" -gt 0 ]; then
		bad=1
	fi
	if [ "$bad" -gt 0 ]; then
		echo "FAILED $test, see $log"
		grep -a '^\(not ok\|ERROR\|Bail out\)' "$log" | sed 's/^/    /' || true
	fi
	passed=$((passed + $(count PASS "$results")))
	failed=$((failed + bad))
	skipped=$((skipped + $(count '\(SKIP\|XFAIL\)' "$results")))
done

line="$passed passed, $failed failed"
if [ "$skipped" -gt 0 ]; then
	line="$line, $skipped skipped"
fi
echo "$line"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
