"""A report in a real browser: on a phone, a wide screen, in the dark and on paper; no errors, nothing asked outside."""

from __future__ import annotations

import re

import pytest
from report_pages import text_of

BACKGROUND = "getComputedStyle(document.body).backgroundColor"
COLOURS = """[...document.querySelectorAll("body, dt, .note, .care li, .interval, pre")].map(e => {
    let below = e;
    while (getComputedStyle(below).backgroundColor === "rgba(0, 0, 0, 0)") below = below.parentElement;
    return [getComputedStyle(e).color, getComputedStyle(below).backgroundColor];
})"""


def luminance(colour):
    """Returns the relative luminance of "rgb(r, g, b)" (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def lowest_contrast(page):
    contrasts = []
    for text, paper in page.evaluate(COLOURS):
        low, high = sorted(map(luminance, (text, paper)))
        contrasts.append((high + 0.05) / (low + 0.05))
    assert len(contrasts) > 10
    return min(contrasts)


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize("name", ["faithful", "hostile"])
def test_page_in_chromium(browser, name, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(text_of(name), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="light")
    trouble, asked = [], []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert overflow(page) == 0  # a phone: what is wide scrolls inside its box
    light, light_contrast = page.evaluate(BACKGROUND), lowest_contrast(page)
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 1)")
    page.emulate_media(color_scheme="dark")
    assert luminance(page.evaluate(BACKGROUND)) < 0.02 < 0.9 < luminance(light)
    assert min(light_contrast, lowest_contrast(page)) > 4.5
    page.emulate_media(media="print", color_scheme="dark")  # paper stays white
    assert page.evaluate(BACKGROUND) == "rgb(255, 255, 255)" and lowest_contrast(page) > 4.5
    page.set_viewport_size({"width": 718, "height": 1000})  # of A4, less margins
    assert overflow(page) == 0
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1200, "height": 900})
    assert overflow(page) == 0
    assert page.title() == f"Mixture of {2 if name == 'faithful' else 3} Gaussians"
    assert trouble == []
    assert [url for url in asked if not url.startswith("data:image/")] == [file.as_uri()]
    page.close()
