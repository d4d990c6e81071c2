"""Tasks for Label Studio and Mechanical Turk, and votes in the formats that these publish: a round trip, and what is refused."""

import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from ratings import answer, key_of, three_arms, votes_file

from emudrift.errors import InputError
from emudrift.evaluation.human.platforms import label_studio_files, mturk_files
from emudrift.evaluation.human.study import ANSWERS
from emudrift.evaluation.human.votes import load_votes, scan_votes, vote_table

IMAGES = "https://example.org/study/images"
# The columns of a batch's results that Mechanical Turk's requester website writes before those of inputs and answers.
RESULTS = [
    "HITId",
    "HITTypeId",
    "Title",
    "Description",
    "Keywords",
    "Reward",
    "CreationTime",
    "MaxAssignments",
    "RequesterAnnotation",
    "AssignmentDurationInSeconds",
    "AutoApprovalDelayInSeconds",
    "Expiration",
    "NumberOfSimilarHITs",
    "LifetimeInSeconds",
    "AssignmentId",
    "WorkerId",
    "AssignmentStatus",
    "AcceptTime",
    "SubmitTime",
    "AutoApprovalTime",
    "ApprovalTime",
    "RejectionTime",
    "RequesterFeedback",
    "WorkTimeInSeconds",
    "LifetimeApprovalRate",
    "Last30DaysApprovalRate",
    "Last7DaysApprovalRate",
]


@pytest.fixture(scope="module")
def key():
    """Three arms, six prompts, four raters of whom each two see everything."""
    section = {
        "prompts": 6,
        "raters": 4,
        "split": 2,
        "attention_checks": 1,
        "information": "Who asks.\n\nPay & <rights>.",
    }
    key = key_of(**three_arms(section), gold=1)
    return key.model_copy(
        update={
            "images": {arm: {p: f"{n}-{p}.png" for p in found} for n, (arm, found) in enumerate(key.images.items())}
        }
    )


@pytest.fixture(scope="module")
def captions(key):
    return {each: f'A "thing" & {each}, ünïcode <b>.' for each in key.prompts}


def answers_of(key, rater):
    """One who looks and prefers A to B to C."""
    return [answer(item, min(item.left, item.right), 1, np.random.default_rng(0)) for item in key.raters[rater - 1]]


def of_pages(folder: Path, key):
    """What the rating pages would give."""
    for rater in range(1, 5):
        (folder / f"{rater}.json").write_text(json.dumps(votes_file(key, rater, answers_of(key, rater))))
    return load_votes(scan_votes(folder), key)


def annotated(tasks, key, person=None, first=1):
    """Label Studio's export as JSON of a project with these tasks (https://labelstud.io/guide/task_format), annotated."""
    exported = []
    for number, task in enumerate(tasks, first):
        data = task["data"]
        chosen = answers_of(key, data["rater"])[data["item"]]
        result = {"id": f"Dx_{number}", "from_name": "answer", "to_name": "left", "type": "choices", "origin": "manual"}
        result["value"] = {"choices": [chosen]}
        annotation = {
            "id": 1000 + number,
            "completed_by": person or 10 + data["rater"],
            "result": [result],
            "was_cancelled": False,
        }
        annotation |= {
            "ground_truth": False,
            "created_at": "2026-03-09T22:16:08.728353Z",
            "lead_time": 1.5,
            "task": number,
        }
        annotation |= {"updated_at": "2026-03-09T22:16:08.728378Z", "result_count": 1, "project": 83}
        exported.append({"id": number, "annotations": [annotation], "drafts": [], "predictions": [], "data": data, "meta": {},
                         "created_at": "2026-03-09T21:52:49.513742Z", "project": 83, "total_annotations": 1})  # fmt: skip
    return exported


def tasks_of(files, question):
    """All raters' tasks of a question, as one project may have them."""
    return [task for name, text in files.items() if name.startswith(f"tasks-{question}") for task in json.loads(text)]


