#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# HTTP of real nodes: health, readiness, status, metrics; what is refused; garbage leaves it standing.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq curl python3

url() { # NODE PATH
	echo "http://$(cat "$T/lab/$1/http")$2"
}
get() { # NODE PATH [CURL ARGUMENT ...]
	curl -sS --max-time 20 "$(url "$1" "$2")" "${@:3}"
}
code() { # NODE PATH CODE [CURL ARGUMENT ...]
	[ "$(get "$1" "$2" -o /dev/null -w '%{http_code}' "${@:4}")" = "$3" ]
}
metric() { # NODE NAME[{LABELS}]: its value
	get "$1" /sync/metrics | awk -v name="$2" '$1 == name { print $2; found = 1 } END { exit !found }'
}
metric_is() { # NODE NAME VALUE
	[ "$(metric "$1" "$2")" = "$3" ]
}
metric_above() { # NODE NAME VALUE
	metric "$1" "$2" | awk -v least="$3" '{ exit !($1 > least) }'
}

check "three nodes come up" "$lab" up "$T/lab" 3 sync.delta_min=64K
check_soon "alive" code n1 /healthz 200
check_soon "ready" code n1 /readyz 200
check "an unknown path is not found" code n1 /etc/passwd 404
check "HEAD has the same length and no body" test "$(get n1 /healthz -I | tr -d '\r' | awk 'tolower($1) == "content-length:" { print $2 }')" = 6
for method in POST PUT DELETE OPTIONS TRACE NONSENSE; do
	check "$method is refused" code n1 /sync/status 405 -X "$method"
done
check "and says what is allowed" bash -c "curl -sSi -X POST '$(url n1 /)' | grep -qi '^allow: GET, HEAD'"
check "it listens on nothing but the configured address" bash -c "! ss -Hltn 2>/dev/null | grep -q '0.0.0.0:$(cut -d: -f2 "$T/lab/n1/http") '"

# The same object as the command prints.
same_keys() {
	mimeo n1 status --json | jq -S 'keys' >"$T/keys.1" && get n1 /sync/status | jq -S 'keys' >"$T/keys.2" &&
		diff "$T/keys.1" "$T/keys.2"
}
check "status is what the command prints" same_keys
check "status says ok" test "$(get n1 /sync/status | jq -r .state)" = ok

# Metrics that move.
head -c 3000000 /dev/urandom >"$(media n1)/big.bin"
echo small >"$(media n1)/small.txt"
check_soon "n2 has both" test -s "$(media n2)/small.txt" -a -s "$(media n2)/big.bin"
check_soon "all in sync" in_sync n1 n2 n3
check "files are counted" metric_is n2 mimeo_files 2
check "bytes too" metric_is n2 mimeo_file_bytes 3000006
check "nothing lacks" metric_is n1 'pending_changes_total{peer="n2"}' 0
check "nothing lags" metric_is n1 'sync_lag_seconds{peer="n2"}' 0
check "peers are connected" metric_is n1 'mimeo_peer_connected{peer="n3"}' 1
check "content that came whole" metric_above n2 'mimeo_transferred_bytes_total{peer="n1",direction="in",kind="whole"}' 0
check "content that came inlined" metric_above n2 'mimeo_transferred_bytes_total{peer="n1",direction="in",kind="inline"}' 0
check "propagation was measured" metric_is n2 mimeo_propagation_seconds_count 2
check "and its last bucket is its count" metric_is n2 'mimeo_propagation_seconds_bucket{le="+Inf"}' 2
check "the watcher reports" metric_is n1 mimeo_watcher_up 1
check_soon "it hashed" metric_above n1 mimeo_hashed_bytes_total 3000000
check "watches have a limit" metric_above n1 mimeo_watches_limit 0
check "the disk has room" metric_above n1 mimeo_free_bytes 0
cp "$(media n1)/big.bin" "$(media n1)/again.bin"
check_soon "a copy arrives" test -s "$(media n2)/again.bin"
check_soon "without a transfer, and that is counted" metric_above n2 'mimeo_saved_bytes_total{kind="local"}' 2999999
mv "$(media n1)/again.bin" "$(media n1)/renamed.bin"
check_soon "a rename is one here too" test -s "$(media n2)/renamed.bin"
check_soon "and counted like a copy" metric_above n2 'mimeo_saved_bytes_total{kind="local"}' 5999999
printf changed | dd of="$(media n1)/big.bin" bs=1 seek=1500000 conv=notrunc status=none
check_soon "a small change saves most of a file" metric_above n2 'mimeo_saved_bytes_total{kind="delta"}' 2000000

