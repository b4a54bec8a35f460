"""What plugins for Restante in Python have in common: settings, log lines,
databases, accounts and refusals, listings, the mail index and its blobs.

It is one file beside the plugin, over the bindings that componentize-py makes of
the project's world, which has to import wasi:config/store and wasi:logging/logging;
for `query` and `change` also restante:plugin/database, for `whole_blob`
restante:plugin/blobs.
"""

from __future__ import annotations

import logging as _logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from componentize_py_types import Err
from wit_world.imports import logging as _host_log
from wit_world.imports import store as _config
from wit_world.imports import types

try:
    from wit_world.imports import database as _database
except ImportError:  # The project's world does not import it.
    _database = None

try:
    from wit_world.imports import blobs as _blobs
except ImportError:  # Likewise.
    _blobs = None

__all__ = [
    "Entry",
    "Err",
    "Listing",
    "Value",
    "account",
    "change",
    "entries",
    "fake_blobs",
    "header_fields",
    "in_use",
    "lines",
    "log_to_host",
    "login_delay",
    "pack",
    "password",
    "permanent",
    "query",
    "rejected",
    "setting",
    "temporary",
    "types",
    "undecided",
    "unknown",
    "unpack",
    "whole_blob",
]


# Settings


def setting(key: str, default: str | None = None) -> str | None:
    """The value of one setting, or the default where it is not set."""
    value = _config.get(key)
    return default if value is None else value


def lines(key: str) -> list[str]:
    """The elements of a setting that is an array: they arrive one a line."""
    return [line for line in (_config.get(key) or "").split("\n") if line]


# The log


class _HostLog(_logging.Handler):
    """Hands what `logging` is given to the host, a line at a time."""

    _LEVELS = (
        (_logging.CRITICAL, _host_log.Level.CRITICAL),
        (_logging.ERROR, _host_log.Level.ERROR),
        (_logging.WARNING, _host_log.Level.WARN),
        (_logging.INFO, _host_log.Level.INFO),
        (_logging.DEBUG, _host_log.Level.DEBUG),
    )

    def emit(self, record: _logging.LogRecord) -> None:
        level = _host_log.Level.TRACE
        for least, theirs in self._LEVELS:
            if record.levelno >= least:
                level = theirs
                break
        _host_log.log(level, record.name, self.format(record))


def log_to_host(level: int = _logging.INFO) -> None:
    """Sends the lines of Python's own `logging` to the host, which puts plugin,
    tenant and session on them. Once, where the plugin's module begins."""
    root = _logging.getLogger()
    if not any(isinstance(handler, _HostLog) for handler in root.handlers):
        root.addHandler(_HostLog())
    root.setLevel(level)


# Databases, for which wit/plugin.wit has `import restante:plugin/database@0.1.1;`. In
# tests, `patch.object(restante_guest, "query", …)` stands in for them.


Value = int | str | bytes | None


def query(database: str, text: str, parameters: Sequence[Value] = ()) -> list[dict[str, Value]]:
    """The rows that a statement of SQL returns, by the names of their columns; of
    columns with one name the first counts. `database` is a name in the plugin's grant
    `databases`. The text has $1, $2, … for the parameters: it stays the same from call to
    call, and what a client gave is only in parameters. Raises Err with a problem of the
    contract's interface `database`."""
    statement = _statement(text, parameters)
    return _rows(_imported().query(database, statement))


def change(database: str, statements: Iterable[tuple[str, Sequence[Value]]]) -> list[int]:
    """Runs statements, each a text and its parameters, in one transaction: all of them
    in their order, or none. For each: how many rows it changed. Raises Err as `query`
    does; nothing was changed then unless its text says otherwise."""
    asked = [_statement(text, parameters) for text, parameters in statements]
    return [answer.rows for answer in _imported().change(database, asked)]


def _imported():
    if _database is None:
        raise RuntimeError("the project's world does not import restante:plugin/database")
    return _database


def _statement(text: str, parameters: Sequence[Value]):
    return _imported().Statement(text, [_value(parameter) for parameter in parameters])


