"""Any picture file becomes 8-bit RGB or is refused by name; any array becomes the same PNG bytes."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from emudrift.data.image_io import encode_png, load_image
from emudrift.errors import InputError

COCO = Path(__file__).parents[3] / "shared/data/coco"
RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(values: np.ndarray, bits: int, kind: int, *chunks: bytes, size: tuple[int, int] | None = None) -> bytes:
    """A PNG made by hand from (h, w) or (h, w, channels) values: the encoder is not the decoder's own."""
    big_endian = values.astype(">u2" if bits == 16 else np.uint8)
    lines = b"".join(b"\0" + line.tobytes() for line in big_endian)
    width, height = size or (values.shape[1], values.shape[0])
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    body = b"".join(chunks) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2).astype(np.uint8)


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return share * colour + (1 - share) * 255


INDEX = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
LOW = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
ALPHA = np.tile(np.arange(255, -1, -1, dtype=np.uint8), (8, 1))
COLOUR = np.stack([LOW, LOW // 2, 255 - LOW], axis=2)
CONVERSIONS: dict[str, tuple[bytes, np.ndarray]] = {
    "grey": (png(LOW, 8, 0), grey(LOW)),
    "1 bit": (saved(Image.fromarray(LOW > 99), "PNG"), grey((LOW > 99) * 255)),
    "palette": (png(INDEX, 8, 3, chunk(b"PLTE", PALETTE.tobytes())), PALETTE[INDEX]),
    "palette, one transparent": (
        png(INDEX, 8, 3, chunk(b"PLTE", PALETTE.tobytes()), chunk(b"tRNS", bytes([255, 0, 51]))),
        np.array([[255, 0, 0], [255, 255, 255], [204, 204, 255]])[INDEX],
    ),
    "grey with alpha": (png(np.stack([LOW, ALPHA], 2), 8, 4), on_white(grey(LOW), ALPHA)),
    "colour with alpha": (png(np.dstack([COLOUR, ALPHA]), 8, 6), on_white(COLOUR, ALPHA)),
    "grey, one value transparent": (
        png(LOW, 8, 0, chunk(b"tRNS", struct.pack(">H", 7))),
        grey(np.where(LOW == 7, 255, LOW)),
    ),
    "colour, one value transparent": (
        png(COLOUR, 8, 2, chunk(b"tRNS", struct.pack(">HHH", 0, 0, 255))),
        np.where((LOW == 0)[..., None], 255, COLOUR),
    ),
    "16-bit grey PNG": (png(RAMP, 16, 0), grey(np.round(RAMP / 65535 * 255))),
    "16-bit grey PGM": (b"P5 256 256 65535\n" + RAMP.astype(">u2").tobytes(), grey(np.round(RAMP / 65535 * 255))),
    "16-bit grey TIFF": (saved(Image.fromarray(RAMP), "TIFF"), grey(np.round(RAMP / 65535 * 255))),
    "16-bit grey, one value transparent": (
        png(RAMP, 16, 0, chunk(b"tRNS", struct.pack(">H", 300))),
        grey(np.where(RAMP == 300, 255, np.round(RAMP / 65535 * 255))),
    ),
    "16-bit colour": (png(np.dstack([RAMP] * 3), 16, 2), grey(RAMP // 256)),
    "CMYK": (
        saved(Image.merge("CMYK", [Image.fromarray(band) for band in (255 - LOW, 255 - LOW, LOW, LOW * 0)]), "TIFF"),
        np.stack([LOW, LOW, 255 - LOW], 2),
    ),
    "colour, with a profile": (saved(Image.fromarray(NOISE), "PNG", icc_profile=b"profile"), NOISE),
}


@pytest.mark.parametrize("kind", CONVERSIONS)
def test_every_kind_of_image_becomes_the_rgb_that_it_shows_on_white(kind: str) -> None:
    data, expected = CONVERSIONS[kind]
    image = load_image(io.BytesIO(data))
    assert image.mode == "RGB"
    assert not image.info
    # One level for the rounding of blends; opaque 8-bit pixels are exact.
    tolerance = 1 if "alpha" in kind or "transparent" in kind else 0
    assert np.abs(np.asarray(image).astype(int) - expected).max() <= tolerance


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    bands = [Image.new("L", (32, 32), value) for value in (0, 255, 255, 0)]  # no cyan, full magenta and yellow: red
    image = load_image(io.BytesIO(saved(Image.merge("CMYK", bands), "JPEG", quality=95)))
    assert np.abs(np.asarray(image).astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda a: np.rot90(a)),
    ],
)
def test_exif_orientation_is_applied(orientation: int, upright) -> None:  # type: ignore[no-untyped-def]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = load_image(io.BytesIO(saved(Image.fromarray(NOISE), "PNG", exif=exif)))
    np.testing.assert_array_equal(np.asarray(image), upright(NOISE))


PNG = png(NOISE, 8, 2)
JPEG, WEBP, GIF, AVIF = (saved(Image.fromarray(NOISE), kind) for kind in ("JPEG", "WEBP", "GIF", "AVIF"))
REFUSED = {
    "empty": (b"", "0 bytes"),
    "text": (b"<html>404 not found</html>", "not an image"),
    "EPS, which would start Ghostscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "JPEG without its last byte": (JPEG[:-1], "truncated"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "truncated"),
    "PNG without its last byte": (PNG[:-1], "truncated"),
    "PNG without its end": (PNG[:-12], "truncated"),
    "half a PNG": (PNG[: len(PNG) // 2], "truncated"),
    "PNG, header only": (PNG[:33], "only the beginning"),
    "half a WebP": (WEBP[: len(WEBP) // 2], "truncated"),
    "half a GIF": (GIF[: len(GIF) // 2], "truncated"),
    "AVIF that does not say where its data are": (AVIF.replace(b"iloc", b"xxxx"), "damaged"),
    "wrong checksum": (PNG.replace(b"IDATx", b"IDATy", 1), "a checksum of its PNG does not match its content"),
    "bomb": (png(NOISE, 8, 2, size=(10_000, 9_000)), "more than 89,478,485 pixels.*make it smaller"),
    "larger bomb": (png(NOISE, 8, 2, size=(60_000, 60_000)), "more than 89,478,485 pixels.*make it smaller"),
    "float": (saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "32-bit"),
    "32-bit integers": (saved(Image.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF"), "32-bit"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_a_bad_file_is_refused_by_name_whatever_other_packages_have_switched_on(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data, reason = REFUSED[kind]
    (tmp_path / "photo.jpg").write_bytes(data)
    with pytest.raises(InputError, match=reason) as caught:
        load_image(tmp_path / "photo.jpg")
    assert "photo.jpg" in str(caught.value)
    with pytest.raises(InputError, match=r"member 7 of images\.tar"):
        load_image(io.BytesIO(data), name="member 7 of images.tar")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_no_flipped_bit_of_a_png_goes_unnoticed() -> None:
    data = png(COLOUR, 8, 2)
    for position in range(len(data)):  # Pillow alone gives wrong pixels without a word for some of them
        flipped = bytearray(data)
        flipped[position] ^= 4
        with pytest.raises(InputError):
            load_image(io.BytesIO(flipped))


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(InputError, match=f"cannot read the image {path}: "):
            load_image(path)


def test_the_real_photographs_load_as_rgb_in_the_size_that_coco_gives() -> None:
    if not COCO.is_dir():
        pytest.skip(f"NOT TESTED: real photographs; {COCO} is absent")
    records = json.loads((COCO / "captions_val2017_79.json").read_text())["images"]
    for record in records:
        image = load_image(COCO / "val2017" / record["file_name"])
        assert (image.mode, image.width, image.height) == ("RGB", record["width"], record["height"])
        assert np.asarray(image).std() > 5  # a picture, not a grey fill
    assert len(records) == len(list((COCO / "val2017").iterdir())) == 79


def test_encoded_pixels_come_back_and_alone_decide_the_bytes() -> None:
    data = encode_png(NOISE)
    np.testing.assert_array_equal(np.asarray(load_image(io.BytesIO(data))), NOISE)
    decorated = Image.fromarray(NOISE)
    decorated.info.update(icc_profile=b"profile", dpi=(72, 72), transparency=(1, 2, 3), Comment="made at noon")
    assert encode_png(decorated) == data == encode_png(np.asfortranarray(NOISE)) == encode_png(NOISE[::-1][::-1])
    chunks, position = [], 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        chunks.append(data[position + 4 : position + 8])
        position += length + 12
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}
    np.testing.assert_array_equal(np.asarray(load_image(io.BytesIO(encode_png(LOW)))), grey(LOW))


@pytest.mark.parametrize(
    "array", [NOISE / 255, NOISE.astype(np.int64), NOISE[..., :2], NOISE[None], NOISE[:0], Image.new("RGBA", (2, 2))]
)
def test_what_would_need_rounding_or_guessing_is_not_encoded(array: np.ndarray | Image.Image) -> None:
    with pytest.raises(ValueError, match="encode_png takes"):
        encode_png(array)
