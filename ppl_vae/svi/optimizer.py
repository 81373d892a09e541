"""The optimizer of a pair: one of torch's over all parameters (Pyro makes one for each, at a cost on every step),
and Adam row by row over the tables of per-datapoint guides."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn
from typing_extensions import Doc

from ppl_vae.programs.rows import Leaf, tables_of
from ppl_vae.runtime.config import CountOrZero, Rate, config, refuse_unread
from ppl_vae.svi.adam import Moments, adam, scales_at
from ppl_vae.svi.by_name import decays, fresh_state, made, options_in_words, other_defaults
from ppl_vae.svi.row_adam import RowAdam
from ppl_vae.svi.schedule import PLATEAU_EPOCHS, Schedule
from ppl_vae.tracing.compiler_cache import secure_compiler_cache


@config
class OptimizerConfig:
    """Settings of the optimizer."""

    learning_rate: Rate = 1e-3
    """Step size of the optimizer."""
    row_learning_rate: Rate = 0.05
    """Step size of Adam for the rows of a per-datapoint guide, each of which is visited once an epoch."""
    schedule: Annotated[
        Schedule,
        Doc(
            "How the step sizes go on: constant, down to zero along half a cosine, or plateau: half as long after each "
            f"{PLATEAU_EPOCHS} epochs without a better validation bound."
        ),
    ] = "constant"
    rate_warmup: CountOrZero = 0
    """Epochs over which the step sizes rise linearly from zero, before their schedule."""
    weight_decay: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Share of each weight matrix, times the step size, that a step takes away (AdamW: Loshchilov and Hutter 2019);
    vectors, such as biases and scales, and rows of a per-datapoint guide keep all."""
    weight_average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the past, 0.99 for instance, in a running mean of the weights over steps (Polyak and Juditsky 1992),
    which is then what is validated and kept; 0: the weights themselves."""
    adam_epsilon: Rate = 1e-8
    """What Adam adds to the root of the second moment (Burda et al. use 1e-4)."""
    clip_norm: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Largest norm of the gradient, rows apart; longer ones are scaled down to it. None: no limit."""
    optimizer: str = "Adam"
    """What moves the parameters: Adam (Kingma and Ba 2015), or another class of torch.optim by its name, as RMSprop or
    SGD, whose steps are eager."""
    optimizer_options: Annotated[tuple[str, ...], BeforeValidator(options_in_words)] = ()
    """What else its class takes, each as NAME=VALUE: momentum=0.9 nesterov=true, or betas=0.9,0.99."""

    @property
    def has_end(self) -> bool:
        """Whether the schedule is laid out over all epochs, so that a training cannot be made longer later."""
        return self.schedule == "cosine"

    @property
    def is_traceable(self) -> bool:
        """Whether it is Adam without options, whose steps can be traced."""
        return self.optimizer == OptimizerConfig.optimizer and not self.optimizer_options

    @property
    def in_words(self) -> str:
        """The learning rate, and what has it if that is not Adam by default."""
        rate = f"learning rate {self.learning_rate:g}"
        if self.is_traceable:
            return rate
        options = f" ({', '.join(options_in_words(self.optimizer_options))})" if self.optimizer_options else ""
        return f"{self.optimizer}{options}, {rate}"

    @property
    def doubts(self) -> list[str]:
        """Where a default is ours and not torch's for that optimizer, in words."""
        if self.optimizer == OptimizerConfig.optimizer:
            return []
        return other_defaults(self.optimizer, self.learning_rate, OptimizerConfig.learning_rate, self.weight_decay)

    def of_torch(self, params: Sequence[Tensor], has_rows: bool = False) -> torch.optim.Optimizer | None:
        """torch's optimizer of these parameters; None where there are none, which torch refuses.

        Args:
            params: of a pair, all but tables of rows.
            has_rows: whether there are such tables.

        Raises:
            UserError: there is no such optimizer, or it cannot move them.
        """
        is_adam = self.optimizer == OptimizerConfig.optimizer
        if not is_adam and not has_rows:
            refuse_unread(self, ["adam_epsilon"], "Adam and per-datapoint guides")
        if not params:
            return None
        if self.is_traceable:  # fused: one kernel for all parameters
            return torch.optim.Adam(params, lr=self.learning_rate, eps=self.adam_epsilon, fused=True)
        return made(
            self.optimizer,
            self.optimizer_options,
            params,
            self.learning_rate,
            self.weight_decay,
            epsilon=self.adam_epsilon if is_adam else None,
            scheduled=self.schedule != "constant" or self.rate_warmup > 0,
        )

    def check(self, *programs: nn.Module) -> None:
        """See that the parameters of these programs can be moved so.

        Raises:
            UserError: as :meth:`of_torch`.
        """
        self.of_torch(_shared(*programs), bool(tables_of(*programs)))


