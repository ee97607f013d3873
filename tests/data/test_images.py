"""Image files as people have them: read as a viewer shows them, or refused for their reason."""

import io
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
import small_sets as small
from PIL import Image

from lt_core.data import images
from lt_core.data.images import LazyImages, decode
from lt_core.errors import DataError

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8))


def encoded(format, mode="RGB", **options):
    buffer = io.BytesIO()
    PICTURE.convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def animated(format):
    return encoded(format, save_all=True, append_images=[PICTURE.rotate(180)])


def png(depth, color, row):
    """A PNG of one row, written by hand: Pillow does not write 16-bit colours."""

    def chunk(kind, content):
        sum_ = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", sum_)

    channels = 3 if color == 2 else 1
    head = struct.pack(">IIBBBBB", len(row) // channels, 1, depth, color, 0, 0, 0)
    values = b"\0" + b"".join(struct.pack(">H", value) for value in row)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(values)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"empty \(0 bytes\), expected a PNG, JPEG, WebP or BMP image"),
        (b"hello", r"no image \(5 bytes that begin with b'hello'\)"),
        (
            b"\n<!DOCTYPE html><html>",
            r"no image \(22 bytes that begin with b'<!DOCTYPE html><html>",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "no image .* b'version https://git-lfs",
        ),
        (b"\0\0\0\x18ftypheic\0\0", "no image .*ftypheic"),
        (b"RIFF\0\0\0\0WAVEfmt ", r"no image \(16 bytes that begin with b'RIFF"),
        (encoded("GIF"), "a file of format GIF"),
        (encoded("TIFF"), "a file of format TIFF"),
        (encoded("PNG")[:60], r"not a complete image .* PNG image of 10 x 8 pixels of mode 'RGB'"),
        (encoded("PNG")[:30], "not a complete image"),
        (encoded("PNG")[:8], r"not a complete image \(8 bytes"),
        (encoded("JPEG")[:-50], r"not a complete image .* JPEG image of 10 x 8 pixels"),
        (encoded("JPEG")[:3], "not a complete image"),
        (encoded("WEBP")[:-30], "not a complete image"),
        (encoded("BMP")[:-30], r"not a complete image .* BMP image of 10 x 8 pixels"),
        (png(16, 0, [0, 65535]), r"pixels of mode 'I;16' in a PNG image of 2 x 1 pixels"),
        (encoded("TIFF", "F"), "a file of format TIFF"),
        (animated("PNG"), "PNG image of 10 x 8 pixels and 2 frames, expected one picture"),
        (animated("WEBP"), "WEBP image of 10 x 8 pixels and 2 frames"),
    ],
)
def test_reason_is_told_as_it_is(content, reason):
    with pytest.raises(DataError, match=f"^here: {reason}") as caught:
        decode(content, "here")
    assert "0x" not in str(caught.value)  # no address in memory
    assert "\n" not in str(caught.value)


def test_too_large_an_image_is_no_damaged_one(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    with pytest.raises(DataError, match=r"^here: too large an image \(Image size \(80 pixels\)"):
        decode(encoded("PNG"), "here")


def test_wrong_size_is_refused_before_a_pixel_is_decoded(monkeypatch):
    content = encoded("PNG")
    monkeypatch.setattr(Image.Image, "convert", None)
    with pytest.raises(DataError, match="here: PNG image of 10 x 8 pixels, expected 8 x 10"):
        decode(content, "here", (8, 10))


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("PNG", "P", {"transparency": 3}),
        ("PNG", "P", {"transparency": bytes(range(200))}),
        ("PNG", "L", {"transparency": 3}),
        ("PNG", "RGB", {"transparency": (1, 2, 3)}),
        ("PNG", "LA", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "1", {}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("BMP", "P", {}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("MPO", "RGB", {"save_all": True, "append_images": [PICTURE]}),  # a telephone's JPEG
        ("JPEG", "RGB", {"exif": b"Exif\0\0no EXIF at all"}),
    ],
)
def test_what_can_be_shown_becomes_rgb(format, mode, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = decode(encoded(format, mode, **options), "here")
    assert image.mode == "RGB"
    assert image.size == (10, 8)


def test_transparency_and_colour_of_a_palette_are_kept_apart():
    image = decode(encoded("PNG", "P", transparency=bytes(range(200))), "here")
    assert np.array_equal(np.asarray(image), np.asarray(PICTURE.convert("P").convert("RGB")))


def test_16_bit_colours_are_cut_to_8():
    image = decode(png(16, 2, [0, 255, 256, 65535, 511, 32768]), "here")
    assert np.asarray(image).tolist() == [[[0, 0, 1], [255, 1, 128]]]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_picture_is_turned_upright(format):
    exif = Image.Exif()
    exif[0x0112] = 6  # held sideways
    options = {"quality": 100} if format == "JPEG" else {"lossless": True}
    lying = decode(encoded(format, **options), "here")
    upright = decode(encoded(format, exif=exif, **options), "here")
    assert upright.size == (8, 10)
    assert np.array_equal(np.asarray(upright), np.rot90(np.asarray(lying), -1))


def old_way(image, size, resize):
    """The whole image resized, then cut: right, and out of memory for a long one."""
    scale = resize / min(image.size)
    width, height = (max(round(side * scale), size) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)), int)


@pytest.mark.parametrize("size", [(50, 20), (20, 51), (3, 9), (333, 500), (301, 77), (256, 256)])
def test_centre_is_that_of_the_whole_image_resized(tmp_path, size):
    image = PICTURE.resize(size, Image.Resampling.BICUBIC)
    image.save(tmp_path / "x.png")
    for side, resize in ((8, 10), (224, 256)):
        centre = LazyImages(tmp_path, ["x.png"], side, resize)[0].permute(1, 2, 0).numpy()
        assert np.abs(centre - old_way(image, side, resize)).max() <= 1


@pytest.mark.parametrize("size", [(1, 60000), (60000, 1)])
def test_long_thin_image_takes_no_time(tmp_path, size):
    Image.new("RGB", size, (10, 20, 30)).save(tmp_path / "x.png")
    start = time.perf_counter()
    image = LazyImages(tmp_path, ["x.png"])[0]
    assert time.perf_counter() - start < 5  # .02 s; the whole one resized took 103
    assert image.amax((1, 2)).tolist() == [10, 20, 30]


def test_rows_are_chosen_as_of_a_tensor(tmp_path):
    for row in range(3):
        small.write_image(tmp_path / f"{row}.png", small.noise([0], row)[0])
    lazy = LazyImages(tmp_path, [f"{row}.png" for row in range(3)], 8, 8)
    whole = lazy[:]
    for rows in (
        0,
        -1,
        np.int64(1),
        [2, 0],
        np.array([1, 1]),
        slice(1, None),
        whole[:, 0, 0, 0] > 0,
        np.array([], int),
    ):
        assert (lazy[rows] == whole[rows]).all()
        assert lazy[rows].shape == whole[rows].shape
    assert (lazy.select([2, 1])[:] == whole[[2, 1]]).all()


def test_file_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "x.png").mkdir()
    with pytest.raises(DataError, match=r"x\.png: cannot be read \(Is a directory\)"):
        images.read_bytes(tmp_path / "x.png")
