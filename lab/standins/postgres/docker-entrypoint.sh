#!/usr/bin/env bash
# Starts PostgreSQL as the official image does for a user other than root: the first start makes the
# data folder and runs the SQL files of /docker-entrypoint-initdb.d, on a socket only.
# Left out is what nothing here uses: other names for the superuser and its database, shell scripts.
set -Eeuo pipefail

main() {
  # Like the official image, an interrupted first start is not noticed once this file is there.
  if [[ $1 == postgres && ! -s $PGDATA/PG_VERSION ]]; then
    initialize "$@"
    echo "PostgreSQL init process complete; ready for start up."
  fi
  exec "$@"
}

initialize() {
  if [[ -z ${POSTGRES_PASSWORD:-} ]]; then
    echo "error: the database is not initialized, and POSTGRES_PASSWORD is not set" >&2
    exit 1
  fi
  initdb --pgdata="$PGDATA" --username=postgres --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD")
  printf '\nhost all all all scram-sha-256\n' >> "$PGDATA/pg_hba.conf"
  shift
  # No address yet: whoever reaches the port must find a database that is ready.
  pg_ctl --pgdata="$PGDATA" --wait start -o "$(printf '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}")"
  local file
  for file in /docker-entrypoint-initdb.d/*.sql; do
    if [[ -f $file ]]; then
      psql --set ON_ERROR_STOP=1 --username postgres --no-password --no-psqlrc --file "$file"
    fi
  done
  pg_ctl --pgdata="$PGDATA" --mode fast --wait stop
}

main "$@"
