"""What every door asks, in one place: numbers, masks and indices are three things."""

import numpy as np
import pytest
import torch

from ssae_kit import checks

MASKS = (True, np.True_, torch.tensor(True))


@pytest.mark.parametrize("mask", MASKS)
def test_a_truth_value_is_no_count_and_no_rate(mask):
    with pytest.raises(TypeError, match="`k` must be a whole number"):
        checks.whole("k", mask)
    with pytest.raises(ValueError, match="`rate` must be above 0"):
        checks.require("rate", mask, "above 0", lambda rate: rate > 0)


@pytest.mark.parametrize("wrong", [[True, False], torch.tensor([1.5, 0.0])])
def test_a_mask_or_a_fraction_is_no_index(wrong):
    with pytest.raises(TypeError, match="`ids` must hold whole numbers, no mask"):
        checks.indices("ids", wrong, "n")
    assert checks.indices("ids", [2.0, 0.0], "n").tolist() == [2, 0]


def test_indices_are_no_mask():
    with pytest.raises(ValueError, match=r"`on` must be a mask, 0 or 1; it holds \[0.0, 2.0\]"):
        checks.mask("on", torch.tensor([2.0, 0.0]))
    assert checks.mask("on", torch.tensor([1.0, 0.0])).tolist() == [True, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_whose_squares_leave_float32_are_refused(dtype):
    with pytest.raises(ValueError, match="`x` must not hold values beyond 1e\\+15"):
        checks.tensors(x=(torch.tensor([1.0, -1e16], dtype=dtype), "n"))
    with pytest.raises(ValueError, match="at most 1e\\+15; got 1e\\+300"):
        checks.require("rate", 1e300, "above 0", lambda rate: rate > 0)


def test_tables_and_eight_bit_floats_are_read():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [1, 2], "b": [3.0, 4.0]})
    (found,) = checks.tensors(x=(table, "rows columns"))
    assert found.tolist() == [[1, 3], [2, 4]]
    (ones,) = checks.tensors(x=(torch.ones(2).to(torch.float8_e4m3fn), "n"))
    assert ones.tolist() == [1, 1]


def test_a_tensor_without_numbers_is_refused_in_words():
    with pytest.raises(TypeError, match="device meta, which holds none"):
        checks.tensors(x=(torch.empty(3, device="meta"), "n"))
