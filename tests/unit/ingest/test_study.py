"""The study file: what is read, and how each mistake is named."""

from dataclasses import fields

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.model_facts import ModelFacts
from upscale_audit.ingest.perceptual import PerceptualFiles
from upscale_audit.ingest.rings import Scan, plan_scan
from upscale_audit.ingest.study import AnalysisParameters, IngestParameters, load_study

GOOD = """
[study]
name = "tiny"
references = "reference"

[[models]]
model_id = "beta"
notta = "restored"

[[models]]
model_id = "alpha"
notta = "restored"
tta = "tta"
"""


@pytest.fixture
def load(tmp_path):
    """Load a study text whose folders and label file exist."""
    for name in ("reference", "restored", "tta", "raw/pngs", "x/exports"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "entries.csv").touch()

    def load_text(text):
        (tmp_path / "study.toml").write_text(text, encoding="utf-8")
        return load_study(tmp_path / "study.toml")

    return load_text


@pytest.fixture
def refuse(load):
    """Load a bad study text; returns the message, which must name the file."""

    def message_of(text):
        with pytest.raises(StudyError) as caught:
            load(text)
        message = str(caught.value)
        assert "study.toml" in message
        assert "\n" not in message
        return message

    return message_of


def test_a_study_is_read_with_absolute_paths_and_sorted_models(load, tmp_path):
    study = load(GOOD)
    assert (study.name, study.pairing) == ("tiny", "exact")
    assert study.references == tmp_path.resolve() / "reference"
    assert [model.model_id for model in study.models] == ["alpha", "beta"]
    assert study.models[0].folder("tta") == tmp_path.resolve() / "tta"
    assert study.models[1].folder("tta") is None
    assert study.label_entries is None
    assert study.raw == tmp_path.resolve() / "raw"
    assert study.warehouse == tmp_path.resolve() / "warehouse.duckdb"
    assert study.ingest_parameters == IngestParameters()
    assert study.analysis_parameters == AnalysisParameters()


def test_every_optional_key_is_read(load, tmp_path):
    text = GOOD.replace('"reference"', '"reference"\noutput = "deep/out"\npairing = "suffix"')
    text += '[labels]\nentries = "entries.csv"\n[parameters]\nedge_quantile = 0.9\n'
    study = load(text + "ringing_min_px = 8\n")
    assert study.output == tmp_path.resolve() / "deep" / "out"
    assert study.pairing == "suffix"
    assert study.label_entries == tmp_path.resolve() / "entries.csv"
    assert study.ingest_parameters == IngestParameters(edge_quantile=0.9)
    assert study.analysis_parameters == AnalysisParameters(ringing_min_px=8)


def test_the_sample_study_loads(sample_study_file):
    study = load_study(sample_study_file)
    assert len(study.models) == 5
    assert study.models[0].tta is None


def test_a_missing_study_file_names_the_example(tmp_path):
    with pytest.raises(StudyError, match=r"no study file at .*copy study\.example\.toml"):
        load_study(tmp_path / "none.toml")


