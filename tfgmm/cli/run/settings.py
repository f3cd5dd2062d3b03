"""What a run of `tfgmm fit` is asked for, and config.json, from which it can be repeated. No TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tfgmm.common.checks import check_choice, check_count
from tfgmm.common.urls import COPY_HERE, check_here, is_url, to_repeat
from tfgmm.data.carried import MISSING
from tfgmm.data.files.csv_format import CsvOptions
from tfgmm.fit.options import AUTO, FitOptions
from tfgmm.posterior.record import AUTO as AUTO_POSTERIOR
from tfgmm.posterior.record import MEAN_FIELD, check_method

CONFIG = "config.json"
FORMAT = "tfgmm.run"
FORMAT_VERSION = 1

_LARGEST_CONFIG = 2**24  # bytes
MOST_NUMBERS = 1_000  # of components to choose from
_MOST_BY_ITSELF = 10  # the largest that is tried where none is asked for


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What is fitted to what: all that the result depends on, beside versions and machine.

    Args:
        data: Absolute path of a file or a folder of rows, or a URL, with what must stay secret in it.
        num_components: K; or several to choose from; None for 1 to 10, or to the number of rows.
        columns: Names of the columns that are used; None for all that are numbers.
        covariance: A shape, several to choose from, or "auto".
        weights, restarts, seed, max_sweeps, criteria_at, moves: As in `tfgmm.fit_mixture`.
        validation: Absolute path or URL of further rows, or None.
        drop_gaps: Whether rows with a gap in a column that is used are left out.
        sample_weight: Name of the column that says how often each row counts, or None.
        noise: For columns with measurement noise, the names of those with its standard deviations, or None.
        missing: What a gap is: "integrate" or "refuse".
        posterior: What intervals and bands of the fit that is written come from, as in `tfgmm.fit_mixture`.
        delimiter, decimal, encoding, skip_rows: How CSV files are written, see `tfgmm.data.CsvOptions`.

    Raises:
        ValueError: One of them is out of its range.

    Example:

    >>> RunSettings(data="/rows.csv", num_components=3).max_sweeps
    200
    """

    data: str
    num_components: int | Sequence[int] | None = None
    columns: Sequence[str] | None = None
    covariance: str | Sequence[str] = FitOptions.covariance
    weights: str = FitOptions.weights
    restarts: int | str = AUTO
    seed: int = FitOptions.seed
    validation: str | None = None
    max_sweeps: int = FitOptions.max_sweeps
    criteria_at: str = FitOptions.criteria_at
    drop_gaps: bool = False
    sample_weight: str | None = None
    noise: Mapping[str, str] | None = None
    missing: str = "integrate"
    posterior: str = AUTO_POSTERIOR
    moves: bool | str = AUTO
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    skip_rows: int | None = None

    def __post_init__(self) -> None:
        if self.num_components is not None:
            _check_num_components(self.num_components)
        covariance = FitOptions(**self.fit_options()).covariance
        # A list, as config.json gives it back
        object.__setattr__(self, "covariance", covariance if isinstance(covariance, str) else list(covariance))
        for name, value in (("data", self.data), ("validation", self.validation)):
            if not isinstance(value, str) and (name == "data" or value is not None):
                raise ValueError(f"`{name}` must be a path. Received: {value!r}. Write it as text.")
        if not isinstance(self.drop_gaps, bool):
            raise ValueError(f"`drop_gaps` must be true or false. Received: {self.drop_gaps!r}. Write one of them.")
        check_choice("missing", self.missing, MISSING)
        check_method(self.posterior)
        if self.sample_weight is not None and not isinstance(self.sample_weight, str):
            raise ValueError(f"`sample_weight` must be a column. Received: {self.sample_weight!r}. Write its name.")
        _check_noise(self.noise)
        csv = CsvOptions(self.delimiter, self.decimal, self.encoding, self.skip_rows)
        object.__setattr__(self, "delimiter", csv.delimiter)  # "tab" becomes the character
        is_list = isinstance(self.columns, Sequence) and not isinstance(self.columns, str)
        if self.columns is not None and not (is_list and all(isinstance(label, str) for label in self.columns)):
            raise ValueError(f"`columns` must be a list of names. Received: {self.columns!r}. Write a list of text.")

    @property
    def is_choice(self) -> bool:
        """Whether there are several fits to choose from."""
        return not isinstance(self.num_components, int) or self.is_choice_of_shapes

    @property
    def is_choice_of_shapes(self) -> bool:
        """Whether there are several covariance shapes to choose from."""
        return FitOptions(covariance=self.covariance).is_choice_of_shapes

    @property
    def num_fits(self) -> int:
        """Counts the fits that are asked for, once the rows are known."""
        numbers = 1 if isinstance(self.num_components, int) else len(set(self.num_components or ()))
        return numbers * (1 if isinstance(self.covariance, str) else len(self.covariance))

    def for_rows(self, num_data: float, num_features: int) -> RunSettings:
        """Writes out what was left to the rows, so that config.json names every fit: numbers, and "auto" for shapes.

        Example:

        >>> left_open = RunSettings(data="/rows.csv", covariance="auto").for_rows(3, num_features=1)
        >>> left_open.num_components, left_open.covariance
        ([1, 2, 3], ['diag', 'tied_diag'])
        """
        numbers, shapes = self.num_components, self.covariance
        if numbers is None:
            numbers = list(range(1, min(_MOST_BY_ITSELF, int(num_data)) + 1))
        if shapes == AUTO:
            shapes = FitOptions(covariance=AUTO).shapes(num_features)
        return dataclasses.replace(self, num_components=numbers, covariance=shapes)

    def note_of_rows(self, num_data: float) -> list[str]:
        """Says that fewer numbers are tried than where there are rows enough; nothing where there are."""
        if self.num_components is not None or num_data >= _MOST_BY_ITSELF:
            return []
        tried = f"from 1 to {num_data} components were" if num_data > 1 else "1 component was"
        return [f"{tried} tried, not {_MOST_BY_ITSELF}: there are no more rows"]

    def fit_options(self) -> dict[str, Any]:
        """Lists the options of the fit by name, as `FitOptions` and `tfgmm.fit_mixture` take them.

        The exact posterior is left out: it comes after the choice, of the recommended fit alone.
        """
        names = {field.name for field in dataclasses.fields(FitOptions)} - {"posterior"}
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name in names}
        return {**options, "posterior": MEAN_FIELD}


