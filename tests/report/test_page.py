"""The page in a real Chromium, opened from the disk: what a reader clicks, types, prints and takes along."""

import base64
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pages import HOSTILE, SVG, Study
from PIL import Image

from emudrift.report.gallery.grid_rows import side_by_side
from emudrift.report.gallery.section import PAGE, build_gallery
from emudrift.report.gallery.strips import Block, Shown, strip_of
from emudrift.report.page import Content, build_report

TOTAL = 30
NOUNS = ("cat", "dog", "bus", "clock", "pizza")


class Opened:
    """A page in a browser, with everything that it asked for and complained about."""

    def __init__(self, browser, path: Path, **options) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def wait_for_images(self) -> None:
        """Until every image of the gallery is there; a page that stays without one ends the test."""
        self.page.wait_for_function(
            "[...document.querySelectorAll('.prompt img')].every(image => image.complete && image.naturalWidth)"
        )

    def captions(self) -> list[str]:
        return self.page.locator(".prompt h3").all_text_contents()

    def status(self) -> str:
        return self.page.locator("#gallery-status").text_content() or ""


def write_page(
    folder: Path,
    captions: list[str],
    *,
    strips: bool = True,
    scores: bool = True,
    side: int = 64,
    full: int = 0,
    **changes,
) -> Path:
    """report.html with the gallery beside it. Arm i of prompt r has CLIPScore 20 + (7 r + i) % 11; of row 5 one is plain."""
    study = Study(**changes)
    arms = [arm.name for arm in side_by_side(study.experiment.arms())]
    generator = np.random.default_rng(0)
    shown = [
        Shown(
            row=row,
            prompt_id=f"{row + 1000:012d}",
            caption=caption,
            spread=[0.0 if (row, place) == (5, 1) else 50.0 for place in range(len(arms))],
            disagreement=float((row * 7) % 30),
        )
        for row, caption in enumerate(captions)
    ]
    block = Block(rows="000000-010000", extractor="dinov2", arms=arms, prompts=shown, full=full)
    home = folder / "gallery" / block.rows
    home.mkdir(parents=True)
    noise = [Image.fromarray(generator.integers(0, 256, (side, side, 3), np.uint8)) for _ in range(len(arms) + 1)]
    strip = strip_of(noise)
    for each in shown:
        (folder / "gallery" / block.strip(each.row)).write_bytes(strip)
    found = {arm: np.array([20.0 + (7 * row + i) % 11 for row in range(len(shown))]) for i, arm in enumerate(arms)}
    gallery = build_gallery(study.experiment, [block], folder / "gallery", found if scores else None)
    if not strips:
        for path in home.iterdir():
            path.unlink()
    path = folder / "report.html"
    path.write_text(build_report(study.experiment, Content(*study.tables, study.manifests, SVG, SVG, gallery)))
    return path


def captions_of(total: int) -> list[str]:
    return [f"a {NOUNS[row % 5]} number {row}" for row in range(total)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("page"), captions_of(TOTAL))


@pytest.fixture
def opened(browser, written: Path) -> Iterator[Opened]:
    made = Opened(browser, written, viewport={"width": 1200, "height": 900})
    yield made
    made.context.close()


def test_the_page_opens_from_the_disk_without_a_word_and_asks_for_nothing_else(opened: Opened, written: Path) -> None:
    opened.page.locator("footer").scroll_into_view_if_needed()
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [written.as_uri()]
    assert opened.page.locator(".prompt").count() == PAGE
    # Every image that is shown was decoded.
    widths = opened.page.evaluate("[...document.querySelectorAll('.prompt img')].map(i => i.naturalWidth)")
    assert set(widths) == {64}


def test_paging_loads_strips_beside_the_page_and_nothing_from_elsewhere(opened: Opened, written: Path) -> None:
    opened.page.select_option("#gallery-sort", "prompt order")
    assert opened.captions() == captions_of(TOTAL)[:PAGE]
    assert opened.page.locator("#gallery-back").is_disabled()
    opened.page.click("#gallery-next")
    assert opened.captions() == captions_of(TOTAL)[PAGE : 2 * PAGE]
    assert opened.status() == "Page 2 of 3; 30 of 30 prompts"
    opened.page.click("#gallery-next")
    assert opened.captions() == captions_of(TOTAL)[2 * PAGE :]
    assert opened.page.locator("#gallery-next").is_disabled()
    opened.wait_for_images()
    files = {url for url in opened.asked if not url.startswith("data:")} - {written.as_uri()}
    assert files
    assert all(url.startswith((written.parent / "gallery").as_uri()) for url in files)
    assert opened.said == []
    assert opened.page.locator("#gallery-missing").is_hidden()
    assert set(opened.page.evaluate("[...document.querySelectorAll('.cut img')].map(i => i.naturalWidth)")) == {5 * 64}


