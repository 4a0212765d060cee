#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Enough changes that every WAL is compacted, while changes go on: nothing is lost, both daemons follow the new file, a restart reads it.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3

must "three nodes come up" "$lab" up "$T/lab" 3 guard.max_delete='1000000, 100%'
cat >"$T/fill.py" <<'END'
# Files with long names, made or removed.
import os, sys
root, turn, do = sys.argv[1:4]
for i in range(6000):
    n = os.path.join(root, 'd%d' % (i % 50), '%s-%d-' % (turn, i) + 'x' * 230)
    if do == 'make':
        os.makedirs(os.path.dirname(n), exist_ok=True)
        with open(n, 'w') as f:
            f.write(n)
    elif i >= 10:
        os.remove(n)
END
fill() { # NODE: until STOP exists
	local turn=0
	until [ -e "$T/stop" ]; do
		turn=$((turn + 1))
		python3 "$T/fill.py" "$(media "$1")" "$turn" make
		mimeo "$1" wait >/dev/null
		python3 "$T/fill.py" "$(media "$1")" "$turn" remove
	done
}
fill n1 &
writer=$!
generation() { # NODE NUMBER: has its WAL come so far
	[ "$(od -A n -t u8 -j 24 -N 8 "$T/lab/$1/state/wal" | tr -d ' ')" -ge "$2" ]
}
# 16 MiB of WAL are work, and how much of it a machine does in a minute is not the question here.
WAIT_S=$((WAIT_S * 5))
for n in n1 n2 n3; do
	check_soon "the WAL of $n is compacted" generation $n 2
	echo "$n" >"$(media $n)/while-$n"
done
touch "$T/stop"
wait $writer
check_soon "all are in sync" in_sync n1 n2 n3
check "trees are equal" same_trees n1 n2 n3
check "digests are equal" same_digests n1 n2 n3
for n in n1 n2 n3; do
	echo after >"$(media $n)/after-$n"
done
check_soon "both daemons go on with the new file" in_sync n1 n2 n3
check "and all changes are everywhere" same_trees n1 n2 n3
"$lab" kill "$T/lab" n2
"$lab" start "$T/lab" n2
check_soon "one that was killed reads it" in_sync n1 n2 n3
check "nothing was damaged" bash -c "! grep -h 'wal\\.' '$T'/lab/n?/log/*.log | grep -v torn"
done_testing
