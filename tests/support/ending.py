"""How a command of the command line ends, in this process."""

from __future__ import annotations

import pytest

from gtrans.cli.main import main


def ending_of(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str]:
    """Exit code of ``gtrans ARGUMENTS``, and the last line that it said; never a traceback."""
    monkeypatch.setattr("sys.argv", ["gtrans", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    both = said.out + said.err
    assert "Traceback" not in both, both
    assert "CANARY" not in both
    lines = both.strip().splitlines()
    return int(ended.value.code or 0), lines[-1] if lines else ""
