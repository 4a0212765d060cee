#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Tombstones are collected once all have applied them, and who comes back later than that brings nothing back.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq

must "three nodes come up" "$lab" up "$T/lab" 3 trash.tombstones=1s
forgotten() { # PATH NODE...: no record of the path is left
	local path=$1 n
	for n in "${@:2}"; do
		[ -z "$(mimeo "$n" history --json "$path")" ] || return 1
	done
}
gone() { # PATH NODE...
	local path=$1 n
	for n in "${@:2}"; do
		[ ! -e "$(media "$n")/$path" ] || return 1
	done
}
has() { # TEXT PATH NODE...
	local text=$1 path=$2 n
	for n in "${@:3}"; do
		[ "$(cat "$(media "$n")/$path" 2>/dev/null)" = "$text" ] || return 1
	done
}

mkdir "$(media n1)/d"
for f in plain edited renewed stays d/deep; do
	echo "old $f" >"$(media n1)/$f"
done
check_soon "files are everywhere" has "old d/deep" d/deep n2 n3
check_soon "in sync" in_sync n1 n2 n3

rm "$(media n2)/plain"
check_soon "a delete goes everywhere" gone plain n1 n2 n3
check_soon "and is forgotten when all have applied it" forgotten plain n1 n2 n3
check_soon "in sync" in_sync n1 n2 n3
check "digests are equal" same_digests n1 n2 n3
echo again >"$(media n3)/plain"
check_soon "a new file of that name goes everywhere" has again plain n1 n2 n3
check_soon "in sync" in_sync n1 n2 n3

# A member that is away keeps every tombstone alive.
"$lab" stop "$T/lab" n3
rm "$(media n1)/stays"
check_soon "a delete while one is away" gone stays n2
echo later >"$(media n1)/later"
check_soon "something later" has later later n2
check "is remembered" bash -c "[ -n \"\$('$build/mimeo' -c '$T/lab/n2/mimeo.conf' history --json stays)\" ]"
"$lab" start "$T/lab" n3
check_soon "and reaches it" gone stays n3
check_soon "then it is forgotten" forgotten stays n1 n2 n3
check_soon "in sync" in_sync n1 n2 n3

# A member is struck off, and comes back after the tombstones are gone.
"$lab" stop "$T/lab" n3
line=$(mimeo n3 key)
check "struck off on n1" mimeo n1 authorize --remove n3
struck_off() { ! mimeo "$1" authorize --list | grep -q "^$2 "; }
check_soon "struck off on n2" struck_off n2 n3
rm -r "$(media n1)/d" "$(media n1)/edited" "$(media n1)/plain" "$(media n1)/renewed"
check_soon "deleted on both" gone plain n1 n2
check_soon "and forgotten on both" forgotten plain n1 n2
check_soon "the directory too" forgotten d n1 n2
check_soon "and the others" forgotten edited n1 n2
check_soon "all of them" forgotten renewed n1 n2
echo renewed >"$(media n2)/renewed"
check_soon "one of them is written anew" has renewed renewed n1
echo "edited while away" >"$(media n3)/edited"
echo "new while away" >"$(media n3)/new"
check "taken on again by n1" mimeo n1 authorize "$line"
check "and by n2" mimeo n2 authorize "$line"
"$lab" start "$T/lab" n3
check_soon "what was deleted goes there" gone plain n3
check_soon "with its directory" gone d n3
check_soon "what it had edited meanwhile is everywhere" has "edited while away" edited n1 n2 n3
check_soon "what it had written too" has "new while away" new n1 n2
check_soon "what was written anew is there" has renewed renewed n1 n2 n3
check_soon "all in sync" in_sync n1 n2 n3
check "it took over a whole state" grep -q merge.floor "$T/lab/n3/log/agent.log"
check "nothing came back" gone plain n1 n2
check "trees are equal" same_trees n1 n2 n3
check "digests are equal" same_digests n1 n2 n3
check "what it lost lies in its store" bash -c "'$build/mimeo' -c '$T/lab/n3/mimeo.conf' trash list --json | grep -q '\"plain\"'"
check "no digest ever differed" bash -c "! grep -h merge.mismatch '$T'/lab/n*/log/agent.log"
done_testing
