"""The store of users, which reads what one request asks of it once.

MLflow's functions ask for the user at each check, and then for the grants of the user, each in a
transaction of its own. For a call that logs to a run, these are nine round trips to PostgreSQL.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple

from flask import g, has_request_context
from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
from mlflow.server.auth.db.models import (
    SqlRole,
    SqlRolePermission,
    SqlUser,
    SqlUserRoleAssignment,
)
from mlflow.server.auth.entities import User
from mlflow.server.auth.permissions import (
    RESOURCE_TYPE_WORKSPACE,
    GrantLoadKey,
    _validate_resource_type,
)
from mlflow.server.auth.sqlalchemy_store import RoleGrantRow, SqlAlchemyStore
from mlflow.utils import workspace_context
from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME
from sqlalchemy import Select, String, and_, bindparam, select
from sqlalchemy.orm import Session

from mlflow_kubernetes.login import failures
from mlflow_kubernetes.patches import bad_input
from mlflow_kubernetes.stores import pools
from mlflow_kubernetes.stores.statements import committing

_ASSIGNMENTS: Any = SqlUserRoleAssignment.__table__
_GRANTS: Any = SqlRolePermission.__table__
_ROLES: Any = SqlRole.__table__
_USERS: Any = SqlUser.__table__
_GRANT = (_GRANTS.c.resource_type, _GRANTS.c.resource_pattern, _GRANTS.c.permission)
"""The columns of a RoleGrantRow, in its order."""

MOST_GRANTS = 100
"""The grants of a user that are read together with the user. Those of a user who has more are read
when a check asks for them."""
_ALL = "*"
# Ids of the resources that a check is about, while only their grants count.
_resources: ContextVar[frozenset[str] | None] = ContextVar("resources", default=None)


class Account(NamedTuple):
    """What the database had of a user."""

    user: User
    workspace: str | None
    """The workspace of the grants."""
    grants: list[RoleGrantRow] | None
    """None for an admin, who needs none, and for a user who has more than MOST_GRANTS."""


class Store(SqlAlchemyStore):
    """MLflow's store of users, with the same answers in fewer statements.

    What a request has read is kept until the request ends or changes the database, so each request
    sees the users and grants of its own time.
    """

    ManagedSessionMaker: Any

    def init_db(self, db_uri: str, read_db_uri: str | None = None) -> None:
        """Open the database, which has the tables of this release."""
        super().init_db(db_uri, read_db_uri)
        pools.install(self.engine)
        self._sessions: Any = self.ManagedSessionMaker
        self.ManagedSessionMaker = self._session

    def get_user(self, username: str) -> User:
        """Return a user.

        Raises:
            MlflowException: as MLflow's store does.
        """
        known = _known()
        with failures.noted():
            account = known.get(username) or self._read(username)
            if account is None:
                return super().get_user(username)
        known[username] = account
        return account.user

    def list_grants(
        self, user_id: int, workspace: str, resource_types: Collection[str]
    ) -> list[RoleGrantRow]:
        """Return a user's grants in a workspace, for these types and for the whole workspace.

        Raises:
            MlflowException: as MLflow's store does.
        """
        types = {*resource_types}
        for one in types:
            _validate_resource_type(one)
        types.add(RESOURCE_TYPE_WORKSPACE)
        for user, place, grants in _known().values():
            if grants is not None and (user.id, place) == (user_id, workspace):
                return [grant for grant in grants if grant.resource_type in types]
        values = {"user": user_id, "workspace": workspace, "types": [*types]}
        resources = _resources.get()
        if resources is not None:
            values["resources"] = [_ALL, *resources]
        with self.ManagedSessionMaker() as session, committing(session) as connection:
            rows = connection.execute(_grants(resources is not None), values)
            return [RoleGrantRow(*row) for row in rows]

    def _read(self, username: str) -> Account | None:
        enabled = MLFLOW_ENABLE_WORKSPACES.get()
        place = workspace_context.get_request_workspace() if enabled else DEFAULT_WORKSPACE_NAME
        values = {"name": username, "workspace": place}
        with self.ManagedSessionMaker() as session, committing(session) as connection:
            rows = connection.execute(_account(), values).all()
        users = {row[:4] for row in rows}
        if len(users) != 1:
            return None
        user = User(*users.pop())
        grants = [RoleGrantRow(*row[4:]) for row in rows if row[4] is not None]
        whole = len(rows) <= MOST_GRANTS and not user.is_admin
        return Account(user, place, grants if whole else None)

    def _session(self, read_only: bool = True) -> AbstractContextManager[Session]:
        session: AbstractContextManager[Session] = (
            self._sessions(read_only=True) if read_only else self._writing()
        )
        return session

    @contextmanager
    def _writing(self) -> Generator[Session]:
        try:
            with self._sessions(read_only=False) as session:
                yield session
        finally:
            _known().clear()


def resolve_permissions(
    resolve: Callable[..., Any], username: str, workspace_name: str, keys: Sequence[GrantLoadKey]
) -> Any:
    """Call MLflow's function of this name, which asks the store for all grants of some types.

    By MLflow's `matches`, only grants for all resources or for one of the keys decide. Some users
    own thousands of experiments, and have a grant for each.
    """
    token = _resources.set(frozenset(_texts(key.resource_id for key in keys)))
    try:
        return resolve(username, workspace_name, keys)
    finally:
        _resources.reset(token)


def _texts(names: Iterable[object]) -> Iterator[str]:
    """Leave out what cannot be in a database: a client may send anything as a name."""
    return (name for name in names if isinstance(name, str) and not bad_input.unfit(name))


def _known() -> dict[str, Account]:
    """Return what this request has read, by name of user; outside of a request, nothing."""
    if not has_request_context():
        return {}
    known: dict[str, Account] = g.setdefault("mlflow_kubernetes_accounts", {})
    return known


@cache
def _account() -> Select[Any]:
    """Return the statement for a user with the grants in a workspace: a row for each grant."""
    held = _ASSIGNMENTS.join(_ROLES, _ROLES.c.id == _ASSIGNMENTS.c.role_id).join(
        _GRANTS, _GRANTS.c.role_id == _ROLES.c.id
    )
    theirs = and_(
        _ASSIGNMENTS.c.user_id == _USERS.c.id,
        _USERS.c.is_admin.is_not(True),
        _ROLES.c.workspace == bindparam("workspace", type_=String()),
    )
    return (
        select(
            *(_USERS.c.id, _USERS.c.username, _USERS.c.password_hash, _USERS.c.is_admin),
            *_GRANT,
        )
        .select_from(_USERS.outerjoin(held, theirs))
        .where(_USERS.c.username == bindparam("name", type_=String()))
        .limit(MOST_GRANTS + 1)
    )


@cache
def _grants(some: bool) -> Select[Any]:
    """Return the statement for grants of some types, and of some resources or all."""
    grants = (
        select(*_GRANT)
        .join(_ROLES, _ROLES.c.id == _GRANTS.c.role_id)
        .join(_ASSIGNMENTS, _ROLES.c.id == _ASSIGNMENTS.c.role_id)
        .where(
            _ASSIGNMENTS.c.user_id == bindparam("user"),
            _ROLES.c.workspace == bindparam("workspace"),
            _GRANTS.c.resource_type.in_(bindparam("types", expanding=True)),
        )
    )
    if not some:
        return grants
    return grants.where(_GRANTS.c.resource_pattern.in_(bindparam("resources", expanding=True)))
