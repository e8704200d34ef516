"""From vectors to picks: the methods, all under the same rules."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from castle_core.selection.clustering import kmeans, nearest, squared_distances
from castle_core.selection.medoids import improve_by_swaps
from castle_core.selection.spacing import Placement, around

Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]

# Rows that k-means sees, and rows among which swaps are tried; more are sampled evenly along time.
_CLUSTERED_ROWS = 8192
_SWAPPED_ROWS = 1200
_POLISHED_ROWS = 64
MOST_ALTERNATIVES = 5


@dataclass(frozen=True)
class Field:
    """The candidates among which is chosen, and the rules.

    Attributes
    ----------
    rows : (N, d) float32
        Features.
    weights : (N,) float32
        How much each candidate wants to be represented.
    positions : (N,) int64
        Frame index, ascending within each group.
    covered_squared : (N,) float32
        Squared distance to what is covered already; infinite where nothing is.
    gap, quota : (groups,) int64
        Smallest distance between two picks of a group (video), and how many of it are picked.
    group : (N,) int64
        Group of each candidate, ascending.
    pickable : (N,) bool
        Which candidates may be picked; the others only want to be represented.
    """

    rows: Matrix
    weights: Matrix
    positions: Rows
    covered_squared: Matrix
    gap: Rows
    quota: Rows
    group: Rows
    pickable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n(self) -> int:
        """Picks in all."""
        return int(self.quota.sum())

    def placement(self) -> Placement:
        """Return an empty placement of picks."""
        return Placement(self.positions, self.gap, self.quota, self.group, self.pickable)

    def around(self, row: int) -> slice:
        """Return the rows of the same group that are too near to a row."""
        group = int(self.group[row])
        edges = np.searchsorted(self.group, [group, group + 1])
        return around(self.positions, row, int(self.gap[group]), edges)

    def conflicts(self, some: Rows, others: Rows) -> NDArray[np.bool_]:
        """Return the (len(some), len(others)) mask of pairs of rows that are too near to each other."""
        apart = np.abs(self.positions[others][None, :] - self.positions[some][:, None])
        group = self.group[some][:, None]
        return np.asarray((apart < self.gap[group]) & (group == self.group[others][None, :]))

    def evenly(self, most: int) -> Rows:
        """Return at most `most` rows, evenly along the candidates."""
        if len(self) <= most:
            return np.arange(len(self))
        return np.unique(np.linspace(0, len(self) - 1, most).round().astype(np.int64))


def choose_by_kmeans(field: Field, rng: np.random.Generator) -> Rows:
    """Choose the candidates that stand for all others best; return their rows (n,) in no particular order."""
    sample = field.evenly(max(_CLUSTERED_ROWS, 4 * field.n))
    step = len(field) / len(sample)
    centres = kmeans(
        field.rows[sample],
        field.weights[sample] * np.float32(step),
        min(field.n, len(sample)),
        covered_squared=field.covered_squared[sample],
        rng=rng,
    )
    placement = field.placement()
    owner, _ = nearest(field.rows[sample], centres)
    mass = np.bincount(owner, field.weights[sample], minlength=len(centres))
    for centre in np.argsort(-mass, kind="stable"):
        placement.take_nearest(squared_distances(field.rows, centres[[centre]])[:, 0])
    _fill(field, placement)
    picks = np.array(placement.taken, dtype=np.int64)
    picks = _swap(field, picks)
    return _polish(field, picks) if len(field) > _SWAPPED_ROWS else picks


def _fill(field: Field, placement: Placement) -> None:
    """Take what is still missing, each time the candidate that is farthest from all picks."""
    closest = field.covered_squared.copy()
    if placement.taken:
        closest = np.minimum(closest, nearest(field.rows, field.rows[placement.taken])[1])
    while placement.n_left:
        row = placement.take_nearest(-closest)
        if row is None:
            break
        closest = np.minimum(closest, squared_distances(field.rows, field.rows[[row]])[:, 0])


def _swap(field: Field, picks: Rows) -> Rows:
    sample = field.evenly(_SWAPPED_ROWS)

    def allowed(now: Rows, others: Rows) -> NDArray[np.bool_]:
        near = field.conflicts(now, others)
        # A newcomer may be near the pick that it replaces, and near no other.
        fits = near.sum(axis=0)[None, :] - near == 0
        return np.asarray(fits & (field.group[now][:, None] == field.group[others][None, :]))

    return improve_by_swaps(
        field.rows,
        field.weights,
        picks,
        covered_squared=field.covered_squared,
        allowed=allowed,
        judges=np.union1d(sample, picks),
        newcomers=np.union1d(sample[field.pickable[sample]], picks),
        max_swaps=3 * len(picks),
    )


def _polish(field: Field, picks: Rows) -> Rows:
    """Move each pick to the best place within its cluster, as all candidates see it (not only a sample)."""
    picks = picks.copy()
    for _ in range(2):
        owner, squared = nearest(field.rows, field.rows[picks])
        owner[squared >= field.covered_squared] = -1
        order = np.argsort(owner, kind="stable")
        edges = np.searchsorted(owner[order], np.arange(len(picks) + 1))
        moved = False
        for number in range(len(picks)):
            members = order[edges[number] : edges[number + 1]]
            others = np.delete(picks, number)
            better = _best_member(field, picks[number], members, others)
            moved |= better != picks[number]
            picks[number] = better
        if not moved:
            break
    return picks


def _best_member(field: Field, pick: int, members: Rows, others: Rows) -> int:
    if len(members) < 2:
        return pick
    weight = field.weights[members]
    centre = (weight / weight.sum()) @ field.rows[members]
    from_centre = squared_distances(field.rows[members], centre[None, :])[:, 0]
    tried = members[np.argsort(from_centre, kind="stable")[:_POLISHED_ROWS]]
    tried = tried[field.pickable[tried] & (field.group[tried] == field.group[pick])]
    tried = tried[~field.conflicts(others, tried).any(axis=0)]
    tried = np.append(tried, pick)
    judges = members if len(members) <= 4096 else members[np.linspace(0, len(members) - 1, 4096).astype(np.int64)]
    cost = field.weights[judges] @ np.sqrt(squared_distances(field.rows[judges], field.rows[tried]))
    best = int(cost.argmin())
    return int(tried[best]) if cost[best] < cost[-1] * (1 - 1e-6) else int(pick)


def choose_by_kcenter(field: Field) -> tuple[Rows, Matrix]:
    """Choose candidates as far from each other, and from what is covered, as can be.

    The first, where nothing is covered, is the one nearest to the mean of all.

    Returns
    -------
    picks : (n,) int64
        In the order of choice.
    distances : (n,) float32
        How far each was from all before it; infinite for the first where nothing is covered.
    """
    placement = field.placement()
    closest = field.covered_squared.copy()
    distances: list[float] = []
    while placement.n_left:
        if np.isfinite(closest).all():
            row = placement.take_nearest(-closest)
        else:
            mean = (field.weights / field.weights.sum()) @ field.rows
            row = placement.take_nearest(squared_distances(field.rows, mean[None, :])[:, 0])
        if row is None:
            break
        distances.append(float(np.sqrt(closest[row])))
        closest = np.minimum(closest, squared_distances(field.rows, field.rows[[row]])[:, 0])
    return np.array(placement.taken, dtype=np.int64), np.array(distances, dtype=np.float32)


def place_near(field: Field, wanted: Rows) -> Rows:
    """Choose for each wanted row itself, or the nearest in time that can be had; (n,) int64 rows in that order."""
    placement = field.placement()
    for row in wanted:
        far = np.where(field.group == field.group[row], 0, 1e12)
        placement.take_nearest(far + np.abs(field.positions - field.positions[row]))
    _fill(field, placement)
    return np.array(placement.taken, dtype=np.int64)


def find_alternatives(field: Field, picks: Rows) -> list[list[int]]:
    """Return for each pick the rows of the next best candidates of its cluster, best (nearest in features) first.

    Each keeps the gap from all other picks and from all other alternatives, so that any of them can be swapped in,
    whatever else was swapped before. Where the cluster holds nothing that far from the pick itself, frames closer to it
    are offered.

    Parameters
    ----------
    field : Field
    picks : (n,) int64
    """
    owner, _ = nearest(field.rows, field.rows[picks])
    free = field.pickable & (field.group == field.group[picks][owner])
    beside = free.copy()  # as `free`, but for the surroundings of the own pick
    near = np.zeros(len(field), dtype=np.int64)
    for pick in picks:
        near[field.around(int(pick))] += 1
        free[field.around(int(pick))] = False
    own = np.abs(field.positions - field.positions[picks][owner])
    gap = field.gap[field.group]
    beside &= (near == 1) & (own < gap) & (own >= np.maximum(1, gap // 3))
    queues = []
    for number, pick in enumerate(picks):
        members = np.flatnonzero(owner == number)
        squared = squared_distances(field.rows[members], field.rows[[pick]])[:, 0]
        queues.append(members[np.argsort(squared, kind="stable")])
    found: list[list[int]] = [[] for _ in picks]
    for turn in range(MOST_ALTERNATIVES + 1):
        for number, queue in enumerate(queues):
            if turn == MOST_ALTERNATIVES and found[number]:
                continue
            left = queue[(beside if turn == MOST_ALTERNATIVES else free)[queue]]
            if len(left):
                found[number].append(int(left[0]))
                free[field.around(int(left[0]))] = False
                beside[field.around(int(left[0]))] = False
    return found
