"""What happens is not whose it is: the day of a booking is left out, and a birth is not."""

from __future__ import annotations

import pyarrow as pa

from whence.identity.records.fields import study


def bookings(of_one: bool = True) -> pa.Table:
    """Two bookings of each guest; or of each two guests of one name."""
    rows = []
    for at in range(240):
        who = at // 2 if of_one else at
        rows.append(
            {
                "guest": f"Ann{at // 2 // 12:02} Lee{at // 2 % 12:02}".translate(str.maketrans("0123456789", "abcdefghij")),
                "mobile": f"+49 171 {5550000 + who * 37}",
                "geburtsdatum": f"19{50 + who % 50}-0{1 + who % 9}-11",
                "arrival": f"2024-{1 + at * 7 % 12:02}-{1 + at * 5 % 28:02}",
                "room": ["SGL", "DBL", "TWN", "STE"][at * 3 % 7 % 4],
                "sex": "fm"[who % 2],
            }
        )
    return pa.Table.from_pylist(rows)


def test_days_and_rooms_of_bookings_are_left_out_and_what_a_guest_keeps_is_not() -> None:
    found = study(bookings())
    assert {field.name for field in found.fields.fields} == {"guest", "mobile", "geburtsdatum", "sex"}
    assert found.why["arrival"] == "differs in rows of one guest: of what happens, not of whom"


def test_namesakes_who_share_nothing_else_say_nothing() -> None:
    assert {"arrival", "room"} <= {field.name for field in study(bookings(of_one=False)).fields.fields}
