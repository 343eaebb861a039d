"""Rule landmarks. In: a video and its boxes. Out: 68 points a frame, the 40 of each jittered variant, two pictures."""

from fakeemo.jobs import job  # first, see there
from fakeemo.augment import landmark_video

with job(snakemake.log[0]):
    params = snakemake.params
    landmark_video(
        params.sample["video"],
        snakemake.input.rois,
        snakemake.output.landmarks,
        snakemake.output.variants,
        snakemake.output.sheet,
        snakemake.output.face,
        video_id=snakemake.wildcards.video,
        n_variants=params.n_variants,
        jitter_px=params.jitter_px,
        seed=params.seed,
        start_s=params.sample["start_s"],
        end_s=params.sample["end_s"],
        **params.settings,
    )
