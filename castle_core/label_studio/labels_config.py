"""The labels configuration of a Label Studio project: one key point a name, on one picture."""

import colorsys
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from castle_core.files import nfc

CONTROL, IMAGE = "kp", "img"
"""Names of the two tags; never changed, since every label refers to them."""

# Keys that Label Studio itself uses on pictures (v b e h u z m k r o p w l i) are left alone.
_HOTKEYS = "1234567890qtyasdfgxcnj"


def colours(n: int) -> list[str]:
    """Return `n` different colours as ``#RRGGBB``: neighbours differ most in hue, and further rounds in lightness."""
    found = []
    for place in range(n):
        hue = (0.0 + place * 0.6180339887498949) % 1.0
        lightness = (0.5, 0.36, 0.66)[place // 12 % 3]
        red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(hue, lightness, 0.95))
        found.append(f"#{red:02X}{green:02X}{blue:02X}")
    return found


def labels_config(keypoints: Sequence[str]) -> str:
    """Return the XML in which each keypoint can be placed once.

    Parameters
    ----------
    keypoints : sequence of str
        Names in any script, with any letter; they are escaped.
    """
    lines = []
    for place, (name, colour) in enumerate(zip(keypoints, colours(len(keypoints)), strict=True)):
        hotkey = f' hotkey="{_HOTKEYS[place]}"' if place < len(_HOTKEYS) else ""
        lines.append(f'    <Label value={quoteattr(name)} background="{colour}" maxUsages="1"{hotkey}/>')
    labels = "\n".join(lines)
    return (
        '<View>\n  <Header value="$video  frame $frame"/>\n'
        f'  <KeyPointLabels name="{CONTROL}" toName="{IMAGE}" strokeWidth="3" opacity="0.9">\n{labels}\n'
        "  </KeyPointLabels>\n"
        f'  <Image name="{IMAGE}" value="$image" zoom="true" zoomControl="true" brightnessControl="true" '
        'contrastControl="true"/>\n</View>\n'
    )


def config_keypoints(label_config: str) -> tuple[str, ...] | None:
    """Return the keypoints of a labels configuration in order; None if it is not one that we can work with.

    It must have ``KeyPointLabels`` called ``kp`` on an ``Image`` called ``img`` with the value ``$image``; what else
    is in it does not matter.
    """
    try:
        root = ElementTree.fromstring(label_config)
    except ElementTree.ParseError:
        return None
    control = next((tag for tag in root.iter("KeyPointLabels") if tag.get("name") == CONTROL), None)
    image = next((tag for tag in root.iter("Image") if tag.get("name") == IMAGE), None)
    if control is None or image is None or control.get("toName") != IMAGE or image.get("value") != "$image":
        return None
    return tuple(nfc(str(tag.get("value"))) for tag in control.iter("Label") if tag.get("value"))


def is_empty_config(label_config: str) -> bool:
    """Say whether a project has no labels configuration yet."""
    try:
        return len(ElementTree.fromstring(label_config)) == 0
    except ElementTree.ParseError:
        return not label_config.strip()
