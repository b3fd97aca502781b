"""Published hash lists: every form of one, names that are not trusted, every outcome."""

import hashlib
import io
import os
import subprocess
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.warehouse.proof.hash_lists import (
    Entry,
    compare,
    find_refusal,
    hash_archive,
    hash_folder,
    place_entries,
    read_list,
)
from upscale_audit.warehouse.proof.list_forms import read_entries

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
    "one space": f"{A} a.png\n{B} sub/b c.png\n",
    "tab": f"{A}\ta.png\n{B}\tsub/b c.png\n",
    "gnu of Windows": f"{A} *a.png\r\n{B} *sub\\b c.png\r\n",
    "hashdeep": f"%%%% HASHDEEP-1.0\n%%%% size,md5,sha256,filename\n## Invoked\n##\n"
    f"1,{A[:32]},{A},./a.png\n1,{A[:32]},{B},./sub/b c.png\n",
    "7-Zip": f"\n7-Zip 23.01\n\nSHA256{' ' * 68}Size  Name\n{'-' * 64} {'-' * 13}  {'-' * 12}\n"
    f"{' ' * 64}                sub\n{A}             1  a.png\n{B}             1  sub\\b c.png\n"
    f"{'-' * 64} {'-' * 13}  {'-' * 12}\n{B}             2\n\nFiles: 2\n",
    "signed by OpenPGP": f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{A}  a.png\n"
    f"{B}  sub/b c.png\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n",
    "signed by signify": f"untrusted comment: x\nRWQ=\n{A}  a.png\n{B}  sub/b c.png\n",
}
DRIVE = "D:\\study\\files\\"
WINDOWS = {
    "Format-List": f"\r\n\r\nAlgorithm : SHA256\r\nHash      : {A.upper()}\r\nPath      : {DRIVE}a."
    f"\r\n            png\r\n\r\n\r\nAlgorithm : SHA256\r\nHash      : {B.upper()}\r\n"
    f"Path      : {DRIVE}sub\\b c.png\r\n",
    "Format-Table": f"\r\nAlgorithm       Hash{' ' * 67}Path\r\n"
    f"---------       ----{' ' * 67}----\r\n"
    f"SHA256          {A.upper()}       {DRIVE}a.png\r\n"
    f"SHA256          {B.upper()}       {DRIVE}sub\\b c.png\r\n",
    "Export-Csv 5.1": "#TYPE Microsoft.PowerShell.Commands.FileHashInfo\r\n"
    f'"Algorithm","Hash","Path"\r\n"SHA256","{A.upper()}","{DRIVE}a.png"\r\n'
    f'"SHA256","{B.upper()}","{DRIVE}sub\\b c.png"\r\n',
    "Export-Csv 7 beside MD5": f'"Algorithm";"Hash";"Path"\r\n"SHA256";"{A}";"{DRIVE}a.png"\r\n'
    f'"MD5";"{A[:32]}";"{DRIVE}a.png"\r\n"SHA256";"{B}";"{DRIVE}sub\\b c.png"\r\n',
}


def parse_list(data):
    return list(read_entries(io.BytesIO(data), Path("the list")))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_list_says_the_same(form):
    assert parse_list(FORMS[form].encode()) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", WINDOWS)
def test_what_get_filehash_writes_is_placed_in_the_folder(tmp_path, form, encoding):
    path = tmp_path / "list"
    path.write_bytes(WINDOWS[form].encode(encoding))
    entries = read_list(path)
    assert {entry.refusal for entry in entries} == {"absolute"}
    assert place_entries(entries, {"a.png", "sub/b c.png"}) == EXPECTED
    within = place_entries(entries, {"files/a.png", "files/sub/b c.png"})
    assert [entry.name for entry in within] == ["files/a.png", "files/sub/b c.png"]


def test_absolute_names_among_others_stay_refused_and_alone_keep_what_is_inside():
    absolute = [Entry("/etc/passwd", A, "absolute"), Entry("/etc/x/../y", B, "absolute")]
    assert place_entries([*absolute, Entry("a", A)], {"a"}) == [*absolute, Entry("a", A)]
    placed = place_entries(absolute, {"a"})
    assert [(entry.name, entry.refusal) for entry in placed] == [
        ("passwd", None),
        ("x/../y", "leaves or bends its folder"),
    ]


def test_a_name_that_the_table_cut_short_is_refused():
    text = WINDOWS["Format-Table"].replace("a.png", "a...")
    assert "cut short by Format-Table" in parse_list(text.encode())[0].refusal


@pytest.mark.parametrize(
    "said",
    [
        "SHA256 hash of {}:",
        "SHA256 hash of file {}:",
        "SHA256-Hash von {}:",
        "Hachage SHA256 de {} :",
        "SHA256 ハッシュ (対象 {}):",
    ],
)
def test_certutil_names_a_file_without_its_folder(said):
    pairs = " ".join(B[at : at + 2] for at in range(0, 64, 2))
    lines = [said.format("a.png"), A, "CertUtil: done.", said.format("b c.png"), pairs]
    entries = parse_list("\r\n".join([*lines, "CertUtil: done."]).encode())
    assert [(entry.name, entry.sha256) for entry in entries] == [("a.png", A), ("b c.png", B)]
    rows = compare(entries, {"a.png": A, "sub/b c.png": B}, {})
    assert [(row.status, row.found_name) for row in rows] == [
        ("matched", "a.png"),
        ("matched", "sub/b c.png"),
    ]
    (row, extra) = compare(entries[1:], {"sub/other.png": B, "b c.png": A}, {})
    assert (row.status, extra.status) == ("mismatched", "extra")


