"""The Inspector's work on a latent file of 200,000 x 768: first look, memory, each interaction. No browser."""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

N, D = 200_000, 768


def _make(path: Path) -> None:
    from castle_core.latents.npz import write_latents

    rng = np.random.default_rng(0)
    weights = rng.normal(size=(8, D)).astype(np.float32)
    rates = np.array([0.001, 0.003, 0.01, 0.02, 0.05, 0.07, 0.0003, 0.0001])

    def pieces():
        for first in range(0, N, 5000):
            waves = np.sin(np.arange(first, first + 5000)[:, None] * rates) @ weights
            yield (waves + rng.normal(size=(5000, D)) * 0.5).astype(np.float32)

    write_latents(path, pieces(), (N, D), status=np.zeros(N, np.uint8), metadata={"video_name": "long.mp4"})


def main() -> None:
    """Measure and print."""
    from starlette.datastructures import QueryParams

    from castle_core.projects import Project
    from ui.inspector import held, routes

    with tempfile.TemporaryDirectory(prefix="castle-bench-") as folder:
        project = Project.create(Path(folder) / "home" / "long")
        path = project.path / "latent" / "made" / "long_ROI_1_made.npz"
        path.parent.mkdir(parents=True)
        _make(path)
        before = psutil.Process().memory_info().rss / 1e6
        file = held.held(project, "latent/made/long_ROI_1_made.npz")
        middle = np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
        from castle_core.inspection import inside_polygon, nearest_frames, spread_over

        summary = None

        def first():
            nonlocal summary
            summary = held.summary(file)
            routes.points(file, QueryParams("kind=pca&x=0&y=1"))
            routes.codes(file, QueryParams("by=time"))

        def lasso():
            places = held.layout(file, "pca", 0, 1)
            frames = np.flatnonzero(inside_polygon(places, [tuple(corner) for corner in middle]))
            spread_over(summary.scores, frames, 20)

        for name, act in (
            ("first look: summary, map, colours", first),
            ("clusters, 8", lambda: routes.codes(file, QueryParams("by=cluster&k=8"))),
            ("clusters, 20", lambda: routes.codes(file, QueryParams("by=cluster&k=20"))),
            ("colour by a channel", lambda: routes.codes(file, QueryParams("by=channel&c=5"))),
            ("lasso and 20 frames of it", lasso),
            (
                "nearest frames",
                lambda: nearest_frames(held.rows(file), 5000, valid=summary.valid, centre=summary.centre, min_gap=15),
            ),
            ("heat map, whole", lambda: routes.heat(file, QueryParams("order=alike"))),
            ("heat map, 20,000 frames", lambda: routes.heat(file, QueryParams("start=50000&stop=70000"))),
            ("traces, whole", lambda: routes.traces(file, QueryParams("names=p0,p1,c5,c6"))),
            ("traces, 2,000 frames", lambda: routes.traces(file, QueryParams("names=p0,c5&start=70000&stop=72000"))),
        ):
            start, cpu = time.perf_counter(), time.process_time()
            act()
            print(f"  {name:<36} {time.perf_counter() - start:6.2f} s  {time.process_time() - cpu:6.2f} CPU-s")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"  memory: {before:.0f} MB before, peak {peak:.0f} MB (+{peak - before:.0f})")


if __name__ == "__main__":
    main()
