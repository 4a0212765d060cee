#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The hook is told what came from others, in batches, with any name; whatever it does, replication goes on and it is counted.
# And the examples do what they say.
# shellcheck source=tests/e2e/lib.sh disable=SC1091
. "$(dirname "$0")/lib.sh"
need sshd jq python3 curl

setting() { # NODE SECTION KEY VALUE
	sed -i "/^\[$2\]/,/^\[/{/^$3 *=/d}; s#^\[$2\]\$#&\n$3 = $4#" "$T/lab/$1/mimeo.conf"
	grep -q "^\[$2\]" "$T/lab/$1/mimeo.conf" || printf '[%s]\n%s = %s\n' "$2" "$3" "$4" >>"$T/lab/$1/mimeo.conf"
	mimeo "$1" reload
}
counter() { # NODE NAME: of its metrics
	curl -sf "http://$(sed -n 's/^listen *= *//p' "$T/lab/$1/mimeo.conf" | head -1)/sync/metrics" | awk -v m="$2" '$1 == m { print $2 }'
}
counts() { # NODE NAME VALUE-OR-MORE
	local now
	now=$(counter "$1" "$2")
	[ "${now%.*}" -ge "$3" ]
}
told() { # PATH OP ORIGIN: by n2's hook
	python3 - "$T/told" "$@" <<-'EOF'
		import os, sys
		want = tuple(os.fsencode(a) for a in sys.argv[2:5])
		for name in os.listdir(sys.argv[1]):
		    if name.endswith(".new"):
		        continue
		    with open(os.path.join(sys.argv[1], name), "rb") as f:
		        head, paths = f.read().split(b"\n", 1)
		    op, origin = head.split(b" ")[:2]
		    assert paths.endswith(b"\0"), (name, paths)
		    if (want[1], want[2]) == (op, origin) and want[0] in paths.split(b"\0"):
		        sys.exit(0)
		sys.exit(1)
	EOF
}

mkdir "$T/told"
cat >"$T/hook" <<EOF
#!/bin/sh
{
	echo "\$MIMEO_OP \$MIMEO_ORIGIN \$MIMEO_NODE \$MIMEO_ROOT \$#"
	cat
} >"$T/told/\$\$.new" && mv "$T/told/\$\$.new" "$T/told/\$\$"
EOF
chmod 755 "$T/hook"
must "three nodes come up" "$lab" up "$T/lab" 3
check_soon "in sync" in_sync n1 n2 n3
check "n2 gets a hook" setting n2 hook applied "$T/hook"

# --- what it is told ---
name=$'a\nb "c" \x1b[31m \xff'
mkdir "$(media n1)/d"
echo one >"$(media n1)/d/$name"
echo two >"$(media n1)/d/-plain"
echo three >"$(media n3)/from-n3"
check_soon "a name with a newline and worse" told "d/$name" changed n1
check_soon "another" told d/-plain changed n1
check_soon "a directory" told d changed n1
check_soon "what another node wrote" told from-n3 changed n3
chmod 600 "$(media n1)/d/-plain"
rm "$(media n1)/d/$name"
check_soon "a delete" told "d/$name" removed n1
echo own >"$(media n2)/own"
check_soon "n2's own file is everywhere" test -s "$(media n1)/own"
check "it is not told of that" bash -c "! grep -rlq own '$T/told'"
check "it knows the node and the root" grep -rlq "^changed n1 n2 $(media n2) 0\$" "$T/told"
check_soon "runs are counted" counts n2 mimeo_hook_runs_total 2
check "none failed" test "$(counter n2 mimeo_hook_failures_total)" = 0
rm -rf "$T/told"
mkdir "$T/told"
for i in $(seq 300); do
	echo "$i" >"$(media n1)/d/many$i"
done
check_soon "of many files the last is told" told d/many300 changed n1
all_told() {
	[ "$(cat "$T/told"/*[0-9] | tr '\0' '\n' | grep -c '^d/many')" -ge 300 ]
}
check_soon "all are told" all_told
runs=$(find "$T/told" -type f | wc -l)
check "in batches, not one by one ($runs runs)" test "$runs" -lt 150

