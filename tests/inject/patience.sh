#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What cannot be done now is not the end: a root that cannot be looked at is looked at again and nothing is logged until
# then; a displaced file for which the store has no room keeps its intent open until there is.
# shellcheck source=tests/inject/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq openssl

runs() { # SHORT: as the process that ran at first
	[ "$(cut -d' ' -f1 "$T/lab/n1/pid.$1")" = "${pid[$1]}" ] && kill -0 "${pid[$1]}"
}

must "three nodes come up under the preloaded library" injected_lab 3
declare -A pid
for short in watcher agent; do
	pid[$short]=$(cut -d' ' -f1 "$T/lab/n1/pid.$short")
done

# The marker cannot be read.
plan n1 mimeo-watcher fail 1 open EIO always "$(media n1)/.mimeo-id"
check_soon "the root is looked at" hit n1 mimeo-watcher
echo waits >"$(media n1)/waits"
check_soon "it is said that it cannot be" grep -q guard.unsure "$T/lab/n1/log/watcher.log"
echo other >"$(media n2)/other"
check_soon "what others write comes all the same" test -s "$(media n1)/other"
check "nothing is logged" test -z "$(mimeo n1 log --json waits 2>/dev/null)"
mimeo n1 status >"$T/status" 2>&1
check "that is not in sync" test $? = 3
check "the watcher goes on" runs watcher
plan n1 mimeo-watcher count
check_soon "once it can be read, what was written is logged" test -s "$(media n2)/waits"

# No room for a name in the store.
put "$(media n1)/doc" 3000
check_soon "a file is everywhere" converged
plan n1 mimeo-agent fail 1 names ENOSPC always "$T/lab/n1/.mimeo-media/kept"
put "$(media n2)/doc" 4000
check_soon "the store has no room" hit n1 mimeo-agent
check_soon "it is said" grep -q 'apply.stuck.*step=keep' "$T/lab/n1/log/agent.log"
check "the new version is there" cmp "$(media n1)/doc" "$(media n2)/doc"
mimeo n1 pending --json >"$T/pending"
check "it is pending, with the reason" grep -q '"path":"doc".*no room' "$T/pending"
echo on >"$(media n2)/on"
check_soon "other paths go on" test -s "$(media n1)/on"
check "the agent goes on" runs agent
plan n1 mimeo-agent count
check_soon "once there is room, all get in sync" converged

# Killed while it is stuck; a user writes meanwhile; then there is no room either. At each start it tries what it needs
# in the store: those calls succeed.
kept=$T/lab/n1/.mimeo-media/kept/
"$lab" stop "$T/lab" n1 agent
plan n1 mimeo-agent fail 1000000 names ENOSPC always "$kept"
start_injected n1 agent
check_soon "it starts" converged
tries=$(calls n1 mimeo-agent)
plan n1 mimeo-agent fail 1 names ENOSPC always "$kept"
put "$(media n2)/doc" 5000
check_soon "stuck again" hit n1 mimeo-agent
check_soon "with the new version in its place" cmp "$(media n1)/doc" "$(media n2)/doc"
"$lab" kill "$T/lab" n1 agent
put "$T/moved" 6000
mv "$T/moved" "$(media n1)/doc"
plan n1 mimeo-agent fail $((tries + 1)) names ENOSPC always "$kept"
start_injected n1 agent
check_soon "it does not go on without a place for what was displaced" grep -q 'fatal.*cannot be put in order.*ENOSPC' \
	"$T/lab/n1/log/agent.log"
check "which is still in the stage" test -n "$(ls "$T/lab/n1/.mimeo-media/stage")"
plan n1 mimeo-agent count
start_injected n1 agent
check_soon "once there is room, all get in sync" converged
check "no content was lost" nothing_lost
done_testing
