"""Labelled objects of COCO photographs, from an instances file (instances_val2017.json)."""

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from emudrift.data.json_input import integer, list_of_objects, load_json, text_of, unique
from emudrift.errors import InputError

PERSON = "person"


@dataclass(frozen=True)
class Labelled:
    """The objects of one photograph: the category of each. A crowd region (iscrowd), of many, counts as one."""

    file_name: str
    width: int
    height: int
    categories: list[str]


def load_instances(path: Path) -> dict[int, Labelled]:
    """The photographs of an instances file by image id, also those without objects.

    Raises:
        InputError: the file is missing, damaged or no instances file, or an entry names an image or category that it lacks.
    """
    data = load_json(path, "COCO's instances file is needed, such as instances_val2017.json")
    if not isinstance(data, dict):
        raise InputError(f"{path} contains {type(data).__name__}, not an object with 'images': is it another file?")
    records = list_of_objects(data, "images", path)
    if "categories" not in data:
        raise InputError(f"{path} has no 'categories' (captions_*.json has none): give the file instances_*.json")
    names = {
        integer(each, "id", f"{path}: categories[{index}]"): text_of(each, "name", f"{path}: categories[{index}]")
        for index, each in enumerate(list_of_objects(data, "categories", path))
    }
    found: dict[int, Labelled] = {}
    seen = set[int]()
    for index, record in enumerate(records):
        where = f"{path}: images[{index}]"
        image_id = unique(record, "id", where, seen)
        width, height = (integer(record, side, where) if record.get(side) else 0 for side in ("width", "height"))
        found[image_id] = Labelled(str(record.get("file_name", "")), width, height, [])
    annotations = list_of_objects(data, "annotations", path, may_be_empty=True)
    for index, annotation in enumerate(annotations):
        where = f"{path}: annotations[{index}]"
        for key, known in (("image_id", found), ("category_id", names)):
            if integer(annotation, key, where) not in known:
                raise InputError(f"{where}: there is no entry with its {key} {annotation[key]}")
    for image_id, category_ids in _by_image(records, annotations).items():
        found[image_id].categories.extend(names[each] for each in category_ids)
    return found


def _by_image(records: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> dict[int, list[int]]:
    coco = COCO()
    coco.dataset = {"images": records, "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return {
        int(record["id"]): [int(each["category_id"]) for each in coco.imgToAnns[record["id"]]] for record in records
    }


def labelled_objects(path: Path, images: Iterable[tuple[int, str, int, int]]) -> list[Labelled]:
    """The objects of these photographs, in their order.

    Args:
        images: image id, file name ("" if unknown), width and height (0 if unknown) of each.

    Raises:
        InputError: as `load_instances`; the file lacks some photographs, or they have another name or size there.
    """
    found, wanted = load_instances(path), list(images)
    missing = [image_id for image_id, *_ in wanted if image_id not in found]
    if missing:
        raise InputError(
            f"{path} lacks {len(missing):,} of {len(wanted):,} images (first id: {missing[0]}): is it the instances file "
            "of another dataset or split?"
        )
    for image_id, file_name, width, height in wanted:
        labelled = found[image_id]
        # COCO_val2014_000000000139.jpg of 2014 is 000000000139.jpg of 2017.
        first, second = Path(file_name).name, Path(labelled.file_name).name
        other = first and second and not (first.endswith(second) or second.endswith(first))
        sizes = (width, height), (labelled.width, labelled.height)
        if other or (all(map(all, sizes)) and sizes[0] != sizes[1]):
            raise InputError(
                f"{path}: image {image_id} is {_described(second, *sizes[1])}; in the captions it is "
                f"{_described(first, *sizes[0])}: is it the instances file of another dataset?"
            )
    return [found[image_id] for image_id, *_ in wanted]


def _described(name: str, width: int, height: int) -> str:
    return f"{name or 'without a name'} ({width} x {height})"
