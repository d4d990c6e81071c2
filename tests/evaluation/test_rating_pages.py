"""The rating page in a real Chromium: by keyboard and mouse, going back, resuming, downloading, and what it must not show."""

import functools
import http.server
import json
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from ratings import answer, experiment_of, key_of, three_arms
from records import write_tar

from emudrift.data.image_io import encode_png
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.evaluation.human.pages import NO_TIME, render_page, replaced_folder, write_gold, write_images, write_pages
from emudrift.evaluation.human.ranking import ranking_tables
from emudrift.evaluation.human.study import DEGRADED, OTHER, PHOTOGRAPH, Key, design_study
from emudrift.evaluation.human.votes import load_votes, rater_table, vote_table

HOSTILE = """<script>document.title = "hacked"</script></script><img src=x onerror='alert(2)'> & {{ 7 * 7 }} \u2028 "quoted\""""
COLOURS = ["#a04030", "#3060a0"]


@pytest.fixture(scope="module")
def key():
    """Six prompts at one guidance scale, one check of each kind: 8 pairs for each question."""
    section = {"prompts": 6, "raters": 5, "attention_checks": 1, "pairs": [{"model": "finetuned", "guidance_scale": 3}]}
    key = key_of(section)
    names = {arm: {each: f"{place}{each}.png" for each in key.prompts} for place, arm in enumerate(key.images)}
    return key.model_copy(update={"images": names})


@pytest.fixture(scope="module")
def folder(key, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "images").mkdir()
    for place, names in enumerate(key.images.values()):
        for number, name in enumerate(names.values()):
            Image.new("RGB", (64 + 8 * number, 64), COLOURS[place]).save(folder / "images" / name)
    write_pages(folder, key, {each: HOSTILE if each == "003" else f"A thing number {each}." for each in key.prompts})
    return folder


class Rater:
    """A page in a browser of its own, everything that it asked for, and everything that it complained of."""

    def __init__(self, browser, address: str, script: str = "", **options) -> None:
        self.context = browser.new_context(**options)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        if script:
            self.context.add_init_script(script)
        self.address = address
        self.open()

    def open(self) -> None:
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(self.address)

    def reopen(self) -> None:
        """A new tab, then the old one is closed: a Chromium without any page of a file may forget what the file stored."""
        last = self.page
        self.open()
        last.close()

    def press(self, key: str) -> None:
        """As a person does: once the images are there."""
        self.page.wait_for_selector("#answers button:enabled >> nth=0")
        self.page.keyboard.press(key)

    def sides(self) -> list[str]:
        return [Path(self.page.get_attribute(f"#{side}", "src")).name for side in ("left", "right")]

    def votes(self) -> int:
        return int(self.page.inner_text("#count").split(" of ")[0])

    def download(self, path: Path) -> Path:
        with self.page.expect_download() as download:
            self.page.click("[data-download]:visible >> nth=0")
        download.value.save_as(path)
        return path


@pytest.fixture
def rater(browser, folder):
    opened = []

    def open_page(number: int = 1, **options) -> Rater:
        opened.append(Rater(browser, (folder / f"rater-{number}.html").as_uri(), **options))
        return opened[-1]

    yield open_page
    for each in opened:
        each.context.close()


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> tuple[Key, Path]:
    """A study of three arms, all pairs of four prompts divided between two raters, with a gold pair in each question."""
    key = key_of(**three_arms({"prompts": 4, "raters": 2, "split": 2, "attention_checks": 1}), gold=1)
    names = {
        arm: {each: f"{place}{each}.png" for each in found} for place, (arm, found) in enumerate(key.images.items())
    }
    key = key.model_copy(update={"images": names})
    folder = tmp_path_factory.mktemp("three")
    (folder / "images").mkdir()
    for place, found in enumerate(names.values()):
        for name in found.values():
            Image.new("RGB", (64, 64), (40 * place, 90, 200 - 30 * place)).save(folder / "images" / name)
    write_pages(folder, key, {each: f"A thing number {each}." for each in key.prompts})
    return key, folder


