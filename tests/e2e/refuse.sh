#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Peers that are not who they should be, or do not speak the protocol: refused with one clear line, counted, nothing else disturbed.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3 ssh-keygen

check "two nodes come up" "$lab" up "$T/lab" 2
log=$T/lab/n1/log/agent.log

logged() { # PATTERN
	grep -qE -e "$1" "$log"
}
counted() { # REASON
	mimeo n1 errors --json | jq -es "flatten | any(.[]; .reason == \"$1\")"
}
still_works() {
	echo "$1" >"$(media n1)/works-$1"
	eventually test -s "$(media n2)/works-$1"
}

# A peer that speaks nonsense to the socket where sshd's forced command attaches.
cat >"$T/talk.py" <<'END'
import socket, struct, sys
path, what = sys.argv[1:3]
s = socket.socket(socket.AF_UNIX)
s.settimeout(15)
s.connect(path)
def frame(kind, payload):
    return struct.pack('<IB', len(payload) + 1, kind) + payload
def string(b):
    return struct.pack('<H', len(b)) + b
def hello(name=b'n2', low=1, high=1):
    return frame(1, b'mimeo' + struct.pack('<HHQ', low, high, 0) + string(name) + struct.pack('<QQQQQ', 5, 77, 1, 2, 3))
def record(path):
    return frame(7, struct.pack('<QQQBBBHQQ', 9, 1, 1 << 40, 1, 1, 0, 0o644, 3, 0) + b'\1' * 32 + string(path) + string(b'') + string(b'') + string(b'') + struct.pack('<H', 0) + b'\0')
origin = frame(6, struct.pack('<QQ', 9, 5) + string(b'n2'))
start = b'attach 1 n2\n'
said = {
    'header': b'GET / HTTP/1.0\n\n',
    'stranger': b'attach 1 mallory\n' + hello(b'mallory'),
    'version': start + hello(low=7, high=9),
    'name': start + hello(b'n3'),
    'long': start + hello() + struct.pack('<I', 1 << 30),
    'first': start + frame(7, b'x'),
    'traversal': start + hello() + origin + record(b'../x'),
    'absolute': start + hello() + origin + record(b'/etc/passwd'),
    'marker': start + hello() + origin + record(b'.mimeo-id'),
}[what]
s.sendall(said)
try:
    while s.recv(65536):
        pass
except (socket.timeout, ConnectionResetError):
    pass
END
talk() {
	python3 "$T/talk.py" "$T/lab/n1/state/run/attach.sock" "$1"
}

talk header
check_soon "a stranger's first line is refused" logged 'attach.refused.*header'
talk stranger
check_soon "a name that is no member is refused" logged 'attach.refused.*peer=mallory'
check "and counted" counted identity
"$lab" cut "$T/lab" n1 n2 # or the honest connection would be kept and the other one closed for that alone
talk version
check_soon "a protocol version that is not spoken" logged 'peer.closed.*version'
talk name
check_soon "a name that is not the key's" logged 'peer.closed.*calls itself n3'
talk long
check_soon "a frame that is too long" logged 'peer.closed.*too long'
talk first
check_soon "a record before HELLO" logged 'peer.closed.*HELLO'
for what in traversal absolute marker; do
	: >"$T/mark"
	before=$(grep -c 'RECORD message that makes no sense' "$log")
	talk "$what"
	check_soon "a record of a forbidden path ($what)" bash -c "[ \$(grep -c 'RECORD message that makes no sense' '$log') -gt $before ] || grep -q 'repeated=' '$log'"
done
check "counted as protocol errors" counted protocol
check "nothing appeared outside the root" test ! -e "$T/lab/n1/x"
"$lab" heal "$T/lab" n1 n2
check "the honest peer is served" still_works first

# SSH: a changed host key, an unknown user key, an RSA key.
"$lab" stop "$T/lab" n2 sshd
rm "$T/lab/n2/state/ssh_host_ed25519_key"*
ssh-keygen -q -t ed25519 -N '' -f "$T/lab/n2/state/ssh_host_ed25519_key"
"$lab" stop "$T/lab" n2 agent
"$lab" stop "$T/lab" n1 agent
mv "$T/lab/n2/state/id_ed25519" "$T/key" # so that n2 cannot dial n1 meanwhile
"$lab" start "$T/lab" n2
"$lab" start "$T/lab" n1
check_soon "a wrong host key is refused, and said" logged 'host key is not the pinned one'
check_soon "and counted" counted hostkey
mv "$T/key" "$T/lab/n2/state/id_ed25519"
check_soon "the other direction still connects them" still_works second

"$lab" stop "$T/lab" n1 agent
"$lab" stop "$T/lab" n2 agent
cp -p "$T/lab/n1/state/id_ed25519" "$T/good"
rm "$T/lab/n1/state/id_ed25519"
ssh-keygen -q -t ed25519 -N '' -f "$T/lab/n1/state/id_ed25519" <<<y >/dev/null
mimeo n2 authorize "$(mimeo n2 key | sed 's/ n2 / n9 /')" >/dev/null 2>&1
"$lab" start "$T/lab" n1
check_soon "an unknown user key is refused, and said" logged "(does not accept this node's key|host key is not)"
rm "$T/lab/n1/state/id_ed25519"*
ssh-keygen -q -t rsa -b 2048 -N '' -f "$T/lab/n1/state/id_ed25519"
check "an RSA key is named by check-config" bash -c "! '$build/mimeo' -c '$T/lab/n1/mimeo.conf' check-config 2>&1 | grep -qi rsa; [ \$? = 1 ]"
done_testing
