#!/bin/sh
# Patroni runs this on a cluster that it has just made, with the cluster's address: the scripts that
# the official image runs on an empty volume, then the roles of the members.
set -eu
for script in /docker-entrypoint-initdb.d/*.sql /opt/members/roles.sql; do
  psql -wXq -v ON_ERROR_STOP=1 -f "$script" "$1"
done
