#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Joining and admission under attack: each attempt is refused, logged and counted, and the cluster works on.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd ssh jq python3 ssh-keygen

check "three nodes" "$lab" up "$T/lab" 3
log=$T/lab/n1/log/agent.log
sock=$T/lab/n1/state/run/attach.sock
port=$(tr -d : <"$T/lab/n1/port")

lines() { # PATTERN: how often the log has it, repetitions not counted
	grep -cE -e "$1" "$log"
}
errors() { # how many were counted for identity and protocol
	mimeo n1 errors --json | jq -s 'flatten | map(select(.reason == "identity" or .reason == "protocol")) | length'
}
members() {
	mimeo n1 authorize --list | awk 'NR > 1 { print $1 }' | sort | tr '\n' ' '
}
invite() { # a fresh block in FILE
	mimeo n1 invite >"$1" 2>/dev/null
}
id_of() {
	sed -n 's/^invitation: //p' "$1"
}
key_of() {
	sed -n '/BEGIN OPENSSH/,/END OPENSSH/p' "$1"
}
newcomer() { # DIR: a node that is not started
	MIMEO_LIBEXEC=$T/lab/n1/libexec "$build/mimeo" -c "$T/$1.conf" init --name "$1" --root "$T/$1.media" --state "$T/$1.state" --work "$T/$1.work" --address 127.0.0.1:9 >/dev/null
	ssh-keygen -q -t ed25519 -N '' -f "$T/$1.state/ssh_host_ed25519_key"
}
join() { # NODE BLOCK
	MIMEO_LIBEXEC=$build "$build/mimeo" -c "$T/$1.conf" join - --yes <"$2"
}
attacks=0
refused() { # NAME WHAT-IT-SAYS COMMAND...: fails, and says so
	local name=$1 says=$2
	shift 2
	attacks=$((attacks + 1))
	if "$@" >"$T/out" 2>&1; then
		ok 1 "$name: it was let in"
	else
		check "$name" grep -qE -e "$says" "$T/out"
	fi
}

mkdir "$T/eve.media" "$T/mallory.media"
newcomer eve
newcomer mallory
before=$(members)

# --- the secret ---
invite "$T/good"
ssh-keygen -q -t ed25519 -N '' -C '' -f "$T/guess"
{
	sed '/BEGIN OPENSSH/,$d' "$T/good"
	cat "$T/guess"
	echo '-----END MIMEO INVITATION-----'
} >"$T/guessed"
refused "a guessed secret" "does not accept|authentication" join eve "$T/guessed"
sed "s|^host-key: .*|host-key: $(cut -d' ' -f1,2 "$T/guess.pub")|" "$T/good" >"$T/swapped"
refused "an invitation with another host key" "host key" join eve "$T/swapped"
sed 's/^invitation: .*/invitation: 00/' "$T/good" >"$T/damaged"
refused "a damaged invitation" "not an invitation" join eve "$T/damaged"
: >"$T/empty"
refused "no invitation" "not an invitation" join eve "$T/empty"

# --- the key of an invitation opens nothing else ---
key_of "$T/good" >"$T/invite.key"
chmod 600 "$T/invite.key"
ssh_as() {
	timeout 20 ssh -F none -T -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -i "$T/invite.key" -p "$port" "$(id -un)@127.0.0.1" "$@" </dev/null
}
ssh_as touch "$T/run" >/dev/null 2>&1
check "it runs no command" test ! -e "$T/run"
refused "it forwards nothing" "." ssh_as -N -o ExitOnForwardFailure=yes -R 0:127.0.0.1:1
check "it stands with an end and a forced command" bash -c "grep -qE '^restrict,expiry-time=\"[0-9]{14}Z\",command=\".*/attach --invite $(id_of "$T/good") ' '$T/lab/n1/state/authorized_keys'"

# --- expired: sshd says so, and so does the agent ---
invite "$T/late"
sed -i -E "s/expiry-time=\"[0-9]+Z\"(,command=\"[^\"]*$(id_of "$T/late"))/expiry-time=\"20200101000000Z\"\1/" "$T/lab/n1/state/authorized_keys"
refused "an expired invitation at sshd" "does not accept|authentication" join eve "$T/late"
sed -i -E "s/^$(id_of "$T/late") [0-9]+ /$(id_of "$T/late") 1000 /" "$T/lab/n1/state/invites"