def test_a_hash_by_another_algorithm_counts_only_where_there_is_no_sha256(tmp_path):
    path = tmp_path / "list"
    path.write_text(f"MD5 (a) = {A[:32]}\nSHA256 (a) = {A}\nSHA3-256 (b) = {B}\n")
    first, second = read_list(path)
    assert first == Entry("a", A)
    assert (second.name, second.refusal) == ("b", "no SHA-256 but SHA3-256")


def test_a_bag_is_checked_by_its_manifest(capsys, tmp_path):
    bag = tmp_path / "bag"
    (bag / "data").mkdir(parents=True)
    (bag / "data" / "50%25.png").write_bytes(b"a")
    (bag / "data" / "b%.png").write_bytes(b"b")
    (bag / "bagit.txt").write_text("BagIt-Version: 1.0\n")
    listed = bag / "manifest-sha256.txt"
    listed.write_text(f"{A} data/50%2525.png\n{B}\tdata/b%25.png\n")
    code, out, err = run(capsys, "check-hashes", listed, "--folder", bag)
    assert (code, err.splitlines()[-1][:9]) == (0, "2 matched")
    (bag / "data" / "new").write_bytes(b"b")
    code, out, _ = run(capsys, "check-hashes", listed, "--folder", bag)
    assert (code, "extra,data/new" in out) == (3, True)


def test_a_sealed_folder_its_archive_and_its_own_list_are_all_as_listed(capsys, tmp_path):
    from upscale_audit.ingest.manifests import seal_folder
    from upscale_audit.warehouse.proof.paper import write_zip

    folder = tmp_path / "paper"
    (folder / "inner").mkdir(parents=True)
    for name in ("a.png", "inner/b.png"):
        (folder / name).write_bytes(name.encode())
    seal_folder(folder / "inner", "exports", "tiny", ["b.png"], {}, {})
    names = ["a.png", *(f"inner/{name}" for name in ("b.png", "SHA256SUMS", "manifest.json"))]
    seal_folder(folder, "paper", "tiny", names, {}, {})
    archive = tmp_path / "paper.zip"
    write_zip(folder, archive)
    sums = tmp_path / "paper.zip.sha256"
    sums.write_text(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  paper.zip\n")
    listed = folder / "SHA256SUMS"
    for arguments in (
        (listed, "--folder", folder),
        (listed, "--archive", archive),
        (archive, "--folder", folder),
        (archive, "--archive", archive),
        (sums, "--folder", tmp_path),
    ):
        code, out, _ = run(capsys, "check-hashes", *arguments)
        assert code == 0, out
    (folder / "new").write_bytes(b"")
    assert run(capsys, "check-hashes", listed, "--folder", folder)[0] == 3
    (folder / "new").unlink()
    (folder / "manifest.json").write_bytes(b"{}")
    assert run(capsys, "check-hashes", listed, "--folder", folder)[0] == 3


def test_a_member_without_a_name_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    write_archive(path, [("q", b"a"), ("a.png", b"a")])
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 28 : at + 30], data[at + 46 : at + 47] = b"\0\0", b""
    end = data.index(b"PK\x05\x06")
    size = int.from_bytes(data[end + 12 : end + 16], "little") - 1
    data[end + 12 : end + 16] = size.to_bytes(4, "little")
    path.write_bytes(data)
    hashes, refused = hash_archive(path)
    assert hashes == {"a.png": A}
    assert refused == {"": "empty, or holds control characters"}
    with pytest.raises(StudyError, match="found none"):
        read_list(path)


def test_lists_and_archives_are_bounded(tmp_path, monkeypatch):
    path = tmp_path / "list"
    path.write_text("".join(f"{A}  {number:06}\n" for number in range(50_000)))
    tracemalloc.start()
    rows = compare(read_list(path), {}, {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rows) == 50_000
    assert peak / len(rows) < 900  # bytes, so that a million take less than 1 GB
    monkeypatch.setattr("upscale_audit.warehouse.proof.hash_lists.MAX_ENTRIES", 49_999)
    with pytest.raises(StudyError, match="more than 49999 entries: check it in parts"):
        read_list(path)
    path.write_text(A + "  " + "x" * (1 << 21))
    with pytest.raises(StudyError, match="a row of more than 1048576 characters; give a hash list"):
        read_list(path)
    write_archive(tmp_path / "x.zip", [(f"{number:0200}", b"") for number in range(20)])
    monkeypatch.setattr(
        "upscale_audit.warehouse.proof.hash_lists.MAX_DIRECTORY_BYTES", 20 * 246 - 1
    )
    with pytest.raises(StudyError, match="more members than can be checked at once"):
        hash_archive(tmp_path / "x.zip")


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
