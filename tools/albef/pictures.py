"""The pictures of a dataset: as they are, decoded once into a file of pixels, or decoded at each visit and augmented."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from albef.augment import Augmentation, random_state
from albef.image import PictureError, load_picture, resize_pixels
from albef.records import DatasetError

LOOKED_FOR = 64
"""So many pictures of a dataset are looked for when it is opened."""


def cache_folder() -> Path:
    """Where generated and decoded data lies, outside of any checkout."""
    base = os.environ.get("ALBEF_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "albef"
    return Path(base)


class SampleError(ValueError):
    """An item of a dataset, by its number, that cannot be had. The trainer says so once and shows another in its place."""

    def __init__(self, item: int, reason: str) -> None:
        super().__init__(reason)
        self.item = item


class PictureFiles(ABC):
    """Distinct pictures by path, sorted; ``index`` gives a path's number."""

    def __init__(self, root: str | Path, paths: Sequence[str], size: int) -> None:
        self.root, self.size = Path(root), size
        self.paths = sorted(set(paths))
        self.index = {path: number for number, path in enumerate(self.paths)}
        self._look()

    def _look(self) -> None:
        """A folder in which nothing is found is a wrong folder, and said at once rather than once a picture."""
        step = max(1, len(self.paths) // LOOKED_FOR)
        some = [self.root / path for path in self.paths[::step]]
        if some and not any(map(Path.is_file, some)):
            raise DatasetError(f"none of the {len(some)} pictures looked for is there, such as {some[0]}")

    def batch(self, numbers: Sequence[int] | np.ndarray, items: Sequence[int] | None = None, epoch: int = 0) -> Tensor:
        """uint8 [B, R, R, 3] of the pictures ``numbers``, for the samples ``items`` (the pictures' numbers by default).

        :class:`SampleError` names the item whose picture is missing or broken.
        """
        numbers = np.asarray(numbers).tolist()
        return self._batch(numbers, numbers if items is None else items, epoch)

    @abstractmethod
    def _batch(self, numbers: list[int], items: Sequence[int], epoch: int) -> Tensor: ...


class Pictures(PictureFiles):
    """Decoded and resized once, without augmentation; ``pixels`` is a memory-mapped uint8 [N, R, R, 3].

    ``broken`` has the pictures that could not be decoded, with the reason.
    """

    def __init__(self, root: str | Path, paths: Sequence[str], size: int) -> None:
        super().__init__(root, paths, size)
        stamp = "\n".join(f"{path} {self._changed(path)}" for path in self.paths)
        key = hashlib.sha256(f"{size}\n{self.root.resolve()}\n{stamp}".encode()).hexdigest()[:16]
        file = cache_folder() / "pixels" / f"{key}.npy"
        if not file.exists():
            self._decode(file)
        self.pixels = np.load(file, mmap_mode="r")
        reasons = _reasons(file)
        self.broken = {int(number): text for number, text in json.loads(reasons.read_text()).items()} if reasons.exists() else {}

    def _changed(self, path: str) -> int | str:
        try:
            return (self.root / path).stat().st_mtime_ns
        except OSError:
            return "missing"

    def _decode(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.npy")
        out = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(self.paths), self.size, self.size, 3))
        broken = {}
        for number, path in enumerate(self.paths):
            try:
                out[number] = resize_pixels(load_picture(self.root / path), self.size)
            except PictureError as error:
                broken[number] = str(error)
        out.flush()
        if broken:  # first: whoever finds the pixels finds these too
            _reasons(file).write_text(json.dumps(broken))
        temporary.rename(file)

    def _batch(self, numbers: list[int], items: Sequence[int], epoch: int) -> Tensor:
        for number, item in zip(numbers, items, strict=True):
            if number in self.broken:
                raise SampleError(item, self.broken[number])
        return torch.from_numpy(self.pixels[numbers])


def _reasons(file: Path) -> Path:
    return file.with_suffix(".json")


class AugmentedPictures(PictureFiles):
    """Decoded and augmented at every visit. The result is a function of the seed, the epoch, the item and its picture."""

    def __init__(
        self, root: str | Path, paths: Sequence[str], size: int, augmentation: Augmentation, seed: int
    ) -> None:
        super().__init__(root, paths, size)
        self.augmentation, self.seed = augmentation, seed

    def _batch(self, numbers: list[int], items: Sequence[int], epoch: int) -> Tensor:
        out = np.empty((len(numbers), self.size, self.size, 3), np.uint8)
        for place, (number, item) in enumerate(zip(numbers, items, strict=True)):
            try:
                picture = load_picture(self.root / self.paths[number])
            except PictureError as error:
                raise SampleError(item, str(error)) from error
            out[place] = self.augmentation(picture, self.size, random_state(self.seed, epoch, item, number))
        return torch.from_numpy(out)
