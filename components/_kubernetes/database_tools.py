"""Containers that dump and restore MLflow's databases: pure builders, no resources.

A pod that works on a database is a chain of small containers that share two volumes:

1. ``prepare`` (the server's image) writes the login of each database to files, so that no password
   is in an argument or in a pod's spec.
2. ``tools`` (the image of rclone) copies rclone, a static program, for the containers after it.
3. ``dump`` or ``restore`` (the database's own image) runs the database's own programs.
4. The pod's main container (the server's image) decides, talks to the backup target, and reports.

All containers of a pod run as one user, because the files are readable by their owner alone.
"""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.arguments import applied
from .._kubernetes.pods import Credentials, exec_probe, resources, secrets_env
from ..contracts import BackupTarget

DATABASE_USER = 999
"""User id of the databases' official images. A pod that starts a database server runs as this user,
because PostgreSQL's initdb needs a user that the image knows."""
CONNECTIONS = "/connections"
"""Folder with the logins of the databases, in memory (images/mlflow, backup/connections.py)."""
WORK = "/work"
"""Folder that the containers share, on the node's disk."""
DUMPS = f"{WORK}/dumps"
"""Folder with one dump for each database: ``runs.dump`` and ``users.dump`` of pg_dump, or
``runs.sql`` and ``users.sql`` of mysqldump; and what is known of a dump, as ``<name>.facts``."""
RECOVERED = f"{WORK}/recovered"
"""Folder with the dumps of the databases that a verification recovers."""
POINT = f"{WORK}/point"
"""Folder with a base backup and the segments after it from the WAL archive (images/mlflow,
backup/point.py)."""
TARGET = "/backup"
"""Folder of the backup target's volume; empty where the target is no volume."""
MOST_WORK = "64Gi"
"""Most that the dumps of one pod may take of the node's disk."""

