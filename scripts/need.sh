#!/usr/bin/env bash
# Makes sure that this machine has what the tests need beside Go, and installs what
# is missing where it may: with apt-get, as root or by sudo without a password.
# JETON_NO_INSTALL=1 forbids that. What can't be had ends in an error, never in a
# test that is left out.
set -euo pipefail
cd "$(dirname "$0")/.."

lacking=()  # what for, to be told
packages=() # Debian's, to be installed

# need WHAT PACKAGES COMMAND... asks for any one of the commands.
need() {
	local what=$1 names=$2 command
	shift 2
	for command in "$@"; do
		if command -v "$command" >/dev/null; then return; fi
	done
	lack "$what" "$names"
}

lack() {
	local names
	read -ra names <<<"$2"
	lacking+=("$1 (${names[0]})")
	packages+=("${names[@]}")
}

fail() {
	printf '%s\n' "$@" >&2
	exit 1
}

if ! command -v go >/dev/null; then
	fail "Go is missing: install Go 1.26 or later from https://go.dev/dl and put it into PATH."
fi
need "a C compiler, with which the race detector is linked" "gcc libc6-dev" gcc clang
need "strace, with which a test counts the calls that make writes durable" strace strace
need "curl, for the tour that jeton dev prints" curl curl
need "Chromium, for the browser tests" chromium chromium chromium-browser google-chrome
need "Node, for the tests with a reader of the feed and a client in JavaScript" nodejs node
if ! compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null; then
	need "PostgreSQL, on whose servers the tests of the store run" postgresql postgres
fi
# Debian's HAProxy starts with a configuration that listens on no port.
PATH=$PATH:/usr/sbin need "HAProxy, behind which the example of a cluster runs" haproxy haproxy
PATH=$PATH:/usr/sbin:/sbin need "ip, with which a test drops packets" iproute2 ip
foreign=internal/e2e/foreign
if [ -e $foreign/package-lock.json ]; then
	need "npm, which fetches that client" npm npm
fi
if [ -e /etc/debian_version ] && [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then
	lack "root certificates, with which modules are fetched" ca-certificates
fi

if [ ${#packages[@]} -gt 0 ]; then
	missing=("The tests need what this machine lacks:" "${lacking[@]/#/  }")
	by_hand="apt-get install --no-install-recommends ${packages[*]}"
	as=(env)
	if [ "${JETON_NO_INSTALL:-}" = 1 ]; then
		fail "${missing[@]}" "JETON_NO_INSTALL=1 forbids installing it. On Debian, run as root: $by_hand"
	elif ! command -v apt-get >/dev/null; then
		fail "${missing[@]}" "Install it with this system's package manager; on Debian that would be: $by_hand"
	elif [ "$(id -u)" != 0 ]; then
		if ! sudo -n true 2>/dev/null; then
			fail "${missing[@]}" "Installing it takes root. Run: sudo $by_hand"
		fi
		as=(sudo)
	fi
	echo "Installing what the tests need: ${packages[*]}"
	# Debian's package of PostgreSQL makes a cluster and starts it. The tests start
	# servers of their own, and nobody asked for one that listens on this machine.
	if [[ " ${packages[*]} " = *" postgresql "* ]]; then
		settings=/etc/postgresql-common/createcluster.d
		"${as[@]}" mkdir -p $settings
		echo "create_main_cluster = false" | "${as[@]}" tee $settings/jeton.conf >/dev/null
	fi
	if ! "${as[@]}" apt-get -qq update ||
		! "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null; then
		fail "${missing[@]}" "apt-get could not install it; what it said stands above. Run as root: $by_hand"
	fi
fi

# npm keeps a copy of the lock file among the modules that it installed by it.
if [ -e $foreign/package-lock.json ] && [ ! $foreign/node_modules/.package-lock.json -nt $foreign/package-lock.json ]; then
	if [ "${JETON_NO_INSTALL:-}" = 1 ]; then
		fail "JETON_NO_INSTALL=1 forbids fetching the foreign client. Run: npm ci --prefix $foreign"
	fi
	npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $foreign
fi
