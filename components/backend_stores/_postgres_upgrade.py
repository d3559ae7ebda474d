"""PostgreSQL's next major version: containers that move a volume's data before the server starts.

Each major version has a data format of its own, and an official image has the programs of one major
version. So a container of the former image dumps the databases, and a container of the new image
loads the dumps into a new data folder on the same volume. The former data folder is renamed when
the new one is complete, and stays until its user removes it (``make drop-former-database``).
"""

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.pods import resources

_COMMON = """\
set -eu
umask 077
folder=$1 dumps=$1/upgrade
export PGHOST=/tmp PGUSER=postgres PGDATABASE=postgres
fail() {
  echo "error: $1" >&2
  exit 1
}
start() {
  pg_ctl --pgdata="$1" --wait --timeout=600 --silent --log=/tmp/server.log \\
    -o "-c listen_addresses= -c unix_socket_directories=$PGHOST" start ||
    fail "PostgreSQL does not start on $1: $(tail -n 1 /tmp/server.log)"
}
stop() {
  pg_ctl --pgdata="$1" --wait --timeout=600 --silent --mode=fast stop
}
"""
DUMP = """\
checkpoint() {
  pg_controldata "$PGDATA" | grep '^Latest checkpoint location'
}
[ -s "$PGDATA/PG_VERSION" ] || exit 0
# A server that ran since the dump has left another checkpoint.
if [ -s "$dumps/complete" ] && [ "$(checkpoint)" = "$(cat "$dumps/complete")" ]; then
  exit 0
fi
rm -rf "$dumps"
held=$(du -sk "$PGDATA" | cut -f 1)
free=$(df -Pk "$folder" | awk 'NR == 2 { print $4 }')
# The new data folder is as large as the former one, and the dumps are not larger than the data.
[ "$free" -ge $((held * 2)) ] || fail "the volume has $((free / 1024)) MiB free, and the upgrade \
takes up to $((held / 512)) MiB: raise mlflow:databaseStorage"
mkdir "$dumps"
start "$PGDATA"
trap 'stop "$PGDATA"' EXIT
pg_dumpall --globals-only --file="$dumps/globals.sql"
psql -XAt -F ' ' > "$dumps/databases" -c \\
  "SELECT oid, datname FROM pg_database WHERE datallowconn AND datname <> 'template1'"
while read -r number name; do
  echo "dumping database $name"
  pg_dump --format=custom --compress=1 --create --file="$dumps/$number" "$name"
done < "$dumps/databases"
printf %s "$PGDATA" > "$dumps/former"
trap - EXIT
stop "$PGDATA"
sync
checkpoint > "$dumps/complete"
"""
"""Dumps all databases of the former data folder, unless they are dumped already."""
LOAD = """\
if [ -s "$PGDATA/PG_VERSION" ]; then
  # Left by a run that was killed when it had done all else.
  rm -rf "$dumps"
  exit 0
fi
[ -s "$dumps/complete" ] || exit 0
former=$(cat "$dumps/former")
new=$dumps/loading
[ "$former" != "$PGDATA" ] || fail "both images keep their data in $PGDATA: expected two versions"
[ ! -e "$PGDATA" ] || rmdir "$PGDATA" || fail "$PGDATA holds files that are no database"
if [ ! -e "$dumps/loaded" ]; then
  rm -rf "$new"
  mkdir "$new"
  initdb --pgdata="$new" --username="$PGUSER" --auth=trust > /dev/null
  # Who may connect, and how. All other settings are those of the new image.
  cp "$former/pg_hba.conf" "$new/"
  start "$new"
  trap 'stop "$new"' EXIT
  # initdb has made this role.
  sed '/^CREATE ROLE postgres;$/d' "$dumps/globals.sql" | psql -Xq -v ON_ERROR_STOP=1
  psql -Xqc 'REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC'
  while read -r number name; do
    echo "loading database $name"
    create=--create
    if [ "$name" = postgres ]; then
      create=
    fi
    pg_restore --exit-on-error --jobs=2 $create --dbname=postgres "$dumps/$number"
  done < "$dumps/databases"
  vacuumdb --all --analyze-only --quiet
  trap - EXIT
  stop "$new"
  sync
  mv "$new" "$dumps/loaded"
fi
# The former image finds no data under the new name: it must not start on data that is out of date.
if [ -e "$former" ]; then
  mv "$former" "${former%/*}/former"
fi
mkdir -p "${PGDATA%/*}"
mv "$dumps/loaded" "$PGDATA"
rm -rf "$dumps"
echo "loaded all databases into $PGDATA"
"""
"""Loads the dumps into a new data folder, and moves the folder to where the image looks for it."""
MINUTES = 120
"""How long `pulumi up` waits for a server whose data is dumped and loaded."""


def upgrade(
    former: pulumi.Input[str], image: pulumi.Input[str], folder: str
) -> list[k8s.core.v1.ContainerArgs]:
    """Return the containers that bring the volume's data to the major version of ``image``.

    They do nothing if there is no former data folder, or if it was upgraded before. Each container
    can be killed at any moment, and run again.

    Args:
        former: image of the major version that wrote the data.
        image: image of the server.
        folder: where the volume is mounted.
    """
    return [
        _container("upgrade-dump", former, DUMP, folder),
        _container("upgrade-load", image, LOAD, folder),
    ]


def _container(
    name: str, image: pulumi.Input[str], script: str, folder: str
) -> k8s.core.v1.ContainerArgs:
    return k8s.core.v1.ContainerArgs(
        name=name,
        image=image,
        command=["bash", "-c", _COMMON + script, name, folder],
        resources=resources("100m", "256Mi", most_cpu="4", most_memory="1Gi"),
        # The pod's status then has the line.
        termination_message_policy="FallbackToLogsOnError",
    )
