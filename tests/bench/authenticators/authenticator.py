"""Lets everybody in who says "x": what an authenticator in Python costs."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import authenticator
from wit_world.imports import types


class Authenticator(exports.Authenticator):
    def authenticate(self, connection, credentials) -> types.Account:
        if not isinstance(credentials, authenticator.Credentials_Password):
            raise Err(types.Denial_Unknown())
        if credentials.value.secret != "x":
            raise Err(types.Denial_Rejected())
        user = credentials.value.user
        return types.Account(user=user, maildrop=user, attributes=[])
