"""The page in headless Chromium: on a phone, on a desktop and on paper."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
PHONE, DESKTOP = (390, 844), (1280, 800)
# A4 within the margins of the style sheet, in CSS pixels.
PAPER = (688, 1009)
# CSS pixels: type in pictures is no smaller.
LEAST_TEXT = 9

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(NAMES)} on PATH"),
]

# Frames of the page in one that has a script: the page itself has none. A window of the
# browser's own could not be as narrow as a phone.
_FRAMES = """<!DOCTYPE html><body style="margin:0">{frames}<script>
addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{
    const inner = frame.contentDocument, root = inner.documentElement;
    return {{
      inner: frame.contentWindow.innerWidth,
      scroll: root.scrollWidth,
      height: root.scrollHeight,
      font: parseFloat(frame.contentWindow.getComputedStyle(inner.body).fontSize),
      columns: frame.contentWindow.getComputedStyle(
        inner.querySelector(".figures") || inner.body).gridTemplateColumns,
      broken: [...inner.images].filter(i => !i.complete || !i.naturalWidth).length,
      wide: [...inner.images].filter(i => !i.closest(".scroll") &&
        i.getBoundingClientRect().right > frame.contentWindow.innerWidth + 0.5).length,
      text: Math.min(...[...inner.images].filter(i => i.dataset.text).map(i =>
        i.dataset.text * i.getBoundingClientRect().width / i.getAttribute("width"))),
      first: [...inner.querySelectorAll("#stages tbody tr")].map(row => row.children[4]
        .getBoundingClientRect().right - row.closest(".scroll").clientWidth
        - row.closest(".scroll").getBoundingClientRect().left),
      minor: [...inner.querySelectorAll(".minor")].filter(c => c.offsetWidth).length,
      split: [...inner.querySelectorAll("table, p, figure, .beside, .cards")].filter(
        e => frame.contentWindow.getComputedStyle(e).breakInside !== "avoid").length,
      rows: [...inner.querySelectorAll(".curves")].map(
        curves => new Set([...curves.children].map(c => c.offsetTop)).size),
    }};
  }});
  const out = document.createElement("output");
  out.textContent = JSON.stringify(found);
  document.body.append(out);
}});
</script>"""


def browse(tmp_path, *arguments):
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}"]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=120, check=True
    ).stdout


def frame(content, size):
    return (
        f'<iframe style="border:0" width="{size[0]}" height="{size[1]}" '
        f'srcdoc="{html.escape(content)}"></iframe>'
    )


def measure(tmp_path, content, *sizes):
    """What a script finds about the page in frames of these sizes."""
    frames = tmp_path / "frames.html"
    text = "".join(frame(content, size) for size in sizes)
    frames.write_text(_FRAMES.format(frames=text), encoding="utf-8")
    found = browse(tmp_path, "--dump-dom", f"file://{frames}")
    return json.loads(re.search("<output>(.*)</output>", found).group(1))


def on_screen(content):
    """The page as it is printed, on a screen, where it can be measured."""
    assert content.count("@media print") == 1
    return content.replace("@media print", "@media all")


@pytest.fixture(scope="module")
def seen(page, tmp_path_factory):
    """The page on a phone, a desktop, a screen as small as paper, and on paper."""
    folder = tmp_path_factory.mktemp("seen")
    screens = measure(folder, page.html, PHONE, DESKTOP, PAPER)
    return [*screens, *measure(folder, on_screen(page.html), PAPER)]


def measured(tmp_path, page, added, size=PHONE):
    """The page with something wrong in it: each measure below can fail."""
    return measure(tmp_path, page.html.replace("<main>", f"<main>{added}"), size)[0]


def test_fits_a_phone_and_a_desktop(seen, page, tmp_path):
    phone, desktop, *_ = seen
    for found, size in ((phone, PHONE), (desktop, DESKTOP)):
        assert found["inner"] == size[0]
        assert found["scroll"] <= found["inner"]
        assert found["font"] >= 16
        assert found["broken"] == found["wide"] == 0
    assert len(phone["columns"].split()) == 1
    assert len(desktop["columns"].split()) == 3
    assert phone["height"] > desktop["height"] > 3 * DESKTOP[1]
    wrong = measured(tmp_path, page, '<div style="width:600px">.</div>')
    assert wrong["scroll"] >= 600 > wrong["inner"]


def test_a_picture_that_is_cut_off_is_noticed(page, tmp_path):
    """Where the page does not scroll, its width tells nothing."""
    style = "<style>main{overflow:hidden}img{max-width:none!important}</style>"
    wrong = measured(tmp_path, page, f'{style}<img width="600" src="">')
    assert wrong["scroll"] <= wrong["inner"] and wrong["wide"] >= 1


def test_text_in_pictures_can_be_read(seen, page, tmp_path):
    phone, desktop, _, paper = seen
    for found in (phone, desktop, paper):
        assert LEAST_TEXT <= found["text"] < 20
    # The curves of each stage are beside each other, three of them too.
    assert set(desktop["rows"]) == set(paper["rows"]) == {1}
    small = measured(tmp_path, page, "<style>img{width:200px}</style>")
    assert small["text"] < LEAST_TEXT


def test_what_fits_a_sheet_of_paper_is_not_split(seen):
    _, _, screen, paper = seen
    assert paper["split"] == 0 < screen["split"]


def test_verdicts_are_seen_at_once_on_a_phone(seen, page, tmp_path):
    phone, desktop, *_ = seen
    assert len(phone["first"]) == 4 and max(phone["first"]) <= 0
    assert phone["minor"] == 0 < desktop["minor"]
    # Longer words than those of this page.
    longest = page.html.replace("no expectation", "\u25bc below expected")
    (found,) = measure(tmp_path, longest.replace("\u2013<", "\u221212.34<"), PHONE)
    assert max(found["first"]) <= 0
    wide = measured(tmp_path, page, "<style>th{padding:2em}</style>")
    assert max(wide["first"]) > 0


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_looks_dark_on_white(page, tmp_path, size):
    frames, shot = tmp_path / "frame.html", tmp_path / "shot.png"
    body = f'<!DOCTYPE html><body style="margin:0">{frame(page.html, size)}'
    frames.write_text(body, encoding="utf-8")
    window = f"--window-size={max(size[0], 600)},{size[1] + 200}"
    browse(tmp_path, window, f"--screenshot={shot}", f"file://{frames}")
    pixels = np.asarray(Image.open(shot).convert("L"))[: size[1], : size[0]]
    assert pixels.shape == size[::-1]
    white, dark = np.mean(pixels == 255), np.mean(pixels < 96)
    assert white > 0.75 and 0.005 < dark < 0.25
    # Margins are free, and something stands on the left half of the first lines.
    assert (pixels[:, :10] == 255).all() and (pixels[:, -10:] == 255).all()
    assert (pixels[: size[1] // 4, : size[0] // 2] < 96).any()


def test_prints_on_several_pages(page, tmp_path):
    source, paper = tmp_path / "report.html", tmp_path / "report.pdf"
    source.write_text(page.html, encoding="utf-8")
    browse(
        tmp_path,
        f"--print-to-pdf={paper}",
        "--no-pdf-header-footer",
        f"file://{source}",
    )
    content = paper.read_bytes()
    assert content.startswith(b"%PDF-")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 20
    # A4, in points.
    assert re.search(rb"/MediaBox \[0 0 59[45][.\d]* 84[12][.\d]*\]", content)