# A peer that is away lags, also when nothing is written.
check_soon "all is everywhere" in_sync n1 n2 n3
"$lab" stop "$T/lab" n3 agent
echo more >"$(media n1)/while-away"
check_soon "what it lacks is counted" metric_is n1 'pending_changes_total{peer="n3"}' 1
check_soon "and its lag grows" metric_above n1 'sync_lag_seconds{peer="n3"}' 1
check_soon "and so does its silence" metric_above n1 'mimeo_peer_heartbeat_age_seconds{peer="n3"}' 1
check "n2 does not lag" metric_is n1 'sync_lag_seconds{peer="n2"}' 0
check_soon "an error is counted by peer and reason" metric_above n1 'sync_errors_total{peer="n3",reason="connect"}' 0
"$lab" start "$T/lab" n3
check_soon "back again, nothing lags" metric_is n1 'sync_lag_seconds{peer="n3"}' 0
check_soon "and it is heard" bash -c "curl -sS '$(url n1 /sync/metrics)' | awk '\$1 == \"mimeo_peer_heartbeat_age_seconds{peer=\\\"n3\\\"}\" { exit !(\$2 < 15) }'"

# Without a watcher a node is alive, and not ready.
"$lab" kill "$T/lab" n2 watcher
check_soon "without its watcher it is not ready" code n2 /readyz 503
check "and says why" bash -c "curl -sS '$(url n2 /readyz)' | grep -q watcher"
check "it is alive" code n2 /healthz 200
check "status answers all the same" test "$(get n2 /sync/status | jq .watcher)" = false
"$lab" start "$T/lab" n2
check_soon "with it, it is ready" code n2 /readyz 200

# promtool knows the conventions; the three given names are not all by them.
if command -v promtool >/dev/null; then
	clean() {
		get n1 /sync/metrics | promtool check metrics 2>&1 | grep -v -e '^sync_' -e '^pending_changes_total' >"$T/promtool"
		[ ! -s "$T/promtool" ] || { cat "$T/promtool" && return 1; }
	}
	check "promtool finds nothing but the given names" clean
else
	echo "# promtool is not installed (package prometheus): the conventions of metrics are not checked"
fi

# Garbage.
cat >"$T/garbage.py" <<'END'
import random, socket, sys
host, port = sys.argv[1].split(':')
rng = random.Random(7)
good = b'GET /sync/metrics HTTP/1.1\r\nHost: x\r\n\r\n'
def say(data, read=True):
    s = socket.create_connection((host, int(port)), 10)
    s.settimeout(0.05)
    try:
        s.sendall(data)
        if read:
            s.recv(100)
    except OSError:
        pass
    s.close()
for i in range(400):
    kind = i % 8
    if kind == 0:
        data = rng.randbytes(rng.randrange(1, 2000))
    elif kind == 1:
        data = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 2:
        data = good[:rng.randrange(len(good))]
    elif kind == 3:
        data = b'GET /' + rng.randbytes(3).hex().encode() * rng.randrange(30000) + b' HTTP/1.1\r\n\r\n'
    elif kind == 4:
        data = b'GET / HTTP/1.1\r\n' + b'A: b\r\n' * rng.randrange(20000) + b'\r\n'
    elif kind == 5:
        data = \
            b'GET /media/' + b''.join(b'%%%02x' % rng.randrange(256) for _ in range(40)) + b' HTTP/1.1\r\nHost: x\r\n\r\n'
    elif kind == 6:
        data = b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n' + rng.randbytes(300)
    else:
        data = good * rng.randrange(1, 20)
    say(bytes(data), rng.random() < 0.7)
END
check "garbage is sent" python3 "$T/garbage.py" "$(cat "$T/lab/n1/http")"
check "and leaves it standing" code n1 /healthz 200
check "the same process" test "$(wc -l <"$T/lab/n1/log/agent.log")" -gt 0 -a "$(grep -c ' start ' "$T/lab/n1/log/agent.log")" = 1
echo after >"$(media n1)/after"
check_soon "and replication" test -s "$(media n2)/after"

# An address that is taken holds nothing up; it is told, and taken once it is free.
taken=$(cat "$T/lab/n1/http")
sed -i "s|^listen = .*|listen = $taken|" "$T/lab/n3/mimeo.conf"
mimeo n3 reload
check_soon "a taken address is told" grep -q 'http.refused.*Address already in use' "$T/lab/n3/log/agent.log"
echo meanwhile >"$(media n3)/meanwhile"
check_soon "replication goes on" test -s "$(media n1)/meanwhile"
"$lab" stop "$T/lab" n1 agent
served_by_n3() {
	[ "$(curl -sS --max-time 5 "http://$taken/sync/status" | jq -r .node)" = n3 ]
}
check_soon "it is taken once it is free" served_by_n3
done_testing
