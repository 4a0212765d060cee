#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The miss handler: a file that is elsewhere, on its way, or nowhere; storms, races, wrong content; behind nginx.
# MISS_RACES: how often a file is uploaded and at once asked for by 500 elsewhere (2).
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq curl python3

url() { # NODE PATH
	echo "http://$(cat "$T/lab/$1/http")$2"
}
code() { # CODE URL [CURL ARGUMENT ...]
	local got
	got=$(curl -sS --max-time 40 -o "$T/got" -w '%{http_code}' "${@:2}")
	[ "$got" = "$1" ] || {
		echo "got $got" && head -c 300 "$T/got"
		return 1
	}
}
header() { # NAME URL [CURL ARGUMENT ...]: its value
	curl -sS --max-time 40 -o /dev/null -D - "${@:2}" | tr -d '\r' | awk -v name="$1:" 'tolower($1) == tolower(name) { sub(/^[^ ]* /, ""); print }'
}
metric() { # NODE NAME
	curl -sS --max-time 20 "$(url "$1" /sync/metrics)" | awk -v name="$2" '$1 == name { print $2 }'
}

fetched() { # NODE: bytes of whole files that came from others
	curl -sS --max-time 20 "$(url "$1" /sync/metrics)" | awk '/^mimeo_transferred_bytes_total.*direction="in",kind="whole"/ { n += $2 } END { print n + 0 }'
}

# Many requests at once, each checked to the last byte; prints what went wrong.
cat >"$T/storm.py" <<'END'
import hashlib, http.client, sys, threading
clients, want = int(sys.argv[1]), sys.argv[2]
urls = sys.argv[3:]
bad = []
def one(url):
    host, path = url.split('/', 3)[2:]
    try:
        c = http.client.HTTPConnection(host, timeout=60)
        c.request('GET', '/' + path)
        r = c.getresponse()
        digest, n = hashlib.sha256(), 0
        while data := r.read(1 << 16):
            digest.update(data)
        if r.status != 200 or (want != '-' and digest.hexdigest() != want):
            bad.append('%s: %d' % (url, r.status))
        c.close()
    except Exception as e:
        bad.append('%s: %r' % (url, e))
threads = [threading.Thread(target=one, args=(urls[i % len(urls)],)) for i in range(clients)]
for t in threads: t.start()
for t in threads: t.join()
print(len(bad), 'of', clients, 'failed', *bad[:5], sep='\n')
sys.exit(bool(bad))
END

check "three nodes come up" "$lab" up "$T/lab" 3 "watch.ignore=*.tmp, .mimeo-id, .secret/"
n1=$(media n1) n2=$(media n2)

# From here.
mkdir "$n2/dir"
printf 'hello world' >"$n2/dir/a b&ü.txt"
here=$(url n2 '/media/dir/a%20b%26%C3%BC.txt')
hash=$(printf 'hello world' | sha256sum | cut -c1-64)
check_soon "n2 is in sync" in_sync n2
check "a file from here" code 200 "$here"
check "is that file" cmp -s "$T/got" "$n2/dir/a b&ü.txt"
check "its type" test "$(header content-type "$here")" = text/plain
check "its tag is its hash" test "$(header etag "$here")" = "\"$hash\""
check "its date" test "$(header last-modified "$here")" = "$(TZ=UTC date -r "$n2/dir/a b&ü.txt" '+%a, %d %b %Y %H:%M:%S GMT')"
check "a part" code 206 "$here" -r 6-8
check "is that part" test "$(cat "$T/got")" = wor
check "and says which" test "$(header content-range "$here" -r 6-8)" = "bytes 6-8/11"
check "the end" code 206 "$here" -r -5
check "is the end" test "$(cat "$T/got")" = world
check "a part behind the end" code 416 "$here" -r 11-
check "what the client has is not sent again" code 304 "$here" -H "If-None-Match: \"$hash\""
check "by date as well" code 304 "$here" -H "If-Modified-Since: $(header last-modified "$here")"
check "a part of another version is not sent" code 200 "$here" -r 6-8 -H 'If-Range: "other"'
check "a part of the same is" code 206 "$here" -r 6-8 -H "If-Range: \"$hash\""
check "HEAD" test "$(header content-length "$here" -I)" = 11

# Nowhere, and never.
check "nobody has it" code 404 "$(url n2 /media/nowhere)"
check "a directory" code 404 "$(url n2 /media/dir)"
check "the root" code 404 "$(url n2 /media/)"
for path in .mimeo-id %2e%2e/mimeo.conf ../mimeo.conf dir/../../mimeo.conf dir/%2e%2e/%2e%2e/mimeo.conf /etc/passwd dir//a dir/./a 'a%00b' \
	.mimeo/kept x.tmp .secret/key '%2e%2e%2f%2e%2e%2fetc%2fpasswd'; do
	check "never: $path" code 404 "$(url n2 "/media/$path")" --path-as-is
