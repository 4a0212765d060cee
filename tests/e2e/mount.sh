#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A root that is unmounted, replaced or emptied, and a subtree that is covered, delete nothing anywhere.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
if [ -z "${MIMEO_OWN_MOUNTS:-}" ]; then
	if [ "$(id -u)" != 0 ] || ! unshare --mount --propagation private true 2>/dev/null; then
		echo "1..0 # SKIP mounting needs root and a mount namespace"
		exit 0
	fi
	MIMEO_OWN_MOUNTS=1 exec unshare --mount --propagation private bash "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
need sshd jq

must "three nodes come up" "$lab" up "$T/lab" 3
# n1 gets a disk of its own: a root that is a mount, with work below it.
"$lab" stop "$T/lab" n1
disk=$T/lab/n1/disk
mkdir "$disk"
mv "$(media n1)/.mimeo-id" "$disk/"
sed -i "s|^work *=.*|work = $(media n1)/.mimeo|" "$T/lab/n1/mimeo.conf"
mount --bind "$disk" "$(media n1)" || exit 1
"$lab" start "$T/lab" n1
mkdir -p "$(media n1)/sub/deep"
for i in $(seq 30); do
	echo "$i" >"$(media n1)/f$i"
	echo "$i" >"$(media n1)/sub/deep/g$i"
done
all_there() { # NODE...
	local n
	for n; do
		[ "$(find "$(media "$n")" -path '*/.mimeo' -prune -o -type f -not -name .mimeo-id -print | wc -l)" = 60 ] || return 1
	done
}
exits() { # CODE COMMAND...
	"${@:2}" >/dev/null 2>&1
	[ $? = "$1" ]
}
halted() { # NODE
	exits 5 mimeo "$1" status
}
watcher_ended() { # NODE
	grep -q 'guard.halted' "$T/lab/$1/log/watcher.log" && ! kill -0 "$(cut -d' ' -f1 "$T/lab/$1/pid.watcher")" 2>/dev/null
}
check_soon "all files are everywhere" all_there n2 n3
check_soon "in sync" in_sync n1 n2 n3
before=$(records n2)

# A subtree is covered by another mount: what is below it is unknown, not gone.
mkdir "$T/empty"
mount --bind "$T/empty" "$(media n1)/sub"
mimeo n1 reload >/dev/null
echo probe >"$(media n1)/probe1"
check_soon "with a covered subtree the node goes on" test -s "$(media n2)/probe1"
rm "$(media n1)/probe1"
check_soon "the probe goes everywhere" bash -c "[ ! -e '$(media n2)/probe1' ] && [ ! -e '$(media n3)/probe1' ]"
check "what it covers is deleted nowhere" all_there n2 n3
umount "$(media n1)/sub"
check_soon "uncovered again, all are in sync" in_sync n1 n2 n3
before=$(records n2)

# The whole root is unmounted under the running daemons.
umount -l "$(media n1)"
check "the mount point is empty" bash -c "[ -z \"\$(ls -A '$(media n1)')\" ]"
check_soon "the agent is halted: exit code 5" halted n1
check "and says why" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' status 2>&1 | grep -q 'root .*:'"
check_soon "the watcher has ended, loudly" watcher_ended n1
echo elsewhere >"$(media n2)/elsewhere"
check_soon "the others go on" test -s "$(media n3)/elsewhere"
check "a watcher that is started now refuses with 5" exits 5 "$build/mimeo-watcher" -c "$T/lab/n1/mimeo.conf"
"$lab" stop "$T/lab" n1
check "so does an agent" exits 5 "$build/mimeo-agent" -c "$T/lab/n1/mimeo.conf"
check "nothing was deleted anywhere" bash -c "[ \$(find '$(media n2)' -type f -name '[fg][0-9]*' | wc -l) = 60 ] && [ \$(find '$(media n3)' -type f -name '[fg][0-9]*' | wc -l) = 60 ]"
check "no delete was logged" bash -c "[ $(records n2) -le $((before + 1)) ]"
rm -rf "$(media n1)/.mimeo"
mount --bind "$disk" "$(media n1)" || exit 1
"$lab" start "$T/lab" n1
check_soon "mounted again, it catches up" test -s "$(media n1)/elsewhere"
check_soon "all are in sync" in_sync n1 n2 n3

# Another directory in its place, with a marker of somebody else.
"$lab" stop "$T/lab" n1
mkdir "$T/other"
echo "mimeo 1 0123456789abcdef" >"$T/other/.mimeo-id"
mount --bind "$T/other" "$(media n1)"
check "another node's root is refused with 5" exits 5 "$build/mimeo-watcher" -c "$T/lab/n1/mimeo.conf"
check "by the agent too" exits 5 "$build/mimeo-agent" -c "$T/lab/n1/mimeo.conf"
umount "$(media n1)"
"$lab" start "$T/lab" n1
check_soon "with the right one all are in sync" in_sync n1 n2 n3

# Emptied while it runs, marker first: whatever a person or a program does next, nothing is deleted.
before=$(records n2)
rm "$(media n1)/.mimeo-id"
check_soon "without its marker the agent is halted" halted n1
rm -rf "$(media n1)/sub" "$(media n1)"/f* "$(media n1)/elsewhere"
check_soon "the watcher has ended" watcher_ended n1
echo more >"$(media n3)/more"
check_soon "the others go on" test -s "$(media n2)/more"
check "nothing was deleted" bash -c "[ \$(find '$(media n2)' -type f -name '[fg][0-9]*' | wc -l) = 60 ]"
check "no delete was logged" bash -c "[ $(records n2) -le $((before + 1)) ]"
"$lab" down "$T/lab"
umount -l "$(media n1)"
done_testing
