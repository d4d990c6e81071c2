"""Features are of the right images: an archive whose images were exchanged or shifted, consistently with itself, is refused."""

import io
import tarfile
from pathlib import Path

import pytest
from test_shards import IDENTITY, PROMPTS, Painter, make

from emudrift.errors import InputError
from emudrift.generation.archives import check_archive, read_images

IDS = [prompt.prompt_id for prompt in PROMPTS]


@pytest.fixture
def archive(tmp_path) -> Path:
    make(tmp_path, Painter())
    return tmp_path / "a.tar"


@pytest.fixture
def sums(archive) -> dict[str, str]:
    return check_archive(archive, PROMPTS, IDENTITY).sha256


def rewrite(archive: Path, places: list[int], *, images_only: bool) -> None:
    """Puts the sample of `places[i]` at place i; `images_only`: under the name that place i had."""
    with tarfile.open(archive) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar.getmembers()]
    samples = [[each for each in members if each[0].startswith(prompt_id)] for prompt_id in IDS]
    with tarfile.open(archive, "w") as tar:
        for i, place in enumerate(places):
            for name, data in samples[place]:
                name = name.replace(IDS[place], IDS[i]) if images_only else name
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def test_what_was_packed_is_read(archive, sums):
    assert len(list(read_images(archive, IDS, sums))) == len(IDS)


@pytest.mark.parametrize(
    ("places", "images_only", "message"),
    [
        ([1, 0, *range(2, 10)], True, f"image {IDS[0]} is not the one of the manifest"),
        ([1, 0, *range(2, 10)], False, "its images are not those of its rows' prompts, in their order"),
        ([*range(1, 10), 0], True, f"image {IDS[0]} is not the one of the manifest"),
        ([*range(1, 10), 0], False, "its images are not those of its rows' prompts, in their order"),
        ([*range(9)], False, "its images are not those of its rows' prompts, in their order"),
    ],
    ids=[
        "two pictures exchanged",
        "two samples exchanged",
        "pictures shifted by one",
        "samples shifted by one",
        "one short",
    ],
)
def test_images_in_other_places_are_refused(archive, sums, places, images_only, message):
    """The members' own checksums hold: only the manifest and the prompts tell."""
    rewrite(archive, places, images_only=images_only)
    with pytest.raises(InputError, match=message):
        list(read_images(archive, IDS, sums))


def test_a_manifest_of_other_images_is_refused(archive, sums):
    first, second = IDS[:2]
    with pytest.raises(InputError, match=f"image {first} is not the one of the manifest"):
        list(read_images(archive, IDS, sums | {first: sums[second], second: sums[first]}))
