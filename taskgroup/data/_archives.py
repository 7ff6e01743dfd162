"""Official archives of public benchmarks, read from a local path as their publishers ship them.

Census-Income (KDD), from the UCI repository: one file without a header. Its three tasks are those of the multi-task
literature (Ma et al., KDD 2018; Li et al., KDD 2023, arXiv 2304.04959): income above 50,000, never married, and a
bachelor's degree or more. The columns that two of them are read from are no features, nor is the survey weight.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from taskgroup.data._csv import open_text
from taskgroup.exceptions import InvalidInputError

__all__ = ["ARCHIVES", "archive_reader"]

_CENSUS_COLUMNS = (
    "age class_worker det_ind_code det_occ_code education wage_per_hour hs_college marital_stat major_ind_code "
    "major_occ_code race hisp_origin sex union_member unemp_reason full_or_part_emp capital_gains capital_losses "
    "stock_dividends tax_filer_stat region_prev_res state_prev_res det_hh_fam_stat det_hh_summ instance_weight "
    "mig_chg_msa mig_chg_reg mig_move_reg mig_same mig_prev_sunbelt num_emp fam_under_18 country_father country_mother "
    "country_self citizenship own_or_self vet_question vet_benefits weeks_worked year income"
).split()
_CENSUS_NUMBERS = frozenset(
    "age wage_per_hour capital_gains capital_losses stock_dividends num_emp weeks_worked".split()
)
_CENSUS_DEGREES = ("Bachelors degree", "Masters degree", "Prof school degree", "Doctorate degree")

ARCHIVES: dict[str, str] = {
    "census-income.data|test[.gz|.xz]": "Census-Income (KDD) from UCI: 3 tasks, 31 categorical and 7 numeric fields",
}


def archive_reader(path: Path) -> Callable[[Path], tuple[Any, list[str]]] | None:
    """Return the reader of a known archive by its file name, or None; it gives a data frame and the target names."""
    return _read_census if re.fullmatch(r"census-income\.(data|test)(\.gz|\.xz)?", path.name) else None


def _read_census(path: Path) -> tuple[Any, list[str]]:
    import pandas as pd

    with open_text(path) as handle:
        rows = [row for row in csv.reader(handle, skipinitialspace=True) if row]
    for i, row in enumerate(rows):
        if len(row) != len(_CENSUS_COLUMNS):
            raise InvalidInputError(
                f"{path.name}: row {i} has {len(row)} cells; Census-Income has {len(_CENSUS_COLUMNS)}."
            )
    words = {
        name: np.array(cells, object) for name, cells in zip(_CENSUS_COLUMNS, zip(*rows, strict=True), strict=True)
    }
    targets = {
        "income_above_50k": np.char.startswith(words["income"].astype(str), "50000+"),
        "never_married": words["marital_stat"] == "Never married",
        "bachelor_or_more": np.char.startswith(words["education"].astype(str), _CENSUS_DEGREES[0]),
    }
    for degree in _CENSUS_DEGREES[1:]:
        targets["bachelor_or_more"] |= np.char.startswith(words["education"].astype(str), degree)
    columns: dict[str, Any] = {name: values.astype(np.float64) for name, values in targets.items()}
    for name, values in words.items():
        if name not in ("education", "marital_stat", "instance_weight", "income"):
            columns[name] = values.astype(np.float64) if name in _CENSUS_NUMBERS else values
    return pd.DataFrame(columns), list(targets)
