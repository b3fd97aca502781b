"""The codec commands: help with examples, the whole chain on a small study, its figure."""

import csv
import sys

import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.cli import coding
from upscale_audit.warehouse.cli import main as cli

REASON = "pip install 'upscale-audit[codec]'"
PARTS = ("train", "encode", "decode", "study", "figure")


def run_cli(capsys, *arguments):
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as exit_info:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return exit_info.value.code, captured.out, captured.err


def read_csv(path):
    """Rows of a CSV."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def needs_codec():
    pytest.importorskip("torch", reason=REASON)
    pytest.importorskip("zfpy", reason=REASON)


@pytest.fixture
def folder(tmp_path, encode_png, grey):
    """Give a folder of three images that a crop of 32 px fits in."""
    (tmp_path / "in").mkdir()
    for number, name in enumerate(("a", "b", "c")):
        image = np.roll(grey, 7 * number, axis=0)
        (tmp_path / "in" / f"{name}.png").write_bytes(encode_png(image))
    return tmp_path


@pytest.mark.parametrize("part", PARTS)
def test_every_command_has_help_and_an_example(capsys, part):
    code, out, _ = run_cli(capsys, "codec", part, "--help")
    assert code == 0
    assert f"  upscale-audit codec {part} " in out


def test_a_file_named_as_the_folder_to_write_to_stays_and_is_named(needs_codec, folder, capsys):
    (folder / "mine").write_text("mine")
    command = ("codec", "encode", folder / "in", "--no-network", "--tolerance", 8)
    code, _, said = run_cli(capsys, *command, "--out", folder / "mine")
    assert code == 1
    assert "mine: File exists; move the file" in said
    assert "another folder as --out" in said
    assert (folder / "mine").read_text() == "mine"


def test_the_examples_are_command_lines_that_parse(capsys):
    parser = cli.make_parser()
    for part in PARTS:
        _, out, _ = run_cli(capsys, "codec", part, "--help")
        example = out.split("example:\n  upscale-audit ")[1].split()
        assert parser.parse_args(example).run.__module__ == "upscale_audit.warehouse.cli.coding"


def test_the_commands_choices_and_defaults_are_the_codecs(needs_codec):
    from upscale_audit.restore.codec import networks
    from upscale_audit.restore.codec.training import TrainingParameters

    assert coding.KINDS == networks.KINDS
    assert coding.LOSSES == networks.LOSSES
    options = cli.make_parser().parse_args(["codec", "study", "a.toml", "--out", "b"])
    assert coding._read_parameters(options) == TrainingParameters()


def test_training_never_replaces_a_table_of_another_origin(needs_codec, capsys, folder):
    (folder / "results.csv").write_text("mine\n")
    code, _, err = run_cli(
        capsys, "codec", "train", folder / "in", "--kind", "ae", "--loss", "mse",
        "--out", folder / "results.npz",
    )  # fmt: skip
    assert code == 1
    assert "results.csv, where the curve would go, is of something else: move it" in err
    assert (folder / "results.csv").read_text() == "mine\n"


def test_without_the_extra_a_command_says_what_installs_it(monkeypatch, capsys, folder):
    for name in [name for name in sys.modules if name.startswith("upscale_audit.restore.codec")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "zfpy", None)
    arguments = ("codec", "decode", folder, "--no-network", "--out", folder / "out")
    code, _, err = run_cli(capsys, *arguments)
    assert code == 1
    assert "upscale-audit[codec]" in err


def test_train_encode_and_decode_in_a_row(needs_codec, capsys, folder):
    weights, coded, decoded = folder / "w.npz", folder / "coded", folder / "decoded"
    train = ("codec", "train", folder / "in", "--kind", "ae", "--loss", "mse", "--out", weights)
    short = ("--steps", "3", "--crop", "32", "--hold-out", "c")
    assert run_cli(capsys, *train, *short)[0] == 0
    assert float(read_csv(folder / "w.csv")[0]["held_out_loss"]) > 0
    encode = ("codec", "encode", folder / "in", "--weights", weights, "--out", coded)
    assert run_cli(capsys, *encode, "--tolerance", "0.25")[0] == 0
    rows = {row["image_id"]: row for row in read_csv(coded / "codes.csv")}
    for name in ("a", "b", "c"):
        size = (coded / f"{name}.uac").stat().st_size
        assert int(rows[name]["file_bytes"]) == size
        assert float(rows[name]["ratio"]) == 61 * 83 / size
        assert float(rows[name]["ratio_float32"]) == pytest.approx(4 * 61 * 83 / size)
        assert float(rows[name]["ratio_with_decoder"]) < float(rows[name]["ratio"])
    assert run_cli(capsys, "codec", "decode", coded, "--weights", weights, "--out", decoded)[0] == 0
    for name in ("a", "b", "c"):
        before, after = (Image.open(path / f"{name}.png") for path in (folder / "in", decoded))
        assert np.array_equal(np.asarray(before), np.asarray(after))


def test_errors_are_one_line(needs_codec, capsys, folder):
    out = ("--out", folder / "out")
    train = ("codec", "train", folder / "in", "--kind", "ae", "--loss", "mse")
    for arguments in (
        (*train, "--out", folder / "w.pth"),
        (*train, "--out", folder / "w.npz", "--hold-out", "nobody"),
        (*train, "--out", folder / "w.npz", "--hold-out", "*"),
        ("codec", "encode", folder / "in", "--no-network", "--ratio", "9000", *out),
        ("codec", "encode", folder / "in", "--no-network", "--tolerance", "0", *out),
        ("codec", "encode", folder / "in", "--weights", folder / "w.npz", "--ratio", "9", *out),
        ("codec", "decode", folder / "in", "--no-network", *out),
        ("codec", "decode", folder / "none.uac", "--no-network", *out),
        ("codec", "study", folder / "none", *out),
        ("codec", "study", folder / "in", *out, "--ratio", "-1"),
        ("codec", "study", folder / "in", *out, "--ratio", "nan"),
        ("codec", "study", folder / "in", *out, "--ratio", "9", "--ratio", "9.0"),
    ):
        code, stdout, err = run_cli(capsys, *arguments)
        assert (code, stdout, err.count("\n")) == (1, "", 1), err


def test_files_of_the_user_are_not_written_over(needs_codec, capsys, folder):
    (folder / "in" / "study.toml").write_text("mine")
    study = ("codec", "study", folder / "in", "--out", folder / "in", "--steps", "1")
    code, _, err = run_cli(capsys, *study, "--crop", "32")
    assert (code, (folder / "in" / "study.toml").read_text()) == (1, "mine")
    assert "study.toml was not written by codec study" in err
    assert not (folder / "in" / "weights").exists()

    encode = ("codec", "encode", folder / "in", "--no-network", "--out", folder / "coded")
    assert run_cli(capsys, *encode, "--tolerance", "9")[0] == 0
    before = (folder / "in" / "a.png").read_bytes()
    decode = ("codec", "decode", folder / "coded", "--no-network", "--out")
    code, _, err = run_cli(capsys, *decode, folder / "in")
    assert (code, (folder / "in" / "a.png").read_bytes()) == (1, before)
    assert "a.png is another image and stays as it is" in err
    for _ in range(2):
        assert run_cli(capsys, *decode, folder / "decoded")[0] == 0


def test_a_codec_study_crosses_its_folds_and_is_kept_when_run_again(
    needs_codec, monkeypatch, capsys, folder
):
    from upscale_audit.restore.codec import audit
    from upscale_audit.restore.codec.models import load_codec

    monkeypatch.setattr(audit, "VARIANTS", (("ae", "ssim"), ("vae", "mse")))
    study = folder / "codecs"
    command = ("codec", "study", folder / "in", "--out", study, "--ratio", "4", "--ratio", "900")
    short = ("--steps", "1", "--crop", "32")
    code, _, err = run_cli(capsys, *command, *short)
    assert code == 3  # no image of 83x61 px can be coded at 900
    assert "trained 4 codecs" in err
    assert err.count("not coded:") == 9
    models = [model.model_id for model in load_study(study / "study.toml").models]
    assert {"ae_ssim_r4", "ae_ssim_r900", "vae_mse_net", "zfp_r4"} <= set(models)
    rows = read_csv(study / "codes.csv")
    assert len(rows) == 3 * (2 * 2 + 1)
    trained = {}
    for path in (study / "weights").glob("*.npz"):
        codec = load_codec(path)
        trained[codec.sha256.hex()] = set(codec.training["images"])
    for row in rows:
        size = (study / "streams" / row["model_id"] / f"{row['image_id']}.uac").stat().st_size
        assert int(row["file_bytes"]) == size
        if row["target_ratio"]:
            assert float(row["ratio"]) == pytest.approx(4, rel=0.02)
        assert (row["decoder_sha256"] == "") == (row["codec"] == "zfp")
        assert row["image_id"] not in trained.get(row["decoder_sha256"], ())
    before = (study / "codes.csv").read_bytes()
    (study / "restored" / "zfp_r4" / "b.png").write_bytes(b"other")
    _, _, err = run_cli(capsys, *command, *short)
    assert "trained 0 codecs, kept 4" in err
    assert "coded 1 image, kept 14" in err
    assert (study / "codes.csv").read_bytes() == before
    forged = before.replace(f",{rows[0]['psnr_db']},".encode(), b",99.5,")
    assert forged != before
    (study / "codes.csv").write_bytes(forged)
    _, _, err = run_cli(capsys, *command, *short)
    assert "coded 0 images, kept 15" in err
    assert (study / "codes.csv").read_bytes() == before
