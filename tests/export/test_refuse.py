"""load_scorer refuses by name what is not a whole export: other folders, odd cards, damaged files."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import random
import re
from typing import Any

import numpy as np
import pytest
from exports import FILES, ROWS, D, K, card_of, refused, write_card

import tfgmm
from tfgmm.export import parameters

# --- Not an export


def test_missing_folder_and_file_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    refused(tmp_path / "nowhere", "not there", FileNotFoundError)
    refused(tmp_path / "file", "not a folder", NotADirectoryError)


def test_empty_folder_is_refused(tmp_path: pathlib.Path) -> None:
    assert "is missing" in refused(tmp_path, "model_card.json")


CARDS = {
    "nothing": b"",
    "half": b'{"format": "tfgmm.mixture", "format_ver',
    "not JSON": b"PK\x03\x04",
    "not UTF-8": b'{"format": "\xff"}',
    "a list": b"[1, 2]",
    "deep": b"[" * 200_000,
    "a long number": b"[" + b"9" * 10_000 + b"]",
    "another format": b'{"format": "keras", "format_version": 1}',
    "no fields": b'{"format": "tfgmm.mixture", "format_version": 1}',
    "control characters": b'{"format": "tfgmm.mixture", "format_version": 9, "versions": {"tfgmm": "\\u001b[2J"}}',
}


@pytest.mark.parametrize("contents", CARDS.values(), ids=CARDS)
def test_card_that_is_none_is_refused(folder: pathlib.Path, contents: bytes) -> None:
    (folder / "model_card.json").write_bytes(contents)
    refused(folder, "model_card.json")


def test_card_beyond_all_reason_is_refused_unread(folder: pathlib.Path) -> None:
    with open(folder / "model_card.json", "r+b") as card:
        card.truncate(2**40)  # a sparse file: no bytes on the disk
    assert "larger" in refused(folder, "model_card.json")


@pytest.mark.parametrize("version", [5, 10**6])
def test_newer_format_names_the_version_that_is_needed(folder: pathlib.Path, version: int) -> None:
    card = card_of(folder) | {"format_version": version}
    write_card(folder, card | {"versions": {"tfgmm": "7.8.9"}})
    assert message_has(refused(folder, "model_card.json"), "tfgmm 7.8.9", f"version {version}", "Install tfgmm 7.8.9")
    write_card(folder, card | {"versions": "none"})
    assert "Install a newer tfgmm" in refused(folder, "model_card.json")


def message_has(message: str, *parts: str) -> bool:
    return all(part in message for part in parts)


@pytest.mark.parametrize(
    ("place", "values"),
    [
        ("format_version", (None, "1", 1.0, True, 0, -1, [])),
        ("model", (None, [], "diag", {})),
        ("parameters", (None, [], {}, {"locs": {"shape": [K, D], "dtype": "float64"}})),
        ("training", (None, [])),
        ("priors", (None, 3)),
        ("versions", (None, "0.1.0")),
        ("model.num_components", (None, 0, -1, 2.0, True, "2", 10**20, 3, [2])),
        ("model.num_features", (None, 0, 1.5, 2**31, D + 1)),
        ("model.covariance", (None, "round", 3, [], {})),
        ("model.column_units", ("abc", [], ["a", "b"], [1, 2, 3], {}, 3)),
        ("model.column_names", ("abc", [], ["a", "b"], [1, 2, 3], ["a", "a", "b"], {}, 3)),
        ("files.parameters%npz", (None, "x", [], {}, {"bytes": 1}, {"sha256": "0" * 64, "bytes": "many"})),
        (
            "parameters.locs",
            (None, {"shape": [K, D], "dtype": "object"}, {"shape": [10**9, 10**9], "dtype": "float64"}),
        ),
    ],
)
def test_card_with_a_field_of_the_wrong_kind_is_refused(
    folder: pathlib.Path, place: str, values: tuple[Any, ...]
) -> None:
    whole = (folder / "model_card.json").read_text(encoding="utf-8")
    *path, last = (part.replace("%", ".") for part in place.split("."))
    for value in values:
        card = json.loads(whole)
        holder = card
        for part in path:
            holder = holder[part]
        holder[last] = value
        write_card(folder, card)
        refused(folder, "parameters.npz" if place.startswith("files") else "model_card.json")
        del holder[last]
        write_card(folder, card)
        if place not in ("model.column_names", "model.column_units"):  # there may be none
            refused(folder, "")


@pytest.mark.parametrize("files", [None, [], "all", 3])
def test_card_with_a_list_of_files_of_the_wrong_kind_is_refused(folder: pathlib.Path, files: Any) -> None:
    write_card(folder, card_of(folder) | {"files": files})
    assert "'files'" in refused(folder, "model_card.json")
    write_card(folder, card_of(folder) | {"files": {}})
    assert "not listed" in refused(folder, "fingerprint.pb")


@pytest.mark.parametrize("size", [10**5, 2**31 - 1])
def test_sizes_beyond_the_file_are_refused_before_anything_is_read(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    card = card_of(folder)
    card["model"] |= {"num_components": size, "num_features": size, "column_names": None}
    shapes = {"centre": [size], "weights": [size], "locs": [size, size], "precisions": [size, size]}
    card["parameters"] = {name: {"shape": shape, "dtype": "float64"} for name, shape in shapes.items()}
    write_card(folder, card)
    monkeypatch.setattr(parameters, "read_arrays", None)
    assert "bytes where the card's sizes need" in refused(folder, "parameters.npz")


# --- Damage


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_refused_by_name(folder: pathlib.Path, name: str) -> None:
    file, moments = folder / name, random.Random(name)
    whole = file.read_bytes()
    # In the card, one bit of a checksum: elsewhere there it may change a date, which no checksum covers.
    first = whole.index(b'"sha256": "') + 11 if name == "model_card.json" else 0
    end = first + 64 if name == "model_card.json" else len(whole)
    for _ in range(12):
        changed = bytearray(whole)
        changed[moments.randrange(first, end)] ^= 1 << moments.randrange(7)
        file.write_bytes(changed)
        refused(folder, "" if name == "model_card.json" else name)


@pytest.mark.parametrize("name", FILES)
def test_cut_and_deleted_files_are_refused_by_name(folder: pathlib.Path, name: str) -> None:
    file = folder / name
    whole = file.read_bytes()
    lengths = {0, 1, len(whole) // 8, len(whole) // 4, len(whole) // 2, len(whole) * 3 // 4, len(whole) - 2}
    for length in sorted(lengths):
        file.write_bytes(whole[:length])
        refused(folder, name)
    file.unlink()
    assert "is missing" in refused(folder, name)
    file.write_bytes(whole)
    tfgmm.load_scorer(folder)


def test_longer_file_is_refused(folder: pathlib.Path) -> None:
    with open(folder / "saved_model.pb", "ab") as file:
        file.write(b"\0")
    refused(folder, "saved_model.pb")


@pytest.mark.parametrize("name", ["extra.txt", ".hidden", "variables/extra", "assets/program", "deep/er/file"])
def test_extra_file_is_refused_by_name(folder: pathlib.Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("")
    assert "not listed" in refused(folder, name)


@pytest.mark.parametrize("name", [*FILES, "variables", "assets"])
def test_symbolic_link_is_refused_by_name(folder: pathlib.Path, name: str) -> None:
    moved = folder.parent / "moved"
    os.rename(folder / name, moved)
    (folder / name).symlink_to(moved)
    refused(folder, name)


def test_extra_links_are_refused_by_name_and_not_followed(folder: pathlib.Path) -> None:
    (folder / "assets" / "up").symlink_to("..")
    assert "symbolic link" in refused(folder, "assets/up")


def test_pipe_is_refused_and_not_waited_for(folder: pathlib.Path) -> None:
    (folder / "saved_model.pb").unlink()
    os.mkfifo(folder / "saved_model.pb")
    assert "not a regular file" in refused(folder, "saved_model.pb")


def test_card_that_is_a_pipe_is_refused_and_not_waited_for(folder: pathlib.Path) -> None:
    (folder / "model_card.json").unlink()
    os.mkfifo(folder / "model_card.json")
    refused(folder, "model_card.json")


def test_file_that_is_a_folder_is_refused(folder: pathlib.Path) -> None:
    for name in ("model_card.json", "parameters.npz"):
        (folder / name).unlink()
        (folder / name).mkdir()
        refused(folder, "model_card.json")
        (folder / name).rmdir()


def test_folder_may_be_reached_through_a_link(folder: pathlib.Path) -> None:
    latest = folder.with_name("latest")
    latest.symlink_to(folder)
    np.testing.assert_array_equal(tfgmm.load_scorer(latest).log_prob(ROWS), tfgmm.load_scorer(folder).log_prob(ROWS))


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "variables/../../outside", "..", ".", "", "a//b", "a\\b", "model_card.json"]
)
def test_name_that_leads_elsewhere_is_refused_before_anything_is_read(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (folder.parent / "outside").write_text("")
    card = card_of(folder)
    card["files"][name] = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    write_card(folder, card)
    monkeypatch.setattr("tfgmm.export.folder.sha256", None)
    assert "not the name of a file" in refused(folder, "model_card.json")


def test_the_folder_of_a_run_is_refused_with_the_place_of_its_export(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model_card.json").write_text("{}")
    with pytest.raises(tfgmm.IntegrityError, match=re.escape(f"Give {tmp_path / 'model'}.")):
        tfgmm.load_scorer(tmp_path)
