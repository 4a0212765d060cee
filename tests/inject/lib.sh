# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2154
# What the fault injection tests share: a lab whose programs run under inject.so, the script of operations, the ledger of
# contents. Sourced, not run.
# shellcheck source=tests/e2e/lib.sh disable=SC1091
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/lib.sh"

preload=$build/tests/inject/inject.so
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
RANDOM=$((SEED % 32768))
round=0
: >"$T/ledger"

plan() { # NODE PROGRAM ARGS...
	"$build/tests/inject/plan" "$T/lab/$1/inject/$2" "${@:3}"
}

calls() { # NODE PROGRAM: counted since it was planned
	plan "$1" "$2" show | cut -d' ' -f1
}

hit() { # NODE PROGRAM
	[ "$(plan "$1" "$2" show | cut -d' ' -f2)" != 0 ]
}

hit_what() { # NODE PROGRAM: the call, without the lab's directory
	plan "$1" "$2" show | cut -d' ' -f4- | sed "s|$T/lab/||"
}

program_of() { # SHORT
	case $1 in
	watcher | agent) echo "mimeo-$1" ;;
	*) echo "$1" ;;
	esac
}

start_injected() { # NODE [PROGRAM]
	INJECT_DIR=$T/lab/$1/inject LD_PRELOAD=$preload ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0 \
		"$lab" start "$T/lab" "$@"
}

wrap() { # NODE PROGRAM: neither the agent nor sshd hands an environment on
	local file=$T/lab/$1/libexec/$2 plain=$T/lab/$1/libexec/plain/$2
	mkdir -p "$T/lab/$1/libexec/plain"
	mv "$file" "$plain"
	cat >"$file" <<-EOF
		#!/bin/sh
		export INJECT_DIR='$T/lab/$1/inject' LD_PRELOAD='$preload'
		export ASAN_OPTIONS="\$ASAN_OPTIONS:verify_asan_link_order=0"
		exec "$plain" "\$@"
	EOF
	chmod 755 "$file"
}

injected_lab() { # N [SECTION.KEY=VALUE ...]
	local n p
	# The script deletes all the time: that is meant.
	"$lab" up "$T/lab" "$@" guard.max_delete='1000000, 100%' || return 1
	for n in "$T"/lab/n[0-9]*; do
		n=$(basename "$n")
		"$lab" stop "$T/lab" "$n"
		mkdir "$T/lab/$n/inject"
		for p in mimeo-watcher mimeo-agent dial attach; do
			plan "$n" "$p" count
		done
		wrap "$n" dial
		wrap "$n" attach
	done
	for n in "$T"/lab/n[0-9]*; do
		start_injected "$(basename "$n")"
	done
	eventually in_sync n1 n2 n3
}

# --- thirty operations, ten at each node at the same time ----------------------------------------

hash_of() { # FILE
	openssl dgst -sha256 -r "$1" | cut -c1-64
}

put() { # FILE BYTES: a content like no other, written in place; remembered
	local new=$T/new.$BASHPID
	head -c "$2" /dev/urandom >"$new"
	echo "$(hash_of "$new") $round $1" >>"$T/ledger"
	cat "$new" >"$1"
	rm "$new"
}

edit() { # FILE: some bytes in the middle of it
	printf '%s' "$round$RANDOM" | dd of="$1" bs=1 seek=70000 conv=notrunc status=none
	echo "$(hash_of "$1") $round $1" >>"$T/ledger"
}

# A round works on what it makes, on what the last round made, and clears away what the one before that made. A content
# that is replaced or deleted at one node was at the others by then: they keep it.
operations() { # NODE
	local m now last
	m=$(media "$1") now=$1.$round last=$1.$((round - 1))
	mkdir "$m/$now"
	put "$m/$now/small" 100
	put "$m/$now/mid" 90000
	put "$m/$now/large" 400000
	mkdir "$m/$now/empty"
	[ "$1" != n1 ] || put "$m/shared.$round" 3000
	[ "$1" = n1 ] || [ ! -e "$m/shared.$((round - 1))" ] || put "$m/shared.$((round - 1))" 3000
	if [ -d "$m/$last" ]; then
		edit "$m/$last/large"
		mv "$m/$last/small" "$m/$now/moved"
		rm "$m/$last/mid"
		rmdir "$m/$last/empty"
	fi
	rm -rf "$m/$1.$((round - 2))"
}

run_script() {
	local n pids=
	round=$((round + 1))
	for n in n1 n2 n3; do
		operations "$n" 2>>"$T/operations.err" &
		pids="$pids $!"
	done
	# shellcheck disable=SC2086
	wait $pids
}

converged() {
	in_sync n1 n2 n3 && same_trees n1 n2 n3 && same_digests n1 n2 n3
}

# Every content that was written is in some tree or kept by some node.
nothing_lost() {
	cut -d' ' -f1 "$T/ledger" | sort -u >"$T/ledger.hashes"
	find "$T"/lab/n*/media/ "$T"/lab/n*/.mimeo-media/kept/ -type f -print0 | xargs -0r openssl dgst -sha256 -r | cut -c1-64 |
		sort -u >"$T/found.hashes"
	comm -23 "$T/ledger.hashes" "$T/found.hashes" >"$T/lost"
	[ ! -s "$T/lost" ] || grep -F -f "$T/lost" "$T/ledger"
	[ ! -s "$T/lost" ]
}