# --- what does not work ---
check "a program that fails" setting n2 hook applied /bin/false
echo x >"$(media n1)/x1"
check_soon "is counted" counts n2 mimeo_hook_failures_total 1
check_soon "and said" bash -c "'$build/mimeo' -c '$T/lab/n2/mimeo.conf' errors | grep -q 'it ended with code 1'"
check_soon "the file is there" test -s "$(media n2)/x1"
cp "$T/hook" "$T/gone"
check "a program that goes away" setting n2 hook applied "$T/gone"
rm "$T/gone"
echo x >"$(media n1)/x2"
check_soon "is said" bash -c "'$build/mimeo' -c '$T/lab/n2/mimeo.conf' errors | grep -q 'it cannot be started'"
check_soon "the file is there" test -s "$(media n2)/x2"
cat >"$T/slow" <<EOF
#!/bin/sh
touch "$T/slow.runs"
trap '' TERM
while [ ! -e "$T/slow.go" ]; do sleep 0.1; done
EOF
chmod 755 "$T/slow"
check "a program that takes its time" setting n2 hook applied "$T/slow"
echo x >"$(media n1)/x3"
check_soon "runs" test -e "$T/slow.runs"
echo x >"$(media n1)/x4"
check_soon "replication does not wait for it" test -s "$(media n2)/x4"
check_soon "and says that all is in sync" in_sync n1 n2 n3
touch "$T/slow.go"
check_soon "it is done" counts n2 mimeo_hook_runs_total 3
check "none that is configured is there to be run" setting n2 hook applied ""
echo x >"$(media n1)/x5"
check_soon "and nothing is run" test -s "$(media n2)/x5"
check "the counter of sync errors has the reason" test "$(curl -s "http://$(sed -n 's/^listen *= *//p' "$T/lab/n2/mimeo.conf" | head -1)/sync/metrics" | grep -c 'sync_errors_total{.*reason="hook"')" = 1

# --- the examples ---
key=$(printf '/media/d/a\nb' | md5sum | cut -d' ' -f1)
mkdir -p "$T/cache/${key:31:1}/${key:29:2}"
touch "$T/cache/${key:31:1}/${key:29:2}/$key" "$T/cache/other"
printf 'd/a\nb\0d/other\0' | CACHE=$T/cache "$top/conf/hooks/purge-nginx"
ok $? "purge-nginx ends well"
check "it took the one file" test ! -e "$T/cache/${key:31:1}/${key:29:2}/$key"
check "and no other" test -e "$T/cache/other"
cat >"$T/server.py" <<'EOF'
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        with open(sys.argv[1] + "/requests", "a") as f:
            f.write(f"{self.command} {self.path} {self.headers.get('Host')} {self.headers.get('Authorization')} {body}\n")
        self.send_response(405 if "refused" in self.path else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_PURGE = do_POST = answer
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), H)
open(sys.argv[1] + "/port.new", "w").write(str(s.server_address[1]))
import os; os.rename(sys.argv[1] + "/port.new", sys.argv[1] + "/port")
s.serve_forever()
EOF
python3 "$T/server.py" "$T" &
server=$!
check_soon "a server listens" test -s "$T/port"
port=$(cat "$T/port")
printf 'd/a b\0\xffx\0' | VARNISH=127.0.0.1:$port SITE=www.example.org "$top/conf/hooks/purge-varnish"
ok $? "purge-varnish ends well"
check "it asked for each path" grep -qx 'PURGE /media/d/a%20b www.example.org None ' "$T/requests"
check "whatever its bytes" grep -qx 'PURGE /media/%FFx www.example.org None ' "$T/requests"
printf 'refused\0' | VARNISH=127.0.0.1:$port "$top/conf/hooks/purge-varnish" 2>"$T/stderr"
ok $((1 - $?)) "a refusal is an error"
echo secret >"$T/token"
printf 'a b\0c\0' | CDN_API=http://127.0.0.1:$port/purge CDN_TOKEN=$T/token SITE=https://www.example.org/ "$top/conf/hooks/purge-cdn"
ok $? "purge-cdn ends well"
check "it sent the list" grep -q 'POST /purge .*Bearer secret {"files": \["https://www.example.org/a%20b", "https://www.example.org/c"\]}' "$T/requests"
kill "$server"
done_testing
