# SPDX-License-Identifier: BSD-2-Clause
# Power cuts, from what strace has recorded of all programs that write below a node's directory.
#
#   power.py sizes DIR FILE        remembers which files there are, and how long: all that counts as durable
#   power.py work MEDIA ROUND LEDGER    what a user does; each content is remembered before it is written
#   power.py lose DIR FILE SEED TRACE...     after everything was killed: takes away a legal part of what no sync covers
#   power.py had DIR NODE...       hashes of all that these nodes have, in the tree or kept
#   power.py judge DIR LEDGER LOGGED HAD    no content that was logged is gone, or other bytes in its place
#
# A content that its user overwrote where it was, before another node had it, is the user's to lose.
#
# Legal is: of the changes of names those behind the last one that is durable are undone, the latest first, so that
# what is left is what happened up to some moment; and of each file what was appended since its last sync is cut
# off, or is zeros. A change of names is durable once its directories, or the file system, were synced; or, as with a
# journal, once anything was.
import hashlib, json, os, random, re, sys

LINE = re.compile(r'^(\d+\.\d+) (\w+)\((.*)\)\s+= (-?\d+)(.*)$')
AT = r'(?:AT_FDCWD|\d+)<([^>]*)>, "((?:[^"\\]|\\.)*)"'


def sizes(top):
    found = {}
    for base, dirs, names in os.walk(top):
        for name in names:
            path = os.path.join(base, name)
            if not os.path.islink(path) and os.path.isfile(path):
                found[path] = os.stat(path).st_size
    return found


