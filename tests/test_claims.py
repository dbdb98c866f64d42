"""The table of claims: a verdict is computed, a control must fail, and nothing is hidden."""

import json
import math

import pytest

from ssae_kit.claims import MIME, Claim, Register, as_html, as_text, claims


def claim(**changes):
    given = {
        "id": "06.codes",
        "claim": "One code moves with one concept.",
        "metric": "MCC, unitless",
        "direction": ">=",
        "threshold": 0.95,
        "value": 0.97,
        "control": "shuffled pairs",
        "control_value": 0.31,
    }
    return Claim(**{**given, **changes})


@pytest.mark.parametrize(
    ("direction", "value", "passed"),
    [
        (">=", 0.95, True),
        (">=", 0.9499, False),
        ("<=", 0.95, True),
        ("<=", 0.951, False),
        (">=", math.nan, False),
        ("<=", math.nan, False),
        (">=", math.inf, False),
        ("<=", -math.inf, False),
    ],
)
def test_the_verdict_follows_from_value_and_threshold(direction, value, passed):
    row = claim(direction=direction, value=value, control="", control_value=None)
    assert row.passed is passed


@pytest.mark.parametrize(
    ("control_value", "fails", "passed"),
    [(0.31, True, True), (0.95, False, False), (math.nan, False, False), (None, None, True)],
)
def test_a_control_that_does_not_fail_takes_the_verdict_with_it(control_value, fails, passed):
    name = "" if control_value is None else "shuffled pairs"
    row = claim(control=name, control_value=control_value)
    assert row.control_fails is fails
    assert row.passed is passed


def test_a_failed_claim_says_so_in_text_html_and_data(displayed):
    claims([claim(value=0.5), claim(id="06.ok")])
    (data,) = displayed
    verdicts = [line.split()[0] for line in data["text/plain"].splitlines() if "06." in line]
    assert verdicts == ["FAIL", "PASS"]
    assert "1 of 2 claims passed" in data["text/plain"]
    assert data["text/html"].count(">FAIL<") == data["text/html"].count(">PASS<") == 1
    assert [record["passed"] for record in data[MIME]] == [False, True]


def test_programs_get_every_field_by_name(displayed):
    claims([claim()])
    (record,) = displayed[0][MIME]
    assert record == {
        "id": "06.codes",
        "claim": "One code moves with one concept.",
        "metric": "MCC, unitless",
        "threshold": ">= 0.95",
        "value": 0.97,
        "control": "shuffled pairs: 0.31",
        "passed": True,
    }


def test_a_value_that_is_no_number_is_still_valid_json(displayed):
    claims([claim(value=math.nan)])
    (record,) = displayed[0][MIME]
    assert json.loads(json.dumps(record, allow_nan=False))["value"] is None
    assert "nan" in as_text([claim(value=math.nan)])


def test_text_and_html_name_the_control_and_whether_it_failed():
    for table in (as_text, as_html):
        assert "shuffled pairs: 0.31" in table([claim()])
        assert "no control" in table([claim(control="", control_value=None)])
    assert "Control fails as it should: no" in as_text([claim(control_value=0.99)])


def test_html_shows_signs_instead_of_obeying_them():
    table = as_html([claim(claim="a < b & <script>")])
    assert "a &lt; b &amp; &lt;script&gt;" in table
    assert "<script>" not in table


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": " "}, "`id` of a claim must be a text"),
        ({"threshold": math.nan}, "`threshold` must be a finite number; got nan"),
        ({"control_value": None}, "a control needs both"),
        ({"control": ""}, "a control needs both"),
    ],
)
def test_an_incomplete_claim_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        claim(**changes)


def test_no_claim_or_two_of_one_name_are_refused():
    for rows in ([], [claim(), claim()]):
        with pytest.raises(ValueError, match="`id` each of its own"):
            claims(rows)


TABLE = """
codes | one code moves with one concept | MCC | >= 0.95 | shuffled pairs
side  | and the rest stays | share of words | <= 0.05 |
"""


def test_claims_are_settled_as_they_were_registered(displayed):
    Register("06", TABLE).settle(side=0.01, codes=(0.97, 0.31))
    codes, side = displayed[0][MIME]
    assert (codes["id"], codes["threshold"], codes["passed"]) == ("06.codes", ">= 0.95", True)
    assert codes["control"] == "shuffled pairs: 0.31"
    assert (side["id"], side["threshold"], side["control"]) == ("06.side", "<= 0.05", "")


def test_a_register_shows_thresholds_and_controls_before_any_value():
    register = Register("06", TABLE.replace("one code", "a < b"))
    for text in (repr(register), register._repr_html_()):
        assert "2 claims, not settled yet" in text
        assert "shuffled pairs" in text
    assert "MCC &gt;= 0.95" in register._repr_html_()
    assert "a &lt; b" in register._repr_html_()


@pytest.mark.parametrize(
    "line", ["codes | MCC | >= 0.9 |", "codes | c | MCC | 0.9 | x", "a b | c | m | >= 1 | x", ""]
)
def test_a_line_that_is_no_claim_is_refused(line):
    with pytest.raises(ValueError, match="claim"):
        Register("06", line)
    with pytest.raises(ValueError, match="key of its own"):
        Register("06", TABLE + TABLE)


@pytest.mark.parametrize("found", [{"codes": (1.0, 0.0)}, {"codes": 1.0, "side": 0.0, "new": 0.0}])
def test_a_claim_left_out_or_made_up_afterwards_is_refused(found):
    with pytest.raises(ValueError, match="every claim made must be settled"):
        Register("06", TABLE).settle(**found)


def test_a_control_left_out_at_the_end_is_refused():
    with pytest.raises(ValueError, match="a control needs both"):
        Register("06", TABLE).settle(codes=0.97, side=0.01)