def test_three_arms_and_gold_pairs_by_keyboard_with_a_break_in_the_middle(browser, three, tmp_path):
    """One looks, the other presses A; both close the page after five votes and go on; and their files tell them apart."""
    key, folder = three
    files = []
    for number, looks in ((1, True), (2, False)):
        ada = Rater(browser, (folder / f"rater-{number}.html").as_uri())
        items, pressed = key.raters[number - 1], []
        assert Counter(item.kind for item in items) == {"rated": 12, "identical": 2, "swapped": 2, "gold": 2}
        ada.page.keyboard.press("Enter")
        for place, item in enumerate(items):
            if place == 5:
                ada.reopen()
                assert ada.votes() == 5
            if place == 9:
                assert "Part 2 of 2" in ada.page.inner_text("#intro")
                ada.page.keyboard.press("Enter")
            assert ada.sides() == [key.images[arm][item.prompt_id] for arm in (item.left, item.right)]
            assert ada.page.is_visible("#caption") == (item.question == "faithfulness")
            said = answer(item, min(item.left, item.right), 1, np.random.default_rng(0)) if looks else "left"
            arrows = {"left": "ArrowLeft", "right": "ArrowRight"} if place % 2 else {"left": "1", "right": "2"}
            ada.press((arrows | {"tie": "3", "both": "3", "neither": "4"})[said])
            pressed.append(said)
            assert ada.votes() == place + 1
        assert "thank you" in ada.page.inner_text("#done")
        files.append(ada.download(tmp_path / f"{number}.json"))
        assert [vote.answer for vote in load_votes(files[-1:], key)[number]] == pressed
        assert ada.complaints == []
        assert all(url.startswith(("file://", "blob:", "data:")) for url in ada.asked)
        ada.context.close()
    votes = load_votes(files, key)
    table = vote_table(votes, key)
    assert len(table) == 36
    assert table["seconds"].between(0, 60).all()
    raters = rater_table(table, votes, key, exclude_failed=True)
    assert raters["passed"].tolist() == ["yes", "no"]
    assert raters["gold_right"].tolist()[0] == 2
    ranking, _ = ranking_tables(table, raters, key)
    appeal = ranking[ranking["question"] == "appeal"].sort_values("rank")
    assert appeal["model"].tolist() == ["A", "B", "C"]


def test_a_vote_can_be_corrected_by_mouse_and_by_key(rater, key, tmp_path):
    ada = rater()
    ada.page.click("#start")
    ada.page.click("#answers button[data-answer=left]")
    ada.press("2")
    first = key.raters[0][0]
    ada.page.keyboard.press("Backspace")
    ada.page.click("[data-back]:visible")
    assert ada.sides() == [key.images[arm][first.prompt_id] for arm in (first.left, first.right)]
    assert ada.page.get_attribute("#answers button[data-answer=left]", "aria-pressed") == "true"
    ada.page.click("#answers button[data-answer=tie]")
    ada.page.wait_for_selector("#answers button:enabled >> nth=0")
    ada.page.keyboard.press("Enter")  # leaves the second vote as it is
    votes = load_votes([ada.download(tmp_path / "v.json")], key)[1]
    assert [vote.answer for vote in votes] == ["tie", "right"]
    assert ada.votes() == 2


def test_the_first_question_can_be_gone_back_to_from_the_second(rater):
    ada = rater()
    assert ada.page.locator("[data-back]:visible").count() == 0
    ada.page.keyboard.press("Enter")
    for _ in range(8):
        ada.press("1")
    last = ada.page.inner_text("#intro h1:visible")
    ada.page.click("[data-back]:visible")
    assert ada.page.get_attribute("#answers button[data-answer=left]", "aria-pressed") == "true"
    ada.press("2")
    assert ada.page.inner_text("#intro h1:visible") == last
    assert ada.votes() == 8


def test_another_tab_with_the_same_page_shows_the_same_votes(rater):
    ada = rater()
    ada.page.keyboard.press("Enter")
    first = ada.page
    ada.open()
    ada.page.keyboard.press("Enter")
    for _ in range(3):
        ada.press("1")
    first.wait_for_selector("#count:has-text('3 of 16')")


def test_enter_on_a_pair_without_a_vote_and_held_or_combined_keys_do_nothing(rater):
    ada = rater()
    ada.page.keyboard.press("Enter")
    ada.page.wait_for_selector("#answers button:enabled >> nth=0")
    before = ada.sides()
    for combination in ("Enter", "Control+1", "Alt+2", "7", "a", "4"):
        ada.page.keyboard.press(combination)
    ada.page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: '1', repeat: true, bubbles: true}))")
    assert (ada.votes(), ada.sides()) == (0, before)


def test_a_caption_is_shown_as_text(rater, key):
    ada = rater()
    place = [item.question == "faithfulness" and item.prompt_id == "003" for item in key.raters[0]].index(True)
    ada.page.keyboard.press("Enter")
    for number in range(place):
        if number == 8:
            ada.page.keyboard.press("Enter")
        ada.press("1")
    assert ada.page.text_content("#caption") == HOSTILE
    assert ada.page.locator("#caption *").count() == 0
    assert ada.page.title() == "Rating images: rater 1"
    assert ada.complaints == []


