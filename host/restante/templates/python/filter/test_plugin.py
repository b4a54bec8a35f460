"""PYTHONPATH=bindings python -m unittest: the plugin without a server."""

import unittest
from unittest.mock import patch

import plugin
from restante_guest import Err, types
from wit_world.exports import filter as contract
from wit_world.imports import store

ALICE = types.Account("alice", "alice", [])
SPAM = b"Subject: x\r\nx-spam-flag:\r\n yes\r\n\r\n"
STRANGE = b"no field\r\nSubject: \xff\xfe\r\nX-Spam-Flag: \xff\r\n"


class Message:
    """As much of a message as the filter looks at."""

    def __init__(self, header: bytes):
        self._header = header

    def header(self) -> bytes:
        return self._header


class Marked(unittest.TestCase):
    def settings(self, **settings: str) -> None:
        """What the plugin finds in its settings."""
        patched = patch.object(store, "get", settings.get)
        patched.start()
        self.addCleanup(patched.stop)

    def screen(self, header: bytes) -> contract.Verdict:
        return plugin.Filter().screen(ALICE, Message(header))

    def test_what_is_marked_is_hidden(self):
        self.settings(header="X-Spam-Flag: YES")
        plugin.Settings().validate()
        self.assertEqual(self.screen(SPAM), contract.Verdict_Hide())
        for other in [b"", b"Subject: x\r\n\r\nX-Spam-Flag: YES\r\n", STRANGE]:
            self.assertEqual(self.screen(other), contract.Verdict_Show(), other)

    def test_or_it_is_annotated(self):
        self.settings(header="X-Spam-Flag: YES", annotate="X-Notice: spam")
        self.assertEqual(self.screen(SPAM), contract.Verdict_Annotate(["X-Notice: spam"]))

    def test_settings_that_cannot_be_are_named(self):
        self.settings(header="X-Spam-Flag", annotate="X: a\r\nY: b")
        with self.assertRaises(Err) as raised:
            plugin.Settings().validate()
        self.assertEqual(len(raised.exception.value), 2)
