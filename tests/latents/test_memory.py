"""Memory does not grow with the length of the video."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("model", ["hog", "tiny"])
def test_memory_is_flat_from_2000_to_50000_frames(tmp_path, model):
    peaks = []
    for n in (2_000, 50_000):
        command = [sys.executable, "-m", "benchmarks.latents_memory", tmp_path / str(n), str(n), model]
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        peaks.append(float(run.stdout))
    assert peaks[1] <= 1.1 * peaks[0], peaks
