"""New observations for a pair that has been trained, read as its own data was."""

from pathlib import Path

from ppl_vae.data.arrays import Observations
from ppl_vae.data.codecs import encode_notes
from ppl_vae.data.files.h5ad import read_h5ad
from ppl_vae.data.files.how import Reading
from ppl_vae.data.files.images import SUFFIXES, read_images
from ppl_vae.data.files.music import read_music
from ppl_vae.data.files.npy import read_npy
from ppl_vae.data.files.npz import read_npz
from ppl_vae.data.files.sparse import is_sparse, read_sparse
from ppl_vae.data.files.text import encoded_lines, read_lines
from ppl_vae.data.info import DataInfo
from ppl_vae.data.tables.reading import SUFFIXES as TABLES
from ppl_vae.data.tables.reading import read_known_table
from ppl_vae.runtime.errors import UserError


def read_input(path: Path, info: DataInfo, how: Reading = Reading()) -> Observations:  # noqa: B008
    """Observations for a model that has been trained: an ``.npz`` or a ``.npy``, an image or a folder of them, a table,
    or a file of the kind that it was trained on.

    Args:
        path: the file.
        info: what is known of the data that it was trained on: shape, alphabet, scale, names of labels and columns.
        how: that data was read.

    Raises:
        UserError: the file cannot be used, or its observations are not of that kind.
    """
    length, suffix = info.event_shape[0], path.suffix.lower()
    if info.layout == "text" and suffix == ".txt":
        return Observations(encoded_lines(path, read_lines(path), info.alphabet, length), None, info.scale, ())
    if info.layout == "notes" and suffix == ".json":
        pieces = [piece for part in read_music(path).values() for piece in part]
        longest = max(map(len, pieces))
        if longest > length:
            raise UserError(f"{path}: a piece has {longest} steps, the longest in training had {length}; split it.")
        return Observations(encode_notes(pieces, length), None, info.scale, ())
    if path.is_dir() or suffix in SUFFIXES:
        return read_images(path, event_shape=info.event_shape, known=info.by_name)
    if suffix in TABLES:
        return read_known_table(path, info, how)
    if suffix == ".h5ad" or is_sparse(path):
        held = how._replace(memory=2**62)
        cells = suffix == ".h5ad"
        found = read_h5ad(path, held, info.columns, info.by_name) if cells else read_sparse(path, held)
        assert isinstance(found, Observations)  # so much memory holds it
        return found
    if suffix == ".npy":
        return read_npy(path, info.scale, info.event_shape)
    return read_npz(path, info.scale, info.event_shape, info.by_name)
