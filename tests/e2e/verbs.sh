#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What users and their scripts build on: verbs, options, exit codes, names in JSON, metrics, settings. On three real nodes.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2015,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq curl

gives() { # CODE NAME COMMAND...: that exit code; what was printed is in $T/said
	local want=$1 name=$2 got
	shift 2
	"$@" >"$T/said" 2>&1 </dev/null
	got=$?
	ok $((got != want)) "$name: exit code $want"
	[ "$got" = "$want" ] || {
		echo "# got $got"
		head -c 1000 "$T/said" | sed 's/^/# /'
	}
}
says() { # TEXT: the last one said so
	check "it says: $1" grep -qe "$1" "$T/said"
}
json_has() { # NODE FILTER-THAT-IS-TRUE VERB...
	mimeo "$1" "${@:3}" --json | jq -es "$2"
}
url() { # NODE PATH
	echo "http://$(cat "$T/lab/$1/http")$2"
}

# --- programs ---

for p in mimeo mimeo-agent mimeo-watcher dial attach; do
	gives 0 "$p --help" "$build/$p" --help
	says '^usage: '
	gives 0 "$p --version" "$build/$p" --version
	gives 2 "$p with an unknown option" "$build/$p" --nonsense
done
gives 2 "mimeo without a verb" "$build/mimeo"
gives 2 "an unknown verb" "$build/mimeo" nonsense

verbs='init check-config invite join key authorize authorized-keys leave forget status peers wait whohas explain log
	history pending errors conflicts trash verify pause resume put reload'
"$build/mimeo" --help >"$T/help"
for verb in $verbs; do
	grep -q "^  $verb " "$T/help" || check "--help lists $verb" false
	"$build/mimeo" "$verb" --help >"$T/said" && grep -q "^usage: mimeo .*$verb" "$T/said" && grep -q '^example: ' "$T/said" ||
		check "$verb --help, with an example" false
	"$build/mimeo" -c "$T/none" "$verb" --nonsense >"$T/said" 2>&1
	[ $? = 2 ] && grep -q 'no such option' "$T/said" || check "$verb refuses an option that it does not know" false
done
check "every verb has help, an example, and refuses what it does not know" test "$bad" = 0

# --- settings ---

mkdir -p "$T/solo/media"
gives 0 "init" "$build/mimeo" -c "$T/solo/mimeo.conf" init --name solo --root "$T/solo/media" --state "$T/solo/state" \
	--work "$T/solo/work" --address 127.0.0.1:1