def test_a_folder_is_no_study_file(tmp_path):
    with pytest.raises(StudyError, match=r"cannot read .*give a readable TOML file"):
        load_study(tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "study.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match=r"cannot read .*study\.toml"):
        load_study(tmp_path / "study.toml")


def test_malformed_toml_names_the_line(refuse):
    assert "line 2" in refuse("[study]\nname = \n")


@pytest.mark.parametrize(
    ("wrong", "right", "where"),
    [
        ("refrences", "references", "[study]"),
        ("Name", "name", "[study]"),
        ("model", "model_id", "[[models]] number 1"),
        ("not_ta", "notta", "[[models]] number 1"),
    ],
)
def test_a_misspelt_key_is_named_with_its_nearest(refuse, wrong, right, where):
    message = refuse(GOOD.replace(f"\n{right} =", f"\n{wrong} =", 1))
    assert f"unknown key {wrong!r} in {where}; did you mean {right!r}?" in message


@pytest.mark.parametrize(
    ("section", "wrong", "right"),
    [
        ("[label]", "label", "labels"),
        ("[parameter]", "parameter", "parameters"),
        ('[labels]\nentrys = "entries.csv"', "entrys", "entries"),
        ("[parameters]\nedge_quantil = 0.9", "edge_quantil", "edge_quantile"),
        ("[parameters]\nbootstrap_replicate = 9", "bootstrap_replicate", "bootstrap_replicates"),
    ],
)
def test_a_misspelt_section_or_parameter_is_named_with_its_nearest(refuse, section, wrong, right):
    message = refuse(GOOD + section + "\n")
    assert f"unknown key {wrong!r}" in message
    assert f"did you mean {right!r}?" in message


def test_a_key_like_no_other_is_answered_with_the_valid_ones(refuse):
    valid = "valid keys: study, models, lr, size, published, labels, perceptual, parameters"
    assert valid in refuse(GOOD + "[zzz]\n")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('name = "tiny"', "name"),
        ('references = "reference"', "references"),
        ('model_id = "beta"', "model_id"),
        ('notta = "restored"', "notta"),
    ],
)
def test_a_missing_key_is_named(refuse, line, key):
    message = refuse(GOOD.replace(line, "", 1))
    assert f"lacks the key {key!r}; study.example.toml shows it" in message


def test_missing_sections_are_named(refuse):
    assert "lacks the key 'study'" in refuse("")
    assert "expected one or more [[models]] tables" in refuse(GOOD.split("[[models]]")[0])


@pytest.mark.parametrize("models", ["models = []", "models = 3", "[models]\na = 1"])
def test_models_that_are_no_list_of_tables_are_refused(refuse, models):
    head, table = GOOD.split("[[models]]")[0], models
    text = head + table if table.startswith("[") else table + "\n" + head
    assert "expected one or more [[models]] tables" in refuse(text)


def test_a_model_or_section_that_is_no_table_is_refused(refuse):
    head = GOOD.split("[[models]]")[0]
    assert "number 1: expected a table, found 5" in refuse("models = [5]\n" + head)
    assert "expected [labels] to be a table, found 7" in refuse("labels = 7\n" + GOOD)


@pytest.mark.parametrize(
    "model_id",
    ["a'b", 'a"b', "a/b", "a\\b", "..", "a..b", ".a", "_a", "a b", "a=b", "é", "a" * 65, "a\n"],
)
def test_a_model_name_that_is_unsafe_in_paths_or_sql_is_refused(refuse, model_id):
    quoted = model_id.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    message = refuse(GOOD.replace('"beta"', f'"{quoted}"'))
    assert "model_id" in message
    assert "use up to 64 letters, digits" in message


@pytest.mark.parametrize("model_id", ["a", "0", "Upscayl-Lite_4.x", "a" * 64])
def test_a_safe_model_name_is_accepted(load, model_id):
    study = load(GOOD.replace('"beta"', f'"{model_id}"'))
    assert model_id in {model.model_id for model in study.models}


@pytest.mark.parametrize("model_id", ["beta", "BETA", "Beta"])
def test_model_names_that_differ_by_case_alone_are_declared_twice(refuse, model_id):
    message = refuse(GOOD.replace('"alpha"', f'"{model_id}"'))
    assert f"number 2: model_id {model_id!r} is declared twice; rename one" in message


@pytest.mark.parametrize("value", ["3", "true", '""', '"  "', '["a"]'])
def test_a_name_that_is_no_text_is_refused(refuse, value):
    message = refuse(GOOD.replace('"tiny"', value))
    assert "[study]: name = " in message
    assert "expected a non-empty string" in message


@pytest.mark.parametrize("key", ["references", "notta", "tta"])
def test_a_folder_that_does_not_exist_is_named_with_its_key(refuse, key):
    lines = (
        f'{key} = "gone"' if line.startswith(f"{key} =") else line for line in GOOD.split("\n")
    )
    message = refuse("\n".join(lines))
    assert f"{key} names no folder: " in message
    assert f"gone; create it or correct {key}" in message


