#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Paths become what they were, on all nodes: restore --at, and undo of what one node did.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3

# Names, kinds, modes of directories, contents: what a restore brings back. Times are new.
state() { # NODE
	(cd "$(media "$1")" && find . -mindepth 1 -not -path ./.mimeo-id \( -type f -printf 'f %m %p\0' -o -type d -printf 'd %m %p\0' -o -type l -printf 'l %l %p\0' \) | sort -z | tr '\0' '\n' && find . -type f -not -path ./.mimeo-id -print0 | sort -z | xargs -0r openssl dgst -sha256 -r)
}
is_as() { # FILE NODE...
	local n
	for n in "${@:2}"; do
		state "$n" | cmp -s - "$1" || {
			state "$n" | diff "$1" -
			return 1
		}
	done
}
exits() { # CODE COMMAND...
	"${@:2}" 2>"$T/stderr"
	[ $? = "$1" ]
}
settled() { # everywhere, and all three say the same
	in_sync n1 n2 n3 && same_trees n1 n2 n3 && same_digests n1 n2 n3
}
connected() { # NODE COUNT
	[ "$(mimeo "$1" peers --json | jq '[.[] | select(.connected)] | length')" = "$2" ]
}
now() { # a time that lies between what was logged before and what will be
	local last
	last=$(mimeo n1 log --json | jq -rs 'map(.time) | max')
	until [ "$(date -u +%FT%T.%3NZ)" \> "$last" ]; do sleep 0.01; done
	date -u +%FT%T.%3NZ
	sleep 0.01
}
in_both() { # TEXT PATH
	[ "$(cat "$(media n1)/$2" "$(media n2)/$2")" = "$1"$'\n'"$1" ] && in_sync_but_n3
}
in_sync_but_n3() {
	mimeo n1 status --json 2>/dev/null | jq -e '.pending == 0 and (.peers[] | select(.name == "n2") | .pending == 0)'
}
acts() { # NODE JQ ARGS...: of a dry run
	mimeo "$1" "${@:3}" --dry-run --json 2>"$T/stderr" | jq -r "$2"
}

must "three nodes come up" "$lab" up "$T/lab" 3 guard.max_delete='1000000, 100%'
for n in n1 n2 n3; do
	check_soon "$n is connected with both others" connected $n 2
done
m=$(media n1)
mkdir -p "$m/d/sub" "$m/gone" "$m/was-dir"
echo "one" >"$m/d/edited"
echo "two" >"$m/d/sub/deleted"
echo "three" >"$m/d/renamed"
echo "four" >"$m/gone/x"
echo "five" >"$m/was-dir/y"
echo "six" >"$m/was-file"
echo "seven" >"$m/mode"
echo "eight" >"$m/kept"
printf 'nl' >"$m/a
b"
ln -s edited "$m/d/link"
chmod 640 "$m/mode"
head -c 300000 /dev/urandom >"$m/d/large"
check_soon "files are everywhere" settled
before=$(now)
state n1 >"$T/before"

# All that can happen to a path.
echo "one, spoiled" >"$m/d/edited"
rm "$m/d/sub/deleted" "$m/a
b"
mv "$m/d/renamed" "$m/d/new-name"
rm -r "$m/gone" "$m/was-dir" "$m/was-file"
echo "a file now" >"$m/was-dir"
mkdir "$m/was-file"
echo "in it" >"$m/was-file/z"
chmod 600 "$m/mode"
ln -sfn kept "$m/d/link"
mkdir "$m/added"
echo "added" >"$m/added/file"
head -c 200000 /dev/urandom >"$m/d/large"
check_soon "everything is changed everywhere" settled
after=$(now)
state n1 >"$T/after"

