"""``ppl-vae train``: SVI training of a model/guide pair."""

from contextlib import AbstractContextManager
from dataclasses import field
from pathlib import Path

import torch
from tqdm import tqdm

from ppl_vae.cli.flags import as_flags
from ppl_vae.cli.surroundings import say_as_it_is, say_what_was_read
from ppl_vae.registry.presets import PresetName
from ppl_vae.reports.effort import effort_after_training
from ppl_vae.reports.ending.closing import in_closing
from ppl_vae.reports.film import film_of
from ppl_vae.reports.pictures import draw_run
from ppl_vae.reports.report import write_report
from ppl_vae.runs.command_line import command_on
from ppl_vae.runs.film import film_folder
from ppl_vae.runs.run import TrainConfig
from ppl_vae.runs.training import Training, begun, continued, told_how_to_go_on, train_run
from ppl_vae.runtime.config import config, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.processes import current
from ppl_vae.training.metrics import History


@config
class Train:
    """Train a model/guide pair by stochastic variational inference and draw what it learned.

    examples:
      ppl-vae train
      ppl-vae train --data mnist --data-root data --latent-dim 50 --epochs 20 --out runs/mnist
      ppl-vae train --data images.npz --family full-rank --patience 20
      ppl-vae train --model mine.py:Model --guide mine.py:Guide
      ppl-vae train --latent-dim 2 --film
      ppl-vae train --preset burda-2 --kl-warmup 20
      ppl-vae train --data photos.npz
      ppl-vae train --likelihood normal
      ppl-vae train --data names.txt --kl-warmup 10
      ppl-vae train --resume runs/mnist --epochs 40
      torchrun --nproc-per-node 2 -m ppl_vae train --data mnist --batch-size 256
    """

    settings: TrainConfig = field(default_factory=TrainConfig)
    """What to train on what."""
    out: Path | None = None
    """The run directory to make; by default the next free runs/DATA-N."""
    resume: Path | None = None
    """Go on with this run, with its settings; only --epochs, --device and --engine may differ, and --data and
    --data-root where its data has moved."""
    trust: bool = False
    """With --resume, run the files that the run names as parts of its pair, though they have not been run here
    before."""
    preset: PresetName | None = None
    """A pair of the literature, whose flags these stand for and others override: burda-1 and burda-2, the architectures
    of one and two stochastic layers of Burda et al. 2016."""
    report: bool = True
    """Draw pictures and write the report of a few datapoints at the end; 'ppl-vae report RUN' makes it of more."""
    tensorboard: bool = False
    """Also write TensorBoard events into the run directory."""
    film: bool = False
    """Film the latent plane while it is learned, RUN/film.gif; for a latent of size 2."""

    def run(self) -> None:
        """Train, then draw and report."""
        plain = to_plain(self.settings)
        plain["data"] |= {"data": None, "data_root": None}  # where it is may differ by machine, what is in it may not
        current().agree(**plain, resume=self.resume is not None, film=self.film)
        with self._opened() as training, told_how_to_go_on(training.run):
            filmed = self.film or film_folder(training.run).is_dir()  # a resumed film goes on
            history = train_run(
                training,
                tensorboard=self.tensorboard,
                film=filmed,
                on_engine=lambda why: tqdm.write(f"{as_flags(training.in_words, self)}engine   {why}"),
                warn=self._warn,
            )
            if current().is_first:
                self._show(training, history)

    def _opened(self) -> AbstractContextManager[Training]:
        if self.resume and self.out:
            raise UserError("--out and --resume exclude each other: a resumed run stays where it is.")
        if self.trust and not self.resume:
            raise UserError("--trust is for --resume: files that you name yourself are run without it.")
        if self.resume:
            return continued(self.resume, self.settings, trust=self.trust, film=self.film, warn=self._warn)
        return begun(self.settings, self.out, film=self.film, on_data=say_what_was_read, warn=self._warn)

    def _show(self, training: Training, history: History) -> None:
        """Draw what was learned, report, and say how it went."""
        run, splits, *_ = training
        try:
            pair = run.load_pair(torch.device("cpu"))
            effort = effort_after_training(run, pair, splits)
            written = None
            if self.report:
                pictures = draw_run(run, pair, splits, say_as_it_is, effort)
                written = write_report(run, splits, pictures, say_as_it_is, effort)
            if film := film_of(run, pair, splits, say_as_it_is):
                print(f"film     {film}")
            print(as_flags(in_closing(run, pair, splits, history, effort, written), self))
        except KeyboardInterrupt:
            what = f"stopped; {run.path} is trained and saved. Its pictures and report are made by"
            raise KeyboardInterrupt(f"{what}: {command_on('report', run.path)}") from None

    def _warn(self, message: str) -> None:
        say_as_it_is(f"warning: {as_flags(message, self)}")
