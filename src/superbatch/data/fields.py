"""Fields: what can be read of a row, by name; and batches of them.

A field is the image at a size, token ids, a label, the cached embeddings of a reference: anything that a task names. All
fields of a run have one length and one numbering, that of the manifest. Nothing here holds an array of all rows: a field
reads by row from mapped files, so that start-up and memory do not grow with the pool.

Legend: N rows, n rows asked for, K sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from superbatch.data.order import mix, round_keys
from superbatch.data.row_set import RowSet
from superbatch.stores.address import Known


class Field(Protocol):
    """What can be read of each row; made to be sent to worker processes."""

    def __len__(self) -> int:
        """Rows, N."""
        ...

    def read(self, rows: np.ndarray, step: int) -> np.ndarray:
        """Return an array of shape (n, ...) for n rows, as they are at a step: an augmented view differs from step to step."""
        ...


@dataclass(frozen=True)
class Stored:
    """A field that is the same at every step.

    Attributes:
        by_row: returns the values of n rows, shape (n, ...).
        num_rows: N.
        objects: returns the shards in an object store that rows are read from, of all rows for None; None where nothing is.
    """

    by_row: Callable[[np.ndarray], np.ndarray]
    num_rows: int
    objects: Callable[[np.ndarray | None], list[Known]] | None = None

    def __len__(self) -> int:
        return self.num_rows

    def read(self, rows: np.ndarray, step: int) -> np.ndarray:
        """Return the values of some rows, whatever the step."""
        return self.by_row(rows)


@dataclass(frozen=True)
class Mapped:
    """A field whose values are turned into others as they are read.

    Attributes:
        field: what is read.
        change: of an array of n values.
    """

    field: Field
    change: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return len(self.field)

    def read(self, rows: np.ndarray, step: int) -> np.ndarray:
        """Return the changed values of some rows."""
        return self.change(self.field.read(rows, step))

    def objects(self, rows: np.ndarray | None) -> list[Known]:
        """Return the shards in an object store that some rows are read from; of all rows for None."""
        return objects_of(self.field, rows)


@dataclass(frozen=True)
class Joined:
    """One field of several sets: the rows of the second follow those of the first.

    Attributes:
        fields: of each set.
    """

    fields: tuple[Field, ...]

    def __len__(self) -> int:
        return sum(len(field) for field in self.fields)

    def read(self, rows: np.ndarray, step: int) -> np.ndarray:
        """Return the values of some rows, whichever sets they are of."""
        found: np.ndarray | None = None
        for number, mask, own in by_set(rows, [len(field) for field in self.fields]):
            values = self.fields[number].read(own, step)
            if found is None:
                found = np.empty((len(rows), *values.shape[1:]), values.dtype)
            found[mask] = values
        assert found is not None, "no rows asked for"
        return found

    def objects(self, rows: np.ndarray | None) -> list[Known]:
        """Return the shards in an object store that some rows are read from; of all rows for None."""
        if rows is None:
            return [one for field in self.fields for one in objects_of(field, None)]
        sets = by_set(rows, [len(field) for field in self.fields])
        return [one for number, _, own in sets for one in objects_of(self.fields[number], own)]


@dataclass(frozen=True)
class Drawn:
    """Random numbers of each row, uniform in [0, 1): functions of seed, step and row, so ranks, workers and a resumed run see the same.

    Attributes:
        seed: any integer.
        num_rows: N.
        width: numbers a row, w.
        purpose: what they are for: other numbers for another.
    """

    seed: int
    num_rows: int
    width: int = 1
    purpose: int = 0

    def __len__(self) -> int:
        return self.num_rows

    def read(self, rows: np.ndarray, step: int) -> np.ndarray:
        """Return the numbers of some rows at a step, float64 (n, w)."""
        key = round_keys(self.seed, step, self.purpose, count=1)
        keys_n1 = mix(key + np.asarray(rows, np.uint64)[:, None])
        found: np.ndarray = mix(keys_n1 + np.arange(self.width, dtype=np.uint64))
        return (found >> np.uint64(11)) * 2.0**-53


@dataclass(frozen=True)
class Where:
    """A field that is read of some rows alone; the others have zeros.

    Attributes:
        field: what is read.
        asked: a field of numbers (n,), 0 for the rows that are left out.
    """

    field: Field
    asked: Field

    def __len__(self) -> int:
        return len(self.field)

    def read(self, rows: np.ndarray, step: int) -> np.ndarray:
        """Return the values of the rows that are asked for, and zeros of their shape for the rest."""
        asked = self.asked.read(rows, step).astype(bool)
        if asked.all():
            return self.field.read(rows, step)
        some = self.field.read(rows[asked] if asked.any() else rows[:1], step)  # one row is enough to know the shape
        found = np.zeros((len(rows), *some.shape[1:]), some.dtype)
        if asked.any():
            found[asked] = some
        return found

    def objects(self, rows: np.ndarray | None) -> list[Known]:
        """Return the shards in an object store that some rows are read from, if they are; of all rows for None."""
        return objects_of(self.field, rows)


def of_all(field: Field) -> Field:
    """Return a field that reads every row, in the place of one that is read of some rows alone."""
    return field.field if isinstance(field, Where) else field


def objects_of(field: Field, rows: np.ndarray | None) -> list[Known]:
    """Return the shards in an object store that a field reads some rows from, of all rows for None; empty where it reads none."""
    objects = getattr(field, "objects", None)
    return [] if objects is None else list(objects(rows))


def joined(fields: Iterable[Field]) -> Field:
    """Make one field of those of several sets; that of one set is left as it is."""
    several = tuple(fields)
    return several[0] if len(several) == 1 else Joined(several)


def by_set(rows: np.ndarray, sizes: list[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Tell which of several sets hold some rows, where the rows of each set follow those of the one before.

    Yields, for each set that holds any: its number, which of the rows those are (bool), and their numbers in the set.
    """
    starts = np.cumsum([0, *sizes])
    which = np.searchsorted(starts, rows, side="right") - 1
    for number in np.unique(which):
        mask = which == number
        yield number, mask, rows[mask] - starts[number]


