"""Rule given. In: a table of landmarks. Out: boxes, landmarks and variants, as of a video."""

from fakeemo.jobs import job  # first, see there
from fakeemo.given_landmarks import use_landmarks

with job(snakemake.log[0]):
    params = {k: v for k, v in snakemake.params.items() if k not in ("code", "sample")}
    use_landmarks(
        rois_out=snakemake.output.rois,
        landmarks_out=snakemake.output.landmarks,
        variants_out=snakemake.output.variants,
        video_id=snakemake.wildcards.video,
        **params,
        **snakemake.params.sample,
    )
