# The embedded data set: rendered where the config has a section `demo`, one job for all clips of a subject.
if "demo" in config:

    rule demo:
        output:
            plan.demo_clips(config, SHEET),
        log:
            "logs/demo/{subject}.log",
        benchmark:
            "logs/benchmarks/demo/{subject}.tsv"
        wildcard_constraints:
            subject="[^_/]+",
        conda:
            "../envs/fakeemo.yaml"
        params:
            code=plan.code("demo", "demo"),
            settings={k: v for k, v in config["demo"].items() if k != "folder"},
        script:
            "../scripts/demo.py"
