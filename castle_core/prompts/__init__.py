"""What a person draws on a few frames of a video to say what is to be tracked: one drawing, many, and their files."""

from castle_core.prompts.label_files import labelled_frames, read_label_file, write_label_file
from castle_core.prompts.prompt import PROMPT_KINDS, Prompt, PromptKind, check_prompts
from castle_core.prompts.raster import frame_mask, prompt_mask
from castle_core.prompts.store import prompt_frames, prompts_path, read_prompts, save_prompts

__all__ = [
    "PROMPT_KINDS",
    "Prompt",
    "PromptKind",
    "check_prompts",
    "frame_mask",
    "labelled_frames",
    "prompt_frames",
    "prompt_mask",
    "prompts_path",
    "read_label_file",
    "read_prompts",
    "save_prompts",
    "write_label_file",
]