def _check_noise(noise: Any) -> None:
    are_names = isinstance(noise, Mapping) and all(isinstance(name, str) for pair in noise.items() for name in pair)
    if noise is not None and not are_names:
        raise ValueError(
            f"`noise` must name columns by the columns that they belong to. Received: {noise!r}. "
            'Write, for example, {"flux": "flux_err"}.'
        )


def _check_num_components(num_components: Any) -> None:
    if not isinstance(num_components, Sequence) or isinstance(num_components, str):
        check_count("num_components", num_components)
        return
    for number in num_components:
        check_count("num_components", number)
    if not 1 <= len(num_components) <= MOST_NUMBERS:
        raise ValueError(
            f"`num_components` must name from one to {MOST_NUMBERS:,} numbers. Received: {len(num_components):,}. "
            "Write a range, such as 1:10."
        )


def settings_from(earlier: Mapping[str, Any], arguments: Mapping[str, Any]) -> RunSettings:
    """Merges the settings of an earlier run with the arguments of this one; those that are not None go first.

    Where neither names a number of components nor a covariance shape, both are chosen.

    Raises:
        ValueError: No data in either; a setting out of its range.
    """
    merged = {**earlier, **{name: value for name, value in arguments.items() if value is not None}}
    if "data" not in merged:
        raise ValueError("`data` must be given. Received: nothing. Write it; or repeat a run with --config.")
    if merged.get("num_components") is None and "covariance" not in merged:
        merged["covariance"] = AUTO
    places = {name: merged[name] for name in ("data", "validation") if isinstance(merged.get(name), (str, os.PathLike))}
    paths = {name: place if is_url(place) else os.path.abspath(place) for name, place in places.items()}
    return RunSettings(**{**merged, **paths})


