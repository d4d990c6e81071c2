"""Images of other sizes than the reference's are pointed out by the check; those of one size are not."""

import pytest
from conftest import experiment, small_config
from PIL import Image

from emudrift.data.prompts import Prompt
from emudrift.features.image_sizes import point_out_sizes, span
from emudrift.generation.folder import check_folder

BOTH = [{"model": "base"}, {"model": "finetuned"}]


def prompts(width: int, height: int) -> list[Prompt]:
    return [Prompt(row, f"p{row}", row, f"{row}.png", width + row, height, "x", row) for row in range(3)]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    for name in "01":
        Image.new("RGB", (64, 64)).save(folder / f"{name}.png")
    return folder


def test_the_datasets_own_sizes_are_compared_without_opening_an_image(tmp_path, caplog):
    ours = experiment(tmp_path, reference={"images": "dataset"})
    words = point_out_sizes(ours, prompts(640, 480), BOTH)
    assert words == {"base": "64 x 64", "finetuned": "64 x 64", "reference": "640 to 642 x 480"}
    assert "images differ in size (base 64 x 64; finetuned 64 x 64; the reference: 640 to 642 x 480)" in caplog.text


def test_images_of_one_size_are_not_pointed_out(tmp_path, images, caplog):
    ours = experiment(tmp_path, reference={"images": str(images)})
    assert set(point_out_sizes(ours, prompts(640, 480), BOTH).values()) == {"64 x 64"}
    assert caplog.text == ""


def test_an_arm_of_existing_images_is_pointed_out_alone(tmp_path, images, caplog):
    (tmp_path / "theirs").mkdir()
    for name, size in {"p0": (100, 80), "p1": (90, 85)}.items():
        Image.new("RGB", size).save(tmp_path / "theirs" / f"{name}.png")
    theirs = {"name": "theirs", "generator": "folder", "images": str(tmp_path / "theirs")}
    models = [small_config()["models"][0], theirs]
    ours = experiment(tmp_path, models=models, reference={"images": str(images)})
    found = check_folder(tmp_path / "theirs", None, prompts(8, 8)[:2])
    assert found["sizes"] == [[90, 80], [100, 85]]
    point_out_sizes(ours, prompts(8, 8), [{"model": "base"}, {"model": "theirs"} | found])
    assert "images differ in size (theirs 90 to 100 x 80 to 85; the reference: 64 x 64)" in caplog.text


def test_sizes_in_words():
    assert span([(8, 9), (8, 9)]) == "8 x 9"
    assert span([(8, 9), (7, 10)]) == "7 to 8 x 9 to 10"