check "a dry run says what it would do" test "$(acts n3 '.[] | select(.path == "d/edited") | "\(.act) \(.state) \(.node) \(.size)"' restore --at "$before")" = "restore planned n1 4"
check "and which files would go" test "$(acts n2 '[.[] | select(.act == "delete") | .path] | sort | join(" ")' restore --at "$before")" = "added/file d/new-name was-file/z"
check "and changes nothing" is_as "$T/after" n1 n2 n3
check "of a subtree alone" test "$(acts n2 'map(.path) | join(" ")' restore --at "$before" added)" = "added added/file"

# On the node that wrote, which keeps nothing of it itself: it comes from the others.
check "one path alone" exits 0 mimeo n1 restore --at "$before" d/sub
check "its content is back" test "$(cat "$m/d/sub/deleted")" = two
check "and nothing else" test -e "$m/added/file"
check "everything" exits 0 mimeo n1 restore --at "$before"
check "is as it was" is_as "$T/before" n1
check_soon "on all nodes" is_as "$T/before" n2 n3
check_soon "and all agree" settled
check "again there is nothing to do" test "$(acts n2 length restore --at "$before")" = 0
check "on a node that did not write: the changes come back" exits 0 mimeo n3 restore --at "$after"
check_soon "everywhere" is_as "$T/after" n1 n2 n3
check_soon "and all agree" settled
check "and go again, from the third" exits 0 mimeo n2 restore --at "$before"
check_soon "everywhere" is_as "$T/before" n1 n2 n3
check_soon "and all agree" settled

# What one node did, and nothing else.
since=$(now)
h=$(media n2)
echo "hacked" >"$h/d/edited"
echo "hacked" >"$h/shell.php"
mkdir "$h/evil"
echo "hacked" >"$h/evil/more.php"
rm "$h/kept"
echo "hacked" >"$h/mode"
echo "hacked" >"$h/was-file"
check_soon "n2 does harm everywhere" settled
echo "mine" >"$(media n3)/good"
echo "repaired by hand" >"$(media n3)/mode"
check_soon "n3 goes on working" settled
check "an unknown node" exits 1 mimeo n1 undo --origin n7 --since "$since"
check "no time" exits 2 mimeo n1 undo --origin n2
check "no node" exits 2 mimeo n1 undo --since "$since"
check "not a time" exits 2 mimeo n1 restore --at soon
check "a time to come" exits 2 mimeo n1 restore --at 2999-01-01
check "a path that cannot be" exits 2 mimeo n1 restore --at "$since" ../x
check "what was written over since is listed" test "$(acts n1 '.[] | select(.state == "left") | "\(.path): \(.reason)"' undo --origin n2 --since "$since")" = "mode: somebody else wrote it since"
check "the rest would be changed" test "$(acts n1 '[.[] | select(.state == "planned") | .path] | sort | join(" ")' undo --origin n2 --since "$since")" = "d/edited evil evil/more.php kept shell.php was-file"
check "n2's work is taken back" exits 0 mimeo n1 undo --origin n2 --since "$since"
check "which is said in numbers" grep -q "6 changed, 1 left as they are, 0 cannot be found, 0 failed" "$T/stderr"
cp "$T/before" "$T/expected"
check "its files are gone" test ! -e "$m/shell.php" -a ! -e "$m/evil"
check "what it deleted is back" test "$(cat "$m/kept")" = eight
check "what it wrote is as before" test "$(cat "$m/d/edited" "$m/was-file")" = "$(printf 'one\nsix')"
check "what others did stays" test "$(cat "$m/good" "$m/mode")" = "$(printf 'mine\nrepaired by hand')"
state n1 >"$T/undone"
check_soon "so it is everywhere" is_as "$T/undone" n2 n3
check_soon "and all agree" settled
check "what was taken back is in the trash" test "$(mimeo n1 trash list shell.php --json | jq -r '.[].node')" = n2

# What nobody keeps any more is not guessed.
echo "first" >"$m/lost"
check_soon "a file" settled
then=$(now)
echo "second" >"$m/lost"
check_soon "replaced" settled
for n in n1 n2 n3; do
	id=$(mimeo $n trash list lost --json | jq -r '.[0].id // empty')
	[ -n "$id" ] && mimeo $n conflicts drop "$id" 2>/dev/null
