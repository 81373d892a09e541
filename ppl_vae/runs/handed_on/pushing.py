"""A run directory put on the Hugging Face Hub: a commit that makes a repository hold its files, and no others."""

import re
from pathlib import Path
from typing import NamedTuple

import yaml

from ppl_vae.runs.handed_on.address import Address, hub_asked, parsed
from ppl_vae.runs.handed_on.packing import handed_on, needs_of
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runtime.errors import UserError

_KEPT = (".gitattributes", "LICENSE")  # of a repository: the Hub's own, and what its owner has put there on its page
_OF_A_RUN = {"config.yaml", "checkpoint.pt"}
_LOAD_FILE = "from safetensors.torch import load_file\n"
_FRONT = re.compile(r"\A---\n(.*?\n)?---\n", re.DOTALL)


class Pushed(NamedTuple):
    """A run that is on the Hub.

    Args:
        address: of its repository, which :func:`ppl_vae.open` takes: ``hf://owner/name``.
        commit: that holds it, for ``hf://owner/name@commit``.
        url: of its page.
        num_files: in it.
        needs: what it needs beside it, each in words: its data, its pair's own code.
    """

    address: str
    commit: str
    url: str
    num_files: int
    needs: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"pushed   {self.address} ({self.num_files} files, commit {self.commit[:8]}), {self.url}",
            *(f"needs    {each}" for each in self.needs),
        ]
        return "\n".join(lines)


def push_to_hub(
    run: OpenedRun | Path | str,
    repository: str,
    *,
    private: bool | None = None,
    license: str | None = None,
    message: str = "A run of ppl_vae",
    token: str | None = None,
) -> Pushed:
    """Put a run on the Hugging Face Hub, from where :func:`ppl_vae.open` takes it: ``open("hf://owner/name")``.

    What is pushed is what :func:`ppl_vae.pack` packs: all the run's files but for those half-written. Its card,
    ``README.md``, is the page of the repository; it gets the Hub's front matter, and says how it is opened from there.
    A run that is there already is replaced by a new commit: its files that this one has not are removed, and the
    repository's history keeps them.

    Args:
        run: a run that is open, or the path of its directory.
        repository: ``owner/name``, which is made if need be.
        private: whether a new repository may be read by its owner alone; None leaves that to the owner's settings.
        license: the Hub's name of a license, for the card: ``mit``, ``apache-2.0``, …; None says nothing of it.
        message: of the commit.
        token: of the Hub; None for that of the user who is logged in, or of ``HF_TOKEN``.

    Returns:
        where it is, and what it needs beside it.

    Raises:
        UserError: it is no run, or damaged; another process writes in it; there is a link in it; it is larger than what
            :func:`ppl_vae.open` downloads; the repository holds something else than a run, or is public and was to be
            private; you may not write there; the Hub cannot be reached; or huggingface_hub is not installed.
    """
    address = parsed(re.sub(r"\Ahf:/+", "", str(repository)))
    if address != Address(address.repository):
        raise UserError(f"{address}: a run is pushed to the branch main; leave '@{address.revision}' out.")
    with handed_on(run) as (found, files), hub_asked(address, token) as hub:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        contents: dict[str, Path | bytes] = {each.relative_to(found.path).as_posix(): each for each in files}
        contents["README.md"] = _card(found.path, address, license).encode()
        made = hub.create_repo(address.repository, private=private, exist_ok=True)
        there = hub.model_info(address.repository)
        if private and not there.private:
            raise UserError(
                f"{address} is there, and public; make it private on its page, or push to another repository."
            )
        names = {each.rfilename for each in there.siblings or []}
        if names - {*_KEPT, "README.md"} and not names >= _OF_A_RUN:
            raise UserError(f"{address} holds something else than a run; push to another repository.")
        operations = [
            *(CommitOperationAdd(name, content) for name, content in contents.items()),
            *(CommitOperationDelete(name) for name in sorted(names - contents.keys() - {*_KEPT})),
        ]
        done = hub.create_commit(
            address.repository, operations, commit_message=message, parent_commit=there.sha
        )  # of two who push at once one is refused
        return Pushed(str(address), str(done.oid), str(made), len(contents), needs_of(found))


def _card(run: Path, address: Address, license: str | None) -> str:
    """The run's card as the page of a repository: with the Hub's front matter, and its address in how it is opened."""
    path = run / "README.md"
    plain = f'# {run.resolve().name}\n\nA run of ppl_vae: `ppl_vae.open("{address}")`.\n'
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else plain
    front = _FRONT.match(text)
    try:
        said = yaml.safe_load(front[1] or "") if front else {}
    except yaml.YAMLError:
        raise UserError(f"{path}: what stands between its first lines '---' is not YAML; mend it.") from None
    said = {"library_name": "ppl_vae"} | (said if isinstance(said, dict) else {})
    if license is not None:
        said["license"] = license
    body = text[front.end() :] if front else f"\n{text}"
    here = re.compile(rf'^(.*pv\.open\()"{re.escape(run.resolve().name)}"\)(  #.*)?$', re.MULTILINE)
    body = here.sub(lambda it: f'{it[1]}"{address}")', body)
    weights = f'load_file("{run.resolve().name}/model.safetensors")'
    body = body.replace(weights, f'load_file(hf_hub_download("{address.repository}", "model.safetensors"))')
    if "hf_hub_download(" in body:
        body = body.replace(_LOAD_FILE, f"from huggingface_hub import hf_hub_download\n{_LOAD_FILE}")
    return f"---\n{yaml.safe_dump(said, sort_keys=False, allow_unicode=True)}---\n{body}"
