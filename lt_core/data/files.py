"""Files and folders as people have them: what is litter, what a name says, what lies where.

Nothing here needs torch or numpy.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from lt_core.errors import DataError

_WORDS = {
    "train": {"train", "training"},
    "test": {"test", "testing"},
    "val": {"val", "valid", "validation"},
}
# And all that begins with a dot.
_LITTER = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"}
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
_SHOWN = 6  # names of what was found


def is_litter(name: str) -> bool:
    """Whether systems or editors leave files or folders of this name."""
    return name.startswith(".") or name.lower() in _LITTER


def is_image(path: str) -> bool:
    """Whether a file is an image that can be read, by its name."""
    return path.lower().endswith(SUFFIXES)


def listing(folder: Path) -> list[str]:
    """The files below ``folder``, without litter, as sorted relative paths.

    No file is opened or stat-ed. DataError for a folder that cannot be listed, or that is a link
    to one above itself: its files would be counted again and again.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror})") from error

    paths = []
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        if os.path.islink(place) and Path(os.path.realpath(place)) in Path(place).parents:
            raise DataError(f"{place}: a link to a folder above it, remove the link")
        folders[:] = [name for name in folders if not is_litter(name)]
        inside = Path(place).relative_to(folder)
        paths += [(inside / name).as_posix() for name in names if not is_litter(name)]
    return sorted(paths)


def names_in(folder: Path) -> list[str]:
    """The names in ``folder``, without litter; none where it cannot be listed."""
    try:
        return sorted(name for name in os.listdir(folder) if not is_litter(name))
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return []


def found(folder: Path) -> str:
    """What lies in ``folder``, as the end of a sentence about it, and of one line."""
    if os.path.exists(folder):
        return f"which {_contents(folder)}"
    missing = folder
    while not os.path.exists(missing.parent):
        missing = missing.parent
    if missing != folder:
        return f"as there is no folder {missing}"
    return f"which does not exist: {folder.parent} {_contents(folder.parent)}"


def _contents(folder: Path) -> str:
    if not os.path.isdir(folder):
        return "is a file"
    try:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir(folder))
    except OSError as error:
        return f"cannot be listed ({error.strerror})"
    if not names:
        return "is empty"
    if len(names) == 1 and names[0].endswith("/"):
        return f"holds {names[0]}, which {_contents(folder / names[0])}"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"holds {', '.join(names[:_SHOWN])}{more}"


def split_of(path: str) -> str | None:
    """``train``, ``test`` or ``val``, where a file's name or a folder above it says so."""
    for part in reversed(path.split("/")):
        words = set(re.findall(r"[a-z]+", part.lower()))
        for split, known in _WORDS.items():
            if words & known:
                return split
    return None


def split_folder(name: str) -> str | None:
    """``train``, ``test`` or ``val``, where that is the whole name of a folder."""
    return next((split for split, known in _WORDS.items() if name.lower() in known), None)


def natural_key(name: str) -> list:
    """Sorting key under which class "10" comes after class "9", and "01" before "1"."""
    parts = [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]
    return [*parts, (-2, name)]


def read_bytes(path: Path) -> bytes:
    """A file's content; what cannot be read is a DataError that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