done
check_soon "nobody keeps the first version" test "$(mimeo n1 trash list lost --json | jq length)" = 0
check "it cannot come back" exits 1 mimeo n1 restore --at "$then" lost
check "which is said" grep -q "1 cannot be found" "$T/stderr"
check "and nothing was done" test "$(cat "$m/lost")" = second

# A node that was away has a hole in its log: it does not take the version before for the one that
# it missed.
echo "seen" >"$m/hole"
check_soon "a file" settled
"$lab" stop "$T/lab" n3
echo "missed" >"$m/hole"
check_soon "a version that n3 does not see" in_both "missed" hole
missed=$(now)
echo "last" >"$m/hole"
check_soon "replaced at once" in_both "last" hole
"$lab" start "$T/lab" n3
check_soon "n3 is back" settled
check_soon "connected with n2 again too" connected n3 2
check "it learns of the version from who keeps it" test "$(acts n3 '.[] | "\(.act) \(.size) \(.state)"' restore --at "$missed" hole)" = "restore 7 planned"
check "n2 drops it" mimeo n2 conflicts drop "$(mimeo n2 trash list hole --json | jq -r '.[] | select(.size == 7).id')"
check "then it is missed, and nothing older is taken for it" test "$(acts n3 '.[] | "\(.state): \(.reason)"' restore --at "$missed" hole)" = "unknown: a version of that time is known to nobody any more"
check "n1, which wrote it, has only its record" test "$(acts n1 '.[] | "\(.state): \(.reason)"' restore --at "$missed" hole)" = "unknown: nobody who is connected keeps its content"
# After a compaction the log has only what is alive: what was replaced is known to those who keep it.
echo "replaced later" >"$m/deep"
echo "deleted later" >"$m/deep-gone"
check_soon "two files" settled
since=$(now)
echo "hacked" >"$h/deep"
rm "$h/deep-gone"
echo "hacked" >"$h/deep-new"
check_soon "n2 does harm everywhere" settled
cat >"$T/fill.py" <<'END'
# Empty files with names so long that a WAL is soon as large as it may become.
import os, sys
os.chdir(sys.argv[1])
for _ in range(14):
    os.makedirs(sys.argv[2] * 250)
    os.chdir(sys.argv[2] * 250)
for i in range(700):
    open('%0250d' % i, 'w').close()
END
for n in n1 n2 n3; do
	python3 "$T/fill.py" "$(media $n)" "${n#n}"
done
compacted() {
	local n
	for n in n1 n2 n3; do
		[ "$(od -A n -t u8 -j 24 -N 8 "$T/lab/$n/state/wal" | tr -d ' ')" -ge 2 ] || return 1
	done
}
check_soon "all logs are compacted" compacted
check_soon "and all agree" settled
rm "$T"/lab/n?/state/wal.prev # as the next compaction does
check "n2 knows nothing any more of what it replaced" test "$(mimeo n2 history deep --json | wc -l)" = 1
check "nor does its log" test "$(mimeo n2 log deep --json | wc -l)" = 1
check "it is taken back there all the same" exits 0 mimeo n2 undo --origin n2 --since "$since" deep deep-gone deep-new
check "with all three" grep -q "3 changed, 0 left as they are, 0 cannot be found, 0 failed" "$T/stderr"
check "what it replaced is back" test "$(cat "$h/deep")" = "replaced later"
check "what it deleted is back" test "$(cat "$h/deep-gone")" = "deleted later"
check "what it made is gone" test ! -e "$h/deep-new"
check_soon "everywhere" same_trees n1 n2 n3
check "before the log began" exits 0 mimeo n1 restore --at 2001-01-01 hole --dry-run
check "it is said since when it knows" grep -q "this node's log knows all versions only since 20" "$T/stderr"
done_testing