done
echo tmp >"$n2/x.tmp"
mkdir "$n2/.secret" && echo key >"$n2/.secret/key"
ln -s /etc/passwd "$n2/outside"
check "an ignored file that is there" code 404 "$(url n2 /media/x.tmp)"
check "one in an ignored directory" code 404 "$(url n2 /media/.secret/key)"
check "a symlink that leaves the root" code 404 "$(url n2 /media/outside)"

# Behind nginx, with the sample configuration.
front=$(url n2 '')
if [ -x /usr/sbin/nginx ] || command -v nginx >/dev/null; then
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	mkdir "$T/nginx"
	{
		echo "daemon off; pid $T/nginx/pid; error_log $T/nginx/error.log; worker_processes 1;"
		[ "$(id -u)" != 0 ] || echo "user root;"
		echo "events { worker_connections 4096; }"
		echo "http { access_log off; client_body_temp_path $T/nginx/b; proxy_temp_path $T/nginx/p; fastcgi_temp_path $T/nginx/f;"
		echo "uwsgi_temp_path $T/nginx/u; scgi_temp_path $T/nginx/s; server { listen 127.0.0.1:$port;"
		sed -e "s|root /srv/www;|root $T/lab/n2;|" -e "s|127.0.0.1:9477|$(cat "$T/lab/n2/http")|" "$top/conf/nginx.conf.sample"
		echo "} }"
	} >"$T/nginx/conf"
	PATH=$PATH:/usr/sbin nginx -c "$T/nginx/conf" >/dev/null 2>"$T/nginx/out" </dev/null &
	nginx_pid=$!
	trap 'kill "$nginx_pid" 2>/dev/null; cleanup' EXIT
	front=http://127.0.0.1:$port
	check_soon "nginx answers" code 200 "$front/media/dir/a%20b%26%C3%BC.txt"
	check "and never shows the marker" code 404 "$front/media/.mimeo-id"
else
	echo "# nginx is not installed (package nginx-light): what follows goes to the agent itself"
fi

# Behind Apache, with the sample configuration.
modules=/usr/lib/apache2/modules
if [ -x /usr/sbin/apache2 ] && [ -d "$modules" ]; then
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	mkdir "$T/apache"
	chmod 755 "$T" "$T/lab" "$T/lab/n2"
	{
		printf 'ServerRoot %s\nPidFile %s\nErrorLog %s\n' "$T/apache" "$T/apache/pid" "$T/apache/error.log"
		printf 'Listen 127.0.0.1:%s\nServerName lab\nUser nobody\nGroup nogroup\n' "$port"
		for module in mpm_event authz_core alias rewrite proxy proxy_http; do
			echo "LoadModule ${module}_module $modules/mod_$module.so"
		done
		sed -e "s|/srv/www|$T/lab/n2|g" -e "s|127.0.0.1:9477|$(cat "$T/lab/n2/http")|" "$top/conf/apache.conf.sample"
	} >"$T/apache/conf"
	/usr/sbin/apache2 -f "$T/apache/conf" -DFOREGROUND >"$T/apache/out" 2>&1 </dev/null &
	apache_pid=$!
	trap 'kill "$apache_pid" ${nginx_pid:+"$nginx_pid"} 2>/dev/null; cleanup' EXIT
	check_soon "Apache answers" code 200 "http://127.0.0.1:$port/media/dir/a%20b%26%C3%BC.txt"
	check "and never shows the marker" code 404 "http://127.0.0.1:$port/media/.mimeo-id"
	echo there >"$n1/a %+b ü.txt"
	check "what is elsewhere comes through it" code 200 "http://127.0.0.1:$port/media/a%20%25%2Bb%20%C3%BC.txt"
	check "what is nowhere does not" code 404 "http://127.0.0.1:$port/media/nowhere"
else
	echo "# Apache is not installed (package apache2-bin): its sample is not tried"
fi