class PairOptimizer:
    """Moves the parameters of a pair.

    Args:
        model: p(x, z).
        guide: q(z | x).
        settings: how.
    """

    def __init__(self, model: nn.Module, guide: nn.Module, settings: OptimizerConfig) -> None:
        self.settings = settings
        self.tables, self.shared = tables_of(model, guide), _shared(model, guide)
        secure_compiler_cache()
        self.of_shared = settings.of_torch(self.shared, bool(self.tables))
        self.row_adam = RowAdam(self.tables, settings.row_learning_rate, settings.adam_epsilon)
        self.steps = 0  # taken; torch counts them too, in a tensor for each parameter, for which we would have to wait

    def scale_rates(self, factor: float) -> None:
        """Set the step sizes to the settings' times a factor, of :func:`ppl_vae.svi.schedule.rate_factor`."""
        for group in self.of_shared.param_groups if self.of_shared else ():
            group["lr"] = self.settings.learning_rate * factor
        self.row_adam.learning_rate = self.settings.row_learning_rate * factor

    def zero_grad(self) -> None:
        """Forget the gradients."""
        if self.of_shared:
            self.of_shared.zero_grad()

    def step(self, leaves: list[list[Leaf]]) -> None:
        """Move the parameters along their gradients, and the rows that were read along theirs.

        Args:
            leaves: what each of ``tables`` has handed out.
        """
        if self.of_shared:
            if self.settings.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.shared, self.settings.clip_norm)
            if self.settings.is_traceable:  # others decay by themselves
                self._decay()
            self.of_shared.step()
        self.row_adam.step(leaves)
        self.steps += 1

    @torch.no_grad()
    def _decay(self) -> None:
        """Take away from the matrices that this step moves what the weight decay says."""
        assert self.of_shared
        moved: list[Tensor] = [param for param in self.shared if param.grad is not None and decays(param)]
        if self.settings.weight_decay and moved:
            torch._foreach_mul_(moved, 1 - self.of_shared.param_groups[0]["lr"] * self.settings.weight_decay)

    def state_tensors(self) -> list[Tensor]:
        """All that a step moves: what is shared, then the rows."""
        return [*self.shared_tensors(), *self.row_tensors()]

    def shared_tensors(self) -> list[Tensor]:
        """The parameters that are no tables, then each one's count and moments; the same memory, not to be
        differentiated."""
        return [tensor.detach() for tensor in (*self.shared, *(each for p in self.shared for each in self._moments(p)))]

    def row_tensors(self) -> list[Tensor]:
        """Each table with its rows' counts and moments, likewise."""
        rows = zip(self.tables, self.row_adam.moments, strict=True)
        return [tensor.detach() for table, moments in rows for tensor in (table.weight, *moments)]

    def _moments(self, param: Tensor) -> Moments:
        """A parameter's count and moments, which torch makes at its first step."""
        assert self.of_shared
        state = self.of_shared.state[param]
        if not state:
            state["step"] = torch.zeros((), device=param.device)
            state["exp_avg"] = torch.zeros_like(param, requires_grad=False)
            state["exp_avg_sq"] = torch.zeros_like(param, requires_grad=False)
        return Moments(state["step"], state["exp_avg"], state["exp_avg_sq"])

    def begin_step(self) -> tuple[float, ...]:
        """Count a step that is taken by :meth:`move`, and say what it needs to know.

        Returns:
            the step sizes of parameters and rows, and the two scales of Adam's moments.
        """
        self.steps += 1
        rate = self.of_shared.param_groups[0]["lr"] if self.of_shared else 0.0
        return rate, self.row_adam.learning_rate, *scales_at(self.steps, rate)

    def move(
        self, params: Sequence[Tensor], gradients: Sequence[Tensor | None], moments: Sequence[Moments], numbers: Tensor
    ) -> None:
        """What :meth:`step` does to the parameters that are not rows, in tensor operations that can be traced.

        Args:
            params: moved in place.
            gradients: None where the loss does not depend on the parameter.
            moments: moved in place.
            numbers: what :meth:`begin_step` says, ``(4,)``.
        """
        known = [gradient for gradient in gradients if gradient is not None]
        rate, _, *scales = numbers
        scale = torch.ones_like(rate)
        if self.settings.clip_norm is not None and known:
            norm = nn.utils.get_total_norm(known)
            scale = (self.settings.clip_norm / (norm + 1e-6)).clamp(max=1.0)
        for param, gradient, before, late in zip(params, gradients, moments, self._late(), strict=True):
            if gradient is None:
                continue
            known_at = None if late else scales
            shrinks = self.settings.weight_decay and decays(param)
            start = param * (1 - rate * self.settings.weight_decay) if shrinks else param
            value, after = adam(start, gradient * scale, before, rate, self.settings.adam_epsilon, known_at)
            param.copy_(value)
            for old, new in zip(before, after, strict=True):
                old.copy_(new)

    def named_moments(self) -> dict[str, Tensor]:
        """The moments and the like that there are, by what the optimizer calls them."""
        of_shared = {
            f"{name} of parameter {number}": value
            for number, state in self._states().items()
            for name, value in state.items()
            if name != "step"
        }
        of_rows = {
            f"{name} of row table {number}": value
            for number, moments in enumerate(self.row_adam.moments)
            for name, value in moments._asdict().items()
        }
        return of_shared | of_rows

    def _late(self) -> list[bool]:
        """For each parameter, whether it has missed steps, frozen meanwhile: its count is its own then."""
        counts = [int(self.of_shared.state[param]["step"]) for param in self.shared] if self.of_shared else []
        return [count < max(counts) for count in counts]

    def _states(self) -> dict[int, dict[str, Tensor]]:
        """What torch's optimizer remembers of each parameter, by the parameter's number."""
        if not self.of_shared:
            return {}
        found = {number: self.of_shared.state.get(param) for number, param in enumerate(self.shared)}
        return {number: state for number, state in found.items() if state}

    def state_dict(self) -> dict[str, Any]:
        """Moments and counts; step sizes are the settings'."""
        return {"shared": {"state": self._states()} if self.of_shared else None, "rows": self.row_adam.state_dict()}

    def expected_state(self, number: int) -> dict[str, Tensor]:
        """What a state may hold of a parameter, by torch's names: tensors of their shapes and types."""
        assert self.of_shared
        return fresh_state(self.of_shared, self.shared[number])

    def has_made(self, state: dict[str, Any]) -> bool:
        """Whether a state can be one of this optimizer, by its names and shapes."""
        of_shared = state["shared"]["state"] if state["shared"] else {}
        return all(
            number < len(self.shared) and _shapes(theirs) == _shapes(self.expected_state(number))
            for number, theirs in of_shared.items()
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what :meth:`state_dict` returned."""
        if self.of_shared:
            for number, theirs in state["shared"]["state"].items():
                # Copied into tensors of our own: the fused Adam checks no shape, no stride and no device.
                mine = self._states().get(number) or self.expected_state(number)
                for name, value in mine.items():
                    value.copy_(theirs[name])
                self.of_shared.state[self.shared[number]] = mine
            self.steps = max((int(of_one["step"]) for of_one in self._states().values() if "step" in of_one), default=0)
        self.row_adam.load_state_dict(state["rows"])


def _shared(*programs: nn.Module) -> list[Tensor]:
    """The parameters of programs that move and are no tables, each once: a guide may hold its model."""
    rows = {id(table.weight) for table in tables_of(*programs)}
    params = dict.fromkeys(param for program in programs for param in program.parameters())
    return [param for param in params if id(param) not in rows and param.requires_grad]


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}
