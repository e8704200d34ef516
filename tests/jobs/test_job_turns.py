from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from castle_core.jobs.fairness import Waiting, choose_next, guests, queue_order


def test_nobody_waits():
    assert choose_next([], {}, {}) is None


def test_a_newcomer_is_served_before_the_rest_of_a_long_queue():
    waiting = [Waiting(i, "ann", i) for i in range(1, 101)] + [Waiting(101, "bob", 101)]
    assert choose_next(waiting, {"ann": 1}, {"ann": 1}).owner == "bob"
    assert queue_order(waiting, {"ann": 1}, {"ann": 1}).index(101) == 0


def test_owners_take_turns_and_keep_their_own_order():
    waiting = [Waiting(1, "ann", 1), Waiting(2, "ann", 2), Waiting(3, "bob", 3), Waiting(4, "bob", 4)]
    assert queue_order(waiting, {}, {}) == [1, 3, 2, 4]


def test_with_one_worker_owners_alternate():
    waiting = [Waiting(i, owner, i) for i, owner in enumerate(["ann"] * 4 + ["bob"] * 2 + ["cy"])]
    turns, served = {}, []
    while chosen := choose_next(waiting, {}, turns):  # the job ends before the next one begins
        waiting.remove(chosen)
        turns[chosen.owner] = len(served) + 1
        served.append(chosen.owner)
    assert served == ["ann", "bob", "cy", "ann", "bob", "ann", "ann"]


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_no_owner_is_ever_more_than_one_job_ahead_of_another_who_waits(owners):
    waiting = [Waiting(i, owner, i) for i, owner in enumerate(owners)]
    order = queue_order(waiting, {}, {})
    assert sorted(order) == list(range(len(owners)))
    left, served = Counter(owners), Counter()
    for job in order:
        served[owners[job]] += 1
        left[owners[job]] -= 1
        still = [owner for owner in left if left[owner] > 0]
        assert all(served[owners[job]] <= served[other] + 1 for other in still)
    for owner in set(owners):
        mine = [job for job in order if owners[job] == owner]
        assert mine == sorted(mine)


def test_guests_are_those_for_whom_nothing_runs():
    waiting = [Waiting(1, "ann", 1), Waiting(2, "bob", 2), Waiting(3, "cy", 3)]
    assert [item.owner for item in guests(waiting, {"ann": 2, "bob": 0})] == ["bob", "cy"]
