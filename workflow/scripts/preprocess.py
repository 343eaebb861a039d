"""Rule preprocess. In: a video. Out: its face's boxes, 68 points a frame, the 40 of each jittered variant, two pictures."""

from fakeemo.jobs import job  # first, see there
from fakeemo.preprocessing import preprocess_video
from fakeemo.tracking import TrackingSettings

with job(snakemake.log[0]):
    params = snakemake.params
    preprocess_video(
        **params.sample,
        **snakemake.output,
        video_id=snakemake.wildcards.video,
        tracking=TrackingSettings(**params.tracking),
        on_bad_video=params.on_bad_video,
        n_variants=params.n_variants,
        jitter_px=params.jitter_px,
        seed=params.seed,
        **params.landmarks,
    )
