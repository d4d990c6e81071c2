"""The folder generator: images that exist already find their prompts, and missing ones are listed."""

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import experiment
from PIL import Image

from emudrift.data.image_io import load_image
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation import folder as module
from emudrift.generation.folder import FolderGenerator, check_folder
from emudrift.generation.registry import check_model, is_unchanged

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
        ("prompt_id,file_name\np0,../p0.png\n", "line 2.: the file name '../p0.png' must be relative"),
        ("prompt_id,file_name\np0,p0.png\np0,p0.png\n", "line 3.: prompt_id 'p0' appears twice"),
        ("prompt_id,file_name\np0,none.png\n", "line 2.: 'none.png' is not a file"),
        ("prompt_id,file_name\np0,p\0.png\n", r"line 2.: the file name 'p.x00\.png' must be .* no control characters"),
        ("prompt_id,file_name\np0," + 140_000 * "p", "line 2 is not CSV: a value has more than 131,072 characters"),
        ('prompt_id,file_name\np0,p0.png\np1,"p1.png\n', 'line 3 is not CSV: a quote .". in this row is never closed'),
        ("prompt_id;file_name\np0;p0.png\n", "has semicolons between its columns: save it as CSV with commas"),
        ("prompt_id,file_name\np0\n", "line 2. has 1 values for 2 columns"),
        ("", "is empty: its first line must name the columns"),
    ],
)
def test_a_faulty_table_is_refused_with_its_line(folder, table, said):
    (folder / "table.csv").write_text(table)
    with pytest.raises(InputError, match=said):
        FolderGenerator(folder, folder / "table.csv")


def test_a_table_saved_by_a_spreadsheet_with_a_byte_order_mark_is_read(folder):
    (folder / "table.csv").write_bytes(b"\xef\xbb\xbfprompt_id,file_name\r\np3,other.png\r\n")
    assert values(FolderGenerator(folder, folder / "table.csv"), [PROMPTS[3]]) == [3]


def test_a_fifo_in_the_place_of_an_image_is_refused_and_not_waited_for(folder):
    (folder / "p0.png").unlink()
    os.mkfifo(folder / "p0.png")
    with pytest.raises(InputError, match=r"p0\.png: it is a folder, FIFO or device, not a file"):
        check_folder(folder, None, PROMPTS[:1])


def test_two_images_of_one_name_and_a_missing_folder_are_refused(folder):
    Image.new("RGB", (4, 4)).save(folder / "p0.jpg")
    with pytest.raises(InputError, match=r"p0\.jpg and p0\.png have the same name"):
        FolderGenerator(folder, None)
    with pytest.raises(InputError, match="is not a folder"):
        FolderGenerator(folder / "none", None)


def test_images_are_hashed_once_and_then_known_by_size_and_time(tmp_path, folder, monkeypatch):
    made = experiment(tmp_path, models=[{"name": "others", "generator": "folder", "images": str(folder)}])
    recorded = check_model(made, "others", PROMPTS[:3])
    read: list[Path] = []
    monkeypatch.setattr(module, "load_image", lambda path: read.append(path) or load_image(path))
    assert is_unchanged(made, recorded, PROMPTS)
    assert read == []
    os.utime(folder / "p0.png", (1, 1))
    assert is_unchanged(made, recorded, PROMPTS), "a copy with another time is hashed again, and the same"
    assert len(read) == 3
    Image.new("RGB", (4, 6), (9, 0, 0)).save(folder / "p0.png")
    assert not is_unchanged(made, recorded, PROMPTS)
