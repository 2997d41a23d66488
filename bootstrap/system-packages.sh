#!/bin/sh
# Makes sure that the system has what the given purposes need.
#
# Usage: system-packages.sh PURPOSE...    (build, run, test, check, bench, engines, page, vm)
#
# What is there already is found by use (a command, a header, a library), not by
# asking the package manager, so other distributions work once it is there. As root
# on Debian or Ubuntu the rest is installed; otherwise the command that installs it
# is printed and nothing is changed.
#
#        system-packages.sh --list PURPOSE...    prints all that they need, found or not
set -eu

here=$(dirname "$0")
python=$(sh "$here/python.sh")
missing=

# need PACKAGE COMMAND...: PACKAGE is missing unless COMMAND succeeds.
need() {
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}

has_command() {
	command -v "$1"
}

has_static_libc() {
	test -e "$("${CC:-gcc}" -print-file-name=libc.a)"
}

has_header() {
	echo "#include <$1>" | "${CC:-gcc}" -E -
}

has_python_header() {
	"$python" -I -S -c 'import os, sysconfig, sys
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

has_python_module() {
	"$python" -I -S -c "import $1"
}

# Tests put it into a root that has no libraries.
has_static_busybox() {
	command -v busybox && ! ldd "$(command -v busybox)"
}

has_library() {
	"$python" -I -S -c "import ctypes; ctypes.CDLL('$1')"
}

# The Debian package that completes $python: python3-dev, or python3.12-dev for one beside it.
python_package() {
	if [ "$(readlink -f "$python")" = "$(readlink -f /usr/bin/python3)" ]; then
		echo "python3-$1"
	else
		echo "$(basename "$(readlink -f "$python")")-$1"
	fi
}

find_missing() {
	missing=
	for purpose in "$@"; do
		case $purpose in
		build)
			need gcc has_command "${CC:-gcc}"
			need libc6-dev has_static_libc
			# Without it the executor is built with the GNU C library, and starts slower.
			[ -n "${CC:-}" ] || need musl-tools has_command musl-gcc
			need "$(python_package dev)" has_python_header
			need "$(python_package venv)" has_python_module ensurepip
			;;
		run)
			need libseccomp2 has_library libseccomp.so.2
			;;
		test)
			need busybox-static has_static_busybox
			need libcap2-bin has_command capsh
			need libcap2-bin has_command setcap
			need strace has_command strace
			need zsh has_command zsh
			need fish has_command fish
			# What the runtime asks for what its containers run, what it is compared with, and a
			# bus for the systemd driver.
			need procps has_command ps
			need runc has_command runc
			need dbus-daemon has_command dbus-daemon
			need iproute2 has_command ip
			need uidmap has_command newuidmap
			need fuse-overlayfs has_command fuse-overlayfs
			# Networks of containers: a link with address translation, and what an ordinary user has.
			need nftables has_command nft
			need passt has_command pasta
			need slirp4netns has_command slirp4netns
			;;
		check)
			need clang has_command clang
			need cppcheck has_command cppcheck
			;;
		bench)
			need bubblewrap has_command bwrap
			need crun has_command crun
			need runc has_command runc
			;;
		engines)
			need docker.io has_command dockerd
			need containerd has_command containerd
			need podman has_command podman
			need buildah has_command buildah
			need crun has_command crun
			need runc has_command runc
			need netavark test -x /usr/lib/podman/netavark
			need containernetworking-plugins test -x /usr/lib/cni/bridge
			need tini has_command tini-static
			need iptables has_command iptables
			need iproute2 has_command ip
			need debootstrap has_command debootstrap
			need uidmap has_command newuidmap
			;;
		page)
			need chromium has_command chromium
			need chromium-driver has_command chromedriver
			need fonts-dejavu-core test -d /usr/share/fonts/truetype/dejavu
			;;
		vm)
			need qemu-system-x86 has_command qemu-system-x86_64
			need debian-archive-keyring test -e /usr/share/keyrings/debian-archive-keyring.gpg
			need busybox-static has_static_busybox
			need e2fsprogs has_command mke2fs
			need kmod has_command depmod
			need tar has_command tar
			;;
		*)
			echo "$0: unknown purpose: $purpose" >&2
			exit 2
			;;
		esac
	done
	missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
	missing=${missing% }
}

apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# shellcheck disable=SC2086 # a list of words
install_missing() {
	echo "installing system packages: $missing"
	apt update && apt install --no-install-recommends $missing
}

if [ "$1" = --list ]; then
	shift
	need() {
		echo "$1"
	}
	find_missing "$@" | sort -u
	exit 0
fi
find_missing "$@"
if [ -z "$missing" ]; then
	exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	{
		echo "nestbox needs system packages that are not installed. Install them with:"
		echo
		echo "    sudo apt-get install --no-install-recommends $missing"
		echo
		echo "(or what your distribution calls them), then run make again."
	} >&2
	exit 1
fi
# A mirror that is being updated answers once with a mismatch; more than one retry hides a real fault.
install_missing || install_missing
wanted=$missing
find_missing "$@"
if [ -n "$missing" ]; then
	echo "installed $wanted, and still cannot find what these should contain: $missing" >&2
	echo "Is $python the interpreter that they belong to? Choose one: make PYTHON=/usr/bin/python3 ..." >&2
	exit 1
fi
