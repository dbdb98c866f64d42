"""Tables: rows in, HTML with headers and aligned text out."""

import pytest
import torch

from ssae_kit import plots
from ssae_kit.plots.table import as_html


def test_a_table_has_headers_rows_a_caption_and_the_same_as_text(displayed):
    plots.table(["method", "MCC"], [("SSAE", 0.98765), ("a<b", torch.tensor(0.5))], "Scores")
    (bundle,) = displayed
    page = bundle["text/html"]
    assert page.count("<tr>") == 3
    assert page.count('scope="col"') == page.count('scope="row"') == 2
    assert "<caption" in page
    assert "a&lt;b" in page
    assert ">0.988<" in page
    assert bundle["text/plain"].splitlines() == [
        "Scores",
        "method  MCC",
        "SSAE    0.988",
        "a<b     0.500",
    ]


def test_whole_numbers_and_texts_stand_as_they_are(displayed):
    plots.table(["", "n"], [("", 3), ("x", "50%")])
    assert ">3<" in displayed[0]["text/html"]
    assert ">50%<" in displayed[0]["text/html"]
    assert "caption" not in displayed[0]["text/html"]


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"must have 2 cells, one per column; got 1: \['x'\]"):
        plots.table(["a", "b"], [("x",)])


def test_no_cell_can_break_out_of_its_table():
    assert "<script>" not in as_html(["<script>"], [["<script>"]], "<script>")
