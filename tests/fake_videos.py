"""Videos that are made up in memory, so that tests of everything around frames are quick.

A file is a line of JSON; `install` makes ``castle_core.video.open_video`` read it. Each frame's pixels depend on the
video and on the frame index, so a wrong frame is noticed.
"""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from castle_core.errors import FrameDecodeError, VideoError
from castle_core.projects import Project


class FakeVideo:
    def __init__(self, path, *, cache_dir=None, true_fps=None):
        self.path = Path(path)
        try:
            said = json.loads(self.path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise VideoError(f"{self.path.name} is not a video.") from error
        self.n_frames, self.seed, self.broken = said["n_frames"], said["seed"], set(said["broken"])
        self.width, self.height = 20, 14
        self.average_fps = true_fps or said["fps"]
        self.times_s = np.arange(self.n_frames) / self.average_fps
        self.info = SimpleNamespace(duration_s=self.n_frames / self.average_fps)
        self.cache_dir = cache_dir

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        pass

    def frame_at(self, frame_index):
        if frame_index in self.broken:
            raise FrameDecodeError(f"frame {frame_index} is damaged", frame_index=frame_index)
        return pixels(self.seed, frame_index)

    def frames_at(self, frame_indices):
        data = np.stack([self.frame_at(index) for index in frame_indices])
        return SimpleNamespace(data=data, frame_index=np.asarray(frame_indices))


def pixels(seed, frame_index):
    """Return the (14, 20, 3) uint8 RGB pixels of a frame."""
    return np.random.default_rng([seed, frame_index]).integers(0, 256, (14, 20, 3), dtype=np.uint8)


def write_video(path, *, n_frames=60, seed=0, broken=(), fps=30.0):
    said = {"n_frames": n_frames, "seed": seed, "broken": list(broken), "fps": fps}
    Path(path).write_text(json.dumps(said), encoding="utf-8")
    return Path(path)


def install(monkeypatch):
    import castle_core.video
    from castle_core.projects import adding

    monkeypatch.setattr(castle_core.video, "open_video", FakeVideo)
    monkeypatch.setattr(adding, "open_container", lambda path: (FakeVideo(path), None))


def make_project(path, stems=("mouse",), **video):
    project = Project.create(path)
    for seed, stem in enumerate(stems):
        write_video(project.path / "videos" / f"{stem}.mp4", seed=seed, **video)
    return project


def tree(folder):
    """Return every file below a folder, hidden ones too, with its bytes; locks and caches are left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and ".castle" not in path.relative_to(folder).parts and not path.name.endswith(".lock")
    }


def killed_at(count, work):
    """Run `work` in a child that is killed just before its `count`-th rename, deletion or new folder.

    Returns True if it was killed, False if it ended well before that.
    """
    child = os.fork()
    if child == 0:
        try:
            left = [count]
            for name in ("replace", "rename", "unlink", "rmdir", "mkdir"):
                _count(name, left)
            work()
        except BaseException:
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the work failed in the child"
    return False


def _count(name, left):
    original = getattr(os, name)

    def counting(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(os, name, counting)
