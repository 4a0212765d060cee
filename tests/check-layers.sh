#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Checks which file includes what, and names file and line of every offence. Speaks TAP.
#
#   proto/    includes proto/, and of the system only headers without system calls, clock and files
#             (proto/walfile.c, which reads and writes the log's file, is free)
#   conf/     includes conf/, proto/
#   watcher/  includes watcher/, conf/, proto/
#   agent/    includes agent/, conf/, proto/; of agent/cmd/ nothing outside it
#   tests/    includes everything, and nothing includes tests/
#
# A library is included by the one file that wraps it (table below). Project headers are written
# from the top, "proto/record.h", and every .c begins with config.h.

set -euo pipefail
cd "${top_srcdir:-.}"

# shellcheck disable=SC2016 # the program is awk's, not the shell's
offences='
BEGIN {
	below["proto"] = "^proto/"
	below["conf"] = "^(conf|proto)/"
	below["watcher"] = "^(watcher|conf|proto)/"
	below["agent"] = "^(agent|conf|proto)/"
	below["tests"] = "^(agent|conf|proto|tests|watcher)/"

	pure = "^(assert|errno|inttypes|limits|stdalign|stdarg|stdbool|stddef|stdint|stdlib|string|" \
		"strings|sys/types)\\.h$"

	wrapper["libssh2\\.h"] = "agent/ssh.c"
	wrapper["librsync\\.h"] = "agent/delta.c"
	wrapper["openssl/.*"] = "conf/hash.c agent/ssh.c"
	wrapper["ini\\.h"] = "conf/ini.c"
	wrapper["microhttpd\\.h"] = "agent/http.c"
	wrapper["jansson\\.h"] = "agent/cmd/table.c"
	wrapper["sys/inotify\\.h"] = "conf/notify.c"
	wrapper["(pthread|threads)\\.h"] = "conf/work.c"
}

function offence(why) {
	printf "%s:%d: %s\n", FILENAME, FNR, why
}

function project_include(name) {
	if (name == "config.h")
		return
	if (name !~ /\//)
		offence("\"" name "\": written from the top, \"" folder "/" name "\"")
	else if (name !~ below[folder])
		offence(folder "/ may not include \"" name "\"")
	else if (name ~ /^agent\/cmd\// && FILENAME !~ /^(agent\/cmd|tests)\//)
		offence("only agent/cmd/ may include \"" name "\"")
}

function system_include(name, library) {
	if (name ~ below["tests"])
		offence("<" name ">: a header of the project is written with quotes")
	if (folder == "tests")
		return
	if (folder == "proto" && FILENAME !~ /^proto\/walfile\.[ch]$/ && name !~ pure)
		offence("proto/ is pure and may not include <" name ">")
	for (library in wrapper)
		if (name ~ "^" library "$" && index(" " wrapper[library] " ", " " FILENAME " ") == 0)
			offence("<" name "> belongs to " wrapper[library])
}

FNR == 1 {
	folder = FILENAME
	sub(/\/.*/, "", folder)
	first = 1
}

/^[ \t]*#[ \t]*include/ {
	name = $0
	sub(/^[ \t]*#[ \t]*include[ \t]*/, "", name)
	quote = substr(name, 1, 1)
	name = substr(name, 2)
	sub(/[">].*/, "", name)
	if (first && FILENAME ~ /\.c$/ && name != "config.h")
		offence("the first include is config.h")
	first = 0
	if (quote == "\"")
		project_include(name)
	else
		system_include(name)
}
'

count=0 failed=0
for folder in proto conf watcher agent tests; do
	mapfile -t files < <(find "$folder" -name '*.[ch]' | LC_ALL=C sort)
	found=
	if [ "${#files[@]}" -gt 0 ]; then
		found=$(awk "$offences" "${files[@]}")
	fi
	count=$((count + 1))
	if [ -z "$found" ]; then
		echo "ok $count - $folder/ includes what it may (${#files[@]} files)"
	else
		echo "not ok $count - $folder/ includes what it may"
		printf '%s\n' "$found" | sed 's/^/#   /'
		failed=1
	fi
done
echo "1..$count"
exit "$failed"