def test_search_finds_all_words_in_any_order_and_ids(opened: Opened) -> None:
    opened.page.fill("#gallery-search", "number CLOCK")
    assert sorted(opened.captions()) == sorted(text for text in captions_of(TOTAL) if "clock" in text)
    assert opened.status() == "Page 1 of 1; 6 of 30 prompts"
    opened.page.fill("#gallery-search", "000000001017")
    assert opened.captions() == ["a bus number 17"]
    opened.page.fill("#gallery-search", "no such thing")
    assert opened.captions() == []
    assert opened.status() == "No caption contains these words."
    # Enter must not send a form anywhere.
    opened.page.press("#gallery-search", "Enter")
    opened.page.fill("#gallery-search", "")
    assert len(opened.captions()) == PAGE
    assert opened.said == []


def test_sorting_follows_what_it_is_named_after(opened: Opened) -> None:
    captions = captions_of(TOTAL)
    assert opened.captions()[0] == captions[5], "the plain image comes first"
    badges = opened.page.locator(".prompt >> nth=0").locator(".badge").all_text_contents()
    assert badges == ["one colour"]
    opened.page.select_option("#gallery-sort", "disagreement, largest first")
    order = sorted(range(TOTAL), key=lambda row: (-((row * 7) % 30), row))
    assert opened.captions() == [captions[row] for row in order[:PAGE]]
    scores = [[20 + (7 * row + arm) % 11 for arm in range(4)] for row in range(TOTAL)]
    opened.page.select_option("#gallery-sort", "CLIPScore, lowest first")
    assert opened.captions() == [captions[r] for r in sorted(range(TOTAL), key=lambda r: (min(scores[r]), r))[:PAGE]]
    opened.page.select_option("#gallery-sort", "CLIPScore, highest first")
    assert opened.captions() == [captions[r] for r in sorted(range(TOTAL), key=lambda r: (-max(scores[r]), r))[:PAGE]]


def test_the_embedded_first_page_says_the_same_as_the_script(browser, tmp_path: Path) -> None:
    """Once as the script makes the cards, once as they stand in the file."""
    path = write_page(tmp_path, captions_of(TOTAL))
    embedded = Opened(browser, path, java_script_enabled=False)
    written = embedded.page.locator(".prompt").all_inner_texts()
    embedded.context.close()
    text = re.sub(
        r'(<div id="gallery-cards">).*?(</div>\n<div class="pages)', r"\1\2", path.read_text(), flags=re.DOTALL
    )
    path.write_text(text)
    made = Opened(browser, path)
    assert made.page.locator(".prompt .cut").count() == 5 * PAGE
    assert made.page.locator(".prompt").all_inner_texts() == written
    made.context.close()


@pytest.mark.parametrize(("width", "most"), [(390, 12_000), (1400, 12_000)])
def test_the_first_screen_has_the_answer_and_the_page_is_no_endless_scroll(
    browser, written: Path, width: int, most: int
) -> None:
    opened = Opened(browser, written, viewport={"width": width, "height": 900})
    assert opened.page.evaluate("document.documentElement.scrollHeight") <= most
    for selector, lowest in (
        (".headline", 450),
        ("#answer .plot svg", 900),
        *([(".look img", 900)] if width > 1000 else []),
    ):
        box = opened.page.locator(selector).first.bounding_box()
        assert box is not None
        assert box["y"] < lowest, selector
    opened.context.close()


def test_hostile_captions_are_text_everywhere(browser, tmp_path: Path) -> None:
    hostile = [
        HOSTILE,
        "</script><script>document.title = 'broken'</script>",
        "<!--<script>",
        "' \" ` ${1} \\ \u2028 {{ 7 * 7 }}",
        "日本語 مرحبا 👩‍👩‍👧",
    ]
    path = write_page(tmp_path, hostile * 3)
    opened = Opened(browser, path)
    opened.page.on("dialog", lambda dialog: opened.said.append(f"DIALOG {dialog.message}"))
    opened.page.select_option("#gallery-sort", "prompt order")
    shown = opened.captions()
    opened.page.click("#gallery-next")
    shown += opened.captions()
    assert shown == [" ".join(caption.split()) for caption in hostile * 3]
    opened.page.locator(".frame").first.click()
    assert opened.page.locator("#lightbox-caption").text_content() == shown[PAGE]
    assert opened.page.title() == "small: finetuned against base"
    assert opened.said == []
    # And the page's own policy would have stopped what came through.
    opened.page.evaluate(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)"
    )
    assert opened.page.evaluate("window.ran") is None
    opened.context.close()


def test_without_the_folder_beside_it_the_page_says_so_kindly(browser, tmp_path: Path) -> None:
    opened = Opened(browser, write_page(tmp_path, captions_of(TOTAL), strips=False))
    assert opened.page.locator("#gallery-missing").is_hidden()
    assert set(opened.page.evaluate("[...document.querySelectorAll('.prompt img')].map(i => i.naturalWidth)")) == {64}
    opened.page.click("#gallery-next")
    opened.page.locator("#gallery-missing").wait_for(state="visible")
    assert "folder gallery/ next to it" in " ".join(opened.page.locator("#gallery-missing").inner_text().split())
    opened.context.close()


