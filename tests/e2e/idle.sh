#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Three nodes in sync with nothing to do: no WAL growth, no traffic beyond heartbeats, next to no CPU. FILES sets the size of the tree.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3
FILES=${FILES:-20000}
IDLE_S=${IDLE_S:-10}
WAIT_S=300

must "three nodes come up" "$lab" up "$T/lab" 3
python3 - "$(media n1)" "$FILES" <<'END'
import os, sys
root, n = sys.argv[1], int(sys.argv[2])
for i in range(n):
    d = os.path.join(root, 'd%d' % (i % 100))
    os.makedirs(d, exist_ok=True)
    open(os.path.join(d, 'f%d' % i), 'wb').write(b'%d' % i)
END
check_soon "they are in sync" in_sync n1 n2 n3
quiet() { # the WALs have stopped growing: two looks a second apart
	local a b
	a=$(stat -c %s "$T"/lab/n?/state/wal)
	sleep 1
	b=$(stat -c %s "$T"/lab/n?/state/wal)
	[ "$a" = "$b" ]
}
check_soon "the WALs come to rest" quiet
ticks() { # CPU of all daemons
	for p in "$T"/lab/n?/pid.watcher "$T"/lab/n?/pid.agent; do
		read -r pid _ <"$p"
		sed 's/.*) //' "/proc/$pid/stat"
	done | awk '{ s += $12 + $13 } END { print s }'
}
wal=$(stat -c %s "$T"/lab/n?/state/wal)
cpu=$(ticks)
out=$(mimeo n1 peers --json | jq -s 'flatten | [.[].bytes_out // 0] | add')
sleep "$IDLE_S"
check "no WAL grew" test "$wal" = "$(stat -c %s "$T"/lab/n?/state/wal)"
percent=$(($(ticks) - cpu))
echo "# CPU of six daemons over $IDLE_S s: $percent ticks of 10 ms"
grew=$(($(mimeo n1 peers --json | jq -s 'flatten | [.[].bytes_out // 0] | add') - out))
echo "# n1 sent $grew bytes in $IDLE_S s"
check "traffic is heartbeats only" test "$grew" -lt $((IDLE_S * 400 + 4000))
done_testing
