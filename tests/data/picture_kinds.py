"""Files of pictures of every kind, made chunk by chunk or by Pillow."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

RANDOM = np.random.default_rng(4)
BYTES = RANDOM.integers(0, 256, (20, 30, 4))
WORDS = RANDOM.integers(0, 2**16, (20, 30, 4))
PALETTE = RANDOM.bytes(3 * 256)
RGB = BYTES[..., :3].astype(np.uint8)


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    checksum = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + checksum


def png(samples, depth, kind, width=30, before=b"") -> bytes:
    """A PNG file of any depth and kind.

    Args:
      samples: rows of bytes, or of words for a depth of 16.
      depth: bits of a sample.
      kind: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
      width: in pixels.
      before: chunks that come before the pixels.
    """
    header = struct.pack(">IIBBBBB", width, len(samples), depth, kind, 0, 0, 0)
    rows = samples.astype(">u2" if depth == 16 else "u1")
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before
    return content + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def encode(image, kind, **options) -> bytes:
    """What Pillow makes of an array or one of its images."""
    file = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int, order: str = "<", kind: int = 3) -> bytes:
    """EXIF data that hold nothing but an orientation, 2 or 4 (kind 4) bytes wide."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(order + ("H" if kind == 3 else "I"), orientation).ljust(
        4, b"\0"
    )
    entry = struct.pack(order + "HHI", 0x0112, kind, 1) + value
    head = struct.pack(order + "IH", 8, 1)
    return start + head + entry + struct.pack(order + "I", 0)


def with_exif(jpeg: bytes, data: bytes) -> bytes:
    """A JPEG with EXIF data in front of everything else, as cameras write it."""
    segment = b"Exif\0\0" + data
    length = struct.pack(">H", len(segment) + 2)
    return jpeg[:2] + b"\xff\xe1" + length + segment + jpeg[2:]


def turned_by_half(path, folder):
    """The same picture turned by its EXIF data, and turned in its pixels."""
    with Image.open(path) as image:
        image.save(folder / "exif.png", exif=exif(3))
        image.rotate(180).save(folder / "turned.png")
    return str(folder / "exif.png"), str(folder / "turned.png")


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
COLOUR_CHUNKS = {
    "sRGB": chunk(b"sRGB", b"\0"),
    "gAMA": chunk(b"gAMA", struct.pack(">I", 45455)),
    "gAMA of 1": chunk(b"gAMA", struct.pack(">I", 100000)),
    "iCCP": chunk(b"iCCP", b"name\0\0" + zlib.compress(PROFILE)),
    "cHRM": chunk(
        b"cHRM",
        struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    ),
}
PALETTE_CHUNK = chunk(b"PLTE", PALETTE)
PNG_KINDS = {
    "grey": png(BYTES[..., 0], 8, 0),
    "grey with a transparent one": png(
        BYTES[..., 0], 8, 0, before=chunk(b"tRNS", b"\0\x07")
    ),
    "grey and alpha": png(BYTES[..., :2], 8, 4),
    "grey of 1 bit": png(BYTES[:, :4, 0], 1, 0),
    "grey of 2 bits": png(BYTES[:, :8, 0], 2, 0),
    "grey of 4 bits": png(BYTES[:, :15, 0], 4, 0),
    "grey of 16 bits": png(WORDS[..., 0], 16, 0),
    "grey and alpha of 16 bits": png(WORDS[..., :2], 16, 4),
    "RGB": png(BYTES[..., :3], 8, 2),
    "RGB with a transparent one": png(
        BYTES[..., :3], 8, 2, before=chunk(b"tRNS", b"\0\x07" * 3)
    ),
    "RGBA": png(BYTES, 8, 6),
    "RGB of 16 bits": png(WORDS[..., :3], 16, 2),
    "RGBA of 16 bits": png(WORDS, 16, 6),
    "palette": png(BYTES[..., 0], 8, 3, before=PALETTE_CHUNK),
    "palette of 4 bits": png(
        BYTES[:, :15, 0], 4, 3, before=chunk(b"PLTE", PALETTE[:48])
    ),
    "palette with transparent ones": png(
        BYTES[..., 0], 8, 3, before=PALETTE_CHUNK + chunk(b"tRNS", PALETTE[:256])
    ),
    **{
        f"RGB with {name}": png(BYTES[..., :3], 8, 2, before=content)
        for name, content in COLOUR_CHUNKS.items()
    },
    "grey with gAMA": png(BYTES[..., 0], 8, 0, before=COLOUR_CHUNKS["gAMA"]),
    "palette with sRGB and gAMA": png(
        BYTES[..., 0],
        8,
        3,
        before=COLOUR_CHUNKS["sRGB"] + COLOUR_CHUNKS["gAMA"] + PALETTE_CHUNK,
    ),
    "RGBA of 16 bits with gAMA": png(WORDS, 16, 6, before=COLOUR_CHUNKS["gAMA"]),
}
JPEG_KINDS = {
    **{
        f"{name}, colours {ratio}": encode(
            RGB, "JPEG", quality=85, subsampling=ratio, progressive=name != "baseline"
        )
        for name in ("baseline", "progressive")
        for ratio in ("4:4:4", "4:2:2", "4:2:0", "4:1:1")
    },
    "grey JPEG": encode(RGB[..., 0], "JPEG", quality=90),
    "progressive grey JPEG": encode(RGB[..., 0], "JPEG", progressive=True),
    "RGB that stays RGB": encode(RGB, "JPEG", quality=90, keep_rgb=True),
    "CMYK": encode(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=90),
    "JPEG with a profile": encode(RGB, "JPEG", icc_profile=PROFILE),
    "JPEG with a comment": encode(RGB, "JPEG", comment=b"nothing"),
    "JPEG with restarts": encode(RGB, "JPEG", restart_marker_blocks=1),
}
WEBP_KINDS = {
    "WebP": encode(RGB, "WEBP", quality=80),
    "lossless WebP": encode(RGB, "WEBP", lossless=True),
    "WebP with alpha": encode(BYTES.astype(np.uint8), "WEBP", quality=80),
    "WebP with a profile": encode(RGB, "WEBP", icc_profile=PROFILE),
}
KINDS = {**PNG_KINDS, **JPEG_KINDS, **WEBP_KINDS}


def turned_files() -> dict[str, tuple[bytes, bytes, int]]:
    """Files with an orientation, by name: as stored, with EXIF, the orientation."""
    jpeg, cmyk = JPEG_KINDS["baseline, colours 4:2:0"], JPEG_KINDS["CMYK"]
    behind_jfif = encode(RGB, "JPEG", quality=85)
    found = {}
    for number in range(1, 9):
        data = exif(number, "<" if number % 2 else ">", 3 if number < 5 else 4)
        turned = {
            "JPEG": (jpeg, with_exif(jpeg, data)),
            "JPEG, EXIF behind JFIF": (
                behind_jfif,
                encode(RGB, "JPEG", quality=85, exif=b"Exif\0\0" + data),
            ),
            "CMYK": (cmyk, with_exif(cmyk, data)),
            "PNG": (
                PNG_KINDS["RGBA"],
                png(BYTES, 8, 6, before=chunk(b"eXIf", data)),
            ),
            "WebP": (
                WEBP_KINDS["lossless WebP"],
                encode(RGB, "WEBP", lossless=True, exif=data),
            ),
        }
        for name, (stored, content) in turned.items():
            found[f"{name}, orientation {number}"] = (stored, content, number)
    return found


TURNED = turned_files()
