"""Human evaluation as a user runs it: pages, five raters of known preference in a browser, votes imported, and the report."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Workflow, small_config
from PIL import Image, ImageFilter

PROMPTS = 5


def config_of(folder: Path, **changes):
    """Two folders of images, the second blurred: nothing has to be drawn."""
    models = [
        {"name": name, "generator": "folder", "images": str(folder / name), "guidance_scale": 3}
        for name in ("sharp", "blurred")
    ]
    section = {"human_evaluation": {"prompts": PROMPTS, "attention_checks": 2}}
    return small_config(**({"models": models, "sample_sizes": [20], "shard_size": 20} | section | changes))


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    (folder / "blurred").mkdir()
    shutil.copytree(ROOT / "demo/data/images", folder / "sharp")
    for path in sorted((folder / "sharp").iterdir()):
        Image.open(path).convert("RGB").filter(ImageFilter.GaussianBlur(4)).save(folder / "blurred" / path.name)
    return folder


@pytest.fixture(scope="module")
def rated(new_workflow, images) -> Workflow:
    """The experiment at its end, with pages."""
    workflow = new_workflow("human")
    workflow.config = workflow.write_config(config_of(images))
    workflow.snakemake("--quiet", "rules", config=workflow.config)
    workflow.snakemake("human_evaluation_pages", "--quiet", "rules", config=workflow.config)
    workflow.folder_of_study = workflow.folder / "results/small/human_evaluation"
    return workflow


def test_pages_and_votes_belong_to_nothing_else(rated, images):
    assert rated.planned(config=rated.config) == {}
    names = {path.name for path in rated.folder_of_study.iterdir()}
    assert names == {"pages", "key.json", "votes"}
    changed = config_of(images, human_evaluation={"raters": 9, "prompts": 10})
    config = rated.write_config(changed, "changed.yaml")
    assert rated.planned(config=config) == {}, "the section concerns nothing but the pages"
    assert set(rated.planned("human_evaluation_pages", config=config)) == {"human_evaluation_pages"}
    other = config_of(images, human_evaluation={"prompts": PROMPTS, "attention_checks": 2, "exclude_failed": True})
    config = rated.write_config(other, "exclude.yaml")
    assert rated.planned("human_evaluation_pages", config=config) == {}, (
        "pages are made anew only where they would differ"
    )


def test_pages_are_the_same_again_and_tell_nothing_by_names_or_times(rated):
    pages = rated.folder_of_study / "pages"
    before = {path.relative_to(pages): path.read_bytes() for path in pages.rglob("*") if path.suffix}
    rated.snakemake("human_evaluation_pages", "--forcerun", "human_evaluation_pages", config=rated.config)
    after = {path.relative_to(pages): path.read_bytes() for path in pages.rglob("*") if path.suffix}
    assert before == after
    assert len([path for path in after if path.suffix == ".png"]) == 2 * PROMPTS + 2, (
        "each image once, and two degraded"
    )
    assert len({path.stat().st_mtime for path in pages.rglob("*.png")}) == 1
    key = (rated.folder_of_study / "key.json").read_text()
    arms = {pair[side] for pair in json.loads(key)["pairs"] for side in ("arm", "baseline_arm")}
    assert len(arms) == 2
    for path, data in after.items():
        assert not [arm for arm in arms if arm.encode() in data], path


def test_importing_without_votes_or_with_strange_ones_says_what_to_do(rated, tmp_path):
    refused = rated.snakemake("import_votes", config=rated.config, check=False)
    assert refused.returncode == 1
    assert "human_evaluation/votes: no votes: put the .json files that the raters downloaded" in refused.stdout
    (tmp_path / "x.json").write_text('{"format": 1}')
    refused = rated.snakemake("import_votes", config=rated.config, check=False, environment={"VOTES": str(tmp_path)})
    assert refused.returncode == 1
    assert "x.json: experiment: Field required" in refused.stdout
    assert "Traceback" not in refused.stdout
    assert not (rated.folder_of_study / "human_evaluation.csv").exists()


def vote_by_keyboard(browser, page_file: Path, answer_of, path: Path) -> None:
    """One rater: sees which images are shown, answers, closes the page in the middle, downloads at the end."""
    context = browser.new_context()
    complaints: list[str] = []

    def open_page():
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else
                complaints.append(request.url))  # fmt: skip
        page.goto(page_file.as_uri())
        return page

    page, number = open_page(), 0
    while not page.is_visible("#done"):
        if page.is_visible("#intro"):
            page.keyboard.press("Enter")
            continue
        page.wait_for_selector("#answers button:enabled >> nth=0")
        names = [Path(page.get_attribute(f"#{side}", "src")).name for side in ("left", "right")]
        page.keyboard.press(answer_of(number, names))
        number += 1
        if number == 8:
            page.close()
            page = open_page()
    with page.expect_download() as download:
        page.click("#done [data-download]")
    download.value.save_as(path)
    context.close()
    assert complaints == []


def test_five_raters_with_a_known_preference(rated, browser):
    """Three like the sharp images better, one the blurred, one presses A throughout; all find all true to the text, but one."""
    key = json.loads((rated.folder_of_study / "key.json").read_text())
    (sharp,) = (set(names.values()) for arm, names in key["images"].items() if arm.startswith("sharp"))

    def taste(rater):
        def answer_of(number, names):
            item = key["raters"][rater - 1][number]
            if rater == 5:
                return "1"
            if item["kind"] == "gold":
                return "1" if item["left"] == "(photograph)" else "2"
            if item["kind"] == "identical" or item["question"] == "faithfulness":
                return "3"
            return "1" if (names[0] in sharp) == (rater < 4) else "2"

        return answer_of

    for rater in range(1, 6):
        page = rated.folder_of_study / "pages" / f"rater-{rater}.html"
        vote_by_keyboard(browser, page, taste(rater), rated.folder_of_study / "votes" / f"of-{rater}.json")
    assert set(rated.planned(config=rated.config)) == set(), "votes that were not imported change nothing"
    said = rated.snakemake("import_votes", config=rated.config).stdout
    assert "Rater 5 failed the attention checks" in said
    table = pd.read_csv(rated.folder_of_study / "human_evaluation.csv").set_index("question")
    appeal, faithful = table.loc["appeal"], table.loc["faithfulness"]
    # Without the one who presses A: three of five prefer sharp, always a majority.
    assert (appeal["losses"], appeal["wins"], appeal["ties"], appeal["votes"]) == (PROMPTS, 0, 0, 5 * PROMPTS)
    assert appeal["rater_sd"] > 0.5
    assert appeal["finding"] == "inconclusive", "one of four raters disagrees on everything: others might, too"
    assert (faithful["ties"], faithful["no_majority"]) == (PROMPTS, 0)
    raters = pd.read_csv(rated.folder_of_study / "raters.csv")
    assert raters["passed"].tolist() == ["yes"] * 4 + ["no"]
    assert len(pd.read_csv(rated.folder_of_study / "votes.csv")) == 5 * 2 * (PROMPTS + 6)
    before = (rated.folder / "results/small/report.html").read_text()
    assert "Human evaluation" not in before
    assert set(rated.planned(config=rated.config)) == {"report"}
    rated.snakemake("--quiet", "rules", config=rated.config)
    page = (rated.folder / "results/small/report.html").read_text()
    assert "raters preferred sharp in 100 % [57 to 100] and blurred in 0 % [0 to 43] of 5 prompts" in page
    assert "In the human evaluation, 5 raters judged visual appeal" in page
    assert "@article{dai2023emu," in page
    assert rated.planned(config=rated.config) == {}
    others = {path.name: path.read_bytes() for path in rated.folder_of_study.glob("*.csv")}
    moved = shutil.move(rated.folder_of_study / "votes", rated.folder / "elsewhere")
    rated.snakemake("import_votes", config=rated.config, environment={"VOTES": str(moved)})
    assert {path.name: path.read_bytes() for path in rated.folder_of_study.glob("*.csv")} == others
    assert rated.planned(config=rated.config) == {}, "imported again from elsewhere, with the same numbers"
