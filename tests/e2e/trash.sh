#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What any member keeps is in every member's list, and comes back on any of them.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq

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
trash() { # NODE JQ [PATH]: a look at the list
	mimeo "$1" trash list ${3:+"$3"} --json 2>"$T/stderr" | jq -r "$2"
}
shows() { # NODE JQ EXPECTED [PATH]
	local got
	got=$(trash "$1" "$2" "${4:-}")
	[ "$got" = "$3" ] || {
		echo "$1: '$got', not '$3'"
		return 1
	}
}
id_of() { # NODE PATH: of the newest version
	trash "$1" 'last.id' "$2"
}
wrote() { # NODE PATH: its own record is logged
	mimeo "$1" log --json "$2" | jq -e --arg n "$1" 'select(.node == $n)'
}
conflict() { # NODE JQ EXPECTED
	[ "$(mimeo "$1" conflicts --json | jq -r "$2")" = "$3" ]
}
exits() { # CODE COMMAND...
	"${@:2}"
	[ $? = "$1" ]
}
said() { # COMMAND...: what goes to standard error is kept
	"$@" 2>"$T/stderr"
}
connected() { # NODE COUNT
	[ "$(mimeo "$1" peers --json | jq '[.[] | select(.connected)] | length')" = "$2" ]
}

must "three nodes come up" "$lab" up "$T/lab" 3
mkdir "$(media n1)/d"
for f in a d/b dd other; do
	echo "first $f" >"$(media n1)/$f"
done
check_soon "files are everywhere" has "first other" other n2 n3
check_soon "in sync" in_sync n1 n2 n3
check "nothing is kept: an empty list" shows n2 length 0

# Kept by those that displaced a copy of their own: not by the node where it was deleted.
rm "$(media n1)/a"
check_soon "a delete goes everywhere" gone a n1 n2 n3
check_soon "in sync" in_sync n1 n2 n3
for n in n1 n2 n3; do
	check_soon "$n: one row, from both that keep it" shows "$n" '.[] | "\(.path) \(.node) \(.size) \(.on | sort | join(","))"' "a n1 8 n2,n3"
done
check "n1 does not keep it" shows n1 '.[].here' false
check "n2 does" shows n2 '.[].here' true
check "the rows are the same elsewhere" test "$(trash n1 'map(del(.here, .on)) | tojson')" = "$(trash n3 'map(del(.here, .on)) | tojson')"
check "it expires" shows n1 '.[] | .expires > .time' true
check "all answered" test ! -s "$T/stderr"

# Deleted while n3 was away, and purged on n2: n3 keeps it alone.
"$lab" stop "$T/lab" n3
rm "$(media n1)/d/b"
check_soon "a delete while one is away" gone d/b n2
check_soon "is in the trash of n2" shows n1 '.[].on | join(",")' n2 d/b
check "who is away is named" grep -q "no answer from n3" "$T/stderr"
check "which is no error" mimeo n1 trash list
check "and not in the list" shows n1 'length' 1 d
"$lab" start "$T/lab" n3
check_soon "n3 learns of it" gone d/b n3
check_soon "and keeps it too" shows n1 '.[].on | sort | join(",")' n2,n3 d/b
id=$(id_of n1 d/b)
check "purged on n2" mimeo n2 conflicts drop "$id"
for n in n1 n2 n3; do
	check_soon "$n: it is on n3" shows "$n" '.[].on | join(",")' n3 d
done
check "a directory is what is below it, and no more" shows n2 'map(.path) | join(",")' d/b d/
check "a path that cannot be is refused" exits 2 mimeo n1 trash list ../x

# It comes back on a node that has no copy, from the one that keeps it.
check_soon "all are connected" connected n2 2
check "restored on n2" mimeo n2 trash restore d/b
check_soon "everywhere" has "first d/b" d/b n1 n2 n3
check_soon "in sync" in_sync n1 n2 n3

# Several versions: the time says which. n1 writes, so only the others keep them.
echo "second other" >"$(media n1)/other"
check_soon "a new version" has "second other" other n2 n3
check_soon "in sync" in_sync n1 n2 n3
check_soon "the first is kept" shows n1 length 1 other
seen=$(trash n1 '.[0].time' other)

