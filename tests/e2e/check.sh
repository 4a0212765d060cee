#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# check-config tries on real files what the daemons need, and says what does not work and where;
# what was there stays as it was. The parts with another user's files need root.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

root=$T/media
export MIMEO_LIBEXEC=$build

as() { # USER-ID COMMAND...
	setpriv --reuid="$1" --regid="$1" --clear-groups -- "${@:2}"
}

facts() { # of all that lies in the root; a directory's own times move when something is tried in it
	(cd "$root" && find . -type d -printf '%p %m %U %G\n' -o -printf '%p %i %m %s %T@ %U %G %l\n' | LC_ALL=C sort)
}

# tried NAME EXIT-CODE PATTERN COMMAND...
tried() {
	local name=$1 want=$2 pattern=$3 code
	facts >"$T/before"
	"${@:4}" >"$T/said" 2>&1
	code=$?
	facts >"$T/after"
	check "$name: exit code $want" test "$code" = "$want"
	check "$name: says so" grep -E "$pattern" "$T/said"
	check "$name: nothing is changed" diff "$T/before" "$T/after"
	check "$name: nothing is left" test -z "$(ls "$T/work/stage")"
	[ "$code" = "$want" ] || sed 's/^/# /' "$T/said"
}

chmod 755 "$T"
mkdir -p "$root/deep/er"
echo one >"$root/deep/er/one"
ln -s one "$root/deep/er/link"
must "a node" "$build/mimeo" -c "$T/mimeo.conf" init --name n1 --root "$root" --state "$T/state" --work "$T/work"
check_config=("$build/mimeo" -c "$T/mimeo.conf" check-config)
tried "its owner" 0 'mimeo\.conf: good' "${check_config[@]}"

chmod 755 "$T/state"
tried "a state directory for all" 2 "$T/state: .* 0700" "${check_config[@]}"
chmod 700 "$T/state"
mv "$T/state/id_ed25519.pub" "$T/away"
tried "no key" 2 'id_ed25519\.pub: cannot be read' "${check_config[@]}"
mv "$T/away" "$T/state/id_ed25519.pub"
cp "$T/mimeo.conf" "$T/good.conf"
echo 'settle = often' >>"$T/mimeo.conf"
tried "a bad line" 2 'mimeo\.conf:[0-9]+: ' "${check_config[@]}"
mv "$T/good.conf" "$T/mimeo.conf"

if [ "$(id -u)" = 0 ]; then
	chown -R 4711:4711 "$root" "$T/state" "$T/work" "$T/mimeo.conf"
	tried "root, files of another" 0 'good' "${check_config[@]}"
	tried "their owner" 0 'good' as 4711 "${check_config[@]}"

	chown -R 4712:4712 "$root/deep"
	tried "another's file: no lease" 2 "$root/deep/er/one: no read lease" as 4711 "${check_config[@]}"
	tried "another's file: no chown" 2 "$root/deep/er: a new version cannot be given to the owner" as 4711 "${check_config[@]}"
	tried "another's directory: no rename" 2 "$root/deep/er: files cannot be renamed .*Permission denied" as 4711 "${check_config[@]}"
	chmod 1777 "$root/deep/er"
	tried "a directory for all: no chown" 2 'a new version cannot be given' as 4711 "${check_config[@]}"
	chmod 755 "$root/deep/er"
	chmod 600 "$root/deep/er/one"
	tried "a file that it may not read" 2 "$root/deep/er/one: a file cannot be read: Permission denied" as 4711 "${check_config[@]}"
	chmod 700 "$root/deep"
	tried "a directory that it may not read" 2 "$root/deep: a directory cannot be read: Permission denied" as 4711 "${check_config[@]}"
	chmod 755 "$root/deep"
	tried "with the capabilities" 0 'good' setpriv --reuid=4711 --regid=4711 --clear-groups \
		--inh-caps=+lease,+chown,+fowner,+dac_override --ambient-caps=+lease,+chown,+fowner,+dac_override -- "${check_config[@]}"
	chown 4711 "$root"
	chmod 555 "$root"
	tried "a root that cannot be written" 2 "$root: files cannot be renamed .*Permission denied" as 4711 "${check_config[@]}"
	chmod 755 "$root"
else
	echo "# not root: nothing tried with files of others"
fi
done_testing