def digest(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


# ---- what a user does ----

def work(media, rnd, ledger):
    out = open(ledger, 'a', buffering=1)

    def put(path, data, mode='wb', whole=None):
        out.write('%s %d %s\n' % (hashlib.sha256(whole or data).hexdigest(), rnd, os.path.relpath(path, media)))
        with open(path, mode) as f:
            f.write(data)

    last = os.path.join(media, 'p%d.0' % (rnd - 1))
    for part in range(5):
        batch(os.path.join(media, 'p%d.%d' % (rnd, part)), last, put)
        last = os.path.join(media, 'p%d.%d' % (rnd, part))


def batch(now, last, put):
    os.mkdir(now)
    for i, size in enumerate((100, 5000, 90000, 400000, 17)):
        put(os.path.join(now, 'f%d' % i), os.urandom(size))
        if i != 2 or not os.path.isdir(last):
            continue
        for name in ('f1', 'f2'):
            path = os.path.join(last, name)
            if os.path.exists(path):
                with open(path, 'rb') as f:
                    old = f.read()
                more = os.urandom(9000)
                put(path, more, 'ab', old + more)
        if os.path.exists(os.path.join(last, 'f0')):
            os.rename(os.path.join(last, 'f0'), os.path.join(now, 'moved'))
    # Beside it and then to its name, as editors do.
    put(os.path.join(now, 'g.new'), os.urandom(300))
    os.rename(os.path.join(now, 'g.new'), os.path.join(now, 'g'))


# ---- the trace ----

class File:
    def __init__(self, size):
        self.size = self.synced = size
        self.dirty = False


def calls(traces):
    found = []
    for trace in traces:
        with open(trace, errors='surrogateescape') as f:
            for line in f:
                m = LINE.match(line)
                if m and int(m.group(4)) >= 0:
                    found.append((float(m.group(1)), m.group(2), m.group(3), m.group(4) + m.group(5)))
    return sorted(found, key=lambda c: c[0])


def places(text, bare):
    got = [os.path.join(d, n) for d, n in re.findall(AT, text)]
    if bare and not got:
        got = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
    return [os.path.normpath(p) for p in got]


def fd_path(text):
    m = re.match(r'\d+<([^>]*)>', text)
    return m.group(1) if m else None


class Disk:
    def __init__(self, top, old):
        self.top, self.files = top, {p: File(s) for p, s in old.items()}
        self.ops = []  # [undo, directories, durable with a directory's sync, durable with any]

    def op(self, undo, *paths):
        self.ops.append([undo, {os.path.dirname(p) for p in paths}, False, False])

    def synced(self, path, everything):
        for op in self.ops:
            op[3] = True
            op[1].discard(path)
            if everything:
                op[1].clear()
            if not op[1]:
                op[2] = True
        for p in list(self.files) if everything else [path]:
            f = self.files.get(p)
            if f:
                f.synced, f.dirty = f.size, False

    def wrote(self, path, end):
        f = self.files.setdefault(path, File(0))
        f.size = max(f.size, end)
        f.dirty = True

    def moved(self, a, b, swap):
        x, y = self.files.pop(a, None), self.files.pop(b, None)
        if x:
            self.files[b] = x
        if swap and y:
            self.files[a] = y
        below = a + '/'
        for p in [p for p in self.files if p.startswith(below)]:
            self.files[b + p[len(a):]] = self.files.pop(p)
        return y

    def call(self, name, text, ret):
        if name in ('fsync', 'fdatasync', 'syncfs'):
            path = fd_path(text)
            if path and path.startswith(self.top):
                self.synced(path, name == 'syncfs')
        elif name in ('write', 'pwrite64'):
            path = fd_path(text)
            if path and path.startswith(self.top):
                n, tail = int(re.match(r'\d+', ret).group()), text.rsplit(', ', 1)[1]
                f = self.files.get(path)
                self.wrote(path, int(tail) + n if name == 'pwrite64' else (f.size if f else 0) + n)
        elif name == 'ftruncate':
            path = fd_path(text)
            if path in self.files:
                self.files[path].size = int(text.rsplit(', ', 1)[1])
                self.files[path].synced = min(self.files[path].synced, self.files[path].size)
        elif name in ('openat', 'openat2'):
            path = fd_path(ret)
            if path and 'O_CREAT' in text and path.startswith(self.top) and path not in self.files:
                self.files[path] = File(0)
                self.op(lambda p=path: os.unlink(p), path)
            elif path in self.files and 'O_TRUNC' in text:
                self.files[path] = File(0)
        else:
            self.names(name, text)

    def names(self, name, text):
        p = places(text, True)
        if not p or not p[-1].startswith(self.top):
            return
        if name in ('rename', 'renameat', 'renameat2') and len(p) == 2:
            swap = 'RENAME_EXCHANGE' in text
            over = self.moved(p[0], p[1], swap)
            if swap:
                self.op(lambda a=p[0], b=p[1]: exchange(a, b), *p)
            elif over is None:
                self.op(lambda a=p[0], b=p[1]: os.rename(b, a), *p)
            else:
                self.op(None, *p)  # what was there is gone
        elif name in ('mkdir', 'mkdirat'):
            self.op(lambda a=p[-1]: os.rmdir(a), p[-1])
        elif name in ('symlink', 'symlinkat', 'link', 'linkat'):
            self.op(lambda a=p[-1]: os.unlink(a), p[-1])
        elif name in ('rmdir', 'unlinkat') and (name == 'rmdir' or 'AT_REMOVEDIR' in text):
            self.op(lambda a=p[-1]: os.mkdir(a, 0o755), p[-1])
        elif name in ('unlink', 'unlinkat'):
            self.files.pop(p[-1], None)
            self.op(None, p[-1])


def exchange(a, b):
    temp = a + '.swap'
    os.rename(a, temp)
    os.rename(b, a)
    os.rename(temp, b)


def lose(top, before, seed, traces):
    rng = random.Random(seed)
    with open(before) as f:
        disk = Disk(top, json.load(f))
    done = calls(traces)
    for _, name, text, ret in done:
        disk.call(name, text, ret)
    model = rng.choice(('journal', 'directories'))
    loose = []
    for op in reversed(disk.ops):
        if op[0] is None or op[3 if model == 'journal' else 2]:
            break
        loose.append(op)
    undo = rng.choice((len(loose), rng.randint(0, len(loose))))
    # Their contents first: under the names that they have now.
    cut = zeroed = 0
    for path, f in sorted(disk.files.items()):
        if not f.dirty or f.size <= f.synced or not os.path.isfile(path) or rng.random() < 0.2:
            continue
        size = os.stat(path).st_size
        keep = rng.choice((f.synced, rng.randint(f.synced, max(f.synced, size))))
        if keep >= size:
            continue
        with open(path, 'r+b') as out:
            out.truncate(keep)
            if rng.random() < 0.3:
                out.truncate(size)
                zeroed += 1
            else:
                cut += 1
    for op in loose[:undo]:
        op[0]()
    print('%s: %d calls, %d of %d loose changes of names undone, %d files cut, %d zeroed' %
          (model, len(done), undo, len(loose), cut, zeroed))


# ---- was anything lost? ----

def contents(top, nodes):
    found = {}
    for node in nodes:
        for sub in ('media', '.mimeo-media/kept'):
            base = os.path.join(top, node, sub)
            for here, _, names in os.walk(base):
                for path in (os.path.join(here, name) for name in names):
                    try:
                        if not os.path.islink(path):
                            found.setdefault(digest(path), []).append(path)
                    except FileNotFoundError:
                        pass  # its node is at work, and moved it just now
    return found


def judge(top, ledger, logged, had):
    written, newest = {}, {}
    with open(ledger) as f:
        for line in f:
            h, rnd, path = line.rstrip('\n').split(' ', 2)
            written[h] = path
            newest[path] = h
    with open(logged) as f:
        known = set(f.read().split())
    with open(had) as f:
        spread = set(f.read().split())
    found, bad = contents(top, sorted(os.listdir(top))), 0
    for h in known & set(written):
        if h not in found and (h in spread or newest[written[h]] == h):
            print('lost: %s of %s' % (h, written[h]))
            bad += 1
    media = os.path.join(top, 'n1', 'media') + '/'
    for h, paths in found.items():
        for path in paths:
            rel = path[len(media):] if path.startswith(media) else None
            if rel and rel.endswith('/f3'):
                continue  # the other nodes write to these
            if rel in newest and h not in written and newest[rel] in known:
                print('other bytes under %s, which was logged as %s' % (rel, newest[rel]))
                bad += 1
    return bad


if __name__ == '__main__':
    what, args = sys.argv[1], sys.argv[2:]
    if what == 'sizes':
        with open(args[1], 'w') as f:
            json.dump(sizes(args[0]), f)
    elif what == 'work':
        work(args[0], int(args[1]), args[2])
    elif what == 'had':
        print('\n'.join(contents(args[0], args[1:])))
    elif what == 'lose':
        lose(args[0], args[1], int(args[2]), args[3:])
    else:
        sys.exit(1 if judge(*args) else 0)
