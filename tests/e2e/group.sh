#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Members of the control socket's group may ask, and change nothing.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq setpriv
[ "$(id -u)" = 0 ] || {
	echo "1..0 # SKIP only root can be somebody else"
	exit 0
}

other() { # ARGS...: as a member of the group that is not the agent's user
	setpriv --reuid 65534 --regid "$(id -g)" --clear-groups "$build/mimeo" -c "$T/lab/n1/mimeo.conf" "$@"
}
refused() { # ARGS...
	other "$@" >"$T/out" 2>&1
	[ $? = 1 ] && grep -q "only root and the agent's own user" "$T/out"
}

mkdir -m 750 "$T/run"
must "a node comes up" "$lab" up "$T/lab" 1 node.run="$T/run"
chmod 711 "$T" "$T/lab" "$T/lab/n1"
chmod 644 "$T/lab/n1/mimeo.conf"
setpriv --reuid 65534 --regid "$(id -g)" --clear-groups test -x "$build/mimeo" || {
	cp "$build/mimeo" "$T/mimeo"
	build=$T
}
echo one >"$(media n1)/a"
check_soon "it is in sync" in_sync n1
for verb in status peers pending errors log conflicts "trash list" "explain a" "whohas a" top; do
	# shellcheck disable=SC2086
	check "may ask: $verb" other $verb
done
for verb in pause resume reload "forget n2" "conflicts drop 00000000000000aa-1" "conflicts restore 00000000000000aa-1" "trash restore a" "restore --at 1s" "undo --origin n1 --since 1s"; do
	# shellcheck disable=SC2086
	check "may not: $verb" refused $verb
done
done_testing
