# What people see: generation mode (section 2.3.2), each video's landmarks to be played, and the page with its figures.
# `snakemake figures` makes the figures and all that they need.
rule generate:
    input:
        weights=rules.train.output.weights,
        config=rules.train.output.config,
    output:
        table="results/generated/{model}.parquet",
    log:
        "logs/generate/{model}.log",
    benchmark:
        "logs/benchmarks/generate/{model}.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("generate", "generation"),
    script:
        "../scripts/generate.py"


rule playback:
    input:
        rois=expand(rules.preprocess.output.rois, video=SHEET.videos),
        landmarks=expand(rules.preprocess.output.landmarks, video=SHEET.videos),
    output:
        folder=directory("results/report/videos"),
    log:
        "logs/playback.log",
    benchmark:
        "logs/benchmarks/playback.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("playback", "playback"),
        videos=list(SHEET.videos),
    script:
        "../scripts/playback.py"


rule report:
    input:
        predictions=rules.evaluate.output.predictions,
        metrics=rules.evaluate.output.metrics,
        quality=rules.quality.output.table,
        playback=rules.playback.output.folder,
        networks=expand(rules.train.output.config, model=SHEET.models),
        histories=expand(rules.train.output.history, model=SHEET.models),
        pb=expand(rules.recognise.output.pb, model=SHEET.models),
        generated=expand(rules.generate.output.table, model=SHEET.shown()),
        boosting=expand(rules.boost.output.info, model=SHEET.models),
        ablation=plan.ablation_files(config),
    output:
        page=report(
            "results/report/index.html",
            caption="../report/report.rst",
            category="Results",
        ),
        figures=[
            report(
                f"results/report/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category="Figures",
            )
            for figure in plan.FIGURES
        ],
        numbers=expand(
            "results/report/figures/{figure}.{kind}",
            figure=plan.FIGURES,
            kind=["png", "csv"],
        ),
    log:
        "logs/report.log",
    benchmark:
        "logs/benchmarks/report.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("report", "report"),
        config=config,
        models=list(SHEET.models),
        shown=SHEET.shown(),
    script:
        "../scripts/report.py"


rule figures:
    input:
        rules.report.output.figures,
        rules.report.output.numbers,
