#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# One dot under two records: said, counted, and nothing more is taken of that origin; everything else goes on.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3

must "two nodes come up" "$lab" up "$T/lab" 2
"$lab" cut "$T/lab" n1 n2
# A peer that calls itself n2, at the socket where sshd's forced command attaches.
cat >"$T/talk.py" <<'END'
import socket, struct, sys, time
path, names = sys.argv[1], sys.argv[2:]
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
s.connect(path)
def frame(kind, payload):
    return struct.pack('<IB', len(payload) + 1, kind) + payload
def string(b):
    return struct.pack('<H', len(b)) + b
def hello():
    return frame(1, b'mimeo' + struct.pack('<HHQ', 1, 1, 0) + string(b'n2') + struct.pack('<QQQQQ', 5, 77 + len(names), 1, 2, 3))
def record(seq, name):
    body = struct.pack('<QQQBBBHQQ', 9, seq, 1 << 40, 2, 4, 0, 0o755, 0, 0) + b'\0' * 32 + string(name.encode())
    return frame(7, body + string(b'') + string(b'') + string(b'') + struct.pack('<H', 0) + b'\0')
s.sendall(b'attach 1 n2\n' + hello() + frame(6, struct.pack('<QQ', 9, 5) + string(b'n2')))
for name in names:
    seq, path = name.split(':')
    s.sendall(record(int(seq), path))
s.sendall(frame(8, struct.pack('<BIQQQ', 1, 1, 9, 1, 50)))
try:
    while s.recv(65536):
        pass
except (socket.timeout, ConnectionResetError):
    pass
END
talk() {
	python3 "$T/talk.py" "$T/lab/n1/state/run/attach.sock" "$@" &
	talker=$!
}
hush() { # what it said has been heard
	kill "$talker" 2>/dev/null
	wait "$talker" 2>/dev/null
}
logged() { # PATH
	[ -n "$(mimeo n1 log --json "$1")" ]
}
frozen() {
	[ "$(mimeo n1 status --json | jq .frozen_origins)" = "$1" ]
}
holds() { # SEQ: the highest of that origin
	[ "$(mimeo n1 status --json | jq '.vector["0000000000000009"]')" = "$1" ]
}

talk 1:one 2:two 1:one
check_soon "honest records are taken" logged two
check_soon "what was vouched for is held" holds 50
check "and a duplicate freezes nothing" frozen 0
hush
talk 60:sixty 60:other 61:later
check_soon "one dot with two records is said" grep -q record.equivocation "$T/lab/n1/log/agent.log"
check_soon "shown" frozen 1
check "counted" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' errors --json | grep -q equivocation"
check "the first one stays" logged sixty
wait "$talker"
check "nothing of that origin is taken any more" bash -c "[ -z \"\$('$build/mimeo' -c '$T/lab/n1/mimeo.conf' log --json later)\" ]"
"$lab" kill "$T/lab" n1 agent
"$lab" start "$T/lab" n1
check_soon "over a restart too" frozen 1
talk 62:after
wait "$talker"
check "nothing is taken after it either" bash -c "[ -z \"\$('$build/mimeo' -c '$T/lab/n1/mimeo.conf' log --json after)\" ]"
mimeo n1 status >/dev/null 2>&1
check "status does not call that in sync" test $? = 3
mimeo n1 resume --accept-origin 1234 >"$T/refused" 2>&1
check "an origin that is not frozen is refused" test $? = 2
check "the frozen one is named" test "$(mimeo n1 status --json | jq -r '.frozen[]')" = 0000000000000009
check "and is taken again when somebody says so" mimeo n1 resume --accept-origin 0000000000000009
check "none is frozen" frozen 0
talk 62:after
check_soon "its records are taken" logged after
hush
"$lab" kill "$T/lab" n1 agent
"$lab" start "$T/lab" n1
check_soon "over a restart too" frozen 0
talk 62:other
check_soon "if it still says two things it is frozen again" frozen 1
hush
check "and taken again" mimeo n1 resume --accept-origin 9
"$lab" heal "$T/lab" n1 n2
echo hello >"$(media n2)/hello"
check_soon "the honest n2 is served" test -s "$(media n1)/hello"
echo back >"$(media n1)/back"
check_soon "in both directions" test -s "$(media n2)/back"
done_testing