def config_text(
    settings: RunSettings,
    files: Sequence[str],
    versions: Mapping[str, str],
    fingerprint: str | None = None,
    rows: Mapping[str, Any] | None = None,
) -> str:
    """Writes what config.json holds: the settings, the files that were written beside it, versions, and the rows.

    A URL is written without what must stay secret.

    Args:
        settings: Settings of the run.
        files: Files by their paths in its folder.
        versions: Versions of packages, by name.
        fingerprint: Fingerprint of the rows, see `DataSummary`.
        rows: What is left out of them, see `tfgmm.cli.run.rows.RowFacts`.
    """
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "settings": {**dataclasses.asdict(settings), **_places_to_repeat(settings)},
        "fingerprint": fingerprint,
        "rows": dict(rows or {}),
        "files": list(files),
        "versions": dict(versions),
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _places_to_repeat(settings: RunSettings) -> dict[str, str | None]:
    places = {"data": settings.data, "validation": settings.validation}
    return {name: None if place is None else to_repeat(place) for name, place in places.items()}


def read_config(path: pathlib.Path) -> dict[str, Any]:
    """Reads the config.json of a run; its settings have only names that we know.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not the config.json of a run, or a URL.
    """
    check_here("config", str(path), COPY_HERE)
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "nothing of that name"
        raise FileNotFoundError(
            f"`config` must be the {CONFIG} of a run. Received: {path} ({kind}). Give the file that tfgmm fit wrote."
        )
    fault = _fault_in(content := _json_of(path))
    if fault:
        raise ValueError(
            f"`config` must be the {CONFIG} of a run. Received: {path}, {fault}. Write the options on the command line."
        )
    return content


def fingerprint_of(config: Mapping[str, Any], settings: RunSettings) -> str | None:
    """Looks up the fingerprint of the rows of an earlier run, where `settings` ask for the same rows.

    None where they ask for another place, other columns or another way to read them, or where the earlier version of
    tfgmm noted none.
    """
    fingerprint = config.get("fingerprint")
    return fingerprint if _are_same_rows(config, settings) and isinstance(fingerprint, str) else None


def rows_of(config: Mapping[str, Any], settings: RunSettings) -> Mapping[str, Any]:
    """Looks up what an earlier run says of its rows, where `settings` ask for the same ones; else empty."""
    rows = config.get("rows")
    return rows if _are_same_rows(config, settings) and isinstance(rows, dict) else {}


def _are_same_rows(config: Mapping[str, Any], settings: RunSettings) -> bool:
    earlier = config["settings"]
    csv = [field.name for field in dataclasses.fields(CsvOptions)]
    names = ("columns", "sample_weight", "noise", *csv)
    is_same_place = earlier.get("data") == to_repeat(settings.data)
    is_read_alike = is_same_place and all(earlier.get(name) == getattr(settings, name) for name in names)
    later = {"drop_gaps": False, "missing": settings.missing}  # what an earlier version had no setting for
    return is_read_alike and all(earlier.get(name, before) == getattr(settings, name) for name, before in later.items())


def _json_of(path: pathlib.Path) -> Any:
    """Reads a JSON file; None when it is none."""
    if path.stat().st_size > _LARGEST_CONFIG:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):  # bad JSON, and bytes that are not UTF-8
        return None


def _fault_in(content: Any) -> str | None:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return "which is something else"
    if content.get("format_version") != FORMAT_VERSION:
        return f"of version {content.get('format_version')!r:.20} where {FORMAT_VERSION} is known"
    settings = content.get("settings")
    if not isinstance(settings, dict):
        return "which has no settings"
    unknown = sorted(settings.keys() - {field.name for field in dataclasses.fields(RunSettings)})
    return f"with the unknown setting {unknown[0]!r:.100}" if unknown else None
