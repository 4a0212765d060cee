#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Deletes in unlikely numbers are held until somebody agrees; renames are no deletes.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq

must "three nodes come up" "$lab" up "$T/lab" 3 guard.max_delete='20, 10%'
held() { # NODE NUMBER
	[ "$(mimeo "$1" status --json | jq .held)" = "$2" ]
}
count() { # NODE DIR NUMBER
	[ "$(find "$(media "$1")/$2" -type f | wc -l)" = "$3" ]
}
files() { # DIR NUMBER
	mkdir -p "$(media n1)/$1"
	for i in $(seq "$2"); do
		echo "$1 $i" >"$(media n1)/$1/f$i"
	done
}
everywhere() { # WHAT...
	"${1}" n1 "${@:2}" && "${1}" n2 "${@:2}" && "${1}" n3 "${@:2}"
}

files many 60
files few 15
: >"$(media n1)/many/empty"
check_soon "files are everywhere" everywhere count many 61
check_soon "in sync" in_sync n1 n2 n3

rm -r "$(media n1)/few"
check_soon "a few deletes pass" bash -c "[ ! -e '$(media n2)/few' ] && [ ! -e '$(media n3)/few' ]"
check_soon "in sync again" in_sync n1 n2 n3

mv "$(media n1)/many" "$(media n1)/renamed"
check_soon "a renamed directory passes" everywhere count renamed 61
check_soon "and nothing is held" in_sync n1 n2 n3
check "its old name is gone" bash -c "[ ! -e '$(media n2)/many' ] && [ ! -e '$(media n3)/many' ]"

rm -r "$(media n1)/renamed"
check_soon "a mass delete is held on the second node" held n2 61
check_soon "and on the third" held n3 61
check "no file of it went there" bash -c "[ \$(find '$(media n2)/renamed' -type f | wc -l) = 61 ]"
mimeo n2 status >/dev/null 2>&1
check "status says so by its exit code" test $? = 3
check "pending gives the reason" bash -c "'$build/mimeo' -c '$T/lab/n2/mimeo.conf' pending --json | grep -q 'resume --accept-deletes'"
mimeo n1 wait --timeout 1s >/dev/null 2>&1
check "a held delete is not acknowledged" test $? = 3

echo other >"$(media n1)/other"
check_soon "other changes go on" test -s "$(media n3)/other"
echo kept >"$(media n2)/renamed/f7"
check_soon "a file written meanwhile is not held any more" held n2 60
check_soon "and comes back to where it was deleted" grep -qs kept "$(media n1)/renamed/f7"

"$lab" kill "$T/lab" n2 agent
"$lab" start "$T/lab" n2
check_soon "what is held is held over a restart" held n2 60
check "accepting answers" mimeo n2 resume --accept-deletes
check_soon "accepted deletes go" count n2 renamed 1
check "but not where nobody agreed" count n3 renamed 61
check "accepting there" mimeo n3 resume --accept-deletes
check_soon "all in sync" in_sync n1 n2 n3
check "trees are equal" same_trees n1 n2 n3
check "digests are equal" same_digests n1 n2 n3
done_testing