def test_a_label_file_that_does_not_exist_is_named_with_its_key(refuse):
    message = refuse(GOOD + '[labels]\nboxes = "gone.csv"\n')
    assert "[labels]: boxes names no file: " in message
    assert "gone.csv; put it there or correct boxes" in message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("15", "15; expected 16 or more, below 2**31"),
        ("2147483648", "2147483648; expected 16 or more, below 2**31"),
        ("16.0", "16.0; expected int"),
        ("true", "True; expected int"),
        ('"200"', "'200'; expected int"),
    ],
)
def test_a_tile_that_is_none_is_named_with_its_model(refuse, value, expected):
    message = refuse(GOOD.replace("notta =", f"tile_px = {value}\nnotta ="))
    assert f"[[models]] number 1: tile_px = {expected}" in message


def test_a_model_may_declare_its_tile(load):
    study = load(GOOD.replace('model_id = "beta"', 'model_id = "beta"\ntile_px = 16'))
    assert {model.model_id: model.tile_px for model in study.models} == {"alpha": None, "beta": 16}
    assert study.analysis_parameters.tile_px is None


def test_an_unknown_pairing_rule_is_answered_with_the_known_ones(refuse):
    message = refuse(GOOD.replace('"reference"', '"reference"\npairing = "fuzzy"'))
    assert "pairing = 'fuzzy'; expected one of exact, suffix" in message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('edge_rule = "canny"', "edge_rule = 'canny'; expected adaptive, fixed"),
        ("edge_rule = 1", "edge_rule = 1; expected str"),
        ("edge_quantile = 0.0", "edge_quantile = 0.0; expected 0 < q < 1"),
        ("edge_quantile = 1", "edge_quantile = 1; expected 0 < q < 1"),
        ("edge_quantile = nan", "edge_quantile = nan; expected 0 < q < 1"),
        ("edge_quantile = true", "edge_quantile = True; expected float"),
        ("edge_low_dn = 201", "edge_low_dn = 201; expected 0 <= edge_low_dn <= edge_high_dn"),
        ("edge_low_dn = -1", "edge_low_dn = -1; expected 0 <= edge_low_dn <= edge_high_dn"),
        ("edge_high_dn = 200.0", "edge_high_dn = 200.0; expected int"),
        ('colour = "keep"', "colour = 'keep'; expected reduce, reject"),
        ("max_image_px = 0", "max_image_px = 0; expected a positive count"),
        ("max_image_px = true", "max_image_px = True; expected int"),
        ("ringing_min_px = 0", "ringing_min_px = 0; expected 1..64"),
        ("ringing_min_px = 65", "ringing_min_px = 65; expected 1..64"),
        ("bootstrap_replicates = 99", "bootstrap_replicates = 99; expected 100..100000"),
        ("min_clusters = 1", "min_clusters = 1; expected 2 or more"),
        ("error_limit_dn2 = -0.1", "error_limit_dn2 = -0.1; expected 0..65025"),
        ("error_limit_dn2 = nan", "error_limit_dn2 = nan; expected 0..65025"),
        ("bootstrap_seed = 3", "bootstrap_seed = 3; expected str"),
    ],
)
def test_a_parameter_out_of_range_is_named_with_its_range(refuse, line, expected):
    assert f"[parameters]: {expected}" in refuse(f"{GOOD}[parameters]\n{line}\n")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("edge_low_dn = 0", 0),
        ("edge_low_dn = 200", 200),
        ("max_image_px = 1", 1),
        ("ringing_min_px = 64", 64),
        ("bootstrap_replicates = 100", 100),
        ("min_clusters = 2", 2),
        ("error_limit_dn2 = 0", 0),
    ],
)
def test_a_parameter_on_its_bound_is_accepted(load, line, value):
    study = load(f"{GOOD}[parameters]\n{line}\n")
    kinds = study.ingest_parameters, study.analysis_parameters
    given = {item.name: getattr(kind, item.name) for kind in kinds for item in fields(kind)}
    assert given[line.split(" = ")[0]] == value


