"""Says how far a running experiment is: images, rate, time left, who works, what failed and why."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.report.plan_and_status import status_view
from emudrift.generation.answers.progress_of_answers import survey_answers
from emudrift.generation.judging.progress_of_judge import survey_judged
from emudrift.generation.progress_of_arms import survey
from emudrift.runtime.terminal import show


def main() -> None:
    door.enter(status, door.parser(__doc__).parse_args())


def status(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    show(*status_view(experiment, survey(experiment), survey_answers(experiment), survey_judged(experiment)))


if __name__ == "__main__":
    main()
