"""Eager beside traced steps of the sequence model on a text: python -m benchmarks.sequence FILE [HIDDEN ...].

The pair of ``ppl-vae train --model sequence --data FILE``, batches of 128. Both take steps in turns, a round each, on
the same batches. The build ends with the first traced step.
"""

import sys
import time
from itertools import chain
from statistics import median

import pyro
import torch
from torch import Tensor

import ppl_vae
from ppl_vae.guides import Amortized
from ppl_vae.models import SequenceVAE
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.runtime.device import processor
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer, TracedStep

ROUNDS, STEPS, BATCH = 10, 12, 128


def eager_step(path: str, hidden: int) -> EagerStep:
    """Of a fresh pair."""
    torch.manual_seed(0)
    data = ppl_vae.load(path)
    model = ppl_vae.build_model(SequenceVAE, data, hidden=[hidden])
    guide = ppl_vae.build_guide(Amortized, model, data)
    return EagerStep(model, guide, TraceELBO(), PairOptimizer(model, guide, OptimizerConfig()), data.train)


def milliseconds(step: EagerStep | TracedStep, batches: list[Tensor]) -> list[float]:
    """Of each step."""
    taken = []
    for index in batches:
        began = time.perf_counter()
        step(index)
        taken.append(1e3 * (time.perf_counter() - began))
    return taken


def main(path: str, *widths: str) -> None:
    """Print a row for each width."""
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| hidden | eager, ms a step | traced, ms a step | traced / eager | build, s |\n|---|---|---|---|---|")
    for hidden in map(int, widths or ("400",)):
        eager = eager_step(path, hidden)
        batches = list(torch.randperm(len(eager.data)).split(BATCH)[: STEPS * ROUNDS])
        with pyro.validation_enabled(False):
            began = time.perf_counter()
            traced = TracedStep(eager_step(path, hidden), BATCH)
            milliseconds(traced, batches[:1])
            build = time.perf_counter() - began
            milliseconds(eager, batches[:2])
            milliseconds(traced, batches[:30])  # the number of threads is tried
            rounds = [batches[k : k + STEPS] for k in range(0, len(batches), STEPS)]
            taken = [(milliseconds(eager, each), milliseconds(traced, each)) for each in rounds]
        one, other = (median(chain(*times)) for times in zip(*taken, strict=True))
        print(f"| {hidden} | {one:.1f} | {other:.1f} | {other / one:.2f} | {build:.1f} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
