#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the command does on a terminal, and leaves behind there: the live view,
# how far long work has come, colour.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3
export TERM=xterm WAIT_S

solo_down() { # whatever happens
	local rc=$?
	[ ! -d "$T/solo" ] || "$lab" down "$T/solo" 2>/dev/null
	(exit "$rc")
	cleanup
}
trap solo_down EXIT

# On a terminal of its own; what it wrote goes to $T/screen.
on_terminal() { # NODE STEP... -- ARGS...
	local node=$1 steps=()
	shift
	while [ "$1" != -- ]; do
		steps+=("$1")
		shift
	done
	MIMEO_LIBEXEC=$T/lab/$node/libexec python3 "$top/tests/e2e/terminal.py" "${steps[@]}" -- \
		"$build/mimeo" -c "$T/lab/$node/mimeo.conf" "${@:2}" >"$T/screen"
}
exits() { # CODE COMMAND...
	"${@:2}" 2>"$T/stderr"
	local rc=$?
	[ "$rc" = "$1" ] || {
		echo "exit code $rc"
		cat -v "$T/screen" "$T/stderr"
		return 1
	}
}
shown() { # PATTERN...: in what was written
	local p
	for p; do
		grep -aqE -e "$p" "$T/screen" || {
			echo "not shown: $p"
			cat -v "$T/screen"
			return 1
		}
	done
}
restored() {
	shown '^terminal: restored$'
}

must "two nodes come up" "$lab" up "$T/lab" 2 sync.rate_limit=100K
head -c 8000000 /dev/urandom >"$(media n1)/large"
name=$'evil\e[31m'
head -c 3000000 /dev/urandom >"$(media n1)/$name"

check "top shows a transfer and how fast it is, and q ends it" exits 0 on_terminal n2 see=large see='K/s' see=PEER send=q -- top
check "what it shows" shown 'n2 +syncing' 'n1 +alive' ' [0-9]+ % .*7812K +n1 .* large'
check "a name can do no harm" shown 'evil\\x1b\[31m'
check "the terminal is as before" restored
check "and what was on it" shown '\?1049h' '\?1049l'
check "it goes on, and takes keys that mean nothing" exits 0 on_terminal n2 see=PEER send=x see=PEER see=PEER send=Q -- top
check "a small terminal" exits 0 on_terminal n2 size=4x20 see='q ends' send=q -- top
check "shows how to get out" restored
for s in INT TERM HUP; do
	check "SIG$s ends it too" exits 0 on_terminal n2 see=PEER signal=SIG$s -- top
	check "and the terminal is as before" restored
done
check "Ctrl-C" exits 0 on_terminal n2 see=PEER 'send=\x03' -- top
check "and the terminal is as before" restored
check "without a terminal it shows it once" exits 0 mimeo n2 top
mimeo n2 top >"$T/screen"
check "and nothing for a terminal in it" test "$(grep -c $'\e' "$T/screen")" = 0
check "but the members" shown '^n1 +alive'
check "it takes no arguments" exits 2 mimeo n2 top now
# Long work: a bar, how fast, how long still.
check "wait shows how far it is, and how long still" exits 130 on_terminal n1 see='wait [' see=' % ' see='/s' see=' left' signal=SIGINT -- wait
check "when its time is over it takes that away" exits 3 on_terminal n1 see='wait [' -- wait --timeout 2s
check "before it says why" shown $'\r\e\\[Kmimeo: timed out'
MIMEO_LIBEXEC=$T/lab/n1/libexec "$build/mimeo" -c "$T/lab/n1/mimeo.conf" wait --timeout 1s >"$T/screen" 2>&1
check "into a pipe it says only that" test "$(cat -v "$T/screen")" = "mimeo: timed out: n2"
must "a node of its own" "$lab" up "$T/solo" 1
truncate -s 1G "$T/solo/n1/media/sparse"
ln -s ../solo/n1 "$T/lab/solo"
check_soon "has a file that takes a while to read" in_sync solo
check "verify shows a bar and how fast it is" exits 0 on_terminal solo see='verify [#' see=' % ' see='of 1024M' see='/s' -- verify
check "and takes it away" shown $'\r\e\\[K1 files, 0 different'
# A newcomer that has those files with other times has to read them.
cp -r "$T/solo/n1/media" "$T/new"
rm "$T/new/.mimeo-id"
touch "$T/new/sparse"
for i in $(seq 300); do
	echo "$i" >"$T/solo/n1/media/small-$i"
done
check_soon "has more of them" in_sync solo
check "a newcomer" "$build/mimeo" -c "$T/new.conf" init --name new --root "$T/new" --state "$T/newstate" --work "$T/newwork"
mimeo solo invite >"$T/invitation" 2>/dev/null
# shellcheck disable=SC2016
MIMEO_LIBEXEC=$T/solo/n1/libexec check "join shows how far it is, and how long still" exits 0 python3 "$top/tests/e2e/terminal.py" \
	see='files [' see=' % ' see=' left' -- bash -c '"$0" -c "$1" join - --yes <"$2" >"$3"' "$build/mimeo" "$T/new.conf" "$T/invitation" "$T/joined"
check "and what it found" grep -qE '^ +adopt +1 files' "$T/joined"
"$lab" down "$T/solo"

# Colour.
check "status is in colour" exits 3 on_terminal n2 -- status
check "for states" shown $'\e\\[33msyncing\e\\[0m' $'\e\\[32malive *\e\\[0m'
NO_COLOR=1 exits 3 on_terminal n2 -- status
check "not with NO_COLOR" test "$(grep -c $'\e' "$T/screen")" = 0
TERM=dumb exits 3 on_terminal n2 -- status
check "nor where there is none" test "$(grep -c $'\e' "$T/screen")" = 0
mimeo n2 status >"$T/screen"
check "nor into a pipe" test "$(grep -c $'\e' "$T/screen")" = 0

"$lab" stop "$T/lab" n2 agent
check "without an agent it says so, and q still ends it" exits 4 on_terminal n2 see='cannot be reached' send=q -- top
check "and the terminal is as before" restored
"$lab" start "$T/lab" n2 agent
check_soon "which it is again" mimeo n2 peers
agent=$(cut -d' ' -f1 "$T/lab/n2/pid.agent")
kill -STOP "$agent"
check "an agent that hangs does not hold it" exits 4 on_terminal n2 see='cannot be reached' send=q -- top
kill -CONT "$agent"
done_testing
