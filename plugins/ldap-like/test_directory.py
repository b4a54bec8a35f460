"""Tests of all but app.py: `python3 -m unittest` in the plugin's folder."""

import base64
import hashlib
import unittest

import filters
import hashes
import ldif
from directory import Account, Directory, Problems, Rejected, Unknown, settings


def ssha(secret: str, salt: bytes = b"salt") -> str:
    digest = hashlib.sha1(secret.encode() + salt).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode()


PEOPLE = f"""\
version: 1
# The people of a small firm.
dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: uid=ada,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: ada
cn;lang-en: Ada
  Lovelace
mail: ada@example.org
mail: a.lovelace@example.org
mailHost: store1.example.org
maildrop: box-ada
userPassword:: {base64.b64encode(ssha("engine").encode()).decode()}

dn: uid=bob, ou=people, dc=example, dc=org
objectClass: inetOrgPerson
uid: bob
mail: bob@example.org
userPassword: $argon2id$bob

dn: uid=eve,ou=guests,dc=example,dc=org
uid: eve
userPassword: {{PLAIN}}eve

dn: cn=mail,ou=groups,dc=example,dc=org
objectClass: groupOfNames
member: UID=ada, ou=people, dc=example, dc=org
memberUid: eve
""".encode()


class Host:
    """The host's passwords.verify, and what it was asked."""

    def __init__(self):
        self.asked = []

    def verify(self, hash: str, secret: str) -> bool:
        self.asked.append(hash)
        if hash == "$broken$":
            raise hashes.Unusable("it has no known form")
        return hash in (f"$argon2id${secret}", f"{{PLAIN}}{secret}")


def login(user, secret, octets=PEOPLE, host=None, **given):
    pairs = {"file": "/directory/users.ldif"}
    pairs.update({key.replace("_", "-"): value for key, value in given.items()})
    host = host or Host()
    return Directory(settings(pairs.items()), octets).login(user, secret, host.verify)


class Logins(unittest.TestCase):
    def test_by_uid_and_by_each_mail_address(self):
        for user in ["ada", "ADA", "ada@example.org", "A.Lovelace@Example.org"]:
            self.assertEqual(login(user, "engine"), Account("ada", "ada", []), user)

    def test_what_is_handed_on(self):
        account = login(
            "ada",
            "engine",
            maildrop_attribute="maildrop",
            user_attribute="mail",
            attributes="mailHost\nquota\nobjectClass",
        )
        attributes = [("mailhost", "store1.example.org"), ("objectclass", "inetOrgPerson")]
        self.assertEqual(account, Account("ada@example.org", "box-ada", attributes))

    def test_wrong_and_unknown_and_empty(self):
        for user, secret, denial in [
            ("ada", "Engine", Rejected),
            ("ada", "", Rejected),
            ("nobody", "engine", Unknown),
            ("nobody", "", Unknown),
            ("", "engine", Unknown),
            ("*", "engine", Unknown),
            ("ada)(uid=*", "engine", Unknown),
        ]:
            with self.assertRaises(denial, msg=user):
                login(user, secret)
        empty = PEOPLE.replace(b"$argon2id$bob", ssha("").encode())
        with self.assertRaises(Rejected):
            login("bob", "", empty)

    def test_somebody_unknown_is_held_against_a_hash_too(self):
        octets = PEOPLE.replace(b"userPassword:: ", b"description:: ")
        for user in ["bob", "nobody"]:
            host = Host()
            with self.assertRaises((Rejected, Unknown)):
                login(user, "wrong", octets, host)
            self.assertEqual(host.asked, ["$argon2id$bob"], user)

    def test_base_and_scope(self):
        people = "ou=people, dc=example,dc=org"
        self.assertEqual(login("ada", "engine", base=people.upper()).user, "ada")
        with self.assertRaises(Unknown):
            login("eve", "eve", base=people)
        self.assertEqual(login("eve", "eve").user, "eve")
        for base, scope, is_there in [
            ("dc=example,dc=org", "sub", True),
            ("dc=example,dc=org", "one", False),
            (people, "one", True),
            (people, "base", False),
            ("uid=ada," + people, "base", True),
        ]:
            try:
                found = login("ada", "engine", base=base, scope=scope).user == "ada"
            except Unknown:
                found = False
            self.assertEqual(found, is_there, (base, scope))

    def test_a_name_that_folds_into_anothers_is_nobodys(self):
        octets = PEOPLE.replace(b"uid: bob", "uid: \u212aate".encode()) + b"\n\ndn: uid=kate,dc=example,dc=org\nuid: kate\nuserPassword: {PLAIN}k\n"
        self.assertEqual(login("Kate", "k", octets).user, "kate")
        self.assertEqual(login("\u212aate", "bob", octets).user, "\u212aate")
        for user, secret in [("\u212aate", "k"), ("kate", "bob")]:
            with self.assertRaises(Rejected):
                login(user, secret, octets)

    def test_groups(self):
        group = "cn=mail,ou=groups,dc=example,dc=org"
        self.assertEqual(login("ada", "engine", groups=group).user, "ada")
        self.assertEqual(login("eve", "eve", groups=group).user, "eve")
        with self.assertRaises(Rejected):
            login("bob", "bob", groups=group)

    def test_who_is_found_twice_is_not_logged_in(self):
        twice = PEOPLE.replace(b"mail: bob@example.org", b"mail: ada@example.org")
        with self.assertRaises(Problems) as raised:
            login("ada@example.org", "engine", twice)
        self.assertEqual(raised.exception.lines, ["filter: finds 2 entries for one user"])

    def test_what_an_entry_lacks_is_said(self):
        with self.assertRaises(Problems) as raised:
            login("bob", "bob", maildrop_attribute="maildrop")
        self.assertEqual(raised.exception.lines, ["maildrop-attribute: an entry has no maildrop"])

    def test_several_passwords_and_no_more_than_some(self):
        two = b"userPassword: {PLAIN}one\nuserPassword: $argon2id$bob"
        octets = PEOPLE.replace(b"userPassword: $argon2id$bob", two)
        for secret in ["one", "bob"]:
            host = Host()
            self.assertEqual(login("bob", secret, octets, host).user, "bob")
            self.assertEqual(len(host.asked), 2)
        crowd = PEOPLE.replace(b"$argon2id$bob", b"\nuserPassword: ".join([b"{PLAIN}x"] * 5))
        with self.assertRaises(Problems):
            login("bob", "x", crowd)


