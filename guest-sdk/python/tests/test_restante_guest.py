"""The SDK over the bindings of a project: run where `bindings` and `restante_guest`
can be imported, in a project with a store and one with an authenticator."""

import logging
import unittest
from unittest.mock import patch

import restante_guest as sdk
from wit_world.imports import logging as host_log
from wit_world.imports import store


class Settings(unittest.TestCase):
    def test_an_array_is_its_lines(self):
        with patch.object(store, "get", {"one": "a", "all": "a\nb\n"}.get):
            self.assertEqual((sdk.setting("one"), sdk.setting("none")), ("a", None))
            self.assertEqual(sdk.setting("none", "default"), "default")
            self.assertEqual((sdk.lines("all"), sdk.lines("none")), (["a", "b"], []))


class Log(unittest.TestCase):
    def test_lines_leave_with_their_level(self):
        said = []
        with patch.object(host_log, "log", lambda *line: said.append(line)):
            sdk.log_to_host()
            sdk.log_to_host()
            logging.getLogger("part").warning("%d messages", 3)
            logging.getLogger("part").debug("not asked for")
        self.assertEqual(said, [(host_log.Level.WARN, "part", "3 messages")])


class Words(unittest.TestCase):
    def test_refusals_are_the_contracts(self):
        types = sdk.types
        for refusal, value in [
            (sdk.unknown(), types.Denial_Unknown()),
            (sdk.rejected(), types.Denial_Rejected()),
            (sdk.temporary("x"), types.Failure_Temporary("x")),
            (sdk.permanent("x"), types.Failure_Permanent("x")),
            (sdk.in_use("x"), types.Failure_InUse("x")),
            (sdk.login_delay(3), types.Failure_LoginDelay(3)),
            (sdk.undecided(sdk.temporary("x")), types.Denial_Failed(types.Failure_Temporary("x"))),
        ]:
            self.assertEqual(refusal.value, value)

    def test_a_maildrop_is_called_like_its_user(self):
        self.assertEqual(sdk.account("ann").maildrop, "ann")
        account = sdk.account("ann", "shared", {"quota": "1"})
        self.assertEqual((account.maildrop, account.attributes), ("shared", [("quota", "1")]))


class Header(unittest.TestCase):
    def test_fields_are_unfolded_and_the_body_is_left_alone(self):
        header = b"Subject: a\r\n folded\r\n\t subject \r\nX-Spam-Flag:YES\r\n\r\nBody: no\r\n"
        fields = [("Subject", "a folded subject"), ("X-Spam-Flag", "YES")]
        self.assertEqual(sdk.header_fields(header), fields)

    def test_broken_headers_lose_only_what_is_broken(self):
        header = (
            b" orphan: line\nFrom me Mon Jan 1 00:00:00 2024\n folded: from\nno colon\n: empty\n"
            b"A b: c\nOld : style\n\xff: bad\nLast: \xff\xfe"
        )
        self.assertEqual(sdk.header_fields(header), [("Old", "style"), ("Last", "\ufffd\ufffd")])
        self.assertEqual(sdk.header_fields(b""), [])
        self.assertEqual(sdk.header_fields(b"\r\nA: body\r\n"), [])


class Packing(unittest.TestCase):
    def test_each_text_has_a_nul_behind_it(self):
        for texts in [[], [""], ["a", "", "bc"]]:
            self.assertEqual(sdk.unpack(sdk.pack(texts)), texts)
        self.assertEqual(sdk.pack(["a", "b"]), "a\0b\0")
        with self.assertRaises(ValueError):
            sdk.pack(["a\0b"])

    def test_a_listing_has_columns_of_one_length(self):
        try:
            from wit_world.exports import store as contract
        except ImportError:
            self.skipTest("the project has no store")
        listing = sdk.Listing()
        listing.push("u1", 10, 5, "one.eml", 12)
        listing.push("u2", 20, surrogate=20)
        self.assertEqual(len(listing), 2)
        expected = contract.Listing(
            "u1\0u2\0", [10, 20], [5, 0], "one.eml\0u2\0", [contract.Surrogate(0, 12)], "memo"
        )
        self.assertEqual(listing.columns("memo"), expected)


if __name__ == "__main__":
    unittest.main()
