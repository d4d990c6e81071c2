"""The page: what it says, what it loads (nothing), and that no caption can break out of it."""

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import small_config
from pages import HOSTILE, Page, Study, small, words
from records import BLOCKS, record

from emudrift.errors import InputError
from emudrift.evaluation.fid.record import FidRecord
from emudrift.evaluation.tables import rows_of
from emudrift.generation.manifest import load_manifests
from emudrift.report.answer.verdict import verdict
from emudrift.report.elements.blocks import Table
from emudrift.report.elements.wording import Grave, decimals, number, p_text
from emudrift.report.gallery.grid_rows import side_by_side
from emudrift.report.page import notes_of
from emudrift.report.sections.fid_tables import comparison_tables, fid_tables
from emudrift.report.sections.provenance import run_tables


def test_the_answer_stands_at_the_top_in_the_words_of_the_verdict() -> None:
    study = Study()
    text = words(study.page().text)
    fid, comparison = study.tables
    answer = verdict(comparison, fid, "base")
    assert "finetuned is worse than base at every guidance scale: FID +3.0 [" in answer.headline
    for part in (answer.headline, *(s.text for s in answer.statements), *answer.caveats):
        assert words(part) in text
    assert text.index(words(answer.headline)) < text.index("Where does it hold?", 200)


def test_random_weights_have_a_banner_and_published_ones_none() -> None:
    page = Study().page()
    assert "note" in [attributes.get("role") for attributes in page.of("p")]
    assert "All distances on this page were computed with a network with random weights" in words(page.text)
    published = Study(extractors=[{"name": "inception", "dims": 64}]).page()
    assert "random weights" not in published.text
    # The experiment's note has the banner then, and without one there is none.
    assert [a.get("role") for a in published.of("p")].count("note") == 1
    assert "note" not in [
        a.get("role") for a in Study(note="", extractors=[{"name": "inception", "dims": 64}]).page().of("p")
    ]


def test_demo_and_random_weights_are_said_once() -> None:
    text = words(Study(note="Demo: means nothing.").page().text)
    told = text.rpartition("Prompts were captions")[
        0
    ]  # The methods, which are pasted elsewhere, say it for themselves.
    assert told.lower().count("random weights") == 2, "its heading, and its sentence"
    assert text.count("Demo: means nothing") == 1


def test_notes_are_folded_under_a_line_that_says_how_grave_they_are() -> None:
    assert notes_of(["a", "b"]).summary == "2 notes on these numbers; none limits the conclusion"
    found = notes_of(["a", Grave("b"), Grave("c")])
    assert found.summary == "3 notes on these numbers; 2 limit what may be concluded"
    assert (found.grave, found.others) == (["b", "c"], ["a"])
    study = Study()
    assert "1 limits what may be concluded" in words(study.page().text), "the reference is held fixed"
    study.manifests[0] = study.manifests[0].model_copy(update={"flagged": ["1"]})
    assert "2 limit what may be concluded" in words(study.page().text)


def test_the_page_loads_nothing_from_anywhere() -> None:
    page = Study().page()
    sources = [v for _, attributes in page.tags for k, v in attributes.items() if k in ("src", "srcset", "data")]
    assert len(sources) == 5 + 5, "the first look, and the gallery's first page"
    links = [a["href"] for a in page.of("a")]
    assert all(source is not None and source.startswith("data:image/") for source in sources)
    assert all(link is not None and link.startswith(("#", "data:text/csv;")) for link in links)
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    assert page.style
    assert "@import" not in page.style
    assert "url(" not in page.style