class Filters(unittest.TestCase):
    NAMES = {"user": "ada@example.org", "local": "ada", "domain": "example.org"}

    def matches(self, text: str, **attributes) -> bool:
        entry = ldif.Entry("", {name.lower(): values for name, values in attributes.items()})
        return filters.parse(text)(entry, self.NAMES)

    def test_equality_ignores_case_and_blanks(self):
        self.assertTrue(self.matches("(cn=ada  LOVELACE)", cn=["Ada Lovelace"]))
        self.assertTrue(self.matches("(CN=Jörg)", cn=["x", "JöRG"]))
        self.assertFalse(self.matches("(cn=ada)", cn=["ada lovelace"]))
        self.assertFalse(self.matches("(cn=ada)", sn=["ada"]))

    def test_no_other_letter_is_one_of_ascii(self):
        for there in range(0x80, 0x110000):
            if not 0xD800 <= there < 0xE000:
                self.assertEqual(filters.normal(chr(there)), chr(there))
        for name, other in [("\u212aate", "kate"), ("\u017fam", "sam"), ("stra\u00dfe", "strasse"), ("JÖRG", "jörg")]:
            self.assertFalse(self.matches(f"(uid={name})", uid=[other]), name)
            self.assertFalse(self.matches(f"(uid={other})", uid=[name]), name)

    def test_presence(self):
        self.assertTrue(self.matches("(mail=*)", mail=["x"]))
        self.assertFalse(self.matches("(mail=*)", uid=["x"]))

    def test_substrings(self):
        for pattern, value, is_match in [
            ("a*", "Ada", True),
            ("*a", "Ada", True),
            ("a*a", "a", False),
            ("*d*", "Ada", True),
            ("a*b*c", "a-b-c", True),
            ("a*b*b*c", "a-b-c", False),
            ("*@{domain}", "x@example.org", True),
            ("*@{domain}", "x@example.com", False),
        ]:
            self.assertEqual(self.matches(f"(x={pattern})", x=[value]), is_match, (pattern, value))

    def test_and_or_not(self):
        ada = {"uid": ["ada"], "objectClass": ["person"]}
        for text, is_match in [
            ("(&(uid={local})(objectClass=person))", True),
            ("(& (uid=bob) (objectClass=person) )", False),
            ("(|(uid=bob)(uid=ada))", True),
            ("(!(uid=ada))", False),
            ("(!(locked=TRUE))", True),
            ("(&)", True),
            ("(|)", False),
            (" (&(|(uid=x)(!(uid=y)))(uid=ada)) ", True),
        ]:
            self.assertEqual(self.matches(text, **ada), is_match, text)

    def test_escapes_of_rfc_4515(self):
        # The examples of RFC 4515 section 4.
        self.assertTrue(self.matches(r"(o=Parens R Us \28for all your parenthetical needs\29)",
                                     o=["Parens R Us (for all your parenthetical needs)"]))
        self.assertTrue(self.matches(r"(cn=*\2A*)", cn=["a*b"]))
        self.assertFalse(self.matches(r"(cn=*\2A*)", cn=["ab"]))
        self.assertTrue(self.matches(r"(filename=C:\5cMyFile)", filename=["C:\\MyFile"]))
        self.assertTrue(self.matches(r"(sn=Lu\c4\8di\c4\87)", sn=["Lučić"]))

    def test_what_a_client_calls_itself_is_never_part_of_the_filter(self):
        entry = ldif.Entry("", {"uid": ["ada"]})
        for name in ["*", "a*", "ada)(uid=*", r"\61da", "{local}"]:
            names = {"user": name, "local": "ada", "domain": ""}
            self.assertFalse(filters.parse("(uid={user})")(entry, names), name)

    def test_what_is_no_filter_is_said(self):
        for text, words in [
            ("", 'expected "("'),
            ("uid=ada", 'expected "("'),
            ("(uid=ada", 'expected ")"'),
            ("(uid=ada))", "more behind"),
            ("(uid)", "is not"),
            ("(=ada)", "no attribute"),
            ("(uid>=5)", ">= is not known"),
            ("(uid~=ada)", "~= is not known"),
            ("(uid:dn:=ada)", ":= is not known"),
            ("(!(a=b)(c=d))", "takes one"),
            ("(!)", "takes one"),
            (r"(uid=\2)", "two hex digits"),
            (r"(uid=\ff)", "is not UTF-8"),
            ("(uid={name})", "stands for nothing"),
            ("(&" * 100 + ")" * 100, "parentheses in each other"),
        ]:
            with self.assertRaises(ValueError, msg=text) as raised:
                filters.parse(text)
            self.assertIn(words, str(raised.exception))


