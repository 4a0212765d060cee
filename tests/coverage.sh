#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Prints for each source file how many of its lines the tests executed, worst first, and then the
# same for each folder. Run in the top
# of a build tree that was configured with --enable-coverage, after `make check'.

set -eu

GCOV=${GCOV:-gcov}
counts=$(find proto conf watcher agent -name '*.gcda')
if [ -z "$counts" ]; then
	echo 'no counts: configure with --enable-coverage, then make check' >&2
	exit 1
fi

for file in $counts; do
	$GCOV --no-output --object-directory "$(dirname "$file")" "$file" 2>/dev/null
done | awk '
	/^File .*\.c\x27$/ { name = $2; gsub(/\x27/, "", name); next }
	/^File / { name = "" }
	/^Lines executed:/ && name != "" {
		split($0, part, /[:% ]+/)
		printf "%6.1f%% of %5d  %s\n", part[3], $NF, name
		name = ""
	}' | sort -u | sort -n | awk '
	{
		print
		n = split($4, part, "/")
		lines[part[n - 1]] += $3
		run[part[n - 1]] += $1 * $3 / 100
	}
	END {
		for (d in lines)
			printf "%6.1f%% of %5d  %s/ in all\n", 100 * run[d] / lines[d], lines[d], d
	}'
