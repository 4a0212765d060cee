#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Members that leave, are forgotten, come back, and die.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq ssh-keygen

peers_are() { # NODE NAMES: all its members, connected or not
	[ "$(mimeo "$1" peers --json | jq -rs 'flatten | map(.name) | sort | join(" ")')" = "$2" ]
}
state_is() { # NODE PEER STATE
	[ "$(mimeo "$1" peers --json | jq -rs "flatten | map(select(.name == \"$2\").state) | first")" = "$3" ]
}
logged() { # NODE PATTERN
	grep -qE -e "$2" "$T/lab/$1/log/agent.log"
}
key_gone() { # NODE NAME
	! grep -q " mimeo:$2\$" "$T/lab/$1/state/authorized_keys" && ! mimeo "$1" authorized-keys "$(id -un)" | grep -q " mimeo:$2\$"
}
tell_why() { # NODE PATTERN
	mimeo "$1" status 2>&1 | grep -qE "$2"
}

check "four nodes" "$lab" up "$T/lab" 4
echo one >"$(media n1)/one"
check "which are in sync" mimeo n1 wait one
echo '# a line of somebody else' >>"$T/lab/n1/state/authorized_keys"
echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFVzIGFuZCBub2JvZHkgZWxzZSBpbiB0aGlzIGZpbGU= somebody@else' >>"$T/lab/n1/state/authorized_keys"
check "sshd may ask for the keys in place of the file" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' authorized-keys '$(id -un)' | grep -c 'restrict,command=' | grep -qx 3"
check "and hears of no other account's" bash -c "! '$build/mimeo' -c '$T/lab/n1/mimeo.conf' authorized-keys somebody | grep -q ."

# --- a member that dies ---
"$lab" kill "$T/lab" n4
check_soon "a killed member is noticed" bash -c "! '$build/mimeo' -c '$T/lab/n1/mimeo.conf' peers --json | jq -es 'flatten | any(.[]; .name == \"n4\" and .state == \"alive\")'"
check_soon "first suspected, then dead" state_is n1 n4 dead
check "that was said" logged n1 'member.state suspect member=n4'
"$lab" start "$T/lab" n4
check_soon "it is alive again" state_is n1 n4 alive
check_soon "and has sessions, so that it hears what becomes of it" connected_are n4 "n1 n2 n3"

# --- a member that is forgotten while one is away ---
"$lab" stop "$T/lab" n3
check "n4 is forgotten on n1" mimeo n1 forget n4
check "its key is refused there" key_gone n1 n4
check "lines of others stay" bash -c "grep -qx '# a line of somebody else' '$T/lab/n1/state/authorized_keys' && grep -q 'somebody@else' '$T/lab/n1/state/authorized_keys'"
check_soon "and on n2" key_gone n2 n4
check_soon "n1 has no member of that name" peers_are n1 "n2 n3"
check_soon "n2 neither" peers_are n2 "n1 n3"
check_soon "n4 knows, and says how to join again" tell_why n4 'no member any more.*forgotten by n1.*mimeo invite.*mimeo join'
check "and who did it is in the log" logged n2 'member.removed .*member=n4.*by=n1'
"$lab" start "$T/lab" n3
check_soon "the one that was away hears of it" key_gone n3 n4
check_soon "and has sessions with the others only" connected_are n3 "n1 n2"
check "who is no member cannot be forgotten" bash -c "! MIMEO_LIBEXEC=$T/lab/n1/libexec '$build/mimeo' -c '$T/lab/n1/mimeo.conf' forget n4 2>'$T/err'; grep -q 'no member' '$T/err'"
check "nor oneself" bash -c "! MIMEO_LIBEXEC=$T/lab/n1/libexec '$build/mimeo' -c '$T/lab/n1/mimeo.conf' forget n1 2>'$T/err'; grep -q 'mimeo leave' '$T/err'"

# --- it comes back, and nothing that was deleted meanwhile does ---
rm "$(media n1)/one"
echo two >"$(media n2)/two"
check_soon "life goes on without it" test ! -e "$(media n3)/one" -a -e "$(media n3)/two"
echo mine >"$(media n4)/mine"
check "it joins again, with all that it had" bash -c "'$build/mimeo' -c '$T/lab/n3/mimeo.conf' invite 2>/dev/null | MIMEO_LIBEXEC=$T/lab/n4/libexec '$build/mimeo' -c '$T/lab/n4/mimeo.conf' join - --yes"
check_soon "and has sessions with all" connected_are n4 "n1 n2 n3"
check_soon "what was deleted meanwhile is deleted there" test ! -e "$(media n4)/one"
check_soon "what it wrote meanwhile is everywhere" test -s "$(media n1)/mine" -a -s "$(media n2)/mine" -a -s "$(media n3)/mine"
check_soon "all in sync" in_sync n1 n2 n3 n4
check "the trees are the same" same_trees n1 n2 n3 n4

# --- a member whose disk is lost comes back under its name ---
"$lab" stop "$T/lab" n4
mimeo n2 invite 2>/dev/null >"$T/block"
mv "$T/lab/n4" "$T/n4.old"
check "a new node may not take the name of a member" bash -c "! LAB_WAIT=5 '$lab' add '$T/lab' n4 2>'$T/err'; grep -q 'that name already' '$T/err'"
check "that was refused, logged and counted" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' errors --json | jq -es 'flatten | any(.[]; .reason == \"identity\" and .peer == \"n4\")'"
check "it is forgotten" mimeo n2 forget n4
check_soon "everywhere" peers_are n3 "n1 n2"
rm -rf "$T/lab/n4"
check "and joins as a new one" "$lab" add "$T/lab" n4
check_soon "all in sync again" in_sync n1 n2 n3 n4
check "with the same trees" same_trees n1 n2 n3 n4
check "nothing came back" test ! -e "$(media n1)/one"

# --- a member that leaves ---
check "n2 leaves" mimeo n2 leave
check_soon "n1 knows" peers_are n1 "n3 n4"
check_soon "n4 too" peers_are n4 "n1 n3"
check "its key is refused" key_gone n1 n2
check "it says that it left" tell_why n2 'no member any more.*it left'
check "its files stay" test -s "$(media n2)/two"
check "nobody waits for it" mimeo n1 wait two
check "it is asked to leave once" bash -c "! '$build/mimeo' -c '$T/lab/n2/mimeo.conf' leave"
"$lab" stop "$T/lab" n2
"$lab" start "$T/lab" n2
check_soon "that outlives a restart" tell_why n2 'no member any more'
check_soon "it knows nobody to dial" peers_are n2 ""
done_testing
