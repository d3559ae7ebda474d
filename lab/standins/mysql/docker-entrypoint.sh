#!/usr/bin/env bash
# Starts MySQL as the official image does for a user other than root: the first start makes the data
# folder from the MYSQL_* variables and runs the SQL files of /docker-entrypoint-initdb.d, on a socket
# only. Left out is what nothing here uses: variables by file, empty passwords, shell scripts.
set -Eeuo pipefail

main() {
  local data=/var/lib/mysql argument
  for argument; do
    if [[ $argument == --datadir=* ]]; then
      data=${argument#*=}
    fi
  done
  # Like the official image, an interrupted first start is not noticed once this folder is there.
  if [[ $1 == mysqld && ! -d $data/mysql ]]; then
    mkdir -p "$data"
    initialize "$@"
    echo "MySQL init process done. Ready for start up."
  fi
  exec "$@"
}

initialize() {
  if [[ -z ${MYSQL_ROOT_PASSWORD:-} ]]; then
    echo "error: the database is not initialized, and MYSQL_ROOT_PASSWORD is not set" >&2
    exit 1
  fi
  "$@" --initialize-insecure
  # No address yet: whoever reaches the port must find a database that is ready.
  "$@" --daemonize --skip-networking
  make_users | mysql --user=root
  local file
  for file in /docker-entrypoint-initdb.d/*.sql; do
    if [[ -f $file ]]; then
      mysql --defaults-extra-file=<(root_login) --user=root --database="${MYSQL_DATABASE:-}" < "$file"
    fi
  done
  mysqladmin --defaults-extra-file=<(root_login) --user=root shutdown
}

# Prints the statements of a first start; they never show in a list of processes.
make_users() {
  echo "SET @@SESSION.SQL_LOG_BIN=0;"
  if [[ ${MYSQL_ROOT_HOST:=%} != localhost ]]; then
    echo "CREATE USER 'root'@'$MYSQL_ROOT_HOST' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';"
    echo "GRANT ALL ON *.* TO 'root'@'$MYSQL_ROOT_HOST' WITH GRANT OPTION;"
  fi
  if [[ -n ${MYSQL_USER:-} ]]; then
    echo "CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;"
    echo "CREATE USER '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';"
    echo "GRANT ALL ON \`${MYSQL_DATABASE//_/\\_}\`.* TO '$MYSQL_USER'@'%';"
  fi
  echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';"
}

root_login() {
  printf '[client]\npassword="%s"\n' "$MYSQL_ROOT_PASSWORD"
}

main "$@"
