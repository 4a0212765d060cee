#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Prepares a fresh clone: installs the Debian packages that are missing, generates configure, and
# runs it.
#
#   ./autogen.sh [--no-deps] [ARGUMENT OF CONFIGURE...]
#
# Packages are installed as root, or with sudo if it asks for no password. Otherwise the command
# that would install them is printed, and it ends there if the build needs one of them.
# --no-deps leaves packages alone. NOCONFIGURE=1 stops before configure.

set -eu

build_packages='build-essential autoconf automake pkg-config libssh2-1-dev librsync-dev libinih-dev
	libmicrohttpd-dev libssl-dev libjansson-dev'
run_packages='openssh-server openssh-client'
test_packages='strace python3 curl jq rsync procps iproute2'

usage() {
	sed -n '3,/^$/s/^# \{0,1\}//p' "$0"
}

say() {
	echo "autogen.sh: $*"
}

# Prints those of the packages that are not installed. What another package provides counts as
# installed.
missing() {
	installed=$(dpkg-query --show --showformat='${db:Status-Abbrev} ${Package} ${Provides}\n' |
		sed -n 's/^.i *//p' | sed 's/([^)]*)//g' | tr -s ', ' '\n')
	for package in "$@"; do
		echo "$installed" | grep -qxF "$package" || echo "$package"
	done
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo -n "$@"
	fi
}

can_be_root() {
	[ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
		-o Dpkg::Use-Pty=0 "$@" </dev/null
}

# A list of packages that cannot be brought up to date may still do.
install() {
	say "installing $*"
	apt update || say 'apt-get update failed, going on with the lists that are here'
	apt install --yes --no-install-recommends "$@"
}

install_missing() {
	if ! command -v dpkg-query >/dev/null; then
		say 'not a Debian system: what is missing, configure will say'
		return
	fi
	# shellcheck disable=SC2086 # lists of words
	wanted=$(missing $build_packages $run_packages $test_packages)
	if [ -z "$wanted" ]; then
		return
	fi
	wanted=$(echo "$wanted" | tr '\n' ' ' | sed 's/ $//')
	if can_be_root; then
		# shellcheck disable=SC2086
		install $wanted
		return
	fi
	say 'packages are missing, and only root can install them:'
	echo "    apt-get install $wanted"
	# shellcheck disable=SC2086
	needed=$(missing $build_packages)
	if [ -n "$needed" ]; then
		say "the build needs $(echo "$needed" | tr '\n' ' ')" >&2
		exit 1
	fi
	say 'the build does without them; tests that need them will be skipped or fail'
}

# What autoreconf does is of interest only when it fails.
generate() {
	if ! output=$(autoreconf --force --install --warnings=all 2>&1); then
		echo "$output" >&2
		say 'autoreconf failed' >&2
		exit 1
	fi
}

deps=yes
case ${1:-} in
-h | --help)
	usage
	exit
	;;
esac
# Takes --no-deps out of the arguments, wherever it stands.
for arg in "$@"; do
	shift
	case $arg in
	--no-deps) deps=no ;;
	*) set -- "$@" "$arg" ;;
	esac
done

cd "$(dirname "$0")"
if [ "$deps" = yes ]; then
	install_missing
fi
generate
if [ -z "${NOCONFIGURE:-}" ]; then
	./configure "$@"
fi