def test_label_studio_there_and_back_gives_what_the_pages_give(tmp_path, key, captions):
    files = label_studio_files(key, captions, IMAGES)
    assert len(files) == 2 * (1 + 1 + 4)
    exports = tmp_path / "exports"
    exports.mkdir()
    for question in ANSWERS:
        project = annotated(tasks_of(files, question), key)
        (exports / f"project-{question}.json").write_text(json.dumps(project, ensure_ascii=False), encoding="utf-8")
    back, pages = load_votes(scan_votes(exports), key), of_pages(tmp_path, key)
    assert back == pages
    assert (vote_table(back, key) == vote_table(pages, key)).all(axis=None)


def test_label_studio_shows_what_the_pages_show_and_no_arm(key, captions):
    files = label_studio_files(key, captions, IMAGES)
    for question, answers in ANSWERS.items():
        view = ElementTree.fromstring(files[f"labelling-{question}.xml"])
        (choices,) = view.iter("Choices")
        assert choices.attrib["required"] == "true"
        assert [each.attrib["alias"] for each in choices] == list(answers)
        shown = {each.attrib["name"]: each.attrib["value"] for tag in ("Image", "Text") for each in view.iter(tag)}
        assert choices.attrib["toName"] in shown
        tasks = tasks_of(files, question)
        assert all(value[1:] in task["data"] for value in shown.values() for task in tasks), (
            "what the config shows is there"
        )
        for task in tasks:
            data = task["data"]
            item = key.raters[data["rater"] - 1][data["item"]]
            assert item.question == question
            assert [data["left"], data["right"]] == [
                f"{IMAGES}/{key.images[arm][item.prompt_id]}" for arm in (item.left, item.right)
            ]
            assert data.get("caption") == (None if question == "appeal" else captions[item.prompt_id])
        assert "<p>Who asks.</p>\n<p>Pay &amp; &lt;rights&gt;.</p>" in files[f"instructions-{question}.html"]
    for name, text in files.items():
        assert not [arm for arm in key.images if arm in text], name
        assert "rated" not in text
        assert "gold" not in text


def test_skipped_tasks_and_those_nobody_did_are_votes_missing(tmp_path, key, captions, caplog):
    caplog.set_level("INFO")
    project = annotated(tasks_of(label_studio_files(key, captions, IMAGES), "appeal"), key)
    project[0]["annotations"][0]["was_cancelled"] = True
    project[1]["annotations"] = []
    (tmp_path / "a.json").write_text(json.dumps(project))
    assert len(load_votes([tmp_path / "a.json"], key)[1]) == len(key.raters[0]) // 2 - 2
    assert "rater 1: " in caplog.text


def chose(answer):
    return [{"from_name": "answer", "value": {"choices": [answer]}}]


def changed(project, place=0, **changes):
    """An export with a change of one annotation, or of its task's data."""
    annotation = project[place]["annotations"][0]
    for name, value in changes.items():
        (annotation if name in annotation else project[place]["data"])[name] = value
    return project


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: [p[0] | {"annotations": 2 * p[0]["annotations"]}], "task 1: 2 annotations; a task is for one person"),
        (lambda p: changed(p, completed_by=99), "of rater 1 were annotated by two people, annotator 99 and annotator 11"),
        (lambda p: changed(p, result=[]), "task 1: 0 answers; there must be one, named 'answer'"),
        (lambda p: changed(p, token="x"), "the tasks of rater 1 belong to several studies"),
        (lambda p: [changed(p, token="x")[0]], "rater: 1, but by its token this file was made by no page of this study"),
        (lambda p: [changed(p, study="x")[0]], "votes for study x, but the key belongs to study"),
        (lambda p: changed(p, result=chose("best")), "task 1: answer: Input should be 'left'"),
        (lambda p: changed(p, lead_time=-1), "0: annotations: 0: lead_time: Input should be greater than or equal to 0"),
        (lambda p: [{"left": "a.png", "answer": "left", "id": 3}], "0: data: Field required; export it from Label Studio"),
        (lambda p: [p[0] | {"data": {"text": "another project"}}], "0: data: experiment: Field required; export it"),
    ],
)  # fmt: skip
def test_an_export_that_cannot_be_is_refused_by_task(tmp_path, key, captions, change, said):
    project = annotated(tasks_of(label_studio_files(key, captions, IMAGES), "appeal"), key)
    (tmp_path / "a.json").write_text(json.dumps(change(project)))
    with pytest.raises(InputError) as error:
        load_votes([tmp_path / "a.json"], key)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'a.json'}: ")
    assert "\n" not in str(error.value)


