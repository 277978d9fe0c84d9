"""The report: pages that need no network, show text as text, and are made once."""

import html.parser
import json
import re
import sqlite3

import browser
import pytest
import xarray as xr
from builders import make_key, make_record, make_tree

from classy_pm.catalog import Catalog, describe
from classy_pm.catalog.listing import Labels, list_fits
from classy_pm.catalog.report import index_page, pictures, write_report
from classy_pm.demo import TRANSMITTANCE, WAVELENGTH, LineAnalysis, line_model
from classy_pm.errors import CatalogError
from classy_pm.search import Emcee

SCRIPT = "<script>document.title='bad'</script>"
HOSTILE = f"</script></title>{SCRIPT}<img src=x onerror=\"document.title='bad'\">'\"&amp;\u202e\x1b[31m"
chromium = pytest.mark.skipif(browser.PROGRAM is None, reason="there is no Chromium on this machine")


@pytest.fixture
def survey(catalog):
    """Three fits: a lens, a line, and one whose every text is an attack."""
    catalog.file(make_record(0, name="lens", log_evidence=-3.5, max_rhat=1.5), make_tree(0))
    catalog.file(make_record(1, name="line", log_evidence=-20.25), make_tree(1))
    hostile = make_record(
        2,
        name=HOSTILE,
        unique_tag=HOSTILE,
        search=HOSTILE,
        tags=(HOSTILE,),
        info={HOSTILE: HOSTILE},
        payload=describe({HOSTILE: {HOSTILE: HOSTILE}}),
        components=(("profile", HOSTILE, ()),),
    )
    tree = make_tree(2)
    tree.attrs["fit"] = json.dumps({"notices": [HOSTILE], "random_seed": HOSTILE})
    catalog.file(hostile, tree)
    return catalog


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A report of a real fit."""
    folder = tmp_path_factory.mktemp("real")
    search = Emcee(name="eckerle4", nwalkers=12, nsteps=60, random_seed=1, progress=False)
    with Catalog(folder / "real.sqlite") as catalog:
        search.fit(line_model(), LineAnalysis(WAVELENGTH, TRANSMITTANCE), catalog=catalog)
        (stored,) = list_fits(catalog)
        site = catalog.report(folder / "site")
    assert not site.faults
    return folder / "site" / "fits" / f"{stored.fit_key}.html"


@pytest.fixture(scope="module")
def chrome():
    running = browser.Browser()
    yield running
    running.close()


def page_of(site, number):
    return site.index.parent / "fits" / f"{make_key(number)}.html"


class Elements(html.parser.HTMLParser):
    """Collects tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


# -- what is written ------------------------------------------------------------------------------


def test_there_is_a_row_and_a_page_for_each_fit(survey, tmp_path):
    seen = []
    site = write_report(survey, tmp_path / "site", plots=False, on_progress=lambda *at: seen.append(at))
    assert (site.fits, site.made, site.kept, site.faults) == (3, 3, 0, {})
    assert seen == [(1, 3), (2, 3), (3, 3)]
    links = [item["href"] for tag, item in Elements(site.index.read_text()).found if tag == "a"]
    assert links == [f"fits/{make_key(number)}.html" for number in (2, 1, 0)]
    assert all((site.index.parent / link).is_file() for link in links)
    assert not list(site.index.parent.rglob(".*"))


def test_a_page_tells_what_show_tells(real):
    text = real.read_text()
    for part in (
        "The ensemble ran 60 steps",
        "line.centre",
        "UniformPrior(lower_limit=400.0, upper_limit=500.0)",
        "LineAnalysis",
        "nwalkers",
        "sha256",
    ):
        assert part in text, part


def test_a_page_has_the_corner_plot_and_the_draws(real):
    images = [item for tag, item in Elements(real.read_text()).found if tag == "img"]
    assert len(images) == 2
    assert all(item["src"].startswith("data:image/png;base64,") and item["alt"] for item in images)


def test_every_text_is_escaped(survey, tmp_path):
    site = write_report(survey, tmp_path / "site", plots=False)
    for path in (site.index, page_of(site, 2)):
        text = path.read_text()
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "&lt;script&gt;document.title" in text
        tags = [(tag, item) for tag, item in Elements(text).found if tag in ("script", "img", "title")]
        assert ("title", {}) in tags
        assert len([tag for tag, _ in tags if tag == "script"]) == (2 if path == site.index else 0)
        assert not [item for _, item in tags if "onerror" in item]
        assert re.search("Content-Security-Policy\" content=\"default-src 'none'; img-src data:;", text)


def test_pages_name_nothing_outside_of_the_report(survey, real, tmp_path):
    site = write_report(survey, tmp_path / "site", plots=False)
    for path in (site.index, page_of(site, 2), real):
        for _, item in Elements(path.read_text()).found:
            for name in ("src", "href", "action", "srcset", "data"):
                assert re.fullmatch(
                    r"fits/[0-9a-f]{64}\.html|\.\./index\.html|data:image/png;base64,.*",
                    item.get(name, "../index.html"),
                    re.DOTALL,
                )