check_soon "a second passes" bash -c "[ \"\$(date +%s)\" -gt \"$(date -d "$seen" +%s)\" ]"
echo "third other" >"$(media n1)/other"
check_soon "one more" has "third other" other n2 n3
check_soon "in sync" in_sync n1 n2 n3
check_soon "both are kept, the older one first" shows n1 'map(.time) | length == 2 and .[0] < .[1]' true other
check "the first one is asked for, where nothing is kept" mimeo n1 trash restore other --at "${seen%.*}Z"
check_soon "and shown everywhere" has "first other" other n1 n2 n3
check "nothing is from before that" exits 1 mimeo n1 trash restore other --at 2001-01-01
check_soon "in sync" in_sync n1 n2 n3

# Who keeps it is away.
rm "$(media n1)/dd"
check_soon "a delete" gone dd n1 n2 n3
check_soon "kept twice" shows n1 '.[].on | sort | join(",")' n2,n3 dd
check "purged on n2" mimeo n2 conflicts drop "$(id_of n1 dd)"
check_soon "kept once" shows n1 '.[].on | join(",")' n3 dd
"$lab" stop "$T/lab" n3
check_soon "n3 is away" connected n1 1
check "its version is not in the list" shows n1 length 0 dd
check "it cannot come back" exits 1 said mimeo n1 trash restore dd
check "and it is said why" grep -q "no connected member keeps anything" "$T/stderr"
check "and who did not answer" grep -q "no answer from n3" "$T/stderr"
"$lab" start "$T/lab" n3
check_soon "n3 is back" connected n1 2
check_soon "now it comes back" mimeo n1 trash restore dd
check_soon "everywhere" has "first dd" dd n1 n2 n3
check_soon "in sync" in_sync n1 n2 n3

# Connected, and says nothing: it is not waited for.
rm "$(media n1)/dd"
check_soon "deleted again" gone dd n1 n2 n3
check_soon "in sync" in_sync n1 n2 n3
agent=$(cut -d' ' -f1 "$T/lab/n3/pid.agent")
kill -STOP "$agent"
check "while n3 hangs its answer is missing" shows n1 'last.on | join(",")' n2 dd
check "which is said last" grep -qx "mimeo: no answer from n3: .*" "$T/stderr"
kill -CONT "$agent"
check_soon "and no longer than that" shows n1 'last.on | sort | join(",")' n2,n3 dd

# More than fits into one page of an answer.
mkdir "$(media n1)/many"
for i in $(seq 1500); do
	echo "$i" >"$(media n1)/many/a-name-that-takes-some-room-in-an-answer-$i"
done
check_soon "many files" in_sync n1 n2 n3
for i in $(seq 1500); do
	echo "new $i" >"$(media n1)/many/a-name-that-takes-some-room-in-an-answer-$i"
done
check_soon "replaced" in_sync n1 n2 n3
check_soon "are all in the list" shows n1 'map(select(.on | sort == ["n2", "n3"])) | length' 1500 many
check "oldest first" shows n1 'map(.time) | . == sort' true many

# Concurrent edits: the loser is in every list.
"$lab" stop "$T/lab" n3
echo "by n1" >"$(media n1)/a"
check_soon "written on n1" has "by n1" a n2
"$lab" stop "$T/lab" n1
"$lab" stop "$T/lab" n2
"$lab" start "$T/lab" n3
echo "by n3" >"$(media n3)/a"
check_soon "written on n3 as well" wrote n3 a
"$lab" start "$T/lab" n1
"$lab" start "$T/lab" n2
check_soon "one wins" has "by n3" a n1 n2 n3
for n in n1 n2 n3; do
	check_soon "$n: the loser is kept by all" conflict "$n" '.[] | "\(.path) \(.node) \(.expires) \(.on | sort | join(","))"' "a n1 null n1,n2,n3"
done
id=$(mimeo n2 conflicts --json | jq -r '.[0].id')
check "dropped on n2" mimeo n2 conflicts drop "$id"
check_soon "it is still in its list" conflict n2 '.[0] | "\(.here) \(.on | sort | join(","))"' "false n1,n3"
check "and comes back there" mimeo n2 conflicts restore "$id" a-other
check_soon "everywhere" has "by n1" a-other n1 n2 n3
done_testing
