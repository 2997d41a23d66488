#!/bin/sh
# nestbox inside containers that a real dockerd makes: what starts, what is refused, and why.
#
# Usage: integration/docker/run.sh    (as root; needs dockerd and docker, and a built tree)
#
# It starts a dockerd of its own, without a bridge and with its own directories, and ends it. The
# image is empty: /usr and this tree are mounted into the containers, so no registry is needed.
set -eu

tree=$(cd "$(dirname "$0")/../.." && pwd)
place=$(mktemp -d)
daemon=
passed=0
failed=0

clean_up() {
	if [ -n "$daemon" ]; then
		kill "$daemon" && wait "$daemon" || true
	fi
	rm -rf --one-file-system "$place"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

docker() {
	command docker --host "unix://$place/socket" "$@"
}

start_daemon() {
	dockerd --bridge=none --iptables=false --data-root "$place/data" --exec-root "$place/exec" \
		--pidfile "$place/pid" --host "unix://$place/socket" >"$place/log" 2>&1 &
	daemon=$!
	tries=0
	until docker version >/dev/null 2>&1; do
		tries=$((tries + 1))
		if [ "$tries" -gt 100 ] || ! kill -0 "$daemon"; then
			tail "$place/log" >&2
			exit 1
		fi
		sleep 0.2
	done
}

make_image() {
	mkdir -p "$place/image"
	cd "$place/image"
	mkdir -p usr etc tmp root proc dev sys run var/lib
	for link in bin sbin lib lib64; do
		ln -s "usr/$link" "$link"
	done
	tar -c . | docker import - nestbox-test >/dev/null
	mkdir -p "$place/rootfs/bin" && cp "$(command -v busybox)" "$place/rootfs/bin/busybox"
	for applet in sh id grep cat; do
		ln -s busybox "$place/rootfs/bin/$applet"
	done
	cd "$tree"
}

# inside FLAGS -- ARGUMENTS: nestbox with these arguments, in a container made with these flags.
inside() {
	flags=
	while [ "$1" != -- ]; do
		flags="$flags $1"
		shift
	done
	shift
	# shellcheck disable=SC2086 # flags hold no spaces of their own
	docker run --rm --network none -v /usr:/usr:ro -v "$tree:$tree:ro" \
		-v "$place/rootfs:/rootfs" $flags nestbox-test "$tree/.venv/bin/nestbox" "$@"
}

# expect NAME STATUS PATTERN FLAGS -- ARGUMENTS
expect() {
	name=$1 wanted=$2 pattern=$3
	shift 3
	status=0
	inside "$@" >"$place/output" 2>&1 || status=$?
	if [ "$status" = "$wanted" ] && grep -q -- "$pattern" "$place/output"; then
		passed=$((passed + 1))
		echo "ok   $name"
	else
		failed=$((failed + 1))
		echo "FAIL $name: exit code $status, wanted $wanted and a line like: $pattern"
		sed 's/^/     /' "$place/output"
	fi
}

start_daemon
make_image
expect "doctor recognizes docker" 1 "in docker" -- doctor
expect "doctor names what to change" 1 "cap-add SYS_ADMIN" -- doctor
expect "a plain container is refused with the calls that its filter stops" 125 \
	"the outer seccomp filter answers" -- run --rootfs /rootfs -- id
expect "with SYS_ADMIN alone the filter is still in the way, and named" 125 "pivot_root" \
	--cap-add SYS_ADMIN -- run --rootfs /rootfs -- id
expect "with SYS_ADMIN and no filter the default profile runs" 0 "a80425fb" \
	--cap-add SYS_ADMIN --security-opt seccomp=unconfined -- \
	run --rootfs /rootfs -- grep CapBnd /proc/self/status
expect "what the engine did not give is refused by name" 125 "CAP_SYS_BOOT" \
	--cap-add SYS_ADMIN --security-opt seccomp=unconfined -- \
	run --rootfs /rootfs --cap-add SYS_BOOT -- id
expect "the remedy is the engine's own flag" 125 "docker run --cap-add SYS_BOOT" \
	--cap-add SYS_ADMIN --security-opt seccomp=unconfined -- \
	run --rootfs /rootfs --cap-add SYS_BOOT -- id
expect "what the engine dropped is left out of the default profile and told" 0 "CAP_MKNOD" \
	--cap-add SYS_ADMIN --cap-drop MKNOD --security-opt seccomp=unconfined -- \
	run --rootfs /rootfs -- id
expect "a limit that cannot be enforced is refused" 125 "not writable" \
	--cap-add SYS_ADMIN --security-opt seccomp=unconfined -- \
	run --rootfs /rootfs --memory 64m -- id
expect "the present root works over docker's overlay" 0 "uid=0" \
	--cap-add SYS_ADMIN --security-opt seccomp=unconfined -- run -- id
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
