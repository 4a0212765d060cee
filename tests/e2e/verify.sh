#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# verify --peers: what the members show is compared path by path, and what differs is named.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq

verify() { # NODE ARGS...
	mimeo "$1" verify --peers "${@:2}" >"$T/verify" 2>&1
}
names() { # LINE
	verify n1
	grep -qxF "$1" "$T/verify"
}

must "three nodes come up" "$lab" up "$T/lab" 3
mkdir "$(media n1)/d"
for i in $(seq 300); do echo "$i" >"$(media n1)/d/$i"; done
ln -s d/1 "$(media n1)/link"
check_soon "files are everywhere" in_sync n1 n2 n3
check "nothing differs" verify n1
check "which is said" grep -q '^0 differences' "$T/verify"
check "of both others" grep -q 'compared with 2 members' "$T/verify"

check "one node applies nothing any more" mimeo n2 pause
echo new >"$(media n1)/new"
echo edited >"$(media n1)/d/7"
chmod 600 "$(media n1)/d/8"
rm "$(media n1)/d/9"
check_soon "what is new is missing there" names "new: missing there, at n2"
check_soon "what was edited has other content" names "d/7: other content, at n2"
check_soon "what was changed otherwise has other metadata" names "d/8: other metadata, at n2"
check_soon "what was deleted is missing here" names "d/9: missing here, at n2"
check_soon "the third one has all of it" mimeo n1 wait --peers 1
verify n1
check "a difference is exit 1" test $? = 1
check "nothing else is named" test "$(grep -c ', at n' "$T/verify")" = 4
mimeo n1 verify --peers --json >"$T/verify" 2>"$T/verify.err"
check "as JSON as well" jq -e 'any(.[]; .member == "n2" and .difference == "missing there" and .path == "new")' "$T/verify"
mimeo n1 verify --rehash >/dev/null 2>&1
check "--rehash alone is refused" test $? = 2
check "on it goes" mimeo n2 resume
check_soon "in sync again" in_sync n1 n2 n3
check "nothing differs any more, by what the files hold either" verify n1 --rehash
check_soon "the others read all their files" grep -q scrub.done "$T/lab/n2/log/agent.log"
"$lab" stop "$T/lab" n3 agent
verify n1
check "a member that does not answer is exit 1" test $? = 1
check "and named" grep -q 'did not answer: n3' "$T/verify"
done_testing
