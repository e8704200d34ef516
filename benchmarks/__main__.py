"""Run all benchmarks, or those named: ``python -m benchmarks [hard_frames latents server]``."""

import importlib
import sys
from pathlib import Path


def main() -> None:
    known = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    chosen = sys.argv[1:] or known
    for name in chosen:
        if name not in known:
            sys.exit(f"There is no benchmark {name!r}. There are: {', '.join(known)}.")
    sys.argv = sys.argv[:1]  # the benchmarks read their own options
    for name in chosen:
        importlib.import_module(f"benchmarks.bench_{name}").main()


if __name__ == "__main__":
    main()
