"""Writes what the model of scaling says beside what was measured: `python -m benchmarks.scaling_page`.

Into results/scaling/model.json go the constants and every prediction beside its measurement, into docs/multi_node.md
its two tables.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Sequence

from benchmarks.results import in_page
from benchmarks.scaling_fit import RECORDS, ROOT, fit, left_out, published
from benchmarks.scaling_own import Own, loopback_rates, own
from gluon_tricks.core.files import write_text

PAGE = ROOT / "docs" / "multi_node.md"
MARKS = ("<!-- scaling: python -m benchmarks.scaling_page -->\n", "<!-- end of scaling -->\n")
COST_MARKS = ("<!-- cost: python -m benchmarks.scaling_page -->\n", "<!-- end of cost -->\n")
COSTS = ("resnet50_v1d-loop", "cifar_resnet20_v1-loop")  # records, each with those of its slowed links


def result() -> dict:
    """model.json: constants, errors, and every prediction beside its measurement."""
    sources, rows = published()
    predicted = left_out(rows)
    records = own()
    rates = loopback_rates(records)
    errors = sorted(abs(p - row.measured) for p, row in zip(predicted, rows))
    return {
        "constants": {name: float(f"{value:.3g}") for name, value in dataclasses.asdict(fit(rows)).items()},
        "loopback_gb_per_second": {cpu: round(rate, 2) for cpu, rate in rates.items()},
        "errors": {
            "of": "efficiency, published measurements, constants fitted to the other sources",
            "mean": round(statistics.fmean(errors), 3),
            "median": round(statistics.median(errors), 3),
            "nine_in_ten": round(errors[math.ceil(0.9 * len(errors)) - 1], 3),
            "largest": round(errors[-1], 3),
        },
        "published": [
            {"source": row.source, "model": row.model, "note": row.note, "ranks": row.ranks, "link": row.link}
            | {"transport": row.transport, "dtype": row.dtype}
            | {"measured": round(row.measured, 3), "predicted": round(p, 3)}
            for row, p in zip(rows, predicted)
        ],
        "own": [
            {"record": each.name, **each.setting}
            | {"measured": round(each.measured, 3), "predicted": round(each.predicted(rates[each.cpu]), 3)}
            for each in records
        ],
    }


def table(found: dict) -> list[str]:
    """The predictions beside the measurements as lines of Markdown; those of one machine and network share a line."""
    sources, _ = published()
    head = ("measured by", "network", "link", "ranks", "efficiency", "predicted", "off by")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    groups: dict[tuple, list[dict]] = {}
    for row in found["published"]:
        link = f"{row['link']} Gbit/s, {row['transport'].upper()}" if row["link"] else "one machine"
        who = sources[row["source"]]["label"] + (f", {row['note']}" if row["note"] else "")
        groups.setdefault((who, f"{row['model']}, {row['dtype']}", link), []).append(row)
    for row in found["own"]:
        link = f"{row['link']:g} Gbit/s, TCP" if row["link"] else "loopback"
        what = f"{row['model']}, batch {row['batch']}"
        groups.setdefault((f"here (`{row['record']}`)", what, link), []).append(row)
    for key, rows in groups.items():
        measured, predicted = ([row[which] for row in rows] for which in ("measured", "predicted"))
        off_by = ", ".join(f"{p - m:+.3f}" for p, m in zip(predicted, measured))
        cells = [", ".join(f"{row['ranks']}" for row in rows), *(_joined(values) for values in (measured, predicted))]
        lines.append(f"| {' | '.join([*key, *cells, off_by])} |")
    return lines


def cost_table(records: Sequence[Own]) -> list[str]:
    """What two ranks cost in the loop, as lines of Markdown: the medians of the records, without and with links."""
    head = ("", "1 rank", "2 ranks, loopback", "10 Gbit/s between them", "1 Gbit/s")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    named = {record.name: record for record in records}
    for name in COSTS:
        runs = [named[f"{name}{link}"] for link in ("", "-link10", "-link1")]
        what = "{model}, {size} px, {batch} images a rank: a step of the loop".format(**runs[0].setting)
        one = runs[0].seconds
        rows = (
            (what, _time(one["1 loop"]), [_beside(run, "loop") for run in runs]),
            ("the same without messages", _time(one["1 compute"]), [_beside(run, "compute") for run in runs]),
            ("messages alone", "", [_time(run.seconds["2 messages"]) for run in runs]),
        )
        lines += [f"| {' | '.join([title, first, *cells])} |" for title, first, cells in rows]
    return lines


def _beside(run: Own, part: str) -> str:
    """Seconds of a part on two ranks, and the efficiency beside one rank of the same run."""
    return f"{_time(run.seconds[f'2 {part}'])}: {run.efficiency(part):.2f}"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _joined(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def with_tables(page: str, found: dict) -> str:
    """docs/multi_node.md with its two tables. Args: found: see result."""
    return in_page(in_page(page, table(found), MARKS), cost_table(own()), COST_MARKS)


if __name__ == "__main__":
    found = result()
    write_text(RECORDS / "model.json", json.dumps(found, indent=1) + "\n")
    write_text(PAGE, with_tables(PAGE.read_text(encoding="utf-8"), found))
    print(json.dumps({key: found[key] for key in ("constants", "errors")}))
