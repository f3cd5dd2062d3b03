"""The shapes a component may have: one file per covariance, and a table from name to class."""

from tfgmm.components.diag import DiagComponents, DiagDraws, DiagPosterior

COMPONENTS: dict[str, type[DiagComponents]] = {DiagComponents.name: DiagComponents}

__all__ = ["COMPONENTS", "DiagComponents", "DiagDraws", "DiagPosterior"]
