# SPDX-License-Identifier: GPL-2.0
"""How Sphinx builds the documents: see scripts/docs."""

import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

project = "retryfs"
copyright = "the retryfs developers"  # pylint: disable=redefined-builtin # Sphinx's name for it
author = "The retryfs developers"
root_doc = "index"
html_theme = "alabaster"
html_theme_options = {"page_width": "auto", "body_max_width": "58em", "sidebar_width": "18em"}
html_show_sourcelink = False
html_copy_source = False
pygments_style = "none"
highlight_language = "none"
smartquotes = False
nitpicky = True

man_pages = [
    ("man/retryfs-5", "retryfs", "ext2 with retry-based asynchronous direct I/O", author, 5),
    ("man/retryfs-top-8", "retryfs-top", "what direct I/O does on mounts of retryfs", author, 8),
]

HERE = Path(__file__).resolve().parent
# A document is named by its path in the tree, as in the kernel's documents, or, in its own folder, by its name.
DOCUMENT = re.compile(r"(?<![\w/])(?:(Documentation/)?([\w/-]+)\.rst)\b")


def link_documents(app, doctree):
    """Makes links of the names of documents that are in this tree."""
    here = app.env.docname
    for text in list(doctree.findall(nodes.Text)):
        if isinstance(text.parent, (nodes.literal, nodes.literal_block, nodes.reference, nodes.title)):
            continue
        pieces, done = [], 0
        for match in DOCUMENT.finditer(text):
            folder = Path() if match[1] else Path(here).parent
            target = (folder / match[2]).as_posix()
            if target == here or not (HERE / f"{target}.rst").exists():
                continue
            pieces.append(nodes.Text(text[done : match.start()]))
            reference = addnodes.pending_xref(
                "", nodes.inline("", match[0]), refdomain="std", reftype="doc", reftarget=f"/{target}", refexplicit=True
            )
            reference["refdoc"] = here
            pieces.append(reference)
            done = match.end()
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(text[done:])])


def setup(app):
    """Called by Sphinx."""
    app.connect("doctree-read", link_documents)
    return {"parallel_read_safe": True}
