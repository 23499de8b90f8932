#!/usr/bin/env bash
# A cluster on this machine: a PostgreSQL primary with a synchronous standby, three Jeton
# nodes, and HAProxy in front. All of it listens on loopback alone and keeps its data in
# a temporary directory; Ctrl-C ends and removes it.
#
#   run.sh [PORT]     PORT is the proxy's, 8400 unless given; the nodes have the next
#                     three, the database servers the two after them
#
# JETON=PATH takes a binary instead of building one. API_SECRET, ROBOT_SECRET, ADA_PASSWORD
# and KEK are made anew unless they are set.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
	printf '%s\n' "$@" >&2
	exit 1
}

# What is needed, and where.
PATH=$PATH:/usr/sbin:/sbin
bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
if [ ! -x "$bin/postgres" ]; then
	bin=$(dirname "$(readlink -f "$(command -v postgres || echo /nowhere/postgres)")")
fi
lacking=()
if [ ! -x "$bin/initdb" ]; then lacking+=(postgresql); fi
for program in haproxy curl setpriv; do
	if ! command -v $program >/dev/null; then
		lacking+=("${program/setpriv/util-linux}")
	fi
done
if [ ${#lacking[@]} -gt 0 ]; then
	fail "This needs PostgreSQL 15 or later, HAProxy and curl. On Debian, as root: apt-get install --no-install-recommends ${lacking[*]}" \
		"(The server that Debian's package of PostgreSQL starts is not used here.)"
fi
if [ -z "${JETON:-}" ] && ! command -v go >/dev/null; then
	fail "This needs Go 1.26 to build jeton, or JETON=PATH of one that is built."
fi

export PROXY_PORT=${1:-8400}
if ! [[ $PROXY_PORT =~ ^[0-9]{4,5}$ ]] || [ "$PROXY_PORT" -gt 65530 ]; then
	fail "run.sh [PORT]: PORT is from 1024 to 65530, and the five after it are needed too."
fi
export NODE1_PORT=$((PROXY_PORT + 1)) NODE2_PORT=$((PROXY_PORT + 2)) NODE3_PORT=$((PROXY_PORT + 3))
primary_port=$((PROXY_PORT + 4)) standby_port=$((PROXY_PORT + 5))
for ((port = PROXY_PORT; port <= standby_port; port++)); do
	if (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null; then
		fail "Port $port is taken. Try another range: $0 PORT"
	fi
done

# PostgreSQL refuses to run as root, so for root all of it runs as the user postgres.
as=()
if [ "$(id -u)" = 0 ]; then
	id -u postgres >/dev/null || fail "As root this needs the user postgres, which Debian's package postgresql makes."
	as=(--reuid=postgres --regid=postgres --init-groups)
fi

umask 077
dir=$(mktemp -d "${TMPDIR:-/tmp}/jeton-cluster.XXXXXX")
mkdir "$dir/log"
nodes=() proxy='' primary='' standby=''

running() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

# stop SIGNAL PID... ends processes and waits for their end.
stop() {
	local signal=$1 pid
	shift
	for pid in "$@"; do
		if running "$pid"; then kill -s "$signal" "$pid" || true; fi
	done
	for pid in "$@"; do
		if [ -n "$pid" ]; then wait "$pid" 2>/dev/null || true; fi
	done
}

end() {
	trap '' INT TERM HUP
	trap - EXIT
	stop TERM "$proxy"
	stop TERM "${nodes[@]}"
	stop INT "$standby" "$primary"
	rm -rf "$dir"
	exit "$1"
}
trap 'end $?' EXIT
trap 'echo; echo "Ending all of it …"; end 0' INT TERM HUP

# run NAME SIGNAL COMMAND... starts a process in a session of its own, where Ctrl-C does not
# reach it before its turn; SIGNAL ends it if this script is killed. Its id is in $started.
run() {
	local name=$1 signal=$2
	shift 2
	setsid setpriv "${as[@]}" --pdeathsig "$signal" -- "$@" >"$dir/log/$name" 2>&1 &
	started=$!
}

# await PID NAME WHAT COMMAND... waits until a command succeeds, while a process runs.
await() {
	local pid=$1 name=$2 what=$3 deadline=$((SECONDS + 90))
	shift 3
	until "$@" >/dev/null 2>&1; do
		if ! running "$pid" || [ $SECONDS -gt $deadline ]; then
			tail -n 30 "$dir/log/$name" >&2
			fail "It did not come about that $what; the end of $name's log stands above."
		fi
		sleep 0.1
	done
}

# aside COMMAND... runs a program of PostgreSQL to its end, and shows what it said if it
# fails.
aside() {
	if ! setpriv "${as[@]}" -- "$@" >"$dir/log/aside" 2>&1; then
		cat "$dir/log/aside" >&2
		fail "$1 failed."
	fi
}

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# The programs and files, for the user that runs them.
echo "Building …"
if [ -n "${JETON:-}" ]; then
	cp "$JETON" "$dir/jeton"
else
	(cd "$here/../.." && CGO_ENABLED=0 go build -buildvcs=false -o "$dir/jeton" ./cmd/jeton)
fi
cp "$here/jeton.yaml" "$here/haproxy.cfg" "$dir"
chmod 755 "$dir/jeton"
export PGPASSWORD jeton_password
PGPASSWORD=$(random) jeton_password=$(random)
echo "$PGPASSWORD" >"$dir/password"

issuer=http://localhost:$PROXY_PORT
hosts=127.0.0.1:$primary_port,127.0.0.1:$standby_port
export JETON_ISSUER=$issuer
export STORE="postgres://jeton:$jeton_password@$hosts/jeton?target_session_attrs=read-write&sslmode=disable"
export KEK=${KEK:-$("$dir/jeton" keygen)}
export API_SECRET=${API_SECRET:-$("$dir/jeton" keygen --secret)}
export ROBOT_SECRET=${ROBOT_SECRET:-$("$dir/jeton" keygen --secret)}
export ADA_PASSWORD=${ADA_PASSWORD:-$("$dir/jeton" keygen --secret | cut -c 1-20)}
if [ ${#as[@]} -gt 0 ]; then chown -R postgres: "$dir"; fi
cd "$dir"

# The primary.
echo "Starting PostgreSQL, a primary and its standby …"
aside "$bin/initdb" -D "$dir/primary" -U postgres --no-sync --auth=scram-sha-256 --pwfile="$dir/password" --encoding=UTF8 --locale=C
cat >>"$dir/primary/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
unix_socket_directories = '$dir'
max_connections = 200
dynamic_shared_memory_type = mmap
END
run primary INT "$bin/postgres" -D "$dir/primary" -p "$primary_port"
primary=$started
await "$primary" primary "the primary takes connections" "$bin/pg_isready" -q -h 127.0.0.1 -p "$primary_port"
export PGCONNECT_TIMEOUT=5
sql() { "$bin/psql" -XAtq -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$primary_port" -U postgres -d postgres "$@"; }
sql -c "CREATE ROLE jeton LOGIN PASSWORD '$jeton_password'" -c "CREATE DATABASE jeton OWNER jeton"

# The standby: a copy that follows. From then on the primary acknowledges a commit when both
# have it on their disks. The copy itself waits for nobody once it is promoted.
aside "$bin/pg_basebackup" -D "$dir/standby" -R -X stream -C -S standby -c fast --no-sync \
	-d "host=127.0.0.1 port=$primary_port user=postgres password=$PGPASSWORD application_name=standby"
run standby INT "$bin/postgres" -D "$dir/standby" -p "$standby_port"
standby=$started
sql -c "ALTER SYSTEM SET synchronous_standby_names = 'standby'" -c "SELECT pg_reload_conf()" >/dev/null
synchronous() { [ "$(sql -c "SELECT sync_state FROM pg_stat_replication")" = sync ]; }
await "$standby" standby "the standby is synchronous" synchronous

# Three nodes, at the same time: one of them makes the tables.
echo "Starting three nodes and the proxy …"
for port in "$NODE1_PORT" "$NODE2_PORT" "$NODE3_PORT"; do
	export JETON_LISTEN=127.0.0.1:$port
	run "node$((${#nodes[@]} + 1))" TERM "$dir/jeton" serve -c "$dir/jeton.yaml"
	nodes+=("$started")
done
for n in 1 2 3; do
	await "${nodes[n - 1]}" "node$n" "node $n is ready" curl -fsS "http://127.0.0.1:$((PROXY_PORT + n))/readyz"
done
run proxy TERM haproxy -db -f "$dir/haproxy.cfg"
proxy=$started
await "$proxy" proxy "the proxy leads to a node" curl -fsS "$issuer/readyz"

database() { echo "postgres://postgres:$PGPASSWORD@127.0.0.1:$1/jeton"; }
cat >"$dir/env" <<END
ISSUER=$issuer
NODE1=http://127.0.0.1:$NODE1_PORT NODE1_PID=${nodes[0]}
NODE2=http://127.0.0.1:$NODE2_PORT NODE2_PID=${nodes[1]}
NODE3=http://127.0.0.1:$NODE3_PORT NODE3_PID=${nodes[2]}
PROXY_PID=$proxy
PRIMARY=$(database "$primary_port") PRIMARY_PID=$primary
STANDBY=$(database "$standby_port") STANDBY_PID=$standby
API_SECRET=$API_SECRET ROBOT_SECRET=$ROBOT_SECRET
END

cat <<END

  Issuer        $issuer (HAProxy)
  Nodes         http://127.0.0.1:$NODE1_PORT, $NODE2_PORT and $NODE3_PORT
  PostgreSQL    127.0.0.1:$primary_port the primary, $standby_port its synchronous standby
  Account       ada@example.com
  Password      $ADA_PASSWORD
  Logs          $dir/log

Log in: open this address. The browser ends at a page that can't be reached; the code
stands in its address bar. README.md shows what to do with it.
$issuer/authorize?client_id=cli&response_type=code&redirect_uri=http://127.0.0.1:9999/callback&scope=openid+offline_access+orders:read&state=try&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256

In another terminal:
  . $dir/env

  # Revoke on one node, introspect on another: {"active":false}, the first time.
  TOKEN=\$(curl -s \$NODE1/token -u robot:\$ROBOT_SECRET -d grant_type=client_credentials | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  ask() { curl -s \$1/introspect -u https%3A%2F%2Fapi.example.com:\$API_SECRET -d token=\$TOKEN; echo; }
  ask \$NODE2; curl -s \$NODE1/revoke -u robot:\$ROBOT_SECRET -d token=\$TOKEN; ask \$NODE3

  # Kill a node: the proxy asks the others.
  kill -9 \$NODE1_PID; curl -i \$ISSUER/readyz

  # Kill the primary: keys are still served, what must be written is answered 503.
  # Then promote the standby: the nodes find it by themselves.
  kill -QUIT \$PRIMARY_PID; curl -s \$ISSUER/jwks; curl -i \$ISSUER/readyz
  $bin/psql \$STANDBY -c 'SELECT pg_promote()'

ready. Ctrl-C ends all of it and removes $dir
END
# Not wait: in it a signal is lost that comes while another process ends.
while running "$proxy"; do sleep 0.5; done
tail -n 30 "$dir/log/proxy" >&2
fail "The proxy ended."
