"""Encoded images -> RGB pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from lt_core.errors import DataError

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_BLOCK = 512  # images a task: a task's overhead vanishes, errors stay prompt


def decode(encoded: bytes, where: str, size: tuple[int, int] | None = None) -> Image.Image:
    """The complete image in RGB. Raises DataError that begins with ``where``.

    ``size`` (width, height) is what the header has to say before any pixel is
    decoded, where it is known.

    Grey, palette, CMYK and transparent images are converted; a cut image is
    refused, for Pillow's option to accept those is never set.
    """
    try:
        image = Image.open(io.BytesIO(encoded), formats=_FORMATS)
        if image.mode not in _MODES:
            raise DataError(f"{where}: pixels of mode {image.mode!r}, expected 8 bits a channel")
        if size is not None and image.size != size:
            raise DataError(
                f"{where}: image of {image.width} x {image.height} pixels, "
                f"expected {size[0]} x {size[1]}"
            )
        if image.mode in ("P", "PA"):
            image = image.convert("RGBA")  # keeps Pillow from warning about transparency
        return image.convert("RGB")
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for damaged input
        raise DataError(f"{where}: not a complete image ({error}); get the file again") from error


def stack(
    fetch: Callable[[int], bytes], name: Callable[[int], str], count: int, height: int, width: int
) -> np.ndarray:
    """Decode ``count`` images of one size into uint8 ``(count, 3, height, width)``, in threads.

    ``fetch(i)`` gives image i encoded, ``name(i)`` names it in an error.
    Raises DataError for a damaged image and for one of another size.
    """
    pixels = np.empty((count, 3, height, width), dtype=np.uint8)

    def fill(start: int) -> None:
        for i in range(start, min(start + _BLOCK, count)):
            image = decode(fetch(i), name(i), (width, height))
            pixels[i] = np.asarray(image).transpose(2, 0, 1)

    in_threads(fill, range(0, count, _BLOCK))
    return pixels


def in_threads(work: Callable, items: Iterable) -> list:
    """``[work(item) for item in items]`` in threads; the first error ends it."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(work, items))  # cancels what has not begun when one raises


def read_bytes(path: Path) -> bytes:
    """A file's content; what cannot be read is a DataError that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
