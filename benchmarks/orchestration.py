"""What the workflow costs beside its work: planning, starting jobs, and processor time that is not the kernels'.

    python benchmarks/orchestration.py [--videos N ...] [--clips N] [--no-run]

Plans are dry runs over sheets of so many videos (600 and 6,000 unless said otherwise; 60,000 takes minutes), in the
seconds and the memory of their process. Then, unless --no-run: a run of 600 videos that finds nothing to do, the jobs
of videos that are empty, and clips preprocessed in earnest, with the processor seconds of the whole run, Snakemake's
included, set against those of the same work in as many processes that are warm already. Prints Markdown tables.
"""

import argparse
import csv
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice, product
from multiprocessing import get_context
from pathlib import Path

import clips
import cv2
from preprocessing import JITTER_PX, N_VARIANTS, face_boxes, header, landmark, row

from fakeemo import landmarks
from fakeemo.samples import LABELS, REQUIRED

REPOSITORY = Path(__file__).parents[1]
EMOTIONS = ("anger", "contempt", "disgust", "happiness", "sadness", "surprise")
PLANS = {600: 8, 6000: 50}  # videos, and the seconds that a dry run may take
N_EMPTY, CORES = 10, 2
LIBRARIES = "import snakemake.iocontainers, snakemake.logging, numpy, cv2, av, pyarrow.parquet"  # of a job's script


