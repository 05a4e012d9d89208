"""One measured figure, and the table of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    work: str
    value: float
    unit: str
    budget: float | None  # None: none was set
    kubernetes: str  # measured on a real one, as the design's section 13 has it

    def row(self) -> str:
        met = "" if self.budget is None else "yes" if self.value <= self.budget else "**no**"
        budget = "" if self.budget is None else f"≤ {_shown(self.budget)} {self.unit}"
        return f"| {self.work} | {self.kubernetes} | {budget} | {_shown(self.value)} {self.unit} | {met} |"


HEADER = "| work | Kubernetes | budget | measured | met |\n| --- | --- | --- | --- | --- |"


def _shown(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")
