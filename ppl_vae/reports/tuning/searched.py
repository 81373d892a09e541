"""One setting that is searched: where, and which values come of what is drawn there."""

import math
from typing import Any, NamedTuple

# A range over so much more than its beginning is searched evenly in its logarithm.
_DECADE = 10


class Searched(NamedTuple):
    """One setting that is searched.

    Args:
        name: of the setting.
        choices: its values by their text; none where it is a range.
        low: of a range.
        high: likewise; both whole numbers where the setting takes no others.
    """

    name: str
    choices: dict[str, Any]
    low: float = 0
    high: float = 0

    @property
    def in_logarithm(self) -> bool:
        """Whether a range is searched evenly in its logarithm."""
        return self.low > 0 and self.low * _DECADE <= self.high

    def valued(self, drawn: Any) -> Any:
        """The value of what was drawn: a choice by its text, a number in a few digits, within its range."""
        if self.choices:
            return self.choices[drawn]
        if not isinstance(drawn, float):
            return drawn
        if self.in_logarithm:
            short = float(f"{drawn:.3g}")
        else:  # a thousandth of the range, which may be a short one, as 0.99..0.9999
            short = round(drawn, 3 - math.floor(math.log10(self.high - self.low)))
        return min(max(short, self.low), self.high)

    def drawn(self, value: Any) -> Any:
        """The inverse of :meth:`valued`: the text of a choice; a number as it is."""
        if self.choices:
            return next(text for text, each in self.choices.items() if each == value)
        return value

    def nearest_end(self, value: Any, share: float) -> str:
        """``lower`` or ``upper`` where a value is so near, as a share of the range; else nothing, as of choices."""
        if self.choices:
            return ""
        low, high, place = (math.log(each) if self.in_logarithm else each for each in (self.low, self.high, value))
        way = (place - low) / (high - low)
        return "lower" if way <= share else "upper" if way >= 1 - share else ""

    @property
    def ends(self) -> list[Any]:
        """The values that all others are between, or all there are."""
        return list(self.choices.values()) or [self.low, self.high]
