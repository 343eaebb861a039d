# Sections 2.4 and 4: boosting for each emotion, the verdict on every video, and the report.
rule boost:
    input:
        pb=rules.recognise.output.pb,
    output:
        model="results/models/{emotion}/boosting.ubj",
        info="results/models/{emotion}/boosting.json",
    log:
        "logs/boost/{emotion}.log",
    benchmark:
        "logs/benchmarks/boost/{emotion}.tsv"
    conda:
        "../envs/fakeemo.yaml"
    threads: config["boosting"]["threads"]
    resources:
        gpu=plan.gpus(config["boosting"]),
    params:
        code=plan.code("boost", "boosting"),
        labels=lambda w: SHEET.training_labels(w.emotion),
        subjects=lambda w: SHEET.training_subjects(w.emotion),
        settings=lambda w: plan.boosting_settings(config, w.emotion),
    script:
        "../scripts/boost.py"


rule evaluate:
    input:
        pb=expand(rules.recognise.output.pb, emotion=SHEET.emotions),
        models=expand(rules.boost.output.model, emotion=SHEET.emotions),
        infos=expand(rules.boost.output.info, emotion=SHEET.emotions),
        quality=rules.quality.output.table,
        faces=expand(
            rules.landmarks.output.face, video=plan.paired_by_faces(config, SHEET)
        ),
    output:
        predictions=report(
            "results/predictions.csv",
            caption="../report/predictions.rst",
            category="Results",
        ),
        metrics="results/metrics.json",
    log:
        "logs/evaluate.log",
    benchmark:
        "logs/benchmarks/evaluate.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("evaluate", "evaluation"),
        samples=SHEET.rows(),
        pairing=config["evaluation"]["pairing"],
    script:
        "../scripts/evaluate.py"


rule report:
    input:
        predictions=rules.evaluate.output.predictions,
        metrics=rules.evaluate.output.metrics,
        quality=rules.quality.output.table,
        networks=expand(rules.train.output.config, emotion=SHEET.emotions),
        histories=expand(rules.train.output.history, emotion=SHEET.emotions),
        pb=expand(rules.recognise.output.pb, emotion=SHEET.emotions),
        boosting=expand(rules.boost.output.info, emotion=SHEET.emotions),
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
        emotions=SHEET.emotions,
    script:
        "../scripts/report.py"