def test_only_the_pages_own_script_may_run() -> None:
    html = Study(note=HOSTILE).html()
    (policy,) = [a["content"] for a in Page(html).of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert f"script-src 'sha256-{allowed}'" in policy
    assert policy.startswith("default-src 'none'; img-src data: 'self' file:;")
    assert "http" not in policy


def test_captions_and_notes_cannot_break_out() -> None:
    study = Study(note=HOSTILE)
    plain = [tag for tag, _ in study.page().tags]
    study.captions = [HOSTILE + " </script><script>alert(3)</script>"]
    page = study.page()
    assert [tag for tag, _ in page.tags] == plain
    assert not [k for _, attributes in page.tags for k in attributes if k.startswith("on")]
    images = page.of("img")
    assert [image["alt"].endswith(study.captions[0]) for image in images] == [True] * 10
    assert page.text.count(HOSTILE) == 2
    html = study.html()
    assert html.count("<script") == 2
    (data,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.DOTALL)
    assert json.loads(data)["prompts"][0][2] == study.captions[0]


def test_the_gallery_begins_with_the_real_image_and_pairs_arms_of_a_scale() -> None:
    study = Study()
    study.images = [small(colour, (600, 300)) for colour in ("#000000", "#010000", "#020000", "#030000", "#040000")]
    page = study.page()
    text = words(page.text)
    labels = ["real image", *(arm.label for arm in side_by_side(study.experiment.arms()))]
    assert labels[1:3] == ["base, guidance 1", "finetuned, guidance 1"]
    begin = text.index("Images of all arms for every prompt, next to the real image")
    places = [text.index(label, begin + 60) for label in labels]
    assert places == sorted(places)
    images = page.of("img")
    assert [words(str(image["alt"])) for image in images] == [f"{label}: a red circle" for label in labels] * 2
    # Models by guidance scales, next to the real image.
    areas = [a["style"] for a in page.of("figure") if a.get("class") == "tile"]
    assert areas == [f"grid-area: {area}" for area in ("1 / 1", "1 / 2", "2 / 2", "1 / 3", "2 / 3")]
    assert all(str(image["src"]).startswith("data:image/webp") for image in images)


def test_tables_show_every_n_and_arm_with_interval_infinity_p_and_finding() -> None:
    study = Study(drift=(-9.0, 0.1))
    fid, comparison = study.tables
    page = study.page()
    text = words(page.text)
    for row in rows_of(fid):
        cells = f"{row.fid:.1f}{row.fid_jackknife:.1f}{row.low:.1f} to {row.high:.1f}"
        cells += f"{row.fid_infinity:.1f}{row.fid_infinity_low:.1f} to {row.fid_infinity_high:.1f}"
        assert cells in text
    for row in rows_of(comparison):
        places = decimals(float((comparison["high"] - comparison["low"]).median()))
        parts = "".join(
            number(each, places, signed=True)
            for each in (row.difference_means, row.difference_covariances, row.difference_infinity)
        )
        simultaneous = " to ".join(number(each, places) for each in (row.low_simultaneous, row.high_simultaneous))
        p, adjusted = (p_text(each).removeprefix("= ") for each in (row.p, row.p_adjusted))
        assert f"{row.finding}{p}{adjusted}{simultaneous}{parts}" in text
    classes = [attributes.get("class") for attributes in page.of("td")]
    assert classes.count("better") == classes.count("inconclusive") == 1
    assert classes.count("too") == 2
    assert classes.count("number unreliable") == len(fid) // 2 + len(comparison) // 2


def test_downloads_hold_the_numbers_of_the_files() -> None:
    study = Study()
    links = {a["download"]: str(a["href"]) for a in study.page().of("a") if "download" in a}
    for table, name in zip(
        study.tables,
        ("fid-inception-random-64-dimensions.csv", "comparison-inception-random-64-dimensions.csv"),
        strict=True,
    ):
        text = base64.b64decode(links[name].partition(",")[2]).decode()
        assert text == table.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    models = base64.b64decode(links["table.csv"].partition(",")[2]).decode()
    assert models.startswith("package,version\n")
    assert {"fid-data.csv", "difference-data.csv"} <= set(links)


def test_both_selections_of_the_reference_have_tables_of_their_own() -> None:
    study = Study()
    full = study.tables
    same = [table.assign(reference_selection="same") for table in full]
    arms = side_by_side(study.experiment.arms())
    titles = [table.title for table in fid_tables(pd.concat([full[0], same[0]]), arms)]
    assert titles == [f"inception-random, 64 dimensions, reference: {which} images" for which in ("all", "same")]
    both = comparison_tables(pd.concat([full[1], same[1]]))
    assert [len(table.rows) for table in both] == [len(full[1])] * 2


def test_what_was_run_is_told() -> None:
    study = Study()
    text = words(study.page().text)
    for arm in study.experiment.arms():
        assert arm.fingerprint in text
    for word in (
        "demo/models/base",
        "demo/models/finetuned",
        "checkpoint c0ffee",
        "2.13.0",
        "cpu (2 threads)",
        "400 in 2",
        "1 h 0 min",
        "3 (1 repeated)",
        "random, seed 0",
        "600 images",
        "inception-00112233",
        "from seed 0",
    ):
        assert word in text, word
    # A setting that all arms share stands once, one that differs for each of them.
    assert text.count("top_k") == 1
    assert "Settings that differ between arms" in text


def test_shards_that_disagree_are_told_apart() -> None:
    study = Study()
    study.manifests[0] = study.manifests[0].model_copy(
        update={
            "attempts": [replace(study.manifests[0].attempts[0], device="NVIDIA H200")],
            "versions": {"torch": "2.12.0"},
            "images_per_hour": 0.0,
        }
    )
    text = words(study.page().text)
    assert "NVIDIA H200, cpu (2 threads)" in text
    assert "2.12.0, 2.13.0" in text


@pytest.mark.parametrize(("side", "noted"), [(512, True), (720, False), (64, False)])
def test_emu3_at_512_is_said_to_be_off_its_distribution(side: int, noted: bool) -> None:
    study = Study(generation={"width": side, "height": side})
    assert ("off that distribution" in words(study.page().text)) == noted


def test_one_model_has_a_page_without_differences() -> None:
    study = Study(models=small_config()["models"][:1])
    page = study.page()
    assert "There is nothing to compare: base is the only model." in page.text
    assert "Every difference" not in page.text
    assert len(page.of("svg")) == 1


def test_folder_arms_without_scale_have_a_page() -> None:
    models = [*small_config()["models"], {"name": "closed", "generator": "folder", "images": "somewhere/closed"}]
    text = words(Study(models=models).page().text)
    assert "somewhere/closed" in text
    assert "closed − base, guidance 1" in text


def test_equal_inputs_give_equal_pages() -> None:
    assert Study().html() == Study().html()
    assert Study().html() != Study(drift=(3.0, 9.5)).html()


def test_an_arm_without_manifest_or_config_is_refused() -> None:
    study = Study()
    arm = study.experiment.arms()[-1].name
    study.manifests = [manifest for manifest in study.manifests if manifest.arm != arm]
    with pytest.raises(InputError, match=f"arm {arm} has no manifest"):
        study.html()
    study = Study()
    study.records = [FidRecord.model_validate(r.model_dump() | {"arm": f"old-{r.arm}"}) for r in study.records]
    with pytest.raises(InputError, match="arms that are not in the config: old-"):
        study.html()


def test_manifests_are_read_and_faults_are_named(tmp_path: Path) -> None:
    manifest = Study().manifests[0]
    data = json.loads(manifest.model_dump_json())
    path = tmp_path / "000000-000200.json"
    path.write_text(json.dumps(data))
    assert load_manifests([path]) == [manifest]
    del data["images_per_hour"]
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"000000-000200\.json: images_per_hour: Field required"):
        load_manifests([path])
    path.write_text("{")
    with pytest.raises(InputError, match=r"000000-000200\.json: not JSON"):
        load_manifests([path])
    with pytest.raises(InputError, match=r"absent\.json: no such file"):
        load_manifests([tmp_path / "absent.json"])


