"""Small states run on one thread, and the caller's setting comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from qt_hw.simulation.threads import threads_for


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_only_small_states_are_kept_on_one_thread():
    with threads_for(1 << 13):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with threads_for(1 << 19):
        assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_the_setting_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError), threads_for(4):
        assert torch.get_num_threads() == 1
        _ = 1 / 0
    assert torch.get_num_threads() == 2