def test_information_is_shown_once_before_the_first_pair_as_text(browser, folder, key, tmp_path):
    (tmp_path / "images").symlink_to(folder / "images")
    told = key.model_copy(update={"information": f"Who asks: {HOSTILE}\n\nYou can stop at any time."})
    (tmp_path / "rater-4.html").write_text(render_page(told, 4, dict.fromkeys(key.prompts, "x")))
    ada = Rater(browser, (tmp_path / "rater-4.html").as_uri())
    assert ada.page.locator("#information p").all_text_contents() == [
        f"Who asks: {HOSTILE}",
        "You can stop at any time.",
    ]
    assert ada.page.is_visible("#information")
    ada.page.keyboard.press("Enter")
    for _ in range(8):
        assert not ada.page.is_visible("#information")
        ada.press("1")
    assert ada.page.is_visible("#intro")
    assert not ada.page.is_visible("#information")
    assert ada.complaints == []
    ada.context.close()


def test_neither_the_page_nor_the_images_tell_the_arms(folder, key):
    for path in folder.glob("*.html"):
        text = path.read_text()
        for pair in key.pairs:
            assert not [
                name for name in (pair.arm, pair.baseline_arm, pair.model, f'"{pair.baseline}"') if name in text
            ]
        assert "identical" not in text
        assert "swapped" not in text
    sides = Counter()
    for rater, items in enumerate(key.raters, 1):
        html = render_page(key, rater, dict.fromkeys(key.prompts, "x"))
        assert html == render_page(key, rater, dict.fromkeys(key.prompts, "x"))
        sides.update(item.left == key.pairs[0].arm for item in items if item.kind == "rated")
    assert min(sides.values()) > 15, "an arm that always stands on one side would tell itself"


def test_the_page_says_when_the_browser_keeps_nothing_and_goes_on_from_a_file(rater, key, tmp_path):
    blocked = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('denied') }})"
    ada = rater(script=blocked)
    assert "Download them before you close the page" in ada.page.inner_text("#unsaved")
    ada.page.keyboard.press("Enter")
    for _ in range(3):
        ada.press("2")
    path = ada.download(tmp_path / "part.json")
    ada.page.close()
    ada.open()
    assert ada.votes() == 0
    ada.page.set_input_files("#load", path)
    ada.page.wait_for_selector("#said:has-text('Loaded 3')")
    assert ada.votes() == 3
    ada.press("1")
    assert [vote.answer for vote in load_votes([ada.download(tmp_path / "more.json")], key)[1]] == ["right"] * 3 + [
        "left"
    ]


def test_a_file_of_another_rater_is_refused(rater, tmp_path):
    ada, ben = rater(1), rater(2)
    for each in (ada, ben):
        each.page.keyboard.press("Enter")
        each.press("1")
    of_ben = ben.download(tmp_path / "ben.json")
    (tmp_path / "no.json").write_text("no")
    for path in (of_ben, tmp_path / "no.json"):
        ada.page.set_input_files("#load", path)
        ada.page.wait_for_selector("#said:has-text('no votes of rater 1')")
        ada.page.evaluate("document.getElementById('said').textContent = ''")
    assert ada.votes() == 1
    assert ada.complaints == []


def test_a_missing_image_is_said_and_cannot_be_voted_on(browser, folder, key, tmp_path):
    (tmp_path / "rater-1.html").write_bytes((folder / "rater-1.html").read_bytes())
    ada = Rater(browser, (tmp_path / "rater-1.html").as_uri())
    ada.page.keyboard.press("Enter")
    ada.page.wait_for_selector("#broken:visible")
    ada.page.keyboard.press("1")
    assert ada.votes() == 0
    assert ada.page.locator("#answers button:enabled").count() == 0
    ada.context.close()


def test_it_works_from_a_web_server_too_and_asks_no_other(browser, folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{server.server_address[1]}/"
    ada = Rater(browser, f"{origin}rater-3.html")
    ada.page.keyboard.press("Enter")
    for _ in range(8):
        ada.press("1")
    assert ada.votes() == 8
    assert ada.complaints == []
    assert all(url.startswith((origin, "data:")) for url in ada.asked)
    ada.context.close()
    server.shutdown()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (844, 390), (320, 568), (1280, 800)])
def test_everything_needed_is_in_view(rater, width, height):
    """Nothing to scroll sideways; both images and all answers can be reached."""
    ada = rater(viewport={"width": width, "height": height})
    ada.page.keyboard.press("Enter")
    for _ in range(8):
        ada.press("1")
    ada.page.keyboard.press("Enter")
    ada.page.wait_for_selector("#answers button:enabled >> nth=0")
    assert ada.page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [ada.page.locator(f"#{side}").bounding_box() for side in ("left", "right")]
    assert min(min(box["width"], box["height"]) for box in boxes) >= 120
    assert boxes[0]["width"] == boxes[1]["width"]
    assert boxes[0]["height"] == boxes[1]["height"]
    if height > 600:
        bottom = ada.page.locator("#answers").bounding_box()
        assert bottom["y"] + bottom["height"] <= height, "no scrolling for each vote"


