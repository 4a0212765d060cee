#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A node that holds what the others hold and shows something else is found out, and put right.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3

must "three nodes come up" "$lab" up "$T/lab" 3
for i in $(seq 20); do
	echo "$i" >"$(media n$((i % 3 + 1)))/f$i"
done
check_soon "files are everywhere" bash -c "for n in 1 2 3; do [ \$(ls '$T'/lab/n\$n/media | wc -l) = 20 ] || exit 1; done"
check_soon "in sync" in_sync n1 n2 n3

# What no disk and no bug should do: n3's log says that a head of it is none.
cat >"$T/remove.py" <<'END'
# Appends the entry REMOVED for a record, as JSON on standard input, to a WAL.
import json, os, struct, sys
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
r = json.loads(sys.stdin.readline())
path = r['path'].encode()
payload = bytes([19]) + struct.pack('<H', len(path)) + path + struct.pack('<QQ', int(r['origin'], 16), r['seq'])
length = struct.pack('<I', len(payload))
with open(sys.argv[1], 'ab') as f:
    f.write(length + struct.pack('<I', crc32c(length + payload)) + payload)
END
"$lab" stop "$T/lab" n3
for f in f3 f7; do
	mimeo n1 log --json "$f" | tail -n 1 | python3 "$T/remove.py" "$T/lab/n3/state/wal"
done
"$lab" start "$T/lab" n3
check_soon "the difference is said" grep -q merge.mismatch "$T/lab/n3/log/agent.log"
check_soon "and counted" bash -c "'$build/mimeo' -c '$T/lab/n3/mimeo.conf' errors --json | grep -q '\"digest\"'"
check_soon "whole states are merged" grep -q merge.union "$T/lab/n3/log/agent.log"
check_soon "all in sync" in_sync n1 n2 n3
check_soon "digests are equal" same_digests n1 n2 n3
check_soon "trees are equal" same_trees n1 n2 n3
check "nothing went on the others" bash -c "[ \$(ls '$(media n1)' | wc -l) = 20 ]"
said=$(grep -c merge.mismatch "$T/lab/n1/log/agent.log")
echo after >"$(media n2)/after"
check_soon "and on it goes" test -s "$(media n3)/after"
check "said once" test "$said" -le 2
done_testing
