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
	(cd_source && grep -rlIm 1 --exclude-dir=.git --exclude-dir=build-aux --exclude-dir='mimeo-*' --exclude='*.[ch]' --exclude='*.md' \
		-e '^#!.*[/ ]\(ba\|da\)\?sh\( \|$\)' autogen.sh .ci ./*/ | sort)
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

# How many warnings were hidden in system headers is of no interest.
tidy_some() {
	clang-tidy --quiet "$@" -- "${flags[@]}" 2> >(grep -v 'warnings\? generated\.$' >&2)
}

# One process for each processor.
tidy() {
	local jobs=() n=0 status=0 k pid
	n=$(nproc)
	mapfile -t files < <(c_files '*.c' | sed "s|^|$top_srcdir/|")
	for ((k = 0; k < n; k++)); do
		share=()
		for ((i = k; i < ${#files[@]}; i += n)); do
			share+=("${files[i]}")
		done
		if [ "${#share[@]}" -gt 0 ]; then
			tidy_some "${share[@]}" &
			jobs+=($!)
		fi
	done
	for pid in "${jobs[@]}"; do
		wait "$pid" || status=1
	done
	return "$status"
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
