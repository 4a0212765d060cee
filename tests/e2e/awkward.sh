#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Many files of real sizes, large ones, and names that break things: all arrive byte for byte, with modes and times.
# FILES and LARGE_MB set how many; the defaults keep the test short.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3
FILES=${FILES:-3000}
LARGE_MB=${LARGE_MB:-192}
WAIT_S=${WAIT_S_LONG:-300}

check "three nodes come up" "$lab" up "$T/lab" 3
cat >"$T/make.py" <<'END'
import os, random, sys
root, files, large_mb = os.fsencode(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
random.seed(7)
def put(path, data, mode=0o644, when=None):
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, 'wb') as f:
        f.write(data)
    os.chmod(full, mode)
    if when is not None:
        os.utime(full, ns=(when, when))
for i in range(files):
    size = min(int(random.lognormvariate(9.0, 1.4)), 4 << 20)
    put(b'tree/%03d/%05d.jpg' % (i % 200, i), random.randbytes(size), random.choice((0o644, 0o600, 0o640, 0o755)), random.randrange(10**18, 17 * 10**17))
for i in range(max(1, large_mb // 64)):
    put(b'large/%d.mp4' % i, random.randbytes(64 << 20))
names = [b'new\nline', b'tab\there', b'quote\'s "double"', b'back\\slash', b'-dash', b'--help', b'$HOME', b'`id`', b'*', b'?', b'[a]', b'a b', b' lead', b'trail ',
         b'caf\xc3\xa9', b'cafe\xcc\x81', b'bad\xff\xfe', b'\x80', b'\x01\x02', b'\x1b[31mred', b'x' * 255, b'\xf0\x9f\x98\x80', b'..hidden', b'...', b'a;b', b'a&b', b'a|b', b'#x', b'~', b'%s%n', b'{}', b'<b>', b'\xe2\x80\xae' + b'gnp']
names += [bytes([c]) + b'.c' for c in range(1, 128) if c not in b'/' and len(names) + c < 200][:100 - len(names) if len(names) < 100 else 0]
for n in names:
    put(b'names/' + n, b'content of ' + n, 0o644)
put(b'/'.join([b'd'] * 59 + [b'leaf']), b'deep')
for i in range(20):
    os.makedirs(os.path.join(root, b'empty/%d' % i), exist_ok=True)
os.makedirs(os.path.join(root, b'links'), exist_ok=True)
for i, target in enumerate((b'../names/-dash', b'../tree', b'gone', b'../names/new\nline')):
    os.symlink(target, os.path.join(root, b'links/%d' % i))
print(len(names), 'awkward names')
END
python3 "$T/make.py" "$(media n1)" "$FILES" "$LARGE_MB" | sed 's/^/# /'
check_soon "everything arrives" in_sync n1 n2 n3
check "byte for byte, with modes, times, links, empty directories" same_trees n1 n2 n3
check "digests are equal" same_digests n1 n2 n3
check "nothing is left in a stage" bash -c "[ -z \"\$(ls -A '$T'/lab/n*/.mimeo-media/stage | grep -v :)\" ]"
mv "$(media n2)/names" "$(media n2)/renamed names"
rm -r "$(media n3)/tree/01"?
check_soon "a rename and deletes of them arrive" in_sync n1 n2 n3
check "trees are equal" same_trees n1 n2 n3
done_testing
