#!/usr/bin/env bash
# Starts PostgreSQL as the official image does: the first start makes the data folder from the
# POSTGRES_* variables and runs /docker-entrypoint-initdb.d, on a socket only; later starts do not.
set -Eeuo pipefail

main() {
  if [[ ${1:0:1} == - ]]; then
    set -- postgres "$@"
  fi
  if [[ $1 != postgres ]] || only_tells "$@"; then
    exec "$@"
  fi
  refuse_old_mount
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA" || true # a volume may forbid it; the server then says what is wrong
  if [[ $(id -u) == 0 ]]; then
    chown -R postgres: "$PGDATA" /var/run/postgresql
    exec setpriv --reuid postgres --regid postgres --init-groups "$BASH_SOURCE" "$@"
  fi
  # Like the official image, an interrupted first start is not noticed once this file is there.
  if [[ -s $PGDATA/PG_VERSION ]]; then
    echo "PostgreSQL Database directory appears to contain a database; Skipping initialization"
  else
    initialize "$@"
    echo "PostgreSQL init process complete; ready for start up."
  fi
  exec "$@"
}

# Tells whether the arguments ask the server for a text instead of a start.
only_tells() {
  local argument
  for argument; do
    case $argument in
      -\? | --help | --describe-config | -V | --version) return 0 ;;
    esac
  done
  return 1
}

# Up to 17 the volume was mounted here; 18 would start empty beside the old data.
refuse_old_mount() {
  local old=/var/lib/postgresql/data
  if [[ $PGDATA != "$old"* ]] && { [[ -s $old/PG_VERSION ]] || is_mounted "$old"; }; then
    fail "there is data or an unused mount/volume at $old: PostgreSQL 18 keeps its data in $PGDATA, mount the volume at /var/lib/postgresql"
  fi
}

is_mounted() {
  awk -v path="$1" '$5 == path { found = 1 } END { exit !found }' /proc/self/mountinfo
}

initialize() {
  from_file POSTGRES_PASSWORD
  from_file POSTGRES_USER postgres
  from_file POSTGRES_DB "$POSTGRES_USER"
  from_file POSTGRES_INITDB_ARGS
  local method=${POSTGRES_HOST_AUTH_METHOD:-}
  if [[ -z $POSTGRES_PASSWORD && $method != trust ]]; then
    fail "the database is not initialized, and POSTGRES_PASSWORD is not set (or set POSTGRES_HOST_AUTH_METHOD=trust)"
  fi
  # The arguments may hold quoted spaces, as in the official image.
  eval "local arguments=($POSTGRES_INITDB_ARGS)"
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${arguments[@]}"
  shift
  : "${method:=$(postgres -C password_encryption "$@")}"
  printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"

  export PGPASSWORD=$POSTGRES_PASSWORD
  # No address yet: whoever reaches the port must find a database that is ready.
  pg_ctl --pgdata="$PGDATA" --wait start -o "$(printf '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}")"
  if [[ $POSTGRES_DB != postgres ]]; then
    run_sql --dbname postgres --set db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db";'
  fi
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) if [[ -x $file ]]; then "$file"; else source "$file"; fi ;;
      *.sql) run_sql --dbname "$POSTGRES_DB" --file "$file" ;;
    esac
  done
  pg_ctl --pgdata="$PGDATA" --mode fast --wait stop
  unset PGPASSWORD
}

run_sql() {
  psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc "$@"
}

# Sets the variable $1 from itself, from the file that ${1}_FILE names, or to the default $2.
from_file() {
  local name=$1 file_name=${1}_FILE
  if [[ -n ${!name:-} && -n ${!file_name:-} ]]; then
    fail "both $name and $file_name are set: keep one"
  fi
  if [[ -n ${!file_name:-} ]]; then
    printf -v "$name" %s "$(< "${!file_name}")"
  else
    printf -v "$name" %s "${!name:-${2:-}}"
  fi
  export "${name?}"
  unset "$file_name"
}

fail() {
  echo "error: $1" >&2
  exit 1
}

main "$@"
