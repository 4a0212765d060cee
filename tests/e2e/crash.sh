#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# kill -9 of watcher, agent, dial, attach and sshd while files are written everywhere; torn and damaged WALs.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3
ROUNDS=${ROUNDS:-10}

must "three nodes come up" "$lab" up "$T/lab" 3 sync.delta_min=64K guard.max_delete='1000000, 100%'
cat >"$T/churn.py" <<'END'
# Creates, edits, renames and deletes under a few names until COUNT operations are done.
import os, random, sys
root, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
name = lambda: os.path.join(root, random.choice('abc'), 'f%d' % random.randrange(40))
for _ in range(count):
    f, do = name(), random.randrange(10)
    try:
        os.makedirs(os.path.dirname(f), exist_ok=True)
        if do < 5:
            with open(f, 'wb') as o:
                o.write(os.urandom(random.choice((10, 3000, 90000, 400000))))
        elif do < 6:
            with open(f, 'r+b') as o:
                o.seek(random.randrange(2000))
                o.write(os.urandom(50))
        elif do < 8:
            os.rename(f, name())
        else:
            os.remove(f)
    except OSError:
        pass
END
victims=(watcher agent sshd dial attach)
strike() { # NODE VICTIM
	case $2 in
	dial) pkill -KILL -f -- "--key $T/lab/$1/" ;;
	attach) pkill -KILL -f -- "--socket $T/lab/$1/" ;;
	*) "$lab" kill "$T/lab" "$1" "$2" ;;
	esac
}

# In the middle of a large copy, and of the adoption of what is there already on all.
for n in 1 2 3; do
	python3 "$top/tests/e2e/tree.py" "$T/lab/n$n/media/copy$n" 1500 192 >/dev/null &
	copies="${copies:-} $!"
done
for round in $(seq "$ROUNDS"); do
	node=n$((round % 3 + 1))
	strike "$node" "${victims[$((round % 5))]}"
	sleep 0.3
	"$lab" start "$T/lab" "$node"
done
# shellcheck disable=SC2086
wait $copies
check_soon "after $ROUNDS kills in the middle of a copy all get in sync" in_sync n1 n2 n3
check "trees are equal" same_trees n1 n2 n3
check "digests are equal" same_digests n1 n2 n3

for round in $(seq "$ROUNDS"); do
	for n in 1 2 3; do
		python3 "$T/churn.py" "$T/lab/n$n/media" $((round * 10 + n)) 40 &
		churn="${churn:-} $!"
	done
	node=n$((round % 3 + 1))
	strike "$node" "${victims[$((round % 5))]}"
	# shellcheck disable=SC2086
	wait $churn
	churn=
	"$lab" start "$T/lab" "$node"
done
check_soon "after $ROUNDS kills all get in sync" in_sync n1 n2 n3
check "trees are equal" same_trees n1 n2 n3
check "digests are equal" same_digests n1 n2 n3

# A torn tail: cut, said, resumed.
"$lab" kill "$T/lab" n2
printf '\x40\x00\x00\x00\x11\x22\x33\x44half an ent' >>"$T/lab/n2/state/wal"
"$lab" start "$T/lab" n2
check_soon "a torn tail is cut, and said" grep -q 'wal.torn' "$T/lab/n2/log/agent.log" "$T/lab/n2/log/watcher.log"
echo after >"$(media n2)/after-torn"
check_soon "and the node goes on" test -s "$(media n1)/after-torn"

# A flipped byte in the middle: set aside, salvaged, healed from peers.
"$lab" kill "$T/lab" n3
python3 - "$T/lab/n3/state/wal" <<'END'
import os, sys
f = open(sys.argv[1], 'r+b')
at = os.path.getsize(sys.argv[1]) // 2
f.seek(at)
b = f.read(1)
f.seek(at)
f.write(bytes([b[0] ^ 0x55]))
END
echo meanwhile >"$(media n1)/meanwhile"
"$lab" start "$T/lab" n3
check_soon "a damaged WAL is set aside, and said" grep -q 'wal.damaged' "$T/lab/n3/log/agent.log" "$T/lab/n3/log/watcher.log"
check_soon "the damaged file is kept" bash -c "ls '$T/lab/n3/state/' | grep -q wal.damaged"
check_soon "the node is healed from its peers" in_sync n1 n2 n3
check "trees are equal" same_trees n1 n2 n3
check "digests are equal" same_digests n1 n2 n3
done_testing
