"""The one place where MySQL's errors become domain errors, by number.

Numbers: https://dev.mysql.com/doc/mysql-errors/9.0/en/server-error-reference.html and
https://mariadb.com/kb/en/mariadb-error-code-reference/
"""

import ssl

import pymysql
from pymysql.constants import CR, ER

from pixyproxy.adapters.sql.migrations import foreign_tables
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    DBConnectionError,
    DBRefusedError,
    PixyProxyException,
)

_LOGIN = "The database refuses the login: check DB_USER and DB_PASSWORD."
_RIGHTS = (
    "The database user lacks a right to this database: check DB_USER, DB_NAME and the grants; "
    "0000_create_database_and_user.sql has those of the service and those of `pixyproxy migrate`."
)
_UNKNOWN_DATABASE = "The server has no such database: check DB_NAME, or run `pixyproxy migrate` to create it."
_HOST = "The database server takes no connections from this host: check DB_HOST and the server's accounts."
_UNREACHABLE = "The database server cannot be reached: check DB_HOST and DB_PORT."
_TLS = "No trusted TLS connection to the database: check DB_SSL_CA, and that DB_HOST is a name in its certificate."
_NO_TLS = "The database server insists on TLS: set DB_SSL_CA."
_FULL = "The database takes no more connections: check DB_POOL_SIZE and the server's limits."
_LOST = "The connection to the database was lost."
_BUSY = "The database is busy with the same data."
_SLOW = "The database did not answer in time."
_READ_ONLY = "The database server takes no writes: it is read-only, a replica, or not ready; check DB_HOST."
_DISK = "The database server has no space left."

BUSY = frozenset(
    {
        ER.LOCK_DEADLOCK,
        ER.LOCK_WAIT_TIMEOUT,
        1020,  # the record has changed since it was read (MariaDB)
        3101,  # the plugin of group replication rolled the transaction back (MySQL)
    }
)
"""Numbers of errors after which nothing was written and a repeat may succeed."""
TOO_LARGE = ER.NET_PACKET_TOO_LARGE
DUPLICATE_COLUMN, DUPLICATE_INDEX = ER.DUP_FIELDNAME, ER.DUP_KEYNAME
ABSENT_COLUMN_OR_INDEX = 1091  # to be dropped
INDEX_TOO_LONG = frozenset({1071, 1118, 1709})  # for the page size or the row format
UNKNOWN_DATABASE, DATABASE_DENIED, PRIVILEGE_DENIED, NO_SUCH_TABLE = 1049, 1044, 1227, 1146

READ_ONLY = 1290
"""The server runs with read_only or super_read_only."""
_READ_ONLY_CODES = frozenset(
    {
        1036,  # the table is read-only
        1047,  # the node of a Galera cluster is not ready
        READ_ONLY,
        1792,  # the transaction is read-only
        1836,  # read-only mode
        1874,  # innodb_read_only
        3032,  # offline mode (MySQL)
    }
)
_LOST_CODES = frozenset(
    {
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        1053,  # server shutdown in progress
        1152,  # aborting connection
        1158,  # network read error
        1159,  # network read timeout
        1160,  # network write error
        1161,  # network write timeout
        1180,  # an error during the commit, whose outcome is as unknown as without a response
        3100,  # an error of the plugin of group replication during the commit (MySQL)
        1927,  # connection was killed (MariaDB)
        3169,  # session was killed (MySQL)
        4031,  # closed because the client was idle too long (MySQL)
    }
)

_OUTAGES = {
    1045: _LOGIN,
    1698: _LOGIN,
    1820: _LOGIN,  # the password must be changed
    1862: _LOGIN,  # the password has expired
    3118: _LOGIN,  # the account is locked (MySQL)
    4151: _LOGIN,  # the account is locked (MariaDB)
    CR.CR_AUTH_PLUGIN_CANNOT_LOAD: _LOGIN,
    DATABASE_DENIED: _RIGHTS,
    1142: _RIGHTS,
    1143: _RIGHTS,
    PRIVILEGE_DENIED: _RIGHTS,
    UNKNOWN_DATABASE: _UNKNOWN_DATABASE,
    1129: _HOST,
    1130: _HOST,
    CR.CR_CONNECTION_ERROR: _UNREACHABLE,
    CR.CR_CONN_HOST_ERROR: _UNREACHABLE,
    CR.CR_UNKNOWN_HOST: _UNREACHABLE,
    CR.CR_SSL_CONNECTION_ERROR: _TLS,
    3159: _NO_TLS,
    1040: _FULL,
    1203: _FULL,
    1226: _FULL,
    **dict.fromkeys(BUSY, _BUSY),
    1317: _SLOW,  # the query was killed
    1969: _SLOW,  # max_statement_time (MariaDB)
    3024: _SLOW,  # max_execution_time (MySQL)
    **dict.fromkeys(_READ_ONLY_CODES, _READ_ONLY),
    1021: _DISK,
    1114: _DISK,
    TOO_LARGE: "The database server takes no statement of this size: raise its max_allowed_packet.",
}

_REFUSALS = frozenset({_LOGIN, _RIGHTS, _UNKNOWN_DATABASE, _HOST, _TLS, _NO_TLS})
"""Outages that end when somebody changes the settings or the accounts, not by themselves."""
_WRONG_TABLES = frozenset({1054, 1176, NO_SUCH_TABLE})  # a column, an index, a table that is not there
_BAD_TEXT = frozenset({1300, 1366, 1406})


def code_of(error: pymysql.MySQLError) -> int:
    """Return the number of an error, 0 if it has none."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def is_lost(error: pymysql.MySQLError) -> bool:
    """Return whether the connection was lost."""
    return code_of(error) in _LOST_CODES or isinstance(error, pymysql.InterfaceError)


def refuses_writes(error: pymysql.MySQLError) -> bool:
    """Return whether the server takes no writes: nothing was written, and a new connection may lead to another."""
    return code_of(error) in _READ_ONLY_CODES


def is_outage(error: pymysql.MySQLError) -> bool:
    """Return whether the cause is the server, the network or the account, not the statement."""
    return is_lost(error) or code_of(error) in _OUTAGES


def translate(error: pymysql.MySQLError | UnicodeEncodeError) -> PixyProxyException:
    """Return the domain error for an error of the driver; its message has no secret and no SQL."""
    if isinstance(error, UnicodeEncodeError):
        return DataValidationError("A text holds lone surrogates, which are no characters.")
    code = code_of(error)
    if isinstance(original := getattr(error, "original_exception", None), ssl.SSLError):
        return (DBRefusedError if isinstance(original, ssl.SSLCertVerificationError) else DBConnectionError)(_TLS)
    if code in _OUTAGES:
        message = _OUTAGES[code]
        return (DBRefusedError if message in _REFUSALS else DBConnectionError)(message)
    if code in _WRONG_TABLES:
        return foreign_tables()
    if code in _BAD_TEXT:
        return DataValidationError("The database refuses a text: it is too long or holds invalid characters.")
    if isinstance(error, pymysql.IntegrityError):
        return ConstraintViolationError("The database already holds a record of this name.")
    if isinstance(error, pymysql.OperationalError | pymysql.InterfaceError | pymysql.InternalError):
        return DBConnectionError(_LOST if is_lost(error) else f"The database failed (error {code}).")
    return PixyProxyException(f"The database refuses a statement (error {code}).")
