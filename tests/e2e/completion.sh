#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Every verb and every option that --help names is completed, in bash and in zsh.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
program=$build/mimeo

in_bash() { # WORDS...: what is offered for the last one
	bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mimeo; printf "%s\n" "${COMPREPLY[@]}"' \
		- "$top/conf/completion/mimeo" "$@"
}
# The completion's own code with zsh's builtin replaced by one that prints what is offered.
in_zsh() { # WORDS...
	# shellcheck disable=SC2016 # the program is zsh's
	zsh -f -c 'file=$1; shift; compadd() { shift; for w; do [[ $w == ${words[CURRENT]}* ]] && print -r -- $w; done }
		_files() { print FILES; }
		words=("$@"); CURRENT=$#
		run() { source $file; }
		run' - "$top/conf/completion/_mimeo" "$@"
}
offers() { # SHELL EXPECTED WORDS...: among others
	"in_$1" "${@:3}" >"$T/offered"
	grep -qxF -e "$2" "$T/offered" || {
		echo "not offered: $2"
		cat "$T/offered"
		return 1
	}
}
offers_all() { # SHELL
	local verb word bad=0 n=0
	for verb in "${verbs[@]}"; do
		offers "$1" "$verb" "$program" "${verb:0:1}" || bad=1
		offers "$1" "$verb" "$program" -c some.conf "" || bad=1
		for word in $("$program" "$verb" --help | sed -n 1p | grep -oE -e '--[a-z-]+') --help; do
			offers "$1" "$word" "$program" "$verb" "${word:0:3}" || bad=1
			n=$((n + 1))
		done
	done
	[ "$bad" = 0 ] && [ "$n" -gt 30 ]
}
only() { # SHELL EXPECTED WORDS...: nothing else
	[ "$("in_$1" "${@:3}" | grep -vx FILES | sort | paste -sd' ')" = "$2" ] || {
		"in_$1" "${@:3}"
		return 1
	}
}

"$program" --help >"$T/help"
mapfile -t verbs < <(awk '/^  [a-z]/ { print $1 }' "$T/help")
check "--help names the verbs" test "${#verbs[@]}" -gt 25
for shell in bash zsh; do
	if ! command -v "$shell" >/dev/null; then
		tests=$((tests + 1))
		echo "ok $tests - # SKIP $shell is not installed"
		continue
	fi
	check "$shell: every verb and every option" offers_all "$shell"
	check "$shell: a verb from its beginning" only "$shell" "check-config conflicts" "$program" c
	check "$shell: behind -c FILE too" only "$shell" "undo" "$program" -c x und
	check "$shell: an option from its beginning" only "$shell" "--dry-run" "$program" undo --origin x --d
	check "$shell: what a verb does" offers "$shell" restore "$program" trash r
	check "$shell: how many others" only "$shell" "all" "$program" wait --peers a
	check "$shell: a time is nobody's word" only "$shell" "" "$program" restore --at ""
	check "$shell: an unknown verb breaks nothing" offers "$shell" --help "$program" nonsense --h
done
check "bash: files otherwise" grep -q 'complete -o default' "$top/conf/completion/mimeo"
done_testing
