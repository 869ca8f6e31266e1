"""The page as HTML: whole, escaped, with every picture and nothing from elsewhere."""

import base64
import io
import re

import numpy as np
import pytest
from html_checks import Reader
from PIL import Image

from r2b_keras.reports.page import Column, Html, Page, Picture, element, table, text

SECTIONS = ["stages", "training", "attention", "gates", "mistakes", "cost"]
SECTIONS += ["deployed", "again"]


@pytest.fixture(scope="module")
def written(page):
    return page.to_html()


@pytest.fixture(scope="module")
def read(written):
    return Reader(written)


@pytest.mark.slow
def test_html_is_balanced_and_complete(written, read):
    assert written.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert read.problems == []
    assert read.all("title") and {"charset": "utf-8"} in read.all("meta")
    viewport = {"name": "viewport", "content": "width=device-width, initial-scale=1"}
    assert viewport in read.all("meta")
    assert [section["id"] for section in read.all("section")] == SECTIONS
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [link["href"] for link in read.all("a")]
    assert targets == [f"#{name}" for name in SECTIONS]


@pytest.mark.slow
def test_nothing_is_loaded_or_run(written, read):
    assert not read.all("script") and not read.all("link")
    for tag, attributes in read.elements:
        for name in ("src", "srcset", "href", "data", "poster"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:image/png;base64,")), (tag, value[:80])
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in written and "@import" not in written
    assert "http://" not in written and "https://" not in written


@pytest.mark.slow
def test_every_picture_is_on_the_page_with_words(page, read):
    shown = read.all("img")
    assert len(shown) == len(page.pictures) > 20
    assert len({picture.name for picture in page.pictures}) == len(page.pictures)
    # Some are shown where they were made known, others later: compare as sets.
    found = {image["src"].partition(",")[2]: image for image in shown}
    for picture in page.pictures:
        image = found[base64.b64encode(picture.png).decode()]
        assert image["alt"] == picture.alt and len(picture.alt) > 20
        width, height = Image.open(io.BytesIO(picture.png)).size
        assert int(image["width"]) * height == pytest.approx(
            int(image["height"]) * width, rel=0.01
        )


@pytest.mark.slow
def test_names_are_escaped(written, read):
    for name in ("<b>0</b>", "a & b", '"four"', "日本", "$x_1$", "a<b>.tflite"):
        assert name in read.text
    assert "&lt;b&gt;0&lt;/b&gt;" in written and "<b>0</b>" not in written


@pytest.mark.slow
def test_styles_have_no_end_of_their_element(written):
    assert written.count("<style>") == written.count("</style>") == 1
    (style,) = re.findall("<style>(.*)</style>", written, re.DOTALL)
    assert style.count("{") == style.count("}") > 30
    assert "tabular-nums" in style and "@media print" in style


def test_elements_by_hand():
    assert element("p", 'a < "b"', class_="x", title='"&"') == (
        '<p class="x" title="&quot;&amp;&quot;">a &lt; &quot;b&quot;</p>'
    )
    assert element("td", Html("<i>1</i>"), None, aria_label=None) == "<td><i>1</i></td>"
    assert element("br") == "<br>" and text(3) == "3"


def test_table_by_hand():
    found = table("Two", [Column("a"), Column("n", True)], [["x", 1], ["<y>", 22]])
    assert found == (
        '<div class="scroll" role="region" aria-label="Two" tabindex="0"><table><thead>'
        '<tr><th scope="col">a</th><th scope="col" class="number">n</th></tr></thead>'
        '<tbody><tr><th scope="row">x</th><td class="number">1</td></tr>\n'
        '<tr><th scope="row">&lt;y&gt;</th><td class="number">22</td></tr></tbody>'
        "</table></div>"
    )


def test_columns_that_narrow_screens_leave_out():
    kinds = [Column("a", number, minor).kind for number, minor in np.ndindex(2, 2)]
    assert kinds == [None, "minor", "number", "number minor"]
    found = table("One", [Column("a"), Column("b", True, minor=True)], [[1, 2]])
    assert '<th scope="col" class="number minor">b</th>' in found
    assert '<td class="number minor">2</td>' in found


def test_a_page_says_what_it_is_given():
    page = Page("a & b", element("h1", "<"))
    content = io.BytesIO()
    Image.new("L", (4, 2)).save(content, "PNG")
    dot = Picture("dot", content.getvalue(), 'a "dot"', 0.5, 10.666)
    figure = page.figure(dot, "<below>")
    page.add("one", "One", figure)
    read = Reader(page.to_html())
    assert read.problems == []
    (image,) = read.all("img")
    assert (image["alt"], image["width"], image["height"]) == ('a "dot"', "2", "1")
    assert image["data-text"] == "10.67"
    assert "<below>" in read.text and "a & b" in read.text
