"""Encoded images -> RGB pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from lt_core.data.files import read_bytes
from lt_core.errors import DataError

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_EXPECTED = "expected a PNG, JPEG, WebP or BMP image"
_EXIF = {"exif", "Raw profile type exif", "xmp"}  # where Pillow keeps an orientation
_BLOCK = 512  # images a task: a task's overhead vanishes, errors stay prompt


def decode(encoded: bytes, where: str, size: tuple[int, int] | None = None) -> Image.Image:
    """The complete image in RGB. Raises DataError that begins with ``where``.

    ``size`` (width, height) is what the header has to say before any pixel is
    decoded, where it is known. The content decides, not the name of the file.

    Grey, palette, CMYK and transparent images (whose transparency is left
    out) are converted, 16-bit colours cut to 8 bits, and an image whose EXIF
    data says so is turned upright. Refused are 16-bit grey, whose scale is not
    known, animations, and cut images: Pillow's option to accept those is
    never set.
    """
    try:
        image = Image.open(io.BytesIO(encoded), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise DataError(f"{where}: {_what_it_is(encoded)}, {_EXPECTED}") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{where}: too large an image ({error})") from error
    except Exception as error:  # Pillow's readers raise many kinds for damaged input
        raise DataError(f"{where}: not a complete image ({error}), {_EXPECTED}") from error
    described = f"{image.format} image of {image.width} x {image.height} pixels"
    if image.mode not in _MODES:
        raise DataError(
            f"{where}: pixels of mode {image.mode!r} in a {described}, expected 8 bits per channel"
        )
    if size is not None and image.size != size:
        raise DataError(f"{where}: {described}, expected {size[0]} x {size[1]}")
    if getattr(image, "is_animated", False) and image.format in ("PNG", "WEBP"):
        raise DataError(f"{where}: {described} and {image.n_frames} frames, expected one picture")
    try:
        image.load()
        if _EXIF & image.info.keys():
            image = _upright(image)
        if image.mode in ("P", "PA"):
            image = image.convert("RGBA")  # keeps Pillow from warning about transparency
        return image.convert("RGB")
    except Exception as error:
        raise DataError(
            f"{where}: not a complete image ({error}), a {described} of mode {image.mode!r}; "
            "get the file again"
        ) from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        image.getexif()
    except Exception:  # damaged EXIF data is no reason to refuse the picture
        return image
    return ImageOps.exif_transpose(image)


def _what_it_is(encoded: bytes) -> str:
    """In words, what these bytes are instead of an image that can be read."""
    if not encoded:
        return "empty (0 bytes)"
    is_webp = encoded[:4] == b"RIFF" and encoded[8:12] in (b"WEBP", b"")
    if is_webp or encoded.startswith((b"\x89PNG", b"\xff\xd8\xff")):
        return f"not a complete image ({len(encoded)} bytes, cut or damaged)"
    try:
        return f"a file of format {Image.open(io.BytesIO(encoded)).format}"
    except Exception:  # a page of HTML, a film, a pointer of Git LFS: its beginning says so
        return f"no image ({len(encoded)} bytes that begin with {encoded[:40].strip()!r})"


class LazyImages:
    """Images on disk as if they were uint8 ``(N, 3, size, size)``.

    ``paths`` are relative to ``folder``. Indexing by an integer, a slice or
    rows decodes those images: the shorter side is resized to ``resize``
    pixels (None: 8/7 of ``size``; bilinear, antialiased) and the centre cut
    out. Raises DataError naming a file it cannot decode.
    """

    dtype = torch.uint8

    def __init__(
        self, folder: Path, paths: Sequence[str], size: int = 224, resize: int | None = None
    ):
        self.folder, self.paths = folder, paths
        self.size, self.resize = size, resize or size * 8 // 7

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), 3, self.size, self.size))

    def __getitem__(self, rows: int | slice | Sequence[int] | torch.Tensor) -> torch.Tensor:
        chosen = torch.arange(len(self))[rows]
        decoded = in_threads(self._decode, chosen.reshape(-1).tolist())
        images = torch.stack(decoded) if decoded else torch.empty(0, *self.shape[1:]).byte()
        return images.reshape(*chosen.shape, *self.shape[1:])

    def select(self, rows: Sequence[int]) -> LazyImages:
        """The images of these rows, still on disk."""
        return LazyImages(self.folder, [self.paths[row] for row in rows], self.size, self.resize)

    def _decode(self, row: int) -> torch.Tensor:
        path = self.folder / self.paths[row]
        image = decode(read_bytes(path), str(path))
        image = centred(image, self.size, self.resize)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def centred(image: Image.Image, size: int, resize: int) -> Image.Image:
    """The centre, ``size`` pixels square, of the image whose shorter side became ``resize``."""
    scale = resize / min(image.size)
    # Only the part that the centre is made of is resized: of a picture of 1 x 60,000 pixels
    # the whole would be resized to 256 x 15,360,000.
    box = []
    for side in image.size:
        resized = max(round(side * scale), size)
        start = (resized - size) // 2
        box.append((start * side / resized, (start + size) * side / resized))
    (left, right), (top, bottom) = box
    return image.resize((size, size), Image.Resampling.BILINEAR, (left, top, right, bottom))


def stack(
    fetch: Callable[[int], bytes],
    name: Callable[[int], object],
    count: int,
    shape: tuple[int, int, int],
) -> torch.Tensor:
    """Decode ``count`` images of one ``shape`` (3, H, W) into uint8 ``(count, 3, H, W)``.

    ``fetch(i)`` gives image i encoded, ``name(i)`` names it in an error.
    Raises DataError for a damaged image and for one of another size.
    """
    pixels = np.empty((count, *shape), dtype=np.uint8)

    def fill(start: int) -> None:
        for i in range(start, min(start + _BLOCK, count)):
            image = decode(fetch(i), str(name(i)), (shape[2], shape[1]))
            pixels[i] = np.asarray(image).transpose(2, 0, 1)

    in_threads(fill, range(0, count, _BLOCK))
    return torch.from_numpy(pixels)


def in_threads(work: Callable, items: Iterable) -> list:
    """``[work(item) for item in items]`` in threads; the first error ends it."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(work, items))  # cancels what has not begun when one raises
