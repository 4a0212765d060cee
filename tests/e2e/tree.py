# SPDX-License-Identifier: BSD-2-Clause
# Makes a tree below ROOT: FILES of real sizes, LARGE_MB of large ones, and names that break things.
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
