"""Print the steps of a Dockerfile as JSON, one a line: {"step": "RUN", "value": "..."}; exec forms become lists."""

import json
import re
import sys
from pathlib import Path


def steps(text: str) -> list[dict]:
    """Join continued lines, drop comments, and split the flags from HEALTHCHECK."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = []
    for line in filter(str.strip, joined.splitlines()):
        step, _, value = line.strip().partition(" ")
        value = value.strip()
        if step == "HEALTHCHECK":
            value = re.sub(r"^(--\S+\s+)*CMD\s+", "", value)
        found.append({"step": step.upper(), "value": json.loads(value) if value.startswith("[") else value})
    return found


if __name__ == "__main__":
    for each in steps(Path(sys.argv[1]).read_text(encoding="utf-8")):
        print(json.dumps(each))
