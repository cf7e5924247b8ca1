"""Plug-ins and models that mean harm, and the command that meets them."""

import pytest

from tests.integration.conftest import (
    audit,
    audit_process,
    drawn_folder,
    write_config,
)

__all__ = ["audit", "audit_process", "drawn_folder", "write_config"]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of one module, as pip would have done; gives the folder it lies in."""

    def put(source, **entry_points):
        site = tmp_path / "site"
        info = site / "mischief-0.1.dist-info"
        info.mkdir(parents=True)
        (site / "mischief.py").write_text(source)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mischief\nVersion: 0.1\n")
        lines = []
        for group, names in entry_points.items():
            lines += [f"[auditor.{group}]", *(f"{name} = mischief:{name}" for name in names)]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(site)
        return site

    return put
