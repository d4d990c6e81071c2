"""The gallery in a real Chromium: enlarged images, two over each other, and links to prompts."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from test_page import TOTAL, Opened, captions_of, write_page

from emudrift.report.gallery.section import PAGE
from emudrift.report.gallery.strips import strip_of


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("gallery"), captions_of(TOTAL))


@pytest.fixture
def opened(browser, written: Path) -> Iterator[Opened]:
    made = Opened(browser, written, viewport={"width": 1200, "height": 900})
    yield made
    made.context.close()


def test_the_lightbox_works_by_keyboard_alone(opened: Opened) -> None:
    page = opened.page
    page.select_option("#gallery-sort", "prompt order")
    page.locator(".frame").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#lightbox").is_visible()
    assert page.locator("#lightbox-caption").text_content() == "a cat number 0"
    assert "real image" in page.locator("#lightbox-facts").text_content()
    page.keyboard.press("ArrowRight")
    assert "base, guidance" in page.locator("#lightbox-facts").text_content()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert "finetuned, guidance\N{NO-BREAK SPACE}3" in page.locator("#lightbox-facts").text_content()
    page.keyboard.press("ArrowUp")
    assert page.locator("#lightbox-caption").text_content() == "a cat number 0"
    # Two images over each other, and a key that changes between them.
    assert page.locator("#lightbox-image .layer").count() == 1
    assert page.locator("#lightbox-mix").is_disabled()
    page.select_option("#lightbox-other", "real image")
    upper = page.locator("#lightbox-image .layer").nth(1)
    shown = "getComputedStyle(document.querySelectorAll('#lightbox-image .layer')[1]).opacity"
    assert "real image" in upper.locator("img").get_attribute("alt")
    assert page.evaluate(shown) == "0"
    page.locator("#lightbox-mix").focus()
    page.keyboard.press("Space")
    assert page.evaluate(shown) == "1"
    assert "shows B" in page.locator("#lightbox-toggle").text_content()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(shown) == "0.99", "the arrow keys move the slider"
    page.select_option("#lightbox-other", "nothing")
    page.locator("#lightbox-close").focus()
    for _ in range(PAGE):
        page.keyboard.press("ArrowDown")
    # Over the end of a page to the next.
    assert page.locator("#lightbox-caption").text_content() == captions_of(TOTAL)[PAGE]
    assert opened.status().startswith("Page 2")
    page.keyboard.press("Escape")
    assert page.locator("#lightbox").is_hidden()
    page.wait_for_function("document.activeElement.matches('.frame')")
    focused = page.evaluate("document.activeElement.querySelector('img').alt")
    assert focused == f"finetuned, guidance\N{NO-BREAK SPACE}3: {captions_of(TOTAL)[PAGE]}"
    assert opened.said == []


def test_a_page_and_a_prompt_can_be_gone_to(opened: Opened, written: Path, browser) -> None:
    page = opened.page
    page.select_option("#gallery-sort", "prompt order")
    page.fill("#gallery-page", "3")
    page.keyboard.press("Tab")
    assert opened.status().startswith("Page 3 of 3")
    link = page.locator(".prompt .self").last.get_attribute("href")
    assert link == f"#prompt-{1000 + TOTAL - 1:012d}"
    # As if someone sent it.
    sent = browser.new_context()
    other = sent.new_page()
    other.goto(f"{written.as_uri()}{link}")
    shown = other.locator(".prompt h3").all_text_contents()
    assert captions_of(TOTAL)[-1] in shown
    top = other.locator(link).bounding_box()
    assert top is not None
    assert top["y"] < other.viewport_size["height"]
    sent.close()


def test_images_are_enlarged_from_files_in_full_size(browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, captions_of(PAGE), side=300, full=2)
    for row in range(2):
        folder = tmp_path / "gallery" / "000000-010000" / f"{row:06d}"
        folder.mkdir()
        for place in range(5):
            Image.new("RGB", (640, 640), (40 * place, 0, 0)).save(folder / f"{place}.webp")
    opened = Opened(browser, path, viewport={"width": 1200, "height": 900})
    opened.page.select_option("#gallery-sort", "prompt order")
    opened.page.locator(".frame").first.click()
    opened.page.wait_for_function("document.querySelector('#lightbox-image img').naturalWidth === 640")
    for _ in range(2):
        opened.page.keyboard.press("ArrowDown")
    source = opened.page.evaluate("document.querySelector('#lightbox-image img').src")
    assert source.startswith("data:image/webp"), "a thumbnail again"
    opened.context.close()


def test_a_frame_shows_its_own_part_of_the_strip(browser, tmp_path: Path) -> None:
    """Colours are read from the screen: an arm's image must not stand under another arm's name."""
    path = write_page(tmp_path, captions_of(PAGE + 1))
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
    strip = strip_of([Image.new("RGB", (64, 64), colour) for colour in colours])
    for each in (tmp_path / "gallery" / "000000-010000").iterdir():
        each.write_bytes(strip)
    opened = Opened(browser, path, viewport={"width": 1200, "height": 900})
    opened.page.select_option("#gallery-sort", "prompt order")
    opened.page.click("#gallery-next")
    opened.wait_for_images()
    frames = opened.page.locator(".frame")
    assert frames.count() == 5

    def middle(locator) -> tuple[int, int, int]:
        with Image.open(io.BytesIO(locator.screenshot())) as image:
            return image.convert("RGB").getpixel((image.width // 2, image.height // 2))

    assert [middle(frames.nth(place)) for place in range(5)] == colours
    frames.nth(3).click()
    assert middle(opened.page.locator("#lightbox-image .frame")) == colours[3]
    opened.context.close()
