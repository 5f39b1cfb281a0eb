"""Units of work on a cluster of Ray: an actor for each worker, which keeps what it has loaded, and another where one is lost.

Not through joblib's pool of Ray's: it gives every actor its units at once. If a machine is lost and the others have no room for its actors,
their units would wait for ever.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

IDLE = -1  # in place of a unit's number: an actor that was only asked whether it is there


class UnitLost(Exception):
    """The workers of a unit died too often.

    Attributes:
        number: of the unit; None if workers die before they get one.
    """

    def __init__(self, number: int | None) -> None:
        super().__init__(number)
        self.number = number


class _Worker:
    """What lives in an actor."""

    def ready(self) -> None:
        """Come back as soon as the cluster has room for it."""

    def do(self, call: Callable[..., Any], *given: Any) -> Any:
        """Do one unit."""
        return call(*given)


@dataclass
class Crew:
    """Workers on a cluster of Ray, of which some may be waiting for room.

    Attributes:
        workers: how many are asked for. resources: what each reserves, in Ray's words.
        retries: how often a unit goes to another worker when its own died.
        asked: by what Ray will answer with, the actor and the number of its unit. deaths: by the unit's number.
    """

    workers: int
    resources: dict[str, int]
    retries: int
    asked: dict[Any, tuple[Any, int]] = field(default_factory=dict)
    deaths: Counter[int] = field(default_factory=Counter)

    def stream(self, call: Callable[..., Any], arguments: dict[int, tuple[Any, ...]]) -> Iterator[Any]:
        """Call a function for each unit, and yield what it returns as it comes.

        Raises:
            UnitLost: workers died too often. And what `call` raises.
        """
        import ray

        sent, left, open_units = ray.put(call), deque(arguments), len(arguments)
        try:
            for _ in range(min(self.workers, open_units)):
                self._hire()
            while open_units:
                answer = ray.wait(list(self.asked), num_returns=1)[0][0]
                actor, number = self.asked.pop(answer)
                found = self._answer(answer, actor, number)
                if found is None:
                    left.extendleft([number] if number != IDLE else [])
                    self._hire()
                    continue
                if number != IDLE:
                    open_units -= 1
                    yield found[0]
                if left:
                    following = left.popleft()
                    self.asked[actor.do.remote(sent, *arguments[following])] = (actor, following)
        finally:
            for actor, _ in self.asked.values():
                ray.kill(actor)
            self.asked.clear()

    def _hire(self) -> None:
        import ray

        remote: Any = ray.remote  # its types know fixed keywords alone
        actor = remote(**self.resources)(_Worker).remote()
        self.asked[actor.ready.remote()] = (actor, IDLE)

    def _answer(self, answer: Any, actor: Any, number: int) -> tuple[Any] | None:
        """Return what an actor says; None if it died."""
        import ray
        from ray.exceptions import RayTaskError

        try:
            return (ray.get(answer),)
        except RayTaskError as error:
            raise error.cause from None
        except died():
            ray.kill(actor)  # where only the way to it was lost
            self.deaths[number] += 1
            if self.deaths[number] > self.retries + (self.workers if number == IDLE else 0):
                raise UnitLost(None if number == IDLE else number) from None
            return None


def died() -> tuple[type[BaseException], ...]:
    """Return Ray's exceptions that tell of an actor or a machine that was lost."""
    from ray.exceptions import ActorUnavailableError, NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError

    return RayActorError, ActorUnavailableError, WorkerCrashedError, NodeDiedError, OutOfMemoryError