gives 1 "init refuses to overwrite" "$build/mimeo" -c "$T/solo/mimeo.conf" init --name solo --root "$T/solo/media" --state "$T/solo/state"
gives 2 "init without a name" "$build/mimeo" -c "$T/solo/other.conf" init --root "$T/solo/media"
check "the state directory is nobody else's" test "$(stat -c %a "$T/solo/state")" = 700
check "the sample is commented" grep -q '^# ' "$T/solo/mimeo.conf"
gives 0 "check-config" "$build/mimeo" -c "$T/solo/mimeo.conf" check-config
cat >"$T/full.conf" <<END
[node]
name = solo
root = $T/solo/media
state = $T/solo/state
work = $T/solo/work
address = web1.example.com:22, [2001:db8::1]:22
[watch]
ignore = *.tmp, .DS_Store
ignore = cache/
settle = 500ms
rescan = 1h
[sync]
interval = 5s
rate_limit = 0
inline_max = 64K
delta_min = 1M
owner = inherit
[guard]
max_delete = 100, 10%
min_free = 1G
[trash]
keep = 30d
max_size = 10G
[store]
immutable = no
[scrub]
every = 30d
rate = 20M
[http]
listen = 127.0.0.1:9477
[hook]
applied = /bin/true
[log]
format = text
level = info
[ssh]
key = $T/solo/state/id_ed25519
known_hosts = $T/solo/state/known_hosts
[discovery]
serf = 127.0.0.1:7373
[peer web2]
address = web2.example.com:22
user = mimeo
END
gives 4 "all keys are taken; no agent answers" "$build/mimeo" -c "$T/full.conf" status
gives 4 "MIMEO_CONF names the configuration" env MIMEO_CONF="$T/full.conf" "$build/mimeo" status
gives 2 "-c comes before it" env MIMEO_CONF="$T/full.conf" "$build/mimeo" -c "$T/none.conf" status
says 'none.conf: cannot open.*mimeo init.* -c names another'
refuses() { # LINE PATTERN TEXT: each program, in one line with file and line
	local p
	sed "s|$2|$3|" "$T/full.conf" >"$T/bad.conf"
	for p in "mimeo -c $T/bad.conf status" "mimeo-agent -c $T/bad.conf" "mimeo-watcher -c $T/bad.conf"; do
		# shellcheck disable=SC2086
		"$build"/$p >"$T/said" 2>&1 </dev/null
		[ $? = 2 ] && grep -q "$T/bad.conf:$1: " "$T/said" && [ "$(grep -c . "$T/said")" = 1 ] || {
			cat "$T/said"
			return 1
		}
	done
}
line() { # of a key
	grep -n "^$1 = " "$T/full.conf" | cut -d: -f1
}
check "an unknown key is refused by all" refuses "$(line settle)" '^settle = ' 'settel = '
check "an unknown section" refuses "$(grep -n '^.scrub' "$T/full.conf" | cut -d: -f1)" '^.scrub.' '[scrubs]'
check "a bad unit" refuses "$(line keep)" '^keep = 30d' 'keep = 30x'
check "a bad switch" refuses "$(line immutable)" '^immutable = no' 'immutable = maybe'
check "a bad name" refuses "$(line name)" '^name = solo' 'name = So_lo'
check "a duplicate" refuses "$(($(line rescan)))" '^rescan = 1h' 'settle = 1s'

# --- a daemon of our own: signals and exit codes ---

sed -i -e '/^ *\(listen\|min_free\) *=/d' -e '/^\[http\]/a listen =' -e '/^\[guard\]/a min_free = 0' "$T/solo/mimeo.conf"
solo() {
	"$build/mimeo" -c "$T/solo/mimeo.conf" "$@"
}
"$build/mimeo-agent" -c "$T/solo/mimeo.conf" 2>"$T/agent.log" </dev/null &
agent=$!
answers() {
	solo peers
}
check_soon "an agent runs without a watcher" answers
"$build/mimeo-watcher" -c "$T/solo/mimeo.conf" 2>"$T/watcher.log" </dev/null &
watcher=$!
solo_in_sync() {
	solo status
}
[ "$bad" = 0 ] || done_testing
[ "$bad" = 0 ] || exit 1
check_soon "in sync, alone" solo_in_sync
cp "$T/solo/mimeo.conf" "$T/solo/good.conf"
echo 'nonsense' >>"$T/solo/mimeo.conf"
kill -HUP "$agent" "$watcher"
check_soon "SIGHUP: the agent refuses a bad configuration" grep -q 'error reload.refused' "$T/agent.log"
check_soon "and the watcher" grep -q 'error reload.refused' "$T/watcher.log"
cp "$T/solo/good.conf" "$T/solo/mimeo.conf"
gives 0 "and both go on: reload" solo reload
check_soon "the agent takes a good one" grep -q 'info reload.done' "$T/agent.log"
check_soon "and the watcher" grep -q 'info reload.done' "$T/watcher.log"
mv "$T/solo/media/.mimeo-id" "$T/marker"
halted() {
	solo status >"$T/said" 2>&1
	[ $? = 5 ]
}
check_soon "halted without its marker: exit code 5" halted
check "and that is its state" bash -c "'$build/mimeo' -c '$T/solo/mimeo.conf' status --json 2>/dev/null | jq -e '.state == \"halted\"'"
wait "$watcher"
ok $(($? != 5)) "the watcher ends with 5"
gives 0 "init --marker puts it back" solo init --marker
check "as it was" cmp "$T/marker" "$T/solo/media/.mimeo-id"
"$build/mimeo-watcher" -c "$T/solo/mimeo.conf" 2>>"$T/watcher.log" </dev/null &
watcher=$!
check_soon "with it, both go on" solo_in_sync
kill -TERM "$agent"
wait "$agent"
ok $? "SIGTERM: the agent ends with 0"
kill -TERM "$watcher"
wait "$watcher"
ok $? "and the watcher"