cat >"$T/talk.py" <<'END'
import socket, struct, sys, time
path, what, ident = sys.argv[1:4]
s = socket.socket(socket.AF_UNIX)
s.settimeout(8)
s.connect(path)
now = int(time.time() * 1000)
def frame(kind, payload):
    return struct.pack('<IB', len(payload) + 1, kind) + payload
def string(b):
    b = b if isinstance(b, bytes) else b.encode()
    return struct.pack('<H', len(b)) + b
def key(c, n=60):
    return 'ssh-ed25519 AAAA' + c * n
def member(name, by='n2', user_key=None, host_key=None, address='127.0.0.1:9', user='root', store=1, admitted=now, incarnation=now, removed=0):
    texts = [name, address, user, key(name[0]) if user_key is None else user_key, key(name[0] + 'h', 30) if host_key is None else host_key, by]
    return frame(10, b''.join(map(string, texts)) + struct.pack('<QQQB', store, admitted, incarnation, removed))
def hello(name='n2'):
    return frame(1, b'mimeo' + struct.pack('<HHQ', 1, 1, 0) + string(name) + struct.pack('<QQQQQ', 5, 77, 1, 2, 3))
def line(name): # of known keys, from the files that were given
    words = open(sys.argv[4]).read().split()
    at = words.index(name)
    return words[at + 1] + ' ' + words[at + 2]
invited = b'invite 1 ' + ident.encode() + b'\n'
session = b'attach 1 n2\n' + hello()
far = now + 3 * 86400 * 1000
said = {
    # with an invitation
    'used': lambda: invited + member('eve'),
    'name': lambda: invited + member('n3'),
    'own': lambda: invited + member('n1'),
    'key': lambda: invited + member('eve', user_key=line('n3')),
    'nokey': lambda: invited + member('eve', user_key=''),
    'badname': lambda: invited + member('Eve'),
    'address': lambda: invited + member('eve', address='-oProxyCommand=x'),
    'user': lambda: invited + member('eve', user='-x'),
    'long': lambda: invited + struct.pack('<I', 1 << 29),
    'garbage': lambda: invited + b'\x05\0\0\0\xffgarbage',
    'hello': lambda: invited + hello(),
    'newline': lambda: b'invite 1 ../../../../etc/\n',
    'guess': lambda: b'invite 1 ' + b'0123456789abcdef' + b'\n' + member('eve'),
    'twice': lambda: invited + member('eve') + member('mallory'),
    # as a member: n2
    'ownkey': lambda: session + member('n2', by='n1', user_key=key('e')),
    'hostkey': lambda: session + member('n3', by='n1', user_key=line('n3'), host_key=key('e'), admitted=now),
    'rekey': lambda: session + member('n3', user_key=key('e'), admitted=now),
    'nobody': lambda: session + member('eve', by=''),
    'never': lambda: session + member('zed', admitted=0),
    'future': lambda: session + member('n3', by='n1', user_key=line('n3'), incarnation=far, admitted=now),
    'doom': lambda: session + member('n3', removed=1, admitted=2**64 - 1),
    'alias': lambda: session + member('eve', user_key=line('n3')),
    'victim': lambda: session + member('n1', user_key=key('e'), admitted=now),
    'gossipaddress': lambda: session + member('eve', address='web 1'),
    'gossiphost': lambda: session + member('eve', address='/etc/passwd'),
    'option': lambda: session + member('eve', user='-oProxyCommand=x'),
    'options': lambda: session + member('eve', user_key='command="x" ' + key('e')),
    'twolines': lambda: session + member('eve', user_key=key('e') + '\n' + key('f')),
    'names': lambda: session + frame(18, struct.pack('<QQBH', 1, 1, 1, 300) + string('x') * 300 + struct.pack('<H', 0)),
    'mask': lambda: b'attach 1 n2\n' + hello('n3'),
    'forgotten': lambda: b'attach 1 gone\n' + hello('gone'),
    'flood': lambda: session + b''.join(member('m%d' % i, user_key=key('m%d/' % i, 20)) for i in range(1200)),
}[what]()
s.sendall(said)
got = b''
try:
    while True:
        b = s.recv(65536)
        if not b:
            break
        got += b
        if what in ('ownkey', 'hostkey', 'rekey', 'nobody', 'never', 'future', 'doom', 'alias', 'victim', 'gossiphost', 'option', 'flood') and len(got) > 200:
            s.settimeout(3 if what == 'flood' else 0.3)
