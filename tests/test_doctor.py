"""The doctor sees what is wrong, says what to do, and changes nothing."""

from helpers import doctor
from helpers.checkpoints import weights
from helpers.doctor import NOTE, OK, RED
from helpers.flash_attention import flash


def by_name():
    return {finding.what: finding for finding in doctor.examine()}


def test_one_screen_says_it_all(workbook, monkeypatch):
    done, found = workbook("doctor"), by_name()
    assert {
        "Python",
        "versions",
        "processor",
        "memory",
        "GPU",
        "Chromium",
    } <= found.keys()
    assert {"cache folder", "pocket bert", "pocket distilbert"} <= found.keys()
    assert len(found) <= 24
    assert all(one.advice for one in found.values() if one.status == RED)
    backends = {back.name: back for back in flash.backends()}
    assert {name for name in backends if backends[name].available} >= {"eager", "sdpa"}
    for name, back in backends.items():
        assert found[f"attention: {name}"].found == back.reason
        assert back.available or back.reason.startswith("needs ")
    assert done.returncode == int(any(one.status == RED for one in found.values()))
    assert "pocket distilbert" in done.stdout
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert by_name()["Chromium"].status == NOTE


def test_what_is_to_be_mended_is_a_red_line_that_names_it(monkeypatch, tmp_path):
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("torch==1.0.0\nnot-installed==3\n")
    monkeypatch.setattr(doctor, "CONSTRAINTS", constraints)
    monkeypatch.setattr(weights, "WEIGHTS_SHA256", "0" * 64)
    found = by_name()
    assert found["versions"].status == found["pocket checkpoints"].status == RED
    assert "(tested: 1.0.0)" in found["versions"].found
    assert found["versions"].advice == "pip install -c constraints.txt -e ."
    assert "is not the published file" in found["pocket checkpoints"].found
    assert found["cache folder"].status == OK
