#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The free-space floor holds fetches back and says so; the trash ends by age, and a conflict's loser does not.
# shellcheck source=tests/e2e/lib.sh disable=SC1091
. "$(dirname "$0")/lib.sh"
need sshd jq

setting() { # NODE SECTION KEY VALUE: in the configuration that the node reads again
	sed -i "/^\[$2\]/,/^\[/{/^$3 *=/d}; s/^\[$2\]\$/&\n$3 = $4/" "$T/lab/$1/mimeo.conf"
	grep -q "^\[$2\]" "$T/lab/$1/mimeo.conf" || printf '[%s]\n%s = %s\n' "$2" "$3" "$4" >>"$T/lab/$1/mimeo.conf"
	mimeo "$1" reload
}
waits() { # NODE PATH PATTERN
	mimeo "$1" pending --json | jq -e --arg p "$2" --arg w "$3" '.[] | select(.path == $p) | select(tojson | test($w; "i"))'
}
kept() { # NODE PATH: how many versions are kept here
	mimeo "$1" trash list "$2" --json 2>/dev/null | jq '[.[] | select(.here)] | length'
}
keeps() { # NODE PATH COUNT
	[ "$(kept "$1" "$2")" = "$3" ]
}
same() { # PATH NODE...
	local n
	for n in "${@:2}"; do
		cmp "$(media n1)/$1" "$(media "$n")/$1" || return 1
	done
}

must "three nodes come up" "$lab" up "$T/lab" 3 trash.keep=2s
for n in n1 n2 n3; do
	check_soon "$n is in sync" in_sync "$n"
done

# --- free space ---
check "n2 wants more to be free than there is" setting n2 guard min_free 900T
head -c 300000 /dev/urandom >"$(media n1)/large"
check_soon "n3 takes it" same large n3
check_soon "n2 says what it waits for, and why" waits n2 large 'no room.*min_free'
check "nothing of it is there" test ! -e "$(media n2)/large"
check "n2 is not in sync" bash -c "! '$build/mimeo' -c '$T/lab/n2/mimeo.conf' status >/dev/null"
check "nor does n1 call it so" bash -c "! '$build/mimeo' -c '$T/lab/n1/mimeo.conf' status >/dev/null"
check "n2 goes on sending" bash -c "echo from n2 >'$(media n2)/small'"
check_soon "what it writes arrives" cmp -s "$(media n2)/small" "$(media n3)/small"
rm "$(media n3)/small"
check_soon "a delete needs no room" test ! -e "$(media n2)/small"
check "now there is enough" setting n2 guard min_free 1M
check_soon "and the file comes" same large n2
for n in n1 n2 n3; do
	check_soon "$n is in sync" in_sync "$n"
done

# --- the trash's age ---
check_soon "n2 keeps what was deleted" keeps n2 small 1
check "shorter from now on" setting n2 trash keep 1s
gone_soon() { # NODE PATH: whatever expires is looked for at each reload, else once a minute
	mimeo "$1" reload && keeps "$1" "$2" 0
}
check_soon "then it goes" gone_soon n2 small
check "and is not in the store" test "$(find "$T/lab/n2/.mimeo-media/kept" | wc -l)" = 1
check "back" setting n2 trash keep 30d

# --- the trash's size: what is younger than a day is not let go, and what would displace more waits ---
check "n2's trash has room for one" setting n2 trash max_size 100K
for f in one two three; do
	head -c 70000 /dev/urandom >"$(media n1)/$f"
done
check_soon "three files" same three n2 n3
for n in n1 n2 n3; do
	check_soon "$n is in sync" in_sync "$n"
done
cp "$(media n2)/two" "$T/two"
head -c 70001 /dev/urandom >"$(media n1)/one"
check_soon "one edit" same one n2 n3
check_soon "is kept" keeps n2 one 1
head -c 70002 /dev/urandom >"$(media n1)/two"
rm "$(media n1)/three"
check_soon "n3 takes the second" same two n3
check_soon "n2 says what it waits for, and why" waits n2 two 'trash is full .trash.max_size'
check_soon "so for a delete" waits n2 three 'trash is full .trash.max_size'
check "what was there is there" cmp "$T/two" "$(media n2)/two"
check_soon "said once in the log" grep -q 'trash\.full ' "$T/lab/n2/log/agent.log"
check "once" test "$(grep -c 'trash\.full ' "$T/lab/n2/log/agent.log")" = 1
check_soon "what needs no room arrives" bash -c "echo new >'$(media n1)/new'; cmp '$(media n1)/new' '$(media n2)/new'"
check "room for more" setting n2 trash max_size 10G
check_soon "then it is taken" same two n2
check_soon "and the delete" test ! -e "$(media n2)/three"
check_soon "all is kept" keeps n2 three 1
check "as it was" cmp "$T/two" "$T/lab/n2/.mimeo-media/kept/$(mimeo n2 trash list two --json | jq -r '.[0].id')"

# --- a conflict's loser stays whatever its age ---
lab_links() { # cut|heal
	"$lab" "$1" "$T/lab" n1 n2 && "$lab" "$1" "$T/lab" n1 n3 && "$lab" "$1" "$T/lab" n2 n3
}
logged() { # NODE SIZE
	mimeo "$1" history one --json | jq -e --argjson s "$2" 'select(.size == $s)'
}
conflicts() { # NODE COUNT
	[ "$(mimeo "$1" conflicts --json | jq length)" = "$2" ]
}
check "all links are cut" lab_links cut
echo "of n1" >"$(media n1)/one"
echo "of n2 too" >"$(media n2)/one"
check_soon "n1 logs its version" logged n1 6
check_soon "n2 logs its version" logged n2 10
check "and healed" lab_links heal
for n in n1 n2 n3; do
	check_soon "$n is in sync" in_sync "$n"
	check_soon "$n has a conflict" conflicts "$n" 1
	check "$n: all trash goes" setting "$n" trash keep 1s
	check "$n: however little" setting "$n" trash max_size 1
	check_soon "$n: it does" gone_soon "$n" two
	check "$n: the conflict stays" conflicts "$n" 1
	check "$n: and its content" bash -c "cat '$T/lab/$n/.mimeo-media/kept/'* | grep -q 'of n'"
done
done_testing
