"""The config's schema and the settings of the network's modules say the same."""

from pathlib import Path

from fakeemo import workflow as plan
from fakeemo.learning_step import LearningSettings
from fakeemo.lstm_pb import NetworkSettings
from fakeemo.recognition import RecognitionSettings
from fakeemo.tracking import TrackingSettings

SCHEMA = Path(__file__).parents[2] / "workflow" / "schemas" / "config.schema.yaml"


def test_schema_defaults_are_those_of_the_settings_classes():
    config = plan.complete_config({"samples": "x"}, SCHEMA, [])
    assert NetworkSettings(**config["network"]) == NetworkSettings()
    assert LearningSettings(**config["learning"]) == LearningSettings()
    assert RecognitionSettings(**config["recognition"]) == RecognitionSettings()
    assert TrackingSettings(**config["tracking"]) == TrackingSettings()
