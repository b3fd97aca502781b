"""Published hash lists: every form of one, names that are not trusted, every outcome."""

import hashlib
import os
import subprocess
import zipfile

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.warehouse.proof.hash_lists import (
    Entry,
    compare,
    find_refusal,
    hash_archive,
    hash_folder,
    parse_list,
    read_list,
)

A, B = (hashlib.sha256(text).hexdigest() for text in (b"a", b"b"))
EXPECTED = [Entry("a.png", A), Entry("sub/b c.png", B)]

FORMS = {
    "gnu": f"{A}  a.png\n{B}  sub/b c.png\n",
    "gnu binary mark": f"{A} *a.png\n{B} *sub/b c.png\n",
    "leading dot": f"{A}  ./a.png\n{B}  ./sub/b c.png",
    "upper case": f"{A.upper()}  a.png\n{B.upper()}  sub/b c.png\n",
    "crlf": f"{A}  a.png\r\n{B}  sub/b c.png\r\n",
    "byte order mark": f"\ufeff{A}  a.png\n{B}  sub/b c.png\n",
    "comments": f"# made by x\n\n{A}  a.png\n\n{B}  sub/b c.png\n",
    "bsd": f"SHA256 (a.png) = {A}\nSHA256 (sub/b c.png) = {B}\n",
    "openssl": f"SHA256(a.png)= {A}\nSHA2-256(sub/b c.png)= {B}\n",
    "csv": f"file_name,sha256\na.png,{A}\nsub/b c.png,{B}\n",
    "csv other order": f"sha256,size,file\n{A},1,a.png\n{B},1,sub/b c.png\n",
    "csv semicolons, crlf, mark": f"\ufeffSHA-256;Name\r\n{A};a.png\r\n{B};sub/b c.png\r\n",
    "csv tabs": f"name\thash\na.png\t{A}\nsub/b c.png\t{B}\n",
    "csv quoted": f'"name","hash"\n"a.png","{A}"\n"sub/b c.png","{B}"\n',
    "csv without header": f"1,a.png,{A}\n1,sub/b c.png,{B}\n",
    "csv unknown header": f"no,bild,summe\n1,a.png,{A}\n2,sub/b c.png,{B}\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_list_says_the_same(form):
    assert parse_list(FORMS[form].encode()) == EXPECTED


def test_utf16_from_a_spreadsheet_is_read():
    assert parse_list(FORMS["csv"].encode("utf-16")) == EXPECTED


def test_a_list_in_a_zip_is_found_among_other_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "list.zip", "w") as archive:
        archive.writestr("README.txt", "hashes below")
        archive.writestr("lists/SHA256SUMS", FORMS["gnu"])
    assert read_list(tmp_path / "list.zip") == EXPECTED


def test_two_lists_in_a_zip_are_an_error_that_names_both(tmp_path):
    with zipfile.ZipFile(tmp_path / "list.zip", "w") as archive:
        archive.writestr("one", FORMS["gnu"])
        archive.writestr("two", FORMS["bsd"])
    with pytest.raises(StudyError, match=r"'one', 'two'"):
        read_list(tmp_path / "list.zip")


@pytest.mark.parametrize("data", [b"", b"text\n", b"a,b\n1,2\n", b"PK\x03\x04broken", b"\xff" * 99])
def test_what_is_no_list_is_an_error_that_says_what_one_is(tmp_path, data):
    (tmp_path / "list").write_bytes(data)
    with pytest.raises(StudyError, match=r"expected sha256sum text|unpack the list"):
        read_list(tmp_path / "list")


@pytest.mark.parametrize(
    "name",
    [
        *("/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "C:/x", "c:x", "a\\b", "..\\x"),
        *("", "a\n", "\x1b[2J", "a/", "..", "."),
    ],
)
def test_a_name_that_could_leave_its_folder_is_refused(name):
    assert find_refusal(name)


@pytest.mark.parametrize("name", ["a", "a b", "..a", "a..", "sub/a", "名前.png", "-rf", "$(x)"])
def test_a_plain_name_is_not_refused(name):
    assert find_refusal(name) is None


def test_escaped_names_of_sha256sum_are_understood_and_refused(tmp_path):
    (tmp_path / "new\nline").write_bytes(b"a")
    listed = subprocess.run(["sha256sum", "new\nline"], cwd=tmp_path, capture_output=True).stdout
    (entry,) = parse_list(listed)
    assert (entry.name, entry.sha256) == ("new\nline", A)
    assert "control" in entry.refusal


def test_repeated_names_are_refused_all_of_them_where_their_hashes_differ(tmp_path):
    path = tmp_path / "list"
    path.write_text(f"{A}  a\n{A}  a\n{A}  b\n{B}  b\n")
    assert [entry.refusal for entry in read_list(path)] == [
        None,
        "listed twice",
        "listed with different hashes",
        "listed with different hashes",
    ]


def test_a_line_that_is_none_is_reported(tmp_path):
    path = tmp_path / "list"
    path.write_text(f"{A}  a\n{B[:60]}  b\n")
    assert [entry.refusal for entry in read_list(path)] == [None, "not a line of a hash list"]


def outcomes(entries, hashes, refused=None):
    return {
        row.name: (row.status, row.found_name) for row in compare(entries, hashes, refused or {})
    }


def test_every_outcome_is_told_apart():
    entries = [Entry(name, A) for name in ("same", "other", "away")]
    entries += [Entry("moved", B), Entry("../up", A, "leaves")]
    hashes = {"same": A, "other": B, "new": B, "extra": hashlib.sha256().hexdigest()}
    assert outcomes(entries, hashes) == {
        "same": ("matched", "same"),
        "other": ("mismatched", "other"),
        "away": ("missing", None),
        "moved": ("renamed", "new"),
        "../up": ("refused", None),
        "extra": ("extra", "extra"),
    }


def test_two_files_that_were_swapped_say_where_their_bytes_are():
    rows = compare([Entry("a", A), Entry("b", B)], {"a": B, "b": A}, {})
    assert [row.status for row in rows] == ["mismatched", "mismatched"]
    assert rows[0].detail == "its bytes are in 'b'"


def test_links_are_refused_and_never_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"a")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.png").symlink_to(secret)
    (folder / "sub").symlink_to(tmp_path, target_is_directory=True)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe")
    hashes, refused = hash_folder(folder)
    assert hashes == {}
    assert set(refused) == {"a.png", "sub", "loop", "pipe"}
    assert outcomes([Entry("a.png", A)], hashes, refused)["a.png"] == ("refused", None)


