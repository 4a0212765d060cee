#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# SRV records as a source of hints, from a small DNS server in a network of its own: addresses that nobody else knows; a server that is away, silent or hostile changes nothing.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
if [ -z "${MIMEO_DNS_INSIDE:-}" ]; then
	# The resolver asks port 53 of the server in resolv.conf: both are ours in here.
	if unshare -n -m true 2>/dev/null; then
		MIMEO_DNS_INSIDE=1 exec unshare -n -m bash "$0"
	fi
	echo "1..0 # SKIP a network and mounts of its own need root"
	exit 0
fi
. "$(dirname "$0")/lib.sh"
need sshd jq ssh-keygen python3 ip

says() { # NODE PATTERN
	grep -qE -e "$2" "$T/lab/$1/log/agent.log"
}
answer() { # WHAT THE SERVER DOES
	echo "$*" >"$T/dns.answer.new"
	mv "$T/dns.answer.new" "$T/dns.answer"
}
looked_up() { # what it prints, and its exit status
	"$build/lookup" mimeo.test 0>"$T/looked" 2>"$T/err"
	echo "$? $(tr '\n' ' ' <"$T/looked")"
}

ip link set lo up
echo "nameserver 127.0.0.1" >"$T/resolv.conf"
echo "options timeout:1 attempts:1" >>"$T/resolv.conf"
must "a resolver of our own" mount --bind "$T/resolv.conf" /etc/resolv.conf
cat >"$T/dns.py" <<'END'
# Answers SRV questions by what a file says: lines of PRIORITY WEIGHT PORT HOST, or one word.
import os, socket, struct, sys
path = sys.argv[1]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', 53))
def name(host):
    return b''.join(bytes([len(l)]) + l.encode() for l in host.split('.') if l) + b'\0'
def question(q):
    at = 12
    while q[at]:
        at += 1 + q[at]
    return q[12:at + 5], struct.unpack('>H', q[at + 1:at + 3])[0], q[12:at]
open(path + '.up', 'w').close()
while True:
    q, who = s.recvfrom(4096)
    asked, kind, host = question(q)
    said = open(path).read().split(';')
    word = said[0].strip()
    head = lambda flags, n: q[:2] + struct.pack('>HHHHH', flags, 1, n, 0, 0) + asked
    if host.endswith(b'\x07mimeo-x\x04test') or kind not in (1, 33):
        s.sendto(head(0x8180, 0), who)
    elif kind == 1:
        s.sendto(head(0x8180, 1) + b'\xc0\x0c' + struct.pack('>HHIH', 1, 1, 60, 4) + bytes([127, 0, 0, 1]), who)
    elif word == 'silent':
        pass
    elif word == 'none':
        s.sendto(head(0x8183, 0), who)
    elif word == 'fails':
        s.sendto(head(0x8182, 0), who)
    elif word == 'garbage':
        s.sendto(q[:2] + struct.pack('>HHHHH', 0x8180, 1, 9, 0, 0) + asked + os.urandom(300), who)
    elif word == 'loop':
        s.sendto(head(0x8180, 1) + b'\xc0\x0c' + struct.pack('>HHIH', 33, 1, 60, 8) + struct.pack('>HHH', 1, 1, 22) + bytes([0xc0, len(q[:12] + asked) + 18]), who)
    else:
        out = b''
        for line in said:
            p, w, port, target = line.split()
            data = struct.pack('>HHH', int(p), int(w), int(port)) + name(target)
            out += b'\xc0\x0c' + struct.pack('>HHIH', 33, 1, 60, len(data)) + data
        s.sendto(head(0x8180, len(said)) + out, who)
END
answer none
python3 "$T/dns.py" "$T/dns.answer" 2>"$T/dns.err" &
check_soon "a DNS server" test -e "$T/dns.answer.up"

check "no such name" test "$(looked_up)" = "3 "
answer "20 0 22 web3.mimeo.test; 10 5 2222 WEB2.mimeo.test; 10 50 22 web1.mimeo.test; 1 1 0 web4.mimeo.test; 1 1 22 -o.mimeo.test"
check "records in their order, those that make no sense left out" test "$(looked_up)" = "0 web1 web1.mimeo.test:22 web2 WEB2.mimeo.test:2222 web3 web3.mimeo.test:22 "
for what in silent fails garbage loop; do
	answer "$what"
	check "a server that says: $what" test "$(looked_up)" = "1 "
done
check "a domain that is none" bash -c "'$build/lookup' '-x' 2>'$T/err'; [ \$? = 2 ] && grep -q DOMAIN '$T/err'"

must "two nodes" "$lab" up "$T/lab" 2
# n2 can be found at an address that only the DNS knows, and cannot dial n1 itself.
port=$(tr -d : <"$T/lab/n2/port")
touch "$T/lab/cut/n2-n1"
sed -i 's/^address = .*/address = 127.0.0.1:9/' "$T/lab/n2/mimeo.conf"
check_soon "one moves to where nobody is" mimeo n2 reload
check_soon "as the other one knows" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' peers --json | jq -es 'flatten | map(select(.name == \"n2\" and .address == \"127.0.0.1:9\")) | length == 1'"
"$lab" stop "$T/lab" n1 agent
answer garbage
printf '[discovery]\ndns = mimeo.test\n' >>"$T/lab/n1/mimeo.conf"
"$lab" start "$T/lab" n1 agent
check_soon "garbage is said" says n1 'dns.away'
check_soon "and counted" bash -c "'$build/mimeo' -c '$T/lab/n1/mimeo.conf' errors --json | jq -es 'flatten | map(select(.reason == \"dns\")) | length > 0'"
check "so it is not found" connected_are n1 ""
answer "1 1 9 n2.mimeo.test; 2 1 $port n2.mimeo.test; 1 1 22 evil.mimeo.test"
check_soon "there are records" says n1 'dns.hint.*found=2'
check_soon "it is found by the second one" connected_are n1 n2
check "nobody is in for it" bash -c "[ \"\$('$build/mimeo' -c '$T/lab/n1/mimeo.conf' authorize --list | awk 'NR > 1 { print \$1 }' | sort | tr '\n' ' ')\" = 'n1 n2 ' ]"
echo there >"$(media n1)/there"
check "files arrive" mimeo n1 wait --timeout 20s there
done_testing
