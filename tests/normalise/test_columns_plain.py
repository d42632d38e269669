from hypothesis import given, settings
from hypothesis import strategies as st

from whence.normalise import columns, phones, placeholders

MAILBOX = st.text(st.sampled_from("abt01._+-@"), min_size=1, max_size=14)
EMAILS = st.builds("{}@{}.{}".format, MAILBOX, MAILBOX, st.sampled_from(["com", "example", "co.uk", "c", "com\n"]))
DIGITS = st.one_of(
    st.from_regex(r"[0-9+ ]{0,18}", fullmatch=True),
    st.builds(lambda start, n: ("0123456789" * 3)[start : start + n], st.integers(0, 9), st.integers(1, 12)),
    st.builds(lambda start, n: ("9876543210" * 3)[start : start + n], st.integers(0, 9), st.integers(1, 12)),
    st.builds(
        lambda head, digit, n: head + digit * n,
        st.from_regex("[0-9]{0,5}", fullmatch=True),
        st.sampled_from("0159"),
        st.integers(1, 9),
    ),
    st.sampled_from([*sorted(placeholders.FAKE_PHONES), "2125550123", "12125550199", "5550123"]),
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(EMAILS, st.sampled_from(sorted(placeholders.FAKE_EMAILS)), st.text(max_size=12), st.just("\ud800x@y.example")),
        max_size=20,
    )
)
def test_addresses_settled_by_their_pattern_come_out_as_those_looked_at_one_by_one(values: list[str]) -> None:
    assert columns.normalise("email", values) == [columns.CHANGES["email"](value) for value in values]


@settings(max_examples=60, deadline=None)
@given(st.lists(DIGITS, max_size=20))
def test_numbers_settled_by_their_pattern_come_out_as_those_looked_at_one_by_one(values: list[str]) -> None:
    if phones.likely_region(values) is None:
        assert columns.normalise("phone", values) == [columns._phone(value, phones.e164(value)) for value in values]
