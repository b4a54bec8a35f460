"""Turns away clients from the networks of the setting `deny`, and greets those from
`delay` after `delay-milliseconds`."""

import logging
from ipaddress import ip_address, ip_network

from restante_guest import Err, lines, log_to_host, setting, types
from wit_world import exports
from wit_world.exports import admission as contract

log = logging.getLogger("gate")
log_to_host()

# What the contract has room for.
MOST_MILLISECONDS = 2**32 - 1


class Admission(exports.Admission):
    def admit(self, connection: types.Connection) -> contract.Verdict:
        client = ip_address(connection.client_address)
        # `validate` has refused settings that do not parse.
        if any(client in network for network in networks("deny")):
            log.info("turned away")
            return contract.Verdict_Deny("no mail for your network")
        if any(client in network for network in networks("delay")):
            return contract.Verdict_Delay(delay())
        return contract.Verdict_Admit()


class Settings(exports.Settings):
    def validate(self) -> None:
        problems = []
        for key in ("deny", "delay"):
            try:
                networks(key)
            except ValueError as error:
                problems.append(f"{key}: {error}")
        try:
            delay()
        except ValueError as error:
            problems.append(f"delay-milliseconds: {error}")
        if problems:
            raise Err(problems)


def networks(key: str):
    return [ip_network(line, strict=False) for line in lines(key)]


def delay() -> int:
    milliseconds = int(setting("delay-milliseconds", "1000"))
    if not 0 <= milliseconds <= MOST_MILLISECONDS:
        raise ValueError(f"must be 0 to {MOST_MILLISECONDS}")
    return milliseconds
