"""Reads a page as a browser would, without one."""

import html.parser

VOID = {"br", "hr", "img", "link", "meta", "col", "input", "source"}


class Reader(html.parser.HTMLParser):
    """Elements, text and what is out of balance."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.problems, self.elements, self.words = [], [], [], []
        self.feed(text)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        if len(names) != len(set(names)):
            self.problems.append(f"<{tag}> has an attribute twice")
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes another element")

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return "".join(self.words)
