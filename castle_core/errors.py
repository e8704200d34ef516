"""What may go wrong, as one tree.

Every message is written for the person at the screen: what went wrong, which file or frame, what to do.

::

    CastleError
    ├── ConfigError (ValueError)       a setting that cannot be
    ├── ProjectError                   a project folder, its files, its locks
    │   ├── NameRefusedError           a file name that we do not take
    │   └── LockHeldError              somebody else is writing the same file
    ├── VideoError                     a video that cannot be read
    │   ├── FrameIndexError (IndexError)   an index outside the video
    │   └── FrameDecodeError           a frame that the decoder could not produce
    ├── SelectionError                 not enough frames to choose from
    ├── ZipError                       a zip of frames that is refused
    ├── PredictionError                a prediction or metric file that cannot be used
    ├── LabelError                     labels that cannot be read or merged
    │   └── LabelStudioError           Label Studio: not reached, or it refuses
    ├── RoiError                       masks that cannot be read or do not fit
    ├── EncoderError                   a model or its weights
    ├── JobError                       a job that cannot be queued or run
    │   ├── JobCancelled               somebody pressed Cancel
    │   └── LeaseLostError             this attempt was replaced by another
    └── AccessError                    login, tokens, server folders
"""


class CastleError(Exception):
    """Anything that a user can be told about in one line."""


class ConfigError(CastleError, ValueError):
    """A setting has a value that it cannot have."""


class ProjectError(CastleError):
    """A project folder or one of its files cannot be used."""


class NameRefusedError(ProjectError):
    """A file name that would leave its folder, or that file systems do not take."""


class LockHeldError(ProjectError):
    """Another process is writing the same file."""


class VideoError(CastleError):
    """A video cannot be opened or read."""


class FrameIndexError(VideoError, IndexError):
    """A frame index lies outside the video."""


class FrameDecodeError(VideoError):
    """One frame cannot be decoded."""

    def __init__(self, message: str, *, frame_index: int) -> None:
        super().__init__(message)
        self.frame_index = frame_index


class SelectionError(CastleError):
    """The frames asked for cannot be chosen."""


class ZipError(CastleError):
    """A zip of frames is refused."""


class PredictionError(CastleError):
    """A prediction or metric file cannot be used."""


class LabelError(CastleError):
    """Labels cannot be read or merged."""


class LabelStudioError(LabelError):
    """Label Studio cannot be reached, refuses something, or holds what does not fit."""


class RoiError(CastleError):
    """Masks cannot be read, or do not fit their video."""


class EncoderError(CastleError):
    """A visual model or its weights cannot be used."""


class JobError(CastleError):
    """A job cannot be queued or run."""


class JobCancelled(JobError):
    """The job was cancelled."""


class LeaseLostError(JobError):
    """The attempt of the job no longer holds its lease and must not write."""


class AccessError(CastleError):
    """Somebody may not do this, or not here."""
