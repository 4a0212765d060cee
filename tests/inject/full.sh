#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Real full disks: the root, the work directory and the state directory of a node lie on small file systems of their own
# (tmpfs, in a private mount namespace), which run out of room, of inodes, and are mounted read-only. Each time the agent
# or watcher says what and where, nothing is lost, and everything goes on once there is room.
# shellcheck source=tests/inject/lib.sh disable=SC1091,SC2154
if [ "$(id -u)" != 0 ] || ! unshare --mount true 2>/dev/null; then
	echo "1..0 # SKIP mounting needs root and a mount namespace of its own"
	exit 0
fi
[ -n "${FULL_INSIDE:-}" ] || FULL_INSIDE=1 exec unshare --mount --propagation private bash "$0"
. "$(dirname "$0")/lib.sh"
need sshd jq openssl

# The tree and its work directory are on one file system, as renames go between them; logs and pid files on neither.
small_disks() {
	mkdir -p "$T/lab/n2/disk" "$T/lab/n2/state"
	mount -t tmpfs -o size=12M,nr_inodes=400 small "$T/lab/n2/disk"
	mount -t tmpfs -o size=2M,nr_inodes=100,mode=700 small "$T/lab/n2/state"
	mkdir "$T/lab/n2/disk/media" "$T/lab/n2/disk/.mimeo-media"
	ln -s disk/media "$T/lab/n2/media"
	ln -s disk/.mimeo-media "$T/lab/n2/.mimeo-media"
}

says() { # WORD PATH-PART
	grep -h -e "($1)" -e "$1" "$T"/lab/n2/log/{agent,watcher}.log | grep -q "$2"
}

# Daemons that ended are started, as a supervisor does.
revive() {
	"$lab" start "$T/lab" n2
}

converged_again() {
	revive
	in_sync n1 n2 && same_trees n1 n2 && same_digests n1 n2
}

fill() { # DIR
	dd if=/dev/zero of="$1/ballast" bs=64K 2>/dev/null
	return 0
}

file() { # NODE NAME BYTES
	head -c "$3" /dev/urandom >"$T/new"
	echo "$(openssl dgst -sha256 -r "$T/new" | cut -c1-64) 0 $2" >>"$T/ledger"
	cat "$T/new" >"$(media "$1")/$2"
}

alive_or_told() { # the agent answers, or is gone with a message
	timeout 5 "$build/mimeo" -c "$T/lab/n2/mimeo.conf" status >/dev/null 2>&1
	[ $? != 124 ]
}

small_disks
must "two nodes come up, one on small disks" "$lab" up "$T/lab" 2 sync.delta_min=64K sync.retry_max=1s guard.min_free=0
file n1 first 100000
check_soon "in sync" in_sync n1 n2

ballast=$T/lab/n2/disk
head -c 20000000 /dev/urandom >"$(media n1)/large"
check_soon "too large for the disk: it is said, with the path" says ENOSPC large
check "n2 answers" alive_or_told
file n1 little 5000
check_soon "a small file arrives all the same" test -s "$(media n2)/little"
rm "$(media n1)/large"
check_soon "when the large one has gone all is in sync" converged_again

fill "$ballast"
file n1 later 200000
check_soon "a full disk: it is said" says ENOSPC later
check "n2 answers" alive_or_told
rm "$ballast/ballast"
check_soon "once there is room it arrives" converged_again

i=0
while : >"$ballast/inode.$i"; do
	i=$((i + 1))
done 2>/dev/null
for i in 1 2 3 4 5; do
	file n1 "no-inode.$i" 300
done
check_soon "no inode is left: it is said" says ENOSPC no-inode
check "n2 answers" alive_or_told
rm "$ballast"/inode.*
check_soon "once there are inodes they arrive" converged_again

mount -o remount,ro "$ballast"
file n1 read-only 70000
check_soon "a read-only disk: it is said" says EROFS read-only
check "n2 answers" alive_or_told
mount -o remount,rw "$ballast"
check_soon "once it can be written it arrives" converged_again

fill "$T/lab/n2/state"
for i in $(seq 40); do
	file n1 "state-full.$i" 500
	file n2 "state-full-here.$i" 500
done
for program in agent watcher; do
	check_soon "a full state directory: the $program says so" grep -q 'wal.full.*/state .*ENOSPC' "$T/lab/n2/log/$program.log"
done
check "n2 answers" alive_or_told
rm "$T/lab/n2/state/ballast"
check_soon "once there is room both get it" converged_again

"$lab" stop "$T/lab" n2
mount -o remount,ro "$T/lab/n2/state"
file n1 state-read-only 50000
revive
check_soon "a read-only state directory: it is said" grep -qi 'state.*read-only' "$T"/lab/n2/log/{agent,watcher}.log
mount -o remount,rw "$T/lab/n2/state"
check_soon "once it can be written it goes on" converged_again
check "no content was lost" nothing_lost
"$lab" down "$T/lab"
umount -l "$T/lab/n2/state" "$ballast"
done_testing
