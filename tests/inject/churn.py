#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A user who works on one node's files without a pause, and keeps books.

    churn.py MEDIA ASIDE BOOK SECONDS RATE SEED

Each content that he writes is a line "wrote HASH PATH" of BOOK once it is closed; each that he takes away, whoever wrote
it, is a line "took HASH PATH". What is taken away comes out by a rename first, so that it is known what it was, whatever
the daemons do at the same time. ASIDE is a directory on the same file system outside of MEDIA.
"""

import ctypes
import errno
import hashlib
import os
import random
import sys
import time

NAMES = 150
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)

media, aside, book_path = (os.fsencode(a) for a in sys.argv[1:4])
seconds, rate = float(sys.argv[4]), float(sys.argv[5])
rng = random.Random(sys.argv[6])
book = open(book_path, "ab", buffering=0)
mine = os.path.join(aside, b"new.%d" % os.getpid())
out = os.path.join(aside, b"out.%d" % os.getpid())


def renameat2(a, b, flags):
    if libc.renameat2(AT_FDCWD, a, AT_FDCWD, b, flags) != 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e), a, None, b)


def note(what, content, path):
    book.write(b"%s %s %s\n" % (what, hashlib.sha256(content).hexdigest().encode(), path[len(media) + 1:]))


def read(path):
    with open(path, "rb") as f:
        return f.read()


def name():
    n = rng.randrange(NAMES)
    return os.path.join(media, b"d%d" % (n % 7), b"f%d" % n)


def content():
    size = int(rng.lognormvariate(9, 1.6)) if rng.random() < 0.97 else rng.randrange(1 << 20, 6 << 20)
    return rng.randbytes(min(size, 6 << 20) + 16)


def came_out(path):
    """What a rename brought out: gone for good, and noted."""
    if not os.path.islink(out) and os.path.isfile(out):
        note(b"took", read(out), path)
        os.unlink(out)
    elif os.path.isdir(out) and not os.path.islink(out):
        os.rmdir(out)
    else:
        os.unlink(out)


def place(path):
    """A complete new file, by rename."""
    new = content()
    with open(mine, "wb") as f:
        f.write(new)
    try:
        renameat2(mine, path, RENAME_NOREPLACE)
        note(b"wrote", new, path)
        return
    except FileExistsError:
        pass
    renameat2(mine, path, RENAME_EXCHANGE)
    note(b"wrote", new, path)
    os.rename(mine, out)
    came_out(path)


def in_place(path):
    """An editor that writes into the file."""
    with open(path, "r+b") as f:
        old = f.read()
        at = rng.randrange(len(old) + 1)
        new = old[:at] + rng.randbytes(40) + old[at + 40:]
        note(b"took", old, path)
        f.seek(at)
        f.write(new[at:at + 40])
    note(b"wrote", new, path)


def append(path):
    with open(path, "ab+") as f:
        f.seek(0)
        old = f.read()
        more = rng.randbytes(100)
        note(b"took", old, path)
        f.write(more)
    note(b"wrote", old + more, path)


def remove(path):
    renameat2(path, out, RENAME_NOREPLACE)
    came_out(path)


def move(path):
    renameat2(path, name(), RENAME_NOREPLACE)


def touch(path):
    os.chmod(path, rng.choice((0o644, 0o600, 0o664)), follow_symlinks=True)


def link(path):
    os.symlink(b"f%d" % rng.randrange(NAMES), path + b".link")


def unlink(path):
    os.unlink(path + b".link")


def move_directory(path):
    a, b = os.path.dirname(path), os.path.join(media, b"d%d" % rng.randrange(7))
    os.rename(a, b + b"x%d" % rng.randrange(3))


def move_back(path):
    for d in os.listdir(media):
        if b"x" in d:
            renameat2(os.path.join(media, d), os.path.join(media, d.split(b"x")[0]), RENAME_NOREPLACE)


ACTS = ([place] * 40 + [in_place] * 15 + [append] * 5 + [remove] * 15 + [move] * 12 + [touch] * 5 + [link] * 2 + [unlink] * 2
        + [move_directory] + [move_back] * 3)
# What a name may not allow just now; anything else ends the test.
EXPECTED = (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR, errno.EINVAL)

started = time.monotonic()
done = 0
while time.monotonic() - started < seconds:
    path = name()
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        rng.choice(ACTS)(path)
    except OSError as e:
        if e.errno not in EXPECTED:
            raise
    done += 1
    time.sleep(max(0.0, started + done / rate - time.monotonic()))
print(done)
