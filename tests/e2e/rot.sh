#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Content that a disk has lost is found by verify and by the scrub, put back from another member, and kept for a look.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3

must "three nodes come up" "$lab" up "$T/lab" 3 scrub.rate=1G
sed -i '/^\[scrub\]/,/^\[/s/^;\{0,1\}every *=.*//' "$T/lab/n2/mimeo.conf"
grep -q '^\[scrub\]' "$T/lab/n2/mimeo.conf" || printf '\n[scrub]\n' >>"$T/lab/n2/mimeo.conf"
sed -i 's/^\[scrub\]/[scrub]\nevery = 1s/' "$T/lab/n2/mimeo.conf"
for i in $(seq 10); do
	head -c $((i * 30000)) /dev/urandom >"$(media n1)/f$i"
done
all_there() {
	local n
	for n in n1 n2 n3; do
		[ "$(find "$(media "$n")" -name 'f*' -type f | wc -l)" = 10 ] || return 1
	done
}
check_soon "files are everywhere" all_there
check_soon "in sync" in_sync n1 n2 n3
check "verify finds nothing" mimeo n3 verify

# No program can change a file and leave its times alone. So the file is changed, and the log is told the new signature.
cat >"$T/rot.py" <<'END'
import os, struct, sys
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
wal, root, name = sys.argv[1:4]
path = os.path.join(root, name)
st = os.stat(path)
with open(path, 'r+b') as f:
    f.seek(st.st_size // 2)
    b = f.read(1)
    f.seek(-1, 1)
    f.write(bytes([b[0] ^ 1]))
os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
st = os.stat(path)
n = name.encode()
payload = bytes([4]) + struct.pack('<H', len(n)) + n + struct.pack(
    '<QQqqIIHBB', st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_uid, st.st_gid, st.st_mode & 0o7777, 1, 0)
length = struct.pack('<I', len(payload))
with open(wal, 'ab') as f:
    f.write(length + struct.pack('<I', crc32c(length + payload)) + payload)
END
rot() { # NODE NAME
	"$lab" stop "$T/lab" "$1"
	python3 "$T/rot.py" "$T/lab/$1/state/wal" "$(media "$1")" "$2"
	"$lab" start "$T/lab" "$1"
}
same() { # NAME NODE
	cmp -s "$(media n1)/$1" "$(media "$2")/$1"
}

before=$(records n1)
rot n3 f5
check_soon "the node runs" in_sync n3
check "the file is not what it was" bash -c "! cmp -s '$(media n1)/f5' '$(media n3)/f5'"
mimeo n3 verify >"$T/verify.out" 2>&1
check "verify ends with 1" test $? = 1
check "and names it" grep -q 'f5: .*not what' "$T/verify.out"
check_soon "it is put right" same f5 n3
check_soon "said" grep -q scrub.rotten "$T/lab/n3/log/agent.log"
check_soon "counted" bash -c "'$build/mimeo' -c '$T/lab/n3/mimeo.conf' errors --json | grep -q '\"rot\"'"
check_soon "and the other bytes are kept" bash -c "ls '$T/lab/n3/.mimeo-media/kept' | grep -q rescued-"
check_soon "verify finds nothing any more" mimeo n3 verify

rot n3 f9
check_soon "it runs again, and is connected" connected_are n3 "n1 n2"
check "verify --peers finds no difference in what the nodes show" mimeo n1 verify --peers
check "although a file is not what it was" bash -c "! cmp -s '$(media n1)/f9' '$(media n3)/f9'"
check "and with --rehash all read their files" mimeo n1 verify --peers --rehash
check_soon "and put right what is not as it was" same f9 n3

rot n2 f7
check_soon "the scrub finds it by itself" grep -q scrub.rotten "$T/lab/n2/log/agent.log"
check_soon "and it is put right" same f7 n2
check_soon "in sync" in_sync n1 n2 n3
check "nobody logged anything" test "$(records n1)" = "$before"

# Somebody writes through a mapping: no rot, however often it is looked at.
cat >"$T/map.py" <<'END'
import mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 0)
os.close(fd)
i = 0
while not os.path.exists(sys.argv[2]):
    m[i % 1000] = i & 255
    i += 1
    time.sleep(0.001)
m[0:5] = b'final'
m.flush()
m.close()
END
rotten=$(grep -c scrub.rotten "$T/lab/n2/log/agent.log")
passes=$(grep -c scrub.done "$T/lab/n2/log/agent.log")
python3 "$T/map.py" "$(media n2)/f9" "$T/enough" &
mapper=$!
passed() { # NUMBER
	[ "$(grep -o 'scrub.done.*repeated=[0-9]*\|scrub.done' "$T/lab/n2/log/agent.log" | wc -l)" -ge "$1" ]
}
check_soon "the scrub goes over it" passed $((passes + 2))
touch "$T/enough"
wait "$mapper"
check_soon "what was written goes everywhere" bash -c "head -c 5 '$(media n1)/f9' | grep -q final"
check "a writer is no rot" test "$(grep -c scrub.rotten "$T/lab/n2/log/agent.log")" = "$rotten"
check_soon "in sync" in_sync n1 n2 n3
check "trees are equal" same_trees n1 n2 n3
check "digests are equal" same_digests n1 n2 n3
done_testing
