#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs a program on a terminal of its own.

  terminal.py [STEP...] -- PROGRAM ARGS...

Steps, in order: see=TEXT waits until TEXT was written (since the last step), send=TEXT types it
(\\xNN for bytes), signal=NAME sends a signal, size=ROWSxCOLUMNS changes the terminal. Then the
program must end. All that it wrote goes to standard output; its exit code is ours (128 + N for a
signal). Last comes a line "terminal: restored" if the terminal's modes are as they were before.
"""
import codecs, fcntl, os, pty, select, signal, struct, sys, termios, time

WAIT = float(os.environ.get("WAIT_S", "60"))


def main():
    at = sys.argv.index("--")
    steps, command = sys.argv[1:at], sys.argv[at + 1:]
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
        os.execvp(command[0], command)
    seen, mark, end, status = b"", 0, time.monotonic() + WAIT, None
    while status is None:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            print("terminal: timed out at", steps[:1])
            sys.stdout.buffer.write(seen)
            sys.exit(99)
        if select.select([master], [], [], 0.02)[0]:
            seen += os.read(master, 65536)
        while steps:
            kind, _, value = steps[0].partition("=")
            if kind == "see":
                found = seen.find(value.encode(), mark)
                if found < 0:
                    break
                mark = found + len(value.encode())
            elif kind == "send":
                os.write(master, codecs.escape_decode(value.encode())[0])
            elif kind == "signal":
                os.kill(pid, getattr(signal, value))
            elif kind == "size":
                rows, columns = value.split("x")
                fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))
                os.kill(pid, signal.SIGWINCH)
            else:
                sys.exit("what is " + steps[0])
            steps.pop(0)
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            status = code
    while select.select([master], [], [], 0.05)[0]:
        seen += os.read(master, 65536)
    sys.stdout.buffer.write(seen)
    sys.stdout.buffer.flush()
    if steps:
        print("\nterminal: ended before", steps[0])
        sys.exit(98)
    if termios.tcgetattr(slave) == before:
        print("\nterminal: restored")
    sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


main()