# --- three nodes ---

must "three nodes come up" "$lab" up "$T/lab" 3
n1=$(media n1)
mkdir "$n1/dir"
echo one >"$n1/dir/a.txt"
gives 0 "wait for a path" mimeo n1 wait dir/a.txt
check "it is there" cmp "$n1/dir/a.txt" "$(media n2)/dir/a.txt"
check "on both" cmp "$n1/dir/a.txt" "$(media n3)/dir/a.txt"
gives 0 "wait for an absolute path, on one, with a limit" mimeo n1 wait "$n1/dir/a.txt" --peers 1 --timeout 30s
gives 0 "a number alone is seconds" mimeo n1 wait --timeout 30 --peers all
gives 2 "a bad time" mimeo n1 wait --timeout soon
gives 2 "a bad number of members" mimeo n1 wait --peers two
gives 1 "wait for what nobody knows" mimeo n1 wait nowhere

gives 0 "status" mimeo n1 status
check "no colours in a pipe" bash -c "! grep -q $'\\033' '$T/said'"
check "status --json" json_has n1 '.[0] | (.node == "n1") and (.root | startswith("/")) and (.work | startswith("/")) and (.state == "ok")
	and ([.files, .bytes, .pending, .held, .lag_seconds, .errors, .conflicts] | all(type == "number")) and (.digest | type == "string")
	and (.vector | type == "object") and (.scan | (.running | type == "boolean") and ([.done, .total] | all(type == "number")))' status
check "its peers" json_has n1 '.[0].peers | length == 2 and all(.[]; (.name | type == "string") and (.address | type == "string")
	and (.state | test("^(alive|suspect|dead)$")) and .connected == true and ([.pending, .lag_seconds, .rtt_ms, .clock_offset_seconds] | all(type == "number"))
	and (.last_error | type == "string"))' status
check "peers --json" json_has n1 '.[0] | map(.name) | sort == ["n2", "n3"]' peers
gives 0 "peers" mimeo n1 peers
says 'NAME .*ADDRESS .*STATE .*LAST CONTACT .*RTT ms .*LACKS'
gives 0 "whohas" mimeo n1 whohas dir/a.txt
check "whohas --json: each member has it" json_has n1 '.[0] | length == 3 and all(.[]; .state == "applied" and (.version | type == "string")
	and (.hash | length == 64) and has("last_error"))' whohas dir/a.txt
gives 1 "whohas of what nobody knows" mimeo n1 whohas nowhere
gives 2 "whohas of nothing" mimeo n1 whohas
gives 0 "explain" mimeo n1 explain dir/a.txt
gives 1 "explain of what nobody knows" mimeo n1 explain nowhere
gives 1 "explain of what is ignored" mimeo n1 explain x.tmp
says 'ignored by configuration'

ln -s a.txt "$n1/dir/link"
ln -s a.txt "$n1/dir/stays"
mkdir "$n1/dir/sub"
echo one >"$n1/dir/b.txt"
gives 0 "wait" mimeo n1 wait
echo more >>"$n1/dir/b.txt"
chmod 600 "$n1/dir/a.txt"
rm "$n1/dir/link"
mkdir "$n1/gone"
gives 0 "wait" mimeo n1 wait
rmdir "$n1/gone"
printf 'x' >"$n1/"$'not\xffutf8'
gives 0 "wait" mimeo n1 wait
check "log --json has every kind of record, one object a line" json_has n1 '(map(.op) | unique == ["add", "delete", "edit", "meta", "mkdir", "rmdir", "symlink"])
	and all(.[]; (.time | test("^20..-..-..T..:..:..[.]...Z$")) and .node == "n1" and (.origin | length == 16) and (.seq > 0)
	and has("hash") and has("size") and (has("path") != has("path_b64")))' log
