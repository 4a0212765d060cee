# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# What the end-to-end tests share: TAP, a lab of their own, waiting for conditions, comparing trees. Sourced, not run.
set -u

top=${top_srcdir:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
build=${top_builddir:-$top}
export top_builddir=$build
lab=$top/tests/lab
T=$(mktemp -d "${TMPDIR:-/tmp}/mimeo-e2e.XXXXXX")
tests=0
bad=0
WAIT_S=${WAIT_S:-60} # the longest wait for a condition

ok() { # STATUS NAME
	tests=$((tests + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tests - $2"
	else
		echo "not ok $tests - $2"
		bad=$((bad + 1))
	fi
}

check() { # NAME COMMAND...
	local name=$1
	shift
	"$@" >"$T/check.out" 2>&1
	local rc=$?
	ok "$rc" "$name"
	[ "$rc" = 0 ] || head -c 4000 "$T/check.out" | sed 's/^/# /'
}

must() { # NAME COMMAND...: without it the rest makes no sense
	check "$@"
	[ "$bad" = 0 ] && return
	done_testing
	exit 1
}

eventually() { # COMMAND...: true within WAIT_S
	local end=$((SECONDS + WAIT_S))
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

check_soon() { # NAME COMMAND...: becomes true
	local name=$1
	shift
	eventually "$@"
	local rc=$?
	ok "$rc" "$name"
	[ "$rc" = 0 ] || diagnose
}

diagnose() {
	local n
	for n in "$T"/lab/n[0-9]*/; do
		[ -d "$n" ] || continue
		n=$(basename "$n")
		mimeo "$n" status 2>&1 | head -20 | sed "s/^/# $n: /"
		mimeo "$n" pending 2>&1 | head -5 | sed "s/^/# $n pending: /"
		tail -n 5 "$T/lab/$n/log/agent.log" "$T/lab/$n/log/watcher.log" 2>&1 | sed "s/^/# $n: /"
	done
}

mimeo() { # NODE ARGS...
	MIMEO_LIBEXEC=$T/lab/$1/libexec "$build/mimeo" -c "$T/lab/$1/mimeo.conf" "${@:2}"
}

media() {
	echo "$T/lab/$1/media"
}

in_sync() { # NODE...
	local n
	for n; do
		mimeo "$n" status >/dev/null 2>&1 || return 1
	done
}

connected_are() { # NODE NAMES: in their order, with a blank between them
	[ "$(mimeo "$1" peers --json | jq -rs 'flatten | map(select(.connected).name) | sort | join(" ")')" = "$2" ]
}

# Everything that must be the same: names, kinds, modes, mtimes of files (ns), link targets, contents.
listing() { # DIR
	(cd "$1" && find . -mindepth 1 -not -path ./.mimeo-id \( -type f -printf 'f %m %T@ %s %p\0' -o -type d -printf 'd %m %p\0' -o -type l -printf 'l %l %p\0' \) | sort -z | tr '\0' '\n' && find . -type f -not -path ./.mimeo-id -print0 | sort -z | xargs -0r openssl dgst -sha256 -r | cut -c1-64)
}

same_trees() { # NODE NODE...
	local first=$1 n
	listing "$(media "$first")" >"$T/list.$first"
	shift
	for n; do
		listing "$(media "$n")" >"$T/list.$n"
		cmp -s "$T/list.$first" "$T/list.$n" || {
			diff "$T/list.$first" "$T/list.$n" | head -20
			return 1
		}
	done
}

# The digests that every node computes over its live heads.
same_digests() {
	local n
	for n; do
		mimeo "$n" status --json | jq -r .digest
	done | sort -u | wc -l | grep -qx 1
}

records() { # NODE: how many it knows
	mimeo "$1" log --json | wc -l
}

done_testing() {
	echo "1..$tests"
	[ "$bad" = 0 ]
}

cleanup() {
	local rc=$?
	# shellcheck disable=SC2046
	kill $(jobs -p) 2>/dev/null
	[ -d "$T/lab" ] && "$lab" down "$T/lab" 2>/dev/null
	if [ "$bad" = 0 ] && [ "$rc" = 0 ]; then
		rm -rf "$T"
	else
		echo "# kept for a look: $T"
	fi
}
trap cleanup EXIT
trap 'exit 1' INT TERM

need() { # PROGRAM...
	local p
	for p; do
		command -v "$p" >/dev/null || [ -x "/usr/sbin/$p" ] || {
			echo "1..0 # SKIP $p is not installed"
			exit 0
		}
	done
}
