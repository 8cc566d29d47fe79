"""Reports as one HTML page that needs nothing beside it, and as a picture of that page.

Style and charts are inside; there is no script. The page follows the reader's light or dark setting; the picture is
light. What a run measured comes first: how many targets hold, then each scenario with its command and circumstances
above its figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from playwright.sync_api import sync_playwright

from loadtest.drawing import draw
from loadtest.report import Figure, Report, Table, number

_STYLE = Path(__file__).with_name("page.css")
_CHROMIUM = "/usr/bin/chromium"
_SHOWN_ROWS = 12  # of a table, before it is folded


def render(reports: Sequence[Report], *, title: str, subtitle: str) -> str:
    """The whole page."""
    style = _STYLE.read_text(encoding="utf-8")
    body = "".join(_section(report) for report in reports)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>"
        f"<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p>{_overview(reports)}</header>"
        f"{body}</main></body></html>\n"
    )


def photograph(html: Path, picture: Path) -> None:
    """The page as Chromium shows it, whole, as PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 800}, device_scale_factor=2, color_scheme="light")
        page.goto(html.resolve().as_uri())
        page.screenshot(path=str(picture), full_page=True)
        browser.close()


def _overview(reports: Sequence[Report]) -> str:
    targets, missed = sum(one.targets for one in reports), sum(one.missed for one in reports)
    errors = sum(len(one.errors) for one in reports)
    tiles = [_tile("Targets met", f"{targets - missed} of {targets}", "good" if not missed else "")]
    tiles.append(_tile("Missed", str(missed), "bad" if missed else "good"))
    if errors:
        tiles.append(_tile("Errors", str(errors), "bad"))
    tiles.append(_tile("Measured for", _duration(sum(one.seconds for one in reports)), ""))
    rows = "".join(_index_row(one) for one in reports) if len(reports) > 1 else ""
    index = f'<nav aria-label="Scenarios"><ul>{rows}</ul></nav>' if rows else ""
    return f'<div class="tiles">{"".join(tiles)}</div>{index}'


def _index_row(report: Report) -> str:
    state = "bad" if report.missed or report.errors else "good" if report.targets else ""
    held = f"{report.targets - report.missed}/{report.targets}" if report.targets else "no target"
    return (
        f'<li><a href="#{escape(report.scenario)}">{escape(report.title)}</a>'
        f'<span class="verdict {state}">{held}</span></li>'
    )


def _tile(name: str, value: str, state: str) -> str:
    return f'<div class="tile {state}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def _section(report: Report) -> str:
    parts = [f'<section id="{escape(report.scenario)}"><h2>{escape(report.title)}</h2>']
    parts.append(f"<pre><code>{escape(report.command)}</code></pre>")
    parts.append(f'<p class="circumstances">{escape(report.circumstances)}</p>')
    parts += [f'<p class="error"><b>Error.</b> {escape(error)}</p>' for error in report.errors]
    if report.figures:
        rows = "".join(_figure_row(figure) for figure in report.figures)
        parts.append(
            '<table class="figures"><thead><tr><th>Figure</th><th class="n">Value</th><th>Against the target</th>'
            f"<th></th></tr></thead><tbody>{rows}</tbody></table>"
        )
    if report.charts:
        parts.append(
            '<div class="charts">' + "".join(_chart(report, at) for at in range(len(report.charts))) + "</div>"
        )
    parts += [_table(table) for table in report.tables]
    if report.notes:
        parts.append('<ul class="notes">' + "".join(f"<li>{escape(note)}</li>" for note in report.notes) + "</ul>")
    return "".join(parts) + "</section>"


def _chart(report: Report, at: int) -> str:
    chart = report.charts[at]
    is_new = not at or report.charts[at - 1].marks != chart.marks  # one list for charts of the same events
    marks = "".join(f"<li>{when:.0f} s: {escape(what)}</li>" for when, what in chart.marks if is_new)
    legend = f'<ol class="marks">{marks}</ol>' if marks else ""
    return f"<figure><figcaption>{escape(chart.title)}</figcaption>{draw(chart)}{legend}</figure>"


def _figure_row(figure: Figure) -> str:
    verdict = {
        None: "",
        True: '<span class="verdict good">holds</span>',
        False: '<span class="verdict bad">missed</span>',
    }
    spread = ""
    if len(figure.samples) > 1:
        spread = f"<small>{number(min(figure.samples))} to {number(max(figure.samples))}</small>"
    unit = f" <i>{escape(figure.unit)}</i>" if figure.unit else ""
    return (
        f'<tr><td>{escape(figure.name)}</td><td class="n"><b>{number(figure.value)}</b>{unit}{spread}</td>'
        f"<td>{_gauge(figure)}</td><td>{verdict[figure.holds]}</td></tr>"
    )


def _gauge(figure: Figure) -> str:
    """A bar of the value with a line at the target; both on one scale from zero."""
    target = figure.most if figure.most is not None else figure.least
    if target is None:
        return ""
    if not target:  # there is no scale to nothing
        return f"<small>{escape(figure.target)}</small>"
    top = max(target * 1.6, min(figure.value, target * 3.2)) or 1.0
    width, at = (min(100.0, 100 * value / top) for value in (max(0.0, figure.value), target))
    state = "good" if figure.holds else "bad"
    return (
        f'<span class="gauge"><span class="fill {state}" style="width:{width:.1f}%"></span>'
        f'<span class="goal" style="left:{at:.1f}%"></span></span><small>{escape(figure.target)}</small>'
    )


def _table(table: Table) -> str:
    head = "".join(f"<th{_side(table, at)}>{escape(name)}</th>" for at, name in enumerate(table.columns))
    rows = "".join(
        "<tr>" + "".join(f"<td{_side(table, at)}>{escape(number(cell))}</td>" for at, cell in enumerate(row)) + "</tr>"
        for row in table.rows
    )
    inner = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    if len(table.rows) > _SHOWN_ROWS:
        return f"<details><summary>{escape(table.title)} ({len(table.rows)} rows)</summary>{inner}</details>"
    return f"<h3>{escape(table.title)}</h3>{inner}"


def _side(table: Table, at: int) -> str:
    """Numbers stand to the right."""
    cells = [row[at] for row in table.rows]
    return ' class="n"' if cells and all(isinstance(cell, int | float) for cell in cells) else ""


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
