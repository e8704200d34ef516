"""Our own browser components (Streamlit components v2): plain HTML, CSS and JavaScript beside each module."""

from pathlib import Path

_FOLDER = Path(__file__).parent


def source(name: str, *, with_strip: bool = False, with_colours: bool = False) -> dict[str, str]:
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
    dict
        ``html``, ``css`` and ``js``, as `streamlit.components.v2.component` takes them.
    """
    text = {kind: (_FOLDER / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")}
    if with_colours:
        text["js"] = (_FOLDER / "colours.js").read_text(encoding="utf-8") + text["js"]
    if with_strip:
        text["css"] = (_FOLDER / "strip.css").read_text(encoding="utf-8") + text["css"]
        text["js"] = (_FOLDER / "strip.js").read_text(encoding="utf-8") + text["js"]
    return text
