"""How a file is to be read: what nobody can tell from the file itself."""

from typing import NamedTuple

from ppl_vae.runtime.errors import UserError


class Reading(NamedTuple):
    """How a file is to be read.

    Args:
        image_size: pixels of height and width that images are brought to, or None.
    """

    image_size: int | None = None

    def refuse_unread(self, where: str, *read: str) -> None:
        """See that nothing was said that is not read here.

        Args:
            where: the data comes from.
            read: the names of the settings that are read.

        Raises:
            UserError: something was.
        """
        for name, value in self._asdict().items():
            if value and name not in read:
                raise UserError(f"`{name}`: nothing in {where} reads it; {_READERS[name]}.")


_READERS = {"image_size": "it is for folders of images"}
