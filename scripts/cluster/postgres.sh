#!/usr/bin/env bash
# Run a command with an empty PostgreSQL on loopback, whose URL for Optuna is in $STORAGE.
#
#   scripts/cluster/postgres.sh .venv/bin/python scripts/cluster/shared_search.py
#
# Needs Debian's postgresql. All of it lies in a folder that is removed at the end; the exit code is
# that of the command, or 77 where PostgreSQL cannot start.
set -euo pipefail

home=$(mktemp -d /tmp/postgres.XXXXXX)
refuse() { echo "postgres.sh: $*" >&2; exit 77; }

as_owner() { "$@"; }
if [ "$(id -u)" = 0 ]; then # which PostgreSQL refuses to run as
  id postgres >/dev/null 2>&1 || refuse "there is no user postgres: apt-get install postgresql"
  chown postgres "$home"
  as_owner() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
fi
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -x "$bin/initdb" ] || refuse "PostgreSQL is missing: apt-get install postgresql"

stop() {
  as_owner "$bin/pg_ctl" --pgdata="$home/data" --mode=immediate stop >/dev/null 2>&1 || true
  rm -rf "$home"
}
trap stop EXIT

cd "$home"
as_owner "$bin/initdb" --pgdata="$home/data" --auth=trust --username=search --no-sync >"$home.log" 2>&1 ||
  refuse "$(cat "$home.log")"
rm -f "$home.log"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_owner "$bin/pg_ctl" --pgdata="$home/data" --wait --timeout=30 --log="$home/server.log" \
  --options="-c listen_addresses=127.0.0.1 -p $port -k $home" start >/dev/null ||
  refuse "$(tail -n 5 "$home/server.log")"
cd "$OLDPWD"
export STORAGE=postgresql+psycopg://search@127.0.0.1:$port/postgres
"$@"
