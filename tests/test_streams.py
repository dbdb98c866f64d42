"""Numbered random streams."""

import pytest
import torch

from ssae_kit.streams import Streams


def test_a_stream_begins_anew_and_differs_from_its_neighbours_and_from_itself_elsewhere():
    first = torch.rand(3, generator=Streams()(7))
    assert torch.equal(first, torch.rand(3, generator=Streams(0)(7)))
    assert not torch.equal(first, torch.rand(3, generator=Streams()(8)))
    assert not torch.equal(first, torch.rand(3, generator=Streams(1)(7)))


def test_stream_0_is_the_plain_seed():
    assert Streams().seed(7) == 7
    assert torch.equal(Streams()(7).get_state(), torch.Generator().manual_seed(7).get_state())


def test_a_negative_stream_is_refused():
    with pytest.raises(ValueError, match="at least 0; got -1"):
        Streams(-1)
