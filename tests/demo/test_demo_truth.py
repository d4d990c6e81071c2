"""The demo's exchange rate against the truth: what its pictures show by the rules they are drawn by, and what its answers say.

Minutes, so `make test` leaves it out.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from emudrift.config.experiment import Experiment
from emudrift.data.prompt_questions import read_prompt_questions
from emudrift.evaluation.following.score import FollowedRecord, followed, load_followed
from emudrift.evaluation.following.tables import following_table, judge_table
from emudrift.evaluation.tables import EXCHANGE_COLUMNS, load_table, rows_of
from emudrift.generation.archives import read_archive
from emudrift.report.answer.exchange import exchange_answer

sys.path.insert(0, str(ROOT / "demo"))

import asking
import draw_data

import scenes

pytestmark = pytest.mark.slow
SHOWN = scenes.sample_scenes(draw_data.COUNT, draw_data.DATA_SEED)


@pytest.fixture(scope="module")
def made(new_workflow) -> tuple[Experiment, pd.DataFrame]:
    """The demo's experiment without its page, and its exchange rate."""
    workflow = new_workflow("demo-truth")
    config = workflow.folder / "demo" / "config.yaml"
    config.write_text((ROOT / "demo" / "config.yaml").read_text())
    tables = "results/demo/exchange.csv", "results/demo/prompt_following.csv"
    workflow.snakemake(*tables, "--quiet", "rules", config=config)
    experiment = Experiment.load(config)
    experiment.paths = experiment.paths.__class__(
        workflow.folder / "results" / "demo", workflow.folder / "resources", experiment.paths.prompt_key
    )
    return experiment, load_table(experiment.paths.exchange_table, EXCHANGE_COLUMNS)


def scene_of(file_name: str) -> scenes.Scene:
    return SHOWN[int(Path(file_name).stem) - 1]


@pytest.fixture(scope="module")
def sees(made) -> dict[str, np.ndarray]:
    """For each model, whether each answer names all shapes, colours, sizes, places and the background: read, not compared."""
    experiment, _ = made
    questions = pd.read_parquet(experiment.understanding.questions(experiment.exchange.variant.task))
    found = {}
    for arm in experiment.understanding.arms():
        (path,) = experiment.understanding.answer_files(arm, experiment.exchange.variant)
        answers = {line["row"]: line["answer"] for line in map(json.loads, path.read_text().splitlines())}
        found[arm.model] = np.array(
            [
                scenes.read_caption(answers[row]) == scenes.scene_facts(scene_of(questions["file_name"][row]))
                for row in sorted(answers)
            ]
        )
    return found


@pytest.fixture(scope="module")
def draws(made) -> dict[str, float]:
    """For each arm, the share of its pictures that show all that their captions ask for."""
    experiment, _ = made
    prompts = pd.read_parquet(experiment.paths.prompts).set_index("prompt_id")
    found = {}
    for arm in experiment.exchange.arms:
        checks = [
            scenes.check(np.asarray(image), scene_of(prompts["file_name"][prompt_id]))["all"]
            for path in sorted(experiment.paths.images(arm.name).glob("*.tar"))
            for prompt_id, image in read_archive(path)
        ]
        assert len(checks) == max(experiment.config.sample_sizes)
        found[arm.name] = float(np.mean(checks))
    return found


def true_share(experiment: Experiment, record: FollowedRecord) -> float:
    """Of the questions about an arm's pictures, those that hold by the rules that scenes are drawn by."""
    asked = read_prompt_questions(experiment.following.questions(record.arm))
    images = {
        prompt_id: np.asarray(image)
        for path in experiment.paths.images(record.arm).glob("*.tar")
        for prompt_id, image in read_archive(path)
    }
    holds: list[bool] = []
    for prompt_id, caption in zip(record.prompt_ids, record.captions, strict=True):
        questions = asked[caption]
        holds += followed(questions, [asking.seen(images[prompt_id], each.question) for each in questions]).holds
    return float(np.mean(holds))


def test_the_judge_sees_as_much_of_the_difference_as_its_own_error_lets_it_see(made):
    experiment, _ = made
    base, finetuned, check = load_followed(experiment.following.records())
    true = true_share(experiment, finetuned) - true_share(experiment, base)
    (row,) = rows_of(following_table([base, finetuned], "base").iloc[[len(set(base.category)) + 1]])
    assert (row.category, row.finding) == ("all", "worse")
    assert row.difference_low < judge_table([check])["kept"][0] * true < row.difference_high
    assert true < row.difference, "an erring judge makes a difference smaller"


def test_what_is_said_of_seeing_is_what_the_answers_say(made, sees):
    experiment, table = made
    model_of = {arm.name: arm.model for arm in experiment.exchange.arms}
    gain = sees["finetuned"].mean() - sees["base"].mean()
    for row in table.itertuples():
        right = sees[model_of[row.arm]].mean()
        # An answer in other words can be true without being one of the right answers: seldom.
        assert row.seeing == pytest.approx(right, abs=0.01)
        if row.since:
            assert row.gain_kept == pytest.approx((right - sees["base"].mean()) / gain, abs=0.03)
    text = "\n".join(exchange_answer(table).statements)
    step = (sees["finetuned"].astype(float) - sees["finetuned@0.75"]).mean()
    assert abs(step) < 0.06, "from .75 on the miniature sees no better"
    assert "From scale 0.75 to scale 1 nothing is gained that these 400 questions can see" in text
    assert "From scale 0.5 to scale 0.75" not in text, "that step gains"


def test_what_is_said_of_drawing_is_what_the_pictures_show(made, draws):
    _, table = made
    for scale, part in table.groupby("guidance_scale"):
        shown = [draws[arm] for arm in part["arm"]]
        assert shown == sorted(shown, reverse=True), f"at guidance {scale:g} more of the adapter draws worse"
        assert part["drawing"].tolist() == sorted(part["drawing"]), "and so says FID"
        full = part[part["full_strength"]].iloc[0]
        assert full["drawing_difference_low_simultaneous"] > 0
        worse = part[part["drawing_step_low"] > 0]
        before = dict(zip(part["label"], shown, strict=True))
        for row in worse.itertuples():
            assert draws[row.arm] < before[row.since], f"{row.label} is said to draw worse than {row.since}"
    answer = exchange_answer(table)
    assert re.match(r"finetuned at scale 1 sees better than base: .*; it draws worse: FID", answer.headline)


def test_what_is_recommended_keeps_what_it_promises(made, sees, draws):
    experiment, table = made
    model_of = {arm.name: arm.model for arm in experiment.exchange.arms}
    chosen = table[table["recommended"]]
    assert set(chosen["label"]) == {"scale 0.75"}
    for row in chosen.itertuples():
        lost = sees["finetuned"].mean() - sees[model_of[row.arm]].mean()
        assert lost < row.margin_seeing
        full = table[table["full_strength"] & (table["guidance_scale"] == row.guidance_scale)].iloc[0]
        assert draws[row.arm] > draws[full["arm"]] + 0.1
