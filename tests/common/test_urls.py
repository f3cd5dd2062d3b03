"""URLs of rows: told apart from paths, and written without what must stay secret."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from tfgmm.common.atomic_file import check_free
from tfgmm.common.atomic_folder import path_of
from tfgmm.common.urls import COPY_HERE, check_here, has_lost_a_slash, is_url, scrubbed, to_repeat, without_secrets

PLACE = "region=eu-west-1&scheme=http&endpoint_override=127.0.0.1:9000"


@pytest.mark.parametrize(
    "url, shown, repeated",
    [
        ("s3://bucket/rows.csv", "s3://bucket/rows.csv", "s3://bucket/rows.csv"),
        (f"s3://KEY:SECRET@bucket/a.csv?{PLACE}", "s3://bucket/a.csv", f"s3://bucket/a.csv?{PLACE}"),
        ("s3://KEY:SEC/RET@bucket/a.csv", "s3://bucket/a.csv", "s3://bucket/a.csv"),
        ("s3://KEY:SEC%2FRET@bucket/a@b.csv", "s3://bucket/a@b.csv", "s3://bucket/a@b.csv"),
        ("s3://bucket/SECRET@b.csv", "s3://bucket/SECRET@b.csv", "s3://bucket/SECRET@b.csv"),
        ("https://host:80/a.csv?X-Amz-Signature=SECRET", "https://host:80/a.csv", "https://host:80/a.csv"),
        ("s3://b/a.csv?scheme=KEY:SECRET@http", "s3://b/a.csv", "s3://b/a.csv"),
        ("filecache::s3://KEY:SECRET@bucket/a.csv", "filecache::s3://bucket/a.csv", "filecache::s3://bucket/a.csv"),
        ("abfs://box:SECRET@name.dfs.core.windows.net/a", *["abfs://box@name.dfs.core.windows.net/a"] * 2),
        ("abfs://:SECRET@name.dfs.core.windows.net/a", *["abfs://name.dfs.core.windows.net/a"] * 2),
        ("gs://anonymous@bucket/a", "gs://anonymous@bucket/a", "gs://anonymous@bucket/a"),
        ("https://KEY:SECRET@host/a.csv?sig=SECRET#t=SECRET", *["https://host/a.csv"] * 2),
        ("simplecache::http://host/a.csv#SECRET", *["simplecache::http://host/a.csv"] * 2),
        ("s3://bucket/a#1.csv", *["s3://bucket/a#1.csv"] * 2),
        ("s3:/KEY:SECRET@bucket/a.csv?x=SECRET", *["s3:/bucket/a.csv"] * 2),
        ("filecache::s3:/KEY:SECRET@bucket/a.csv", *["filecache::s3:/bucket/a.csv"] * 2),
        ("/rows@home/KEY:SECRET@b.csv?x=1", *["/rows@home/KEY:SECRET@b.csv?x=1"] * 2),
    ],
)
def test_what_is_shown_and_noted_of_a_url(url: str, shown: str, repeated: str) -> None:
    assert without_secrets(url) == shown and to_repeat(url) == repeated
    assert without_secrets(shown) == shown and to_repeat(repeated) == repeated


def test_words_of_libraries_lose_secrets() -> None:
    url = "s3://KEY:SEC%2FRET@bucket/rows.csv?sig=abc%3D&region=eu-west-1"
    words = f"cannot open {url} of KEY with SEC/RET or SEC%2FRET and abc= in eu-west-1"
    assert scrubbed(words, url) == "cannot open s3://bucket/rows.csv of *** with *** or *** and *** in eu-west-1"
    words = (
        "at https://h/a#t=TOKEN1&n=x with TOKEN1, redirected to 'https://me:SIGNED@other/a?sig=SIGNED', or https://b/c"
    )
    shown = "at https://h/a with ***, redirected to 'https://other/a', or https://b/c"
    assert scrubbed(words, "https://h/a#t=TOKEN1&n=x") == shown
    assert scrubbed("of se%20cret%25 or se cret%", "s3://b/a?k=se cret%25") == "of *** or ***"


def test_urls_and_paths_are_told_apart() -> None:
    assert all(map(is_url, ["memory://a", "file:///a", "zip://a.csv::s3://b/c.zip", "S3://b"]))
    assert not any(map(is_url, ["a.csv", "/a://b", "c:/rows.csv", "C:\\rows.csv", "a:b", 3, None]))
    assert has_lost_a_slash("s3:/b/a.csv") and has_lost_a_slash("simplecache::gs:/b")
    assert not any(map(has_lost_a_slash, ["s3://b", "c:/rows", "/s3:/b", "a.csv"]))


def test_nothing_is_written_to_a_folder_that_is_named_like_a_url(tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for write in (lambda: path_of("s3://bucket/model"), lambda: check_free(pathlib.Path("s3:/bucket/x.csv"), True)):
        with pytest.raises(ValueError, match="must be on this machine. Received: 's3://bucket/"):
            write()


@pytest.mark.parametrize("path", ["s3://KEY:SECRET@bucket/model", "s3:/KEY:SECRET@bucket/model"])
def test_places_to_write_are_on_this_machine(path: str) -> None:
    with pytest.raises(ValueError, match=r"^`path` must be on this machine. Received: 's3://bucket/model'\. Write"):
        check_here("path", path)
    with pytest.raises(ValueError, match="'s3://bucket/model'. Copy it here first: only rows"):
        check_here("path", path, COPY_HERE)
    check_here("path", "models/3")
