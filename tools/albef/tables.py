"""The tables of the README and of the model cards, written from ``models/*/metrics.json``: ``python -m albef.tables``.

A table stands between two comments, ``<!-- models -->`` and ``<!-- /models -->`` in the README, ``<!-- metrics -->`` and
``<!-- /metrics -->`` in a card; what is around them is written by hand. ``--check`` changes nothing and exits with 1 where a
table is not what the metrics give, or the metrics are not those of the checkpoint beside them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from albef.metrics import HEADLINES, PRECISIONS, PYTORCH, MetricsError, ModelMetrics, label, read_metrics, sha256_of, table

ROOT = Path(__file__).resolve().parents[2]


class TableError(ValueError):
    """A document without its markers; one line that names it."""


def replace_between(text: str, name: str, content: str, document: Path) -> str:
    """``text`` with ``content`` between the comments of ``name``, which stand once each."""
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(opening) != 1 or text.count(closing) != 1 or text.index(opening) > text.index(closing):
        raise TableError(f"{document}: needs one {opening} and one {closing} after it")
    before, rest = text.split(opening)
    return f"{before}{opening}\n{content}\n{closing}{rest.split(closing)[1]}"


def read_models(folder: Path) -> dict[str, ModelMetrics]:
    """The metrics of each model of a folder of models, by name; by task, then by name."""
    order = list(HEADLINES)
    models: dict[str, ModelMetrics] = {}
    for checkpoint in sorted(folder.glob("*/model.safetensors")):
        metrics = read_metrics(checkpoint.with_name("metrics.json"))
        if metrics.checkpoint_sha256 != sha256_of(checkpoint):
            raise MetricsError(f"{checkpoint.parent}: metrics.json is of another checkpoint; run python -m albef.finish")
        models[checkpoint.parent.name] = metrics
    return dict(sorted(models.items(), key=lambda item: order.index(item[1].task) if item[1].task in order else len(order)))


def models_table(models: dict[str, ModelMetrics], folder: str = "models") -> str:
    """The README's table: a row for each headline of each model; links are relative to the README."""
    rows = []
    for name, metrics in models.items():
        for text, figures in metrics.headlines():
            size = f"{metrics.parameters / 1e6:.2f} M"
            rows.append([f"[{name}]({folder}/{name}/README.md)", size, text, *percents(figures)])
    return table(["model", "parameters", "metric", *PRECISIONS], rows)


def metrics_table(metrics: ModelMetrics) -> str:
    """A card's table: a row for each figure, with the annotation file and its number of cases."""
    columns = PRECISIONS
    every = [figures for each in metrics.measurements for figures in each.metrics.values()]
    if any(PYTORCH in figures for figures in every):
        columns = (PYTORCH, *PRECISIONS)
    rows = []
    for each in metrics.measurements:
        source = f"`{each.annotations}`, {each.cases:,} cases"
        for metric, figures in each.metrics.items():
            rows.append([label(each.name, metric), *percents(figures, columns), source])
            source = ""
    return table(["metric", *("PyTorch" if name == PYTORCH else name for name in columns), "measured on"], rows)


def percents(figures: dict[str, float], columns: tuple[str, ...] = PRECISIONS) -> list[str]:
    """Figures by precision as cells."""
    return [f"{figures[name]:.1f}" if name in figures else "" for name in columns]


def documents(readme: Path) -> dict[Path, str]:
    """The README and the cards below it, as they should be. A card without markers is left as it is."""
    models = read_models(readme.parent / "models")
    out = {readme: replace_between(readme.read_text(encoding="utf-8"), "models", models_table(models), readme)}
    for name, metrics in models.items():
        card = readme.parent / "models" / name / "README.md"
        text = card.read_text(encoding="utf-8")
        if "<!-- metrics -->" in text:
            out[card] = replace_between(text, "metrics", metrics_table(metrics), card)
    return out


def stale(readme: Path) -> list[Path]:
    """The documents whose tables are not what the metrics give."""
    return [path for path, text in documents(readme).items() if path.read_text(encoding="utf-8") != text]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m albef.tables", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("readme", type=Path, nargs="?", default=ROOT / "README.md", help="default: this checkout's")
    parser.add_argument("--check", action="store_true", help="exit with 1 instead of writing")
    options = parser.parse_args(arguments)
    try:
        old = stale(options.readme)
        if options.check:
            for path in old:
                print(f"{path}: the table is not what models/*/metrics.json give; run python -m albef.tables", file=sys.stderr)
            return 1 if old else 0
        fresh = documents(options.readme)
    except (MetricsError, TableError, OSError) as error:
        print(f"albef.tables: {error}", file=sys.stderr)
        return 1
    for path in old:
        path.write_text(fresh[path], encoding="utf-8")
        print(f"{path}: table rewritten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
