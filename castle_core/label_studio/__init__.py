"""Frames to a Label Studio server and finished labels back."""

from castle_core.label_studio.client import LabelStudio
from castle_core.label_studio.connection import Connection, check_connection
from castle_core.label_studio.credentials import (
    Credentials,
    credentials_id,
    list_credentials,
    read_credentials,
    remove_credentials,
    save_credentials,
)
from castle_core.label_studio.pulling import PullReport, pull
from castle_core.label_studio.pushing import PushConfig, PushReport, push

__all__ = [
    "Connection",
    "Credentials",
    "LabelStudio",
    "PullReport",
    "PushConfig",
    "PushReport",
    "check_connection",
    "credentials_id",
    "list_credentials",
    "pull",
    "push",
    "read_credentials",
    "remove_credentials",
    "save_credentials",
]
