#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Style and static analysis; every complaint is an error. Used by `make lint' and `make format'.
#
#   tests/lint.sh COMPILER-FLAG...    checks the format of all C files, runs clang-tidy on them with
#                                     the flags, shellcheck on all scripts, and the layer check
#   tests/lint.sh --format            rewrites the C files in the format instead
#
# top_srcdir is the source tree. Run in the top of the build tree, where config.h is.

set -euo pipefail

cd_source() {
	cd "${top_srcdir:?}"
}

c_files() {
	(cd_source && find proto conf watcher agent tests -name "$1" | sort)
}

scripts() {
	(cd_source && grep -rlI -m 1 --exclude='*.[ch]' --exclude='*.md' \
		-e '^#!.*[/ ]\(ba\|da\)\?sh\( \|$\)' autogen.sh .ci ./*/ |
		grep -v '^\./\(build-aux\|autom4te.cache\|mimeo-[0-9.]*\)/' | sort)
}

failed=0

# step NAME COMMAND...
step() {
	echo "lint: $1"
	if ! "${@:2}"; then
		echo "lint: $1 failed"
		failed=1
	fi
}

format() {
	(cd_source && c_files '*.[ch]' | xargs -r clang-format "$@")
}

# One file at a time: with several, clang-tidy 14 forgets what a va_list is. How many warnings were
# hidden in system headers is of no interest.
tidy() {
	c_files '*.c' | sed "s|^|$top_srcdir/|" |
		xargs -r -P "$(nproc)" -I FILE clang-tidy --quiet FILE -- "${flags[@]}" \
			2> >(grep -v 'warnings\? generated\.$' >&2)
}

# SC2317 takes a function that is called through "$@" for dead.
shell_check() {
	(cd_source && scripts | xargs -r shellcheck --external-sources --exclude=SC2317)
}

layers() {
	(cd_source && bash tests/check-layers.sh)
}

if [ "${1:-}" = --format ]; then
	format -i
	exit
fi

flags=("$@")
step format format --dry-run -Werror
step layers layers
step shellcheck shell_check
step clang-tidy tidy
exit "$failed"
