"""The pieces of a report in HTML. Nothing in it runs and nothing is fetched; all that comes from outside is escaped."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from PIL import Image  # matplotlib brings it

text = escape
"""A text as it stands, no part of it taken for HTML."""


def prose(words: str) -> str:
    """A sentence as it stands, but for settings, which messages name in backticks: they are shown as code."""
    return re.sub(r"`(\w+)`", r"<code>\1</code>", text(words))


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #333; max-width: 60rem; margin: 0 auto; padding: 0 1rem 3rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
section { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #e6e6e6; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
th { font-weight: normal; color: #666; overflow-wrap: normal; }
.warnings { border-left: .3rem solid #ffa90e; padding-left: 1rem; }
figure { margin: 0 0 2rem; }
img { max-width: 100%; height: auto; }
figcaption { color: #666; }
pre { background: #f5f5f5; padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>$title</h1>
<section class="warnings">
$warnings
</section>
$sections
</body>
</html>
""")


def page(title: str, warnings: Iterable[str], sections: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        title: in plain text.
        warnings: in plain text; that there are none is said too.
        sections: HTML by heading.
    """
    parts = (f"<section>\n<h2>{text(heading)}</h2>\n{body}\n</section>" for heading, body in sections.items())
    return _PAGE.substitute(
        title=text(title),
        warnings=bullets(f"Warning: {each}" for each in warnings) or "<p>No warnings.</p>",
        sections="\n".join(parts),
    )


def paragraph(words: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{prose(words)}</p>"


def table(rows: Iterable[Sequence[object]], head: Iterable[str] = ()) -> str:
    """A table, from rows whose first cell is their heading, and headings of the columns."""
    top = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    lines = [f"<tr><td></td>{top}</tr>"] if top else []
    for name, *cells in rows:
        columns = "".join(f"<td>{text(str(cell))}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{text(str(name))}</th>{columns}</tr>')
    return "<table>\n" + "\n".join(lines) + "\n</table>" if lines else ""


def folded(summary: str, body: str) -> str:
    """HTML that is seen when its heading, plain text, is clicked."""
    return f"<details>\n<summary>{text(summary)}</summary>\n{body}\n</details>"


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    entries = "\n".join(f"<li>{prose(line.strip())}</li>" for line in lines)
    return f"<ul>\n{entries}\n</ul>" if entries else ""


def lines_of_code(lines: Iterable[str]) -> str:
    """What can be copied into a shell."""
    return "<pre>" + text("\n".join(lines)) + "</pre>"


def picture_of(path: Path, caption: str) -> str:
    """A PNG, held in the page itself, and below it what it shows and what its file says of how it was made."""
    data = base64.b64encode(path.read_bytes()).decode()
    image = f'<img src="data:image/png;base64,{data}" alt="{text(caption)}">'
    words = " ".join(filter(None, (caption, description_of(path))))
    return f"<figure>\n{image}\n<figcaption>{text(words)}</figcaption>\n</figure>"


def description_of(path: Path) -> str:
    """The caption that a figure's PNG was saved with; empty if there is none."""
    with Image.open(path) as image:
        return str(image.info.get("Description", ""))
