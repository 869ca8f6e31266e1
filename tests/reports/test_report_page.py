"""The page as HTML: whole, escaped, with every picture and nothing from elsewhere."""

import base64
import io
import re

import jinja2
import pytest
from html_checks import Reader
from PIL import Image

from r2b_keras.reports import page as page_module
from r2b_keras.reports.pictures import Picture

SECTIONS = ["stages", "training", "attention", "gates", "mistakes", "cost"]
SECTIONS += ["deployed", "again"]


@pytest.fixture(scope="module")
def read(page):
    return Reader(page.html)


@pytest.mark.slow
def test_html_is_balanced_and_complete(page, read):
    assert page.html.startswith('<!DOCTYPE html>\n<html lang="en">')
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
def test_nothing_is_loaded_or_run(page, read):
    assert not read.all("script") and not read.all("link")
    for tag, attributes in read.elements:
        for name in ("src", "srcset", "href", "data", "poster"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:image/png;base64,")), (tag, value[:80])
        assert not [name for name in attributes if name.startswith("on")]
    for word in ("url(", "@import", "http://", "https://"):
        assert word not in page.html


@pytest.mark.slow
def test_every_picture_is_on_the_page_with_words(page, read):
    shown = {image["src"].partition(",")[2]: image for image in read.all("img")}
    assert len(read.all("img")) == len(page.pictures) > 20
    assert len({picture.name for picture in page.pictures}) == len(page.pictures)
    for picture in page.pictures:
        image = shown[base64.b64encode(picture.png).decode()]
        assert (image["id"], image["alt"]) == (picture.name, picture.alt)
        assert len(picture.alt) > 20
        width, height = Image.open(io.BytesIO(picture.png)).size
        assert int(image["width"]) * height == pytest.approx(
            int(image["height"]) * width, rel=0.01
        )


@pytest.mark.slow
def test_names_are_escaped(page, read):
    for name in ("<b>0</b>", "a & b", '"four"', "日本", "$x_1$", "a<b>.tflite"):
        assert name in read.text
    assert "&lt;b&gt;0&lt;/b&gt;" in page.html and "<b>0</b>" not in page.html


@pytest.mark.slow
def test_styles_have_no_end_of_their_element(page):
    (style,) = re.findall("<style>(.*?)</style>", page.html, re.DOTALL)
    assert page.html.count("<style>") == page.html.count("</style>") == 1
    assert style.count("{") == style.count("}") > 30
    assert "tabular-nums" in style and "@media print" in style


def made(text, **values):
    """What the template's parts make of values."""
    names = "table, figure, command, definitions, share"
    source = '{% from "macros.html" import ' + names + " with context %}" + text
    return page_module._environment().from_string(source).render(**values).strip()


def test_a_table_by_hand():
    columns = [("a", ""), ("n", "number"), ("Verdict", "minor")]
    rows = [["x", 1, "on track"], ["<y>", 22, "no interval"]]
    found = made("{{ table('\"2\"', columns, rows) }}", columns=columns, rows=rows)
    assert re.sub(r"\n\s*", "", found) == (
        '<div class="scroll" role="region" aria-label="&#34;2&#34;" tabindex="0">'
        '<table><thead><tr><th scope="col">a</th><th scope="col" class="number">n</th>'
        '<th scope="col" class="minor">Verdict</th></tr></thead><tbody>'
        '<tr><th scope="row">x</th><td class="number">1</td><td class="minor">'
        '<span class="verdict good"><span aria-hidden="true">✓</span>on track</span>'
        '</td></tr><tr><th scope="row">&lt;y&gt;</th><td class="number">22</td>'
        '<td class="minor"><span class="verdict unknown">no interval</span></td></tr>'
        "</tbody></table></div>"
    )


@pytest.mark.parametrize("wide", [False, True])
def test_a_figure_by_hand(wide):
    content, shown = io.BytesIO(), []
    Image.new("L", (4, 2)).save(content, "PNG")
    dot = Picture("dot", content.getvalue(), 'a "dot"', 0.5, 10.666)
    text = "{{ figure(dot, '<below>', wide) }}"
    read = Reader(made(text, dot=dot, wide=wide, show=lambda p: shown.append(p) or ""))
    assert read.problems == [] and shown == [dot]
    (image,) = read.all("img")
    assert (image["alt"], image["width"], image["height"]) == ('a "dot"', "2", "1")
    assert image["data-text"] == "10.67" and "<below>" in read.text
    assert bool(read.all("div")) == wide


def test_commands_and_values_are_text():
    assert made("{{ command(line) }}", line="a <b> \\\n  & c") == (
        '<pre tabindex="0">a &lt;b&gt; \\\n  &amp; c</pre>'
    )
    found = made("{{ definitions(pairs) }}", pairs=[("<", None)])
    assert found == "<dl><div><dt>&lt;</dt><dd>None</dd></div></dl>"
    words = {0.5: "50.0 %", 0.001: "0.1 %", 0.0009: "&lt; 0.1 %"}
    for share, expected in words.items():
        assert made("{{ share(value) }}", value=share) == expected


def test_what_the_template_lacks_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="'record' is undefined"):
        page_module.render(sentence="Nothing else.")
