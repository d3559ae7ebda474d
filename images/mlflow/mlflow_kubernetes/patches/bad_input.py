"""Bad input is refused with one line, in the same way on every database, and without SQL.

MLflow answers 500 to much bad input. Its clients repeat such a request for minutes, and then the
training fails.
"""

import errno
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import pymysql
import sqlalchemy
from flask import Response
from google.protobuf.json_format import ParseError
from google.protobuf.message import DecodeError
from graphql import GraphQLError
from mlflow import exceptions, server
from mlflow.exceptions import MlflowException, MlflowTracingException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    FEATURE_DISABLED,
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)
from sqlalchemy import exc
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.pool import QueuePool
from starlette.responses import Response as NativeResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlflow_kubernetes.support import no_room
from mlflow_kubernetes.support.database import reason
from mlflow_kubernetes.support.environment import one_line

_logger = logging.getLogger(__name__)
# PostgreSQL keeps no NUL, MySQL does; half a surrogate pair is no text to either.
_UNFIT = re.compile("[\0\ud800-\udfff]")
# Of SQLSTATE: bad data, and more than the database can take (a value too long for its index).
_POSTGRESQL = ("22", "54")
# pymysql knows some as DataError; these it takes for failures of the server.
# https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html
_MYSQL = frozenset({1071, 1118, 1153, 1267, 1292, 1300, 1366, 1411, 1525, 1690, 3140, 3141, 3988})
# "Server shutdown in progress": MySQL closes the connection next, which SQLAlchemy does not expect.
# A ROLLBACK would fail, in a place where MLflow catches no error.
_MYSQL_ENDS = 1053
# What Python raises where MLflow's code meets a value that it did not expect. The same request
# would raise it again, so no client should repeat it; the log has the traceback.
_UNEXPECTED = (
    *(AssertionError, AttributeError, LookupError, OverflowError, TypeError, ValueError),
    *(RecursionError, SystemError),  # protobuf raises the last one for half a surrogate pair
    *(re.error, ParseError, DecodeError, GraphQLError),
    *(IsADirectoryError, NotADirectoryError),
)
# A refusal by MLflow, to which it gives no status of its own: its clients would repeat a 500.
_STATUS = {
    "FEATURE_DISABLED": HTTPStatus.NOT_FOUND.value,
    "INVALID_STATE": HTTPStatus.CONFLICT.value,
    no_room.NAME: HTTPStatus.INSUFFICIENT_STORAGE.value,
}
_get_connection: Any = QueuePool._do_get
_make: Any = MlflowException.__init__


def install() -> None:
    """Refuse what no database takes, and tell what is wrong without SQL."""
    sqlalchemy.event.listen(Engine, "before_cursor_execute", _refuse_unfit)
    sqlalchemy.event.listen(Engine, "handle_error", _tell)
    QueuePool._do_get = _connection  # type: ignore[method-assign]
    MlflowException.__init__ = _make_as_input  # type: ignore[method-assign]
    server.app.register_error_handler(MlflowException, _answer)
    for kind in (*_UNEXPECTED, exc.SQLAlchemyError):
        server.app.register_error_handler(kind, _refuse)
    server.app.register_error_handler(OSError, _refuse_long_name)
    server.app.after_request(_tell_what_is_off)
    exceptions.ERROR_CODE_TO_HTTP_STATUS |= _STATUS


class BadInput:
    """Answers the same from MLflow's native routes, and from its middleware around them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer it where that fails."""
        begun = False

        async def note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except (*_UNEXPECTED, exc.SQLAlchemyError) as error:
            if begun:
                raise
            told = _told(error)
            answer = NativeResponse(
                told.serialize_as_json(), told.get_http_status_code(), media_type="application/json"
            )
            await answer(scope, receive, send)


def _refuse_unfit(
    _: object, __: object, ___: str, parameters: Any, context: Any, ____: bool
) -> None:
    for row in parameters if isinstance(parameters, list) else [parameters]:
        for value in row.values() if isinstance(row, Mapping) else row or ():
            # stores/batches.py sends lists.
            for text in value if isinstance(value, list) else (value,):
                if isinstance(text, str) and (found := unfit(text)):
                    name = _name(context, text)
                    place = f" of '{name}'" if name else ""
                    raise MlflowException.invalid_parameter_value(
                        f"A text{place} has the character U+{ord(found):04X}, which no database "
                        f"keeps: {_excerpt(text, found)}. Accepted: any other character"
                    )


def unfit(text: str) -> str | None:
    """Return the first letter of a text that no database keeps, or None."""
    if text.isascii():
        return "\0" if "\0" in text else None
    found = _UNFIT.search(text)
    return found[0] if found else None


