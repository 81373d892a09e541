"""A choice among kernels is made once for a machine, and kept."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ppl_vae.tracing import choices
from ppl_vae.tracing.choices import Choices, shortest_seconds, steady
from ppl_vae.tracing.threads import threads

NAMES = ["torch", "oneDNN"]
PRODUCTS: list[tuple[object, ...]] = [(20, 784, 200, False, True), (7, 20, 5, True, False), (3, 13, 1, False, False)]


def test_a_choice_is_measured_once_and_kept(tmp_path: Path) -> None:
    asked: list[tuple[object, ...]] = []

    def measured(product: tuple[object, ...]) -> str:
        asked.append(product)
        return "oneDNN"

    assert [Choices(tmp_path, measured, NAMES).choose(product) for product in (*PRODUCTS, *PRODUCTS)] == ["oneDNN"] * 6
    assert asked == PRODUCTS


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"machine": 3}', '{"machine": "MACHINE", "kernels": [1]}'])
def test_what_is_kept_may_be_damaged(tmp_path: Path, damage: str) -> None:
    kept_by = Choices(tmp_path, lambda product: "oneDNN", NAMES)
    kept_by.path.write_text(damage.replace("MACHINE", kept_by.machine))
    assert kept_by.choose(PRODUCTS[0]) == "oneDNN"
    assert json.loads(kept_by.path.read_text())["machine"] == kept_by.machine


def test_an_unknown_kernel_or_another_machine_is_measured_anew(tmp_path: Path) -> None:
    kept_by, name = Choices(tmp_path, lambda product: "oneDNN", NAMES), " ".join(map(str, PRODUCTS[0]))
    for kept in ({"machine": kept_by.machine, "kernels": {name: "none"}}, {"machine": "", "kernels": {name: NAMES[0]}}):
        kept_by.path.write_text(json.dumps(kept))
        assert kept_by.choose(PRODUCTS[0]) == "oneDNN"


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    assert Choices(tmp_path / "none", lambda product: "oneDNN", NAMES).choose(PRODUCTS[0]) == "oneDNN"


def test_calls_take_turns_and_the_shortest_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def timed(call: object) -> float:
        called.append(str(call))
        return 9.0 - len(called)

    monkeypatch.setattr(choices, "seconds", timed)
    found = shortest_seconds({"a": "A", "b": "B"})  # type: ignore[dict-item]
    assert called == ["A", "B"] * (len(called) // 2)
    assert found == {"a": 10.0 - len(called), "b": 9.0 - len(called)}


def _of_this_many_threads() -> Tensor:
    return torch.tensor(torch.get_num_threads())


def _missing() -> Tensor:
    return torch.ops.mkldnn.no_such_kernel()  # type: ignore[no-any-return]


def test_what_depends_on_the_threads_or_is_not_there_is_not_steady() -> None:
    with threads(2):
        assert steady(lambda: torch.ones(3))
        assert not steady(_of_this_many_threads)
        assert not steady(_missing)
