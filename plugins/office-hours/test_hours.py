"""Tests of hours.py and zones.py: `python3 -m unittest` in the plugin's folder."""

import datetime
import unittest

from hours import Admit, Delay, Deny, Problems, parse


def utc(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)


def office(**settings: str):
    return parse([(key.replace("_", "-"), value) for key, value in settings.items()])


# 2026-01-05 is a Monday.
MONDAY = "2026-01-05"


class Hours(unittest.TestCase):
    def test_the_first_minute_is_in_and_the_last_is_out(self):
        weekdays = office(hours="Mon-Fri 08:00-18:00")
        for time, is_open in [
            ("07:59:59", False),
            ("08:00:00", True),
            ("17:59:59", True),
            ("18:00:00", False),
        ]:
            self.assertEqual(weekdays.is_open(utc(f"{MONDAY}T{time}")), is_open, time)

    def test_days_are_named_one_by_one_in_ranges_and_around_the_weeks_end(self):
        some = office(hours="mon,WED,Fri-Sun 00:00-24:00")
        days = [some.is_open(utc(f"2026-01-{5 + day:02}T23:59:59")) for day in range(7)]
        self.assertEqual(days, [True, False, True, False, True, True, True])
        around = office(hours="Sat-Mon 00:00-24:00")
        days = [around.is_open(utc(f"2026-01-{5 + day:02}T00:00:00")) for day in range(7)]
        self.assertEqual(days, [True, False, False, False, False, True, True])

    def test_a_day_may_have_several_hours(self):
        siesta = office(hours="Mon 08:00-12:00\nMon 14:00-18:00")
        self.assertTrue(siesta.is_open(utc(f"{MONDAY}T11:00")))
        self.assertFalse(siesta.is_open(utc(f"{MONDAY}T13:00")))
        self.assertTrue(siesta.is_open(utc(f"{MONDAY}T14:00")))

    def test_a_night_belongs_to_the_day_on_which_it_begins(self):
        night = office(hours="Mon 22:00-06:00")
        self.assertFalse(night.is_open(utc(f"{MONDAY}T05:59")))
        self.assertTrue(night.is_open(utc(f"{MONDAY}T22:00")))
        self.assertTrue(night.is_open(utc("2026-01-06T05:59")))
        self.assertFalse(night.is_open(utc("2026-01-06T06:00")))
        self.assertFalse(night.is_open(utc("2026-01-06T22:00")))
        # Of a closed day there is no night either.
        night = office(hours="Mon 22:00-06:00", closed=MONDAY)
        self.assertFalse(night.is_open(utc("2026-01-06T05:59")))

    def test_closed_days(self):
        holidays = office(hours="Mon-Sun 00:00-24:00", closed="12-25\n2026-01-05")
        for day, is_open in [
            ("2026-12-25", False),
            ("2027-12-25", False),
            ("2026-01-05", False),
            ("2027-01-05", True),
        ]:
            self.assertEqual(holidays.is_open(utc(f"{day}T12:00")), is_open, day)

    def test_a_fixed_offset_moves_the_day_too(self):
        east = office(hours="Mon 08:00-18:00", time_zone="+05:30")
        self.assertFalse(east.is_open(utc(f"{MONDAY}T02:29")))
        self.assertTrue(east.is_open(utc(f"{MONDAY}T02:30")))
        west = office(hours="Mon 20:00-24:00", time_zone="-05:00")
        self.assertTrue(west.is_open(utc("2026-01-06T04:59")))
        self.assertFalse(west.is_open(utc("2026-01-06T05:00")))

    def test_a_named_zone_has_its_summer_time(self):
        try:
            vienna = office(hours="Mon-Fri 08:00-18:00", time_zone="Europe/Vienna")
        except Problems:
            self.skipTest("the package tzdata is not installed here")
        self.assertFalse(vienna.is_open(utc("2026-01-05T06:30")))
        self.assertTrue(vienna.is_open(utc("2026-01-05T07:00")))
        self.assertTrue(vienna.is_open(utc("2026-07-06T06:00")))
        # Beyond the last change that the data lists, its rule goes on.
        self.assertTrue(vienna.is_open(utc("2040-07-06T06:00")))
        self.assertIn("(CEST)", vienna.opens(utc("2026-07-06T20:00")))


