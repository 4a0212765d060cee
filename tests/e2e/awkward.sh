#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Many files of real sizes, large ones, and names that break things: all arrive byte for byte, with modes and times.
# FILES and LARGE_MB set how many (make torture: 20000 and 2048).
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3
FILES=${FILES:-5000}
LARGE_MB=${LARGE_MB:-512}
WAIT_S=${WAIT_S_LONG:-300}

must "three nodes come up" "$lab" up "$T/lab" 3
python3 "$top/tests/e2e/tree.py" "$(media n1)" "$FILES" "$LARGE_MB" | sed 's/^/# /'
check_soon "everything arrives" in_sync n1 n2 n3
check "byte for byte, with modes, times, links, empty directories" same_trees n1 n2 n3
check "digests are equal" same_digests n1 n2 n3
check "nothing is left in a stage" bash -c "[ -z \"\$(ls -A '$T'/lab/n*/.mimeo-media/stage | grep -v :)\" ]"
mv "$(media n2)/names" "$(media n2)/renamed names"
rm -r "$(media n3)/tree/01"?
check_soon "a rename and deletes of them arrive" in_sync n1 n2 n3
check "trees are equal" same_trees n1 n2 n3
done_testing
