"""The folder generator: images that exist already find their prompts, and missing ones are listed."""

import numpy as np
import pytest
from PIL import Image

from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.folder import FolderGenerator, check_folder

PROMPTS = [Prompt(row, f"p{row}", 100 + row, f"photos/COCO_{row}.jpg", 8, 8, "x", row) for row in range(4)]


@pytest.fixture
def folder(tmp_path):
    """One image by prompt_id, one by the dataset's file name, one by image id, one under another name."""
    for value, name in enumerate(["p0.png", "COCO_1.png", "102.bmp", "other.png"]):
        Image.new("RGB", (4, 6), (value, 0, 0)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def values(generator, prompts):
    return [int(drawing.image[0, 0, 0]) for drawing in generator.generate(prompts)]


def test_images_are_matched_by_prompt_id_file_name_or_image_id(folder):
    assert values(FolderGenerator(folder, None), [PROMPTS[2], PROMPTS[0], PROMPTS[1]]) == [2, 0, 1]


def test_a_table_decides_alone(folder):
    table = folder / "table.csv"
    table.write_text("prompt_id,file_name\np3,other.png\np0,102.bmp\n")
    assert values(FolderGenerator(folder, table), [PROMPTS[3], PROMPTS[0]]) == [3, 2]
    with pytest.raises(InputError, match=r"table\.csv: no image for 1 of 1 prompts .*: p1"):
        FolderGenerator(folder, table).find_all(PROMPTS[1:2])


def test_missing_images_are_listed(folder):
    with pytest.raises(InputError, match=r"no image for 1 of 4 prompts \(rows 0 to 3\): p3"):
        check_folder(folder, None, PROMPTS)


def test_the_digest_changes_with_an_image(folder):
    before = check_folder(folder, None, PROMPTS[:3])["digest"]
    assert check_folder(folder, None, PROMPTS[:3])["digest"] == before
    Image.fromarray(np.full((6, 4, 3), 9, np.uint8)).save(folder / "p0.png")
    assert check_folder(folder, None, PROMPTS[:3])["digest"] != before


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("prompt_id,file\np0,p0.png\n", "needs the columns prompt_id and file_name"),
        ("prompt_id,file_name\np0,../p0.png\n", "line 2: '../p0.png' is outside"),
        ("prompt_id,file_name\np0,p0.png\np0,p0.png\n", "line 3: prompt_id 'p0' appears twice"),
        ("prompt_id,file_name\np0,none.png\n", "line 2: 'none.png' is not a file"),
    ],
)
def test_a_faulty_table_is_refused_with_its_line(folder, table, said):
    (folder / "table.csv").write_text(table)
    with pytest.raises(InputError, match=said):
        FolderGenerator(folder, folder / "table.csv")


def test_two_images_of_one_name_and_a_missing_folder_are_refused(folder):
    Image.new("RGB", (4, 4)).save(folder / "p0.jpg")
    with pytest.raises(InputError, match=r"p0\.jpg and p0\.png have the same name"):
        FolderGenerator(folder, None)
    with pytest.raises(InputError, match="is not a folder"):
        FolderGenerator(folder / "none", None)
