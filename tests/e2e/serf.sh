#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Real Serf agents, encrypted, as a source of hints: addresses that nobody else knows. One that lies, that goes away, that wants a key, or that is no Serf at all changes nothing.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq ssh-keygen python3 serf

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
declare -A rpc bind pids
secret=$(serf keygen)
run_serf() { # NAME ARGS...: an agent, in the background
	local name=$1
	shift
	serf agent -node "$name" -bind "127.0.0.1:${bind[$name]}" -rpc-addr "127.0.0.1:${rpc[$name]}" -encrypt "$secret" -log-level warn "$@" >"$T/serf.$name.log" 2>&1 </dev/null &
	pids[$name]=$!
}
serf_sees() { # HOW-MANY ALIVE
	[ "$(serf members -rpc-addr "127.0.0.1:${rpc[n1]}" -format json | jq '[.members[] | select(.status == "alive")] | length')" = "$1" ]
}
says() { # NODE PATTERN
	grep -qE -e "$2" "$T/lab/$1/log/agent.log"
}
members_are() { # NODE NAMES
	[ "$(mimeo "$1" authorize --list | awk 'NR > 1 { print $1 }' | sort | tr '\n' ' ')" = "$2 " ]
}
counted() { # NODE: what was counted of Serf
	mimeo "$1" errors --json | jq -s 'flatten | map(select(.reason == "serf")) | length'
}
more_counted() { # NODE THAN
	[ "$(counted "$1")" -gt "$2" ]
}
ask_serf() { # NODE ADDRESS [KEY-FILE]
	sed -i '/^\[discovery\]/,$d' "$T/lab/$1/mimeo.conf"
	printf '[discovery]\nserf = %s\nserf_key = %s\n' "$2" "${3:-}" >>"$T/lab/$1/mimeo.conf"
	eventually mimeo "$1" reload
}
address() { # NODE: where its sshd really is
	echo "127.0.0.1$(cat "$T/lab/$1/port")"
}

must "three nodes" "$lab" up "$T/lab" 3
for n in n1 n2 n3 evil; do
	rpc[$n]=$(free_port)
	bind[$n]=$(free_port)
done
# n2 can be found at an address that only Serf knows, and cannot dial n1 itself.
touch "$T/lab/cut/n2-n1"
sed -i 's/^address = .*/address = 127.0.0.1:9/' "$T/lab/n2/mimeo.conf"
check_soon "one moves to where nobody is" mimeo n2 reload
check_soon "as all know" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' peers --json | jq -es 'flatten | map(select(.name == \"n2\" and .address == \"127.0.0.1:9\")) | length == 1'"
"$lab" stop "$T/lab" n1 agent
"$lab" start "$T/lab" n1 agent
check_soon "so it is not found" connected_are n1 n3

# The others look for it once, as they start.
run_serf n1 -tag mimeo_ssh="$(address n1)"
check_soon "a Serf agent" serf_sees 1
run_serf n2 -tag mimeo_ssh="$(address n2)" -join "127.0.0.1:${bind[n1]}"
run_serf n3 -tag role=db -join "127.0.0.1:${bind[n1]}"
check_soon "three Serf agents" serf_sees 3
check "one node asks its Serf" ask_serf n1 "127.0.0.1:${rpc[n1]}"
check_soon "it is told" says n1 'serf.connected'
check_soon "of an address" says n1 "serf.hint.*member=n2 address=$(address n2)"
check_soon "and finds what is there" connected_are n1 "n2 n3"
check "of what has no tag, nothing" bash -c "! grep -q 'serf.hint.*member=n3' '$T/lab/n1/log/agent.log'"

# --- lies: whoever has the secret of that Serf cluster ---
lies=$(counted n1)
run_serf evil -tag mimeo_ssh="127.0.0.1:9" -join "127.0.0.1:${bind[n1]}"
check_soon "one that is no member of mimeo's" says n1 'serf.hint.*member=evil'
check "is none for that" members_are n1 "n1 n2 n3"
kill "${pids[evil]}"
run_serf evil -tag mimeo_ssh="not an address" -tag mimeo_name=n3 -join "127.0.0.1:${bind[n1]}"
check_soon "an address that is none is refused" says n1 'serf.refused.*name=n3'
check_soon "and counted" more_counted n1 "$lies"
kill "${pids[evil]}"
run_serf evil -tag mimeo_ssh="$(address n1)" -tag mimeo_name=n3 -join "127.0.0.1:${bind[n1]}"
check_soon "a wrong address of a member" says n1 "serf.hint.*member=n3 address=$(address n1)"
"$lab" stop "$T/lab" n3
check_soon "which has gone" connected_are n1 n2
check_soon "is tried, and another key found there" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' errors --json | jq -es 'flatten | map(select(.peer == \"n3\" and .reason == \"hostkey\")) | length > 0'"
"$lab" start "$T/lab" n3
check_soon "it comes back all the same" connected_are n1 "n2 n3"

# --- away ---
away=$(counted n1)
kill -9 "${pids[n1]}"
check_soon "a Serf that dies is said" says n1 'serf.away'
check_soon "and counted" more_counted n1 "$away"
echo on >"$(media n1)/on"
check "all else goes on" mimeo n1 wait --timeout 20s on
echo '{"rpc_auth": "not a secret"}' >"$T/serf.json"
run_serf n1 -config-file "$T/serf.json" -tag mimeo_ssh="$(address n1)"
check_soon "one that wants a key" says n1 'serf.away .*does not accept the key'
echo "not a secret" >"$T/serf.key"
chmod 600 "$T/serf.key"
before=$(grep -c serf.connected "$T/lab/n1/log/agent.log")
check "gets it" ask_serf n1 "127.0.0.1:${rpc[n1]}" "$T/serf.key"
check_soon "and tells" bash -c "[ \"\$(grep -c serf.connected '$T/lab/n1/log/agent.log')\" -gt $before ]"
check "the key is in no log" bash -c "! grep -r 'not a secret' '$T'/lab/n1/log"

# --- garbage: something else listens there ---
cat >"$T/garbage.py" <<'END'
import os, socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', int(sys.argv[1])))
s.listen(8)
turn = 0
while True:
    c, _ = s.accept()
    turn += 1
    try:
        c.recv(1000)
        c.sendall([b'HTTP/1.1 400 Bad Request\r\n\r\n', os.urandom(4096), b'\x82\xa3Seq\x01\xa5Error\xa0' * 1000, b'\x91' * 5000][turn % 4])
        c.recv(1000)
    except OSError:
        pass
    c.close()
END
rpc[garbage]=$(free_port)
python3 "$T/garbage.py" "${rpc[garbage]}" &
before=$(counted n1)
check "what is no Serf" ask_serf n1 "127.0.0.1:${rpc[garbage]}"
check_soon "is found out, each time" more_counted n1 $((before + 4))
check_soon "and said" says n1 'serf.away it is not Serf that speaks'
check "nobody is in for it" members_are n1 "n1 n2 n3"
check_soon "and all are connected" connected_are n1 "n2 n3"
echo still >"$(media n3)/still"
check "and work" mimeo n3 wait --timeout 20s still
check "it can be done without" ask_serf n1 ""
done_testing
