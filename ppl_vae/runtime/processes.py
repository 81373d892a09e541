"""Several processes that do one job together, on one machine or more, and the talk between them.

``torchrun`` starts the processes and tells each its rank; :func:`joined` makes them a group. A process alone is a group
of one, in which everything is free and does nothing, so that what uses a group need not ask.
"""

import hashlib
import importlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from ppl_vae.runtime.device import choose_device
from ppl_vae.runtime.errors import UserError, reason

T = TypeVar("T")

# A process that has died is noticed at once, by its closed connection; this is for one that hangs, or whose machine is
# gone, and has to be longer than a data set takes to download, which the others wait for.
_PATIENCE = timedelta(minutes=10)

_ALONE_OR_TOGETHER = "start all processes by torchrun, or unset RANK and WORLD_SIZE to run alone."


class LostContactError(Exception):
    """Another process has died or does not answer."""


@dataclass(frozen=True)
class Group:
    """The processes that train together, as one of them sees it. Alone, every method is free and does nothing.

    Args:
        rank: of this process, from 0.
        size: how many there are.
        local_rank: of this process among those on its machine.
        local_size: how many are on its machine.
        store: what all can write into, where there is one.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    store: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    @property
    def command(self) -> str:
        """How the command line was started."""
        return "ppl-vae" if self.size == 1 else f"torchrun --nproc-per-node {self.local_size} -m ppl_vae"

    def choose_device(self, name: str) -> torch.device:
        """As :func:`ppl_vae.runtime.device.choose_device`; of several processes on CUDA, each takes its own.

        Raises:
            UserError: no such device, or none for this process.
        """
        if self.size == 1:
            return choose_device(name)
        if name == "auto":  # gloo knows no MPS
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name not in ("cpu", "cuda"):
            raise UserError(f"device '{name}' is not for several processes; use auto, cpu or cuda, one device each.")
        if name == "cpu":
            return torch.device(name)
        if self.local_size > torch.cuda.device_count():
            raise UserError(
                f"{self.local_size} processes on a machine of {torch.cuda.device_count()} CUDA devices; start no more "
                "processes than devices, or use `device` cpu."
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def wait(self) -> None:
        """Until all have come here."""
        self.any(False)

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is up in any process. On the CPU: no wait for the device."""
        if self.size == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.int32)
        with contact():
            dist.all_reduce(raised)
        return [count > 0 for count in raised.tolist()]

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over the processes; a new tensor, or alone the same one."""
        if self.size == 1:
            return tensor
        total = tensor.detach().clone()
        with contact():
            dist.all_reduce(total)
        return total

    def from_first(self, value: T) -> T:
        """The first process's value: a string, a number or None."""
        if self.size == 1:
            return value
        values: list[Any] = [value]
        with contact():
            dist.broadcast_object_list(values, device=torch.device("cpu"))
        return values[0]  # type: ignore[no-any-return]

    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Write the first process's values into these tensors, of the same shapes everywhere."""
        if self.size > 1:
            with torch.no_grad(), contact():
                for tensor in tensors:
                    whole = tensor.detach().contiguous()
                    dist.broadcast(whole, 0)
                    tensor.copy_(whole)

    def first_of(self, message: str | None) -> str | None:
        """The message of the first process that has one."""
        if self.size == 1:
            return message
        messages: list[str | None] = [None] * self.size
        with contact():
            dist.all_gather_object(messages, message)
        return next(filter(None, messages), None)

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that all processes run; a UserError in one of them is raised in all, with the same message."""
        if self.size == 1:
            yield
            return
        message = None
        try:
            yield
        except UserError as error:
            message = str(error)
        if wrong := self.first_of(message):
            raise UserError(wrong)

    def agree(self, **values: Any) -> None:
        """See that all processes were given the same; unlike ones would wait for each other, or train a mixture.

        Args:
            values: by name: numbers, strings, None, and lists and dictionaries of them.

        Raises:
            UserError: in all of them alike; it names what differs.
        """
        if self.size == 1:
            return
        everyone: list[dict[str, Any]] = [{}] * self.size
        with contact():
            dist.all_gather_object(everyone, dict(_flat(values)))
        for name in dict.fromkeys(name for given in everyone for name in given):
            found = list(dict.fromkeys(repr(given.get(name)) for given in everyone))
            if len(found) > 1:
                raise UserError(
                    f"the processes do not agree on {name.rpartition('.')[2]} ({' and '.join(found[:3])}); start all "
                    "of them with the same command, settings and data."
                )

    def one_before_all(self, function: Callable[[], T]) -> T:
        """What the function returns; one process on each machine runs it, then the others: it may download files."""
        results: list[T] = []
        with self.together():
            if self.local_rank == 0:
                results.append(function())
        with self.together():
            if self.local_rank > 0:
                results.append(function())
        return results[0]

    def says_first(self, message: str) -> bool:
        """Whether no process has said this yet: what is wrong for all of them is said once."""
        if self.store is not None:
            with suppress(RuntimeError):  # the store may be gone with another process
                key = hashlib.sha256(message.encode()).hexdigest()
                return bool(self.store.add(f"said {key}", 1) == 1)
        return True


@contextmanager
def joined() -> Iterator[Group]:
    """Inside the block this process is one of those that ``torchrun`` has started; without torchrun it is alone.

    Raises:
        LostContactError: the others cannot be reached.
        UserError: what the environment says of the processes makes no sense.
    """
    if not _is_told_of_others() or dist.is_initialized():
        yield current()
        return
    # torch keeps the group that there is when this is imported, as a default argument; a group that is kept has threads
    # at the end of the process, which then dies of them now and then ("terminate called without an active exception").
    importlib.import_module("torch.distributed.nn.functional")
    # Both: gradients go by NCCL, while words and flags stay on the CPU, where a lost process is an error at once.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    with contact():
        store, rank, size = next(rendezvous("env://", timeout=_PATIENCE))
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE)
    _share_cores(current().local_size)
    try:
        yield current(store)
    except LostContactError:
        raise  # what would say goodbye to the lost one can wait for it
    except BaseException:
        dist.destroy_process_group()
        raise
    else:
        dist.destroy_process_group()


def _share_cores(processes: int) -> None:
    """As many threads as this process has cores for itself; torchrun says one, which the environment may change."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // processes)))


