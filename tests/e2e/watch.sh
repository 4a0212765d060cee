#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the watcher must not miss: lost events, trees that are moved in, deep paths made at once, hard links, too few watches; and what it must not touch.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3

must "two nodes come up" "$lab" up "$T/lab" 2 watch.rescan=1h 'watch.ignore=*.tmp,/private/'
a=$(media n1)
b=$(media n2)
pid() { cut -d' ' -f1 "$T/lab/$1/pid.$2"; }
log() { cat "$T/lab/$1/log/watcher.log"; }

mkdir "$a/flat"
echo first >"$a/flat/first"
check_soon "a first file arrives" test -e "$b/flat/first"
kill -STOP "$(pid n1 watcher)"
python3 - "$a" <<'END'
import os, sys
for i in range(9000):
    d = os.path.join(sys.argv[1], 'many', 'd%d' % (i % 90))
    os.makedirs(d, exist_ok=True)
    with open(os.path.join(d, 'f%d' % i), 'w') as f:
        f.write('%d' % i)
for i in range(9000):
    with open(os.path.join(sys.argv[1], 'flat', 'f%d' % i), 'w') as f:
        f.write('%d' % i)
END
kill -CONT "$(pid n1 watcher)"
check_soon "an overflow of the event queue is said" bash -c "grep -q watch.overflow '$T/lab/n1/log/watcher.log'"
check_soon "and loses nothing" in_sync n1 n2
check "trees are equal" same_trees n1 n2

# What is removed right after it was written is not made again under the remover's hands.
removed=0
for round in 1 2 3 4 5 6; do
	mkdir "$a/short"
	for d in $(seq 25); do
		mkdir "$a/short/$d"
		for i in 1 2 3 4 5 6; do echo "$round $d $i" >"$a/short/$d/$i"; done
	done
	mimeo n1 wait >/dev/null 2>&1
	rm -rf "$a/short" 2>"$T/rm" || sed 's/^/# /' "$T/rm"
	[ -e "$a/short" ] || removed=$((removed + 1))
	rm -rf "$a/short"
	check_soon "removal $round is everywhere" in_sync n1 n2
done
check "rm -rf works at once" test "$removed" = 6
mkdir -p "$a/goes/x/y"
echo leaf >"$a/goes/x/y/leaf"
check_soon "a tree is everywhere" test -s "$b/goes/x/y/leaf"
mv "$a/goes" "$T/gone"
echo "a file" >"$a/goes"
check_soon "a tree that is moved out, and a file in its place" in_sync n1 n2
check "are so everywhere" same_trees n1 n2
check "the file is one" test -f "$b/goes"

mkdir -p "$T/outside/x/y"
for i in 1 2 3 4 5; do echo "$i" >"$T/outside/x/y/$i"; done
mv "$T/outside" "$a/moved in"
mkdir -p "$a/deep/1/2/3/4/5/6/7/8/9" && echo leaf >"$a/deep/1/2/3/4/5/6/7/8/9/leaf"
echo late >"$a/moved in/x/y/late"
check_soon "a tree that was moved in, and one that was made at once" in_sync n1 n2
check "are there whole" same_trees n1 n2
mv "$a/moved in" "$a/renamed"
echo more >"$a/renamed/x/y/more"
check_soon "a renamed directory is watched on" in_sync n1 n2
check "and the same on both" same_trees n1 n2
mv "$a/renamed/x" "$T/away"
check_soon "a directory that was moved out" in_sync n1 n2
check "is gone on both" test ! -e "$b/renamed/x"
echo unseen >"$T/away/y/unseen"
mv "$T/away" "$a/back"
check_soon "and comes back" in_sync n1 n2
check "with what changed outside" cmp "$a/back/y/unseen" "$b/back/y/unseen"

