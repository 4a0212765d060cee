#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A writer that takes its time through one descriptor, readers on the other nodes that open and hash every name in a loop.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3

must "three nodes come up" "$lab" up "$T/lab" 3
cat >"$T/write.py" <<'END'
# Writes SIZE bytes in PIECES through one descriptor over SECONDS, then in place once more over the middle. Prints the hashes of the whole versions.
import hashlib, os, sys, time
path, size, pieces, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
data = os.urandom(size)
begin = time.monotonic()
with open(path, 'wb', buffering=0) as f:
    for i in range(pieces):
        f.write(data[i * size // pieces:(i + 1) * size // pieces])
        left = begin + seconds * (i + 1) / pieces - time.monotonic()
        if left > 0:
            time.sleep(left)
print(hashlib.sha256(data).hexdigest())
END
cat >"$T/read.py" <<'END'
# Reads every file below DIR again and again until STOP exists; prints each (name, hash) once.
import hashlib, os, sys
root, stop = sys.argv[1:3]
seen = set()
while not os.path.exists(stop):
    for name in os.listdir(root):
        if name == '.mimeo-id':
            continue
        try:
            with open(os.path.join(root, name), 'rb') as f:
                seen.add((name, hashlib.sha256(f.read()).hexdigest()))
        except FileNotFoundError:
            pass
for name, digest in sorted(seen):
    print(name, digest)
END
for n in n2 n3; do
	python3 "$T/read.py" "$(media $n)" "$T/stop" >"$T/seen.$n" &
	readers="${readers:-} $!"
done
python3 "$T/write.py" "$(media n1)/slow.bin" 50000000 500 10 >"$T/versions"
check_soon "the slow file arrives" in_sync n1
for _ in 1 2 3 4 5; do
	python3 "$T/write.py" "$(media n1)/quick.bin" 400000 50 0.2 >>"$T/versions"
done
check_soon "the last version of the quick one arrives" in_sync n1
touch "$T/stop"
# shellcheck disable=SC2086
wait $readers
for n in n2 n3; do
	check "a reader on $n saw whole versions only" bash -c "cut -d' ' -f2 '$T/seen.$n' | sort -u | comm -23 - <(sort -u '$T/versions') | wc -l | grep -qx 0"
	check "and saw the slow one" grep -q "^slow.bin $(head -1 "$T/versions")" "$T/seen.$n"
done
check "one record for the slow file" test "$(mimeo n1 history slow.bin --json | wc -l)" = 1
mimeo n1 log --json | jq -r 'select(.path == "quick.bin") | .hash' | sort -u >"$T/logged"
check "no partial version was ever logged" bash -c "comm -23 '$T/logged' <(sort -u '$T/versions') | wc -l | grep -qx 0"
done_testing
