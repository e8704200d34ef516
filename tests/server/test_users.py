import json
import os
import stat

import pytest

from castle_core.errors import AccessError
from castle_core.users import UserTable, hash_password, verify_password


def test_users_are_added_changed_and_removed(castle_folders):
    table = UserTable()
    assert table.add("ann", "a long password") is True
    assert table.check("ann", "a long password").name == "ann"
    assert table.check("ann", "another password") is None
    stamp = table.get("ann").stamp
    assert table.add("ann", "a newer password") is False
    assert table.get("ann").stamp != stamp
    assert table.check("ann", "a long password") is None
    table.remove("ann")
    assert table.list() == []
    with pytest.raises(AccessError, match="no user 'ann'"):
        table.remove("ann")


def test_a_removed_user_who_comes_back_has_another_stamp(castle_folders):
    table = UserTable()
    table.add("ann", "a long password")
    before = table.get("ann").stamp
    table.remove("ann")
    table.add("ann", "a long password")
    assert table.get("ann").stamp != before


def test_case_does_not_make_another_user(castle_folders):
    table = UserTable()
    table.add("Ann", "a long password")
    assert table.add("ann", "a newer password") is False
    assert [user.name for user in table.list()] == ["Ann"]
    assert table.check("ANN", "a newer password").name == "Ann"


def test_the_file_is_private_and_holds_no_password(castle_folders):
    UserTable().add("ann", "a long password")
    path = castle_folders / "state" / "users.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "a long password" not in path.read_text()
    assert json.loads(path.read_text())["ann"]["hash"].startswith("scrypt$")


def test_another_process_is_noticed(castle_folders):
    table, other = UserTable(), UserTable()
    assert table.list() == []
    other.add("ann", "a long password")
    assert table.check("ann", "a long password") is not None
    other.remove("ann")
    assert table.check("ann", "a long password") is None


@pytest.mark.parametrize(
    "name", ["", " ann", "-ann", "ann smith", "änn", "a" * 65, "../x", "ann\n", "x\r\nX-Castle-User: bob"]
)
def test_odd_names_are_refused(castle_folders, name):
    with pytest.raises(AccessError, match="cannot be a user name"):
        UserTable().add(name, "a long password")


def test_short_passwords_are_refused(castle_folders):
    with pytest.raises(AccessError, match="too short"):
        UserTable().add("ann", "1234567")


def test_a_damaged_file_lets_nobody_in(castle_folders):
    UserTable().add("ann", "a long password")
    path = castle_folders / "state" / "users.json"
    path.write_text("{")
    os.utime(path, ns=(1, 1))
    with pytest.raises(AccessError, match="damaged"):
        UserTable().check("ann", "a long password")


def test_hashes_are_salted_and_checked():
    one, other = hash_password("pässword"), hash_password("pässword")
    assert one != other
    assert verify_password("pässword", one)
    assert not verify_password("passwort", one)
    assert not verify_password("pässword", "scrypt$broken")
    assert not verify_password("pässword", one.replace("scrypt", "plain"))
