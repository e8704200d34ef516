"""``castle users``: who may log in."""

import sys
from typing import Annotated

import typer

from castle_core.cli.output import JsonFlag, print_json, say

PasswordFile = Annotated[
    str | None,
    typer.Option("--password-file", metavar="FILE", help="Read the password from this file; - is standard input."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    users = typer.Typer(help="Who may log in: add, remove, list.", no_args_is_help=True, rich_markup_mode=None)
    users.command("add")(add)
    users.command("remove")(remove)
    users.command("list")(list_users)
    app.add_typer(users, name="users")


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="User name.")],
    password_file: PasswordFile = None,
    json: JsonFlag = False,
) -> None:
    """Add a user, or give one a new password (which logs that user out everywhere)."""
    from castle_core.users import UserTable

    table = UserTable()
    first = not table.list()
    new = table.add(name, _password(password_file))
    say(f"Added {name}." if new else f"{name} has a new password; open sessions of {name} have ended.")
    if first:
        say("From now on everybody logs in with a name and a password; who came by a link is logged out.")
    if json:
        print_json({"user": name, "new": new})


def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="User name.")], json: JsonFlag = False) -> None:
    """Remove a user; that user is logged out everywhere."""
    from castle_core.users import UserTable

    UserTable().remove(name)
    say(f"Removed {name}.")
    if json:
        print_json({"user": name})


def list_users(json: JsonFlag = False) -> None:
    """List the users."""
    from castle_core.users import UserTable

    users = UserTable().list()
    if json:
        print_json({"users": [{"name": user.name, "created": user.created} for user in users]})
        return
    for user in users:
        print(f"{user.name}\tsince {user.created[:10]}")
    if not users:
        say("No users: castle serve prints a link that lets one person in. Add users with: castle users add NAME")


def _password(source: str | None) -> str:
    from castle_core.errors import AccessError

    if source == "-":
        return sys.stdin.readline().rstrip("\r\n")
    if source is not None:
        with open(source, encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise AccessError("Give the password with --password-file FILE, or - for standard input.")
    import getpass

    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise AccessError("The two passwords differ; nothing was changed.")
    return first