def test_without_scripts_answer_figures_tables_and_first_images_are_there(browser, written: Path) -> None:
    opened = Opened(browser, written, java_script_enabled=False)
    page = opened.page
    for selector in (".headline", "#answer .plot svg", "#curve .plot svg", ".look img", "#methods summary"):
        assert page.locator(selector).first.is_visible(), selector
    for selector in ("#fids", "#comparisons"):
        assert page.locator(f"{selector} table").first.is_hidden(), "folded"
        page.locator(f"{selector} summary").first.click()
        assert page.locator(f"{selector} table").first.is_visible(), selector
    assert page.locator(".prompt img").count() == PAGE * 5
    assert page.locator("#gallery-controls").is_hidden()
    assert page.locator("noscript").is_visible()
    opened.context.close()


def test_tables_sort_by_click_and_keyboard_and_say_so(opened: Opened) -> None:
    opened.page.locator("#fids summary").first.click()
    table = opened.page.locator("#fids table").first
    head = table.locator("thead th").nth(2)

    def values() -> list[float]:
        texts = table.locator("tbody td:nth-child(3)").all_text_contents()
        return [float(text.replace("−", "-")) for text in texts]

    before = values()
    assert before != sorted(before)
    head.locator("button").click()
    assert values() == sorted(before)
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").focus()
    opened.page.keyboard.press("Enter")
    assert values() == sorted(before, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    table.locator("thead th").first.locator("button").click()
    assert head.get_attribute("aria-sort") is None
    names = table.locator("tbody th").all_text_contents()
    assert names == sorted(names)


def test_csv_and_methods_can_be_taken_along(opened: Opened, browser) -> None:
    opened.page.locator("#fids summary").first.click()
    with opened.page.expect_download() as waiting:
        opened.page.locator("#fids .download").first.click()
    table = pd.read_csv(waiting.value.path())
    expected, _ = Study().tables
    assert waiting.value.suggested_filename.startswith("fid-inception-random-")
    assert table["fid"].tolist() == pytest.approx(expected["fid"].tolist())
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened.page.click("button[data-copy='methods-text']")
    opened.page.get_by_text("copied", exact=True).wait_for()
    text = opened.page.evaluate("navigator.clipboard.readText()")
    assert text.startswith("Prompts were captions")
    assert text.count("\n\n") == opened.page.locator("#methods-text p").count() - 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_screen(browser, written: Path, scheme: str, width: int) -> None:
    opened = Opened(browser, written, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    levels = [int(level) for level in re.findall(r"\d+", background)]
    assert (max(levels) < 60) == (scheme == "dark")
    opened.context.close()


def test_print_leaves_the_controls_out_and_fits_the_paper(opened: Opened) -> None:
    opened.page.emulate_media(media="print")
    opened.page.set_viewport_size({"width": 680, "height": 900})
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 680
    for selector in ("nav", "#gallery-controls", ".pages", ".download >> nth=0"):
        assert opened.page.locator(selector).is_hidden(), selector
    assert opened.page.locator(".prompt img").first.is_visible()
    assert len(opened.page.pdf(format="A4")) > 10_000
    # What is folded is printed open, and folded again afterwards.
    count = "[...document.querySelectorAll('details')].filter(each => each.open).length"
    before = opened.page.evaluate(count)
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.page.evaluate(count) == opened.page.locator("details").count() > before
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.page.evaluate(count) == before


def test_ten_thousand_prompts_stay_small_and_quick(browser, tmp_path: Path) -> None:
    """The largest gallery there can be: images of full thumbnail size, captions as long as COCO's longest."""
    captions = [f"{text} {'long words ' * 20}" for text in captions_of(10_000)]
    path = write_page(tmp_path, captions, side=300, sample_sizes=[100, 10_000])
    assert path.stat().st_size < 20e6
    opened = Opened(browser, path)
    assert opened.page.locator(".prompt").count() == PAGE
    took = opened.page.evaluate(
        """() => {
          const box = document.getElementById('gallery-search');
          const begun = performance.now();
          box.value = 'clock nowhere'; box.dispatchEvent(new Event('input'));
          return performance.now() - begun;
        }"""
    )
    assert opened.captions() == []
    assert "No caption" in opened.status()
    opened.page.fill("#gallery-search", "000000010988")
    assert [caption.split(" long")[0] for caption in opened.captions()] == ["a clock number 9988"]
    opened.page.fill("#gallery-search", "pizza")
    assert opened.status() == "Page 1 of 167; 2,000 of 10,000 prompts"
    opened.page.select_option("#gallery-sort", "disagreement, largest first")
    opened.wait_for_images()
    # Only what is shown was fetched: no more than four pages' strips.
    assert len([url for url in opened.asked if url.endswith(".webp")]) <= 4 * PAGE
    assert opened.said == []
    print(f"page of {path.stat().st_size / 1e6:.1f} MB; a search among 10,000 took {took:.0f} ms")
    opened.context.close()


def test_downloads_need_no_script(written: Path) -> None:
    links = re.findall(
        r'download="(fid-inception[^"]*)" href="data:text/csv;charset=utf-8;base64,([^"]*)"', written.read_text()
    )
    ((_, data),) = links
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(data).decode())))
    assert len(rows) == 8