def _value(parameter: Value):
    contract = _imported()
    # A bool is an int to Python, and not to databases.
    if parameter is None:
        return contract.Value_Null()
    if isinstance(parameter, int) and not isinstance(parameter, bool):
        return contract.Value_Integer(parameter)
    if isinstance(parameter, str):
        return contract.Value_Text(parameter)
    if isinstance(parameter, bytes):
        return contract.Value_Octets(parameter)
    raise TypeError(f"a parameter cannot be a {type(parameter).__name__}")


def _rows(answer) -> list[dict[str, Value]]:
    columns: dict[str, list[Value]] = {}
    for column in answer.columns:
        columns.setdefault(column.name, _column(column, answer.rows))
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def _column(column, rows: int) -> list[Value]:
    contract = _imported()
    packed = column.values.value
    values: list[Value]
    if isinstance(column.values, contract.Values_Integers):
        values = list(packed)
    elif isinstance(column.values, contract.Values_Texts):
        values = list(unpack(packed))
    else:
        octets, ends = packed
        values = [bytes(octets[begin:end]) for begin, end in zip([0, *ends], ends)]
    if len(values) != rows:
        raise ValueError(f"column {column.name!r} has {len(values)} values in {rows} rows")
    for row in column.nulls:
        values[row] = None
    return values


# Who it is. All of these are raised but `account`: `raise rejected()`.


def account(
    user: str, maildrop: str | None = None, attributes: dict[str, str] | None = None
) -> types.Account:
    """Who logged in; the maildrop is called like the user, unless it is named."""
    pairs = list((attributes or {}).items())
    return types.Account(user, user if maildrop is None else maildrop, pairs)


def password(credentials: object) -> tuple[str, str] | None:
    """User and password of somebody who logs in with one, and as nobody else;
    None for every other kind of credentials."""
    from wit_world.exports import authenticator

    if not isinstance(credentials, authenticator.Credentials_Password):
        return None
    given = credentials.value
    if given.acting_as not in (None, given.user):
        return None
    return given.user, given.secret


def unknown() -> Err:
    """Not a user of mine: the next authenticator of the tenant is asked."""
    return Err(types.Denial_Unknown())


def rejected() -> Err:
    """The credentials are wrong, and nobody else is asked."""
    return Err(types.Denial_Rejected())


def undecided(failure: Err) -> Err:
    """An authenticator's way to pass on a failure: `raise undecided(temporary("…"))`."""
    return Err(types.Denial_Failed(failure.value))


# Why a call could not be served. The texts are for the client.


def temporary(text: str) -> Err:
    """[SYS/TEMP]: trying again later may help."""
    return Err(types.Failure_Temporary(text))


def permanent(text: str) -> Err:
    """[SYS/PERM]: it will fail until somebody acts."""
    return Err(types.Failure_Permanent(text))


def in_use(text: str) -> Err:
    """[IN-USE]: somebody else holds the maildrop."""
    return Err(types.Failure_InUse(text))


def login_delay(seconds: int) -> Err:
    """[LOGIN-DELAY]: seconds until the next login is welcome."""
    return Err(types.Failure_LoginDelay(seconds))


# Messages


def header_fields(header: bytes) -> list[tuple[str, str]]:
    """Names and values of a header section (RFC 5322 section 2.2), in their order.
    Values are unfolded; octets that are not UTF-8 became U+FFFD. The section ends at
    the first empty line; lines that are neither a field nor the continuation of one
    are passed over."""
    fields: list[tuple[str, str]] = []
    inside = False
    for line in header.split(b"\n"):
        line = line.removesuffix(b"\r")
        if not line:
            break
        text = line.decode("utf-8", "replace")
        if text[0] in " \t":
            if inside:
                name, value = fields[-1]
                fields[-1] = (name, " ".join([value, *text.split()]).strip())
            continue
        name, colon, value = text.partition(":")
        name = name.rstrip(" \t")
        inside = bool(colon and name) and all("!" <= letter <= "~" for letter in name)
        if inside:
            fields.append((name, " ".join(value.split())))
    return fields


# Listings


def pack(texts: list[str]) -> str:
    """Texts in one, each with a NUL behind it, as the contract has them."""
    if any("\0" in text for text in texts):
        raise ValueError("a text that is packed cannot have a NUL in it")
    return "".join(text + "\0" for text in texts)


def unpack(packed: str) -> list[str]:
    """The texts of one in which each has a NUL behind it."""
    return packed.split("\0")[:-1]