_COMMON = r"""set -eu
umask 077
export PGSERVICEFILE=/connections/pg_service.conf NAME
mkdir -p "$1"
cd "$1"
fail() {
  echo "error: $1" >&2
  exit 1
}
need() {
  command -v "$1" > /dev/null || fail "the image has no $1: expected an image of the database"
}
"""
DUMP = r"""while read -r NAME; do
  if [ -f "$PGSERVICEFILE" ]; then
    need pg_dump
    # One snapshot for the dump and for the numbers of rows: others write meanwhile.
    psql -wXqAt -F "$(printf '\t')" -v ON_ERROR_STOP=1 "service=$NAME" > "$NAME.facts" << 'SQL'
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL statement_timeout = 0;
SELECT pg_export_snapshot() AS snapshot, '"' || current_schema() || '"' AS schema \gset
\setenv SNAPSHOT :snapshot
\setenv SCHEMA :schema
\! pg_dump -wFc -n "$SCHEMA" --snapshot="$SNAPSHOT" -f new "service=$NAME" && mv new "$NAME.dump"
SELECT 'engine', 'postgresql', split_part(current_setting('server_version'), ' ', 1);
SELECT format('SELECT %L, %L, version_num FROM %I', 'revision', tablename, tablename)
  FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE 'alembic\_version%' \gexec
SELECT format('SELECT %L, %L, count(*) FROM %I', 'rows', tablename, tablename)
  FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename \gexec
SQL
    [ -f "$NAME.dump" ] || exit 1
  else
    need mysqldump
    mysqldump "--defaults-file=/connections/$NAME.cnf" --single-transaction --quick --hex-blob \
      --no-tablespaces --set-gtid-purged=OFF --default-character-set=utf8mb4 \
      "--result-file=$NAME.sql" "$(cat "/connections/$NAME.database")"
  fi
  echo "dumped the database of $NAME"
done < /connections/databases
"""
"""Dumps every database of ``/connections/databases`` to the folder that is the first argument. A
dump of PostgreSQL is of the schema in which MLflow's tables are."""
RESTORE = r"""client() {
  mysql "--defaults-file=/connections/$NAME.cnf" --default-character-set=utf8mb4 "$@" \
    "$(cat "/connections/$NAME.database")"
}
for NAME in runs users; do
  if [ -f "$NAME.dump" ] || [ -f "$NAME.sql" ]; then
    grep -qx "$NAME" /connections/databases ||
      fail "the backup has a database of $NAME, and the stack has none of its own"
  fi
  if [ -f "$NAME.dump" ]; then
    [ -f "$PGSERVICEFILE" ] || fail "the backup is of PostgreSQL, and the stack's database is not"
    need pg_restore
    schema=$(psql -wXqAt "service=$NAME" -c 'SELECT current_schema()')
    pg_restore -Ox --no-comments -n "$schema" -f "$NAME.new" "$NAME.dump"
    # All or nothing: the tables that are there go in the transaction that makes the others. A
    # trigger of MLflow's has a function, which a table does not take along. Extensions stay.
    {
      echo 'SET client_min_messages = warning;'
      cat << 'SQL'
SELECT format('DROP TABLE IF EXISTS %I CASCADE', tablename)
  FROM pg_tables WHERE schemaname = current_schema() \gexec
SELECT format('DROP ROUTINE %s CASCADE', oid::regprocedure)
  FROM pg_proc
  WHERE pronamespace = current_schema()::regnamespace AND proowner::regrole = current_user::regrole
    AND oid NOT IN (SELECT objid FROM pg_depend WHERE deptype = 'e') \gexec
SQL
      cat "$NAME.new"
    } | psql -wXq -v ON_ERROR_STOP=1 --single-transaction "service=$NAME" > /dev/null
    rm "$NAME.new"
    echo "restored the database of $NAME"
  elif [ -f "$NAME.sql" ]; then
    [ -f "/connections/$NAME.cnf" ] ||
      fail "the backup is of MySQL, and the stack's database is not"
    need mysql
    {
      echo 'SET FOREIGN_KEY_CHECKS = 0;'
      client --batch --skip-column-names --execute="
        SELECT CONCAT('DROP TABLE IF EXISTS \`', table_name, '\`;') FROM information_schema.tables
        WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
    } > drops.new
    client < drops.new
    # A trigger belongs to the user who restores: the user of the dump may not be here.
    sed '/^\/\*!50003 CREATE/s/\/\*!50017 DEFINER=[^*]*\*\///' "$NAME.sql" > "$NAME.new"
    client < "$NAME.new"
    rm drops.new "$NAME.new"
    echo "restored the database of $NAME"
  fi
done
"""
"""Replaces the tables of a database by those of its dump, for each dump in the folder that is the
first argument."""
SCRATCH = r"""mkdir -p scratch
cd scratch
if [ -f "$PGSERVICEFILE" ]; then
  need initdb
  initdb -D data -U mlflow -A trust -E UTF8 --locale=C -N > /dev/null
  while read -r NAME; do
    echo "CREATE DATABASE $NAME" | postgres --single -D data postgres > /dev/null 2>&1
  done < /connections/databases
  exec postgres -D data -c listen_addresses= -c "unix_socket_directories=$1/scratch" \
    -c fsync=off -c log_min_messages=fatal
fi
need mysqld
mysqld --no-defaults --initialize-insecure --datadir="$1/scratch/data" --log-error-verbosity=1
while read -r NAME; do
  echo "CREATE DATABASE IF NOT EXISTS $NAME;"
done < /connections/databases > init.sql
exec mysqld --no-defaults --datadir="$1/scratch/data" --init-file="$1/scratch/init.sql" \
  --socket="$1/scratch/mysqld.sock" --pid-file="$1/scratch/mysqld.pid" --skip-networking \
  --mysqlx=OFF --skip-log-bin --performance-schema=OFF --character-set-server=utf8mb4 \
  --collation-server=utf8mb4_0900_bin --innodb-flush-log-at-trx-commit=0 \
  --log-error-verbosity=1
"""
"""Starts an empty database server on a Unix socket, with the databases of ``/connections``."""
_SCRATCH_ANSWERS = r"""if [ -f /connections/pg_service.conf ]; then
  pg_isready -q -h "$1/scratch" -U mlflow -d postgres
else
  mysqladmin --no-defaults --user=root --socket="$1/scratch/mysqld.sock" --silent ping
fi
"""


