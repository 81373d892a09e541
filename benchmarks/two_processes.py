"""A step of several processes beside one of one: torchrun --nproc-per-node 2 -m benchmarks.two_processes.

The step of MNIST's size. In each round the first process takes eager steps alone, with all threads, while the others
wait; then traced ones, likewise; then all take eager and traced steps together, each with its part of the cores, and
the message after each step with which training asks whether a signal has come.
"""

import os
import time
from statistics import median

import pyro
import torch
from torch import Tensor

from ppl_vae.bench.ours import build_pair
from ppl_vae.bench.sizes import SIZES
from ppl_vae.data import Dataset
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.runtime.device import processor
from ppl_vae.runtime.processes import Group, joined
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer, TracedStep
from ppl_vae.svi.distributed import DistributedStep
from ppl_vae.svi.engine import Step

ROUNDS, STEPS, SIZE = 11, 40, SIZES["mnist"]._replace(num_rows=10_240)


def eager_step() -> EagerStep:
    """Of a fresh pair, the same in every process."""
    torch.manual_seed(0)
    model, guide = build_pair(SIZE)
    data = Dataset(torch.from_numpy(SIZE.observations()), dynamic=True)
    return EagerStep(model, guide, TraceELBO(), PairOptimizer(model, guide, OptimizerConfig()), data)


def milliseconds(step: Step, batches: list[Tensor], group: Group) -> float:
    """Of a step."""
    began = time.perf_counter()
    for index in batches:
        step(index)
        group.any(False, False)
    return 1e3 * (time.perf_counter() - began) / len(batches)


def main() -> None:
    """Print the table."""
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randperm(SIZE.num_rows, generator=generator)[: SIZE.batch_size] for _ in range(STEPS)]
    cores, found = os.cpu_count() or 1, dict[str, list[float]]()
    with joined() as group, pyro.validation_enabled(False):
        own = max(1, cores // group.size)
        makers = {
            "one, eager": lambda: eager_step(),
            "one, traced": lambda: TracedStep(eager_step(), SIZE.batch_size),
            f"{group.size}, eager": lambda: DistributedStep(eager_step(), group),
            f"{group.size}, traced": lambda: TracedStep(DistributedStep(eager_step(), group), SIZE.batch_size),
        }
        steps: dict[str, Step] = {}
        for number in range(ROUNDS + 1):  # the first makes the steps, and tries how many threads to take
            for name, make in makers.items():
                group.wait()
                alone = name.startswith("one")
                if alone and not group.is_first:
                    continue
                torch.set_num_threads(cores if alone else own)
                if number == 0:
                    steps[name] = make()
                taken = milliseconds(steps[name], batches, Group() if alone else group)
                if number:
                    found.setdefault(name, []).append(taken)
        if group.is_first:
            print(f"{processor()}, {cores} cores, {group.size} processes of {own} threads, torch {torch.__version__}\n")
            print("| processes, step | ms a step, median | min–max | it / one eager | it / one traced |")
            print("|---|---|---|---|---|")
            for name, times in found.items():
                ratios = [
                    median(mine / other for mine, other in zip(times, found[rival], strict=True))
                    for rival in ("one, eager", "one, traced")
                ]
                row = f"{median(times):.2f} | {min(times):.2f}–{max(times):.2f} | {ratios[0]:.2f} | {ratios[1]:.2f}"
                print(f"| {name} | {row} |")
        group.wait()


if __name__ == "__main__":
    main()