# -- what is made again ---------------------------------------------------------------------------


def test_pages_of_unchanged_fits_are_kept(survey, tmp_path, monkeypatch):
    first = write_report(survey, tmp_path / "site")
    before = page_of(first, 0).read_bytes()
    assert b"data:image/png" in before
    monkeypatch.setattr(pictures, "_picture", lambda *given: pytest.fail("drawn again"))
    assert write_report(survey, tmp_path / "site").kept == 3
    assert write_report(survey, tmp_path / "site", plots=False).kept == 3
    assert page_of(first, 0).read_bytes() == before


def test_a_page_is_made_again_when_the_fit_has_another_tag(survey, tmp_path):
    write_report(survey, tmp_path / "site", plots=False)
    survey.tag(make_key(0), "checked")
    site = write_report(survey, tmp_path / "site", plots=False)
    assert (site.made, site.kept) == (1, 2)
    assert "checked" in page_of(site, 0).read_text()


def test_a_page_without_plots_is_made_again_with_them(survey, tmp_path):
    write_report(survey, tmp_path / "site", plots=False)
    assert write_report(survey, tmp_path / "site").made == 3


def test_a_fit_that_cannot_be_read_says_so_until_it_can(survey, tmp_path):
    lost = survey.get(make_key(1)).path
    lost.rename(tmp_path / "elsewhere")
    for _ in range(2):
        site = write_report(survey, tmp_path / "site", plots=False)
        assert list(site.faults) == [make_key(1)]
        page = page_of(site, 1).read_text()
        assert "This fit cannot be read." in page
        assert str(tmp_path) not in page + site.index.read_text()
        assert "unreadable" in site.index.read_text()
    (tmp_path / "elsewhere").rename(lost)
    site = write_report(survey, tmp_path / "site", plots=False)
    assert (site.made, site.faults) == (1, {})
    assert "cannot be read" not in page_of(site, 1).read_text()


def test_a_fit_whose_plots_fail_has_a_page_that_says_why(survey, tmp_path, monkeypatch):
    def fail(*given):
        raise ValueError("no \x1b[31m luck")

    monkeypatch.setattr(pictures, "_picture", fail)
    site = write_report(survey, tmp_path / "site")
    assert not site.faults
    assert r"The plots could not be drawn: ValueError: no \x1b[31m luck" in page_of(site, 0).read_text()


def test_a_fit_without_draws_has_a_page(catalog, tmp_path):
    catalog.file(make_record(0), xr.DataTree())
    site = write_report(catalog, tmp_path / "site")
    assert "There are no draws of free parameters to plot." in page_of(site, 0).read_text()


@pytest.mark.slow
def test_a_wide_model_is_drawn_in_part(catalog, tmp_path):
    from classy_pm.catalog import ParameterRecord

    names = [f"p{number}" for number in range(12)]
    catalog.file(
        make_record(0, parameters=tuple(map(ParameterRecord, names))), make_tree(names=names, draws=50)
    )
    site = write_report(catalog, tmp_path / "site")
    assert "2 more are left out" in page_of(site, 0).read_text()


# -- what is left alone ---------------------------------------------------------------------------


def test_a_stranger_s_catalogue_cannot_choose_where_a_page_is_written(survey, location, tmp_path):
    name = "../" * 3 + "x" * 55
    with sqlite3.connect(location) as connection:
        connection.execute("UPDATE fit SET fit_key = ? WHERE name = 'lens'", [name])
    connection.close()
    with Catalog(location, read_only=True) as catalog:
        site = write_report(catalog, tmp_path / "a" / "b" / "c" / "site", plots=False)
    assert site.made == 2
    assert {path.name for path in (tmp_path / "a").rglob("*.html")} == {
        "index.html",
        *(f"{make_key(number)}.html" for number in (1, 2)),
    }
    assert not list(tmp_path.rglob("xxx*"))
    assert len([tag for tag, _ in Elements(site.index.read_text()).found if tag == "a"]) == 2


def test_a_page_of_somebody_else_is_not_written_over(survey, tmp_path):
    index = tmp_path / "index.html"
    index.write_text("my own page")
    with pytest.raises(CatalogError, match="is no report of a catalogue"):
        write_report(survey, tmp_path)
    assert index.read_text() == "my own page"
    (tmp_path / "file").touch()
    with pytest.raises(CatalogError, match="cannot be written"):
        write_report(survey, tmp_path / "file")


def test_an_empty_catalogue_has_an_empty_table(catalog, tmp_path):
    site = write_report(catalog, tmp_path / "site")
    assert "0 fits" in site.index.read_text()


# -- in a browser ---------------------------------------------------------------------------------

IDS = "[...document.querySelectorAll('#fits tbody a')].map(a => a.textContent)"
COUNT = "document.getElementById('count').textContent"


def short(*numbers):
    return [make_key(number)[:12] for number in numbers]


