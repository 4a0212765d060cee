#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# RELIABILITY is a table: each row has its number, what closes it and what proves that; the files, functions and tests
# that it names exist, and the tests are run by `make check' or `make torture'. Speaks TAP.
set -eu
cd "${top_srcdir:-.}"

if wrong=$(awk '
	function bad(text) { print "RELIABILITY:" NR ": " text; errors++ }
	function row_end() {
		if (row != "" && !(closed && proved))
			bad("row " row " has no line \"" (closed ? "proved" : "closed") "\"")
		closed = proved = 0
	}
	function has(file, word,   line, found) {
		while ((getline line <file) > 0)
			if (line ~ "(^|[^a-z0-9_])" word "\\(")
				found = 1
		close(file)
		return found
	}
	function exists(file,   line, r) {
		r = (getline line <file)
		close(file)
		return r > 0
	}
	/^R[0-9]+ / {
		row_end()
		row = $1
		if (row != "R" ++rows)
			bad("row " row " where R" rows " is expected")
	}
	/^    closed: / {
		closed = 1
		n = split(substr($0, 13), part, "; ")
		for (i = 1; i <= n; i++) {
			m = split(part[i], word, /,? /)
			if (!exists(word[1]))
				bad("there is no " word[1])
			else
				for (k = 2; k <= m; k++)
					if (!has(word[1], word[k]))
						bad(word[1] " has no " word[k])
			if (m < 2)
				bad(part[i] " names no function")
		}
	}
	/^    proved: / {
		proved = 1
		n = split(substr($0, 13), part, ", ")
		for (i = 1; i <= n; i++) {
			if (!exists(part[i]))
				bad("there is no " part[i])
			name = part[i]
			sub(/\.c$/, "", name)
			base = name
			sub(/.*\//, "", base)
			sub(/\.sh$/, "", base)
			gsub(/\./, "\\.", name)
			if (!has_text("Makefile.am", name) && !has_text("tests/torture", "run " base))
				bad("nothing runs " part[i])
		}
	}
	function has_text(file, text,   line, found) {
		while ((getline line <file) > 0)
			if (line ~ text)
				found = 1
		close(file)
		return found
	}
	END {
		row_end()
		if (rows < 90)
			bad("only " rows " rows")
		exit errors > 0
	}' RELIABILITY); then
	echo "ok 1 - all rows"
	status=0
else
	echo "not ok 1 - all rows"
	printf '%s\n' "$wrong" | sed 's/^/# /'
	status=1
fi
echo "1..1"
exit "$status"