@dataclass(frozen=True)
class Batch:
    """Samples by field.

    Attributes:
        rows: row numbers of the manifest, int64 (n,).
        fields: tensors by name, each (n, ...), all on one device.
    """

    rows: np.ndarray
    fields: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Tensor:
        """Return a field's tensor, (n, ...)."""
        return self.fields[name]

    @property
    def device(self) -> torch.device:
        """Where the tensors are; the CPU where there are none."""
        return next((tensor.device for tensor in self.fields.values()), torch.device("cpu"))

    @property
    def sample_bytes(self) -> float:
        """What a sample takes in memory; 0 where there is none."""
        return sum(tensor.nbytes for tensor in self.fields.values()) / max(1, len(self))

    def take(self, indices: Tensor) -> Batch:
        """Return the samples at these positions, as they were read."""
        fields = {name: tensor[indices.to(tensor.device)] for name, tensor in self.fields.items()}
        return Batch(self.rows[indices.cpu().numpy()], fields)

    def cut(self, start: int, stop: int) -> Batch:
        """Return neighbouring samples, as views: nothing is copied."""
        return Batch(self.rows[start:stop], {name: tensor[start:stop] for name, tensor in self.fields.items()})

    def pieces(self, sizes: Iterable[int]) -> list[Batch]:
        """Cut the batch into pieces of these sizes, as views."""
        edges = np.cumsum([0, *sizes]).tolist()
        return [self.cut(start, stop) for start, stop in pairwise(edges)]

    def only(self, names: Iterable[str]) -> Batch:
        """Return the same samples with these fields alone."""
        return replace(self, fields={name: self.fields[name] for name in names})

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device; from pinned memory the copy does not wait."""
        return replace(
            self, fields={name: tensor.to(device, non_blocking=True) for name, tensor in self.fields.items()}
        )

    def beside(self, other: Batch) -> Batch:
        """Return the same samples with another batch's fields added."""
        assert np.array_equal(self.rows, other.rows), "batches of other rows"
        return replace(self, fields={**self.fields, **other.fields})


def skipping(positions: np.ndarray, aside: np.ndarray) -> np.ndarray:
    """Turn positions among the remaining places into positions among all, without an array of all.

    Args:
        positions: of any shape. aside: places that are left out, ascending.
    """
    left_before: np.ndarray = aside - np.arange(len(aside))  # how many of those that stay lie before each
    return positions + np.searchsorted(left_before, positions, side="right")


@dataclass(frozen=True)
class Source:
    """The data of a run: the fields of a set, and the rows in use.

    Attributes:
        fields: by name, all of one length.
        rows: row numbers in use, int64, ascending (but where `joining` arranged them), or as a set of bits; None for all.
        aside: which of these the order leaves out, by place, ascending, int64; None for none of them. One that takes them in later
            (`Order.with_more`) counts all rows in use behind those that it draws from at first.
    """

    fields: Mapping[str, Field]
    rows: np.ndarray | RowSet | None = None
    aside: np.ndarray | None = None

    @property
    def num_rows(self) -> int:
        """Rows that the order runs over."""
        in_use = len(next(iter(self.fields.values()))) if self.rows is None else len(self.rows)
        return in_use if self.aside is None else in_use - len(self.aside)

    def manifest_rows(self, positions: np.ndarray) -> np.ndarray:
        """Turn positions of the order into row numbers of the manifest."""
        places = positions if self.aside is None else self._places(positions, self.aside)
        return places if self.rows is None else self.rows[places]

    def _places(self, positions: np.ndarray, aside: np.ndarray) -> np.ndarray:
        behind = positions - self.num_rows  # places, once all rows in use are drawn from
        return np.where(behind >= 0, behind, skipping(positions, aside))

    @property
    def left_out(self) -> Source:
        """The rows that the order leaves out, as a source of their own; every field reads all of them, also one that training reads of some rows alone."""
        assert self.aside is not None, "nothing is left out"
        fields = {name: of_all(field) for name, field in self.fields.items()}
        return Source(fields, self.aside if self.rows is None else self.rows[self.aside])

    def objects(self, positions: np.ndarray | None = None) -> list[Known]:
        """Return the shards in an object store that n positions of the order are read from, each once; of all rows by default."""
        rows = None if positions is None else self.manifest_rows(positions)
        return list(dict.fromkeys(one for field in self.fields.values() for one in objects_of(field, rows)))

    def read(self, names: Iterable[str], positions: np.ndarray, step: int) -> Batch:
        """Return the named fields of n positions of the order, on the CPU.

        Raises:
            UserError: a sample that can't be read, named by shard and key.
        """
        rows = self.manifest_rows(positions)
        return Batch(rows, {name: torch.from_numpy(self.fields[name].read(rows, step)) for name in names})
