#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Peers that are not who they should be, or do not speak the protocol: refused with one clear line, counted, nothing else disturbed.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq python3 ssh-keygen

must "two nodes come up" "$lab" up "$T/lab" 2
log=$T/lab/n1/log/agent.log

# A line of the log that was not there before `mark`.
mark() {
	lines=$(wc -l <"$log")
}
said() { # PATTERN
	tail -n "+$((lines + 1))" "$log" | grep -qE -e "$1"
}
errors() { # REASON: so many, of the peer or not
	mimeo n1 errors --json | jq -s "flatten | map(select(.reason == \"$1\")) | length"
}
total() { # as status has it
	mimeo n1 status --json | jq -r .errors
}
more() { # NUMBER COMMAND...: it says a larger one
	[ "$("${@:2}")" -gt "$1" ]
}
arrives() { # NAME
	eventually test -s "$(media n2)/$1" && cmp -s "$(media n1)/$1" "$(media n2)/$1"
}
still_works() {
	echo "$1" >"$(media n1)/to-n2-$1"
	echo "$1" >"$(media n2)/to-n1-$1"
	arrives "to-n2-$1" && eventually test -s "$(media n1)/to-n1-$1"
}
quiet() { # nothing of what was refused is in the tree, the WAL or the store
	[ "$(mimeo n1 log --json | wc -l)" = "$1" ] && [ ! -e "$T/lab/n1/x" ] && [ ! -e "$T/lab/x" ]
}

# A peer that speaks nonsense to the socket where sshd's forced command attaches. It reads until the other side closes.
cat >"$T/talk.py" <<'END'
import socket, struct, sys
path, what = sys.argv[1:3]
s = socket.socket(socket.AF_UNIX)
s.settimeout(60)
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
    'empty': start + hello() + struct.pack('<I', 0),
    'first': start + record(b'x'),
    'traversal': start + hello() + origin + record(b'../x'),
    'within': start + hello() + origin + record(b'a/../../x'),
    'absolute': start + hello() + origin + record(b'/etc/passwd'),
    'marker': start + hello() + origin + record(b'.mimeo-id'),
    'zero': start + hello() + origin + record(b'a\0b'),
}[what]
s.sendall(said)
try:
    while s.recv(65536):
        pass
except ConnectionResetError:
    pass
END

# WHAT REASON PATTERN NAME: it is refused with one line that matches, the connection is closed, and it is counted.
refused() {
	local errors total
	errors=$(errors "$2")
	total=$(total)
	mark
	check "$4: the connection is closed" python3 "$T/talk.py" "$T/lab/n1/state/run/attach.sock" "$1"
	check_soon "$4: it is said" said "$3"
	check_soon "$4: it is counted as $2" more "$errors" errors "$2"
	check "$4: status counts it" more "$total" total
}

check "they are in touch" still_works before
"$lab" cut "$T/lab" n1 n2 # or the honest connection would be kept and the other one closed for that alone
known=$(mimeo n1 log --json | wc -l)
refused header identity 'attach\.refused .*header line' "a stranger's first line"
refused stranger identity 'attach\.refused .*not a member.* peer=mallory' "a name that is no member"
refused version protocol 'peer\.closed .*peer=n2 .*why="?this node speaks protocol version 1, the peer 7 to 9' "a protocol version that is not spoken"
refused name identity 'peer\.closed .*peer=n2 .*why="?the peer calls itself n3, but its key belongs to n2' "a name that is not the key's"
refused long protocol 'peer\.closed .*peer=n2 .*why="?a frame that is empty or too long' "a frame that is too long"
refused first protocol 'peer\.closed .*peer=n2 .*why="?the first frame is not a HELLO' "a record before HELLO"
refused traversal protocol 'peer\.closed .*peer=n2 .*why="?a RECORD message .*a name is \\*"\.\.\\*"' "the path ../x"
refused absolute protocol 'peer\.closed .*peer=n2 .*why="?a RECORD message .*an empty name' "an absolute path"
refused marker protocol 'peer\.closed .*peer=n2 .*why="?a RECORD message .*reserved at the top' "the marker's name"
refused zero protocol 'peer\.closed .*peer=n2 .*why="?a RECORD message .*zero byte' "a zero byte in a path"
for what in empty within; do # the same words as before: the log says them once and counts
	errors=$(errors protocol)
	check "once more ($what): the connection is closed" python3 "$T/talk.py" "$T/lab/n1/state/run/attach.sock" "$what"
	check_soon "once more ($what): it is counted" more "$errors" errors protocol