def test_no_parameter_belongs_to_both_stages():
    ingest, analysis = (
        {item.name for item in fields(k)} for k in (IngestParameters, AnalysisParameters)
    )
    assert not ingest & analysis


@pytest.mark.parametrize(
    ("key", "folder"), [("references", "raw"), ("notta", "raw/pngs"), ("tta", "raw/pngs")]
)
def test_images_inside_an_output_folder_are_refused(refuse, key, folder):
    lines = GOOD.split("\n")
    text = "\n".join(
        f'{key} = "{folder}"' if line.startswith(f"{key} =") else line for line in lines
    )
    assert "lies where this study writes its raw/; name another folder as" in refuse(text)


def test_images_inside_another_output_folder_are_refused(refuse):
    text = GOOD.replace('references = "reference"', 'references = "x/exports"\noutput = "x"')
    assert "exports lies where this study writes its exports/" in refuse(text)


@pytest.mark.parametrize("folder", ["reference", "restored", "tta"])
def test_a_folder_of_images_is_not_written_to(refuse, folder):
    # What a run writes there, its figures among it, the next run would read as images.
    text = GOOD.replace(
        'references = "reference"', f'references = "reference"\noutput = "{folder}"'
    )
    assert f"{folder} holds images, and this study would write among them; name" in refuse(text)


@pytest.mark.parametrize("label", ["images", "Images", "images_notta", "images_tta"])
def test_no_published_file_is_called_what_measured_images_are(refuse, tmp_path, label):
    (tmp_path / "a.csv").write_text("")
    text = f'{GOOD}[[published]]\nfile = "a.csv"\nlabel = "{label}"\n'
    assert "is what the warehouse calls the study's own images; choose another" in refuse(text)


def test_weights_are_two_files_or_none(load, refuse, tmp_path):
    assert load(GOOD).perceptual is None
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"")
    both = f'{GOOD}[perceptual]\nalexnet = "a.pth"\nlpips = "b.pth"\n'
    assert load(both).perceptual == PerceptualFiles(tmp_path / "a.pth", tmp_path / "b.pth")
    assert "[perceptual] lacks the key 'lpips'" in refuse(both.replace('lpips = "b.pth"', ""))
    assert "lpips names no file" in refuse(both.replace("b.pth", "c.pth"))
    assert "did you mean 'lpips'" in refuse(both.replace("lpips =", "lpip ="))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_study_file_that_windows_saved_is_read(load, tmp_path, encoding):
    mark = "\ufeff" if encoding.startswith("utf-16-") else ""
    path = tmp_path / "study.toml"
    path.write_bytes((mark + GOOD.replace("\n", "\r\n")).encode(encoding))
    assert load_study(path).name == "tiny"


def test_separators_of_windows_are_read_between_single_quotes_and_named_elsewhere(load, refuse):
    study = load(GOOD.replace('"reference"', "'raw\\pngs\\..\\..\\reference'"))
    assert study.references.name == "reference"
    for name in ("restored\\upscayl", "restored\\model"):
        message = refuse(GOOD.replace('"restored"', f'"{name}"', 1))
        assert "write folders with / or between single quotes" in message


def test_a_study_file_is_bounded(tmp_path):
    path = tmp_path / "study.toml"
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(StudyError, match=r"study\.toml.*more than 1048576 bytes"):
        load_study(path)


CONTROL = """
[[models]]
model_id = "noise"
notta = "made"
restorer = { kind = "noise" }
"""


def test_blocks_are_scored_by_the_standard_basis_unless_the_study_says_otherwise(load):
    assert load(GOOD).axis == "standard"
    assert load(GOOD.replace("[study]", '[study]\naxis = "own"')).axis == "own"


