#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Checks that each header compiles alone, twice in a row, and without a warning. Speaks TAP.
#
# CC and HEADER_CFLAGS say how to compile; top_srcdir and top_builddir are where the header and
# config.h are.

set -euo pipefail

top_builddir=$(cd "${top_builddir:-.}" && pwd)
cd "${top_srcdir:-.}"

read -ra cc <<<"${CC:-cc}"
read -ra flags <<<"${HEADER_CFLAGS:-}"

compiles() {
	printf '#include "config.h"\n#include "%s"\n#include "%s"\nextern int some;\n' \
		"$1" "$1" |
		"${cc[@]}" "${flags[@]}" -Werror -I"$top_builddir" -I. -fsyntax-only -xc - 2>&1
}

count=0 failed=0
while read -r header; do
	count=$((count + 1))
	if complaint=$(compiles "$header"); then
		echo "ok $count - $header"
	else
		echo "not ok $count - $header"
		printf '%s\n' "$complaint" | sed 's/^/#   /'
		failed=1
	fi
done < <(find proto conf watcher agent tests -name '*.h' | LC_ALL=C sort)
echo "1..$count"
exit "$failed"