check "what is not UTF-8 is in base64" json_has n1 'any(.[]; .path_b64 == "bm90/3V0Zjg=")' log
check "oldest first" json_has n1 'map(.time) | . == sort' log
check "log of a directory is of what is below" json_has n1 'length > 3 and all(.[]; .path | startswith("dir"))' log dir
check "history of a path" json_has n1 'all(.[]; .path == "dir/a.txt") and (last | .op == "meta" and .hash != "" and .size == 4)' history dir/a.txt
gives 2 "history of nothing" mimeo n1 history
echo 'other text' >"$n1/told"
gives 0 "wait" mimeo n1 wait
echo 'one more' >"$n1/told"
gives 0 "wait" mimeo n1 wait
check "history has what was superseded" json_has n1 'map(.op) == ["add", "edit"] and map(.size) == [11, 9] and map(.head) == [false, true]' history told
check "log of a path too" json_has n1 'map(.op) == ["add", "edit"]' log told
check "log of everything too" json_has n1 'map(select(.path == "told") | .op) == ["add", "edit"]' log
check "log --limit: the last ones" json_has n1 'map(.op) == ["edit"] and .[0].path == "told"' log --limit 1
check "log --since" json_has n1 '. == []' log --since 2099-01-01
check "log --since an hour ago: all of it" json_has n1 'length > 5 and map(.time) == (map(.time) | sort)' log --since 1h
gives 2 "log --since what is no time" mimeo n1 log --since sometime
gives 2 "log --limit of what is no number" mimeo n1 log --limit few
gives 0 "log for people" mimeo n1 log --limit 1
says '^TIME .*NODE .*OP .*SIZE .*HASH .*PATH'
says ' n1 .* edit .* told$'
rm "$n1/told"
mimeo n1 log --follow --limit 0 >"$T/people" </dev/null &
people=$!
mimeo n1 log --follow --json >"$T/follow" </dev/null &
follow=$!
echo followed >"$n1/followed.txt"
check_soon "log --follow tells what comes" grep -q '"path":"followed.txt"' "$T/follow"
tells_people() {
	date +%N >"$n1/people.txt"
	grep -q ' people.txt$' "$T/people"
}
check_soon "for people too" tells_people
check "with --limit 0 nothing of before" bash -c "! grep -q 'edit .* told' '$T/people'"
kill "$follow" "$people"

gives 0 "pending" mimeo n1 pending
check "pending --json" json_has n1 '.[0] == []' pending
gives 0 "errors" mimeo n1 errors
check "errors --json" json_has n1 '.[0] | type == "array" and all(.[]; has("time") and has("peer") and has("reason") and has("path") and has("text"))' errors

# --- reload: never a signal to whoever has the number of a watcher that died ---
before=$(grep -c reload.done "$T/lab/n3/log/watcher.log")
gives 0 "reload" mimeo n3 reload
check_soon "the watcher reads its configuration" bash -c "[ \$(grep -c reload.done '$T/lab/n3/log/watcher.log') -gt $before ]"
"$lab" kill "$T/lab" n3 watcher
sleep 1000 &
bystander=$!
said=$(find "$T/lab/n3" -name watcher.json)
sed -i "s/\"pid\":[0-9]*/\"pid\":$bystander/" "$said"
check "its number is another process's" grep -q "\"pid\":${bystander}[^0-9]" "$said"
gives 0 "reload without a watcher" mimeo n3 reload
check "says so" bash -c "'$build/mimeo' -c '$T/lab/n3/mimeo.conf' reload 2>&1 | grep -q 'mimeo-watcher does not run'"
check "the other process lives" kill -0 "$bystander"
kill "$bystander"
"$lab" start "$T/lab" n3 watcher
check_soon "the watcher is back" in_sync n1 n2 n3

# --- pause, time-out, conflicts ---

