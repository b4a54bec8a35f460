"""PYTHONPATH=bindings python -m unittest: the plugin without a server."""

import unittest
from unittest.mock import patch

import plugin
from restante_guest import Err, types
from wit_world.exports import admission as contract
from wit_world.imports import logging as host_log
from wit_world.imports import store


def admit(client: str) -> contract.Verdict:
    connection = types.Connection("s1", "acme", "pop3s", client, 40000, None)
    return plugin.Admission().admit(connection)


@patch.object(host_log, "log", lambda *_: None)
class Gate(unittest.TestCase):
    def settings(self, settings: dict[str, str]) -> None:
        """What the plugin finds in its settings."""
        patched = patch.object(store, "get", settings.get)
        patched.start()
        self.addCleanup(patched.stop)

    def test_networks_are_told_apart(self):
        self.settings(
            {
                "deny": "198.51.100.0/24\n2001:db8:bad::/48",
                "delay": "203.0.113.0/25",
                "delay-milliseconds": "250",
            }
        )
        plugin.Settings().validate()
        self.assertEqual(admit("192.0.2.1"), contract.Verdict_Admit())
        for denied in ["198.51.100.9", "2001:db8:bad:1::9"]:
            self.assertIsInstance(admit(denied), contract.Verdict_Deny, denied)
        self.assertEqual(admit("203.0.113.1"), contract.Verdict_Delay(250))
        self.assertEqual(admit("203.0.113.200"), contract.Verdict_Admit())

    def test_settings_that_cannot_be_are_named(self):
        self.settings({"deny": "192.0.2.0/33", "delay-milliseconds": "soon"})
        with self.assertRaises(Err) as raised:
            plugin.Settings().validate()
        self.assertEqual(len(raised.exception.value), 2)
