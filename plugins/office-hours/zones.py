"""Time zones: fixed offsets, and the names of the IANA data base.

`zoneinfo` looks for its data in files, and a component has none. What the
package `tzdata` holds is read when this module is imported, which is when the
component is built: the rules are as old as the build.
"""

import datetime
import functools
import importlib.resources
import io
import re
import zoneinfo


def _read_all() -> dict[str, bytes]:
    try:
        package = importlib.resources.files("tzdata")
    except ModuleNotFoundError:
        # Built without it: offsets still work.
        return {}
    names = package.joinpath("zones").read_text(encoding="ascii").split()
    return {
        name: package.joinpath("zoneinfo", *name.split("/")).read_bytes()
        for name in names
    }


_ZONES = _read_all()

_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)


@functools.cache
def zone(name: str) -> datetime.tzinfo:
    """The zone of a name such as "UTC", "+01:00" or "Europe/Vienna".

    Raises ValueError with what is wrong.
    """
    if name in ("UTC", "Z"):
        return datetime.timezone.utc
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        return datetime.timezone(_duration(*offset.groups()), name)
    octets = _ZONES.get(name)
    if octets is None:
        raise ValueError(
            f"{name!r} is no time zone; write UTC, an offset such as +01:00, "
            "or a name of the IANA data base such as Europe/Vienna"
        )
    return zoneinfo.ZoneInfo.from_file(io.BytesIO(octets), name)


def _duration(sign: str, hours: str, minutes: str) -> datetime.timedelta:
    # No place on Earth is further from UTC than 14 hours.
    if int(hours) > 14 or int(minutes) > 59:
        raise ValueError(f"{sign}{hours}:{minutes} is no offset that a place has")
    offset = datetime.timedelta(hours=int(hours), minutes=int(minutes))
    return -offset if sign == "-" else offset
