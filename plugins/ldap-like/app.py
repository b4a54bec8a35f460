"""`ldap-like`: the component's exports, over directory.py.

Each login has an instance of its own and reads the file anew, so a change
counts at once and nothing of one login is there at the next.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import authenticator
from wit_world.imports import files, logging, passwords, store, types

import directory
import hashes

# The host's: no call of files.read gets more.
_CHUNK = 1 << 20


class Authenticator(exports.Authenticator):
    def authenticate(self, connection, credentials) -> types.Account:
        if not isinstance(credentials, authenticator.Credentials_Password):
            raise Err(types.Denial_Unknown())
        password = credentials.value
        # Nobody acts as somebody else here.
        if password.acting_as not in (None, "", password.user):
            raise Err(types.Denial_Rejected())
        try:
            settings = directory.settings(store.get_all())
            people = directory.Directory(settings, _read(settings.file))
            found = people.login(password.user, password.secret, _verify)
        except directory.Unknown:
            raise Err(types.Denial_Unknown()) from None
        except directory.Rejected:
            raise Err(types.Denial_Rejected()) from None
        except (directory.Problems, hashes.Unusable) as problem:
            logging.log(logging.Level.ERROR, "ldap-like", str(problem))
            words = "the directory of users is out of order"
            raise Err(types.Denial_Failed(types.Failure_Temporary(words))) from None
        return types.Account(found.user, found.maildrop, found.attributes)


class Settings(exports.Settings):
    def validate(self) -> None:
        try:
            settings = directory.settings(store.get_all())
            problems = directory.Directory(settings, _read(settings.file)).problems()
        except directory.Problems as found:
            problems = found.lines
        if problems:
            raise Err(problems)


def _verify(hash: str, secret: str) -> bool:
    try:
        return passwords.verify(hash, secret)
    except Err as problem:
        raise hashes.Unusable(problem.value) from None


def _read(path: str) -> bytes:
    """A whole file, all of it from the same one."""
    octets, version = bytearray(), None
    while len(octets) <= directory.MOST_OCTETS:
        try:
            chunk = files.read(path, len(octets), _CHUNK)
        except Err as problem:
            raise directory.Problems([f"file: {problem.value}"]) from None
        if chunk is None:
            raise directory.Problems([f"file: there is no {path} in a granted directory"])
        if version not in (None, chunk.status):
            raise directory.Problems(["file: it changes while it is read; rename a new one over it"])
        version = chunk.status
        octets += chunk.octets
        if not chunk.octets or len(octets) == chunk.status.size:
            break
    return bytes(octets)
