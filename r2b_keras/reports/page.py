"""A page of HTML as one file: elements, tables, pictures within the text, the frame.

Needs no network and no JavaScript. All text is escaped unless it is `Html` already.
"""

import base64
import html
import importlib.resources
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

VOID = frozenset({"br", "hr", "img", "link", "meta", "col"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Html:
    """Escapes a value; what is HTML already stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def join(parts: Iterable[object], between: str = "") -> Html:
    """Parts one after another, escaped as `text` does."""
    return Html(str(text(between)).join(text(part) for part in parts))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """An element.

    Args:
      tag: its name.
      *children: text or HTML; None is left out.
      **attributes: `class_` and `for_` lose their underscore, others inside a name
        become hyphens; None leaves one out.
    """
    named = (
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    start = f"<{tag}{''.join(named)}>"
    if tag in VOID:
        return Html(start)
    content = join(child for child in children if child is not None)
    return Html(f"{start}{content}</{tag}>")


def paragraph(*children: object, **attributes: object) -> Html:
    """A paragraph."""
    return element("p", *children, **attributes)


def notice(sentence: object) -> Html:
    """A sentence about what is missing or does not fit."""
    return element("p", sentence, class_="notice")


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows.

    Attributes:
      name: file name without `.png`, unique on the page.
      png: the file's bytes.
      alt: what it shows, for those who do not see it.
      scale: CSS pixels of one of its pixels; narrower places shrink it further.
      smallest_text: CSS pixels of the smallest type in it at that scale, None without
        any.
    """

    name: str
    png: bytes
    alt: str
    scale: float = 1.0
    smallest_text: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, from the file's header."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height


def image(picture: Picture) -> Html:
    """The picture as part of the page; it says how small its text is."""
    width, height = (round(side * picture.scale) for side in picture.size)
    text_size = picture.smallest_text
    content = base64.b64encode(picture.png).decode("ascii")
    return element(
        "img",
        src=f"data:image/png;base64,{content}",
        alt=picture.alt,
        width=width,
        height=height,
        data_text=None if text_size is None else f"{text_size:.2f}",
    )


@dataclass(frozen=True)
class Column:
    """A table's column.

    Attributes:
      title: its head.
      number: whether it holds numbers, which are aligned at their end.
      minor: whether narrow screens leave it out.
    """

    title: str
    number: bool = False
    minor: bool = False

    @property
    def kind(self) -> str | None:
        """Its cells' class in the style sheet."""
        kinds = [name for name in ("number", "minor") if getattr(self, name)]
        return " ".join(kinds) or None


def table(
    label: str, columns: Sequence[Column], rows: Iterable[Sequence[object]]
) -> Html:
    """A table that scrolls within itself where the page is too narrow for it.

    Args:
      label: what it holds, for those who hear it.
      columns: heads.
      rows: cells; the first one of each names the row.
    """
    kinds = [column.kind for column in columns]
    heads = (
        element("th", column.title, scope="col", class_=kind)
        for column, kind in zip(columns, kinds, strict=True)
    )
    lines = []
    for row in rows:
        cells = [
            element("th", cell, scope="row", class_=kind)
            if index == 0
            else element("td", cell, class_=kind)
            for index, (cell, kind) in enumerate(zip(row, kinds, strict=True))
        ]
        lines.append(element("tr", *cells))
    inner = element(
        "table",
        element("thead", element("tr", *heads)),
        element("tbody", join(lines, "\n")),
    )
    return element(
        "div", inner, class_="scroll", role="region", aria_label=label, tabindex="0"
    )


def definitions(pairs: Iterable[tuple[object, object]]) -> Html:
    """Names and what they stand for."""
    parts = (
        element("div", element("dt", name), element("dd", value))
        for name, value in pairs
    )
    return element("dl", *parts)


@dataclass
class Page:
    """Sections and pictures, in the order in which they were added.

    Attributes:
      title: of the page.
      head: what stands above the sections.
      sections: (anchor, title, content).
      pictures: all that `figure` was given.
      foot: what stands below the sections.
    """

    title: str
    head: Html = Html("")
    sections: list[tuple[str, str, Html]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    foot: Html = Html("")

    def figure(
        self,
        picture: Picture,
        caption: object = None,
        kind: str | None = None,
    ) -> Html:
        """Takes a picture in and returns it with its caption.

        Args:
          picture: what to show.
          caption: text below it.
          kind: "wide" for one that scrolls within itself on narrow screens, where
            its words would be too small.
        """
        self.pictures.append(picture)
        below = None if caption is None else element("figcaption", caption)
        shown = image(picture)
        if kind == "wide":
            label = caption or picture.name
            shown = element(
                "div",
                shown,
                class_="scroll",
                role="region",
                tabindex="0",
                aria_label=label,
            )
        return element("figure", shown, below, class_=kind)

    def add(self, anchor: str, title: str, *content: object) -> None:
        """Adds a section."""
        self.sections.append((anchor, title, join(content, "\n")))

    def to_html(self) -> str:
        """The whole file."""
        links = (
            element("li", element("a", title, href=f"#{anchor}"))
            for anchor, title, _ in self.sections
        )
        sections = [
            element(
                "section",
                element("h2", title, id=f"{anchor}-title"),
                content,
                id=anchor,
                aria_labelledby=f"{anchor}-title",
            )
            for anchor, title, content in self.sections
        ]
        navigation = element("nav", element("ul", *links), aria_label="Sections")
        body = join(
            [
                element("header", self.head),
                navigation,
                element("main", join(sections, "\n")),
                element("footer", self.foot),
            ],
            "\n",
        )
        return "\n".join(("<!DOCTYPE html>", _document(self.title, body), ""))


def _document(title: str, body: Html) -> Html:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", _style()),
    )
    return element("html", head, "\n", element("body", body), lang="en")


def _style() -> Html:
    """The style sheet; it is ours and has nothing that ends a style element."""
    file = importlib.resources.files(__package__) / "page.css"
    return Html(file.read_text(encoding="utf-8"))
