#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Are the tests any good? For each bug of tests/seeded.bugs: which unit tests fail with it, and after
# how many histories the simulator does: brief, plain and wild ones, some with a liar. Needs a build of its own:
#
#     mkdir seeded && cd seeded && ../configure --enable-seeded-bugs --disable-hardening
#     make seeded-bugs              all of them, an hour or two
#     make seeded-bugs BUGS='head_dropped no_look_out'
#
# SEEDS and SECONDS_MAX: so many histories of each kind are tried, and for so long (10000; 300).
# Prints a table; ends with 1 if some bug was found by nothing.

set -euo pipefail
: "${top_srcdir:?}" "${top_builddir:?}"

list=$top_srcdir/tests/seeded.bugs
seeds=${SEEDS:-10000} seconds=${SECONDS_MAX:-300}
missed=0
read -ra bugs <<<"${BUGS:-$(awk '!/^#/ {print $1}' "$list" | tr '\n' ' ')}"

cd "$top_builddir"
grep -q '^#define SEEDED_BUGS 1' config.h || {
	echo 'this build has no bugs: configure --enable-seeded-bugs' >&2
	exit 1
}

# Every bug in the list is in the source, and the other way about.
known() {
	grep -rhoE 'SEEDED\([a-z_]+\)' "$top_srcdir"/{proto,conf,watcher,agent} |
		sed 's/.*(//; s/)//' | grep -vx bug | sort -u
}
diff <(known) <(awk '!/^#/ {print $1}' "$list" | sort) || {
	echo 'tests/seeded.bugs and the source do not have the same bugs' >&2
	exit 1
}

# units BUG: the unit tests that fail
units() {
	local test found=''

	for test in tests/unit/*.test; do
		MIMEO_SEEDED_BUG=$1 timeout 300 "$test" >/dev/null 2>&1 </dev/null ||
			found+=" $(basename "$test" .test)"
	done
	echo "${found:- -}"
}

# histories BUG [KIND]: after how many one fails that does not fail without the bug
histories() {
	local first=1 out seed end=$((SECONDS + seconds))
	local -a kind=(${2:+"$2"})

	while ((first <= seeds && SECONDS < end)); do
		out=$(MIMEO_SEEDED_BUG=$1 tests/sim "${kind[@]}" --first "$first" --stop \
			--seeds "$((seeds - first + 1))" --seconds "$((end - SECONDS))" 2>&1 || true)
		seed=$(sed -nE 's/^seed 0*([0-9]+) (failed|aborted).*/\1/p' <<<"$out" | head -1)
		[[ -n $seed ]] || break
		if MIMEO_SEEDED_BUG='' tests/sim "${kind[@]}" --quiet --seed "$seed" >/dev/null 2>&1; then
			echo "$seed"
			return
		fi
		first=$((seed + 1))
	done
	echo -
}

for test in tests/unit/*.test; do # without a bug nothing fails
	MIMEO_SEEDED_BUG='' "$test" >/dev/null 2>&1 </dev/null || {
		echo "$test fails without any bug" >&2
		exit 1
	}
done
printf '%-20s %7s %7s %7s %7s %7s   %s\n' bug brief plain wild clash liar 'unit tests'
for bug in "${bugs[@]}"; do
	brief=$(histories "$bug" --brief) plain=$(histories "$bug") wild=$(histories "$bug" --wild)
	clash=$(histories "$bug" --clash) liar=$(histories "$bug" --liar)
	unit=$(units "$bug")
	printf '%-20s %7s %7s %7s %7s %7s  %s\n' "$bug" "$brief" "$plain" "$wild" "$clash" "$liar" "$unit"
	[[ $brief$plain$wild$clash$liar$unit != '----- -' ]] || missed=$((missed + 1))
done
echo "${#bugs[@]} bugs, $missed of them found by nothing"
[[ $missed == 0 ]]
