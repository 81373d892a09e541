"""The pieces of a report in HTML. Nothing in it runs and nothing is fetched; all that comes from outside is escaped."""

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from string import Template

from PIL import Image  # matplotlib brings it

_LARGE = 400_000  # bytes of a PNG, more than any drawing has; a page of ten pictures is to stay below 5 MB

text = escape
"""A text as it stands, no part of it taken for HTML."""


def prose(words: str) -> str:
    """A sentence as it stands, but for settings, which messages name in backticks: they are shown as code."""
    return re.sub(r"`(\w+)`", r"<code>\1</code>", text(words))


_STYLE = files("ppl_vae.reports").joinpath("page.css").read_text(encoding="utf-8")

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")


def page(title: str, *body: str) -> str:
    """The whole page.

    Args:
        title: in plain text.
        body: its pieces in HTML, from the top; empty ones are left out.
    """
    return _PAGE.substitute(title=text(title), style=_STYLE, body="\n".join(filter(None, body)))


def section(heading: str, *body: str) -> str:
    """Pieces of HTML under a heading in plain text; nothing where all of them are empty."""
    inside = "\n".join(filter(None, body))
    return f"<section>\n<h2>{text(heading)}</h2>\n{inside}\n</section>" if inside else ""


def folded_section(heading: str, *body: str) -> str:
    """A section that is seen when its heading is clicked."""
    inside = "\n".join(filter(None, body))
    return f"<details>\n<summary><h2>{text(heading)}</h2></summary>\n{inside}\n</details>" if inside else ""


def warned_of(warnings: Iterable[str]) -> str:
    """Warnings in plain text, set apart; nothing where there are none."""
    entries = bullets(f"Warning: {each}" for each in warnings)
    return f'<section class="warnings">\n{entries}\n</section>' if entries else ""


def paragraph(words: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{prose(words)}</p>"


def in_large(figure: str, words: str) -> str:
    """A result: the figure in large letters, and what it is of in small ones, both plain text."""
    return f'<p class="result"><strong>{text(figure)}</strong> <span>{prose(words)}</span></p>'


def table(rows: Iterable[Sequence[object]], head: Iterable[str] = ()) -> str:
    """A table, from rows whose first cell is their heading, and headings of the columns; of no rows nothing."""
    top = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    lines = [f"<tr><td></td>{top}</tr>"] if top else []
    for name, *cells in rows:
        columns = "".join(f"<td>{text(str(cell))}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{text(str(name))}</th>{columns}</tr>')
    return "<table>\n" + "\n".join(lines) + "\n</table>" if len(lines) > bool(top) else ""


def folded(summary: str, body: str) -> str:
    """HTML that is seen when its heading, plain text, is clicked."""
    return f"<details>\n<summary>{text(summary)}</summary>\n{body}\n</details>"


def folded_lines(summary: str, lines: Iterable[str]) -> str:
    """Lines of text whose columns stand below each other, seen when their heading is clicked; nothing of none."""
    shown = "\n".join(map(prose, lines))
    return folded(summary, f"<pre>{shown}</pre>") if shown else ""


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    entries = "\n".join(f"<li>{prose(line.strip())}</li>" for line in lines)
    return f"<ul>\n{entries}\n</ul>" if entries else ""


def lines_of_code(lines: Iterable[str]) -> str:
    """What can be copied into a shell: one click selects all of it."""
    return "<pre>" + text("\n".join(lines)) + "</pre>"


def beside_each_other(pictures: Iterable[str]) -> str:
    """Pictures in two columns where the page is wide enough, none of them high; the first column is read first."""
    large = [picture.replace("<img ", '<img tabindex="0" ', 1) for picture in pictures]  # a click makes it large
    return '<div class="beside">\n' + "\n".join(large) + "\n</div>"


def picture_of(path: Path, about: str = "") -> str:
    """A picture, held in the page itself, and below it the caption that its PNG was saved with.

    Args:
        path: of the picture.
        about: what every caption of this page begins with, which the page itself says already.
    """
    words = text(description_of(path).removeprefix(about).strip() or path.stem)
    kind, data = _embedded(path)
    image = f'<img src="data:image/{kind};base64,{base64.b64encode(data).decode()}" alt="{words}">'
    return f"<figure>\n{image}\n<figcaption>{words}</figcaption>\n</figure>"


def _embedded(path: Path) -> tuple[str, bytes]:
    """A PNG's kind and bytes as a page holds them: large ones, which are of many photographs, as JPEG."""
    data = path.read_bytes()
    if len(data) <= _LARGE:
        return "png", data
    smaller = BytesIO()
    with Image.open(path) as image:
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A") if "A" in image.getbands() else None)
    paper.save(smaller, "JPEG", quality=85, subsampling=0, optimize=True)
    return "jpeg", smaller.getvalue()


def description_of(path: Path) -> str:
    """The caption that a figure's PNG was saved with; empty if there is none."""
    with Image.open(path) as image:
        return str(image.info.get("Description", ""))
