#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Content-addressed paths keep their content: what is altered under the name of its hash is put back from here or from a peer, and kept.
# IMMUTABLE_FILES: how many are put on three nodes at once at the end (90); a tenth of them is altered, and a tenth deleted.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq openssl python3

many=${IMMUTABLE_FILES:-90}
must "three nodes come up" "$lab" up "$T/lab" 3 store.immutable=yes "guard.max_delete=$many, 50%"
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

# --- many, on three nodes at once ---

cat >"$T/many.py" <<'END'
# put ROOT FIRST LAST: files under the names of their hashes, some of a few bytes and some of many
# alter ROOT FIRST LAST: every tenth, in three ways; delete: every tenth, others
# check ROOT COUNT: each file has the content that its path says, but for the deleted ones that are gone
import hashlib, os, sys
def content(i):
    return (b'picture %d ' % i) * (1 if i % 3 else 3000)
def path(root, i):
    h = hashlib.sha256(content(i)).hexdigest()
    return os.path.join(root, h[:2], h, 'pic-%d.jpg' % i)
def put(root, i, data):
    to = path(root, i)
    os.makedirs(os.path.dirname(to), exist_ok=True)
    new = '%s/%d.tmp' % (root, i)
    with open(new, 'wb') as f:
        f.write(data)
    os.rename(new, to)
what, root = sys.argv[1:3]
if what == 'check':
    bad = 0
    for i in range(int(sys.argv[3])):
        try:
            with open(path(root, i), 'rb') as f:
                good = f.read() == content(i) and i % 10 != 5
        except FileNotFoundError:
            good = i % 10 == 5
        if not good:
            bad += 1
            print('wrong:', path(root, i))
    sys.exit(bad > 0)
for i in range(int(sys.argv[3]), int(sys.argv[4])):
    if what == 'put':
        put(root, i, content(i))
    elif what == 'delete' and i % 10 == 5:
        os.unlink(path(root, i))
    elif what == 'alter' and i % 10 == 2:
        if i % 30 == 2:
            put(root, i, b'replaced %d' % i)
        else:
            os.chmod(path(root, i), 0o644)
            with open(path(root, i), 'ab' if i % 30 == 12 else 'wb') as f:
                f.write(b'altered %d' % i)
END
# shellcheck disable=SC2017
third=$((many / 30 * 10))
many=$((third * 3))
at_once() { # WHAT: a third of the files on each node, all nodes together
	local n pids=
	for n in 1 2 3; do
		python3 "$T/many.py" "$1" "$(media "n$n")" $(((n - 1) * third)) $((n * third)) &
		pids="$pids $!"
	done
	for n in $pids; do
		wait "$n" || return 1
	done
}
altered() { # what all nodes counted
	local n
	for n in n1 n2 n3; do
		curl -sS "http://$(cat "$T/lab/$n/http")/sync/metrics"
	done | awk '/^sync_errors_total{.*reason="altered"/ { n += $2 } END { print n + 0 }'
}
kept() { # the altered versions that a node kept
	local n
	for n in n1 n2 n3; do
		find "$T/lab/$n/.mimeo-media/kept" -type f -print0 | xargs -0 grep -laE "^(picture.*)?(altered|replaced) [0-9]+$" | wc -l
	done | awk '{ n += $1 } END { print n }'
}
before=$(altered)
SECONDS=0
check "$many files are put on three nodes at once" at_once put
check_soon "all are in sync" in_sync n1 n2 n3
echo "# $SECONDS s"
check "every tenth is altered on its node, all nodes at once" at_once alter
all_right() { # but for what is to be deleted
	local n
	for n in n1 n2 n3; do
		mimeo "$n" verify >"$T/verify.$n" || return 1
	done
}
put_back() {
	[ "$(($(altered) - before))" -ge $((many / 10)) ] && in_sync n1 n2 n3
}
check_soon "each is put back, and counted" put_back
check "verify finds no difference on any node" all_right
echo "# $SECONDS s, $(($(altered) - before)) counted for $((many / 10)) altered"
check "each alteration is kept" test "$(kept)" -ge $((many / 10))
check "every tenth is deleted on its node, all nodes at once" at_once delete
check_soon "all are in sync" in_sync n1 n2 n3
for n in n1 n2 n3; do
	check_soon "$n has all that were not deleted, each with its content" python3 "$T/many.py" check "$(media $n)" "$many"
done
check "trees are equal" same_trees n1 n2 n3
check "digests too" same_digests n1 n2 n3
echo "# $SECONDS s"
done_testing
