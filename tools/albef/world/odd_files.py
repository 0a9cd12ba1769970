"""Picture files of the kinds that decoders stumble over, made from an ordinary picture; all small."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Passes of an interlaced PNG: first column, first row, step in x, step in y."""


def chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk with its length and sum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: np.ndarray, depth: int, kind: int, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """A PNG file written by hand: `samples` [height, width, channels] of `depth` bits; `extra`: chunks before IDAT."""
    height, width = samples.shape[:2]
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    rows = b"".join(b"\0" + _packed(row, depth) for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    data = chunk(b"IDAT", zlib.compress(rows, 9))
    return SIGNATURE + chunk(b"IHDR", header) + extra + data + chunk(b"IEND", b"")


def _packed(row: np.ndarray, depth: int) -> bytes:
    if depth == 16:
        return row.astype(">u2").tobytes()
    if depth == 8:
        return row.astype(np.uint8).tobytes()
    bits = (row.reshape(-1, 1).astype(np.uint8) >> np.arange(depth - 1, -1, -1, dtype=np.uint8)) & 1
    return np.packbits(bits.reshape(-1)).tobytes()


def saved(image: Image.Image, kind: str, **options) -> bytes:
    """The bytes that Pillow writes."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def _ramp(image: Image.Image) -> Image.Image:
    """A mask from transparent at the left to opaque at the right."""
    return Image.linear_gradient("L").rotate(90).resize(image.size)


def _sixteen(image: Image.Image) -> np.ndarray:
    """Samples of 16 bits whose low bytes are not a copy of the high ones."""
    wide = np.asarray(image).astype(np.uint32).reshape(image.height, image.width, -1)
    return np.minimum(wide * 256 + (wide * 37 + 11) % 256, 65535)


def _with_alpha(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(_ramp(image))
    return image


def _palette_png(image: Image.Image, depth: int, interlaced: bool) -> bytes:
    few = image.quantize(1 << depth)
    colors = bytes(few.getpalette()[: 3 << depth]).ljust(3 << depth, b"\0")
    return png(np.asarray(few)[..., None], depth, PALETTE, interlaced, chunk(b"PLTE", colors))


def _rotated(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees to show": decoders that feed models leave it
    return saved(image, "JPEG", quality=88, exif=exif)


def _grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"))[..., None]


def _transparent(*samples: int) -> bytes:
    return chunk(b"tRNS", struct.pack(f">{len(samples)}H", *samples))


def _rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


MAKERS: dict[str, Callable[[Image.Image], bytes]] = {
    "grey.jpg": lambda i: saved(i.convert("L"), "JPEG", quality=85),
    "progressive.jpg": lambda i: saved(i, "JPEG", quality=80, progressive=True),
    "cmyk.jpg": lambda i: saved(i.convert("CMYK"), "JPEG", quality=85),
    "exif-rotated.jpg": _rotated,
    "full-chroma.jpg": lambda i: saved(i, "JPEG", quality=90, subsampling=0),
    "half-chroma.jpg": lambda i: saved(i, "JPEG", quality=90, subsampling=1),
    "odd-size.jpg": lambda i: saved(i.resize((133, 91)), "JPEG", quality=75, subsampling=2),
    "restart-markers.jpg": lambda i: saved(i, "JPEG", quality=80, restart_marker_rows=1),
    "stored-as-rgb.jpg": lambda i: saved(i, "JPEG", quality=85, keep_rgb=True),
    "low-quality.jpg": lambda i: saved(i, "JPEG", quality=8),
    "trailing-bytes.jpg": lambda i: saved(i, "JPEG", quality=80) + b"\0not a part of the picture" * 9,
    "one-pixel.jpg": lambda i: saved(i.resize((1, 1)), "JPEG"),
    "one-row.jpg": lambda i: saved(i.resize((97, 1)), "JPEG", quality=85),
    "palette.png": lambda i: saved(i.quantize(200), "PNG"),
    "palette-transparent.png": lambda i: saved(i.quantize(64), "PNG", transparency=bytes(range(0, 256, 4))),
    "palette-2-bit.png": lambda i: _palette_png(i, 2, False),
    "palette-interlaced.png": lambda i: _palette_png(i, 4, True),
    "rgba.png": lambda i: saved(_with_alpha(i), "PNG"),
    "grey-alpha.png": lambda i: saved(_with_alpha(i.convert("L")), "PNG"),
    "bilevel.png": lambda i: saved(i.convert("1"), "PNG"),
    "grey-2-bit.png": lambda i: png(_grey(i) >> 6, 2, GREY),
    "grey-4-bit.png": lambda i: png(_grey(i) >> 4, 4, GREY),
    "grey-16-bit.png": lambda i: png(_sixteen(i.convert("L")), 16, GREY),
    "grey-alpha-16-bit.png": lambda i: png(_sixteen(_with_alpha(i.convert("L"))), 16, GREY_ALPHA),
    "rgb-16-bit.png": lambda i: png(_sixteen(i), 16, RGB),
    "rgba-16-bit.png": lambda i: png(_sixteen(_with_alpha(i)), 16, RGBA),
    "interlaced.png": lambda i: png(_rgb(i), 8, RGB, True),
    "interlaced-tiny.png": lambda i: png(_rgb(i.resize((3, 5))), 8, RGB, True),
    "transparent-color.png": lambda i: png(_rgb(i), 8, RGB, False, _transparent(*i.getpixel((0, 0)))),
    "transparent-grey.png": lambda i: png(_grey(i), 8, GREY, False, _transparent(i.convert("L").getpixel((0, 0)))),
    "gamma.png": lambda i: png(_rgb(i), 8, RGB, False, chunk(b"gAMA", struct.pack(">I", 30000))),
    "trailing-bytes.png": lambda i: saved(i, "PNG") + b"not a part of the picture",
    "one-pixel.png": lambda i: saved(i.resize((1, 1)), "PNG"),
    "one-column.png": lambda i: saved(i.resize((1, 97)), "PNG"),
}
"""File name to the function that makes its bytes from an RGB picture."""
