#!/usr/bin/env python3
"""Writes small pictures of many kinds, and the sums of what Pillow makes of them.

    python tools/generate_image_fixtures.py fixtures/images

Pillow 12.3 in the environment of tools/setup.sh. Pictures come from a fixed seed. `images.json` holds, for each file,
the SHA-256 of its RGB pixels and of these pixels resized to several squares; and for random pictures, made here and in
the test by the same generator, the sums after resizing to odd sizes. Files under `broken/` are refused by Pillow and by
us.
"""

import hashlib
import io
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

SQUARES = [1, 24, 64, 97]
RESIZES = [
    (1, 1, 1, 1), (1, 1, 5, 7), (5, 1, 1, 3), (1, 9, 4, 2), (2, 2, 3, 3), (3, 2, 2, 3), (10, 10, 10, 4),
    (10, 10, 4, 10), (10, 10, 10, 10), (7, 13, 64, 64), (64, 64, 7, 13), (100, 37, 64, 64), (37, 100, 64, 64),
    (255, 256, 64, 64), (640, 3, 64, 64), (3, 640, 64, 64), (1000, 2, 16, 9), (2, 1000, 9, 16),
    (129, 131, 128, 130), (33, 47, 384, 384), (500, 375, 384, 384), (333, 500, 256, 256),
    (384, 200, 384, 384), (200, 384, 384, 384), (5000, 1, 3, 1), (1, 5000, 1, 3), (17, 19, 1000, 3),
    (10, 1000, 20, 30), (10, 1001, 20, 30), (3, 301, 5, 400), (3, 301, 3, 20),
]  # fmt: skip


def noise(seed: int, count: int) -> np.ndarray:
    """Bytes of a linear congruential generator, the same as the test's."""
    state, values = seed, bytearray()
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values.append(state >> 56)
    return np.frombuffer(bytes(values), dtype=np.uint8)


def digest(pixels: np.ndarray | Image.Image) -> str:
    return hashlib.sha256(np.ascontiguousarray(np.asarray(pixels)).tobytes()).hexdigest()


