#!/usr/bin/env bash
# Starts MySQL as the official image does: the first start makes the data folder from the MYSQL_*
# variables and runs /docker-entrypoint-initdb.d, on a socket only; later starts do not.
set -Eeuo pipefail

main() {
  if [[ ${1:0:1} == - ]]; then
    set -- mysqld "$@"
  fi
  if [[ $1 != mysqld ]] || only_tells "$@"; then
    exec "$@"
  fi
  local data socket
  data=$(setting datadir "$@")
  socket=$(setting socket "$@")
  mkdir -p "$data" "$(dirname "$socket")"
  if [[ $(id -u) == 0 ]]; then
    chown -R mysql: "$data" "$(dirname "$socket")"
    exec setpriv --reuid mysql --regid mysql --init-groups "$BASH_SOURCE" "$@"
  fi
  # Like the official image, an interrupted first start is not noticed once this folder is there.
  if [[ ! -d $data/mysql ]]; then
    initialize "$@"
    echo "MySQL init process done. Ready for start up."
  fi
  exec "$@"
}

# Tells whether the arguments ask the server for a text instead of a start.
only_tells() {
  local argument
  for argument; do
    case $argument in
      -\? | --help | --print-defaults | -V | --version) return 0 ;;
    esac
  done
  return 1
}

# Prints what the server would take for the setting $1 under the command that follows.
setting() {
  local name=$1
  shift
  local help
  help=$("$@" --verbose --help --log-bin-index="$(mktemp -u)" 2>/dev/null) || fail "mysqld does not take these arguments: $*"
  awk -v name="$name" '$1 == name { print $2; exit }' <<< "$help"
}

initialize() {
  from_file MYSQL_ROOT_PASSWORD
  from_file MYSQL_ROOT_HOST %
  from_file MYSQL_DATABASE
  from_file MYSQL_USER
  from_file MYSQL_PASSWORD
  if [[ -z $MYSQL_ROOT_PASSWORD && -z ${MYSQL_ALLOW_EMPTY_PASSWORD:-} ]]; then
    fail "the database is not initialized, and MYSQL_ROOT_PASSWORD is not set (or set MYSQL_ALLOW_EMPTY_PASSWORD)"
  fi
  if [[ $MYSQL_USER == root ]]; then
    fail "MYSQL_USER is for a user other than root: remove it, MYSQL_ROOT_PASSWORD is root's"
  fi
  "$@" --initialize-insecure
  # No address yet: whoever reaches the port must find a database that is ready.
  "$@" --daemonize --skip-networking
  make_users | mysql --user=root
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) if [[ -x $file ]]; then "$file"; else source "$file"; fi ;;
      *.sql) mysql --defaults-extra-file=<(root_login) --user=root --database="$MYSQL_DATABASE" < "$file" ;;
    esac
  done
  mysqladmin --defaults-extra-file=<(root_login) --user=root shutdown
}

# Prints the statements of a first start; they never show in a list of processes.
make_users() {
  echo "SET @@SESSION.SQL_LOG_BIN=0;"
  if [[ $MYSQL_ROOT_HOST != localhost ]]; then
    echo "CREATE USER 'root'@'$MYSQL_ROOT_HOST' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';"
    echo "GRANT ALL ON *.* TO 'root'@'$MYSQL_ROOT_HOST' WITH GRANT OPTION;"
  fi
  if [[ -n $MYSQL_DATABASE ]]; then
    echo "CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;"
  fi
  if [[ -n $MYSQL_USER && -n $MYSQL_PASSWORD ]]; then
    echo "CREATE USER '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';"
    if [[ -n $MYSQL_DATABASE ]]; then
      echo "GRANT ALL ON \`${MYSQL_DATABASE//_/\\_}\`.* TO '$MYSQL_USER'@'%';"
    fi
  fi
  echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';"
}

root_login() {
  printf '[client]\npassword="%s"\n' "$MYSQL_ROOT_PASSWORD"
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
