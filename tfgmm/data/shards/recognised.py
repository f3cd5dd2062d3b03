"""Which data is rows in parts, and what serves it. Nothing is imported before such data arrives."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from tfgmm.common.checks import is_instance_of


class Kind(NamedTuple):
    """A kind of data whose rows are in parts.

    Args:
        package: Package that its class is in.
        class_name: Name of the class in there.
        words: What users call it.
        file: File of this folder with the engine that serves it.
        engine: Name of the engine in there.
        compute: What brings its rows into memory, with {0} for its name.
    """

    package: str
    class_name: str
    words: str
    file: str
    engine: str
    compute: str

    def engine_class(self) -> Any:
        """Imports the engine that serves it: a class with `schema(data, name)`, made of data and `ShardColumns`."""
        return getattr(importlib.import_module(f"tfgmm.data.shards.{self.file}"), self.engine)


KINDS = (
    Kind("dask.dataframe", "DataFrame", "a Dask DataFrame", "dask_engine", "DaskEngine", "{0}.compute()"),
    Kind("dask.array", "Array", "a Dask Array", "dask_engine", "DaskEngine", "{0}.compute()"),
    Kind("pyspark.sql", "DataFrame", "a Spark DataFrame", "spark_engine", "SparkEngine", "{0}.toPandas()"),
)


def kind_of_shards(data: Any) -> Kind | None:
    """Recognises data whose rows are in parts; None for all other data.

    Example:

    >>> kind_of_shards([[1.0, 2.0]]) is None
    True
    """
    return next((kind for kind in KINDS if is_instance_of(data, kind.package, kind.class_name)), None)


def check_no_shards(name: str, data: Any) -> None:
    """Checks data where rows must be in memory or in files: Raises TypeError for rows in parts, which stay there."""
    kind = kind_of_shards(data)
    if kind is not None:
        raise stays_error(name, kind.words, f"; {kind.compute.format(name)} brings the rows into memory")


def stays_error(name: str, words: str, otherwise: str = "") -> TypeError:
    """Makes the error that rows in parts stay where they are, with what takes them."""
    return TypeError(
        f"`{name}` must be rows in memory or in files here. Received: {words}, whose rows stay where they are. "
        f"tfgmm.fit_mixture fits it, and tfgmm.score_frame scores it{otherwise}."
    )
