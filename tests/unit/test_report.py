import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_inputs import EMOTIONS, HOSTILE, NEUTRAL, make_run

from fakeemo import workflow as plan
from fakeemo.ablation import write_ablation
from fakeemo.evaluation import Prediction, read_predictions, write_predictions
from fakeemo.figures import held_out_training
from fakeemo.figures_learned import falls, principal_axes
from fakeemo.pairing import PRESUMES
from fakeemo.report import headline, write_report
from fakeemo.report_tables import worth_a_look
from fakeemo.tables import read_header, read_table


class Page(HTMLParser):
    """What a reader finds on the page: its text, its tables by caption, and the attributes of every element."""

    VOID = ("meta", "link", "input", "br", "img", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.tables: list[tuple[str, list[list[str]]]] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append(("", []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data
        if "td" in self.open or ("th" in self.open and "table" in self.open):
            self.tables[-1][1][-1][-1] += data
        elif "caption" in self.open:
            self.tables[-1] = (self.tables[-1][0] + data, self.tables[-1][1])

    def rows(self, caption: str) -> dict[str, list[str]]:
        """Give the rows of the one table whose caption starts so, by their first cell."""
        (found,) = (rows for title, rows in self.tables if title.startswith(caption))
        return {row[0]: row[1:] for row in found[1:]}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    arguments = make_run(folder, hostile=True, tracks=True)
    write_report(folder / "report/index.html", folder / "report/figures", **arguments)
    return folder, arguments


@pytest.fixture(scope="module")
def html(run):
    return (run[0] / "report/index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture(scope="module")
def metrics(run):
    return json.loads((run[0] / "metrics.json").read_text())


def percent(share):
    return "–" if share is None else f"{100 * share:.1f} %"


def interval(pair):
    return "–" if pair is None else f"{100 * pair[0]:.1f}–{100 * pair[1]:.1f} %"


def p_value(cell):
    if not cell["permutation"]:
        return "–"
    return "< 0.001" if cell["permutation"]["p"] < 0.001 else f"{cell['permutation']['p']:.3f}"


def test_every_figure_of_the_metrics_is_on_the_page(page, metrics):
    for split, title in (("test", "Test"), ("valid", "Validation"), ("train", "Training (fitted on")):
        part = metrics["splits"][split]
        singly = page.rows(f"{title}, each" if split != "train" else f"{title}:")
        by_pairs = page.rows(f"{title}, by" if split != "train" else f"{title}), by")
        assert list(singly) == ["all", *EMOTIONS]
        for name, cell in {"all": part["overall"], **part["emotions"]}.items():
            assert singly[name] == [
                f"{cell['correct']} of {cell['n']}",
                percent(cell["accuracy"]),
                interval(cell["interval"]),
                percent(cell["balanced_accuracy"]),
                "–" if cell["auc"] is None else f"{cell['auc']:.3f}",
                "–" if cell["auc_interval"] is None else "{:.3f}–{:.3f}".format(*cell["auc_interval"]),
                p_value(cell),
                str(cell["n_videos"]),
                str(cell["n_excluded"]),
                str(cell["n_unlabelled"]),
            ]
            paired = cell["paired"]
            assert by_pairs[name] == [
                f"{paired['correct']:g} of {paired['n_pairs']}",
                percent(paired["accuracy"]),
                interval(paired["interval"]),
                str(paired["n_tied"]),
                str(paired["n_same_label"]),
            ]


def test_confusion_matrices(page, metrics):
    found = [(title, rows) for title, rows in page.tables if rows[0] == ["", "calledgenuine", "calledfake"]]
    expected = []
    for split in ("test", "valid"):
        part = metrics["splits"][split]
        for name, cell in {"all": part["overall"], **part["emotions"]}.items():
            counts = [[label, *(str(n) for n in row.values())] for label, row in cell["confusion"].items()]
            expected.append((name, [["", "calledgenuine", "calledfake"], *counts]))
    assert found == expected


def test_headline_and_warnings(page, metrics):
    cell = metrics["splits"]["test"]["overall"]
    assert f"{cell['correct']} of {cell['n']} test videos were judged rightly" in page.text
    assert f"95 % interval {interval(cell['interval'])}" in page.text
    assert f"come up with probability {p_value(cell)}." in page.text
    assert "This is no lie detector" in page.text
    assert "They say nothing about people" in page.text
    assert metrics["pairing"]["presumes"] in page.text
    dealt = cell["permutation"]
    assert f"Test: {dealt['within_subject']} videos within subject and emotion, {dealt['within_emotion']}" in page.text


def test_pairs_say_what_they_were_found_by(run, tmp_path):
    arguments = dict(run[1])
    by_faces = json.loads(arguments["metrics"].read_text())
    by_faces["pairing"] = {"by": "faces", "presumes": PRESUMES["faces"]}
    arguments["metrics"] = tmp_path / "metrics.json"
    arguments["metrics"].write_text(json.dumps(by_faces))
    write_report(tmp_path / "index.html", tmp_path / "figures", **arguments)
    page = Page((tmp_path / "index.html").read_text())
    assert PRESUMES["faces"] in page.text
    assert "structural similarity (SSIM)" in page.text
    assert page.rows("Test, by pairs of like faces")


def test_how_far_scores_can_be_believed(page, metrics, run):
    rows = page.rows("How far scores are probabilities")
    assert list(rows) == [
        "Training, held out, before calibration",
        "Training, held out, calibrated on these",
        "Validation",
        "Test",
    ]
    test = metrics["splits"]["test"]["overall"]
    values = [test["calibration"][name] for name in ("brier", "log_loss", "ece", "ece_if_calibrated")]
    assert rows["Test"] == [str(test["n"]), *(f"{value:.3f}" for value in values)]
    infos = [json.loads(Path(path).read_text()) for path in run[1]["boosting"].values()]
    n = sum(info["n_videos"] for info in infos)
    before = sum(info["log_loss"] * info["n_videos"] for info in infos) / n
    after = sum(info["calibration"]["log_loss"] * info["n_videos"] for info in infos) / n
    assert rows["Training, held out, before calibration"][::2][:1] == [str(n)]
    assert float(rows["Training, held out, before calibration"][2]) == pytest.approx(before, abs=6e-4)
    assert float(rows["Training, held out, calibrated on these"][2]) == pytest.approx(after, abs=6e-4)
    lines = (run[0] / "report/figures/reliability.csv").read_text().splitlines()
    assert lines[0] == "videos,kind,n,mean_score,n_fake,low,high"
    cells = [line.split(",") for line in lines[1:] if line.startswith("test,score,")]
    assert sum(int(cell[2]) for cell in cells) == test["n"]
    assert [float(cell[3]) for cell in cells] == pytest.approx([part["score"] for part in test["calibration"]["bins"]])


def test_a_video_that_several_models_held_out_counts_once(run):
    rows = read_predictions(run[1]["predictions"])
    infos = {name: json.loads(path.read_text()) for name, path in run[1]["boosting"].items()}
    other = {name: 1 - score for name, score in infos["anger"]["out_of_fold"].items()}
    folds = {"anger.fold1": infos["anger"], "anger.fold2": infos["anger"] | {"out_of_fold": other}}
    one, both = held_out_training(rows, {"anger": infos["anger"]}), held_out_training(rows, folds)
    assert len(one[0]) == infos["anger"]["n_videos"]
    for expected, found in zip(one, both, strict=True):
        np.testing.assert_array_equal(found, expected)
    folds["anger.fold2"]["out_of_fold"] |= {"08_anger_fake": 0.25}  # which fold 1 does not know
    is_fake, raw, _ = held_out_training(rows, folds)
    assert (len(raw), bool(is_fake[-1]), raw[-1]) == (len(one[1]) + 1, True, 0.25)


def test_where_rates_fall():
    assert falls(np.array([1, 1, 0.1, 0.1, 0.01])).tolist() == [2, 4]
    assert falls(np.array([1, 1, 0.75, 0.5, 0.25])).tolist() == [2]
    assert falls(np.array([1.0, 0.1])).tolist() == [1]
    assert falls(np.array([1.0])).tolist() == []


def test_all_candidates_of_the_folds_are_on_the_page(run, tmp_path):
    arguments = dict(run[1])
    arguments["boosting"] = {}
    for emotion, path in run[1]["boosting"].items():
        info = json.loads(path.read_text())
        info["candidates"].append(info["candidates"][0] | {"depth": 5, "rate": 0.7, "log_loss": 0.654})
        arguments["boosting"][emotion] = tmp_path / f"{emotion}.json"
        arguments["boosting"][emotion].write_text(json.dumps(info))
    write_report(tmp_path / "index.html", tmp_path / "figures", **arguments)
    page = Page((tmp_path / "index.html").read_text())
    (rows,) = (rows for title, rows in page.tables if title.startswith("Held-out log-loss at the best number"))
    assert len(rows) == 1 + 2 * len(EMOTIONS)
    assert rows[2][1:3] == ["5", "0.7"]
    assert rows[2][4] == "0.654"


@pytest.mark.parametrize(
    ("low", "high", "verdict", "words"),
    [
        (0.51, 0.8, "above", "clear of 50 %"),
        (0.5, 0.8, "open", "cannot be told from guessing"),
        (0.3, 0.7, "open", "cannot be told from guessing"),
        (0.1, 0.49, "below", "worse than guessing"),
    ],
)
def test_headline_in_words(low, high, verdict, words):
    found = headline({"splits": {"test": {"overall": {"n": 9, "interval": [low, high]}}}})
    assert found["verdict"] == verdict
    assert words in found["text"]


def test_headline_without_a_labelled_test_video():
    assert headline({"splits": {}})["verdict"] == "none"
    assert "no accuracy" in headline({"splits": {"test": {"overall": {"n": 0, "interval": None}}}})["text"]


def test_published_results_stand_beside_with_intervals_of_60_videos(page, metrics):
    rows = page.rows("Accuracy in per cent as printed")
    assert rows["HCILab (the paper)"] == ["71", "59.2–81.5 %", "66.7", "54.1–77.3 %"]
    assert rows["NIT-OVGU"][::2] == ["76", "66.7"]
    assert rows["ICV"] == ["53", "40.9–65.4 %", "–", "–"]
    test = metrics["splits"]["test"]["overall"]
    assert rows["this run, each video by itself"][2:] == [percent(test["accuracy"]), interval(test["interval"])]
    assert rows["this run, by pairs"][2] == percent(test["paired"]["accuracy"])


def test_data_and_excluded_videos(page):
    assert page.rows("The data") == {
        "Training": ["12", "96", "48", "48", "0", "8", "95"],
        "Validation": ["12", "24", "11", "12", "1", "2", "24"],
        "Test": ["12", "24", "12", "12", "0", "2", "23"],
    }
    (excluded,) = (rows for _, rows in page.tables if rows[0][-1] == "Reason")
    assert excluded[1:] == [
        ["00_contempt_fake", "train", "contempt", "no_face", "no face in the first 50 frames"],
        ["11_surprise_fake", "test", "surprise", "unreadable", HOSTILE],
    ]


def test_a_subject_in_two_splits_is_named(page, tmp_path):
    assert "No subject is in two splits" in page.text
    arguments = make_run(tmp_path, emotions=("anger",), trees=5)
    shared = arguments["predictions"]
    shared.write_text(shared.read_text().replace(",s10,", ",s00,"))
    write_report(tmp_path / "index.html", tmp_path / "figures", **arguments)
    assert "Subjects in more than one split: s00." in Page((tmp_path / "index.html").read_text()).text


def test_unknown_subjects_are_nobody_in_particular(run, tmp_path):
    arguments = dict(run[1])
    arguments["predictions"] = tmp_path / "predictions.csv"
    text = Path(run[1]["predictions"]).read_text()
    arguments["predictions"].write_text(text.replace(",s08,", ",,").replace(",s10,", ",,"))
    write_report(tmp_path / "index.html", tmp_path / "figures", **arguments)
    page = Page((tmp_path / "index.html").read_text())
    assert "No known subject is in two splits" in page.text
    assert page.rows("The data")["Test"][5] == "1, unknown in 12"
    assert "144 videos of 10 subjects" in page.text


def test_every_video_is_in_the_table(run, page):
    (rows,) = (rows for _, rows in page.tables if "Lowest PSR" in rows[0])
    with open(run[1]["predictions"]) as file:
        lines = [line.split(",") for line in file.read().splitlines()[1:]]
    assert [row[0] for row in rows[1:]] == [line[0] for line in lines]
    for row, line in zip(rows[1:], lines, strict=True):
        assert row[5] == ("–" if line[5] == "" else f"{float(line[5]):.3f}")


def test_text_from_data_stays_text(html, page):
    assert HOSTILE not in html
    assert "&lt;script&gt;alert" in html
    kinds = [attributes.get("type", "") for tag, attributes in page.elements if tag == "script"]
    assert sorted(kinds) == ["", "application/json", "application/json"]
    # The subject of that name has twelve videos, and one reason says the same.
    assert page.text.count(HOSTILE) == 12 + 1


def test_the_page_asks_for_nothing_from_elsewhere(html, page):
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            value = attributes.get(name, "#")
            # The contact sheets lie beside the run's tables, one folder up.
            assert value.startswith(("#", "figures/")) or re.fullmatch(r"\.\./\w+\.jpg", value), f"{tag} {name}={value}"
    assert not [target for target in re.findall(r"url\(\s*['\"]?([^)]*)", html) if not target.startswith("#")]
    assert "@import" not in html
    assert "default-src 'none'" in html
    assert not re.findall(r"https?://(?!www\.w3\.org/)", html)


def test_ids_are_unique_and_links_lead_somewhere(page, run):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("href", "xlink:href"):
            target = attributes.get(name, "")
            if target.startswith("#"):
                assert target[1:] in ids
            elif target:
                assert (run[0] / "report" / target).is_file()
        for target in attributes.get("aria-labelledby", "").split():
            assert target in ids
    assert page.open == []


def test_every_figure_has_its_files_and_a_described_panel_for_each_emotion(run, page):
    folder = run[0] / "report/figures"
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{kind}" for name in plan.FIGURES for kind in ("svg", "png", "csv")
    }
    labels = [attributes["aria-label"] for _, attributes in page.elements if attributes.get("role") == "img"]
    for what in (
        "ROC curve",
        "Recognised PB vectors on a plane",
        "Learning curve",
        "Held-out log-loss by number of trees",
    ):
        found = [re.fullmatch(rf"{what}: (\w+): .*\d.*", label) for label in labels if label.startswith(what)]
        assert [match[1] for match in found if match] == list(EMOTIONS), "each panel is put into words, with numbers"


def test_numbers_behind_the_figures(run, metrics):
    folder = run[0] / "report/figures"
    lines = (folder / "accuracy.csv").read_text().splitlines()
    test = metrics["splits"]["test"]["overall"]
    assert lines[0] == (
        "split,emotion,n,correct,accuracy,low,high,balanced_accuracy,auc,auc_low,auc_high,p_value,"
        "n_pairs,pairs_correct,paired_accuracy,paired_low,paired_high"
    )
    row = next(line for line in lines if line.startswith("test,all,")).split(",")
    assert row[9:11] == ["", ""]  # no interval of two subjects
    assert float(row[11]) == pytest.approx(test["permutation"]["p"])
    paired = test["paired"]
    expected = [paired["n_pairs"], paired["correct"], paired["accuracy"], *paired["interval"]]
    assert [float(cell) for cell in row[12:]] == pytest.approx(expected)
    assert [float(cell) for cell in row[2:5]] == pytest.approx([test["n"], test["correct"], test["accuracy"]])
    # The area under the curve in the file is the AUC of the metrics.
    roc = [line.split(",") for line in (folder / "roc.csv").read_text().splitlines()[1:]]
    for emotion, cell in metrics["splits"]["test"]["emotions"].items():
        points = np.array([[float(x), float(y)] for e, split, x, y, _ in roc if (e, split) == (emotion, "test")])
        assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(cell["auc"])


def test_confusion_and_pb_space_in_numbers(run, metrics):
    folder = run[0] / "report/figures"
    rows = [line.split(",") for line in (folder / "confusion.csv").read_text().splitlines()]
    assert rows[0] == ["split", "emotion", "label", "called_genuine", "called_fake"]
    found = {tuple(row[:3]): [int(cell) for cell in row[3:]] for row in rows[1:]}
    for label, counts in metrics["splits"]["test"]["emotions"]["anger"]["confusion"].items():
        assert found["test", "anger", label] == [counts["genuine"], counts["fake"]]

    # The learned vectors stand on the plane of the recognised ones, as far apart as their projections are.
    rows = [line.split(",") for line in (folder / "pb_space.csv").read_text().splitlines()]
    points = {tuple(row[:4]): [float(cell) for cell in row[4:]] for row in rows[1:]}
    genuine, fake = (np.array(points["anger", "", "learned", label]) for label in ("genuine", "fake"))
    table, _ = read_table(run[1]["pb_tables"]["anger"])
    vectors = np.stack([table[f"pb_{i}"] for i in range(8)], axis=1).reshape(-1, 3, 8).mean(axis=1)
    learned = np.array(read_header(run[1]["generated"]["anger"])["parameters"]["class_pb"])
    plane = np.linalg.svd(vectors - vectors.mean(axis=0))[2][:2]
    assert np.linalg.norm(genuine - fake) == pytest.approx(np.linalg.norm(plane @ (learned[0] - learned[1])), rel=1e-4)


def test_generated_movement_in_numbers(run):
    lines = (run[0] / "report/figures/generation.csv").read_text().splitlines()
    assert lines[0] == "emotion,frame,seconds,genuine_moved,fake_moved,apart"
    rows = [[float(cell) for cell in line.split(",")[1:]] for line in lines[1:] if line.startswith("anger,")]
    assert [row[0] for row in rows] == list(range(30))
    assert rows[3][1] == pytest.approx(0.1)
    eyes = np.linalg.norm(np.subtract(NEUTRAL[25], NEUTRAL[16]))
    apex = max(rows, key=lambda row: row[2])
    # Three of forty points move: 0.2 sin as genuine, half as far as fake.
    expected = 100 * 3 / 40 * 0.2 * np.sin(np.pi * apex[0] / 29) / eyes
    assert apex[2:] == pytest.approx([expected, expected / 2, expected / 2])


def test_what_is_worth_a_look_is_shown_with_its_contact_sheet(run, page):
    quality, _ = read_table(run[1]["qc"])
    used = quality["status"] == "ok"
    worst = quality["video_id"][used][np.argsort(quality["face_share"][used])[:4]]
    shown = [attributes["src"] for tag, attributes in page.elements if tag == "img" and "loading" in attributes]
    assert {f"../{video}.jpg" for video in worst} < set(shown)
    assert all((run[0] / "report" / sheet).is_file() for sheet in shown)
    # The excluded ones too.
    assert {"../00_contempt_fake.jpg", "../11_surprise_fake.jpg"} < set(shown)


def test_a_video_is_worth_a_look_for_what_is_wrong_with_it():
    names = ("a", "b", "c")
    rows = [Prediction(name, "s", "anger", "test", "", 0.5, "fake", None, 1, "ok") for name in names]
    good = {"face_share": 1.0, "redetections": 0, "lowest_psr": 30.0}
    quality = {"a": good, "b": good | {"face_share": 0.5, "lowest_psr": 9.0}, "c": good | {"lowest_psr": None}}
    assert worth_a_look(rows, quality, n=1) == [
        {"video_id": "b", "why": "a face in 50.0 % of the frames; lowest PSR 9.0"}
    ]
    bad = [row._replace(status="no_face") for row in rows]
    assert worth_a_look(bad, quality) == []


def test_the_ablation_has_its_section_where_the_run_has_one(run, page, tmp_path):
    assert "Not part of this run" in page.text
    paper = read_predictions(run[1]["predictions"])
    write_predictions(tmp_path / "other.csv", paper)
    methods = {"paper": run[1]["predictions"], "direct": tmp_path / "other.csv"}
    out = [tmp_path / name for name in ("ablation.csv", "ablation.json", "ablation.html", "figures/ablation.svg")]
    write_ablation(methods, "split of the sample sheet", *out, demo=False)
    write_report(tmp_path / "index.html", tmp_path / "figures", **run[1], ablation=[out[1], out[3]])
    whole = Page((tmp_path / "index.html").read_text())
    rows = whole.rows("Test, each video by itself and by pairs")
    assert list(rows) == ["LSTM-PB + boosting", "rival: facial activity, each video by itself"]
    assert "Not part of this run" not in whole.text
    assert whole.open == []
    assert len(out[3].with_suffix(".csv").read_text().splitlines()) == 1 + 2 * 2


def test_equal_inputs_give_equal_files_and_times_only_if_asked_for(run, html, tmp_path):
    folder, arguments = run
    again = folder / "again"  # as far from the contact sheets, which the page links to
    arguments = arguments | {"playback_dir": again / "videos"}
    write_report(again / "index.html", again / "figures", **arguments)
    for path in [folder / "report/index.html", *(folder / "report/figures").iterdir()]:
        assert (again / path.relative_to(folder / "report")).read_bytes() == path.read_bytes(), path.name
    assert "Peak memory" not in html


def test_a_run_with_little_in_it_and_with_costs(tmp_path):
    arguments = make_run(tmp_path, emotions=("anger",), n_subjects=7, trees=5, test_labels=False)
    arguments["config"] = {"samples": "mine.tsv"}
    benchmarks = tmp_path / "benchmarks"
    measured = (("preprocess", "a", 1.5, "80"), ("preprocess", "b", 2.0, "95.5"), ("evaluate", "", 3, "NA"))
    for rule, video, seconds, peak in measured:
        path = benchmarks / rule / f"{video}.tsv" if video else benchmarks / f"{rule}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t{peak}\n")
    write_report(tmp_path / "index.html", tmp_path / "figures", **arguments, benchmarks_dir=benchmarks)
    page = Page((tmp_path / "index.html").read_text())
    assert "no accuracy" in page.text
    assert "They say nothing about people" not in page.text
    assert page.rows("Test, each")["all"][:3] == ["0 of 0", "–", "–"]
    (costs,) = (rows for _, rows in page.tables if rows[0][0] == "Rule")
    assert costs[1:] == [["preprocess", "2", "3.5", "1.8", "2.0", "96"], ["evaluate", "1", "3.0", "3.0", "3.0", "0"]]
    assert re.search(r"Jobs ran from \d{4}-\d\d-\d\d \d\d:\d\d to \d{4}-", page.text)
    assert "samples: mine.tsv" in page.text


def test_principal_axes():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    points = 5 + rng.normal(size=(50, 2)) @ (np.array([[3.0], [1.0]]) * basis[:2])
    axes, shares = principal_axes(points)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] > shares[1] > 0
    # All variance lies in the plane, so distances survive the projection.
    plane = points @ axes.T
    np.testing.assert_allclose(
        np.linalg.norm(plane[:1] - plane, axis=1), np.linalg.norm(points[:1] - points, axis=1), atol=1e-9
    )
    np.testing.assert_allclose(principal_axes(points[::-1])[0], axes, atol=1e-9)
    for few in (np.ones((1, 6)), np.ones((3, 6)), rng.normal(size=(4, 1))):
        assert principal_axes(few)[0].shape == (2, few.shape[1])


def test_the_page_of_a_thousand_videos_and_5000_trees_stays_small(tmp_path):
    arguments = make_run(tmp_path, n_subjects=84, trees=5)
    for path in arguments["boosting"].values():
        info = json.loads(path.read_text())
        info["log_loss_by_trees"] *= 1000
        path.write_text(json.dumps(info))
    write_report(tmp_path / "index.html", tmp_path / "figures", **arguments)
    assert Path(tmp_path / "index.html").stat().st_size < 3e6