def archives(experiment, prompts: int, skip: str = "") -> None:
    """One archive for each arm, as shards write them: one colour for each image."""
    for place, arm in enumerate(experiment.arms()):
        path = experiment.paths.archive(arm.name, experiment.shards()[0].name)
        images = {
            f"{number:03d}": encode_png(np.full((8, 8, 3), (place, number, 0), dtype=np.uint8))
            for number in range(prompts)
        }
        write_tar(path, {name: data for name, data in images.items() if name != skip})


def prompts_of(n: int) -> list[Prompt]:
    return [Prompt(number, f"{number:03d}", number, "", 0, 0, "A thing.", 0) for number in range(n)]


def test_images_are_those_of_the_archives_under_names_of_their_pixels(tmp_path):
    experiment = experiment_of({"prompts": 6}, sample_sizes=[10], shard_size=10)
    experiment.paths = replace(experiment.paths, results=tmp_path)
    archives(experiment, 10)
    names = write_images(experiment, design_study(experiment), prompts_of(10), tmp_path / "pages")
    for place, arm in enumerate(experiment.arms()):
        assert list(names[arm.name]) == [f"{number:03d}" for number in range(6)]
        for number, name in enumerate(names[arm.name].values()):
            assert Image.open(tmp_path / "pages" / name).getpixel((0, 0)) == (place, number, 0)
            assert (tmp_path / "pages" / name).stat().st_mtime == NO_TIME
    assert len(list((tmp_path / "pages").iterdir())) == 4 * 6


def test_gold_pairs_are_photographs_beside_worse_ones(tmp_path):
    """Of the demo's photographs: the prompt's own, blurred and compressed, and that of another prompt."""
    experiment = experiment_of({"prompts": 6, "attention_checks": 3})
    prompts = load_prompts_of_demo(6)
    names = write_gold(experiment, prompts, tmp_path)
    assert [len(names[each]) for each in (PHOTOGRAPH, DEGRADED, OTHER)] == [3, 3, 3]
    assert names == write_gold(experiment, prompts, tmp_path)
    own = {prompt.prompt_id: prompt.file_name for prompt in prompts}
    for prompt_id, name in names[PHOTOGRAPH].items():
        pixels = np.array(Image.open(tmp_path / name).convert("RGB"), dtype=float)
        assert (pixels == np.array(Image.open(ROOT / "demo/data/images" / own[prompt_id]).convert("RGB"))).all()
        worse = np.array(Image.open(tmp_path / names[DEGRADED][prompt_id]), dtype=float)
        assert worse.shape == pixels.shape
        steps = (np.abs(np.diff(each, axis=0)).max() for each in (worse, pixels))
        assert next(steps) < 0.7 * next(steps), "edges are blurred"
        assert names[OTHER][prompt_id] != name
    assert write_gold(experiment_of({"prompts": 6, "attention_checks": 0}), prompts, tmp_path) == {}


def load_prompts_of_demo(n: int) -> list[Prompt]:
    files = sorted(path.name for path in (ROOT / "demo/data/images").iterdir())[:n]
    return [Prompt(row, f"{row:03d}", row, name, 0, 0, "A thing.", 0) for row, name in enumerate(files)]


def test_archives_that_lack_a_prompt_and_too_few_prompts_are_refused(tmp_path):
    experiment = experiment_of({"prompts": 6}, sample_sizes=[10], shard_size=10)
    experiment.paths = replace(experiment.paths, results=tmp_path)
    design = design_study(experiment)
    with pytest.raises(InputError, match="incomplete archive"):
        write_images(experiment, design, prompts_of(10), tmp_path / "pages")
    archives(experiment, 10, skip="003")
    with pytest.raises(InputError, match="its archives do not match the prompt table"):
        write_images(experiment, design, prompts_of(10), tmp_path / "pages")
    with pytest.raises(InputError, match="prompts: 6, but the prompt table has 5; ask for fewer"):
        write_images(experiment, design, prompts_of(5), tmp_path / "pages")


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "old.html").write_text("old")
    with pytest.raises(RuntimeError), replaced_folder(tmp_path / "pages") as new:
        new.mkdir()
        (new / "half.html").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["pages", "old.html"]
    with replaced_folder(tmp_path / "pages") as new:
        new.mkdir()
        (new / "new.html").write_text(json.dumps("new"))
    assert [path.name for path in tmp_path.rglob("*")] == ["pages", "new.html"]
