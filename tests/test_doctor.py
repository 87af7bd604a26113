"""The doctor sees what is wrong, says what to do, and changes nothing."""

from helpers import doctor, flash, sources
from helpers.doctor import NOTE, OK, RED


def by_name():
    return {finding.what: finding for finding in doctor.examine()}


def test_one_screen_says_it_all():
    findings = by_name()
    assert {"Python", "versions", "processor", "memory", "GPU", "Chromium"} <= findings.keys()
    assert {"cache folder", "pocket bert", "pocket distilbert"} <= findings.keys()
    assert sum(name.startswith("attention") for name in findings) == len(flash.backends())
    assert len(findings) <= 24
    assert all(f.advice for f in findings.values() if f.status == RED)


def test_another_version_is_a_red_line_that_names_it(monkeypatch, tmp_path):
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("torch==1.0.0\nnot-installed==3\n")
    monkeypatch.setattr(doctor, "CONSTRAINTS", constraints)
    finding = by_name()["versions"]
    assert finding.status == RED
    assert "(tested: 1.0.0)" in finding.found
    assert finding.advice == "pip install -c constraints.txt -e ."


def test_weights_that_fail_their_hash_are_a_red_line(monkeypatch):
    monkeypatch.setattr(sources, "WEIGHTS_SHA256", "0" * 64)
    finding = by_name()["pocket checkpoints"]
    assert finding.status == RED
    assert "is not the published file" in finding.found


def test_what_is_optional_is_a_note(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert by_name()["Chromium"].status == NOTE


def test_back_ends_that_are_missing_say_why():
    for backend in flash.backends():
        assert backend.reason
        if not backend.available:
            assert backend.reason.startswith("needs ")
    assert {b.name for b in flash.backends() if b.available} >= {"eager", "sdpa"}


def test_the_command_prints_it_and_exits_by_it(workbook):
    done = workbook("doctor")
    red = any(f.status == RED for f in doctor.examine())
    assert done.returncode == int(red)
    assert "pocket distilbert" in done.stdout
    assert OK in done.stdout