BASE = r"""need pg_basebackup
began=$(date -u +%Y%m%dT%H%M%SZ)
system=$(psql -wXqAtc IDENTIFY_SYSTEM replication=true | cut -d '|' -f 1)
# In one file. The log that it takes to be consistent is in the archive.
pg_basebackup -w --format=tar --wal-method=none --checkpoint=fast --compress=gzip:1 --pgdata=- \
  2> base.said > base.tar.gz || fail "$(tail -n 1 base.said)"
rm base.said
tar -xzOf base.tar.gz backup_label > base.facts
printf 'system\t%s\nbegan\t%s\n' "$system" "$began" >> base.facts
echo "made a base backup of PostgreSQL"
"""
"""Makes a base backup in the folder that is the first argument, with the login of libpq's
variables."""
RECOVER = r"""need postgres
export LC_ALL=C
point=$2
mkdir "$point/data"
tar -xzf "$point/base.tar.gz" -C "$point/data"
rm "$point/base.tar.gz"
chmod 700 "$point/data"
touch "$point/data/recovery.signal"
echo 'local all all trust' > "$point/pg_hba.conf"
# Nobody but this script reaches the server. Its settings of connections are not those of the copied
# one, which matters to a server that answers during the recovery alone.
start() {
  postgres -D "$point/data" -c listen_addresses= -c "unix_socket_directories=$point" -c port=5432 \
    -c "hba_file=$point/pg_hba.conf" -c hot_standby=off -c fsync=off -c ssl=off \
    -c archive_mode=off -c logging_collector=off -c log_destination=stderr -c log_min_messages=log \
    -c recovery_target_timeline=current -c recovery_target_action=promote \
    -c "restore_command=test -f $point/wal/%f.gz && gzip -dc $point/wal/%f.gz > %p" \
    "$@" > "$point/log" 2>&1 &
  server=$!
  until pg_isready -q -h "$point" -U postgres -d postgres; do
    kill -0 $server 2> /dev/null || return 1
    sleep 0.5
  done
}
last() {
  sed -n "s/.*$1//p" "$point/log" | tail -n 1
}
moment=$(cat "$point/until" 2> /dev/null || true)
if [ -z "$moment" ]; then
  start || fail "the WAL archive does not bring the databases back: $(last 'FATAL: *')"
elif ! start -c "recovery_target_time=$moment"; then
  grep -q 'recovery ended before configured recovery target' "$point/log" ||
    fail "the WAL archive does not bring the databases back: $(last 'FATAL: *')"
  [ -e "$point/whole" ] ||
    fail "the WAL archive has a gap: its last transaction before is of $(last 'at log time ')"
  # The archive reaches to the moment: nothing was committed between its end and the moment.
  touch "$point/data/recovery.signal"
  start || fail "the WAL archive does not bring the databases back: $(last 'FATAL: *')"
fi
committed=$(last 'at log time ')
echo "recovered the databases${committed:+: the last transaction is of $committed}"
export PGSERVICEFILE=$point/pg_service.conf
"""
"""Starts a server on a base backup, which replays the archived log up to a moment. The folder with
both is the second argument."""


def base(
    client_image: pulumi.Input[str], login: pulumi.Input[Credentials]
) -> k8s.core.v1.ContainerArgs:
    """Return the container ``base``, which makes a base backup of PostgreSQL in ``DUMPS``.

    Args:
        client_image: the image of the server.
        login: the login that may copy the server's data.
    """
    made = _shell("base", client_image, _COMMON + BASE, DUMPS)
    made.env_from = secrets_env([login])
    return made


def recover(client_image: pulumi.Input[str], dumps: str = DUMPS) -> k8s.core.v1.ContainerArgs:
    """Return the container ``recover``, which brings PostgreSQL's databases back to a moment.

    It does so only where ``POINT`` has a base backup. It dumps the databases to ``dumps``.
    """
    script = when([f"{POINT}/base.tar.gz"]) + _COMMON + RECOVER + DUMP
    made = _shell("recover", client_image, script, dumps, POINT)
    made.resources = resources(
        "100m", "256Mi", most_cpu="4", most_memory="1Gi", most_scratch=MOST_WORK
    )
    return made


def prepare(
    image: pulumi.Input[str], backends: Sequence[pulumi.Input[Credentials]]
) -> k8s.core.v1.ContainerArgs:
    """Return the container ``prepare``, which writes the databases' logins to ``CONNECTIONS``.

    Args:
        image: the server's image.
        backends: the backend store.
    """
    return k8s.core.v1.ContainerArgs(
        name="prepare",
        image=image,
        command=["python", "-m", "mlflow_kubernetes.backup.connections"],
        args=[CONNECTIONS],
        env=[k8s.core.v1.EnvVarArgs(name="HOME", value="/tmp")],  # noqa: S108 (in the pod)
        env_from=secrets_env(backends, optional=True),
        resources=resources("100m", "128Mi", most_cpu="1"),
        termination_message_policy="FallbackToLogsOnError",
    )


def tools(image: pulumi.Input[str], only_if: Sequence[str] = ()) -> k8s.core.v1.ContainerArgs:
    """Return the container ``tools``, which copies rclone to ``WORK``; its image is rclone's.

    With ``only_if`` it does so only where one of these files is there.
    """
    return _shell("tools", image, when(only_if) + f"cp /usr/local/bin/rclone {WORK}/rclone")


def dump(client_image: pulumi.Input[str], only_if: Sequence[str] = ()) -> k8s.core.v1.ContainerArgs:
    """Return the container ``dump``, which dumps the databases to ``DUMPS``.

    Its image is the database's own, of the server's release or newer. With ``only_if`` it dumps
    only where one of these files is there.
    """
    return _shell("dump", client_image, when(only_if) + _COMMON + DUMP, DUMPS)