def _name(context: Any, value: str) -> str | None:
    """Return the column that a value is for, or is compared with."""
    rows: Iterable[Mapping[str, Any]] = getattr(context, "compiled_parameters", None) or ()
    names: Iterator[str] = (
        name
        for row in rows
        for name, one in row.items()
        if one == value or (isinstance(one, list) and value in one)
    )
    return re.sub(r"_+m?\d+$", "", next(names, "")) or None


def _excerpt(text: str, found: str) -> str:
    at = text.index(found)
    return ascii(text[max(0, at - 10) : at + 10])


def _tell(context: ExceptionContext) -> None:
    error, told = context.original_exception, context.sqlalchemy_exception
    if told is None or not isinstance(error, Exception):
        return
    if isinstance(error, pymysql.err.Error) and error.args[:1] == (_MYSQL_ENDS,):
        context.is_disconnect = True
    if _is_bad_data(error):
        message = f"The database does not take a value: {_reason(error)}"
        raise MlflowException.invalid_parameter_value(message) from error
    if no_room.of_database(error):
        raise no_room.failure("the database", _reason(error)) from error
    if told.statement:
        _logger.warning("%s, in: %s", _reason(error), told.statement)
    # These end up in answers.
    told.args = (_reason(error),)
    told.statement = told.params = told.code = None


def _is_bad_data(error: Exception) -> bool:
    state = getattr(error, "pgcode", None) or ""
    return (
        state.startswith(_POSTGRESQL)
        or isinstance(error, pymysql.err.DataError)
        or (isinstance(error, pymysql.err.Error) and bool(error.args) and error.args[0] in _MYSQL)
    )


def _reason(error: Exception) -> str:
    """Return the driver's own words, without what MySQL quotes of a statement."""
    return reason(error).partition(" near '")[0]


def _connection(pool: QueuePool) -> Any:
    """Tell that all connections are in use as what it is: MLflow takes it for bad input."""
    try:
        return _get_connection(pool)
    except exc.TimeoutError as error:
        busy = Exception("all connections to the database are in use: try again")
        raise exc.OperationalError(None, None, busy) from error


def _make_as_input(
    error: MlflowException, message: Any, error_code: int = INTERNAL_ERROR, *rest: Any, **more: Any
) -> None:
    """Take what MLflow's sessions turn into a failure of the server for what it is."""
    if error_code == INTERNAL_ERROR and isinstance(message, _UNEXPECTED):
        _logger.error("Bad input", exc_info=message)
        message, error_code = _text(message), INVALID_PARAMETER_VALUE
    elif error_code == INTERNAL_ERROR and "is not enabled" in str(message):
        error_code = FEATURE_DISABLED
    elif error_code == BAD_REQUEST and isinstance(message, Exception) and _is_passing(message):
        error_code = TEMPORARILY_UNAVAILABLE
    if isinstance(error, MlflowTracingException):
        error_code = RESOURCE_DOES_NOT_EXIST
    _make(error, message, error_code, *rest, **more)


def _text(error: Exception) -> str:
    said = str(error).encode("ascii", "backslashreplace").decode()
    return f"Bad input: {type(error).__name__}: {one_line(said)[:500]}"


def _is_passing(error: Exception) -> bool:
    """Say whether the database did not answer: the same request may succeed later."""
    # A connection that is lost may be an InterfaceError too.
    lost = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, exc.OperationalError)


def _told(error: Exception) -> MlflowException:
    if _is_passing(error):
        _logger.error("The database does not answer", exc_info=error)
        return MlflowException(str(error), TEMPORARILY_UNAVAILABLE)
    _logger.error("Bad input", exc_info=error)
    return MlflowException.invalid_parameter_value(_text(error))


def _refuse(error: Exception) -> Response:
    return _answer(_told(error))


def _refuse_long_name(error: OSError) -> Response:
    # Of a file that passes through /tmp.
    if error.errno != errno.ENAMETOOLONG:
        raise error
    return _refuse(error)


def _tell_what_is_off(response: Response) -> Response:
    """Tell that something is switched off by a status that no client takes for a passing one."""
    off = response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    if off and not response.is_streamed and b" disabled " in response.get_data()[:200]:
        response.status_code = HTTPStatus.NOT_FOUND
    return response


def _answer(error: MlflowException) -> Response:
    """Answer what is raised before a handler of MLflow's runs as these answer it themselves."""
    return Response(
        error.serialize_as_json(), error.get_http_status_code(), mimetype="application/json"
    )
