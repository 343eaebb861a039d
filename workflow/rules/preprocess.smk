# Sections 2.1, 2.2 and the augmentation of 2.4: face, landmarks and jittered variants of each video.
rule roi:
    input:
        video=lambda w: SHEET.input_video(w.video),
    output:
        rois="results/rois/{video}.parquet",
    log:
        "logs/roi/{video}.log",
    benchmark:
        "logs/benchmarks/roi/{video}.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("roi", "tracking"),
        sample=lambda w: SHEET.span(w.video),
        settings=config["tracking"],
        seed=config["seed"],
        on_bad_video=config["on_bad_video"],
    script:
        "../scripts/roi.py"


# Compiled once, before many jobs would all compile at the same time.
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


rule landmarks:
    input:
        video=lambda w: SHEET.input_video(w.video),
        rois=rules.roi.output.rois,
        engine=rules.engine.output.note,
    output:
        landmarks="results/landmarks/{video}.parquet",
        variants="results/variants/{video}.parquet",
        sheet="results/qc/{video}.jpg",
        face="results/faces/{video}.png",
    log:
        "logs/landmarks/{video}.log",
    benchmark:
        "logs/benchmarks/landmarks/{video}.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("landmarks", "augment"),
        sample=lambda w: SHEET.span(w.video),
        settings=config["landmarks"],
        n_variants=lambda w: SHEET.n_variants(config, w.video),
        jitter_px=config["variants"]["jitter_px"],
        seed=config["seed"],
    script:
        "../scripts/landmarks.py"


rule quality:
    input:
        rois=expand(rules.roi.output.rois, video=SHEET.videos),
        landmarks=expand(rules.landmarks.output.landmarks, video=SHEET.videos),
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