def restore(
    client_image: pulumi.Input[str], only_if: Sequence[str] = ()
) -> k8s.core.v1.ContainerArgs:
    """Return the container ``restore``, which puts the dumps of ``DUMPS`` into the databases.

    What the databases held is dropped: on PostgreSQL in one transaction with what comes. With
    ``only_if`` it restores only where one of these files is there.
    """
    return _shell("restore", client_image, when(only_if) + _COMMON + RESTORE, DUMPS)


def when(files: Sequence[str]) -> str:
    """Return the line of a script of `sh` that ends it where none of these files is there."""
    tests = " || ".join(f"[ -e {file} ]" for file in files)
    return f"{tests} || exit 0\n" if files else ""


def fetch(
    image: pulumi.Input[str], backends: Sequence[pulumi.Input[Credentials]]
) -> k8s.core.v1.ContainerArgs:
    """Return the container ``fetch``, which downloads the newest backup to ``DUMPS``.

    It writes logins for ``scratch_server``, as ``prepare`` does for the stack's database.

    Args:
        image: the server's image.
        backends: the backup target, and the artifact store where that is the target.
    """
    return k8s.core.v1.ContainerArgs(
        name="fetch",
        image=image,
        command=["python", "-m", "mlflow_kubernetes.backup.verify"],
        args=["fetch"],
        env=[k8s.core.v1.EnvVarArgs(name="HOME", value="/tmp")],  # noqa: S108 (in the pod)
        env_from=secrets_env(backends, optional=True),
        resources=resources(
            "100m", "256Mi", most_cpu="2", most_memory="512Mi", most_scratch=MOST_WORK
        ),
        termination_message_policy="FallbackToLogsOnError",
    )


def scratch_server(client_image: pulumi.Input[str]) -> k8s.core.v1.ContainerArgs:
    """Return the container ``scratch``: a database server that runs beside those after it.

    The pod runs as ``DATABASE_USER``. Nothing but the pod's containers reaches the server.
    """
    server = _shell("scratch", client_image, _COMMON + SCRATCH, WORK)
    # Kubernetes starts the next container when the probe succeeds, and ends this one at the end.
    server.restart_policy = "Always"
    server.startup_probe = exec_probe(
        ["sh", "-c", _SCRATCH_ANSWERS, "sh", WORK], period=1, failures=180
    )
    server.resources = resources(
        "100m", "256Mi", most_cpu="4", most_memory="1Gi", most_scratch=MOST_WORK
    )
    return server


def mounts() -> list[k8s.core.v1.VolumeMountArgs]:
    """Return the mounts that all containers of the chain have."""
    return [
        k8s.core.v1.VolumeMountArgs(name="connections", mount_path=CONNECTIONS),
        k8s.core.v1.VolumeMountArgs(name="work", mount_path=WORK),
        k8s.core.v1.VolumeMountArgs(name="backup", mount_path=TARGET),
    ]


def volumes(target: pulumi.Input[BackupTarget] | None = None) -> list[k8s.core.v1.VolumeArgs]:
    """Return the volumes of ``mounts``.

    Args:
        target: the backup target; None where the pod has none.
    """

    def backup(known: BackupTarget) -> k8s.core.v1.VolumeArgs:
        claim = known.get("claim")
        if claim is None:
            return nowhere
        return k8s.core.v1.VolumeArgs(
            name="backup",
            persistent_volume_claim=k8s.core.v1.PersistentVolumeClaimVolumeSourceArgs(
                claim_name=claim
            ),
        )

    empty = k8s.core.v1.EmptyDirVolumeSourceArgs
    nowhere = k8s.core.v1.VolumeArgs(name="backup", empty_dir=empty())
    return [
        k8s.core.v1.VolumeArgs(
            name="connections", empty_dir=empty(medium="Memory", size_limit="1Mi")
        ),
        k8s.core.v1.VolumeArgs(name="work", empty_dir=empty()),
        nowhere if target is None else applied(target, backup),  # type: ignore[list-item]
    ]


def _shell(
    name: str, image: pulumi.Input[str], script: str, *arguments: str
) -> k8s.core.v1.ContainerArgs:
    """Return a container that runs a script of ``sh``."""
    return k8s.core.v1.ContainerArgs(
        name=name,
        image=image,
        command=["sh", "-c", script, name, *arguments],
        resources=resources(
            "100m", "128Mi", most_cpu="2", most_memory="512Mi", most_scratch=MOST_WORK
        ),
        # The pod's status then has the program's own line.
        termination_message_policy="FallbackToLogsOnError",
    )