except (socket.timeout, ConnectionResetError, BrokenPipeError):
    pass
END
counted() { # MORE THAN
	[ "$(errors)" -gt "$1" ]
}
attack() { # WHAT ID NAME PATTERN: refused, logged, counted
	local what=$1 id=$2 name=$3 pattern=$4 was n
	attacks=$((attacks + 1))
	was=$(errors)
	python3 "$T/talk.py" "$sock" "$what" "$id" "$T/lab/n1/keys" >"$T/talk.out" 2>&1
	n=1
	eventually grep -qE -e "$pattern" "$log" || n=0
	[ "$n" = 1 ] && eventually counted "$was"
	ok $? "$name: refused, logged, counted"
	[ "$bad" = 0 ] || sed 's/^/# /' "$T/talk.out"
}
mimeo n1 authorize --list --json >/dev/null 2>&1
sed -n 's/.*attach --peer \([a-z0-9-]*\) .*\(ssh-ed25519 [^ ]*\) .*/\1 \2/p' "$T/lab/n1/state/authorized_keys" >"$T/lab/n1/keys"

attack used "$(id_of "$T/late")" "an expired invitation at the agent" 'join.refused the invitation was used already, or has expired.*member=eve'
attack used 0123456789abcdef "an invitation that never was" 'join.refused the invitation was used.*invite=0123456789abcdef'
good=$(id_of "$T/good")
attack name "$good" "the name of a member" 'join.refused a member has that name.*member=n3'
attack own "$good" "the inviting node's name" "join.refused its name is the inviting node's own"
attack key "$good" "a member's key under another name" 'join.refused its key belongs to another member'
attack nokey "$good" "a newcomer without a key" 'join.refused it has no key'
attack badname "$good" "a name that is none" 'join.refused a message that makes no sense'
attack address "$good" "an address that is an option" 'join.refused its address is not HOST:PORT'
attack user "$good" "a user that is an option" 'join.refused its user is not a login name'
attack long "$good" "a frame without end" 'join.refused a frame that is too long'
attack garbage "$good" "garbage" 'join.refused a message that makes no sense'
attack guess x "the number of no invitation" 'join.refused the invitation was used already, or has expired.*invite=0123456789abcdef'
attack hello "$good" "a session with the key of an invitation" 'join.refused that is not what a newcomer says'
was=$(lines 'attach.refused not an invitation')
python3 "$T/talk.py" "$sock" newline x
check_soon "a number that is a path" bash -c "[ \$(grep -c 'attach.refused not an invitation' '$log') -gt $was ]"
check "after all that nobody is in" test "$(members)" = "$before"
check "the invitation is still good: one joins with it" join eve "$T/good"
refused "it is good once: the other one is refused by sshd" "does not accept|authentication" join mallory "$T/good"
mimeo n1 forget eve >/dev/null
attack used "$good" "and by the agent" "join.refused the invitation was used.*invite=$good"
invite "$T/two"
python3 "$T/talk.py" "$sock" twice "$(id_of "$T/two")" "$T/lab/n1/keys"
check_soon "of two in one breath" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' authorize --list | grep -q '^eve '"
check "one is let in" bash -c "! '$build/mimeo' -c '$T/lab/n1/mimeo.conf' authorize --list | grep -q '^mallory '"
check "it is forgotten" mimeo n1 forget eve

