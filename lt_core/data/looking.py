"""What ``lt-core look`` says about images on disk: counts, factor, groups, what is damaged."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from lt_core.data import catalog, own
from lt_core.data.files import read_bytes
from lt_core.data.long_tail import FEW_BELOW, MANY_ABOVE
from lt_core.errors import DataError, printable

#: Classes and problems that are named; of others there is the number.
SHOWN = 20


def look(
    name: str, open_each: bool = False, root: str | os.PathLike | None = None
) -> tuple[str, int]:
    """What a folder of images, or the published list of a large set, holds; in lines.

    Also how many problems there are. ``open_each`` decodes every image, which takes some
    milliseconds per image, and finds files of test images that are copies of training
    images; without it files are only listed.
    """
    if name in catalog.names() and catalog.info(name).head_count is None:
        from lt_core.data import loading  # which compares the lists with the files

        loaded = {split: loading.load(name, split, root=root) for split in ("train", "test")}
        train, title, end = loaded["train"], name, []
        lists = {split: dataset.images.paths for split, dataset in loaded.items()}
        folder, counts, class_names = train.images.folder, train.class_counts, train.class_names
        others, problems = (), []
    else:
        own.read.cache_clear()  # files may have changed since
        tree = own.read(own.place(f"{own.PREFIX}{name}"))
        title = folder = tree.path
        lists = {split: [file for file, _ in listed] for split, listed in tree.images.items()}
        counts, class_names = tree.counts("train"), tree.class_names
        others, problems = tree.others, list(tree.problems)
        end = [] if problems else [f"name of the data set: {tree.name}"]
    splits = {split: [folder / path for path in paths] for split, paths in lists.items()}
    lines = [f"{title}: {len(class_names)} classes"]
    lines += [f"{split}: {len(paths)} images" for split, paths in splits.items() if paths]
    lines += _profile(counts, class_names)
    for first, second in own.alike(class_names)[:SHOWN]:
        lines.append(f"note: {first!r} and {second!r} are two classes; where one is meant, rename")
    if others:
        example = f"{len(others)}, such as {others[0]}"
        lines.append(f"other files: {example}, not images by their names, left alone")
    if open_each:
        problems += _damage(splits, lines)
    shown = problems if open_each else problems[:SHOWN]  # --open is asked for the names
    lines += [f"problem: {problem}" for problem in shown]
    if len(problems) > len(shown):
        lines.append(f"and {len(problems) - len(shown)} problems more")
    return "\n".join(map(printable, lines + end)), len(problems)


def _profile(counts: Sequence[int], class_names: Sequence[str]) -> list[str]:
    """Factor, groups and the largest classes of training images."""
    if not counts:
        return []
    ranked = sorted(zip(counts, class_names, strict=True), key=lambda pair: -pair[0])
    (most, head), (least, tail) = ranked[0], ranked[-1]
    many, few = sum(n > MANY_ABOVE for n in counts), sum(n < FEW_BELOW for n in counts)
    more = f" and {len(ranked) - SHOWN} more" if len(ranked) > SHOWN else ""
    return [
        f"factor: {most / least:.4g} ({head} has {most} training images, {tail} {least})",
        f"groups: {many} many (more than {MANY_ABOVE} training images), "
        f"{len(counts) - many - few} medium, {few} few (fewer than {FEW_BELOW})",
        f"per class: {', '.join(f'{name} {n}' for n, name in ranked[:SHOWN])}{more}",
    ]


def _damage(splits: dict[str, list[Path]], lines: list[str]) -> list[str]:
    """What is wrong with the images themselves; how many were opened joins ``lines``."""
    from lt_core.data.images import decode, in_threads

    def opened(path: Path) -> tuple[bytes, str | None]:
        try:
            content = read_bytes(path)
            digest = hashlib.sha256(content).digest()
            decode(content, str(path))
        except DataError as error:
            return os.fsencode(path), str(error)  # what cannot be read is like nothing else
        return digest, None

    paths = [path for part in splits.values() for path in part]
    found = dict(zip(paths, in_threads(opened, paths), strict=True))
    problems = [problem for _, problem in found.values() if problem]
    lines.append(f"opened: {len(found)} images, {len(problems)} of them cannot be read")
    trained = {found[path][0]: path for path in splits["train"]}
    return problems + [
        f"{path}: the same file as the training image {trained[found[path][0]]}"
        for split in splits.keys() - {"train"}
        for path in splits[split]
        if found[path][0] in trained
    ]
