#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The power of one node of three is cut while a user works on it and the others write, too: everything there is killed at once,
# and a legal part of what no sync had covered is taken away (power.py). Then it is started, every tenth time
# killed once more while it recovers; all nodes must come to the same, and nothing that was logged is lost or damaged.
#
#   POWER_CUTS=N   how many (20)
#   SEED           of the moments, and of what is lost
# shellcheck source=tests/inject/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq openssl python3 strace
POWER_CUTS=${POWER_CUTS:-20}
power=$top/tests/inject/power.py
calls=openat,openat2,write,pwrite64,ftruncate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,symlink,symlinkat,fsync,fdatasync,syncfs
home=$T/lab/n1

pid_of() { # SHORT
	cut -d' ' -f1 "$home/pid.$1"
}

record() { # NAME PID: strace ends with it
	strace -ff -y -ttt -s 0 -e trace="$calls" -o "$T/trace/$1" -p "$2" >/dev/null 2>"$T/trace.$1.err" &
	eventually grep -q attached "$T/trace.$1.err"
}

known() { # hashes in the logs of all
	local n
	for n in n1 n2 n3; do
		mimeo "$n" log --json | jq -r .hash
	done | sort -u >"$T/logged"
}

# What was logged by somebody at any time since.
judged() {
	known
	cat "$T/logged" >>"$T/logged.all"
	sort -u -o "$T/logged.all" "$T/logged.all"
	python3 "$power" judge "$T/lab" "$T/power.ledger" "$T/logged.all" "$T/had.all"
}

cut_once() { # ROUND
	local user
	rm -rf "$T/trace"
	mkdir "$T/trace"
	python3 "$power" sizes "$home" "$T/sizes"
	record watcher "$(pid_of watcher)" && record agent "$(pid_of agent)" || return 1
	strace -ff -y -ttt -s 0 -e trace="$calls" -o "$T/trace/user" python3 "$power" work "$home/media" "$1" "$T/power.ledger" \
		>/dev/null 2>"$T/user.err" &
	user=$!
	for n in n2 n3; do
		head -c 70000 /dev/urandom >"$T/lab/$n/media/of.$n.$1"
		[ ! -e "$T/lab/$n/media/p$(($1 - 1)).0/f3" ] || echo "$n $1" >>"$T/lab/$n/media/p$(($1 - 1)).0/f3"
	done
	eventually test -e "$home/media/p$1.0"
	sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
	kill -9 "$(pid_of watcher)" "$(pid_of agent)" 2>/dev/null
	pkill -9 -P "$user" 2>/dev/null
	wait "$user" 2>/dev/null
	"$lab" kill "$T/lab" n1
	known_of_others
	python3 "$power" had "$T/lab" n2 n3 >>"$T/had.all"
	python3 "$power" lose "$home" "$T/sizes" $((SEED + $1)) "$T"/trace/*
}

known_of_others() { # what they have heard of was durable
	for n in n2 n3; do
		mimeo "$n" log --json | jq -r .hash
	done >>"$T/logged.all"
}

echo "# SEED=$SEED"
: >"$T/power.ledger"
: >"$T/logged.all"
: >"$T/had.all"
must "three nodes come up" "$lab" up "$T/lab" 3 sync.delta_min=64K guard.max_delete='1000000, 100%'
must "in sync" eventually in_sync n1 n2 n3
for round in $(seq "$POWER_CUTS"); do
	what=$(cut_once "$round" 2>&1)
	rc=$?
	[ -z "${VERBOSE:-}" ] || echo "# cut $round: $what"
	if [ "$rc" != 0 ]; then
		ok 1 "cut $round: a legal state is made: $what"
		break
	fi
	if [ $((round % 10)) = 0 ]; then
		"$lab" start "$T/lab" n1
		sleep "0.0$((RANDOM % 10))"
		"$lab" kill "$T/lab" n1
	fi
	"$lab" start "$T/lab" n1
	eventually converged && judged >"$T/judged" && continue
	ok 1 "cut $round ($what): all get in sync again, and nothing that was logged is lost"
	head -n 10 "$T/judged" | sed 's/^/# /'
	diagnose
	break
done
ok $((round != POWER_CUTS || bad > 0)) "after each of $round power cuts trees, digests and status were right, and nothing was lost"
done_testing
