#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A WAL that is damaged in the middle is set aside, saved as far as it goes, and completed by the peers; nothing is lost.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3
ROUNDS=${ROUNDS:-4}

must "three nodes come up" "$lab" up "$T/lab" 3
cat >"$T/churn.py" <<'END'
# Creates, edits, renames and deletes under a few names.
import os, random, sys
root, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
name = lambda: os.path.join(root, random.choice('abc'), 'f%d' % random.randrange(30))
for _ in range(count):
    f, do = name(), random.randrange(10)
    try:
        os.makedirs(os.path.dirname(f), exist_ok=True)
        if do < 6:
            with open(f, 'wb') as o:
                o.write(os.urandom(random.choice((10, 3000, 90000))))
        elif do < 8:
            os.rename(f, name())
        else:
            os.remove(f)
    except OSError:
        pass
END
cat >"$T/flip.py" <<'END'
# Flips bits of one byte, PART of the way through FILE, never in the header.
import os, sys
path, part = sys.argv[1], float(sys.argv[2])
size = os.path.getsize(path)
with open(path, 'r+b') as f:
    f.seek(64 + int((size - 64 - 200) * part))
    b = f.read(1)
    f.seek(-1, 1)
    f.write(bytes([b[0] ^ 0x55]))
END
damaged() { # NODE NUMBER: how many files were set aside
	[ "$(find "$T/lab/$1/state" -name 'wal.damaged-*' | wc -l)" = "$2" ]
}
parts=(0.5 0.01 0.9 0.3 0.7 0.2 0.6 0.99)
for round in $(seq "$ROUNDS"); do
	for n in 1 2 3; do
		python3 "$T/churn.py" "$(media n$n)" $((round * 10 + n)) 30
	done
	check_soon "round $round: in sync" in_sync n1 n2 n3
	echo "only $round" >"$(media n3)/only-$round"
	check_soon "round $round: one more" test -s "$(media n1)/only-$round"
	"$lab" kill "$T/lab" n3
	python3 "$T/flip.py" "$T/lab/n3/state/wal" "${parts[$(((round - 1) % 8))]}"
	echo "away $round" >"$(media n3)/away-$round"
	python3 "$T/churn.py" "$(media n1)" $((round * 10 + 9)) 20
	listing "$(media n1)" >"$T/before"
	"$lab" start "$T/lab" n3
	check_soon "round $round: set aside" damaged n3 "$round"
	check "round $round: and said" grep -q 'wal.damaged' "$T/lab/n3/log/agent.log" "$T/lab/n3/log/watcher.log"
	check_soon "round $round: completed by the peers" in_sync n1 n2 n3
	check "round $round: trees are equal" same_trees n1 n2 n3
	check "round $round: digests are equal" same_digests n1 n2 n3
	check_soon "round $round: what was written while it was down is everywhere" test -s "$(media n2)/away-$round"
done
check_soon "hashed again, and over with it" bash -c "grep -q rehash.done '$T'/lab/n3/log/watcher.log"
check "no agent ended by itself" bash -c "! grep -hE 'fatal|ssertion' '$T'/lab/n*/log/agent.log '$T'/lab/n*/log/watcher.log"
done_testing