def test_one_person_cannot_be_two_raters(tmp_path, key, captions):
    files = label_studio_files(key, captions, IMAGES)
    (tmp_path / "a.json").write_text(json.dumps(annotated(tasks_of(files, "appeal"), key, person=7)))
    with pytest.raises(InputError, match="annotator 7 is rater 1 and rater 2; each needs a person of their own"):
        load_votes([tmp_path / "a.json"], key)
    # Nor two people one rater, each for a question.
    for question, person in (("appeal", 7), ("faithfulness", {"id": 8, "email": "b@example.org"})):
        tasks = json.loads(files[f"tasks-{question}-rater-1.json"])
        (tmp_path / f"{question}.json").write_text(json.dumps(annotated(tasks, key, person=person)))
    with pytest.raises(InputError, match="are both from rater 1 but differ"):
        load_votes([tmp_path / "appeal.json", tmp_path / "faithfulness.json"], key)


def batch(key, status=None, workers=None, raw=False, submitted=None):
    """Results of a batch: what the page submits, in the column of Crowd HTML Elements, or of a plain form."""
    text = io.StringIO()
    column = "Answer.votes" if raw else "Answer.taskAnswers"
    writer = csv.DictWriter(
        text, [*RESULTS, "Input.rater", "Input.votes", "Input.study", column, "Approve", "Reject"], restval=""
    )
    writer.writeheader()
    for rater in range(1, 5):
        votes = json.dumps(votes_file(key, rater, answers_of(key, rater)))
        row = {"HITId": f"3H{rater}", "AssignmentId": f"3A{rater}", "WorkTimeInSeconds": "300", "Reward": "$1.50"}
        row |= {
            "WorkerId": (workers or {}).get(rater, f"AZ{rater}"),
            "AssignmentStatus": (status or {}).get(rater, "Submitted"),
        }
        row |= {"Input.rater": str(rater), column: votes if raw else json.dumps([{"votes": votes}])}
        writer.writerow(row | ({column: submitted} if submitted is not None and rater == 1 else {}))
    return text.getvalue()


@pytest.mark.parametrize("raw", [False, True])
def test_the_results_of_a_batch_give_what_the_pages_give(tmp_path, key, raw):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "Batch_1_batch_results.csv").write_text(batch(key, raw=raw), encoding="utf-8-sig")
    assert load_votes(scan_votes(tmp_path / "results"), key) == of_pages(tmp_path, key)


def test_rejected_assignments_are_left_out(tmp_path, key, caplog):
    caplog.set_level("INFO")
    (tmp_path / "a.csv").write_text(batch(key, status={2: "Rejected", 3: "Approved"}))
    assert list(load_votes([tmp_path / "a.csv"], key)) == [1, 3, 4]
    assert "row 3: a rejected assignment, left out" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lambda key: batch(key, workers={3: "AZ1"}), "worker AZ1 is rater 1 and rater 3; each needs a person of their own"),
        (lambda key: batch(key, submitted="[]"), "row 2: no votes of the page that export_ratings wrote"),
        (lambda key: batch(key, submitted='[{"other": "x"}]'), "row 2: no votes of the page that export_ratings wrote"),
        (lambda key: batch(key, submitted='[{"votes": "{}"}]'), "row 2: format: Field required"),
        (lambda key: batch(key, submitted='[{"votes": "{'), "row 2: no votes of the page"),
        (lambda key: batch(key).replace(key.tokens[1], key.tokens[0]), "rater: 2, but by its token this file was made by"),
        (lambda key: "rater,votes,study\n1,12,eyJ9\n", "not the results of Mechanical Turk: no columns WorkerId and"),
        (lambda key: "", "not the results of Mechanical Turk"),
    ],
)  # fmt: skip
def test_results_that_cannot_be_are_refused_by_row(tmp_path, key, text, said):
    (tmp_path / "a.csv").write_text(text(key))
    with pytest.raises(InputError) as error:
        load_votes([tmp_path / "a.csv"], key)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def image() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "#a04030").save(data, format="PNG")
    return data.getvalue()