class Listing:
    """A maildrop's messages, oldest first, one `push` for each; `columns` is what
    the contract wants of `maildrop.listing`."""

    def __init__(self) -> None:
        self._unique_ids: list[str] = []
        self._octets: list[int] = []
        self._received: list[int] = []
        self._names: list[str] = []
        self._surrogates: list[tuple[int, int]] = []

    def push(
        self,
        unique_id: str,
        octets: int,
        received: int = 0,
        name: str | None = None,
        surrogate: int | None = None,
    ) -> None:
        """The next message.

        unique_id: 1 to 70 octets of 0x21..0x7E, never reused, stable (RFC 1939
        section 7, UIDL). octets: with CRLF line ends, without byte-stuffing.
        received: seconds since the Unix epoch; 0: not known. name: what `content` and
        `remove` get back; without it the unique-id. surrogate: the octets of what
        goes out to clients without UTF8, as files.measure says them.
        """
        if surrogate is not None and surrogate != octets:
            self._surrogates.append((len(self._octets), surrogate))
        self._unique_ids.append(unique_id)
        self._octets.append(octets)
        self._received.append(received)
        self._names.append(unique_id if name is None else name)

    def __len__(self) -> int:
        return len(self._octets)

    def columns(self, memo: str | None = None):
        """The listing as the contract has it."""
        from wit_world.exports import store

        return store.Listing(
            unique_ids=pack(self._unique_ids),
            octets=self._octets,
            received=self._received,
            names=pack(self._names),
            surrogates=[store.Surrogate(*pair) for pair in self._surrogates],
            memo=memo,
        )


# The mail index: what `read` of `wit_world.imports.mail_index` returns, and `changes` as
# `came`, for projects whose wit/plugin.wit has `import restante:plugin/mail-index@0.1.1;`.


class Entry(NamedTuple):
    """A message in the index. `path` is where its octets are, under `/blobs/`: the name up
    to the first space. `surrogate` is None where it has the octets of the message."""

    unique_id: str
    octets: int
    received: int
    name: str
    surrogate: int | None

    @property
    def path(self) -> str:
        return self.name.partition(" ")[0]


def entries(columns) -> list[Entry]:
    """The messages of a folder, oldest first, and those of one second as they came. A
    `Listing` takes them with `push`. `remove` of the index takes unique-ids, so most
    stores push a name that has both: `f"{entry.unique_id} {entry.path}"`."""
    surrogates = dict(columns.surrogates)
    unique_ids, names = unpack(columns.unique_ids), unpack(columns.names)
    rows = zip(unique_ids, columns.octets, columns.received, names, strict=True)
    found = [Entry(*row, surrogates.get(position)) for position, row in enumerate(rows)]
    return sorted(found, key=lambda entry: entry.received)


# Octets of the messages in the index, for which wit/plugin.wit has
# `import restante:plugin/blobs@0.1.1;`. In tests, `patch.object(wit_world.imports.blobs,
# "read", fake_blobs({"1.eml": b"…"}))` stands in for them.

_BLOBS = "/blobs/"
_MAX_OCTETS = 1 << 20


def whole_blob(path: str) -> bytes | None:
    """The octets of a message, by the path of its entry. None: nothing is under this path.
    A message can have as many octets as the plugin has memory, or more: `read` of
    `wit_world.imports.blobs` returns part of one. Raises Err with a problem of the contract's
    interface `mail-index`."""
    if _blobs is None:
        raise RuntimeError("the project's world does not import restante:plugin/blobs")
    whole = bytearray()
    while True:
        part = _blobs.read(_BLOBS + path, len(whole), _MAX_OCTETS)
        if part is None:
            if whole:
                raise RuntimeError(f"the message under {path!r} was removed while it was read")
            return None
        whole += part
        if len(part) < _MAX_OCTETS:
            return bytes(whole)


def fake_blobs(blobs: dict[str, bytes]):
    """For tests: a `read` of the contract's interface `blobs` for a maildrop that has these
    octets, by the paths of their entries."""

    def read(path: str, offset: int, length: int) -> bytes | None:
        if not path.startswith(_BLOBS):
            raise ValueError(f"{path!r} does not begin with {_BLOBS}")
        octets = blobs.get(path.removeprefix(_BLOBS))
        if octets is None:
            return None
        return octets[offset : offset + min(length, _MAX_OCTETS)]

    return read