gives 0 "pause" mimeo n3 pause
check "paused is a state" json_has n3 '.[0].state == "paused"' status
echo while-paused >"$n1/paused.txt"
gives 3 "wait: n3 does not take it" mimeo n1 wait --timeout 1s paused.txt
says n3
gives 3 "status is not in sync" mimeo n1 status
gives 0 "on one other it is durable" mimeo n1 wait --peers 1 paused.txt
check_soon "n3 lists what waits" json_has n3 '.[0] | any(.[]; .path == "paused.txt" and has("reason") and has("retry_in_ms"))' pending
check "whohas tells" json_has n1 '.[0] | any(.[]; .node == "n3" and .state == "pending")' whohas paused.txt
check "explain tells who lacks it" json_has n1 '.[0][0].lacking == ["n3"]' explain paused.txt
echo from n3 >"$(media n3)/both.txt"
gives 0 "it logs what is written here all the same" mimeo n3 wait --timeout 30s both.txt
gives 2 "resume with a word that it does not know" mimeo n3 resume --accept-delete
gives 0 "resume" mimeo n3 resume
gives 0 "resume --accept-deletes" mimeo n3 resume --accept-deletes
check_soon "all in sync" in_sync n1 n2 n3

"$lab" cut "$T/lab" n1 n2
"$lab" cut "$T/lab" n1 n3
echo from n1 longer >"$n1/both.txt"
check_soon "n1 logs its edit" json_has n1 'any(.[]; .node == "n1")' history both.txt
echo from n2 >"$(media n2)/both.txt"
check_soon "n2 logs its edit" json_has n2 'any(.[]; .node == "n2")' history both.txt
"$lab" heal "$T/lab" n1 n2
"$lab" heal "$T/lab" n1 n3
check_soon "all in sync" in_sync n1 n2 n3
check_soon "conflicts --json" json_has n1 '.[0] | length == 1 and all(.[]; .path == "both.txt" and (.id | length > 0) and (.time | type == "string")
	and (.node | test("^n[12]$")) and (.size > 0) and (.hash | length == 64) and .expires == null and .here == true)' conflicts
gives 0 "conflicts" mimeo n1 conflicts
id=$(mimeo n1 conflicts --json | jq -r '.[0].id')
gives 2 "conflicts restore without an id" mimeo n1 conflicts restore
gives 2 "a word that is no verb of conflicts" mimeo n1 conflicts keep "$id"
gives 0 "conflicts restore ID TO" mimeo n1 conflicts restore "$id" loser.txt
check_soon "all in sync" in_sync n1 n2 n3
check "it is beside the winner" test -s "$(media n2)/loser.txt"
gives 0 "conflicts drop ID" mimeo n1 conflicts drop "$id"
gives 1 "only once" mimeo n1 conflicts drop "$id"

# --- trash ---

rm "$n1/loser.txt"
gives 0 "wait for a delete" mimeo n1 wait
check_soon "trash list --json" json_has n2 '.[0] | any(.[]; .path == "loser.txt" and (.id | length > 0) and (.time | type == "string") and has("node")
	and (.size > 0) and (.hash | length == 64) and (.expires | type == "string") and (.here | type == "boolean"))' trash list
gives 0 "trash list PATH" mimeo n2 trash list loser.txt
says loser.txt
gives 2 "trash alone" mimeo n1 trash
gives 1 "trash restore of what is not kept" mimeo n1 trash restore nowhere
gives 2 "a bad time" mimeo n1 trash restore loser.txt --at yesterday-ish
gives 1 "nothing is from before that time" mimeo n1 trash restore loser.txt --at '2001-01-01 00:00'
gives 0 "trash restore" mimeo n2 trash restore loser.txt
check_soon "it is back on all" test -s "$n1/loser.txt" -a -s "$(media n3)/loser.txt"
check "what is kept lies in work" test -d "$T/lab/n1/.mimeo-media/kept" -a -d "$T/lab/n1/.mimeo-media/stage"
check "below the root lies nothing of ours but the marker" test "$(find "$n1" -name '.mimeo*' -printf '%P\n')" = .mimeo-id

# --- verify, put, membership ---

