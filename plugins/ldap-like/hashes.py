"""Values of userPassword: who checks which.

Salted digests, as directories keep them ({SSHA} and its kin), take no time and
are checked here; whatever is slow by design is the host's to compute.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable

# {SCHEME}: hash function, whether the salt stands behind the digest.
_DIGESTS = {
    "{MD5}": ("md5", False),
    "{SMD5}": ("md5", True),
    "{SHA}": ("sha1", False),
    "{SSHA}": ("sha1", True),
    "{SHA256}": ("sha256", False),
    "{SSHA256}": ("sha256", True),
    "{SHA384}": ("sha384", False),
    "{SSHA384}": ("sha384", True),
    "{SHA512}": ("sha512", False),
    "{SSHA512}": ("sha512", True),
}

Verify = Callable[[str, str], bool]


class Unusable(Exception):
    """A value that nothing can be checked against; its words do not show it."""


def check(value: str, secret: str, verify: Verify) -> bool:
    """Whether a password is the one behind a value. `verify` is the host's.

    Raises Unusable.
    """
    scheme, brace, rest = value.partition("}")
    scheme = (scheme + brace).upper()
    if scheme in _DIGESTS:
        return _check_digest(*_DIGESTS[scheme], rest, secret)
    if not value.startswith(("{", "$")):
        raise Unusable("a password without {SCHEME}; one in the clear needs {PLAIN} in front")
    return verify(value, secret)


def _check_digest(name: str, is_salted: bool, text: str, secret: str) -> bool:
    try:
        octets = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Unusable("a digest that is no base64") from None
    size = hashlib.new(name, usedforsecurity=False).digest_size
    digest, salt = octets[:size], octets[size:]
    if len(digest) < size or bool(salt) != is_salted:
        raise Unusable("a digest of another length than its scheme has")
    found = hashlib.new(name, secret.encode() + salt, usedforsecurity=False).digest()
    return hmac.compare_digest(found, digest)