def test_the_records_of_these_tests_are_what_they_claim() -> None:
    """The helper's own truth: its jackknife gives the corrected value and the error that were asked for."""
    made = record(corrected=20, bias=5, error=2)
    values = [BLOCKS * made.fid - (BLOCKS - 1) * value for value in made.leave_one_out]
    mean = sum(values) / BLOCKS
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (BLOCKS - 1) / BLOCKS)
    assert (mean, error) == (pytest.approx(20), pytest.approx(2))


def attempts_table(study: Study) -> Table:
    shards = {arm.name: [m for m in study.manifests if m.arm == arm.name] for arm in study.experiment.arms()}
    tables = run_tables(study.experiment, study.experiment.arms(), shards, study.tables[0])
    (found,) = [table for table in tables if table.title == "Attempts"]
    return found


def test_every_attempt_has_its_line_and_their_ends_are_counted() -> None:
    study = Study()
    table = attempts_table(study)
    # Four arms of two shards; the second of each needed two attempts.
    assert table.note == "12 attempts at 8 shards. Outcomes: finished 8, walltime 4."
    assert [(row[1].text, row[8].text) for row in table.rows] == [
        ("1", "finished"), ("1", "walltime: 20 s are left"), ("2", "finished"),
    ] * 4  # fmt: skip
    text = words(study.page().text)
    assert "finished 8, walltime 4." in text
    assert "node7" in text


def test_a_thousand_attempts_are_counted_and_only_those_cut_short_have_lines() -> None:
    study = Study()
    begun = study.manifests[0].attempts[0]
    study.manifests[0] = study.manifests[0].model_copy(
        update={"attempts": [replace(begun, reason="SIGTERM")] * 150 + [begun] * 850}
    )
    table = attempts_table(study)
    assert table.note.startswith("1,011 attempts at 8 shards. Outcomes: finished 857, SIGTERM 150, walltime 4.")
    assert "the first of 154 that did not finish; images/<arm>/<rows>.attempts.jsonl" in table.note
    assert [row[8].text for row in table.rows] == ["SIGTERM"] * 50
    assert "images/<arm>/<rows>.attempts.jsonl" in study.page().text
    study.manifests[0] = study.manifests[0].model_copy(update={"attempts": [begun] * 1000})
    table = attempts_table(study)
    assert "Listed: those that did not finish;" in table.note
    assert [row[8].text for row in table.rows] == ["walltime: 20 s are left"] * 4