def test_the_page_of_mechanical_turk_submits_the_votes_that_were_pressed(browser, tmp_path, image):
    """Its table's row in the page's place, as the requester's website does; the form's element is Amazon's, and not there."""
    key = key_of(
        **three_arms({"prompts": 2, "raters": 2, "split": 2, "attention_checks": 1, "information": "Who asks."}), gold=1
    )
    files = mturk_files(key, {each: 'A "thing" ünïcode </script><b>.' for each in key.prompts}, IMAGES)
    row = list(csv.DictReader(io.StringIO(files["tasks.csv"])))[1]
    (tmp_path / "task.html").write_text(files["page.html"].replace("${study}", row["study"]), encoding="utf-8")
    context = browser.new_context()
    page, asked, errors = context.new_page(), [], []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def serve(route) -> None:
        asked.append(route.request.url)
        if route.request.url.endswith(".png"):
            route.fulfill(body=image, content_type="image/png")
        else:
            route.fulfill(body="", content_type="text/javascript")

    page.route(re.compile("^https://"), serve)
    page.goto((tmp_path / "task.html").as_uri())
    assert page.inner_text("#information") == "Who asks."
    given = answers_of(key, 2)
    for said in given:
        if page.is_visible("#intro"):
            page.keyboard.press("Enter")
        page.click(f"#answers button[data-answer={said}]")
        assert page.get_attribute("#left", "src").startswith(f"{IMAGES}/")
    assert "thank you" in page.inner_text("#done")
    assert not page.is_visible("[data-download]")
    submitted = json.dumps([{"votes": page.input_value("crowd-form input[name=votes]")}])
    context.close()
    assert errors == []
    assert all(url.startswith((f"{IMAGES}/", "https://assets.crowd.aws/")) for url in asked)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["WorkerId", "AssignmentStatus", "Answer.taskAnswers"])
    writer.writeheader()
    writer.writerow({"WorkerId": "AZ1", "AssignmentStatus": "Submitted", "Answer.taskAnswers": submitted})
    (tmp_path / "results.csv").write_text(text.getvalue())
    assert [vote.answer for vote in load_votes([tmp_path / "results.csv"], key)[2]] == given


def test_mechanical_turk_takes_secure_images_small_tasks_and_one_variable(key, captions):
    files = mturk_files(key, captions, IMAGES)
    assert files["page.html"].count("${") == files["page.html"].count("${study}") == 1
    rows = list(csv.DictReader(io.StringIO(files["tasks.csv"])))
    assert [(row["rater"], row["votes"]) for row in rows] == [
        (str(n), str(len(key.raters[n - 1]))) for n in range(1, 5)
    ]
    assert not [arm for arm in key.images if arm in files["page.html"] + files["tasks.csv"]]
    with pytest.raises(InputError, match="addresses that begin with https:// only"):
        mturk_files(key, captions, "http://example.org")
    many = key_of(**three_arms({"raters": 2, "prompts": 40, "attention_checks": 0}, sample_sizes=[40]))
    with pytest.raises(InputError, match="Mechanical Turk takes 65,535: give each rater fewer"):
        mturk_files(many, {each: 100 * "long " for each in many.prompts}, IMAGES)
    with pytest.raises(InputError, match="of an earlier version, without a token"):
        label_studio_files(key.model_copy(update={"tokens": []}), captions, IMAGES)
