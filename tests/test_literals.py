"""Dict literals that differ by their student alone: what was read of one holds for all, and never for any other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from source import literals
from source.literals import Literals
from source.passback import UnreadablePassbackError, read_passback

ANN, BOB = "0a" * 16, "1b" * 16
URL = "https://lms.example.org/grade_handler"


def spelled(sourcedid: str, key: str = "", url: str = URL) -> str:
    """Spell a literal as the source does."""
    return (
        f"{{'oauth_consumer_key': '{key}', 'lis_result_sourcedid': '{sourcedid}', 'lis_outcome_service_url': '{url}'}}"
    )


def field(text: str | None) -> str:
    """Write a text as it stands in a row, behind its length."""
    assert text is not None
    return len(text).to_bytes(4).decode("latin-1") + text


def row_of(text: str) -> str | None:
    """Return the fields of a literal as they stand in a row, read by itself."""
    try:
        passback = read_passback(text)
    except UnreadablePassbackError:
        return None
    return "".join(
        map(field, (passback.oauth_consumer_key, passback.lis_result_sourcedid, passback.lis_outcome_service_url))
    )


def test_literals_of_one_task_are_read_once() -> None:
    """With another student in it, a literal is known already; another task or address makes another literal."""
    known = Literals(len(ANN))
    texts = [spelled(f"course:link:{student}") for student in (ANN, BOB)]
    first, second, other = known.around([ANN, BOB, ANN], [*texts, spelled(f"course:other:{ANN}")])
    assert first is second
    assert first == (f"{field('')}\0\0\0\x2ccourse:link:", field(URL), "course:link:")
    assert other == (f"{field('')}\0\0\0\x2dcourse:other:", field(URL), "course:other:")
    assert known.around([BOB], [texts[1]]) == [first]
    assert known.around([BOB], [spelled(f"course:link:{BOB}", url="http://b")]) == [
        (first[0], field("http://b"), "course:link:")
    ]


parts = st.sampled_from(["", ":", "course", "ab", "abc", "cd", "'", ", ", "{", "}", " ", "', '", "'}", "lti"])
values = st.lists(parts, max_size=4).map("".join)
spellings = st.builds(spelled, values, values, values) | values | st.builds(spelled, values.map("{}:ab".format), values)


@given(st.lists(st.tuples(st.sampled_from(["ab", "bc", "cd", "ia"]), spellings), max_size=12))
def test_what_is_known_is_never_taken_for_another_literal(drawn: list[tuple[str, str]]) -> None:
    """Wherever students and quotes stand: what is found around a student is what the literal says, read by itself."""
    known = Literals(2)
    for student, text in drawn * 2:
        for around in known.around([student], [text]):
            if around:
                before, behind, place = around
                assert before.endswith(place)
                assert place.endswith(":")
                assert f"{before}{student}{behind}" == row_of(text)


def test_student_who_stands_elsewhere_too_is_not_mistaken() -> None:
    """Not the literal of a student in a second place, nor that of somebody else, is taken for usual."""
    twice, elsewhere, stranger = spelled(f"c:{ANN}:{ANN}"), spelled(f"c:l:{ANN}", ANN), spelled(f"c:l:{BOB}")
    repeated = spelled(f"c:l:{ANN}").replace("}", ", 'oauth_consumer_key': ''}")
    assert Literals(len(ANN)).around([ANN] * 4, [twice, elsewhere, stranger, repeated]) == [None] * 4


def test_memory_is_bounded() -> None:
    """A source in which no two literals are alike fills no memory; long ones are not kept at all."""
    known = Literals(len(ANN))
    texts = [spelled(f"course:{number}:{ANN}") for number in range(3 * literals._MOST)]
    assert all(known.around([ANN] * len(texts), texts))
    assert known.around([ANN], [spelled(f"{'long' * 300}:{ANN}")])[0]
    assert 0 < len(known._known) <= literals._MOST
    assert max(sum(map(len, part)) for part in known._known) <= literals._LONGEST
