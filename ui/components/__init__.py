"""Our own browser components (Streamlit components v2): plain HTML, CSS and JavaScript beside each module."""

from pathlib import Path
from typing import TypedDict

_FOLDER = Path(__file__).parent


class Source(TypedDict):
    """A component's text, as `streamlit.components.v2.component` takes it."""

    html: str
    css: str
    js: str


def source(name: str, *, with_strip: bool = False, with_colours: bool = False) -> Source:
    """Read a component's three files.

    Parameters
    ----------
    name : str
        The common stem of the .html, .css and .js file in this folder.
    with_strip : bool
        Put the shared video strip (and the small helpers beside it) in front.
    with_colours : bool
        Put the shared colours of codes and values in front.

    Returns
    -------
    Source
    """
    text = Source(html=_read(f"{name}.html"), css=_read(f"{name}.css"), js=_read(f"{name}.js"))
    if with_colours:
        text["js"] = _read("colours.js") + text["js"]
    if with_strip:
        text["css"] = _read("strip.css") + text["css"]
        text["js"] = _read("strip.js") + text["js"]
    return text


def _read(file: str) -> str:
    return (_FOLDER / file).read_text(encoding="utf-8")
