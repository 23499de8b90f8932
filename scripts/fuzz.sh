#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, for the time given
# (20s). The first that finds something ends the run; its input is kept beside the
# test, under testdata/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-20s}
found=0
while IFS=: read -r file target; do
	found=$((found + 1))
	echo "== $target in $(dirname "$file"), $time"
	go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" "./$(dirname "$file")"
done < <(grep -rEo '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' --exclude-dir=node_modules . | sed 's/func //' | sort)
if [ "$found" = 0 ]; then
	echo "no fuzz target was found" >&2
	exit 1
fi
