"""The table of claims: a verdict is computed, a control must fail, and nothing is hidden."""

import json
import math
from pathlib import Path

import pytest

from ssae_kit.claims import MIME, Register

TABLE = """
codes | one code moves with one concept | MCC | >= 0.95 | shuffled pairs
side  | and the rest stays | share of words | <= 0.05 |
"""


def settled(displayed, sign, *found):
    """What becomes of one claim with the bound 0.95."""
    control = "shuffled pairs" if len(found) > 1 else ""
    register = Register("06", f"codes | one code | MCC | {sign} 0.95 | {control}")
    register.settle(codes=found if control else found[0])
    return displayed.pop()


@pytest.mark.parametrize(
    ("sign", "value", "passed"),
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
def test_the_verdict_follows_from_value_and_threshold(displayed, sign, value, passed):
    assert settled(displayed, sign, value)[MIME][0]["passed"] is passed


@pytest.mark.parametrize(
    ("control", "fails", "passed"),
    [(0.31, "yes", True), (0.95, "no", False), (math.nan, "no", False)],
)
def test_a_control_that_does_not_fail_takes_the_verdict_with_it(displayed, control, fails, passed):
    data = settled(displayed, ">=", 0.97, control)
    assert f"Control fails as it should: {fails}" in data["text/plain"]
    assert data[MIME][0]["passed"] is passed


def test_a_failed_claim_says_so_in_text_html_and_data(displayed):
    Register("06", TABLE).settle(codes=(0.5, 0.31), side=0.01)
    (data,) = displayed
    verdicts = [line.split()[0] for line in data["text/plain"].splitlines() if "06." in line]
    assert verdicts == ["FAIL", "PASS"]
    assert "1 of 2 claims passed" in data["text/plain"]
    assert data["text/html"].count(">FAIL<") == data["text/html"].count(">PASS<") == 1
    assert [record["passed"] for record in data[MIME]] == [False, True]


def test_programs_get_every_field_by_name_and_as_registered(displayed):
    Register("06", TABLE).settle(side=0.01, codes=(0.97, 0.31))
    codes, side = displayed[0][MIME]
    assert codes == {
        "id": "06.codes",
        "claim": "one code moves with one concept",
        "metric": "MCC",
        "threshold": ">= 0.95",
        "value": 0.97,
        "control": "shuffled pairs: 0.31",
        "passed": True,
    }
    assert (side["id"], side["threshold"], side["control"]) == ("06.side", "<= 0.05", "")


def test_a_value_that_is_no_number_is_still_valid_json(displayed):
    data = settled(displayed, ">=", math.nan)
    assert json.loads(json.dumps(data[MIME], allow_nan=False))[0]["value"] is None
    assert "nan" in data["text/plain"]


def test_text_and_html_name_the_control(displayed):
    for found, words in (((0.97, 0.31), "shuffled pairs: 0.31"), ((0.97,), "no control")):
        data = settled(displayed, ">=", *found)
        assert words in data["text/plain"]
        assert words in data["text/html"]


def test_html_shows_signs_instead_of_obeying_them(displayed):
    register = Register("06", TABLE.replace("one code", "a < b & <script>"))
    register.settle(codes=(0.97, 0.31), side=0.01)
    for table in (displayed[0]["text/html"], register._repr_html_()):
        assert "a &lt; b &amp; &lt;script&gt;" in table
        assert "<script>" not in table


def test_a_register_is_folded_before_any_value_and_holds_thresholds_and_controls():
    register = Register("06", TABLE)
    page = register._repr_html_()
    for text in (repr(register), page):
        assert f"2 claims, not settled yet (seal {register.seal})" in text
    assert page.startswith("<details><summary>2 claims")
    shown, folded = page.split("</summary>")
    for told in ("MCC &gt;= 0.95", "shuffled pairs"):
        assert told in folded
        assert told not in shown
    assert "shuffled" not in repr(register)


def test_the_seal_stands_under_the_verdicts_and_breaks_with_any_threshold(displayed):
    register = Register("06", TABLE)
    register.settle(codes=(0.97, 0.31), side=0.01)
    assert f"(seal {register.seal})" in displayed[0]["text/plain"]
    others = [
        Register("06", TABLE.replace(*change)).seal for change in (("0.95", "0.9"), ("<", ">"))
    ]
    assert len({register.seal, *others}) == 3


@pytest.mark.parametrize(
    "line",
    [
        "codes | MCC | >= 0.9 |",
        "codes | c | MCC | 0.9 | x",
        "codes | c | MCC | >= . | x",
        "codes | | MCC | >= 1 | x",
        "a b | c | m | >= 1 | x",
        "",
    ],
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


@pytest.mark.parametrize(
    "found", [{"codes": 0.97, "side": 0.01}, {"codes": (1.0, 0.0), "side": (0.0, 1.0)}]
)
def test_a_control_left_out_or_made_up_at_the_end_is_refused(found):
    with pytest.raises(ValueError, match="A control needs both"):
        Register("06", TABLE).settle(**found)


def test_predictions_stand_beside_the_claim_that_their_name_begins_with(displayed):
    register = Register("06", TABLE)
    said = {"codes": "How high? 0.4 to 0.6", "codes PCA": "And PCA? 0.1 to 0.2", "other": "so"}
    register.settle(said, codes=(0.97, 0.31), side=0.01)
    text = displayed[0]["text/plain"]
    assert "You predicted: How high? 0.4 to 0.6; And PCA? 0.1 to 0.2" in text
    assert "You predicted: nothing" in text
    assert "so" not in text.split()


NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_folds_its_claims_and_tells_predictions_beside_them(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [(cell, "".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
    (claims,) = (cell for cell, source in code if "CLAIMS = Register(" in source)
    assert claims["metadata"]["jupyter"]["source_hidden"]
    (settled,) = (source for _, source in code if "CLAIMS.settle(" in source)
    assert "guesses.made()" in settled
