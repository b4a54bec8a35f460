"""Hides messages with the header field of the setting `header`, "Name: value", or
shows them with the field of the setting `annotate` in front."""

from restante_guest import Err, header_fields, permanent, setting, types
from wit_world import exports
from wit_world.exports import filter as contract


class Filter(exports.Filter):
    def screen(self, account: types.Account, message) -> contract.Verdict:
        wanted = field(setting("header"))
        if wanted is None:
            # `validate` has refused such settings.
            raise permanent("the filter is not configured")
        fields = header_fields(message.header())
        if wanted not in [(name.lower(), value.lower()) for name, value in fields]:
            return contract.Verdict_Show()
        annotation = setting("annotate")
        if annotation is None:
            return contract.Verdict_Hide()
        return contract.Verdict_Annotate([annotation])


class Settings(exports.Settings):
    def validate(self) -> None:
        problems = []
        if setting("header") is None:
            problems.append('header: is missing; give "Name: value"')
        for key in ("header", "annotate"):
            text = setting(key)
            if text is not None and field(text) is None:
                problems.append(f'{key}: is not "Name: value"')
        if problems:
            raise Err(problems)


def field(line: str | None) -> tuple[str, str] | None:
    """Name and value of a header field on one line, in lower case."""
    name, _, value = (line or "").partition(":")
    legal_name = name and all("!" <= letter <= "~" for letter in name)
    legal_value = value.strip() and all(" " <= letter <= "~" for letter in value)
    return (name.lower(), value.strip().lower()) if legal_name and legal_value else None