def test_the_own_axis_is_fitted_on_all_models_but_controls(load):
    assert load(GOOD + CONTROL).axis_models == ("alpha", "beta")
    named = GOOD.replace("[study]", '[study]\naxis_models = ["noise", "beta"]')
    assert load(named + CONTROL).axis_models == ("beta", "noise")
    head, _, _ = GOOD.partition("[[models]]")
    assert load(head + CONTROL).axis_models == ("noise",)


def test_a_named_baseline_is_a_model_of_the_study_or_of_published_files(load, refuse, tmp_path):
    assert load(GOOD).analysis_parameters.baseline_model == "bicubic"
    named = GOOD + '[parameters]\nbaseline_model = "{}"\n'
    assert load(named.format("beta")).analysis_parameters.baseline_model == "beta"
    assert "baseline_model = 'gamma'; expected one of alpha, beta" in refuse(named.format("gamma"))
    (tmp_path / "results.csv").touch()
    published = '[[published]]\nfile = "results.csv"\nlabel = "theirs"\n'
    assert load(published + named.format("gamma")).published


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('axis = "pooled"', "axis = 'pooled'; expected one of standard, own"),
        ('axis = "own"\nfrozen = "f.toml"', "take one of them out"),
        ("axis_models = []", "expected a list of one or more of alpha, beta"),
        ('axis_models = ["gamma"]', "axis_models = ['gamma']; expected a list of one or more of"),
        ('axis_models = "alpha"', "expected a list of one or more of alpha, beta"),
        ("axis_models = [[]]", "expected a list of one or more of alpha, beta"),
    ],
)
def test_a_wrong_axis_is_named(refuse, line, message):
    assert message in refuse(GOOD.replace("[study]", f"[study]\n{line}"))


def test_lr_images_are_files_or_made_by_a_stated_rule(load, tmp_path):
    assert load(GOOD).lr is None
    made = load(GOOD + '[lr]\nrule = "antialiased"\nscale = 3\n').lr
    assert (made.rule, made.scale, made.folder) == ("antialiased", 3, None)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('rule = "bilinear"\nscale = 2', "rule = 'bilinear'; expected opencv_cubic, antialiased"),
        ('rule = "antialiased"\nscale = 5', "scale = 5; expected 2, 3 or 4"),
        ('rule = "antialiased"', "scale = None; expected a scale, or folder with the LR images"),
        ("scale = 2", "rule = None; expected a rule, or folder with the LR images"),
        ('folder = "nowhere"', "folder names no folder"),
        ('folder = "restored"\nrules = "x"', "unknown key 'rules' in [lr]; did you mean 'rule'?"),
    ],
)
def test_an_lr_section_that_says_too_little_or_what_is_not_known_is_refused(refuse, lines, message):
    assert message in refuse(f"{GOOD}[lr]\n{lines}\n")


def test_restorers_start_from_the_lr_images_that_are_judged(load, refuse):
    lr = '[lr]\nrule = "antialiased"\nscale = 4\n'
    made = load(GOOD + lr).restore_parameters
    assert (made.lr_rule, made.scale) == ("antialiased", 4)
    message = refuse(GOOD + lr + "[restore]\nscale = 2\n")
    assert "[restore] scale = 2, but [lr] says 4" in message


def test_patches_are_scanned_where_the_study_names_their_sides(load):
    study = load(GOOD)
    assert study.sfrc == ()
    assert plan_scan(study) is None
    named = load(GOOD.replace("[study]", "[study]\nsfrc = [96, 16, 96]"))
    assert plan_scan(named) == Scan((16, 96), 2)
    scaled = load(GOOD.replace("[study]", "[study]\nsfrc = [64]") + "[restore]\nscale = 3\n")
    assert plan_scan(scaled).lr_nyquist == 0.5 / 3


@pytest.mark.parametrize(
    "given", ["64", "true", "[14]", "[65]", "[64.0]", "[true]", "[1026]", "[[]]"]
)
def test_a_wrong_side_of_patches_is_named(refuse, given):
    message = refuse(GOOD.replace("[study]", f"[study]\nsfrc = {given}"))
    assert "sfrc = " in message
    assert "expected a list of even sides of patches in pixels, each 16 to 1024" in message


