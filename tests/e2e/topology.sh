#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Not everyone reaches everyone: chains, stars, nodes that nobody can dial. Members, records and contents travel through neighbours.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq ssh-keygen

alive_are() { # NODE NAMES: connected or not
	[ "$(mimeo "$1" peers --json | jq -rs 'flatten | map(select(.state == "alive").name) | sort | join(" ")')" = "$2" ]
}
cut() {
	"$lab" cut "$T/lab" "$1" "$2"
}
heal() {
	"$lab" heal "$T/lab" "$1" "$2"
}

check "four nodes" "$lab" up "$T/lab" 4

# --- a chain: n1 - n2 - n3 - n4 ---
for pair in "n1 n3" "n1 n4" "n2 n4"; do
	# shellcheck disable=SC2086
	cut $pair
done
check_soon "a chain: the first has one neighbour" connected_are n1 n2
check_soon "the third has two" connected_are n3 "n2 n4"
check_soon "all are alive to the first" alive_are n1 "n2 n3 n4"
head -c 3000000 /dev/urandom >"$(media n1)/large"
echo small >"$(media n1)/small"
check_soon "a large file passes through two others" cmp -s "$(media n1)/large" "$(media n4)/large"
check_soon "and a small one" cmp -s "$(media n1)/small" "$(media n4)/small"
check "the author knows that it arrived at all" mimeo n1 wait --timeout 20s large small
mkdir "$(media n4)/d"
echo back >"$(media n4)/d/back"
rm "$(media n4)/small"
check_soon "and the other way" cmp -s "$(media n4)/d/back" "$(media n1)/d/back"
check_soon "deletes too" test ! -e "$(media n1)/small"
check_soon "all in sync" in_sync n1 n2 n3 n4
check "the trees are the same" same_trees n1 n2 n3 n4
printf x | dd of="$(media n1)/large" bs=1 seek=1500000 conv=notrunc status=none
check_soon "a difference passes" cmp -s "$(media n1)/large" "$(media n4)/large"

# --- one joins at the end of the chain ---
mkdir -p "$T/lab/cut"
for other in n1 n2 n3; do
	touch "$T/lab/cut/n5-$other" "$T/lab/cut/$other-n5"
done
check "n5 joins at n4, and reaches nobody else" bash -c "LAB_INVITER=n4 LAB_WAIT=3 '$lab' add '$T/lab' n5; test -s '$T/lab/n5/state/known_hosts'"
check_soon "n5 has one neighbour" connected_are n5 n4
check_soon "the first of the chain knows it, and that it is alive" alive_are n1 "n2 n3 n4 n5"
check_soon "it has got everything" cmp -s "$(media n1)/large" "$(media n5)/large"
echo far >"$(media n5)/far"
check "what it writes arrives at the other end, and it knows" mimeo n5 wait --timeout 20s far
check "forgotten at one end" mimeo n1 forget n5
check_soon "it is cut off at the other" connected_are n4 n3
check_soon "and knows why" bash -c "'$build/mimeo' -c '$T/lab/n5/mimeo.conf' status 2>&1 | grep -q 'forgotten by n1'"
"$lab" stop "$T/lab" n5

# --- a star around n2 ---
heal n2 n4
cut n3 n4
check_soon "a star: its middle has three" connected_are n2 "n1 n3 n4"
check_soon "the others one" connected_are n4 n2
for i in 1 3 4; do
	head -c 200000 /dev/urandom >"$(media n$i)/star$i"
done
check_soon "everything is everywhere" in_sync n1 n2 n3 n4
check "the trees are the same" same_trees n1 n2 n3 n4

# --- the middle dies: the others are alone, and nothing is lost ---
"$lab" kill "$T/lab" n2
echo meanwhile >"$(media n1)/meanwhile"
check_soon "who is not heard of is not alive" alive_are n1 ""
"$lab" start "$T/lab" n2
check_soon "the middle is back, and with it the others" alive_are n1 "n2 n3 n4"
check_soon "what was written meanwhile arrives" test -s "$(media n4)/meanwhile"
for pair in "n1 n3" "n1 n4" "n3 n4"; do
	# shellcheck disable=SC2086
	heal $pair
done
check_soon "a full mesh again" connected_are n1 "n2 n3 n4"

# --- nodes that nobody can dial ---
check "one without an address joins" "$lab" add "$T/lab" n6 node.address=
check_soon "it dialled everybody" connected_are n6 "n1 n2 n3 n4"
check "its key line says so" bash -c "'$build/mimeo' -c '$T/lab/n6/mimeo.conf' key | grep -q '^mimeo1 n6 - '"
check "it cannot invite, and says why" bash -c "! '$build/mimeo' -c '$T/lab/n6/mimeo.conf' invite 2>'$T/err' && grep -q 'no address' '$T/err'"
check "another one without an address joins" env LAB_WAIT=4 bash -c "'$lab' add '$T/lab' n7 node.address= 2>/dev/null; test -s '$T/lab/n7/state/known_hosts'"
check_soon "those two are neighbours of the others only" connected_are n7 "n1 n2 n3 n4"
check_soon "but alive to each other" alive_are n7 "n1 n2 n3 n4 n6"
echo hidden >"$(media n6)/hidden"
check "and share everything" mimeo n6 wait --timeout 20s hidden
check_soon "all in sync" in_sync n1 n2 n3 n4 n6 n7
check "the trees are the same" same_trees n1 n2 n3 n4 n6 n7

# --- addresses: several, in order, and other ones ---
port=$(cat "$T/lab/n6/port")
sed -i "s/^address.*/address = 127.0.0.1:1, 127.0.0.1$port/" "$T/lab/n6/mimeo.conf"
mimeo n6 reload
check_soon "a new address spreads" bash -c "'$build/mimeo' -c '$T/lab/n4/mimeo.conf' peers --json | jq -es 'flatten | any(.[]; .name == \"n6\" and .address == \"127.0.0.1:1,127.0.0.1$port\")'"
check_soon "it is dialled, the second after the first" connected_are n7 "n1 n2 n3 n4 n6"
done_testing