def _is_told_of_others() -> bool:
    """Whether the environment says, as torchrun puts it, that there are other processes; a RANK alone says nothing."""
    if not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        return False
    size = _whole_number("WORLD_SIZE", 1, 2**20)
    _whole_number("RANK", 0, size - 1)
    if size == 1:
        return False
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(name):
            raise UserError(f"there are WORLD_SIZE={size} processes, but no {name}; {_ALONE_OR_TOGETHER}")
    port = _whole_number("MASTER_PORT", 1, 2**16 - 1)
    if "LOCAL_WORLD_SIZE" in os.environ:
        _whole_number("LOCAL_WORLD_SIZE", 1, size)
    if "LOCAL_RANK" in os.environ:
        _whole_number("LOCAL_RANK", 0, int(os.environ.get("LOCAL_WORLD_SIZE", size)) - 1)
    try:
        socket.getaddrinfo(os.environ["MASTER_ADDR"], port)
    except (OSError, UnicodeError):
        address = os.environ["MASTER_ADDR"]
        raise UserError(f"MASTER_ADDR={address}: no machine of that name; {_ALONE_OR_TOGETHER}") from None
    return True


def _whole_number(name: str, low: int, high: int) -> int:
    word = os.environ[name]
    if not (word.isascii() and word.isdigit() and low <= int(word) <= high):
        raise UserError(f"{name}={word!r} is no whole number from {low} to {high}; {_ALONE_OR_TOGETHER}")
    return int(word)


def _flat(values: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{within}{name}.")
        else:
            yield within + name, value


def current(store: Any = None) -> Group:
    """The group that this process belongs to: torch's default group, or itself alone.

    Args:
        store: what all can write into.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return Group()
    rank, size = dist.get_rank(), dist.get_world_size()
    local_rank, local_size = int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", size))
    return Group(rank, size, local_rank, local_size, store)


@contextmanager
def contact() -> Iterator[None]:
    """Around a collective: what it raises is that another process is lost, since all of them ask for the same things.

    Raises:
        LostContactError: from torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        raise LostContactError(f"lost contact with another process ({reason(error)})") from error