class Ldif(unittest.TestCase):
    def test_folding_comments_base64_and_line_ends(self):
        text = b"dn: a=b\r\n# not this\r\n  nor this\r\ncn: long\r\n er\r\nsn:: w7Y=\r\nempty:\r\n\r\n\r\n"
        (entry,) = ldif.entries(text)
        self.assertEqual((entry.dn, entry.values("CN")), ("a=b", ["longer"]))
        self.assertEqual((entry.values("sn"), entry.values("empty")), (["ö"], [""]))

    def test_what_is_malformed_names_its_line_and_no_value(self):
        for text, line, words in [
            (b"cn: secret", 1, "begins with its dn"),
            (b"dn: a=b\ncn secret", 2, "attribute: value"),
            (b"dn: a=b\ndn: secret=c", 2, "a second dn"),
            (b"dn: a=b\nchangetype: add", 2, "changes"),
            (b"dn: a=b\ncn:< file:///secret", 2, "not fetched"),
            (b"dn: a=b\ncn:: secret!", 2, "no base64"),
            (b"version: 2", 1, "no version"),
            (b"dn: a=b\n\n\ncn: \xff", 4, "not UTF-8"),
        ]:
            with self.assertRaises(ldif.Malformed, msg=text) as raised:
                list(ldif.entries(text))
            said = str(raised.exception)
            self.assertIn(f"line {line}: ", said)
            self.assertIn(words, said)
            self.assertNotIn("secret", said)


class Hashes(unittest.TestCase):
    def test_digests_with_and_without_salt(self):
        for scheme, name in [("SHA", "sha1"), ("SHA256", "sha256"), ("SHA512", "sha512"), ("MD5", "md5")]:
            for prefix, salt in [("", b""), ("S", b"12345678")]:
                digest = hashlib.new(name, b"x" + salt).digest() + salt
                value = f"{{{prefix}{scheme}}}" + base64.b64encode(digest).decode()
                for value in [value, value.lower()[: value.index("}")] + value[value.index("}") :]]:
                    self.assertTrue(hashes.check(value, "x", None), value)
                    self.assertFalse(hashes.check(value, "y", None), value)

    def test_a_known_answer(self):
        # slappasswd -h '{SHA}' of OpenLDAP, for "secret".
        self.assertTrue(hashes.check("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret", None))

    def test_what_cannot_be_checked_is_said_without_the_value(self):
        for value in ["hunter2", "{SSHA}hunter2!", "{SSHA}aHVudGVyMg==", ssha("x", b""), "{SHA}" + ssha("x")[6:]]:
            with self.assertRaises(hashes.Unusable, msg=value) as raised:
                hashes.check(value, "x", None)
            self.assertNotIn("hunter2", str(raised.exception))


class Settings(unittest.TestCase):
    def test_each_problem_names_its_key(self):
        pairs = [
            ("file", "users.ldif"),
            ("base", "people"),
            ("scope", "tree"),
            ("filter", "(uid"),
            ("groups", "cn=a\nb"),
            ("user-attribute", "a b"),
            ("maildrop-attribute", ""),
            ("attributes", "mailHost\n_"),
            ("colour", "red"),
        ]
        with self.assertRaises(Problems) as raised:
            settings(pairs)
        keys = [line.partition(":")[0] for line in raised.exception.lines]
        self.assertEqual(keys, [key for key, _ in pairs] + ["file"])

    def test_a_file_that_would_lock_everybody_out_is_told_of(self):
        pairs = {"file": "/d/u", "base": "dc=elsewhere", "groups": "cn=none,dc=example"}
        found = Directory(settings(pairs.items()), PEOPLE).problems()
        self.assertEqual([line.partition(":")[0] for line in found], ["groups", "base"])
        with self.assertRaises(Problems):
            Directory(settings([("file", "/d/u")]), b"dn: nonsense\n")
        with self.assertRaises(Problems):
            Directory(settings([("file", "/d/u")]), b"#" * (9 << 20))


if __name__ == "__main__":
    unittest.main()
