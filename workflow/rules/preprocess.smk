# The engine that finds landmarks. Compiled once, before many jobs would all compile at the same time.
rule engine:
    input:
        model=config["landmarks"]["model"] or [],
    output:
        note="results/landmarks/engine.txt",
    log:
        "logs/engine.log",
    benchmark:
        "logs/benchmarks/engine.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("engine", "landmarks"),
        settings=config["landmarks"],
    script:
        "../scripts/engine.py"


# Sections 2.1, 2.2 and the augmentation of 2.4: face, landmarks and jittered variants of a video, in one job. To start
# one more for the landmarks takes 0.4 s, on a cluster 5 s; all it spares is to track again, some 1.3 s, where only their
# settings change.
rule preprocess:
    input:
        video=lambda w: SHEET.input_video(w.video),
        engine=rules.engine.output.note,
    output:
        rois="results/rois/{video}.parquet",
        landmarks="results/landmarks/{video}.parquet",
        variants="results/variants/{video}.parquet",
        sheet="results/qc/{video}.jpg",
        face="results/faces/{video}.png",
    log:
        "logs/preprocess/{video}.log",
    benchmark:
        "logs/benchmarks/preprocess/{video}.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("preprocess", "preprocessing"),
        sample=lambda w: SHEET.span(w.video),
        tracking=config["tracking"],
        on_bad_video=config["on_bad_video"],
        landmarks=config["landmarks"],
        n_variants=lambda w: SHEET.n_variants(config, w.video),
        jitter_px=config["variants"]["jitter_px"],
        seed=config["seed"],
    script:
        "../scripts/preprocess.py"


rule quality:
    input:
        rois=expand(rules.preprocess.output.rois, video=SHEET.videos),
        landmarks=expand(rules.preprocess.output.landmarks, video=SHEET.videos),
    output:
        table=report(
            "results/qc/videos.parquet",
            caption="../report/quality.rst",
            category="Videos",
        ),
    log:
        "logs/quality.log",
    benchmark:
        "logs/benchmarks/quality.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("quality", "quality"),
        videos=list(SHEET.videos),
    script:
        "../scripts/quality.py"
