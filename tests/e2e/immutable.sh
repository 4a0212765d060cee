#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Content-addressed paths keep their content: what is altered under the name of its hash is put back from here or from a peer, and kept.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq openssl

must "three nodes come up" "$lab" up "$T/lab" 3 store.immutable=yes
paths=
for n in 1 2 3; do
	for i in 1 2 3; do
		head -c $((i * 70000 + n)) /dev/urandom >"$T/pic-$n-$i.jpg"
		paths="$paths $(mimeo "n$n" put "$T/pic-$n-$i.jpg")"
	done
done
check_soon "what was put is everywhere" in_sync n1 n2 n3
hashes_right() { # NODE: does every file have the content that its path says
	local f
	for f in $paths; do
		[ "$(openssl dgst -sha256 -r "$(media "$1")/$f" | cut -c1-64)" = "$(echo "$f" | cut -d/ -f2)" ] || return 1
	done
}
check "under the name of its hash" hashes_right n1
records=$(mimeo n1 log --json | wc -l)
read -r a b c d _ <<<"$paths"
chmod u+w "$(media n2)/$a" "$(media n2)/$b" "$(media n1)/$c"
echo appended >>"$(media n2)/$a"
echo shorter >"$(media n2)/$b"
cp "$T/pic-3-1.jpg" "$T/other"
mv "$T/other" "$(media n1)/$c"
for n in n1 n2 n3; do
	check_soon "what was altered is put back on $n" hashes_right $n
done
check_soon "all are in sync" in_sync n1 n2 n3
check "trees are equal" same_trees n1 n2 n3
for f in "n2 $a" "n2 $b" "n1 $c"; do
	read -r node path <<<"$f"
	check "the alteration of $node's ${path:0:6}… is kept" bash -c "'$build/mimeo' -c '$T/lab/$node/mimeo.conf' conflicts --json | jq -e --arg p '$path' 'any(.[]; .path == \$p)'"
	check "and counted" bash -c "'$build/mimeo' -c '$T/lab/$node/mimeo.conf' errors | grep -q altered"
done
check "the bytes that were appended are in the store" grep -qa appended -r "$T/lab/n2/.mimeo-media/kept"
check "no altered content became a version" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' log --json | jq -r 'select(.op == \"edit\") | .path' | wc -l | grep -qx 0"
echo "# $records records before the alterations, $(mimeo n1 log --json | wc -l) after"

# The agent is down while a file is altered, and its only other copies are on peers.
"$lab" kill "$T/lab" n3 agent
chmod u+w "$(media n3)/$d"
echo altered while the agent was down >"$(media n3)/$d"
"$lab" start "$T/lab" n3
check_soon "put back after a restart" hashes_right n3

# A name that never had the content that it says is no version at all.
mkdir -p "$(media n1)/ab/ab$(printf '0%.0s' {1..62})"
echo wrong >"$(media n1)/ab/ab$(printf '0%.0s' {1..62})/name"
check_soon "a wrong name is refused, and said" bash -c "grep -q watch.refused '$T/lab/n1/log/watcher.log'"
check "and goes nowhere" test ! -e "$(media n2)/ab/ab$(printf '0%.0s' {1..62})/name"
rm "$(media n1)/ab/ab$(printf '0%.0s' {1..62})/name"

rm "$(media n3)/$d"
gone() { [ ! -e "$(media n1)/$d" ] && [ ! -e "$(media n2)/$d" ]; }
check_soon "a delete is no alteration: it goes everywhere" gone
check_soon "into the trash" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' trash list --json | jq -e --arg p '$d' 'any(.[]; .path == \$p)'"
check_soon "all are in sync at the end" in_sync n1 n2 n3
check "trees are equal at the end" same_trees n1 n2 n3
done_testing
