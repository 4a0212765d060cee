#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Checks that conf/EVENTS.md has each event that the daemons log, with its level and its fields, and no other. Speaks TAP.

set -euo pipefail
cd "${top_srcdir:-.}"
count=0 failed=0

# Each LOG call on a line of its own: "event levels fields...", the levels without LOG_. Calls whose event is a variable are
# the WAL's notes (but for wal.torn, which has calls of its own) and those of scout.c, which warn.
calls() {
	find agent watcher -name '*.c' ! -path 'agent/cmd/*' -print0 | sort -z | xargs -0 cat | tr -s '\n\t' '  ' |
		grep -oP '\bLOG\((?:[^;"]|"(?:[^"\\]|\\.)*")*;' | while read -r call; do
		event=$(grep -oE 'LOG_(ERROR|WARN|INFO|DEBUG), "[a-z.]+"' <<<"$call" | grep -oE '"[a-z.]+"' |
			tr -d '"') || continue
		levels=$(grep -oE 'LOG_(ERROR|WARN|INFO|DEBUG)\b' <<<"$call" | sed 's/LOG_//' | tr '[:upper:]' '[:lower:]' | tr '\n' ',')
		fields=$(grep -oE 'log_[sbiu]\( ?"[a-z_]+"|log_err\(' <<<"$call" | sed -E 's/log_err\(/error/; s/.*"([a-z_]+)"/\1/' | tr '\n' ' ') || true
		echo "$event $levels $fields"
	done
	tr -s '\n\t' '  ' <agent/scout.c | grep -oE '\bcomplain\(s, "[a-z.]+"' | sed -E 's/.*"(.*)"/\1 warn, at name/'
	tr -s '\n\t' '  ' <proto/wal.c | grep -oE '\bnote\(w, "[a-z.]+"' | sed -E 's/.*"(.*)"/\1 warn,/' | sed '/^wal.torn /d'
}

# The rows of the document's tables in the same form; one event may have a row for each daemon.
rows() {
	awk -F '|' '/^\| `/ {
		n = split($2, name, ",")
		for (i = 1; i <= n; i++) {
			gsub(/[ `]/, "", name[i])
			gsub(/ /, "", $3)
			gsub(/,/, " ", $4)
			print name[i], $3 ",", $4
		}
	}' conf/EVENTS.md
}

result() { # STATUS NAME
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		failed=1
	fi
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
calls | sort -u >"$scratch/calls"
rows | sort -u >"$scratch/rows"

while read -r event; do
	in_code=$(awk -v e="$event" '$1 == e' "$scratch/calls")
	in_doc=$(awk -v e="$event" '$1 == e' "$scratch/rows")
	why=
	[ -n "$in_code" ] || why="nobody logs it"
	[ -n "$in_doc" ] || why="it has no row"
	if [ -z "$why" ]; then
		for level in $(cut -d' ' -f2 <<<"$in_code" | tr ',' ' '); do
			cut -d' ' -f2 <<<"$in_doc" | grep -qE "(^|,)$level," || why="its level $level is not in the document"
		done
		said=$(cut -d' ' -f3- <<<"$in_code" | tr ' ' '\n' | sort -u)
		told=$(cut -d' ' -f3- <<<"$in_doc" | tr ' ' '\n' | sort -u)
		[ "$(tr -d '\n' <<<"$said")" = "$(tr -d '\n' <<<"$told")" ] ||
			why="its fields are ${said//$'\n'/ }, the document says ${told//$'\n'/ }"
	fi
	result "$([ -z "$why" ]; echo $?)" "$event${why:+: $why}"
done < <(cut -d' ' -f1 "$scratch/calls" "$scratch/rows" | sort -u)

# Nothing that looks like an event escapes the search above.
while read -r event; do
	result "$(cut -d' ' -f1 "$scratch/calls" | grep -qx "$event"; echo $?)" "found where it is logged: $event"
done < <(find agent watcher -name '*.c' ! -path 'agent/cmd/*' ! -name page.c -print0 | xargs -0 cat proto/wal.c |
	grep -v '#include\|"wal\.prev"' | grep -oE '"(start|stop|fatal|[a-z]+\.[a-z]+)"' | tr -d '"' | sort -u)
echo "1..$count"
exit "$failed"
