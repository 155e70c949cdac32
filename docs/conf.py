"""Sphinx configuration: python -m sphinx -W -b html docs docs/_build."""

from __future__ import annotations

import html
import inspect
import re
import warnings
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError
from sphinx_gallery.sorting import ExplicitOrder

import skmergecal

project = "skmergecal"
author = "the skmergecal developers"
copyright = author
version = release = skmergecal.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxext.opengraph",
]
# The inventories lie beside this file, so that no build needs the network.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", "inventories/python.inv"),
    "pandas": ("https://pandas.pydata.org/docs", "inventories/pandas.inv"),
    "scipy": ("https://docs.scipy.org/doc/scipy", "inventories/scipy.inv"),
    "sklearn": ("https://scikit-learn.org/stable", "inventories/sklearn.inv"),
}
# Prompts and output are not copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
ogp_social_cards = {"enable": False}
ogp_use_first_image = True
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
default_role = "py:obj"

autosummary_generate = True
autodoc_typehints = "none"
add_function_parentheses = False
# Attributes come from the docstrings, methods from the template of autosummary.
numpydoc_show_class_members = False


def own_methods(cls: type) -> list[str]:
    """Public methods that this package wrote, without those inherited from scikit-learn."""
    return [
        name
        for name, member in inspect.getmembers(cls, inspect.isroutine)
        if not name.startswith("_")
        and (getattr(member, "__module__", None) or "").startswith("skmergecal.")
    ]


modules = (
    skmergecal,
    skmergecal.calibration,
    skmergecal.candidates,
    skmergecal.display,
    skmergecal.merging,
    skmergecal.metrics,
    skmergecal.monitoring,
    skmergecal.parameters,
    skmergecal.pooling,
    skmergecal.report,
    skmergecal.tuning,
)
# The template of a class looks up here which methods it shows.
autosummary_context = {
    "own_methods": {
        f"{module.__name__}.{name}": own_methods(getattr(module, name))
        for module in modules
        for name in module.__all__
        if inspect.isclass(getattr(module, name))
    }
}

# Every example is run; tests/test_examples.py reads what they printed. examples.rst shows them, in
# its own order.
DOCS = Path(__file__).parent
shown = re.findall(r"\.\./examples/\w+\.py", (DOCS / "examples.rst").read_text(encoding="utf-8"))
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "minigallery_sort_order": ExplicitOrder([str((DOCS / name).resolve()) for name in shown]),
    "abort_on_example_error": True,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "write_computation_times": False,  # a page with scripts of other hosts
    "thumbnail_size": (640, 448),
    # Examples link to the reference, and the reference to the examples that use a name.
    "doc_module": ("skmergecal",),
    "reference_url": {"skmergecal": None},
    "backreferences_dir": "generated/backreferences",
}

# Pictures of "How it works", drawn by docs/pictures.
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 150)]

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = f"skmergecal {version}"
html_logo = html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["width.css"]
html_context = {"default_mode": "auto"}
html_theme_options = {
    "show_nav_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 5,
    "logo": {"text": f"skmergecal {version}", "alt_text": "Three lines become one"},
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
# Pages beside which there are no others of their section show those of the whole site.
ALONE = (
    "getting_started", "which_settings", "when_not", "recipes", "deploying", "quality",
    "merged_nets", "orders", "onnx", "comparison", "how_it_works", "faq", "glossary",
    "contributing", "changes",
)  # fmt: skip
html_sidebars = {page: ["globaltoc.html"] for page in ALONE}
html_copy_source = False


def write_inline_math(writer: object, node: nodes.math) -> None:
    """MathML, which browsers draw themselves: no script, and no network."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def write_display_math(writer: object, node: nodes.math_block) -> None:
    """A formula of its own, in lines where there are some."""
    tex = node.astext()
    if r"\\" in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    formula = re.sub("<math ", '<math display="block" ', tex2mathml(tex), count=1)
    writer.body.append(f'<div class="formula">{formula}</div>')
    raise nodes.SkipNode


def correct_links_from_source(
    app: object, page: str, template: str, context: dict, doctree: object
) -> None:
    """Anchors of the links from source to reference begin with the name of the page.

    viewcode takes one module for all names of a file, and `skmergecal.merge_path` and
    `skmergecal.merging.MergePath` are in the same.
    """
    if page.startswith("_modules/"):
        wrong = r"/([\w.]+\.(\w+))\.html#[\w.]*?\.\2\b"
        context["body"] = re.sub(wrong, r"/\1.html#\1", context["body"])


def check_links(app: object, exception: Exception | None) -> None:
    """Each link within the site leads to a page that exists, and to an anchor on it."""
    if exception is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)

    @cache
    def anchors(page: Path) -> set[str]:
        return set(re.findall(r'\s(?:id|name)="([^"]+)"', page.read_text(encoding="utf-8")))

    broken = []
    for page in site.rglob("*.html"):
        if page.relative_to(site).parts[0] == "_static":
            continue
        for link in set(re.findall(r'href="([^"]+)"', page.read_text(encoding="utf-8"))):
            path, _, anchor = unquote(html.unescape(link)).partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            target = (page.parent / path.partition("?")[0]).resolve() if path else page
            has_anchor = not anchor or target.suffix != ".html"
            if not target.exists() or not (has_anchor or anchor in anchors(target)):
                broken.append(f"{page.relative_to(site)}: {link}")
    if broken:
        msg = "links that lead nowhere:\n" + "\n".join(sorted(broken))
        raise ExtensionError(msg)


def setup(app: object) -> None:
    """Formulas as MathML; warnings are errors in the examples, but for deprecations elsewhere."""
    app.add_html_math_renderer("mathml", (write_inline_math, None), (write_display_math, None))
    strict = warnings.catch_warnings()

    def begin(app: object) -> None:
        strict.__enter__()
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)

    def end(app: object) -> None:
        strict.__exit__(None, None, None)

    app.connect("builder-inited", begin, priority=1)  # the gallery runs at the priority between
    app.connect("builder-inited", end, priority=999)
    app.connect("html-page-context", correct_links_from_source)
    app.connect("build-finished", check_links)