done
check "nothing of all this is in the log, in the tree or beside it" quiet "$known"
"$lab" heal "$T/lab" n1 n2
check "the honest peer is served, in both directions" still_works first

# --- SSH: a changed host key, an unknown user key, an RSA key. n2 does not dial meanwhile. -----------

restart() { # NODE PROGRAM...
	local program
	for program in "${@:2}"; do
		"$lab" stop "$T/lab" "$1" "$program"
	done
	for program in "${@:2}"; do
		"$lab" start "$T/lab" "$1" "$program"
	done
}
said_by_dial() { # PATTERN REASON NAME
	check_soon "$3: it is said" said "$1"
	check_soon "$3: it is counted as $2" counted "$2"
	check "$3: peers shows it" bash -c "MIMEO_LIBEXEC=x '$build/mimeo' -c '$T/lab/n1/mimeo.conf' peers --json | jq -es 'flatten | all(.[]; .connected | not)'"
}
counted() { # REASON
	more 0 errors "$1"
}

mkdir "$T/good"
cp -p "$T/lab/n2/state/ssh_host_ed25519_key" "$T/lab/n2/state/ssh_host_ed25519_key.pub" "$T/lab/n1/state/id_ed25519" "$T/lab/n1/state/id_ed25519.pub" "$T/good"
"$lab" stop "$T/lab" n2 agent
mark
rm "$T/lab/n2/state/ssh_host_ed25519_key"*
ssh-keygen -q -t ed25519 -N '' -f "$T/lab/n2/state/ssh_host_ed25519_key"
restart n2 sshd
restart n1 agent # its counters begin anew
said_by_dial 'peer\.unreachable its host key is not the pinned one.* peer=n2' hostkey "a wrong host key"
check "a wrong host key: dial says which file and what to do" said 'host key of .*known_hosts: .*mimeo forget'
check "a wrong host key: in a line of the log, not beside it" bash -c "! grep -q '^error: ' '$T/lab/n1/log/agent.log'"
check "a wrong host key: errors has all of it" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' errors --json | grep -q 'host key of .*known_hosts: .*mimeo forget'"
cp -p "$T/good/ssh_host_ed25519_key"* "$T/lab/n2/state/"
restart n2 sshd
"$lab" start "$T/lab" n2 agent
check "the right host key again: they talk" still_works second

"$lab" stop "$T/lab" n2 agent
mark
rm "$T/lab/n1/state/id_ed25519"*
ssh-keygen -q -t ed25519 -N '' -f "$T/lab/n1/state/id_ed25519"
restart n1 agent
said_by_dial 'peer\.unreachable its sshd does not accept this node.s key.* peer=n2' auth "an unknown user key"

mark
rm "$T/lab/n1/state/id_ed25519"*
ssh-keygen -q -t rsa -b 2048 -N '' -f "$T/lab/n1/state/id_ed25519"
check "an RSA key: check-config fails" bash -c "! '$build/mimeo' -c '$T/lab/n1/mimeo.conf' check-config >'$T/config.out' 2>&1"
check "an RSA key: check-config says so" grep -E 'id_ed25519.*RSA' "$T/config.out"
restart n1 agent
said_by_dial "peer\\.unreachable this node's key, or the pinned host key, is not a usable ed25519 key.* peer=n2" auth "an RSA key"
check "an RSA key: dial says so" said 'id_ed25519.* is an RSA key'

cp -p "$T/good/id_ed25519"* "$T/lab/n1/state/"
restart n1 agent
"$lab" start "$T/lab" n2 agent
check "the right key again: they talk" still_works third
check "the trees are equal" same_trees n1 n2
done_testing
