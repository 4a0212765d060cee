#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Network namespaces as real hosts: two sites of two nodes with one link between them, which is cut without a word.
# SPLIT_S: for so long both sites go on writing meanwhile (4 seconds; make torture: 300).
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq ssh-keygen ip
ns=mimeo$$

skip() {
	echo "1..0 # SKIP $*"
	exit 0
}

gone() { # namespaces, with all that is in them
	local i
	for i in 1 2 3 4 s; do
		ip netns del "$ns-$i" 2>/dev/null
	done
}
end() {
	local rc=$?
	[ -d "$T/lab" ] && "$lab" down "$T/lab" 2>/dev/null
	gone
	(exit "$rc")
	cleanup
}
[ "$(id -u)" = 0 ] || skip "network namespaces need root"
ip netns add "$ns-s" 2>/dev/null || skip "network namespaces cannot be made here"
trap end EXIT

# Two bridges in one more namespace, and a cable between them. Nodes 1 and 2 at the first, 3 and 4 at the second.
network() {
	local i bridge
	ip -n "$ns-s" link add bra type bridge && ip -n "$ns-s" link add brb type bridge || return 1
	ip -n "$ns-s" link add cablea type veth peer name cableb || return 1
	ip -n "$ns-s" link set cablea master bra && ip -n "$ns-s" link set cableb master brb || return 1
	for i in 1 2 3 4; do
		bridge=bra
		[ "$i" -lt 3 ] || bridge=brb
		ip netns add "$ns-$i" && ip -n "$ns-s" link add "p$i" type veth peer name eth0 netns "$ns-$i" || return 1
		ip -n "$ns-s" link set "p$i" master "$bridge" up || return 1
		ip -n "$ns-$i" addr add "fd00:6d69::$i/64" dev eth0 nodad && ip -n "$ns-$i" addr add "10.109.105.$i/24" dev eth0 || return 1
		ip -n "$ns-$i" link set eth0 up && ip -n "$ns-$i" link set lo up || return 1
	done
	for i in bra brb cablea cableb; do
		ip -n "$ns-s" link set "$i" up || return 1
	done
}
network >"$T/network" 2>&1 || skip "no bridges and cables here: $(tail -1 "$T/network")"

cable() { # up|down: nobody is told
	ip -n "$ns-s" link set cablea "$1"
}
alive_are() { # NODE NAMES
	[ "$(mimeo "$1" peers --json | jq -rs 'flatten | map(select(.state == "alive").name) | sort | join(" ")')" = "$2" ]
}
conflicts() { # NODE
	mimeo "$1" conflicts --json | jq length
}
attached() { # NODE NODE: sshd runs something for one of them at the other, whoever dialled
	pgrep -f -- "attach --peer $2 --socket $T/lab/$1/|attach --peer $1 --socket $T/lab/$2/"
}
nothing_attached() { # NODE NODE
	! attached "$@" >/dev/null
}

for i in 1 2 3 4; do
	mkdir -p "$T/lab/n$i"
	echo "$ns-$i" >"$T/lab/n$i/netns"
	case $i in
	4) echo "[fd00:6d69::4]" >"$T/lab/n4/host" ;; # IPv6 alone
	*) echo "10.109.105.$i" >"$T/lab/n$i/host" ;;
	esac
	check "n$i joins" "$lab" add "$T/lab" "n$i" guard.max_delete='1000000, 100%'
done
check_soon "two sites, one mesh" connected_are n1 "n2 n3 n4"
check_soon "sshd runs something for its peers" attached n4 n1
check_soon "one of them by IPv6" connected_are n4 "n1 n2 n3"
echo common >"$(media n1)/both"
check "in sync" mimeo n1 wait both
check_soon "on all" in_sync n1 n2 n3 n4

# --- the cable is cut: nothing says so to anybody ---
cable down
start=$SECONDS
check_soon "a link that went silently is noticed" connected_are n1 n2
echo "# after $((SECONDS - start)) s"
check_soon "on the other side too" connected_are n4 n3
check_soon "who cannot be reached is not alive" alive_are n2 n1
for i in $(seq 20); do
	echo "one $i" >"$(media n1)/one-$i"
	echo "four $i" >"$(media n4)/four-$i"
done
echo "from the first site" >"$(media n2)/both"
echo "from the other one" >"$(media n3)/both"
mkdir "$(media n1)/dir" "$(media n3)/dir"
echo a >"$(media n1)/dir/a"
echo b >"$(media n3)/dir/b"
# Every round: a new file, an edit, a rename and a delete at each node, and one path that both sites write.
clashes=0
until=$((SECONDS + ${SPLIT_S:-4}))
while [ "$SECONDS" -lt "$until" ] || [ "$clashes" = 0 ]; do
	clashes=$((clashes + 1))
	for i in 1 2 3 4; do
		dir=$(media "n$i")/of-$i
		mkdir -p "$dir"
		head -c $((clashes % 50 * 997)) /dev/urandom >"$dir/new-$clashes"
		echo "$clashes" >>"$dir/log"
		[ "$clashes" -lt 3 ] || mv "$dir/new-$((clashes - 2))" "$dir/old-$((clashes - 2))"
		[ "$clashes" -lt 9 ] || rm "$dir/old-$((clashes - 8))"
	done
	echo "first site, $clashes" >"$(media n2)/clash-$clashes"
	echo "other site, $clashes" >"$(media n4)/clash-$clashes"
	sleep 0.2
done
echo "# both sites wrote $clashes rounds"
check_soon "each site goes on by itself" test -e "$(media n2)/one-20" -a -e "$(media n3)/four-20"
check_soon "and is one with itself" grep -q first "$(media n1)/both"
check_soon "so is the other" grep -q other "$(media n4)/both"
check "who waits for the others is told who is missing" bash -c "! '$build/mimeo' -c '$T/lab/n1/mimeo.conf' wait --timeout 1s 2>'$T/err'; grep -q 'n3 (not connected)' '$T/err'"
check_soon "what sshd ran for the other site has ended" nothing_attached n4 n1

# --- and mended ---
cable up
check_soon "a mesh again" connected_are n1 "n2 n3 n4"
check_soon "in sync again" in_sync n1 n2 n3 n4
check "the trees are the same" same_trees n1 n2 n3 n4
check "the digests too" same_digests n1 n2 n3 n4
for i in 1 2 3 4; do
	check "each of $((clashes + 1)) conflicts is listed once on n$i" test "$(conflicts "n$i")" = $((clashes + 1))
	check "of as many paths" test "$(mimeo "n$i" conflicts --json | jq -r '.[].path' | sort -u | wc -l)" = $((clashes + 1))
done
check "what was written on either side is there" test "$(find "$(media n1)" -name 'new-*' -o -name 'old-*' | wc -l)" = "$(for i in 1 2 3 4; do find "$(media "n$i")/of-$i" -name 'new-*' -o -name 'old-*'; done | wc -l)"

# --- one way only: what n1 sends to n3 goes nowhere ---
ip -n "$ns-1" route add blackhole 10.109.105.3/32
echo round >"$(media n1)/round"
check_soon "a link that works one way is given up" connected_are n1 "n2 n4"
check_soon "what is written arrives by another way" test -s "$(media n3)/round"
check "and its author knows" mimeo n1 wait --timeout 20s round
check_soon "both are alive to each other" alive_are n3 "n1 n2 n4"
ip -n "$ns-1" route del blackhole 10.109.105.3/32
check_soon "it comes back" connected_are n1 "n2 n3 n4"
check_soon "in sync" in_sync n1 n2 n3 n4
check "the trees are the same" same_trees n1 n2 n3 n4
done_testing