def write_project(folder: Path, n_videos: int, clip: Path | None = None) -> list[str]:
    """Write a sheet of ``n_videos`` files of their own, copies of a clip or empty, and a config; give their ids."""
    (folder / "videos").mkdir(parents=True)
    rows = []
    for k, (emotion, label) in enumerate(islice(cycle(product(EMOTIONS, LABELS)), n_videos)):
        subject, path = k // (len(EMOTIONS) * len(LABELS)), folder / "videos" / f"v{k:05}.mp4"
        shutil.copy(clip, path) if clip else path.touch()
        split = {1: "valid", 2: "test"}.get(subject % 10, "train")
        rows.append((path.stem, f"videos/{path.name}", f"s{subject:04}", emotion, label, split))
    with open(folder / "samples.tsv", "w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([REQUIRED, *rows])
    jitter = f"[{JITTER_PX[0]}, {JITTER_PX[1]}]"
    (folder / "config.yaml").write_text(
        f"samples: samples.tsv\non_bad_video: skip\n"
        f"variants: {{train: {N_VARIANTS}, valid: {N_VARIANTS}, test: {N_VARIANTS}, jitter_px: {jitter}}}\n"
    )
    return [video for video, *_ in rows]


def snakemake(folder: Path, *arguments: str) -> dict[str, float]:
    """Run Snakemake in ``folder``; give seconds by the clock, processor seconds with children, and peak MB."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "config.yaml"), *arguments]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with open(folder / "printed.txt", "w") as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, cwd=REPOSITORY)
        _, status, own = os.wait4(process.pid, 0)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if status:
        sys.exit((folder / "printed.txt").read_text()[-5000:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "MB": own.ru_maxrss / 1024}


def plan(folder: Path, sizes: Iterable[int]) -> None:
    header("dry run, videos", "jobs", "s", "peak MB", "aim")
    for n_videos in sizes:
        project = folder / str(n_videos)
        write_project(project, n_videos)
        measured = snakemake(project, "--dry-run")
        aim = f"<= {PLANS[n_videos]} s" if n_videos in PLANS else ""
        row(f"{n_videos:,}", f"{n_videos + 22:,}", f"{measured['wall']:.1f}", f"{measured['MB']:.0f}", aim)
    print()


def nothing_to_do(folder: Path, n_videos: int) -> None:
    """Time a run in which all is there: files as results have them, with the notes that Snakemake takes of a job."""
    write_project(folder, n_videos)
    snakemake(folder, "--summary")
    for line in (folder / "printed.txt").read_text().splitlines():
        path = folder / line.split("\t")[0]
        if path.suffix and line.startswith("results/"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
        elif line.startswith("results/"):  # a folder
            path.mkdir(parents=True, exist_ok=True)
    snakemake(folder, "--touch", "--cores", "1000")
    measured = snakemake(folder, "--cores", str(CORES))
    assert "Nothing to be done" in (folder / "printed.txt").read_text()
    header("a run with nothing to do, videos", "s", "aim")
    row(f"{n_videos:,}", f"{measured['wall']:.1f}", "<= 10 s")
    print()


def empty_videos(folder: Path) -> None:
    """Time the jobs of videos without a frame, as Snakemake's own benchmarks have them: start, imports, and end."""
    videos = write_project(folder, N_EMPTY)
    snakemake(folder, "--cores", "1", "--", *(f"results/landmarks/{video}.parquet" for video in videos))
    header("a job with an empty video", "median s", "aim")
    seconds = []
    for video in videos:
        with open(folder / "logs" / "benchmarks" / "preprocess" / f"{video}.tsv") as file:
            seconds.append(float(next(csv.DictReader(file, delimiter="\t"))["s"]))
    row("`preprocess`", f"{statistics.median(seconds):.2f}", "<= 0.6 s")
    seconds = []
    for _ in videos:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", LIBRARIES], check=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
        seconds.append(time.perf_counter() - start)
    row("to compare: Python with its libraries", f"{statistics.median(seconds):.2f}", "")
    print()


def kernels(clip: Path, folder: Path, n_clips: int) -> float:
    """Give the processor seconds of so many clips' jobs inside one process, everything loaded and tried before."""
    cv2.setNumThreads(1)
    landmarks.warm()
    folder.mkdir()
    taken = []
    for _ in range(1 + n_clips):  # the first warms up
        start = time.process_time()
        face_boxes(clip, folder)
        landmark(clip, folder, "batched")
        taken.append(time.process_time() - start)
    return sum(taken[1:])


def kernels_on_all_cores(clip: Path, folder: Path, n_clips: int) -> float:
    """Give the processor seconds of so many clips' jobs where as many are at work at once as in the workflow."""
    folder.mkdir()
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
        shares = [pool.submit(kernels, clip, folder / str(core), n_clips // CORES) for core in range(CORES)]
        return sum(share.result() for share in shares)


def real_videos(folder: Path, n_clips: int) -> None:
    folder.mkdir()
    clip = folder / "clip.mp4"
    clips.encode(clip, clips.circling(), preset="veryfast")
    videos = write_project(folder / "project", n_clips, clip)
    # One half before and one after: the machine may change its pace.
    before = kernels_on_all_cores(clip, folder / "before", n_clips // 2)
    measured = snakemake(
        folder / "project", "--cores", str(CORES), "--", *(f"results/landmarks/{video}.parquet" for video in videos)
    )
    own = before + kernels_on_all_cores(clip, folder / "after", n_clips // 2)
    what = f"{n_clips} clips, 350 frames 1280x960, {N_VARIANTS} variants"
    header(what, "processor s", "kernels' own", "ratio", "aim")
    row("preprocessing", f"{measured['cpu']:.1f}", f"{own:.1f}", f"{measured['cpu'] / own:.2f}", "<= 1.25")
    print(f"\nBy the clock {measured['wall']:.1f} s on {CORES} cores.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, nargs="+", default=list(PLANS), metavar="N")
    parser.add_argument("--clips", type=int, default=20, metavar="N", help=f"a multiple of {2 * CORES}")
    parser.add_argument("--no-run", action="store_true")
    arguments = parser.parse_args()
    if arguments.clips % (2 * CORES):
        parser.error(f"--clips must be a multiple of {2 * CORES}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # users' modules are compiled once
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan(folder, arguments.videos)
        if not arguments.no_run:
            nothing_to_do(folder / "done", min(PLANS))
            empty_videos(folder / "empty")
            real_videos(folder / "real", arguments.clips)


if __name__ == "__main__":
    main()