def test_the_list_itself_is_no_extra_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "SHA256SUMS").write_text(f"{A}  a.png\n")
    hashes, _ = hash_folder(tmp_path, tmp_path / "SHA256SUMS")
    assert hashes == {"a.png": A}


def write_archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            archive.writestr(info, data)


def test_an_archive_is_hashed_without_unpacking(tmp_path):
    write_archive(tmp_path / "x.zip", [("a.png", b"a"), ("sub/b c.png", b"b"), ("../up", b"a")])
    hashes, refused = hash_archive(tmp_path / "x.zip")
    assert hashes == {"a.png": A, "sub/b c.png": B}
    assert set(refused) == {"../up"}
    assert not (tmp_path.parent / "up").exists()


def test_a_link_a_repeated_name_and_a_damaged_member_of_an_archive_are_refused(tmp_path):
    path = tmp_path / "x.zip"
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a", b"damaged here")
        archive.writestr("b", b"b")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("b", b"b")
    path.write_bytes(path.read_bytes().replace(b"damaged here", b"damaged HERE"))
    hashes, refused = hash_archive(path)
    assert hashes == {}
    assert set(refused) == {"link", "a", "b"}


def test_what_is_no_archive_is_an_error(tmp_path):
    (tmp_path / "x").write_bytes(b"text")
    with pytest.raises(StudyError, match="give a zip"):
        hash_archive(tmp_path / "x")
    with pytest.raises(StudyError, match="no folder"):
        hash_folder(tmp_path / "none")


def run(capsys, *arguments):
    from upscale_audit.warehouse.cli import main as cli

    with pytest.raises(SystemExit) as exit_info:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return exit_info.value.code, captured.out, captured.err


def test_the_command_prints_csv_and_exits_with_0_or_3(capsys, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    listed = tmp_path / "list.csv"
    listed.write_text(f"name,sha256\r\na.png,{A.upper()}\r\n")
    code, out, err = run(capsys, "check-hashes", listed, "--folder", folder)
    assert code == 0
    assert out.splitlines()[1] == f"matched,a.png,{A},{A},a.png,"
    assert err.splitlines()[-1].startswith("1 matched, 0 mismatched")
    (folder / "evil\x1b[2J,\n").write_bytes(b"x")
    code, out, err = run(capsys, "check-hashes", listed, "--folder", folder)
    assert code == 3
    assert "\x1b" not in out
    assert len(out.splitlines()) == 3
    write_archive(tmp_path / "x.zip", [("a.png", b"b")])
    code, out, _ = run(capsys, "check-hashes", listed, "--archive", tmp_path / "x.zip")
    assert code == 3
    assert out.splitlines()[1].startswith("mismatched,a.png")


def test_a_folder_that_sha256sum_accepts_is_accepted(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a", "b c", "sub/名前"):
        (tmp_path / name).write_text(name)
    listed = subprocess.run(
        ["sha256sum", "a", "b c", "sub/名前"], cwd=tmp_path, capture_output=True
    )
    (tmp_path / "SHA256SUMS").write_bytes(listed.stdout)
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)
    hashes, refused = hash_folder(tmp_path, tmp_path / "SHA256SUMS")
    rows = compare(read_list(tmp_path / "SHA256SUMS"), hashes, refused)
    assert [row.status for row in rows] == ["matched"] * 3


def test_a_pipe_or_a_folder_is_no_list_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(StudyError, match="not a regular file; give a hash list"):
            read_list(path)


def test_a_member_that_unpacks_without_end_is_refused_unread(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("zeros.bin", bytes((1 << 28) + 1))
        archive.writestr("a.png", b"a")
    hashes, refused = hash_archive(path)
    assert hashes == {"a.png": A}
    assert refused == {"zeros.bin": "unpacks to more than 256 MiB and 100 times its size"}
    with pytest.raises(StudyError, match="unpacks to more than 256 MiB: unpack the list"):
        read_list(path)


def test_a_huge_list_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / "list", "wb") as file:
        file.truncate((1 << 28) + 1)
    with pytest.raises(StudyError, match="larger than 256 MiB"):
        read_list(tmp_path / "list")
