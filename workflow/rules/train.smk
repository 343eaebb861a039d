# Section 2.3: learning mode for each emotion, then recognition mode for each of its videos. Both want a GPU.
rule train:
    input:
        variants=lambda w: expand(
            rules.landmarks.output.variants, video=SHEET.training_labels(w.emotion)
        ),
    output:
        weights="results/models/{emotion}/lstm_pb.safetensors",
        config="results/models/{emotion}/config.json",
        history="results/models/{emotion}/history.csv",
    log:
        "logs/train/{emotion}.log",
    benchmark:
        "logs/benchmarks/train/{emotion}.tsv"
    priority: 10
    conda:
        "../envs/fakeemo.yaml"
    threads: config["torch_threads"]
    resources:
        gpu=plan.gpus(config),
    params:
        code=plan.code("train", "training"),
        labels=lambda w: SHEET.training_labels(w.emotion),
        sequences=config["sequences"],
        network=config["network"],
        learning=config["learning"],
        seed=config["seed"],
        device=config["device"],
        torch_threads=config["torch_threads"],
        # Not an output: Snakemake deletes the outputs of a killed job, and its next start goes on from here.
        resume="results/checkpoints/{emotion}.safetensors",
    script:
        "../scripts/train.py"


rule recognise:
    input:
        weights=rules.train.output.weights,
        config=rules.train.output.config,
        variants=lambda w: expand(
            rules.landmarks.output.variants, video=SHEET.of_emotion(w.emotion)
        ),
    output:
        pb="results/pb/{emotion}.parquet",
        convergence="results/pb/{emotion}_convergence.csv",
    log:
        "logs/recognise/{emotion}.log",
    benchmark:
        "logs/benchmarks/recognise/{emotion}.tsv"
    priority: 10
    conda:
        "../envs/fakeemo.yaml"
    threads: config["torch_threads"]
    resources:
        gpu=plan.gpus(config),
    params:
        code=plan.code("recognise", "recognition"),
        settings=config["recognition"],
        device=config["device"],
        torch_threads=config["torch_threads"],
    script:
        "../scripts/recognise.py"
