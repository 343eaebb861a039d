# Landmarks that the user has already, where a row of the sample sheet names such a table: no face is looked for.
if SHEET.tables():

    ruleorder: given > preprocess

    rule given:
        input:
            table=lambda w: SHEET.input_video(w.video),
        output:
            rois=rules.preprocess.output.rois,
            landmarks=rules.preprocess.output.landmarks,
            variants=rules.preprocess.output.variants,
        log:
            "logs/given/{video}.log",
        benchmark:
            "logs/benchmarks/given/{video}.tsv"
        wildcard_constraints:
            video=plan.any_of(SHEET.tables()),
        conda:
            "../envs/fakeemo.yaml"
        params:
            code=plan.code("given", "given_landmarks"),
            sample=lambda w: SHEET.table_span(w.video),
            model=config["landmarks"]["model"],
            n_variants=lambda w: SHEET.n_variants(config, w.video),
            jitter_px=config["variants"]["jitter_px"],
            min_frames=config["tracking"]["min_frames"],
            on_bad_video=config["on_bad_video"],
            seed=config["seed"],
        script:
            "../scripts/given.py"
