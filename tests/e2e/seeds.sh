#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Addresses from the configuration: a fresh node finds its first member by them, and members that have moved are found again. Keys decide.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq ssh-keygen

host_key() { # NODE
	cut -d' ' -f1,2 "$T/lab/$1/state/ssh_host_ed25519_key.pub"
}
address() { # NODE
	echo "127.0.0.1$(cat "$T/lab/$1/port")"
}
seed() { # NODE PEER ADDRESS: a section [peer PEER] in its configuration
	printf '[peer %s]\naddress = %s\nuser = %s\n' "$2" "$3" "$(id -un)" >>"$T/lab/$1/mimeo.conf"
}
members_are() { # NODE NAMES
	[ "$(mimeo "$1" authorize --list | awk 'NR > 1 { print $1 }' | sort | tr '\n' ' ')" = "$2 " ]
}
reload() { # NODE: its agent may still be starting
	eventually mimeo "$1" reload
}
says() { # NODE PATTERN
	grep -qE -e "$2" "$T/lab/$1/log/agent.log"
}

must "two members" "$lab" up "$T/lab" 2
echo hello >"$(media n1)/hello"
check "of one mind" mimeo n1 wait hello
# Nobody can dial the third one. It is not invited: it is told where the first one is.
check "a third node, alone" env LAB_INVITER=n3 "$lab" add "$T/lab" n3 node.address=
seed n3 n1 "$(address n1)"
reload n3
check_soon "an address alone is not enough" says n3 'peer.stranger.*known_hosts.*peer=n1'
ssh-keygen -q -t ed25519 -N '' -C '' -f "$T/other"
echo "n1 $(cut -d' ' -f1,2 "$T/other.pub")" >>"$T/lab/n3/state/known_hosts"
check_soon "another host key is not talked to" says n3 'peer.unreachable.*host key.*peer=n1'
sed -i '/^n1 /d' "$T/lab/n3/state/known_hosts"
echo "n1 $(host_key n1)" >>"$T/lab/n3/state/known_hosts"
reload n3
check_soon "nor is one that has not let it in" says n3 'peer.unreachable.*does not accept.*peer=n1'
check "nothing was learned" members_are n3 n3
check "the first one lets it in" mimeo n1 authorize "$(mimeo n3 key)"
check_soon "then it dials by itself, and knows all of them" members_are n3 "n1 n2 n3"
check_soon "and has sessions with all" connected_are n3 "n1 n2"
check_soon "and all files" test -s "$(media n3)/hello"
check "who let it in is known" bash -c "'$build/mimeo' -c '$T/lab/n2/mimeo.conf' peers --json | jq -es 'flatten | map(select(.name == \"n3\" and .admitted_by == \"n1\")) | length == 1'"

# A member that everyone has a wrong address of, and that cannot dial the one who is told the right one.
touch "$T/lab/cut/n2-n1"
sed -i 's/^address = .*/address = 127.0.0.1:9/' "$T/lab/n2/mimeo.conf"
check "one moves to where nobody is" reload n2
check_soon "as all know" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' peers --json | jq -es 'flatten | map(select(.name == \"n2\" and .address == \"127.0.0.1:9\")) | length == 1'"
"$lab" stop "$T/lab" n1 agent
"$lab" start "$T/lab" n1 agent
check_soon "it is not found there" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' peers --json | jq -es 'flatten | map(select(.name == \"n2\" and (.connected | not) and (.last_error | test(\"reached\")))) | length == 1'"
seed n1 n2 "$(address n2)"
check "the configuration says where it is" reload n1
check_soon "there it is" connected_are n1 "n2 n3"

# One that was forgotten stays so, whatever the configuration says.
check "the third one is forgotten" mimeo n1 forget n3
check_soon "by all" connected_are n2 n1
seed n2 n3 127.0.0.1:9
reload n2
check_soon "an address does not bring it back" says n2 'peer.stranger.*peer=n3'
check "nor on the others" members_are n1 "n1 n2"
done_testing
