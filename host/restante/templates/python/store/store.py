"""One account's mail in the directory that the host grants as /maildrop."""

import logging
import os

from restante_guest import Err, Listing, temporary, types, unpack
from wit_world.exports import store
from wit_world.imports import files

log = logging.getLogger("store")

ROOT = "/maildrop"
# Octets of the longest unique-id (RFC 1939 section 7, UIDL).
UNIQUE_ID_OCTETS = 70
NANOSECONDS = 10**9


class Maildrop(store.Maildrop):
    @classmethod
    def open(cls, account: types.Account) -> "Maildrop":
        # The host has granted this account's directory, and locked it.
        return cls()

    def stamp(self) -> str | None:
        return None

    def listing(self) -> store.Listing:
        listing = Listing()
        try:
            # Without a directory nothing was ever delivered to this account.
            for name, unique_id, weight in messages() if files.stat("") else []:
                received = weight.status.modified // NANOSECONDS
                listing.push(unique_id, weight.octets, received, name, weight.surrogate)
        except Err as error:
            log.error("the maildrop cannot be read: %s", error.value)
            raise temporary("the maildrop cannot be read") from None
        return listing.columns()

    def changes(self, memo: str) -> store.Changes | None:
        return None

    def content(self, name: str) -> store.Content:
        # The host opens the file; its octets never come in here.
        return store.Content_File(store.FileRange(name, 0, None))

    def remove(self, names: list[str]) -> None:
        try:
            for name in names:
                try:
                    os.remove(os.path.join(ROOT, name))
                except FileNotFoundError:
                    # Somebody else was faster: it is gone, and that was asked.
                    pass
            # It has to last before the client is told.
            directory = os.open(ROOT, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            log.error("messages cannot be removed: %s", error)
            raise temporary("not all messages were removed") from None


def messages():
    """Name, unique-id and weight of each message, oldest first."""
    found = []
    for name in unpack(files.scan(".").names):
        unique_id = name.removesuffix(".eml")
        if unique_id == name:
            continue
        if not is_unique_id(unique_id):
            log.warning("a file cannot be a message: its name is no unique-id")
            continue
        weight = files.measure(name)
        # A file that is gone by now is no message.
        if weight is not None:
            found.append((name, unique_id, weight))
    found.sort(key=lambda message: (message[2].status.modified, message[0]))
    return found


def is_unique_id(text: str) -> bool:
    return 1 <= len(text) <= UNIQUE_ID_OCTETS and all("!" <= letter <= "~" for letter in text)
