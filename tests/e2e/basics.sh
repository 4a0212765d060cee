#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Three real nodes: what is done on one is on the others; conflicts, trash, renames, deltas, a node that was away.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need sshd jq openssl

must "three nodes come up" "$lab" up "$T/lab" 3 sync.delta_min=64K
n1=$(media n1) n2=$(media n2) n3=$(media n3)

echo hello >"$n1/a.txt"
check_soon "a file arrives on n2" test -s "$n2/a.txt"
check_soon "and on n3" test -s "$n3/a.txt"
check "its mtime is the same" test "$(stat -c %y "$n1/a.txt")" = "$(stat -c %y "$n2/a.txt")"

mkdir -p "$n2/deep/er/est" "$n2/empty"
head -c 3000000 /dev/urandom >"$n2/deep/er/est/big.bin"
head -c 70000 /dev/urandom >"$n2/deep/mid.bin"
: >"$n2/deep/zero"
ln -s er/est/big.bin "$n2/deep/link"
chmod 640 "$n2/deep/mid.bin"
chmod 750 "$n2/empty"
check_soon "n2 gets in sync" in_sync n2
check "trees are equal: directories, links, modes, times" same_trees n1 n2 n3

printf 'changed' | dd of="$n3/deep/er/est/big.bin" bs=1 seek=1500000 conv=notrunc status=none
check_soon "an edit in the middle arrives" cmp -s "$n3/deep/er/est/big.bin" "$n1/deep/er/est/big.bin"
check "as a delta" test "$(mimeo n1 status --json | jq '[.peers[].delta_in // 0] | add')" -gt 0

before=$(mimeo n3 status --json | jq '[.peers[].received_bytes // 0] | add')
mv "$n1/deep" "$n1/moved"
check_soon "a renamed directory arrives" test -e "$n3/moved/er/est/big.bin"
check_soon "and the old name goes" test ! -e "$n3/deep"
check_soon "n1 is in sync" in_sync n1
check "no content travelled" test "$(mimeo n3 status --json | jq '[.peers[].received_bytes // 0] | add')" = "$before"
check "trees are equal after the rename" same_trees n1 n2 n3

rm -r "$n2/moved/er"
check_soon "a deleted tree goes on n1" test ! -e "$n1/moved/er"
check_soon "and on n3" test ! -e "$n3/moved/er"
check_soon "n2 is in sync" in_sync n2
check "the trash lists it" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' trash list --json | jq -e 'map(select(.path == \"moved/er/est/big.bin\")) | length > 0'"
mimeo n3 trash restore moved/er/est/big.bin >/dev/null 2>&1
check_soon "a restored file is back on n1" test -s "$n1/moved/er/est/big.bin"
check_soon "all in sync" in_sync n1 n2 n3
check "trees are equal after the restore" same_trees n1 n2 n3

chmod 600 "$n1/a.txt"
check_soon "a change of mode alone arrives" bash -c "[ \$(stat -c %a '$n3/a.txt') = 600 ]"
touch -d '2020-02-02 02:02:02.123456789 UTC' "$n1/a.txt"
check_soon "a change of time alone arrives" bash -c "[ \$(stat -c %Y '$n2/a.txt') = 1580608922 ]"

"$lab" kill "$T/lab" n3
echo one >"$n1/while-away-1"
echo two >"$n2/while-away-2"
rm "$n1/a.txt"
"$lab" start "$T/lab" n3
check_soon "a node that was away catches up" in_sync n1 n2 n3
check "and has the same" same_trees n1 n2 n3
check "digests are equal" same_digests n1 n2 n3

"$lab" cut "$T/lab" n1 n2
"$lab" cut "$T/lab" n1 n3
"$lab" cut "$T/lab" n2 n3
echo "from n1" >"$n1/both.txt"
echo "from n2" >"$n2/both.txt"
check_soon "n1 logs its version" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' history both.txt --json | grep -q both"
check_soon "n2 logs its version" bash -c "'$build/mimeo' -c '$T/lab/n2/mimeo.conf' history both.txt --json | grep -q both"
"$lab" heal "$T/lab" n1 n2
"$lab" heal "$T/lab" n1 n3
"$lab" heal "$T/lab" n2 n3
check_soon "after a cut all get in sync" in_sync n1 n2 n3
check "all show the same winner" same_trees n1 n2 n3
for n in n1 n2 n3; do
	check "$n lists one conflict" bash -c "[ \"\$('$build/mimeo' -c '$T/lab/$n/mimeo.conf' conflicts --json | jq length)\" = 1 ]"
done
check "the id is the same everywhere" test "$(for n in n1 n2 n3; do mimeo $n conflicts --json | jq -r '.[0].id'; done | sort -u | wc -l)" = 1
mimeo n3 conflicts restore "$(mimeo n3 conflicts --json | jq -r '.[0].id')" loser.txt >/dev/null 2>&1
check_soon "the loser can be restored beside it" test -s "$n1/loser.txt"

names=$(mimeo n1 log --json | wc -l)
check "wait returns when all have it" mimeo n1 wait --timeout 20s
check "no record was made for an applied change" test "$(mimeo n1 log --json | wc -l)" = "$names"
done_testing
