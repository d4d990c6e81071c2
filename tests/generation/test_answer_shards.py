"""Shards of answers: killed anywhere and run again they give the same bytes; nothing finished is answered twice or deleted."""

import json
import multiprocessing
import re
import shutil
import signal
import zipfile
from pathlib import Path

import pytest
from clerks import QUESTIONS, Desk, experiment_that_sees, write_pictures
from PIL import Image

from emudrift.errors import InputError
from emudrift.generation.answers.answer_files import load_answer_manifest
from emudrift.generation.answers.partial_answers import AnswerIdentity, PartialAnswers
from emudrift.generation.answers.progress_of_answers import survey_answers
from emudrift.generation.answers.questions import load_asked
from emudrift.generation.attempts import KILLED, History
from emudrift.generation.leftovers import scan_leftovers
from emudrift.generation.remove_images import remove_images
from emudrift.generation.verify import verify
from emudrift.report.plan_and_status import plan_view, status_view
from emudrift.runtime.jobs import this_job
from emudrift.runtime.locks import Lock
from emudrift.runtime.terminal import plain

VARIANTS = {"shots": [0, 2], "text_only": True, "control": True}
BF16 = {"width": 64, "height": 64, "dtype": "bfloat16", "suffix": "", "negative_prompt": ""}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def undisturbed(tmp_path) -> bytes:
    return Desk().run(experiment_that_sees(tmp_path / "undisturbed")).read_bytes()


def test_answers_are_json_lines_in_row_order_with_a_manifest(tmp_path, desk):
    experiment = experiment_that_sees(tmp_path)
    path = desk.run(experiment)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(10))
    assert [(line["question_id"], line["image_id"]) for line in lines] == [
        (q.question_id, q.image_id) for q in QUESTIONS[:10]
    ]
    assert all(line["answer"].startswith("é ") for line in lines)
    assert sorted(desk.asked) == list(range(10))
    assert desk.asked == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9], "not batched by length, in batches of four"
    manifest = load_answer_manifest(path.with_suffix(".json"))
    assert (manifest.n_answers, manifest.batch_size, manifest.attempts[0].images) == (10, None, 10)
    assert not (path.parent / ".partial" / path.stem).exists()


def die(folder: Path) -> None:
    Desk(dies=5).run(experiment_that_sees(folder))


