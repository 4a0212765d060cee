#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Histories of whole clusters in the simulator: those that found something once, and many others.
# Speaks TAP. `make sim SEEDS=N' runs more, tests/sim --seed S replays one.
#
# BRIEF_SEEDS and SEEDS set how many brief and how many longer ones (18500 and 1500), WILD_SEEDS how
# many wild ones, with clashes, and with a liar (200 each); `make check' of a build with sanitizers
# has a tenth of that.

set -euo pipefail
: "${top_srcdir:?}" "${top_builddir:?}"

sim=$top_builddir/tests/sim
n=0 failed=0

# result WHAT COMMAND...
result() {
	local out

	n=$((n + 1))
	if out=$("${@:2}" 2>&1); then
		echo "ok $n - $1: ${out##*$'\n'}"
	else
		failed=1
		echo "not ok $n - $1"
		printf '# %s\n' "${out//$'\n'/$'\n'# }"
	fi
}

while read -r seed what; do
	case $seed in
	[0-9]*) result "$what" "$sim" --quiet --seed "$seed" ;;
	brief | wild | liar | clash) result "${what#* }" "$sim" "--$seed" --quiet --seed "${what%% *}" ;;
	esac
done <"$top_srcdir/tests/simulator/seeds"
result 'brief histories' "$sim" --brief --seeds "${BRIEF_SEEDS:-18500}"
result 'longer ones' "$sim" --seeds "${SEEDS:-1500}"
result 'wild ones' "$sim" --wild --seeds "${WILD_SEEDS:-200}"
result 'with clashes' "$sim" --clash --seeds "${WILD_SEEDS:-200}"
result 'with a liar' "$sim" --liar --seeds "${WILD_SEEDS:-200}"
result 'small ones, crashed anywhere' "$sim" --small 400 --seconds 20
result 'the same seed is the same history' "$sim" --twice --seeds 20
echo "1..$n"
exit "$failed"
