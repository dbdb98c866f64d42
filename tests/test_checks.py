"""What every door asks, in one place: numbers, masks and indices are three things."""

import numpy as np
import pytest
import torch

from ssae_kit import checks
from tests.pretend import OnGpu, Pretend

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


@pytest.mark.parametrize(
    ("shape", "axes", "words"),
    [
        (
            (3,),
            "run n",
            r"must have the axes \[run, n\]; got shape \[3\]. Add it: `values\[None\]`",
        ),
        ((2, 3, 4), "run n", r"must have the axes \[run, n\]; got shape \[2, 3, 4\]"),
        ((3,), "*run n d", r"must have the axes \[\*run, n, d\]; got shape \[3\]"),
        ((0, 3), "run n", r"must not be empty; got shape \[0, 3\]"),
    ],
)
def test_an_axis_that_is_missing_too_many_or_empty_is_refused(shape, axes, words):
    with pytest.raises(ValueError, match=words):
        checks.tensors(x=(torch.ones(shape), axes))


def test_axes_of_one_name_have_one_size_counted_from_the_right():
    x = torch.ones(2, 3, 4)
    assert len(checks.tensors(x=(x, "*run n d"), y=(torch.ones(4), "d"))) == 2
    with pytest.raises(ValueError, match="`y` and `x` must have the same d; got 2 and 4"):
        checks.tensors(x=(x, "*run n d"), y=(torch.ones(2), "d"))


def test_one_double_makes_all_of_them_double():
    x, y = checks.tensors(x=([1, 2], "n"), y=(torch.ones(2, dtype=torch.float64), "n"))
    assert x.dtype == y.dtype == torch.float64
    assert checks.tensors(x=([1, 2], "n"))[0].dtype == torch.float32


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_found_wherever_it_stands(wrong):
    with pytest.raises(ValueError, match=r"1 of 3 values are not, the first at \[2\]"):
        checks.tensors(x=([1.0, 2.0, wrong], "n"))
    assert checks.is_finite(torch.tensor([3e38, 3e38]))  # though their sum is not


def test_a_whole_number_lies_within_its_bounds_and_may_be_numpys():
    assert [checks.whole("k", k, 1, 3) for k in (1, np.int64(3))] == [1, 3]
    for k in (0, 4):
        with pytest.raises(ValueError, match=rf"`k` must lie in 1..3; got {k}"):
            checks.whole("k", k, 1, 3)


@pytest.mark.parametrize("wrong", [None, 0])
def test_a_generator_is_asked_for(wrong):
    with pytest.raises(TypeError, match="`generator` must be a torch"):
        checks.require_generator(wrong)


def test_a_device_without_doubles_gets_floats():
    with Pretend():
        x = torch.ones(2, device="meta")
        for values in checks.tensors(x=(x, "n"), y=(torch.ones(2, dtype=torch.float64), "n")):
            assert isinstance(values, OnGpu)
            assert values.dtype == torch.float32
        checks.require("strength", x, "be positive", lambda value: (value > 0).all())


def test_arrays_that_torch_does_not_take_are_read():
    wanted = torch.tensor([[2.0, 1.0]])
    for given in (np.array([[1.0, 2.0]])[:, ::-1], wanted.numpy().astype(">f4")):
        assert checks.tensors(x=(given, "rows columns"))[0].tolist() == wanted.tolist()


def test_an_array_of_no_numbers_is_named_with_its_type():
    with pytest.raises(TypeError, match="got ndarray object"):
        checks.tensors(x=(np.array([None]), "rows"))


def test_free_axes_of_one_name_are_the_same_or_missing():
    two, one = torch.ones(2, 3), torch.ones(3)
    assert len(checks.tensors(a=(two, "*run rows"), b=(one, "*run rows"))) == 2
    with pytest.raises(ValueError, match=r"`b` and `a` must have the same \*run"):
        checks.tensors(a=(two, "*run rows"), b=(torch.ones(4, 3), "*run rows"))
    with pytest.raises(ValueError, match="same"):  # would become [2, 2] in silence
        checks.tensors(a=(torch.ones(2), "*run"), b=(torch.ones(2, 1), "*run"))


def test_a_whole_number_is_one_that_torch_can_count():
    with pytest.raises(ValueError, match="at most"):
        checks.whole("n", 10**30)
