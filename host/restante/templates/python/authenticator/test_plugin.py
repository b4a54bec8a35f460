"""PYTHONPATH=bindings python -m unittest: the plugin without a server."""

import unittest
from unittest.mock import patch

import plugin
from restante_guest import Err, types
from wit_world.exports import authenticator
from wit_world.imports import logging as host_log
from wit_world.imports import passwords, store

CONNECTION = types.Connection("s1", "acme", "pop3s", "192.0.2.1", 40000, None)


def verify(hash_kept: str, secret: str) -> bool:
    if not hash_kept.startswith("{PLAIN}"):
        raise Err("a hash that the test does not know")
    return hash_kept == "{PLAIN}" + secret


def log_in(user: str, secret: str, acting_as: str | None = None) -> types.Account:
    given = authenticator.Password(user, acting_as, secret)
    credentials = authenticator.Credentials_Password(given)
    return plugin.Authenticator().authenticate(CONNECTION, credentials)


@patch.object(host_log, "log", lambda *_: None)
@patch.object(passwords, "verify", verify)
class Users(unittest.TestCase):
    def settings(self, **settings: str) -> None:
        """What the plugin finds in its settings."""
        patched = patch.object(store, "get", settings.get)
        patched.start()
        self.addCleanup(patched.stop)

    def test_the_right_password_logs_in(self):
        self.settings(users="alice:{PLAIN}secret\nbob:{PLAIN}other\ncarol:broken")
        plugin.Settings().validate()
        self.assertEqual(log_in("bob", "other").user, "bob")
        for user, secret, denial in [
            ("bob", "secret", types.Denial_Rejected),
            ("dave", "secret", types.Denial_Unknown),
            ("carol", "x", types.Denial_Failed),
        ]:
            with self.assertRaises(Err) as raised:
                log_in(user, secret)
            self.assertIsInstance(raised.exception.value, denial, user)

    def test_nobody_acts_as_somebody_else(self):
        self.settings(users="alice:{PLAIN}secret")
        self.assertEqual(log_in("alice", "secret", "alice").maildrop, "alice")
        with self.assertRaises(Err):
            log_in("alice", "secret", "bob")

    def test_settings_that_cannot_be_are_named(self):
        self.settings(users="alice\nbob:{PLAIN}x\n:x")
        with self.assertRaises(Err) as raised:
            plugin.Settings().validate()
        self.assertEqual(len(raised.exception.value), 2)
        self.assertIn("entry 3", raised.exception.value[1])
