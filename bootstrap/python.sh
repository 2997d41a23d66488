#!/bin/sh
# Prints the Python to build with: $PYTHON, else the system's, else the first on PATH.
#
# The system's goes first because `python3` on PATH is often a version manager's
# script, which costs more on each start than a launch of a container does.
set -eu

recent() {
	"$1" -I -S -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

for candidate in ${PYTHON:-/usr/bin/python3 python3}; do
	if recent "$candidate"; then
		command -v "$candidate"
		exit 0
	fi
done
echo "nestbox needs Python 3.11 or newer and found none: tried ${PYTHON:-/usr/bin/python3 python3}." >&2
echo "Install one and name it: make PYTHON=/path/to/python3 ..." >&2
exit 1
