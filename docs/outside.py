"""Brings what the pages link to outside of this folder (README.md, config/, examples/ …) into the book, as pages of its
last part, so that each link leads somewhere both here and on a forge. A preprocessor of mdBook: book.toml names it."""
import json
import os
import re
import sys

LINK = re.compile(r"(\]\()([^)\s#]*)((?:#[^)\s]*)?\))")
FENCE = re.compile(r"^(\s*```.*?^\s*```\s*$)", re.MULTILINE | re.DOTALL)
PART = "repository"
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)


def page_of(path):
    """The page of the book that a file of the repository (a path from its top) has."""
    if path in ("docs/README.md", "docs/SUMMARY.md"):
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.endswith("/"):
        return f"{PART}/{path}index.md"
    return f"{PART}/{path}" if path.endswith(".md") else f"{PART}/{path}.md"


def source(target):
    """What is shown for a link's target: a folder's README, or a list of what is in it."""
    readme = os.path.join(target, "README.md")
    if os.path.isdir(os.path.join(TOP, target)):
        if target.startswith("docs/"):
            return "docs/README.md"
        return readme if os.path.isfile(os.path.join(TOP, readme)) else target + "/"
    return target if os.path.isfile(os.path.join(TOP, target)) else None


def rewrite(text, path, found):
    """`text` of the file `path` with its links for the book; adds what they lead to outside of docs/ to `found`."""
    folder, page = os.path.dirname(path), page_of(path)

    def link(match):
        before, target, after = match.groups()
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        file = source(os.path.normpath(os.path.join(folder, target)))
        if file is None:
            return match[0]
        if not file.startswith("docs/"):
            found.setdefault(file)
        return before + os.path.relpath(page_of(file), os.path.dirname(page)) + after

    pieces = FENCE.split(text)
    return "".join(piece if at % 2 else LINK.sub(link, piece) for at, piece in enumerate(pieces))


def shown(path, found):
    """A file or folder of the repository as a page."""
    if path.endswith("/"):
        names = sorted(os.listdir(os.path.join(TOP, path)))
        listed = (f"- {name}" if name.endswith(".json") else f"- [{name}]({name})" for name in names)
        return rewrite(f"# {path}\n\n" + "\n".join(listed) + "\n", path, found)
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        text = file.read()
    if path.endswith(".md"):
        return rewrite(text, path, found)
    return f"# {path}\n\n````{os.path.splitext(path)[1].lstrip('.')}\n{text}\n````\n"


def chapters(items):
    for item in items:
        if isinstance(item, dict) and "Chapter" in item:
            yield item["Chapter"]
            yield from chapters(item["Chapter"]["sub_items"])


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    _, book = json.load(sys.stdin)
    items = book["items"] if "items" in book else book["sections"]
    found = {}
    for chapter in chapters(items):
        if chapter.get("path"):
            chapter["content"] = rewrite(chapter["content"], "docs/" + chapter["path"], found)
    pages = {}
    while todo := [path for path in found if path not in pages]:
        for path in todo:
            pages[path] = shown(path, found)
    items.append({"PartTitle": "The repository"})
    for path in sorted(pages, key=lambda path: (path.count("/"), path)):
        chapter = {"name": path, "content": pages[path], "number": None, "sub_items": [], "parent_names": []}
        items.append({"Chapter": {**chapter, "path": page_of(path), "source_path": None}})
    json.dump(book, sys.stdout)


main()
