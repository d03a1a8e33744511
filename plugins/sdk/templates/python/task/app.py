"""The task `my-plugin`: what is searched, and what the space alone can't say."""

import orze_plugin as orze

# Every dimension is a key that the trainer reads. `choices` are names or whole numbers, `range` goes
# from low to high, `when` makes a dimension exist only beside a value of one above it.
SPACE = """
space: my-plugin
dimensions:
  # The feature maps of your pack: the names given to `orze-runtime data import --features NAME=FILE`.
  backbone:         {group: arch,  choices: [first, second]}
  temporal_encoder: {group: arch,  choices: [zipformer, retnet]}
  pooling:          {group: arch,  choices: [attention, mean, max]}
  loss:             {group: loss,  choices: [focal, bce]}
  focal_gamma:      {group: loss,  range: [0.5, 5.0], when: {loss: focal}}
  learning_rate:    {group: train, range: [3.0e-4, 3.0e-2], scale: log}
  batch_size:       {group: train, choices: [32, 64, 128]}
  epochs:           {group: train, choices: [5, 10, 20]}
# What is the same in every experiment.
fixed:
  model_dim: 32
  layers: 2
  heads: 4
"""

RULES = """\
The positive class is rare: say in the rationale how an idea deals with that.
Few epochs of large batches hardly move the weights; such ideas are refused.
"""


@orze.export
class Task(orze.Task):
    def describe(self):
        return orze.Description(
            name="my-plugin",
            version="0.1.0",
            summary="Say what is predicted from what, in a sentence or two.",
            space=SPACE,
            # `orze.Split("train", clips=1000)` also refuses a pack with another number of clips.
            splits=[orze.Split("train"), orze.Split("validation")],
            # Nobody's clips may be both trained on and scored.
            groups_disjoint=True,
        )

    def validate(self, configuration):
        # The space has checked every value by itself; here is the place for what only shows in
        # their combination. What is yielded goes back to the author of the idea.
        batch_size = orze.integer(configuration, "batch_size")
        if batch_size >= 128 and orze.integer(configuration, "epochs") <= 5:
            yield orze.Problem(
                "5 are too few for batches of 128",
                key="epochs",
                hint="10 or more, or smaller batches",
            )

    def rules(self):
        return RULES

    # `sweep` and `prioritise` may be defined too: orze_plugin.py says what they do. Without them
    # the campaign's own sweep is used, and everybody gets the priority that they ask for.