def test_masks_are_label_images_with_names_or_a_csv(load, tmp_path):
    assert load(GOOD).regions is None
    labels = '{ 3 = "heart", 1 = "left lung" }'
    masks = load(GOOD + f'[regions]\nfolder = "x"\nlabels = {labels}\n').regions
    assert masks.folder == tmp_path.resolve() / "x"
    assert masks.structures == ("heart", "left lung")
    masks = load(GOOD + '[regions]\nchexmask = "entries.csv"\nmin_rca = 0\n').regions
    assert (masks.chexmask, masks.min_rca) == (tmp_path.resolve() / "entries.csv", 0.0)
    assert masks.structures == ("heart", "left lung", "right lung")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("", "[regions]: expected folder = ... with labels, or chexmask = ..., one of the two"),
        ('folder = "x"\nchexmask = "entries.csv"', "one of the two"),
        ('folder = "x"', "[regions] lacks the key 'labels'"),
        ('folder = "gone"\nlabels = { 1 = "lung" }', "[regions]: folder names no folder: "),
        ('folder = "x"\nlabels = { 0 = "lung" }', "[regions]: labels has the value '0'"),
        ('folder = "x"\nlabels = { 1 = "lung" }\nmin_rca = 1', "unknown key 'min_rca'"),
        ('chexmask = "gone.csv"', "[regions]: chexmask names no file: "),
        ('chexmask = "entries.csv"\nmin_rca = 2', "min_rca = 2; expected a number, 0 to 1"),
        ('chexmask = "entries.csv"\nmin_rca = true', "min_rca = True; expected a number"),
        ('folder = "raw/pngs"\nlabels = { 1 = "lung" }', "lies where this study writes its raw/"),
    ],
)
def test_masks_that_are_not_stated_whole_are_refused(refuse, section, said):
    assert said in refuse(GOOD + f"[regions]\n{section}\n")


def test_what_models_are_is_read_beside_their_folders(load):
    text = GOOD.replace(
        'model_id = "alpha"',
        'model_id = "alpha"\nlabel = "Alpha GAN"\norder = 1\ncolour = "#AA0000"\nscale = 4',
    )
    alpha, beta = load(text).models
    assert alpha.facts == ModelFacts(label="Alpha GAN", order=1, colour="#aa0000", scale=4)
    assert beta.facts == ModelFacts()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("order = 0", "[[models]] number 2: order = 0; expected 1 or more"),
        ('order = "1"', "[[models]] number 2: order = '1'; expected int"),
        ("label = 3", "[[models]] number 2: label = 3; expected str"),
        ('colour = "red"', "[[models]] number 2: colour = 'red'; expected #rrggbb"),
        ('label = "Beta"', "[[models]]: label = 'Beta' is of 'beta' and of 'alpha'"),
        ('colur = "red"', "unknown key 'colur' in [[models]] number 2; did you mean 'colour'?"),
    ],
)
def test_a_fact_that_is_off_is_named_with_its_model(refuse, line, said):
    assert said in refuse(GOOD.replace('model_id = "alpha"', f'model_id = "alpha"\n{line}'))


def test_a_repaired_model_is_labelled_by_the_one_it_is_of(load):
    text = GOOD.replace('model_id = "beta"', 'model_id = "beta"\nlabel = "B"\nrepair = true')
    study = load(text + '[lr]\nscale = 2\nrule = "antialiased"\n')
    assert [model.facts.label for model in study.models] == [None, "B", "B, repaired"]


def test_a_study_of_published_files_says_that_it_has_no_references(tmp_path):
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "study.toml").write_text(
        '[study]\nname = "s"\n[[published]]\nfile = "a.csv"\nlabel = "generator"\n'
    )
    study = load_study(tmp_path / "study.toml")
    assert study.references is None
    with pytest.raises(StudyError, match="names no images: expected references in"):
        _ = study.reference_folder
