import numpy as np
import pytest
import skimage.data
from skimage.metrics import structural_similarity
from skimage.transform import resize

from fakeemo.errors import FakeemoError
from fakeemo.face_picture import SIDE, face_crop, read_face, write_face
from fakeemo.pairing import best_pairs, pairs_by_faces, pairs_by_subject, similarities


def total(similarity, pairs):
    return sum(similarity[pair] for pair in pairs)


def brute_force(similarity, left):
    """Give the greatest total over all ways to pair ``left``, of which one stays alone if they are odd in number."""
    if len(left) < 2:
        return 0.0
    first, rest = left[0], left[1:]
    best = max(similarity[first, other] + brute_force(similarity, [k for k in rest if k != other]) for other in rest)
    return max(best, brute_force(similarity, rest)) if len(left) % 2 else best


def greedy(similarity):
    left, pairs = set(range(len(similarity))), []
    for i, j in sorted(zip(*np.triu_indices(len(similarity), 1), strict=True), key=lambda pair: -similarity[pair]):
        if {i, j} <= left:
            left -= {i, j}
            pairs.append((i, j))
    return pairs


def test_the_matching_beats_the_greedy_one():
    # 0 and 1 are most alike, but then 2 and 3 are left over, who are nothing like each other.
    similarity = np.array([[1, 0.9, 0.8, 0.1], [0.9, 1, 0.1, 0.8], [0.8, 0.1, 1, 0.0], [0.1, 0.8, 0.0, 1]])
    assert greedy(similarity) == [(0, 1), (2, 3)]
    assert best_pairs(similarity) == [(0, 2), (1, 3)]


@pytest.mark.parametrize("n", [2, 3, 4, 7, 8])
def test_the_matching_is_the_best_of_all(n):
    rng = np.random.default_rng(n)
    beaten = 0
    for _ in range(4):
        similarity = rng.normal(size=(n, n))  # SSIM may be negative too
        similarity += similarity.T
        pairs = best_pairs(similarity)
        assert len(pairs) == n // 2
        assert len({k for pair in pairs for k in pair}) == 2 * len(pairs)
        assert total(similarity, pairs) == pytest.approx(brute_force(similarity, list(range(n))))
        beaten += total(similarity, pairs) > total(similarity, greedy(similarity)) + 1e-9
    assert beaten or n < 7


def test_nobody_and_one_make_no_pair():
    assert best_pairs(np.empty((0, 0))) == []
    assert best_pairs(np.ones((1, 1))) == []


@pytest.fixture
def people(tmp_path):
    """Two noisy pictures of each of five things, under names that do not tell."""
    rng = np.random.default_rng(0)
    sources = [skimage.data.astronaut()[:180, 150:330, 0], *skimage.data.lfw_subset()[[3, 40, 70]], skimage.data.moon()]
    faces, true_pairs = {}, set()
    names = [f"v{k}" for k in rng.permutation(2 * len(sources))]
    for k, source in enumerate(sources):
        picture = resize(source / source.max(), (SIDE, SIDE)) * 200 + 20
        own = names[2 * k : 2 * k + 2]
        true_pairs.add(frozenset(own))
        for name in own:
            faces[name] = tmp_path / f"{name}.png"
            noisy = picture + rng.normal(0, 8, picture.shape)
            write_face(faces[name], np.clip(noisy, 0, 255).astype(np.uint8))
    return faces, true_pairs


def row(video_id, split="test", emotion="anger", subject=""):
    return {"video_id": video_id, "subject": subject, "emotion": emotion, "label": "", "split": split}


def test_faces_find_the_pairs_where_neither_subjects_nor_labels_are_known(people):
    faces, true_pairs = people
    samples = [row(name) for name in sorted(faces)]
    assert {frozenset(pair) for pair in pairs_by_faces(samples, faces, faces)} == true_pairs
    # A video without a score has no part: its twin, now the odd one, goes to nobody or parts no true pair.
    gone = sorted(faces)[0]
    found = {frozenset(pair) for pair in pairs_by_faces(samples, set(faces) - {gone}, faces)}
    assert found == {pair for pair in true_pairs if gone not in pair}


def test_faces_pair_within_one_emotion_and_split_and_never_in_training(people):
    faces, true_pairs = people
    (a, b), *_ = map(sorted, true_pairs)
    others = [{"emotion": "sadness"}, {"split": "valid"}]
    for other in others:
        assert pairs_by_faces([row(a), row(b, **other)], faces, faces) == []
    assert pairs_by_faces([row(a, split="train"), row(b, split="train")], faces, {}) == []
    assert pairs_by_faces([row(a), row(b)], faces, faces) == [(a, b)]


def test_similarities_are_scikit_images(people):
    pictures = [read_face(path) for path in list(people[0].values())[:3]]
    found = similarities(pictures)
    assert found[0, 2] == found[2, 0] == structural_similarity(pictures[0], pictures[2], data_range=255)
    assert found.diagonal().tolist() == [1, 1, 1]


def test_subjects_make_pairs_of_exactly_two_scored_videos():
    samples = [
        row(name, subject=name[0], split="train" if name[0] == "d" else "test")
        for name in ["a1", "a2", "b1", "c1", "c2", "c3", "d1", "d2"]
    ]
    samples += [row("u1"), row("u2")]  # unknown subjects are not one person
    scored = [sample["video_id"] for sample in samples]
    assert pairs_by_subject(samples, scored) == [("a1", "a2"), ("d1", "d2")]
    assert pairs_by_subject(samples, [name for name in scored if name != "c2"]) == [
        ("a1", "a2"),
        ("c1", "c3"),
        ("d1", "d2"),
    ]
    assert pairs_by_subject([row("e1", subject="e"), row("e2", "test", "sadness", "e")], ["e1", "e2"]) == []


def test_a_crop_goes_on_beyond_the_image():
    image = np.tile(np.arange(200, dtype=np.uint8), (150, 1))
    inside = face_crop(image, np.array([20.0, 10.0, 128.0, 128.0]))
    assert (inside == np.arange(20, 148)).all()
    over = face_crop(image, np.array([-28.0, 60.0, 128.0, 128.0]))
    assert over.shape == (SIDE, SIDE)
    assert (over[:, :28] == 0).all()
    assert (over[:, 28:] == np.arange(100)).all()
    assert (
        np.abs(face_crop(image, np.array([10.0, 5.0, 64.0, 64.0]))[:, ::2].astype(int) - np.arange(10, 74)).max() <= 1
    )


def test_a_face_survives_the_file_and_none_is_grey(tmp_path):
    face = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    write_face(tmp_path / "a.png", face)
    assert (read_face(tmp_path / "a.png") == face).all()
    write_face(tmp_path / "none.png", None)
    assert (read_face(tmp_path / "none.png") == 128).all()
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("b.png", "gone.png", "empty.png"):
        with pytest.raises(FakeemoError, match=rf"{name}: .*run again"):
            read_face(tmp_path / name)
