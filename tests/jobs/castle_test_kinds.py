"""The kinds of jobs that the tests of the jobs have."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TinyKind:
    title: str
    function: str
    needs_gpu: bool = False


KINDS = {
    name: TinyKind(name.replace("_", " ").capitalize(), f"castle_test_functions:{name}")
    for name in (
        "write_steps",
        "wait_for_file",
        "publish_after_file",
        "refuse",
        "stumble",
        "leave",
        "die",
        "answer_badly",
        "have_child",
        "talk",
        "not_there",
    )
} | {"on_gpu": TinyKind("On GPU", "castle_test_functions:talk", needs_gpu=True)}
