"""PYTHONPATH=bindings python -m unittest: the plugin without a server."""

import os
import tempfile
import unittest
from unittest.mock import patch

import store as plugin
from restante_guest import types, unpack
from wit_world.imports import files
from wit_world.imports import logging as host_log


class Host:
    """What a host does for a store, in a folder of the test's own."""

    def __init__(self, root: str):
        self.root = root

    def status(self, path: str) -> files.Status:
        about = os.stat(os.path.join(self.root, path))
        return files.Status(files.Kind.FILE, about.st_size, about.st_mtime_ns, None, about.st_ino)

    def stat(self, path: str) -> files.Status | None:
        return self.status(path) if os.path.exists(os.path.join(self.root, path)) else None

    def scan(self, directory: str) -> files.Names:
        names = sorted(os.listdir(os.path.join(self.root, directory)))
        return files.Names("".join(name + "\0" for name in names), [0] * len(names))

    def measure(self, path: str) -> files.Weight:
        with open(os.path.join(self.root, path), "rb") as file:
            octets = len(file.read().replace(b"\n", b"\r\n"))
        return files.Weight(octets, octets, self.status(path))


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = os.path.join(folder.name, "mail")
        host = Host(self.root)
        for patched in [
            patch.object(host_log, "log", lambda *_: None),
            patch.object(files, "scan", host.scan),
            patch.object(files, "stat", host.stat),
            patch.object(files, "measure", host.measure),
            patch.object(plugin, "ROOT", self.root),
        ]:
            patched.start()
            self.addCleanup(patched.stop)
        self.store = plugin.Maildrop.open(types.Account("alice", "alice", []))

    def test_files_are_messages_until_they_are_removed(self):
        self.assertEqual(self.store.listing().octets, [])
        os.mkdir(self.root)
        for age, (name, text) in enumerate(
            [
                ("b.eml", "Subject: b\n\nfirst\n"),
                ("a.eml", "Subject: a\n\nsecond\n"),
                ("notes.txt", "no message"),
                ("two words.eml", "Subject: no unique-id\n\n"),
            ]
        ):
            path = os.path.join(self.root, name)
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            os.utime(path, (age, age))

        listing = self.store.listing()
        self.assertEqual(unpack(listing.unique_ids), ["b", "a"])
        # Line ends count as CRLF, whatever the file has.
        self.assertEqual((listing.octets, listing.received), ([21, 22], [0, 1]))
        self.assertEqual(self.store.content("b.eml").value.path, "b.eml")

        self.store.remove(["a.eml", "gone-already.eml"])
        self.assertEqual(unpack(self.store.listing().names), ["b.eml"])