echo one >"$a/name1"
ln "$a/name1" "$a/name2"
check_soon "two names of one file" in_sync n1 n2
echo two >>"$a/name2"
check_soon "a change by the one" in_sync n1 n2
check "is seen under the other" grep -q two "$b/name1"
echo orig >"$a/stamped"
touch -d '2001-02-03 04:05:06.789' "$a/stamped"
check_soon "a file with an old date" in_sync n1 n2
echo newx >"$a/stamped"
touch -d '2001-02-03 04:05:06.789' "$a/stamped"
check_soon "other content of the same size and date" in_sync n1 n2
check "is another version" grep -q newx "$b/stamped"

mkfifo "$a/fifo"
python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$a/socket"
ln -s /etc/passwd "$a/escapes"
ln -s ../../../etc/passwd "$a/climbs"
echo x >"$a/no.tmp"
mkdir "$a/private" && echo y >"$a/private/file"
echo z >"$a/yes"
check_soon "FIFOs, sockets, links that leave the root and ignored names hold nothing up" test -e "$b/yes"
for n in fifo socket escapes climbs no.tmp private; do
	check "$n stays here" test ! -e "$b/$n" -a ! -L "$b/$n"
done
check "a link that leaves the root is said" grep -q 'escapes' "$T/lab/n1/log/watcher.log"
rm "$a/fifo" "$a/socket" "$a/escapes" "$a/climbs"
for n in n1 n2; do
	sed -i 's/^ignore.*/ignore =/' "$T/lab/$n/mimeo.conf"
	mimeo $n reload
done
check_soon "what is no longer ignored comes along" test -e "$b/no.tmp" -a -e "$b/private/file"
check_soon "all in sync" in_sync n1 n2

# What the watcher holds back is listed, with its reason.
exec 8>"$a/open"
echo begun >&8
check_soon "a file that is being written is pending, and why" \
	bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' pending --json | grep -q '\"path\":\"open\".*open for writing'"
check "explain says so too" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' explain open | grep -q 'open for writing'"
exec 8>&-
check_soon "closed, it comes along" grep -q begun "$b/open"

# Fewer watches than directories, by a user namespace of its own: the rest is polled.
if unshare -Ur bash -c 'echo 20 >/proc/sys/user/max_inotify_watches' 2>/dev/null; then
	"$lab" stop "$T/lab" n1 watcher
	sed -i '/^rescan/d; s/^\[watch\]$/[watch]\nrescan = 1s/' "$T/lab/n1/mimeo.conf"
	unshare -Ur bash -c "echo 20 >/proc/sys/user/max_inotify_watches && exec '$build/mimeo-watcher' -c '$T/lab/n1/mimeo.conf'" >"$T/poll.log" 2>&1 &
	poller=$!
	check_soon "too few watches are said, with the sysctl to type" grep -q 'sysctl fs.inotify.max_user_watches' "$T/poll.log"
	for i in 1 17 44 89; do echo polled >"$a/many/d$i/polled"; done
	check_soon "and what has none is polled" test -e "$b/many/d1/polled" -a -e "$b/many/d17/polled" -a -e "$b/many/d44/polled" -a -e "$b/many/d89/polled"
	kill "$poller"
	wait "$poller"
	"$lab" start "$T/lab" n1
	check_soon "in sync again" in_sync n1 n2
	# An agent that gets none at all.
	"$lab" stop "$T/lab" n1 agent
	MIMEO_LIBEXEC=$T/lab/n1/libexec unshare -Ur bash -c \
		"echo 0 >/proc/sys/user/max_inotify_watches && exec '$build/mimeo-agent' -c '$T/lab/n1/mimeo.conf'" >"$T/blind.log" 2>&1 &
	blind=$!
	check_soon "an agent without a watch says what to type" grep -q 'wal.unwatched .*sysctl fs.inotify.max_user_watches' "$T/blind.log"
	echo "from a blind one" >"$a/blind"
	check_soon "and goes on all the same" grep -q 'from a blind one' "$b/blind"
	kill "$blind"
	wait "$blind"
	"$lab" start "$T/lab" n1
	check_soon "in sync again" in_sync n1 n2
else
	echo "# no user namespaces here: polling was not tried"
fi
check "trees are equal at the end" same_trees n1 n2
check "digests are equal at the end" same_digests n1 n2
done_testing
