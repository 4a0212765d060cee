#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Lets every fuzz target search for new inputs, one after the other; used by `make fuzz' in a build
# tree that was configured with --enable-fuzzing. What it finds that ends a target is left in
# fuzz.found/, with a line that says how to see it again.
#
#   FUZZ_SECONDS=60 tests/fuzz.sh TARGET...

set -euo pipefail
: "${top_srcdir:?}"
seconds=${FUZZ_SECONDS:-60}
mkdir -p fuzz.found
bad=0

for target; do
	name=$(basename "$target" .fuzz)
	new=$(mktemp -d)
	log=fuzz.found/$name.log
	if "$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="fuzz.found/$name-" "$new" "$top_srcdir/tests/fuzz/corpus/$name" >"$log" 2>&1; then
		echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs, nothing found"
	else
		echo "$name: FOUND: see $log; again: $target fuzz.found/$name-*" >&2
		bad=1
	fi
	rm -rf "$new"
done
exit "$bad"