def test_another_vq_than_the_baselines_is_said_beside_the_verdict() -> None:
    study = Study()
    warning = "decodes its tokens with another VQ than base"
    assert warning not in words(study.page().text)
    other = next(arm.model for arm in study.experiment.arms() if arm.model != "base")
    study.manifests = [m.model_copy(update={"vq": "b" * 64}) if m.arm.startswith(other) else m for m in study.manifests]
    assert f"{other} {warning}" in words(study.page().text)


def test_images_of_other_sizes_than_the_references_are_said() -> None:
    study = Study()
    assert "Images differ in size" not in words(study.page(sizes={"base": "64 x 64", "reference": "64 x 64"}).text)
    text = words(study.page(sizes={"base": "64 x 64", "reference": "427 to 640 x 480"}).text)
    assert "Images differ in size (base 64 x 64; the reference: 427 to 640 x 480): each is resized to" in text


def test_smaller_batches_that_memory_forced_are_said_and_counted() -> None:
    study = Study()
    said = "images were generated in smaller batches than the rest"
    assert said not in words(study.page().text)
    first = study.manifests[0]
    study.manifests[0] = first.model_copy(update={"drawn_together": {8: first.n_images - 30, 4: 30}})
    assert f"memory ran out, and 30 {said}" in words(study.page().text)
    # In float32 nothing was fixed, and nothing changes.
    study.manifests[0] = study.manifests[0].model_copy(update={"batch_size": None})
    assert said not in words(study.page().text)


def test_images_that_a_safety_checker_replaced_are_said_and_counted() -> None:
    study = Study()
    said = "its safety checker replaced"
    assert said not in words(study.page().text)
    study.manifests[0] = study.manifests[0].model_copy(update={"flagged": ["000000000001", "000000000002"]})
    assert f"{said} 2 images" in words(study.page().text)
    assert "2 black (safety checker)" in words(study.page().text)
    first = study.manifests[0].arm.partition("-")[0]
    in_verdict = f"Images that a safety checker replaced by black ones are counted: 2 of {first} at guidance 1."
    assert in_verdict in words(study.page().text).partition("What does it look like?")[0]


def test_a_control_that_is_none_limits_what_may_be_concluded() -> None:
    models = small_config()["models"]
    study = Study(models=[models[0], models[1] | {"identical_to": "base"}])
    said = "the config says that it is identical to base, but 1 of its images differ from those"
    assert said not in words(study.page().text)
    mine = next(m for m in study.manifests if m.arm.startswith("finetuned"))
    study.manifests[study.manifests.index(mine)] = mine.model_copy(update={"sha256": {"1": "0" * 64}})
    assert f"finetuned, guidance 1 is no control: {said}" in words(study.page().text)


def test_captions_that_were_cut_and_warnings_about_images_are_said_of_each_arm() -> None:
    study = Study()
    of_arm = [m for m in study.manifests if m.arm == study.manifests[0].arm]
    assert len(of_arm) == 2
    told = {"captions_cut": {"tokenizer (77 tokens)": 1_003}, "warnings": ["diffusers: guidance is ignored"]}
    study.manifests[:2] = [m.model_copy(update=told) for m in of_arm]
    text = words(study.page().text)
    assert "base, guidance 1: of 400 captions, tokenizer (77 tokens) cuts 2,006; what comes after that does not" in text
    assert text.count("a library warned that images may not be as asked for. diffusers: guidance is ignored") == 1


def test_a_tokenizer_is_a_floor_and_not_a_model_that_was_compared() -> None:
    floor = {"name": "floor", "generator": "tokenizer", "of": "base"}
    study = Study(models=[*small_config()["models"], floor])
    text = words(study.page().text)
    assert "floor (real images encoded and decoded by the model's VQ): FID" in text
    assert "Not compared" not in text
    assert "floor − base" not in text
    assert "finetuned against base" in text
    quality = {
        arm.name: pd.DataFrame({"prompt_id": ["1", "2", "3"], "psnr": [20.0, 21.0, 22.0], "ssim": [0.7, 0.8, 0.9]})
        for arm in study.experiment.arms()
        if arm.model == "floor"
    }
    study.tokenizers = quality
    page = study.html()
    # t with 2 degrees of freedom: 21 ± 4.30 x 1 / sqrt(3).
    assert "21.0 dB [18.5 to 23.5]" in words(Page(page).text).replace("dB[", "dB [")