def test_a_killed_shard_goes_on_and_gives_the_same_bytes(tmp_path, desk, undisturbed):
    process = multiprocessing.get_context("spawn").Process(target=die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    experiment = experiment_that_sees(tmp_path)
    path = desk.run(experiment)
    assert path.read_bytes() == undisturbed
    assert desk.asked == [1, 3, 5, 7, 9], "what was there was answered again"
    attempts = History(path.with_name(f"{path.stem}.attempts.jsonl")).attempts()
    assert [attempt.reason for attempt in attempts] == [KILLED, "finished"]
    assert [attempt.images for attempt in attempts] == [5, 5]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("fault", [Path.unlink, flip, lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_broken_batch_is_answered_again_and_the_others_are_not(tmp_path, desk, undisturbed, fault):
    with pytest.raises(InputError, match="stop"):
        _stop_after(desk, experiment_that_sees(tmp_path))
    partial = sorted(tmp_path.glob("results/small/answers/*/*/.partial/*/*.json"))
    assert len(partial) == 4
    fault(partial[0])
    asked = len(desk.asked)
    assert desk.run(experiment_that_sees(tmp_path)).read_bytes() == undisturbed
    assert 0 < len(desk.asked) - asked <= 4


def _stop_after(desk: Desk, experiment) -> None:
    """All batches are finished, and packing them fails."""
    with pytest.MonkeyPatch.context() as patched:

        def stop(*_):
            raise InputError("stop")

        patched.setattr("emudrift.generation.answers.run_answers.answer_lines", stop)
        desk.run(experiment)


def test_a_forced_job_answers_nothing_and_writes_the_same_manifest(tmp_path, desk):
    experiment = experiment_that_sees(tmp_path)
    path = desk.run(experiment)
    manifest, answers = path.with_suffix(".json"), path.read_bytes()
    before = manifest.read_bytes()
    manifest.unlink()  # As Snakemake does before a job that it runs again.
    desk.run(experiment)
    assert (manifest.read_bytes(), path.read_bytes(), len(desk.asked)) == (before, answers, 10)
    flip(path)
    desk.run(experiment)
    assert (path.read_bytes(), len(desk.asked)) == (answers, 20), "damaged answers were kept"


def test_more_questions_keep_the_answers_that_are_there(tmp_path, desk):
    desk.run(experiment_that_sees(tmp_path))
    path = desk.run(experiment_that_sees(tmp_path, task={"number": 20, "shard_size": 20}))
    assert sorted(desk.asked[10:]) == list(range(8, 20)), "whole batches with a new question, and nothing else"
    alone = Desk()
    assert (
        path.read_bytes()
        == alone.run(experiment_that_sees(tmp_path / "alone", task={"number": 20, "shard_size": 20})).read_bytes()
    )


def test_another_picture_under_the_same_name_and_other_weights_are_answered_anew(tmp_path, desk):
    path = desk.run(experiment_that_sees(tmp_path))
    before = path.read_bytes()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "pictures/3.png")
    desk.run(experiment_that_sees(tmp_path))
    changed = [
        n for n, (a, b) in enumerate(zip(before.splitlines(), path.read_bytes().splitlines(), strict=True)) if a != b
    ]
    assert (changed, desk.asked[10:]) == ([3], [1, 3, 5, 7]), "its batch, and nothing else"
    (aside,) = path.parent.glob(".set-aside/*.jsonl")
    assert aside.read_bytes() == before, "finished answers were deleted"
    desk.run(experiment_that_sees(tmp_path, digest="e" * 64))
    assert len(desk.asked) == 14 + 10


def test_in_16_bit_the_first_shard_fixes_the_batch_of_all(tmp_path, desk):
    experiment = experiment_that_sees(tmp_path, generation=BF16, task={"shard_size": 5})
    desk.run(experiment, batch_size=3)
    path = desk.run(experiment, shard=1, batch_size=2)
    assert load_answer_manifest(path.with_suffix(".json")).answered_together == {3: 5}
    assert path.with_name("batch.json").exists()
    asked = len(desk.asked)
    other = experiment_that_sees(tmp_path, generation=BF16, task={"shard_size": 10})
    assert all(line.endswith('3"}') for line in desk.run(other, batch_size=2).read_text().splitlines())
    assert len(desk.asked) == asked, "answers in batches of the same size were not taken"


def test_variants_show_other_pictures_and_examples_that_all_arms_share(tmp_path):
    experiment = experiment_that_sees(tmp_path, task=VARIANTS)
    asked = {variant.label: load_asked(experiment, variant) for variant in experiment.understanding.variants()}
    assert list(asked) == ["vqa", "vqa-2shots", "vqa-textonly", "vqa-control"]
    for own, exchanged, shots, text in zip(
        asked["vqa"], asked["vqa-control"], asked["vqa-2shots"], asked["vqa-textonly"], strict=True
    ):
        assert (
            own.text == exchanged.text == f"how many, {own.row} é?\nAnswer the question using a single word or phrase."
        )
        assert (own.picture.name, exchanged.picture.name) == (f"{own.row}.png", f"{(own.row + 1) % 20}.png")
        assert [each.picture.name for each in shots.examples] == [
            f"{each.answer.split()[1]}.png" for each in shots.examples
        ]
        assert all(int(each.answer.split()[1]) >= 20 for each in shots.examples), (
            "an example of a question's own picture"
        )
        assert [(each.text, each.answer, each.picture) for each in text.examples] == [
            (each.text, each.answer, None) for each in shots.examples
        ]
        assert len({each.digest for each in (own, exchanged, shots, text)}) == 4
    assert len({tuple(each.examples) for each in asked["vqa-2shots"]}) > 3, "all questions have the same examples"


def test_pictures_of_an_archive_give_the_same_answers(tmp_path, desk, undisturbed):
    write_pictures(tmp_path / "unpacked")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in (tmp_path / "unpacked").iterdir():
            archive.write(path, f"val2014/{path.name}")
    experiment = experiment_that_sees(tmp_path, task={"images": str(tmp_path / "all.zip")})
    assert desk.run(experiment).read_bytes() == undisturbed


def test_a_missing_picture_is_named(tmp_path, desk):
    experiment = experiment_that_sees(tmp_path)
    (tmp_path / "pictures/4.png").unlink()
    with pytest.raises(InputError, match=r"pictures: cannot read the picture 4.png: no such file"):
        desk.run(experiment)


def test_tasks_without_a_model_that_sees_are_refused(tmp_path):
    drawer = {"name": "shapes", "generator": "command", "command": ["python", "{prompts}", "{output}"]}
    with pytest.raises(InputError, match="understanding: none of the models answers questions about pictures"):
        experiment_that_sees(tmp_path, models=[drawer])
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    answers = {"answer_command": ["python", "demo/answer.py", "{questions}", "{output}"]}
    (arm,) = experiment_that_sees(tmp_path, models=[drawer | answers]).understanding.arms()
    assert arm.settings["answer_command"] == answers["answer_command"]


def plan_of(experiment) -> str:
    return plain(*plan_view(experiment, [], survey_answers(experiment))[-12:])


def test_plan_and_status_count_answers(tmp_path, desk):
    experiment = experiment_that_sees(tmp_path, task={"shard_size": 4})
    assert "assumed: 5,000 answers about pictures of 512 x 512 per hour" in plan_of(experiment)
    path = desk.run(experiment, shard=1)
    partial = experiment.paths.partial_answers(*path.parts[-3:-1], "000000-000004")
    PartialAnswers(partial, AnswerIdentity("", "", "")).write(
        dict.fromkeys(load_asked(experiment, first(experiment))[:3], "a"), None
    )
    text = plain(*status_view(experiment, [], survey_answers(experiment)))
    assert re.search(r"base: vqa +1 +1 +1 +7 of 10 +0 +– +–", text), text
    assert re.search(r"finetuned: vqa-control +0 +0 +3 +0 of 10", text)
    text = plan_of(experiment)
    assert re.search(r"base: vqa .*\(measured\)", text)
    assert re.search(r"finetuned: vqa .*\(as base\)", text), text
    stopped = History(experiment.paths.answer_attempts(*path.parts[-3:-1], "000000-000004"))
    stopped.end(stopped.begin(this_job(), 0, None), "error: no memory", 0, "")
    assert "base: vqa, 000000-000004: error: no memory" in plain(
        *status_view(experiment, [], survey_answers(experiment))
    )


def first(experiment):
    return experiment.understanding.variants()[0]


def test_verify_reads_answers_and_names_what_makes_them_again(tmp_path, desk):
    experiment = experiment_that_sees(tmp_path)
    path = desk.run(experiment)
    read = verify(experiment, 1)
    assert {path, path.with_suffix(".json")} <= {each.path for each in read}
    assert [each for each in read if each.fault] == []
    flip(path)
    (fault,) = [each for each in verify(experiment, 1) if each.fault]
    assert (fault.path, fault.target) == (path, path.with_suffix(".json"))
    path.unlink()
    (fault,) = [each for each in verify(experiment, 1) if each.fault]
    assert "is missing, but its manifest is there" in fault.fault


def test_leftover_answers_are_named_and_removed_and_living_ones_are_not(tmp_path, desk):
    old = experiment_that_sees(tmp_path, task={"shots": [0, 1]})
    kept, gone = desk.run(old), desk.run(old, "vqa-1shots")
    experiment = experiment_that_sees(tmp_path)
    (left,) = [each for each in scan_leftovers(experiment) if each.what == "answers"]
    assert left.command == f"ARM=answers/{'/'.join(gone.parts[-3:-1])} snakemake remove_images -c 1"
    lock = experiment.paths.answers_lock(*gone.parts[-3:-1], gone.stem)
    with Lock(lock, "test"), pytest.raises(InputError, match="is working on it; stop that job first"):
        remove_images(experiment, left.arm, None)
    remove_images(experiment, left.arm, None)
    assert (gone.parent.exists(), kept.exists()) == (False, True)
    assert [each for each in scan_leftovers(experiment) if "answers" in each.arm] == []
    with pytest.raises(InputError, match="there are no answers 'answers/base/none'; there are answers/base/vqa, "):
        remove_images(experiment, "answers/base/none", None)
    assert remove_images(experiment, "answers/base/vqa", None) == ["000000-000010"]
    assert not kept.exists()
    assert not kept.with_suffix(".json").exists()
