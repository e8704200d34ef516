from ui.attempts import Attempts


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_three_wrong_passwords_cost_time_that_grows():
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(2):
        attempts.wrong("ann", "1.1.1.1")
    assert attempts.wait_s("ann", "1.1.1.1") == 0
    attempts.wrong("ann", "1.1.1.1")
    assert attempts.wait_s("ann", "1.1.1.1") == 30
    assert attempts.wait_s("Ann", "1.1.1.1") == 30
    clock.now = 31
    assert attempts.wait_s("ann", "1.1.1.1") == 0
    attempts.wrong("ann", "1.1.1.1")
    assert attempts.wait_s("ann", "1.1.1.1") == 60
    for _ in range(20):
        attempts.wrong("ann", "1.1.1.1")
    assert attempts.wait_s("ann", "1.1.1.1") == 900


def test_nobody_else_has_to_wait():
    attempts = Attempts(Clock())
    for _ in range(4):
        attempts.wrong("ann", "1.1.1.1")
    assert attempts.wait_s("ann", "2.2.2.2") == 0
    assert attempts.wait_s("bob", "1.1.1.1") == 0


def test_many_names_from_one_address_and_many_addresses_for_one_name_cost_too():
    attempts = Attempts(Clock())
    for number in range(20):
        attempts.wrong(f"user{number}", "1.1.1.1")
    assert attempts.wait_s("somebody", "1.1.1.1") > 0
    for number in range(50):
        attempts.wrong("ann", f"10.0.0.{number}")
    assert attempts.wait_s("ann", "9.9.9.9") > 0


def test_a_right_password_and_an_hour_forget():
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(2):
        attempts.wrong("ann", "1.1.1.1")
    attempts.right("ann", "1.1.1.1")
    attempts.wrong("ann", "1.1.1.1")
    assert attempts.wait_s("ann", "1.1.1.1") == 0
    attempts.wrong("ann", "1.1.1.1")
    clock.now = 3700
    attempts.wrong("ann", "1.1.1.1")
    assert attempts.wait_s("ann", "1.1.1.1") == 0


def test_memory_is_bounded():
    attempts = Attempts(Clock())
    for number in range(12_000):
        attempts.wrong(f"user{number}", f"address{number}")
    assert len(attempts._counts) <= 10_000