check_soon "all in sync" in_sync n1 n2 n3
gives 0 "verify" mimeo n1 verify
check "verify --json" json_has n1 '.[0] == []' verify
printf 'picture' >"$T/pic.jpg"
hash=$(printf 'picture' | openssl dgst -sha256 -r | cut -c1-64)
check "put prints the path" test "$(mimeo n1 put "$T/pic.jpg")" = "${hash:0:2}/$hash/pic.jpg"
check "put under another name" test "$(mimeo n1 put "$T/pic.jpg" other.jpg)" = "${hash:0:2}/$hash/other.jpg"
check "read-only" test "$(stat -c %A "$n1/${hash:0:2}/$hash/pic.jpg" | tr -d 'rx-')" = ''
gives 1 "put of what is not there" mimeo n1 put "$T/none"
gives 2 "put of nothing" mimeo n1 put

check "key: name, address, user, user key, host key" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' key | grep -qE '^mimeo1 n1 127[.]0[.]0[.]1:[0-9]+ [a-z_][a-z0-9_-]* ssh-ed25519 [A-Za-z0-9+/=]+ ssh-ed25519 [A-Za-z0-9+/=]+$'"
gives 0 "authorize --list" mimeo n1 authorize --list
check "authorize --list --json" json_has n1 '.[0] | map(.name) | sort == ["n1", "n2", "n3"]' authorize --list
gives 1 "authorize of what is no line" mimeo n1 authorize nonsense
gives 2 "authorize --remove of nobody" mimeo n1 authorize --remove
gives 1 "authorize --remove of one who is no member" mimeo n1 authorize --remove n9
gives 0 "authorized-keys" mimeo n1 authorized-keys "$(id -un)"
says '^restrict,command="'
gives 0 "invite" mimeo n1 invite --ttl 10m
gives 2 "invite with a bad time" mimeo n1 invite --ttl never
gives 2 "join without its -" mimeo n1 join
gives 2 "join without an invitation" mimeo n1 join -
gives 2 "forget of nobody" mimeo n1 forget
gives 1 "forget of one who is no member" mimeo n1 forget n9

# --- HTTP ---

curl -sS "$(url n1 /sync/metrics)" >"$T/metrics"
for name in 'sync_lag_seconds{peer="n2"}' 'pending_changes_total{peer="n3"}' 'sync_errors_total{peer="n2",reason="[a-z]*"}'; do
	check "metric $name" grep -q "^$name [0-9.]*$" "$T/metrics"
done
check "all others begin with mimeo_" bash -c "! grep -v -e '^#' -e '^mimeo_' '$T/metrics' | grep -v -e '^sync_lag_seconds{' -e '^pending_changes_total{' -e '^sync_errors_total{'"
check "no path is in a label" bash -c "! grep -q 'txt' '$T/metrics'"
check "_total is on counters only, but for the given one" bash -c "! awk '\$2 == \"TYPE\" && \$3 != \"pending_changes_total\" && ((\$3 ~ /_total\$/) != (\$4 == \"counter\"))' '$T/metrics' | grep ."
for path in /healthz /readyz /sync/status / /media/dir/a.txt; do
	check "GET $path" curl -sSf -o "$T/got" "$(url n1 $path)"
	check "HEAD $path" curl -sSfI -o "$T/got" "$(url n1 $path)"
done
check "the status page is one page of HTML" bash -c "curl -sS '$(url n1 /)' | grep -qi '<!doctype html'"
check "GET /sync/status is what status prints" bash -c "curl -sS '$(url n1 /sync/status)' | jq -e '.node == \"n1\" and .state == \"ok\"'"

# --- going ---

gives 0 "forget" mimeo n1 forget n3
check_soon "n3 is no member for n2 either" json_has n2 '.[0] | map(.name) == ["n1"]' peers
gives 0 "leave" mimeo n2 leave
check_soon "n1 is alone" json_has n1 '.[0] == []' peers
"$lab" stop "$T/lab" n1 agent
gives 4 "no agent" mimeo n1 status
gives 4 "for wait too" mimeo n1 wait
gives 0 "without an agent the members can be listed" mimeo n1 authorize --list
check "as JSON too" json_has n1 '.[0] | map(.name) == ["n1"]' authorize --list
done_testing