# --- a member that lies: whoever has n2's key ---
"$lab" cut "$T/lab" n1 n2
"$lab" cut "$T/lab" n2 n3
attack ownkey x "a second key for its own name" 'member.refused it lets itself in.*peer=n2 member=n2'
attack hostkey x "a swapped host key of one that is connected" 'member.refused it gives a member another key, and the one with the old.*member=n3'
attack rekey x "another key for one that is connected" 'member.refused it gives a member another key, and the one with the old.*member=n3'
attack nobody x "one that nobody has let in" 'member.refused nobody has let it in.*member=eve'
attack never x "or never" 'member.refused nobody has let it in.*member=zed'
attack future x "an entry that nothing could replace" 'member.refused it is dated more than a day ahead.*member=n3'
attack doom x "a removal for all time" 'member.refused it is dated more than a day ahead.*member=n3'
attack alias x "a member's key under another name" 'member.refused its key belongs to another member.*member=eve'
attack victim x "another key for the one who is asked" "member.refused it gives this node's name another key.*member=n1"
attack gossiphost x "an address that is a path" 'member.refused its address is not HOST:PORT.*member=eve'
attack option x "a user that is an option" 'member.refused its user is not a login name.*member=eve'
attack gossipaddress x "an address with a blank" 'peer.closed.*MEMBER'
attack options x "a key with a command" 'peer.closed.*MEMBER'
attack twolines x "a key of two lines" 'peer.closed.*MEMBER'
attack names x "more names than there may be members" 'peer.closed.*TABLE'
attack mask x "one member that says it is another" 'peer.closed.*peer=n2.*by="?this node'
attack forgotten x "one that is no member" 'attach.refused.*not a member.*peer=gone'
as_member() { # with the key of a member
	timeout 20 ssh -F none -T -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -i "$T/lab/n2/state/id_ed25519" -p "$port" "$(id -un)@127.0.0.1" "$@" </dev/null
}
attacks=$((attacks + 1))
as_member touch "$T/run" >/dev/null 2>&1
check "the key of a member runs no command" test ! -e "$T/run"
refused "it forwards nothing" "." as_member -N -o ExitOnForwardFailure=yes -R 0:127.0.0.1:1

# --- somebody else answers where a member was ---
host=$T/lab/n3/state/ssh_host_ed25519_key
touch "$T/lab/cut/n3-n1" # or n3 would dial
mkdir "$T/host"
mv "$host" "$host.pub" "$T/host/"
ssh-keygen -q -t ed25519 -N '' -C '' -f "$host"
"$lab" stop "$T/lab" n3 sshd
"$lab" start "$T/lab" n3 sshd
attacks=$((attacks + 1))
check_soon "another host key: not talked to" grep -q 'peer.unreachable its host key is not the pinned one.*peer=n3' "$log"
check "and counted" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' errors --json | jq -es 'flatten | map(select(.reason == \"hostkey\" and .peer == \"n3\")) | length > 0'"
mv "$T/host/ssh_host_ed25519_key" "$T/host/ssh_host_ed25519_key.pub" "$T/lab/n3/state/"
"$lab" stop "$T/lab" n3 sshd
"$lab" start "$T/lab" n3 sshd
rm "$T/lab/cut/n3-n1"

check "nobody was let in" test "$(members)" = "$before"
check "nothing was written that sshd would take for a command" bash -c "! grep -v -E '^restrict,(expiry-time=\"[0-9]{14}Z\",)?command=\"[^\"]+/attach --(peer|invite) [a-z0-9-]+ --socket [^\" ]+\" ssh-ed25519 [A-Za-z0-9+/=]+ mimeo:[a-z0-9-]+\$' '$T/lab/n1/state/authorized_keys'"

"$lab" heal "$T/lab" n1 n2
"$lab" heal "$T/lab" n2 n3
echo fine >"$(media n2)/fine"
check "the honest ones work on" mimeo n2 wait --timeout 20s fine
check "and are the same" same_trees n1 n2 n3

# --- a member may let others in, but the table has an end ---
"$lab" cut "$T/lab" n1 n2
attack flood x "a thousand members at once" 'member.refused there are as many members as there may be'
check "there are no more than may be" bash -c "[ \$('$build/mimeo' -c '$T/lab/n1/mimeo.conf' authorize --list | wc -l) -le 257 ]"
echo still >"$(media n3)/still"
check_soon "those who are there work on" test -s "$(media n1)/still"
check "these were $attacks attacks" test "$attacks" -ge 20
done_testing
