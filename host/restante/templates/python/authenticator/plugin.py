"""Lets in the users of the setting `users`: an array of "NAME:HASH", with hashes as
`restante hash-password` prints them."""

import logging

from restante_guest import (
    Err,
    account,
    lines,
    log_to_host,
    password,
    permanent,
    rejected,
    types,
    undecided,
    unknown,
)
from wit_world import exports
from wit_world.imports import passwords

log = logging.getLogger("users")
log_to_host()


class Authenticator(exports.Authenticator):
    def authenticate(self, connection, credentials) -> types.Account:
        given = password(credentials)
        if given is None:
            # Whoever comes with something else is somebody else's to judge.
            raise unknown()
        user, secret = given
        users = dict(line.split(":", 1) for line in lines("users") if ":" in line)
        if not users:
            raise unknown()
        # Somebody unknown takes as long as somebody known: time is an answer too.
        known = user in users
        hash_kept = users[user] if known else next(iter(users.values()))
        try:
            right = passwords.verify(hash_kept, secret)
        except Err as error:
            log.error("a hash in the setting users is of no use: %s", error.value)
            raise undecided(permanent("the user's entry is broken")) from None
        if not known:
            raise unknown()
        if not right:
            raise rejected()
        return account(user)


class Settings(exports.Settings):
    def validate(self) -> None:
        entries = lines("users")
        if not entries:
            raise Err(['users: is missing; give an array of "NAME:HASH"'])
        # The lines hold hashes, which nobody is to print: they go by number.
        problems = [
            f'users: entry {number} is not "NAME:HASH"'
            for number, line in enumerate(entries, 1)
            if not all(line.partition(":"))
        ]
        if problems:
            raise Err(problems)
