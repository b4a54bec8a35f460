"""The SDK over the bindings of a project: run where `bindings` and `restante_guest`
can be imported, in a project with a store and one with an authenticator."""

import logging
import unittest
from collections import namedtuple
from types import SimpleNamespace
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


def bindings_of_a_database() -> SimpleNamespace:
    """As componentize-py makes them, for projects whose world does not import it."""
    records = {
        "Statement": "text parameters",
        "Column": "name values nulls",
        "Answer": "rows columns",
        "Value_Null": "",
        "Value_Integer": "value",
        "Value_Text": "value",
        "Value_Octets": "value",
        "Values_Integers": "value",
        "Values_Texts": "value",
        "Values_Octets": "value",
    }
    return SimpleNamespace(**{name: namedtuple(name, fields) for name, fields in records.items()})


class Database(unittest.TestCase):
    def setUp(self):
        self.contract = bindings_of_a_database()
        patched = patch.object(sdk, "_database", self.contract)
        patched.start()
        self.addCleanup(patched.stop)
        self.asked = []

    def answers(self, function: str, answer: object) -> None:
        """What the host's function answers from now on."""

        def ask(*arguments):
            self.asked.append(arguments)
            return answer

        setattr(self.contract, function, ask)

    def test_rows_are_dictionaries(self):
        c = self.contract
        columns = [
            c.Column("id", c.Values_Integers([7, 0, 9]), [1]),
            c.Column("name", c.Values_Texts("ann\0\0\0"), [2]),
            c.Column("key", c.Values_Octets((b"\x01\x02\x03", [2, 2, 3])), []),
            c.Column("id", c.Values_Integers([0, 0, 0]), []),
        ]
        self.answers("query", c.Answer(3, columns))
        rows = sdk.query("users", "SELECT …", [None, -1, "ann", b"x"])
        self.assertEqual(
            rows,
            [
                {"id": 7, "name": "ann", "key": b"\x01\x02"},
                {"id": None, "name": "", "key": b""},
                {"id": 9, "name": None, "key": b"\x03"},
            ],
        )
        values = [c.Value_Null(), c.Value_Integer(-1), c.Value_Text("ann"), c.Value_Octets(b"x")]
        self.assertEqual(self.asked, [("users", c.Statement("SELECT …", values))])
        kinds = [type(value) for value in self.asked[0][1].parameters]
        self.assertEqual(kinds, [type(value) for value in values])

    def test_no_row_is_an_answer(self):
        c = self.contract
        for columns in [[], [c.Column("id", c.Values_Texts(""), [])]]:
            self.answers("query", c.Answer(0, columns))
            self.assertEqual(sdk.query("users", "SELECT …"), [])

    def test_changes_are_counted(self):
        c = self.contract
        self.answers("change", [c.Answer(2, []), c.Answer(0, [])])
        changed = sdk.change("users", [("UPDATE …", ["a"]), ("DELETE …", ())])
        self.assertEqual(changed, [2, 0])
        statements = [c.Statement("UPDATE …", [c.Value_Text("a")]), c.Statement("DELETE …", [])]
        self.assertEqual(self.asked, [("users", statements)])

    def test_what_is_no_value_is_refused(self):
        for parameter in [True, 1.5, ["a"], bytearray(b"a")]:
            with self.assertRaises(TypeError):
                sdk.query("users", "SELECT $1", [parameter])

    def test_malformed_answers_are_refused(self):
        c = self.contract
        for values in [
            c.Values_Integers([1]),
            c.Values_Texts("a\0b"),
            c.Values_Octets((b"a", [1])),
        ]:
            self.answers("query", c.Answer(2, [c.Column("x", values, [])]))
            with self.assertRaises(ValueError):
                sdk.query("users", "SELECT …")

    def test_a_world_without_databases_is_named(self):
        with patch.object(sdk, "_database", None), self.assertRaises(RuntimeError):
            sdk.query("users", "SELECT 1")


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


class MailIndex(unittest.TestCase):
    def test_entries_are_oldest_first_and_as_they_came_in_one_second(self):
        columns = SimpleNamespace(
            unique_ids="a\0b\0c\0",
            octets=[1, 2, 3],
            received=[20, 10, 20],
            names="A note of it\0x/B\0C\0",
            surrogates=[(2, 33)],
            version=7,
        )
        found = sdk.entries(columns)
        expected = [
            sdk.Entry("b", 2, 10, "x/B", None),
            sdk.Entry("a", 1, 20, "A note of it", None),
            sdk.Entry("c", 3, 20, "C", 33),
        ]
        self.assertEqual(found, expected)
        self.assertEqual([entry.path for entry in found], ["x/B", "A", "C"])
        columns.names = "A\0"
        with self.assertRaises(ValueError):
            sdk.entries(columns)


class Blobs(unittest.TestCase):
    def test_a_message_is_read_whole_in_parts(self):
        part = 1 << 20
        blobs = {"none": b"", "x/1": b"mail", "part": b"p" * part, "parts": b"q" * (2 * part + 5)}
        with patch.object(sdk, "_blobs", SimpleNamespace(read=sdk.fake_blobs(blobs))):
            for path, octets in blobs.items():
                self.assertTrue(sdk.whole_blob(path) == octets, path)
            self.assertIsNone(sdk.whole_blob("y"))
        read = sdk.fake_blobs(blobs)
        self.assertEqual(read("/blobs/x/1", 1, 2), b"ai")
        self.assertEqual(read("/blobs/x/1", 9, 2), b"")
        self.assertEqual(len(read("/blobs/parts", 0, 2 * part)), part)
        with self.assertRaises(ValueError):
            read("x/1", 0, 2)

    def test_a_message_that_goes_while_it_is_read_does_not_end(self):
        parts = [b"p" * (1 << 20), None]
        with patch.object(sdk, "_blobs", SimpleNamespace(read=lambda *_: parts.pop(0))):
            with self.assertRaises(RuntimeError):
                sdk.whole_blob("x")

    def test_without_the_import_there_are_none(self):
        with patch.object(sdk, "_blobs", None):
            with self.assertRaises(RuntimeError):
                sdk.whole_blob("x")


if __name__ == "__main__":
    unittest.main()
