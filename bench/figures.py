"""What is measured, and the goals."""

from dataclasses import dataclass

from bench import beside_plain
from bench.transfers import FILES
from harness import crowd

# By then, connections are made, and Python's allocator has settled.
REST_SECONDS = 20


@dataclass(frozen=True)
class Figure:
    """A figure that is measured, and its goal."""

    what: str
    unit: str
    goal: float | None = None

    @property
    def more_is_better(self) -> bool:
        """Whether a higher value is better: speeds, and ratios, which have no unit."""
        return self.unit in ("", "MB/s", "runs/s")

    @property
    def goal_text(self) -> str:
        """The goal in words: the least value of a ratio (no unit), or the most of other figures."""
        if self.goal is None:
            return ""
        return f"{self.goal:g} {self.unit} or less" if self.unit else f"{self.goal:g} or more"


REFUSAL = Figure("`up` with a wrong setting, until it is refused", "s", 5)
UP = Figure("`up` from nothing, images present", "s")
FIRST_RUN = Figure("... and until a first run is logged and read back", "s", 60)
NO_OP = Figure("`up` with nothing to do", "s", 8)
DESTROY = Figure("`destroy`, nothing left", "s", 45)
SERVER = Figure("tracking server at rest, 2 workers (PSS)", "MiB", 300)
WHOLE = Figure("whole stack at rest (PSS)", "MiB", 700)
UPLOAD = Figure("600 MB artifact up, through the ingress", "MB/s")
DOWNLOAD = Figure("600 MB artifact down, through the ingress", "MB/s")
STORES = {"minio": 128, "hdfs": 64}
"""Every artifact store, and the goal in MiB for the server's growth while 1 GB passes."""
THROUGH = {
    (store, what): Figure(f"{store}: 1 GB {what}", "MB/s")
    for store in STORES
    for what in ("up", "down", "up, past the server", "down, past the server")
}
RATIO = {
    (store, what): Figure(f"{store}: {what} through the server / past it", "", 0.5)
    for store in STORES
    for what in ("up", "down")
}
SMALL_FILES = {
    (server, way): Figure(f"{FILES} files of 10 KB {way} in one folder, {what}", "s")
    for server, what in (("ours", "ours with a login"), ("plain", "plain `mlflow server`"))
    for way in ("up", "down")
}
SMALL_RATIO = {
    way: Figure(f"{FILES} files of 10 KB {way}: plain / ours", "", 3.0) for way in ("up", "down")
}
GROWTH = {
    store: Figure(f"{store}: the server's growth meanwhile (PSS)", "MiB", goal)
    for store, goal in STORES.items()
}
# The limit of the server's pod is 1024 MiB.
CROWD = {
    (store, who): Figure(
        f"{store}: the server while {crowd.EACH} {who} uploads and {crowd.EACH} downloads of 20 MB "
        "are under way (PSS)",
        "MiB",
        800,
    )
    for store in STORES
    for who in ("slow", "fast")
}
AFTERWARDS = {
    store: Figure(f"{store}: ... and {REST_SECONDS} s after them", "MiB", 400) for store in STORES
}
# Each server is measured in turn with the others: 10 params and 10 batches of 10 metrics a run.
SERVERS = {
    "plain": "plain `mlflow server`, which has no login",
    "open": "ours without a login",
    "login": "ours with a login",
}
RUNS = {
    (server, clients): Figure(f"{clients} clients: runs, {what}", "runs/s")
    for clients in beside_plain.CLIENTS
    for server, what in SERVERS.items()
}
FAILED = {
    (server, clients): Figure(f"{clients} clients: failed requests, {what}", "requests", goal)
    for clients in beside_plain.CLIENTS
    for (server, what), goal in zip(SERVERS.items(), (None, 0, 0), strict=True)
}
FASTER = {
    (server, clients): Figure(f"{clients} clients: runs, ours {what} / plain", "", goal)
    for clients in beside_plain.CLIENTS
    for server, what, goal in (("open", "without a login", 2.0), ("login", "with a login", 1.5))
}
SOONER = {
    clients: Figure(f"{clients} clients: 95th percentile of requests, plain / ours", "", 2.0)
    for clients in beside_plain.CLIENTS
}
SIDES = ("`pulumi up`", "plain manifests")
DEPLOYS = {
    (side, what): Figure(f"{side}: {text}", "s")
    for side in SIDES
    for what, text in (
        ("up", "until everything is ready"),
        ("first_run", "... and until a first run is logged and read back"),
        ("gone", "removal, until nothing is left"),
    )
}
# At most 1.2 times as long as plain manifests.
AS_SOON = {
    what: Figure(f"{text}: plain manifests / `pulumi up`", "", goal)
    for what, text, goal in (
        ("up", "everything is ready", 0.83),
        ("first_run", "a first run is read back", None),
        ("gone", "nothing is left", 0.83),
    )
}
LOGIN = Figure("8 clients: runs with a login / without one", "", 0.8)
CLIENT_CORES = Figure("cores that the clients of these figures use", "cores")
FIGURES = (
    *(REFUSAL, UP, FIRST_RUN, NO_OP, DESTROY, SERVER, WHOLE, UPLOAD, DOWNLOAD),
    *THROUGH.values(),
    *RATIO.values(),
    *SMALL_FILES.values(),
    *SMALL_RATIO.values(),
    *GROWTH.values(),
    *CROWD.values(),
    *AFTERWARDS.values(),
    *RUNS.values(),
    *FAILED.values(),
    *FASTER.values(),
    *SOONER.values(),
    *DEPLOYS.values(),
    *AS_SOON.values(),
    *(LOGIN, CLIENT_CORES),
)