def scene(width: int, height: int, seed: int) -> Image.Image:
    """Smooth colours with edges and some noise: what a camera sees."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    channels = []
    for _ in range(3):
        a, b, c = rng.uniform(0.02, 0.2, 3)
        channels.append(127 + 70 * np.sin(a * x + c) + 50 * np.cos(b * y + c * 9) + rng.normal(0, 6, (height, width)))
    image = np.stack(channels, axis=-1)
    for _ in range(4):
        cx, cy, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(4, max(5, width / 4))
        image[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.uniform(0, 255, 3)
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, color: int, rows: bytes, extra: bytes = b"", interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def rows(width: int, height: int, bits: int, seed: int) -> bytes:
    """Unfiltered rows of random bits."""
    size = (width * bits + 7) // 8
    values = noise(seed, size * height).reshape(height, size)
    return b"".join(b"\0" + row.tobytes() for row in values)


def adam7(width: int, height: int, bits: int, seed: int) -> bytes:
    """Unfiltered rows of all seven passes."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    data = b""
    for number, (x0, y0, dx, dy) in enumerate(passes):
        w, h = -(-(width - x0) // dx), -(-(height - y0) // dy)
        if w > 0 and h > 0:
            data += rows(w, h, bits, seed + number)
    return data


def jpeg(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def saved_png(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def pictures() -> dict[str, bytes]:
    color, grey = scene(93, 61, 1), scene(47, 53, 2).convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = bytes(noise(5, 3 * 200))
    files = {
        "baseline-420.jpg": jpeg(color, quality=85),
        "baseline-422.jpg": jpeg(color, quality=85, subsampling="4:2:2"),
        "baseline-444.jpg": jpeg(color, quality=92, subsampling="4:4:4"),
        "progressive-420.jpg": jpeg(color, quality=80, progressive=True),
        "progressive-444.jpg": jpeg(color, quality=60, progressive=True, subsampling="4:4:4"),
        "low-quality.jpg": jpeg(scene(130, 99, 3), quality=8),
        "restart.jpg": jpeg(color, quality=75, restart_marker_blocks=3),
        "grey.jpg": jpeg(grey, quality=85),
        "grey-progressive.jpg": jpeg(grey, quality=85, progressive=True),
        "cmyk.jpg": jpeg(color.convert("CMYK"), quality=90),
        "cmyk-noise.jpg": jpeg(Image.fromarray(noise(4, 40 * 30 * 4).reshape(30, 40, 4), "CMYK"), quality=95),
        "rgb-adobe.jpg": jpeg(color, quality=90, keep_rgb=True),
        "exif-rotated.jpg": jpeg(color, quality=85, exif=exif),
        "one-pixel.jpg": jpeg(scene(1, 1, 6)),
        "odd-17x9.jpg": jpeg(scene(17, 9, 7), quality=70),
        "rgb.png": saved_png(color),
        "rgba.png": saved_png(Image.fromarray(noise(8, 31 * 22 * 4).reshape(22, 31, 4), "RGBA")),
        "grey.png": saved_png(grey),
        "grey-alpha.png": saved_png(Image.fromarray(noise(9, 31 * 22 * 2).reshape(22, 31, 2), "LA")),
        "one-pixel.png": saved_png(scene(1, 1, 10)),
        "palette.png": saved_png(color.convert("P", palette=Image.Palette.ADAPTIVE, colors=97)),
        "palette-transparent.png": saved_png(
            color.convert("P", palette=Image.Palette.ADAPTIVE), transparency=bytes(range(256))
        ),
        "palette-out-of-range.png": png(23, 17, 8, 3, rows(23, 17, 8, 11), chunk(b"PLTE", palette)),
        "palette-4-bit.png": png(23, 17, 4, 3, rows(23, 17, 4, 12), chunk(b"PLTE", palette[:48])),
        "palette-2-bit.png": png(23, 17, 2, 3, rows(23, 17, 2, 13), chunk(b"PLTE", palette[:9])),
        "palette-1-bit.png": png(23, 17, 1, 3, rows(23, 17, 1, 14), chunk(b"PLTE", palette[:6])),
        "grey-1-bit.png": png(23, 17, 1, 0, rows(23, 17, 1, 15)),
        "grey-2-bit.png": png(23, 17, 2, 0, rows(23, 17, 2, 16)),
        "grey-4-bit.png": png(23, 17, 4, 0, rows(23, 17, 4, 17)),
        "grey-16-bit.png": png(23, 17, 16, 0, rows(23, 17, 16, 18)),
        "grey-16-bit-dark.png": png(8, 1, 16, 0, b"\0" + struct.pack(">8H", 0, 1, 127, 254, 255, 256, 511, 65535)),
        "grey-alpha-16-bit.png": png(23, 17, 16, 4, rows(23, 17, 32, 19)),
        "rgb-16-bit.png": png(23, 17, 16, 2, rows(23, 17, 48, 20)),
        "rgba-16-bit.png": png(23, 17, 16, 6, rows(23, 17, 64, 21)),
        "grey-key.png": png(23, 17, 8, 0, rows(23, 17, 8, 22), chunk(b"tRNS", b"\0\x12")),
        "rgb-key.png": png(23, 17, 8, 2, rows(23, 17, 24, 23), chunk(b"tRNS", b"\0\1\0\2\0\3")),
        "gamma.png": png(23, 17, 8, 2, rows(23, 17, 24, 24), chunk(b"gAMA", struct.pack(">I", 100000))),
        "interlaced-rgb.png": png(23, 17, 8, 2, adam7(23, 17, 24, 25), interlace=1),
        "interlaced-rgba-16-bit.png": png(11, 5, 16, 6, adam7(11, 5, 64, 35), interlace=1),
        "interlaced-grey-16-bit.png": png(11, 13, 16, 0, adam7(11, 13, 16, 45), interlace=1),
        "interlaced-palette-2-bit.png": png(
            9, 10, 2, 3, adam7(9, 10, 2, 55), chunk(b"PLTE", palette[:12]), interlace=1
        ),
        "interlaced-grey-1-bit.png": png(3, 2, 1, 0, adam7(3, 2, 1, 65), interlace=1),
        "no-end-chunk.png": saved_png(grey)[:-12],
    }
    return files  # fmt: skip


def broken() -> dict[str, bytes]:
    color = scene(93, 61, 1)
    whole, jpg, progressive = saved_png(color), jpeg(color), jpeg(color, progressive=True)
    return {
        "empty.png": b"",
        "text.jpg": b"this is a sentence and not a picture\n",
        "gif.png": b"GIF89a" + bytes(50),
        "truncated.png": whole[: len(whole) // 2],
        "truncated.jpg": jpg[: len(jpg) // 2],
        "truncated-progressive.jpg": progressive[: len(progressive) // 2],
        "no-end-marker.jpg": jpg[:-2],
        "signature-only.png": whole[:8],
        "marker-only.jpg": jpg[:3],
        "huge.png": png(40000, 40000, 8, 2, b"\0" * 100),
        "zero-width.png": png(0, 5, 8, 2, b"\0" * 5),
        "zero-height.jpg": jpg[: jpg.index(b"\xff\xc0") + 5] + b"\0\0" + jpg[jpg.index(b"\xff\xc0") + 7 :],
        "huge.jpg": jpg[: jpg.index(b"\xff\xc0") + 5] + b"\x9c\x40\x9c\x40" + jpg[jpg.index(b"\xff\xc0") + 9 :],
        "short-rows.png": png(9, 9, 8, 0, b"\0" * 45),
        "bad-filter.png": png(3, 2, 8, 0, b"\7\1\2\3" * 2),
        "bad-deflate.png": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", b"\x78\x9c" + bytes(noise(3, 60))) + chunk(b"IEND", b""),
    }  # fmt: skip


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    folder = Path(sys.argv[1])
    (folder / "broken").mkdir(parents=True, exist_ok=True)
    entries = []
    for name, data in pictures().items():
        (folder / name).write_bytes(data)
        image = Image.open(io.BytesIO(data)).convert("RGB")
        resized = {str(n): digest(image.resize((n, n), Image.Resampling.BICUBIC)) for n in SQUARES}
        entries.append(
            {"file": name, "width": image.width, "height": image.height, "pixels": digest(image), "resized": resized}
        )
    for name, data in broken().items():
        (folder / "broken" / name).write_bytes(data)
        try:
            Image.open(io.BytesIO(data)).convert("RGB")
        except Exception:
            continue
        sys.exit(f"Pillow reads broken/{name}")
    resizes = []
    for width, height, new_width, new_height in RESIZES:
        image = Image.fromarray(noise(width * 65536 + height, width * height * 3).reshape(height, width, 3))
        result = digest(image.resize((new_width, new_height), Image.Resampling.BICUBIC))
        resizes.append({"from": [width, height], "to": [new_width, new_height], "pixels": result})
    content = {"pillow": PIL.__version__, "pictures": entries, "broken": sorted(broken()), "resizes": resizes}
    (folder / "images.json").write_text(json.dumps(content, indent=1) + "\n")
    print(f"{len(entries)} pictures, {len(resizes)} resizes")


if __name__ == "__main__":
    main()