# A visitor is faster than replication.
race() {
	local i
	for i in $(seq 40); do
		head -c 20000 /dev/urandom >"$n1/.up.tmp" && mv "$n1/.up.tmp" "$n1/race-$i.jpg"
		python3 "$T/storm.py" 5 "$(sha256sum "$n1/race-$i.jpg" | cut -c1-64)" "$front/media/race-$i.jpg" || return 1
	done
}
check "40 uploads to n1, each asked for on n2 at once by 5: all served" race
burst() {
	local i urls=
	for i in $(seq 200); do
		echo "picture $i" >"$n1/burst-$i.txt"
		urls="$urls $front/media/burst-$i.txt"
	done
	# shellcheck disable=SC2086
	python3 "$T/storm.py" 200 - $urls
}
check "200 uploads, all asked for at once" burst
check_soon "all in sync" in_sync n1 n2 n3
crowd() {
	local i before
	for i in $(seq "${MISS_RACES:-2}"); do
		before=$(fetched n2)
		head -c 200000 /dev/urandom >"$n1/.up.tmp"
		sum=$(sha256sum "$n1/.up.tmp" | cut -c1-64)
		mv "$n1/.up.tmp" "$n1/crowd-$i.jpg"
		python3 "$T/storm.py" 500 "$sum" "$front/media/crowd-$i.jpg" || return 1
		[ "$(($(fetched n2) - before))" = 200000 ] || {
			echo "$(($(fetched n2) - before)) bytes were fetched"
			return 1
		}
	done
}
check "an upload to n1, at once asked for on n2 by 500: all served, by one fetch, ${MISS_RACES:-2} times" crowd

# What nobody had a moment ago, somebody has now.
check "not there yet" code 404 "$front/media/late.txt"
echo late >"$n1/late.txt"
check_soon "and now it is" code 200 "$front/media/late.txt"

# One fetch for a storm, and it streams.
check_soon "all in sync" in_sync n1 n2 n3
sed -i '/^\[sync\]/a rate_limit = 8M' "$T/lab/n1/mimeo.conf" "$T/lab/n3/mimeo.conf"
mimeo n1 reload
mimeo n3 reload
"$lab" stop "$T/lab" n3 agent
before=$(metric n2 'mimeo_transferred_bytes_total{peer="n1",direction="in",kind="whole"}')
asked=$(metric n2 mimeo_miss_asked_total)
head -c 12000000 /dev/urandom >"$T/video"
video=$(sha256sum "$T/video" | cut -c1-64)
mv "$T/video" "$n1/video.mp4"
first_bytes() { # the first of them come while the file is not there yet
	curl -sS --max-time 40 "$(url n2 /media/video.mp4)" | head -c 300000 | cmp -n 300000 - "$n1/video.mp4" && [ ! -e "$n2/video.mp4" ]
}
check "a large file streams while it arrives" first_bytes
check "500 clients get all of it" python3 "$T/storm.py" 500 "$video" "$(url n2 /media/video.mp4)"
check "by one fetch" test "$(($(metric n2 'mimeo_transferred_bytes_total{peer="n1",direction="in",kind="whole"}') - before))" = 12000000
check "and one question at most" test "$(($(metric n2 mimeo_miss_asked_total) - asked))" -le 1
check "some were served from what was on its way" test "$(metric n2 'mimeo_miss_requests_total{result="streamed"}')" -gt 0

# What comes does not have its hash: no client may take it for the file.
"$lab" stop "$T/lab" n2 agent
head -c 6000000 /dev/urandom >"$n1/rotten.bin"
logged() {
	mimeo n1 history rotten.bin --json | grep -q rotten
}
check_soon "n1 logs a file" logged
"$lab" stop "$T/lab" n1 watcher
stamp=$(stat -c %y "$n1/rotten.bin")
cp -p "$n1/rotten.bin" "$T/good"
printf rot | dd of="$n1/rotten.bin" bs=1 seek=3000000 conv=notrunc status=none
touch -d "$stamp" "$n1/rotten.bin"
"$lab" start "$T/lab" n2 agent
listens() {
	curl -sS --max-time 5 "$(url n2 /healthz)"
}
check_soon "n2 is back" listens
served_wrong() { # a whole answer that is not the file
	local i got
	for i in $(seq 3); do
		got=$(curl -sS --max-time 60 -o "$T/got" -w '%{http_code}' "$(url n2 /media/rotten.bin)") && [ "$got" = 200 ] && return 0
	done
	return 1
}
never_whole() {
	! served_wrong
}
counted() {
	[ "$(metric n2 'sync_errors_total{peer="n1",reason="hash"}')" -gt 0 ]
}
check "wrong content is never served whole" never_whole
check_soon "it is counted" counted
check "nor is it kept" test ! -e "$n2/rotten.bin"
dd if="$T/good" of="$n1/rotten.bin" bs=1 skip=3000000 seek=3000000 count=3 conv=notrunc status=none
touch -d "$stamp" "$n1/rotten.bin"
check_soon "once it is right, it is served" code 200 "$(url n2 /media/rotten.bin)"
check "to the last byte" cmp -s "$T/got" "$T/good"
done_testing