class Answers(unittest.TestCase):
    def test_the_words_say_when(self):
        weekdays = office(hours="Mon-Fri 08:00-18:00", closed="01-05", time_zone="+01:00")
        self.assertEqual(
            weekdays.answer("192.0.2.1", utc("2026-01-02T18:00")),
            Deny(
                "mail is handed out during office hours, again on Tue, 6 Jan, from 08:00 (+01:00)"
            ),
        )
        own = office(hours="Mon-Fri 08:00-18:00", words="come back {opens}!")
        self.assertEqual(
            own.answer("192.0.2.1", utc(f"{MONDAY}T07:00")),
            Deny("come back today from 08:00 (UTC)!"),
        )

    def test_hours_that_never_come_have_words_too(self):
        never = office(hours="Mon 08:00-09:00", closed="\n".join(_all_days()))
        self.assertIn("not known yet", never.opens(utc(MONDAY)))

    def test_instead_of_a_denial_there_may_be_a_delay(self):
        slow = office(hours="Mon 08:00-18:00", outside="delay", delay="2s")
        self.assertEqual(slow.answer("192.0.2.1", utc("2026-01-06T12:00")), Delay(2_000))
        self.assertEqual(slow.answer("192.0.2.1", utc(f"{MONDAY}T12:00")), Admit())
        # In whichever order the settings come.
        slow = office(delay="500ms", outside="delay", hours="Mon 08:00-18:00")
        self.assertEqual(slow.answer("192.0.2.1", utc("2026-01-06T12:00")), Delay(500))
        slow = office(outside="delay", hours="Mon 08:00-18:00")
        self.assertEqual(slow.answer("192.0.2.1", utc("2026-01-06T12:00")), Delay(10_000))

    def test_some_networks_are_always_let_in(self):
        night = utc(f"{MONDAY}T03:00")
        some = office(hours="Mon 08:00-18:00", always_from="192.0.2.0/24\n2001:db8::/32\n::1")
        for client, is_let_in in [
            ("192.0.2.255", True),
            ("192.0.3.0", False),
            ("::ffff:192.0.2.7", True),
            ("2001:db8::1", True),
            ("2001:db9::1", False),
            ("::1", True),
        ]:
            self.assertEqual(some.answer(client, night) == Admit(), is_let_in, client)


class Settings(unittest.TestCase):
    def problems(self, **settings: str) -> list[str]:
        with self.assertRaises(Problems) as raised:
            office(**settings)
        return raised.exception.lines

    def test_each_problem_names_its_key(self):
        for key, value, words in [
            ("hours", "", "names none"),
            ("hours", "Mon-Fri", "is not like"),
            ("hours", "Mon-Fry 08:00-18:00", "'Fry' is no day"),
            ("hours", "Mon 8-18", "'8' is no time of day"),
            ("hours", "Mon 08:60-18:00", "'08:60' is no time of day"),
            ("hours", "Mon 08:00-25:00", "'25:00' is no time of day"),
            ("hours", "Mon 08:00-08:00", "ends where it begins"),
            ("hours", "Mon 24:00-08:00", "ends where it begins"),
            ("closed", "02-30", "day is out of range"),
            ("closed", "2026-02-29", "day is out of range"),
            ("closed", "Christmas", "is no day"),
            ("time_zone", "+15:00", "is no offset"),
            ("time_zone", "Mars/Olympus", "is no time zone"),
            ("always_from", "192.0.2.1/24", "host bits set"),
            ("always_from", "everywhere", "write a network"),
            ("outside", "shout", "neither"),
            ("words", "two\nlines", "one line"),
            ("words", "x" * 301, "300 octets"),
            ("colour", "red", "unknown setting"),
        ]:
            settings = {"hours": "Mon 08:00-18:00", key: value}
            lines = self.problems(**settings)
            self.assertTrue(lines[0].startswith(f"{key.replace('_', '-')}: "), lines)
            self.assertIn(words, lines[0])

    def test_what_does_not_go_together_is_said(self):
        hours = "Mon 08:00-18:00"
        self.assertIn("hours: is missing", self.problems()[0])
        self.assertIn("needs outside", self.problems(hours=hours, delay="2s")[0])
        for delay in ["0ms", "31s", "2", "2m"]:
            lines = self.problems(hours=hours, outside="delay", delay=delay)
            self.assertTrue(lines[0].startswith("delay: "), lines)
        lines = self.problems(hours=hours, outside="delay", words="hello")
        self.assertIn("nobody hears them", lines[0])

    def test_all_problems_are_said_at_once(self):
        lines = self.problems(hours="Mon 1-2\nNever 08:00-09:00", closed="x", outside="y")
        self.assertEqual(len(lines), 4, lines)


def _all_days():
    day = datetime.date(2024, 1, 1)
    while day.year == 2024:
        yield f"{day:%m-%d}"
        day += datetime.timedelta(days=1)


if __name__ == "__main__":
    unittest.main()