@chromium
def test_the_table_is_there_and_nothing_is_loaded_or_complained_of(survey, chrome, tmp_path):
    site = write_report(survey, tmp_path / "site", plots=False)
    page = chrome.open(site.index)
    assert page.evaluate(IDS) == short(2, 1, 0)
    assert page.evaluate(COUNT) == "3 fits"
    assert page.evaluate("document.title") == "catalog.sqlite"
    assert page.requests == [site.index.as_uri()]
    assert page.problems == []


@chromium
def test_no_text_from_a_file_is_run(survey, chrome, tmp_path):
    site = write_report(survey, tmp_path / "site", plots=False)
    for path in (site.index, page_of(site, 2)):
        page = chrome.open(path)
        assert page.evaluate("document.title") != "bad"
        assert SCRIPT in page.evaluate("document.body.innerText")
        assert page.evaluate("document.images.length") == 0
        assert page.requests == [path.as_uri()]
        assert page.problems == []


@chromium
def test_a_link_can_name_what_is_searched_and_how_it_is_sorted(survey, chrome, tmp_path):
    site = write_report(survey, tmp_path / "site", plots=False)
    page = chrome.open(site.index, "#q=LENS")
    assert page.evaluate(IDS) == short(0)
    assert page.evaluate(COUNT) == "1 of 3 fits"
    assert page.evaluate("document.getElementById('search').value") == "LENS"
    page = chrome.open(site.index, "#sort=log+evidence")
    assert page.evaluate(IDS) == short(1, 0, 2)
    page = chrome.open(site.index, "#q=profiles:Gaussian&sort=log+evidence&order=descending")
    assert page.evaluate(IDS) == short(0, 1)
    assert page.problems == []


@chromium
def test_the_search_box_filters_while_one_types(survey, chrome, tmp_path):
    page = chrome.open(write_report(survey, tmp_path / "site", plots=False).index)
    page.evaluate("document.getElementById('search').focus()")
    page.send("Input.insertText", text="object_1 lin")
    assert page.evaluate(IDS) == short(1)
    assert page.evaluate("location.hash") == "#q=object_1+lin"
    page.send("Input.insertText", text="x")
    assert page.evaluate(IDS) == []
    assert page.problems == []


@chromium
def test_a_click_on_a_heading_sorts(survey, chrome, tmp_path):
    page = chrome.open(write_report(survey, tmp_path / "site", plots=False).index)
    click = "document.querySelectorAll('#fits thead button')[6].click()"
    sorting = "document.querySelectorAll('#fits thead th')[6].getAttribute('aria-sort')"
    assert page.evaluate(sorting) is None
    page.evaluate(click)
    assert (page.evaluate(IDS), page.evaluate(sorting)) == (short(1, 0, 2), "ascending")
    page.evaluate(click)  # what has no value stays last
    assert (page.evaluate(IDS), page.evaluate(sorting)) == (short(0, 1, 2), "descending")
    assert page.evaluate("location.hash") == "#sort=log+evidence&order=descending"
    assert page.evaluate("document.querySelectorAll('[aria-sort]').length") == 1


@chromium
def test_without_scripts_there_is_a_plain_table(survey, chrome, tmp_path):
    page = chrome.open(write_report(survey, tmp_path / "site", plots=False).index, scripts=False)
    assert page.evaluate(IDS) == short(2, 1, 0)
    assert page.evaluate("document.getElementById('tools').checkVisibility()") is False
    assert page.evaluate("document.querySelectorAll('#fits thead th[scope=col]').length") == 11
    assert page.evaluate("document.querySelectorAll('#fits tbody th[scope=row]').length") == 3


@chromium
def test_plots_are_seen_and_the_page_follows_the_reader_s_scheme(real, chrome):
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = chrome.open(real), chrome.open(real, dark=True)
    assert light.evaluate("[...document.images].every(image => image.naturalWidth > 300)")
    assert light.evaluate("document.images.length") == 2
    assert light.evaluate(background) != dark.evaluate(background)
    assert light.problems == dark.problems == []
    assert {url.partition(":")[0] for url in light.requests} <= {"file", "data"}


@chromium
def test_ten_thousand_fits_are_searched_at_once(survey, chrome, tmp_path):
    stored = survey.get(make_key(0))
    rows = [index_page.Row(stored, Labels(info={"number": f"n{number}n"}), "") for number in range(10_000)]
    path = tmp_path / "index.html"
    path.write_text(index_page.page("survey.sqlite", rows))
    page = chrome.open(path)
    assert page.evaluate("document.querySelectorAll('#fits tbody tr').length") == 200
    assert page.evaluate(COUNT) == "10000 fits, the first 200 shown"
    seconds = page.evaluate(
        "(() => { const search = document.getElementById('search'); search.value = 'n99'; "
        "const start = performance.now(); search.dispatchEvent(new Event('input')); "
        "document.body.offsetHeight; return (performance.now() - start) / 1000; })()"
    )
    assert page.evaluate(COUNT) == "111 of 10000 fits"
    assert seconds < 0.5
    page.evaluate("document.getElementById('search').value = ''")
    page.evaluate("document.getElementById('search').dispatchEvent(new Event('input'))")
    page.evaluate("document.getElementById('more').click()")
    assert page.evaluate("document.querySelectorAll('#fits tbody tr').length") == 400
