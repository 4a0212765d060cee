#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Prints for each source file how many of its lines the tests executed, worst first, then the same
# for each folder, and for the apply path: all that a change goes through from a peer's bytes to the
# tree. Run in the top of a build tree that was configured with --enable-coverage, after `make check'.
# With -m NAME.c: the lines of that file that nothing executed.

set -eu

GCOV=${GCOV:-gcov}
APPLY='apply perform plan merge fetch intake commit recover exchange replicate brake collect scrub
	store smallfile delta adopt owner compare syncer flow past restore rewind'

if [ "${1:-}" = -m ]; then
	find proto conf watcher agent -name "${2%.c}.gcda" | while read -r file; do
		$GCOV --stdout --object-directory "$(dirname "$file")" "$file" 2>/dev/null |
			awk -v name="/$2" '
				/:Source:/ { on = index($0, name) > 0 }
				on && /:Source:|^ *(#####|=====):/'
	done
	exit
fi

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
	}' | sort -u | sort -n | awk -v apply="$APPLY" '
	function add(what) {
		lines[what] += $3
		run[what] += $1 * $3 / 100
	}
	BEGIN {
		n = split(apply, name, /[ \t\n]+/)
		for (i = 1; i <= n; i++)
			counts["agent/" name[i] ".c"] = 1
	}
	{
		print
		n = split($4, part, "/")
		file = part[n - 1] "/" part[n]
		add(part[n - 1] "/")
		if (file in counts || file ~ /^conf\/tree.*\.c$/)
			add("apply path")
	}
	END {
		for (d in lines)
			printf "%6.1f%% of %5d  %s in all\n", 100 * run[d] / lines[d], lines[d], d
	}'
