"""`office-hours`: the component's exports, over hours.py.

Each question has an instance of its own, so nothing is kept here.
"""

import datetime

import componentize_py_types
from wit_world import exports
from wit_world.exports import admission
from wit_world.imports import store

import hours


class Admission(exports.Admission):
    def admit(self, connection) -> admission.Verdict:
        # What is wrong with the settings kept the plugin from being put to work.
        office = hours.parse(store.get_all())
        now = datetime.datetime.now(datetime.timezone.utc)
        answer = office.answer(connection.client_address, now)
        if isinstance(answer, hours.Deny):
            return admission.Verdict_Deny(answer.words)
        if isinstance(answer, hours.Delay):
            return admission.Verdict_Delay(answer.milliseconds)
        return admission.Verdict_Admit()


class Settings(exports.Settings):
    def validate(self) -> None:
        try:
            hours.parse(store.get_all())
        except hours.Problems as problems:
            raise componentize_py_types.Err(problems.lines)
